//! The history's times as a clock on the wall shows them.

use std::collections::BTreeSet;
use std::fmt::Display;

use chrono::{DateTime, Datelike, Days, NaiveDate, Offset, TimeZone};

/// Turns the history's times into those of a clock on the wall.
pub struct Clock<'a, Tz: TimeZone> {
    now: &'a DateTime<Tz>,
    /// Seconds east of UTC of all times shown: two where summer time began or
    /// ended between them.
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

    /// An ISO 8601 time, with its date, and with its year unless it is now's.
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

    /// A day of this zone, with the name that it has in the week; or a month.
    pub fn date(&mut self, date: &str) -> String {
        let read = |date: &str| NaiveDate::parse_from_str(date, "%Y-%m-%d").ok();
        let (first, last, form) = match (read(date), read(&format!("{date}-01"))) {
            (Some(day), _) => (day, Some(day), "%Y-%m-%d %a"),
            (_, Some(day)) => (day, day.checked_add_days(Days::new(27)), "%Y-%m"),
            _ => return date.to_owned(),
        };
        // The zone is that of their noons: clocks change at night.
        for day in [Some(first), last].into_iter().flatten() {
            if let Some(noon) = day.and_hms_opt(12, 0, 0) {
                let offset = self.now.timezone().offset_from_utc_datetime(&noon);
                self.offsets.insert(offset.fix().local_minus_utc());
            }
        }
        first.format(form).to_string()
    }

    /// The zone of all the times shown.
    pub fn zone(&self) -> String {
        zone_name(self.offsets.iter().copied())
    }
}

/// What to call the zone of times at these offsets (seconds east of UTC).
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
