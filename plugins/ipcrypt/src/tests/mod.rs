mod published;
mod stage;

use std::{
    collections::HashSet,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use ipcrypt_rs::{Ipcrypt as Whole, IpcryptPfx};
use proptest::{collection::vec, prelude::*};
use ringmill_sdk::AddressMap;

use super::{Ipcrypt, Mode};
use published::{DETERMINISTIC, PREFIX_PRESERVING};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";
const MAPPED: u128 = 0xffff << 32;

fn map(mode: Mode) -> Ipcrypt {
    Ipcrypt::from_key(&KEY, mode).unwrap()
}

fn from_hex(text: &str) -> [u8; 32] {
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate().take(text.len() / 2) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    }
    key
}

/// The address as the stage hands it over, and what came out.
fn pseudonym(map: &mut Ipcrypt, address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(address) if !map.widens() => {
            let mut addresses = [address.into()];
            map.v4(&mut addresses);
            Ipv4Addr::from(addresses[0]).to_string()
        }
        address => {
            let mut addresses = [match address {
                IpAddr::V4(address) => MAPPED | u128::from(u32::from(address)),
                IpAddr::V6(address) => address.into(),
            }];
            map.v6(&mut addresses);
            Ipv6Addr::from(addresses[0]).to_string()
        }
    }
}

#[test]
fn reproduces_the_vectors_of_the_draft() {
    for (mode, vectors) in
        [(Mode::Deterministic, DETERMINISTIC), (Mode::PrefixPreserving, PREFIX_PRESERVING)]
    {
        for (key, address, expected) in vectors {
            let mut map = Ipcrypt::from_key(&from_hex(key), mode).unwrap();
            assert_eq!(pseudonym(&mut map, address), *expected, "{mode:?}: {address}");
        }
    }
}

/// As 8-bit pieces, so that long common prefixes and equal bytes are not rare.
fn v6() -> impl Strategy<Value = u128> {
    let byte = prop_oneof![Just(0_u8), Just(0xff), Just(0x20), any::<u8>()];
    prop_oneof![
        any::<u128>(),
        proptest::array::uniform16(byte).prop_map(u128::from_be_bytes),
        any::<u32>().prop_map(|address| MAPPED | u128::from(address)),
    ]
}

/// Two addresses that share exactly this many bits.
fn pair() -> impl Strategy<Value = (u128, u128, u32)> {
    (any::<u128>(), any::<u128>(), 0..128_u32).prop_map(|(one, other, shared)| {
        let front = !u128::MAX.checked_shr(shared).unwrap_or(0);
        let differing = 1 << (127 - shared);
        (one, one & front | (!one & differing) | other & !front & !differing, shared)
    })
}

proptest! {
    // Unoptimized, bit by bit is slow.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_published_crate_which_undoes_it(
        long in vec(v6(), 0..70), short in vec(any::<u32>(), 0..40),
    ) {
        let whole = Whole::new(KEY[..16].try_into().unwrap());
        let mut mapped = long.clone();
        map(Mode::Deterministic).v6(&mut mapped);
        for (address, pseudonym) in long.iter().zip(mapped) {
            let (mut theirs, mut undone) = (address.to_be_bytes(), pseudonym.to_be_bytes());
            whole.encrypt_ip16(&mut theirs);
            prop_assert_eq!(theirs, pseudonym.to_be_bytes(), "{:032x}", address);
            whole.decrypt_ip16(&mut undone);
            prop_assert_eq!(undone, address.to_be_bytes());
        }

        let prefix = IpcryptPfx::new(KEY);
        let (mut short_mapped, mut long_mapped) = (short.clone(), long.clone());
        let mut ours = map(Mode::PrefixPreserving);
        ours.v4(&mut short_mapped);
        ours.v6(&mut long_mapped);
        for (address, pseudonym) in short.iter().zip(short_mapped) {
            let (address, pseudonym) = (Ipv4Addr::from(*address), Ipv4Addr::from(pseudonym));
            prop_assert_eq!(prefix.encrypt_ipaddr(address.into()), IpAddr::V4(pseudonym));
            prop_assert_eq!(prefix.decrypt_ipaddr(pseudonym.into()), IpAddr::V4(address));
        }
        for (address, pseudonym) in long.iter().zip(long_mapped) {
            let (address, pseudonym) = (Ipv6Addr::from(*address), Ipv6Addr::from(pseudonym));
            prop_assert_eq!(prefix.encrypt_ipaddr(address.into()), pseudonym.to_canonical());
            prop_assert_eq!(prefix.decrypt_ipaddr(pseudonym.into()), address.to_canonical());
        }
    }

    #[test]
    fn common_prefixes_are_kept_exactly((one, other, shared) in pair()) {
        let mut map = map(Mode::PrefixPreserving);
        let mut long = [one, other];
        map.v6(&mut long);
        prop_assert_eq!((long[0] ^ long[1]).leading_zeros(), shared);
        let mut short = [one, other].map(|address| u32::try_from(address >> 96).unwrap());
        map.v4(&mut short);
        prop_assert_eq!((short[0] ^ short[1]).leading_zeros(), shared.min(32));
    }

    #[test]
    fn batches_may_be_split_anywhere(long in vec(v6(), 0..150), at: prop::sample::Index) {
        for mode in [Mode::Deterministic, Mode::PrefixPreserving] {
            let at = if long.is_empty() { 0 } else { at.index(long.len()) };
            let (mut whole, mut halves) = (long.clone(), long.clone());
            map(mode).v6(&mut whole);
            let mut other = map(mode);
            other.v6(&mut halves[..at]);
            other.v6(&mut halves[at..]);
            prop_assert_eq!(&whole, &halves, "{:?} at {}", mode, at);
            let mut short: Vec<u32> = long.iter().map(|a| u32::try_from(a >> 96).unwrap()).collect();
            let mut one_by_one = short.clone();
            let mut other = map(Mode::PrefixPreserving);
            other.v4(&mut short);
            one_by_one.chunks_mut(1).for_each(|one| other.v4(one));
            prop_assert_eq!(&short, &one_by_one);
        }
    }
}

#[test]
fn no_two_addresses_get_one_pseudonym() {
    let subnet: Vec<u32> = (0..=0xffff).map(|host| 0xc0a8_0000 | host).collect();
    let mut mapped = subnet.clone();
    map(Mode::PrefixPreserving).v4(&mut mapped);
    assert!(mapped.iter().all(|a| a >> 16 == mapped[0] >> 16), "a /16 becomes a /16");
    assert_eq!(mapped.iter().collect::<HashSet<_>>().len(), subnet.len());
    for mode in [Mode::Deterministic, Mode::PrefixPreserving] {
        let mut mapped: Vec<u128> = subnet.iter().map(|a| MAPPED | u128::from(*a)).collect();
        map(mode).v6(&mut mapped);
        assert_eq!(mapped.iter().collect::<HashSet<_>>().len(), subnet.len(), "{mode:?}");
    }
}

#[test]
fn every_part_of_the_key_matters_and_no_more_than_the_mode_says() {
    let addresses: Vec<u128> = (0..200).map(|n| n * 0x1234_5678_9abc_def0_1357).collect();
    let mapped = |key: &[u8; 32], mode| {
        let mut mapped = addresses.clone();
        Ipcrypt::from_key(key, mode).unwrap().v6(&mut mapped);
        mapped
    };
    // mode, byte of the key, whether it matters
    let cases = [
        (Mode::Deterministic, 0, true),
        (Mode::Deterministic, 15, true),
        (Mode::Deterministic, 16, false),
        (Mode::Deterministic, 31, false),
        (Mode::PrefixPreserving, 0, true),
        (Mode::PrefixPreserving, 15, true),
        (Mode::PrefixPreserving, 16, true),
        (Mode::PrefixPreserving, 31, true),
    ];
    for (mode, byte, matters) in cases {
        let mut other = KEY;
        other[byte] ^= 1;
        let (ours, theirs) = (mapped(&KEY, mode), mapped(&other, mode));
        let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        assert_eq!(differing > 190, matters, "{mode:?}, byte {byte}: {differing} differ");
        assert_eq!(differing > 0, matters, "{mode:?}, byte {byte}: {differing} differ");
    }
}

/// `cargo test --release -p ringmill-ipcrypt -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn addresses_per_second() {
    const BATCH: u32 = 4096;
    fn best(mut run: impl FnMut()) -> f64 {
        let seconds = (0..30).map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        });
        f64::from(BATCH) / seconds.fold(f64::MAX, f64::min) / 1e6
    }
    fn report(what: &str, ours: f64, theirs: f64) {
        println!("{what}: {ours:.2} M/s, ipcrypt-rs {theirs:.2} M/s, {:.1} times", ours / theirs);
    }
    let mut short: Vec<u32> = (0..BATCH).map(|n| n.wrapping_mul(2_654_435_761)).collect();
    let mut long: Vec<u128> = short.iter().map(|a| u128::from(*a) << 70 | 1).collect();

    let addresses: [Vec<IpAddr>; 2] = [
        short.iter().map(|address| Ipv4Addr::from(*address).into()).collect(),
        long.iter().map(|address| Ipv6Addr::from(*address).into()).collect(),
    ];
    let one_by_one = |addresses: &[IpAddr], encrypt: &dyn Fn(IpAddr) -> IpAddr| {
        best(|| addresses.iter().for_each(|address| _ = black_box(encrypt(*address))))
    };

    let (mut ours, theirs) = (map(Mode::PrefixPreserving), IpcryptPfx::new(KEY));
    let encrypt = |address| theirs.encrypt_ipaddr(address);
    let batched = best(|| ours.v4(black_box(&mut short)));
    report("prefix_preserving, IPv4", batched, one_by_one(&addresses[0], &encrypt));
    let batched = best(|| ours.v6(black_box(&mut long)));
    report("prefix_preserving, IPv6", batched, one_by_one(&addresses[1], &encrypt));

    let (mut ours, theirs) = (map(Mode::Deterministic), Whole::new(KEY[..16].try_into().unwrap()));
    let encrypt = |address| theirs.encrypt_ipaddr(address);
    let batched = best(|| ours.v6(black_box(&mut long)));
    report("deterministic", batched, one_by_one(&addresses[1], &encrypt));
}
