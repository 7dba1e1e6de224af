//! Why a connection has its name, or none: the evidence that the history kept.
//!
//! In comes a connection's id; out goes an [`Explanation`], which writes itself as
//! text or as JSON. Reads the views `egress`, `dns`, `rivals`, `recordings` and
//! `gaps`. Fails where SQLite or the output fails.

mod chain;
mod json;
mod row;
mod text;
mod unnamed;

use std::net::IpAddr;

use anyhow::Result;
use rusqlite::{Connection, params};

use chain::Answer;
use row::{Row, rows};
use unnamed::Unnamed;

/// What a connection's name rests on.
pub struct Explanation {
    /// The columns of `egress`, without the binary form of the address.
    connection: Row,
    /// The lookup that named it, if there was one and it is recorded.
    lookup: Option<Row>,
    /// The records of that lookup's answer.
    answers: Vec<Answer>,
    /// The other names that it could have had, each with its lookup.
    rivals: Vec<Rival>,
    /// Why it has no name.
    unnamed: Option<Unnamed>,
}

/// Another name, and who asked for it where that is known.
struct Rival {
    host: Row,
    lookup: Option<Row>,
}

/// The columns of `dns` that are the lookup's own.
const LOOKUP: &str = "id, time, ts, pid, comm, exe, container_name, server_ip, server_port,
       transport, qname, qtype, rcode, latency_us, status";

impl Explanation {
    /// Reads what is known of the connection `id`; none where there is no such one.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn read(db: &Connection, id: i64) -> Result<Option<Self>> {
        // One snapshot: a recorder may be writing.
        let db = db.unchecked_transaction()?;
        let found = rows(&db, "SELECT * FROM egress WHERE id = ?1", [id])?;
        let Some(connection) = found.into_iter().next() else {
            return Ok(None);
        };
        let connection = connection.without("dst_addr");
        let mut explanation = Explanation {
            lookup: None,
            answers: Vec::new(),
            rivals: Vec::new(),
            unnamed: None,
            connection,
        };
        if explanation.connection.text("host").is_none() {
            explanation.unnamed = Some(Unnamed::read(&db, &explanation.connection)?);
        } else if explanation.has_evidence() {
            explanation.evidence(&db, id)?;
        }
        Ok(Some(explanation))
    }

    /// Whether the file can tell what a name rests on: its views have the columns for
    /// that since version 2 of the schema, and a recorder brings it up to date.
    pub fn has_evidence(&self) -> bool {
        self.connection.has("lookup_id")
    }

    fn evidence(&mut self, db: &Connection, id: i64) -> Result<()> {
        if let Some(lookup) = self.connection.int("lookup_id") {
            self.lookup = look_up(db, lookup)?;
            let records = rows(
                db,
                "SELECT name, type, data, ttl FROM dns WHERE id = ?1 AND name IS NOT NULL",
                [lookup],
            )?;
            let qname = self.lookup.as_ref().and_then(|l| l.text("qname"));
            let age_ms = self.connection.int("host_age_ms");
            self.answers = chain::follow(
                &qname.unwrap_or_default(),
                records,
                address(&self.connection),
                age_ms,
            );
        }
        let rivals = rows(
            db,
            "SELECT host, lookup_id FROM rivals WHERE connection_id = ?1",
            [id],
        )?;
        for host in rivals {
            let lookup = match host.int("lookup_id") {
                Some(lookup) => look_up(db, lookup)?,
                None => None,
            };
            self.rivals.push(Rival { host, lookup });
        }
        Ok(())
    }
}

fn look_up(db: &Connection, id: i64) -> Result<Option<Row>> {
    // A row for each record of the answer, alike in these columns.
    let sql = format!("SELECT {LOOKUP} FROM dns WHERE id = ?1 LIMIT 1");
    Ok(rows(db, &sql, params![id])?.into_iter().next())
}

/// Where the connection went.
fn address(connection: &Row) -> Option<IpAddr> {
    connection.text("dst_ip")?.parse().ok()
}

#[cfg(test)]
mod tests;
