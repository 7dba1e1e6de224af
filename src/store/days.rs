//! Days, by which the rollups are divided.

use std::ops::Range;

use chrono::{DateTime, Days, Local, NaiveDate, NaiveTime, TimeZone, Utc};
use rusqlite::{Connection as Db, OptionalExtension};

/// The table `day`, with the span and id of the day that was used last.
#[derive(Default)]
pub struct DayTable {
    latest: Option<(Range<i64>, i64)>,
}

impl DayTable {
    /// The `day.id` of a time; adds that day if it is missing.
    pub fn id(&mut self, db: &Db, ts: i64) -> rusqlite::Result<i64> {
        if let Some((span, id)) = &self.latest
            && span.contains(&ts)
        {
            return Ok(*id);
        }
        let before = db
            .prepare_cached(
                "SELECT id, start_ts, end_ts FROM day WHERE start_ts <= ?1 ORDER BY start_ts DESC LIMIT 1",
            )?
            .query_row([ts], |row| Ok((row.get(0)?, row.get(1)?..row.get(2)?)))
            .optional()?;
        let (id, span) = match before {
            Some((id, span)) if span.contains(&ts) => (id, span),
            before => {
                let next = db
                    .prepare_cached("SELECT min(start_ts) FROM day WHERE start_ts > ?1")?
                    .query_row([ts], |row| row.get::<_, Option<i64>>(0))?;
                // Days of another time zone may overlap with this one.
                let whole = day_of(ts);
                let start = before.map_or(whole.start, |(_, span)| whole.start.max(span.end));
                let span = start..next.map_or(whole.end, |next| whole.end.min(next));
                db.prepare_cached("INSERT INTO day (start_ts, end_ts) VALUES (?1, ?2)")?
                    .execute([span.start, span.end])?;
                (db.last_insert_rowid(), span)
            }
        };
        self.latest = Some((span, id));
        Ok(id)
    }

    /// Call after removing a day.
    pub fn forget(&mut self) {
        self.latest = None;
    }
}

/// The day of a time, in this host's time zone.
fn day_of(ts: i64) -> Range<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let date = DateTime::<Utc>::from_timestamp_nanos(ts)
        .with_timezone(&Local)
        .date_naive();
    let next = date.checked_add_days(Days::new(1));
    let span = midnight(date).zip(next.and_then(midnight));
    match span {
        Some((start, end)) if (start..end).contains(&ts) => start..end,
        // Midnight does not exist (it is skipped) or is out of range.
        _ => {
            let start = ts.div_euclid(DAY).saturating_mul(DAY);
            start..start.saturating_add(DAY)
        }
    }
}

fn midnight(date: NaiveDate) -> Option<i64> {
    let local = Local.from_local_datetime(&date.and_time(NaiveTime::MIN));
    local.earliest()?.timestamp_nanos_opt()
}

#[cfg(test)]
mod tests {
    use super::super::tests::history::History;
    use super::super::tests::support::number;
    use super::*;

    #[test]
    fn days_do_not_overlap_after_a_change_of_the_time_zone() {
        const HOUR: i64 = 3_600_000_000_000;
        let history = History::new();
        let db = &history.0;
        // A day of a zone that no host has: half past eleven to half past eleven.
        let other_zone = [23 * HOUR / 2, 71 * HOUR / 2];
        db.execute(
            "INSERT INTO day (start_ts, end_ts) VALUES (?1, ?2)",
            other_zone,
        )
        .unwrap();
        let mut days = DayTable::default();
        for hour in [1, 11, 12, 35, 36, 37, 100, 10, 60] {
            let ts = hour * HOUR;
            let id = days.id(db, ts).unwrap();
            let holds = format!(
                "SELECT count(*) FROM day WHERE id = {id} AND start_ts <= {ts} AND end_ts > {ts}"
            );
            assert_eq!(number(db, &holds), 1, "hour {hour}");
        }
        let overlaps = "SELECT count(*) FROM day a JOIN day b
                        ON a.id <> b.id AND a.start_ts < b.end_ts AND b.start_ts < a.end_ts";
        assert_eq!(number(db, overlaps), 0);
    }
}
