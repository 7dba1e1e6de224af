//! Rows on their way out, while nobody is kept waiting for who reads them: a snapshot that
//! is held keeps the recorder's -wal from being copied, and it grows. So rows are written by
//! a thread of its own, and where that takes long, the snapshot is let go and reading goes
//! on behind the last row with another one.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rusqlite::Statement;

use super::export::Sink;
use super::lines::Lines;

/// How long a snapshot is held at most, from its first row on.
const HELD: Duration = Duration::from_secs(5);

/// How soon to look again whether there is room: while a snapshot is held, and else.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(20);

/// Bytes that are handed over at once.
const CHUNK: usize = 1 << 16;

/// Nanoseconds of a day of UTC.
const DAY: i64 = 86_400_000_000_000;

/// The `ts` and `id` of a row that is behind.
pub type Key = (i64, i64);

/// Lines of a day.
struct Chunk {
    day: i64,
    lines: Vec<u8>,
}

/// Takes rows.
pub struct Feed {
    to: SyncSender<Chunk>,
    /// What was read and not handed over.
    read: Option<Chunk>,
    rows: u64,
}

/// Writes what `read` feeds to the sink, below `head`. How many rows.
///
/// # Errors
///
/// Those of the sink and of `read`.
pub fn feed(
    head: &[u8],
    sink: &mut dyn Sink,
    read: impl FnOnce(&mut Feed) -> Result<()>,
) -> Result<u64> {
    thread::scope(|scope| {
        let (to, chunks) = sync_channel(1);
        let writer = scope.spawn(|| write(chunks, head, sink));
        let mut feed = Feed {
            to,
            read: None,
            rows: 0,
        };
        let fed = read(&mut feed).and_then(|()| feed.wait());
        let rows = feed.rows;
        drop(feed);
        let sunk = writer
            .join()
            .unwrap_or_else(|_| Err(anyhow!("what writes the rows has ended")));
        // Where it fails, nothing can be fed either.
        sunk.and(fed).map(|()| rows)
    })
}

fn write(chunks: Receiver<Chunk>, head: &[u8], sink: &mut dyn Sink) -> Result<()> {
    let mut any = false;
    for Chunk { day, lines } in chunks {
        let (out, empty) = sink.at(day)?;
        if empty {
            out.write_all(head)?;
        }
        out.write_all(&lines)?;
        any = true;
    }
    if !any && sink.wants_head() {
        sink.at(0)?.0.write_all(head)?;
    }
    Ok(())
}

impl Feed {
    /// Waits until all that was read has been handed over. Not while a snapshot is held.
    ///
    /// # Errors
    ///
    /// When nothing can be written.
    pub fn wait(&mut self) -> Result<()> {
        self.hand_over(None).map(drop)
    }

    /// Feeds the rows of a statement that are in order of `ts` and `id`, all those with one
    /// id or none. Behind which row to go on with another snapshot, where there are more.
    ///
    /// # Errors
    ///
    /// SQLite's, and as of [`Feed::wait`].
    pub fn step(
        &mut self,
        statement: &mut Statement<'_>,
        lines: &mut Lines,
    ) -> Result<Option<Key>> {
        let (ts, id) = (statement.column_index("ts")?, statement.column_index("id")?);
        let mut rows = statement.query([])?;
        let mut read = Vec::with_capacity(CHUNK);
        let mut last: Option<Key> = None;
        let mut until = None;
        while let Some(row) = rows.next()? {
            let key: Key = (row.get(ts)?, row.get(id)?);
            let until = *until.get_or_insert_with(|| Instant::now() + HELD);
            if let Some(last) = last.filter(|&last| last != key) {
                let day = day_of(last);
                if read.len() >= CHUNK || day != day_of(key) {
                    let lines = std::mem::replace(&mut read, Vec::with_capacity(CHUNK));
                    self.read = Some(Chunk { day, lines });
                    if !self.hand_over(Some(until))? {
                        return Ok(Some(last));
                    }
                } else if Instant::now() >= until {
                    self.read = Some(Chunk { day, lines: read });
                    return Ok(Some(last));
                }
            }
            lines.row(row, &mut read)?;
            self.rows += 1;
            last = Some(key);
        }
        self.read = last.map(|last| Chunk {
            day: day_of(last),
            lines: read,
        });
        Ok(None)
    }

    /// Whether what was read could be handed over before a time.
    fn hand_over(&mut self, until: Option<Instant>) -> Result<bool> {
        loop {
            let Some(chunk) = self.read.take() else {
                return Ok(true);
            };
            match self.to.try_send(chunk) {
                Ok(()) => return Ok(true),
                Err(TrySendError::Disconnected(_)) => bail!("nothing can be written"),
                Err(TrySendError::Full(chunk)) => self.read = Some(chunk),
            }
            match until {
                Some(until) if Instant::now() >= until => return Ok(false),
                Some(_) => thread::sleep(SOON),
                None => thread::sleep(LATER),
            }
        }
    }
}

fn day_of((ts, _): Key) -> i64 {
    ts.div_euclid(DAY)
}
