//! Bad configs with the whole message each gives, and good ones with what they come to.
//!
//! The bad ones are in `bad_configs.txt`: after `=== name` the config, after `=== says` what the
//! engine says. With `RINGMILL_WRITE_MESSAGES=1` the file is written anew, to be read as a diff.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use ringmill_sdk::key::Epoch;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{
    Backend, Balance, Config, ConfigError, Place, Plugged, SinkEntry, WhenFull, load, parse,
};

/// A stage with an option of every kind.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read, to see what serde says")]
struct Sample {
    key_file: Option<PathBuf>,
    n: Option<NonZeroU64>,
    small: Option<u8>,
    many: Option<usize>,
    ratio: Option<f64>,
    fast: Option<bool>,
    names: Option<Vec<String>>,
    pair: Option<[u8; 2]>,
    mode: Option<Mode>,
    at: Option<IpAddr>,
    either: Option<Either>,
    since: Option<toml::value::Datetime>,
    limits: Option<Limits>,
    nets: Option<Vec<Net>>,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Slow,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
#[expect(dead_code, reason = "only read, to see what serde says")]
enum Either {
    Number(u8),
    Text(String),
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read, to see what serde says")]
struct Limits {
    max_flows: Option<u32>,
    idle: f64,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read, to see what serde says")]
struct Net {
    prefix: String,
    w: u8,
}

/// A stage that cannot do without its option.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read, to see what serde says")]
struct Strict {
    key: String,
}

/// A stage without options.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Plain {}

const NAMES: &[&str] = &["sample", "strict", "plain"];

fn options<T: DeserializeOwned>(config: &Config, plugged: &Plugged) -> Result<(), ConfigError> {
    let deserializer = toml::Deserializer::parse(&plugged.options)
        .map_err(|error| config.document.stage_error(&plugged.place, "", &error.to_string()))?;
    match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Ok(_) => Ok(()),
        Err(error) => Err(config.document.stage_error(
            &plugged.place,
            &error.path().to_string(),
            &error.inner().to_string(),
        )),
    }
}

/// What the engine does with a config up to the point where the stages are made.
fn check(text: &str) -> Result<Config, ConfigError> {
    let config = parse(Path::new("x.toml"), text.to_owned())?;
    let sinks = config.sinks.iter().map(|sink| &sink.plugged);
    for plugged in config.stages.iter().chain(sinks) {
        match plugged.name.as_str() {
            "sample" => options::<Sample>(&config, plugged)?,
            "strict" => options::<Strict>(&config, plugged)?,
            "plain" => options::<Plain>(&config, plugged)?,
            other => {
                let message = format!("there is no {} `{other}`", plugged.place.kind());
                return Err(config.document.at_use(&plugged.place, &message, NAMES));
            }
        }
    }
    Ok(config)
}

fn said(result: Result<Config, ConfigError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "nothing; it was accepted".to_owned())
}

#[test]
fn every_bad_config_says_what_is_wrong() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/config/bad_configs.txt");
    let table = std::fs::read_to_string(&file).expect("the table is there");
    let mut anew = String::new();
    let mut failures = String::new();
    let mut rows = 0;
    let parts: Vec<&str> = table.split("=== ").skip(1).collect();
    for row in parts.chunks(2) {
        let [case, wanted] = row else { panic!("a row without an answer: {row:?}") };
        let (name, text) = case.split_once('\n').expect("a name has a line of its own");
        let wanted = wanted.strip_prefix("says\n").expect("`says` follows").trim_end();
        let got = said(check(text));
        let _ = write!(anew, "=== {name}\n{text}=== says\n{got}\n\n");
        note_difference(&mut failures, name, wanted, &got);
        rows += 1;
    }
    if std::env::var_os("RINGMILL_WRITE_MESSAGES").is_some() {
        std::fs::write(file, anew).expect("the table can be written");
    } else {
        assert!(failures.is_empty(), "\n{failures}");
    }
    assert!(rows >= 45, "only {rows} rows");
}

/// Rows that a text file would not keep as they are.
#[test]
fn marks_stand_under_what_they_mean() {
    let long = format!("[engine]\nledger = \"{}\"\nbatch = 0\n", "x".repeat(500));
    let very_long = format!("sink = [{}{{ use = 3 }}]\n", "{ use = \"a\" }, ".repeat(30));
    let cases: &[(&str, &str, &str)] = &[
        (
            "tabs",
            "[engine]\n\tworkers\t=\t0\t# none\n",
            "x.toml:2:12: `workers` must be a whole number from 1 to 1024; this is 0\n  \
             2 | \tworkers\t=\t0\t# none\n    \
               | \t       \t \t^",
        ),
        (
            "carriage returns",
            "[engine]\r\nworkers = 0\r\n",
            "x.toml:2:11: `workers` must be a whole number from 1 to 1024; this is 0\n  \
             2 | workers = 0\n    \
               |           ^",
        ),
        (
            "byte-order mark",
            "\u{feff}workers = 0\n",
            "x.toml:1:1: unknown key `workers` at the top of the file\n  \
             1 | workers = 0\n    \
               | ^^^^^^^\n    \
               | it belongs in [engine]",
        ),
        (
            "two bytes a letter",
            "[capture]\nfrom = \"größe\" # ä\n",
            "x.toml:2:8: `from` must be \"pf_ring\", \"af_packet\", \"af_xdp\" or \"file\"; \
             this is \"größe\"\n  \
             2 | from = \"größe\" # ä\n    \
               |        ^^^^^^^",
        ),
        (
            "two columns a letter",
            "[capture]\nfrom = [\"設定\"]\n",
            "x.toml:2:9: `from` must be \"pf_ring\", \"af_packet\", \"af_xdp\" or \"file\"; \
             this is \"設定\"\n  \
             2 | from = [\"設定\"]\n    \
               |         ^^^^^^",
        ),
        (
            "after two columns a letter",
            "[capture]\nfrom = \"file\"\nfiles = [\"設定\", 3]\n",
            "x.toml:3:16: every item of `files` must be text; this is 3\n  \
             3 | files = [\"設定\", 3]\n    \
               |                  ^\n    \
               | put it in quotes: \"3\"",
        ),
        (
            "an escape character",
            "[engine]\nledger = \"\u{1b}[31m\"\n",
            "x.toml:2:11: a control character stands here; it may only be written as an escape\n  \
             2 | ledger = \"\u{fffd}[31m\"\n    \
               |           ^",
        ),
        (
            "a value of several lines",
            "[engine]\nworkers = [\n  1,\n  2\n]\n",
            "x.toml:2:11: `workers` must be a whole number from 1 to 1024; this is a list\n  \
             2 | workers = [\n    \
               |           ^",
        ),
        (
            "no line feed at the end",
            "[engine]\nworkers =",
            "x.toml:2:10: a value is missing here\n  \
             2 | workers =\n    \
               |          ^",
        ),
        (
            "a long line before",
            &long,
            "x.toml:3:9: `batch` must be a whole number from 1 to 256; this is 0\n  \
             3 | batch = 0\n    \
               |         ^",
        ),
        (
            "a line too long to show",
            &format!(
                "capture = {{ from = \"file\", files = \"-\" }}\nstage = [{{ use = \"a\" }}]\n{very_long}"
            ),
            "x.toml:3:467: `use` must be text; this is 3\n  \
             3 | ... , { use = \"a\" }, { use = \"a\" }, { use = 3 }]\n    \
               |                                             ^\n    \
               | put it in quotes: \"3\"",
        ),
    ];
    let mut failures = String::new();
    for (name, text, wanted) in cases {
        note_difference(&mut failures, name, wanted, &said(check(text)));
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// What stages say themselves, and what serde says where a path does not lead to the key.
#[test]
fn a_stage_speaks_with_place_and_caret() {
    let config = config(
        "capture = { from = \"file\", files = \"-\" }\n\
         sink = [{ use = \"jsonl\" }]\n\
         [[stage]]\n\
         use = \"decode\"\n\
         [[stage]]\n\
         use = \"crypto_pan\"\n\
         key_file = \"/etc/key\"\n\
         nets = [{ w = 1 }, { w = 2, \"a.b\" = 3 }]\n\
         [stage.limits]\n\
         idle = 5\n",
    );
    // Path, message, place, sentence.
    let cases: &[(&str, &str, &str, &str)] = &[
        (".", "two keys are given", "5:1", "stage `crypto_pan`: two keys are given"),
        ("", "needs a key", "5:1", "stage `crypto_pan`: needs a key"),
        (
            "key_file",
            "/etc/key: no such file",
            "7:12",
            "stage `crypto_pan`: `key_file`: /etc/key: no such file",
        ),
        (
            "limits.idle",
            "must be above 9",
            "10:8",
            "stage `crypto_pan`: `limits.idle` must be above 9",
        ),
        ("limits.gone", "must be there", "9:1", "stage `crypto_pan`: `limits.gone` must be there"),
        ("nets[1].w", "must be odd", "8:26", "stage `crypto_pan`: `nets[1].w` must be odd"),
        ("nets[1].a.b", "must be odd", "8:37", "stage `crypto_pan`: `nets[1].a.b` must be odd"),
        ("nets[9].w", "must be odd", "8:8", "stage `crypto_pan`: `nets[9].w` must be odd"),
        ("?.x[", "odd", "5:1", "stage `crypto_pan`: `?.x[`: odd"),
        (
            "",
            "unknown field `key_file`, expected `key`",
            "7:1",
            "unknown key `key_file` in stage `crypto_pan`",
        ),
        (
            "limits",
            "unknown field `idle`, expected one of `idel`, `max`",
            "10:1",
            "unknown key `idle` in `limits` of stage `crypto_pan`",
        ),
        (
            "limits.idle",
            "unknown field `idle`, there are no fields",
            "10:1",
            "unknown key `idle` in `limits` of stage `crypto_pan`",
        ),
        (
            "limits.idle",
            "TOML parse error at line 3, column 8\n  |\n3 | idle = 5\n  |        ^\n\
             invalid type: integer `5`, expected a duration such as \"5s\"\n",
            "10:8",
            "stage `crypto_pan`: `limits.idle` must be a duration such as \"5s\"; this is 5",
        ),
        (
            "limits.idle",
            "invalid type: integer `5`, expected a string\nin `limits.idle`\n",
            "10:8",
            "stage `crypto_pan`: `limits.idle` must be text; this is 5",
        ),
    ];
    for (path, message, place, sentence) in cases {
        let error = config.document.stage_error(&config.stages[1].place, path, message);
        let at = format!("{}:{}", error.line().unwrap_or(0), error.column().unwrap_or(0));
        assert_eq!((at.as_str(), error.message()), (*place, *sentence), "{path}: {message}");
    }
}

#[test]
fn the_engine_speaks_about_its_own_keys() {
    let config = config(
        "capture = { from = \"af_packet\", interface = [\"eth2\", \"eth3\"], filter = \"tpc\" }\n\
         stage = [{ use = \"http\" }]\n\
         sink = [{ use = \"jsonl\" }]\n",
    );
    let at = |place: &Place, key: &str| {
        let error = config.document.at_key(place, key, "no");
        error.to_string().lines().skip(1).take(2).collect::<Vec<_>>().join("\n")
    };
    let line = "  1 | capture = { from = \"af_packet\", interface = [\"eth2\", \"eth3\"], filter = \"tpc\" }\n";
    assert_eq!(
        at(&Place::CAPTURE, "interface[1]"),
        format!("{line}    | {}^^^^^^", " ".repeat(53))
    );
    assert_eq!(at(&Place::CAPTURE, "filter"), format!("{line}    | {}^^^^^", " ".repeat(71)));
    assert_eq!(
        at(&Place::CAPTURE, ""),
        format!("{line}    | {}{}", " ".repeat(10), "^".repeat(68))
    );
    assert_eq!(at(&Place::ENGINE, "cores"), "", "there is no [engine] to point at");
    let of_lines = config.document.at_key(&Place::ENGINE, "cores", "cannot\nbecause\n");
    assert_eq!(of_lines.to_string(), "x.toml: cannot\n  | because");
}

fn config(text: &str) -> Config {
    parse(Path::new("x.toml"), text.to_owned()).unwrap_or_else(|error| panic!("{error}"))
}

const CAMPUS: &str = r#"
[engine]
workers = 8                 # one per ring, each pinned
cores = "2-9"
ledger = "out/ledger.json"
spill = "/var/lib/ringmill/spill"

[capture]
from = ["pf_ring", "af_packet"]   # the first that this machine has; also af_xdp, file
interface = ["eth2", "eth3"]
cluster = 42
balance = "flow"            # both directions of a connection reach the same worker
filter = "tcp"              # tcpdump syntax

[[stage]]
use = "decode"
[[stage]]
use = "classify"
[[stage]]
use = "http"
[[stage]]
use = "user_agent"
[[stage]]
use = "crypto_pan"          # swap the strategy here; the core does not know it
key_file = "/etc/ringmill/anon.key"    # or key = "ephemeral"

[[sink]]
use = "parquet"
directory = "/var/lib/ringmill"
[[sink]]
plugin = "/usr/lib/ringmill/libkafka.so"
use = "kafka"
brokers = "127.0.0.1:9092"
queue = 16
when_full = "spill"         # or "drop" (counted) or "block"
spill_mib = 100
spill_full = "drop_newest"
retries = 5
retry_seconds = 60
drain_seconds = 20
"#;

#[test]
fn the_whole_chain_is_read() {
    let config = config(CAMPUS);
    assert_eq!(config.engine.workers, 8);
    assert_eq!(config.engine.cores.as_ref().map(ToString::to_string).as_deref(), Some("2-9"));
    assert_eq!(config.engine.batch, 256);
    assert_eq!(config.engine.ledger, Some(PathBuf::from("out/ledger.json")));
    assert_eq!(config.engine.epoch, None);
    assert!(!config.allow_identifiable);
    assert_eq!(config.capture.from, [Backend::PfRing, Backend::AfPacket]);
    assert_eq!(config.capture.snaplen, 262_144);
    assert_eq!(config.capture.filter.as_deref(), Some("tcp"));
    let live = config.capture.live.as_ref().expect("it is live");
    assert_eq!(live.interfaces, ["eth2", "eth3"]);
    assert_eq!((live.cluster, live.balance, live.promiscuous), (Some(42), Balance::Flow, true));
    let names: Vec<&str> = config.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["decode", "classify", "http", "user_agent", "crypto_pan"]);
    assert_eq!(config.stages[4].options, "key_file = \"/etc/ringmill/anon.key\"\n");
    assert_eq!(config.stages[4].place.to_string(), "stage[4]");
    assert_eq!(config.engine.spill, Some(PathBuf::from("/var/lib/ringmill/spill")));
    let terms = |sink: &SinkEntry| {
        let SinkEntry { queue, when_full, spill_mib, spill_drops_oldest: oldest, .. } = *sink;
        let times = (sink.retries, sink.retry_seconds, sink.drain_seconds);
        ((queue, when_full), (spill_mib, oldest), times)
    };
    assert_eq!(terms(&config.sinks[0]), ((64, None), (4096, true), (3, 30, 10)));
    let kafka = &config.sinks[1];
    let spills = (16, Some(WhenFull::Spill));
    assert_eq!(terms(kafka), (spills, (100, false), (5, 60, 20)));
    assert_eq!(kafka.plugged.plugin, Some(PathBuf::from("/usr/lib/ringmill/libkafka.so")));
    assert_eq!(kafka.plugged.options, "brokers = \"127.0.0.1:9092\"\n");
}

#[test]
fn keys_change_as_often_as_the_file_says() {
    for (word, epoch) in Epoch::ALL {
        let text = CAMPUS.replace("[engine]\n", &format!("[engine]\nepoch = {word:?}\n"));
        assert_eq!(config(&text).engine.epoch, Some(epoch));
    }
}

#[test]
fn arguments_override_the_file() {
    let config = config(CAMPUS);
    let files = config.clone().with_files(vec!["a.pcap".to_owned()]);
    assert_eq!(files.capture.from, [Backend::File]);
    assert_eq!((files.capture.files.len(), files.capture.live.is_none()), (1, true));
    assert_eq!(files.capture.filter.as_deref(), Some("tcp"), "the filter stays");

    assert_eq!(config.clone().with_workers(3).map(|c| c.engine.workers).ok(), Some(3));
    let too_many = config.clone().with_workers(9).map(|_| ()).expect_err("eight cores");
    assert_eq!(
        too_many.to_string(),
        "x.toml:4:9: `cores` names 8 cores, but `--workers` asks for 9; \
         every worker needs a core of its own\n  4 | cores = \"2-9\"\n    |         ^^^^^"
    );
    let none = config.with_workers(0).map(|_| ()).expect_err("no workers");
    assert_eq!(none.to_string(), "`--workers` must be a whole number from 1 to 1024; this is 0");
}

/// What a stage reads is what was typed, in type and value.
#[test]
fn options_come_through_unchanged() {
    let typed = r#"
        text = "a \"b\" \\ \t ü"
        raw = 'C:\x'
        many = """one
two"""
        hex = 0xff
        small = -3
        most = 9223372036854775807
        least = -9223372036854775808
        one = 1.0
        big = 6.02e23
        no_end = inf
        none = -inf
        flag = true
        date = 2026-01-02
        time = 03:04:05.678
        both = 2026-01-02T03:04:05Z
        list = [1, [2, 3], []]
        mixed = [1, { a = 2 }]
        inline = { a.b = 1, "c d" = "e" }
        dotted.key.deep = 1
        "quoted.key" = 2
        "" = 3
        [stage.table]
        x = 1
        [stage.table.sub]
        y = 2
        [[stage.nets]]
        w = 1
        [[stage.nets]]
        w = 2
    "#;
    let text = format!(
        "capture.from = 'file'\ncapture.files = '-'\nsink = [{{ use = 'a' }}]\n\
         [[stage]]\nuse = 'sample'\nplugin = 'x.so'\n{typed}"
    );
    let wanted: toml::Table = typed
        .replace("[stage.", "[")
        .replace("[[stage.", "[[")
        .parse()
        .expect("the options are TOML by themselves");
    let got: toml::Table = config(&text).stages[0].options.parse().expect("TOML");
    assert_eq!(got, wanted);
}

/// A sink keeps `queue` and `when_full` from its options; a stage may have options of that name.
#[test]
fn the_engine_takes_only_its_own_keys() {
    let config = config(
        "capture = { from = \"file\", files = [\"a\", \"-\"] }\n\
         stage = [{ use = \"a\", queue = 3 }]\n\
         sink = [{ use = \"a\", queue = 3, when_full = \"block\", path = \"-\" }]\n",
    );
    assert_eq!(config.stages[0].options, "queue = 3\n");
    assert_eq!(config.sinks[0].plugged.options, "path = \"-\"\n");
    assert_eq!(config.capture.files, ["a", "-"]);
}

#[test]
fn every_unreadable_file_says_why() {
    let directory = std::env::temp_dir().join(format!("ringmill-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let cases: &[(&str, Option<&[u8]>, &str)] = &[
        (
            "campus.toml",
            Some(b""),
            "campus.toml: nothing is set in this file; a config has [capture], [[stage]] and [[sink]]",
        ),
        ("campsu.toml", None, "campsu.toml: no such file\n  | did you mean DIR/campus.toml?"),
        ("else.toml", None, "else.toml: no such file"),
        ("gone/x.toml", None, "gone/x.toml: no such file; there is no directory DIR/gone"),
        ("", None, ": this is a directory; name the config file in it"),
        (
            "latin.toml",
            Some(b"# a\n# gr\xf6\xdfe\n"),
            "latin.toml:2:5: this is not UTF-8, and a config must be\n  \
             2 | # gr\u{fffd}\u{fffd}e\n    |     ^\n    \
               | save the file again with the encoding UTF-8",
        ),
        (
            "wide.toml",
            Some(b"\xff\xfe[\0e\0]\0"),
            "wide.toml:1:1: this file is UTF-16, and a config must be UTF-8\n  \
             1 | \u{fffd}\u{fffd}[\u{fffd}e\u{fffd}]\u{fffd}\n    | ^\n    \
               | save the file again with the encoding UTF-8",
        ),
        (
            "a.pcap",
            Some(b"\xd4\xc3\xb2\xa1\x02\0\x04\0"),
            "a.pcap: this is a capture or an archive, not a config\n  | a capture file is given with `--read`",
        ),
        (
            "large.toml",
            Some(&[b'#'; 1_100_000]),
            "large.toml: larger than 1 MiB, so it cannot be a config",
        ),
    ];
    let mut failures = String::new();
    for (name, bytes, wanted) in cases {
        let path = if name.is_empty() { directory.clone() } else { directory.join(name) };
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("a temporary file");
        }
        let base = directory.display().to_string();
        let got = said(load(&path)).replace(&format!("{base}/{name}:"), &format!("{name}:"));
        let got = got.replace(&format!("{base}:"), ":").replace(&base, "DIR");
        note_difference(&mut failures, name, wanted, &got);
    }
    let relative = said(load(Path::new("no/such.toml")));
    assert_eq!(relative, "no/such.toml: no such file; there is no directory no");
    let here = std::env::current_dir().expect("a current directory");
    assert_eq!(
        said(load(Path::new("no-such-config"))),
        format!(
            "no-such-config: no such file\n  | relative to the current directory, {}",
            here.display()
        )
    );
    std::fs::remove_dir_all(&directory).expect("it was ours");
    assert!(failures.is_empty(), "\n{failures}");
}

/// Whatever is typed gives an answer, with a place inside of the file.
#[test]
fn no_text_breaks_the_reader() {
    let sample = CAMPUS.replace("# or key", "# größer 設定 or key");
    let ends: Vec<usize> = sample.char_indices().map(|(at, _)| at).collect();
    let mut texts: Vec<String> = ends.iter().map(|at| sample[..*at].to_owned()).collect();
    for at in ends.iter().step_by(3) {
        let (before, after) = sample.split_at(*at);
        let rest: String = after.chars().skip(1).collect();
        texts.push(format!("{before}{rest}"));
        for junk in
            ["\"", "[", "]", "=", ",", "\n", "\\", "ü", "\u{0}", "{", "'", " ", ":", "#", "."]
        {
            texts.push(format!("{before}{junk}{after}"));
        }
    }
    for text in texts {
        let lines = text.split('\n').count();
        if let Err(error) = check(&text) {
            let shown = error.to_string();
            assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)), "{shown}");
            for serde in ["expected", "invalid type", "sequence", "field `"] {
                assert!(
                    !shown.lines().next().unwrap_or_default().contains(serde),
                    "{text}\n{shown}"
                );
            }
        }
    }
}

fn note_difference(failures: &mut String, name: &str, wanted: &str, got: &str) {
    if got == wanted {
        return;
    }
    let mark = |sign, lines: &str, other: &str| -> String {
        let same = |line: &str| other.lines().any(|known| known == line);
        lines
            .lines()
            .map(|line| format!("{} {line}\n", if same(line) { ' ' } else { sign }))
            .collect()
    };
    let _ = writeln!(failures, "{name}:\n{}{}", mark('-', wanted, got), mark('+', got, wanted));
}

/// The config that explains every key does.
#[test]
fn campus_toml_has_every_key() {
    use super::reader::{CAPTURE, ENGINE, SINK, STAGE, STATUS};
    let text = include_str!("../../configs/campus.toml");
    let has = |key: &str| {
        let is = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
        };
        // Whoever captures live has no files.
        key == "files" || text.lines().any(is)
    };
    let keys = [ENGINE, CAPTURE, STATUS, STAGE, SINK].concat();
    let missing: Vec<_> = keys.into_iter().filter(|key| !has(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
