//! From a record batch to messages.

use arrow_ipc::writer::StreamWriter;
use ringmill_sdk::{
    Result,
    arrow_array::{
        Array, FixedSizeBinaryArray, RecordBatch,
        cast::AsArray,
        types::{TimestampNanosecondType, UInt64Type},
    },
    json, render,
    schema::{self, MANIFEST_ID},
};

use crate::options::{Format, Options};

/// What the frame of a message takes at most, and that of a header: numbers of variable length.
const FRAME: usize = 64;
const HEADER_FRAME: usize = 10;

/// A message, ready to be sent.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// In milliseconds since 1970.
    pub(crate) time: Option<i64>,
    record: &'a str,
    manifest: Option<&'a str>,
    record_id: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
    /// How many rows it holds.
    pub(crate) rows: usize,
}

impl Message<'_> {
    /// Names and values.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let headers = [
            ("manifest", self.manifest.map(str::as_bytes)),
            ("record", Some(self.record.as_bytes())),
            ("record_id", self.record_id),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// Why librdkafka would not take it, if it would not.
    pub(crate) fn too_long(&self, most: usize) -> Option<String> {
        // Most are far from it.
        if self.payload.len() + 1024 <= most {
            return None;
        }
        let len = self.len();
        (len > most).then(|| {
            format!(
                "a record makes a message of {len} bytes, and `message.max.bytes` of the sink's \
                 `librdkafka` lets {most} through"
            )
        })
    }

    /// How long librdkafka takes it to be, or a little more.
    fn len(&self) -> usize {
        let headers = self.headers().map(|(name, value)| HEADER_FRAME + name.len() + value.len());
        FRAME + headers.sum::<usize>() + self.key.map_or(0, <[u8]>::len) + self.payload.len()
    }
}

/// The payloads of a batch.
#[derive(Debug)]
pub(crate) struct Payloads {
    format: Format,
    /// How long a message may be.
    pub(crate) most: usize,
    json: json::Writer,
    bytes: Vec<u8>,
    /// For each the first of its rows, and where it ends.
    ends: Vec<(usize, usize)>,
    /// Of the batch.
    rows: usize,
}

impl Payloads {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            format: options.format,
            most: options.message_max(),
            json: json::Writer::default(),
            bytes: Vec::new(),
            ends: Vec::new(),
            rows: 0,
        }
    }

    /// Makes those of a batch.
    ///
    /// # Errors
    /// A row cannot be shown.
    pub(crate) fn make(&mut self, records: &RecordBatch) -> Result {
        self.bytes.clear();
        self.ends.clear();
        match self.format {
            Format::Json => self.make_json(records)?,
            Format::Arrow => self.make_arrow(records, 0)?,
        }
        self.rows = records.num_rows();
        Ok(())
    }

    fn make_json(&mut self, records: &RecordBatch) -> Result {
        let rows = self.json.rows(records)?;
        for row in 0..records.num_rows() {
            rows.append(row, &mut self.bytes);
            self.ends.push((row, self.bytes.len()));
        }
        Ok(())
    }

    /// As many rows in a message as fit; halves what turns out to be too long.
    fn make_arrow(&mut self, records: &RecordBatch, first: usize) -> Result {
        let begin = self.bytes.len();
        let mut writer = StreamWriter::try_new(&mut self.bytes, records.schema_ref())?;
        writer.write(records)?;
        writer.finish()?;
        let (rows, half) = (records.num_rows(), records.num_rows() / 2);
        if self.bytes.len() - begin + 1024 <= self.most || rows < 2 {
            self.ends.push((first, self.bytes.len()));
            return Ok(());
        }
        self.bytes.truncate(begin);
        self.make_arrow(&records.slice(0, half), first)?;
        self.make_arrow(&records.slice(half, rows - half), first + half)
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of them, with what the columns say of its first row.
    pub(crate) fn message<'a>(
        &'a self,
        n: usize,
        columns: &Columns<'a>,
        text: &'a mut Text,
    ) -> Message<'a> {
        let begin = n.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let (row, end) = self.ends[n];
        let next_row = self.ends.get(n + 1).map_or(self.rows, |(row, _)| *row);
        let is_row = self.format == Format::Json;
        text.fill(columns, row);
        let filled = |text: &'a [u8]| Some(text).filter(|text| is_row && !text.is_empty());
        let key = if is_row { filled(&text.flow) } else { columns.manifest.map(str::as_bytes) };
        Message {
            key,
            time: columns.times.and_then(|times| times.get(row)).map(|ns| ns.div_euclid(1_000_000)),
            record: columns.record,
            manifest: columns.manifest,
            record_id: filled(&text.record_id),
            payload: &self.bytes[begin..end],
            rows: next_row - row,
        }
    }
}

/// The columns that messages are labelled by, where they are there.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    record: &'a str,
    manifest: Option<&'a str>,
    times: Option<&'a [i64]>,
    flows: Option<&'a [u64]>,
    ids: Option<&'a FixedSizeBinaryArray>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(records: &'a RecordBatch) -> Self {
        // One with nulls is not the one that is meant.
        let column = |name| records.column_by_name(name).filter(|it| it.null_count() == 0);
        let times = column("time").and_then(|it| it.as_primitive_opt::<TimestampNanosecondType>());
        let flows = column("flow").and_then(|it| it.as_primitive_opt::<UInt64Type>());
        let ids = column("record_id").and_then(|it| it.as_fixed_size_binary_opt());
        let schema = records.schema_ref();
        Self {
            record: schema::record_name(schema),
            manifest: schema.metadata().get(MANIFEST_ID).map(String::as_str),
            times: times.map(|times| times.values().as_ref()),
            flows: flows.map(|flows| flows.values().as_ref()),
            ids: ids.filter(|ids| ids.value_length() == 16),
        }
    }
}

/// What is written anew for each row.
#[derive(Debug, Default)]
pub(crate) struct Text {
    flow: Vec<u8>,
    record_id: Vec<u8>,
}

impl Text {
    fn fill(&mut self, columns: &Columns<'_>, row: usize) {
        self.flow.clear();
        self.record_id.clear();
        if let Some(flows) = columns.flows {
            self.flow.extend_from_slice(itoa::Buffer::new().format(flows[row]).as_bytes());
        }
        if let Some(id) = columns.ids.and_then(|ids| <&[u8; 16]>::try_from(ids.value(row)).ok()) {
            render::uuid(id, &mut self.record_id);
        }
    }
}
