//! The loop that watch and record share: drain the ring buffer, attribute, hand
//! to the sinks, sleep. One thread, so that a slow store stops the draining and
//! the kernel side counts what finds no room.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

use crate::attribute::{Attributor, Settings};
use crate::capture::event::{Event, EventKind, FlowEnd, FlowKey};
use crate::capture::frames::Rounds;
use crate::capture::leftovers::Leftovers;
use crate::capture::preflight::Namespace;
use crate::capture::{Capture, Loss};
use crate::cli::LiveArgs;
use crate::model::Record;
use crate::print::Printer;
use crate::store::Store;

/// How often the reader looks in while there is traffic. What is committed lags
/// behind by this, and by the commit itself.
const LOOK_IN: Duration = Duration::from_millis(100);
/// How long after the last event there is still traffic.
const TRAFFIC: Duration = Duration::from_millis(500);
/// How often the recorder says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often the bytes of what is open are read.
const ROUND: Duration = Duration::from_secs(2);
/// And how much of the time that may take: one part in so many.
const ROUND_SHARE: u32 = 50;
/// How often what no hook has told the end of is looked for.
const SWEEP: Duration = Duration::from_secs(20);
/// How long the last drain goes on, if there is always more.
const LAST_DRAIN: Duration = Duration::from_secs(10);
/// How long the end of an association whose socket is closed is waited for.
const LINGER: Duration = Duration::from_secs(300);
/// And of how many sockets at once: beyond that the oldest is not.
const LINGERING: usize = 16_384;
/// How soon to look again while a line waits for its container's details.
const HOLDING: Duration = Duration::from_millis(20);

pub struct Live {
    pub capture: Capture,
    pub attributor: Attributor,
    pub store: Option<Store>,
    pub printer: Option<Printer>,
    records: Vec<Record>,
    /// Closed sockets whose associations go on: until when, the first flow of each.
    lingering: VecDeque<(Instant, FlowKey, Option<u32>)>,
    /// What was found of the packet sockets.
    closed_senders: Rounds,
    /// And of what else has ended.
    leftovers: Leftovers,
    last_sweep: Instant,
    told_lost: HashMap<Loss, u64>,
    checked_ts: i64,
    last_event: Instant,
    last_beat: Instant,
    last_round: Instant,
    /// Until the next.
    round: Duration,
    /// Nobody reads the live log any more.
    deaf: bool,
    /// The ring buffer holds more already.
    behind: bool,
    /// How long events are taken in at most before they are stored.
    intake: Duration,
    /// Until when everything is known, nanoseconds since boot: the newest event while
    /// the reader is behind.
    seen: u64,
    pub totals: Totals,
}

/// What a run has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub connections: u64,
    pub lookups: u64,
    pub lost: u64,
}

/// The signals that ask egrets to stop: Ctrl-C's and `systemctl stop`'s.
pub struct Signalled(Arc<AtomicUsize>);

impl Signalled {
    /// Begins to listen. A child's end only breaks a sleep off.
    pub fn listen() -> Result<Signalled> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&last), signal as usize)
                .context("signal handlers")?;
        }
        signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)))
            .context("signal handlers")?;
        Ok(Signalled(last))
    }

    /// The last one that came since the last call.
    pub fn take(&self) -> Option<i32> {
        match self.0.swap(0, Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// The wall clock, nanoseconds since 1970.
pub fn now_ts() -> i64 {
    nanos(ClockId::Realtime)
}

/// When the host booted by the wall clock of now, nanoseconds since 1970.
pub fn boot_ts() -> i64 {
    now_ts() - nanos(ClockId::Boottime)
}

fn nanos(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// How long to take events in next time, so that to store them takes no longer than LOOK_IN:
/// meanwhile the ring buffer fills, and what was taken in fills the memory. `stored` is what
/// it took for those of `taken_in`.
fn intake(now: Duration, taken_in: Duration, stored: Duration) -> Duration {
    let next = match stored > LOOK_IN {
        true => taken_in.div_duration_f64(stored) * LOOK_IN.as_secs_f64(),
        false => 2.0 * now.as_secs_f64(),
    };
    Duration::from_secs_f64(next).clamp(LOOK_IN / 100, LOOK_IN)
}

impl Live {
    /// Joins what was started.
    pub fn new(
        mut capture: Capture,
        args: &LiveArgs,
        only_tracked: bool,
        store: Option<Store>,
        printer: Option<Printer>,
    ) -> Live {
        let seen = nanos(ClockId::Boottime);
        let clock_offset_ns = now_ts() - seen;
        let mut attributor = Attributor::new(Settings {
            max_names: args.max_names,
            exclude: args.exclude.clone(),
            only_tracked,
            procfs: Namespace::Pid.is_initial(),
            dns_ports: capture.dns_ports.clone(),
            no_args: args.no_args,
            clock_offset_ns,
            cgroup_root: capture.cgroup_root(),
        });
        let now = Instant::now();
        let mut records = Vec::new();
        match capture.adopt_open_sockets() {
            Ok(found) => {
                for socket in &found {
                    attributor.found(socket, seen as u64, &mut records);
                }
            }
            Err(e) => log::warn!("connections that are open already are not shown: {e:#}"),
        }
        Live {
            capture,
            attributor,
            store,
            printer,
            records,
            lingering: VecDeque::new(),
            closed_senders: Rounds::default(),
            leftovers: Leftovers::default(),
            last_sweep: now,
            told_lost: HashMap::new(),
            checked_ts: now_ts(),
            last_event: now,
            last_beat: now,
            last_round: now,
            round: ROUND,
            deaf: false,
            behind: false,
            intake: LOOK_IN,
            seen: seen as u64,
            totals: Totals::default(),
        }
    }

    /// Runs until a signal came, the time is over, or nobody reads what is
    /// printed.
    pub fn run(&mut self, signal: &Signalled, duration: Option<Duration>) -> Result<()> {
        let end = duration.map(|d| Instant::now() + d);
        while signal.take().is_none() && end.is_none_or(|end| Instant::now() < end) && !self.deaf {
            self.step()?;
            self.rest(end);
        }
        Ok(())
    }

    /// Everything that is there now, through to the sinks.
    pub fn step(&mut self) -> Result<()> {
        let boot = nanos(ClockId::Boottime);
        self.attributor.clock_offset_ns = now_ts() - boot;
        self.seen = boot as u64;
        let mut newest = self.seen;
        let mut leftovers = Vec::new();
        let (attributor, records) = (&mut self.attributor, &mut self.records);
        attributor.poll_updates(records);
        let begun = Instant::now();
        let drained = self.capture.drain(self.intake, |event| {
            if let EventKind::Release {
                next: Some(next),
                lingers,
                shared_pid,
                ..
            } = event.kind
            {
                leftovers.push((next, lingers, shared_pid));
            }
            newest = event.ns;
            attributor.handle(event, records);
        })?;
        let taken_in = begun.elapsed();
        self.behind = !drained.emptied;
        if self.behind {
            self.seen = self.seen.min(newest);
        }
        for (first, lingers, shared_pid) in leftovers {
            if lingers {
                self.lingering
                    .push_back((Instant::now() + LINGER, first, shared_pid));
            } else {
                let ended = self.capture.end_flows(first, shared_pid);
                self.flows_ended(ended);
            }
        }
        while let Some((until, first, shared_pid)) = self.lingering.front().copied()
            && (until <= Instant::now() || self.lingering.len() > LINGERING)
        {
            self.lingering.pop_front();
            let ended = self.capture.end_lingering(first, shared_pid);
            self.flows_ended(ended);
        }
        if drained.events > 0 {
            self.last_event = Instant::now();
        }
        if self.last_round.elapsed() >= self.round {
            self.read_bytes();
        }
        if !self.behind && self.last_sweep.elapsed() >= SWEEP {
            self.sweep();
        }
        self.attributor.tick(self.seen, &mut self.records);
        let begun = Instant::now();
        self.deliver()?;
        self.intake = intake(self.intake, taken_in, begun.elapsed());
        Ok(())
    }

    fn flows_ended(&mut self, ended: Vec<FlowEnd>) {
        for end in ended {
            self.attributor.flow_ended(&end, &mut self.records);
        }
    }

    /// Sleeps until the next step is due.
    pub fn rest(&mut self, end: Option<Instant>) {
        if self.behind {
            return;
        }
        let traffic = self.last_event.elapsed() < TRAFFIC;
        let holding = self.printer.as_ref().is_some_and(Printer::is_holding);
        let mut timeout = match (holding, traffic) {
            (true, _) => HOLDING,
            (false, true) => LOOK_IN,
            (false, false) => HEARTBEAT,
        };
        if let Some(end) = end {
            timeout = timeout.min(end.saturating_duration_since(Instant::now()));
        }
        self.capture.wait(timeout, !traffic);
    }

    /// The last of everything, at the recording's end: what has happened by now.
    pub fn finish(mut self) -> Result<Totals> {
        let end = Instant::now() + LAST_DRAIN;
        // Twice: what ended before its bytes were read tells them itself, and what began
        // meanwhile has some too.
        for _ in 0..2 {
            self.step()?;
            while self.behind && Instant::now() < end {
                self.step()?;
            }
            self.read_bytes();
        }
        let boot = nanos(ClockId::Boottime) as u64;
        if self.behind {
            log::warn!("the last events were not read in time: the recording ends before them");
        } else {
            self.seen = boot;
            self.attributor.finish(&mut self.records);
        }
        self.deliver()?;
        self.print(Printer::finish)?;
        if let Some(store) = self.store.take() {
            store.finish(self.seen as i64 + self.attributor.clock_offset_ns)?;
        }
        Ok(self.totals)
    }

    /// The bytes of everything that is open.
    fn read_bytes(&mut self) {
        let begun = Instant::now();
        let ns = nanos(ClockId::Boottime) as u64;
        let (attributor, records) = (&mut self.attributor, &mut self.records);
        for key in attributor.open_flows() {
            if let Some(read) = self.capture.flow_so_far(key) {
                attributor.flow_progress(&read, ns, records);
            }
        }
        if !self.behind {
            let closed = &mut self.closed_senders;
            let ended = self.capture.end_closed_senders(ns, closed);
            self.flows_ended(ended);
        }
        if self.attributor.any_tcp() {
            match self.capture.carried() {
                Ok(all) => all
                    .into_iter()
                    .for_each(|carried| self.attributor.carried(carried, ns, &mut self.records)),
                Err(e) => log::warn!("{e:#}"),
            }
        }
        self.last_round = Instant::now();
        self.round = ROUND.max((self.last_round - begun) * ROUND_SHARE);
    }

    /// What has ended unnoticed.
    fn sweep(&mut self) {
        let ns = nanos(ClockId::Boottime) as u64;
        self.last_sweep = Instant::now();
        let (sockets, flows) = match self.capture.sweep(&mut self.leftovers) {
            Ok(ended) => ended,
            Err(e) => return log::warn!("{e:#}"),
        };
        for cookie in sockets {
            let kind = EventKind::Release {
                cookie,
                next: None,
                lingers: false,
                shared_pid: None,
            };
            self.attributor
                .handle(Event { ns, kind }, &mut self.records);
        }
        self.flows_ended(flows);
    }

    fn deliver(&mut self) -> Result<()> {
        let now = now_ts();
        let mut news = !self.records.is_empty();
        for record in self.records.drain(..) {
            match &record {
                Record::Opened(_) => self.totals.connections += 1,
                // what stands for many is told again as it grows
                Record::Lookup(l) if l.times == 1 => self.totals.lookups += 1,
                _ => {}
            }
            if let Some(store) = &mut self.store {
                store.add(&record);
            }
            if let Some(printer) = &mut self.printer {
                printer.add(record);
            }
        }
        news |= self.count_losses(now);
        self.print(Printer::flush)?;
        if news || self.last_beat.elapsed() >= HEARTBEAT {
            if let Some(store) = &mut self.store {
                store.commit(self.seen as i64 + self.attributor.clock_offset_ns)?;
            }
            self.last_beat = Instant::now();
        }
        Ok(())
    }

    /// A closed pipe ends the printing, and what is recorded is still stored.
    fn print(&mut self, how: impl Fn(&mut Printer) -> io::Result<()>) -> Result<()> {
        match self.printer.as_mut().map(how) {
            Some(Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.printer = None;
                self.deaf = true;
                Ok(())
            }
            Some(result) => result.context("the live log can't be written"),
            None => Ok(()),
        }
    }

    /// Tells what was lost since the last look; whether there was any.
    fn count_losses(&mut self, now: i64) -> bool {
        let mut any = false;
        for (loss, total) in self.capture.lost() {
            let told = self.told_lost.insert(loss, total).unwrap_or_default();
            let lost = total.saturating_sub(told);
            if lost == 0 {
                continue;
            }
            any = true;
            self.totals.lost += lost;
            let Loss { kind, why } = loss;
            log::warn!("{lost} {kind} events lost: {why}");
            if let Some(store) = &mut self.store {
                store.gap(self.checked_ts, now, kind, lost, why);
            }
        }
        self.checked_ts = now;
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_taken_in_where_storing_takes_long_and_more_again_after() {
        let ms = Duration::from_millis;
        assert_eq!(intake(ms(100), ms(100), ms(1_000)), ms(10));
        assert_eq!(intake(ms(10), ms(10), ms(100)), ms(20));
        assert_eq!(intake(ms(80), ms(5), ms(50)), LOOK_IN);
        // a disk that stalls: what came meanwhile is stored soon
        assert_eq!(intake(ms(100), ms(2), ms(5_000)), ms(1));
    }
}
