//! A namespace whose only link, to ours, is cut while an engine in it sends to a store.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{asked, dice::Dice, net::Net, whole::Whole};

pub(crate) struct Cut {
    pub(crate) net: Net,
    /// Our end; the other is called `way`.
    link: String,
    /// Of its addresses.
    number: u32,
}

impl Cut {
    /// None, and a word about it, where there can be no namespace.
    pub(crate) fn new() -> Option<Self> {
        let number = process::id() % 16_000;
        let cut = Self { net: Net::new()?, link: format!("rmcut{number}"), number };
        cut.net.must("ip link set lo up");
        cut.connect();
        Some(cut)
    }

    /// Of our end: where stores are for those in the namespace.
    pub(crate) fn address(&self) -> String {
        self.address_of(1)
    }

    fn address_of(&self, end: u32) -> String {
        format!("10.209.{}.{}", self.number / 64, self.number % 64 * 4 + end)
    }

    /// The same program in the namespace.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = self.net.command(command.get_program().as_ref());
        inside.args(command.get_args());
        inside
    }

    /// Makes the link.
    fn connect(&self) {
        let (link, inside) = (&self.link, self.net.name());
        ours(&format!("link add {link} type veth peer name way netns {inside}"));
        ours(&format!("address add {}/30 dev {link}", self.address()));
        ours(&format!("link set {link} up"));
        self.net.must(&format!("ip address add {}/30 dev way", self.address_of(2)));
        self.plug();
    }

    fn plug(&self) {
        self.net.must("ip link set way up");
    }

    /// What is sent is lost, and nobody is told.
    fn unplug(&self) {
        self.net.must("ip link set way down");
    }

    /// The link is gone, and its addresses with it.
    fn remove(&self) {
        ours(&format!("link delete {}", self.link));
    }
}

/// Runs `ip` in our namespace.
fn ours(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `RINGMILL_ROUNDS` times the engine runs over a capture, with these sinks, while the link is down
/// or gone for a while; and once without, so that all arrives. Gives the ids of all rows that it
/// acknowledged or spilled.
pub(crate) fn chaos(
    cut: &Cut,
    whole: &Whole,
    sinks: &str,
    capture: impl Fn(u64) -> PathBuf,
) -> BTreeSet<String> {
    let seed = asked("RINGMILL_SEED").unwrap_or_else(|| process::id().into());
    println!("RINGMILL_SEED={seed}");
    let rounds = asked("RINGMILL_ROUNDS").unwrap_or(1);
    let (mut dice, mut must, mut spilled) = (Dice(seed), BTreeSet::new(), 0);
    let started = Instant::now();
    for round in 0..=rounds {
        let calm = round == rounds;
        // Each with records of its own: the same ones would hide a loss.
        let capture = capture(seed.wrapping_mul(1000) + round);
        let drain = if calm { 120 } else { 3 };
        let sinks = format!("{sinks}drain_seconds = {drain}\n");
        let mut command = cut.inside(&whole.command(&[&capture], &sinks));
        let engine = command.stderr(Stdio::piped()).spawn().unwrap();
        if !calm {
            thread::sleep(Duration::from_millis(300));
            dice.wait(1500);
            let gone = dice.roll(2) == 0;
            if gone {
                cut.remove()
            } else {
                cut.unplug()
            }
            dice.wait(8000);
            if gone { cut.connect() } else { cut.plug() }
        }
        let output = engine.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "seed {seed}, round {round}: {err}");
        let books = whole.ended(err).books();
        assert_eq!(books[2..], [0, 0], "seed {seed}, round {round}");
        assert!(!calm || books[1] == 0, "seed {seed}: {books:?}");
        spilled += u64::from(books[1] > 0);
        must.extend(whole.ids());
        std::fs::remove_file(capture).unwrap();
    }
    println!(
        "{rounds} rounds in {:.0} s: {} records, {spilled} rounds left a spill",
        started.elapsed().as_secs_f64(),
        must.len()
    );
    must
}
