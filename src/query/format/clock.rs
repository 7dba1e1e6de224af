//! The history's times as local times.

use std::collections::BTreeSet;
use std::fmt::Display;

use chrono::{DateTime, Datelike, Days, NaiveDate, Offset, TimeZone};

/// Converts times to a zone, and remembers the offsets that it used.
pub struct Clock<'a, Tz: TimeZone> {
    now: &'a DateTime<Tz>,
    /// Seconds east of UTC of all times shown so far: several if daylight saving time began
    /// or ended between them.
    offsets: BTreeSet<i32>,
}

impl<'a, Tz: TimeZone> Clock<'a, Tz>
where
    Tz::Offset: Display,
{
    /// A clock in the zone of `now`.
    pub fn new(now: &'a DateTime<Tz>) -> Self {
        Clock {
            now,
            offsets: BTreeSet::new(),
        }
    }

    /// Shows an ISO 8601 time with its date, and with its year unless it is the current one.
    pub fn show(&mut self, iso: &str, clock: &str) -> String {
        let Ok(time) = DateTime::parse_from_rfc3339(iso) else {
            return iso.to_owned();
        };
        let time = time.with_timezone(&self.now.timezone());
        self.offsets.insert(time.offset().fix().local_minus_utc());
        let date = if time.year() == self.now.year() {
            "%m-%d"
        } else {
            "%Y-%m-%d"
        };
        time.format(&format!("{date} {clock}")).to_string()
    }

    /// Shows a local day with its weekday, or a month.
    pub fn date(&mut self, date: &str) -> String {
        let read = |date: &str| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok();
        let (first, last, form) = match (read(date), read(&format!("{date}-01"))) {
            (Some(day), _) => (day, Some(day), "%Y-%m-%d %a"),
            (_, Some(day)) => (day, day.checked_add_days(Days::new(27)), "%Y-%m"),
            _ => return date.to_owned(),
        };
        // Take the offset at noon: clocks change at night.
        for day in [Some(first), last].into_iter().flatten() {
            if let Some(noon) = day.and_hms_opt(12, 0, 0) {
                let offset = self.now.timezone().offset_from_utc_datetime(&noon);
                self.offsets.insert(offset.fix().local_minus_utc());
            }
        }
        first.format(form).to_string()
    }

    /// The name of the zone of all times shown so far.
    pub fn zone(&self) -> String {
        zone_name(self.offsets.iter().copied())
    }
}

/// The name of a zone for times with these offsets (seconds east of UTC).
pub fn zone_name(offsets: impl IntoIterator<Item = i32>) -> String {
    let mut offsets = offsets.into_iter();
    match (offsets.next(), offsets.next()) {
        (Some(0), None) => "UTC".to_owned(),
        (Some(east), None) => {
            let sign = if east < 0 { '-' } else { '+' };
            let minutes = east.abs() / 60;
            format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        _ => "local time".to_owned(),
    }
}
