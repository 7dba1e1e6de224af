//! What a history holds, in numbers.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection as Db, OptionalExtension};

use super::file::cannot_read;
use super::retention::Keep;
use super::settings;

pub struct Status {
    pub recordings: i64,
    pub connections: i64,
    pub lookups: i64,
    /// Events lost, over all recordings.
    pub lost: i64,
    /// The file and its -wal.
    pub file_bytes: u64,
    pub keep: Keep,
    pub last: Option<LastRecording>,
}

/// The newest recording.
pub struct LastRecording {
    pub start_ts: i64,
    /// Until when it has seen everything.
    pub end_ts: i64,
    pub pid: u32,
    pub hook_set: String,
    pub clean: bool,
    /// Payload, of what is open too.
    pub tx_bytes: i64,
    pub rx_bytes: i64,
}

impl Status {
    pub fn read(db: &Db, path: &Path) -> Result<Status> {
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        let read = || -> rusqlite::Result<Status> {
            Ok(Status {
                recordings: number("SELECT count(*) FROM recording")?,
                connections: number(
                    "SELECT COALESCE(sum(connections - removed), 0) FROM edge_day",
                )?,
                // Before version 10 there are no sums of them.
                lookups: number("SELECT COALESCE(sum(lookups), 0) FROM inquiry")
                    .or_else(|_| number("SELECT count(*) FROM lookup"))?,
                lost: number(
                    "SELECT COALESCE(sum(lost), 0) FROM gap WHERE kind NOT IN ('retention', 'summary')",
                )?,
                file_bytes: size(path, "") + size(path, "-wal"),
                keep: settings::read(db)?,
                last: last(db)?,
            })
        };
        read().with_context(|| cannot_read(path))
    }
}

fn last(db: &Db) -> rusqlite::Result<Option<LastRecording>> {
    let sql =
        "SELECT recording.start_ts, COALESCE(end_ts, seen_ts), recording.pid, hook_set, clean,
                      COALESCE(sum(tx_bytes), 0), COALESCE(sum(rx_bytes), 0)
               FROM recording LEFT JOIN process ON process.recording_id = recording.id
                    LEFT JOIN edge ON edge.process_id = process.id
               WHERE recording.id = (SELECT max(id) FROM recording) GROUP BY recording.id";
    db.query_row(sql, [], |row| {
        Ok(LastRecording {
            start_ts: row.get(0)?,
            end_ts: row.get(1)?,
            pid: row.get(2)?,
            hook_set: row.get(3)?,
            clean: row.get(4)?,
            tx_bytes: row.get(5)?,
            rx_bytes: row.get(6)?,
        })
    })
    .optional()
}

fn size(path: &Path, suffix: &str) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    std::fs::metadata(name).map_or(0, |m| m.len())
}
