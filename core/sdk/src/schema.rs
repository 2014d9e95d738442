//! What columns mean: the conventions that every record batch in the engine follows.
//!
//! Types: addresses are `FixedSizeBinary(16)` with IPv4 mapped into IPv6, times are
//! `Timestamp(Nanosecond, "+00:00")`, text is `Utf8`, free-form headers a `Map` of text, UUIDs
//! `FixedSizeBinary(16)`. The
//! meaning stands in the field's metadata under [`KIND`]; the record type's name stands in
//! the schema's metadata under [`RECORD`].

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// Metadata key of a field: what its values mean, one of [`Kind::as_str`].
pub const KIND: &str = "ringmill.kind";
/// Metadata key of a field of kind `address`, `header` or `url`: the method that anonymized its
/// addresses, of which text may hold some too. The engine lets no `address` column without
/// this key reach a sink.
pub const ANONYMIZED: &str = "ringmill.anonymized";
/// Metadata key of a field of kind `header` or `url`: the method that chose what of its values
/// comes out. The engine lets no such column without this key reach a sink.
pub const REDACTED: &str = "ringmill.redacted";
/// Metadata key of a schema: the name of the record type.
pub const RECORD: &str = "ringmill.record";

/// Key under which an output file holds the manifest of its run, where its format has metadata.
pub const MANIFEST: &str = "ringmill.manifest";

/// Metadata key of a schema: the id of the manifest of the run that the records are of. The engine
/// sets it for sinks.
pub const MANIFEST_ID: &str = "ringmill.manifest_id";

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// When something happened.
    Time,
    /// The address of a person's machine.
    Address,
    /// A number that names a connection and cannot be turned back into addresses.
    Flow,
    /// The value of a header field, or a map of several.
    Header,
    /// A URL or a part of one.
    Url,
    /// A number.
    Number,
    /// Text of a small, known vocabulary.
    Text,
    /// A UUID (RFC 9562) in its 16 bytes.
    Uuid,
}

impl Kind {
    /// As it stands in the metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Address => "address",
            Self::Flow => "flow",
            Self::Header => "header",
            Self::Url => "url",
            Self::Number => "number",
            Self::Text => "text",
            Self::Uuid => "uuid",
        }
    }
}

/// A column that may hold nulls, with its meaning.
#[must_use]
pub fn field(name: &str, data_type: DataType, kind: Kind) -> Field {
    Field::new(name, data_type, true)
        .with_metadata(HashMap::from([(KIND.to_owned(), kind.as_str().to_owned())]))
}

/// A column of addresses, not yet anonymized.
#[must_use]
pub fn address(name: &str) -> Field {
    field(name, DataType::FixedSizeBinary(16), Kind::Address).with_nullable(false)
}

/// A column of times.
#[must_use]
pub fn time(name: &str) -> Field {
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
    field(name, utc, Kind::Time).with_nullable(false)
}

/// A column of text.
#[must_use]
pub fn text(name: &str, kind: Kind) -> Field {
    field(name, DataType::Utf8, kind)
}

/// A column of UUIDs, marked as one for readers of Arrow, too.
#[must_use]
pub fn uuid(name: &str) -> Field {
    let mut field = field(name, DataType::FixedSizeBinary(16), Kind::Uuid).with_nullable(false);
    // The canonical extension type `arrow.uuid`.
    field.metadata_mut().insert("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
    field
}

/// The fields of a map's entries. The names are given because the defaults of the Arrow
/// builders have changed between releases.
#[must_use]
pub fn map_entries() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ])
}

/// A column that holds a map of text to text.
#[must_use]
pub fn map(name: &str, kind: Kind) -> Field {
    let entries = Field::new("key_value", DataType::Struct(map_entries()), false);
    field(name, DataType::Map(Arc::new(entries), false), kind)
}

/// The schema of a record type.
#[must_use]
pub fn record(name: &str, fields: Vec<Field>) -> SchemaRef {
    let metadata = HashMap::from([(RECORD.to_owned(), name.to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// The name of the record type, `record` where the schema does not say.
#[must_use]
pub fn record_name(schema: &Schema) -> &str {
    schema.metadata().get(RECORD).map_or("record", String::as_str)
}

/// Whether the column means this.
#[must_use]
pub fn is_kind(field: &Field, kind: Kind) -> bool {
    field.metadata().get(KIND).is_some_and(|value| value == kind.as_str())
}

/// Whether the column holds addresses as they were on the wire.
#[must_use]
pub fn is_identifiable(field: &Field) -> bool {
    is_kind(field, Kind::Address) && !field.metadata().contains_key(ANONYMIZED)
}

/// Whether the column holds text in which addresses may stand as they were on the wire.
#[must_use]
pub fn may_name_addresses(field: &Field) -> bool {
    is_from_wire(field) && !field.metadata().contains_key(ANONYMIZED)
}

/// Whether the column holds what clients and servers wrote, and no stage has chosen what of it
/// comes out.
#[must_use]
pub fn is_unredacted(field: &Field) -> bool {
    is_from_wire(field) && !field.metadata().contains_key(REDACTED)
}

/// Whether the column holds what clients and servers wrote.
fn is_from_wire(field: &Field) -> bool {
    is_kind(field, Kind::Header) || is_kind(field, Kind::Url)
}

/// The same field, marked as anonymized by `method`.
#[must_use]
pub fn anonymized(field: &Field, method: &str) -> Field {
    marked(field, ANONYMIZED, method)
}

/// The same field, marked as redacted by `method`.
#[must_use]
pub fn redacted(field: &Field, method: &str) -> Field {
    marked(field, REDACTED, method)
}

fn marked(field: &Field, key: &str, method: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_owned(), method.to_owned());
    field.clone().with_metadata(metadata)
}
