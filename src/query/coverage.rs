//! Whether egrets was recording: what an empty answer is worth.

use std::fmt;

use anyhow::Result;
use rusqlite::Connection;

use super::ast::Relation;
use crate::human;
use crate::model::GapKind;

/// A recorder writes more often than this (ns), so one that has written since is considered
/// to be running.
const RUNNING: i64 = 5_000_000_000;

/// The schema of a history that is read alone.
pub const ONLY: &str = "main";

/// What was recorded of a span of time. Times are nanoseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Start of the span: `since`, or else the first recording.
    pub from: i64,
    /// End of the span: `until`, or else now. A recorder that runs is a moment behind: until
    /// what it has processed.
    pub to: i64,
    /// The span begins after what a running recorder has processed.
    pub pending: bool,
    /// Nanoseconds of the span that no recording covers, not counting the time after the last
    /// one.
    pub unwatched: i64,
    /// When the last recording ended, if the span continues after it.
    pub ended: Option<i64>,
    /// What was lost while recording, by kind of gap.
    pub lost: Vec<(String, i64)>,
    /// Whether the file has any recordings, at any time.
    pub any_recording: bool,
}

impl Coverage {
    /// Reads what was recorded from `since` to `until`, seen at `now`.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn read(db: &Connection, since: Option<i64>, until: Option<i64>, now: i64) -> Result<Self> {
        Coverage::of(db, ONLY, (since, until), now)
    }

    /// The same of a history among several.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn of(
        db: &Connection,
        schema: &str,
        (since, until): (Option<i64>, Option<i64>),
        now: i64,
    ) -> Result<Self> {
        let recordings = recordings(db, schema)?;
        let first = recordings.first().map(|&(start, _)| start);
        let to = until.map_or(now, |until| until.min(now));
        // Time after the last recording is reported as `ended`, not as a gap.
        let last = recordings.iter().map(|&(_, end)| end).max().unwrap_or(to);
        let running = is_running(db, schema, now)?;
        let pending = running && since.is_some_and(|since| since >= last);
        let to = if running { to.min(last) } else { to };
        let from = since.or(first).unwrap_or(to).min(to);
        let ended = (from < last && last < to).then_some(last);
        Ok(Coverage {
            from,
            to,
            pending,
            unwatched: unwatched(&recordings, from, ended.unwrap_or(to)),
            ended,
            lost: lost(db, schema, from, to)?,
            any_recording: !recordings.is_empty(),
        })
    }

    /// Whether the whole span was recorded without loss.
    pub fn is_complete(&self) -> bool {
        self.any_recording && self.unwatched == 0 && self.lost.is_empty()
    }

    /// Whether no moment of the span was recorded.
    pub fn is_void(&self) -> bool {
        if self.pending {
            return false;
        }
        // A span that ends before the first recording is empty and not covered.
        !self.any_recording || self.unwatched == self.to.saturating_sub(self.from)
    }

    /// What may be missing from an answer about this relation, or about anything, one sentence
    /// each.
    pub fn notes(&self, relation: Option<Relation>) -> Vec<String> {
        let unwatched = (self.unwatched > 0).then(|| {
            let length = human::duration(self.unwatched / 1000);
            format!("not recording for {length} of this span")
        });
        let removed = self
            .lost
            .iter()
            .filter_map(|(kind, n)| match GapKind::of(kind)? {
                GapKind::Parse => Some(format!(
                    "{} unreadable in this span",
                    human::count(*n, "event", "events")
                )),
                GapKind::Retention => Some(format!(
                    "{} of this span removed by retention",
                    human::count(*n, "connection or lookup", "connections and lookups")
                )),
                GapKind::Share => Some(format!(
                    "{} of this span removed by retention, of users with more than their share",
                    human::count(*n, "connection or lookup", "connections and lookups")
                )),
                GapKind::Summary => Some(format!(
                    "{} of this span kept as totals only",
                    human::count(*n, "connection is", "connections are")
                )),
                GapKind::Store => Some(format!(
                    "{} of this span could not be stored",
                    human::count(*n, "connection or lookup", "connections and lookups")
                )),
                GapKind::DnsLookups | GapKind::DnsRecords => {
                    let one = kind.strip_prefix("dns_").unwrap_or(kind);
                    Some(format!(
                        "{n} DNS {one} in this span not stored: more than a user's share"
                    ))
                }
                _ => None,
            });
        unwatched
            .into_iter()
            .chain(removed)
            .chain(self.missed(relation))
            .collect()
    }

    /// The events that were lost, in words, as one sentence.
    fn missed(&self, relation: Option<Relation>) -> Option<String> {
        let mut missed: Vec<(Missed<'_>, i64)> = Vec::new();
        for (kind, n) in &self.lost {
            let Some(what) = Missed::of(kind) else {
                continue;
            };
            // Lookups do not depend on connections.
            if relation == Some(Relation::Lookups)
                && matches!(what, Missed::Connection | Missed::End)
            {
                continue;
            }
            match missed.iter_mut().find(|(other, _)| *other == what) {
                Some((_, sum)) => *sum += n,
                None => missed.push((what, *n)),
            }
        }
        missed.sort_by_key(|(what, _)| what.order());
        let missed = missed.iter().map(|(what, n)| what.count(*n));
        let missed = missed.collect::<Vec<_>>().join(", ");
        (!missed.is_empty()).then(|| format!("lost in this span: {missed}"))
    }
}

/// What an answer lacks because of a lost event.
#[derive(Debug, PartialEq, Eq)]
enum Missed<'a> {
    Connection,
    /// How a connection or flow ended: its outcome, bytes and duration.
    End,
    Dns,
    /// The names that connections send themselves.
    Sent,
    /// The name or executable of a process.
    Process,
    Other(&'a str),
}

impl Missed<'_> {
    /// Of a kind of gap; none if it is not an event that was lost.
    fn of(kind: &str) -> Option<Missed<'_>> {
        let Some(known) = GapKind::of(kind) else {
            return Some(Missed::Other(kind));
        };
        Some(match known {
            GapKind::Connect
            | GapKind::Established
            | GapKind::Errno
            | GapKind::Return
            | GapKind::Flow
            | GapKind::Socket
            | GapKind::Attach
            | GapKind::Verdict => Missed::Connection,
            GapKind::Close | GapKind::Release | GapKind::FlowEnd | GapKind::Association => {
                Missed::End
            }
            GapKind::Dns | GapKind::DnsBudget => Missed::Dns,
            GapKind::Fork
            | GapKind::Exec
            | GapKind::Exit
            | GapKind::Cgroup
            | GapKind::Hop
            | GapKind::Owner => Missed::Process,
            GapKind::Payload | GapKind::PayloadBudget => Missed::Sent,
            GapKind::Parse
            | GapKind::Retention
            | GapKind::Share
            | GapKind::Summary
            | GapKind::Store
            | GapKind::DnsLookups
            | GapKind::DnsRecords
            | GapKind::Clock
            | GapKind::Recording => return None,
        })
    }

    fn order(&self) -> u8 {
        match self {
            Missed::Connection => 0,
            Missed::End => 1,
            Missed::Dns => 2,
            Missed::Sent => 3,
            Missed::Process => 4,
            Missed::Other(_) => 5,
        }
    }

    fn count(&self, n: i64) -> String {
        match self {
            Missed::Connection => human::count(n, "event of connections", "events of connections"),
            Missed::End => human::count(n, "end of a connection", "ends of connections"),
            Missed::Dns => human::count(n, "DNS message", "DNS messages"),
            Missed::Sent => human::count(
                n,
                "beginning of a connection, with the name that it sends",
                "beginnings of connections, with the names that they send",
            ),
            Missed::Process => human::count(n, "event of processes", "events of processes"),
            Missed::Other(kind) => {
                human::count(n, &format!("{kind} event"), &format!("{kind} events"))
            }
        }
    }
}

/// What "new" is compared with: the recordings before a time.
#[derive(Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Nanoseconds that were recorded before.
    pub watched: i64,
    /// How many rows of that time, or later ones, have been removed.
    removed: i64,
}

impl Baseline {
    /// Reads what was recorded before `since`.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn read(db: &Connection, since: i64) -> Result<Self> {
        Baseline::of(db, ONLY, since)
    }

    /// The same of that history of several that has recorded least, and which it is.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn least(db: &Connection, schemas: &[&str], since: i64) -> Result<Option<(usize, Self)>> {
        let all = schemas.iter().enumerate();
        let all = all.map(|(at, schema)| Ok((at, Baseline::of(db, schema, since)?)));
        let all = all.collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().min_by_key(|(_, of)| of.watched))
    }

    fn of(db: &Connection, schema: &str, since: i64) -> Result<Self> {
        let recordings = recordings(db, schema)?;
        let first = recordings
            .first()
            .map_or(since, |&(start, _)| start)
            .min(since);
        let removed = lost(db, schema, first, since)?;
        let removed = removed.iter().filter(|(kind, _)| {
            matches!(
                GapKind::of(kind),
                Some(GapKind::Retention | GapKind::Share | GapKind::Summary)
            )
        });
        Ok(Baseline {
            watched: (since - first) - unwatched(&recordings, first, since),
            removed: removed.map(|(_, n)| n).sum(),
        })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.watched == 0 {
            return f.write_str("nothing was recorded before that, so everything is new");
        }
        let length = human::duration(self.watched / 1000);
        write!(f, "compared with {length} of recording before that")?;
        match self.removed {
            0 => Ok(()),
            n => write!(
                f,
                "; {} of that removed by retention",
                human::count(n, "connection or lookup", "connections and lookups")
            ),
        }
    }
}

/// A time in which egrets did not see everything. Times are nanoseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
    /// As in the view.
    pub kind: String,
    pub lost: Option<i64>,
    pub why: Option<String>,
}

/// Events that were lost from this time on, nanoseconds since 1970.
///
/// # Errors
///
/// SQLite's.
pub fn lost_since(db: &Connection, ts: i64) -> Result<i64> {
    let sql = "SELECT coalesce(sum(lost), 0) FROM gaps
               WHERE kind NOT IN ('retention', 'share', 'summary', 'recording') AND to_ts >= ?1";
    Ok(db.prepare_cached(sql)?.query_row([ts], |row| row.get(0))?)
}

/// The gaps of `from..to`, the longest if there are more than `most`, and how many there are.
/// Other than in the view, the time before the first recording and after the last one is a gap.
///
/// # Errors
///
/// SQLite's.
pub fn gaps(db: &Connection, from: i64, to: i64, most: usize) -> Result<(Vec<Gap>, i64)> {
    let mut statement = db.prepare(
        "SELECT from_ts, to_ts, kind, lost, why, count(*) OVER () FROM gaps
         WHERE from_ts <= ?2 AND to_ts >= ?1 AND coalesce(lost, 1) > 0
         ORDER BY to_ts - from_ts DESC, from_ts LIMIT ?3",
    )?;
    let mut total = 0;
    let rows = statement.query_map((from, to, most as i64), |row| {
        total = row.get(5)?;
        Ok(Gap {
            from: row.get(0)?,
            to: row.get(1)?,
            kind: row.get(2)?,
            lost: row.get(3)?,
            why: row.get(4)?,
        })
    })?;
    let mut gaps = rows.collect::<Result<Vec<_>, _>>()?;
    let recordings = recordings(db, ONLY)?;
    let first = recordings.first().map_or(to, |&(start, _)| start).min(to);
    let last = recordings.iter().map(|&(_, end)| end).max();
    let last = last.unwrap_or(to).max(from);
    for (from, to, why) in [
        (from, first, "before the first recording"),
        (last, to, "after the last recording"),
    ] {
        if from < to {
            total += 1;
            gaps.push(Gap {
                from,
                to,
                kind: GapKind::Recording.as_str().to_owned(),
                lost: None,
                why: Some(why.to_owned()),
            });
        }
    }
    gaps.sort_by_key(|gap| gap.from);
    Ok((gaps, total))
}

/// The start and end of each recording, by start. One without an end covers what it has
/// processed.
fn recordings(db: &Connection, schema: &str) -> Result<Vec<(i64, i64)>> {
    let sql = "SELECT start_ts, coalesce(end_ts, seen_ts)";
    let mut statement = db.prepare(&format!("{sql} FROM {schema}.recordings ORDER BY start_ts"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a recording without an end has written recently enough to be running.
fn is_running(db: &Connection, schema: &str, now: i64) -> Result<bool> {
    let running = format!("{schema}.recordings WHERE end_ts IS NULL AND seen_ts >= ?1");
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {running})");
    Ok(db.query_row(&sql, [now.saturating_sub(RUNNING)], |row| row.get(0))?)
}

/// How much of `from..to` lies in none of `recordings`, which may overlap because wall clocks
/// can be set back.
fn unwatched(recordings: &[(i64, i64)], from: i64, to: i64) -> i64 {
    let mut watched = 0;
    let mut watched_to = from;
    for &(start, end) in recordings {
        let start = start.clamp(watched_to, to);
        watched_to = end.clamp(start, to);
        watched += watched_to - start;
    }
    to.saturating_sub(from) - watched
}

/// What was lost in `from..to`, by kind.
fn lost(db: &Connection, schema: &str, from: i64, to: i64) -> Result<Vec<(String, i64)>> {
    let mut statement = db.prepare(&format!(
        "SELECT kind, sum(lost) FROM {schema}.gaps
         WHERE lost > 0 AND from_ts <= ?2 AND to_ts >= ?1
         GROUP BY kind ORDER BY kind",
    ))?;
    let rows = statement.query_map([from, to], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{History, NOW, SECOND};
    use super::*;

    const HOUR: i64 = 3600 * SECOND;

    fn read(history: &History, since: Option<i64>, until: Option<i64>) -> Coverage {
        Coverage::read(&history.0, since, until, NOW).unwrap()
    }

    #[test]
    fn history_without_recordings_is_void() {
        let coverage = read(&History::new(), None, None);
        assert!(coverage.is_void() && !coverage.is_complete() && !coverage.any_recording);
        assert!(read(&History::new(), Some(NOW - HOUR), None).is_void());
    }

    #[test]
    fn running_recording_covers_until_now() {
        let coverage = read(&History::recording(), None, None);
        assert_eq!((coverage.from, coverage.to), (NOW - HOUR, NOW));
        assert!(coverage.is_complete() && !coverage.is_void());
        assert_eq!(coverage.notes(None), [""; 0]);
    }

    #[test]
    fn a_running_recording_covers_no_more_than_it_has_processed() {
        let history = History::new();
        history.record(NOW - HOUR, None, NOW - 2 * SECOND);
        let coverage = read(&history, None, None);
        assert_eq!((coverage.to, coverage.ended), (NOW - 2 * SECOND, None));
        assert!(coverage.is_complete() && !coverage.pending);
        let coverage = read(&history, Some(NOW - SECOND), None);
        assert!(coverage.pending && !coverage.is_void());
        // One that lags: behind a lock, for example.
        let history = History::new();
        history.record(NOW - HOUR, None, NOW - 20 * SECOND);
        let coverage = read(&history, None, None);
        assert_eq!(coverage.ended, Some(NOW - 20 * SECOND));
    }

    #[test]
    fn killed_recording_covers_until_its_newest_batch() {
        let history = History::new();
        history.record(NOW - HOUR, None, NOW - 600 * SECOND);
        let coverage = read(&history, None, None);
        assert_eq!(coverage.ended, Some(NOW - 600 * SECOND));
        assert_eq!((coverage.unwatched, coverage.notes(None)), (0, vec![]));
    }

    #[test]
    fn time_before_and_between_recordings_is_unwatched_and_time_after_is_ended() {
        let history = History::new();
        history.record(NOW - 6 * HOUR, Some(NOW - 5 * HOUR), NOW - 5 * HOUR);
        history.record(NOW - 4 * HOUR, Some(NOW - HOUR), NOW - HOUR);
        for (since, until, hours, ended) in [
            (None, None, 1, Some(1)),
            (Some(10), None, 5, Some(1)),
            (Some(4), Some(1), 0, None),
            (Some(5), Some(4), 1, None),
            (Some(8), Some(7), 1, None),
        ] {
            let coverage = read(
                &history,
                since.map(|h| NOW - h * HOUR),
                until.map(|h| NOW - h * HOUR),
            );
            assert_eq!(coverage.unwatched, hours * HOUR, "{since:?} to {until:?}");
            assert_eq!(
                coverage.ended,
                ended.map(|h| NOW - h * HOUR),
                "{since:?} to {until:?}"
            );
        }
        assert!(read(&history, Some(NOW - 8 * HOUR), Some(NOW - 7 * HOUR)).is_void());
    }

    #[test]
    fn overlapping_recordings_count_once() {
        let history = History::new();
        history.record(NOW - 4 * HOUR, Some(NOW - HOUR), NOW - HOUR);
        history.record(NOW - 3 * HOUR, Some(NOW - 2 * HOUR), NOW - 2 * HOUR);
        let coverage = read(&history, None, None);
        assert_eq!((coverage.unwatched, coverage.ended), (0, Some(NOW - HOUR)));
    }

    #[test]
    fn a_span_that_reaches_into_the_future_ends_now() {
        let coverage = read(&History::recording(), None, Some(NOW + HOUR));
        assert_eq!(coverage.to, NOW);
        assert!(coverage.is_complete());
    }

    #[test]
    fn losses_in_the_span_are_added_up_by_kind() {
        let history = History::recording();
        history.lose("tcp", 100, NOW - 100 * SECOND, NOW - 90 * SECOND);
        history.lose("tcp", 20, NOW - 50 * SECOND, NOW - 50 * SECOND);
        history.lose("dns", 1, NOW - 50 * SECOND, NOW - 50 * SECOND);
        history.lose("parse", 2, NOW - 50 * SECOND, NOW - 50 * SECOND);
        history.lose("flow_end", 246, NOW - 50 * SECOND, NOW - 50 * SECOND);
        history.lose("close", 4, NOW - 50 * SECOND, NOW - 50 * SECOND);
        let of =
            |seconds, relation| read(&history, Some(NOW - seconds * SECOND), None).notes(relation);
        let since = |seconds| of(seconds, None);
        assert_eq!(
            since(95),
            [
                "2 events unreadable in this span",
                "lost in this span: 250 ends of connections, 1 DNS message, 120 tcp events",
            ]
        );
        assert!(since(89)[1].ends_with("20 tcp events"));
        assert_eq!(
            of(95, Some(Relation::Lookups))[1],
            "lost in this span: 1 DNS message, 120 tcp events"
        );
        assert_eq!(since(10), [""; 0]);
    }

    #[test]
    fn no_time_is_too_far_away() {
        let coverage = read(&History::recording(), Some(i64::MIN), Some(i64::MAX));
        assert!(coverage.unwatched > 0 && !coverage.is_void());
    }
}
