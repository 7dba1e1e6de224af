//! Polls the counters of what is open: flows from their map, TCP connections by a scan of
//! their sockets. It knows what is open from the events that pass.

use std::time::{Duration, Instant};

use hashlink::LruCache;

use super::decode;
use super::event::{EventKind, FlowKey};
use super::tables::Tables;

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(2);
/// And at most this part of the time: 1/50,
const INTERVAL_SHARE: u32 = 50;
/// but this often in any case: a machine that was stopped for seconds during a read would make
/// the next one minutes late.
const MAX_INTERVAL: Duration = Duration::from_secs(20);
/// Sockets and flows that are tracked. One whose end was lost is evicted at last.
const MAX_OPEN: usize = 262_144;

fn interval_after(read: Duration) -> Duration {
    (read * INTERVAL_SHARE).clamp(INTERVAL, MAX_INTERVAL)
}

pub struct Counters {
    flows: LruCache<FlowKey, ()>,
    /// Cookies of TCP sockets.
    tcp: LruCache<u64, ()>,
    last: Instant,
    /// From `last` to the next read.
    interval: Duration,
}

impl Counters {
    pub fn new() -> Counters {
        Counters {
            flows: LruCache::new(MAX_OPEN),
            tcp: LruCache::new(MAX_OPEN),
            last: Instant::now(),
            interval: INTERVAL,
        }
    }

    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }

    /// A read that began then has ended.
    pub fn schedule_next(&mut self, begun: Instant) {
        self.last = Instant::now();
        self.interval = interval_after(self.last - begun);
    }

    pub fn observe(&mut self, event: &EventKind) {
        match event {
            EventKind::Connect(connect) => self.track_tcp(connect.cookie),
            EventKind::Close(state) => {
                self.tcp.remove(&state.cookie);
            }
            EventKind::Release {
                cookie, next: None, ..
            } => {
                self.tcp.remove(cookie);
            }
            EventKind::Flow(connect) => {
                self.flows.insert(connect.flow_key(), ());
            }
            EventKind::FlowEnd(end) => {
                self.flows.remove(&end.key);
            }
            _ => {}
        }
    }

    /// A TCP socket that is open.
    pub fn track_tcp(&mut self, cookie: u64) {
        self.tcp.insert(cookie, ());
    }

    /// The open flows; `each` returns whether it is recorded. One that no longer exists has its
    /// end in the ring buffer, or had an end that was lost.
    pub fn read_flows(&mut self, tables: &Tables, mut each: impl FnMut(EventKind) -> bool) {
        let keys: Vec<FlowKey> = self.flows.iter().map(|(key, ())| *key).collect();
        for key in keys {
            if let Some(flow) = tables.flow_so_far(key)
                && !each(EventKind::FlowProgress(flow))
            {
                self.flows.remove(&key);
            }
        }
    }

    /// The open TCP connections, by the kernel's own counters; `each` as for flows.
    pub fn read_tcp(&mut self, tables: &mut Tables, mut each: impl FnMut(EventKind) -> bool) {
        let cookies: Vec<u64> = self.tcp.iter().map(|(cookie, ())| *cookie).collect();
        let scanned = match tables.scan(&cookies) {
            Ok(scanned) => scanned,
            Err(e) => return log::warn!("{e:#}"),
        };
        for counters in scanned.iter().filter_map(decode::tcp_counters) {
            if !each(EventKind::TcpProgress(counters)) {
                self.tcp.remove(&counters.cookie);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reads_are_rarer_but_never_minutes_apart() {
        assert_eq!(interval_after(Duration::from_millis(1)), INTERVAL);
        assert_eq!(
            interval_after(Duration::from_millis(100)),
            Duration::from_secs(5)
        );
        assert_eq!(interval_after(Duration::from_secs(3)), MAX_INTERVAL);
    }
}
