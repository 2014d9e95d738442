//! The few functions of libpcap that filters need; see pcap_compile(3PCAP), pcap_open_dead(3PCAP),
//! pcap_create(3PCAP) and bpf_filter in pcap/bpf.h.

use std::{
    error::Error as _,
    ffi::{CStr, CString, c_char, c_int, c_uint},
    fmt, ptr,
    sync::{Arc, Mutex, OnceLock},
};

use libloading::{Error, os::unix::Library};

use crate::lock::lock;

/// How distributions call the library: Red Hat, SUSE, Arch; Debian, Ubuntu; the one for builds.
const NAMES: [&str; 3] = ["libpcap.so.1", "libpcap.so.0.8", "libpcap.so"];

/// `PCAP_NETMASK_UNKNOWN`: `ip broadcast` is refused in so many words, because the network that is
/// mirrored is not the one that this machine is in.
const NO_NETMASK: u32 = u32::MAX;
/// `PCAP_ERRBUF_SIZE`
const ERROR_BYTES: usize = 256;
/// libpcap's `MAXIMUM_SNAPLEN` for Ethernet: what a program returns for a packet that it accepts.
const SNAPLEN: c_int = 262_144;

/// `pcap_t`, of which nothing is known.
#[repr(C)]
struct Raw {
    _opaque: [u8; 0],
}

/// `struct bpf_program`; `struct bpf_insn` and the kernel's `struct sock_filter` are one layout.
#[repr(C)]
struct BpfProgram {
    len: c_uint,
    instructions: *mut libc::sock_filter,
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// libpcap.
        pub(super) struct Pcap {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Keeps the functions where they are.
            _library: Library,
        }

        impl Pcap {
            fn find(library: Library) -> Result<Self, Error> {
                Ok(Self {
                    $(
                        // SAFETY: the type is that of the declaration in pcap/pcap.h and
                        // pcap/bpf.h, the same in all releases since 1.0; the pointer does not
                        // outlive the library, which lies beside it.
                        $name: unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? },
                    )*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    pcap_open_dead: fn(c_int, c_int) -> *mut Raw;
    pcap_create: fn(*const c_char, *mut c_char) -> *mut Raw;
    pcap_activate: fn(*mut Raw) -> c_int;
    pcap_datalink: fn(*mut Raw) -> c_int;
    pcap_compile: fn(*mut Raw, *mut BpfProgram, *const c_char, c_int, u32) -> c_int;
    pcap_freecode: fn(*mut BpfProgram);
    pcap_geterr: fn(*mut Raw) -> *mut c_char;
    pcap_close: fn(*mut Raw);
    bpf_filter: fn(*const libc::sock_filter, *const u8, c_uint, c_uint) -> c_uint;
}

impl fmt::Debug for Pcap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("libpcap")
    }
}

impl Pcap {
    /// The library, loaded by the first call. It is never unloaded: programs call into it.
    pub(super) fn get() -> Result<&'static Self, String> {
        static LIBRARY: OnceLock<Result<Pcap, String>> = OnceLock::new();
        LIBRARY.get_or_init(|| Self::load(&NAMES)).as_ref().map_err(Clone::clone)
    }

    /// The first of these that is installed.
    pub(super) fn load(names: &[&str]) -> Result<Self, String> {
        let mut why = None;
        for name in names {
            // SAFETY: libpcap's constructors, where a distribution has any, do no more than those
            // of every program that is linked with it.
            match unsafe { Library::new(*name) } {
                Ok(library) => {
                    return Self::find(library).map_err(|error| {
                        format!(
                            "{name} is no libpcap that a filter can use: {}",
                            linker_says(&error)
                        )
                    });
                }
                Err(error) => why = why.or(Some(linker_says(&error))),
            }
        }
        let why = why.map(|error| format!(" ({error})")).unwrap_or_default();
        Err(format!(
            "`filter` needs libpcap, which cannot be loaded here{why}; install it (Debian, Ubuntu: \
             apt install libpcap0.8; others: the package libpcap), or leave `filter` out"
        ))
    }

    /// Runs a program that `compile` gave over a frame.
    #[inline]
    pub(super) fn run(&self, program: &[libc::sock_filter], frame: &[u8], wire_len: u32) -> bool {
        let len = c_uint::try_from(frame.len()).unwrap_or(c_uint::MAX);
        // SAFETY: a program from libpcap's compiler is not empty, has only instructions that its
        // interpreter knows, jumps only forward and within itself, and ends in a return. The
        // interpreter checks every load against `len`, which is no more than `frame` has, and
        // gives 0 for one beyond; it keeps nothing.
        unsafe { (self.bpf_filter)(program.as_ptr(), frame.as_ptr(), wire_len, len) != 0 }
    }
}

/// `libloading` says which function failed, and its source why.
fn linker_says(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// A `pcap_t`, owned.
struct Handle {
    pcap: &'static Pcap,
    raw: *mut Raw,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: `raw` came from libpcap, is not null, and is closed only here.
        unsafe { (self.pcap.pcap_close)(self.raw) }
    }
}

impl Handle {
    fn compile(&self, text: &str) -> Result<Arc<[libc::sock_filter]>, String> {
        let Ok(text) = CString::new(text) else {
            return Err("there is a zero byte in it".to_owned());
        };
        // The compiler had global state until libpcap 1.8, and old systems live long.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = lock(&ONE_AT_A_TIME);
        let mut code = BpfProgram { len: 0, instructions: ptr::null_mut() };
        let optimize = 1;
        let (raw, text) = (self.raw, text.as_ptr());
        // SAFETY: `raw` is open until `self` is dropped, `code` and `text` live across the call.
        let compiled =
            unsafe { (self.pcap.pcap_compile)(raw, &raw mut code, text, optimize, NO_NETMASK) };
        if compiled != 0 {
            // SAFETY: after a failure this is text with a zero at its end, which lies in the
            // handle until its next call; it is copied before that.
            let message = unsafe { CStr::from_ptr((self.pcap.pcap_geterr)(self.raw)) };
            return Err(message.to_string_lossy().trim().to_owned());
        }
        let len = code.len as usize;
        let instructions = if code.instructions.is_null() || len == 0 {
            Err("libpcap gave an empty program".to_owned())
        } else {
            // SAFETY: after success `instructions` points to `len` of them.
            Ok(unsafe { std::slice::from_raw_parts(code.instructions, len) }.into())
        };
        // SAFETY: `code` was filled by `pcap_compile` and is not used after this.
        unsafe { (self.pcap.pcap_freecode)(&raw mut code) };
        instructions
    }
}

/// A handle without packets, to compile for a link.
pub(super) struct Dead(Handle);

impl Dead {
    pub(super) fn open(pcap: &'static Pcap, link: u16) -> Result<Self, String> {
        // SAFETY: takes two numbers; gives null or a handle that is ours to close.
        let raw = unsafe { (pcap.pcap_open_dead)(c_int::from(dlt(link)), SNAPLEN) };
        if raw.is_null() { Err("out of memory".to_owned()) } else { Ok(Self(Handle { pcap, raw })) }
    }

    pub(super) fn compile(&self, text: &str) -> Result<Arc<[libc::sock_filter]>, String> {
        self.0.compile(text)
    }
}

/// A handle of an interface, to compile for the kernel's view of its packets.
pub(super) struct Live(Handle);

impl Live {
    /// `None` where this process may not, or the interface is down or away.
    pub(super) fn open(pcap: &'static Pcap, interface: &str) -> Option<Self> {
        let name = CString::new(interface).ok()?;
        let mut error: [c_char; ERROR_BYTES] = [0; ERROR_BYTES];
        // SAFETY: `name` lives across the call, `error` has the size that is asked for.
        let raw = unsafe { (pcap.pcap_create)(name.as_ptr(), error.as_mut_ptr()) };
        if raw.is_null() {
            return None;
        }
        let handle = Handle { pcap, raw };
        // SAFETY: `raw` is a handle that was created and not yet activated.
        let activated = unsafe { (pcap.pcap_activate)(handle.raw) };
        // Above zero are warnings, such as that promiscuous mode is not there.
        (activated >= 0).then_some(Self(handle))
    }

    /// The LINKTYPE of its packets.
    pub(super) fn link(&self) -> u16 {
        // SAFETY: `raw` is open until `self` is dropped.
        let dlt = unsafe { (self.0.pcap.pcap_datalink)(self.0.raw) };
        u16::try_from(dlt).map_or(u16::MAX, linktype)
    }

    pub(super) fn compile(&self, text: &str) -> Result<Arc<[libc::sock_filter]>, String> {
        self.0.compile(text)
    }
}

/// The numbers in files that are others in memory, LINKTYPE first: libpcap's pcap-common.c, for
/// Linux.
const OTHERWISE: [(u16, u16); 5] = [(100, 11), (101, 12), (102, 15), (103, 16), (106, 19)];

/// The DLT of a LINKTYPE.
fn dlt(linktype: u16) -> u16 {
    OTHERWISE.iter().find(|(file, _)| *file == linktype).map_or(linktype, |(_, memory)| *memory)
}

/// The LINKTYPE of a DLT.
fn linktype(dlt: u16) -> u16 {
    OTHERWISE.iter().find(|(_, memory)| *memory == dlt).map_or(dlt, |(file, _)| *file)
}
