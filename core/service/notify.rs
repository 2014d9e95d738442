//! Tells the service manager how the service does: the protocol of sd_notify(3).
//!
//! One datagram of lines `NAME=VALUE` to the socket that `NOTIFY_SOCKET` names. Our own, because
//! that is all of it.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The way to the service manager; without one, nobody is told anything.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// To whom the environment says. Connects at once, so that it goes on through a sandbox.
    ///
    /// # Errors
    /// When the socket that the environment names cannot be used, with its name.
    pub fn from_env() -> Result<Self, String> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0);
        Self::to(&name, watchdog.map(Duration::from_micros)).map_err(|error| {
            format!("the service manager at {name:?} is not told anything: {error}")
        })
    }

    /// To a socket: a path, or a name without one, which is written with `@` at its begin. The
    /// manager ends the service when it hears nothing for as long as `watchdog`.
    ///
    /// # Errors
    /// When there is no such socket.
    pub fn to(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match name.as_bytes() {
            [b'@', rest @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(rest)?)?,
            [b'/', ..] => socket.connect(name)?,
            _ => return Err(io::Error::other("it is neither a path nor begins with `@`")),
        }
        // A manager that does not read holds nobody up; what is important is sent again.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(socket), watchdog })
    }

    /// Whether there is somebody to be told.
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// For how long the manager may hear nothing.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service does what it is there for. Whether that was sent.
    pub fn ready(&self) -> bool {
        self.send("READY=1")
    }

    /// How it does, for `systemctl status`.
    pub fn status(&self, text: &str) -> bool {
        self.send(&format!("STATUS={}", text.replace('\n', " ")))
    }

    /// It is alive.
    pub fn alive(&self) -> bool {
        self.watchdog.is_some() && self.send("WATCHDOG=1")
    }

    /// It reads its config again; to be followed by [`ready`](Self::ready). Whether that was sent.
    pub fn reloading(&self) -> bool {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"))
    }

    /// It comes to its end.
    pub fn stopping(&self) -> bool {
        self.send("STOPPING=1")
    }

    fn send(&self, text: &str) -> bool {
        self.socket.as_ref().is_none_or(|socket| socket.send(text.as_bytes()).is_ok())
    }
}

/// Whether what is written to a file of ours goes to the journal; see `JOURNAL_STREAM` in
/// systemd.exec(5).
pub fn is_journal(file: impl rustix::fd::AsFd) -> bool {
    is_stream(env::var_os("JOURNAL_STREAM"), file)
}

fn is_stream(named: Option<OsString>, file: impl rustix::fd::AsFd) -> bool {
    let named = named.and_then(|text| {
        let (device, inode) = text.to_str()?.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let Ok(stat) = rustix::fs::fstat(file) else { return false };
    named == Some((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs::File};

    use super::*;

    /// Everything that is said arrives as it is written down in sd_notify(3).
    #[test]
    fn a_manager_is_told_by_a_path_and_by_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("ringmill-test-{}", process::id());
        let by_name = SocketAddr::from_abstract_name(&name).expect("a name");
        let managers = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).expect("a socket")),
            (OsString::from(format!("@{name}")), UnixDatagram::bind_addr(&by_name).expect("one")),
        ];
        for (name, manager) in managers {
            let told = Notifier::to(&name, Some(Duration::from_secs(1))).expect("it is there");
            assert!(told.ready() && told.status("all\nwell") && told.alive() && told.stopping());
            assert!(told.reloading());
            let next = || {
                let mut bytes = [0; 256];
                let len = manager.recv(&mut bytes).expect("a datagram");
                String::from_utf8_lossy(&bytes[..len]).into_owned()
            };
            for line in ["READY=1", "STATUS=all well", "WATCHDOG=1", "STOPPING=1"] {
                assert_eq!(next(), line, "{name:?}");
            }
            let reloading = next();
            let (line, usec) = reloading.split_once("\nMONOTONIC_USEC=").expect("two lines");
            assert_eq!(line, "RELOADING=1");
            assert!(usec.parse::<u64>().is_ok_and(|usec| usec > 0), "{usec}");
        }
    }

    #[test]
    fn who_does_not_read_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).expect("a socket");
        let told = Notifier::to(path.as_os_str(), Some(Duration::from_secs(1))).expect("there");
        assert!((0..100_000).any(|_| !told.alive()), "the queue has no end");
    }

    #[test]
    fn what_is_no_socket_is_refused_and_nobody_is_no_error() {
        for name in ["", "relative", "/nowhere/notify", "@ringmill-test-nobody", "vsock:1:2"] {
            assert!(Notifier::to(OsStr::new(name), None).is_err(), "{name:?}");
        }
        let nobody = Notifier::default();
        assert!(nobody.ready() && !nobody.is_heard() && !nobody.alive());
    }

    #[test]
    fn the_journal_is_known_by_its_device_and_inode() {
        let file = File::open("/dev/null").expect("it is everywhere");
        let stat = rustix::fs::fstat(&file).expect("it is open");
        let rows = [
            (Some(format!("{}:{}", stat.st_dev, stat.st_ino)), true),
            (Some(format!("{}:{}", stat.st_dev, stat.st_ino + 1)), false),
            (Some("null".to_owned()), false),
            (None, false),
        ];
        for (named, is) in rows {
            assert_eq!(is_stream(named.clone().map(OsString::from), &file), is, "{named:?}");
        }
    }
}
