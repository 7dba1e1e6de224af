//! Groups rows by local minutes, hours, days, weeks or months.

use super::zone::Zone;
use crate::query::ast::Bucket;

impl Bucket {
    /// The name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Bucket::Minute => "minute",
            Bucket::Hour => "hour",
            Bucket::Day => "day",
            Bucket::Week => "week",
            Bucket::Month => "month",
        }
    }

    /// An expression on the time `ts` that groups rows into buckets and sorts the buckets. When
    /// clocks are set back, the repeated hour makes two buckets, and the long day one.
    pub fn key(self, zone: &Zone, ts: &str) -> String {
        // Hours and minutes need only the remainder of the offset, which is 0 in most zones.
        let offset = match self {
            Bucket::Minute => zone.sql(ts, |offset| offset.rem_euclid(60).to_string()),
            Bucket::Hour => zone.sql(ts, |offset| offset.rem_euclid(3_600).to_string()),
            _ => zone.sql(ts, |offset| offset.to_string()),
        };
        let number = |size: i32| match offset.as_str() {
            "0" => format!("{ts} / {size}000000000"),
            offset => format!("({ts} / 1000000000 + {offset}) / {size}"),
        };
        match self {
            Bucket::Minute => number(60),
            Bucket::Hour => number(3_600),
            Bucket::Day => number(86_400),
            // 1970 began on a Thursday.
            Bucket::Week => format!("({} + 3) / 7", number(86_400)),
            Bucket::Month => {
                let shift = match offset.as_str() {
                    "0" => String::new(),
                    offset => format!(" + {offset}"),
                };
                format!("strftime('%Y-%m', {ts} / 1000000000{shift}, 'unixepoch')")
            }
        }
    }

    /// An expression on its column that sorts the buckets: a repeated hour differs by its offset.
    pub fn order(self) -> String {
        match self {
            Bucket::Minute | Bucket::Hour => format!("unixepoch({})", self.column()),
            Bucket::Day | Bucket::Week | Bucket::Month => self.column().to_owned(),
        }
    }

    /// Whether it consists of whole days.
    pub fn is_of_days(self) -> bool {
        matches!(self, Bucket::Day | Bucket::Week | Bucket::Month)
    }

    /// The column that names a group's bucket: a month, a date (for a week, its Monday), or its
    /// start in ISO 8601 with the zone's offset.
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
                Bucket::Minute => format!("%Y-%m-%dT%H:%M:00{zone}"),
                Bucket::Hour => format!("%Y-%m-%dT%H:00:00{zone}"),
                Bucket::Day | Bucket::Week => "%Y-%m-%d".to_owned(),
                Bucket::Month => "%Y-%m".to_owned(),
            };
            let monday = match self {
                Bucket::Week => ", '-6 days', 'weekday 1'",
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
