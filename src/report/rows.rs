//! Statements whose rows become those of a section.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, Row};

use super::model::{Amount, Destination, Program, Programs, Section};

/// Most rows of each section, so that a page stays below a megabyte whatever the names are.
pub const MOST_PROGRAMS: usize = 50;
pub const MOST_FLOWS: usize = 120;
pub const MOST_ROWS: usize = 60;

/// A history whose hosts are not new.
pub struct Baseline<'a> {
    pub db: &'a Connection,
    pub path: &'a Path,
}

/// What identifies a program, as columns.
pub const PROGRAM: &str = "comm, exe, container_id, container_name";
/// What identifies a destination.
pub const DESTINATION: &str = "coalesce(host, dst_ip)";
/// A destination's columns: its port and protocol only if all rows have the same.
pub const TO: &str = "\
host, CASE WHEN host IS NULL THEN dst_ip END AS address,
  CASE WHEN count(DISTINCT coalesce(dst_port, 0)) = 1 THEN min(dst_port) END AS port,
  CASE WHEN min(protocol) = max(protocol) THEN min(protocol) END AS protocol";
pub const AMOUNT: &str = "\
sum(connections) AS connections, sum(failed) AS failed, sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes";
pub const BY: &str = "min(comm) AS comm, count(DISTINCT coalesce(exe, comm)) AS programs";
/// The most traffic first.
pub const MOST_FIRST: &str =
    "coalesce(sum(tx_bytes), 0) + coalesce(sum(rx_bytes), 0) DESC, sum(connections) DESC";

/// The rows of a statement, whose column `total` is the number of all.
pub fn section<T>(
    db: &Connection,
    sql: String,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Section<T>> {
    let mut total = 0;
    let rows = {
        let mut statement = db.prepare(&sql)?;
        let rows = statement.query_map([], |row| {
            total = row.get("total")?;
            read(row)
        })?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    Ok(Section {
        total,
        rows,
        sql: Some(sql + ";"),
    })
}

/// A source with its own conditions, for a statement that has more.
pub fn nested(source: &str) -> String {
    match source.starts_with('(') {
        true => source.to_owned(),
        false => format!("(SELECT * FROM {source})"),
    }
}

pub fn program(row: &Row<'_>) -> rusqlite::Result<Program> {
    Ok(Program {
        comm: row.get("comm")?,
        exe: row.get("exe")?,
        container_id: row.get("container_id")?,
        container_name: row.get("container_name")?,
    })
}

pub fn destination(row: &Row<'_>) -> rusqlite::Result<Destination> {
    Ok(Destination {
        host: row.get("host")?,
        address: row.get("address")?,
        port: row.get("port")?,
        protocol: row.get("protocol")?,
    })
}

pub fn amount(row: &Row<'_>) -> rusqlite::Result<Amount> {
    Ok(Amount {
        connections: row.get("connections")?,
        failed: row.get("failed")?,
        tx_bytes: row.get("tx_bytes")?,
        rx_bytes: row.get("rx_bytes")?,
    })
}

pub fn by(row: &Row<'_>) -> rusqlite::Result<Programs> {
    Ok(Programs {
        comm: row.get("comm")?,
        programs: row.get("programs")?,
    })
}

/// The statement of hosts, the busiest first, up to `limit`.
pub fn hosts_sql(source: &str, limit: usize) -> String {
    format!(
        "SELECT {TO}, min(dst_addr) AS dst_addr,
  {BY},
  {AMOUNT},
  min(first_ts) AS first_ts, max(last_ts) AS last_ts,
  count(*) OVER () AS total
FROM {source}
GROUP BY host, {DESTINATION}
ORDER BY {MOST_FIRST}, host, address
LIMIT {limit}"
    )
}
