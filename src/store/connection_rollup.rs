//! Rollups of connections: the totals of each connection group, per day and over all time.
//! They change in the same transaction as the connections, so that the two always agree.

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::{Connection as Db, OptionalExtension, params};

use super::intern::{GroupDay, Interner};
use super::orphans::{ACCOUNT_OF_PROCESS, OrphanCandidates};
use super::usage::{self, Usage};

/// What a connection adds to the totals of its group.
#[derive(Debug, Clone, Copy)]
pub struct Contribution {
    pub ts: i64,
    pub tx: Option<i64>,
    pub rx: Option<i64>,
}

/// The changes of a group's totals, of one day or of all.
#[derive(Debug)]
struct Delta {
    group: i64,
    account: u32,
    connections: i64,
    removed: i64,
    tx_known: i64,
    tx_bytes: i64,
    rx_known: i64,
    rx_bytes: i64,
    first_ts: i64,
    last_ts: i64,
    /// Connections were removed, possibly the first or the last one.
    shrunk: bool,
}

impl Delta {
    fn new(group: i64, account: u32) -> Delta {
        Delta {
            group,
            account,
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

    fn add_bytes(&mut self, of: &Contribution, sign: i64) {
        if let Some(tx) = of.tx {
            self.tx_known += sign;
            self.tx_bytes = self.tx_bytes.saturating_add(sign * tx);
        }
        if let Some(rx) = of.rx {
            self.rx_known += sign;
            self.rx_bytes = self.rx_bytes.saturating_add(sign * rx);
        }
    }

    fn merge(&mut self, other: &Delta) {
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

/// The changes since the last [`ConnectionRollup::write`], by `connection_daily.id`.
#[derive(Default)]
pub struct ConnectionRollup(HashMap<i64, Delta>);

impl ConnectionRollup {
    fn delta(&mut self, of: GroupDay) -> &mut Delta {
        let delta = self.0.entry(of.daily);
        delta.or_insert_with(|| Delta::new(of.group, of.account))
    }

    /// Adds a connection to a group.
    pub fn add(&mut self, to: GroupDay, connection: &Contribution) {
        let delta = self.delta(to);
        delta.connections += 1;
        delta.add_bytes(connection, 1);
        delta.first_ts = delta.first_ts.min(connection.ts);
        delta.last_ts = delta.last_ts.max(connection.ts);
    }

    /// Removes a connection from a group.
    pub fn remove(&mut self, from: GroupDay, connection: &Contribution) {
        let delta = self.delta(from);
        delta.connections -= 1;
        delta.add_bytes(connection, -1);
        delta.shrunk = true;
    }

    /// Updates the bytes of a connection.
    pub fn replace(&mut self, of: GroupDay, old: &Contribution, new: &Contribution) {
        let delta = self.delta(of);
        delta.add_bytes(old, -1);
        delta.add_bytes(new, 1);
    }

    /// Keeps counting a connection whose row is removed.
    pub fn retain_in_rollup(&mut self, of: GroupDay) {
        self.delta(of).removed += 1;
    }

    /// Stops counting the removed connections of a group's day: the totals become those of
    /// the connections that still have rows.
    pub fn drop_retained(&mut self, db: &Db, of: GroupDay) -> rusqlite::Result<()> {
        let delta = self.delta(of);
        delta.shrunk = true;
        db.prepare_cached(
            "SELECT l.connections - d.connections, -d.removed, l.tx_known - d.tx_known, l.tx_bytes - d.tx_bytes,
                    l.rx_known - d.rx_known, l.rx_bytes - d.rx_bytes
             FROM connection_daily d,
                  (SELECT count(*) AS connections, count(tx_bytes) AS tx_known, coalesce(sum(tx_bytes), 0) AS tx_bytes,
                          count(rx_bytes) AS rx_known, coalesce(sum(rx_bytes), 0) AS rx_bytes
                   FROM connection WHERE daily_id = ?1) l
             WHERE d.id = ?1",
        )?
        .query_row([of.daily], |row| {
            delta.connections = row.get(0)?;
            delta.removed = row.get(1)?;
            delta.tx_known = row.get(2)?;
            delta.tx_bytes = row.get(3)?;
            delta.rx_known = row.get(4)?;
            delta.rx_bytes = row.get(5)?;
            Ok(())
        })
    }

    /// Writes the changes. Groups without connections stay: the next attempt may be in one.
    pub fn write(&mut self, db: &Db, usage: &mut Usage) -> rusqlite::Result<()> {
        self.apply(db, usage).map(drop)
    }

    /// Writes the changes and removes groups without connections.
    pub fn write_and_prune(
        &mut self,
        db: &Db,
        intern: &mut Interner,
    ) -> rusqlite::Result<OrphanCandidates> {
        let (daily, groups) = self.apply(db, &mut intern.usage)?;
        let mut removed = Vec::new();
        let mut delete = db.prepare_cached(
            "DELETE FROM connection_daily WHERE id = ?1 AND connections = 0 RETURNING account",
        )?;
        for id in daily {
            let account = delete.query_row([id], |row| row.get(0)).optional()?;
            if let Some(account) = account {
                intern.usage.add(account, -usage::CONNECTION_DAILY);
                removed.push(id);
            }
        }
        let mut candidates = OrphanCandidates::default();
        for id in groups {
            prune_group(db, id, &mut candidates, &mut intern.usage)?;
        }
        intern.forget_daily(&removed);
        Ok(candidates)
    }

    /// Writes the changes. Returns the sorted ids of `connection_daily` and
    /// `connection_group` that lost connections.
    fn apply(&mut self, db: &Db, usage: &mut Usage) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
        let mut daily: Vec<(i64, Delta)> = self.0.drain().collect();
        // Sorted, so that each page is visited once.
        daily.sort_unstable_by_key(|(id, _)| *id);
        let mut groups: HashMap<i64, Delta> = HashMap::new();
        let mut add = db.prepare_cached(
            "UPDATE connection_daily SET connections = connections + ?2,
                 tx_known = tx_known + ?3, tx_bytes = tx_bytes + ?4,
                 rx_known = rx_known + ?5, rx_bytes = rx_bytes + ?6,
                 first_ts = CASE connections WHEN 0 THEN ?7 ELSE min(first_ts, ?7) END,
                 last_ts = CASE connections WHEN 0 THEN ?8 ELSE max(last_ts, ?8) END,
                 removed = removed + ?9
             WHERE id = ?1",
        )?;
        // By id, which is a single index search instead of a scan of the connections: ids and
        // times ascend together unless the clock is set back. Where removed connections are
        // still counted, the times stay as they are.
        let mut shrink = db.prepare_cached(
            "UPDATE connection_daily SET
                 first_ts = (SELECT ts FROM connection WHERE daily_id = ?1 ORDER BY id LIMIT 1),
                 last_ts = (SELECT ts FROM connection WHERE daily_id = ?1 ORDER BY id DESC LIMIT 1)
             WHERE id = ?1 AND connections > 0 AND removed = 0",
        )?;
        for (id, delta) in &daily {
            add.execute(params![
                id,
                delta.connections,
                delta.tx_known,
                delta.tx_bytes,
                delta.rx_known,
                delta.rx_bytes,
                delta.first_ts,
                delta.last_ts,
                delta.removed,
            ])?;
            if delta.shrunk {
                shrink.execute([id])?;
            }
            let rows = delta.connections - delta.removed;
            usage.add(delta.account, rows * usage::CONNECTION);
            let of_group = groups.entry(delta.group);
            of_group
                .or_insert_with(|| Delta::new(delta.group, delta.account))
                .merge(delta);
        }
        let mut groups: Vec<Delta> = groups.into_values().collect();
        groups.sort_unstable_by_key(|delta| delta.group);
        let mut add = db.prepare_cached(
            "UPDATE connection_group SET connections = connections + ?2,
                 tx_known = tx_known + ?3, tx_bytes = tx_bytes + ?4,
                 rx_known = rx_known + ?5, rx_bytes = rx_bytes + ?6,
                 first_ts = CASE connections WHEN 0 THEN ?7 ELSE min(first_ts, ?7) END,
                 last_ts = CASE connections WHEN 0 THEN ?8 ELSE max(last_ts, ?8) END
             WHERE id = ?1",
        )?;
        let mut shrink = db.prepare_cached(
            "UPDATE connection_group SET
                 first_ts = (SELECT min(first_ts) FROM connection_daily WHERE group_id = ?1 AND connections > 0),
                 last_ts = (SELECT max(last_ts) FROM connection_daily WHERE group_id = ?1 AND connections > 0)
             WHERE id = ?1 AND connections > 0",
        )?;
        for delta in &groups {
            add.execute(params![
                delta.group,
                delta.connections,
                delta.tx_known,
                delta.tx_bytes,
                delta.rx_known,
                delta.rx_bytes,
                delta.first_ts,
                delta.last_ts,
            ])?;
            if delta.shrunk {
                shrink.execute([delta.group])?;
            }
        }
        let daily = daily.iter().filter(|(_, delta)| delta.shrunk);
        let groups = groups.iter().filter(|delta| delta.shrunk);
        Ok((
            daily.map(|(id, _)| *id).collect(),
            groups.map(|delta| delta.group).collect(),
        ))
    }
}

/// Removes a connection group that has no day left.
pub fn prune_group(
    db: &Db,
    id: i64,
    candidates: &mut OrphanCandidates,
    usage: &mut Usage,
) -> rusqlite::Result<()> {
    static PRUNE: LazyLock<String> = LazyLock::new(|| {
        let delete = "DELETE FROM connection_group
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM connection_daily WHERE group_id = ?1)
             RETURNING process_id, host_id, src_id, dst_id, wire_id";
        format!(
            "{delete}, {ACCOUNT_OF_PROCESS}, {}",
            usage::OF_CONNECTION_GROUP
        )
    });
    db.prepare_cached(&PRUNE)?
        .query_row([id], |row| {
            usage.add(row.get(5)?, -row.get::<_, i64>(6)?);
            candidates.processes.extend(row.get::<_, Option<i64>>(0)?);
            candidates.hosts.extend(row.get::<_, Option<i64>>(1)?);
            candidates.addresses.extend(row.get::<_, Option<i64>>(2)?);
            candidates.addresses.extend(row.get::<_, Option<i64>>(3)?);
            candidates.wires.extend(row.get::<_, Option<i64>>(4)?);
            Ok(())
        })
        .optional()?;
    Ok(())
}
