//! The history: the only module that writes SQL against the tables. In come
//! [`Record`]s, batched; out goes one SQLite file whose views are a public
//! interface (docs/schema.md). What fails is said with the file's name and
//! leaves what is stored unharmed.

mod file;
mod intern;
mod names;
#[cfg(test)]
mod recipes;
mod retention;
mod status;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection as Db, TransactionBehavior, params};

use crate::record::{Connection, Lookup, Progress, Record, errno_name};
use intern::Interner;

pub use file::{Access, MIGRATIONS, group_id, open_reader, recorder_runs};
pub use names::{Names, names};
pub use retention::Keep;
pub use status::Status;

/// What is told of a recording when it begins.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Nanoseconds since 1970.
    pub start_ts: i64,
    pub hook_set: String,
    pub hooks: String,
}

/// A file open for recording; no other recorder can open it meanwhile.
pub struct Store {
    db: Db,
    // After `db`: the lock must outlast the connection.
    _lock: std::fs::File,
    path: PathBuf,
    recording: i64,
    intern: Interner,
    batch: Batch,
    /// Enforced at each commit.
    pub keep: Keep,
}

/// What has come since the last commit. A connection that changes twice in a
/// batch is written once.
#[derive(Default)]
struct Batch {
    connections: HashMap<i64, Connection>,
    order: Vec<i64>,
    lookups: Vec<Lookup>,
    containers: Vec<std::rc::Rc<crate::record::Container>>,
    gaps: Vec<Gap>,
}

struct Gap {
    from_ts: i64,
    to_ts: i64,
    kind: String,
    lost: u64,
    why: &'static str,
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
        let id = begin(&db, recording).with_context(|| file::cannot_write(path))?;
        file::share(path, access)?;
        Ok(Store {
            db,
            _lock: lock,
            path: path.to_path_buf(),
            recording: id,
            intern: Interner::default(),
            batch: Batch::default(),
            keep: Keep::default(),
        })
    }

    /// The ids that the next connection and the next lookup get.
    pub fn next_ids(&self) -> Result<(i64, i64)> {
        let next = |table: &str| -> rusqlite::Result<i64> {
            let sql = format!("SELECT COALESCE(MAX(id), 0) + 1 FROM {table}");
            self.db.query_row(&sql, [], |row| row.get(0))
        };
        let ids = next("connection").and_then(|c| Ok((c, next("lookup")?)));
        ids.with_context(|| file::cannot_read(&self.path))
    }

    /// Takes a record into the batch.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Opened(c)
            | Record::Outcome(c)
            | Record::Progress(Progress { connection: c, .. })
            | Record::Closed(c) => {
                if self.batch.connections.insert(c.id, c.clone()).is_none() {
                    self.batch.order.push(c.id);
                }
            }
            Record::Lookup(lookup) => self.batch.lookups.push(lookup.clone()),
            Record::Container(container) => self.batch.containers.push(container.clone()),
            Record::Query(_) => {}
        }
    }

    /// Something was not seen.
    pub fn gap(&mut self, from_ts: i64, to_ts: i64, kind: &str, lost: u64, why: &'static str) {
        self.batch.gaps.push(Gap {
            from_ts,
            to_ts,
            kind: kind.to_string(),
            lost,
            why,
        });
    }

    /// Writes the batch; `now` is until when the recording has seen everything.
    pub fn commit(&mut self, now: i64) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let (db, intern) = (&mut self.db, &mut self.intern);
        write(db, intern, self.recording, &batch, now)
            .and_then(|()| retention::enforce(db, intern, self.recording, self.keep, now))
            .with_context(|| file::cannot_write(&self.path))
    }

    /// Ends the recording by itself.
    pub fn finish(mut self, now: i64) -> Result<()> {
        self.commit(now)?;
        self.db
            .execute(
                "UPDATE recording SET end_ts = ?1, clean = 1 WHERE id = ?2",
                params![now, self.recording],
            )
            .and_then(|_| {
                // All of it into the file itself, so that a copy of it is whole.
                self.db
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
            .with_context(|| file::cannot_write(&self.path))
    }
}

fn begin(db: &Db, recording: &Recording) -> Result<i64> {
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

fn write(
    db: &mut Db,
    intern: &mut Interner,
    recording: i64,
    batch: &Batch,
    now: i64,
) -> rusqlite::Result<()> {
    // Immediate: one that reads first and then wants to write fails at once where
    // somebody else has written in between, and waits for nothing.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for container in &batch.containers {
        intern.container_details(&tx, container)?;
    }
    for lookup in &batch.lookups {
        write_lookup(&tx, intern, recording, lookup)?;
    }
    for id in &batch.order {
        if let Some(connection) = batch.connections.get(id) {
            write_connection(&tx, intern, recording, connection)?;
        }
    }
    for gap in &batch.gaps {
        tx.prepare_cached(
            "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            recording,
            gap.from_ts,
            gap.to_ts,
            gap.kind,
            gap.lost as i64,
            gap.why
        ])?;
    }
    tx.prepare_cached("UPDATE recording SET seen_ts = ?1 WHERE id = ?2")?
        .execute(params![now, recording])?;
    tx.commit()
}

fn write_lookup(
    db: &Db,
    intern: &mut Interner,
    recording: i64,
    lookup: &Lookup,
) -> rusqlite::Result<()> {
    // A row that stands for more messages than it did, with the records of the first.
    if lookup.times > 1 {
        let known = db
            .prepare_cached("UPDATE lookup SET times = ?1 WHERE id = ?2")?
            .execute(params![lookup.times as i64, lookup.id])?;
        if known > 0 {
            return Ok(());
        }
    }
    let process = intern.process(db, recording, &lookup.process)?;
    let server = intern.address(db, lookup.server.ip)?;
    let qname = lookup
        .qname
        .as_ref()
        .map(|name| intern.host(db, name))
        .transpose()?;
    db.prepare_cached(
        "INSERT INTO lookup (id, ts, process_id, server_id, server_port, transport, qname_id,
                             qtype, rcode, latency_us, status, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        lookup.id,
        lookup.ts,
        process,
        server,
        lookup.server.port,
        lookup.transport.as_str(),
        qname,
        lookup.qtype,
        lookup.rcode,
        lookup.latency_us,
        lookup.status.as_str(),
        lookup.times as i64,
    ])?;
    for answer in &lookup.answers {
        let name = intern.host(db, &answer.name)?;
        db.prepare_cached(
            "INSERT INTO answer (lookup_id, name_id, type, data, ttl) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            lookup.id,
            name,
            answer.rtype,
            answer.data,
            answer.ttl
        ])?;
    }
    Ok(())
}

fn write_connection(
    db: &Db,
    intern: &mut Interner,
    recording: i64,
    c: &Connection,
) -> rusqlite::Result<()> {
    let process = intern.process(db, recording, &c.process)?;
    let src = c.src.map(|src| intern.address(db, src.ip)).transpose()?;
    let dst = intern.address(db, c.dst.ip)?;
    let name = c.name.as_ref();
    let host = name.map(|n| intern.host(db, &n.host)).transpose()?;
    // The evidence is a row only where its lookup is recorded too.
    db.prepare_cached(
        "INSERT INTO connection (id, ts, process_id, tid, protocol, src_id, src_port, dst_id, dst_port,
                                 host_id, host_source, host_age_ms, host_rivals, lookup_id,
                                 outcome, errno, latency_us, tx_bytes, rx_bytes, duration_us,
                                 tx_packets, rx_packets, already_open)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                 (SELECT id FROM lookup WHERE id = ?14), ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
         ON CONFLICT (id) DO UPDATE SET
             src_id = excluded.src_id, src_port = excluded.src_port, outcome = excluded.outcome,
             errno = excluded.errno, latency_us = excluded.latency_us,
             tx_bytes = excluded.tx_bytes, rx_bytes = excluded.rx_bytes,
             tx_packets = excluded.tx_packets, rx_packets = excluded.rx_packets,
             duration_us = excluded.duration_us",
    )?
    .execute(params![
        c.id,
        c.ts,
        process,
        c.tid,
        c.protocol.as_str(),
        src,
        c.src.map(|s| s.port),
        dst,
        c.dst.port,
        host,
        name.map(|n| n.source.as_str()),
        name.and_then(|n| n.age_ms).map(|n| n as i64),
        name.map(|n| n.rivals as i64),
        name.and_then(|n| n.lookup),
        c.outcome.as_str(),
        c.errno.map(errno_name),
        c.latency_us,
        c.tx_bytes.map(|n| n as i64),
        c.rx_bytes.map(|n| n as i64),
        c.duration_us,
        c.tx_packets.map(|n| n as i64),
        c.rx_packets.map(|n| n as i64),
        c.already_open,
    ])?;
    for rival in name.iter().flat_map(|n| &n.rival_names) {
        let host = intern.host(db, &rival.host)?;
        db.prepare_cached(
            "INSERT OR IGNORE INTO rival (connection_id, host_id, lookup_id)
             VALUES (?1, ?2, (SELECT id FROM lookup WHERE id = ?3))",
        )?
        .execute(params![c.id, host, rival.lookup])?;
    }
    Ok(())
}
