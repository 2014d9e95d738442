//! The plugin boundary: what a `.so` exports and what it is handed.
//!
//! A hand-written table of `extern "C"` functions, called once per batch, inside prefix types
//! that `abi_stable` checks field by field when the library is loaded. Not `#[sabi_trait]`: it
//! ends the process when a plugin panics. Not owned value trees: packets cross as pointers to
//! flat descriptors and records by the Arrow C Data Interface, so nothing is converted.
//!
//! Rules for changing this module: within an SDK major nothing here changes, not even by
//! appending a field (`abi_stable` then refuses the *older* plugin); new abilities come
//! through the `query` slots. A change of meaning without a change of layout increments
//! [`SEMANTICS`].
//!
//! This is the only place of the SDK with unsafe code.

#![allow(unsafe_code, reason = "the plugin boundary; every block carries its proof")]
#![allow(missing_docs, reason = "the derive makes items without docs; ours have them")]
#![allow(non_camel_case_types, reason = "abi_stable names prefix references `Name_Ref`")]

mod arena;
mod arrow;
mod export;
mod host;
mod remote;

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{RSlice, RStr, RString, RVec},
};
use std::ffi::c_void;

use crate::{Batch, Error, ErrorKind, Reason, host::Counter, host::Level};

pub use abi_stable::library::{LibHeader, RootModuleResult as RootResult};
pub use arena::{Arena, Keeper};
pub use arrow::{CArray, CSchema};
pub use export::{address_map, construct, entry, library_header, root, sink};
pub use remote::{Loaded, Remote};

/// What the numbers and flags that cross the boundary mean. Checked before loading.
pub const SEMANTICS: u32 = 1;

/// Symbol of the [`Info`] bytes.
pub const INFO_SYMBOL: &str = "RINGMILL_PLUGIN_INFO";
/// Symbol of the root.
pub const ROOT_SYMBOL: &str = "RINGMILL_PLUGIN_ROOT";
/// First bytes of [`Info`].
pub const INFO_MAGIC: [u8; 8] = *b"RINGMILL";

/// Says what a library is before any of its code has run: the loader reads these bytes from
/// the file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub magic: [u8; 8],
    /// [`SEMANTICS`], little endian.
    pub semantics: [u8; 4],
    /// 1 where panics unwind; a plugin built with `panic = "abort"` would take the engine down.
    pub unwinds: u8,
    /// Version of the SDK, padded with zeros.
    pub sdk: [u8; 24],
    /// `rustc --version`, padded with zeros. For messages only: compilers may differ.
    pub rustc: [u8; 59],
}

impl Info {
    /// The info of this build of the SDK.
    pub const THIS: Self = Self {
        magic: INFO_MAGIC,
        semantics: SEMANTICS.to_le_bytes(),
        unwinds: cfg!(panic = "unwind") as u8,
        sdk: padded(env!("CARGO_PKG_VERSION")),
        rustc: padded(env!("RINGMILL_RUSTC")),
    };

    /// Reads the bytes of the symbol; `None` where they are not such an info.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (semantics, rest) = rest.split_first_chunk::<4>()?;
        let (unwinds, rest) = rest.split_first()?;
        let (sdk, rest) = rest.split_first_chunk::<24>()?;
        let rustc = rest.first_chunk::<59>()?;
        let info = Self {
            magic: *magic,
            semantics: *semantics,
            unwinds: *unwinds,
            sdk: *sdk,
            rustc: *rustc,
        };
        (info.magic == INFO_MAGIC).then_some(info)
    }

    /// Version of the SDK.
    #[must_use]
    pub fn sdk(&self) -> String {
        unpadded(&self.sdk)
    }

    /// The compiler.
    #[must_use]
    pub fn rustc(&self) -> String {
        unpadded(&self.rustc)
    }
}

const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let (mut out, bytes, mut i) = ([0; N], text.as_bytes(), 0);
    while i < bytes.len() && i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// Adds a value where it is to lie. [`RVec::push`] is a call, to which it would go by way of the
/// stack: written there field by field and read in one piece, which costs a packet 10 ns.
#[inline(always)]
pub(crate) fn push<T>(to: &mut RVec<T>, value: T) {
    let length = to.len();
    if length == to.capacity() {
        to.reserve(1);
    }
    // SAFETY: there is room for one more than `length`, where nothing lives yet; behind it all
    // up to the new length are initialized.
    unsafe {
        to.as_mut_ptr().add(length).write(value);
        to.set_len(length + 1);
    }
}

fn unpadded(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// How a call went; the details are fetched by `take_error`.
pub type Status = u32;
/// The call did its work.
pub const OK: Status = 0;
/// See [`ErrorKind::Failed`].
pub const FAILED: Status = 1;
/// See [`ErrorKind::Config`].
pub const CONFIG: Status = 2;
/// See [`ErrorKind::Panicked`].
pub const PANICKED: Status = 3;
/// See [`ErrorKind::Retry`].
pub const RETRY: Status = 4;
/// See [`ErrorKind::Refused`].
pub const REFUSED: Status = 5;

/// An [`Error`] on its way across.
#[repr(C)]
#[derive(StableAbi, Debug, Default)]
pub struct RError {
    status: Status,
    path: RString,
    message: RString,
}

impl From<Error> for RError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config => CONFIG,
            ErrorKind::Failed => FAILED,
            ErrorKind::Panicked => PANICKED,
            ErrorKind::Retry => RETRY,
            ErrorKind::Refused => REFUSED,
        };
        Self { status, path: error.path().into(), message: error.message().into() }
    }
}

impl From<RError> for Error {
    fn from(error: RError) -> Self {
        let kind = match error.status {
            CONFIG => ErrorKind::Config,
            PANICKED => ErrorKind::Panicked,
            RETRY => ErrorKind::Retry,
            REFUSED => ErrorKind::Refused,
            _ => ErrorKind::Failed,
        };
        Self::of(kind, error.path, error.message)
    }
}

/// An [`OptionHelp`](crate::OptionHelp) on its way across.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct ROption {
    pub name: RString,
    pub kind: RString,
    pub required: bool,
    pub default: RString,
    pub help: RString,
}

/// The engine's side of a [`Host`](crate::Host).
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostVt_Ref)))]
#[sabi(missing_field(panic))]
pub struct HostVt {
    pub log: unsafe extern "C" fn(*const c_void, Level, RStr<'_>),
    /// The worker's number; -1 on a sink's thread.
    pub worker: unsafe extern "C" fn(*const c_void) -> i64,
    pub counter: unsafe extern "C" fn(*const c_void, RStr<'_>) -> Counter,
    pub reason: unsafe extern "C" fn(*const c_void, RStr<'_>) -> Reason,
    /// Fills in the key; false where there is none any more.
    pub ephemeral_key: unsafe extern "C" fn(*const c_void, RStr<'_>, &mut [u8; 32]) -> bool,
    /// How often keys change: 0 for never, 1 for each day, 2 for each week.
    pub epoch: unsafe extern "C" fn(*const c_void) -> u8,
    pub is_replay: unsafe extern "C" fn(*const c_void) -> bool,
    pub declare: unsafe extern "C" fn(*const c_void, RStr<'_>, RStr<'_>),
    pub suggest: unsafe extern "C" fn(*const c_void, RStr<'_>),
    pub ledger: unsafe extern "C" fn(*const c_void) -> RString,
    /// The ledger when the span began, rows, and the times of the first and the last.
    pub manifest: unsafe extern "C" fn(*const c_void, RStr<'_>, u64, i64, i64) -> RString,
    /// Gives the context back.
    pub release: unsafe extern "C" fn(*const c_void),
    #[sabi(last_prefix_field)]
    pub query: unsafe extern "C" fn(*const c_void, RStr<'_>) -> *const c_void,
}

/// A [`Host`](crate::Host) on its way into a plugin; owns one share of the context.
#[repr(C)]
#[derive(StableAbi)]
pub struct RHost {
    vt: HostVt_Ref,
    context: *const c_void,
}

/// Where a plugin's records go: called from inside a call of the engine's, on its thread.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct REmit {
    context: *mut c_void,
    /// Moves the array out, in every case; `schema` stays the caller's. `id` names the
    /// schema: the same id is always the same schema of the same instance.
    emit: unsafe extern "C" fn(*mut c_void, *mut CArray, *const CSchema, u64) -> Status,
}

/// An instance in the plugin; only the plugin knows what it is.
#[repr(C)]
#[derive(StableAbi)]
pub struct Instance {
    _opaque: [u8; 0],
}

/// What a stage in a plugin can do.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = StageVt_Ref)))]
#[sabi(missing_field(panic))]
pub struct StageVt {
    pub name: RStr<'static>,
    pub summary: RStr<'static>,
    pub is_sink: bool,
    pub options: extern "C" fn() -> RVec<ROption>,
    /// Null on failure, with the error filled in.
    pub create: unsafe extern "C" fn(RStr<'_>, RHost, &mut RError) -> *mut Instance,
    pub destroy: unsafe extern "C" fn(*mut Instance),
    pub schemas: unsafe extern "C" fn(*mut Instance, &mut RVec<CSchema>) -> Status,
    pub packets: unsafe extern "C" fn(*mut Instance, &mut Batch<'_>, REmit) -> Status,
    pub records:
        unsafe extern "C" fn(*mut Instance, *mut CArray, *const CSchema, u64, REmit) -> Status,
    pub tick: unsafe extern "C" fn(*mut Instance, i64, REmit) -> Status,
    pub finish: unsafe extern "C" fn(*mut Instance, REmit) -> Status,
    /// The error behind the last status that was not [`OK`].
    pub take_error: unsafe extern "C" fn(*mut Instance) -> RError,
    #[sabi(last_prefix_field)]
    pub query: extern "C" fn(RStr<'_>) -> *const c_void,
}

/// What [`StageVt::query`] is asked for the [`AddressMapVt`] of an anonymization strategy. Another
/// layout of it has another name.
pub const ADDRESS_MAP: &str = "address_map.2";

/// An anonymization strategy to which the engine hands addresses instead of record batches: a
/// batch costs 49 us there and back, whatever its rows.
#[repr(C)]
#[derive(Debug)]
pub struct AddressMapVt {
    /// Replaces IPv4 and IPv6 addresses by their pseudonyms, in place: two slices as pointer and
    /// length.
    pub map: unsafe extern "C" fn(*mut Instance, *mut u32, usize, *mut u128, usize) -> Status,
    /// See [`AddressMap::widens`](crate::AddressMap::widens).
    pub widens: unsafe extern "C" fn(*mut Instance) -> bool,
    /// The addresses from here on are of this period.
    pub epoch: unsafe extern "C" fn(*mut Instance, i64) -> Status,
}

/// What [`StageVt::query`] of a sink answers with something other than null where
/// [`Sink::NETWORK`](crate::Sink::NETWORK) is set.
pub const NETWORK: &str = "network";

/// What [`StageVt::query`] of a sink is asked for its [`RefusedRowsVt`]. Another layout of it has
/// another name.
pub const REFUSED_ROWS: &str = "refused_rows.1";

/// How the rows that a store refused by name come across.
#[repr(C)]
#[derive(Debug)]
pub struct RefusedRowsVt {
    /// The rows of the error that [`StageVt::take_error`] gives next.
    pub take: unsafe extern "C" fn(*mut Instance) -> RVec<RRefusedRow>,
}

/// One row that a store refused; see [`Error::refused_rows`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RRefusedRow {
    pub row: u64,
    pub why: RString,
}

/// What a plugin exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = Root_Ref)))]
#[sabi(missing_field(panic))]
pub struct Root {
    pub stages: RSlice<'static, StageVt_Ref>,
    #[sabi(last_prefix_field)]
    pub query: extern "C" fn(RStr<'_>) -> *const c_void,
}

impl RootModule for Root_Ref {
    abi_stable::declare_root_module_statics! { Root_Ref }
    const BASE_NAME: &'static str = "ringmill_plugin";
    const NAME: &'static str = "ringmill plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

extern "C" fn no_query(_: RStr<'_>) -> *const c_void {
    std::ptr::null()
}
