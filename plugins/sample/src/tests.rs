use std::{collections::HashMap, hint::black_box, time::Instant};

use ringmill_sdk::{
    BATCH, Batch, Output, Timestamp,
    key::Epoch,
    testing::{Frame, START, TestHost, Trial, check_rules, decoded, run, run_raw, tcp, udp},
};

use super::{Options, Sample, Stage, below};

fn made(options: &str) -> Result<(), String> {
    let (host, _) = TestHost::new(Some(0));
    let options: Options = ringmill_sdk::parse_config(options).map_err(|e| e.to_string())?;
    Sample::new(options, &host).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_probability_is_above_0_and_at_most_1() {
    for good in ["1e-9", "0.1", "0.999", "1.0"] {
        made(&format!("probability = {good}")).unwrap();
    }
    for bad in ["0.0", "-0.1", "1.01", "nan", "inf"] {
        let error = made(&format!("probability = {bad}")).unwrap_err();
        assert!(error.contains("must be above 0 and at most 1"), "{bad}: {error}");
    }
    assert!(made("").unwrap_err().contains("probability"));
    let both = made("probability = 0.5\nkey = \"ephemeral\"\nkey_file = \"x\"").unwrap_err();
    assert!(both.contains("both set"), "{both}");
}

#[test]
fn a_bound_is_the_part_of_all_hashes() {
    let half = 1_u64 << 63;
    for (probability, bound) in
        [(1.0, None), (0.5, Some(half)), (0.25, Some(half / 2)), (1e-300, Some(0))]
    {
        assert_eq!(below(probability), bound, "{probability}");
    }
}

/// `many` connections, IPv4 and IPv6, TCP and UDP, with one packet each way.
fn frames(many: usize) -> Vec<Vec<u8>> {
    let both = |at: usize| {
        let (port, host) = (1024 + at / 16, at % 16);
        match at % 4 {
            0 => [format!("10.0.0.{host}:{port}"), "192.0.2.1:80".to_owned()],
            1 => [format!("[2001:db8::{host:x}]:{port}"), "[2001:db8:1::1]:80".to_owned()],
            _ => [format!("192.0.2.{host}:{port}"), "10.0.0.9:80".to_owned()],
        }
    };
    let frame =
        |at: usize, [a, b]: [&str; 2]| if at % 4 == 3 { udp(a, b, "") } else { tcp(a, b, "") };
    (0..many)
        .flat_map(|at| {
            let [a, b] = both(at);
            [frame(at, [&a, &b]), frame(at, [&b, &a])]
        })
        .collect()
}

#[test]
fn both_directions_are_in_or_out_together_and_as_many_as_asked() {
    let many = 20_000_usize;
    let frames = frames(many);
    for probability in [0.01, 0.1, 0.5, 0.9] {
        let ran = run::<Sample>(&format!("probability = {probability}"), &frames).unwrap();
        let mut kept = 0_usize;
        for (at, pair) in ran.verdicts.as_chunks::<2>().0.iter().enumerate() {
            assert_eq!(pair[0], pair[1], "connection {at} at {probability}");
            match pair[0].as_deref() {
                None => kept += 1,
                Some(why) => assert_eq!(why, "not_sampled"),
            }
        }
        let (mean, kept) = (many as f64 * probability, kept as f64);
        // Five standard deviations of the binomial distribution.
        let most = 5.0 * (mean * (1.0 - probability)).sqrt();
        assert!((kept - mean).abs() < most, "{kept} of {many} at {probability}");
    }
    let all = run::<Sample>("probability = 1.0", &frames).unwrap();
    assert!(all.verdicts.iter().all(Option::is_none));
    let raw = run_raw::<Sample>("probability = 1.0", &frames[..4]).unwrap();
    assert!(raw.verdicts.iter().all(|why| why.as_deref() == Some("undecoded")), "{raw:?}");
}

/// What is kept under a larger probability has what is kept under a smaller one.
#[test]
fn a_larger_sample_has_the_smaller_one_in_it() {
    let frames = frames(500);
    let kept = |probability: &str| -> Vec<bool> {
        let ran = run::<Sample>(&format!("probability = {probability}"), &frames).unwrap();
        ran.verdicts.iter().map(Option::is_none).collect()
    };
    let (small, large) = (kept("0.1"), kept("0.3"));
    assert!(small.iter().zip(&large).all(|(small, large)| *large || !small));
    assert_ne!(small, large);
}

#[test]
fn with_epochs_each_day_chooses_anew() {
    let (host, told) = TestHost::in_epochs(Epoch::Day, false);
    let options = ringmill_sdk::parse_config("probability = 0.5").unwrap();
    let mut stage = Sample::new(options, &host).unwrap();
    let frames: Vec<_> = frames(128);
    let mut choices: HashMap<i64, Vec<bool>> = HashMap::new();
    for (day, hours) in [(0, 1), (0, 23), (1, 1), (0, 12)] {
        let time = Timestamp(START.0 + (day * 24 + hours) * 3_600_000_000_000);
        let mut batch = Batch::default();
        frames.iter().for_each(|frame| batch.push(decoded(frame, time)));
        stage.packets(&mut batch, &mut Output::new(&mut Vec::new())).unwrap();
        let kept: Vec<_> = batch.all().iter().map(|packet| packet.verdict() == 0).collect();
        let before = choices.entry(day).or_insert_with(|| kept.clone());
        assert_eq!(*before, kept, "day {day} at {hours}");
    }
    assert_ne!(choices[&0], choices[&1]);
    assert_eq!(told.facts()["probability"], "0.5");
    assert_eq!(told.facts()["key"], "ephemeral");
}

#[test]
fn it_obeys_the_rules() {
    check_rules::<Sample>("probability = 0.5", &frames(64));
    assert!(Trial::<Sample>::new("probability = 2").is_err());
}

/// `cargo test --release -p ringmill-sample -- --ignored --nocapture`
#[test]
#[ignore = "takes time and proves nothing"]
#[allow(clippy::print_stdout, reason = "it is for reading")]
fn nanoseconds_a_packet() {
    let frames: Vec<_> = (0..1 << 14)
        .map(|at| {
            Frame::tcp(
                &format!("10.0.{}.{}:{}", at >> 8 & 255, at & 255, 1024 + at),
                "192.0.2.1:80",
            )
            .build()
        })
        .collect();
    let (host, _) = TestHost::new(Some(0));
    let options = ringmill_sdk::parse_config("probability = 0.1").unwrap();
    let mut stage = Sample::new(options, &host).unwrap();
    let mut least = f64::MAX;
    for _ in 0..20 {
        let mut spent = 0.0;
        for part in frames.chunks(BATCH) {
            let mut batch = Batch::default();
            part.iter().for_each(|frame| batch.push(decoded(frame, START)));
            let before = Instant::now();
            stage.packets(&mut batch, &mut Output::new(&mut Vec::new())).unwrap();
            spent += before.elapsed().as_secs_f64();
            black_box(&batch);
        }
        least = least.min(spent / frames.len() as f64 * 1e9);
    }
    println!("{least:.1} ns a packet");
}
