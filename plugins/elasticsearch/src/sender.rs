//! Rows on their way: gathered to bulks, sent, and sent again as far as they were not taken.

use std::{mem, thread, time::Duration};

use ringmill_sdk::prelude::*;

use crate::{
    answer::{self, Fate, Known},
    client::Client,
    options::Options,
};

/// How often rows that the store cannot take yet are sent again by themselves, before all since
/// the last flush are.
const TRIES: u32 = 4;
/// The wait before the first of these; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the rows of a flush are divided to find the one for which the store refuses a bulk as
/// a whole.
const DIVISIONS: u32 = 64;
/// The least that the limit of a bulk comes down to, in bytes.
const LEAST: usize = 64 << 10;
/// What the buffers may keep between bulks, in bytes.
const KEPT: usize = 16 << 20;

/// Gathers rows and sends them.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client,
    known: Known,
    /// The lines of the rows that were not sent yet, and where each row's end.
    lines: Vec<u8>,
    ends: Vec<usize>,
    /// A bulk of some of them.
    some: Vec<u8>,
    /// Rows and bytes that make a bulk; the bytes become fewer when the store says so.
    most_rows: usize,
    most_bytes: usize,
    /// Rows of earlier bulks since the last flush.
    sent: usize,
    /// Rows that were refused since then, numbered from it on.
    refused: Vec<(usize, String)>,
    divisions: u32,
    again: Counter,
    present: Counter,
}

impl Sender {
    pub(crate) fn new(client: Client, options: &Options, host: &Host) -> Result<Self> {
        let (most_rows, most_bytes) = options.bulk()?;
        Ok(Self {
            client,
            known: Known::default(),
            lines: Vec::new(),
            ends: Vec::new(),
            some: Vec::new(),
            most_rows,
            most_bytes,
            sent: 0,
            refused: Vec::new(),
            divisions: 0,
            again: host.counter("rows.sent_again"),
            present: host.counter("rows.already_there"),
        })
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// These names may be told in messages.
    pub(crate) fn know<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.known.add(names);
    }

    /// Adds the row whose lines `write` appends; sends what is there when it is enough.
    ///
    /// # Errors
    /// The store did not take all of it; nothing is held then.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result {
        write(&mut self.lines);
        self.ends.push(self.lines.len());
        match self.ends.len() >= self.most_rows || self.lines.len() >= self.most_bytes {
            true => self.send(),
            false => Ok(()),
        }
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// As [`push`](Self::push), or the rows that were refused for good; nothing is held then.
    pub(crate) fn flush(&mut self) -> Result {
        self.send()?;
        let refused = mem::take(&mut self.refused);
        self.forget();
        if refused.is_empty() { Ok(()) } else { Err(Error::refused_rows(refused)) }
    }

    /// Begins anew: all since the last flush comes again.
    pub(crate) fn forget(&mut self) {
        self.drop_lines();
        self.sent = 0;
        self.refused.clear();
        self.divisions = 0;
    }

    fn drop_lines(&mut self) {
        self.ends.clear();
        for buffer in [&mut self.lines, &mut self.some] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
    }

    fn send(&mut self) -> Result {
        if self.ends.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.send_all() {
            self.forget();
            return Err(error);
        }
        self.sent += self.ends.len();
        self.drop_lines();
        Ok(())
    }

    fn send_all(&mut self) -> Result {
        let mut waiting: Vec<Vec<usize>> = vec![(0..self.ends.len()).collect()];
        let mut tries = 0;
        while let Some(mut rows) = waiting.pop() {
            let Some(fates) = self.send_some(&rows)? else {
                waiting.extend(self.divide(rows));
                continue;
            };
            let mut why = String::new();
            let mut again = Vec::new();
            for (row, fate) in rows.drain(..).zip(fates) {
                match fate {
                    Fate::Safe => {}
                    Fate::Present => self.present.add(1),
                    Fate::Refused(why) => self.refused.push((self.sent + row, why)),
                    Fate::Again(reason) => {
                        again.push(row);
                        why = reason;
                    }
                }
            }
            if again.is_empty() {
                continue;
            }
            if tries == TRIES {
                return Err(Error::retry(format!("{} rows are not taken yet: {why}", again.len())));
            }
            thread::sleep(PAUSE * (1 << tries));
            tries += 1;
            self.again.add(again.len() as u64);
            waiting.push(again);
        }
        Ok(())
    }

    /// Sends these rows; `None` where the store refuses the bulk as a whole.
    fn send_some(&mut self, rows: &[usize]) -> Result<Option<Vec<Fate>>> {
        let all = rows.len() == self.ends.len();
        if !all {
            self.some.clear();
            for row in rows {
                let begin = row.checked_sub(1).map_or(0, |before| self.ends[before]);
                self.some.extend_from_slice(&self.lines[begin..self.ends[*row]]);
            }
        }
        let body = if all { &self.lines } else { &self.some };
        let Some(answer) = self.client.bulk(body)? else {
            return self.too_large(rows, body.len(), "the store's answer is too long".to_owned());
        };
        match answer.status {
            413 => {
                self.too_large(rows, body.len(), "it is too large for the store (413)".to_owned())
            }
            400 => {
                let why = answer::trouble(&answer, &self.known);
                Ok(self.refuse_single(rows, why))
            }
            404 => Err(Error::retry(format!(
                "`{}` has no `_bulk` (404); is there another program, or a path missing in `urls`?",
                answer.url
            ))),
            _ => answer::fates(&answer, rows.len(), &self.known).map(Some),
        }
    }

    /// From now on bulks are smaller.
    fn too_large(
        &mut self,
        rows: &[usize],
        bytes: usize,
        why: String,
    ) -> Result<Option<Vec<Fate>>> {
        self.most_bytes = self.most_bytes.min((bytes / 2).max(LEAST));
        Ok(self.refuse_single(rows, why))
    }

    /// The fate of a single row, and of those that there is no more time to divide.
    fn refuse_single(&self, rows: &[usize], why: String) -> Option<Vec<Fate>> {
        let refused = rows.len() == 1 || self.divisions >= DIVISIONS;
        refused.then(|| rows.iter().map(|_| Fate::Refused(why.clone())).collect())
    }

    fn divide(&mut self, mut rows: Vec<usize>) -> [Vec<usize>; 2] {
        self.divisions += 1;
        let second = rows.split_off(rows.len() / 2);
        // The last is the next.
        [second, rows]
    }
}
