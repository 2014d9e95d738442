//! Files that are no plugin, or only half of one.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use ringmill::sdk::abi::INFO_MAGIC;

use crate::{
    check_sentence,
    child::{engine, run},
    make::{gcc, plugin},
    none_failed,
};

/// A file, and what is said of it. `make` has a directory for itself; `None` where this
/// machine cannot make the file, which it then has said.
struct Row {
    name: &'static str,
    make: fn(&Path) -> Option<PathBuf>,
    says: &'static str,
}

const NO_PLUGIN: &str = "it is a shared library, but not a ringmill plugin; was it built from a \
                         crate that says `export_plugin!`?";
const NO_LIBRARY: &str = "it is not an ELF shared library; name the .so file that `cargo build` \
                          made of the plugin's cdylib crate";
const UNREADABLE_INFO: &str = "what it says of itself cannot be read; rebuild it with \
                               ringmill-sdk {sdk}";

const ROWS: &[Row] = &[
    Row { name: "missing", make: |dir| Some(dir.join("nosuch.so")), says: "there is no such file" },
    Row {
        name: "dangling link",
        make: |dir| {
            symlink("nosuch.so", dir.join("link.so")).unwrap();
            Some(dir.join("link.so"))
        },
        says: "there is no such file",
    },
    Row {
        name: "directory",
        make: |dir| Some(dir.to_owned()),
        says: "it is a directory; name the plugin's .so file",
    },
    Row {
        name: "device",
        make: |_| Some(PathBuf::from("/dev/null")),
        says: "it is not a regular file; name the plugin's .so file",
    },
    Row {
        name: "no permission",
        make: forbidden,
        says: "no permission to read it; let the user that runs ringmill read it",
    },
    Row { name: "empty", make: |dir| file(dir, b""), says: NO_LIBRARY },
    Row { name: "text", make: |dir| file(dir, b"#!/bin/sh\necho no plugin\n"), says: NO_LIBRARY },
    Row { name: "ELF's magic alone", make: |dir| file(dir, b"\x7fELF"), says: NO_LIBRARY },
    Row {
        name: "ELF's header alone",
        make: |dir| good(dir, |bytes| bytes.truncate(64)),
        says: "it is damaged or was cut off (Invalid ELF program header size or alignment); build \
               or copy it again",
    },
    Row {
        name: "cut at a tenth",
        make: |dir| good(dir, |bytes| bytes.truncate(bytes.len() / 10)),
        says: "it is damaged or was cut off (Invalid ELF section header offset/size/alignment); \
               build or copy it again",
    },
    Row {
        name: "cut at 60 %",
        make: |dir| good(dir, |bytes| bytes.truncate(bytes.len() / 10 * 6)),
        says: "it is damaged or was cut off (Invalid ELF section header offset/size/alignment); \
               build or copy it again",
    },
    Row {
        name: "cut at 99 %",
        make: |dir| good(dir, |bytes| bytes.truncate(bytes.len() / 100 * 99)),
        says: "it is damaged or was cut off (Invalid ELF section header offset/size/alignment); \
               build or copy it again",
    },
    Row {
        name: "without its last byte",
        make: |dir| good(dir, |bytes| bytes.truncate(bytes.len() - 1)),
        says: "it is damaged or was cut off (Invalid ELF section header offset/size/alignment); \
               build or copy it again",
    },
    Row {
        name: "cut, and without a section table",
        make: |dir| {
            good(dir, |bytes| {
                bytes.truncate(bytes.len() / 10);
                // e_shoff, e_shnum and e_shstrndx; the dynamic linker does not need them.
                bytes[0x28..0x30].fill(0);
                bytes[0x3c..0x40].fill(0);
            })
        },
        says: "it is damaged or was cut off (it ends inside a segment); build or copy it again",
    },
    Row {
        name: "stripped of its section table",
        make: |dir| {
            good(dir, |bytes| {
                bytes[0x28..0x30].fill(0);
                bytes[0x3c..0x40].fill(0);
            })
        },
        says: NO_PLUGIN,
    },
    Row {
        name: "section table beyond all files",
        make: |dir| good(dir, |bytes| bytes[0x28..0x30].fill(0xff)),
        says: "it is damaged or was cut off (Invalid ELF section header offset/size/alignment); \
               build or copy it again",
    },
    Row {
        name: "segment beyond all files",
        make: |dir| {
            good(dir, |bytes| {
                // p_filesz of the first program header of type PT_LOAD; they follow the ELF
                // header and have 56 bytes each.
                let load = bytes[64..].chunks_mut(56).find(|header| header[..4] == [1, 0, 0, 0]);
                load.unwrap()[32..40].fill(0xff);
            })
        },
        says: "it is damaged or was cut off (it ends inside a segment); build or copy it again",
    },
    Row {
        name: "other architecture",
        make: |dir| {
            let other: u16 = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
            good(dir, |bytes| bytes[0x12..0x14].copy_from_slice(&other.to_le_bytes()))
        },
        says: "it was built for {there}; this engine runs on {here}",
    },
    Row {
        name: "32-bit",
        make: |dir| good(dir, |bytes| bytes[4] = 1),
        says: "it was built for a 32-bit machine; this engine is 64-bit",
    },
    Row {
        name: "other byte order",
        make: |dir| good(dir, |bytes| bytes[5] = 2),
        says: "it was built for a machine of the other byte order",
    },
    Row {
        name: "program, position independent",
        make: |_| Some(PathBuf::from(env!("CARGO_BIN_EXE_engine"))),
        says: "it is a program, not a shared library; name the plugin's .so file",
    },
    Row {
        name: "program, at a fixed place",
        make: |dir| good(dir, |bytes| bytes[0x10] = 2),
        says: "it is a program, not a shared library; name the plugin's .so file",
    },
    Row {
        name: "object file",
        make: |_| gcc("object.o", &["-c", "-DWITH_INFO", "-DWITH_ROOT"]),
        says: "it is an object file, not a shared library; name the plugin's .so file",
    },
    Row { name: "the C library", make: |_| the_c_library(), says: NO_PLUGIN },
    // Its constructor would print a line.
    Row { name: "a library of C", make: |_| gcc("plain.so", SHARED), says: NO_PLUGIN },
    Row {
        name: "no root",
        make: |_| gcc("no_root.so", &["-shared", "-fPIC", "-DWITH_INFO"]),
        says: NO_PLUGIN,
    },
    Row {
        name: "root of zeros",
        make: |_| gcc("zeros.so", PLUGIN_OF_C),
        says: "it was made with another abi_stable; rebuild it with ringmill-sdk {sdk} (it was \
               built with {sdk} by {rustc})",
    },
    Row {
        name: "info without a value",
        make: |_| gcc("unset.so", &["-shared", "-fPIC", "-DWITH_INFO_UNSET", "-DWITH_ROOT"]),
        says: UNREADABLE_INFO,
    },
    Row { name: "wrong magic", make: |dir| info(dir, |info| info[0] ^= 1), says: UNREADABLE_INFO },
    Row {
        name: "info with an escape sequence",
        make: |dir| info(dir, |info| info[13..18].copy_from_slice(b"\x1b[31m")),
        says: UNREADABLE_INFO,
    },
    Row {
        name: "info with a line feed",
        make: |dir| info(dir, |info| info[40] = b'\n'),
        says: UNREADABLE_INFO,
    },
    Row {
        name: "undefined function",
        make: |_| gcc("undefined.so", &[PLUGIN_OF_C, &["-DWITH_UNDEFINED"]].concat()),
        says: "it cannot be loaded: undefined symbol: nosuch_fn",
    },
    Row {
        name: "missing library",
        make: |_| needs_another(),
        says: "it cannot be loaded: libnosuch.so.1: cannot open shared object file: No such file \
               or directory",
    },
    Row {
        // What a plugin with tikv-jemallocator's default features ends in: its 2032 bytes of
        // static TLS do not fit either (measured with 0.7.0), but it takes minutes to build.
        name: "static TLS",
        make: |_| gcc("static_tls.so", &[PLUGIN_OF_C, &["-DWITH_STATIC_TLS"]].concat()),
        says: "it cannot be loaded: cannot allocate memory in static TLS block; it uses an \
               allocator that needs static TLS (jemalloc does unless built with \
               `disable_initial_exec_tls`)",
    },
    Row {
        name: "two stages of one name",
        make: |_| Some(plugin("twins")),
        says: "it exports two stages named `good`; rename one",
    },
];

#[test]
fn a_file_that_is_no_plugin_gets_one_sentence() {
    let mut failures = Vec::new();
    for Row { name, make, says } in ROWS {
        let directory = tempfile::tempdir().unwrap();
        match make(directory.path()) {
            Some(path) => failures.extend(check_sentence(name, &path, says).err()),
            None => crate::common::skipped(name),
        }
    }
    none_failed(failures);
}

#[test]
fn a_plugin_is_shown_with_what_to_paste() {
    let path = plugin("misbehave");
    // A name without a slash is a file here, and not one of the linker's.
    let mut command = engine();
    command.arg("plugin").arg(path.file_name().unwrap()).current_dir(path.parent().unwrap());
    let ran = run(&mut command);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let stages = ran.stdout.lines().filter(|line| line.starts_with("stage ")).count();
    let sinks = ran.stdout.lines().filter(|line| line.starts_with("sink ")).count();
    assert_eq!((stages, sinks), (15, 3), "{}", ran.stdout);
    for part in [
        "stage good: a row for every packet, and drops each nth\n      every (whole number, \
         default 3)\n          Drops packet n, 2n, 3n, ...; 0 drops none\n",
        "    [[stage]]\n    plugin = \"libmisbehave.so\"\n    use = \"panics_in_drop\"\n",
        "    [[sink]]\n    plugin = \"libmisbehave.so\"\n    use = \"sink_fails\"\n",
    ] {
        assert!(ran.stdout.contains(part), "{part}\nis not in\n{}", ran.stdout);
    }
}

const SHARED: &[&str] = &["-shared", "-fPIC"];
/// All that is looked at before a library is opened.
const PLUGIN_OF_C: &[&str] = &["-shared", "-fPIC", "-DWITH_INFO", "-DWITH_ROOT"];

fn file(directory: &Path, bytes: &[u8]) -> Option<PathBuf> {
    let path = directory.join("plugin.so");
    fs::write(&path, bytes).unwrap();
    Some(path)
}

/// A good plugin, after a change of its bytes.
fn good(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Option<PathBuf> {
    let mut bytes = fs::read(plugin("misbehave")).unwrap();
    change(&mut bytes);
    file(directory, &bytes)
}

/// A good plugin, after a change of what it says of itself.
fn info(directory: &Path, change: impl FnOnce(&mut [u8])) -> Option<PathBuf> {
    good(directory, |bytes| {
        // The SDK's code holds the magic alone, too.
        let head = [&INFO_MAGIC[..], &ringmill::sdk::abi::Info::THIS.semantics].concat();
        let at = bytes.windows(head.len()).position(|window| window == head).unwrap();
        change(&mut bytes[at..]);
    })
}

fn forbidden(directory: &Path) -> Option<PathBuf> {
    let path = file(directory, b"")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(path),
        _ => {
            println!("this user may read everything");
            None
        }
    }
}

/// The one that this test runs with.
fn the_c_library() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut files = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let found = files.find(|file| file.contains("/libc.so") || file.contains("/libc-"));
    if found.is_none() {
        println!("this test is linked statically");
    }
    found.map(PathBuf::from)
}

/// A library that was linked with another, which is gone.
fn needs_another() -> Option<PathBuf> {
    let gone = gcc("libnosuch.so", &[SHARED, &["-Wl,-soname,libnosuch.so.1"]].concat())?;
    let with = gone.to_str().unwrap();
    let path = gcc("needs.so", &[PLUGIN_OF_C, &["-Wl,--no-as-needed", with]].concat());
    fs::remove_file(gone).unwrap();
    path
}
