//! Reads rows without holding a snapshot while their consumer stalls: a snapshot keeps the
//! recorder's -wal from being checkpointed, and it grows. So a second thread writes the rows,
//! and when it falls behind, the snapshot is closed and reading continues after the last row
//! in a new one.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rusqlite::{Row, Statement};

/// Longest time for which one snapshot is held, from its first row.
const MAX_SNAPSHOT: Duration = Duration::from_secs(5);

/// How often a full channel is retried: while a snapshot is held, and otherwise.
const RETRY_IN_SNAPSHOT: Duration = Duration::from_millis(1);
const RETRY: Duration = Duration::from_millis(20);

/// The `ts` and `id` of a row, which order all rows.
pub type Position = (i64, i64);

/// Makes chunks of rows, which another thread writes.
pub trait RowEncoder {
    type Chunk: Send;

    /// Adds a row to the next chunk.
    ///
    /// # Errors
    ///
    /// SQLite's, and a value that can't be represented.
    fn row(&mut self, row: &Row<'_>) -> Result<()>;

    /// Whether the next chunk is large enough.
    fn is_full(&self) -> bool;

    /// The rows since the last chunk.
    ///
    /// # Errors
    ///
    /// Rows that make no chunk.
    fn take(&mut self) -> Result<Self::Chunk>;
}

/// The reading end.
pub struct Feed<'a, E: RowEncoder> {
    encoder: &'a mut E,
    /// Nanoseconds.
    period: i64,
    to: SyncSender<(i64, E::Chunk)>,
    /// Read, but not handed to the writer yet.
    pending: Option<(i64, E::Chunk)>,
    rows: u64,
}

/// Calls `write` with the chunks of what `read` feeds, each with its period. Returns the number
/// of rows.
///
/// # Errors
///
/// Those of `write` and of `read`.
pub fn feed<E: RowEncoder>(
    period: i64,
    encoder: &mut E,
    mut write: impl FnMut(i64, E::Chunk) -> Result<()> + Send,
    read: impl FnOnce(&mut Feed<'_, E>) -> Result<()>,
) -> Result<u64> {
    thread::scope(|scope| {
        let (to, chunks) = sync_channel(1);
        let writer = scope.spawn(move || {
            chunks
                .into_iter()
                .try_for_each(|(period, rows)| write(period, rows))
        });
        let mut feed = Feed {
            encoder,
            period,
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

impl<E: RowEncoder> Feed<'_, E> {
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
    /// SQLite's, the encoder's, and those of [`Feed::drain`].
    pub fn read_snapshot(&mut self, statement: &mut Statement<'_>) -> Result<Option<Position>> {
        let (ts, id) = (statement.column_index("ts")?, statement.column_index("id")?);
        let mut rows = statement.query([])?;
        let mut last: Option<Position> = None;
        let mut deadline = None;
        while let Some(row) = rows.next()? {
            let position: Position = (row.get(ts)?, row.get(id)?);
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + MAX_SNAPSHOT);
            if let Some(last) = last.filter(|&last| last != position) {
                let period = self.period_of(last);
                let stop = Instant::now() >= deadline;
                if stop || self.encoder.is_full() || period != self.period_of(position) {
                    self.pending = Some((period, self.encoder.take()?));
                    if stop || !self.hand_over(Some(deadline))? {
                        return Ok(Some(last));
                    }
                }
            }
            self.encoder.row(row)?;
            self.rows += 1;
            last = Some(position);
        }
        if let Some(last) = last {
            self.pending = Some((self.period_of(last), self.encoder.take()?));
        }
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

    fn period_of(&self, (ts, _): Position) -> i64 {
        ts.div_euclid(self.period)
    }
}
