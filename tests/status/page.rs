//! The page as Chromium shows it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    browser::{self, Browser},
    common,
    scene::Scene,
};

/// The text of every element that a selector finds.
fn texts(browser: &Browser, selector: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll({selector:?})].map(node => node.textContent)"
    );
    let texts = browser.run(&script);
    texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn text(browser: &Browser, selector: &str) -> String {
    texts(browser, selector).join("|")
}

/// Waits for it, ten seconds at most.
fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < until, "{what} does not come");
        thread::sleep(Duration::from_millis(50));
    }
}

/// `1,234,567`.
fn grouped(number: &Value) -> String {
    let digits = number.as_u64().unwrap().to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b','.to_owned())).unwrap()
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

#[test]
fn the_page_shows_the_run_and_at_its_end_the_ledger() {
    let Some(browser) = Browser::start() else { return };
    let mut scene = Scene::new("", Duration::from_millis(100));
    browser.open(&format!("http://{}/", scene.address));
    wait("the first status", || text(&browser, "#state") == "running");

    // It moves, once a second at least, and nothing of it fails or comes from elsewhere.
    let packets = || text(&browser, "#ledger .eq");
    let mut seen = vec![packets()];
    let began = Instant::now();
    wait("the third second", || {
        let now = packets();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        seen.len() == 4
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "three updates took {took:?}");
    let rows = texts(&browser, "#chain .name");
    assert_eq!(rows, ["decode", "classify", "http", "user_agent", "redact", "crypto_pan"]);
    assert_eq!(text(&browser, "#balance"), "ledger balanced");
    assert!(
        browser.run("return document.querySelector('path.stroke').getAttribute('d')").is_string()
    );
    for (name, width, scheme) in
        [("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 375, "light")]
    {
        let picture = browser.picture(width, scheme);
        let wide = browser.run("return document.documentElement.scrollWidth");
        assert!(wide.as_u64() <= Some(width.into()), "{name}: {wide} px wide");
        let ground = browser.run("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground == "rgb(15, 18, 21)", scheme == "dark", "{name}: {ground}");
        browser::keep(name, &picture);
    }

    scene.enough();
    wait("the end", || text(&browser, "#state") == "ended");
    let shown = texts(&browser, "#ledger .eq");
    let rows = texts(&browser, "#chain td");
    let verdict = text(&browser, "#balance");
    let balanced = texts(&browser, "#ledger .ok");
    // One that does not come out is red.
    browser.run(
        "const wrong = structuredClone(latest); wrong.totals.passed -= 7; \
         wrong.ledger.imbalances.push('7 packets are missing'); show(wrong)",
    );
    assert_eq!(text(&browser, "#balance.bad"), "ledger does not balance");
    assert_eq!(texts(&browser, "#ledger .no"), ["✗", "✗"]);
    browser::keep("unbalanced", &browser.picture(1280, "light"));
    let console = browser.console();
    assert_eq!(console, serde_json::json!([]), "the console");
    let ledger = scene.end();

    let total = |figure: &str| -> u64 {
        let workers = ledger["workers"].as_array().unwrap();
        workers.iter().map(|worker| worker[figure].as_u64().unwrap()).sum()
    };
    let received = total("received");
    let number = |n: u64| grouped(&n.into());
    let mut expected = vec![format!(
        "{} received = {} passed + {} dropped",
        number(received),
        number(total("passed")),
        number(received - total("passed"))
    )];
    for sink in ledger["sinks"].as_array().unwrap() {
        expected.push(format!(
            "{} rows = {} acknowledged + {} dropped",
            grouped(&ledger["rows"]),
            grouped(&sink["acknowledged"]),
            number(sum(&sink["dropped"]))
        ));
    }
    assert_eq!(shown, expected);
    assert_eq!((verdict.as_str(), balanced.len()), ("the ledger balances", expected.len()));
    let stages = ledger["stages"].as_array().unwrap();
    for (stage, cells) in stages.iter().zip(rows.chunks(7)) {
        assert_eq!(stage["stage"], cells[0]);
        let or_empty = |n: &Value| if n == 0 { String::new() } else { grouped(n) };
        assert_eq!(
            [&cells[3], &cells[4]],
            [&or_empty(&stage["rows_in"]), &or_empty(&stage["rows_out"])]
        );
        let ns = stage["cost"]["ns_per_packet"].as_f64().unwrap();
        let shown: f64 = cells[5].replace(',', "").parse().unwrap();
        assert!((ns - shown).abs() <= 0.51, "{}: {ns}, not {shown}", cells[0]);
    }
    println!("{}: {}", verdict, shown.join("; "));
}

#[test]
fn a_stage_that_failed_is_red_until_a_reload_takes_it_out() {
    let Some(browser) = Browser::start() else { return };
    let plugin = common::plugins().join("libmisbehave.so");
    let stage = format!(
        "[[stage]]\nplugin = {plugin:?}\nuse = \"panics_in_packets\"\nnth = 5000\n\
         on_error = \"bypass\"\n"
    );
    let scene = Scene::with("", &stage, Duration::from_millis(100));
    browser.open(&format!("http://{}/", scene.address));
    wait("the failure", || text(&browser, "#state") == "a stage failed");
    let name = "panics_in_packets (bypassed)";
    assert_eq!(texts(&browser, "#chain .failed .name"), [name]);
    let told = text(&browser, "#failures");
    assert!(told.starts_with("panics_in_packets: panicked in packets(): one packet"), "{told}");
    let color = |of: &str| {
        let script = format!("return getComputedStyle(document.querySelector({of:?})).color");
        browser.run(&script).as_str().unwrap().to_owned()
    };
    let red = color("#state.bad");
    assert_ne!(red, color("#about"));
    assert_eq!([color(".failed .name"), color("#failures .trouble")], [red.clone(), red.clone()]);
    assert_eq!(text(&browser, "#balance"), "ledger balanced");

    // What cannot be taken is told, and what can be shows at once.
    scene.reload("workers = 2", "workers = 3");
    wait("the refusal", || text(&browser, "#reloads .trouble").contains("`workers` of [engine]"));
    browser::keep("failed", &browser.picture(1280, "light"));
    browser::keep("failed-phone", &browser.picture(375, "dark"));
    scene.reload("workers = 3", "workers = 2");
    wait("the reload", || text(&browser, "#reloads").contains("reloaded once"));
    assert_eq!(texts(&browser, "#reloads .trouble"), Vec::<String>::new());
    wait("the next failure", || text(&browser, "#state") == "a stage failed");
    scene.reload(&stage, "");
    wait("the second reload", || text(&browser, "#reloads").contains("reloaded 2 times"));
    wait("the state", || text(&browser, "#state") == "running");
    scene.reload("records.jsonl", "other.jsonl");
    wait("the third reload", || text(&browser, "#reloads").contains("reloaded 3 times"));
    assert_eq!(texts(&browser, "#chain .past .name"), ["panics_in_packets (ended)"]);
    assert_eq!(texts(&browser, "#sinks .name"), ["parquet", "jsonl", "jsonl (ended)"]);
    assert_eq!(text(&browser, "#balance"), "ledger balanced");
    browser::keep("reloaded", &browser.picture(1280, "light"));
    assert_eq!(browser.console(), serde_json::json!([]), "the console");
    scene.end();
}

#[test]
fn nobody_reads_without_the_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "correct-horse-battery\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let scene = Scene::new(&format!("token_file = {token:?}"), Duration::from_millis(200));
    let bearer = "Authorization: Bearer correct-horse-battery\r\n";
    for path in ["/", "/status.json", "/history.json", "/metrics"] {
        let rows = [
            (path.to_owned(), "", 401),
            (format!("{path}?token=correct-horse-batterz"), "", 401),
            (format!("{path}?token=correct-horse-battery"), "", 200),
            (path.to_owned(), bearer, 200),
        ];
        for (target, fields, expected) in rows {
            let answer = crate::scene::get(scene.address, &target, fields).unwrap();
            assert_eq!(answer.status, expected, "{target} {fields}");
            assert!(answer.head.contains("Cache-Control: no-store"), "{target}: {}", answer.head);
            assert!(!answer.head.contains("Access-Control"), "{target}: {}", answer.head);
            let said = String::from_utf8_lossy(&answer.body);
            assert!(!said.contains("correct-horse"), "{target} tells the token");
            assert!(expected == 200 || said.trim() == "Unauthorized", "{target}: {said}");
        }
    }
    scene.end();

    // Without one, nobody but this machine is served.
    let config = common::write_config(
        directory.path(),
        "[status]\nlisten = \"0.0.0.0:9650\"\n[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n\
         [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n",
    );
    let output = common::engine().args(["check", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("needs `token_file`"), "{said}");
}
