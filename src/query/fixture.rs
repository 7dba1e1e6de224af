//! A history for tests: the real schema, in memory.

use std::net::IpAddr;

use rusqlite::{Connection, params};

use super::{Format, Request, parse};
use chrono::{DateTime, Utc};

/// A second, in the nanoseconds that the history counts.
pub const SECOND: i64 = 1_000_000_000;

/// 2026-11-23T14:00:00Z: when the fixture's questions are asked.
pub const NOW: i64 = 1_795_442_400 * SECOND;

/// Who made a connection.
#[derive(Clone, Copy)]
pub struct By<'a> {
    pub comm: &'a str,
    pub exe: Option<&'a str>,
    pub pid: u32,
    pub uid: u32,
    pub user: Option<&'a str>,
    /// Id and name.
    pub container: Option<(&'a str, Option<&'a str>)>,
}

pub const CURL: By = By {
    comm: "curl",
    exe: Some("/usr/bin/curl"),
    pid: 4242,
    uid: 1000,
    user: Some("alice"),
    container: None,
};

pub struct History(pub Connection);

impl History {
    pub fn new() -> Self {
        let db = Connection::open_in_memory().unwrap();
        for migration in crate::store::MIGRATIONS {
            db.execute_batch(migration).unwrap();
        }
        History(db)
    }

    /// A history whose recorder has been running for an hour.
    pub fn recording() -> Self {
        let history = History::new();
        history.record(NOW - 3600 * SECOND, None, NOW - SECOND);
        history
    }

    pub fn record(&self, start: i64, end: Option<i64>, seen: i64) {
        self.0
            .execute(
                "INSERT INTO recording (start_ts, end_ts, seen_ts, hostname, kernel, version, pid, hook_set, hooks, clean)
                 VALUES (?1, ?2, ?3, 'web', '6.12.1', '0.1.0', 1, 'kprobe', 'connect4', ?2 IS NOT NULL)",
                params![start, end, seen],
            )
            .unwrap();
    }

    pub fn lose(&self, kind: &str, lost: i64, from: i64, to: i64) {
        self.0
            .execute(
                "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why) VALUES (1, ?1, ?2, ?3, ?4, 'full')",
                params![from, to, kind, lost],
            )
            .unwrap();
    }

    /// A connection to port 443 with an outcome, some seconds before now.
    pub fn connect(&self, by: By, host: Option<&str>, ip: &str, outcome: &str, ago: i64) {
        let db = &self.0;
        let container = by.container.map(|(id, name)| {
            db.execute(
                "INSERT OR IGNORE INTO container (container_id, name, image) VALUES (?1, ?2, 'nginx:1.29')",
                params![id, name],
            )
            .unwrap();
            db.query_row("SELECT id FROM container WHERE container_id = ?1", [id], |row| row.get::<_, i64>(0))
                .unwrap()
        });
        db.execute(
            "INSERT INTO process (recording_id, pid, start_ns, comm, exe, uid, user, container_id)
             VALUES (1, ?1, 0, ?2, ?3, ?4, ?5, ?6)",
            params![by.pid, by.comm, by.exe, by.uid, by.user, container],
        )
        .unwrap();
        let process = db.last_insert_rowid();
        let host = host.map(|name| {
            db.execute("INSERT OR IGNORE INTO host (name) VALUES (?1)", [name])
                .unwrap();
            db.query_row("SELECT id FROM host WHERE name = ?1", [name], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
        });
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        db.execute(
            "INSERT OR IGNORE INTO address (addr, ip, scope) VALUES (?1, ?2, 'public')",
            params![addr, ip],
        )
        .unwrap();
        let dst: i64 = db
            .query_row("SELECT id FROM address WHERE ip = ?1", [ip], |row| {
                row.get(0)
            })
            .unwrap();
        let done = (outcome == "connected").then_some(1);
        db.execute(
            "INSERT INTO connection (ts, process_id, tid, protocol, dst_id, dst_port, host_id, outcome, tx_bytes, rx_bytes, duration_us)
             VALUES (?1, ?2, ?3, 'tcp', ?4, 443, ?5, ?6, 700 * ?7, 5300 * ?7, 125300 * ?7)",
            params![NOW - ago * SECOND, process, by.pid, dst, host, outcome, done],
        )
        .unwrap();
    }

    /// What is written to the output and to the notes.
    pub fn ask(&self, question: &str, format: Format, since: Option<i64>) -> (String, String) {
        let request = request(question, format, since);
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let found = request.run(&self.0, &mut out, &mut notes).unwrap();
        let [out, notes] = [out, notes].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            found,
            !notes.starts_with("nothing")
                && out.lines().count() > usize::from(format == Format::Csv)
        );
        (out, notes)
    }
}

pub fn request(question: &str, format: Format, since: Option<i64>) -> Request<Utc> {
    Request {
        question: parse(question).unwrap(),
        since,
        until: None,
        format,
        width: None,
        now: DateTime::from_timestamp_nanos(NOW),
    }
}
