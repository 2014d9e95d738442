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
//! With `[engine] epoch` both record types have a column `epoch`, the first day of the day or week
//! whose key the row has, and `flow` is another number in each.
//!
//! A head that is not whole or does not follow RFC 9112 is taken as far as it is sure, and
//! `flags` says why:
//!
//! | flag | what it says of the head |
//! |---|---|
//! | `truncated` | Its end is not there; alone: the capture cut it. The word that it ends in is left out. |
//! | `malformed` | It does not follow RFC 9112 and was read line by line, as far as it is sure; another flag says why. |
//! | `bare_lf` | A line ends in LF without CR; it is taken as a line. |
//! | `bare_cr` | A CR stands inside a line or before another CR; a value ends there. |
//! | `nul` | A byte 0; a field's value ends there. |
//! | `control_byte` | A control character other than CR, LF, tab and NUL. |
//! | `unknown_method` | The method is not in IANA's registry. |
//! | `bad_target` | The request has no target. |
//! | `space_in_target` | White space inside the request target, which is taken with it. |
//! | `bad_version` | The version is missing or not HTTP/1.0 or HTTP/1.1. |
//! | `bad_status` | The status is not three digits, and null, or not from 100 to 599. |
//! | `extra_space` | More white space than one space around a word of the first line. |
//! | `space_before_colon` | White space between a field's name and the colon; the field is taken. |
//! | `bad_header` | A line without a colon, or whose name is not a token; it is not taken. |
//! | `folded` | A line begins with white space (obs-fold); it is not taken. |
//! | `long_line` | A line is longer than 8192 bytes, which common servers refuse. |
//! | `too_many_headers` | More than 256 fields; the rest is not taken. |
//! | `not_utf8` | A value held bytes that are not UTF-8 and were replaced by U+FFFD. |
//! | `incomplete` | It was not completed before its connection ended, lost a segment, was idle or was given up. |
//! | `oversize` | It is longer than the option `head_bytes`; what lies behind is not taken. |
//! | `no_request` | A response whose request was not seen, or of which nobody can tell which it was. |
//!
//! Counters: `heads.*` by kind and flag; `flows` taken up, and those forgotten early as
//! `flows.idle`, `flows.evicted` (for another) and `flows.no_buffer`; `segments.repeated`,
//! `segments.early`, `segments.cut`; `gaps` that were given up; `heads.undecided` (too short to
//! tell); `responses.no_request`, `requests.unanswered`.
//!
//! Which header fields have a column is in `columns.rs` and in the option `columns`; all others
//! are entries of `extras`, named in lower case. A column holds the value as it was sent; `age`
//! and `content_length` are numbers, and a value that is none is in `extras`. Of a field that
//! comes twice the first value is in the column and the later ones are in `extras`; in `extras`
//! values of one name are joined by `, `.
//!
//! User names and passwords in URLs do not come out. All else does, cookies and credentials
//! too: what of it may leave the engine is the policy of the stage `redact`, without which no
//! sink gets these records.

mod boundary;
mod columns;
mod extras;
mod fields;
mod flags;
mod flow;
mod framing;
mod head;
mod heads;
mod lenient;
mod mix;
mod reassembly;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod url;

use std::path::PathBuf;

use ringmill_sdk::{
    key::{Ephemeral, Schedule},
    prelude::*,
};

use columns::Columns;
use flags::Counters;
use flow::{Epochs, Flows};
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
        /// The header fields that get a column, in the order of the columns; `host` always has one, any other field is in `extras`.
        columns: Vec<String> = columns::default_names(),
        /// Rows in a record batch; what is there goes out once a second.
        rows: usize = 4096,
        /// File with the key of the flow numbers, which `engine keygen` makes; without it they differ from run to run.
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
    columns: Columns,
    flows: Flows,
    heads: Heads,
    flagged: Counters,
    mix: mix::Counters,
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
        let key_file = options.key_file.as_deref();
        let ephemeral = key_file.is_none().then_some(Ephemeral);
        let mut keys = Schedule::new(key_file, ephemeral, host, "http.flow")?;
        let (flows, epochs) = match host.epoch() {
            None => (Flows::new(keys.key(0)?), None),
            // Connections are told apart under a key that outlives every epoch, and no row
            // ever shows.
            Some(epoch) => {
                (Flows::new(&host.ephemeral_key("http.table")), Some(Epochs::new(epoch, keys)))
            }
        };
        host.describe(format_args!(
            "The heads of HTTP/1 requests and responses were taken out of {}; bodies were not kept. \
             Connections are numbered by a keyed hash of both ends",
            match options.reassemble {
                true => "TCP streams, put together from their segments",
                false => "single TCP segments",
            }
        ));
        let columns = Columns::new(&options.columns)?;
        let mut heads = Heads::new(options.rows, epochs, host);
        for kind in [Kind::Request, Kind::Response] {
            heads.rows(kind).choose(&columns, host.epoch().is_some());
        }
        Ok(Self {
            columns,
            flows,
            heads,
            flagged: Counters::new(host),
            mix: mix::Counters::new(host),
            reassembly: options.reassemble.then(|| Reassembly::new(limits, host)),
        })
    }

    fn schemas(&self) -> Vec<SchemaRef> {
        let epochs = self.heads.has_epochs();
        [Kind::Request, Kind::Response].map(|kind| schema(kind, &self.columns, epochs)).into()
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        match &mut self.reassembly {
            Some(reassembly) => {
                reassembly.packets(batch, &self.flows, &mut self.heads)?;
                reassembly.publish();
            }
            None => self.single(batch)?,
        }
        self.count();
        self.heads.emit_full(out)
    }

    fn tick(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.tick(now, &mut self.heads)?;
            reassembly.publish();
        }
        self.heads.tick(now);
        self.count();
        self.heads.emit(out)
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.finish(&mut self.heads)?;
            reassembly.publish();
        }
        self.count();
        self.heads.emit(out)
    }
}

impl Http {
    /// Tells the ledger how many heads had which flag, and what the responses were.
    fn count(&mut self) {
        for kind in [Kind::Request, Kind::Response] {
            self.flagged.publish(self.heads.rows(kind).tally());
        }
        self.mix.publish(self.heads.rows(Kind::Response).mix());
    }

    /// Each packet by itself.
    fn single(&mut self, batch: &mut Batch<'_>) -> Result {
        for packet in batch.live() {
            let kind = match packet.class() {
                Class::HTTP_REQUEST if packet.protocol() == TCP => Kind::Request,
                Class::HTTP_RESPONSE if packet.protocol() == TCP => Kind::Response,
                _ => continue,
            };
            let seen = seen_by(packet, &self.flows);
            self.heads.add(kind, &seen, packet.payload().into(), &Told::default());
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
