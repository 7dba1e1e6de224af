//! Several histories as one: a connection that has each of them attached, and a temporary view
//! of each name over those of all. Rows have the columns `machine`, whose history they are from, and
//! `history`, which tells histories apart.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rusqlite::limits::Limit;
use rusqlite::{Connection as Db, OptionalExtension};

use super::error::cannot_read;
use super::file::{self, open_reader};
use super::migrations;

/// One of them.
#[derive(Debug)]
pub struct Attached {
    /// Its schema, as SQLite calls attached databases.
    pub schema: String,
    /// The name that the machine had in the newest recording; without one, the file's.
    pub machine: String,
}

/// Tables that readers look at beside the views.
const TABLES: [&str; 2] = ["address", "executable"];

/// Opens the files for reading, whether or not recorders are writing to them.
///
/// # Errors
///
/// More files than SQLite attaches, and for each of them those of [`open_reader`].
pub fn open_readers(paths: &[PathBuf]) -> Result<(Db, Vec<Attached>)> {
    let db = file::open_in_memory()?;
    let most = db.limit(Limit::SQLITE_LIMIT_ATTACHED)?;
    ensure!(
        i32::try_from(paths.len()).is_ok_and(|n| n <= most),
        "these are {} histories, and {most} can be read at once: name fewer, or export them \
         to a dataset ('egrets export --format parquet')",
        paths.len()
    );
    let mut all = Vec::with_capacity(paths.len());
    for (number, path) in paths.iter().enumerate() {
        // closed before it is attached: closing it later would drop the locks of that
        let recorded = recorded_name(&open_reader(path)?).with_context(|| cannot_read(path))?;
        let machine = recorded.unwrap_or_else(|| stem(path));
        let schema = format!("history{}", number + 1);
        file::attach(&db, path, &schema).with_context(|| cannot_read(path))?;
        all.push(Attached { schema, machine });
    }
    db.execute_batch(&views(&db, &all)?)?;
    Ok((db, all))
}

fn recorded_name(db: &Db) -> rusqlite::Result<Option<String>> {
    let newest = "SELECT hostname FROM recordings ORDER BY id DESC LIMIT 1";
    let name = db.query_row(newest, [], |row| row.get::<_, Option<String>>(0));
    Ok(name.optional()?.flatten().filter(|name| !name.is_empty()))
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The statements that create the views. What a history of another version has not is NULL.
fn views(db: &Db, all: &[Attached]) -> Result<String> {
    let mut statements = String::new();
    for (name, wanted) in migrations::views_and(&TABLES)? {
        let parts = all.iter().map(|Attached { schema, machine }| {
            let present = migrations::columns_of(db, schema, &name)?;
            let columns = match present == wanted {
                true => "*".to_owned(),
                false => wanted
                    .iter()
                    .map(|column| match present.contains(column) {
                        true => quoted(column),
                        false => format!("NULL AS {}", quoted(column)),
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            Ok(format!(
                "SELECT {} AS machine, '{schema}' AS history, {columns} FROM {schema}.{}",
                literal(machine),
                quoted(&name)
            ))
        });
        let parts = parts.collect::<rusqlite::Result<Vec<_>>>()?;
        statements += &format!(
            "CREATE TEMP VIEW {} AS\n{};\n",
            quoted(&name),
            parts.join("\nUNION ALL ")
        );
    }
    Ok(statements)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// In hexadecimal: the file may have come from anywhere, and SQL ends at a NUL.
fn literal(text: &str) -> String {
    let hex = text.bytes().map(|byte| format!("{byte:02x}"));
    format!("CAST(x'{}' AS TEXT)", hex.collect::<String>())
}
