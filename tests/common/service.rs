//! A store that runs as a process of its own, started and ended by a script of `tests/services`.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::common::{root, skipped};

/// One of them, ended with this.
pub(crate) struct Service {
    /// Where it writes; the script keeps its process id there.
    directory: TempDir,
    script: PathBuf,
}

impl Service {
    /// In a directory of its own, not started. None, and a line that says so, where its jars are
    /// not installed: `installed` looks at their directory, or at the one that `variable` names.
    pub(crate) fn new(
        name: &str,
        script: &str,
        variable: &str,
        installed: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        let script = Path::new("tests/services").join(script);
        let jars = script.parent().and_then(Path::file_name).unwrap();
        let jars = env::var_os(variable)
            .map_or_else(|| root().join("target/services").join(jars), PathBuf::from);
        if !installed(&jars) {
            skipped(format!("{name} is not there; `{} install` fetches it", script.display()));
            return None;
        }
        if Command::new("java").arg("-version").output().is_err() {
            skipped(format!("there is no Java for {name}"));
            return None;
        }
        Some(Self { directory: tempfile::tempdir().unwrap(), script: root().join(script) })
    }

    /// Starts it, or starts it again, with all that it had.
    pub(crate) fn start(&self, arguments: &[&str]) {
        let output = self.script(&[&["start", self.dir()], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        assert!(self.script(&["kill", self.dir()]).status.success());
    }

    /// It hangs, with its connections open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Runs the script.
    pub(crate) fn script(&self, arguments: &[&str]) -> Output {
        Command::new(&self.script).args(arguments).output().unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.directory.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    fn dir(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.directory.path().join("pid").exists() {
            self.script(&["kill", self.dir()]);
        }
    }
}

/// Of this machine, at this moment.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
