//! The stage from outside, and what hostile texts do to it.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use ringmill_sdk::{
    arrow_array::RecordBatch,
    arrow_schema::{DataType, Field, Schema, SchemaRef},
    prelude::*,
    schema::{Kind, text},
    testing::{Trial, check_rules, records, rows, run_records, tcp},
};

use crate::{
    UserAgent,
    cache::Cache,
    parsed::{COLUMNS, LONGEST, Parsed, cut},
};

const FIREFOX: &str =
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.7; rv:21.0) Gecko/20100101 Firefox/21.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/16.5 Mobile/15E148 Safari/604.1";
const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn requests() -> SchemaRef {
    schema::record(
        "http_request",
        vec![
            text("host", Kind::Header),
            text("user_agent", Kind::Header),
            text("referer", Kind::Url),
        ],
    )
}

/// The five values, a dash for null.
fn five(user_agent: &str) -> String {
    let parsed = Parsed::new(cut(user_agent));
    parsed.values().map(|value| value.unwrap_or("-")).collect::<Vec<_>>().join(" | ")
}

#[test]
fn what_user_agents_say() {
    let cases = [
        (FIREFOX, "Mac OSX | 10.7 | pc | Firefox | 21.0"),
        (IPHONE, "iPhone | 16.5 | smartphone | Safari | 16.5"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/120.0.0.0 Safari/537.36",
            "Windows 10 | NT 10.0 | pc | Chrome | 120.0.0.0",
        ),
        (BOT, "- | - | crawler | Googlebot | -"),
        ("curl/8.5.0", "- | - | misc | HTTP Library | curl"),
        ("", "- | - | - | - | -"),
        ("-", "- | - | - | - | -"),
        ("UNKNOWN", "- | - | - | - | -"),
        ("\u{0}\u{fffd}\u{1f980}", "- | - | - | - | -"),
    ];
    for (user_agent, expected) in cases {
        assert_eq!(five(user_agent), expected, "{user_agent}");
    }
}

#[test]
fn five_columns_right_behind_theirs() {
    let schema = requests();
    let rows_in: [&[&str]; 4] =
        [&["a", FIREFOX, "r"], &["b", "", ""], &["c", BOT, ""], &["d", FIREFOX, ""]];
    let batch = records(&schema, &rows_in);
    let ran = run_records::<UserAgent>("", &[batch.clone(), batch.slice(1, 3)]).unwrap();
    let out = ran.records[0].schema();
    let names: Vec<_> = out.fields().iter().map(|field| field.name().as_str()).collect();
    let expected = [["host", "user_agent"].as_slice(), &COLUMNS, &["referer"]].concat();
    assert_eq!(names, expected);
    assert_eq!(schema::record_name(&out), "http_request");
    let kinds: Vec<_> =
        out.fields()[2..7].iter().map(|field| field.metadata()[schema::KIND].as_str()).collect();
    assert_eq!(kinds, ["text", "header", "text", "text", "header"]);

    let got: Vec<_> = rows(&ran.records)
        .iter()
        .map(|row| {
            let cell = |name: &&str| row.get(*name).cloned().unwrap_or("-".to_owned());
            expected
                .iter()
                .filter(|name| **name != "user_agent")
                .map(cell)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let [firefox, none, bot] =
        ["a Mac OSX 10.7 pc Firefox 21.0 r", "b - - - - - -", "c - - crawler Googlebot - -"];
    let last = "d Mac OSX 10.7 pc Firefox 21.0 -";
    assert_eq!(got, [firefox, none, bot, last, none, bot, last]);
    assert_eq!((ran.counters["cache.hits"], ran.counters["cache.misses"]), (3, 2));
}

#[test]
fn other_batches_pass_untouched() {
    let plain =
        |name: &str, data_type| Arc::new(Schema::new(vec![Field::new(name, data_type, true)]));
    let mut twice = requests().fields().to_vec();
    twice.push(Arc::new(text(COLUMNS[3], Kind::Text)));
    let cases: [(&str, SchemaRef, &[&str]); 4] = [
        ("no such column", plain("host", DataType::Utf8), &["h"]),
        ("another name", plain("User_Agent", DataType::Utf8), &[FIREFOX]),
        ("not text", plain("user_agent", DataType::UInt16), &["7"]),
        ("parsed already", Arc::new(Schema::new(twice)), &["h", FIREFOX, "r", "Firefox"]),
    ];
    for (what, schema, row) in cases {
        let batch = records(&schema, &[row]);
        let ran = run_records::<UserAgent>("", &[batch.clone(), batch.clone()]).unwrap();
        assert_eq!(ran.records, [batch.clone(), batch], "{what}");
        assert!(Arc::ptr_eq(ran.records[0].schema_ref(), &schema), "{what}");
    }
}

#[test]
fn one_schema_in_is_one_schema_out_and_many_do_not_pile_up() {
    let row: &[&str] = &["h", FIREFOX, "r"];
    let mut trial = Trial::<UserAgent>::new("").unwrap();
    let schema = requests();
    for _ in 0..3 {
        trial.records(records(&schema, &[row])).unwrap();
    }
    for _ in 0..1000 {
        trial.records(records(&requests(), &[row])).unwrap();
    }
    let out = trial.ran().records;
    let first = out[0].schema();
    assert!(out[..3].iter().all(|batch| Arc::ptr_eq(batch.schema_ref(), &first)));
    assert!(out.iter().all(|batch| *batch.schema() == *first));
    assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 1003);
}

#[test]
fn the_cache_is_bounded_and_forgets_what_is_not_used() {
    let mut cache = Cache::new(10);
    for at in 0..1000 {
        cache.parsed(&format!("agent {at}"));
        assert!(cache.parsed(FIREFOX).1 || at == 0, "used all the time, so known, at {at}");
        assert!(cache.len() <= 10, "{} entries", cache.len());
    }
    assert!(cache.parsed("agent 999").1);
    assert!(!cache.parsed("agent 0").1);
    assert_eq!(*cache.parsed(FIREFOX).0, Parsed::new(FIREFOX), "still the right one");

    // Texts that differ only behind what is parsed are one.
    let long = "x".repeat(LONGEST);
    assert!(!cache.parsed(&format!("{long}a")).1);
    assert!(cache.parsed(&format!("{long}b")).1);
}

#[test]
fn texts_are_cut_between_characters() {
    for (text, length) in [("a", 1024), ("\u{e9}", 1024), ("\u{20ac}", 1023), ("\u{1f980}", 1024)] {
        let long = text.repeat(2000);
        assert_eq!(cut(&long).len(), length, "{text}");
        assert_eq!(cut(&long[..text.len() * 3]).len(), text.len() * 3, "{text}");
    }
}

/// Beginnings of what woothee looks for, followed and joined by what it does not expect.
#[test]
fn hostile_texts_neither_panic_nor_take_long() {
    const SEEDS: &[&str] = &[
        "Mozilla/5.0 (",
        "Windows NT ",
        "Windows Phone OS ",
        "Xbox; Xbox One)",
        "MSIE ",
        "Trident/",
        "IEMobile/",
        "compatible; MSIE",
        "Edge/",
        "Vivaldi/",
        "FxiOS/",
        "YaBrowser/",
        "SamsungBrowser/",
        "Chrome/",
        "CriOS/",
        "OPR/",
        "GSA/",
        "Safari/",
        "Version/",
        "Firefox/",
        "Opera",
        "iPhone; like Mac OS X",
        "iPad",
        "iPod",
        "DoCoMo/",
        ";FOMA;",
        "KDDI-",
        "SoftBank/",
        "Vodafone/",
        "WILLCOM;",
        "DDIPOCKET;",
        "jig browser",
        "PlayStation Portable",
        "PSP (",
        "PLAYSTATION 3",
        "PlayStation Vita ",
        "PlayStation 4 ",
        "Nintendo 3DS;",
        "InettvBrowser/",
        "Macintosh; ",
        "Mac OS X 10",
        "; CPU OS 1_",
        "Linux",
        "Android",
        "Tizen",
        "CrOS ",
        "FreeBSD ",
        "BlackBerry",
        "BB10",
        "Apache-HttpClient/",
        "PHP",
        "rss reader",
        "bot",
        "crawler ",
        "feed parser",
        "watch dog",
        "Sleipnir/",
        "rv:",
        "Google",
        "Yahoo",
        "PPC",
    ];
    const JOINS: &[&str] = &[
        "",
        " ",
        ";",
        ")",
        "(",
        "/",
        ".",
        "0",
        "9.",
        "_",
        "\u{0}",
        "\u{e9}",
        "\u{130}",
        "\u{17f}",
        "\u{200d}",
        "\u{202e}",
        "\u{fffd}",
        "\u{1f469}\u{200d}\u{1f4bb}",
        "\n",
        "1_2_3",
        "9.9.9.9.9",
    ];
    let mut longest = Duration::ZERO;
    for seed in SEEDS {
        for join in JOINS {
            let texts = [
                format!("{seed}{join}"),
                format!("{join}{seed}"),
                format!("Mozilla/5.0 ({seed}{join}) {seed}{join};"),
                format!("{seed}{join}").repeat(2 * LONGEST / seed.len()),
            ];
            for text in texts {
                let begin = Instant::now();
                black_box(five(&text));
                longest = longest.max(begin.elapsed());
            }
        }
    }
    // A whole second for 1 KiB would be a regular expression that tries everything.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    println!("longest: {longest:?}");
}

#[test]
fn options_that_are_wrong() {
    for options in ["cache = 0", "cache = 1", "cache = 1048577"] {
        let error = Trial::<UserAgent>::new(options).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("`cache`: must be from 2 to 1048576"), "{options}");
    }
    assert!(Trial::<UserAgent>::new("cache = 2").is_ok());
}

#[test]
fn the_rules_of_every_stage() {
    check_rules::<UserAgent>("", &[tcp("192.0.2.1:1", "192.0.2.2:80", "GET / HTTP/1.1\r\n\r\n")]);
}

/// `cargo test --release -p ringmill-user-agent -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed_of_hits_and_misses() {
    // Few enough rows for one time slice; the lower quartile, because noise only ever adds.
    let time = |rows: u32, body: &mut dyn FnMut()| {
        let mut times: Vec<_> = (0..401)
            .map(|_| {
                let begin = Instant::now();
                body();
                begin.elapsed().as_secs_f64() * 1e9 / f64::from(rows)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 4]
    };
    let agents: Vec<_> = (0..50).map(|at| format!("{FIREFOX}{at}")).collect();
    let values: Vec<Vec<&str>> =
        agents.iter().cycle().take(1000).map(|agent| vec!["h", agent.as_str(), "r"]).collect();
    let table: Vec<&[&str]> = values.iter().map(Vec::as_slice).collect();
    let batch = records(&requests(), &table);

    let mut trial = Trial::<UserAgent>::new("").unwrap();
    let whole = time(1000, &mut || trial.records(batch.clone()).unwrap());
    let mut cache = Cache::new(4096);
    let hit = time(1000, &mut || {
        agents.iter().cycle().take(1000).for_each(|agent| {
            black_box(cache.parsed(agent));
        });
    });
    let parse = time(50, &mut || {
        agents.iter().for_each(|agent| {
            black_box(Parsed::new(agent));
        });
    });
    println!("a row {whole:.0} ns, of which the look-up {hit:.0} ns; parsing {parse:.0} ns");
}
