//! Reads rows without holding a snapshot while their consumer stalls: a snapshot keeps the
//! recorder's -wal from being checkpointed, and it grows. So a second thread writes the rows,
//! and when it falls behind, the snapshot is closed and reading continues after the last row
//! in a new one.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rusqlite::Statement;

use super::sink::RowSink;
use crate::query::format::RowWriter;

/// Longest time for which one snapshot is held, from its first row.
const MAX_SNAPSHOT: Duration = Duration::from_secs(5);

/// How often a full channel is retried: while a snapshot is held, and otherwise.
const RETRY_IN_SNAPSHOT: Duration = Duration::from_millis(1);
const RETRY: Duration = Duration::from_millis(20);

/// Bytes per chunk that is handed to the writer.
const CHUNK: usize = 1 << 16;

/// Nanoseconds in a day of UTC.
const DAY: i64 = 86_400_000_000_000;

/// The `ts` and `id` of a row, which order all rows.
pub type Position = (i64, i64);

/// Formatted rows of one day.
struct Chunk {
    day: i64,
    rows: Vec<u8>,
}

/// The reading end.
pub struct Feed {
    to: SyncSender<Chunk>,
    /// Read, but not handed to the writer yet.
    pending: Option<Chunk>,
    rows: u64,
}

/// Writes the rows that `read` feeds to the sink, below `header`. Returns their number.
///
/// # Errors
///
/// Those of the sink and of `read`.
pub fn feed(
    header: &[u8],
    sink: &mut dyn RowSink,
    read: impl FnOnce(&mut Feed) -> Result<()>,
) -> Result<u64> {
    thread::scope(|scope| {
        let (to, chunks) = sync_channel(1);
        let writer = scope.spawn(|| write(chunks, header, sink));
        let mut feed = Feed {
            to,
            pending: None,
            rows: 0,
        };
        let fed = read(&mut feed).and_then(|()| feed.drain());
        let rows = feed.rows;
        drop(feed);
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that writes the rows has panicked")));
        // An error of the writer comes first: it makes feeding fail too.
        written.and(fed).map(|()| rows)
    })
}

fn write(chunks: Receiver<Chunk>, header: &[u8], sink: &mut dyn RowSink) -> Result<()> {
    let mut any = false;
    for Chunk { day, rows } in chunks {
        let (out, empty) = sink.at(day)?;
        if empty {
            out.write_all(header)?;
        }
        out.write_all(&rows)?;
        any = true;
    }
    if !any && sink.wants_header() {
        sink.at(0)?.0.write_all(header)?;
    }
    Ok(())
}

impl Feed {
    /// Blocks until everything that was read has been handed to the writer. Must not be
    /// called while a snapshot is held.
    ///
    /// # Errors
    ///
    /// When the writer has failed.
    pub fn drain(&mut self) -> Result<()> {
        self.hand_over(None).map(drop)
    }

    /// Feeds the rows of a statement, which are in order of `ts` and `id`; rows with the same
    /// position stay together. Returns the position after which to continue in another
    /// snapshot, if there are more.
    ///
    /// # Errors
    ///
    /// SQLite's, and those of [`Feed::drain`].
    pub fn read_snapshot(
        &mut self,
        statement: &mut Statement<'_>,
        writer: &mut RowWriter,
    ) -> Result<Option<Position>> {
        let (ts, id) = (statement.column_index("ts")?, statement.column_index("id")?);
        let mut rows = statement.query([])?;
        let mut read = Vec::with_capacity(CHUNK);
        let mut last: Option<Position> = None;
        let mut deadline = None;
        while let Some(row) = rows.next()? {
            let position: Position = (row.get(ts)?, row.get(id)?);
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + MAX_SNAPSHOT);
            if let Some(last) = last.filter(|&last| last != position) {
                let day = day_of(last);
                if read.len() >= CHUNK || day != day_of(position) {
                    let rows = std::mem::replace(&mut read, Vec::with_capacity(CHUNK));
                    self.pending = Some(Chunk { day, rows });
                    if !self.hand_over(Some(deadline))? {
                        return Ok(Some(last));
                    }
                } else if Instant::now() >= deadline {
                    self.pending = Some(Chunk { day, rows: read });
                    return Ok(Some(last));
                }
            }
            writer.row(row, &mut read)?;
            self.rows += 1;
            last = Some(position);
        }
        self.pending = last.map(|last| Chunk {
            day: day_of(last),
            rows: read,
        });
        Ok(None)
    }

    /// Hands the pending chunk to the writer; false if there was no room before the deadline.
    fn hand_over(&mut self, deadline: Option<Instant>) -> Result<bool> {
        loop {
            let Some(chunk) = self.pending.take() else {
                return Ok(true);
            };
            match self.to.try_send(chunk) {
                Ok(()) => return Ok(true),
                Err(TrySendError::Disconnected(_)) => bail!("the rows can't be written"),
                Err(TrySendError::Full(chunk)) => self.pending = Some(chunk),
            }
            match deadline {
                Some(deadline) if Instant::now() >= deadline => return Ok(false),
                Some(_) => thread::sleep(RETRY_IN_SNAPSHOT),
                None => thread::sleep(RETRY),
            }
        }
    }
}

fn day_of((ts, _): Position) -> i64 {
    ts.div_euclid(DAY)
}
