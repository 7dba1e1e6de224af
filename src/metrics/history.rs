//! What a history holds. Gauges: retention removes rows, and a counter that falls would be taken
//! for one that began anew.

use anyhow::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rusqlite::{Connection, OptionalExtension};

use super::{PREFIX, open_metrics, protocol};

/// Most kinds of results that have a line of their own: a file that another user prepared may
/// have any.
const MOST_LINES: usize = 64;
/// A recorder writes more often than this, nanoseconds.
const RUNNING: i64 = 5_000_000_000;

/// Labels are texts of the history that are egrets' own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    protocol: &'static str,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: String,
}

/// The figures of a history at `now`, as Prometheus asks for them.
///
/// # Errors
///
/// SQLite's.
pub fn of_history(db: &Connection, now: i64) -> Result<String> {
    let db = db.unchecked_transaction()?;
    let mut registry = Registry::with_prefix(PREFIX);
    connections(&db, &mut registry)?;
    lookups(&db, &mut registry)?;
    lost(&db, &mut registry)?;
    recorder(&db, &mut registry, now)?;
    open_metrics(&registry)
}

fn connections(db: &Connection, registry: &mut Registry) -> Result<()> {
    let family = Family::<ByOutcome, Gauge>::default();
    let (sent, received) = (Family::default(), Family::default());
    let mut statement = db.prepare(&format!(
        "SELECT protocol, outcome, sum(connections), coalesce(sum(tx_bytes), 0),
           coalesce(sum(rx_bytes), 0)
         FROM egress_total GROUP BY protocol, outcome LIMIT {MOST_LINES}"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let labels = ByOutcome {
            protocol: protocol(&row.get::<_, String>(0)?),
            outcome: row.get(1)?,
        };
        for (family, column) in [(&family, 2), (&sent, 3), (&received, 4)] {
            let gauge: &Family<ByOutcome, Gauge> = family;
            gauge.get_or_create(&labels).inc_by(row.get(column)?);
        }
    }
    registry.register(
        "history_connections",
        "Connections and flows in the history, by outcome",
        family,
    );
    for (name, help, family) in [
        ("history_sent", "Payload that they sent", sent),
        ("history_received", "Payload that they received", received),
    ] {
        registry.register_with_unit(name, help, Unit::Bytes, family);
    }
    Ok(())
}

fn lookups(db: &Connection, registry: &mut Registry) -> Result<()> {
    let family = Family::<ByStatus, Gauge>::default();
    let mut statement = db.prepare(&format!(
        "SELECT CASE WHEN status = 'answered' AND rcode IS NOT 'NOERROR' THEN 'failed'
                ELSE status END AS found, sum(lookups)
         FROM lookups_total GROUP BY found LIMIT {MOST_LINES}"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let status = row.get(0)?;
        let gauge = family.get_or_create(&ByStatus { status }).clone();
        gauge.inc_by(row.get(1)?);
    }
    registry.register(
        "history_lookups",
        "DNS lookups in the history; failed: answered, but not with NOERROR",
        family,
    );
    Ok(())
}

fn lost(db: &Connection, registry: &mut Registry) -> Result<()> {
    let family = Family::<ByKind, Gauge>::default();
    let mut statement = db.prepare(&format!(
        "SELECT kind, sum(lost) FROM gaps WHERE lost > 0 GROUP BY kind LIMIT {MOST_LINES}"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind = row.get(0)?;
        let gauge = family.get_or_create(&ByKind { kind }).clone();
        gauge.inc_by(row.get(1)?);
    }
    registry.register(
        "history_lost_events",
        "What is missing from the history, by kind, as the view gaps names it",
        family,
    );
    Ok(())
}

fn recorder(db: &Connection, registry: &mut Registry, now: i64) -> Result<()> {
    let newest = db
        .query_row(
            "SELECT seen_ts, end_ts IS NULL FROM recordings ORDER BY id DESC LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)),
        )
        .optional()?;
    let behind = newest.map(|(seen, _)| now.saturating_sub(seen).max(0));
    let runs = newest.is_some_and(|(_, open)| open) && behind.is_some_and(|ns| ns < RUNNING);
    let gauge = Gauge::<i64>::default();
    gauge.set(runs.into());
    registry.register(
        "recording",
        "1: a recorder writes to the history",
        gauge.clone(),
    );
    if let Some(behind) = behind {
        let lag = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        lag.set(behind as f64 / 1e9);
        registry.register_with_unit(
            "history_lag",
            "How old the newest moment is that the history has",
            Unit::Seconds,
            lag,
        );
    }
    Ok(())
}
