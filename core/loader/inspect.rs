//! What a plugin's file says of it, before any of its code runs.

use std::{fs, io, path::Path};

use object::{
    Architecture, Object, ObjectKind, ObjectSegment, ObjectSymbol, SymbolSection,
    elf::{DF_1_PIE, DT_FLAGS_1},
    read::{File, FileKind},
};
use ringmill_sdk::abi::{INFO_SYMBOL, Info, ROOT_SYMBOL, SEMANTICS};

use crate::manifest;

pub(super) const NOT_A_PLUGIN: &str = "it is a shared library, but not a ringmill plugin; was it \
                                       built from a crate that says `export_plugin!`?";

/// What built a plugin.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Version of the SDK.
    pub sdk: String,
    /// The compiler.
    pub rustc: String,
    /// First 16 hex digits of the SHA-256 of the file.
    pub sha256: String,
}

pub(super) fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "no permission to read it; let the user that runs ringmill read it".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    }
}

/// Checks that the file is a whole plugin for this machine and this SDK.
pub(super) fn file(path: &Path) -> Result<Facts, String> {
    let about = fs::metadata(path).map_err(|error| cannot_read(&error))?;
    if !about.is_file() {
        let what = if about.is_dir() { "a directory" } else { "not a regular file" };
        return Err(format!("it is {what}; name the plugin's .so file"));
    }
    let bytes = fs::read(path).map_err(|error| cannot_read(&error))?;
    bytes_of_plugin(&bytes)
}

fn bytes_of_plugin(bytes: &[u8]) -> Result<Facts, String> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => {
            return Err("it was built for a 32-bit machine; this engine is 64-bit".to_owned());
        }
        _ => {
            return Err("it is not an ELF shared library; name the .so file that `cargo build` \
                        made of the plugin's cdylib crate"
                .to_owned());
        }
    }
    // EI_DATA of the System V ABI, chapter 4.
    if bytes.get(5) != Some(if cfg!(target_endian = "little") { &1 } else { &2 }) {
        return Err("it was built for a machine of the other byte order".to_owned());
    }
    let damaged =
        |what: &str| format!("it is damaged or was cut off ({what}); build or copy it again");
    // This also fails where the section table, which linkers write last, is not all there.
    let elf = File::parse(bytes).map_err(|error| damaged(&error.to_string()))?;
    let (theirs, ours) = (elf.architecture(), this_machine());
    if theirs != ours {
        return Err(format!("it was built for {theirs:?}; this engine runs on {ours:?}"));
    }
    for segment in elf.segments() {
        let (start, len) = segment.file_range();
        if start.checked_add(len).is_none_or(|end| end > bytes.len() as u64) {
            return Err(damaged("it ends inside a segment"));
        }
    }
    if elf.kind() != ObjectKind::Dynamic || is_program(&elf) {
        let what = match elf.kind() {
            ObjectKind::Relocatable => "an object file",
            ObjectKind::Core => "a core file",
            _ => "a program",
        };
        return Err(format!("it is {what}, not a shared library; name the plugin's .so file"));
    }
    let symbol = |name: &str| {
        elf.dynamic_symbols()
            .filter(|symbol| symbol.section() != SymbolSection::Undefined)
            .find(|symbol| symbol.name() == Ok(name))
    };
    // The root is looked for here too, because opening a library to find that it has none
    // would run its initializers.
    let (Some(info), Some(_)) = (symbol(INFO_SYMBOL), symbol(ROOT_SYMBOL)) else {
        return Err(NOT_A_PLUGIN.to_owned());
    };
    let length = size_of::<Info>() as u64;
    let read = elf
        .segments()
        .find_map(|segment| segment.data_range(info.address(), length).ok().flatten());
    let info = read.and_then(Info::read).filter(is_printable).ok_or_else(|| {
        format!(
            "what it says of itself cannot be read; rebuild it with ringmill-sdk {}",
            env!("CARGO_PKG_VERSION")
        )
    })?;
    check(&info, bytes)
}

/// What is shown to an operator must not move their cursor.
fn is_printable(info: &Info) -> bool {
    let texts = [info.sdk(), info.rustc()];
    texts.iter().all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))
}

/// Whether the file is an executable in spite of its type: linkers make them position
/// independent, and mark them only here.
fn is_program(elf: &File<'_>) -> bool {
    let File::Elf64(elf) = elf else { return false };
    let Ok(table) = elf.elf_dynamic_table() else { return false };
    table.iter().any(|entry| entry.tag == DT_FLAGS_1 && entry.val & DF_1_PIE.0 != 0)
}

fn check(info: &Info, bytes: &[u8]) -> Result<Facts, String> {
    let sha256 = manifest::sha256(bytes);
    let facts = Facts { sdk: info.sdk(), rustc: info.rustc(), sha256 };
    let built = format!("it was built with ringmill-sdk {} by {}", facts.sdk, facts.rustc);
    let semantics = u32::from_le_bytes(info.semantics);
    if semantics != SEMANTICS || family(&facts.sdk) != family(env!("CARGO_PKG_VERSION")) {
        return Err(format!(
            "{built} (interface {semantics}); this engine needs {} (interface {SEMANTICS}): \
             rebuild it with that",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if info.unwinds == 0 {
        return Err("it was built with `panic = \"abort\"`, so a panic in it would end the \
                    engine; set `panic = \"unwind\"` in its profile and rebuild it"
            .to_owned());
    }
    Ok(facts)
}

/// The part of a version within which releases are compatible.
fn family(version: &str) -> &str {
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let (major, minor) = (dots.next(), dots.next());
    let end = if version.starts_with("0.") { minor } else { major };
    &version[..end.unwrap_or(version.len())]
}

fn this_machine() -> Architecture {
    match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        "riscv64" => Architecture::Riscv64,
        "powerpc64" => Architecture::PowerPc64,
        "s390x" => Architecture::S390x,
        "loongarch64" => Architecture::LoongArch64,
        _ => Architecture::Unknown,
    }
}
