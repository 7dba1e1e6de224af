//! Where records go: `Sink`, and the live log; the history is in `store_sink.rs`.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::model::Record;
use crate::print::{LineQueue, Printer};
use crate::store::RetentionOverrides;

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

    /// Whether the clock can be trusted for what is removed by its age. Called before each
    /// flush.
    fn clock_settled(&mut self, _settled: bool) {}

    /// From now on it keeps what these say.
    ///
    /// # Errors
    /// It goes on as before.
    fn change_retention(&mut self, _overrides: &RetentionOverrides) -> Result<()> {
        Ok(())
    }

    /// Whether the recording goes on for its sake.
    fn is_output(&self) -> bool {
        true
    }

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
    /// Its reader has gone: nothing more needs to be written to it. [`Pipeline::run`] ends with
    /// the last one that [is an output](Sink::is_output).
    ///
    /// [`Pipeline::run`]: super::Pipeline::run
    Closed,
}

/// How long the live log's reader may take nothing at the end before the rest is dropped.
const STALLED: Duration = Duration::from_secs(1);
/// How often dropped lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The live log. Lines go through a queue, so that a reader who stalls costs lines only.
pub struct PrintSink {
    printer: Printer,
    queue: LineQueue,
    /// What takes the lines.
    destination: &'static str,
    /// The records are stored as well: the recording outlives the live log.
    stored: bool,
    /// Dropped lines that were reported, and when.
    reported: (u64, Option<Instant>),
}

impl PrintSink {
    /// `printer` prints into `queue`, whose lines go to `destination`.
    pub fn new(
        printer: Printer,
        queue: LineQueue,
        destination: &'static str,
        stored: bool,
    ) -> PrintSink {
        PrintSink {
            printer,
            queue,
            destination,
            stored,
            reported: (0, None),
        }
    }

    fn report(&mut self) {
        let (reported, when) = self.reported;
        let dropped = self.queue.dropped();
        if dropped > reported && when.is_none_or(|when| when.elapsed() >= REPORT_INTERVAL) {
            let lines = dropped - reported;
            let to = self.destination;
            log::warn!("{lines} lines of the live log lost: {to} does not take them fast enough");
            self.reported = (dropped, Some(Instant::now()));
        }
    }

    /// A closed pipe is no error, and no trouble of the live log ends a recording.
    fn state(&self, written: io::Result<()>) -> Result<SinkState> {
        let error = match written {
            Ok(()) => return Ok(SinkState::Open),
            Err(e) => e,
        };
        if self.stored {
            log::warn!("the live log can't be written, and ends; recording continues: {error}");
            return Ok(SinkState::Closed);
        }
        match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(SinkState::Closed),
            _ => Err(error).context("the live log can't be written"),
        }
    }
}

impl Sink for PrintSink {
    fn add(&mut self, record: &Record) {
        self.printer.add(record);
    }

    fn flush(&mut self, _processed_ts: i64) -> Result<SinkState> {
        let written = self.printer.flush();
        self.report();
        self.state(written)
    }

    fn flush_within(&self) -> Option<Duration> {
        self.printer.flush_within()
    }

    fn finish(mut self: Box<Self>, _processed_ts: i64) -> Result<()> {
        let written = self.printer.finish();
        self.queue.drain(STALLED);
        let dropped = self.queue.dropped();
        if dropped > 0 {
            log::warn!("{dropped} lines in all were not printed: stdout was not read fast enough");
        }
        self.state(written).map(drop)
    }
}
