//! A zone with daylight saving time, for tests.

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, TimeZone};

/// Central Europe in 2026: +01:00, and +02:00 from 29 March 01:00Z to 25
/// October 01:00Z.
#[derive(Clone, Copy, Debug)]
pub struct Berlin;

impl TimeZone for Berlin {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Berlin
    }

    fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        unimplemented!("egrets converts date-times only")
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
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
        unimplemented!("egrets converts date-times only")
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
