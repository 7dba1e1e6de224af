//! The columns of the views `egress` and `dns`: a single definition for the keys of the live
//! JSON, the INSERT and UPDATE statements of the store, and the tables in docs/schema.md.
//! Tests compare it with the views in migrations/views.sql.

mod dns;
mod egress;

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::model::{
    Connection, ContainerDetails, ContainerTable, ExecutableIdentity, ExecutableTable, Lookup,
    Process, ResourceRecord, Run,
};

pub use dns::DNS;
pub use egress::EGRESS;

/// A column, in the order of the view.
#[derive(Clone, Copy)]
pub struct ColumnDef {
    pub name: &'static str,
    /// The type of its SQL value, and the unit.
    pub sql_type: &'static str,
    /// Markdown, for docs/schema.md.
    pub doc: &'static str,
    /// When it is NULL; Markdown.
    pub null: &'static str,
    pub value: ValueOf,
    pub storage: Storage,
    pub visibility: Visibility,
    pub content: Content,
}

/// What the SQL value stands for, which formats with types of their own write as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// What its type says.
    Plain,
    /// 0 or 1.
    Boolean,
    /// Texts, separated by commas.
    List,
    /// A time as text; this column has it in nanoseconds since 1970.
    TimeOf(&'static str),
}

/// What a column's value is derived from, and how.
#[derive(Clone, Copy)]
pub enum ValueOf {
    Connection(for<'a> fn(&'a Connection, &RowContext<'a>) -> Value<'a>),
    Process(for<'a> fn(&'a Process, &RowContext<'a>) -> Value<'a>),
    Lookup(for<'a> fn(&'a Lookup, &RowContext<'a>) -> Value<'a>),
    /// Only SQL knows it.
    Sql,
}

/// Whether the table `connection` or `process` has a column of the same name with this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// It is in another table, or the view computes it.
    No,
    /// Written by INSERT alone.
    Once,
    /// Written by INSERT and by each UPDATE.
    Updated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    ViewAndJson,
    View,
    Json,
}

/// What a row needs besides its record.
pub struct RowContext<'a> {
    pub run: Run,
    pub containers: &'a ContainerTable,
    pub executables: &'a ExecutableTable,
}

impl<'a> RowContext<'a> {
    fn details(&self, process: &Process) -> Option<&'a ContainerDetails> {
        self.containers.details(process.container.as_deref()?)
    }

    fn identity(&self, process: &Process) -> Option<&'a ExecutableIdentity> {
        self.executables.identity(process.executable.as_deref()?)
    }
}

/// The value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    Unsigned(u64),
    Text(Cow<'a, str>),
    /// JSON only.
    Records(&'a [ResourceRecord]),
}

const fn column(name: &'static str, sql_type: &'static str, value: ValueOf) -> ColumnDef {
    ColumnDef {
        name,
        sql_type,
        doc: "",
        null: "never",
        value,
        storage: Storage::No,
        visibility: Visibility::ViewAndJson,
        content: Content::Plain,
    }
}

const fn connection(
    name: &'static str,
    sql_type: &'static str,
    value: for<'a> fn(&'a Connection, &RowContext<'a>) -> Value<'a>,
) -> ColumnDef {
    column(name, sql_type, ValueOf::Connection(value))
}

const fn process(
    name: &'static str,
    sql_type: &'static str,
    value: for<'a> fn(&'a Process, &RowContext<'a>) -> Value<'a>,
) -> ColumnDef {
    column(name, sql_type, ValueOf::Process(value))
}

const fn lookup(
    name: &'static str,
    sql_type: &'static str,
    value: for<'a> fn(&'a Lookup, &RowContext<'a>) -> Value<'a>,
) -> ColumnDef {
    column(name, sql_type, ValueOf::Lookup(value))
}

const fn sql(name: &'static str, sql_type: &'static str) -> ColumnDef {
    ColumnDef {
        visibility: Visibility::View,
        ..column(name, sql_type, ValueOf::Sql)
    }
}

impl ColumnDef {
    const fn doc(self, doc: &'static str) -> ColumnDef {
        ColumnDef { doc, ..self }
    }

    const fn null(self, null: &'static str) -> ColumnDef {
        ColumnDef { null, ..self }
    }

    const fn stored(self) -> ColumnDef {
        ColumnDef {
            storage: Storage::Once,
            ..self
        }
    }

    const fn updated(self) -> ColumnDef {
        ColumnDef {
            storage: Storage::Updated,
            ..self
        }
    }

    const fn boolean(self) -> ColumnDef {
        ColumnDef {
            content: Content::Boolean,
            ..self
        }
    }

    const fn list(self) -> ColumnDef {
        ColumnDef {
            content: Content::List,
            ..self
        }
    }

    const fn time_of(self, ts: &'static str) -> ColumnDef {
        ColumnDef {
            content: Content::TimeOf(ts),
            ..self
        }
    }

    const fn json_only(self) -> ColumnDef {
        ColumnDef {
            visibility: Visibility::Json,
            ..self
        }
    }

    pub fn is_in_view(&self) -> bool {
        self.visibility != Visibility::Json
    }

    pub fn is_in_json(&self) -> bool {
        self.visibility != Visibility::View
    }

    /// The value of a connection's column; NULL for columns of other records.
    pub fn of_connection<'a>(&self, c: &'a Connection, context: &RowContext<'a>) -> Value<'a> {
        match self.value {
            ValueOf::Connection(value) => value(c, context),
            _ => self.of_process(&c.process, context),
        }
    }

    /// The value of a process's column; NULL for columns of other records.
    pub fn of_process<'a>(&self, p: &'a Process, context: &RowContext<'a>) -> Value<'a> {
        match self.value {
            ValueOf::Process(value) => value(p, context),
            ValueOf::Connection(_) | ValueOf::Lookup(_) | ValueOf::Sql => Value::Null,
        }
    }

    /// The value of a lookup's column; NULL for columns of other records.
    pub fn of_lookup<'a>(&self, l: &'a Lookup, context: &RowContext<'a>) -> Value<'a> {
        match self.value {
            ValueOf::Lookup(value) => value(l, context),
            _ => self.of_process(&l.process, context),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_none(),
            Value::Integer(n) => serializer.serialize_i64(*n),
            Value::Unsigned(n) => serializer.serialize_u64(*n),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Records(records) => serializer.collect_seq(records.iter().map(RecordJson::from)),
        }
    }
}

#[derive(Serialize)]
struct RecordJson<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    rtype: &'a str,
    data: &'a str,
    ttl: u32,
}

impl<'a> From<&'a ResourceRecord> for RecordJson<'a> {
    fn from(record: &'a ResourceRecord) -> Self {
        RecordJson {
            name: &record.name,
            rtype: &record.rtype,
            data: &record.data,
            ttl: record.ttl,
        }
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<i64> for Value<'_> {
    fn from(n: i64) -> Self {
        Value::Integer(n)
    }
}

impl From<u64> for Value<'_> {
    fn from(n: u64) -> Self {
        Value::Unsigned(n)
    }
}

impl From<u32> for Value<'_> {
    fn from(n: u32) -> Self {
        Value::Integer(n.into())
    }
}

impl From<u16> for Value<'_> {
    fn from(n: u16) -> Self {
        Value::Integer(n.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(n: usize) -> Self {
        Value::Unsigned(n as u64)
    }
}

/// 0 or 1, as in SQL.
impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Integer(value.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}
