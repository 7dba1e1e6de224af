//! Rows split by minutes, hours or days of the clock on the wall.

use super::super::question::Per;
use super::super::zone::Zone;

impl Per {
    /// The name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Per::Minute => "minute",
            Per::Hour => "hour",
            Per::Day => "day",
        }
    }

    fn seconds(self) -> i32 {
        match self {
            Per::Minute => 60,
            Per::Hour => 3_600,
            Per::Day => 86_400,
        }
    }

    /// A number that counts up and that the rows of one span share. Where the clocks are
    /// set back, the hour that comes twice is two, and the day is one.
    pub fn key(self, zone: &Zone) -> String {
        let size = self.seconds();
        // What is left of the offset: for hours nothing in most zones.
        let rest = zone.sql("ts", |offset| match self {
            Per::Day => offset.to_string(),
            _ => offset.rem_euclid(size).to_string(),
        });
        match rest.as_str() {
            "0" => format!("ts / {size}000000000"),
            rest => format!("(ts / 1000000000 + {rest}) / {size}"),
        }
    }

    /// The span that a group's rows are in: a date, or the time at which it began, ISO
    /// 8601 with the offset of the zone.
    pub fn label(self, zone: &Zone) -> String {
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
                Per::Day => "%Y-%m-%d".to_owned(),
            };
            let shift = match offset {
                0 => String::new(),
                _ => format!(" {sign} {}", offset.abs()),
            };
            format!("strftime('{form}', min(ts) / 1000000000{shift}, 'unixepoch')")
        };
        format!("{} AS {}", zone.sql("min(ts)", time), self.column())
    }
}
