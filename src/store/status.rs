//! What a history holds, in numbers.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection as Db, OptionalExtension};

use super::end;
use super::error::cannot_read;
use super::policy::PolicyStatus;
use super::retention::Retention;
use super::settings;

pub struct Status {
    pub recordings: i64,
    pub connections: i64,
    pub lookups: i64,
    /// Events lost, over all recordings.
    pub lost: i64,
    /// The file and its -wal.
    pub file_bytes: u64,
    pub retention: Retention,
    /// Of these the -wal.
    pub wal_bytes: u64,
    pub last: Option<LastRecording>,
    /// Of the newest recording.
    pub policy: Option<PolicyStatus>,
}

/// The newest recording.
pub struct LastRecording {
    pub start_ts: i64,
    /// When it ended, or its newest batch: everything up to then was processed.
    pub end_ts: i64,
    pub pid: u32,
    pub hook_set: String,
    pub clean: bool,
    /// How it ended, as in `recordings`; None: not known, or it runs.
    pub ended: Option<String>,
    /// Payload, of open connections too.
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
                    "SELECT coalesce(sum(connections - removed), 0) FROM connection_daily",
                )?,
                lookups: number("SELECT coalesce(sum(lookups), 0) FROM lookup_group")?,
                lost: number(
                    "SELECT coalesce(sum(lost), 0) FROM gap WHERE kind NOT IN ('retention', 'share', 'summary')",
                )?,
                file_bytes: size(path, "") + size(path, "-wal"),
                wal_bytes: size(path, "-wal"),
                retention: settings::read(db)?,
                last: last(db, path)?,
                policy: PolicyStatus::read(db)?,
            })
        };
        read().with_context(|| cannot_read(path))
    }
}

/// Until when the history has all that happened, at `now` (both nanoseconds since 1970): a recorder
/// that runs may lag.
///
/// # Errors
///
/// SQLite's.
pub fn complete_until(db: &Db, path: &Path, now: i64) -> Result<i64> {
    if !super::recorder_runs(path) {
        return Ok(now);
    }
    let sql = "SELECT seen_ts FROM recording ORDER BY id DESC LIMIT 1";
    let seen = db.query_row(sql, [], |row| row.get::<_, i64>(0)).optional();
    let seen = seen.with_context(|| cannot_read(path))?;
    Ok(seen.map_or(now, |seen| seen.min(now)))
}

fn last(db: &Db, path: &Path) -> rusqlite::Result<Option<LastRecording>> {
    let sql = "SELECT r.start_ts, coalesce(end_ts, seen_ts), r.pid, hook_set, clean,
                      coalesce(sum(tx_bytes), 0), coalesce(sum(rx_bytes), 0)
               FROM recording r
               LEFT JOIN process p ON p.recording_id = r.id
               LEFT JOIN connection_group g ON g.process_id = p.id
               WHERE r.id = (SELECT max(id) FROM recording) GROUP BY r.id";
    let ended = end::of_last(db, path)?;
    db.query_row(sql, [], |row| {
        Ok(LastRecording {
            start_ts: row.get(0)?,
            end_ts: row.get(1)?,
            pid: row.get(2)?,
            hook_set: row.get(3)?,
            clean: row.get(4)?,
            ended: ended.clone(),
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
