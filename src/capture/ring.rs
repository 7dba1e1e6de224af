//! Reads the ring buffer, the one channel from the BPF programs.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::{MapMut, RingBuffer, RingBufferBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::decode::decode;
use super::event::Event;

/// Records read in one go: bounds the inbox.
const BATCH: usize = 512;

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
    /// Filled by the callback of `ring`, emptied by [`Ring::drain`].
    inbox: Rc<RefCell<Vec<Event>>>,
    unreadable: Rc<RefCell<u64>>,
}

impl Ring {
    pub fn new(events: &MapMut<'_>) -> Result<Ring> {
        let inbox = Rc::new(RefCell::new(Vec::new()));
        let unreadable = Rc::new(RefCell::new(0));
        let mut builder = RingBufferBuilder::new();
        let (to, bad) = (Rc::clone(&inbox), Rc::clone(&unreadable));
        builder
            .add(events, move |bytes| {
                match decode(bytes) {
                    Ok(event) => to.borrow_mut().push(event),
                    Err(_) => *bad.borrow_mut() += 1,
                }
                0
            })
            .context("the ring buffer can't be read")?;
        let ring = builder.build().context("the ring buffer can't be mapped")?;
        Ok(Ring {
            ring,
            inbox,
            unreadable,
        })
    }

    /// Reads until the ring buffer is empty or `limit` is over.
    pub fn drain(&mut self, limit: Duration, mut each: impl FnMut(Event)) -> Result<Drained> {
        let end = Instant::now() + limit;
        let mut drained = Drained {
            events: 0,
            emptied: false,
        };
        while !drained.emptied && Instant::now() < end {
            let n = self.ring.consume_raw_n(BATCH);
            if n < 0 {
                return Err(libbpf_rs::Error::from_raw_os_error(-n))
                    .context("the ring buffer can't be read");
            }
            let events: Vec<Event> = self.inbox.borrow_mut().drain(..).collect();
            for event in events {
                each(event);
            }
            drained.events += n as usize;
            drained.emptied = (n as usize) < BATCH;
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
        *self.unreadable.borrow()
    }
}
