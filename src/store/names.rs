//! Names in a history that begin with a prefix, for shell completion.

use rusqlite::{Connection, params};

use anyhow::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredNames {
    Hosts,
    Programs,
    Containers,
    Images,
    Users,
    Units,
    Pods,
    Namespaces,
    /// Ids.
    Connections,
}

/// At most `limit` names with this prefix, sorted. Reads as many index entries as there are
/// names, and not all rows.
///
/// # Errors
///
/// SQLite's.
pub fn names_with_prefix(
    db: &Connection,
    kind: StoredNames,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>> {
    let sql = match kind {
        StoredNames::Hosts => {
            "SELECT name FROM host WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3".to_owned()
        }
        StoredNames::Programs => process_column("comm"),
        StoredNames::Users => process_column("user"),
        StoredNames::Units => process_column("unit"),
        StoredNames::Containers => container_column("name"),
        StoredNames::Images => container_column("image"),
        StoredNames::Pods => container_column("pod"),
        StoredNames::Namespaces => container_column("pod_namespace"),
        // Only the newest: an id means nothing to who types it, so the rest is of no use.
        StoredNames::Connections => "SELECT id FROM (
                 SELECT CAST(id AS TEXT) AS id FROM connection ORDER BY connection.id DESC LIMIT 1000
             ) WHERE id >= ?1 AND id < ?2 LIMIT ?3"
            .to_owned(),
    };
    // Everything that has the prefix sorts before the prefix followed by the last character.
    let end = format!("{prefix}{}", char::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map(params![prefix, end, limit], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Many rows share a value: skips from one distinct value in the index to the next.
fn process_column(column: &str) -> String {
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

/// A full scan: there are few containers.
fn container_column(column: &str) -> String {
    format!(
        "SELECT DISTINCT {column} FROM container
         WHERE {column} >= ?1 AND {column} < ?2 ORDER BY {column} LIMIT ?3"
    )
}
