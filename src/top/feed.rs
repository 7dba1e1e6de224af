//! Reads what is new or has changed from the views of a history: never more than that, and what
//! is old in pieces.

use anyhow::Result;
use rusqlite::{Connection as Db, OptionalExtension, params};

use super::traffic::{Container, OUTCOMES, Peer, Program, Row, State};

/// Ids that are looked at in one piece. A million takes about half a second.
const PIECE: i64 = 50_000;
/// New connections that are taken in at once.
const MOST_NEW: i64 = 20_000;

/// The newest recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recording {
    pub id: i64,
    pub start_ts: i64,
    /// Everything up to this time is in the history.
    pub seen_ts: i64,
    /// When the bytes of what is open were last read.
    pub counted_ts: Option<i64>,
    pub ended: bool,
}

impl Recording {
    /// None: the history has no recording.
    ///
    /// # Errors
    ///
    /// SQLite's, as of all functions here.
    pub fn newest(db: &Db) -> Result<Option<Recording>> {
        let sql = "SELECT id, start_ts, seen_ts, counted_ts, end_ts IS NOT NULL FROM recordings
                   ORDER BY id DESC LIMIT 1";
        let found = db.prepare_cached(sql)?.query_row([], |row| {
            Ok(Recording {
                id: row.get(0)?,
                start_ts: row.get(1)?,
                seen_ts: row.get(2)?,
                counted_ts: row.get(3)?,
                ended: row.get(4)?,
            })
        });
        Ok(found.optional()?)
    }
}

/// Changes when another process has written to the file.
pub fn data_version(db: &Db) -> Result<i64> {
    Ok(db.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

/// The ids that may belong to the window, from the newest down.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Connections that began at or after this time belong to it,
    pub since: i64,
    /// and those that are open, and began at or after this time: that of the recording.
    open_since: i64,
    lowest: i64,
    /// Down to here all are read.
    unread: i64,
}

impl Window {
    /// The window up to the newest connection, and that one's id.
    pub fn new(db: &Db, since: i64, open_since: i64) -> Result<(Window, i64)> {
        let newest = newest_id(db)?;
        // Makes SQLite start from the index on times instead of from all processes.
        let sql = "SELECT id FROM egress WHERE likelihood(ts >= ?1, 0.0000001) ORDER BY ts LIMIT 1";
        let lowest = db
            .prepare_cached(sql)?
            .query_row([since.min(open_since)], |row| row.get::<_, i64>(0))
            .optional()?;
        // Ids ascend by when egrets saw a connection, which is almost the order of their times.
        let lowest = lowest.map_or(newest + 1, |id| id.saturating_sub(PIECE / 10));
        let window = Window {
            since,
            open_since,
            lowest,
            unread: newest,
        };
        Ok((window, newest))
    }

    pub fn is_read(&self) -> bool {
        self.unread < self.lowest
    }

    /// The next older piece.
    pub fn read_piece(&mut self, db: &Db, condition: &str) -> Result<Vec<Found>> {
        let from = self.unread.saturating_sub(PIECE - 1).max(self.lowest);
        let filter = "likelihood(id >= ?1, 0.0001) AND likelihood(id <= ?2, 0.0001)
             AND (ts >= ?3 OR duration_us IS NULL AND outcome IN ('connected', 'in_progress', 'sent')
                  AND ts >= ?4)";
        let sql = select(condition, filter);
        let mut statement = db.prepare_cached(&sql)?;
        let found = statement.query_map(
            params![from, self.unread, self.since, self.open_since],
            Found::read,
        )?;
        let found = found.collect::<rusqlite::Result<_>>()?;
        self.unread = from - 1;
        Ok(found)
    }
}

/// Of the table, since SQLite may begin with another one of those that the view joins.
fn newest_id(db: &Db) -> Result<i64> {
    let mut statement = db.prepare_cached("SELECT coalesce(max(id), 0) FROM connection")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// A connection whose program is yet to be looked up.
pub struct Found {
    pub process_id: i64,
    pub row: Row,
}

const COLUMNS: &str = "id, ts, process_id, pid, host, dst_ip, dst_port, protocol, direction,
       outcome, tx_bytes, rx_bytes, duration_us";

fn select(condition: &str, filter: &str) -> String {
    format!("SELECT {COLUMNS}, ({condition}) FROM egress WHERE {filter} ORDER BY id")
}

impl Found {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
        let host: Option<String> = row.get(4)?;
        let ip: Option<String> = row.get(5)?;
        Ok(Found {
            process_id: row.get(2)?,
            row: Row {
                id: row.get(0)?,
                ts: row.get(1)?,
                pid: row.get(3)?,
                program: 0,
                peer: Peer {
                    ip: match host {
                        Some(_) => None,
                        None => Some(ip.clone().unwrap_or_default()),
                    },
                    host,
                    port: row.get(6)?,
                    protocol: row.get(7)?,
                    inbound: row.get::<_, String>(8)? == "in",
                },
                ip,
                state: State {
                    outcome: outcome(row, 9)?,
                    sent: row.get(10)?,
                    received: row.get(11)?,
                    duration_us: row.get(12)?,
                },
                matches: row.get::<_, Option<bool>>(13)?.unwrap_or(false),
            },
        })
    }
}

/// Ten thousand of them are not as many strings.
fn outcome(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<&'static str> {
    let found = row.get_ref(column)?.as_str()?;
    let known = OUTCOMES.iter().find(|outcome| **outcome == found);
    Ok(known.copied().unwrap_or("unknown"))
}

/// Connections behind `last`, the oldest of them first.
pub fn after(db: &Db, last: i64, condition: &str) -> Result<Vec<Found>> {
    let sql = select(condition, "likelihood(id > ?1, 0.0000001)") + &format!(" LIMIT {MOST_NEW}");
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map([last], Found::read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// One connection.
pub fn one(db: &Db, id: i64, condition: &str) -> Result<Option<Found>> {
    let mut statement = db.prepare_cached(&select(condition, "id = ?1"))?;
    Ok(statement.query_row([id], Found::read).optional()?)
}

/// What these connections are now, and whether they pass the filter.
pub fn states(db: &Db, ids: &[i64], condition: &str) -> Result<Vec<(i64, State, bool)>> {
    // CROSS JOIN: by their ids, whatever the condition names.
    let sql = format!(
        "SELECT egress.id, outcome, tx_bytes, rx_bytes, duration_us, ({condition})
         FROM (SELECT value AS wanted_id FROM json_each(?1))
         CROSS JOIN egress ON egress.id = wanted_id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map([serde_json::to_string(ids)?], |row| {
        let state = State {
            outcome: outcome(row, 1)?,
            sent: row.get(2)?,
            received: row.get(3)?,
            duration_us: row.get(4)?,
        };
        let matches = row.get::<_, Option<bool>>(5)?.unwrap_or(false);
        Ok((row.get(0)?, state, matches))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The program that made this connection.
pub fn program(db: &Db, id: i64) -> Result<Program> {
    let sql = "SELECT comm, exe, coalesce(user, uid), container_id, container_name, container_image
               FROM egress WHERE id = ?1";
    let program = db.prepare_cached(sql)?.query_row([id], |row| {
        let container = match row.get::<_, Option<String>>(3)? {
            Some(id) => Some(Container {
                id,
                name: row.get(4)?,
                image: row.get(5)?,
            }),
            None => None,
        };
        Ok(Program {
            comm: row.get(0)?,
            exe: row.get(1)?,
            user: match row.get_ref(2)? {
                rusqlite::types::ValueRef::Integer(uid) => uid.to_string(),
                user => user.as_str()?.to_owned(),
            },
            container,
        })
    });
    Ok(program.optional()?.unwrap_or_default())
}

/// Whether the history has a connection to this peer that began before `ts`.
pub fn knew_peer(db: &Db, peer: &Peer, ts: i64) -> Result<bool> {
    match (&peer.host, &peer.ip) {
        (Some(host), _) => {
            let sql = "SELECT 1 FROM egress_total WHERE host = ?1 AND first_ts < ?2 LIMIT 1";
            Ok(db.prepare_cached(sql)?.exists(params![host, ts])?)
        }
        (None, Some(ip)) => {
            let Ok(ip) = ip.parse() else { return Ok(true) };
            let sql = "SELECT 1 FROM egress_total
                       WHERE dst_addr = ?1 AND host IS NULL AND first_ts < ?2 LIMIT 1";
            let address = crate::model::mapped(ip);
            Ok(db.prepare_cached(sql)?.exists(params![address, ts])?)
        }
        _ => Ok(true),
    }
}

/// The same for a program.
pub fn knew_program(db: &Db, program: &Program, ts: i64) -> Result<bool> {
    let container = program.container.as_ref().map(|c| &c.id);
    let sql = "SELECT 1 FROM egress_total
               WHERE comm = ?1 AND exe IS ?2 AND container_id IS ?3 AND first_ts < ?4 LIMIT 1";
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.exists(params![program.comm, program.exe, container, ts])?)
}

/// The same for a container.
pub fn knew_container(db: &Db, id: &str, ts: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM egress_total WHERE container_id = ?1 AND first_ts < ?2 LIMIT 1";
    Ok(db.prepare_cached(sql)?.exists(params![id, ts])?)
}
