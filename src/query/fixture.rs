//! A history for tests: the real schema, in memory.

use std::net::IpAddr;

use rusqlite::{Connection, params};

use super::{OutputFormat, Question, Request, parse};
use crate::model::{dst_scope, mapped};
use chrono::{DateTime, Utc};

/// A second, in the nanoseconds that the history counts.
pub const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

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

/// A record of an answer: name, type, data, and seconds to live.
pub type Answer<'a> = (&'a str, &'a str, &'a str, u32);

pub struct History(pub Connection);

impl History {
    pub fn new() -> Self {
        History::of_version(crate::store::MIGRATIONS.len())
    }

    /// A file that only this many of the migrations have been done on.
    pub fn of_version(version: usize) -> Self {
        let db = Connection::open_in_memory().unwrap();
        for migration in &crate::store::MIGRATIONS[..version] {
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

    /// A connection to port 443 with an outcome, some seconds before now. Its id.
    pub fn connect(&self, by: By, host: Option<&str>, ip: &str, outcome: &str, ago: i64) -> i64 {
        self.connect_to(by, host, (ip, 443), outcome, ago)
    }

    /// The same to another port.
    pub fn connect_to(
        &self,
        by: By,
        host: Option<&str>,
        (ip, port): (&str, u16),
        outcome: &str,
        ago: i64,
    ) -> i64 {
        let done = (outcome == "connected").then_some(1);
        let ts = NOW - ago * SECOND;
        let edge = self.insert(
            "INSERT INTO edge (process_id, protocol, dst_id, dst_port, host_id, outcome, connections,
                               tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
             VALUES (?1, 'tcp', ?2, ?3, ?4, ?5, 1, ?6 IS NOT NULL, coalesce(700 * ?6, 0),
                     ?6 IS NOT NULL, coalesce(5300 * ?6, 0), ?7, ?7)",
            params![
                self.process(by),
                self.address(ip),
                port,
                host.map(|name| self.host(name)),
                outcome,
                done,
                ts
            ],
        );
        let day = self.day(ts);
        let on_day = self.insert(
            "INSERT INTO edge_day (edge_id, day_id, connections, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
             SELECT edge.id, day.id, 1, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts
             FROM edge JOIN day ON day.start_ts = ?2 WHERE edge.id = ?1",
            [edge, day],
        );
        self.insert(
            "INSERT INTO connection (ts, edge_day_id, tid, tx_bytes, rx_bytes, duration_us)
             VALUES (?1, ?2, ?3, 700 * ?4, 5300 * ?4, 125300 * ?4)",
            params![ts, on_day, by.pid, done],
        )
    }

    /// When the day of a time began.
    fn day(&self, ts: i64) -> i64 {
        let day = ts.div_euclid(DAY) * DAY;
        let sql = "INSERT OR IGNORE INTO day (start_ts, end_ts) VALUES (?1, ?2)";
        self.0.execute(sql, [day, day + DAY]).unwrap();
        day
    }

    /// Inserts a row; its id.
    fn insert(&self, sql: &str, params: impl rusqlite::Params) -> i64 {
        self.0.execute(sql, params).unwrap();
        self.0.last_insert_rowid()
    }

    /// A question to 192.0.2.53 some seconds before now, and its answer 3.2 ms
    /// later; without an rcode there was none. Its id.
    pub fn look_up(
        &self,
        by: By,
        (qname, qtype): (&str, &str),
        rcode: Option<&str>,
        records: &[Answer],
        ago: i64,
    ) -> i64 {
        let ts = NOW - ago * SECOND;
        let inquiry = self.insert(
            "INSERT INTO inquiry (process_id, server_id, server_port, transport, qname_id, qtype, rcode, status,
                                  lookups, first_ts, last_ts)
             VALUES (?1, ?2, 53, 'udp', ?3, ?4, ?5, ?6, 1, ?7, ?7)",
            params![
                self.process(by),
                self.address("192.0.2.53"),
                self.host(qname),
                qtype,
                rcode,
                rcode.map_or("unanswered", |_| "answered"),
                ts,
            ],
        );
        self.insert(
            "INSERT INTO inquiry_day (day_id, inquiry_id, lookups, first_ts, last_ts)
             SELECT id, ?1, 1, ?2, ?2 FROM day WHERE start_ts = ?3",
            [inquiry, ts, self.day(ts)],
        );
        let lookup = self.insert(
            "INSERT INTO lookup (ts, inquiry_id, latency_us) VALUES (?1, ?2, ?3)",
            params![ts, inquiry, rcode.map(|_| 3210)],
        );
        for (n, &(name, rtype, data, ttl)) in (1_i64..).zip(records) {
            self.insert(
                "INSERT INTO answer (lookup_id, n, name_id, type, data, ttl) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![lookup, n, self.host(name), rtype, data, ttl],
            );
        }
        lookup
    }

    /// What the name of a connection rests on: its source, a lookup and its answer's
    /// age in ms, the rivals kept and how many there were.
    pub fn rest_on(
        &self,
        connection: i64,
        source: &str,
        lookup: Option<(i64, i64)>,
        rivals: &[(&str, Option<i64>)],
        n: i64,
    ) {
        let (lookup, age) = lookup.unzip();
        for (sql, params) in [
            (
                "UPDATE connection SET lookup_id = ?1, host_age_ms = ?2, host_rivals = ?3 WHERE id = ?4",
                params![lookup, age, n, connection],
            ),
            (
                "UPDATE edge SET host_source = ?1 WHERE id = (
                     SELECT b.edge_id FROM edge_day b JOIN connection c ON c.edge_day_id = b.id
                     WHERE c.id = ?2)",
                params![source, connection],
            ),
        ] {
            self.0.execute(sql, params).unwrap();
        }
        for (name, lookup) in rivals {
            self.0
                .execute(
                    "INSERT INTO rival (connection_id, host_id, lookup_id) VALUES (?1, ?2, ?3)",
                    params![connection, self.host(name), lookup],
                )
                .unwrap();
        }
    }

    fn process(&self, by: By) -> i64 {
        let db = &self.0;
        let container = by.container.map(|(id, name)| {
            db.execute(
                "INSERT INTO container (container_id, name, image) SELECT ?1, ?2, 'nginx:1.29'
                 WHERE NOT EXISTS (SELECT 1 FROM container WHERE container_id = ?1)",
                params![id, name],
            )
            .unwrap();
            self.id("SELECT id FROM container WHERE container_id = ?1", id)
        });
        db.execute(
            "INSERT INTO process (recording_id, pid, start_ns, comm, exe, uid, user, container_id)
             VALUES (1, ?1, 0, ?2, ?3, ?4, ?5, ?6)",
            params![by.pid, by.comm, by.exe, by.uid, by.user, container],
        )
        .unwrap();
        db.last_insert_rowid()
    }

    /// Lets every process so far that is called `comm` descend from these: their pid,
    /// name and executable, its parent first.
    pub fn descend(&self, comm: &str, from: &[(u32, &str, &str)]) {
        let db = &self.0;
        let mut above: Vec<i64> = Vec::new();
        for (pid, name, exe) in from.iter().rev() {
            db.execute(
                "INSERT INTO ancestor (recording_id, pid, start_ts, comm, exe) VALUES (1, ?1, 0, ?2, ?3)",
                params![pid, name, exe],
            )
            .unwrap();
            let itself = db.last_insert_rowid();
            above.insert(0, itself);
            for (depth, id) in (0_i64..).zip(&above) {
                db.execute(
                    "INSERT INTO lineage (ancestor_id, depth, above_id) VALUES (?1, ?2, ?3)",
                    params![itself, depth, id],
                )
                .unwrap();
            }
        }
        db.execute(
            "UPDATE process SET parent_id = ?1 WHERE comm = ?2",
            params![above.first(), comm],
        )
        .unwrap();
    }

    fn host(&self, name: &str) -> i64 {
        self.0
            .execute("INSERT OR IGNORE INTO host (name) VALUES (?1)", [name])
            .unwrap();
        self.id("SELECT id FROM host WHERE name = ?1", name)
    }

    fn address(&self, ip: &str) -> i64 {
        let addr: IpAddr = ip.parse().unwrap();
        self.0
            .execute(
                "INSERT OR IGNORE INTO address (addr, ip, scope) VALUES (?1, ?2, ?3)",
                params![mapped(addr), ip, dst_scope(addr)],
            )
            .unwrap();
        self.id("SELECT id FROM address WHERE ip = ?1", ip)
    }

    fn id(&self, sql: &str, key: &str) -> i64 {
        self.0.query_row(sql, [key], |row| row.get(0)).unwrap()
    }

    /// What is written to the output and to the notes.
    pub fn ask(
        &self,
        question: &str,
        format: OutputFormat,
        since: Option<i64>,
    ) -> (String, String) {
        let request = request(question, format, since);
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let found = request.run(&self.0, &mut out, &mut notes).unwrap();
        let [out, notes] = [out, notes].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            found,
            !notes.starts_with("nothing")
                && out.lines().count() > usize::from(format == OutputFormat::Csv)
        );
        (out, notes)
    }
}

pub fn request(question: &str, format: OutputFormat, since: Option<i64>) -> Request<Utc> {
    Request {
        question: parsed(question),
        since,
        until: None,
        format,
        width: None,
        now: DateTime::from_timestamp_nanos(NOW),
        begun: None,
    }
}

/// A question as it is understood at [`NOW`].
pub fn parsed(question: &str) -> Question {
    parse(question, &DateTime::<Utc>::from_timestamp_nanos(NOW)).unwrap()
}
