//! The times that the command line and the questions accept.

use anyhow::{Context, Result, bail};
use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Utc, Weekday,
};

const EXAMPLES: &str = "10m, 2h 30m ago, now, today, yesterday, 14:00, \
                        2026-11-23, 2026-11-23 14:00, 2026-11-23T14:00:05Z";

/// Times of day, alone or after a date.
const CLOCKS: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];

/// The moment that `text` means, in the time zone of `now` unless it names its
/// own.
///
/// A duration (`10m`, `2h 30m`, with or without `ago`) is that long before
/// `now`; a date alone is its first moment, and so is a day of the week, the last
/// such day; a time alone is today's; a date
/// without a year (`11-23 14:00`, as the tables show it) is this year's. Where
/// the clocks were set back, a local time that came twice is the first; where
/// they were put forward, one that never came is as far after the jump as it
/// claims to be.
///
/// # Errors
///
/// When `text` is none of these, or outside the years 1970 to 2261, which is
/// what nanoseconds in an `i64` can count.
pub fn parse<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<DateTime<Utc>> {
    let shown = || crate::text::clip(&crate::text::printable(text), 60).into_owned();
    let Some(time) = relative(text, now)
        .or_else(|| zoned(text))
        .or_else(|| local(text, now))
    else {
        bail!(
            "\"{}\" is not a time I know; try one of: {EXAMPLES}",
            shown()
        );
    };
    time.filter(|time| (1970..2262).contains(&time.year()))
        .with_context(|| format!("\"{}\" is outside the years 1970 to 2261", shown()))
}

/// Nanoseconds since 1970-01-01T00:00:00Z, as the history's `ts` counts them;
/// the nearest end of the range for what an `i64` cannot hold.
pub fn to_ns(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt()
        .unwrap_or(if time.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        })
}

/// ISO 8601 in UTC with milliseconds, as the views' `time` columns have it, of
/// nanoseconds since 1970.
pub fn iso(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns)
        .format("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// What a form of time makes of a text: nothing where it is not of that form;
/// `Some(None)` where it is, but beyond what can be counted.
type Read = Option<Option<DateTime<Utc>>>;

/// Times counted from now.
fn relative<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Read {
    let text = text.trim();
    let midnight = |date: Option<NaiveDate>| date.map(|date| in_zone(date.into(), now));
    match text.to_ascii_lowercase().as_str() {
        "now" => return Some(Some(now.to_utc())),
        "today" => return midnight(Some(now.date_naive())),
        "yesterday" => return midnight(now.date_naive().checked_sub_days(Days::new(1))),
        day => {
            if let Ok(weekday) = day.parse::<Weekday>() {
                let back = now.weekday().days_since(weekday);
                return midnight(now.date_naive().checked_sub_days(Days::new(back.into())));
            }
        }
    }
    let duration = text.strip_suffix("ago").unwrap_or(text).trim_end();
    match humantime::parse_duration(duration) {
        Ok(length) => Some(
            TimeDelta::from_std(length)
                .ok()
                .and_then(|length| now.to_utc().checked_sub_signed(length)),
        ),
        Err(humantime::DurationError::NumberOverflow) => Some(None),
        Err(_) => None,
    }
}

/// Dates with a time and a zone: RFC 3339, and looser forms of it.
fn zoned(text: &str) -> Read {
    let text = text.trim();
    let text = match text.strip_suffix("UTC").or(text.strip_suffix("utc")) {
        Some(time) => format!("{}Z", time.trim_end()),
        None => text.replacen('t', "T", 1).replace('z', "Z"),
    };
    dates(|date| format!("{date}%#z"))
        .find_map(|form| DateTime::parse_from_str(&text, &form).ok())
        .map(|time| Some(time.to_utc()))
}

/// Dates and times as the clock on the wall of `now`'s zone shows them.
fn local<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Read {
    let text = text.trim();
    let today = now.date_naive();
    let this_year = format!("{}-{text}", today.year());
    let date = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let moment = |text: &str| {
        dates(str::to_owned).find_map(|form| NaiveDateTime::parse_from_str(text, &form).ok())
    };
    let clock = || {
        CLOCKS
            .iter()
            .find_map(|form| NaiveTime::parse_from_str(text, form).ok())
            .map(|time| today.and_time(time))
    };
    moment(text)
        .or_else(|| date(text).map(NaiveDateTime::from))
        .or_else(clock)
        .or_else(|| moment(&this_year))
        .or_else(|| date(&this_year).map(NaiveDateTime::from))
        .map(|time| in_zone(time, now))
}

/// Formats of a date with a time, each finished by `ending`.
fn dates(ending: impl Fn(&str) -> String) -> impl Iterator<Item = String> {
    ["%Y-%m-%d ", "%Y-%m-%dT"]
        .into_iter()
        .flat_map(|date| CLOCKS.map(|clock| format!("{date}{clock}")))
        .map(move |form| ending(&form))
}

/// The moment at which the clock of `now`'s zone showed `time`.
fn in_zone<Tz: TimeZone>(time: NaiveDateTime, now: &DateTime<Tz>) -> Option<DateTime<Utc>> {
    // Zone data is asked only about years that can be meant.
    if !(1969..=2262).contains(&time.year()) {
        return None;
    }
    let zone = now.timezone();
    match zone.from_local_datetime(&time) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => Some(moment.to_utc()),
        LocalResult::None => {
            // No offset reaches a whole day, so the day before is before the jump.
            let day_before = time.checked_sub_days(Days::new(1))?;
            let offset = zone.offset_from_utc_datetime(&day_before).fix();
            Some(time.checked_sub_offset(offset)?.and_utc())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, MappedLocalTime};
    use proptest::prelude::*;

    /// Central Europe in 2026: +01:00, and +02:00 from 29 March 01:00Z to 25
    /// October 01:00Z.
    #[derive(Clone, Copy, Debug)]
    struct Berlin;

    impl TimeZone for Berlin {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Berlin
        }

        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            unimplemented!("egrets asks for moments only")
        }

        fn offset_from_local_datetime(
            &self,
            local: &NaiveDateTime,
        ) -> MappedLocalTime<FixedOffset> {
            let fits = [2, 1]
                .map(|hours| FixedOffset::east_opt(hours * 3600).unwrap())
                .into_iter()
                .filter(|&offset| self.offset_from_utc_datetime(&(*local - offset)) == offset)
                .collect::<Vec<_>>();
            match fits[..] {
                [] => MappedLocalTime::None,
                [one] => MappedLocalTime::Single(one),
                [first, second, ..] => MappedLocalTime::Ambiguous(first, second),
            }
        }

        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            unimplemented!("egrets asks for moments only")
        }

        fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
            let at = |month, day| {
                NaiveDate::from_ymd_opt(2026, month, day)
                    .unwrap()
                    .and_hms_opt(1, 0, 0)
                    .unwrap()
            };
            let summer = at(3, 29) <= *utc && *utc < at(10, 25);
            FixedOffset::east_opt(if summer { 7200 } else { 3600 }).unwrap()
        }
    }

    /// 23 November 2026, 15:30:00, an hour ahead of UTC.
    fn now() -> DateTime<Berlin> {
        Berlin.with_ymd_and_hms(2026, 11, 23, 15, 30, 0).unwrap()
    }

    fn utc(text: &str) -> String {
        parse(text, &now())
            .unwrap()
            .format("%Y-%m-%dT%H:%M:%S%.fZ")
            .to_string()
    }

    #[test]
    fn durations_are_that_long_ago() {
        for (text, time) in [
            ("10m", "2026-11-23T14:20:00Z"),
            ("2h ago", "2026-11-23T12:30:00Z"),
            ("2h 30m", "2026-11-23T12:00:00Z"),
            (" 2 hours ago ", "2026-11-23T12:30:00Z"),
            ("90s", "2026-11-23T14:28:30Z"),
            ("1day", "2026-11-22T14:30:00Z"),
        ] {
            assert_eq!(utc(text), time, "{text}");
        }
    }

    #[test]
    fn words_and_clocks_and_dates_are_local() {
        for (text, time) in [
            ("now", "2026-11-23T14:30:00Z"),
            ("Today", "2026-11-22T23:00:00Z"),
            ("yesterday", "2026-11-21T23:00:00Z"),
            ("14:00", "2026-11-23T13:00:00Z"),
            ("14:00:05", "2026-11-23T13:00:05Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-20 14:00", "2026-11-20T13:00:00Z"),
            ("2026-11-20 14:00:05", "2026-11-20T13:00:05Z"),
            ("2026-11-20T14:00:05.250", "2026-11-20T13:00:05.250Z"),
            ("11-20", "2026-11-19T23:00:00Z"),
            ("11-20 14:00:05", "2026-11-20T13:00:05Z"),
        ] {
            assert_eq!(utc(text), time, "{text}");
        }
    }

    #[test]
    fn a_zone_that_is_given_is_kept_to() {
        for text in [
            "2026-11-23T14:00:05Z",
            "2026-11-23t14:00:05z",
            "2026-11-23 14:00:05 UTC",
            "2026-11-23T16:00:05+02:00",
            "2026-11-23 09:00:05 -0500",
        ] {
            assert_eq!(utc(text), "2026-11-23T14:00:05Z", "{text}");
        }
        assert_eq!(utc("2026-11-23T14:00Z"), "2026-11-23T14:00:00Z");
    }

    #[test]
    fn an_hour_that_clocks_skipped_is_counted_on_from_before_the_jump() {
        assert_eq!(utc("2026-03-29 02:30"), "2026-03-29T01:30:00Z");
    }

    #[test]
    fn an_hour_that_came_twice_is_the_first() {
        assert_eq!(utc("2026-10-25 02:30"), "2026-10-25T00:30:00Z");
    }

    #[test]
    fn what_is_no_time_is_named_and_examples_are_given() {
        for text in [
            "",
            "soon",
            "15",
            "25:00",
            "2026-13-01",
            "2h agog",
            "ago",
            "2h\x1b[31m",
        ] {
            let error = parse(text, &now()).unwrap_err().to_string();
            let shown = crate::text::printable(text);
            assert!(
                error.starts_with(&format!("\"{shown}\" is not a time")),
                "{error}"
            );
            assert!(error.contains("yesterday, 14:00"), "{error}");
        }
    }

    #[test]
    fn times_beyond_what_can_be_counted_are_refused() {
        for text in [
            "500 years",
            "99999999999999999999y",
            "18446744073709551615s",
            "1969-12-31",
            "2262-01-02",
        ] {
            let error = parse(text, &now()).unwrap_err().to_string();
            assert!(error.contains("is outside the years"), "{text}: {error}");
        }
    }

    #[test]
    fn nanoseconds_are_exact_and_stop_at_the_ends() {
        assert_eq!(
            to_ns(DateTime::from_timestamp(1, 5).unwrap()),
            1_000_000_005
        );
        assert_eq!(to_ns(DateTime::<Utc>::MAX_UTC), i64::MAX);
        assert_eq!(to_ns(DateTime::<Utc>::MIN_UTC), i64::MIN);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text, &now());
        }

        #[test]
        fn no_date_panics(text in r"[0-9]{1,6}-[0-9]{1,3}-[0-9]{1,3}([ T][0-9]{1,3}:[0-9]{1,3})?(Z|\+[0-9]{4})?") {
            let _ = parse(&text, &now());
            let _ = parse(&text, &chrono::Local::now());
        }
    }
}
