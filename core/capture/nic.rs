//! What a network card counts.

use std::{collections::BTreeMap, io};

/// The counters of an interface since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that it took from the wire.
    pub received: u64,
    /// Packets that it dropped, by the driver's own names.
    pub dropped: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of an interface.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn read(name: &str) -> io::Result<Self> {
        // `interface: bytes packets errs drop fifo frame compressed multicast ...`, see
        // proc(5); this file shows the network namespace of whoever reads it.
        let table = std::fs::read_to_string("/proc/self/net/dev")?;
        let line =
            table.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'));
        let fields = line.ok_or(io::ErrorKind::NotFound)?.split_whitespace();
        let counts: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        let [_, received, _, drop, fifo, ..] = counts[..] else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let dropped = [("drop", drop), ("fifo", fifo)];
        let dropped = dropped.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        Ok(Self { received, dropped })
    }
}
