//! The history: the only module with SQL against the tables. [`Record`]s come in and are
//! written in batches to a SQLite file, whose views are a public interface
//! (docs/schema.md). Errors name the file, and leave what is stored unharmed.

mod checkpoint;
mod connection_rollup;
mod days;
mod error;
mod file;
mod intern;
mod lookup_rollup;
mod migrations;
mod names;
mod orphans;
mod removal;
mod retention;
mod row;
mod settings;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection as Db, OptionalExtension, params};

use crate::model::{Connection, ContainerUpdate, Gap, Lookup, Outcome, Progress, Record, Run};
use checkpoint::Checkpointer;
use error::{cannot_read, cannot_write};
use write::Writer;

pub use error::{is_damaged, of_file};
pub use file::{Access, group_id, open_reader, recorder_runs};
pub use names::{StoredNames, names_with_prefix};
pub use retention::Retention;
pub use settings::{Override, RetentionOverrides};
pub use status::Status;

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

/// A file that is open for recording. It is locked: no other recorder can open it.
pub struct Store {
    db: Db,
    checkpointer: Checkpointer,
    // After `db`, because fields drop in order and the lock must outlive the connection.
    _lock: std::fs::File,
    path: PathBuf,
    writer: Writer,
    batch: Batch,
    /// Enforced at each commit.
    pub retention: Retention,
}

/// The records since the last commit. A connection that changes twice in a batch is written
/// once.
#[derive(Default)]
struct Batch {
    connections: Vec<Latest>,
    /// Indexes into `connections` by number.
    indexes: HashMap<u64, usize>,
    lookups: Vec<Lookup>,
    containers: Vec<ContainerUpdate>,
    gaps: Vec<Gap>,
}

/// The latest state of a connection, and whether it may still transfer data.
struct Latest {
    connection: Connection,
    open: bool,
}

impl Batch {
    fn connection(&mut self, c: &Connection, open: bool) {
        let latest = Latest {
            connection: c.clone(),
            open,
        };
        match self.indexes.entry(c.number) {
            Entry::Occupied(index) => self.connections[*index.get()] = latest,
            Entry::Vacant(index) => {
                index.insert(self.connections.len());
                self.connections.push(latest);
            }
        }
    }
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
        let writer = begin(&db, recording)
            .and_then(|id| Writer::new(&db, id))
            .with_context(|| cannot_write(path))?;
        file::share(path, access)?;
        let checkpointer = Checkpointer::start(&mut db, path)?;
        Ok(Store {
            db,
            checkpointer,
            _lock: lock,
            path: path.to_path_buf(),
            writer,
            batch: Batch::default(),
            retention: Retention::default(),
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
        match record {
            Record::Opened(c) | Record::Progress(Progress { connection: c, .. }) => {
                self.batch.connection(c, true);
            }
            Record::Outcome(c) => {
                let open = matches!(c.outcome, Outcome::InProgress | Outcome::Connected);
                self.batch.connection(c, open);
            }
            Record::Closed(c) => self.batch.connection(c, false),
            Record::Lookup(lookup) => self.batch.lookups.push(lookup.clone()),
            Record::Container(update) => self.batch.containers.push(update.clone()),
            Record::Gap(gap) => self.batch.gaps.push(gap.clone()),
            Record::Query(_) => {}
        }
    }

    /// Writes the batch. The recording has seen everything up to `now`.
    pub fn commit(&mut self, now: i64) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let written = batch.connections.len() + batch.lookups.len();
        let (db, writer) = (&mut self.db, &mut self.writer);
        writer
            .write(db, &batch, now)
            .and_then(|()| retention::enforce(db, writer, self.retention, now, written))
            .and_then(|()| self.checkpointer.committed(db))
            .with_context(|| cannot_write(&self.path))
    }

    /// Ends the recording in an orderly way.
    pub fn finish(mut self, now: i64) -> Result<()> {
        self.commit(now)?;
        drop(self.checkpointer);
        self.db
            .execute(
                "UPDATE recording SET end_ts = ?1, clean = 1 WHERE id = ?2",
                params![now, self.writer.recording],
            )
            .and_then(|_| {
                // Everything into the database file, so that a copy of it alone is complete.
                self.db
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .with_context(|| cannot_write(&self.path))
    }
}

fn begin(db: &Db, recording: &Recording) -> rusqlite::Result<i64> {
    let uname = rustix::system::uname();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    db.execute(
        "INSERT INTO recording (start_ts, seen_ts, hostname, kernel, boot_id, version, pid, hook_set, hooks)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            recording.start_ts,
            uname.nodename().to_string_lossy(),
            uname.release().to_string_lossy(),
            boot_id.as_deref().map(str::trim),
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            recording.hook_set,
            recording.hooks,
        ],
    )?;
    Ok(db.last_insert_rowid())
}
