//! From the engine's columns to ones that every reader of Parquet takes without a cast.
//!
//! * An address becomes text: 16 bytes would need a function in every query, and text costs about
//!   a byte a row.
//! * A UUID becomes 16 bytes without Parquet's mark of a UUID, at which Spark refuses the whole
//!   file. No two are alike, and nobody reads them; text would be 3 % of the file and a twentieth of
//!   the CPU time.
//! * A time becomes microseconds with UTC (rounded down), and beside it a column `..._ns`
//!   holds the exact nanoseconds since 1970 as a 64-bit integer: Spark cannot read a timestamp
//!   of nanoseconds, and DuckDB gives it a type of its own that wants casts in comparisons.
//! * Unsigned integers of 8 and 16 bits become signed ones of 32, those of 32 bits signed ones
//!   of 64, at no cost in the file: Spark before 3.2 refuses unsigned ones, and in DuckDB the
//!   difference of two ports would overflow. Those of 64 bits stay, exact in all three (in
//!   Spark a `DECIMAL(20,0)`) and equal to what JSON Lines shows.
//!
//! All else goes to the writer as it is.

use std::sync::Arc;

use ringmill_sdk::{
    Error, Result,
    arrow_array::{
        Array, ArrayRef, BinaryArray, Int32Array, Int64Array, PrimitiveArray, RecordBatch,
        StringArray, TimestampMicrosecondArray, cast::AsArray, types,
    },
    arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    render,
    schema::{self, Kind},
};

/// What becomes of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Keep,
    AddressToText,
    UuidToBytes,
    SecondsToMicros,
    NanosToMicros,
    NanosToNumber,
    Unsigned8,
    Unsigned16,
    Unsigned32,
}

/// One column of the file.
#[derive(Debug)]
pub(crate) struct Column {
    /// The column that it comes from.
    index: usize,
    /// The field of that column.
    pub(crate) source: FieldRef,
    pub(crate) change: Change,
    /// As it is written; no metadata, which readers would only stumble over.
    pub(crate) field: FieldRef,
}

/// How the records of a schema become rows of a file.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) source: SchemaRef,
    pub(crate) columns: Vec<Column>,
}

impl Plan {
    /// # Errors
    /// A column has a type that Parquet has no form for.
    pub(crate) fn new(source: &SchemaRef) -> Result<Self> {
        let mut columns = Vec::new();
        for (index, field) in source.fields().iter().enumerate() {
            if !is_writable(field.data_type()) {
                return Err(Error::new(format!(
                    "column `{}` is of type {}, which Parquet has no form for; drop it in a \
                     stage before, or write to another sink",
                    field.name(),
                    field.data_type()
                )));
            }
            let change = Change::of(field);
            columns.push(Column::new(index, field, change, field.name()));
            let exact = format!("{}_ns", field.name());
            // A column of that name that a stage made is not replaced.
            if change == Change::NanosToMicros && source.field_with_name(&exact).is_err() {
                columns.push(Column::new(index, field, Change::NanosToNumber, &exact));
            }
        }
        Ok(Self { source: Arc::clone(source), columns })
    }

    /// The schema of the file.
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| Arc::clone(&column.field));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl Column {
    fn new(index: usize, source: &FieldRef, change: Change, name: &str) -> Self {
        let data_type = change.data_type(source.data_type());
        let field = Arc::new(Field::new(name, data_type, source.is_nullable()));
        Self { index, source: Arc::clone(source), change, field }
    }

    /// The rows of this column.
    ///
    /// # Errors
    /// The batch does not have the columns that its schema says.
    pub(crate) fn of(&self, records: &RecordBatch) -> Result<ArrayRef> {
        match records.columns().get(self.index) {
            Some(array) => self.change.apply(array),
            None => Err(Error::new(format!("a batch lacks the column `{}`", self.source.name()))),
        }
    }
}

impl Change {
    fn of(field: &Field) -> Self {
        match field.data_type() {
            DataType::FixedSizeBinary(16) if schema::is_kind(field, Kind::Address) => {
                Self::AddressToText
            }
            DataType::FixedSizeBinary(16) if schema::is_kind(field, Kind::Uuid) => {
                Self::UuidToBytes
            }
            // Parquet has no timestamp in seconds; it would come out as a bare number.
            DataType::Timestamp(TimeUnit::Second, _) => Self::SecondsToMicros,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::NanosToMicros,
            DataType::UInt8 => Self::Unsigned8,
            DataType::UInt16 => Self::Unsigned16,
            DataType::UInt32 => Self::Unsigned32,
            _ => Self::Keep,
        }
    }

    fn data_type(self, source: &DataType) -> DataType {
        match (self, source) {
            (Self::AddressToText, _) => DataType::Utf8,
            // Not of fixed size, which Spark before 3.4 cannot read.
            (Self::UuidToBytes, _) => DataType::Binary,
            (Self::SecondsToMicros | Self::NanosToMicros, DataType::Timestamp(_, zone)) => {
                // A Parquet timestamp is either UTC or of no zone at all.
                DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
            }
            (Self::NanosToNumber | Self::Unsigned32, _) => DataType::Int64,
            (Self::Unsigned8 | Self::Unsigned16, _) => DataType::Int32,
            (_, other) => other.clone(),
        }
    }

    fn apply(self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::Keep => Arc::clone(array),
            Self::AddressToText => Arc::new(addresses(&**array)?),
            Self::UuidToBytes => Arc::new(uuids(&**array)?),
            Self::SecondsToMicros => {
                let seconds = array.as_primitive::<types::TimestampSecondType>();
                micros(array, seconds.unary(|second| second.saturating_mul(1_000_000)))
            }
            Self::NanosToMicros => {
                let nanos = array.as_primitive::<types::TimestampNanosecondType>();
                micros(array, nanos.unary(|ns| ns.div_euclid(1_000)))
            }
            Self::NanosToNumber => {
                let nanos = array.as_primitive::<types::TimestampNanosecondType>();
                Arc::new(Int64Array::new(nanos.values().clone(), nanos.nulls().cloned()))
            }
            Self::Unsigned8 => {
                let numbers: Int32Array = array.as_primitive::<types::UInt8Type>().unary(i32::from);
                Arc::new(numbers)
            }
            Self::Unsigned16 => {
                let numbers: Int32Array =
                    array.as_primitive::<types::UInt16Type>().unary(i32::from);
                Arc::new(numbers)
            }
            Self::Unsigned32 => {
                let numbers: Int64Array =
                    array.as_primitive::<types::UInt32Type>().unary(i64::from);
                Arc::new(numbers)
            }
        })
    }
}

fn micros(array: &ArrayRef, micros: PrimitiveArray<types::TimestampMicrosecondType>) -> ArrayRef {
    let micros: TimestampMicrosecondArray = micros;
    match array.data_type() {
        DataType::Timestamp(_, Some(_)) => Arc::new(micros.with_timezone("UTC")),
        _ => Arc::new(micros),
    }
}

fn addresses(array: &dyn Array) -> Result<StringArray> {
    let (values, _) = array.as_fixed_size_binary().value_data().as_chunks();
    // A dotted quad has 15 bytes at most; the room for longer ones grows.
    let mut text = Vec::with_capacity(values.len() * 16);
    let mut ends = Vec::with_capacity(values.len() + 1);
    ends.push(0);
    for value in values {
        render::ip(value, &mut text);
        let end = i32::try_from(text.len());
        ends.push(end.map_err(|_| too_many_rows())?);
    }
    let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
    Ok(StringArray::try_new(ends, Buffer::from_vec(text), array.nulls().cloned())?)
}

fn uuids(array: &dyn Array) -> Result<BinaryArray> {
    let bytes = array.as_fixed_size_binary().value_data();
    if i32::try_from(bytes.len()).is_err() {
        return Err(too_many_rows());
    }
    let ends = OffsetBuffer::from_repeated_length(16, array.len());
    Ok(BinaryArray::try_new(ends, Buffer::from(bytes), array.nulls().cloned())?)
}

fn too_many_rows() -> Error {
    Error::new("too many rows in one batch")
}

/// Whether the writer takes the type, which it would otherwise answer with a panic.
fn is_writable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::Interval(_) | DataType::RunEndEncoded(..) => false,
        DataType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|field| is_writable(field.data_type()))
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => is_writable(field.data_type()),
        DataType::Dictionary(_, values) => is_writable(values),
        _ => true,
    }
}
