//! Ends what no hook ends: flows that a release left, SCTP associations that linger, packet
//! sockets, stale entries. In come the events that pass and the BPF maps; out go ordinary
//! [`EventKind::FlowEnd`] and [`EventKind::Release`]. A map that can't be read is a warning.

mod chains;
mod packet_sockets;
mod stale;

use std::time::{Duration, Instant};

use super::event::{EventKind, FlowEnd};
use super::tables::Tables;
use chains::Chains;
use packet_sockets::PacketSockets;
use stale::StaleScan;

/// How often stale entries are looked for.
const STALE_INTERVAL: Duration = Duration::from_secs(20);
/// And at most this part of the time: 1/50.
const STALE_INTERVAL_SHARE: u32 = 50;

pub struct Reaper {
    chains: Chains,
    packet_sockets: PacketSockets,
    stale: StaleScan,
    last_scan: Instant,
    /// From `last_scan` to the next.
    interval: Duration,
}

impl Reaper {
    pub fn new() -> Reaper {
        Reaper {
            chains: Chains::default(),
            packet_sockets: PacketSockets::default(),
            stale: StaleScan::default(),
            last_scan: Instant::now(),
            interval: STALE_INTERVAL,
        }
    }

    pub fn observe(&mut self, event: &EventKind) {
        if let EventKind::Release {
            next: Some(next),
            lingers,
            shared_pid,
            ..
        } = event
        {
            self.chains.add(*next, *shared_pid, *lingers);
        }
    }

    /// Ends the flows of the releases observed, and of sockets that lingered long enough.
    pub fn end_chains(&mut self, tables: &Tables) -> Vec<FlowEnd> {
        self.chains.end(tables, Instant::now())
    }

    /// Ends the flows of packet sockets that are closed at `now_ns`, since boot. Only when
    /// the ring buffer was read to its end.
    pub fn end_packet_sockets(&mut self, tables: &Tables, now_ns: u64) -> Vec<FlowEnd> {
        self.packet_sockets.end_closed(tables, now_ns)
    }

    pub fn is_scan_due(&self) -> bool {
        self.last_scan.elapsed() >= self.interval
    }

    /// Deletes stale entries. Only when the ring buffer was read to its end.
    pub fn scan(&mut self, tables: &mut Tables, mut each: impl FnMut(EventKind)) {
        let begun = Instant::now();
        let found = self.stale.scan(tables);
        self.last_scan = Instant::now();
        self.interval = STALE_INTERVAL.max((self.last_scan - begun) * STALE_INTERVAL_SHARE);
        let found = match found {
            Ok(found) => found,
            Err(e) => return log::warn!("{e:#}"),
        };
        for cookie in found.sockets {
            each(EventKind::Release {
                cookie,
                next: None,
                lingers: false,
                shared_pid: None,
            });
        }
        for end in found.flows {
            each(EventKind::FlowEnd(end));
        }
    }
}
