//! Names the files that people hand over by mistake.

use super::{Begins, FormatError};

/// First bytes, and what to do about them.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip inside gzip or zstd: decompress it once first"),
    (b"\x28\xb5\x2f\xfd", "zstd inside gzip or zstd: decompress it once first"),
    (b"PK\x03\x04", "zip: unpack it first"),
    (b"PK\x05\x06", "an empty zip"),
    (b"BZh", "bzip2: decompress it first, with `bunzip2`"),
    (b"\xfd7zXZ\0", "xz: decompress it first, with `unxz`"),
    (b"\x04\x22\x4d\x18", "lz4: decompress it first, with `unlz4`"),
    (b"\x02\x21\x4c\x18", "lz4: decompress it first, with `unlz4`"),
    (b"7z\xbc\xaf\x27\x1c", "7z: unpack it first"),
    (b"Rar!", "rar: unpack it first"),
    (b"\x1f\x9d", "compress: decompress it first, with `uncompress`"),
    (b"snoop\0\0\0", "snoop: rewrite it with `editcap -F pcapng OLD NEW`"),
    (b"GMBU", "Network Monitor: rewrite it with `editcap -F pcapng OLD NEW`"),
    (b"TRSNIFF data", "DOS Sniffer: rewrite it with `editcap -F pcapng OLD NEW`"),
    (b"PAR1", "parquet, perhaps a result of ringmill"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file with `git lfs pull`"),
    (b"\xff\xfe", "text in UTF-16"),
];

/// The error for bytes that begin no capture.
#[cold]
pub(crate) fn unknown(bytes: &[u8]) -> FormatError {
    FormatError::Unknown { begins: Begins::with(&bytes[..bytes.len().min(4)]), hint: hint(bytes) }
}

fn hint(bytes: &[u8]) -> &'static str {
    if let Some((_, hint)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return hint;
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "tar: unpack it first";
    }
    let start = &bytes[..bytes.len().min(64)];
    if start.iter().all(|&byte| byte == 0) {
        return "zeros: the copy never wrote it";
    }
    let text = start.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'));
    match start.trim_ascii_start() {
        [b'<', ..] if text => "HTML or XML: perhaps an error page that a download left",
        _ if text => "text",
        _ => "",
    }
}
