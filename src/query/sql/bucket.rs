//! Rows split by minutes, hours, days, weeks or months of the clock on the wall.

use super::super::question::Per;
use super::super::zone::Zone;

impl Per {
    /// The name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Per::Minute => "minute",
            Per::Hour => "hour",
            Per::Day => "day",
            Per::Week => "week",
            Per::Month => "month",
        }
    }

    /// What the rows of one span share, by their time `ts`, and what sorts spans by time. Where
    /// the clocks are set back, the hour that comes twice is two, and the day is one.
    pub fn key(self, zone: &Zone, ts: &str) -> String {
        // The offset, or what is left of it: for hours nothing in most zones.
        let offset = match self {
            Per::Minute => zone.sql(ts, |offset| offset.rem_euclid(60).to_string()),
            Per::Hour => zone.sql(ts, |offset| offset.rem_euclid(3_600).to_string()),
            _ => zone.sql(ts, |offset| offset.to_string()),
        };
        let number = |size: i32| match offset.as_str() {
            "0" => format!("{ts} / {size}000000000"),
            offset => format!("({ts} / 1000000000 + {offset}) / {size}"),
        };
        match self {
            Per::Minute => number(60),
            Per::Hour => number(3_600),
            Per::Day => number(86_400),
            // 1970 began on a Thursday.
            Per::Week => format!("({} + 3) / 7", number(86_400)),
            Per::Month => {
                let shift = match offset.as_str() {
                    "0" => String::new(),
                    offset => format!(" + {offset}"),
                };
                format!("strftime('%Y-%m', {ts} / 1000000000{shift}, 'unixepoch')")
            }
        }
    }

    /// What sorts the spans by their column: an hour that comes twice differs in its offset.
    pub fn order(self) -> String {
        match self {
            Per::Minute | Per::Hour => format!("unixepoch({})", self.column()),
            Per::Day | Per::Week | Per::Month => self.column().to_owned(),
        }
    }

    /// Whether it is one whole day or more.
    pub fn is_of_days(self) -> bool {
        matches!(self, Per::Day | Per::Week | Per::Month)
    }

    /// The span that a group's rows are in: a month, a date (of a week its Monday's), or the
    /// time at which it began, ISO 8601 with the offset of the zone.
    pub fn label(self, zone: &Zone, ts: &str) -> String {
        let first = format!("min({ts})");
        let time = |offset: i32| {
            let sign = if offset < 0 { '-' } else { '+' };
            let minutes = offset.abs() / 60;
            let zone = match offset {
                0 => "Z".to_owned(),
                _ => format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60),
            };
            let form = match self {
                Per::Minute => format!("%Y-%m-%dT%H:%M:00{zone}"),
                Per::Hour => format!("%Y-%m-%dT%H:00:00{zone}"),
                Per::Day | Per::Week => "%Y-%m-%d".to_owned(),
                Per::Month => "%Y-%m".to_owned(),
            };
            let monday = match self {
                Per::Week => ", '-6 days', 'weekday 1'",
                _ => "",
            };
            let shift = match offset {
                0 => String::new(),
                _ => format!(" {sign} {}", offset.abs()),
            };
            format!("strftime('{form}', {first} / 1000000000{shift}, 'unixepoch'{monday})")
        };
        format!("{} AS {}", zone.sql(&first, time), self.column())
    }
}
