//! Configs that change one thing after the other, and a run that takes them all.

use std::{fmt::Write as _, path::Path, path::PathBuf};

use crate::{
    common::key_file,
    dice::Dice,
    fed::{Fed, assert_each_once, files, found},
    rounds,
};

/// What a config says that changes.
#[derive(Default)]
pub(crate) struct Turns {
    constant: bool,
    second: usize,
    head_bytes: usize,
    agent: bool,
    sensor: bool,
}

/// The second sink; the first is always the same. Compressed, because a long run writes many records.
const SECOND: [&str; 4] = [
    "use = \"jsonl\"\npath = \"DIR/b/one.jsonl.zst\"",
    "use = \"jsonl\"\npath = \"DIR/b/two.jsonl.zst\"",
    "use = \"parquet\"\ndirectory = \"DIR/b/parquet\"",
    "use = \"parquet\"\ndirectory = \"DIR/b/parquet\"\ncompression = \"none\"",
];

impl Turns {
    /// Changes the anonymizer, the second sink, an option, the length of the chain, the columns, or
    /// several of these.
    pub(crate) fn turn(&mut self, number: usize) {
        match number % 6 {
            0 => self.constant ^= true,
            1 => self.second = (self.second + 1) % SECOND.len(),
            2 => self.head_bytes = (self.head_bytes + 1) % 7,
            3 => self.agent ^= true,
            4 => self.sensor ^= true,
            _ => {
                self.constant ^= true;
                self.second = (self.second + 1) % SECOND.len();
            }
        }
    }

    /// The config with this `[capture]`; sinks never drop.
    pub(crate) fn config(&self, capture: &str, directory: &Path) -> String {
        let key = key_file(directory);
        let sensor = if self.sensor { "sensor = \"north\"\n" } else { "" };
        let agent = if self.agent { "[[stage]]\nuse = \"user_agent\"\n" } else { "" };
        let anonymizer = if self.constant { "constant" } else { "truncate" };
        let mut text = format!(
            "[engine]\nworkers = 2\n{sensor}[capture]\n{capture}\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\nkey_file = {key:?}\nhead_bytes = {}\n{agent}\
             [[stage]]\nuse = \"redact\"\nurl = \"full\"\n[[stage]]\nuse = \"{anonymizer}\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\nwhen_full = \"block\"\n",
            4096 + self.head_bytes,
            directory.join("a/records.jsonl.zst"),
        );
        let second = SECOND[self.second].replace("DIR", &directory.display().to_string());
        let _ = writeln!(text, "[[sink]]\n{second}\nwhen_full = \"block\"");
        text
    }
}

/// What the first sink wrote, and what all that came second did.
pub(crate) fn both(directory: &Path) -> [Vec<PathBuf>; 2] {
    let all = |name: &str| {
        let directory = directory.join(name);
        [files(&directory, ".jsonl.zst"), files(&directory, ".parquet")].concat()
    };
    [all("a"), all("b")]
}

#[test]
fn every_record_of_a_file_comes_out_once_whatever_changes() {
    let capture = "from = \"file\"\nfiles = [\"-\"]";
    let (mut turns, mut dice) = (Turns::default(), Dice(7));
    let mut fed = Fed::new(|directory| turns.config(capture, directory));
    let feed = fed.feed(0);
    for round in 0..rounds() {
        turns.turn(round);
        fed.put(&turns.config(capture, fed.path()));
        fed.hang_up();
        fed.wait_for(&format!(" reload {} of ", round + 1), 1);
        dice.wait(100);
    }
    let sent = fed.take_back(feed);
    let ended = fed.end().good();
    let [first, second] = both(ended.directory.path());
    assert_each_once(&found(&first), sent, "the sink that goes on");
    assert_each_once(&found(&second), sent, "the sinks that take turns");
    assert_eq!(ended.ledger["rows"], sent);
    let reloads = &ended.ledger["reloads"];
    assert_eq!((&reloads["done"], &reloads["refused"]), (&rounds().into(), &0.into()));
    println!(
        "{} reloads, {sent} requests, {} + {} files, pauses up to {} us",
        rounds(),
        first.len(),
        second.len(),
        reloads["longest_pause"].as_u64().unwrap() / 1000
    );
}
