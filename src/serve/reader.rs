//! The thread that reads the history.
//!
//! It reads while a request waits, and never more often than costs a small part of a processor: the
//! longer a view takes to read, the longer what was read stands for it. Tabs with the same view
//! share what was read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::body::Bytes;
use rusqlite::{Connection, ErrorCode};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::pages::{Content, render};

/// Requests that wait for the thread.
const MOST_WAITING: usize = 32;
/// Pages that are kept.
const MOST_PAGES: usize = 16;
/// How often a page is read anew, at most.
const SHORTEST: Duration = Duration::from_secs(2);
/// A page is read for this part of the time, at most, and all pages together for twice of it.
const PART: u32 = 20;
/// After this a page is read anew although nothing was recorded: its span has moved on.
const LONGEST: Duration = Duration::from_secs(60);
/// How long reading a page may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most memory of SQLite, bytes.
const MEMORY: i64 = 512 << 20;
/// Steps of SQLite's machine between two looks at the clock: a few milliseconds.
const STEPS: i32 = 20_000;

/// A history, opened for reading.
pub struct History {
    db: Connection,
    path: PathBuf,
    file: Option<(u64, u64)>,
}

impl History {
    /// Takes what a process that can't open files needs: sorting then writes none either.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn new(db: Connection, path: PathBuf) -> Result<History> {
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.query_row(
            &format!("PRAGMA hard_heap_limit = {MEMORY}"),
            [],
            |_| Ok(()),
        )?;
        // All files are open from here on.
        db.query_row("SELECT count(*) FROM recordings", [], |_| Ok(()))?;
        let file = identity(&path);
        Ok(History { db, path, file })
    }

    /// Whether the file still is what was opened.
    fn check(&self) -> Result<()> {
        let path = crate::text::printable(&self.path.to_string_lossy()).into_owned();
        match identity(&self.path) {
            None => bail!("{path} was deleted: what is below was read before"),
            found if found != self.file => {
                bail!("{path} was replaced by another file: start 'egrets serve' again")
            }
            _ => Ok(()),
        }
    }

    /// Grows with what other processes write.
    fn version(&self) -> Result<i64> {
        let version = self
            .db
            .query_row("PRAGMA data_version", [], |row| row.get(0));
        version.context("the history can't be read")
    }
}

fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// What comes of a request.
pub enum Answer {
    Text(Text),
    /// The question or the time is not understood.
    Refused(String),
    Failed(String),
    /// Too many others wait.
    Busy,
}

#[derive(Clone)]
pub struct Text {
    pub text: Bytes,
    /// Changes with the text.
    pub tag: String,
    /// How long ago it was read, if something has changed since.
    pub age: Duration,
    /// When there may be another one.
    pub next: Duration,
}

struct Request {
    page: Content,
    answer: oneshot::Sender<Answer>,
    /// Set when the request waits no more.
    left: Arc<AtomicBool>,
}

/// The thread, to its callers.
#[derive(Clone)]
pub struct Reader(SyncSender<Request>);

/// Says so when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Reader {
    pub async fn read(&self, page: Content) -> Answer {
        let (answer, answered) = oneshot::channel();
        let left = Arc::<AtomicBool>::default();
        let waiting = Waiting(Arc::clone(&left));
        let request = Request { page, answer, left };
        match self.0.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Answer::Busy,
            Err(TrySendError::Disconnected(_)) => return gone(),
        }
        let answer = answered.await.unwrap_or_else(|_| gone());
        drop(waiting);
        answer
    }
}

fn gone() -> Answer {
    Answer::Failed("the history is no longer read: start 'egrets serve' again".to_owned())
}

/// # Errors
///
/// The kernel refuses the thread.
pub fn start(history: History) -> Result<Reader> {
    let (requests, to_read) = sync_channel(MOST_WAITING);
    thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || Pages::new(history).run(&to_read))?;
    Ok(Reader(requests))
}

/// What was read of a page.
struct Kept {
    page: Content,
    text: Bytes,
    number: u64,
    version: i64,
    read: Instant,
    cost: Duration,
    wanted: Instant,
}

impl Kept {
    fn due(&self) -> Instant {
        self.read + SHORTEST.max(self.cost * PART)
    }
}

struct Pages {
    history: History,
    kept: Vec<Kept>,
    /// Until then nothing is read anew.
    rest: Instant,
    number: u64,
}

impl Pages {
    fn new(history: History) -> Pages {
        let rest = Instant::now();
        Pages {
            history,
            kept: Vec::new(),
            rest,
            number: 0,
        }
    }

    fn run(mut self, requests: &Receiver<Request>) {
        for request in requests {
            if request.left.load(Ordering::Relaxed) {
                continue;
            }
            let answer = self.answer(&request.page, &request.left);
            // It may not wait any more.
            let _ = request.answer.send(answer);
        }
    }

    fn answer(&mut self, page: &Content, left: &Arc<AtomicBool>) -> Answer {
        match self.find(page, left) {
            Ok(text) => Answer::Text(text),
            Err(e) => failed(&e),
        }
    }

    fn find(&mut self, page: &Content, left: &Arc<AtomicBool>) -> Result<Text> {
        let now = Instant::now();
        self.history.check()?;
        let version = self.history.version()?;
        let at = self.kept.iter().position(|kept| kept.page == *page);
        let fresh = at.is_some_and(|at| !self.is_to_be_read(at, version, now));
        let at = match at {
            Some(at) if fresh => at,
            at => {
                let kept = self.read(page, version, left, at.is_some())?;
                self.keep(kept)
            }
        };
        let rest = self.rest;
        let kept = &mut self.kept[at];
        kept.wanted = now;
        let next = kept
            .due()
            .max(rest)
            .saturating_duration_since(Instant::now());
        let age = match kept.version == version {
            true => Duration::ZERO,
            false => kept.read.elapsed(),
        };
        Ok(Text {
            age,
            text: kept.text.clone(),
            tag: format!("\"{}\"", kept.number),
            next: next.clamp(SHORTEST, LONGEST),
        })
    }

    fn is_to_be_read(&self, at: usize, version: i64, now: Instant) -> bool {
        let kept = &self.kept[at];
        let changed = kept.version != version || now >= kept.read + LONGEST;
        // Another one that is looked at has waited for longer.
        let others = self.kept.iter().filter(|other| {
            now.saturating_duration_since(other.wanted) < 2 * SHORTEST && now >= other.due()
        });
        let first = others.map(|other| other.read).min();
        changed && now >= kept.due() && now >= self.rest && first.is_none_or(|r| kept.read <= r)
    }

    fn read(
        &mut self,
        page: &Content,
        version: i64,
        left: &Arc<AtomicBool>,
        again: bool,
    ) -> Result<Kept> {
        let read = Instant::now();
        let before = cpu_time();
        let end = read + PATIENCE;
        let left = Arc::clone(left);
        let stop = move || Instant::now() >= end || left.load(Ordering::Relaxed);
        self.history.db.progress_handler(STEPS, Some(stop))?;
        let text = render(&self.history.db, page);
        self.history.db.progress_handler(0, None::<fn() -> bool>)?;
        // Of the processor: a busy machine does not make a page old.
        let cost = cpu_time().saturating_sub(before);
        if again {
            self.rest = Instant::now() + cost * (PART / 2);
        }
        self.number += 1;
        Ok(Kept {
            page: page.clone(),
            text: Bytes::from(text?),
            number: self.number,
            version,
            read,
            cost,
            wanted: read,
        })
    }

    /// In place of what was read of it before, or of what was not asked for the longest.
    fn keep(&mut self, kept: Kept) -> usize {
        self.kept.retain(|other| other.page != kept.page);
        if self.kept.len() >= MOST_PAGES {
            let oldest = self.kept.iter().enumerate().min_by_key(|(_, k)| k.wanted);
            let oldest = oldest.map_or(0, |(at, _)| at);
            self.kept.remove(oldest);
        }
        self.kept.push(kept);
        self.kept.len() - 1
    }
}

/// What this thread has used of a processor.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What is wrong, and with what: the question, or the history.
fn failed(error: &anyhow::Error) -> Answer {
    let of_sqlite = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<rusqlite::Error>());
    match of_sqlite.and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::OperationInterrupted) => Answer::Refused(format!(
            "reading this took longer than {} s: choose a later start, or ask for less",
            PATIENCE.as_secs()
        )),
        Some(ErrorCode::OutOfMemory) => Answer::Refused(
            "reading this takes too much memory: choose a later start, or ask for less".to_owned(),
        ),
        Some(_) => Answer::Failed(format!("{error:#}")),
        None if of_sqlite.is_some() => Answer::Failed(format!("{error:#}")),
        None => Answer::Refused(format!("{error:#}")),
    }
}
