//! As the stage that the engine runs: options, and rows.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt};

use ipcrypt_rs::{Ipcrypt as Whole, IpcryptPfx};
use ringmill_sdk::{
    Anonymizer,
    key::Epoch,
    parse_config, special,
    testing::{START, TestHost, Trial, records, rows, run_records},
};

use super::super::*;

fn mapped(options: &str, addresses: &[&str]) -> Vec<IpAddr> {
    let schema = schema::record("r", vec![schema::address("who")]);
    let table: Vec<_> = addresses.iter().map(std::slice::from_ref).collect();
    let options = format!("key = \"ephemeral\"\n{options}");
    let ran = run_records::<Anonymizer<Ipcrypt>>(&options, &[records(&schema, &table)]).unwrap();
    rows(&ran.records).iter().map(|row| row["who"].parse().unwrap()).collect()
}

/// The key that the test host gives out for this stage.
fn key() -> [u8; 32] {
    let (host, _) = TestHost::new(Some(0));
    *host.ephemeral_key(Ipcrypt::NAME)
}

const ADDRESSES: &[&str] =
    &["192.0.2.1", "2001:db8::1", "10.1.2.3", "8.8.8.8", "fe80::1", "2a00::7"];

#[test]
fn rows_are_what_the_published_crate_says() {
    let whole = Whole::new(key()[..16].try_into().unwrap());
    let prefix = IpcryptPfx::new(key());
    let deterministic = mapped("mode = \"deterministic\"", ADDRESSES);
    let preserving = mapped("mode = \"prefix_preserving\"", ADDRESSES);
    for (at, address) in ADDRESSES.iter().enumerate() {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(deterministic[at], whole.encrypt_ipaddr(address), "{address}");
        assert_eq!(preserving[at], prefix.encrypt_ipaddr(address), "{address}");
        assert_eq!(preserving[at].is_ipv4(), address.is_ipv4(), "{address}");
    }
}

#[test]
fn an_address_in_text_matches_that_of_the_column() {
    let fields = vec![schema::address("who"), schema::text("via", schema::Kind::Header)];
    let schema = schema::record("r", fields);
    for mode in ["deterministic", "prefix_preserving"] {
        for address in ADDRESSES {
            let options = format!("key = \"ephemeral\"\nmode = \"{mode}\"");
            let batch = records(&schema, &[&[address, address]]);
            let ran = run_records::<Anonymizer<Ipcrypt>>(&options, &[batch]).unwrap();
            let [row] = &rows(&ran.records)[..] else { panic!("one row") };
            assert_eq!(row["via"], row["who"], "{mode}: {address}");
            assert_ne!(row["via"], *address, "{mode}: {address}");
        }
    }
}

#[test]
fn each_day_has_a_key_of_its_own() {
    const DAY: i64 = 86_400_000_000_000;
    let schema = schema::record("r", vec![schema::time("time"), schema::address("who")]);
    for mode in ["deterministic", "prefix_preserving"] {
        let options = format!("key = \"ephemeral\"\nmode = \"{mode}\"");
        let mut trial =
            Trial::<Anonymizer<Ipcrypt>>::in_epochs(Epoch::Day, false, &options).unwrap();
        for day in [0, 1, 0] {
            let time = (START.0 + day * DAY).to_string();
            trial.records(records(&schema, &[&[&time, "192.0.2.1"], &[&time, "2a00::7"]])).unwrap();
        }
        let seen: Vec<_> =
            rows(&trial.ran().records).iter().map(|row| row["who"].clone()).collect();
        assert_eq!(seen[..2], seen[4..], "{mode}");
        assert!(seen[0] != seen[2] && seen[1] != seen[3], "{mode}: {seen:?}");
        assert!(!seen.iter().any(|who| ["192.0.2.1", "2a00::7"].contains(&who.as_str())), "{mode}");
    }
}

#[test]
fn before_the_first_epoch_nothing_passes() {
    let (host, _) = TestHost::in_epochs(Epoch::Day, false);
    for mode in ["deterministic", "prefix_preserving"] {
        let options = parse_config(&format!("key = \"ephemeral\"\nmode = \"{mode}\"")).unwrap();
        let mut map = Ipcrypt::new(options, &host).unwrap();
        let (mut v4, mut v6) = ([0xc000_0201], [1_u128 << 100 | 1]);
        map.v4(&mut v4);
        map.v6(&mut v6);
        assert_eq!((v4, v6), ([0], [0]), "{mode}");
    }
}

#[test]
fn special_addresses_stay_where_they_are_kept() {
    for mode in ["deterministic", "prefix_preserving"] {
        let kept = mapped(&format!("mode = \"{mode}\"\nspecial = \"keep\""), ADDRESSES);
        for (address, pseudonym) in ADDRESSES.iter().zip(kept) {
            let address: IpAddr = address.parse().unwrap();
            let special = match address {
                IpAddr::V4(address) => special::is_special_v4(address.into()),
                IpAddr::V6(address) => special::is_special_v6(address.into()),
            };
            assert_eq!(address == pseudonym, special, "{mode}: {address} became {pseudonym}");
        }
    }
}

/// All /8s and some hosts in each, through the walk around the special ones.
#[test]
fn a_kept_special_address_is_nobodys_pseudonym() {
    let mut addresses = Vec::new();
    for first in 0..=255 {
        for rest in ["0.0.1", "64.0.1", "168.1.1", "254.9.9"] {
            addresses.push(format!("{first}.{rest}"));
        }
    }
    let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let pseudonyms = mapped("mode = \"prefix_preserving\"\nspecial = \"keep\"", &texts);
    let different: std::collections::HashSet<_> = pseudonyms.iter().collect();
    assert_eq!(different.len(), addresses.len());
    for (address, pseudonym) in texts.iter().zip(&pseudonyms) {
        let (IpAddr::V4(before), IpAddr::V4(after)) = (address.parse().unwrap(), *pseudonym) else {
            panic!("{address} became {pseudonym}");
        };
        let before = special::is_special_v4(before.into());
        assert_eq!(before, special::is_special_v4(after.into()), "{address} became {pseudonym}");
    }
}

#[test]
fn wrong_options_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("twice");
    fs::write(&path, "00112233445566778899aabbccddeeff".repeat(2)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let twice = format!("mode = \"prefix_preserving\"\nkey_file = {path:?}");
    let cases = [
        ("key = \"ephemeral\"", "missing field `mode`"),
        (
            "mode = \"nd\"",
            "`mode`: unknown variant `nd`, expected `deterministic` or `prefix_preserving`",
        ),
        (
            "mode = \"deterministic\"",
            "`key_file`: say where the key comes from: `key_file = \"...\"`, or \
             `key = \"ephemeral\"` for one that dies with the process",
        ),
        (
            &twice,
            "`key_file`: the two halves of the key are the same, which leaves addresses as they \
             are; `engine keygen` makes a key",
        ),
    ];
    let (host, _) = TestHost::new(Some(0));
    for (options, message) in cases {
        let made = parse_config(options).and_then(|options| Ipcrypt::new(options, &host));
        assert_eq!(made.unwrap_err().to_string(), message, "{options}");
    }
    let whole = twice.replace("prefix_preserving", "deterministic");
    Ipcrypt::new(parse_config(&whole).unwrap(), &host).unwrap();
}

#[test]
fn the_key_is_never_shown() {
    let map = Ipcrypt::from_key(&key(), Mode::Deterministic).unwrap();
    assert_eq!(
        format!("{map:?}"),
        "Ipcrypt { cipher: Current { .. }, mode: Deterministic, special: Map }"
    );
}
