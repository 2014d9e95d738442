//! Record batches, column by column.

use std::sync::Arc;

use ringmill_sdk::{
    arrow_array::{Array, ArrayRef, MapArray, StringArray, cast::AsArray, new_null_array},
    arrow_schema::{DataType, Field, Schema},
    columns::TextMap,
    prelude::*,
    schema::{Kind, is_kind, is_unredacted},
};

use crate::{
    Redact,
    fields::{Class, Fields},
    fresh::{self, Fresh},
    memo::{Memo, Outcome},
    options::Options,
    redactor::{Redactor, is_plain},
    tally::Did,
};

/// Redacts the columns of record batches.
pub(crate) struct Columns {
    fields: Fields,
    /// Names of fields that do not come out do.
    names: bool,
    redactor: Redactor,
    memo: Memo,
    /// Of the key under which values are remembered.
    period: Option<i64>,
    /// The schemas that came in, with what they become; a handful at most.
    schemas: Vec<(SchemaRef, Arc<Plan>)>,
    map: TextMap,
    /// What comes out of a name.
    name: String,
}

/// What to do with the batches of one schema.
struct Plan {
    schema: SchemaRef,
    /// For each column to be redacted its number.
    todo: Vec<(usize, Todo)>,
}

#[derive(Clone, Copy)]
enum Todo {
    Text(Class),
    Map,
    /// It is not on the list, or no stage of ours makes such a column.
    Null,
}

impl Columns {
    pub(crate) fn new(options: Options, host: &Host) -> Result<Self> {
        Ok(Self {
            fields: Fields::new(&options.headers)?,
            names: options.names,
            redactor: Redactor::new(options, host)?,
            memo: Memo::default(),
            period: None,
            schemas: Vec::new(),
            map: TextMap::default(),
            name: String::new(),
        })
    }

    /// See [`Stage::tick`]: forgets keys of epochs that are over, and what was made with them.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.redactor.hasher.tick(now);
        if self.redactor.hasher.get().is_none() {
            self.memo.clear();
        }
    }

    /// Redacts rows of one period; without epochs there is none.
    pub(crate) fn redact(
        &mut self,
        period: Option<i64>,
        records: RecordBatch,
    ) -> Result<RecordBatch> {
        if period != self.period {
            self.memo.clear();
            self.period = period;
        }
        period.map_or(Ok(()), |period| self.redactor.hasher.epoch(period))?;
        let plan = self.plan(records.schema_ref());
        if plan.todo.is_empty() {
            return Ok(records);
        }
        let mut columns = records.columns().to_vec();
        for &(at, todo) in &plan.todo {
            let wrong = || {
                let name = plan.schema.field(at).name();
                Error::new(format!("column `{name}` is not of the type that its schema says"))
            };
            let redacted = match todo {
                Todo::Text(class) => {
                    self.redact_text(class, columns[at].as_string_opt().ok_or_else(wrong)?)?
                }
                Todo::Map => self.redact_map(columns[at].as_map_opt().ok_or_else(wrong)?)?,
                Todo::Null => Some(drop_all(&mut self.redactor, Did::Unlisted, &columns[at])),
            };
            if let Some(redacted) = redacted {
                columns[at] = redacted;
            }
        }
        self.redactor.tally.publish();
        Ok(RecordBatch::try_new(Arc::clone(&plan.schema), columns)?)
    }

    fn plan(&mut self, schema: &SchemaRef) -> Arc<Plan> {
        if let Some((_, plan)) = self.schemas.iter().find(|(from, _)| Arc::ptr_eq(from, schema)) {
            return Arc::clone(plan);
        }
        let plan = Arc::new(self.make_plan(schema));
        // A stage that makes a new schema for every batch must not grow this list.
        if self.schemas.len() == 64 {
            self.schemas.clear();
        }
        self.schemas.push((Arc::clone(schema), Arc::clone(&plan)));
        plan
    }

    fn make_plan(&self, schema: &SchemaRef) -> Plan {
        let mut fields = schema.fields().to_vec();
        let mut todo = Vec::new();
        for (at, field) in fields.iter_mut().enumerate().filter(|(_, field)| is_unredacted(field)) {
            todo.push((at, self.todo(field)));
            // What does not come out is null.
            let nullable = field.as_ref().clone().with_nullable(true);
            *field = Arc::new(schema::redacted(&nullable, Redact::NAME));
        }
        let metadata = schema.metadata().clone();
        Plan { schema: Arc::new(Schema::new_with_metadata(fields, metadata)), todo }
    }

    fn todo(&self, field: &Field) -> Todo {
        // The same entries, named alike.
        let map = schema::map("", Kind::Header);
        match field.data_type() {
            DataType::Utf8 => {
                let class = self.fields.column(field.name(), is_kind(field, Kind::Url));
                class.map_or(Todo::Null, Todo::Text)
            }
            data_type if data_type == map.data_type() => Todo::Map,
            _ => Todo::Null,
        }
    }

    /// `None` when all came out as it is.
    fn redact_text(&mut self, class: Class, values: &StringArray) -> Result<Option<ArrayRef>> {
        let Self { redactor, memo, .. } = self;
        if let Some(did) = redactor.drops(class) {
            return Ok(Some(drop_all(redactor, did, values)));
        }
        let mut column = Fresh::new(values);
        let mut plain = None;
        for row in fresh::rows(values) {
            let value = values.value(row);
            // In many columns the next row has the same value.
            if plain == Some(value) || is_plain(class, value) {
                plain = Some(value);
                column.keep(row, value);
            } else if class.repeats() {
                match memo.redact(redactor, class, value) {
                    Outcome::Same => column.keep(row, value),
                    Outcome::Other(other) => column.put(row, other),
                    Outcome::Nothing => column.drop(row),
                }
            } else {
                column.write(row, |to| redactor.write(class, value, to));
            }
        }
        column.finish()
    }

    fn redact_map(&mut self, map: &MapArray) -> Result<Option<ArrayRef>> {
        let (Some(keys), Some(values)) =
            (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>())
        else {
            return Err(Error::new("a map of header fields is not of text"));
        };
        let offsets = map.value_offsets();
        for (row, ends) in offsets.windows(2).enumerate() {
            // Offsets are never negative.
            let entry = |end: i32| usize::try_from(end).unwrap_or_default();
            let entries = if map.is_null(row) { 0..0 } else { entry(ends[0])..entry(ends[1]) };
            for at in entries {
                let value = (!values.is_null(at)).then(|| values.value(at));
                self.entry(keys.value(at), value);
            }
            self.map.end_row();
        }
        Ok(Some(self.map.finish()?))
    }

    fn entry(&mut self, key: &str, value: Option<&str>) {
        let Self { fields, names, redactor, memo, map, name, .. } = self;
        let (class, is_listed) = fields.lately(key);
        let comes_out = match (class, value) {
            (Some(class), Some(value)) if is_plain(class, value) => Some(value),
            (Some(class), Some(value)) => match redactor.drops(class) {
                Some(did) => {
                    redactor.tally.add(did);
                    None
                }
                None => match memo.redact(redactor, class, value) {
                    Outcome::Same => Some(value),
                    Outcome::Other(other) => Some(other),
                    Outcome::Nothing => None,
                },
            },
            (Some(_), None) => None,
            (None, _) => {
                redactor.tally.add(Did::Unlisted);
                None
            }
        };
        name.clear();
        match comes_out {
            Some(value) if is_listed => map.put(key, value),
            Some(value) => {
                redactor.name(key, name);
                map.put(name, value);
            }
            None if *names => {
                redactor.name(key, name);
                map.put_null(name);
            }
            None => {}
        }
    }
}

/// A column of nulls in the place of one of which nothing comes out.
fn drop_all(redactor: &mut Redactor, did: Did, column: &dyn Array) -> ArrayRef {
    redactor.tally.add_all(did, column.len() - column.null_count());
    new_null_array(column.data_type(), column.len())
}
