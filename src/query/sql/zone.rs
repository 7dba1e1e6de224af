//! The UTC offsets of a time zone over a span of time.

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};

/// No history is older: 2026-01-01T00:00:00Z, in seconds since 1970.
const OLDEST: i64 = 1_767_225_600;

const DAY: i64 = 86_400;

/// The offsets of a zone, in seconds east of UTC, each with the time until which it applies
/// (seconds since 1970), and the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub before: Vec<(i64, i32)>,
    pub last: i32,
}

impl Zone {
    /// The offsets from `since` to `until` (nanoseconds since 1970), which default to the
    /// oldest time that a history can contain and to now. Assumes that a zone changes its
    /// offset at most once a day.
    pub fn over<Tz: TimeZone>(now: &DateTime<Tz>, since: Option<i64>, until: Option<i64>) -> Zone {
        let zone = now.timezone();
        let offset = |second: i64| {
            // Cannot overflow: questions are limited to the years 1970 to 2261.
            let time = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(second);
            zone.offset_from_utc_datetime(&time.naive_utc())
                .fix()
                .local_minus_utc()
        };
        let second = |ns: i64| ns.div_euclid(1_000_000_000);
        let from = since.map_or(OLDEST, second).max(OLDEST);
        // The clock may have been ahead for a while.
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
                // Bisect for the first second with the new offset.
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

    /// An SQL expression: `of` applied to the offset at `ts`, an expression for nanoseconds
    /// since 1970.
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
    use crate::when::tests::tz::Berlin;
    use chrono::FixedOffset;

    const SECOND: i64 = 1_000_000_000;

    fn berlin() -> DateTime<Berlin> {
        Berlin.with_ymd_and_hms(2026, 11, 23, 15, 30, 0).unwrap()
    }

    #[test]
    fn zone_without_daylight_saving_has_one_offset() {
        let zone = FixedOffset::east_opt(19_800).unwrap();
        let zone = Zone::over(&berlin().with_timezone(&zone), None, None);
        assert_eq!((zone.before.len(), zone.last), (0, 19_800));
        assert_eq!(zone.sql("ts", |offset| offset.to_string()), "19800");
    }

    #[test]
    fn offset_changes_are_found_to_the_second() {
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
