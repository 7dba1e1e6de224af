//! The loop of `watch` and `record`: drain the ring buffer, attribute the events, hand the
//! records to the sinks, sleep. It is one thread, so that a slow sink stops the draining and
//! the kernel side counts what finds no room. An error of a sink ends it.

pub mod clock;
mod loss;
mod schedule;
mod signals;
mod sink;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::attribute::{Attributor, Settings};
use crate::capture::Capture;
use crate::model::Record;
use loss::LossCounters;
use schedule::Schedule;

pub use signals::StopSignals;
pub use sink::{Sink, SinkState, StoreSink};

/// How long the last drain goes on, if there is always more.
const LAST_DRAIN: Duration = Duration::from_secs(10);

pub struct Pipeline {
    capture: Capture,
    attributor: Attributor,
    sinks: Vec<Box<dyn Sink>>,
    records: Vec<Record>,
    losses: LossCounters,
    schedule: Schedule,
    /// The live log's reader has gone.
    stdout_closed: bool,
    /// The ring buffer still holds events.
    backlogged: bool,
    /// All events until then have been handled, nanoseconds since boot. Behind the present
    /// while there is a backlog.
    processed_ns: u64,
    totals: Totals,
}

/// What a run has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub connections: u64,
    pub lookups: u64,
    pub lost: u64,
}

impl Pipeline {
    /// Adopts the sockets that are open already. Nothing is delivered before the first
    /// [`step`](Pipeline::step).
    pub fn new(mut capture: Capture, settings: Settings, sinks: Vec<Box<dyn Sink>>) -> Pipeline {
        let processed_ns = clock::now_ns();
        let mut attributor = Attributor::new(settings);
        attributor.clock_offset_ns = clock::boot_ts();
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
            sinks,
            records,
            losses: LossCounters::new(),
            schedule: Schedule::new(),
            stdout_closed: false,
            backlogged: false,
            processed_ns,
            totals: Totals::default(),
        }
    }

    /// Records only this process and its descendants, see [`Settings::only_tracked`].
    pub fn track(&mut self, pid: u32) {
        self.attributor.track(pid);
    }

    /// Whether a tracked process runs, or has an open connection.
    pub fn tracked_is_busy(&self) -> bool {
        self.attributor.tracked_is_busy()
    }

    /// Runs until a signal comes, the time is over, or the live log's reader has gone.
    pub fn run(&mut self, signals: &StopSignals, duration: Option<Duration>) -> Result<()> {
        let end = duration.map(|d| Instant::now() + d);
        let is_over = || end.is_some_and(|end| Instant::now() >= end);
        while signals.take().is_none() && !is_over() && !self.stdout_closed {
            self.step()?;
            self.sleep_until_next(end);
        }
        Ok(())
    }

    /// Takes everything that is there now through to the sinks.
    pub fn step(&mut self) -> Result<()> {
        self.attributor.clock_offset_ns = clock::boot_ts();
        self.processed_ns = clock::now_ns();
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
        self.capture
            .poll(|event| attributor.handle_polled(event, records));
        attributor.tick(self.processed_ns, records);
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
        let flush_within = self.sinks.iter().filter_map(|s| s.flush_within()).min();
        let timeout = self.schedule.timeout(flush_within, end);
        let idle = !self.schedule.has_traffic();
        self.capture.wait(timeout, idle);
    }

    /// Ends the recording with what has happened by now.
    pub fn finish(mut self) -> Result<Totals> {
        let end = Instant::now() + LAST_DRAIN;
        // Twice: what ended before its counters were read has them in its end event, and
        // what began meanwhile has counters, too.
        for _ in 0..2 {
            self.step()?;
            while self.backlogged && Instant::now() < end {
                self.step()?;
            }
            self.capture
                .read_counters(|event| self.attributor.handle_polled(event, &mut self.records));
        }
        let now_ns = clock::now_ns();
        if self.backlogged {
            log::warn!("the last events were not read in time: the recording ends before them");
        } else {
            self.processed_ns = now_ns;
            self.attributor.finish(&mut self.records);
        }
        let delivered = self.deliver();
        let processed_ts = self.processed_ts();
        let finished: Vec<Result<()>> = self
            .sinks
            .into_iter()
            .map(|sink| sink.finish(processed_ts))
            .collect();
        delivered?;
        finished.into_iter().collect::<Result<()>>()?;
        Ok(self.totals)
    }

    fn processed_ts(&self) -> i64 {
        self.processed_ns as i64 + self.attributor.clock_offset_ns
    }

    fn deliver(&mut self) -> Result<()> {
        let mut lost = self.capture.lost();
        lost.extend(self.attributor.lost());
        for gap in self.losses.gaps(lost) {
            log::warn!("{} {} events lost: {}", gap.lost, gap.kind, gap.why);
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
        let mut result = Ok(());
        // Each of them, whatever becomes of another.
        self.sinks
            .retain_mut(|sink| match sink.flush(processed_ts) {
                Ok(SinkState::Open) => true,
                Ok(SinkState::Closed) => {
                    self.stdout_closed = true;
                    false
                }
                Err(e) => {
                    result = Err(e);
                    true
                }
            });
        result
    }
}
