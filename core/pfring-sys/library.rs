//! Finds the library and its functions.

use std::{
    env,
    ffi::{OsStr, OsString, c_char, c_int, c_uint, c_void},
};

use libloading::os::unix::{Library as Loaded, RTLD_GLOBAL, RTLD_LAZY, RTLD_LOCAL};

use crate::{ClusterType, Direction, PacketHeader, Pfring, SocketMode, Stat, Version};

/// The environment variable that names a library in another place.
pub const LIBRARY_VARIABLE: &str = "RINGMILL_LIBPFRING";

/// The names under which libpfring is looked for: without a number where its developers' files
/// are installed, else by its `SONAME`, which has the major version.
const NAMES: [&str; 3] = ["libpfring.so", "libpfring.so.9", "libpfring.so.8"];
const LIBPCAP: &str = "libpcap.so.0.8";

/// `RTLD_NODELETE` of `<dlfcn.h>`: the library stays for the life of the process, and with it
/// every function of [`Library`].
const RTLD_NODELETE: c_int = 0x1000;

/// Why libpfring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not on this machine.
    #[error(
        "libpfring is not installed; install PF_RING (https://www.ntop.org/guides/pf_ring), or \
         name the library in RINGMILL_LIBPFRING"
    )]
    NotInstalled,
    /// It is there and does not load.
    #[error("libpfring does not load: {0}")]
    Broken(String),
    /// It needs libpcap, and does not say so to the dynamic linker.
    #[error("libpfring needs libpcap, which does not load ({0}); `apt install libpcap0.8`")]
    Pcap(String),
    /// A function is missing.
    #[error("`{library}` is no libpfring that can be used: it has no `{function}`")]
    Function {
        /// The library as it was asked for.
        library: String,
        /// The function.
        function: &'static str,
    },
}

macro_rules! library {
    (
        required { $( $(#[$doc:meta])* $name:ident = $symbol:literal : $type:ty, )* }
        optional { $( $(#[$odoc:meta])* $oname:ident = $osymbol:literal : $otype:ty, )* }
    ) => {
        /// libpfring's functions.
        ///
        /// # Safety
        /// Of all functions: the ring came from `open` and is not closed; pointers point to what
        /// the name says for as long as the call takes; text ends with a zero. One thread at a
        /// time uses a ring, except that `stats`, `breakloop` and `shutdown` may be called from
        /// any.
        #[derive(Clone, Debug)]
        pub struct Library {
            /// As it was asked for.
            pub name: String,
            $( $(#[$doc])* pub $name: $type, )*
            $( $(#[$odoc])* pub $oname: Option<$otype>, )*
        }

        impl Library {
            fn resolve(loaded: &Loaded, name: String) -> Result<Self, LoadError> {
                let missing = |function| {
                    let library = name.clone();
                    move |_| LoadError::Function { library, function }
                };
                Ok(Self {
                    $(
                        // SAFETY: the type is the prototype of `pfring.h`, which is the same in
                        // every version that has the function; the code is never unloaded.
                        $name: unsafe { loaded.get::<$type>($symbol.as_bytes()) }
                            .map(|function| *function)
                            .map_err(missing($symbol))?,
                    )*
                    $(
                        // SAFETY: as above.
                        $oname: unsafe { loaded.get::<$otype>($osymbol.as_bytes()) }
                            .map(|function| *function)
                            .ok(),
                    )*
                    name,
                })
            }
        }
    };
}

library! {
    required {
        /// Device, snaplen, flags; null and `errno` on failure: `EAFNOSUPPORT` without the
        /// kernel module, `EPERM`, `EINVAL` for an unknown device or a module of another
        /// version.
        open = "pfring_open": unsafe extern "C" fn(*const c_char, u32, u32) -> *mut Pfring,
        /// Frees the ring. Some builds do not close its socket, see `leaks` in the engine.
        close = "pfring_close": unsafe extern "C" fn(*mut Pfring),
        /// Ends every wait on the ring, now and later.
        shutdown = "pfring_shutdown": unsafe extern "C" fn(*mut Pfring),
        /// Ends the wait that is on, at its next timeout; lost if there is none.
        breakloop = "pfring_breakloop": unsafe extern "C" fn(*mut Pfring),
        /// Ring, where to put the packet's address, 0 to get the ring's own memory, header,
        /// whether to wait. 1 for a packet, 0 for none; the packet before is gone.
        recv = "pfring_recv":
            unsafe extern "C" fn(*mut Pfring, *mut *mut u8, c_uint, *mut PacketHeader, u8) -> c_int,
        /// Zeros while the ring is not enabled.
        stats = "pfring_stats": unsafe extern "C" fn(*mut Pfring, *mut Stat) -> c_int,
        /// Joins a cluster as whichever of its rings is free. The first to join sets the type.
        set_cluster = "pfring_set_cluster":
            unsafe extern "C" fn(*mut Pfring, c_uint, ClusterType) -> c_int,
        /// Leaves the cluster; from then on the ring sees everything.
        remove_from_cluster = "pfring_remove_from_cluster":
            unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// Compiled by libpcap. What was set before stays when it does not compile.
        set_bpf_filter = "pfring_set_bpf_filter":
            unsafe extern "C" fn(*mut Pfring, *const c_char) -> c_int,
        /// Lets everything through again.
        remove_bpf_filter = "pfring_remove_bpf_filter":
            unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// What `/proc/net/pf_ring` shows.
        set_application_name = "pfring_set_application_name":
            unsafe extern "C" fn(*mut Pfring, *mut c_char) -> c_int,
        /// Lets packets in.
        enable_ring = "pfring_enable_ring": unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// Lets no more in, gives none out, and counts as zero.
        disable_ring = "pfring_disable_ring": unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// Packets that make the ring readable; 128 by default.
        set_poll_watermark = "pfring_set_poll_watermark":
            unsafe extern "C" fn(*mut Pfring, u16) -> c_int,
        /// Milliseconds after which a waiting `recv` looks again; 500 by default.
        set_poll_duration = "pfring_set_poll_duration":
            unsafe extern "C" fn(*mut Pfring, c_uint) -> c_int,
        /// Which packets are taken; both by default.
        set_direction = "pfring_set_direction":
            unsafe extern "C" fn(*mut Pfring, Direction) -> c_int,
        /// What the ring may do; not once it is enabled.
        set_socket_mode = "pfring_set_socket_mode":
            unsafe extern "C" fn(*mut Pfring, SocketMode) -> c_int,
        /// The card's receive queues.
        get_num_rx_channels = "pfring_get_num_rx_channels":
            unsafe extern "C" fn(*mut Pfring) -> u8,
        /// The socket, for poll(2): readable when there are as many packets as the watermark.
        get_selectable_fd = "pfring_get_selectable_fd":
            unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// Waits for at most that many milliseconds; lets packets in even if not enabled.
        poll = "pfring_poll": unsafe extern "C" fn(*mut Pfring, c_uint) -> c_int,
        /// The kernel module's version.
        version = "pfring_version": unsafe extern "C" fn(*mut Pfring, *mut u32) -> c_int,
        /// The library's version.
        version_noring = "pfring_version_noring": unsafe extern "C" fn(*mut u32),
        /// Packets in the ring that were not read yet.
        get_num_queued_pkts = "pfring_get_num_queued_pkts":
            unsafe extern "C" fn(*mut Pfring) -> u32,
        /// Whether there is one.
        is_pkt_available = "pfring_is_pkt_available": unsafe extern "C" fn(*mut Pfring) -> c_int,
        /// Bytes of the packet header that the ring writes.
        get_slot_header_len = "pfring_get_slot_header_len":
            unsafe extern "C" fn(*mut Pfring) -> u16,
    }
    optional {
        /// Joins a cluster as the ring of this number (0 to 63); cluster, number, type, options.
        /// Since 8.6.1.
        set_cluster_consumer = "pfring_set_cluster_consumer":
            unsafe extern "C" fn(*mut Pfring, u16, u16, ClusterType, u32) -> c_int,
        /// Several packets at once; not of rings of the kernel. Since 8.0.
        recv_burst = "pfring_recv_burst":
            unsafe extern "C" fn(*mut Pfring, *mut c_void, u8, u8) -> c_int,
        /// Milliseconds after which fewer packets than the watermark make the ring readable.
        /// Since 7.8.
        set_poll_watermark_timeout = "pfring_set_poll_watermark_timeout":
            unsafe extern "C" fn(*mut Pfring, u16) -> c_int,
    }
}

impl Library {
    /// Loads the library that `RINGMILL_LIBPFRING` names, or else the one that is installed.
    ///
    /// # Errors
    /// One sentence, with what to do.
    pub fn load() -> Result<Self, LoadError> {
        match env::var_os(LIBRARY_VARIABLE) {
            Some(path) if !path.is_empty() => Self::load_from(&path),
            _ => Self::load_installed(),
        }
    }

    fn load_installed() -> Result<Self, LoadError> {
        let pcap = load_pcap();
        let mut broken = None;
        for name in NAMES {
            match open(OsStr::new(name)) {
                Ok(loaded) => return pcap.and_then(|()| Self::resolve(&loaded, name.to_owned())),
                // The library itself was found, but another that it needs was not.
                Err(error) if !is_absent(&error, name) => broken = broken.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(broken.map_or(LoadError::NotInstalled, LoadError::Broken))
    }

    /// Loads the library in a file.
    ///
    /// # Errors
    /// One sentence, with what to do.
    pub fn load_from(path: &OsStr) -> Result<Self, LoadError> {
        let pcap = load_pcap();
        let loaded = open(path).map_err(LoadError::Broken)?;
        pcap.and_then(|()| Self::resolve(&loaded, path.to_string_lossy().into_owned()))
    }

    /// The version of the library.
    pub fn version(&self) -> Version {
        let mut version = 0;
        // SAFETY: `version` is what the function writes.
        unsafe { (self.version_noring)(&raw mut version) };
        Version(version)
    }
}

/// libpfring calls libpcap without naming it as needed: its functions have to be there for
/// everyone before they are looked up, or the process is ended at the first call of one.
fn load_pcap() -> Result<(), LoadError> {
    let flags = RTLD_LAZY | RTLD_GLOBAL | RTLD_NODELETE;
    // SAFETY: libpcap's initializers do nothing that could harm.
    unsafe { Loaded::open(Some(LIBPCAP), flags) }
        .map(drop)
        .map_err(|error| LoadError::Pcap(reason(&error)))
}

/// Opens a library with its functions looked up when they are called, because those of libpcap
/// cannot be found at once.
fn open(path: &OsStr) -> Result<Loaded, String> {
    let path = OsString::from(path);
    // SAFETY: libpfring's initializers do nothing that could harm; whoever names another
    // library answers for it.
    unsafe { Loaded::open(Some(path), RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE) }
        .map_err(|error| reason(&error))
}

/// What the dynamic linker says.
fn reason(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

fn is_absent(error: &str, name: &str) -> bool {
    error.starts_with(&format!("{name}:")) && error.contains("No such file or directory")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{Library, LoadError, is_absent};

    #[test]
    fn what_is_no_libpfring_is_refused_in_a_sentence() {
        let absent = Library::load_from(OsStr::new("/no/such/libpfring.so")).unwrap_err();
        assert!(absent.to_string().contains("/no/such/libpfring.so"), "{absent}");
        let other = Library::load_from(OsStr::new("libc.so.6")).unwrap_err();
        let function = matches!(other, LoadError::Function { function: "pfring_open", .. });
        assert!(function || matches!(other, LoadError::Pcap(_)), "{other}");
    }

    #[test]
    fn a_library_that_is_not_there_is_told_from_one_that_misses_another() {
        let file = "cannot open shared object file: No such file or directory";
        assert!(is_absent(&format!("libpfring.so: {file}"), "libpfring.so"));
        assert!(!is_absent(&format!("libhiredis.so.0.14: {file}"), "libpfring.so"));
    }
}
