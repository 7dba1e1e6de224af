//! What the clocks of a time zone showed over a span of time.

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};

/// Nothing is older than egrets: 2026-01-01T00:00:00Z, in seconds since 1970.
const OLDEST: i64 = 1_767_225_600;

const DAY: i64 = 86_400;

/// The offsets of a zone, in seconds east of UTC, each with the time until which it holds
/// (seconds since 1970); the last one holds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub before: Vec<(i64, i32)>,
    pub last: i32,
}

impl Zone {
    /// The offsets from `since` to `until`, in nanoseconds since 1970: without them, from
    /// the oldest that a history can hold to now. Clocks are taken to be put forward or
    /// back once a day at most.
    pub fn over<Tz: TimeZone>(now: &DateTime<Tz>, since: Option<i64>, until: Option<i64>) -> Zone {
        let zone = now.timezone();
        let offset = |second: i64| {
            // Within the years that a question can be about.
            let time = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(second);
            zone.offset_from_utc_datetime(&time.naive_utc())
                .fix()
                .local_minus_utc()
        };
        let second = |ns: i64| ns.div_euclid(1_000_000_000);
        let from = since.map_or(OLDEST, second).max(OLDEST);
        // A clock may have been ahead for a while.
        let to = until
            .map_or(i64::MAX, second)
            .min(now.timestamp() + DAY)
            .max(from);
        let mut before = Vec::new();
        let mut last = offset(from);
        let mut seen = from;
        while seen < to {
            let next = (seen + DAY).min(to);
            let then = offset(next);
            if then != last {
                // The first second that has another offset.
                let (mut old, mut new) = (seen, next);
                while new - old > 1 {
                    let middle = old + (new - old) / 2;
                    match offset(middle) == last {
                        true => old = middle,
                        false => new = middle,
                    }
                }
                before.push((new, last));
                last = then;
            }
            seen = next;
        }
        Zone { before, last }
    }

    /// An SQL expression that is what `of` makes of the offset at `ts`, an expression for
    /// nanoseconds since 1970.
    pub fn sql(&self, ts: &str, of: impl Fn(i32) -> String) -> String {
        let last = of(self.last);
        if self.before.iter().all(|&(_, offset)| of(offset) == last) {
            return last;
        }
        let cases = self
            .before
            .iter()
            .map(|&(until, offset)| format!(" WHEN {ts} < {until}000000000 THEN {}", of(offset)));
        format!("CASE{} ELSE {last} END", cases.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::berlin::Berlin;
    use chrono::FixedOffset;

    const SECOND: i64 = 1_000_000_000;

    fn berlin() -> DateTime<Berlin> {
        Berlin.with_ymd_and_hms(2026, 11, 23, 15, 30, 0).unwrap()
    }

    #[test]
    fn a_zone_without_summer_time_has_one_offset() {
        let zone = FixedOffset::east_opt(19_800).unwrap();
        let zone = Zone::over(&berlin().with_timezone(&zone), None, None);
        assert_eq!((zone.before.len(), zone.last), (0, 19_800));
        assert_eq!(zone.sql("ts", |offset| offset.to_string()), "19800");
    }

    #[test]
    fn each_change_of_the_clocks_is_found_to_the_second() {
        // 29 March and 25 October 2026, 01:00Z
        let changes = [(1_774_746_000, 3600), (1_792_890_000, 7200)];
        let zone = Zone::over(&berlin(), None, None);
        assert_eq!((&zone.before[..], zone.last), (&changes[..], 3600));
        let summer = Some(1_792_889_999 * SECOND);
        let zone = Zone::over(&berlin(), summer, None);
        assert_eq!((&zone.before[..], zone.last), (&changes[1..], 3600));
        assert_eq!(
            zone.sql("ts", |offset| offset.to_string()),
            "CASE WHEN ts < 1792890000000000000 THEN 7200 ELSE 3600 END"
        );
        let zone = Zone::over(&berlin(), summer, summer);
        assert_eq!((zone.before.len(), zone.last), (0, 7200));
    }
}
