//! The strategy is swapped by one table of the config, and the core does not know it.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
};

use common::{Row, engine, key_file, plugins, rows, run, text, write_config};

/// Columns in which no address can stand, and that say which head it is.
const UNTOUCHED: &[&str] = &[
    "record",
    "time",
    "ip_version",
    "src_port",
    "dst_port",
    "interface",
    "version",
    "exchange",
    "method",
    "status_code",
    "content_length",
    "ttfb",
];

/// What must hold of the pseudonyms, besides that no address is one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    /// Equal addresses stay equal, different ones different.
    Identity,
    /// That, and common prefixes stay as long as they were.
    Prefixes,
    /// Equal addresses stay equal.
    Groups,
}

/// What `configs/demo.toml`, which a user would take, gives with another table for the
/// anonymizer, or with none. The rows of two runs are in the same order.
fn records(anonymizer: &str) -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    let demo = fs::read_to_string(common::root().join("configs/demo.toml")).unwrap();
    let (before, after) = demo.split_once("[[stage]]\nuse = \"crypto_pan\"\n").unwrap();
    assert!(after.starts_with("key = \"ephemeral\"\n\n[[sink]]"), "the table to be replaced");
    let before = before.replace("\"out/", &format!("\"{}/", out.display()));
    let table = match anonymizer {
        "" => String::new(),
        table => format!("[[stage]]\n{}\n", table.replace("KEY", &format!("{:?}", key_file(out)))),
    };
    let top = if anonymizer.is_empty() { "allow_identifiable = true\n" } else { "" };
    let sink = format!("[[sink]]\nuse = \"jsonl\"\npath = {:?}\n", out.join("out.jsonl"));
    run(&write_config(out, &format!("{top}{before}{table}{sink}")), &["--quiet"]);
    let mut rows = rows(&out.join("out.jsonl"));
    rows.sort_by_key(|row| {
        ["time", "record", "src_port", "exchange"]
            .map(|name| row.get(name).map(ToString::to_string))
    });
    rows
}

fn addresses(rows: &[Row]) -> Vec<IpAddr> {
    let both =
        rows.iter().flat_map(|row| ["src_ip", "dst_ip"].map(|name| text(row, name).unwrap()));
    both.map(|address| address.parse().unwrap()).collect()
}

/// How many of the first bits two addresses share; none where one is IPv4 and the other not.
fn shared(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[test]
fn each_strategy_takes_the_place_of_another() {
    let plain = records("");
    let before = addresses(&plain);
    assert!(before.iter().any(IpAddr::is_ipv4) && before.iter().any(IpAddr::is_ipv6));

    let custom = plugins().join("libcustom_anonymizer.so");
    let cases = [
        ("use = \"crypto_pan\"\nkey_file = KEY", Kept::Prefixes),
        ("use = \"ipcrypt\"\nmode = \"prefix_preserving\"\nkey_file = KEY", Kept::Prefixes),
        ("use = \"ipcrypt\"\nmode = \"deterministic\"\nkey_file = KEY", Kept::Identity),
        ("use = \"keyed_hash\"\nkey_file = KEY", Kept::Identity),
        ("use = \"keyed_hash\"\nv4_bits = 128\nkey_file = KEY", Kept::Identity),
        ("use = \"truncate\"", Kept::Groups),
        ("use = \"constant\"\nv4 = \"192.0.2.0\"\nv6 = \"2001:db8::\"", Kept::Groups),
        (&format!("plugin = {custom:?}\nuse = \"site\""), Kept::Groups),
    ];
    for (anonymizer, kept) in cases {
        let rows = records(anonymizer);
        assert_eq!(rows.len(), plain.len(), "{anonymizer}");
        for (row, plain) in rows.iter().zip(&plain) {
            for name in UNTOUCHED {
                assert_eq!(row.get(*name), plain.get(*name), "{anonymizer}: {name}");
            }
        }
        check(anonymizer, kept, &before, &addresses(&rows));
    }
}

fn check(anonymizer: &str, kept: Kept, before: &[IpAddr], after: &[IpAddr]) {
    let mut pseudonyms = BTreeMap::new();
    for (address, pseudonym) in before.iter().zip(after) {
        assert_ne!(address, pseudonym, "{anonymizer}");
        let known = *pseudonyms.entry(*address).or_insert(*pseudonym);
        assert_eq!(known, *pseudonym, "{anonymizer}: {address} has two pseudonyms");
    }
    if kept == Kept::Groups {
        return;
    }
    let different: BTreeSet<_> = pseudonyms.values().collect();
    assert_eq!(different.len(), pseudonyms.len(), "{anonymizer}: two addresses became one");
    if kept == Kept::Identity {
        return;
    }
    for (one, first) in &pseudonyms {
        for (other, second) in pseudonyms.iter().filter(|(other, _)| *other != one) {
            let (bits, after) = (shared(*one, *other), shared(*first, *second));
            assert_eq!(bits, after, "{anonymizer}: {one} and {other} are {first} and {second}");
        }
    }
}

/// IPv4 addresses under strategies that make 128 bits of them: the records still say what they
/// were. Loaded as a plugin, a strategy does what it does linked in.
#[test]
fn a_strategy_may_widen_ipv4_linked_in_or_loaded() {
    for (name, options) in
        [("ipcrypt", "mode = \"deterministic\""), ("keyed_hash", "v4_bits = 128")]
    {
        let linked = records(&format!("use = \"{name}\"\n{options}\nkey_file = KEY"));
        let library = plugins().join(format!("lib{name}.so"));
        let loaded =
            records(&format!("plugin = {library:?}\nuse = \"{name}\"\n{options}\nkey_file = KEY"));
        assert_eq!(addresses(&linked), addresses(&loaded), "{name}");
        assert!(addresses(&linked).iter().all(IpAddr::is_ipv6), "{name}");
        let versions: BTreeSet<_> =
            linked.iter().map(|row| row["ip_version"].as_u64().unwrap()).collect();
        assert_eq!(versions, BTreeSet::from([4, 6]), "{name}");
    }
}

#[test]
fn special_addresses_are_kept_linked_in_or_loaded() {
    let private = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(_) => false,
    };
    let of_all = records("use = \"constant\"\nspecial = \"map\"");
    assert!(!addresses(&of_all).iter().any(private), "nobody is kept by default");
    for name in ["crypto_pan", "keyed_hash"] {
        let linked = records(&format!("use = \"{name}\"\nspecial = \"keep\"\nkey_file = KEY"));
        let library = plugins().join(format!("lib{name}.so"));
        let loaded = records(&format!(
            "plugin = {library:?}\nuse = \"{name}\"\nspecial = \"keep\"\nkey_file = KEY"
        ));
        assert_eq!(addresses(&linked), addresses(&loaded), "{name}");
        assert!(addresses(&linked).iter().any(private), "{name}");
    }
}

#[test]
fn engine_stages_shows_every_strategy_and_its_options() {
    let output = engine().arg("stages").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for word in [
        "crypto_pan",
        "ipcrypt",
        "keyed_hash",
        "truncate",
        "constant",
        "mode",
        "v4_bits",
        "v4_prefix",
        "special",
        "\"map\" or \"keep\"",
        "\"deterministic\" or \"prefix_preserving\"",
    ] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
}
