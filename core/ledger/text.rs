//! The ledger as an operator reads it.

use std::fmt::{self, Display, Formatter};

use super::Ledger;

/// A number with a comma between its thousands.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A count with its noun.
fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", Grouped(n), if n == 1 { "" } else { "s" })
}

fn list<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let parts: Vec<_> = counts.map(|(name, n)| format!("{name} {}", Grouped(n))).collect();
    parts.join(", ")
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inputs(f)?;
        self.stages(f)?;
        self.sinks(f)?;
        self.balance(f)
    }
}

impl Ledger {
    fn inputs(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "input")?;
        for input in &self.inputs {
            write!(
                f,
                "  {:<38} {:>12}",
                input.name.trim_matches('`'),
                count(input.packets, "packet")
            )?;
            if !input.unreadable.is_empty() {
                let reasons = input.unreadable.iter().map(|(&name, &n)| (name, n));
                write!(f, ", not readable: {}", list(reasons))?;
            }
            if !input.complete && !input.failed {
                write!(f, ", not read to its end")?;
            }
            writeln!(f)?;
            if let Some(tail) = &input.tail {
                writeln!(f, "    {tail}")?;
            }
        }
        let bytes: u64 = self.workers.iter().map(|worker| worker.bytes).sum();
        let shares: Vec<_> =
            self.workers.iter().map(|worker| Grouped(worker.received).to_string()).collect();
        write!(
            f,
            "  {:<38} {:>12}, {} on the wire",
            "received",
            count(self.received(), "packet"),
            count(bytes, "byte")
        )?;
        if shares.len() > 1 {
            write!(f, ", by {} workers: {}", shares.len(), shares.join(" + "))?;
        }
        writeln!(f)
    }

    fn stages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "stages")?;
        let dropped = self.dropped();
        for stage in &self.stages {
            let mut facts = Vec::new();
            if let Some(reasons) = dropped.get(&stage.stage) {
                let total = count(reasons.values().sum(), "packet");
                let reasons = list(reasons.iter().map(|(name, &n)| (name.as_str(), n)));
                facts.push(format!("dropped {total}: {reasons}"));
            }
            match (stage.rows_in, stage.rows_out) {
                (0, 0) => {}
                (0, out) => facts.push(format!("emitted {}", count(out, "row"))),
                (rows_in, out) => {
                    facts.push(format!("{} in, {} out", count(rows_in, "row"), Grouped(out)))
                }
            }
            if stage.rows_failed > 0 {
                facts.push(format!("lost {}: stage_failed", count(stage.rows_failed, "row")));
            }
            let counters = stage.counters.iter().filter(|(_, n)| *n > 0);
            let counters = list(counters.map(|(name, n)| (name.as_str(), *n)));
            facts.extend((!counters.is_empty()).then_some(counters));
            writeln!(f, "  {:<14} {}", stage.stage, facts.join("; "))?;
        }
        Ok(())
    }

    fn sinks(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "sinks")?;
        for sink in &self.sinks {
            write!(f, "  {:<14} {} acknowledged", sink.sink, count(sink.acknowledged, "row"))?;
            if !sink.dropped.is_empty() {
                let reasons = sink.dropped.iter().map(|(&name, &n)| (name, n));
                write!(f, ", {} dropped: {}", Grouped(sink.dropped()), list(reasons))?;
            }
            let counters = list(sink.counters.iter().map(|(name, n)| (name.as_str(), *n)));
            if !counters.is_empty() {
                write!(f, "; {counters}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn balance(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "balance")?;
        let (received, passed) = (Grouped(self.received()), Grouped(self.passed()));
        let dropped: u64 = self.dropped().values().flat_map(|reasons| reasons.values()).sum();
        writeln!(
            f,
            "  packets        {received} received = {passed} passed + {} dropped",
            Grouped(dropped)
        )?;
        for sink in &self.sinks {
            writeln!(
                f,
                "  {:<14} {} = {} acknowledged + {} dropped",
                sink.sink,
                count(self.rows, "row"),
                Grouped(sink.acknowledged),
                Grouped(sink.dropped())
            )?;
        }
        if self.stopped {
            writeln!(f, "  the run was stopped before its input ended")?;
        }
        for wrong in &self.imbalances {
            writeln!(f, "  WRONG: {wrong}; this is a bug, please report it")?;
        }
        if self.imbalances.is_empty() {
            writeln!(f, "the ledger balances")?;
        }
        Ok(())
    }
}
