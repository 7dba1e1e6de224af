//! The -wal file into the history itself, on a thread of its own: it waits for the disk,
//! and the capture does not have to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection as Db, DEFAULT_NAME, ErrorCode};

use super::file;

/// Pages of the -wal from which on it is copied: 16 MiB.
const PAGES: i32 = 4_096;
/// And from which on the writer does it itself, so that the -wal does not grow for ever
/// where batches come as fast as they can be written: 64 MiB.
const MANY_PAGES: i32 = 16_384;

pub struct Checkpointer {
    /// Pages in the -wal after the last commit.
    pages: Arc<AtomicI32>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// For what `writer` commits.
    pub fn start(writer: &mut Db, path: &Path) -> Result<Checkpointer> {
        let pages = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&pages);
        writer.wal_hook(Some(move |_: &mut _, pages| {
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let db = file::open_checkpointer(path)?;
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(e) = copy(&db) {
                        // It is tried again, and what hinders the writer too it tells.
                        log::debug!("checkpoint: {e}");
                    }
                }
            })
            .context("a thread for checkpoints can't be started")?;
        Ok(Checkpointer {
            pages,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// After a commit: has the -wal copied where it is time.
    pub fn committed(&self, writer: &Db) -> rusqlite::Result<()> {
        match self.pages.load(Ordering::Relaxed) {
            MANY_PAGES.. => copy(writer),
            PAGES.. => {
                // Where it is at it already, the next commit will do.
                if let Some(wake) = &self.wake {
                    let _ = wake.try_send(());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// As much as can be copied without waiting for anybody.
fn copy(db: &Db) -> rusqlite::Result<()> {
    match db.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE) {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        done => done.map(drop),
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_gets_into_the_file_without_the_writer() {
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
        drop(checkpointer); // it does first what it was asked for
        assert!(std::fs::metadata(&path).unwrap().len() >= bytes as u64);
    }
}
