//! SQL for the columns that [`crate::columns`] defines.

use std::fmt::Write;
use std::sync::LazyLock;

use rusqlite::ToSql;
use rusqlite::types::{Null, ToSqlOutput};

use super::usage;
use crate::columns::{ColumnDef, EGRESS, Storage, Value, ValueOf};

/// Cap on a number that the kernel reports, 2^50: keeps totals within SQLite's integers even if
/// the kernel reports nonsense.
const MAX_NUMBER: u64 = 1 << 50;

pub fn capped(n: u64) -> i64 {
    n.min(MAX_NUMBER) as i64
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Integer(n) => n.to_sql(),
            Value::Unsigned(n) => Ok(capped(*n).into()),
            Value::Text(text) => text.to_sql(),
            Value::Null | Value::Records(_) => Ok(Null.into()),
        }
    }
}

/// The columns of the table `connection` that the view `egress` shows as they are.
pub fn connection_columns() -> impl Iterator<Item = &'static ColumnDef> {
    stored(|value| matches!(value, ValueOf::Connection(_)))
}

/// Those of them that change after the INSERT.
pub fn updated_connection_columns() -> impl Iterator<Item = &'static ColumnDef> {
    connection_columns().filter(|column| column.storage == Storage::Updated)
}

/// The columns of the table `process` that the view `egress` shows as they are.
pub fn process_columns() -> impl Iterator<Item = &'static ColumnDef> {
    stored(|value| matches!(value, ValueOf::Process(_)))
}

fn stored(of: fn(ValueOf) -> bool) -> impl Iterator<Item = &'static ColumnDef> {
    EGRESS
        .iter()
        .filter(move |column| column.storage != Storage::No && of(column.value))
}

/// Parameters: `id`, `daily_id`, then [`connection_columns`].
pub static INSERT_CONNECTION: LazyLock<String> =
    LazyLock::new(|| insert("connection", &["id", "daily_id"], connection_columns()));

/// Parameters: `id`, `daily_id`, then [`updated_connection_columns`].
pub static UPDATE_CONNECTION: LazyLock<String> = LazyLock::new(|| {
    let mut sql = "UPDATE connection SET daily_id = ?2".to_owned();
    for (n, column) in (3..).zip(updated_connection_columns()) {
        // Writing to a String does not fail.
        let _ = write!(sql, ", {} = ?{n}", column.name);
    }
    sql + " WHERE id = ?1"
});

/// Parameters: `recording_id`, `start_ns`, `container_id`, `parent_id`, `session`, `executable_id`,
/// `account`, then [`process_columns`]. Returns the id, and what the row takes.
pub static INSERT_PROCESS: LazyLock<String> = LazyLock::new(|| {
    let keys = [
        "recording_id",
        "start_ns",
        "container_id",
        "parent_id",
        "session",
        "executable_id",
        "account",
    ];
    insert("process", &keys, process_columns()) + " RETURNING id, " + usage::OF_PROCESS
});

fn insert(table: &str, keys: &[&str], columns: impl Iterator<Item = &'static ColumnDef>) -> String {
    let names = Vec::from_iter(
        keys.iter()
            .copied()
            .chain(columns.map(|column| column.name)),
    );
    let parameters = vec!["?"; names.len()].join(", ");
    let names = names.join(", ");
    format!("INSERT INTO {table} ({names}) VALUES ({parameters})")
}
