//! The kernel side: loads and attaches the BPF programs and reads their one ring
//! buffer. In go the [`Options`]; out come typed [`Event`]s in the order in which
//! they happened, and the counts of those that found no room. What fails is a
//! hook (said once, by name) or the whole (an error that names what is missing).

pub mod event;
pub mod frames;
pub mod hooks;
mod kernel;
pub mod leftovers;
pub mod open;
pub mod preflight;

#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used)]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/egrets.skel.rs"));
}

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::{Link, MapCore, MapFlags, MapMut, RingBuffer, RingBufferBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::model::{Protocol, mapped};
use event::{Event, FlowBytes, FlowEnd, FlowKey, decode};
use hooks::HookReport;
use skel::types;

pub use hooks::HookSet;

/// What is settled before the programs load.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes; rounded up to a power of two of pages.
    pub ring_bytes: u32,
    /// None: the kprobe set where it is to be had, else the portable one.
    pub hooks: Option<HookSet>,
    /// Ports that count as DNS beside [`DNS_PORTS`], at most [`MAX_OTHER_PORTS`].
    pub dns_ports: Vec<u16>,
    /// Whether to find out what each program is like: [`hooks::Size`].
    pub sizes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ring_bytes: 16 << 20,
            hooks: None,
            dns_ports: Vec::new(),
            sizes: false,
        }
    }
}

/// DNS, multicast DNS (RFC 6762) and LLMNR (RFC 4795).
pub const DNS_PORTS: [u16; 3] = [53, 5353, 5355];
/// What `bpf/egrets.h` has room for beside those (EGRETS_DNS_PORTS).
pub const MAX_OTHER_PORTS: usize = 5;

/// Records that found no room in the ring buffer, by kind; "socket" counts the
/// sockets that found none in the owner map, "return" the calls whose return was not
/// seen, and "dns_budget" the DNS messages of sockets that have too many.
pub const LOSS_KINDS: [(types::egrets_kind, &str); 17] = [
    (types::egrets_kind::EGRETS_FORK, "fork"),
    (types::egrets_kind::EGRETS_EXEC, "exec"),
    (types::egrets_kind::EGRETS_EXIT, "exit"),
    (types::egrets_kind::EGRETS_CONNECT, "connect"),
    (types::egrets_kind::EGRETS_ERRNO, "errno"),
    (types::egrets_kind::EGRETS_ESTABLISHED, "established"),
    (types::egrets_kind::EGRETS_CLOSE, "close"),
    (types::egrets_kind::EGRETS_RELEASE, "release"),
    (types::egrets_kind::EGRETS_FLOW, "flow"),
    (types::egrets_kind::EGRETS_FLOW_END, "flow_end"),
    (types::egrets_kind::EGRETS_ASSOCIATION, "association"),
    (types::egrets_kind::EGRETS_DNS, "dns"),
    (types::egrets_kind::EGRETS_CGROUP, "cgroup"),
    (types::egrets_kind::EGRETS_ATTACH, "attach"),
    (types::egrets_kind::EGRETS_OWNER, "socket"),
    (types::egrets_kind::EGRETS_RETURN, "return"),
    (types::egrets_kind::EGRETS_BUDGET, "dns_budget"),
];

/// A way to lose events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loss {
    pub kind: &'static str,
    pub why: &'static str,
}

/// What [`Capture::drain`] did.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    pub events: usize,
    /// Whether nothing was left.
    pub emptied: bool,
}

/// The running capture. Dropping it detaches every program.
pub struct Capture {
    skel: skel::EgretsSkel<'static>,
    _links: Vec<Link>,
    ring: RingBuffer<'static>,
    /// Filled by the ring's callback, emptied by [`Capture::drain`].
    inbox: Rc<RefCell<Vec<Event>>>,
    unreadable: Rc<RefCell<u64>>,
    cgroup: OwnedFd,
    /// Ports that count as DNS.
    pub dns_ports: Vec<u16>,
    iterators: hooks::Iterators,
    /// Whether the processes of all cgroups are seen.
    pub whole: bool,
    pub hook_set: HookSet,
    /// Why it is not the kprobe set, where that was to be taken if possible.
    pub no_kprobes: Option<String>,
    pub hooks: Vec<HookReport>,
}

/// Records read from the ring in one go: bounds the inbox.
const DRAIN: usize = 512;

impl Capture {
    /// Loads and attaches. The programs see everything from here on.
    ///
    /// # Errors
    /// A missing capability, a kernel without BTF or cgroup BPF, or a hook that
    /// recording cannot do without: each named, with the way out.
    pub fn start(options: &Options) -> Result<Capture> {
        preflight::demand()?;
        let loaded = hooks::load(options)?;
        let inbox = Rc::new(RefCell::new(Vec::new()));
        let unreadable = Rc::new(RefCell::new(0));
        let mut builder = RingBufferBuilder::new();
        let (to, bad) = (Rc::clone(&inbox), Rc::clone(&unreadable));
        builder
            .add(&loaded.skel.maps.events, move |bytes| {
                match decode(bytes) {
                    Ok(event) => to.borrow_mut().push(event),
                    Err(_) => *bad.borrow_mut() += 1,
                }
                0
            })
            .context("the ring buffer can't be read")?;
        let ring = builder.build().context("the ring buffer can't be mapped")?;
        Ok(Capture {
            ring,
            skel: loaded.skel,
            _links: loaded.links,
            inbox,
            unreadable,
            cgroup: loaded.cgroup,
            dns_ports: [&DNS_PORTS[..], &options.dns_ports].concat(),
            iterators: loaded.iterators,
            whole: loaded.whole,
            hook_set: loaded.set,
            no_kprobes: loaded.no_kprobes,
            hooks: loaded.reports,
        })
    }

    /// Hands over what is in the ring buffer now, in order, until it is empty or
    /// `limit` is over: under a load that never ends, what was read has to be
    /// stored now and then. Returns how many events there were.
    ///
    /// # Errors
    /// The ring buffer can't be read.
    pub fn drain(&mut self, limit: Duration, mut each: impl FnMut(Event)) -> Result<Drained> {
        let end = Instant::now() + limit;
        let mut drained = Drained {
            events: 0,
            emptied: false,
        };
        while !drained.emptied && Instant::now() < end {
            let n = self.ring.consume_raw_n(DRAIN);
            if n < 0 {
                return Err(libbpf_rs::Error::from_raw_os_error(-n))
                    .context("the ring buffer can't be read");
            }
            let events: Vec<Event> = self.inbox.borrow_mut().drain(..).collect();
            for event in events {
                each(event);
            }
            drained.events += n as usize;
            drained.emptied = (n as usize) < DRAIN;
        }
        Ok(drained)
    }

    /// Sleeps until `timeout`, a signal, or a wake-up from the kernel side: above
    /// a fill level always, and for the very next event where `idle` is set.
    pub fn wait(&mut self, timeout: Duration, idle: bool) {
        self.set_idle(idle);
        // The ring's own descriptor is ready while there is anything in it: a
        // record that came before the flag was seen, and so woke nobody, ends the
        // wait at once. The epoll descriptor knows of wake-ups alone.
        let fd = if idle {
            self.skel.maps.events.as_fd()
        } else {
            // SAFETY: the ring owns the descriptor and outlives this borrow.
            unsafe { BorrowedFd::borrow_raw(self.ring.epoll_fd() as RawFd) }
        };
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
        self.set_idle(false);
    }

    fn set_idle(&mut self, idle: bool) {
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            // SAFETY: a valid, aligned reference; volatile because the kernel
            // side reads it while the loop here runs.
            unsafe { std::ptr::write_volatile(&mut bss.reader_idle, u32::from(idle)) }
        }
    }

    /// What was lost since the programs were loaded, and how much of it.
    pub fn lost(&self) -> Vec<(Loss, u64)> {
        let mut lost = Vec::new();
        let mut add = |kind, why, n| {
            if n > 0 {
                lost.push((Loss { kind, why }, n));
            }
        };
        if let Some(bss) = self.skel.maps.bss_data.as_deref() {
            for (kind, name) in LOSS_KINDS {
                let why = match kind {
                    types::egrets_kind::EGRETS_OWNER => "owner map full",
                    types::egrets_kind::EGRETS_RETURN => "return of connect not seen",
                    types::egrets_kind::EGRETS_BUDGET => "too much DNS on one socket",
                    types::egrets_kind::EGRETS_ESTABLISHED | types::egrets_kind::EGRETS_CLOSE => {
                        "ring buffer full, or hook skipped"
                    }
                    _ => "ring buffer full",
                };
                let slot = bss.lost.get(kind.0 as usize);
                // SAFETY: a valid, aligned reference; the kernel side adds to it.
                let n = slot.map_or(0, |slot| unsafe { std::ptr::read_volatile(slot) });
                add(name, why, n);
            }
        }
        // A fault of egrets' own.
        add("parse", "record not readable", *self.unreadable.borrow());
        lost
    }

    /// Directory of the topmost cgroup that is seen, mounted or not. It goes with
    /// the capture.
    pub fn cgroup_root(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.cgroup.as_raw_fd()).into()
    }

    /// The counters of an open flow; None once its socket is gone.
    pub fn flow_bytes(&self, key: FlowKey) -> Option<FlowBytes> {
        self.flow(key).map(|(bytes, _)| bytes)
    }

    /// What an open flow has come to so far; None once its socket is gone.
    pub fn flow_so_far(&self, key: FlowKey) -> Option<FlowEnd> {
        let bytes = self.flow_bytes(key)?;
        let sockets = match key.protocol {
            Protocol::Packet => &self.skel.maps.senders,
            _ => &self.skel.maps.socks,
        };
        // a sender begins with what other sockets are
        let socket: Option<types::egrets_sock> = read(sockets, &key.cookie.to_ne_bytes());
        Some(FlowEnd {
            key,
            bytes,
            shared_pid: socket.and_then(|socket| event::pid(socket.shared_tgid)),
        })
    }

    /// Ends the flows that the kernel side had no turn left for: from `first` on,
    /// each one with its last counters.
    pub fn end_flows(&mut self, first: FlowKey, shared_pid: Option<u32>) -> Vec<FlowEnd> {
        let mut ended = Vec::new();
        let mut at = Some(first);
        while let Some((end, next)) = at.and_then(|key| self.end_flow(key, shared_pid)) {
            ended.push(end);
            at = next;
        }
        ended
    }

    /// The same, of a socket that is closed and whose last packet did not come: from its
    /// newest flow on, which may be newer than `first`.
    pub fn end_lingering(&mut self, first: FlowKey, shared_pid: Option<u32>) -> Vec<FlowEnd> {
        let key = first.cookie.to_ne_bytes();
        let socks = &self.skel.maps.socks;
        let newest =
            read(socks, &key).map(|sock: types::egrets_sock| event::flow(first.cookie, &sock.head));
        let _ = socks.delete(&key);
        self.end_flows(newest.unwrap_or(first), shared_pid)
    }

    /// Takes it out of its table; gives it, and the next one of its socket.
    fn end_flow(
        &self,
        key: FlowKey,
        shared_pid: Option<u32>,
    ) -> Option<(FlowEnd, Option<FlowKey>)> {
        let (bytes, next) = self.flow(key)?;
        let _ = self.flow_map(key).delete(&flow_key(key));
        let end = FlowEnd {
            key,
            bytes,
            shared_pid,
        };
        Some((end, next))
    }

    /// The table that has it.
    fn flow_map(&self, key: FlowKey) -> &MapMut<'_> {
        match key.protocol {
            Protocol::Packet => &self.skel.maps.frames,
            _ => &self.skel.maps.flows,
        }
    }

    fn flow(&self, key: FlowKey) -> Option<(FlowBytes, Option<FlowKey>)> {
        let flow: types::egrets_flow = read(self.flow_map(key), &flow_key(key))?;
        let bytes = FlowBytes {
            tx: flow.tx_bytes,
            rx: flow.rx_bytes,
            tx_packets: flow.tx_packets,
            rx_packets: flow.rx_packets,
            last_ns: flow.last_ts,
        };
        Some((
            bytes,
            (flow.has_next != 0).then(|| event::flow(key.cookie, &flow.next)),
        ))
    }
}

/// What a map has for this key; None where there is nothing.
fn read<T: plain::Plain + Default>(map: &MapMut<'_>, key: &[u8]) -> Option<T> {
    let bytes = map.lookup(key, MapFlags::ANY).ok().flatten()?;
    let mut value = T::default();
    plain::copy_from_bytes(&mut value, &bytes).ok()?;
    Some(value)
}

/// A flow's destination as the kernel side writes it.
fn raw_peer(key: FlowKey) -> types::egrets_endpoint {
    types::egrets_endpoint {
        addr: mapped(key.dst.ip),
        port: key.dst.port,
        protocol: key.protocol.number(),
        ..Default::default()
    }
}

fn flow_key(key: FlowKey) -> Vec<u8> {
    let raw = types::egrets_flow_key {
        cookie: key.cookie,
        peer: raw_peer(key),
    };
    // SAFETY: the key is plain data without padding: pad is a field of its own.
    unsafe { plain::as_bytes(&raw) }.to_vec()
}
