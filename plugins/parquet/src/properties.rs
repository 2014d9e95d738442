//! How the writer encodes each column, and what a file says about itself.
//!
//! Measured on rows like those of the `http` stage, in bytes a row and CPU time:
//!
//! * A dictionary pays for almost all text (the writer gives it up by itself once it passes a
//!   mebibyte), but not for URLs, entity tags and dates, which hardly repeat.
//! * Times are near one another, so their differences take a quarter of the space. Durations and
//!   lengths are as small by differences as by a dictionary, at a third of the time.
//! * Identifiers of connections are random but come again; a dictionary saves a third of them.
//! * URLs are half of the bytes. One level of zstd more than for the rest makes them 8 % smaller for
//!   a tenth more time; two more gain nothing beyond that.
//! * The ids of rows are random and cannot be smaller.
//! * The least and the greatest of text rule out nothing that anybody asks for, and comparing each
//!   value took a tenth of the time, so only text that is searched has statistics.
//!
//! We did not take BYTE_STREAM_SPLIT, which is best for times and durations: Spark's reader does not
//! know it. Nor are rows sorted: by host they were 3 to 6 % smaller, but one host of an hour of half a
//! million rows took DuckDB 2.0 as many bytes and as much time as before, for it looks at row groups,
//! and in those what is sorted in each changes nothing.

use parquet::{
    basic::{Compression as Codec, Encoding, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};
use ringmill_sdk::{
    Result,
    arrow_schema::DataType,
    schema::{self, Kind},
};

use crate::{
    Compression, Options,
    columns::{Change, Column, Plan},
};

/// Who wrote the file, in the form that readers expect.
const CREATED_BY: &str = concat!("ringmill-parquet version ", env!("CARGO_PKG_VERSION"));

/// Columns, beside addresses, that people search for one value.
const SEARCHED: &[&str] = &["host"];
/// Text that hardly repeats, beside URLs, and how it is smallest: tags are hashes of one length.
const DISTINCT: &[(&str, Encoding)] = &[
    ("etag", Encoding::PLAIN),
    ("if_none_match", Encoding::PLAIN),
    ("last_modified", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("if_modified_since", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("expires", Encoding::DELTA_LENGTH_BYTE_ARRAY),
];
/// Bytes and rows in a page of URLs, which nobody looks up by page: large ones are smaller.
const URL_PAGE: (usize, usize) = (4 << 20, 1 << 20);

pub(crate) fn properties(options: &Options, plan: &Plan) -> Result<WriterProperties> {
    let level = i32::from(options.zstd_level);
    let [codec, url_codec] = match options.compression {
        Compression::None => [Codec::UNCOMPRESSED; 2],
        Compression::Zstd => [
            Codec::ZSTD(ZstdLevel::try_new(level)?),
            Codec::ZSTD(ZstdLevel::try_new((level + 1).min(22))?),
        ],
    };
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(codec)
        // The names inside lists and maps, as the specification wants them.
        .set_coerce_types(true)
        .set_key_value_metadata(Some(about(options, plan)));
    for column in &plan.columns {
        builder = encoding(builder, column, url_codec);
        if column.change == Change::AddressToText || is_searched_text(column) {
            // Sized for rows that are all different, then folded to what there was.
            builder = builder.set_column_bloom_filter_max_ndv(
                ColumnPath::new(vec![column.field.name().clone()]),
                options.row_group_rows,
            );
        }
    }
    Ok(builder.build())
}

fn is_searched_text(column: &Column) -> bool {
    column.field.data_type() == &DataType::Utf8 && SEARCHED.contains(&column.field.name().as_str())
}

fn encoding(
    builder: WriterPropertiesBuilder,
    column: &Column,
    url_codec: Codec,
) -> WriterPropertiesBuilder {
    let name = column.field.name().as_str();
    let path = |rest: &[&str]| {
        let parts = std::iter::once(&name).chain(rest);
        ColumnPath::new(parts.map(|part| (*part).to_owned()).collect())
    };
    let undictionaried = |builder: WriterPropertiesBuilder, encoding| {
        builder
            .set_column_dictionary_enabled(path(&[]), false)
            .set_column_encoding(path(&[]), encoding)
    };
    let no_statistics = |builder: WriterPropertiesBuilder, path| {
        builder.set_column_statistics_enabled(path, EnabledStatistics::None)
    };
    let kind = |kind| schema::is_kind(&column.source, kind);
    let of_text = Encoding::DELTA_LENGTH_BYTE_ARRAY;
    match (column.field.data_type(), column.change) {
        (DataType::Timestamp(..), _) | (_, Change::NanosToNumber) => {
            undictionaried(builder, Encoding::DELTA_BINARY_PACKED)
        }
        (DataType::Int64 | DataType::UInt64, Change::Keep) if kind(Kind::Number) => {
            undictionaried(builder, Encoding::DELTA_BINARY_PACKED)
        }
        (_, Change::UuidToBytes) => no_statistics(undictionaried(builder, of_text), path(&[]))
            .set_column_compression(path(&[]), Codec::UNCOMPRESSED),
        (DataType::Utf8, _) if kind(Kind::Url) => {
            no_statistics(undictionaried(builder, of_text), path(&[]))
                .set_column_compression(path(&[]), url_codec)
                .set_column_data_page_size_limit(path(&[]), URL_PAGE.0)
                .set_column_data_page_row_count_limit(path(&[]), URL_PAGE.1)
        }
        (DataType::Utf8, _) => {
            let distinct = DISTINCT.iter().find(|(of, _)| *of == name);
            let builder = match distinct {
                Some((_, encoding)) => undictionaried(builder, *encoding),
                // For when the dictionary has grown too large.
                None => builder.set_column_encoding(path(&[]), of_text),
            };
            match is_searched_text(column) {
                true => builder,
                false => no_statistics(builder, path(&[])),
            }
        }
        (DataType::Map(entries, _), _) => match entries.data_type() {
            DataType::Struct(fields)
                if fields.iter().all(|field| field.data_type() == &DataType::Utf8) =>
            {
                let [keys, values] = ["key", "value"].map(|part| path(&["key_value", part]));
                let builder = builder.set_column_encoding(values.clone(), of_text);
                no_statistics(no_statistics(builder, keys), values)
            }
            _ => builder,
        },
        _ => builder,
    }
}

/// What stands in the file's key-value metadata.
fn about(options: &Options, plan: &Plan) -> Vec<KeyValue> {
    let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut about = vec![
        entry(schema::RECORD, schema::record_name(&plan.source)),
        entry("ringmill.created_by", concat!("ringmill-parquet ", env!("CARGO_PKG_VERSION"))),
        entry("ringmill.options", &options.told()),
    ];
    for field in plan.source.fields() {
        if schema::is_kind(field, Kind::Address) {
            let method = field.metadata().get(schema::ANONYMIZED);
            about.push(entry(
                &format!("{}.{}", schema::ANONYMIZED, field.name()),
                method.map_or("none", String::as_str),
            ));
        }
    }
    about
}
