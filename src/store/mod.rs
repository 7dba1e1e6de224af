//! The history: the only module that writes SQL against the tables. In come
//! [`Record`]s, batched; out goes one SQLite file whose views are a public
//! interface (docs/schema.md). What fails is said with the file's name and
//! leaves what is stored unharmed.

mod checkpoint;
mod file;
mod inquiries;
mod intern;
mod names;
mod prune;
#[cfg(test)]
mod recipes;
mod retention;
mod rollup;
#[cfg(test)]
mod schema;
mod settings;
mod status;
mod write;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection as Db, OptionalExtension, params};

use crate::model::{Connection, ContainerUpdate, Gap, Lookup, Outcome, Progress, Record, Run};
use checkpoint::Checkpointer;
use write::Writer;

pub use file::{Access, MIGRATIONS, group_id, is_damaged, of_file, open_reader, recorder_runs};
pub use names::{Names, names};
pub use retention::Keep;
pub use settings::{Told, Wanted};
pub use status::Status;

/// What is told of a recording when it begins.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Nanoseconds since 1970.
    pub start_ts: i64,
    pub hook_set: String,
    pub hooks: String,
}

/// Nanoseconds by which a clock that is only corrected bit by bit does not differ.
const CLOCK_WAS_SET: u64 = 10_000_000_000;

/// A file open for recording; no other recorder can open it meanwhile.
pub struct Store {
    db: Db,
    checkpointer: Checkpointer,
    // After `db`: the lock must outlast the connection.
    _lock: std::fs::File,
    path: PathBuf,
    writer: Writer,
    batch: Batch,
    /// Enforced at each commit.
    pub keep: Keep,
}

/// What has come since the last commit. A connection that changes twice in a
/// batch is written once.
#[derive(Default)]
struct Batch {
    connections: Vec<Latest>,
    /// Where in there a connection is, by number.
    places: HashMap<u64, usize>,
    lookups: Vec<Lookup>,
    containers: Vec<ContainerUpdate>,
    gaps: Vec<Gap>,
}

/// What is known of a connection by now, and whether it may carry more.
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
        match self.places.entry(c.number) {
            Entry::Occupied(place) => self.connections[*place.get()] = latest,
            Entry::Vacant(place) => {
                place.insert(self.connections.len());
                self.connections.push(latest);
            }
        }
    }
}

impl Store {
    /// Opens or makes the file, brings its schema up to date and begins a
    /// recording.
    ///
    /// # Errors
    /// Another recorder has it; it is no database, not egrets', or from a newer
    /// egrets; it can't be written. Nothing in it is changed then.
    pub fn open(path: &Path, access: &Access, recording: &Recording) -> Result<Store> {
        let lock = file::create(path, access)?;
        let mut db = file::open_writer(path)?;
        file::migrate(&mut db, path)?;
        let writer = begin(&db, recording)
            .and_then(|id| Writer::new(&db, id))
            .with_context(|| file::cannot_write(path))?;
        file::share(path, access)?;
        let checkpointer = Checkpointer::start(&mut db, path)?;
        Ok(Store {
            db,
            checkpointer,
            _lock: lock,
            path: path.to_path_buf(),
            writer,
            batch: Batch::default(),
            keep: Keep::default(),
        })
    }

    /// How this recording's numbers become ids and times. Ids are never used twice, not even
    /// those of rows that have been removed.
    pub fn run(&self) -> Run {
        self.writer.intern.run
    }

    /// Sets when the host booted, nanoseconds since 1970 by today's clock. An earlier recording
    /// of the same boot counts instead, so that a process has the same start in both, unless
    /// the clock was set since.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn set_boot_ts(&mut self, boot_ts: i64) -> Result<()> {
        let earlier = "SELECT r.boot_ts FROM recording r JOIN recording own USING (boot_id)
                       WHERE own.id = ?1 AND r.boot_ts IS NOT NULL ORDER BY r.id DESC LIMIT 1";
        let own = self.writer.recording;
        let known = self
            .db
            .query_row(earlier, [own], |row| row.get::<_, i64>(0))
            .optional()
            .with_context(|| file::cannot_read(&self.path))?;
        let boot_ts = match known {
            Some(known) if known.abs_diff(boot_ts) < CLOCK_WAS_SET => known,
            _ => boot_ts,
        };
        self.db
            .execute(
                "UPDATE recording SET boot_ts = ?1 WHERE id = ?2",
                [boot_ts, own],
            )
            .with_context(|| file::cannot_write(&self.path))?;
        self.writer.intern.run.boot_ts = boot_ts;
        Ok(())
    }

    /// From now on keeps as much as was `wanted`, and where that says nothing, as the file
    /// says.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn settle(&mut self, wanted: &Wanted) -> Result<()> {
        self.keep =
            settings::settle(&self.db, wanted).with_context(|| file::cannot_write(&self.path))?;
        Ok(())
    }

    /// Takes a record into the batch.
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

    /// Writes the batch; `now` is until when the recording has seen everything.
    pub fn commit(&mut self, now: i64) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let written = batch.connections.len() + batch.lookups.len();
        let (db, writer) = (&mut self.db, &mut self.writer);
        writer
            .write(db, &batch, now)
            .and_then(|()| retention::enforce(db, writer, self.keep, now, written))
            .and_then(|()| self.checkpointer.committed(db))
            .with_context(|| file::cannot_write(&self.path))
    }

    /// Ends the recording by itself.
    pub fn finish(mut self, now: i64) -> Result<()> {
        self.commit(now)?;
        drop(self.checkpointer);
        self.db
            .execute(
                "UPDATE recording SET end_ts = ?1, clean = 1 WHERE id = ?2",
                params![now, self.writer.recording],
            )
            .and_then(|_| {
                // All of it into the file itself, so that a copy of it is whole.
                self.db
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .with_context(|| file::cannot_write(&self.path))
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
