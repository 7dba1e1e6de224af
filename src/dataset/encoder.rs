//! Rows as Arrow's record batches.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::identity::Identity;
use super::schema::{Kind, fields};
use crate::query::{RowEncoder, View};

/// Rows and bytes of text per batch: it ends at the first that is reached.
const ROWS: usize = 8192;
const TEXT: usize = 4 << 20;

/// Names within a map and a list, as Parquet's specification has them.
const ENTRY: &str = "key_value";
const ELEMENT: &str = "element";

const ADDRESS: i32 = 16;

/// Makes record batches of rows.
pub struct Encoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    sources: Vec<String>,
    identity: Identity,
    rows: usize,
    text: usize,
    /// Where the statement has what is NULL as long as a connection is open.
    end: Option<usize>,
    unfinished: u64,
}

/// What a connection has once it is closed.
const END: &str = "duration_us";

/// A column, and the statement's column that it is made of.
struct Column {
    name: &'static str,
    source: usize,
    values: Values,
}

enum Values {
    Integer(Int64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    List(ListBuilder<StringBuilder>),
    Address(FixedSizeBinaryBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Encoder {
    /// For a table. Columns that its view does not have, since another version made it, are left
    /// out.
    ///
    /// # Errors
    ///
    /// A view without what orders its rows.
    pub fn new(table: View, view: &[String], identity: Identity) -> Result<Encoder> {
        let mut sources = Vec::<String>::new();
        let mut columns = Vec::new();
        let mut described = Vec::new();
        for field in fields(table) {
            if !view.iter().any(|column| column == field.source) {
                continue;
            }
            let source = match sources.iter().position(|source| source == field.source) {
                Some(at) => at,
                None => {
                    sources.push(field.source.to_owned());
                    sources.len() - 1
                }
            };
            described.push(ArrowField::new(field.name, data_type(field.kind), true));
            columns.push(Column {
                name: field.name,
                source,
                values: Values::new(field.kind),
            });
        }
        if !["id", "ts"]
            .iter()
            .all(|name| sources.iter().any(|s| s == name))
        {
            bail!("the view has no columns id and ts: this is no history of egrets");
        }
        described.extend([
            ArrowField::new("machine_id", DataType::Utf8, true),
            ArrowField::new("history", DataType::Utf8, false),
            ArrowField::new_map(
                "labels",
                ENTRY,
                ArrowField::new("key", DataType::Utf8, false),
                ArrowField::new("value", DataType::Utf8, true),
                false,
                false,
            ),
        ]);
        let end = sources.iter().position(|source| source == END);
        Ok(Encoder {
            schema: Arc::new(Schema::new(described)),
            columns,
            sources,
            identity,
            rows: 0,
            text: 0,
            end,
            unfinished: 0,
        })
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The columns of the view that have to be read.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// How many of the rows so far were connections that are open.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    fn labels(&self) -> Result<ArrayRef> {
        let names = MapFieldNames {
            entry: ENTRY.to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        let mut labels = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        for _ in 0..self.rows {
            for label in &self.identity.labels {
                labels.keys().append_value(&label.key);
                labels.values().append_value(&label.value);
            }
            labels.append(true)?;
        }
        Ok(Arc::new(labels.finish()))
    }
}

impl RowEncoder for Encoder {
    type Chunk = RecordBatch;

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        for column in &mut self.columns {
            let value = row.get_ref(column.source)?;
            let taken = column.values.append(value);
            self.text += taken.with_context(|| {
                format!("the column {} has a value of another type", column.name)
            })?;
        }
        if let Some(end) = self.end {
            let open = row.get_ref(end)? == ValueRef::Null;
            self.unfinished += u64::from(open);
        }
        self.rows += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS || self.text >= TEXT
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let same = |value: Option<&str>| -> ArrayRef {
            Arc::new(StringArray::from_iter(std::iter::repeat_n(
                value, self.rows,
            )))
        };
        let of = [
            same(self.identity.machine_id.as_deref()),
            same(Some(&self.identity.history)),
            self.labels()?,
        ];
        let columns = self.columns.iter_mut().map(|column| column.values.finish());
        let columns = columns.chain(of).collect();
        (self.rows, self.text) = (0, 0);
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

impl Values {
    fn new(kind: Kind) -> Values {
        match kind {
            Kind::Integer => Values::Integer(Int64Builder::new()),
            Kind::Boolean => Values::Boolean(BooleanBuilder::new()),
            Kind::Text => Values::Text(StringBuilder::new()),
            Kind::List => {
                let element = ArrowField::new(ELEMENT, DataType::Utf8, true);
                let list = ListBuilder::new(StringBuilder::new());
                Values::List(list.with_field(Arc::new(element)))
            }
            Kind::Address => Values::Address(FixedSizeBinaryBuilder::new(ADDRESS)),
            Kind::Time => Values::Time(TimestampMicrosecondBuilder::new()),
        }
    }

    /// Adds a value; returns the bytes of its text.
    fn append(&mut self, value: ValueRef<'_>) -> Result<usize> {
        match (self, value) {
            (Values::Integer(values), ValueRef::Integer(n)) => values.append_value(n),
            (Values::Integer(values), ValueRef::Null) => values.append_null(),
            (Values::Boolean(values), ValueRef::Integer(n)) => values.append_value(n != 0),
            (Values::Boolean(values), ValueRef::Null) => values.append_null(),
            (Values::Text(values), ValueRef::Text(text)) => {
                values.append_value(String::from_utf8_lossy(text));
                return Ok(text.len());
            }
            (Values::Text(values), ValueRef::Null) => values.append_null(),
            (Values::List(values), ValueRef::Text(text)) => {
                for part in String::from_utf8_lossy(text).split(',') {
                    values.values().append_value(part);
                }
                values.append(true);
                return Ok(text.len());
            }
            (Values::List(values), ValueRef::Null) => values.append(false),
            (Values::Address(values), ValueRef::Blob(bytes)) => values.append_value(bytes)?,
            (Values::Address(values), ValueRef::Text(text)) => match address(text) {
                Some(address) => values.append_value(address.octets())?,
                None => values.append_null(),
            },
            (Values::Address(values), ValueRef::Null) => values.append_null(),
            (Values::Time(values), ValueRef::Integer(ns)) => {
                values.append_value(ns.div_euclid(1000));
            }
            (Values::Time(values), ValueRef::Null) => values.append_null(),
            (_, value) => bail!("{:?}", value.data_type()),
        }
        Ok(0)
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Integer(values) => Arc::new(values.finish()),
            Values::Boolean(values) => Arc::new(values.finish()),
            Values::Text(values) => Arc::new(values.finish()),
            Values::List(values) => Arc::new(values.finish()),
            Values::Address(values) => Arc::new(values.finish()),
            Values::Time(values) => Arc::new(values.finish().with_timezone("UTC")),
        }
    }
}

/// An address as the views write it: some have a zone.
fn address(text: &[u8]) -> Option<Ipv6Addr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.split('%').next()?;
    Some(match bare.parse().ok()? {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    })
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Integer => DataType::Int64,
        Kind::Boolean => DataType::Boolean,
        Kind::Text => DataType::Utf8,
        Kind::List => DataType::List(Arc::new(ArrowField::new(ELEMENT, DataType::Utf8, true))),
        Kind::Address => DataType::FixedSizeBinary(ADDRESS),
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}
