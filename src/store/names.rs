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
}

/// At most `limit` of the names that begin with `typed`, in order, without going through
/// all rows: each next one is found in an index.
///
/// # Errors
///
/// SQLite's.
pub fn names(db: &Connection, of: Names, typed: &str, limit: usize) -> Result<Vec<String>> {
    // Names are interned, except for programs, of which each process has its own; and of
    // containers there are so few that they need no index.
    let sql = match of {
        Names::Hosts => {
            "SELECT name FROM host WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3"
        }
        Names::Programs => {
            "WITH RECURSIVE program (name) AS (
                 SELECT min(comm) FROM process WHERE comm >= ?1 AND comm < ?2
                 UNION ALL
                 SELECT (SELECT min(comm) FROM process WHERE comm > name AND comm < ?2)
                 FROM program WHERE name IS NOT NULL
             )
             SELECT name FROM program WHERE name IS NOT NULL LIMIT ?3"
        }
        Names::Containers => {
            "SELECT DISTINCT name FROM container
             WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3"
        }
        Names::Images => {
            "SELECT DISTINCT image FROM container
             WHERE image >= ?1 AND image < ?2 ORDER BY image LIMIT ?3"
        }
    };
    // What begins with a text sorts before the text with the last character at its end.
    let end = format!("{typed}{}", char::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map(params![typed, end, limit], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
