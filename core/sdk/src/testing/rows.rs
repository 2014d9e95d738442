//! Record batches as text, and back: what makes a test of records a table.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, RecordBatch, StringArray,
    builder::FixedSizeBinaryBuilder,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use crate::{
    columns::TextMap,
    key::{date, day},
    map_v4, unmap_v4,
};

/// Column name and value as text; columns that are null are not in it.
pub type Row = BTreeMap<String, String>;

/// The primitive types, by the variant of `DataType` that names them.
macro_rules! primitives {
    ($run:ident!($type:expr) else $other:expr) => {
        match $type {
            DataType::Int8 => $run!(Int8Type),
            DataType::Int16 => $run!(Int16Type),
            DataType::Int32 => $run!(Int32Type),
            DataType::Int64 => $run!(Int64Type),
            DataType::UInt8 => $run!(UInt8Type),
            DataType::UInt16 => $run!(UInt16Type),
            DataType::UInt32 => $run!(UInt32Type),
            DataType::UInt64 => $run!(UInt64Type),
            DataType::Float32 => $run!(Float32Type),
            DataType::Float64 => $run!(Float64Type),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $run!(TimestampNanosecondType),
            _ => $other,
        }
    };
}

/// All rows as text: addresses as they are written, times in nanoseconds, maps as
/// `k=v, k=v`.
#[must_use]
pub fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    batches.iter().flat_map(batch_rows).collect()
}

fn batch_rows(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let cells = |row| {
        let columns = schema.fields().iter().zip(batch.columns());
        columns
            .filter(|(_, column)| !column.is_null(row))
            .map(|(field, column)| (field.name().clone(), show(column, row)))
            .collect()
    };
    (0..batch.num_rows()).map(cells).collect()
}

fn show(column: &ArrayRef, row: usize) -> String {
    macro_rules! number {
        ($ty:ty) => {
            column.as_primitive::<$ty>().value(row).to_string()
        };
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Date32 => date(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::FixedSizeBinary(16) => {
            let bytes = column.as_fixed_size_binary().value(row);
            address(bytes.try_into().expect("16 bytes by type")).to_string()
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            let pairs = (0..entries.len())
                .map(|at| format!("{}={}", keys.value(at), values.as_string::<i32>().value(at)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => primitives!(number!(other) else format!("{:?}", column.slice(row, 1))),
    }
}

fn address(bytes: &[u8; 16]) -> IpAddr {
    match unmap_v4(bytes) {
        Some(v4) => Ipv4Addr::from(v4).into(),
        None => Ipv6Addr::from(*bytes).into(),
    }
}

/// A record batch from text, one value for each column; the inverse of [`rows`]. An empty
/// text is null.
///
/// # Panics
/// When a row has not as many values as the schema has columns, a value does not parse, or a
/// column has a type that the conventions of [`schema`](crate::schema) do not know.
#[must_use]
pub fn records(schema: &SchemaRef, rows: &[&[&str]]) -> RecordBatch {
    let width = schema.fields().len();
    for row in rows {
        assert_eq!(row.len(), width, "{row:?} does not have one value for each column");
    }
    let column = |at: usize| -> ArrayRef {
        let field = schema.field(at);
        let cells: Vec<_> =
            rows.iter().map(|row| Some(row[at]).filter(|v| !v.is_empty())).collect();
        parse(field.name(), field.data_type(), &cells)
    };
    match RecordBatch::try_new(Arc::clone(schema), (0..width).map(column).collect()) {
        Ok(batch) => batch,
        Err(error) => panic!("these rows do not fit the schema: {error}"),
    }
}

fn parse(name: &str, data_type: &DataType, cells: &[Option<&str>]) -> ArrayRef {
    fn value<T: std::str::FromStr>(name: &str, text: &str) -> T {
        text.parse().unwrap_or_else(|_| panic!("`{text}` does not fit column `{name}`"))
    }
    fn numbers<T: ArrowPrimitiveType>(name: &str, cells: &[Option<&str>]) -> ArrayRef
    where
        T::Native: std::str::FromStr,
    {
        let values = cells.iter().map(|cell| cell.map(|text| value::<T::Native>(name, text)));
        Arc::new(values.collect::<arrow_array::PrimitiveArray<T>>())
    }
    macro_rules! number {
        ($ty:ty) => {
            numbers::<$ty>(name, cells)
        };
    }
    match data_type {
        DataType::Utf8 => Arc::new(cells.iter().copied().collect::<StringArray>()),
        DataType::Date32 => {
            let number = |text: &str| day(text).and_then(|day| i32::try_from(day).ok());
            let value = |text| number(text).unwrap_or_else(|| panic!("`{text}` is no date"));
            let values = cells.iter().map(|cell| cell.map(value));
            Arc::new(values.collect::<Date32Array>())
        }
        DataType::Boolean => {
            let values = cells.iter().map(|cell| cell.map(|text| value::<bool>(name, text)));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::FixedSizeBinary(16) => {
            let mut column = FixedSizeBinaryBuilder::with_capacity(cells.len(), 16);
            for cell in cells {
                match cell.map(|text| value::<IpAddr>(name, text)) {
                    Some(IpAddr::V4(v4)) => column.append_value(map_v4(v4.octets())),
                    Some(IpAddr::V6(v6)) => column.append_value(v6.octets()),
                    None => {
                        column.append_null();
                        Ok(())
                    }
                }
                .expect("16 bytes are 16 bytes");
            }
            Arc::new(column.finish())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let values = cells.iter().map(|cell| cell.map(|text| value::<i64>(name, text)));
            let column = values.collect::<arrow_array::TimestampNanosecondArray>();
            Arc::new(column.with_timezone_opt(zone.clone()))
        }
        DataType::Map(..) => {
            let mut column = TextMap::default();
            for cell in cells {
                for pair in cell.iter().flat_map(|text| text.split(", ")) {
                    let Some((key, value)) = pair.split_once('=') else {
                        panic!("`{pair}` in column `{name}` is not `key=value`")
                    };
                    column.put(key, value);
                }
                column.end_row();
            }
            column.finish().expect("one value for each key")
        }
        other => {
            primitives!(number!(other) else panic!("column `{name}`: no text form for {other}"))
        }
    }
}
