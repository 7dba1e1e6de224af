//! What a cell of the table shows of a row.

use std::fmt::Display;

use chrono::TimeZone;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::clock::Clock;
use super::table::Align;
use crate::human;

/// Hexadecimal digits of a container's id that are shown if it has no name, as container
/// runtimes do.
pub const SHORT_ID: usize = 12;

/// What a cell is made of; strings are columns of the statement.
#[derive(Clone, Copy)]
pub enum Show {
    /// The first of these that is not NULL.
    First(&'static [&'static str]),
    /// The first of these that is not NULL if the count in the second field is 1; otherwise
    /// that count and its noun.
    Only(&'static [&'static str], &'static str, &'static str),
    /// The same, right-aligned.
    OnlyNumber(&'static str, &'static str, &'static str),
    Number(&'static str),
    Bytes(&'static str),
    /// Per cent, with a fraction.
    Percent(&'static str),
    /// The second column's number, which is of bytes if the first column says so.
    Quantity(&'static str, &'static str),
    /// Microseconds.
    Duration(&'static str),
    /// How long a connection was open, or has been.
    Lasted,
    /// ISO 8601 in UTC, shown with seconds.
    Time(&'static str),
    /// The same, shown with milliseconds.
    PreciseTime(&'static str),
    /// The start of a bucket, ISO 8601, shown in this strftime format.
    Span(&'static str, &'static str),
    /// A day, `2026-11-23`, or a month, `2026-11`.
    Date(&'static str),
    /// The host's name, or what is known instead of one.
    Host,
    /// The container's name, or else its short id.
    Container,
    /// The destination's address and port.
    Destination,
    /// The destination's port and protocol.
    Service,
}

use Show::*;

impl Show {
    /// How its column is aligned.
    pub fn align(&self) -> Align {
        match self {
            First(["host" | "qname" | "proxied_host" | "exe", ..])
            | Only(["host" | "qname", ..], ..)
            | Host => Align::Name,
            First(_) | Only(..) | Container => Align::Left,
            OnlyNumber(..) | Number(_) | Quantity(..) | Bytes(_) | Percent(_) | Duration(_)
            | Lasted => Align::Right,
            Time(_) | PreciseTime(_) | Span(..) | Date(_) | Destination | Service => Align::Whole,
        }
    }

    /// Whether it is a local time.
    pub fn is_time(&self) -> bool {
        matches!(self, Time(_) | PreciseTime(_) | Span(..) | Date(_))
    }

    /// The cell of a row; none if it is not known.
    pub fn cell<Tz: TimeZone>(
        &self,
        row: &Row<'_>,
        clock: &mut Clock<Tz>,
    ) -> rusqlite::Result<Option<String>>
    where
        Tz::Offset: Display,
    {
        let number = |column: &str| row.get::<_, Option<i64>>(column);
        let first = |columns: &[&str]| {
            let mut known = columns
                .iter()
                .filter_map(|column| text(row, column).transpose());
            known.next().transpose()
        };
        let only = |columns: &[&str], count: &str, noun: &str| match row.get::<_, i64>(count)? {
            0 => Ok(None),
            1 => first(columns),
            n => Ok(Some(format!("{n} {noun}"))),
        };
        Ok(match self {
            First(columns) => first(columns)?,
            Only(columns, count, noun) => only(columns, count, noun)?,
            OnlyNumber(column, count, noun) => only(&[column], count, noun)?,
            Number(column) => text(row, column)?,
            Quantity(unit, column) => {
                let bytes = text(row, unit)?.is_some_and(|unit| unit.contains("bytes"));
                match bytes {
                    true => number(column)?.map(human::bytes),
                    false => text(row, column)?,
                }
            }
            Bytes(column) => number(column)?.map(human::bytes),
            Percent(column) => text(row, column)?.map(|percent| format!("{percent} %")),
            Duration(column) => number(column)?.map(human::duration),
            Lasted => match number("duration_us")? {
                Some(us) => Some(human::duration(us)),
                // only where the question is about it
                None => number("open_us")
                    .ok()
                    .flatten()
                    .map(|us| format!("open {}", human::duration(us))),
            },
            Time(column) => text(row, column)?.map(|time| clock.show(&time, "%H:%M:%S")),
            PreciseTime(column) => text(row, column)?.map(|time| clock.show(&time, "%H:%M:%S%.3f")),
            Span(column, form) => text(row, column)?.map(|time| clock.show(&time, form)),
            Date(column) => text(row, column)?.map(|date| clock.date(&date)),
            Host => match (text(row, "host")?, number("dst_port")?) {
                (None, Some(53 | 853)) => Some("(DNS)".to_owned()),
                (None, Some(5353 | 5355)) => Some("(multicast DNS)".to_owned()),
                (host, _) => host,
            },
            Container => match text(row, "container_name")? {
                Some(name) if !name.is_empty() => Some(name),
                _ => text(row, "container_id")?.map(|id| id.chars().take(SHORT_ID).collect()),
            },
            Destination => {
                let port = number("dst_port")?;
                text(row, "dst_ip")?.map(|ip| match port {
                    None => ip,
                    Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
                    Some(port) => format!("{ip}:{port}"),
                })
            }
            Service => {
                let port = number("dst_port")?;
                text(row, "protocol")?.map(|protocol| match port {
                    Some(port) => format!("{port}/{protocol}"),
                    None => protocol,
                })
            }
        })
    }
}

/// A value of a row as text; none for NULL.
fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<String>> {
    Ok(plain(row.get_ref(column)?))
}

/// A value as text; none for NULL.
pub fn plain(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(n) => Some(n.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}
