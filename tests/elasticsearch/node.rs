//! OpenSearch itself, started and ended by `tests/services/opensearch/node`.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::common::{root, skipped};

pub(crate) struct Node {
    directory: TempDir,
    port: u16,
}

impl Node {
    /// Starts one on a free port. None, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let jars = std::env::var_os("RINGMILL_OPENSEARCH_JARS")
            .map_or_else(|| root().join("target/services/opensearch"), PathBuf::from);
        if !jars.join("Launcher.class").exists() {
            skipped("OpenSearch is not there; `tests/services/opensearch/node install` fetches it");
            return None;
        }
        if Command::new("java").arg("-version").output().is_err() {
            skipped("there is no Java for OpenSearch");
            return None;
        }
        let node = Self { directory: tempfile::tempdir().unwrap(), port: free_port() };
        node.again();
        Some(node)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again, with all that it had.
    pub(crate) fn again(&self) {
        let output = script(&["start", self.dir(), &self.port.to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        assert!(script(&["kill", self.dir()]).status.success());
    }

    /// It hangs, with its connections open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.directory.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    fn dir(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.directory.path().join("pid").exists() {
            script(&["kill", self.dir()]);
        }
    }
}

fn script(arguments: &[&str]) -> Output {
    let script: &Path = &root().join("tests/services/opensearch/node");
    Command::new(script).args(arguments).output().unwrap()
}

/// Of this machine, at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
