//! Heads as rows: one writer for each of the two record types.
//!
//! A value goes from the packet straight into its column. Only the fields without a column
//! wait until the head is read, because those of one name become one entry.

use std::{fmt::Write as _, sync::Arc};

use ringmill_sdk::{
    Encapsulation, Result, Timestamp,
    arrow_array::{
        ArrayRef, RecordBatch,
        types::{UInt8Type, UInt16Type, UInt64Type},
    },
    arrow_schema::{DataType, Field, SchemaRef},
    columns::{Addresses, Number, Text, TextMap, Times},
    schema::{self, Kind as Meaning},
};

use crate::{
    extras::Extras,
    fields::{self, Column},
    head::{self, Flags, Kind, Start, Take},
    text::Checked,
    url::{cut_host, without_userinfo},
};

/// Where and when a head was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub time: Timestamp,
    /// 4 or 6.
    pub ip_version: u8,
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub src_port: u16,
    pub dst_port: u16,
    pub flow: u64,
    /// Number of the capture interface.
    pub interface: u16,
    pub encapsulation: Encapsulation,
}

/// The rows of one record type that were not emitted yet.
pub(crate) struct Rows {
    kind: Kind,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    time: Times,
    ip_version: Number<UInt8Type>,
    src_ip: Addresses,
    dst_ip: Addresses,
    src_port: Number<UInt16Type>,
    dst_port: Number<UInt16Type>,
    flow: Number<UInt64Type>,
    interface: Number<UInt16Type>,
    encapsulation: Text,
    method: Text,
    uri: Text,
    status_code: Number<UInt16Type>,
    reason: Text,
    version: Text,
    fields: [Text; Column::COUNT],
    extras: TextMap,
    flags: Text,
    /// Fields of the head being read that have no column; empty between heads.
    waiting: Extras<'static>,
    scratch: String,
}

/// The fields that have a column, in its order: those between the version and the ones that
/// both record types have.
const REQUEST: &[(Column, &str, Meaning)] = &[
    (Column::UserAgent, "user_agent", Meaning::Header),
    (Column::Referer, "referer", Meaning::Url),
];
const RESPONSE: &[(Column, &str, Meaning)] = &[
    (Column::Server, "server", Meaning::Header),
    (Column::ContentEncoding, "content_encoding", Meaning::Header),
];
const BOTH: &[(Column, &str, Meaning)] = &[
    (Column::Pragma, "pragma", Meaning::Header),
    (Column::Connection, "connection", Meaning::Header),
    (Column::ContentType, "content_type", Meaning::Header),
    (Column::CacheControl, "cache_control", Meaning::Header),
];

/// The record type that heads of this kind become.
pub(crate) fn schema(kind: Kind) -> SchemaRef {
    let number =
        |name, data_type, meaning| schema::field(name, data_type, meaning).with_nullable(false);
    let text = |columns: &[(Column, &str, Meaning)]| -> Vec<Field> {
        columns.iter().map(|(_, name, meaning)| schema::text(name, *meaning)).collect()
    };
    let mut fields = vec![
        schema::time("time"),
        number("ip_version", DataType::UInt8, Meaning::Number),
        schema::address("src_ip"),
        schema::address("dst_ip"),
        number("src_port", DataType::UInt16, Meaning::Number),
        number("dst_port", DataType::UInt16, Meaning::Number),
        number("flow", DataType::UInt64, Meaning::Flow),
        number("interface", DataType::UInt16, Meaning::Number),
        schema::text("encapsulation", Meaning::Text),
    ];
    let version = schema::text("version", Meaning::Text);
    let name = match kind {
        Kind::Request => {
            fields.push(schema::text("method", Meaning::Text));
            fields.push(schema::text("host", Meaning::Header));
            fields.push(schema::text("uri", Meaning::Url));
            fields.push(version);
            fields.extend(text(REQUEST));
            "http_request"
        }
        Kind::Response => {
            fields.push(schema::field("status_code", DataType::UInt16, Meaning::Number));
            fields.push(schema::text("reason", Meaning::Header));
            fields.push(version);
            fields.extend(text(RESPONSE));
            "http_response"
        }
    };
    fields.extend(text(BOTH));
    fields.push(schema::map("extras", Meaning::Header));
    fields.push(schema::text("flags", Meaning::Text));
    schema::record(name, fields)
}

impl Rows {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            schema: schema(kind),
            rows: 0,
            bytes: 0,
            time: Times::default(),
            ip_version: Number::default(),
            src_ip: Addresses::default(),
            dst_ip: Addresses::default(),
            src_port: Number::default(),
            dst_port: Number::default(),
            flow: Number::default(),
            interface: Number::default(),
            encapsulation: Text::default(),
            method: Text::default(),
            uri: Text::default(),
            status_code: Number::default(),
            reason: Text::default(),
            version: Text::default(),
            fields: Default::default(),
            extras: TextMap::default(),
            flags: Text::default(),
            waiting: Extras::default(),
            scratch: String::new(),
        }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Bytes of text in the rows, at most; counted because an Arrow column of text ends at
    /// 2 GiB.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the head that `bytes` begin with as one row; the result is what its `flags` say.
    #[inline]
    pub(crate) fn add(&mut self, seen: &Seen, bytes: &[u8]) -> Flags {
        let row = self.rows;
        self.time.push(seen.time);
        self.ip_version.put(row, seen.ip_version);
        self.src_ip.push(&seen.src);
        self.dst_ip.push(&seen.dst);
        self.src_port.put(row, seen.src_port);
        self.dst_port.put(row, seen.dst_port);
        self.flow.put(row, seen.flow);
        self.interface.put(row, seen.interface);
        if !seen.encapsulation.is_empty() {
            self.scratch.clear();
            // A String takes whatever is written.
            let _ = write!(self.scratch, "{}", seen.encapsulation);
            self.encapsulation.put(row, &self.scratch);
        }

        let waiting = std::mem::take(&mut self.waiting).for_another();
        let kind = self.kind;
        let mut writer = Writer {
            rows: self,
            flags: Flags::default(),
            head: Checked::default(),
            waiting,
            filled: 0,
            size: 0,
        };
        let mut flags = head::read(kind, bytes, &mut writer);
        flags.set(writer.flags);
        let Writer { head, mut waiting, size, .. } = writer;

        if waiting.write(head, &mut self.extras) {
            flags.set(Flags::NOT_UTF8);
        }
        self.waiting = waiting.for_another();
        self.extras.end_row();
        if !flags.is_empty() {
            flags.write(&mut self.scratch);
            self.flags.put(row, &self.scratch);
        }
        self.bytes += size;
        self.rows += 1;
        flags
    }

    /// All rows as a record batch, `None` when there are none; the writer starts again.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        columns.push(self.time.finish());
        columns.push(self.ip_version.finish(rows));
        columns.push(self.src_ip.finish()?);
        columns.push(self.dst_ip.finish()?);
        columns.push(self.src_port.finish(rows));
        columns.push(self.dst_port.finish(rows));
        columns.push(self.flow.finish(rows));
        columns.push(self.interface.finish(rows));
        columns.push(self.encapsulation.finish(rows));
        let own = match self.kind {
            Kind::Request => {
                columns.push(self.method.finish(rows));
                columns.push(self.fields[Column::Host as usize].finish(rows));
                columns.push(self.uri.finish(rows));
                REQUEST
            }
            Kind::Response => {
                columns.push(self.status_code.finish(rows));
                columns.push(self.reason.finish(rows));
                RESPONSE
            }
        };
        columns.push(self.version.finish(rows));
        for (column, ..) in own.iter().chain(BOTH) {
            columns.push(self.fields[*column as usize].finish(rows));
        }
        columns.push(self.extras.finish()?);
        columns.push(self.flags.finish(rows));
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

/// Writes one row.
struct Writer<'r, 'a> {
    rows: &'r mut Rows,
    flags: Flags,
    head: Checked<'a>,
    waiting: Extras<'a>,
    /// One bit for each [`Column`] that has its value.
    filled: u16,
    /// At most as many bytes of text as this row will hold in its longest column.
    size: usize,
}

impl<'a> Take<'a> for Writer<'_, 'a> {
    #[inline]
    fn start(&mut self, start: &Start<'a>) {
        let (row, head) = (self.rows.rows, Checked::new(start.head));
        self.head = head;
        let rows = &mut *self.rows;
        let mut is_utf8 = true;
        // What is missing in the first line is null.
        let mut put = |column: &mut Text, value: &[u8]| {
            if !value.is_empty() {
                is_utf8 &= put(column, row, head, value);
            }
        };
        put(&mut rows.version, start.version);
        match rows.kind {
            Kind::Request => {
                put(&mut rows.method, start.method);
                match without_userinfo(start.target, start.target_cut) {
                    (target, b"") => put(&mut rows.uri, target),
                    (before, after) => put(&mut rows.uri, &[before, after].concat()),
                }
            }
            Kind::Response => {
                put(&mut rows.reason, start.reason);
                if let Some(status) = start.status {
                    rows.status_code.put(row, status);
                }
            }
        }
        self.size += longest(start.method.len() + start.target.len() + start.reason.len());
        if !is_utf8 {
            self.flags.set(Flags::NOT_UTF8);
        }
    }

    #[inline]
    fn field(&mut self, name: &'a str, value: &'a [u8], cut: bool) {
        self.size += longest(name.len() + value.len());
        let known = fields::field(name.as_bytes());
        let Some(fields::Field::Column(column)) = known else {
            return self.waiting.push(name, value, known, cut);
        };
        let bit = 1 << column as u16;
        if self.filled & bit != 0 || !has_column(self.rows.kind, column) {
            // What is withheld from the column is withheld from its repetition.
            let known = is_url(column).then_some(fields::Field::Url);
            return self.waiting.push(name, value, known, cut);
        }
        self.filled |= bit;
        let row = self.rows.rows;
        let text = &mut self.rows.fields[column as usize];
        let is_utf8 = if is_url(column) {
            let value = if cut && column == Column::Host { cut_host(value) } else { value };
            match without_userinfo(value, cut && column != Column::Host) {
                (value, b"") => put(text, row, self.head, value),
                (before, after) => text.put_bytes(row, &[before, after].concat()),
            }
        } else {
            put(text, row, self.head, value)
        };
        if !is_utf8 {
            self.flags.set(Flags::NOT_UTF8);
        }
    }
}

/// Whether the value was UTF-8.
#[inline]
fn put(column: &mut Text, row: usize, head: Checked<'_>, value: &[u8]) -> bool {
    match head.find(value) {
        Some(value) => {
            column.put(row, value);
            true
        }
        None => column.put_bytes(row, value),
    }
}

/// Whether the value holds a URL or, as Host does, the part of it in which user information
/// stands.
#[inline]
fn is_url(column: Column) -> bool {
    matches!(column, Column::Referer | Column::Host)
}

#[inline]
fn has_column(kind: Kind, column: Column) -> bool {
    match column {
        Column::Host | Column::UserAgent | Column::Referer => kind == Kind::Request,
        Column::Server | Column::ContentEncoding => kind == Kind::Response,
        Column::Pragma | Column::Connection | Column::ContentType | Column::CacheControl => true,
    }
}

/// How long `bytes` may become: a byte that is not UTF-8 takes three, and what stands for a
/// withheld value is short.
#[inline]
fn longest(bytes: usize) -> usize {
    bytes.saturating_mul(3).saturating_add(40)
}
