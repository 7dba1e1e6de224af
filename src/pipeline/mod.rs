//! The loop of `watch` and `record`: drain the ring buffer, attribute the events, hand the
//! records to the sinks, sleep. It is one thread, so that a slow sink stops the draining and
//! the kernel side counts what finds no room. An error of a sink ends it.

pub mod clock;
mod loss;
mod metrics_sink;
mod notify_sink;
mod schedule;
mod signals;
mod sink;
mod store_sink;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::attribute::{Attributor, Exclude, Settings};
use crate::capture::Capture;
use crate::enforce::Enforcer;
use crate::model::{Action, Gap, GapKind, Record};
use crate::store::RetentionOverrides;
use clock::WallClock;
use loss::LossCounters;
use schedule::{POLL_INTERVAL, Schedule};

pub use metrics_sink::MetricsSink;
pub use notify_sink::NotifySink;
pub use signals::StopSignals;
pub use sink::{PrintSink, Sink, SinkState};
pub use store_sink::StoreSink;

/// How long the last drain goes on, if there is always more.
const LAST_DRAIN: Duration = Duration::from_secs(10);

/// How often it is checked whether a policy decides yet.
const POLICY_POLL_INTERVAL: Duration = Duration::from_millis(10);

pub struct Pipeline {
    capture: Capture,
    attributor: Attributor,
    /// The policy, if there is one.
    enforcer: Option<Enforcer>,
    sinks: Vec<Box<dyn Sink>>,
    records: Vec<Record>,
    /// What became of verdicts' actions, for a moment.
    acted: Vec<Record>,
    losses: LossCounters,
    schedule: Schedule,
    wall_clock: WallClock,
    /// The ring buffer still holds events.
    backlogged: bool,
    /// All events until then have been handled, nanoseconds since boot. Behind the present
    /// while there is a backlog.
    processed_ns: u64,
    totals: Totals,
    /// Says what has changed since it was last called.
    reload: Option<Reload>,
}

pub type Reload = Box<dyn FnMut() -> Option<Changes>>;

/// What can change while it records.
#[derive(Debug, Default)]
pub struct Changes {
    pub exclude: Option<Vec<Exclude>>,
    pub retention: RetentionOverrides,
}

/// What a run has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub connections: u64,
    pub lookups: u64,
    pub lost: u64,
    /// The most severe verdict of the policy, enforced or not.
    pub verdict: Option<Action>,
}

impl Pipeline {
    /// Adopts the sockets that are open already. Nothing is delivered before the first
    /// [`step`](Pipeline::step).
    pub fn new(mut capture: Capture, settings: Settings, sinks: Vec<Box<dyn Sink>>) -> Pipeline {
        let processed_ns = clock::now_ns();
        let mut attributor = Attributor::new(settings);
        let wall_clock = WallClock::new(clock::boot_ts());
        attributor.clock_offset_ns = wall_clock.offset();
        let mut records = Vec::new();
        match capture.adopt_open_sockets() {
            Ok(found) => {
                for socket in &found {
                    attributor.adopt(socket, processed_ns, &mut records);
                }
            }
            Err(e) => log::warn!("connections that are already open are not recorded: {e:#}"),
        }
        Pipeline {
            capture,
            attributor,
            enforcer: None,
            sinks,
            records,
            acted: Vec::new(),
            losses: LossCounters::new(processed_ns as i64 + wall_clock.offset()),
            schedule: Schedule::new(),
            wall_clock,
            backlogged: false,
            processed_ns,
            totals: Totals::default(),
            reload: None,
        }
    }

    /// Called before each step, for what has changed.
    pub fn on_reload(&mut self, reload: Reload) {
        self.reload = Some(reload);
    }

    fn change(&mut self, changes: Changes) {
        if let Some(exclude) = changes.exclude {
            self.attributor.exclude(exclude);
        }
        for sink in &mut self.sinks {
            if let Err(e) = sink.change_retention(&changes.retention) {
                log::error!("keep, keep-summary and max-size stay as they were: {e:#}");
            }
        }
    }

    /// The clock may be wrong: for a while nothing is removed by its age.
    pub fn doubt_clock(&mut self) {
        self.wall_clock.doubt(clock::now_ns());
    }

    /// Records only this process and its descendants, see [`Settings::only_tracked`].
    pub fn track(&mut self, pid: u32) {
        self.attributor.track(pid);
    }

    /// Judges by a policy, which decides on return: the containers that run are known, or their
    /// runtimes have had time enough.
    ///
    /// # Errors
    /// Those of [`step`](Pipeline::step).
    pub fn enforce(&mut self, enforcer: Enforcer) -> Result<()> {
        self.attributor.report_cgroups(&mut self.records);
        self.enforcer = Some(enforcer);
        while self.enforcer.as_ref().is_some_and(|e| !e.is_active()) {
            self.step()?;
            std::thread::sleep(POLICY_POLL_INTERVAL);
        }
        Ok(())
    }

    /// Whether a tracked process runs, or has an open connection.
    pub fn tracked_is_busy(&self) -> bool {
        self.attributor.tracked_is_busy()
    }

    /// Runs until a signal comes, the time is over, or no sink is left.
    pub fn run(&mut self, signals: &StopSignals, duration: Option<Duration>) -> Result<()> {
        let end = duration.map(|d| Instant::now() + d);
        let is_over = || end.is_some_and(|end| Instant::now() >= end);
        while signals.take().is_none() && !is_over() && self.sinks.iter().any(|s| s.is_output()) {
            self.step()?;
            self.sleep_until_next(end);
        }
        Ok(())
    }

    /// Takes everything that is there now through to the sinks.
    pub fn step(&mut self) -> Result<()> {
        if let Some(changes) = self.reload.as_mut().and_then(|reload| reload()) {
            self.change(changes);
        }
        self.read_clocks();
        let mut newest = self.processed_ns;
        let (attributor, records) = (&mut self.attributor, &mut self.records);
        attributor.poll_updates(records);
        let begun = Instant::now();
        let drained = self.capture.drain(self.schedule.drain_budget, |event| {
            newest = event.ns;
            attributor.handle(event, records);
        })?;
        let draining = begun.elapsed();
        self.backlogged = !drained.emptied;
        if self.backlogged {
            self.processed_ns = self.processed_ns.min(newest);
        }
        if drained.events > 0 {
            self.schedule.saw_events();
        }
        let counted = self
            .capture
            .poll(|event| attributor.handle_polled(event, records));
        if let Some(ns) = counted {
            let counted_ts = ns as i64 + self.wall_clock.offset();
            records.push(Record::Counted(counted_ts));
        }
        attributor.tick(self.processed_ns, records);
        if let Some(enforcer) = &mut self.enforcer {
            enforcer.follow(records)?;
            let before = records.len();
            enforcer.tick(records)?;
            for record in records.get(before..).unwrap_or_default() {
                if let Record::Policy(change) = record {
                    attributor.policy_changed(change);
                }
            }
            enforcer.judge_open(drained.emptied, |verdict| {
                attributor.judge_open(verdict, records);
            });
            for (cookie, connection) in attributor.take_silenced() {
                enforcer.reset_silenced(cookie, &connection);
            }
            for cookie in enforcer.take_not_reset() {
                attributor.not_reset(cookie, records);
            }
            enforcer.act(records, &mut self.acted);
            records.append(&mut self.acted);
        }
        let begun = Instant::now();
        self.deliver()?;
        self.schedule.adapt(draining, begun.elapsed());
        Ok(())
    }

    /// Sleeps until the next step is due, or `end`.
    pub fn sleep_until_next(&mut self, end: Option<Instant>) {
        if self.backlogged {
            return;
        }
        let flush_within = self.sinks.iter().filter_map(|s| s.flush_within());
        let reading = self.attributor.is_reading().then_some(POLL_INTERVAL);
        let flush_within = flush_within.chain(reading).min();
        let timeout = self.schedule.timeout(flush_within, end);
        let idle = !self.schedule.has_traffic();
        self.capture.wait(timeout, idle);
    }

    /// Ends the recording with what has happened by now.
    pub fn finish(mut self) -> Result<Totals> {
        let end = Instant::now() + LAST_DRAIN;
        // Twice: what ended before its counters were read has them in its end event, and
        // what began meanwhile has counters, too.
        let mut drained = Ok(());
        for _ in 0..2 {
            drained = drained.and(self.step());
            while drained.is_ok() && self.backlogged && Instant::now() < end {
                drained = self.step();
            }
            self.capture
                .read_counters(|event| self.attributor.handle_polled(event, &mut self.records));
        }
        if let Some(enforcer) = &mut self.enforcer {
            enforcer.finish(&mut self.records);
        }
        let now_ns = clock::now_ns();
        if self.backlogged {
            log::warn!("the last events were not read in time: the recording ends before them");
        } else {
            self.processed_ns = now_ns;
            self.attributor.finish(&mut self.records);
        }
        if let Some(enforcer) = &mut self.enforcer {
            enforcer.count_hits(&mut self.records);
            self.totals.verdict = Some(enforcer.worst());
        }
        let delivered = self.deliver();
        let processed_ts = self.processed_ts();
        let finished: Vec<Result<()>> = self
            .sinks
            .into_iter()
            .map(|sink| sink.finish(processed_ts))
            .collect();
        drained.and(delivered)?;
        finished.into_iter().collect::<Result<()>>()?;
        Ok(self.totals)
    }

    fn read_clocks(&mut self) {
        let now_ns = clock::now_ns();
        self.processed_ns = now_ns;
        if let Some(change) = self.wall_clock.update(now_ns, clock::boot_ts()) {
            let to_ts = now_ns as i64 + self.wall_clock.offset();
            let from_ts = to_ts - change;
            self.records.push(Record::Gap(Gap {
                from_ts: from_ts.min(to_ts),
                to_ts: to_ts.max(from_ts),
                kind: GapKind::Clock,
                lost: 0,
                why: match change > 0 {
                    true => "the clock was set forward",
                    false => "the clock was set back",
                },
            }));
        }
        self.attributor.clock_offset_ns = self.wall_clock.offset();
    }

    fn processed_ts(&self) -> i64 {
        self.processed_ns as i64 + self.attributor.clock_offset_ns
    }

    fn deliver(&mut self) -> Result<()> {
        let offset = self.wall_clock.offset();
        let now_ts = || clock::now_ns() as i64 + offset;
        let begun_ts = now_ts();
        let mut lost = self.capture.lost();
        lost.extend(self.attributor.lost());
        for gap in self.losses.gaps(lost, begun_ts..=now_ts()) {
            log::warn!(
                "{} {} events lost: {}",
                gap.lost,
                gap.kind.as_str(),
                gap.why
            );
            self.totals.lost += gap.lost;
            self.records.push(Record::Gap(gap));
        }
        for record in self.records.drain(..) {
            match &record {
                Record::Opened(_) => self.totals.connections += 1,
                // a coalesced one is emitted again as it grows
                Record::Lookup(l) if l.times == 1 => self.totals.lookups += 1,
                _ => {}
            }
            for sink in &mut self.sinks {
                sink.add(&record);
            }
        }
        let processed_ts = self.processed_ts();
        let settled = self.wall_clock.is_settled(clock::now_ns());
        let mut result = Ok(());
        // Each of them, whatever becomes of another.
        self.sinks.retain_mut(|sink| {
            sink.clock_settled(settled);
            match sink.flush(processed_ts) {
                Ok(SinkState::Open) => true,
                Ok(SinkState::Closed) => false,
                Err(e) => {
                    result = Err(e);
                    true
                }
            }
        });
        result
    }
}
