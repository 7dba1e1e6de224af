//! What the table shows for each question.

use std::fmt::Display;

use chrono::TimeZone;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::clock::Clock;
use super::human;
use super::question::{Actors, From, List, Question};
use super::table::Align;

/// Hexadecimal digits of a container's id that are shown where it has no name,
/// as the usual runtimes do.
pub const SHORT_ID: usize = 12;

/// A column of the table: its title, and what it shows of a row.
pub struct Column(pub &'static str, pub Show);

/// What a cell is made of: columns of the statement, by name.
pub enum Show {
    /// The first of these that is known.
    First(&'static [&'static str]),
    /// The first of these that is known where the second, a count, is 1; else
    /// that count and its noun.
    Only(&'static [&'static str], &'static str, &'static str),
    /// The same for numbers.
    OnlyNumber(&'static str, &'static str, &'static str),
    Number(&'static str),
    Bytes(&'static str),
    /// Microseconds.
    Duration(&'static str),
    /// ISO 8601 in UTC, shown to the second.
    Time(&'static str),
    /// The same, shown to the millisecond.
    PreciseTime(&'static str),
    /// The container's name, else its short id.
    Container,
    /// The destination's address and port.
    Destination,
    /// The destination's port and protocol.
    Service,
}

use Show::*;

const USER: Column = Column("USER", First(&["user", "uid"]));
const CONTAINER: Column = Column("CONTAINER", Container);
const HOST: Column = Column("HOST", Only(&["host", "dst_ip"], "hosts", "hosts"));
const PROCESSES: Column = Column("PROCESS", Only(&["comm"], "comms", "programs"));
const CONNECTIONS: Column = Column("CONNS", Number("connections"));
const FAILED: Column = Column("FAILED", Number("failed"));
const SENT: Column = Column("SENT", Bytes("tx_bytes"));
const RECEIVED: Column = Column("RECEIVED", Bytes("rx_bytes"));
const FIRST_SEEN: Column = Column("FIRST SEEN", Time("first_seen"));
const LAST_SEEN: Column = Column("LAST SEEN", Time("last_seen"));

const BY_PROCESS: &[Column] = &[
    Column("PROCESS", First(&["comm"])),
    Column("PID", OnlyNumber("pid", "pids", "pids")),
    USER,
    CONTAINER,
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_CONTAINER: &[Column] = &[
    CONTAINER,
    Column("IMAGE", First(&["container_image"])),
    PROCESSES,
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_USER: &[Column] = &[
    USER,
    PROCESSES,
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_DESTINATION: &[Column] = &[
    Column("HOST", First(&["host"])),
    Column("ADDRESS", Only(&["dst_ip"], "addresses", "addresses")),
    Column("PORT", Service),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const UNIT: Column = Column("UNIT", First(&["unit"]));

const BY_IMAGE: &[Column] = &[
    Column("IMAGE", First(&["container_image"])),
    Column("CONTAINERS", Number("containers")),
    PROCESSES,
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_UNIT: &[Column] = &[
    UNIT,
    PROCESSES,
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_ADDRESS: &[Column] = &[
    Column("ADDRESS", First(&["dst_ip"])),
    HOST,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BY_PORT: &[Column] = &[
    Column("PORT", Service),
    PROCESSES,
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const COUNTED: &[Column] = &[
    Column("NUMBER", Number("number")),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const BYTES: &[Column] = &[
    Column("BYTES", Bytes("bytes")),
    CONNECTIONS,
    FAILED,
    SENT,
    RECEIVED,
    FIRST_SEEN,
    LAST_SEEN,
];

const EACH_CONNECTION: &[Column] = &[
    Column("TIME", PreciseTime("time")),
    Column("PROCESS", First(&["comm"])),
    Column("PID", Number("pid")),
    Column("HOST", First(&["host"])),
    Column("DESTINATION", Destination),
    Column("PROTOCOL", First(&["protocol"])),
    Column("OUTCOME", First(&["outcome"])),
    SENT,
    RECEIVED,
    Column("DURATION", Duration("duration_us")),
    Column("ID", Number("id")),
];

const LOOKUPS: Column = Column("LOOKUPS", Number("lookups"));
const ASKED_BY: Column = Column("ASKED BY", Only(&["comm"], "comms", "programs"));
const ASKERS_PID: Column = Column("PID", OnlyNumber("pid", "pids", "pids"));
const PLACE: Column = Column("CONTAINER", Only(&["container_name"], "places", "places"));

const QNAME: Column = Column("NAME", Only(&["qname"], "qnames", "names"));

const ASKING_PROCESSES: &[Column] = &[
    Column("PROCESS", First(&["comm"])),
    Column("PID", OnlyNumber("pid", "pids", "pids")),
    USER,
    CONTAINER,
    QNAME,
    LOOKUPS,
    FAILED,
    FIRST_SEEN,
    LAST_SEEN,
];

const ASKING_CONTAINERS: &[Column] = &[
    CONTAINER,
    Column("IMAGE", First(&["container_image"])),
    PROCESSES,
    QNAME,
    LOOKUPS,
    FAILED,
    FIRST_SEEN,
    LAST_SEEN,
];

const ASKING_IMAGES: &[Column] = &[
    Column("IMAGE", First(&["container_image"])),
    Column("CONTAINERS", Number("containers")),
    PROCESSES,
    QNAME,
    LOOKUPS,
    FAILED,
    FIRST_SEEN,
    LAST_SEEN,
];

const ASKING_USERS: &[Column] = &[
    USER, PROCESSES, QNAME, LOOKUPS, FAILED, FIRST_SEEN, LAST_SEEN,
];

const ASKING_UNITS: &[Column] = &[
    UNIT, PROCESSES, QNAME, LOOKUPS, FAILED, FIRST_SEEN, LAST_SEEN,
];

const BY_QNAME: &[Column] = &[
    Column("NAME", First(&["qname"])),
    ASKED_BY,
    ASKERS_PID,
    PLACE,
    LOOKUPS,
    FAILED,
    FIRST_SEEN,
    LAST_SEEN,
];

const EACH_LOOKUP: &[Column] = &[
    Column("TIME", PreciseTime("time")),
    Column("PROCESS", First(&["comm"])),
    Column("PID", First(&["pid"])),
    CONTAINER,
    Column("NAME", First(&["qname"])),
    Column("TYPE", First(&["qtype"])),
    Column("RESULT", First(&["result"])),
    Column("SERVER", First(&["server_ip"])),
    Column("LATENCY", Duration("latency_us")),
    Column("ID", Number("id")),
];

const COUNTED_LOOKUPS: &[Column] = &[
    Column("NUMBER", Number("number")),
    LOOKUPS,
    FAILED,
    FIRST_SEEN,
    LAST_SEEN,
];

const NEVER_CONTACTED: &[Column] = &[
    Column("NAME", First(&["qname"])),
    ASKED_BY,
    ASKERS_PID,
    PLACE,
    LOOKUPS,
    Column("ADDRESS", Only(&["ips"], "addresses", "addresses")),
    FIRST_SEEN,
    LAST_SEEN,
];

const FAILED_LOOKUPS: &[Column] = &[
    Column("NAME", First(&["qname"])),
    Column("TYPE", First(&["qtype"])),
    Column("RESULT", First(&["result"])),
    ASKED_BY,
    ASKERS_PID,
    PLACE,
    LOOKUPS,
    FIRST_SEEN,
    LAST_SEEN,
];

/// What an answer's rows are, for the line that counts them: one, many, and the
/// column that says how many of them a row is, if it is not one.
pub struct Noun(pub &'static str, pub &'static str, pub Option<&'static str>);

const CONNECTION: Noun = Noun("connection", "connections", Some("connections"));

const LOOKUP: Noun = Noun("lookup", "lookups", Some("lookups"));

/// How a question's answer is shown to people.
pub fn shape(question: &Question) -> (&'static [Column], &'static [Noun]) {
    match (question.list, question.from) {
        (List::Actors(actors), From::Connections) => match actors {
            Actors::Processes => (
                BY_PROCESS,
                &[Noun("process", "processes", Some("pids")), CONNECTION],
            ),
            Actors::Containers => (
                BY_CONTAINER,
                &[Noun("container", "containers", None), CONNECTION],
            ),
            Actors::Images => (BY_IMAGE, &[Noun("image", "images", None), CONNECTION]),
            Actors::Users => (BY_USER, &[Noun("user", "users", None), CONNECTION]),
            Actors::Units => (BY_UNIT, &[Noun("unit", "units", None), CONNECTION]),
        },
        (List::Actors(actors), From::Lookups) => match actors {
            Actors::Processes => (
                ASKING_PROCESSES,
                &[Noun("process", "processes", Some("pids")), LOOKUP],
            ),
            Actors::Containers => (
                ASKING_CONTAINERS,
                &[Noun("container", "containers", None), LOOKUP],
            ),
            Actors::Images => (ASKING_IMAGES, &[Noun("image", "images", None), LOOKUP]),
            Actors::Users => (ASKING_USERS, &[Noun("user", "users", None), LOOKUP]),
            Actors::Units => (ASKING_UNITS, &[Noun("unit", "units", None), LOOKUP]),
        },
        (List::Destinations, From::Connections) => (
            BY_DESTINATION,
            &[Noun("destination", "destinations", None), CONNECTION],
        ),
        (List::Destinations, From::Lookups) => (BY_QNAME, &[Noun("name", "names", None), LOOKUP]),
        (List::Addresses, _) => (
            BY_ADDRESS,
            &[Noun("address", "addresses", None), CONNECTION],
        ),
        (List::Ports, _) => (BY_PORT, &[Noun("port", "ports", None), CONNECTION]),
        (List::Each, From::Connections) => {
            (EACH_CONNECTION, &[Noun("connection", "connections", None)])
        }
        (List::Each, From::Lookups) => (EACH_LOOKUP, &[Noun("lookup", "lookups", None)]),
        (List::Count(_), From::Connections) => (COUNTED, &[CONNECTION]),
        (List::Count(_), From::Lookups) => (COUNTED_LOOKUPS, &[LOOKUP]),
        (List::Bytes, _) => (BYTES, &[CONNECTION]),
        (List::NeverContacted, _) => (NEVER_CONTACTED, &[Noun("name", "names", None), LOOKUP]),
        (List::FailedLookups, _) => (FAILED_LOOKUPS, &[LOOKUP]),
    }
}

impl Show {
    /// How its column stands.
    pub fn align(&self) -> Align {
        match self {
            First(_) | Only(..) | Container => Align::Left,
            OnlyNumber(..) | Number(_) | Bytes(_) | Duration(_) => Align::Right,
            Time(_) | PreciseTime(_) | Destination | Service => Align::Whole,
        }
    }

    /// Whether it is a time, in the zone that the title names.
    pub fn is_time(&self) -> bool {
        matches!(self, Time(_) | PreciseTime(_))
    }

    /// The cell of a row; none where what it shows is not known.
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
            Bytes(column) => number(column)?.map(human::bytes),
            Duration(column) => number(column)?.map(human::duration),
            Time(column) => text(row, column)?.map(|time| clock.show(&time, "%H:%M:%S")),
            PreciseTime(column) => text(row, column)?.map(|time| clock.show(&time, "%H:%M:%S%.3f")),
            Container => match text(row, "container_name")? {
                Some(name) if !name.is_empty() => Some(name),
                _ => text(row, "container_id")?.map(|id| id.chars().take(SHORT_ID).collect()),
            },
            Destination => {
                let port = number("dst_port")?.unwrap_or_default();
                text(row, "dst_ip")?.map(|ip| match ip.contains(':') {
                    true => format!("[{ip}]:{port}"),
                    false => format!("{ip}:{port}"),
                })
            }
            Service => {
                let port = number("dst_port")?.unwrap_or_default();
                text(row, "protocol")?.map(|protocol| format!("{port}/{protocol}"))
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
