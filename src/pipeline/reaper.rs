//! What no hook reports.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clock;
use crate::attribute::Attributor;
use crate::capture::Capture;
use crate::capture::event::{Event, EventKind, FlowEnd, FlowKey};
use crate::capture::frames::Rounds;
use crate::capture::leftovers::Leftovers;
use crate::model::Record;

const ROUND: Duration = Duration::from_secs(2);
const ROUND_SHARE: u32 = 50;
const SWEEP: Duration = Duration::from_secs(20);
const LINGER: Duration = Duration::from_secs(300);
const LINGERING: usize = 16_384;

pub struct Reaper {
    lingering: VecDeque<(Instant, FlowKey, Option<u32>)>,
    closed_senders: Rounds,
    leftovers: Leftovers,
    last_sweep: Instant,
    last_round: Instant,
    round: Duration,
}

impl Reaper {
    pub fn new() -> Reaper {
        let now = Instant::now();
        Reaper {
            lingering: VecDeque::new(),
            closed_senders: Rounds::default(),
            leftovers: Leftovers::default(),
            last_sweep: now,
            last_round: now,
            round: ROUND,
        }
    }

    pub fn released(
        &mut self,
        released: Vec<(FlowKey, bool, Option<u32>)>,
        capture: &mut Capture,
        attributor: &mut Attributor,
        out: &mut Vec<Record>,
    ) {
        for (first, lingers, shared_pid) in released {
            if lingers {
                self.lingering
                    .push_back((Instant::now() + LINGER, first, shared_pid));
            } else {
                let ended = capture.end_flows(first, shared_pid);
                flows_ended(ended, attributor, out);
            }
        }
        while let Some((until, first, shared_pid)) = self.lingering.front().copied()
            && (until <= Instant::now() || self.lingering.len() > LINGERING)
        {
            self.lingering.pop_front();
            let ended = capture.end_lingering(first, shared_pid);
            flows_ended(ended, attributor, out);
        }
    }

    pub fn poll(
        &mut self,
        backlogged: bool,
        capture: &mut Capture,
        attributor: &mut Attributor,
        out: &mut Vec<Record>,
    ) {
        if self.last_round.elapsed() >= self.round {
            self.read_counters(backlogged, capture, attributor, out);
        }
        if !backlogged && self.last_sweep.elapsed() >= SWEEP {
            self.sweep(capture, attributor, out);
        }
    }

    pub fn read_counters(
        &mut self,
        backlogged: bool,
        capture: &mut Capture,
        attributor: &mut Attributor,
        out: &mut Vec<Record>,
    ) {
        let begun = Instant::now();
        let ns = clock::now_ns();
        for key in attributor.open_flows() {
            if let Some(read) = capture.flow_so_far(key) {
                attributor.flow_progress(&read, ns, out);
            }
        }
        if !backlogged {
            let ended = capture.end_closed_senders(ns, &mut self.closed_senders);
            flows_ended(ended, attributor, out);
        }
        if attributor.any_tcp() {
            match capture.carried() {
                Ok(all) => all
                    .into_iter()
                    .for_each(|counters| attributor.carried(counters, ns, out)),
                Err(e) => log::warn!("{e:#}"),
            }
        }
        self.last_round = Instant::now();
        self.round = ROUND.max((self.last_round - begun) * ROUND_SHARE);
    }

    fn sweep(&mut self, capture: &mut Capture, attributor: &mut Attributor, out: &mut Vec<Record>) {
        let ns = clock::now_ns();
        self.last_sweep = Instant::now();
        let (sockets, flows) = match capture.sweep(&mut self.leftovers) {
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
            attributor.handle(Event { ns, kind }, out);
        }
        flows_ended(flows, attributor, out);
    }
}

fn flows_ended(ended: Vec<FlowEnd>, attributor: &mut Attributor, out: &mut Vec<Record>) {
    for end in ended {
        attributor.flow_ended(&end, out);
    }
}
