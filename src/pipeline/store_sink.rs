//! The history as a sink. A batch is what has come since the last flush. While the history can't
//! be written (another program has locked it, the disk is full) the store keeps the batch, and
//! this tries again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::schedule::HEARTBEAT;
use super::signals::StopSignals;
use super::sink::{Sink, SinkState};
use crate::model::Record;
use crate::store::{Obstacle, RetentionOverrides, Store, lock_holder};

/// The time between two attempts: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How long the end of a recording waits for the lock of another program.
const PATIENCE_LOCKED: Duration = Duration::from_secs(10);
/// The same if the disk is full.
const PATIENCE_FULL: Duration = Duration::from_secs(2);

/// How often the sink looks whether the history's files are still there.
const FILE_CHECK: Duration = Duration::from_secs(1);

pub struct StoreSink {
    store: Store,
    path: PathBuf,
    signals: StopSignals,
    dirty: bool,
    last_commit: Instant,
    stall: Option<Stall>,
    last_check: Instant,
    /// A file is lost, which was reported.
    lost: bool,
}

/// The history can't be written at present.
struct Stall {
    obstacle: Obstacle,
    since: Instant,
    retry_in: Duration,
    retry_at: Instant,
}

impl StoreSink {
    /// Another of `signals` ends the wait for a lock at the end.
    pub fn new(store: Store, path: &Path, signals: &StopSignals) -> StoreSink {
        StoreSink {
            store,
            path: path.to_path_buf(),
            signals: signals.clone(),
            dirty: false,
            last_commit: Instant::now(),
            stall: None,
            last_check: Instant::now(),
            lost: false,
        }
    }

    fn commit(&mut self, processed_ts: i64) -> Result<()> {
        match self.store.commit(processed_ts) {
            Ok(()) => {
                if let Some(stall) = self.stall.take() {
                    let seconds = stall.since.elapsed().as_secs();
                    log::info!(
                        "{} is written again, after {seconds} s",
                        self.path.display()
                    );
                }
                self.dirty = false;
                self.last_commit = Instant::now();
                Ok(())
            }
            Err(e) => match Obstacle::of(&e) {
                Some(obstacle) => {
                    self.stall(obstacle);
                    Ok(())
                }
                None => Err(e),
            },
        }
    }

    fn stall(&mut self, obstacle: Obstacle) {
        let now = Instant::now();
        let stall = self.stall.get_or_insert_with(|| {
            log::warn!(
                "{}; what is recorded waits in memory",
                blocked(&self.path, obstacle)
            );
            Stall {
                obstacle,
                since: now,
                retry_in: FIRST_RETRY / 2,
                retry_at: now,
            }
        });
        stall.obstacle = obstacle;
        stall.retry_in = (stall.retry_in * 2).min(LAST_RETRY);
        stall.retry_at = now + stall.retry_in;
    }
}

/// Why the history can't be written.
fn blocked(path: &Path, obstacle: Obstacle) -> String {
    let holder = match obstacle {
        Obstacle::Locked => lock_holder(path),
        _ => None,
    };
    let by = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    format!("{} can't be written: {obstacle}{by}", path.display())
}

impl Sink for StoreSink {
    fn add(&mut self, record: &Record) {
        self.store.add(record);
        self.dirty = true;
    }

    fn flush(&mut self, processed_ts: i64) -> Result<SinkState> {
        if self.last_check.elapsed() >= FILE_CHECK {
            self.last_check = Instant::now();
            if !self.lost {
                self.lost = true;
                self.store.check_files()?;
                self.lost = false;
            }
        }
        let due = match &self.stall {
            Some(stall) => Instant::now() >= stall.retry_at,
            None => self.dirty || self.last_commit.elapsed() >= HEARTBEAT,
        };
        if due {
            self.commit(processed_ts)?;
        }
        Ok(SinkState::Open)
    }

    fn clock_settled(&mut self, settled: bool) {
        self.store.remove_by_age = settled;
    }

    fn change_retention(&mut self, overrides: &RetentionOverrides) -> Result<()> {
        self.store.resolve_retention(overrides)
    }

    fn flush_within(&self) -> Option<Duration> {
        let stall = self.stall.as_ref()?;
        Some(stall.retry_at.saturating_duration_since(Instant::now()))
    }

    fn finish(mut self: Box<Self>, processed_ts: i64) -> Result<()> {
        if let Err(e) = self.store.check_files() {
            // Into the history, if only a file beside it is lost.
            if self.store.commit(processed_ts).is_ok() {
                self.store.abandon("file lost");
            }
            return Err(e);
        }
        let begun = Instant::now();
        let mut waiting = false;
        let (error, obstacle) = loop {
            let Err(e) = self.store.finish(processed_ts) else {
                return Ok(());
            };
            let Some(obstacle) = Obstacle::of(&e) else {
                self.store.abandon("error");
                return Err(e);
            };
            let patience = match obstacle {
                Obstacle::Locked => PATIENCE_LOCKED,
                _ => PATIENCE_FULL,
            };
            if begun.elapsed() >= patience || waiting && self.signals.take().is_some() {
                break (e, obstacle);
            }
            if !waiting {
                waiting = true;
                self.signals.take();
                log::warn!(
                    "{}; waiting for at most {} s, which another Ctrl-C ends",
                    blocked(&self.path, obstacle),
                    patience.as_secs()
                );
            }
            std::thread::sleep(FIRST_RETRY);
        };
        let rows = self.store.unwritten();
        self.store.abandon(obstacle.end());
        Err(error.context(format!(
            "the recording ended without its last {rows} connections and lookups, because {obstacle}"
        )))
    }
}
