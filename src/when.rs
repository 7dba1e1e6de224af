//! Parses the times that the command line and questions accept.

use anyhow::{Context, Result, bail};
use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Timelike, Utc, Weekday,
};

const EXAMPLES: &str = "10m, 2h 30m ago, now, today, yesterday, 14:00, \
                        2026-11-23, 2026-11-23 14:00, 2026-11-23T14:00:05Z";

#[cfg(test)]
pub mod tests;

/// The hour at which a morning begins, for those who do not speak of it before.
const MORNING: u32 = 6;

/// Formats of a time of day, alone or after a date.
const CLOCKS: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];

/// Parses a time, in the zone of `now` unless `text` has a zone.
///
/// A duration (`10m`, `2h 30m`, with or without `ago`) is that long before `now`. A date alone
/// is its start, and so is a day of the week, which is the latest such day; both can be
/// followed by a time (`monday 9am`, the latest one too). `this week` is its start. A time alone (`14:00`, `9am`,
/// `noon`) is today's; a date without a year (`11-23 14:00`, as in tables) is this year's. A
/// local time that occurs twice, when clocks are set back, is the first one; one that is
/// skipped, when they are set forward, counts from before the jump.
///
/// # Errors
///
/// When `text` is none of these, or outside the years 1970 to 2261, the range of nanoseconds
/// in an `i64`.
pub fn parse<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<DateTime<Utc>> {
    let shown = || crate::text::clip(&crate::text::printable(text), 60).into_owned();
    if let Some(time) = in_utc(text) {
        return parse(time, &now.to_utc());
    }
    let date = text.split_whitespace().next().unwrap_or_default();
    if let [one, other] = numeric_dates(date)[..] {
        bail!("\"{}\" is {one} or {other}: write it so", shown());
    }
    let Some(time) = relative(text, now)
        .or_else(|| zoned(text))
        .or_else(|| local(text, now))
    else {
        bail!(
            "\"{}\" is not a valid time; try one of: {EXAMPLES}",
            shown()
        );
    };
    time.filter(|time| (1970..2262).contains(&time.year()))
        .with_context(|| format!("\"{}\" is outside the years 1970 to 2261", shown()))
}

/// What stands before `UTC`, if that is a time without a zone: `14:00 UTC`, `yesterday 9am utc`.
fn in_utc(text: &str) -> Option<&str> {
    let (time, zone) = text.trim().rsplit_once(' ')?;
    let is_utc = ["utc", "gmt"]
        .iter()
        .any(|one| zone.eq_ignore_ascii_case(one));
    (is_utc && zoned(text).is_none()).then_some(time)
}

/// The span that words name: `last night` (18:00 to 6:00), `this morning`, `yesterday evening`,
/// `last week` (Monday to Monday), `last month`, `last year`. Its end may be in the future.
pub fn span<Tz: TimeZone>(
    text: &str,
    now: &DateTime<Tz>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let lower = text.trim().to_ascii_lowercase();
    let today = now.date_naive();
    // who is still up says "tonight" and "this morning" of what has begun
    let before_dawn = now.hour() < MORNING;
    let mut named = "";
    let (day, part) = match lower.as_str() {
        "last night" | "overnight" => (today.pred_opt()?, "night"),
        "tonight" if before_dawn => (today.pred_opt()?, "night"),
        "tonight" => (today, "night"),
        "this morning" if before_dawn => (today, "small hours"),
        "last week" | "previous week" => {
            let monday = monday(today)?;
            return whole_days(monday.checked_sub_days(Days::new(7))?, monday, now);
        }
        "last month" | "previous month" => {
            let first = today.with_day(1)?;
            return whole_days(first.pred_opt()?.with_day(1)?, first, now);
        }
        "last year" | "previous year" => {
            let first = today.with_ordinal(1)?;
            return whole_days(first.pred_opt()?.with_ordinal(1)?, first, now);
        }
        "last weekend" | "the weekend" | "weekend" => {
            let monday = monday(today)?;
            return whole_days(monday.checked_sub_days(Days::new(2))?, monday, now);
        }
        text => {
            let (date, part) = text.rsplit_once(' ')?;
            named = date;
            match date {
                "this" => (today, part),
                date => (day(date, now)??, part),
            }
        }
    };
    let (from, hours) = match part {
        "small hours" => (0, 12),
        "morning" => (MORNING, 6),
        "afternoon" => (12, 6),
        "evening" => (18, 6),
        "night" => (18, 12),
        _ => return None,
    };
    let from = day.and_time(NaiveTime::from_hms_opt(from, 0, 0)?);
    let from = latest(named, from, now);
    let to = from.checked_add_signed(TimeDelta::hours(hours))?;
    Some((in_zone(from, now)?, in_zone(to, now)?))
}

/// The whole month that words name: `november`, `november 2025`. Without a year, the latest that
/// has begun.
pub fn month<Tz: TimeZone>(
    text: &str,
    now: &DateTime<Tz>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (name, year) = text.split_once(' ').unwrap_or((text, ""));
    let month = name.parse::<chrono::Month>().ok()?.number_from_month();
    let today = now.date_naive();
    let year = match year {
        "" if month > today.month() => today.year() - 1,
        "" => today.year(),
        year => year.parse().ok().filter(|_| year.len() == 4)?,
    };
    let first = NaiveDate::from_ymd_opt(year, month, 1)?;
    whole_days(
        first,
        first.checked_add_months(chrono::Months::new(1))?,
        now,
    )
}

/// The latest day of a month: `20 november`, `nov 20`, `november 20th`, `21st`.
fn day_of_month(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    let number = |day: &str| {
        let endings = ["st", "nd", "rd", "th"];
        let ordinal = endings.iter().find_map(|end| day.strip_suffix(end));
        let number = ordinal.unwrap_or(day).parse::<u32>().ok()?;
        Some((number, ordinal.is_some()))
    };
    let Some((first, last)) = text.split_once(' ') else {
        let (day, _) = number(text).filter(|&(_, ordinal)| ordinal)?;
        let months = (0..12).filter_map(|ago| {
            let month = today.with_day(1)?;
            let month = month.checked_sub_months(chrono::Months::new(ago))?;
            month.with_day(day)
        });
        return months.into_iter().find(|&date| date <= today);
    };
    let (name, day) = match first.starts_with(|c: char| c.is_ascii_digit()) {
        true => (last.strip_prefix("of ").unwrap_or(last), first),
        false => (first, last),
    };
    let month = name.parse::<chrono::Month>().ok()?.number_from_month();
    let (day, _) = number(day)?;
    let of = |year| NaiveDate::from_ymd_opt(year, month, day);
    of(today.year())
        .filter(|&date| date <= today)
        .or_else(|| of(today.year() - 1))
}

/// What a date in numbers can mean: `28/11/2026`, `28.11.2026`, `2026/11/28`, and what some write
/// with the month first, `11/28/2026`.
fn numeric_dates(text: &str) -> Vec<NaiveDate> {
    let separator = if text.contains('/') { '/' } else { '.' };
    let number = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u32>().ok(),
        false => None,
    };
    let numbers = text
        .split(separator)
        .map(number)
        .collect::<Option<Vec<u32>>>();
    let date = |year: u32, month, day| NaiveDate::from_ymd_opt(year as i32, month, day);
    let is_year = |number| (1970..2262).contains(&number);
    let [first, second, third] = numbers.unwrap_or_default()[..] else {
        return Vec::new();
    };
    let readings = match (separator, is_year(first), is_year(third)) {
        ('/', true, _) => [date(first, second, third), None],
        ('/', _, true) => [date(third, second, first), date(third, first, second)],
        (_, _, true) => [date(third, second, first), None],
        _ => [None, None],
    };
    let mut readings = Vec::from_iter(readings.into_iter().flatten());
    readings.dedup();
    readings
}

/// The Monday of a day's week.
fn monday(day: NaiveDate) -> Option<NaiveDate> {
    day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()))
}

fn whole_days<Tz: TimeZone>(
    from: NaiveDate,
    to: NaiveDate,
    now: &DateTime<Tz>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    Some((in_zone(from.into(), now)?, in_zone(to.into(), now)?))
}

/// Around a time of day: five minutes either way; half an hour if it is a whole hour
/// without minutes (`3am`). The latest such time if `text` names no day.
pub fn around<Tz: TimeZone>(
    text: &str,
    now: &DateTime<Tz>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Some(time) = in_utc(text) {
        return around(time, &now.to_utc());
    }
    let text = text.trim().to_ascii_lowercase();
    let time = text.rsplit(' ').next()?;
    clock(time)?;
    let mut middle = parse(&text, now).ok()?;
    if text == time && middle > now.to_utc() {
        middle = parse(&format!("yesterday {time}"), now).ok()?;
    }
    let minutes = if time.contains(":") { 5 } else { 30 };
    let around = TimeDelta::minutes(minutes);
    Some((
        middle.checked_sub_signed(around)?,
        middle.checked_add_signed(around)?,
    ))
}

/// Around a time that was so long ago (`5 minutes ago`): half the last unit that was named, or a
/// tenth of the whole if that is more; `3 days ago` is all that day.
pub fn ago<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let text = text.trim().to_ascii_lowercase();
    let length = text.strip_suffix(" ago")?;
    let middle = parse(length, now).ok()?;
    let last = length.rsplit(|c: char| !c.is_alphabetic()).next()?;
    let unit = now.to_utc() - parse(&format!("1 {last}"), now).ok()?;
    if unit == TimeDelta::days(1) {
        let day = middle.with_timezone(&now.timezone()).date_naive();
        return whole_days(day, day.succ_opt()?, now);
    }
    let margin = (unit / 2).max((now.to_utc() - middle) / 10);
    Some((
        middle.checked_sub_signed(margin)?,
        middle.checked_add_signed(margin)?.min(now.to_utc()),
    ))
}

/// Parses the beginning of a span: a time, or a span that words name.
///
/// # Errors
///
/// As for [`parse`].
pub fn parse_start<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<DateTime<Utc>> {
    // "since last week" is from its Monday on, while "since last hour" is an hour's length
    span(text, now).map_or_else(|| parse(text, now), |(from, _)| Ok(from))
}

/// Nanoseconds since 1970.
pub fn now_ts() -> i64 {
    to_ns(Utc::now())
}

/// Nanoseconds since 1970-01-01T00:00:00Z, like the history's `ts`; saturates at the range of
/// an `i64`.
pub fn to_ns(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt()
        .unwrap_or(if time.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        })
}

/// Nanoseconds since 1970 as ISO 8601 in UTC with milliseconds, like the views' `time` columns.
pub fn iso(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns)
        .format("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// The result of trying one form of time: `None` if the text has another form, `Some(None)` if
/// it has this form but is out of range.
type Attempt = Option<Option<DateTime<Utc>>>;

/// Times relative to now.
fn relative<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Attempt {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.as_str();
    if lower == "now" {
        return Some(Some(now.to_utc()));
    }
    let at = |time: Option<NaiveDateTime>| time.map(|time| in_zone(time, now));
    if let Some(date) = day(lower, now) {
        return Some(at(date.map(NaiveDateTime::from)).flatten());
    }
    if let Some((date, time)) = lower.rsplit_once(' ')
        && let Some(time) = clock(time)
        && let date = date.strip_suffix(" at").unwrap_or(date).trim_end()
        && let Some(day) = day(date, now)
    {
        return Some(at(day.map(|day| latest(date, day.and_time(time), now))).flatten());
    }
    let duration = match lower.strip_prefix("last ").or(lower.strip_prefix("past ")) {
        // "last week" is 1 week; before a number, "1 " would be another digit
        Some(unit) if unit.starts_with(char::is_alphabetic) => format!("1 {unit}"),
        _ => lower
            .strip_suffix("ago")
            .unwrap_or(lower)
            .trim_end()
            .to_owned(),
    };
    match humantime::parse_duration(&duration) {
        Ok(length) => Some(
            TimeDelta::from_std(length)
                .ok()
                .and_then(|length| now.to_utc().checked_sub_signed(length)),
        ),
        Err(humantime::DurationError::NumberOverflow) => Some(None),
        Err(_) => None,
    }
}

/// A time on a day of the week: the latest such one.
fn latest<Tz: TimeZone>(day: &str, time: NaiveDateTime, now: &DateTime<Tz>) -> NaiveDateTime {
    let day = day.strip_prefix("last ").unwrap_or(day);
    let week = day.parse::<Weekday>().is_ok().then_some(TimeDelta::days(7));
    let to_come = time > now.naive_local();
    let before = week.filter(|_| to_come);
    before.map_or(time, |week| time.checked_sub_signed(week).unwrap_or(time))
}

/// The day that a word names; `Some(None)` if it is before the calendar's start.
fn day<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Option<Option<NaiveDate>> {
    let today = now.date_naive();
    let ago = |days: u32| Some(today.checked_sub_days(Days::new(days.into())));
    match text {
        "today" | "this day" => ago(0),
        "yesterday" => ago(1),
        "this week" => ago(now.weekday().num_days_from_monday()),
        "this month" => ago(today.day0()),
        "this year" => ago(today.ordinal0()),
        "day before yesterday" => ago(2),
        text if day_of_month(text, today).is_some() => Some(day_of_month(text, today)),
        text if let [date] = numeric_dates(text)[..] => Some(Some(date)),
        text => {
            let weekday = text
                .strip_prefix("last ")
                .unwrap_or(text)
                .parse::<Weekday>();
            ago(now.weekday().days_since(weekday.ok()?))
        }
    }
}

/// A time of day: 14:00, 9am, 9:30pm, noon.
fn clock(text: &str) -> Option<NaiveTime> {
    let lower = text.to_ascii_lowercase();
    let half = lower.strip_suffix("am").map(|hour| (hour, 0));
    if let Some((time, noon)) = half.or_else(|| lower.strip_suffix("pm").map(|hour| (hour, 12))) {
        let (hour, minute) = time.split_once(':').unwrap_or((time, "0"));
        let hour = hour
            .parse::<u32>()
            .ok()
            .filter(|hour| (1..=12).contains(hour))?;
        return NaiveTime::from_hms_opt(hour % 12 + noon, minute.parse().ok()?, 0);
    }
    match lower.as_str() {
        "midnight" => Some(NaiveTime::MIN),
        "noon" => NaiveTime::from_hms_opt(12, 0, 0),
        _ => CLOCKS
            .iter()
            .find_map(|form| NaiveTime::parse_from_str(text, form).ok()),
    }
}

/// Dates with a time and a zone: RFC 3339 and looser forms of it.
fn zoned(text: &str) -> Attempt {
    let text = text.trim();
    let text = match text.strip_suffix("UTC").or(text.strip_suffix("utc")) {
        Some(time) => format!("{}Z", time.trim_end()),
        None => text.replacen('t', "T", 1).replace('z', "Z"),
    };
    dates(|date| format!("{date}%#z"))
        .find_map(|form| DateTime::parse_from_str(&text, &form).ok())
        .map(|time| Some(time.to_utc()))
}

/// Local dates and times in the zone of `now`.
fn local<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Attempt {
    let text = text.trim();
    let today = now.date_naive();
    let this_year = format!("{}-{text}", today.year());
    let date = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let moment = |text: &str| {
        dates(str::to_owned).find_map(|form| NaiveDateTime::parse_from_str(text, &form).ok())
    };
    moment(text)
        .or_else(|| date(text).map(NaiveDateTime::from))
        .or_else(|| clock(text).map(|time| today.and_time(time)))
        .or_else(|| moment(&this_year))
        .or_else(|| date(&this_year).map(NaiveDateTime::from))
        .map(|time| in_zone(time, now))
}

/// Formats of a date with a time, each completed by `ending`.
fn dates(ending: impl Fn(&str) -> String) -> impl Iterator<Item = String> {
    ["%Y-%m-%d ", "%Y-%m-%dT"]
        .into_iter()
        .flat_map(|date| CLOCKS.map(|clock| format!("{date}{clock}")))
        .map(move |form| ending(&form))
}

/// The instant of a local time in the zone of `now`.
fn in_zone<Tz: TimeZone>(time: NaiveDateTime, now: &DateTime<Tz>) -> Option<DateTime<Utc>> {
    // Zone data is only queried for years in range.
    if !(1969..=2262).contains(&time.year()) {
        return None;
    }
    let zone = now.timezone();
    match zone.from_local_datetime(&time) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => Some(moment.to_utc()),
        LocalResult::None => {
            // Offsets are less than a day, so the day before is before the jump.
            let day_before = time.checked_sub_days(Days::new(1))?;
            let offset = zone.offset_from_utc_datetime(&day_before).fix();
            Some(time.checked_sub_offset(offset)?.and_utc())
        }
    }
}
