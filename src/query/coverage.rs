//! Whether egrets was recording: what an empty answer is worth.

use std::fmt;

use anyhow::Result;
use rusqlite::Connection;

use crate::human;

/// A recorder writes more often than this (ns), so one that has written since is considered
/// to be running.
const RUNNING: i64 = 5_000_000_000;

/// What was recorded of a span of time. Times are nanoseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Start of the span: `since`, or else the first recording.
    pub from: i64,
    /// End of the span: `until`, or else now.
    pub to: i64,
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
        let recordings = recordings(db, now)?;
        let to = until.map_or(now, |until| until.min(now));
        let first = recordings.first().map(|&(start, _)| start);
        let from = since.or(first).unwrap_or(to).min(to);
        // Time after the last recording is reported as `ended`, not as a gap.
        let last = recordings.iter().map(|&(_, end)| end).max().unwrap_or(to);
        let ended = (from < last && last < to).then_some(last);
        Ok(Coverage {
            from,
            to,
            unwatched: unwatched(&recordings, from, ended.unwrap_or(to)),
            ended,
            lost: lost(db, from, to)?,
            any_recording: !recordings.is_empty(),
        })
    }

    /// Whether the whole span was recorded without loss.
    pub fn is_complete(&self) -> bool {
        self.any_recording && self.unwatched == 0 && self.lost.is_empty()
    }

    /// Whether no moment of the span was recorded.
    pub fn is_void(&self) -> bool {
        // A span that ends before the first recording is empty and not covered.
        !self.any_recording || self.unwatched == self.to.saturating_sub(self.from)
    }

    /// What may be missing from an answer, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let unwatched = (self.unwatched > 0).then(|| {
            let length = human::duration(self.unwatched / 1000);
            format!("not recording for {length} of this span")
        });
        let lost = self.lost.iter().map(|(kind, n)| match kind.as_str() {
            "parse" => format!(
                "{} unreadable in this span",
                human::count(*n, "event", "events")
            ),
            "retention" => format!(
                "{} of this span removed by retention",
                human::count(*n, "connection or lookup", "connections and lookups")
            ),
            "summary" => format!(
                "{} of this span kept as totals only",
                human::count(*n, "connection is", "connections are")
            ),
            "dns_lookups" | "dns_records" => {
                let one = kind.strip_prefix("dns_").unwrap_or(kind);
                format!("{n} DNS {one} in this span not stored: more than a user's share")
            }
            kind => {
                let (one, many) = (format!("{kind} event"), format!("{kind} events"));
                format!("{} lost in this span", human::count(*n, &one, &many))
            }
        });
        unwatched.into_iter().chain(lost).collect()
    }
}

/// What "new" is compared with: the recordings before a time.
#[derive(Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Nanoseconds that were recorded before.
    watched: i64,
    /// How many rows of that time, or later ones, have been removed.
    removed: i64,
}

impl Baseline {
    /// Reads what was recorded before `since`, seen at `now`.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn read(db: &Connection, since: i64, now: i64) -> Result<Self> {
        let recordings = recordings(db, now)?;
        let first = recordings
            .first()
            .map_or(since, |&(start, _)| start)
            .min(since);
        let removed = lost(db, first, since)?;
        let removed = removed
            .iter()
            .filter(|(kind, _)| matches!(kind.as_str(), "retention" | "summary"));
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

/// The start and end of each recording, by start. One without an end ended with its newest
/// batch, unless that is recent enough for it to be running.
fn recordings(db: &Connection, now: i64) -> Result<Vec<(i64, i64)>> {
    let mut statement =
        db.prepare("SELECT start_ts, end_ts, seen_ts FROM recordings ORDER BY start_ts")?;
    let rows = statement.query_map([], |row| {
        let (end, seen): (Option<i64>, i64) = (row.get(1)?, row.get(2)?);
        let running = seen >= now.saturating_sub(RUNNING);
        Ok((row.get(0)?, end.unwrap_or(if running { now } else { seen })))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
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
fn lost(db: &Connection, from: i64, to: i64) -> Result<Vec<(String, i64)>> {
    let mut statement = db.prepare(
        "SELECT kind, sum(lost) FROM gaps
         WHERE lost > 0 AND from_ts <= ?2 AND to_ts >= ?1
         GROUP BY kind ORDER BY kind",
    )?;
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
        assert_eq!(coverage.notes(), [""; 0]);
    }

    #[test]
    fn killed_recording_covers_until_its_newest_batch() {
        let history = History::new();
        history.record(NOW - HOUR, None, NOW - 600 * SECOND);
        let coverage = read(&history, None, None);
        assert_eq!(coverage.ended, Some(NOW - 600 * SECOND));
        assert_eq!((coverage.unwatched, coverage.notes()), (0, vec![]));
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
        let since = |seconds| read(&history, Some(NOW - seconds * SECOND), None).notes();
        assert_eq!(
            since(95),
            [
                "1 dns event lost in this span",
                "2 events unreadable in this span",
                "120 tcp events lost in this span",
            ]
        );
        assert_eq!(since(89)[2], "20 tcp events lost in this span");
        assert_eq!(since(10), [""; 0]);
    }

    #[test]
    fn no_time_is_too_far_away() {
        let coverage = read(&History::recording(), Some(i64::MIN), Some(i64::MAX));
        assert!(coverage.unwatched > 0 && !coverage.is_void());
    }
}
