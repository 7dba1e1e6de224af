//! Checkpoints (copying the -wal into the database file) on a separate thread, so that the
//! capture does not wait for the disk.

use std::cell::{Cell, OnceCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection as Db, DEFAULT_NAME, ErrorCode};

use super::file;

/// Checkpoint when the -wal has this many pages: 16 MiB.
const PAGES: i32 = 4_096;
/// The writer itself checkpoints from here on (64 MiB), so that the -wal is bounded when
/// batches arrive as fast as they can be written.
const MANY_PAGES: i32 = 16_384;

pub struct Checkpointer {
    /// Pages in the -wal after the last commit.
    pages: Arc<AtomicI32>,
    /// Started for the first checkpoint: by then the recorder has dropped its privileges, and a
    /// thread keeps those that it begins with.
    thread: OnceCell<Option<Thread>>,
    /// The thread's connection, until it starts.
    db: Cell<Option<Db>>,
}

struct Thread {
    wake: SyncSender<()>,
    handle: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts checkpointing the commits of `writer`.
    pub fn start(writer: &mut Db, path: &Path) -> Result<Checkpointer> {
        let pages = Arc::new(AtomicI32::new(0));
        let committed = Arc::clone(&pages);
        writer.wal_hook(Some(move |_: &mut _, pages| {
            committed.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Checkpointer {
            pages,
            thread: OnceCell::new(),
            db: Cell::new(Some(file::open_checkpointer(path)?)),
        })
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread
            .get_or_init(|| {
                let db = self.db.take()?;
                let started = Thread::start(db);
                if let Err(e) = &started {
                    // The writer checkpoints, later.
                    log::warn!("a thread for checkpoints can't be started: {e}");
                }
                started.ok()
            })
            .as_ref()
    }

    /// Finishes a checkpoint that is in progress.
    pub fn stop(&mut self) {
        if let Some(Some(Thread { wake, handle })) = self.thread.take() {
            drop(wake);
            let _ = handle.join();
        }
    }

    /// Call after each commit: starts a checkpoint when one is due.
    pub fn committed(&self, writer: &Db) -> rusqlite::Result<()> {
        match self.pages.load(Ordering::Relaxed) {
            MANY_PAGES.. => copy(writer),
            PAGES.. => {
                // If one is in progress, the next commit tries again.
                if let Some(thread) = self.thread() {
                    let _ = thread.wake.try_send(());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Thread {
    fn start(db: Db) -> std::io::Result<Thread> {
        let (wake, woken) = sync_channel(1);
        let handle = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(e) = copy(&db) {
                        // The next commit retries. An error that affects the writer too
                        // is reported there.
                        log::debug!("checkpoint: {e}");
                    }
                }
            })?;
        Ok(Thread { wake, handle })
    }
}

/// Copies as much as possible without waiting for readers or the writer.
fn copy(db: &Db) -> rusqlite::Result<()> {
    match db.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE) {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        done => done.map(drop),
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_reach_the_database_file_without_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let _lock = file::create(&path, &file::Access::default()).unwrap();
        let mut db = file::open_writer(&path).unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        let checkpointer = Checkpointer::start(&mut db, &path).unwrap();
        let bytes = 5_000_i64 << 12;
        db.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes])
            .unwrap();
        checkpointer.committed(&db).unwrap();
        let pages = checkpointer.pages.load(Ordering::Relaxed);
        assert!((PAGES..MANY_PAGES).contains(&pages), "{pages}");
        drop(checkpointer); // finishes the pending checkpoint first
        assert!(std::fs::metadata(&path).unwrap().len() >= bytes as u64);
    }
}
