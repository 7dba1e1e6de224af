//! Reads the ring buffer, the one channel from the BPF programs.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapMut, RingBuffer, RingBufferBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::decode::{self, decode};
use super::event::Event;
use super::skel::types;
use super::tables::{Table, Tables};

/// Records read in one go, at most: bounds the inbox.
const BATCH: usize = 512;

/// And for each of them so many bytes of the ring buffer: what was read is discounted after it, and
/// until then it counts as unread.
const BYTES_OF_A_BATCH: usize = 512;

/// What a drain has read.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Records of the ring buffer.
    pub events: usize,
    /// Whether the ring buffer was empty at the end.
    pub emptied: bool,
}

pub struct Ring {
    ring: RingBuffer<'static>,
    inbox: Rc<RefCell<Inbox>>,
    unreadable: u64,
    /// Records read in one go.
    batch: usize,
}

/// Filled by the callback of a ring buffer, emptied by [`Ring::drain`].
#[derive(Default)]
struct Inbox {
    events: Vec<Event>,
    unreadable: u64,
    /// Bytes that were read, with the share of the user that they were of.
    read: Vec<(u32, u32)>,
}

impl Inbox {
    fn put(&mut self, record: &[u8]) {
        match decode(record) {
            Ok(event) => self.events.push(event),
            Err(_) => self.unreadable += 1,
        }
        let Some(share) = decode::share(record) else {
            return;
        };
        // as `ring_size` of bpf/ring.h
        let header = types::egrets_size::EGRETS_RING_HEADER.0;
        let len = (record.len() as u32 + header).next_multiple_of(8);
        match self.read.last_mut() {
            Some((last, bytes)) if *last == share => *bytes += len,
            _ => self.read.push((share, len)),
        }
    }
}

impl Ring {
    pub fn new(events: &MapMut<'_>) -> Result<Ring> {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let mut builder = RingBufferBuilder::new();
        let to = Rc::clone(&inbox);
        builder
            .add(events, move |record| {
                to.borrow_mut().put(record);
                0
            })
            .context("the ring buffer can't be read")?;
        let ring = builder.build().context("the ring buffer can't be mapped")?;
        Ok(Ring {
            ring,
            inbox,
            unreadable: 0,
            batch: (events.max_entries() as usize / BYTES_OF_A_BATCH).clamp(1, BATCH),
        })
    }

    /// Reads until the ring buffer is empty or `limit` is over. What was read is discounted from
    /// its users' shares.
    pub fn drain(
        &mut self,
        tables: &Tables,
        limit: Duration,
        mut each: impl FnMut(Event),
    ) -> Result<Drained> {
        let end = Instant::now() + limit;
        let mut drained = Drained {
            events: 0,
            emptied: false,
        };
        while !drained.emptied && Instant::now() < end {
            let n = self.ring.consume_raw_n(self.batch);
            if n < 0 {
                return Err(libbpf_rs::Error::from_raw_os_error(-n))
                    .context("the ring buffer can't be read");
            }
            let Inbox {
                events,
                unreadable,
                read,
            } = self.inbox.take();
            self.unreadable += unreadable;
            for (share, bytes) in read {
                tables.give_back_many(Table::RingBuffer, share, bytes);
            }
            for event in events {
                each(event);
            }
            drained.events += n as usize;
            drained.emptied = (n as usize) < self.batch;
        }
        Ok(drained)
    }

    /// Sleeps until `timeout`, a signal, a wake-up from the BPF programs or, with `any`,
    /// until there is any record. That is the map's own descriptor, which is ready while
    /// there is anything in it: a record that came before the reader was marked idle, and so
    /// woke nothing, ends the wait at once. The epoll descriptor is ready after wake-ups only.
    pub fn wait(&self, events: &MapMut<'_>, timeout: Duration, any: bool) {
        let fd = if any {
            events.as_fd()
        } else {
            // SAFETY: the ring owns the descriptor and outlives this borrow.
            unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd() as RawFd) }
        };
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
    }

    /// Records that could not be decoded.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}
