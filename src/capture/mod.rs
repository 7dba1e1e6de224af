//! Loads and attaches the BPF programs and reads what they report. In go the [`Options`]; out
//! come typed [`Event`]s in the order in which they happened, and counts of those that were
//! lost. What can fail is a hook (a warning that names it) or the whole (an error that says
//! what is missing).

pub mod adopt;
mod counters;
mod decode;
mod entries;
pub mod event;
pub mod hooks;
mod inherit;
mod kernel;
mod listing;
mod loss;
pub mod preflight;
mod reaper;
mod ring;
pub mod socket_diag;
mod tables;
pub mod tun;
mod unowned;

#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used)]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/egrets.skel.rs"));
}

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use libbpf_rs::skel::Skel;
use libbpf_rs::{Link, MapCore};
use rustix::time::{ClockId, clock_gettime};

use crate::model::Loss;
use adopt::OpenSocket;
use counters::Counters;
use event::{Event, EventKind};
use hooks::HookReport;
use reaper::Reaper;
use ring::Ring;
use tables::Tables;

pub use entries::entries;
pub use hooks::{HookSet, verifier_log};
pub use inherit::INHERITED;
pub use kernel::cgroup2;
pub use ring::Drained;
/// The C types of bpf/egrets.h.
#[doc(hidden)]
pub use skel::types;

/// Settings that the BPF programs are loaded with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes; rounded up to a power of two of pages.
    pub ring_bytes: u32,
    /// None: the kprobe set if it works, else the tracepoint set.
    pub hooks: Option<HookSet>,
    /// Ports that count as DNS beside [`DNS_PORTS`], at most [`MAX_OTHER_PORTS`].
    pub dns_ports: Vec<u16>,
    /// Whether to read what connections send first, for the names in it.
    pub payload: bool,
    /// Whether to measure each program: [`hooks::Size`].
    pub sizes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ring_bytes: 16 << 20,
            hooks: None,
            dns_ports: Vec::new(),
            payload: true,
            sizes: false,
        }
    }
}

/// The map of the global variables that the programs of a policy share: struct egrets_shared.
const SHARED: &str = ".bss.shared";

/// DNS, multicast DNS (RFC 6762) and LLMNR (RFC 4795).
pub const DNS_PORTS: [u16; 3] = [53, 5353, 5355];
/// The BPF programs have slots for as many beside those.
pub const MAX_OTHER_PORTS: usize =
    types::egrets_size::EGRETS_DNS_PORTS.0 as usize - DNS_PORTS.len();

/// Settings of the loaded BPF programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelSettings {
    pub self_tgid: u32,
    pub host_mntns: u32,
    pub ring_bytes: u64,
    pub route_seed: u32,
    /// Whether the current task has a type in the programs of cgroups.
    pub task_is_typed: bool,
    pub dns_ports: [u16; types::egrets_size::EGRETS_DNS_PORTS.0 as usize],
}

/// The running capture. Dropping it detaches every program.
pub struct Capture {
    tables: Tables,
    /// With the names of their programs.
    links: Vec<(&'static str, Link)>,
    /// Those that only TCP connections older than egrets need.
    older_links: Vec<Link>,
    /// Cookies of such connections that are open.
    older: HashSet<u64>,
    /// Those of them that no process has, until they are adopted.
    unowned: Vec<OpenSocket>,
    ring: Ring,
    counters: Counters,
    reaper: Reaper,
    /// Time of the newest record read, nanoseconds since boot.
    newest_ns: u64,
    /// Whether the last drain emptied the ring buffer.
    emptied: bool,
    cgroup: OwnedFd,
    /// Ports that count as DNS.
    pub dns_ports: Vec<u16>,
    /// Whether the processes of all cgroups are seen.
    pub whole: bool,
    pub hook_set: HookSet,
    /// Why it is not the kprobe set, if that was preferred.
    pub no_kprobes: Option<String>,
    pub hooks: Vec<HookReport>,
}

impl Capture {
    /// Loads and attaches. The programs see everything from here on.
    ///
    /// # Errors
    /// A missing capability, a kernel without BTF or cgroup BPF, or a required hook that
    /// fails: each named, with what helps.
    pub fn start(options: &Options) -> Result<Capture> {
        preflight::require()?;
        let loaded = hooks::load(options)?;
        let ring = Ring::new(&loaded.skel.maps.events)?;
        let mut tables = Tables {
            skel: loaded.skel,
            files: loaded.files,
            can_scan: loaded.can_scan,
        };
        if let Err(e) = adopt::assign_cookies(&mut tables) {
            log::warn!("sockets that are already open may be missing: {e:#}");
        }
        let mut capture = Capture {
            ring,
            tables,
            links: loaded.links,
            older_links: loaded.older,
            older: HashSet::new(),
            unowned: Vec::new(),
            counters: Counters::new(),
            reaper: Reaper::new(),
            newest_ns: 0,
            emptied: true,
            cgroup: loaded.cgroup,
            dns_ports: [&DNS_PORTS[..], &options.dns_ports].concat(),
            whole: loaded.whole,
            hook_set: loaded.set,
            no_kprobes: loaded.no_kprobes,
            hooks: loaded.reports,
        };
        if let Err(e) = capture.adopt_unowned() {
            log::warn!(
                "connections that are already open and that no process has now are not recorded: {e:#}"
            );
        }
        Ok(capture)
    }

    /// Passes on the events in the ring buffer, in order, until it is empty or `limit` is
    /// over: under a load that never ends, what was read has to be stored now and then.
    /// After them come the ends of flows that their releases left, with the time of the
    /// newest record.
    ///
    /// # Errors
    /// The ring buffer can't be read.
    pub fn drain(&mut self, limit: Duration, mut each: impl FnMut(Event)) -> Result<Drained> {
        let (counters, reaper) = (&mut self.counters, &mut self.reaper);
        let (newest_ns, older) = (&mut self.newest_ns, &mut self.older);
        let drained = self.ring.drain(&self.tables, limit, |event| {
            counters.observe(&event.kind);
            reaper.observe(&event.kind);
            forget_closed(older, &event.kind);
            *newest_ns = event.ns;
            each(event);
        })?;
        self.emptied = drained.emptied;
        self.detach_unneeded();
        for end in self.reaper.end_chains(&self.tables) {
            emit(
                &mut self.counters,
                EventKind::FlowEnd(end),
                self.newest_ns,
                &mut each,
            );
        }
        Ok(drained)
    }

    /// Passes on what no hook reports, if it is due: counters of what is open, and the ends
    /// of packet sockets and stale entries. To be called after each drain. `each` returns whether
    /// the flow or the connection is recorded: the counters of others are not read again.
    /// Returns when the counters were read, on the clock of events, if they were due.
    pub fn poll(&mut self, mut each: impl FnMut(Event) -> bool) -> Option<u64> {
        let counted = self
            .counters
            .is_due()
            .then(|| self.read_counters(&mut each));
        if self.emptied && self.reaper.is_scan_due() {
            let (counters, older) = (&mut self.counters, &mut self.older);
            let now = boot_ns();
            self.reaper.scan(&mut self.tables, |kind| {
                forget_closed(older, &kind);
                emit(counters, kind, now, |event| {
                    let _ = each(event);
                });
            });
        }
        counted
    }

    /// Detaches what only connections older than egrets needed, once they are closed.
    fn detach_unneeded(&mut self) {
        if self.older.is_empty() {
            self.older_links.clear();
        }
    }

    /// Passes on the counters of everything that is open, due or not; otherwise as
    /// [`Capture::poll`].
    pub fn read_counters(&mut self, mut each: impl FnMut(Event) -> bool) -> u64 {
        let (begun, ns) = (Instant::now(), boot_ns());
        self.counters
            .read_flows(&self.tables, |kind| each(Event { ns, kind }));
        if self.emptied {
            for end in self.reaper.end_packet_sockets(&self.tables, ns) {
                emit(&mut self.counters, EventKind::FlowEnd(end), ns, |event| {
                    let _ = each(event);
                });
            }
        }
        self.counters
            .read_tcp(&mut self.tables, |kind| each(Event { ns, kind }));
        self.counters.schedule_next(begun);
        ns
    }

    /// Sleeps until `timeout`, a signal, or a wake-up by the BPF programs: above a fill level
    /// always, and for the next record if `idle`.
    pub fn wait(&mut self, timeout: Duration, idle: bool) {
        self.tables.set_reader_idle(idle);
        self.ring.wait(&self.tables.skel.maps.events, timeout, idle);
        self.tables.set_reader_idle(false);
    }

    /// What a policy's programs are loaded with, too.
    pub fn kernel_settings(&self) -> KernelSettings {
        let rodata = &self.tables.skel.maps.rodata_data;
        rodata
            .as_ref()
            .map_or_else(KernelSettings::default, |rodata| KernelSettings {
                self_tgid: rodata.self_tgid,
                host_mntns: rodata.host_mntns,
                ring_bytes: rodata.ring_bytes,
                route_seed: rodata.route_seed,
                task_is_typed: rodata.task_is_typed,
                dns_ports: rodata.dns_ports,
            })
    }

    /// The maps of the BPF programs, by their names; of those of global variables the shared one.
    pub fn maps(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let named = self.tables.skel.object().maps().filter_map(|map| {
            let name = map.name().to_str()?.to_owned();
            // SAFETY: the object owns the descriptor and lives as long as `self`.
            let fd = unsafe { BorrowedFd::borrow_raw(map.as_fd().as_raw_fd()) };
            (!name.contains('.') || name == SHARED).then_some((name, fd))
        });
        named.collect()
    }

    /// What is attached, by the names of the programs.
    pub fn links(&mut self) -> impl Iterator<Item = (&'static str, &mut Link)> {
        self.links.iter_mut().map(|(name, link)| (*name, link))
    }

    /// The topmost cgroup that is seen.
    pub fn cgroup(&self) -> BorrowedFd<'_> {
        self.cgroup.as_fd()
    }

    /// Whether the maps can be read with the privileges of now, and the programs run that
    /// egrets runs itself.
    pub fn can_read(&self) -> bool {
        self.tables.can_read()
    }

    /// What was lost since the programs were loaded, and how much of it.
    pub fn lost(&self) -> Vec<(Loss, u64)> {
        let mut lost = self.tables.losses();
        lost.push((loss::UNREADABLE, self.ring.unreadable()));
        lost.retain(|(_, n)| *n > 0);
        lost
    }

    /// Directory of the topmost cgroup that is seen, mounted or not. Valid while the capture
    /// lives.
    pub fn cgroup_root(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.cgroup.as_raw_fd()).into()
    }
}

/// Removes the connection that this event ends.
fn forget_closed(cookies: &mut HashSet<u64>, event: &EventKind) {
    if let EventKind::Close(state) = event {
        cookies.remove(&state.cookie);
    }
    if let EventKind::Release { cookie, .. } = event {
        cookies.remove(cookie);
    }
}

/// An event that did not come through the ring buffer.
fn emit(counters: &mut Counters, kind: EventKind, ns: u64, mut each: impl FnMut(Event)) {
    counters.observe(&kind);
    each(Event { ns, kind });
}

/// Nanoseconds since boot, as the BPF programs count them.
fn boot_ns() -> u64 {
    let t = clock_gettime(ClockId::Boottime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
