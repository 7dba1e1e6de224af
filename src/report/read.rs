//! Fills a report from a history: one statement for each of its sections.

use anyhow::Result;
use rusqlite::Connection;

use super::hosts;
use super::model::*;
use super::rows::*;
use super::timeline::step;
use crate::query::{Coverage, FAILURES, Host, Question, Selected, gaps};

/// What a report is to be about. Times are nanoseconds since 1970.
pub struct Wanted<'a> {
    /// What was asked; none for everything.
    pub text: Option<String>,
    /// What it means: for everything, all connections.
    pub question: Question,
    pub hosts: Vec<Host>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub now: i64,
    pub baseline: Option<Baseline<'a>>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    ///
    /// A question that does more than select rows, an empty span, SQLite's.
    pub fn read(db: &Connection, wanted: Wanted<'_>) -> Result<Report> {
        // One snapshot, so that the figures agree with each other.
        let db = db.unchecked_transaction()?;
        let span = (wanted.since, wanted.until);
        let now = wanted.now;
        let selected = Selected::read(&db, &wanted.question, wanted.hosts, span, now)?;
        let coverage = Coverage::read(&db, selected.since, selected.until, now)?;
        let (totals, first, last) = totals(&db, &selected)?;
        // Rows before the first recording or behind the last one: the clock was set.
        let from = match selected.since {
            Some(_) => coverage.from,
            None => first.map_or(coverage.from, |first| first.min(coverage.from)),
        };
        let to = match selected.until {
            Some(_) => coverage.to,
            // Nothing was recorded after the last recording's end.
            None => {
                let ended = coverage.ended.unwrap_or(coverage.to);
                last.map_or(ended, |last| ended.max(last.saturating_add(1)))
            }
        };
        let (timeline, rows) = timeline(&db, &selected, from, to)?;
        let new_hosts = hosts::new(&db, &selected, wanted.baseline.as_ref())?;
        Ok(Report {
            format: FORMAT,
            egrets: env!("CARGO_PKG_VERSION"),
            created: Time(now),
            machines: machines(&db, from, to)?,
            question: wanted.text,
            selected: selected.described(),
            from: Time(from),
            to: Time(to),
            coverage: watched(&db, &coverage, (from, to))?,
            notes: [&selected.notes[..], &selected.left_out].concat(),
            totals,
            timeline,
            programs: programs(&db, &selected)?,
            flows: flows(&db, &selected)?,
            hosts: hosts::busiest(&db, &selected)?,
            new_hosts,
            raw_addresses: raw_addresses(&db, &selected)?,
            uncertain_names: match rows.with_rivals {
                0 => Section::empty(),
                _ => uncertain_names(&db, &selected)?,
            },
            failed_connections: failed_connections(&db, &selected)?,
            failed_lookups: failed_lookups(&db, &selected)?,
            verdicts: Verdicts {
                decided: rows.decided,
                rows: match rows.decided {
                    0 => Section::empty(),
                    _ => verdicts(&db, &selected)?,
                },
            },
        })
    }
}

/// What single rows have and totals do not: how many have it.
#[derive(Default)]
struct InRows {
    with_rivals: i64,
    decided: i64,
}

fn watched(db: &Connection, coverage: &Coverage, (from, to): (i64, i64)) -> Result<Watched> {
    let (gaps, total) = gaps(db, from, to, MOST_ROWS)?;
    let state = match (coverage.is_void(), coverage.is_complete()) {
        _ if !coverage.any_recording => State::Empty,
        _ if coverage.pending => State::Pending,
        (true, _) => State::None,
        (_, true) => State::Complete,
        _ => State::Partial,
    };
    Ok(Watched {
        state,
        notes: match state {
            State::Partial | State::Complete => coverage.notes(None),
            _ => Vec::new(),
        },
        ended: coverage.ended.filter(|&ended| ended < to).map(Time),
        gaps: Section {
            total,
            rows: Vec::from_iter(gaps.into_iter().map(|gap| GapRow {
                from: Time(gap.from),
                to: Time(gap.to),
                kind: gap.kind,
                lost: gap.lost,
                why: gap.why,
            })),
            sql: None,
        },
    })
}

/// The machines that were recorded in the span, a few at most.
fn machines(db: &Connection, from: i64, to: i64) -> Result<Vec<String>> {
    let mut statement = db.prepare(
        "SELECT DISTINCT hostname FROM recordings
         WHERE start_ts <= ?2 AND coalesce(end_ts, seen_ts) >= ?1 AND hostname IS NOT NULL
         ORDER BY hostname LIMIT 8",
    )?;
    let names = statement.query_map([from, to], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The totals, and the times of the first and the last connection.
fn totals(db: &Connection, selected: &Selected) -> Result<(Totals, Option<i64>, Option<i64>)> {
    let mut totals = Totals::default();
    let mut ends = (None, None);
    if let Some(source) = selected.connections() {
        let sql = format!(
            "SELECT coalesce(sum(connections), 0), coalesce(sum(failed), 0), coalesce(sum(tx_bytes), 0),
       coalesce(sum(rx_bytes), 0), count(DISTINCT {DESTINATION}),
       count(DISTINCT coalesce(exe, comm)), count(DISTINCT container_id), min(first_ts), max(last_ts)
FROM {source}"
        );
        db.query_row(&sql, [], |row| {
            totals.connections = row.get(0)?;
            totals.failed = row.get(1)?;
            totals.tx_bytes = row.get(2)?;
            totals.rx_bytes = row.get(3)?;
            totals.hosts = row.get(4)?;
            totals.programs = row.get(5)?;
            totals.containers = row.get(6)?;
            ends = (row.get(7)?, row.get(8)?);
            Ok(())
        })?;
    }
    if let Some(source) = selected.lookups() {
        let sql =
            format!("SELECT coalesce(sum(lookups), 0), coalesce(sum(failed), 0) FROM {source}");
        let (all, failed) = db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        totals.lookups = Some(all);
        totals.failed_lookups = Some(failed);
    }
    Ok((totals, ends.0, ends.1))
}

/// The timeline; and what else is counted on the way, as no index leads to it.
fn timeline(
    db: &Connection,
    selected: &Selected,
    from: i64,
    to: i64,
) -> Result<(Timeline, InRows)> {
    let mut timeline = Timeline::new(from, to);
    let mut counted = InRows::default();
    let Some(source) = selected.each_connection() else {
        return Ok((timeline, counted));
    };
    let (start, step) = (timeline.start.0, step(from, to));
    let sql = format!(
        "SELECT (ts - {start}) / {step} AS step, count(*) AS connections,
       sum(outcome IN ({FAILURES})) AS failed, coalesce(sum(tx_bytes), 0) AS tx_bytes,
       coalesce(sum(rx_bytes), 0) AS rx_bytes,
       coalesce(sum(host_rivals > 0), 0) AS with_rivals, count(verdict) AS decided
FROM {source}
GROUP BY step"
    );
    {
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            timeline.add(
                row.get(0)?,
                [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
            );
            counted.with_rivals += row.get::<_, i64>(5)?;
            counted.decided += row.get::<_, i64>(6)?;
        }
    }
    timeline.sql = Some(sql + "\nORDER BY step;");
    Ok((timeline, counted))
}

fn programs(db: &Connection, selected: &Selected) -> Result<Section<ProgramRow>> {
    let Some(source) = selected.connections() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT {PROGRAM}, count(DISTINCT {DESTINATION}) AS hosts,
  {AMOUNT},
  count(*) OVER () AS total
FROM {source}
GROUP BY {PROGRAM}
ORDER BY {MOST_FIRST}, comm, exe
LIMIT {MOST_PROGRAMS}"
    );
    section(db, sql, |row| {
        Ok(ProgramRow {
            program: program(row)?,
            hosts: row.get("hosts")?,
            amount: amount(row)?,
        })
    })
}

fn flows(db: &Connection, selected: &Selected) -> Result<Section<FlowRow>> {
    let Some(source) = selected.connections() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT {PROGRAM},
  {TO},
  {AMOUNT},
  count(*) OVER () AS total
FROM {source}
GROUP BY {PROGRAM}, host, {DESTINATION}
ORDER BY {MOST_FIRST}, comm, exe, host, address
LIMIT {MOST_FLOWS}"
    );
    section(db, sql, |row| {
        Ok(FlowRow {
            program: program(row)?,
            to: destination(row)?,
            amount: amount(row)?,
        })
    })
}

fn raw_addresses(db: &Connection, selected: &Selected) -> Result<Section<RawRow>> {
    let Some(source) = selected.raw_addresses() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT NULL AS host, dst_ip AS address, dst_port AS port, protocol, min(dst_scope) AS scope,
  {BY},
  {AMOUNT},
  count(*) OVER () AS total
FROM {source}
GROUP BY dst_ip, dst_port, protocol
ORDER BY min(dst_scope) = 'public' DESC, {MOST_FIRST}, dst_ip, dst_port
LIMIT {MOST_ROWS}"
    );
    section(db, sql, |row| {
        Ok(RawRow {
            to: destination(row)?,
            scope: row.get("scope")?,
            by: by(row)?,
            amount: amount(row)?,
        })
    })
}

fn uncertain_names(db: &Connection, selected: &Selected) -> Result<Section<RivalRow>> {
    let Some(source) = selected.each_connection() else {
        return Ok(Section::empty());
    };
    // The id is that of a row with the most rivals: SQLite's rule for max().
    let sql = format!(
        "SELECT host, host_source, count(*) AS connections, max(host_rivals) AS rivals, id AS example,
  count(*) OVER () AS total
FROM (SELECT id, host, host_source, host_rivals FROM {source})
WHERE host_rivals > 0 AND host IS NOT NULL
GROUP BY host, host_source
ORDER BY connections DESC, host
LIMIT {MOST_ROWS}"
    );
    let mut found = section(db, sql, |row| {
        Ok(RivalRow {
            host: row.get("host")?,
            host_source: row.get("host_source")?,
            connections: row.get("connections")?,
            rivals: row.get("rivals")?,
            rival_hosts: Vec::new(),
            example: row.get("example")?,
        })
    })?;
    let mut statement = db.prepare("SELECT host FROM rivals WHERE connection_id = ?1 LIMIT 16")?;
    for row in &mut found.rows {
        let names = statement.query_map([row.example], |row| row.get(0))?;
        row.rival_hosts = names.collect::<Result<_, _>>()?;
    }
    Ok(found)
}

fn failed_connections(db: &Connection, selected: &Selected) -> Result<Section<FailedRow>> {
    let Some(source) = selected.connections() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT host, CASE WHEN host IS NULL THEN dst_ip END AS address, dst_port AS port, protocol,
  {BY},
  outcome, errno, sum(connections) AS connections, max(last_ts) AS last_ts,
  count(*) OVER () AS total
FROM {source}
WHERE failed > 0
GROUP BY host, {DESTINATION}, dst_port, protocol, outcome, errno
ORDER BY sum(connections) DESC, host, address, dst_port
LIMIT {MOST_ROWS}",
        source = nested(&source),
    );
    section(db, sql, |row| {
        Ok(FailedRow {
            to: destination(row)?,
            by: by(row)?,
            outcome: row.get("outcome")?,
            errno: row.get("errno")?,
            connections: row.get("connections")?,
            last_seen: Time(row.get("last_ts")?),
        })
    })
}

fn failed_lookups(db: &Connection, selected: &Selected) -> Result<Section<FailedLookupRow>> {
    let Some(source) = selected.lookups() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT qname, qtype, rcode, status, min(comm) AS comm, count(DISTINCT coalesce(exe, comm)) AS programs,
  sum(failed) AS lookups, max(last_ts) AS last_ts,
  count(*) OVER () AS total
FROM {source}
WHERE failed > 0
GROUP BY qname, qtype, rcode, status
ORDER BY sum(failed) DESC, qname, qtype
LIMIT {MOST_ROWS}",
        source = nested(&source),
    );
    section(db, sql, |row| {
        Ok(FailedLookupRow {
            qname: row.get("qname")?,
            qtype: row.get("qtype")?,
            rcode: row.get("rcode")?,
            status: row.get("status")?,
            by: LookupPrograms {
                comm: row.get("comm")?,
                programs: row.get("programs")?,
            },
            lookups: row.get("lookups")?,
            last_seen: Time(row.get("last_ts")?),
        })
    })
}

fn verdicts(db: &Connection, selected: &Selected) -> Result<Section<VerdictRow>> {
    let Some(source) = selected.each_connection() else {
        return Ok(Section::empty());
    };
    let sql = format!(
        "SELECT verdict, coalesce(enforced, 0) AS enforced, rule, {PROGRAM},
  host, CASE WHEN host IS NULL THEN dst_ip END AS address, dst_port AS port, protocol,
  count(*) AS connections, max(ts) AS last_ts, count(*) OVER () AS total
FROM (SELECT * FROM {source})
WHERE verdict <> 'allow'
GROUP BY verdict, enforced, rule, {PROGRAM}, host, {DESTINATION}, dst_port, protocol
ORDER BY verdict = 'alert', enforced DESC, count(*) DESC, comm, host, address
LIMIT {MOST_ROWS}"
    );
    section(db, sql, |row| {
        Ok(VerdictRow {
            verdict: row.get("verdict")?,
            enforced: row.get("enforced")?,
            rule: row.get("rule")?,
            program: program(row)?,
            to: destination(row)?,
            connections: row.get("connections")?,
            last_seen: Time(row.get("last_ts")?),
        })
    })
}
