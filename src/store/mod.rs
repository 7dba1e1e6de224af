//! The history: the only module with SQL against the tables. [`Record`]s come in and are
//! written in batches to a SQLite file, whose views are a public interface
//! (docs/schema.md). Errors name the file, and do no harm to what is stored.

mod batch;
mod cached;
mod checkpoint;
mod connection_rollup;
mod days;
mod end;
mod error;
mod file;
mod intern;
mod lookup_rollup;
mod migrations;
mod names;
mod orphans;
mod policy;
mod removal;
mod retention;
mod row;
mod settings;
mod several;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod trust;
mod usage;
mod write;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection as Db, OptionalExtension, params};

use crate::model::{Record, Run};
use batch::Batch;
use checkpoint::Checkpointer;
use end::boot_id;
use error::{cannot_read, cannot_write};
use write::Writer;

pub use cached::{Trusted, cached_addresses};
pub use error::{Obstacle, is_damaged, of_file};
pub use file::{
    Access, files, group_id, lock_holder, open_reader, policy_socket, recorder_pid, recorder_runs,
};
pub use names::{StoredNames, names_with_prefix};
pub use policy::{PolicyOutcome, PolicyStatus, RuleHits};
pub use retention::Retention;
pub use settings::{Override, RetentionOverrides};
pub use several::{Attached, open_readers};
pub use status::{LastRecording, Status, complete_until};

/// What is stored about a recording when it begins.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Nanoseconds since 1970.
    pub start_ts: i64,
    pub hook_set: String,
    pub hooks: String,
}

/// In nanoseconds. A clock that differs by less was slewed, not set.
const CLOCK_WAS_SET: u64 = 10_000_000_000;

/// In nanoseconds. After a longer pause between two recordings the clock may be wrong.
const MAX_PAUSE: i64 = 7 * 86_400_000_000_000;

/// A file that is open for recording. It is locked: no other recorder can open it.
pub struct Store {
    db: Db,
    checkpointer: Checkpointer,
    // After `db`, because fields drop in order and the lock must outlive the connection.
    _lock: std::fs::File,
    path: PathBuf,
    /// Of the files that are written.
    identity: file::Identity,
    writer: Writer,
    batch: Batch,
    /// Enforced at each commit.
    pub retention: Retention,
    /// Whether the time of a commit is right as far as is known. Otherwise nothing is removed
    /// by its age.
    pub remove_by_age: bool,
}

impl Store {
    /// Opens or creates the file, brings its schema up to date and begins a recording.
    ///
    /// # Errors
    /// Another recorder has locked it; it is not a database, not a history, or one of another
    /// version of egrets; it can't be written. In each case it is not changed.
    pub fn open(path: &Path, access: &Access, recording: &Recording) -> Result<Store> {
        let lock = file::create(path, access)?;
        let mut db = file::open_writer(path)?;
        migrations::migrate(&mut db, path)?;
        end::settle(&db, path).with_context(|| cannot_write(path))?;
        let writer = begin(&db, recording)
            .and_then(|id| Writer::new(&db, id))
            .with_context(|| cannot_write(path))?;
        // What SQLite has created, too: another user may have been faster.
        trust::check_files(path)?;
        file::share(path, access)?;
        let checkpointer = Checkpointer::start(&mut db, path)?;
        Ok(Store {
            db,
            checkpointer,
            _lock: lock,
            identity: file::Identity::of(path),
            path: path.to_path_buf(),
            writer,
            batch: Batch::default(),
            retention: Retention::default(),
            remove_by_age: true,
        })
    }

    /// How the numbers and times of this recording become ids and wall clock times. Ids are
    /// never reused, even after their row was removed.
    pub fn run(&self) -> Run {
        self.writer.intern.run
    }

    /// Sets the boot time of the host, in nanoseconds since 1970 by today's clock. If an
    /// earlier recording of the same boot used another value, that one holds, so that a process
    /// has the same start time in both. Unless the clock was set in between.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn set_boot_ts(&mut self, boot_ts: i64) -> Result<()> {
        let sql = "SELECT r.boot_ts FROM recording r JOIN recording this USING (boot_id)
                       WHERE this.id = ?1 AND r.boot_ts IS NOT NULL ORDER BY r.id DESC LIMIT 1";
        let recording = self.writer.recording;
        let earlier = self
            .db
            .query_row(sql, [recording], |row| row.get::<_, i64>(0))
            .optional()
            .with_context(|| cannot_read(&self.path))?;
        let boot_ts = match earlier {
            Some(earlier) if earlier.abs_diff(boot_ts) < CLOCK_WAS_SET => earlier,
            _ => boot_ts,
        };
        self.db
            .execute(
                "UPDATE recording SET boot_ts = ?1 WHERE id = ?2",
                [boot_ts, recording],
            )
            .with_context(|| cannot_write(&self.path))?;
        self.writer.intern.run.boot_ts = boot_ts;
        Ok(())
    }

    /// Whether a recording that begins at `start_ts`, on a host that booted at `boot_ts` by
    /// today's clock, fits the time of the one before. Otherwise either clock may have been
    /// wrong.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn clock_is_plausible(&self, start_ts: i64, boot_ts: i64) -> Result<bool> {
        let sql = "SELECT boot_id IS ?2, boot_ts, max(seen_ts, coalesce(end_ts, seen_ts))
                   FROM recording WHERE id <> ?1 ORDER BY id DESC LIMIT 1";
        let earlier = self
            .db
            .query_row(sql, params![self.writer.recording, boot_id()], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            })
            .optional()
            .with_context(|| cannot_read(&self.path))?;
        Ok(match earlier {
            None => true,
            Some((true, Some(earlier), _)) => earlier.abs_diff(boot_ts) < CLOCK_WAS_SET,
            Some((_, _, seen)) => (seen..seen.saturating_add(MAX_PAUSE)).contains(&start_ts),
        })
    }

    /// Stores the overrides and applies the resulting retention from now on.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn resolve_retention(&mut self, overrides: &RetentionOverrides) -> Result<()> {
        self.retention = settings::resolve_retention(&self.db, overrides)
            .with_context(|| cannot_write(&self.path))?;
        Ok(())
    }

    /// Adds a record to the batch.
    pub fn add(&mut self, record: &Record) {
        self.batch.add(record);
    }

    /// Writes the batch. The recording has seen everything up to `now`.
    ///
    /// # Errors
    /// The file can't be written. What was not written stays in the batch, so that another
    /// attempt can follow.
    pub fn commit(&mut self, now: i64) -> Result<()> {
        self.write(now)
            .inspect_err(|_| self.writer.forget_unwritten())
            .with_context(|| cannot_write(&self.path))
    }

    fn write(&mut self, now: i64) -> rusqlite::Result<()> {
        let (db, writer) = (&mut self.db, &mut self.writer);
        let rows = self.batch.rows();
        writer.write(db, &self.batch, now)?;
        self.batch.clear();
        let retention = match self.remove_by_age {
            true => self.retention,
            false => self.retention.without_age(),
        };
        retention::enforce(db, writer, retention, now, rows)?;
        self.checkpointer.committed(db)
    }

    /// Whether what is written can still be read by its name. SQLite does not notice.
    ///
    /// # Errors
    /// The history, or a file that belongs to it, was deleted or replaced.
    pub fn check_files(&self) -> Result<()> {
        let Some(lost) = self.identity.lost() else {
            return Ok(());
        };
        let change = match lost.exists() {
            true => "replaced",
            false => "deleted",
        };
        let kept = match lost == self.path {
            true => "",
            false => "; what was recorded before is in the history",
        };
        bail!(
            "{} was {change} while egrets records: the recording ends{kept}",
            lost.display()
        )
    }

    /// Rows that wait to be written.
    pub fn unwritten(&self) -> usize {
        self.batch.rows()
    }

    /// From now on a locked file is an error almost at once, so that the capture does not wait.
    ///
    /// # Errors
    /// SQLite's.
    pub fn wait_no_longer(&self) -> Result<()> {
        Ok(self.db.busy_timeout(file::BUSY_WHILE_RECORDING)?)
    }

    /// Ends the recording in an orderly way.
    ///
    /// # Errors
    /// As [`commit`](Store::commit); it can be tried again.
    pub fn finish(&mut self, now: i64) -> Result<()> {
        self.commit(now)?;
        self.checkpointer.stop();
        self.db
            .execute(
                "UPDATE recording SET end_ts = ?1, clean = 1, ended = 'stopped' WHERE id = ?2",
                params![now, self.writer.recording],
            )
            .and_then(|_| {
                // Everything into the database file, so that a copy of it alone is complete;
                // a reader may be in the way for a moment.
                self.db.busy_timeout(file::BUSY_AT_END)?;
                self.db
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .with_context(|| cannot_write(&self.path))
    }

    /// Ends a recording whose rest can't be written, and leaves word of why.
    pub fn abandon(self, why: &str) {
        end::leave_word(&self.db, &self.path, self.writer.recording, why);
        // Into the database file, for a -wal that was deleted.
        let _ = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn begin(db: &Db, recording: &Recording) -> rusqlite::Result<i64> {
    let uname = rustix::system::uname();
    db.execute(
        "INSERT INTO recording (start_ts, seen_ts, hostname, kernel, boot_id, version, pid, hook_set, hooks)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            recording.start_ts,
            uname.nodename().to_string_lossy(),
            uname.release().to_string_lossy(),
            boot_id(),
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            recording.hook_set,
            recording.hooks,
        ],
    )?;
    Ok(db.last_insert_rowid())
}
