mod epochs;
mod naive;
mod options;
mod published;
mod records;

use std::{collections::HashSet, hint::black_box, net::IpAddr, time::Instant};

use aes::Aes128Enc;
use ringmill_sdk::AddressMap;
use zeroize::ZeroizeOnDrop;

use super::CryptoPan;
use naive::Naive;
use published::PUBLISHED;

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

/// Addresses without order, the same in every run (splitmix64).
fn random(mut seed: u64) -> impl Iterator<Item = u128> {
    let mut word = move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ (z >> 31))
    };
    std::iter::repeat_with(move || word() << 64 | word())
}

/// Pairs with every length of common prefix, the ends of the range, and random ones.
fn samples() -> Vec<u128> {
    let base: u128 = 0xc0a8_1703_2001_0db8_5555_aaaa_0f0f_1234;
    let mut samples = vec![0, u128::MAX, base, 1, 1 << 127];
    samples.extend((0..128).map(|bit| base ^ (1 << bit)));
    samples.extend(random(1).take(200));
    samples
}

fn first_word(address: u128) -> u32 {
    u32::try_from(address >> 96).unwrap()
}

fn v4(key: &[u8; 32], addresses: &[u32]) -> Vec<u32> {
    let mut addresses = addresses.to_vec();
    CryptoPan::from_key(key).v4(&mut addresses);
    addresses
}

fn v6(key: &[u8; 32], addresses: &[u128]) -> Vec<u128> {
    let mut addresses = addresses.to_vec();
    CryptoPan::from_key(key).v6(&mut addresses);
    addresses
}

#[test]
fn reproduces_published_pairs() {
    for (source, key, pairs) in PUBLISHED {
        let naive = Naive::new(key);
        for (address, pseudonym) in *pairs {
            let (ours, naive): (IpAddr, IpAddr) = match address.parse().unwrap() {
                IpAddr::V4(a) => (
                    v4(key, &[a.into()])[0].to_be_bytes().into(),
                    naive.v4(a.into()).to_be_bytes().into(),
                ),
                IpAddr::V6(a) => (
                    v6(key, &[a.into()])[0].to_be_bytes().into(),
                    naive.v6(a.into()).to_be_bytes().into(),
                ),
            };
            assert_eq!(ours.to_string(), *pseudonym, "{source}: {address}");
            assert_eq!(naive.to_string(), *pseudonym, "{source}: {address}, naive");
        }
    }
    assert_eq!(PUBLISHED[0].2.iter().filter(|(a, _)| a.contains('.')).count(), 70);
}

#[test]
fn many_at_once_are_as_one_by_one() {
    let naive = Naive::new(&KEY);
    let mut map = CryptoPan::from_key(&KEY);
    // Round the number of addresses that share a call to the cipher: 8 and 2.
    for length in (0..=35).chain([255, 256, 257]) {
        let long: Vec<u128> = random(length as u64).take(length).collect();
        let short: Vec<u32> = long.iter().copied().map(first_word).collect();
        let (mut short_mapped, mut long_mapped) = (short.clone(), long.clone());
        map.v4(&mut short_mapped);
        map.v6(&mut long_mapped);
        let one_by_one: Vec<u32> = short.iter().map(|&a| naive.v4(a)).collect();
        assert_eq!(short_mapped, one_by_one, "{length} of IPv4");
        let one_by_one: Vec<u128> = long.iter().map(|&a| naive.v6(a)).collect();
        assert_eq!(long_mapped, one_by_one, "{length} of IPv6");
    }
}

#[test]
fn common_prefixes_are_kept_exactly() {
    let long = samples();
    let short: Vec<u32> = long.iter().copied().map(first_word).collect();
    let (short_mapped, long_mapped) = (v4(&KEY, &short), v6(&KEY, &long));
    let mut lengths = HashSet::new();
    for i in 0..long.len() {
        for j in 0..i {
            let (before, after) = (short[i] ^ short[j], short_mapped[i] ^ short_mapped[j]);
            let (a, b) = (short[i], short[j]);
            assert_eq!(before.leading_zeros(), after.leading_zeros(), "{a:08x} and {b:08x}");
            let (before, after) = (long[i] ^ long[j], long_mapped[i] ^ long_mapped[j]);
            let (a, b) = (long[i], long[j]);
            assert_eq!(before.leading_zeros(), after.leading_zeros(), "{a:032x} and {b:032x}");
            lengths.insert(before.leading_zeros());
        }
    }
    assert_eq!(lengths.len(), 128, "the samples cover every length but that of equals");
}

#[test]
fn no_two_addresses_get_one_pseudonym() {
    let subnet: Vec<u32> = (0..=0xffff).map(|host| 0xc0a8_0000 | host).collect();
    let mapped = v4(&KEY, &subnet);
    let network = mapped[0] >> 16;
    assert!(mapped.iter().all(|a| a >> 16 == network), "a /16 becomes a /16");
    assert_eq!(mapped.iter().collect::<HashSet<_>>().len(), subnet.len());

    let hosts: Vec<u128> = (0..4096).map(|host| 0x2001_0db8 << 96 | host).collect();
    assert_eq!(v6(&KEY, &hosts).iter().collect::<HashSet<_>>().len(), hosts.len());
}

#[test]
fn ipv6_begins_as_ipv4_does() {
    for long in samples() {
        let (short, mapped) = (first_word(long), v6(&KEY, &[long])[0]);
        assert_eq!(first_word(mapped), v4(&KEY, &[short])[0], "{long:032x}");
    }
}

#[test]
fn every_part_of_the_key_matters_and_nothing_else() {
    let short: Vec<u32> = samples().into_iter().map(first_word).collect();
    assert_eq!(v4(&KEY, &short), v4(&KEY, &short), "two instances");
    for byte in [0, 15, 16, 31] {
        let mut other = KEY;
        other[byte] ^= 1;
        let (ours, theirs) = (v4(&KEY, &short), v4(&other, &short));
        let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        assert!(differing > short.len() * 9 / 10, "byte {byte}: only {differing} differ");
    }
}

#[test]
fn keys_are_wiped_and_never_shown() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<Aes128Enc>();
    wiped::<ringmill_sdk::key::Key>();
    let shown = format!("{:?}", CryptoPan::from_key(&KEY));
    assert_eq!(shown, "CryptoPan { pan: Current { .. }, special: Map }");
}

/// `cargo test --release -p ringmill-crypto-pan -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn addresses_per_second() {
    const BATCH: usize = 4096;
    fn best(mut run: impl FnMut()) -> f64 {
        let seconds = (0..30).map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        });
        BATCH as f64 / seconds.fold(f64::MAX, f64::min) / 1e6
    }
    let (naive, mut map) = (Naive::new(&KEY), CryptoPan::from_key(&KEY));
    let mut long: Vec<u128> = random(7).take(BATCH).collect();
    let mut short: Vec<u32> = long.iter().copied().map(first_word).collect();
    let report = |what, batched: f64, single: f64| {
        let times = batched / single;
        println!("{what}: {batched:.2} M/s, bit by bit {single:.2} M/s, {times:.1} times");
    };
    let batched = best(|| map.v4(black_box(&mut short)));
    report("IPv4", batched, best(|| short.iter_mut().for_each(|a| *a = naive.v4(*a))));
    let batched = best(|| map.v6(black_box(&mut long)));
    report("IPv6", batched, best(|| long.iter_mut().for_each(|a| *a = naive.v6(*a))));
    let start = Instant::now();
    black_box(CryptoPan::from_key(black_box(&KEY)));
    println!("start: {:?}", start.elapsed());
}
