//! The ledger as an operator reads it.

use std::fmt::{self, Display, Formatter};

use super::{Ledger, Reloads};

/// A number with a comma between its thousands.
pub(crate) struct Grouped(pub(crate) u64);

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
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", Grouped(n), if n == 1 { "" } else { "s" })
}

/// Inputs that are listed one by one.
const MOST_INPUTS: usize = 24;

/// Columns after which a line is continued in the next.
const WIDTH: usize = 118;

/// The text with line breaks before what would pass the right margin.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = indent;
    for part in text.split_inclusive(' ') {
        // Between a name and its number there is no place for a break.
        let may_break = out.ends_with(", ") || out.ends_with("; ") || out.ends_with(": ");
        if may_break && column + part.len() + 12 > WIDTH {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        out.push_str(part);
        column += part.len();
    }
    out
}

pub(crate) fn list<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let parts: Vec<_> = counts.map(|(name, n)| format!("{name} {}", Grouped(n))).collect();
    parts.join(", ")
}

impl Display for Ledger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inputs(f)?;
        self.stages(f)?;
        self.sinks(f)?;
        self.reloads(f)?;
        self.balance(f)
    }
}

impl Ledger {
    fn inputs(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "input")?;
        let names = self.inputs.iter().map(|input| input.name.len());
        let width = names.max().unwrap_or_default().clamp(14, 60);
        for (at, input) in self.inputs.iter().enumerate() {
            // Of a thousand good files nobody reads the list; the sum stands below it.
            let remarkable = input.tail.is_some() || !input.unreadable.is_empty();
            if at >= MOST_INPUTS && !remarkable {
                continue;
            }
            let name = input.name.trim_matches('`');
            write!(f, "  {name:<width$} {:>12}", count(input.packets, "packet"))?;
            if input.filtered > 0 {
                write!(f, ", {} kept out by the filter", Grouped(input.filtered))?;
            }
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
        if self.inputs.len() > MOST_INPUTS {
            writeln!(f, "  {} inputs in all", Grouped(self.inputs.len() as u64))?;
        }
        self.interfaces(f)?;
        let bytes: u64 = self.workers.iter().map(|worker| worker.bytes).sum();
        let shares: Vec<_> =
            self.workers.iter().map(|worker| Grouped(worker.received).to_string()).collect();
        write!(
            f,
            "  {:<width$} {:>12}, {} on the wire",
            "received",
            count(self.received(), "packet"),
            count(bytes, "byte")
        )?;
        if shares.len() > 1 {
            write!(f, ", by {} workers: {}", shares.len(), shares.join(" + "))?;
        }
        writeln!(f)
    }

    fn interfaces(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for interface in &self.interfaces {
            write!(
                f,
                "  {:<14} {} by the card",
                interface.name,
                count(interface.nic_received, "packet")
            )?;
            let dropped = interface.nic_dropped.iter().filter(|(_, n)| **n > 0);
            let dropped = list(dropped.map(|(name, n)| (name.as_str(), *n)));
            if !dropped.is_empty() {
                let worst = Grouped(interface.nic_worst_second);
                write!(f, ", dropped: {dropped} (at most {worst} in a second)")?;
            }
            if interface.interruptions > 0 {
                let times = count(interface.interruptions, "time");
                write!(f, "; down or away {times}, {:.1} s", interface.absent_ms as f64 / 1e3)?;
            }
            writeln!(f)?;
            for ring in self.rings.iter().filter(|ring| ring.interface == interface.name) {
                let name = ring.name();
                let name = name.strip_prefix(interface.name.as_str()).unwrap_or(&name);
                write!(f, "   {name:<14} {} put into the ring", count(ring.received, "packet"))?;
                if let Some(mean) = ring.received.checked_div(ring.seconds) {
                    let (mean, most) = (Grouped(mean), Grouped(ring.most_received));
                    write!(f, ", {mean} a second (at most {most})")?;
                }
                if ring.lost() > 0 {
                    let dropped = list(ring.dropped.iter().map(|(&name, &n)| (name, n)));
                    let worst = Grouped(ring.most_dropped);
                    write!(f, "; dropped: {dropped} (at most {worst} in a second)")?;
                }
                if ring.filtered > 0 {
                    write!(f, "; {} kept out by the filter", Grouped(ring.filtered))?;
                }
                if ring.not_taken > 0 {
                    write!(f, "; {} left in it by the failure", Grouped(ring.not_taken))?;
                }
                writeln!(f)?;
                if let Some(error) = &ring.error {
                    writeln!(f, "    its counts are not whole: {error}")?;
                }
            }
        }
        Ok(())
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
            if let Some(error) = &stage.error {
                let fate = if stage.bypassed > 0 { "BYPASSED" } else { "FAILED" };
                let workers = match stage.bypassed {
                    0 => String::new(),
                    n => format!(" by {}", count(n, "worker")),
                };
                facts.push(format!("{fate}{workers}: {error}"));
            }
            if let Some(reload) = stage.ended {
                facts.push(format!("ended by reload {reload}"));
            }
            if stage.rows_failed > 0 {
                facts.push(format!("lost {}: stage_failed", count(stage.rows_failed, "row")));
            }
            let counters = stage.counters.iter().filter(|(_, n)| *n > 0);
            let counters = list(counters.map(|(name, n)| (name.as_str(), *n)));
            facts.extend((!counters.is_empty()).then_some(counters));
            let line = format!("  {:<14} {}", stage.stage, wrapped(&facts.join("; "), 17));
            writeln!(f, "{}", line.trim_end())?;
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
            if !sink.dead_lettered.is_empty() {
                let reasons = sink.dead_lettered.iter().map(|(&name, &n)| (name, n));
                let count = Grouped(sink.dead_lettered());
                write!(f, ", {count} dead-lettered: {}", list(reasons))?;
            }
            let delivery = [
                ("recovered", sink.recovered),
                ("through_spill", sink.through_spill),
                ("spilled", sink.spilled),
                ("retries", sink.retries),
                ("circuit_opened", sink.circuit_opened),
            ];
            let delivery = list(delivery.into_iter().filter(|(_, n)| *n > 0));
            if !delivery.is_empty() {
                write!(f, "; {delivery}")?;
            }
            let counters = list(sink.counters.iter().map(|(name, n)| (name.as_str(), *n)));
            if !counters.is_empty() {
                write!(f, "; {counters}")?;
            }
            if let Some(reload) = sink.ended {
                write!(f, "; ended by reload {reload}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn reloads(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Reloads { done, refused, longest_pause, last_refused, .. } = &self.reloads;
        if done + refused == 0 {
            return Ok(());
        }
        write!(f, "reloads\n  {} done", Grouped(*done))?;
        if *done > 0 {
            write!(f, ", pausing a worker for {:.1} ms at most", *longest_pause as f64 / 1e6)?;
        }
        if let Some((_, why)) = last_refused {
            write!(f, "; {} refused, the last because: {why}", Grouped(*refused))?;
        }
        writeln!(f)
    }

    fn balance(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "balance")?;
        let (received, passed) = (Grouped(self.received()), Grouped(self.passed()));
        if self.filtered() > 0 {
            writeln!(
                f,
                "  packets        {} found = {received} received + {} kept out by the filter",
                Grouped(self.found()),
                Grouped(self.filtered())
            )?;
        }
        let dropped: u64 = self.dropped().values().flat_map(|reasons| reasons.values()).sum();
        if !self.interfaces.is_empty() {
            let (nics, rings) = (self.dropped_by_nics(), self.dropped_by_rings());
            let filtered: u64 = self.rings.iter().map(|ring| ring.filtered).sum();
            writeln!(
                f,
                "  wire           {} = {} dropped by the NIC + {} dropped by rings + {} kept out by \
                 the filter + {received} received",
                Grouped(nics + rings + filtered + self.received()),
                Grouped(nics),
                Grouped(rings),
                Grouped(filtered),
            )?;
        }
        writeln!(
            f,
            "  packets        {received} received = {passed} passed + {} dropped",
            Grouped(dropped)
        )?;
        for sink in &self.sinks {
            let name = match sink.ended {
                Some(_) => format!("{} (ended)", sink.sink),
                None => sink.sink.clone(),
            };
            write!(f, "  {name:<14} {}", count(sink.rows, "row"))?;
            if sink.recovered > 0 {
                write!(f, " + {} recovered", Grouped(sink.recovered))?;
            }
            write!(f, " = {} acknowledged", Grouped(sink.acknowledged))?;
            if sink.spilled > 0 {
                write!(f, " + {} spilled", Grouped(sink.spilled))?;
            }
            write!(f, " + {} dropped", Grouped(sink.dropped()))?;
            if !sink.dead_lettered.is_empty() {
                write!(f, " + {} dead-lettered", Grouped(sink.dead_lettered()))?;
            }
            writeln!(f)?;
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
