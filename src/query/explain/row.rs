//! A row of a view, with column names in their order.

use anyhow::Result;
use rusqlite::types::Value;
use rusqlite::{Connection, Params};

use crate::query::format::plain;

pub struct ViewRow(Vec<(String, Value)>);

impl ViewRow {
    fn get(&self, column: &str) -> Option<&Value> {
        let mut columns = self.0.iter();
        columns
            .find(|(name, _)| name == column)
            .map(|(_, value)| value)
    }

    /// A column's value as text; none if it is NULL or there is no such column.
    pub fn text(&self, column: &str) -> Option<String> {
        self.get(column).and_then(|value| plain(value.into()))
    }

    /// A column's value as an integer; none if it is anything else.
    pub fn int(&self, column: &str) -> Option<i64> {
        match self.get(column) {
            Some(Value::Integer(n)) => Some(*n),
            _ => None,
        }
    }

    pub fn without(mut self, column: &str) -> ViewRow {
        self.0.retain(|(name, _)| name != column);
        self
    }

    pub fn columns(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// All rows of a statement.
///
/// # Errors
///
/// SQLite's.
pub fn rows(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<ViewRow>> {
    let mut statement = db.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let found = statement.query_map(params, |row| {
        let values = names.iter().enumerate();
        let columns = values.map(|(i, name)| Ok((name.clone(), row.get(i)?)));
        columns.collect::<rusqlite::Result<_>>().map(ViewRow)
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
