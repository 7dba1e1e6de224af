//! The sums that are kept beside the connections: of each edge (who talked to what, and
//! how it went) on each day, and over all time. They change in the transaction that
//! changes the connections, so that both always say the same.

use std::collections::HashMap;

use chrono::{DateTime, Days, Local, NaiveDate, NaiveTime, TimeZone, Utc};
use rusqlite::{Connection as Db, OptionalExtension, params};

use super::intern::{Edge, Interner};
use super::prune::Suspects;

/// What a connection adds to its edge's sums: its time and bytes.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub ts: i64,
    pub tx: Option<i64>,
    pub rx: Option<i64>,
}

/// What has changed for an edge, of one day or of all.
#[derive(Debug)]
struct Change {
    edge: i64,
    connections: i64,
    removed: i64,
    tx_known: i64,
    tx_bytes: i64,
    rx_known: i64,
    rx_bytes: i64,
    first_ts: i64,
    last_ts: i64,
    /// Connections have gone, perhaps the first or the last one.
    shrunk: bool,
}

impl Change {
    fn of(edge: i64) -> Change {
        Change {
            edge,
            connections: 0,
            removed: 0,
            tx_known: 0,
            tx_bytes: 0,
            rx_known: 0,
            rx_bytes: 0,
            first_ts: i64::MAX,
            last_ts: i64::MIN,
            shrunk: false,
        }
    }

    fn carry(&mut self, share: &Share, sign: i64) {
        if let Some(tx) = share.tx {
            self.tx_known += sign;
            self.tx_bytes = self.tx_bytes.saturating_add(sign * tx);
        }
        if let Some(rx) = share.rx {
            self.rx_known += sign;
            self.rx_bytes = self.rx_bytes.saturating_add(sign * rx);
        }
    }

    fn join(&mut self, other: &Change) {
        self.connections += other.connections;
        self.tx_known += other.tx_known;
        self.tx_bytes = self.tx_bytes.saturating_add(other.tx_bytes);
        self.rx_known += other.rx_known;
        self.rx_bytes = self.rx_bytes.saturating_add(other.rx_bytes);
        self.first_ts = self.first_ts.min(other.first_ts);
        self.last_ts = self.last_ts.max(other.last_ts);
        self.shrunk |= other.shrunk;
    }
}

/// The changes since the last [`Rollup::write`], and the day that it is.
#[derive(Default)]
pub struct Rollup {
    /// By id of `edge_day`.
    changes: HashMap<i64, Change>,
    today: Option<(std::ops::Range<i64>, i64)>,
}

impl Rollup {
    fn change(&mut self, edge: Edge) -> &mut Change {
        let change = self.changes.entry(edge.on_day);
        change.or_insert_with(|| Change::of(edge.id))
    }

    /// A connection is new on this edge.
    pub fn add(&mut self, edge: Edge, share: &Share) {
        let change = self.change(edge);
        change.connections += 1;
        change.carry(share, 1);
        change.first_ts = change.first_ts.min(share.ts);
        change.last_ts = change.last_ts.max(share.ts);
    }

    /// A connection is no longer on this edge.
    pub fn remove(&mut self, edge: Edge, share: &Share) {
        let change = self.change(edge);
        change.connections -= 1;
        change.carry(share, -1);
        change.shrunk = true;
    }

    /// A connection on this edge has other bytes now.
    pub fn replace(&mut self, edge: Edge, old: &Share, new: &Share) {
        let change = self.change(edge);
        change.carry(old, -1);
        change.carry(new, 1);
    }

    /// A connection has gone, and is counted on.
    pub fn outlive(&mut self, edge: Edge) {
        self.change(edge).removed += 1;
    }

    /// What was only counted on an edge's day is no longer: what is left is the sum of
    /// the connections that are there.
    pub fn forget_removed(&mut self, db: &Db, edge: Edge) -> rusqlite::Result<()> {
        let change = self.change(edge);
        change.shrunk = true;
        db.prepare_cached(
            "SELECT l.connections - b.connections, -b.removed, l.tx_known - b.tx_known, l.tx_bytes - b.tx_bytes,
                    l.rx_known - b.rx_known, l.rx_bytes - b.rx_bytes
             FROM edge_day b,
                  (SELECT count(*) AS connections, count(tx_bytes) AS tx_known, coalesce(sum(tx_bytes), 0) AS tx_bytes,
                          count(rx_bytes) AS rx_known, coalesce(sum(rx_bytes), 0) AS rx_bytes
                   FROM connection WHERE edge_day_id = ?1) l
             WHERE b.id = ?1",
        )?
        .query_row([edge.on_day], |row| {
            change.connections = row.get(0)?;
            change.removed = row.get(1)?;
            change.tx_known = row.get(2)?;
            change.tx_bytes = row.get(3)?;
            change.rx_known = row.get(4)?;
            change.rx_bytes = row.get(5)?;
            Ok(())
        })
    }

    /// The day's row that a time lies in.
    pub fn day(&mut self, db: &Db, ts: i64) -> rusqlite::Result<i64> {
        if let Some((span, id)) = &self.today
            && span.contains(&ts)
        {
            return Ok(*id);
        }
        let before = db
            .prepare_cached(
                "SELECT id, start_ts, end_ts FROM day WHERE start_ts <= ?1 ORDER BY start_ts DESC LIMIT 1",
            )?
            .query_row([ts], |row| Ok((row.get(0)?, row.get(1)?..row.get(2)?)))
            .optional()?;
        let (id, span) = match before {
            Some((id, span)) if span.contains(&ts) => (id, span),
            before => {
                let next = db
                    .prepare_cached("SELECT min(start_ts) FROM day WHERE start_ts > ?1")?
                    .query_row([ts], |row| row.get::<_, Option<i64>>(0))?;
                // Days of another zone may reach into this one.
                let whole = day_of(ts);
                let start = before.map_or(whole.start, |(_, span)| whole.start.max(span.end));
                let span = start..next.map_or(whole.end, |next| whole.end.min(next));
                db.prepare_cached("INSERT INTO day (start_ts, end_ts) VALUES (?1, ?2)")?
                    .execute([span.start, span.end])?;
                (db.last_insert_rowid(), span)
            }
        };
        self.today = Some((span, id));
        Ok(id)
    }

    /// Days have been removed.
    pub fn forget_day(&mut self) {
        self.today = None;
    }

    /// Writes the changes. An edge that nothing is left of stays, and is of use again
    /// when the next attempt on it begins.
    pub fn write(&mut self, db: &Db) -> rusqlite::Result<()> {
        self.apply(db).map(drop)
    }

    /// Writes the changes, and removes edges that nothing is left of.
    pub fn prune(&mut self, db: &Db, intern: &mut Interner) -> rusqlite::Result<Suspects> {
        let (days, edges) = self.apply(db)?;
        let mut gone = Vec::new();
        for id in days {
            let deleted = db
                .prepare_cached("DELETE FROM edge_day WHERE id = ?1 AND connections = 0")?
                .execute([id])?;
            gone.extend((deleted > 0).then_some(id));
        }
        let mut suspects = Suspects::default();
        for id in edges {
            prune_edge(db, id, &mut suspects)?;
        }
        intern.forget_days(&gone);
        Ok(suspects)
    }

    /// Writes the changes. The ids of `edge_day` and `edge` that lost connections.
    fn apply(&mut self, db: &Db) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
        let mut days: Vec<(i64, Change)> = self.changes.drain().collect();
        // In order, so that each page is found once.
        days.sort_unstable_by_key(|(id, _)| *id);
        let mut edges: HashMap<i64, Change> = HashMap::new();
        let mut add = db.prepare_cached(
            "UPDATE edge_day SET connections = connections + ?2,
                 tx_known = tx_known + ?3, tx_bytes = tx_bytes + ?4,
                 rx_known = rx_known + ?5, rx_bytes = rx_bytes + ?6,
                 first_ts = CASE connections WHEN 0 THEN ?7 ELSE min(first_ts, ?7) END,
                 last_ts = CASE connections WHEN 0 THEN ?8 ELSE max(last_ts, ?8) END,
                 removed = removed + ?9
             WHERE id = ?1",
        )?;
        // By id, which is one look instead of one at each connection: ids and times go up
        // together unless the clock is set back. Where some are only counted, the first
        // and last stay theirs.
        let mut shrink = db.prepare_cached(
            "UPDATE edge_day SET
                 first_ts = (SELECT ts FROM connection WHERE edge_day_id = ?1 ORDER BY id LIMIT 1),
                 last_ts = (SELECT ts FROM connection WHERE edge_day_id = ?1 ORDER BY id DESC LIMIT 1)
             WHERE id = ?1 AND connections > 0 AND removed = 0",
        )?;
        for (id, change) in &days {
            add.execute(params![
                id,
                change.connections,
                change.tx_known,
                change.tx_bytes,
                change.rx_known,
                change.rx_bytes,
                change.first_ts,
                change.last_ts,
                change.removed,
            ])?;
            if change.shrunk {
                shrink.execute([id])?;
            }
            let of_edge = edges.entry(change.edge);
            of_edge
                .or_insert_with(|| Change::of(change.edge))
                .join(change);
        }
        let mut edges: Vec<Change> = edges.into_values().collect();
        edges.sort_unstable_by_key(|change| change.edge);
        let mut add = db.prepare_cached(
            "UPDATE edge SET connections = connections + ?2,
                 tx_known = tx_known + ?3, tx_bytes = tx_bytes + ?4,
                 rx_known = rx_known + ?5, rx_bytes = rx_bytes + ?6,
                 first_ts = CASE connections WHEN 0 THEN ?7 ELSE min(first_ts, ?7) END,
                 last_ts = CASE connections WHEN 0 THEN ?8 ELSE max(last_ts, ?8) END
             WHERE id = ?1",
        )?;
        let mut shrink = db.prepare_cached(
            "UPDATE edge SET
                 first_ts = (SELECT min(first_ts) FROM edge_day WHERE edge_id = ?1 AND connections > 0),
                 last_ts = (SELECT max(last_ts) FROM edge_day WHERE edge_id = ?1 AND connections > 0)
             WHERE id = ?1 AND connections > 0",
        )?;
        for change in &edges {
            add.execute(params![
                change.edge,
                change.connections,
                change.tx_known,
                change.tx_bytes,
                change.rx_known,
                change.rx_bytes,
                change.first_ts,
                change.last_ts,
            ])?;
            if change.shrunk {
                shrink.execute([change.edge])?;
            }
        }
        let days = days.iter().filter(|(_, change)| change.shrunk);
        let edges = edges.iter().filter(|change| change.shrunk);
        Ok((
            days.map(|(id, _)| *id).collect(),
            edges.map(|change| change.edge).collect(),
        ))
    }
}

/// Removes an edge that is on no day any more.
pub fn prune_edge(db: &Db, id: i64, suspects: &mut Suspects) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM edge WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM edge_day WHERE edge_id = ?1)
         RETURNING process_id, host_id, src_id, dst_id",
    )?
    .query_row([id], |row| {
        suspects.processes.extend(row.get::<_, Option<i64>>(0)?);
        suspects.hosts.extend(row.get::<_, Option<i64>>(1)?);
        suspects.addresses.extend(row.get::<_, Option<i64>>(2)?);
        suspects.addresses.extend(row.get::<_, Option<i64>>(3)?);
        Ok(())
    })
    .optional()?;
    Ok(())
}

/// The day that a time lies in, in the zone of this host.
fn day_of(ts: i64) -> std::ops::Range<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let date = DateTime::<Utc>::from_timestamp_nanos(ts)
        .with_timezone(&Local)
        .date_naive();
    let next = date.checked_add_days(Days::new(1));
    let span = midnight(date).zip(next.and_then(midnight));
    match span {
        Some((start, end)) if (start..end).contains(&ts) => start..end,
        // Where midnight is skipped or too far away.
        _ => {
            let start = ts.div_euclid(DAY).saturating_mul(DAY);
            start..start.saturating_add(DAY)
        }
    }
}

fn midnight(date: NaiveDate) -> Option<i64> {
    let local = Local.from_local_datetime(&date.and_time(NaiveTime::MIN));
    local.earliest()?.timestamp_nanos_opt()
}
