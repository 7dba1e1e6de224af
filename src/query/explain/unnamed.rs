//! Why a connection has no name, as far as the history shows.

use std::net::IpAddr;

use anyhow::Result;
use rusqlite::{Connection, params};

use super::row::{ViewRow, rows};
use super::{LOOKUP, address};

/// Why there is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was already open when the recording began.
    AlreadyOpen,
    Multicast,
    /// Its port is that of DNS servers.
    DnsServer,
    /// Its address is only in answers that do not count for it.
    Others,
    /// Its address is in no answer.
    NoAnswer,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AlreadyOpen => "already_open",
            Reason::Multicast => "multicast",
            Reason::DnsServer => "dns_server",
            Reason::Others => "others",
            Reason::NoAnswer => "no_answer",
        }
    }
}

/// Why an answer with the connection's address does not name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Unsolicited,
    Error,
    Later,
    EarlierRecording,
    Sinkhole,
    OtherContainer,
    /// Received by a process with the same pid, and still not used.
    Forgotten,
    NotTrusted,
}

impl Flaw {
    pub fn as_str(self) -> &'static str {
        match self {
            Flaw::Unsolicited => "unsolicited",
            Flaw::Error => "error",
            Flaw::Later => "later",
            Flaw::EarlierRecording => "earlier_recording",
            Flaw::Sinkhole => "sinkhole",
            Flaw::OtherContainer => "other_container",
            Flaw::Forgotten => "forgotten",
            Flaw::NotTrusted => "not_trusted",
        }
    }
}

/// An answer with the connection's address that does not count.
pub struct DiscountedAnswer {
    pub lookup: ViewRow,
    pub flaw: Flaw,
}

pub struct Unnamed {
    pub reason: Reason,
    /// The nearest such answers, at most [`MAX_OTHERS`], those before the connection first.
    pub others: Vec<DiscountedAnswer>,
    /// How many there are in total.
    pub total: i64,
    /// DNS events that were lost earlier in the same recording.
    pub lost: i64,
}

const MAX_OTHERS: i64 = 16;

/// DNS, multicast DNS, LLMNR: other processes' lookups never name connections to these.
const DNS_PORTS: [i64; 3] = [53, 5353, 5355];

impl Unnamed {
    /// Determines why `connection` has no name.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn read(db: &Connection, connection: &ViewRow) -> Result<Unnamed> {
        let ts = connection.int("ts").unwrap_or_default();
        let started = rows(
            db,
            "SELECT max(start_ts) AS ts FROM recordings WHERE start_ts <= ?1",
            [ts],
        )?;
        let started = started.first().and_then(|row| row.int("ts")).unwrap_or(ts);
        let mut unnamed = Unnamed {
            reason: Reason::NoAnswer,
            others: Vec::new(),
            total: 0,
            lost: lost(db, started, ts)?,
        };
        let tcp = connection.text("protocol").as_deref() == Some("tcp");
        if tcp && connection.int("already_open") == Some(1) {
            unnamed.reason = Reason::AlreadyOpen;
            return Ok(unnamed);
        }
        if connection.text("dst_scope").as_deref() == Some("multicast") {
            unnamed.reason = Reason::Multicast;
            return Ok(unnamed);
        }
        if let Some(ip) = address(connection) {
            let found = others(db, ip, ts)?;
            unnamed.total = found.first().and_then(|row| row.int("total")).unwrap_or(0);
            unnamed.others = found
                .into_iter()
                .map(|lookup| DiscountedAnswer {
                    flaw: flaw(&lookup, connection, ip, started),
                    lookup: lookup.without("total"),
                })
                .collect();
        }
        let port = connection.int("dst_port").unwrap_or_default();
        if DNS_PORTS.contains(&port) {
            unnamed.reason = Reason::DnsServer;
        } else if unnamed.total > 0 {
            unnamed.reason = Reason::Others;
        }
        Ok(unnamed)
    }
}

/// The answers that contain `ip`: those before `ts` first, and the nearest first.
fn others(db: &Connection, ip: IpAddr, ts: i64) -> Result<Vec<ViewRow>> {
    // Hints of service bindings are matched between delimiters, so that an address does not
    // match as part of another.
    let sql = format!(
        "SELECT {LOOKUP}, count(*) OVER () AS total
FROM dns
WHERE type IN ('A', 'AAAA') AND data IN (?1, '::ffff:' || ?1)
   OR type IN ('HTTPS', 'SVCB')
      AND instr(replace(replace(data, ' ', ','), '=', ',') || ',', ',' || ?1 || ',')
GROUP BY id
ORDER BY ts > ?2, abs(ts - ?2)
LIMIT {MAX_OTHERS}"
    );
    rows(db, &sql, params![ip.to_string(), ts])
}

/// Why an answer that contains `ip` does not name the connection. `started` is the start of
/// the recording.
fn flaw(lookup: &ViewRow, connection: &ViewRow, ip: IpAddr, started: i64) -> Flaw {
    let queried = lookup.int("ts").unwrap_or_default();
    let latency = lookup.int("latency_us").unwrap_or_default();
    let answered = queried.saturating_add(latency.saturating_mul(1000));
    let container = lookup.text("container_name");
    if lookup.text("status").as_deref() != Some("answered") {
        Flaw::Unsolicited
    } else if lookup.text("rcode").as_deref() != Some("NOERROR") {
        Flaw::Error
    } else if answered > connection.int("ts").unwrap_or_default() {
        Flaw::Later
    } else if queried < started {
        Flaw::EarlierRecording
    } else if lookup.int("pid") == connection.int("pid") {
        Flaw::Forgotten
    } else if ip.is_loopback() || ip.is_unspecified() {
        Flaw::Sinkhole
    } else if container.is_some() && container != connection.text("container_name") {
        Flaw::OtherContainer
    } else {
        Flaw::NotTrusted
    }
}

/// DNS events that were lost between two times.
fn lost(db: &Connection, from: i64, to: i64) -> Result<i64> {
    let sum = rows(
        db,
        "SELECT sum(lost) AS lost FROM gaps
         WHERE kind IN ('dns', 'dns_budget', 'parse') AND from_ts <= ?2 AND to_ts >= ?1",
        [from, to],
    )?;
    Ok(sum.first().and_then(|row| row.int("lost")).unwrap_or(0))
}
