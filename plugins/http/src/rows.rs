//! Heads as rows: one writer for each of the two record types.
//!
//! A value goes from the packet straight into its column. Only the fields without a column
//! wait until the head is read, because those of one name become one entry.

mod writer;

use std::{fmt::Write as _, sync::Arc};

use ringmill_sdk::{
    Encapsulation, Result, Timestamp,
    arrow_array::{
        ArrayRef, RecordBatch,
        types::{Date32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
    },
    arrow_schema::{DataType, Schema, SchemaRef},
    columns::{Addresses, Number, Text, TextMap, Times},
    schema::{self, Kind as Meaning},
};

use crate::{
    columns::{COLUMNS, Columns, Spec, Value},
    extras::Extras,
    fields::Column,
    flags::Tally,
    framing::Framing,
    head::{Flags, Head, Kind},
    mix::Mix,
};
use writer::Writer;

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

/// What reassembly knows of a head beyond its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told<'a> {
    pub flags: Flags,
    /// Number of the exchange in its connection, from 1.
    pub exchange: Option<u32>,
    /// Of a response: what its request asked for.
    pub asked: Option<Asked<'a>>,
    /// Of a response: nanoseconds from the end of the request's head to its first byte.
    pub ttfb: Option<i64>,
}

/// What a request asked for, as its row has it: text, which is checked when it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    pub method: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
    pub uri: Option<&'a [u8]>,
}

/// What was found while a head became a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// As the column `flags` has them.
    pub flags: Flags,
    pub framing: Framing,
}

/// The rows of one record type that were not emitted yet.
pub(crate) struct Rows {
    kind: Kind,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    time: Times,
    /// None without epochs.
    epoch: Option<Number<Date32Type>>,
    /// The first day of the epoch of the rows to come, counted from 1970-01-01.
    day: i32,
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
    /// Host, in requests; then the columns that were chosen, in their order.
    cells: Vec<Cell>,
    /// For each [`Column`] the number of its cell, or [`NOWHERE`].
    places: [u8; Column::COUNT],
    exchange: Number<UInt32Type>,
    /// `request_method`, `request_host`, `request_uri`.
    asked: [Text; 3],
    ttfb: Number<Int64Type>,
    extras: TextMap,
    flags: Text,
    /// Fields of the head being read that have no column; empty between heads.
    waiting: Extras<'static>,
    scratch: String,
    /// Heads by flag.
    tally: Tally,
    /// Responses by what they are.
    mix: Mix,
}

/// Where no column is.
const NOWHERE: u8 = u8::MAX;

/// The values of one header field.
enum Cell {
    Text(Text),
    Number(Number<UInt64Type>),
}

impl Cell {
    fn new(value: Value) -> Self {
        match value {
            Value::Number => Self::Number(Number::default()),
            _ => Self::Text(Text::default()),
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        match self {
            Self::Text(text) => text.finish(rows),
            Self::Number(numbers) => numbers.finish(rows),
        }
    }
}

/// The record type that heads of this kind become.
pub(crate) fn schema(kind: Kind, columns: &Columns, epochs: bool) -> SchemaRef {
    let number =
        |name, data_type, meaning| schema::field(name, data_type, meaning).with_nullable(false);
    let mut fields = vec![schema::time("time")];
    if epochs {
        fields.push(number("epoch", DataType::Date32, Meaning::Time));
    }
    fields.extend([
        number("ip_version", DataType::UInt8, Meaning::Number),
        schema::address("src_ip"),
        schema::address("dst_ip"),
        number("src_port", DataType::UInt16, Meaning::Number),
        number("dst_port", DataType::UInt16, Meaning::Number),
        number("flow", DataType::UInt64, Meaning::Flow),
        number("interface", DataType::UInt16, Meaning::Number),
        schema::text("encapsulation", Meaning::Text),
    ]);
    let name = match kind {
        Kind::Request => {
            fields.push(schema::text("method", Meaning::Header));
            fields.push(COLUMNS[Column::Host as usize].field());
            fields.push(schema::text("uri", Meaning::Url));
            "http_request"
        }
        Kind::Response => {
            fields.push(schema::field("status_code", DataType::UInt16, Meaning::Number));
            fields.push(schema::text("reason", Meaning::Header));
            "http_response"
        }
    };
    fields.push(schema::text("version", Meaning::Header));
    fields.extend(columns.of(kind).map(Spec::field));
    fields.push(schema::field("exchange", DataType::UInt32, Meaning::Number));
    if kind == Kind::Response {
        fields.push(schema::text("request_method", Meaning::Header));
        fields.push(schema::text("request_host", Meaning::Header));
        fields.push(schema::text("request_uri", Meaning::Url));
        // Nanoseconds. Not `Duration`: DuckDB and Spark read that as a bare number too, and the
        // `jsonl` sink does not know it.
        fields.push(schema::field("ttfb", DataType::Int64, Meaning::Number));
    }
    fields.push(schema::map("extras", Meaning::Header));
    fields.push(schema::text("flags", Meaning::Text));
    schema::record(name, fields)
}

impl Rows {
    pub(crate) fn new(kind: Kind) -> Self {
        let mut rows = Self {
            kind,
            schema: SchemaRef::new(Schema::empty()),
            rows: 0,
            bytes: 0,
            time: Times::default(),
            epoch: None,
            day: 0,
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
            cells: Vec::new(),
            places: [NOWHERE; Column::COUNT],
            exchange: Number::default(),
            asked: Default::default(),
            ttfb: Number::default(),
            extras: TextMap::default(),
            flags: Text::default(),
            waiting: Extras::default(),
            scratch: String::new(),
            tally: Tally::default(),
            mix: Mix::default(),
        };
        rows.choose(&Columns::default(), false);
        rows
    }

    /// Says which header fields get a column, and whether `epoch` is one; only before the first
    /// row.
    pub(crate) fn choose(&mut self, columns: &Columns, epochs: bool) {
        self.schema = schema(self.kind, columns, epochs);
        self.epoch = epochs.then(Number::default);
        self.cells.clear();
        self.places = [NOWHERE; Column::COUNT];
        let host = COLUMNS.iter().filter(|spec| spec.column == Column::Host);
        for spec in host.filter(|spec| spec.is_in(self.kind)).chain(columns.of(self.kind)) {
            // There are fewer columns than a byte can count.
            self.places[spec.column as usize] = u8::try_from(self.cells.len()).unwrap_or(NOWHERE);
            self.cells.push(Cell::new(spec.value));
        }
    }

    /// Says of which epoch the rows are that come now, by its first day.
    pub(crate) fn begin_epoch(&mut self, day: i32) {
        self.day = day;
    }

    fn cell(&mut self, column: Column) -> Option<&mut Cell> {
        self.cells.get_mut(usize::from(self.places[column as usize]))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Heads by flag that were added since this was emptied.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Responses by what they are, of those that were added since this was emptied.
    pub(crate) fn mix(&mut self) -> &mut Mix {
        &mut self.mix
    }

    /// Bytes of text in the rows, at most; counted because an Arrow column of text ends at
    /// 2 GiB.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a head as one row.
    #[inline]
    pub(crate) fn add(&mut self, seen: &Seen, head: Head<'_, '_>, told: &Told<'_>) -> Taken {
        let row = self.rows;
        self.time.push(seen.time);
        if let Some(epoch) = &mut self.epoch {
            epoch.put(row, self.day);
        }
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
        let mut writer = Writer::new(self, waiting);
        let mut flags = head.read(kind, &mut writer);
        flags.set(writer.flags);
        flags.set(told.flags);
        let Writer { head, mut waiting, mut size, framing, .. } = writer;

        if waiting.write(head, &mut self.extras) {
            flags.set(Flags::NOT_UTF8);
        }
        self.waiting = waiting.for_another();
        self.extras.end_row();
        if !flags.is_empty() {
            self.tally.add(flags);
            flags.write(&mut self.scratch);
            self.flags.put(row, &self.scratch);
        }
        if let Some(exchange) = told.exchange {
            self.exchange.put(row, exchange);
        }
        if let Some(Asked { method, host, uri }) = told.asked {
            for (column, value) in self.asked.iter_mut().zip([method, host, uri]) {
                if let Some(value) = value {
                    column.put_bytes(row, value);
                    size += value.len();
                }
            }
        }
        if let Some(ttfb) = told.ttfb {
            self.ttfb.put(row, ttfb);
        }
        self.bytes += size;
        self.rows += 1;
        Taken { flags, framing }
    }

    /// What the request that was added last asks for.
    pub(crate) fn asked(&self) -> Asked<'_> {
        let Some(row) = self.rows.checked_sub(1) else { return Asked::default() };
        let host = match self.cells.get(usize::from(self.places[Column::Host as usize])) {
            Some(Cell::Text(host)) => host.last(row),
            _ => None,
        };
        Asked { method: self.method.last(row), host, uri: self.uri.last(row) }
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
        columns.extend(self.epoch.as_mut().map(|epoch| epoch.finish(rows)));
        columns.push(self.ip_version.finish(rows));
        columns.push(self.src_ip.finish()?);
        columns.push(self.dst_ip.finish()?);
        columns.push(self.src_port.finish(rows));
        columns.push(self.dst_port.finish(rows));
        columns.push(self.flow.finish(rows));
        columns.push(self.interface.finish(rows));
        columns.push(self.encapsulation.finish(rows));
        let mut cells = self.cells.iter_mut();
        match self.kind {
            Kind::Request => {
                columns.push(self.method.finish(rows));
                columns.extend(cells.next().map(|host| host.finish(rows)));
                columns.push(self.uri.finish(rows));
            }
            Kind::Response => {
                columns.push(self.status_code.finish(rows));
                columns.push(self.reason.finish(rows));
            }
        }
        columns.push(self.version.finish(rows));
        columns.extend(cells.map(|cell| cell.finish(rows)));
        columns.push(self.exchange.finish(rows));
        if self.kind == Kind::Response {
            columns.extend(self.asked.iter_mut().map(|column| column.finish(rows)));
            columns.push(self.ttfb.finish(rows));
        }
        columns.push(self.extras.finish()?);
        columns.push(self.flags.finish(rows));
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}
