//! Runs the engine as an operator does, and lets nothing hang.

use std::{
    fs,
    io::Write as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

/// How a child process ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

/// A child process; dropped, it is ended.
pub(crate) struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
    deadline: Instant,
}

/// The engine, with nothing of our own environment that changes what it logs, or where
/// cargo lets the dynamic linker look.
pub(crate) fn engine() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    for variable in ["RUST_LOG", "RUST_BACKTRACE", "LD_LIBRARY_PATH"] {
        command.env_remove(variable);
    }
    command
}

/// Runs to the end, with nothing to read.
pub(crate) fn run(command: &mut Command) -> Ran {
    start(command).end_with(&[])
}

/// Starts a process that has a minute to end.
pub(crate) fn start(command: &mut Command) -> Running {
    // Files and not pipes: a full pipe would be another way to hang.
    let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    // Opened once more, because what the child writes and we read has two positions.
    command.stdin(Stdio::piped()).stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Running { child, stdout, stderr, deadline: Instant::now() + Duration::from_secs(60) }
}

impl Running {
    /// Waits until it has complained of this.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !read(&self.stderr).contains(text) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended without `{text}`");
            self.nap(text);
        }
    }

    /// Gives it all that it has to read and waits for its end.
    pub(crate) fn end_with(mut self, input: &[u8]) -> Ran {
        // A process that reads nothing may be gone by now.
        let _ = self.child.stdin.take().unwrap().write_all(input);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => self.nap("its end"),
            }
        };
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        Ran { code: status.code(), stdout, stderr }
    }

    fn nap(&self, what: &str) {
        let said = || (read(&self.stdout), read(&self.stderr));
        assert!(Instant::now() < self.deadline, "it hangs before {what}: {:?}", said());
        thread::sleep(Duration::from_millis(3));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended and been waited for, which is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &NamedTempFile) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
}
