//! Counters of a recording, from its records.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use anyhow::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{PREFIX, plain, protocol};
use crate::model::{Connection, GapKind, Lookup, Outcome, Record};

/// Connections that are followed while they are open; beyond that they count when they close.
const MOST_OPEN: usize = 1 << 18;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    status: &'static str,
    rcode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// What is known of a connection that is open.
#[derive(Default)]
struct Open {
    counted: bool,
    tx_bytes: u64,
    rx_bytes: u64,
}

/// What a recording has seen since it began.
pub struct RecordingMetrics {
    registry: Registry,
    connections: Family<ByOutcome, Counter>,
    sent: Family<ByProtocol, Counter>,
    received: Family<ByProtocol, Counter>,
    lookups: Family<ByResult, Counter>,
    lost: Family<ByKind, Counter>,
    open_now: Gauge,
    lag: Gauge<f64, AtomicU64>,
    open: HashMap<u64, Open>,
}

impl RecordingMetrics {
    /// A recording that begins now, nanoseconds since 1970.
    pub fn new(start_ts: i64) -> RecordingMetrics {
        let mut registry = Registry::with_prefix(PREFIX);
        let connections = Family::default();
        registry.register(
            "connections",
            "Connections and flows by outcome: attempts count when theirs is known",
            Family::clone(&connections),
        );
        let (sent, received) = (Family::default(), Family::default());
        for (name, help, family) in [
            ("sent", "Payload that was sent", &sent),
            ("received", "Payload that was received", &received),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, Family::clone(family));
        }
        let lookups = Family::default();
        registry.register(
            "lookups",
            "DNS lookups by result; repeats that became one row count once",
            Family::clone(&lookups),
        );
        let lost = Family::<ByKind, Counter>::default();
        // From the beginning: where a counter appears with its first events, Prometheus' increase()
        // leaves these out.
        for kind in GapKind::ALL.iter().filter(|kind| kind.is_loss()) {
            let kind = kind.as_str();
            drop(lost.get_or_create(&ByKind { kind }));
        }
        registry.register(
            "lost_events",
            "Events that were lost, by kind, as the view gaps names it",
            Family::clone(&lost),
        );
        let open_now = Gauge::default();
        registry.register(
            "open_connections",
            "Connections and flows that are open",
            open_now.clone(),
        );
        let lag = Gauge::default();
        registry.register_with_unit(
            "lag",
            "How far behind the recorder is",
            Unit::Seconds,
            lag.clone(),
        );
        let start = Gauge::<f64, AtomicU64>::default();
        start.set(start_ts as f64 / 1e9);
        registry.register_with_unit(
            "recording_start_time",
            "When the recording began, since 1970",
            Unit::Seconds,
            start,
        );
        let build = Family::<Build, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&Build { version }).set(1);
        registry.register("build_info", "The version of egrets", build);
        RecordingMetrics {
            registry,
            connections,
            sent,
            received,
            lookups,
            lost,
            open_now,
            lag,
            open: HashMap::new(),
        }
    }

    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Opened(c) => self.open(c),
            Record::Outcome(c) => self.follow(c),
            Record::Decided(c) => self.decide(c),
            Record::Progress(progress) => self.follow(&progress.connection),
            Record::Closed(c) => self.close(c),
            Record::Lookup(lookup) if lookup.times <= 1 => self.look_up(lookup),
            Record::Gap(gap) if gap.lost > 0 => {
                let kind = ByKind {
                    kind: gap.kind.as_str(),
                };
                self.lost.get_or_create(&kind).inc_by(gap.lost);
            }
            _ => {}
        }
    }

    fn open(&mut self, c: &Connection) {
        if self.open.len() < MOST_OPEN {
            self.open.entry(c.number).or_default();
            self.follow(c);
        }
    }

    /// One that is not followed counts when it closes. An attempt that fails ends with its outcome.
    fn follow(&mut self, c: &Connection) {
        if let Some(mut open) = self.open.remove(&c.number) {
            self.count(c, &mut open, c.outcome != Outcome::InProgress);
            if c.duration_us.is_none() {
                self.open.insert(c.number, open);
            }
        }
    }

    /// A flow that is refused behind its first packet had counted as sent.
    fn decide(&mut self, c: &Connection) {
        if c.outcome == Outcome::Denied
            && let Some(open) = self.open.get_mut(&c.number)
        {
            open.counted = false;
        }
        self.follow(c);
    }

    fn close(&mut self, c: &Connection) {
        let mut open = self.open.remove(&c.number).unwrap_or_default();
        self.count(c, &mut open, true);
    }

    /// Adds what is new of a connection.
    fn count(&self, c: &Connection, open: &mut Open, outcome_is_known: bool) {
        let protocol = protocol(c.protocol.as_str());
        if outcome_is_known && !open.counted {
            open.counted = true;
            let outcome = c.outcome.as_str();
            let labels = ByOutcome { protocol, outcome };
            self.connections.get_or_create(&labels).inc();
        }
        for (family, bytes, counted) in [
            (&self.sent, c.tx_bytes, &mut open.tx_bytes),
            (&self.received, c.rx_bytes, &mut open.rx_bytes),
        ] {
            let bytes = bytes.unwrap_or(0);
            let new = bytes.saturating_sub(*counted);
            if new > 0 {
                *counted = bytes;
                family.get_or_create(&ByProtocol { protocol }).inc_by(new);
            }
        }
    }

    fn look_up(&self, lookup: &Lookup) {
        let rcode = match lookup.rcode.as_deref() {
            Some("NOERROR") => "NOERROR",
            Some("NXDOMAIN") => "NXDOMAIN",
            Some("SERVFAIL") => "SERVFAIL",
            Some("REFUSED") => "REFUSED",
            Some(_) => "other",
            None => "",
        };
        let status = lookup.status.as_str();
        let labels = ByResult { status, rcode };
        self.lookups.get_or_create(&labels).inc();
    }

    /// Everything, as it is now; all events until `processed_ts` have been handled.
    ///
    /// # Errors
    ///
    /// None that can happen.
    pub fn text(&self, processed_ts: i64, now: i64) -> Result<String> {
        let open = i64::try_from(self.open.len()).unwrap_or(i64::MAX);
        self.open_now.set(open);
        let lag = now.saturating_sub(processed_ts).max(0);
        self.lag.set(lag as f64 / 1e9);
        plain(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gap, Progress, builders};

    #[test]
    fn each_connection_and_byte_counts_once() {
        let mut metrics = RecordingMetrics::new(1_000_000_000);
        let c = |number, outcome, tx| Connection {
            number,
            outcome,
            tx_bytes: tx,
            rx_bytes: tx.map(|n| n * 2),
            ..builders::connection("curl")
        };
        metrics.add(&Record::Opened(c(1, Outcome::InProgress, None)));
        metrics.add(&Record::Outcome(c(1, Outcome::Connected, None)));
        metrics.add(&Record::Progress(Progress {
            connection: c(1, Outcome::Connected, Some(100)),
            ts: 5,
            due: true,
        }));
        metrics.add(&Record::Closed(c(1, Outcome::Connected, Some(150))));
        metrics.add(&Record::Opened(c(2, Outcome::InProgress, None)));
        let denied = Connection {
            duration_us: Some(5),
            ..c(2, Outcome::Denied, None)
        };
        // its errno may be reported behind its end
        metrics.add(&Record::Outcome(denied.clone()));
        metrics.add(&Record::Outcome(denied));
        metrics.add(&Record::Opened(c(3, Outcome::InProgress, Some(1))));
        metrics.add(&Record::Gap(Gap {
            from_ts: 0,
            to_ts: 1,
            kind: GapKind::Connect,
            lost: 7,
            why: "",
        }));
        let text = metrics.text(2_500_000_000, 3_000_000_000).unwrap();
        let lines = Vec::from_iter(text.lines());
        for line in [
            "egrets_connections_total{protocol=\"tcp\",outcome=\"connected\"} 1",
            "egrets_connections_total{protocol=\"tcp\",outcome=\"denied\"} 1",
            "egrets_sent_bytes_total{protocol=\"tcp\"} 151",
            "egrets_received_bytes_total{protocol=\"tcp\"} 302",
            "egrets_lost_events_total{kind=\"connect\"} 7",
            "egrets_lost_events_total{kind=\"dns\"} 0",
            "egrets_open_connections 1",
            "egrets_lag_seconds 0.5",
        ] {
            assert!(lines.contains(&line), "{line}:\n{text}");
        }
        assert!(!text.contains("in_progress"), "{text}");
    }
}
