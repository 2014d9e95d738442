//! What an operator reads who got the options wrong.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use ringmill_sdk::{AddressMap, Error, Host, OptionValue, Result, parse_config};

use super::{super::CryptoPan, records};

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const RAW: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
];

fn build(options: &str, host: &Host) -> Result<CryptoPan> {
    CryptoPan::new(parse_config(options)?, host)
}

/// What 192.0.2.1 becomes, or what the operator reads.
fn outcome(options: &str) -> Result<u32, String> {
    let mut addresses = [0xc000_0201];
    build(options, &records::host()).map_err(|error: Error| error.to_string())?.v4(&mut addresses);
    Ok(addresses[0])
}

fn write(directory: &Path, name: &str, mode: u32, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn wrong_options_say_what_to_do() {
    const WORD: &str = "`key`: may only be \"ephemeral\"; a key of your own goes into a file: \
                        `key_file = \"...\"`";
    let cases: &[(&str, &str)] = &[
        (
            "",
            "`key_file`: say where the key comes from: `key_file = \"...\"`, or \
             `key = \"ephemeral\"` for one that dies with the process",
        ),
        (
            "key_file = \"k\"\nkey = \"ephemeral\"",
            "`key`: `key_file` and `key` are both set; keep one",
        ),
        ("key = \"Ephemeral\"", WORD),
        ("key = \"\"", WORD),
        // Not repeated: this is where a key ends up that somebody put in the wrong place.
        ("key = \"000102030405060708090a0b0c0d0e0f\"", WORD),
    ];
    for (options, message) in cases {
        assert_eq!(outcome(options).unwrap_err(), *message, "{options}");
    }
    let unknown = outcome("keyfile = \"k\"").unwrap_err();
    assert!(unknown.contains("key_file"), "{unknown}");
}

/// Name, mode, content, and the pseudonym or the message.
type Case = (&'static str, u32, Vec<u8>, Result<u32, String>);

#[test]
fn key_files() {
    const PSEUDONYM: u32 = 0x025a_5d11;
    const MAKE: &str = "`engine keygen NEW` makes a file with one";
    let length = |n: &str| {
        Err(format!("FILE holds {n} bytes; a key is 64 hex digits or exactly 32 bytes; {MAKE}"))
    };
    let not_hex = || Err(format!("FILE holds 64 characters that are not all hex digits; {MAKE}"));
    let open = |mode: &str| Err(format!("FILE is open to others (mode {mode}); `chmod 600 FILE`"));
    let cases: Vec<Case> = vec![
        ("hex", 0o600, HEX.into(), Ok(PSEUDONYM)),
        ("hex-only-read", 0o400, HEX.into(), Ok(PSEUDONYM)),
        ("hex-upper", 0o600, HEX.to_uppercase().into(), Ok(PSEUDONYM)),
        ("hex-newline", 0o600, format!("{HEX}\n").into(), Ok(PSEUDONYM)),
        ("hex-spaces", 0o600, format!("\r\n \t{HEX}\r\n\n").into(), Ok(PSEUDONYM)),
        ("raw", 0o600, RAW.into(), Ok(PSEUDONYM)),
        ("empty", 0o600, vec![], length("0")),
        ("newline", 0o600, b"\n".into(), length("1")),
        ("raw-short", 0o600, RAW[..31].into(), length("31")),
        ("raw-long", 0o600, [&RAW[..], b"\n"].concat(), length("33")),
        ("hex-short", 0o600, HEX[..63].into(), length("63")),
        ("hex-long", 0o600, format!("{HEX}0").into(), length("65")),
        ("hex-inner-space", 0o600, format!("{} {}", &HEX[..32], &HEX[32..]).into(), length("65")),
        ("hex-prefix", 0o600, format!("0x{}", &HEX[2..]).into(), not_hex()),
        ("raw-64", 0o600, vec![0xff; 64], not_hex()),
        ("hex-sign", 0o600, format!("+{}", &HEX[1..]).into(), not_hex()),
        ("huge", 0o600, vec![b'0'; 1 << 20], length("1024 or more")),
        ("huge-spaces", 0o600, format!("{HEX}{}", " ".repeat(9999)).into(), length("1024 or more")),
        ("group", 0o640, HEX.into(), open("0640")),
        ("world", 0o604, HEX.into(), open("0604")),
        ("group-writes", 0o620, HEX.into(), open("0620")),
        ("all", 0o644, b"no key at all".into(), open("0644")),
        (
            "zeros",
            0o600,
            vec![0; 32],
            Err("FILE holds one byte 32 times, which is no key".to_owned()),
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, mode, content, expected) in cases {
        let path = write(directory.path(), name, mode, &content);
        let file = path.display().to_string();
        let got = outcome(&format!("key_file = {file:?}"));
        let expected = expected.map_err(|e| {
            format!("`key_file`: {}", e.replace("FILE", &file).replace("NEW", "FILE"))
        });
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn what_is_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let _listener = UnixListener::bind(at("socket")).unwrap();
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    let cases = [
        (at("missing"), "cannot read FILE: No such file or directory (os error 2)"),
        (at("loop"), "cannot read FILE: Too many levels of symbolic links (os error 40)"),
        (at("socket"), "FILE is not a regular file"),
        (at(""), "FILE is not a regular file"),
        ("/dev/zero".into(), "FILE is not a regular file"),
        ("".into(), "cannot read FILE: No such file or directory (os error 2)"),
    ];
    for (path, message) in cases {
        let file = path.display().to_string();
        let expected = format!("`key_file`: {}", message.replace("FILE", &file));
        assert_eq!(outcome(&format!("key_file = {file:?}")), Err(expected), "{file}");
    }
}

#[test]
fn an_ephemeral_key_is_that_of_the_run() {
    let [one, same, other] =
        [records::host(), records::host(), records::host_with_secret(9)].map(|host| {
            let mut addresses = [0xc000_0201, 0x0808_0808];
            build("key = \"ephemeral\"", &host).unwrap().v4(&mut addresses);
            addresses
        });
    assert_eq!(one, same, "two workers of a run");
    assert_ne!(one, other, "two runs");
}

#[test]
fn options_are_described() {
    let shown: Vec<_> = CryptoPan::OPTIONS
        .iter()
        .map(|option| (option.name, option.kind, option.default.map(|default| default())))
        .collect();
    let (unset, map) = (Some(String::new()), Some("\"map\"".to_owned()));
    assert_eq!(
        shown,
        [
            ("key_file", "path", unset.clone()),
            ("key", "\"ephemeral\"", unset),
            ("special", "\"map\" or \"keep\"", map)
        ]
    );
    assert_eq!(ringmill_sdk::key::Ephemeral.show(), "\"ephemeral\"");
}
