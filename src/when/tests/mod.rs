//! Times as people write them.

pub mod tz;

use super::*;
use proptest::prelude::*;
use tz::Berlin;

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
fn durations_count_back_from_now() {
    for (text, time) in [
        ("10m", "2026-11-23T14:20:00Z"),
        ("2h ago", "2026-11-23T12:30:00Z"),
        ("2h 30m", "2026-11-23T12:00:00Z"),
        (" 2 hours ago ", "2026-11-23T12:30:00Z"),
        ("90s", "2026-11-23T14:28:30Z"),
        ("1day", "2026-11-22T14:30:00Z"),
        ("last hour", "2026-11-23T13:30:00Z"),
        ("past week", "2026-11-16T14:30:00Z"),
    ] {
        assert_eq!(utc(text), time, "{text}");
    }
}

#[test]
fn words_times_and_dates_are_local() {
    for (text, time) in [
        ("now", "2026-11-23T14:30:00Z"),
        ("Today", "2026-11-22T23:00:00Z"),
        ("yesterday", "2026-11-21T23:00:00Z"),
        ("14:00", "2026-11-23T13:00:00Z"),
        ("9am", "2026-11-23T08:00:00Z"),
        ("12:30PM", "2026-11-23T11:30:00Z"),
        ("12am", "2026-11-22T23:00:00Z"),
        ("noon", "2026-11-23T11:00:00Z"),
        ("midnight", "2026-11-22T23:00:00Z"),
        ("this week", "2026-11-22T23:00:00Z"),
        ("this month", "2026-10-31T23:00:00Z"),
        ("this year", "2025-12-31T23:00:00Z"),
        ("Sunday", "2026-11-21T23:00:00Z"),
        ("last sunday", "2026-11-21T23:00:00Z"),
        ("yesterday 14:00", "2026-11-22T13:00:00Z"),
        ("Sunday at 9am", "2026-11-22T08:00:00Z"),
        // on a Monday afternoon
        ("monday 9am", "2026-11-23T08:00:00Z"),
        ("monday 17:00", "2026-11-16T16:00:00Z"),
        ("14:00:05", "2026-11-23T13:00:05Z"),
        ("2026-11-20", "2026-11-19T23:00:00Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-11-20 14:00", "2026-11-20T13:00:00Z"),
        ("2026-11-20 14:00:05", "2026-11-20T13:00:05Z"),
        ("2026-11-20T14:00:05.250", "2026-11-20T13:00:05.250Z"),
        ("11-20", "2026-11-19T23:00:00Z"),
        ("11-20 14:00:05", "2026-11-20T13:00:05Z"),
        ("20/11/2026", "2026-11-19T23:00:00Z"),
        ("11/20/2026", "2026-11-19T23:00:00Z"),
        ("2026/11/20 9am", "2026-11-20T08:00:00Z"),
        ("05.11.2026", "2026-11-04T23:00:00Z"),
        ("05/05/2026", "2026-05-04T22:00:00Z"),
    ] {
        assert_eq!(utc(text), time, "{text}");
    }
}

#[test]
fn date_that_can_be_two_is_refused_with_both() {
    let why = parse("05/11/2026 14:00", &now()).unwrap_err().to_string();
    assert!(why.contains("2026-11-05 or 2026-05-11"), "{why}");
    for address in [
        "10.1.2.3",
        "1.2.3",
        "203.0.113.0/24",
        "2026.11.20.1",
        "1.2.2026.",
        "99/99/2026",
    ] {
        assert!(parse(address, &now()).is_err(), "{address}");
    }
}

#[test]
fn explicit_zone_is_used() {
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
    assert_eq!(utc("14:00 UTC"), "2026-11-23T14:00:00Z");
    assert_eq!(utc("yesterday 9am utc"), "2026-11-22T09:00:00Z");
}

#[test]
fn skipped_hour_counts_from_before_the_jump() {
    assert_eq!(utc("2026-03-29 02:30"), "2026-03-29T01:30:00Z");
}

#[test]
fn repeated_hour_is_the_first_one() {
    assert_eq!(utc("2026-10-25 02:30"), "2026-10-25T00:30:00Z");
}

#[test]
fn invalid_time_is_quoted_with_examples() {
    for text in [
        "",
        "soon",
        "15",
        "25:00",
        "2026-13-01",
        "2h agog",
        "13pm",
        "0am",
        "last soon",
        "monday soon",
        "this soon",
        "ago",
        "2h\x1b[31m",
    ] {
        let error = parse(text, &now()).unwrap_err().to_string();
        let shown = crate::text::printable(text);
        assert!(
            error.starts_with(&format!("\"{shown}\" is not a valid time")),
            "{error}"
        );
        assert!(error.contains("yesterday, 14:00"), "{error}");
    }
}

#[test]
fn times_out_of_range_are_refused() {
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
fn nanoseconds_are_exact_and_saturate() {
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

#[test]
fn who_is_up_before_dawn_means_the_hours_that_have_passed() {
    let at = |hour| Berlin.with_ymd_and_hms(2026, 11, 23, hour, 0, 0).unwrap();
    let span = |text: &str, hour| {
        let (from, to) = span(text, &at(hour)).unwrap();
        [from, to].map(|time| time.format("%dT%H").to_string())
    };
    assert_eq!(span("this morning", 9), ["23T05", "23T11"]);
    assert_eq!(span("this morning", 3), ["22T23", "23T11"]);
    assert_eq!(span("tonight", 20), ["23T17", "24T05"]);
    assert_eq!(span("tonight", 3), ["22T17", "23T05"]);
}
