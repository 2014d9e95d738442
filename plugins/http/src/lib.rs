//! Takes HTTP/1 heads out of TCP segments.
//!
//! Each live packet of class `http_request` or `http_response` gives exactly one row of the
//! record type of that name, whatever its head looks like. A head that is cut by the segment or
//! does not follow RFC 9112 is taken as far as it is sure, and `flags` says why it may not be
//! whole. The stage drops no packets.
//!
//! Which header fields have a column is in `fields.rs`; all others are entries of `extras`,
//! named in lower case. Of a field that comes twice the first value is in the column and the
//! later ones are in `extras`; in `extras` values of one name are joined by `, `.
//!
//! Never in clear: credentials (Cookie, Authorization and their kin), fields that carry the
//! address of a client, fields that name a person; of these only the length comes out. User
//! names and passwords in URLs do not come out at all.

mod extras;
mod fields;
mod flow;
mod head;
mod lenient;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod url;

use std::path::PathBuf;

use ringmill_sdk::{key, prelude::*};

use flow::Flows;
use head::{Flags, Kind};
use rows::{Rows, Seen};

const TCP: u8 = 6;

/// The most rows that an operator may ask for in one record batch.
const MOST_ROWS: usize = 1 << 20;

/// Bytes of text after which a record batch is emitted whatever its rows: far from the 2 GiB
/// at which a column of text ends.
const MOST_BYTES: usize = 64 << 20;

options! {
    /// Options of `[[stage]] use = "http"`.
    pub struct Options {
        /// Rows in a record batch; what is there goes out once a second.
        rows: usize = 4096,
        /// File with the key of the flow numbers, 64 hex digits or 32 bytes; without it they differ from run to run.
        key_file: Option<PathBuf> = None,
    }
}

/// The stage `http`.
pub struct Http {
    most_rows: usize,
    flows: Flows,
    requests: Rows,
    responses: Rows,
    heads: Heads,
}

/// How many heads there were.
struct Heads {
    request: Counter,
    response: Counter,
    truncated: Counter,
    malformed: Counter,
}

impl Stage for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "takes HTTP/1 heads out of TCP segments";
    const OPTIONS: &'static [OptionHelp] = Options::HELP;
    type Config = Options;

    fn new(options: Options, host: &Host) -> Result<Self> {
        if !(1..=MOST_ROWS).contains(&options.rows) {
            return Err(Error::config("rows", format!("must be from 1 to {MOST_ROWS}")));
        }
        let key = match &options.key_file {
            Some(path) => key::read(path)?,
            None => key::Key::new(host.ephemeral_key("http.flow")),
        };
        Ok(Self {
            most_rows: options.rows,
            flows: Flows::new(&key),
            requests: Rows::new(Kind::Request),
            responses: Rows::new(Kind::Response),
            heads: Heads {
                request: host.counter("heads.request"),
                response: host.counter("heads.response"),
                truncated: host.counter("heads.truncated"),
                malformed: host.counter("heads.malformed"),
            },
        })
    }

    fn schemas(&self) -> Vec<SchemaRef> {
        vec![self.requests.schema(), self.responses.schema()]
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        let (mut requests, mut responses, mut truncated, mut malformed) = (0, 0, 0, 0);
        for packet in batch.live() {
            let rows = match packet.class() {
                Class::HTTP_REQUEST if packet.protocol() == TCP => {
                    requests += 1;
                    &mut self.requests
                }
                Class::HTTP_RESPONSE if packet.protocol() == TCP => {
                    responses += 1;
                    &mut self.responses
                }
                _ => continue,
            };
            let flags = rows.add(&seen(packet, &self.flows), packet.payload());
            truncated += u64::from(flags.has(Flags::TRUNCATED));
            malformed += u64::from(flags.has(Flags::MALFORMED));
            if rows.len() >= self.most_rows || rows.bytes() >= MOST_BYTES {
                emit(rows, out)?;
            }
        }
        self.heads.request.add(requests);
        self.heads.response.add(responses);
        self.heads.truncated.add(truncated);
        self.heads.malformed.add(malformed);
        Ok(())
    }

    fn tick(&mut self, _: Timestamp, out: &mut Output<'_>) -> Result {
        self.finish(out)
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        emit(&mut self.requests, out)?;
        emit(&mut self.responses, out)
    }
}

fn emit(rows: &mut Rows, out: &mut Output<'_>) -> Result {
    match rows.finish()? {
        Some(records) => out.emit(records),
        None => Ok(()),
    }
}

#[inline]
fn seen(packet: &Packet<'_>, flows: &Flows) -> Seen {
    let (src, dst) = packet.addresses();
    let (src_port, dst_port) = packet.ports();
    Seen {
        time: packet.time(),
        ip_version: packet.ip_version(),
        src,
        dst,
        src_port,
        dst_port,
        flow: flows.number((&src, src_port), (&dst, dst_port), packet.protocol()),
        interface: packet.interface(),
        encapsulation: packet.encapsulation(),
    }
}
