use super::*;
use crate::{Timestamp, testing::TestHost};

const NANOS_A_DAY: i64 = 86_400_000_000_000;

/// 0, 1, 2, ...
fn counted() -> Key {
    Key::new(std::array::from_fn(|at| u8::try_from(at).unwrap()))
}

fn hex(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn noon(date: &str) -> Timestamp {
    Timestamp(day(date).unwrap() * NANOS_A_DAY + NANOS_A_DAY / 2)
}

#[test]
fn dates_are_days_and_back() {
    let cases = [
        ("1970-01-01", Some(0)),
        ("1972-02-29", Some(789)),
        ("2000-02-29", Some(11_016)),
        ("2026-11-26", Some(20_783)),
        ("2261-12-31", Some(106_650)),
        ("1969-12-31", None),
        ("2262-01-01", None),
        ("2026-02-29", None),
        ("2026-11-31", None),
        ("2026-13-01", None),
        ("2026-00-01", None),
        ("2026-11-00", None),
        ("2026-11-26 ", None),
        ("2026/11/26", None),
        ("26-11-26", None),
        ("+026-11-26", None),
        ("", None),
        ("2026-11-2\u{e9}", None),
    ];
    for (text, number) in cases {
        assert_eq!(day(text), number, "{text:?}");
        if let Some(number) = number {
            assert_eq!(date(number), text);
        }
    }
    // Every day of the range, one after another.
    let mut before = String::new();
    for number in 0..=106_650 {
        let text = date(number);
        assert_eq!(day(&text), Some(number));
        assert!(text > before, "{text} follows {before}");
        before = text;
    }
}

#[test]
fn times_have_their_day_and_week() {
    let midnight = |date: &str| day(date).unwrap() * NANOS_A_DAY;
    let cases = [
        (0, "1970-01-01", "1969-12-29"),
        (-1, "1969-12-31", "1969-12-29"),
        (midnight("2026-11-22") - 1, "2026-11-21", "2026-11-16"),
        (midnight("2026-11-23") - 1, "2026-11-22", "2026-11-16"),
        (midnight("2026-11-23"), "2026-11-23", "2026-11-23"),
        (midnight("2026-11-26"), "2026-11-26", "2026-11-23"),
        (midnight("2027-01-01"), "2027-01-01", "2026-12-28"),
    ];
    for (time, first, monday) in cases {
        for (epoch, date) in [(Epoch::Day, first), (Epoch::Week, monday)] {
            let period = epoch.period(Timestamp(time));
            assert_eq!(epoch.date(period), date, "{time} by {}", epoch.name());
            assert_eq!(epoch.period_of_day(epoch.first_day(period)), period, "{time}");
        }
    }
    assert_eq!(Epoch::Week.period(Timestamp(i64::MIN)), -15_250);
}

/// Computed with Python's `hmac` and `hashlib`.
#[test]
fn the_chain_is_what_is_written_down() {
    let mut chain = Ratchet::new(Epoch::Day, 7, counted());
    assert_eq!(chain.id(), ID);
    chain.advance(9);
    assert_eq!(hex(&chain.key("crypto_pan")), CRYPTO_PAN_OF_9);
    assert_ne!(chain.key("crypto_pan"), chain.key("http.flow"), "each label has its own");
    let there = chain.clone();
    chain.advance(8);
    assert_eq!((chain.period(), chain.id()), (9, there.id()), "there is no way back");

    let mut steps = Ratchet::new(Epoch::Day, 7, counted());
    (8..=9).for_each(|period| steps.advance(period));
    assert_eq!(steps.key("crypto_pan"), there.key("crypto_pan"), "in two steps as in one");
}

const ID: &str = "bbf21f3e";
const CRYPTO_PAN_OF_9: &str = "2afa7a8acdba230bfcc798242120cf65cec5ca4ca7036c52df1225a3a0a41ffb";

#[test]
fn a_chain_is_read_as_it_was_written() {
    let chain = Ratchet::new(Epoch::Week, Epoch::Week.period_of_day(20_783), counted());
    let text = chain.to_text();
    let digits = hex(&counted());
    assert_eq!(*text, format!("ringmill-key 1\nepoch week 2026-11-23\n{digits}\n"));
    let good = [
        text.to_string(),
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
        text.to_uppercase()
            .replace("RINGMILL-KEY", "ringmill-key")
            .replace("EPOCH WEEK", "epoch week"),
    ];
    for text in good {
        let read = Ratchet::parse(text.as_bytes()).unwrap();
        assert_eq!((read.epoch(), read.period(), read.id()), (Epoch::Week, 2969, chain.id()));
    }
    let line = "has no second line such as `epoch day 2026-11-26`";
    let cases = [
        ("ringmill-key 2\n", "is a key file of another version of Ringmill"),
        ("ringmill-key 1\n", line),
        ("ringmill-key 1\nepoch day\n", line),
        ("ringmill-key 1\nepoch month 2026-11-01\n", line),
        ("ringmill-key 1\nepoch day 2026-02-30\n", line),
        (
            "ringmill-key 1\nepoch week 2026-11-26\n",
            "says `epoch week 2026-11-26`, and weeks begin on Mondays",
        ),
        (
            "ringmill-key 1\nepoch day 2026-11-26\n00ff\n",
            "has a third line that is not 64 hex digits",
        ),
        ("ringmill-key 1\nepoch day 2026-11-26\n\n", "has a third line that is not 64 hex digits"),
        (&format!("{}\nmore", text.trim_end()), "has more than three lines"),
    ];
    for (text, message) in cases {
        assert_eq!(Ratchet::parse(text.as_bytes()).unwrap_err(), message, "{text:?}");
    }
}

#[test]
fn keys_print_as_nothing() {
    let chain = Ratchet::new(Epoch::Day, 20_783, counted());
    let (host, _) = TestHost::new(Some(0));
    let one = Schedule::new(None, Some(Ephemeral), &host, "one").unwrap();
    let (host, _) = TestHost::in_epochs(Epoch::Day, false);
    let mut many = Schedule::new(None, Some(Ephemeral), &host, "many").unwrap();
    many.key(20_783).unwrap();
    let shown =
        format!("{:?} {:?} {chain:?} {one:?} {many:?}", counted(), Stored::Plain(counted()));
    assert!(shown.contains("Key(..)") && shown.contains("2026-11-26"), "{shown}");
    assert!(!shown.contains("1, 2") && !shown.contains("0102"), "{shown}");
}

#[test]
fn without_epochs_there_is_one_key() {
    let (host, told) = TestHost::new(Some(0));
    let mut keys = Schedule::new(None, Some(Ephemeral), &host, "stage").unwrap();
    assert_eq!((keys.period(noon("2026-11-26")), keys.period(noon("2027-11-26"))), (0, 0));
    assert_eq!(*keys.key(0).unwrap(), host.ephemeral_key("stage"));
    assert_eq!(keys.tick(noon("2027-11-26")), 0);
    let facts = told.facts();
    assert_eq!(facts["key"], "ephemeral");
    assert_eq!(facts["key_id"], host.ephemeral_key("stage").id());
    assert!(!facts.contains_key("epoch"));
}

#[test]
fn each_epoch_has_its_key_and_each_stage_too() {
    for epoch in [Epoch::Day, Epoch::Week] {
        let (host, told) = TestHost::in_epochs(epoch, false);
        let mut keys = Schedule::new(None, Some(Ephemeral), &host, "stage").unwrap();
        let mut again = Schedule::new(None, Some(Ephemeral), &host, "stage").unwrap();
        let mut other = Schedule::new(None, Some(Ephemeral), &host, "other").unwrap();
        assert_eq!(told.facts()["epoch"], epoch.name());
        // Old captures, and in no order: more periods than are kept at hand.
        let dates = ["2026-11-26", "1970-01-05", "1999-12-31", "2026-11-19", "2026-12-24"];
        let more = (1..12).map(|month| format!("2020-{month:02}-15"));
        let dates: Vec<_> = dates.map(str::to_owned).into_iter().chain(more).collect();
        let mut seen = std::collections::HashSet::new();
        for date in dates.iter().chain(&dates) {
            let period = keys.period(noon(date));
            let key = hex(keys.key(period).unwrap());
            assert_eq!(key, hex(again.key(period).unwrap()), "{date}: two workers");
            assert_ne!(key, hex(other.key(period).unwrap()), "{date}: two stages");
            seen.insert(key);
        }
        assert_eq!(seen.len(), dates.len(), "by {}", epoch.name());
        let error = keys.key(-1).unwrap_err().to_string();
        assert!(error.contains("those before are destroyed, or never were"), "{error}");
    }
}

#[test]
fn live_the_keys_before_the_previous_epoch_are_forgotten() {
    for live in [true, false] {
        let (host, _) = TestHost::in_epochs(Epoch::Day, live);
        let mut keys = Schedule::new(None, Some(Ephemeral), &host, "stage").unwrap();
        let [old, previous, now] =
            ["2026-11-24", "2026-11-25", "2026-11-26"].map(|date| keys.period(noon(date)));
        let before = [old, previous, now].map(|period| hex(keys.key(period).unwrap()));
        let oldest = keys.tick(noon("2026-11-26"));
        assert_eq!(oldest, if live { previous } else { 0 }, "live: {live}");
        assert_eq!(keys.key(old).is_err(), live, "live: {live}");
        for (period, key) in [(previous, &before[1]), (now, &before[2])] {
            assert_eq!(hex(keys.key(period).unwrap()), *key, "live: {live}, {period}");
        }
        if live {
            let error = keys.key(old).unwrap_err().to_string();
            let said = "a row is of the day 2026-11-24, and the first key of the ephemeral key is \
                        that of the day 2026-11-25: ";
            assert!(error.starts_with(said), "{error}");
        }
        // A clock that goes back brings nothing back.
        keys.tick(noon("2026-11-24"));
        assert_eq!(keys.key(old).is_err(), live, "live: {live}");
    }
}
