//! A bounded queue of lines before a destination that may stall, such as a pipe that is not read.
//! A thread writes to it, and queueing a line never waits. What finds no room is dropped,
//! line by line, and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::destination::Destination;
use crate::privileges::{CapabilitySet, hold_only};

/// How long [`LineQueue::drain`] waits in all, however fast the destination takes the lines.
const DRAIN_AT_MOST: Duration = Duration::from_secs(10);

/// A handle; clones share the queue.
#[derive(Clone)]
pub struct LineQueue(Arc<Shared>);

struct Shared {
    capacity: usize,
    state: Mutex<State>,
    /// Lines were queued, or written.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queued: Vec<u8>,
    /// Bytes that the thread has taken from the queue and not written yet.
    writing: usize,
    /// Lines among them.
    writing_lines: u64,
    /// Lines that found no room.
    dropped: u64,
    /// Why nothing can be written any more.
    failed: Option<(io::ErrorKind, String)>,
}

impl LineQueue {
    /// Queues at most `capacity` bytes.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(mut to: impl Destination + 'static, capacity: usize) -> io::Result<LineQueue> {
        let queue = LineQueue(Arc::new(Shared {
            capacity,
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let of_thread = queue.clone();
        std::thread::Builder::new()
            .name("print".to_owned())
            .spawn(move || {
                drop_capabilities();
                of_thread.write_all_to(&mut to);
            })?;
        Ok(queue)
    }

    /// Lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until all lines are written, unless the destination takes nothing for `patience`. The
    /// lines that are left then, which count as dropped.
    pub fn drain(&self, patience: Duration) -> u64 {
        let begun = Instant::now();
        let mut state = self.lock();
        let mut progress = (state.left(), Instant::now());
        while state.left() > 0 && state.failed.is_none() {
            if state.left() != progress.0 {
                progress = (state.left(), Instant::now());
            }
            if progress.1.elapsed() >= patience || begun.elapsed() >= DRAIN_AT_MOST {
                let lines = count_lines(&state.queued) + state.writing_lines;
                state.dropped += lines;
                return lines;
            }
            let wait = self.0.changed.wait_timeout(state, patience / 4);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes what is queued until the destination fails.
    fn write_all_to(&self, to: &mut impl Destination) {
        loop {
            let mut state = self.lock();
            while state.queued.is_empty() {
                let wait = self.0.changed.wait(state);
                state = wait.unwrap_or_else(PoisonError::into_inner);
            }
            let lines = std::mem::take(&mut state.queued);
            state.writing = lines.len();
            state.writing_lines = count_lines(&lines);
            drop(state);
            if let Err(e) = self.write_some(to, &lines) {
                let mut state = self.lock();
                state.failed = Some((e.kind(), e.to_string()));
                state.queued = Vec::new();
                self.0.changed.notify_all();
                return;
            }
        }
    }

    fn write_some(&self, to: &mut impl Destination, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let written = to.write(lines)?;
            let (done, left) = lines.split_at(written.bytes);
            lines = left;
            let mut state = self.lock();
            state.writing -= done.len();
            state.writing_lines -= count_lines(done);
            state.dropped += written.dropped;
            drop(state);
            self.0.changed.notify_all();
        }
        Ok(())
    }
}

/// A thread keeps the capabilities that it begins with, and writing to an open file needs none.
fn drop_capabilities() {
    if let Err(e) = hold_only(CapabilitySet::empty()) {
        log::debug!("the thread that prints keeps its capabilities: {e}");
    }
}

impl State {
    fn left(&self) -> usize {
        self.queued.len() + self.writing
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Each call is for whole lines: all or none of them are queued. `flush` wakes the thread.
impl Write for LineQueue {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if let Some((kind, text)) = &state.failed {
            return Err(io::Error::new(*kind, text.clone()));
        }
        match state.left() + lines.len() <= self.0.capacity {
            true => state.queued.extend_from_slice(lines),
            false => state.dropped += count_lines(lines),
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let state = self.lock();
        if !state.queued.is_empty() {
            self.0.changed.notify_all();
        }
        match &state.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::print::FileDestination;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[test]
    fn a_reader_that_stalls_costs_lines_which_are_counted_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut queue =
            LineQueue::start(FileDestination::new(&writer).unwrap(), 100 << 10).unwrap();
        drop(writer);
        let line = [[b'x'; 99].as_slice(), b"\n"].concat();
        let begun = Instant::now();
        for _ in 0..10_000 {
            queue.write_all(&line).unwrap();
            queue.flush().unwrap();
        }
        let left = queue.drain(PATIENCE);
        assert!(left > 0 && begun.elapsed() < Duration::from_secs(5));
        // A later read gets whole lines: all that were not dropped by then.
        let dropped = queue.dropped() - left;
        let mut text = vec![0; (10_000 - dropped as usize) * line.len()];
        reader.read_exact(&mut text).unwrap();
        assert!(text.chunks(line.len()).all(|read| read == line));
        assert_eq!(queue.drain(PATIENCE), 0);
    }

    #[test]
    fn a_reader_that_has_gone_is_reported() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut queue = LineQueue::start(FileDestination::new(&writer).unwrap(), 1000).unwrap();
        queue.write_all(b"x\n").unwrap();
        queue.flush().unwrap();
        queue.drain(PATIENCE);
        assert_eq!(queue.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
