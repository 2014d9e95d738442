//! How the writer encodes each column, and what a file says about itself.
//!
//! Measured on rows like those of the `http` stage: a dictionary pays for almost all text (the
//! writer gives it up by itself once it passes a mebibyte) but not for URLs, which hardly
//! repeat; times are near one another, so their differences take a quarter of the space;
//! identifiers of connections are random but come again, a dictionary saves a third of them.
//! Half of what is left is random and cannot be smaller: the ids of rows, hashes in URLs and
//! entity tags.

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

pub(crate) fn properties(options: &Options, plan: &Plan) -> Result<WriterProperties> {
    let codec = match options.compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(options.zstd_level.into())?),
    };
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(codec)
        // The names inside lists and maps, as the specification wants them.
        .set_coerce_types(true)
        .set_key_value_metadata(Some(about(options, plan)));
    for column in &plan.columns {
        builder = encoding(builder, column);
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

fn encoding(builder: WriterPropertiesBuilder, column: &Column) -> WriterPropertiesBuilder {
    let path = |rest: &[&str]| {
        let name = std::iter::once(column.field.name().clone());
        ColumnPath::new(name.chain(rest.iter().map(|part| (*part).to_owned())).collect())
    };
    let kind = |kind| schema::is_kind(&column.source, kind);
    match (column.field.data_type(), column.change) {
        (DataType::Timestamp(..), _) | (_, Change::NanosToNumber) => builder
            .set_column_dictionary_enabled(path(&[]), false)
            .set_column_encoding(path(&[]), Encoding::DELTA_BINARY_PACKED),
        // No two are alike, and each is of one length.
        (DataType::Utf8, Change::UuidToText) => builder
            .set_column_dictionary_enabled(path(&[]), false)
            .set_column_encoding(path(&[]), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_statistics_enabled(path(&[]), EnabledStatistics::None),
        (DataType::Utf8, _) if kind(Kind::Url) => builder
            .set_column_dictionary_enabled(path(&[]), false)
            .set_column_encoding(path(&[]), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            // The least and the greatest URL of a page rule nothing out.
            .set_column_statistics_enabled(path(&[]), EnabledStatistics::None),
        // What follows is for when the dictionary has grown too large.
        (DataType::Utf8, _) => {
            builder.set_column_encoding(path(&[]), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        }
        (DataType::Map(entries, _), _) => match entries.data_type() {
            DataType::Struct(fields)
                if fields.iter().all(|field| field.data_type() == &DataType::Utf8) =>
            {
                let values = path(&["key_value", "value"]);
                builder
                    .set_column_encoding(values.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
                    .set_column_statistics_enabled(values, EnabledStatistics::None)
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
