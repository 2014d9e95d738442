//! Loads a plugin, or says in one sentence why not.
//!
//! Everything that can be known without running the plugin's code is looked at first, in the
//! file ([`inspect`]): opening a truncated library kills the process, and the initializers of
//! any other library run before the dynamic linker returns. Then the library is opened with
//! every symbol resolved at once, because a missing one would end the process at its first
//! call, and never unloaded: record batches that it made are released by its code. Last,
//! `abi_stable` compares the layout of every type that crosses the boundary.
//!
//! A plugin on disk is replaced by renaming a new file over it, and used by the next start:
//! writing into a loaded library changes code that is running, and the dynamic linker gives
//! the old one for a path that it has opened before.

#![allow(unsafe_code, reason = "loading code is; every block carries its proof")]

mod inspect;
mod layout;

use std::{
    error::Error as _,
    mem,
    path::{Path, PathBuf},
};

use abi_stable::{
    StableAbi,
    library::{AbiHeaderRef, LibraryError},
    type_layout::TypeLayout,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use ringmill_sdk::abi::{Loaded, ROOT_SYMBOL, Root_Ref};

pub use inspect::Facts;

/// `RTLD_NODELETE` of `<dlfcn.h>`: the library stays for the life of the process.
const RTLD_NODELETE: i32 = 0x1000;

/// A loaded plugin.
pub struct Plugin {
    /// What its file says of it.
    pub facts: Facts,
    /// The stages and sinks that it offers.
    pub stages: Vec<Loaded>,
}

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {reason}", path.display())]
pub struct LoadError {
    path: PathBuf,
    reason: String,
}

/// Loads the plugin in a file.
///
/// # Errors
/// One sentence, with what to do; the engine is as it was before.
pub fn load(path: &Path) -> Result<Plugin, LoadError> {
    let failed = |reason: String| LoadError { path: path.to_owned(), reason };
    // A path without a slash would be looked for in the linker's own places.
    let path = path.canonicalize().map_err(|error| failed(inspect::cannot_read(&error)))?;
    let facts = inspect::file(&path).map_err(&failed)?;
    // SAFETY: opening runs the library's initializers. The file says that it is a plugin made
    // with our SDK for this machine, which has none of its own; what an author adds is trusted
    // as any code in the process is.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
        .map_err(|error| failed(linker_says(&error, &path)))?;
    // SAFETY: the SDK's macro gives this symbol this type, and the magic in its first bytes is
    // checked by `upgrade` before anything else is believed.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_SYMBOL.as_bytes()) }
        .map(|symbol| *symbol)
        .map_err(|_| failed(inspect::NOT_A_PLUGIN.to_owned()))?;
    // Never unloaded, from here on for certain.
    mem::forget(library);
    let header = header.upgrade().map_err(|error| failed(library_says(&error, None, &facts)))?;
    let root: Root_Ref = header
        .init_root_module()
        .map_err(|error| failed(library_says(&error, header.layout(), &facts)))?;
    let stages: Vec<_> = root.stages().iter().copied().map(Loaded::new).collect();
    check_names(&stages).map_err(&failed)?;
    Ok(Plugin { facts, stages })
}

fn check_names(stages: &[Loaded]) -> Result<(), String> {
    if stages.is_empty() {
        return Err("it exports no stage; name one in `export_plugin!`".to_owned());
    }
    for (at, stage) in stages.iter().enumerate() {
        let name = stage.name();
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(format!(
                "its stage `{}` has a name that no config can use; lower-case letters, digits \
                 and `_` are possible",
                name.escape_debug()
            ));
        }
        if stages[..at].iter().any(|other| other.name() == name) {
            return Err(format!("it exports two stages named `{name}`; rename one"));
        }
    }
    Ok(())
}

/// The dynamic linker's message without the path, which we say ourselves.
fn linker_says(error: &libloading::Error, path: &Path) -> String {
    // `libloading` says which function failed, and its source why.
    let message = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let message = message.replace(&format!("{}: ", path.display()), "");
    if message.contains("static TLS block") {
        return format!(
            "it cannot be loaded: {message}; it uses an allocator that needs static TLS \
             (jemalloc does unless built with `disable_initial_exec_tls`)"
        );
    }
    format!("it cannot be loaded: {message}")
}

fn library_says(
    error: &LibraryError,
    theirs: Option<&'static TypeLayout>,
    facts: &Facts,
) -> String {
    let rebuild = format!(
        "rebuild it with ringmill-sdk {} (it was built with {} by {})",
        env!("CARGO_PKG_VERSION"),
        facts.sdk,
        facts.rustc
    );
    match error {
        LibraryError::AbiInstability(report) => {
            tracing::debug!("{report}");
            let ours = <Root_Ref as StableAbi>::LAYOUT;
            let difference = theirs.and_then(|theirs| layout::first_difference(ours, theirs));
            let difference = difference.map(|text| format!(" ({text})")).unwrap_or_default();
            format!("its binary interface differs{difference}; {rebuild}")
        }
        LibraryError::IncompatibleVersionNumber { .. } => {
            format!("it was made for another release of the SDK; {rebuild}")
        }
        LibraryError::RootModule { .. } => "its constructor failed; ask its author".to_owned(),
        _ => format!("it was made with another abi_stable; {rebuild}"),
    }
}
