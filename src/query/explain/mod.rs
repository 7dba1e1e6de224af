//! Why a connection has its name, or none: the evidence in the history.
//!
//! A connection's id goes in, an [`Explanation`] comes out, which writes itself as text or as
//! JSON. Reads the views `egress`, `dns`, `rivals`, `recordings` and `gaps`. Fails when SQLite
//! or the output fails.

mod chain;
mod json;
mod page;
mod row;
mod text;
mod unnamed;
mod wording;

use std::net::IpAddr;

use anyhow::Result;
use rusqlite::{Connection, params};

use chain::AnswerRecord;
use row::{ViewRow, rows};
use unnamed::Unnamed;

/// A connection and what its name rests on.
pub struct Explanation {
    /// The columns of `egress`, except the binary address.
    connection: ViewRow,
    /// The lookup that named it, if there was one and it was recorded.
    lookup: Option<ViewRow>,
    /// The resource records of that lookup's answer.
    answers: Vec<AnswerRecord>,
    /// The other names that it could have had.
    rivals: Vec<RivalName>,
    /// Why it has no name.
    unnamed: Option<Unnamed>,
}

/// Another name, and its lookup if that is known.
struct RivalName {
    host: ViewRow,
    lookup: Option<ViewRow>,
}

/// The columns of `dns` that describe the lookup and not one of its records.
const LOOKUP: &str = "id, time, ts, pid, comm, exe, container_name, server_ip, server_port,
       transport, qname, qtype, rcode, latency_us, status";

impl Explanation {
    /// Reads what is known about the connection `id`; none if it does not exist.
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
        } else {
            explanation.evidence(&db, id)?;
        }
        Ok(Some(explanation))
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
            self.rivals.push(RivalName { host, lookup });
        }
        Ok(())
    }
}

fn look_up(db: &Connection, id: i64) -> Result<Option<ViewRow>> {
    // There is one row per record of the answer; they agree in these columns.
    let sql = format!("SELECT {LOOKUP} FROM dns WHERE id = ?1 LIMIT 1");
    Ok(rows(db, &sql, params![id])?.into_iter().next())
}

/// The destination address.
fn address(connection: &ViewRow) -> Option<IpAddr> {
    connection.text("dst_ip")?.parse().ok()
}

#[cfg(test)]
mod tests;
