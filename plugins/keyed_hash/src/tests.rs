use std::{collections::HashSet, hint::black_box, time::Instant};

use proptest::prelude::*;
use ringmill_sdk::{
    Anonymizer,
    key::Epoch,
    parse_config, special,
    testing::{START, TestHost, Trial, records, rows, run_records},
};
use sha2::Digest;

use super::*;

/// The key that the test host gives out for this stage.
fn key() -> [u8; 32] {
    let (host, _) = TestHost::new(Some(0));
    *host.ephemeral_key(KeyedHash::NAME)
}

fn build(options: &str) -> Result<KeyedHash> {
    let (host, _) = TestHost::new(Some(0));
    KeyedHash::new(parse_config(&format!("key = \"ephemeral\"\n{options}"))?, &host)
}

/// RFC 2104 written down.
fn naive(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer[..16].try_into().unwrap()
}

#[test]
fn pinned_hashes() {
    // From Python: hmac.new(bytes(range(32)), bytes([192, 0, 2, 1]), "sha256"), and the same of
    // 2001:db8::1 and of ::ffff:192.0.2.1.
    let key = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let hash = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let cases: &[(&[u8], u128)] = &[
        (&[192, 0, 2, 1], 0x1b7f_ac6f_9fb8_6d0b_bede_55cc_04e3_b416),
        (&(0x2001_0db8_u128 << 96 | 1).to_be_bytes(), 0xdf13_4d4f_4e18_8c9f_9790_6d62_fb0f_c7f4),
        (&(0xffff_c000_0201_u128).to_be_bytes(), 0x5b94_ca9b_b52d_e8b1_ddec_78c3_089e_2582),
    ];
    for (message, expected) in cases {
        assert_eq!(first_bits(&hash, message), *expected, "{message:x?}");
        assert_eq!(u128::from_be_bytes(naive(&key, message)), *expected, "{message:x?}, naive");
    }
}

proptest! {
    #[test]
    fn it_is_hmac_of_the_address(short: Vec<u32>, long: Vec<u128>, bits in 1..=32_u32) {
        let mut map = build(&format!("v4_bits = {bits}")).unwrap();
        let (mut short_mapped, mut long_mapped) = (short.clone(), long.clone());
        map.v4(&mut short_mapped);
        map.v6(&mut long_mapped);
        for (address, pseudonym) in short.iter().zip(short_mapped) {
            let [a, b, c, d, ..] = naive(&key(), &address.to_be_bytes());
            let front = u32::from_be_bytes([a, b, c, d]);
            prop_assert_eq!(pseudonym, front >> (32 - bits) << (32 - bits));
        }
        for (address, pseudonym) in long.iter().zip(long_mapped) {
            prop_assert_eq!(pseudonym.to_be_bytes(), naive(&key(), &address.to_be_bytes()));
        }
    }
}

#[test]
fn collisions_are_as_rare_as_the_help_says() {
    let all: Vec<u32> = (0..77_000).map(|host: u32| 0x0808_0000 + host).collect();
    // bits, and the fewest and the most different pseudonyms of 77,000 addresses
    for (bits, least, most) in [(32, 76_990, 77_000), (16, 44_000, 46_500), (8, 256, 256)] {
        let mut mapped = all.clone();
        build(&format!("v4_bits = {bits}")).unwrap().v4(&mut mapped);
        let different = mapped.iter().collect::<HashSet<_>>().len();
        assert!((least..=most).contains(&different), "{bits} bits: {different}");
    }
}

/// What the addresses become, through the stage that the engine runs.
fn mapped(options: &str, addresses: &[&str]) -> Vec<String> {
    let schema = schema::record("r", vec![schema::address("who")]);
    let table: Vec<_> = addresses.iter().map(std::slice::from_ref).collect();
    let options = format!("key = \"ephemeral\"\n{options}");
    let ran = run_records::<Anonymizer<KeyedHash>>(&options, &[records(&schema, &table)]).unwrap();
    rows(&ran.records).iter().map(|row| row["who"].clone()).collect()
}

#[test]
fn ipv4_addresses_have_as_many_bits_as_was_asked_for() {
    let addresses = ["8.8.8.8", "2a00::1", "8.8.8.8", "10.1.2.3"];
    let by_default = mapped("", &addresses);
    assert_eq!(by_default[0], by_default[2]);
    assert!(by_default[0].parse::<std::net::Ipv4Addr>().is_ok(), "{by_default:?}");
    assert_ne!(by_default[3], addresses[3]);

    let short = mapped("v4_bits = 16", &addresses);
    assert!(short[0].ends_with(".0.0"), "{short:?}");

    let wide = mapped("v4_bits = 128", &addresses);
    let expected = naive(&key(), &0xffff_0808_0808_u128.to_be_bytes());
    assert_eq!(wide[0], std::net::Ipv6Addr::from(expected).to_string());
    assert_eq!((&wide[0], &wide[1]), (&wide[2], &by_default[1]), "{wide:?}");

    for bits in ["", "v4_bits = 128"] {
        let kept = mapped(&format!("special = \"keep\"\n{bits}"), &addresses);
        assert_eq!(kept[3], addresses[3], "{bits}");
        assert_ne!(kept[0], addresses[0], "{bits}");
    }
}

#[test]
fn nobody_becomes_a_special_address_that_is_kept() {
    let addresses: Vec<String> =
        (0..2000).map(|n| format!("8.8.{}.{}", n / 256, n % 256)).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let ambiguous = |pseudonyms: Vec<String>| {
        let parsed = pseudonyms.iter().map(|text| text.parse::<std::net::Ipv4Addr>().unwrap());
        parsed.filter(|address| special::is_special_v4((*address).into())).count()
    };
    assert!(ambiguous(mapped("", &addresses)) > 200, "so many would be ambiguous");
    assert_eq!(ambiguous(mapped("special = \"keep\"", &addresses)), 0);
}

#[test]
fn each_day_has_a_key_of_its_own() {
    const DAY: i64 = 86_400_000_000_000;
    let schema = schema::record("r", vec![schema::time("time"), schema::address("who")]);
    let options = "key = \"ephemeral\"";
    let mut trial = Trial::<Anonymizer<KeyedHash>>::in_epochs(Epoch::Day, false, options).unwrap();
    for day in [0, 1, 0] {
        let time = (START.0 + day * DAY).to_string();
        trial.records(records(&schema, &[&[&time, "8.8.8.8"]])).unwrap();
    }
    let seen: Vec<_> = rows(&trial.ran().records).iter().map(|row| row["who"].clone()).collect();
    assert!(seen[0] == seen[2] && seen[0] != seen[1], "{seen:?}");

    let (host, _) = TestHost::in_epochs(Epoch::Day, false);
    let mut map = KeyedHash::new(parse_config(options).unwrap(), &host).unwrap();
    let (mut v4, mut v6) = ([0xc000_0201], [1_u128 << 100 | 1]);
    map.v4(&mut v4);
    map.v6(&mut v6);
    assert_eq!((v4, v6), ([0], [0]), "before the first epoch nothing passes");
}

#[test]
fn wrong_options_say_what_to_do() {
    let cases = [
        ("v4_bits = 0", "`v4_bits`: must be 1 to 32, or 128; it is 0"),
        ("v4_bits = 33", "`v4_bits`: must be 1 to 32, or 128; it is 33"),
        ("v4_bits = 129", "`v4_bits`: must be 1 to 32, or 128; it is 129"),
        (
            "v4_bits = 15\nspecial = \"keep\"",
            "`v4_bits`: must be at least 16 with `special = \"keep\"`, so that there are enough \
             pseudonyms beside the addresses that are kept; it is 15",
        ),
        ("v4_bits = -1", "`v4_bits`: invalid value: integer `-1`, expected u64"),
        ("key_file = \"k\"", "`key`: `key_file` and `key` are both set; keep one"),
    ];
    for (options, message) in cases {
        assert_eq!(build(options).unwrap_err().to_string(), message, "{options}");
    }
}

#[test]
fn the_key_is_never_shown() {
    assert_eq!(
        format!("{:?}", build("").unwrap()),
        "KeyedHash { hash: Current { .. }, v4: 4294967295, widens: false, special: Map }"
    );
}

/// `cargo test --release -p ringmill-keyed-hash -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn addresses_per_second() {
    const BATCH: u32 = 4096;
    let mut map = build("").unwrap();
    let mut addresses: Vec<u32> = (0..BATCH).collect();
    let seconds = (0..30).map(|_| {
        let start = Instant::now();
        map.v4(black_box(&mut addresses));
        start.elapsed().as_secs_f64()
    });
    println!("IPv4: {:.2} M/s", f64::from(BATCH) / seconds.fold(f64::MAX, f64::min) / 1e6);
}
