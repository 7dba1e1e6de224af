//! Names that the history holds, for those who begin to type one.

use rusqlite::{Connection, params};

use anyhow::Result;

/// What names are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Hosts,
    Programs,
    Containers,
    Images,
    Users,
    Units,
    Pods,
    Namespaces,
}

/// At most `limit` of the names that begin with `typed`, in order, without going through
/// all rows: each next one is found in an index.
///
/// # Errors
///
/// SQLite's.
pub fn names(db: &Connection, of: Names, typed: &str, limit: usize) -> Result<Vec<String>> {
    let sql = match of {
        Names::Hosts => {
            "SELECT name FROM host WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3".to_owned()
        }
        Names::Programs => of_processes("comm"),
        Names::Users => of_processes("user"),
        Names::Units => of_processes("unit"),
        Names::Containers => of_containers("name"),
        Names::Images => of_containers("image"),
        Names::Pods => of_containers("pod"),
        Names::Namespaces => of_containers("pod_namespace"),
    };
    // What begins with a text sorts before the text with the last character at its end.
    let end = format!("{typed}{}", char::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map(params![typed, end, limit], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Each process has its own: from one value of the index to the next.
fn of_processes(column: &str) -> String {
    format!(
        "WITH RECURSIVE found (value) AS (
             SELECT min({column}) FROM process WHERE {column} >= ?1 AND {column} < ?2
             UNION ALL
             SELECT (SELECT min({column}) FROM process WHERE {column} > value AND {column} < ?2)
             FROM found WHERE value IS NOT NULL
         )
         SELECT value FROM found WHERE value IS NOT NULL LIMIT ?3"
    )
}

/// There are so few containers that they need no index.
fn of_containers(column: &str) -> String {
    format!(
        "SELECT DISTINCT {column} FROM container
         WHERE {column} >= ?1 AND {column} < ?2 ORDER BY {column} LIMIT ?3"
    )
}
