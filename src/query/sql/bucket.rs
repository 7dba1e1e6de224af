//! Groups rows by local minutes, hours, days, weeks or months.

use super::zone::Zone;
use crate::query::ast::Bucket;

impl Bucket {
    /// The name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Bucket::Minute | Bucket::Minutes(_) => "minute",
            Bucket::Hour | Bucket::Hours(_) => "hour",
            Bucket::Day => "day",
            Bucket::Week => "week",
            Bucket::Month => "month",
        }
    }

    /// Its length in seconds, if that is less than a day.
    fn seconds(self) -> Option<i32> {
        Some(match self {
            Bucket::Minute => 60,
            Bucket::Minutes(n) => 60 * i32::from(n),
            Bucket::Hour => 3_600,
            Bucket::Hours(n) => 3_600 * i32::from(n),
            Bucket::Day | Bucket::Week | Bucket::Month => return None,
        })
    }

    /// An expression on the time `ts` that groups rows into buckets and sorts the buckets. When
    /// clocks are set back, the repeated hour makes two buckets, and the long day one.
    pub fn key(self, zone: &Zone, ts: &str) -> String {
        // Hours and minutes need only the remainder of the offset, which is 0 in most zones.
        let offset = match self.seconds() {
            Some(size) => zone.sql(ts, |offset| offset.rem_euclid(size).to_string()),
            None => zone.sql(ts, |offset| offset.to_string()),
        };
        let number = |size: i32| match offset.as_str() {
            "0" => format!("{ts} / {size}000000000"),
            offset => format!("({ts} / 1000000000 + {offset}) / {size}"),
        };
        match self {
            Bucket::Minute | Bucket::Minutes(_) | Bucket::Hour | Bucket::Hours(_) => {
                number(self.seconds().unwrap_or(1))
            }
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
            Bucket::Minute | Bucket::Minutes(_) | Bucket::Hour | Bucket::Hours(_) => {
                format!("unixepoch({})", self.column())
            }
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
                Bucket::Minute | Bucket::Minutes(_) => format!("%Y-%m-%dT%H:%M:00{zone}"),
                Bucket::Hour | Bucket::Hours(_) => format!("%Y-%m-%dT%H:00:00{zone}"),
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
            let start = match self {
                // others begin where the format cuts them
                Bucket::Minutes(_) | Bucket::Hours(_) => {
                    let size = self.seconds().unwrap_or(1);
                    format!("({first} / 1000000000{shift}) / {size} * {size}")
                }
                _ => format!("{first} / 1000000000{shift}"),
            };
            format!("strftime('{form}', {start}, 'unixepoch'{monday})")
        };
        format!("{} AS {}", zone.sql(&first, time), self.column())
    }
}
