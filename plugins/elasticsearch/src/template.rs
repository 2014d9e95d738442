//! The index template, which gives columns their types.

use std::sync::Arc;

use ringmill_sdk::{
    arrow_schema::{DataType, Field, Fields},
    prelude::*,
    schema::Kind,
};
use serde_json::{Map, Value, json};
use ureq::http::Method;

use crate::{
    answer::{self, Known},
    bulk::Table,
    client::{Answer, Client},
    index::Indices,
};

/// Lucene takes no term of more than 32766 bytes, and a character has up to four.
const IGNORE_ABOVE: u32 = 8191;
/// Above the templates that come with the stores.
const PRIORITY: u32 = 200;
/// Who made a template, in its `_meta`.
const MANAGER: &str = "ringmill";

/// The two stores differ in how they call a map of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Elasticsearch,
    OpenSearch,
}

/// Puts templates.
#[derive(Debug)]
pub(crate) struct Templates {
    host: Host,
    product: Option<Product>,
    /// The documents whose template is there.
    done: Vec<SchemaRef>,
}

impl Templates {
    pub(crate) fn new(host: &Host) -> Self {
        Self { host: host.clone(), product: None, done: Vec::new() }
    }

    /// Sees to it that there is one for the documents of a schema.
    ///
    /// # Errors
    /// The store cannot be reached or does not take it: to be tried again.
    pub(crate) fn put(&mut self, table: &Table, indices: &Indices, client: &mut Client) -> Result {
        let document = table.document();
        if self.done.iter().any(|done| Arc::ptr_eq(done, document)) {
            return Ok(());
        }
        let product = match self.product {
            Some(product) => product,
            None => *self.product.insert(detect(&client.ask(&Method::GET, "/", None)?)?),
        };
        let path = format!("/_index_template/{}", table.base);
        let found = client.ask(&Method::GET, &path, None)?;
        let ours = match found.status {
            404 => true,
            200 => is_ours(&found),
            _ => return Err(answer::not_of_a_store(&found)),
        };
        if ours {
            let body = template(product, table, indices).to_string();
            let put = client.ask(&Method::PUT, &path, Some(body.as_bytes()))?;
            if put.status != 200 {
                return Err(Error::retry(format!(
                    "`{}` does not take the index template `{}`: {}; mend what it says, or put one \
                     of your own and set `template = false`",
                    put.url,
                    table.base,
                    answer::trouble(&put, &Known::default()),
                )));
            }
            self.host.debug(format_args!("put the index template `{}` ({product:?})", table.base));
        } else {
            self.host.info(format_args!(
                "the index template `{}` is not ours and stays as it is",
                table.base
            ));
        }
        if self.done.len() == 64 {
            self.done.clear();
        }
        self.done.push(Arc::clone(document));
        Ok(())
    }
}

/// Which store it is, by what it says of itself at `/`. OpenSearch can be told to give the version
/// of an old Elasticsearch, and still says its name.
fn detect(answer: &Answer) -> Result<Product> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let tagline = body["tagline"].as_str().unwrap_or_default();
    if tagline.contains("OpenSearch") || body["version"]["distribution"] == "opensearch" {
        return Ok(Product::OpenSearch);
    }
    match body["version"]["number"].is_string() {
        true => Ok(Product::Elasticsearch),
        false => Err(answer::not_of_a_store(answer)),
    }
}

fn is_ours(answer: &Answer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["index_templates"][0]["index_template"]["_meta"]["managed_by"] == MANAGER
}

fn template(product: Product, table: &Table, indices: &Indices) -> Value {
    let mut columns = properties(product, table.document().fields());
    columns.insert("record".to_owned(), json!({"type": "keyword"}));
    let mut template = json!({
        "index_patterns": [table.base, format!("{}-*", table.base)],
        "priority": PRIORITY,
        "template": {"mappings": {"properties": columns}},
        "_meta": {"managed_by": MANAGER},
    });
    if indices.data_stream {
        template["index_patterns"] = json!([table.base]);
        template["data_stream"] = json!({});
        template["template"]["mappings"]["properties"]["@timestamp"] =
            json!({"type": "date_nanos"});
    }
    template
}

fn properties(product: Product, fields: &Fields) -> Map<String, Value> {
    let typed = |field: &Arc<Field>| {
        Some((field.name().clone(), mapping(product, field, field.data_type())?))
    };
    fields.iter().filter_map(typed).collect()
}

/// The type of a column as [`ringmill_sdk::json`] writes it; none where the store may guess.
fn mapping(product: Product, field: &Field, data_type: &DataType) -> Option<Value> {
    let simple = |name: &str| json!({"type": name});
    Some(match data_type {
        DataType::Boolean => simple("boolean"),
        DataType::Int8 => simple("byte"),
        DataType::Int16 | DataType::UInt8 => simple("short"),
        DataType::Int32 | DataType::UInt16 => simple("integer"),
        DataType::Int64 | DataType::UInt32 => simple("long"),
        DataType::UInt64 => simple("unsigned_long"),
        DataType::Float32 => simple("float"),
        DataType::Float64 => simple("double"),
        DataType::Timestamp(..) => simple("date_nanos"),
        DataType::Date32 => simple("date"),
        DataType::FixedSizeBinary(16) if schema::is_kind(field, Kind::Address) => simple("ip"),
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::FixedSizeBinary(_) => json!({"type": "keyword", "ignore_above": IGNORE_ABOVE}),
        DataType::Map(..) => match product {
            Product::OpenSearch => simple("flat_object"),
            Product::Elasticsearch => json!({"type": "flattened", "ignore_above": IGNORE_ABOVE}),
        },
        DataType::List(item) => mapping(product, item, item.data_type())?,
        DataType::Dictionary(_, values) => mapping(product, field, values)?,
        DataType::Struct(fields) => json!({"properties": properties(product, fields)}),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::parse_config;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { status: 200, body: body.into(), url: "http://store".into() }
    }

    #[test]
    fn the_store_says_which_it_is() {
        let cases = [
            (
                r#"{"version":{"number":"9.1.0"},"tagline":"You Know, for Search"}"#,
                Some(Product::Elasticsearch),
            ),
            (
                r#"{"version":{"distribution":"opensearch","number":"2.19.6"}}"#,
                Some(Product::OpenSearch),
            ),
            (
                r#"{"version":{"number":"7.10.2"},"tagline":"The OpenSearch Project: https://opensearch.org/"}"#,
                Some(Product::OpenSearch),
            ),
            ("{}", None),
            ("<html>", None),
        ];
        for (body, product) in cases {
            assert_eq!(detect(&answer(body)).ok(), product, "{body}");
        }
    }

    #[test]
    fn only_a_template_of_ours_is_put_again() {
        let cases = [
            (
                r#"{"index_templates":[{"index_template":{"_meta":{"managed_by":"ringmill"}}}]}"#,
                true,
            ),
            (r#"{"index_templates":[{"index_template":{"_meta":{"managed_by":"me"}}}]}"#, false),
            (r#"{"index_templates":[{"index_template":{}}]}"#, false),
            ("{}", false),
        ];
        for (body, ours) in cases {
            assert_eq!(is_ours(&answer(body)), ours, "{body}");
        }
    }

    #[test]
    fn a_map_is_called_as_the_store_calls_it() {
        let options = parse_config("urls = []\ndata_stream = true").unwrap();
        let indices = Indices::new(&options).unwrap();
        let fields = vec![schema::time("time"), schema::map("extras", Kind::Header)];
        let table = Table::new(&schema::record("head", fields), &indices).unwrap();
        let cases = [(Product::OpenSearch, "flat_object"), (Product::Elasticsearch, "flattened")];
        for (product, name) in cases {
            let template = template(product, &table, &indices);
            let columns = &template["template"]["mappings"]["properties"];
            assert_eq!(columns["extras"]["type"], name);
            assert_eq!(columns["@timestamp"]["type"], "date_nanos");
            assert_eq!(template["index_patterns"], json!(["ringmill-head"]));
            assert!(template["data_stream"].is_object());
        }
    }
}
