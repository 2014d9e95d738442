//! What a reload cannot change.

use crate::config::{Capture, Config, Engine, Live};

/// Refuses a config that changes what cannot be changed while packets are taken.
///
/// # Errors
/// One sentence that names the keys.
pub(super) fn check(now: &Config, next: &Config) -> Result<(), String> {
    let mut keys = engine(&now.engine, &next.engine);
    keys.extend(capture(&now.capture, &next.capture));
    keys.extend((now.status != next.status).then_some("[status]"));
    match keys.as_slice() {
        [] => Ok(()),
        keys => Err(format!(
            "{}: {} cannot be changed while the engine runs; restart it, or put back what was there",
            next.document.path().display(),
            keys.join(", ")
        )),
    }
}

fn engine(now: &Engine, next: &Engine) -> Vec<&'static str> {
    // Every key stands here, or by its `_` that a reload changes it.
    let Engine {
        workers,
        cores,
        batch,
        ledger,
        spill,
        sensor: _,
        epoch,
        stuck_after,
        user,
        sandbox,
        writable,
    } = now;
    changed([
        ("`workers` of [engine]", *workers != next.workers),
        ("`cores` of [engine]", *cores != next.cores),
        ("`batch` of [engine]", *batch != next.batch),
        ("`ledger` of [engine]", *ledger != next.ledger),
        ("`spill` of [engine]", *spill != next.spill),
        ("`epoch` of [engine]", *epoch != next.epoch),
        ("`stuck_seconds` of [engine]", *stuck_after != next.stuck_after),
        ("`user` of [engine]", *user != next.user),
        ("`sandbox` of [engine]", *sandbox != next.sandbox),
        ("`writable` of [engine]", *writable != next.writable),
    ])
}

fn capture(now: &Capture, next: &Capture) -> Vec<&'static str> {
    let Capture { from, files, live, filter, snaplen } = now;
    let mut keys = changed([
        ("`from` of [capture]", *from != next.from),
        ("`files` of [capture]", *files != next.files),
        ("`filter` of [capture]", *filter != next.filter),
        ("`snaplen` of [capture]", *snaplen != next.snaplen),
    ]);
    // Where only one of them has rings, `from` is another one, too.
    if let (Some(now), Some(next)) = (live, &next.live) {
        keys.extend(rings(now, next));
    }
    keys
}

fn rings(now: &Live, next: &Live) -> Vec<&'static str> {
    let Live {
        interfaces,
        cluster,
        balance,
        promiscuous,
        direction,
        clock,
        ring_mib,
        block_timeout_ms,
        window_ms,
    } = now;
    changed([
        ("`interface` of [capture]", *interfaces != next.interfaces),
        ("`cluster` of [capture]", *cluster != next.cluster),
        ("`balance` of [capture]", *balance != next.balance),
        ("`promiscuous` of [capture]", *promiscuous != next.promiscuous),
        ("`direction` of [capture]", *direction != next.direction),
        ("`clock` of [capture]", *clock != next.clock),
        ("`ring_mib` of [capture]", *ring_mib != next.ring_mib),
        ("`block_timeout_ms` of [capture]", *block_timeout_ms != next.block_timeout_ms),
        ("`window_ms` of [capture]", *window_ms != next.window_ms),
    ])
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn what_cannot_be_changed_is_named() {
        let before = "[engine]\nworkers = 2\ncores = \"0,1\"\n[capture]\nfrom = \"af_packet\"\n\
                      interface = \"eth2\"\n[status]\nlisten = \"127.0.0.1:9650\"\n[[stage]]\n\
                      use = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n";
        let engine = ["workers = 1", "cores = \"0,2\"", "batch = 3", "ledger = \"l\""];
        let capture = ["filter = \"tcp\"", "snaplen = 96", "cluster = 4", "ring_mib = 9"];
        let more = ["block_timeout_ms = 9", "window_ms = 9", "promiscuous = false"];
        let last = ["clock = \"hardware\"", "direction = \"both\"", "balance = \"round_robin\""];
        let put = |table: &str, line: &str| {
            let key = line.split(' ').next().unwrap_or_default();
            let old = before.lines().find(|old| old.starts_with(&format!("{key} =")));
            let without = old.map_or(before.to_owned(), |old| before.replace(old, ""));
            (without.replace(table, &format!("{table}\n{line}")), format!("`{key}` of {table}"))
        };
        let mut cases: Vec<(String, String)> = vec![
            (before.to_owned(), String::new()),
            (before.replace("[engine]", "[engine]\nsensor = \"north\""), String::new()),
            (format!("allow_identifiable = true\n{before}"), String::new()),
            (before.replace("\"decode\"", "\"classify\""), String::new()),
            (before.replace("path = \"-\"", "path = \"x\""), String::new()),
            (before.replace("9650", "9651"), "[status]".to_owned()),
            put("[engine]", "spill = \"s\""),
            put("[engine]", "epoch = \"day\""),
            put("[capture]", "interface = \"eth3\""),
            (
                before.replace("from = \"af_packet\"", "from = [\"pf_ring\", \"af_packet\"]"),
                "`from` of [capture]".to_owned(),
            ),
            (
                before.replace("workers = 2", "workers = 1").replace("eth2", "eth4"),
                "`workers` of [engine], `interface` of [capture]".to_owned(),
            ),
        ];
        cases.extend(engine.map(|line| put("[engine]", line)));
        cases
            .extend(capture.into_iter().chain(more).chain(last).map(|line| put("[capture]", line)));
        let parse = |text: &str| config::parse(Path::new("c.toml"), text.to_owned()).expect(text);
        for (text, keys) in cases {
            let answer = check(&parse(before), &parse(&text));
            match keys.as_str() {
                "" => assert_eq!(answer, Ok(()), "{text}"),
                keys => {
                    let begin = format!("c.toml: {keys} cannot be changed");
                    assert!(answer.as_ref().is_err_and(|it| it.starts_with(&begin)), "{answer:?}");
                }
            }
        }
    }
}
