//! Apache Kafka itself, started and ended by `tests/services/kafka/broker`.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::common::{root, skipped};

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 3;

pub(crate) struct Broker {
    directory: TempDir,
    port: u16,
    controller: u16,
}

impl Broker {
    /// Starts one on free ports. None, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let jars = std::env::var_os("RINGMILL_KAFKA_JARS")
            .map_or_else(|| root().join("target/services/kafka"), PathBuf::from);
        if fs::read_dir(&jars).map_or(0, Iterator::count) == 0 {
            skipped("Apache Kafka is not there; `tests/services/kafka/broker install` fetches it");
            return None;
        }
        if Command::new("java").arg("-version").output().is_err() {
            skipped("there is no Java for Apache Kafka");
            return None;
        }
        let [port, controller] = free_ports();
        let broker = Self { directory: tempfile::tempdir().unwrap(), port, controller };
        broker.again();
        Some(broker)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again, with all that it had.
    pub(crate) fn again(&self) {
        let [port, controller] = [self.port, self.controller].map(|port| port.to_string());
        let partitions = format!("num.partitions={PARTITIONS}");
        let output = script(&["start", self.dir(), &port, &controller, &partitions]);
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

    /// One of Kafka's own programs.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let address = self.address();
        let common = ["tool", class, "--bootstrap-server", &address];
        let output = script(&[&common, arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.directory.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    fn dir(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.directory.path().join("pid").exists() {
            script(&["kill", self.dir()]);
        }
    }
}

fn script(arguments: &[&str]) -> Output {
    let script: &Path = &root().join("tests/services/kafka/broker");
    Command::new(script).args(arguments).output().unwrap()
}

/// Of this machine, at this moment.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
