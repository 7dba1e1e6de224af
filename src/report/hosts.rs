//! The hosts of a report, and which of them are new.

use anyhow::{Result, ensure};
use chrono::Utc;
use rusqlite::{Connection, Row, Statement};

use super::model::{HostRow, NewHosts, Section, Time};
use super::rows::{Baseline, MOST_ROWS, amount, by, destination, hosts_sql, section};
use super::show::{Clock, quoted_path};
use crate::query::{self, Coverage, Selected};
use crate::when;

/// Most hosts that are compared with what was seen before: a few seconds of look-ups.
const MOST_COMPARED: usize = 100_000;

fn host(row: &Row<'_>) -> rusqlite::Result<HostRow> {
    Ok(HostRow {
        to: destination(row)?,
        by: by(row)?,
        amount: amount(row)?,
        first_seen: Time(row.get("first_ts")?),
        last_seen: Time(row.get("last_ts")?),
    })
}

/// The hosts with the most traffic.
pub fn busiest(db: &Connection, selected: &Selected) -> Result<Section<HostRow>> {
    match selected.connections() {
        Some(source) => section(db, hosts_sql(&source, MOST_ROWS), host),
        None => Ok(Section::empty()),
    }
}

/// The hosts that a baseline has not, or that this history has not from before the span. None
/// if there is neither.
pub fn new(
    db: &Connection,
    selected: &Selected,
    baseline: Option<&Baseline<'_>>,
) -> Result<Option<NewHosts>> {
    let Some(source) = selected.connections() else {
        return Ok(None);
    };
    let (past, compared, before) = match (baseline, selected.since) {
        (Some(baseline), _) => (baseline.db, described(baseline)?, None),
        (None, Some(since)) => {
            let before = query::Baseline::read(db, since)?;
            (db, before.to_string(), Some(since))
        }
        (None, None) => return Ok(None),
    };
    let [named, raw] =
        [true, false].map(|named| selected.seen_before(named, before).unwrap_or_default());
    let (mut named, mut raw) = (past.prepare(&named)?, past.prepare(&raw)?);
    let mut statement = db.prepare(&hosts_sql(&source, MOST_COMPARED))?;
    let mut rows = statement.query([])?;
    let mut found = Section::empty();
    let mut hosts = 0;
    while let Some(row) = rows.next()? {
        hosts = row.get("total")?;
        if seen(row, &mut named, &mut raw)? {
            continue;
        }
        found.total += 1;
        if found.rows.len() < MOST_ROWS {
            found.rows.push(host(row)?);
        }
    }
    let most = MOST_COMPARED as i64;
    Ok(Some(NewHosts {
        baseline: baseline.map(|baseline| baseline.path.to_string_lossy().into_owned()),
        compared,
        compared_hosts: (hosts > most).then_some(most),
        hosts: found,
    }))
}

/// Whether a host was seen before.
fn seen(row: &Row<'_>, named: &mut Statement<'_>, raw: &mut Statement<'_>) -> Result<bool> {
    let name: Option<String> = row.get("host")?;
    let found = match name {
        Some(name) => named.query_row([name], |row| row.get(0)),
        None => {
            let address: Option<Vec<u8>> = row.get("dst_addr")?;
            raw.query_row([address], |row| row.get(0))
        }
    };
    Ok(found?)
}

/// A baseline in words.
fn described(baseline: &Baseline<'_>) -> Result<String> {
    let path = quoted_path(baseline.path);
    let coverage = Coverage::read(baseline.db, None, None, when::now_ts())?;
    ensure!(
        coverage.any_recording,
        "the history {path} has no recordings, so nothing can be compared with it"
    );
    let (from, to) = (coverage.from, coverage.ended.unwrap_or(coverage.to));
    Ok(format!("recorded from {}", Clock(Utc).span(from, to)))
}
