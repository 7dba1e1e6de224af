//! A history whose rows tests choose freely, among them some that the recorder would write
//! only after a long time or a particular order of events.

use std::net::IpAddr;

use rusqlite::{Connection, params};

use super::support;
use crate::model::{dst_scope, mapped};

/// In nanoseconds, as all times of a history.
pub const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// 2026-11-23T14:00:00Z: the present of these histories.
pub const NOW: i64 = 1_795_442_400 * SECOND;

/// The process of a connection or a lookup.
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
pub type AnswerRow<'a> = (&'a str, &'a str, &'a str, u32);

/// A connection to the file, and the directory that it is in.
pub struct History(
    pub Connection,
    #[expect(dead_code, reason = "dropping it removes the directory")] tempfile::TempDir,
);

impl History {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        support::create(&path);
        History(Connection::open(path).unwrap(), dir)
    }

    /// A history whose recorder has been running for an hour.
    pub fn recording() -> Self {
        let history = History::new();
        history.record(NOW - 3600 * SECOND, None, NOW);
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

    /// Adds a connection to port 443 with an outcome, some seconds ago. Returns its id.
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
        let group = self.insert(
            "INSERT INTO connection_group (process_id, protocol, dst_id, dst_port, host_id, outcome, connections,
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
        let daily = self.insert(
            "INSERT INTO connection_daily (group_id, day_id, connections, tx_known, tx_bytes, rx_known, rx_bytes,
                                           first_ts, last_ts)
             SELECT g.id, day.id, 1, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts
             FROM connection_group g JOIN day ON day.start_ts = ?2 WHERE g.id = ?1",
            [group, day],
        );
        self.insert(
            "INSERT INTO connection (ts, daily_id, tid, tx_bytes, rx_bytes, duration_us)
             VALUES (?1, ?2, ?3, 700 * ?4, 5300 * ?4, 125300 * ?4)",
            params![ts, daily, by.pid, done],
        )
    }

    /// Adds the day of a time if it is missing. Returns when it begins.
    fn day(&self, ts: i64) -> i64 {
        let day = ts.div_euclid(DAY) * DAY;
        let sql = "INSERT OR IGNORE INTO day (start_ts, end_ts) VALUES (?1, ?2)";
        self.0.execute(sql, [day, day + DAY]).unwrap();
        day
    }

    /// Inserts a row and returns its id.
    fn insert(&self, sql: &str, params: impl rusqlite::Params) -> i64 {
        self.0.execute(sql, params).unwrap();
        self.0.last_insert_rowid()
    }

    /// Adds a query to 192.0.2.53 some seconds ago, and its answer 3.2 ms later; without an
    /// rcode there was none. Returns the lookup's id.
    pub fn look_up(
        &self,
        by: By,
        (qname, qtype): (&str, &str),
        rcode: Option<&str>,
        records: &[AnswerRow],
        ago: i64,
    ) -> i64 {
        let ts = NOW - ago * SECOND;
        let group = self.insert(
            "INSERT INTO lookup_group (process_id, server_id, server_port, transport, qname_id, qtype, rcode, status,
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
            "INSERT INTO lookup_daily (day_id, group_id, lookups, first_ts, last_ts)
             SELECT id, ?1, 1, ?2, ?2 FROM day WHERE start_ts = ?3",
            [group, ts, self.day(ts)],
        );
        let lookup = self.insert(
            "INSERT INTO lookup (ts, group_id, latency_us) VALUES (?1, ?2, ?3)",
            params![ts, group, rcode.map(|_| 3210)],
        );
        for (n, &(name, rtype, data, ttl)) in (1_i64..).zip(records) {
            self.insert(
                "INSERT INTO answer (lookup_id, n, name_id, type, data, ttl) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![lookup, n, self.host(name), rtype, data, ttl],
            );
        }
        lookup
    }

    /// Sets names that a connection sent, such as `("sni", "x.org")`.
    pub fn send_names(&self, connection: i64, names: &[(&str, &str)]) {
        let wire = self.insert("INSERT INTO wire DEFAULT VALUES", []);
        for (column, name) in names {
            let sql = format!("UPDATE wire SET {column} = ?1 WHERE id = ?2");
            self.0.execute(&sql, params![name, wire]).unwrap();
        }
        let group = "UPDATE connection_group SET wire_id = ?1 WHERE id = (
             SELECT d.group_id FROM connection_daily d JOIN connection c ON c.daily_id = d.id WHERE c.id = ?2)";
        self.0.execute(group, [wire, connection]).unwrap();
    }

    /// Sets the evidence for a connection's name: its source, a lookup and the age of its
    /// answer in ms, the stored rivals, and how many rivals there were.
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
                "UPDATE connection_group SET host_source = ?1 WHERE id = (
                     SELECT d.group_id FROM connection_daily d JOIN connection c ON c.daily_id = d.id
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
            "INSERT INTO process (recording_id, pid, start_ns, start_ts, comm, exe, uid, user, euid, euser, container_id)
             VALUES (1, ?1, 0, 0, ?2, ?3, ?4, ?5, ?4, ?5, ?6)",
            params![by.pid, by.comm, by.exe, by.uid, by.user, container],
        )
        .unwrap();
        db.last_insert_rowid()
    }

    /// Gives all processes named `comm` these ancestors (pid, name and executable), the parent
    /// first.
    pub fn descend(&self, comm: &str, from: &[(u32, &str, &str)]) {
        let db = &self.0;
        let mut above: Vec<i64> = Vec::new();
        for (pid, name, exe) in from.iter().rev() {
            db.execute(
                "INSERT INTO ancestor (recording_id, pid, start_ts, comm, exe) VALUES (1, ?1, 0, ?2, ?3)",
                params![pid, name, exe],
            )
            .unwrap();
            let ancestor = db.last_insert_rowid();
            above.insert(0, ancestor);
            for (depth, id) in (0_i64..).zip(&above) {
                db.execute(
                    "INSERT INTO lineage (ancestor_id, depth, above_id) VALUES (?1, ?2, ?3)",
                    params![ancestor, depth, id],
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
}
