//! The loop that watch and record share: drain the ring buffer, attribute, hand
//! to the sinks, sleep. One thread, so that a slow store stops the draining and
//! the kernel side counts what finds no room.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

use crate::attribute::{Attributor, Settings};
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
/// How long the last drain goes on, if there is always more.
const LAST_DRAIN: Duration = Duration::from_secs(10);
/// How soon to look again while a line waits for its container's details.
const HOLDING: Duration = Duration::from_millis(20);

pub struct Live {
    pub capture: Capture,
    pub attributor: Attributor,
    pub store: Option<Store>,
    pub printer: Option<Printer>,
    records: Vec<Record>,
    told_lost: HashMap<Loss, u64>,
    checked_ts: i64,
    last_event: Instant,
    last_beat: Instant,
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
    /// Joins what was started. Ids go on where the store's end.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn new(
        mut capture: Capture,
        args: &LiveArgs,
        only_tracked: bool,
        store: Option<Store>,
        printer: Option<Printer>,
    ) -> Result<Live> {
        let seen = nanos(ClockId::Boottime);
        let clock_offset_ns = now_ts() - seen;
        let (next_connection, next_lookup) = store.as_ref().map_or((1, 1), Store::next_ids);
        let boot_ts = match &store {
            Some(store) => store.boot_ts(clock_offset_ns)?,
            None => clock_offset_ns,
        };
        let mut attributor = Attributor::new(Settings {
            max_names: args.max_names,
            exclude: args.exclude.clone(),
            only_tracked,
            next_connection,
            next_lookup,
            procfs: Namespace::Pid.is_initial(),
            dns_ports: capture.dns_ports.clone(),
            no_args: args.no_args,
            clock_offset_ns,
            boot_ts,
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
        Ok(Live {
            capture,
            attributor,
            store,
            printer,
            records,
            told_lost: HashMap::new(),
            checked_ts: now_ts(),
            last_event: now,
            last_beat: now,
            deaf: false,
            behind: false,
            intake: LOOK_IN,
            seen: seen as u64,
            totals: Totals::default(),
        })
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
        let (attributor, records) = (&mut self.attributor, &mut self.records);
        attributor.listen(records);
        let begun = Instant::now();
        let drained = self.capture.drain(self.intake, |event| {
            newest = event.ns;
            attributor.handle(event, records);
        })?;
        let taken_in = begun.elapsed();
        self.behind = !drained.emptied;
        if self.behind {
            self.seen = self.seen.min(newest);
        }
        if drained.events > 0 {
            self.last_event = Instant::now();
        }
        self.capture
            .poll(|event| self.attributor.handle(event, &mut self.records));
        self.attributor.tick(self.seen, &mut self.records);
        let begun = Instant::now();
        self.deliver()?;
        self.intake = intake(self.intake, taken_in, begun.elapsed());
        Ok(())
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
            self.capture
                .read_counters(|event| self.attributor.handle(event, &mut self.records));
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
