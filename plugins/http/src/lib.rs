//! Takes HTTP/1 heads out of TCP streams.
//!
//! Each head gives one row of the record type `http_request` or `http_response`, wherever in a
//! stream it lies and however segments cut it; a repeated one gives one row. Bodies are passed
//! over and never kept. How that is done is in [`reassembly`]; with `reassemble = false` each
//! packet of class `http_request` or `http_response` gives one row from what it alone holds.
//! The stage drops no packets.
//!
//! A response has its request's `request_method`, `request_host` and `request_uri`, `ttfb`
//! (nanoseconds from the packet with the end of the request's head to the one with its own
//! first byte), and both have `exchange`, their number in the connection, from 1, as far as it
//! was seen. An interim response (1xx) belongs to the exchange of the final one.
//!
//! A head that is not whole or does not follow RFC 9112 is taken as far as it is sure, and
//! `flags` says why:
//!
//! | flag | the head |
//! |---|---|
//! | `truncated` | has no end; alone: the capture cut it |
//! | `incomplete` | was not completed before its connection ended, lost a segment, was idle or was given up |
//! | `oversize` | is longer than `head_bytes` |
//! | `no_request` | is a response whose request was not seen, or of which nobody can tell which it was |
//! | `malformed`, `folded`, `too_many_headers`, `not_utf8` | is what the name says |
//!
//! Counters: `heads.*` by kind and flag; `flows` taken up, and those forgotten early as
//! `flows.idle`, `flows.evicted` (for another) and `flows.no_buffer`; `segments.repeated`,
//! `segments.early`, `segments.cut`; `gaps` that were given up; `heads.undecided` (too short to
//! tell); `responses.no_request`, `requests.unanswered`.
//!
//! Which header fields have a column is in `fields.rs`; all others are entries of `extras`,
//! named in lower case. Of a field that comes twice the first value is in the column and the
//! later ones are in `extras`; in `extras` values of one name are joined by `, `.
//!
//! Never in clear: credentials (Cookie, Authorization and their kin), fields that carry the
//! address of a client, fields that name a person; of these only the length comes out. User
//! names and passwords in URLs do not come out at all.

mod boundary;
mod extras;
mod fields;
mod flow;
mod framing;
mod head;
mod heads;
mod lenient;
mod reassembly;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod url;

use std::path::PathBuf;

use ringmill_sdk::{key, prelude::*};

use flow::Flows;
use head::Kind;
use heads::Heads;
use reassembly::{Limits, Reassembly};
use rows::{Seen, Told, schema};

const TCP: u8 = 6;

/// The most rows that an operator may ask for in one record batch.
const MOST_ROWS: usize = 1 << 20;

/// The most connections that an operator may ask for.
const MOST_FLOWS: usize = 1 << 28;

options! {
    /// Options of `[[stage]] use = "http"`.
    pub struct Options {
        /// Rows in a record batch; what is there goes out once a second.
        rows: usize = 4096,
        /// File with the key of the flow numbers, 64 hex digits or 32 bytes; without it they differ from run to run.
        key_file: Option<PathBuf> = None,
        /// Puts heads together that several segments hold, and responses with their requests; `false` takes of each packet what it alone holds.
        reassemble: bool = true,
        /// Connections with HTTP that each worker knows at a time; one more takes the place of one that was idle for long. Each takes 64 bytes.
        flows: usize = 1_000_000,
        /// Seconds without a packet after which a connection is forgotten.
        idle_seconds: u32 = 300,
        /// The longest head that is taken whole, in bytes.
        head_bytes: usize = 65536,
        /// Bytes that wait in one direction of a connection for segments before them.
        out_of_order_bytes: usize = 65536,
        /// Bytes of all that waits in a worker: beginnings of heads, segments that came too early, requests without a response.
        buffer_bytes: usize = 67_108_864,
    }
}

/// The stage `http`.
pub struct Http {
    flows: Flows,
    heads: Heads,
    reassembly: Option<Reassembly>,
}

impl Options {
    fn limits(&self) -> Result<Limits> {
        let within = |name: &'static str, value: usize, from: usize, to: usize| {
            let wrong = || Error::config(name, format!("must be from {from} to {to}"));
            (from..=to).contains(&value).then_some(value).ok_or_else(wrong)
        };
        within("rows", self.rows, 1, MOST_ROWS)?;
        within("idle_seconds", self.idle_seconds as usize, 1, 1_000_000)?;
        Ok(Limits {
            flows: within("flows", self.flows, 1, MOST_FLOWS)?,
            idle_seconds: self.idle_seconds,
            head_bytes: within("head_bytes", self.head_bytes, 64, head::MAX_HEAD)?,
            out_of_order_bytes: within("out_of_order_bytes", self.out_of_order_bytes, 0, 1 << 26)?,
            buffer_bytes: within("buffer_bytes", self.buffer_bytes, 1 << 16, 1 << 40)?,
        })
    }
}

impl Stage for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "takes HTTP/1 heads out of TCP streams";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        let limits = options.limits()?;
        let key = match &options.key_file {
            Some(path) => key::read(path)?,
            None => key::Key::new(host.ephemeral_key("http.flow")),
        };
        Ok(Self {
            flows: Flows::new(&key),
            heads: Heads::new(options.rows, host),
            reassembly: options.reassemble.then(|| Reassembly::new(limits, host)),
        })
    }

    fn schemas(&self) -> Vec<SchemaRef> {
        [Kind::Request, Kind::Response].map(schema).into()
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        match &mut self.reassembly {
            Some(reassembly) => {
                reassembly.packets(batch, &self.flows, &mut self.heads)?;
                reassembly.publish();
            }
            None => self.single(batch)?,
        }
        self.heads.emit_full(out)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.tick(now, &mut self.heads)?;
            reassembly.publish();
        }
        self.heads.emit(out)
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.finish(&mut self.heads)?;
            reassembly.publish();
        }
        self.heads.emit(out)
    }
}

impl Http {
    /// Each packet by itself.
    fn single(&mut self, batch: &mut Batch<'_>) -> Result {
        for packet in batch.live() {
            let kind = match packet.class() {
                Class::HTTP_REQUEST if packet.protocol() == TCP => Kind::Request,
                Class::HTTP_RESPONSE if packet.protocol() == TCP => Kind::Response,
                _ => continue,
            };
            let seen = seen_by(packet, &self.flows);
            self.heads.add(kind, &seen, packet.payload(), &Told::default());
            self.heads.settle(kind)?;
        }
        Ok(())
    }
}

fn seen_by(packet: &Packet<'_>, flows: &Flows) -> Seen {
    let seen = seen(packet, 0);
    let (src, dst) = ((&seen.src, seen.src_port), (&seen.dst, seen.dst_port));
    Seen { flow: flows.number(src, dst, packet.protocol()), ..seen }
}

/// Where and when a packet was seen; `flow` is the number of its connection.
#[inline]
fn seen(packet: &Packet<'_>, flow: u64) -> Seen {
    let (src, dst) = packet.addresses();
    let (src_port, dst_port) = packet.ports();
    Seen {
        time: packet.time(),
        ip_version: packet.ip_version(),
        src,
        dst,
        src_port,
        dst_port,
        flow,
        interface: packet.interface(),
        encapsulation: packet.encapsulation(),
    }
}
