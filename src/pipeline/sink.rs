//! Where records go: the store and the live log.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::schedule::HEARTBEAT;
use crate::model::Record;
use crate::print::Printer;
use crate::store::Store;

/// A consumer of records. It gets them in the order in which things happened, and runs on the
/// pipeline's thread: while it waits, the ring buffer fills up.
pub trait Sink {
    fn add(&mut self, record: &Record);

    /// Writes what is ready. Called after each drain, with or without new records;
    /// `processed_ts` is the time (nanoseconds since 1970) until which all events have been
    /// handled.
    ///
    /// # Errors
    /// Those that end the recording.
    fn flush(&mut self, processed_ts: i64) -> Result<SinkState>;

    /// How soon it has to be flushed again, even if nothing happens.
    fn flush_within(&self) -> Option<Duration> {
        None
    }

    /// Writes the rest at the end of the recording.
    ///
    /// # Errors
    /// The rest can't be written.
    fn finish(self: Box<Self>, processed_ts: i64) -> Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkState {
    Open,
    /// Its reader has gone: nothing more needs to be written to it, and [`Pipeline::run`] ends.
    ///
    /// [`Pipeline::run`]: super::Pipeline::run
    Closed,
}

/// The history. A batch is what has come since the last flush.
pub struct StoreSink {
    store: Store,
    dirty: bool,
    last_commit: Instant,
}

impl StoreSink {
    pub fn new(store: Store) -> StoreSink {
        StoreSink {
            store,
            dirty: false,
            last_commit: Instant::now(),
        }
    }
}

impl Sink for StoreSink {
    fn add(&mut self, record: &Record) {
        self.store.add(record);
        self.dirty = true;
    }

    fn flush(&mut self, processed_ts: i64) -> Result<SinkState> {
        if self.dirty || self.last_commit.elapsed() >= HEARTBEAT {
            self.store.commit(processed_ts)?;
            self.dirty = false;
            self.last_commit = Instant::now();
        }
        Ok(SinkState::Open)
    }

    fn finish(self: Box<Self>, processed_ts: i64) -> Result<()> {
        self.store.finish(processed_ts)
    }
}

/// How soon to look again while a line waits for its container's details.
const HELD_LINE: Duration = Duration::from_millis(20);

impl Sink for Printer {
    fn add(&mut self, record: &Record) {
        Printer::add(self, record);
    }

    fn flush(&mut self, _processed_ts: i64) -> Result<SinkState> {
        state(Printer::flush(self))
    }

    fn flush_within(&self) -> Option<Duration> {
        self.is_holding().then_some(HELD_LINE)
    }

    fn finish(mut self: Box<Self>, _processed_ts: i64) -> Result<()> {
        state(Printer::finish(&mut self)).map(drop)
    }
}

/// A closed pipe is no error.
fn state(written: io::Result<()>) -> Result<SinkState> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(SinkState::Closed),
        result => result
            .context("the live log can't be written")
            .map(|()| SinkState::Open),
    }
}
