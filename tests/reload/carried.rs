//! What goes on over a reload, and what does not.

use std::fs;

use serde_json::Value;

use crate::{
    common::rows,
    fed::{Fed, before, config, files},
};
use ringmill_sdk::testing::Frame;

const AGENT: &str = "[[stage]]\nuse = \"user_agent\"\n";

/// A request in pieces, of a client that is told by a number.
fn piece(client: u8, at: u32, bytes: &str) -> Vec<u8> {
    let from = format!("10.0.0.{client}:40000");
    Frame::tcp(&from, "192.0.2.1:80").seq(1 + at).payload(bytes).build()
}

#[test]
fn a_head_that_a_reload_cuts_in_two_comes_out_whole() {
    // The change, and whether connections survive it.
    let cases: [(&str, &str, bool); 6] = [
        ("use = \"truncate\"", "use = \"constant\"", true),
        ("use = \"truncate\"\n", "use = \"truncate\"\nv4_prefix = 8\n", true),
        (AGENT, "", true),
        (
            "[[stage]]\nuse = \"classify\"",
            "[[stage]]\nuse = \"sample\"\nprobability = 1.0\n[[stage]]\nuse = \"classify\"",
            true,
        ),
        ("out.jsonl", "other.jsonl", true),
        ("use = \"http\"\n", "use = \"http\"\nhead_bytes = 5000\n", false),
    ];
    for (old, new, survives) in cases {
        let mut text = String::new();
        let mut fed = Fed::new(|directory| {
            text = config(directory)
                .replace("[engine]", "[engine]\n[status]\nlisten = \"127.0.0.1:0\"");
            text = before(&text, "redact", AGENT);
            text.clone()
        });
        let (begin, end) = ("GET /a HTTP/1.1\r\nHost: www.exam", "ple.com\r\n\r\n");
        fed.send(1, &piece(1, 0, begin));
        fed.wait_for_packets(1);
        assert!(text.contains(old), "{old}");
        fed.put(&text.replace(old, new));
        fed.hang_up();
        // A batch has to come, at whose begin the chain is changed.
        let mut number = 2;
        while !fed.stderr().contains("reload 1 of") {
            fed.send(number, &piece(2, 0, "no head"));
            number += 1;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        fed.send(number, &piece(1, u32::try_from(begin.len()).unwrap(), end));
        let ended = fed.end().good();
        let all: Vec<_> =
            files(ended.directory.path(), ".jsonl").iter().flat_map(|path| rows(path)).collect();
        let hosts: Vec<_> = all.iter().map(|row| row.get("host").cloned()).collect();
        let whole = hosts == [Some(Value::from("www.example.com"))];
        assert_eq!(whole, survives, "{new}: {all:?}");
        assert_eq!(all.len(), 1, "{new}");
    }
}

#[test]
fn a_list_that_was_written_anew_is_read_anew() {
    let mut fed = Fed::new(|directory| {
        let list = directory.join("list");
        fs::write(&list, "198.51.100.0/24\n").unwrap();
        let exclude = format!("[[stage]]\nuse = \"exclude\"\nfile = {list:?}\n");
        before(&config(directory), "classify", &exclude)
            .replace("use = \"truncate\"", "use = \"crypto_pan\"\nkey = \"ephemeral\"")
    });
    let feed = fed.feed(0);
    fed.hang_up();
    fed.wait_for("reload 1 of", 1);
    assert!(fed.stderr().contains("all stages go on; all sinks go on"), "{}", fed.stderr());
    fs::write(fed.path().join("list"), "198.51.100.0/24\n10.0.0.0/8\n").unwrap();
    fed.hang_up();
    fed.wait_for("reload 2 of", 1);
    assert!(fed.stderr().contains("new stages: exclude; all sinks go on"), "{}", fed.stderr());
    let changed = feed.next();
    while feed.next() < changed + 640 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let sent = fed.take_back(feed);
    let ended = fed.end().good();
    let excluded: u64 = ended.ledger["workers"][0]["dropped"]["exclude"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert!(excluded >= u64::from(sent - changed) - 64, "{excluded} of {}", sent - changed);
    assert_eq!(ended.ledger["rows"].as_u64().unwrap() + excluded, u64::from(sent));
    // The anonymizer went on, with its key: all clients but the last octet are one network.
    let manifests: Vec<_> = files(ended.directory.path(), ".jsonl")
        .iter()
        .map(|path| ringmill::manifest::read(path).unwrap())
        .collect();
    let keys: Vec<_> = manifests
        .iter()
        .flat_map(|it| it.chain.iter().filter(|stage| stage.name == "crypto_pan"))
        .map(|stage| stage.facts["key_id"].clone())
        .collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}
