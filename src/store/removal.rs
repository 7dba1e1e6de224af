//! Removes rows, keeping rollups, shared rows and gaps consistent.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::LazyLock;

use rusqlite::{Connection as Db, OptionalExtension, Row, params};

use super::connection_rollup::prune_group;
use super::intern::GroupDay;
use super::lookup_rollup;
use super::orphans::OrphanCandidates;
use super::usage;
use super::write::{Writer, stored};
use crate::model::GapKind;

/// Rows that a step removes at most: about 2 ms.
pub const ROWS: i64 = 200;

/// Open connections that are exempt at most, the oldest: each step has to skip them.
pub const EXEMPT: usize = 4_096;

/// The number of removed rows, and the times of the first and the last.
#[derive(Default)]
pub struct Removed {
    pub count: i64,
    from: i64,
    to: i64,
}

/// The ids and times of the `most` oldest connections that may be removed. Open ones are
/// exempt: they still transfer data and belong to the present.
pub fn oldest_connections(
    db: &Db,
    open: &BTreeSet<i64>,
    most: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = db.prepare_cached("SELECT id, ts FROM connection ORDER BY ts")?;
    let mut rows = statement.query([])?;
    let (mut found, mut exempt) = (Vec::new(), 0);
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        let (id, ts) = (row.get(0)?, row.get(1)?);
        match exempt < EXEMPT && open.contains(&id) {
            true => exempt += 1,
            false => found.push((id, ts)),
        }
    }
    Ok(found)
}

/// Those of an account, likewise. Each of its groups' days is in the order of their first
/// connections, so that those of which all connections are younger are not looked at.
pub fn oldest_connections_of(
    db: &Db,
    account: u32,
    open: &BTreeSet<i64>,
    most: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut days = db.prepare_cached(
        "SELECT id, first_ts FROM connection_daily INDEXED BY connection_daily_account
         WHERE account = ?1 AND connections > removed ORDER BY first_ts",
    )?;
    let mut of_day =
        db.prepare_cached("SELECT ts, id FROM connection WHERE daily_id = ?1 ORDER BY id")?;
    let mut days = days.query([account])?;
    let (mut found, mut exempt) = (Oldest::of(most), 0);
    while let Some(day) = days.next()? {
        let daily = day.get(0)?;
        if found.excludes(day.get(1)?) {
            break;
        }
        let mut rows = of_day.query([daily])?;
        while let Some(row) = rows.next()? {
            let (ts, id) = (row.get(0)?, row.get(1)?);
            if exempt < EXEMPT && open.contains(&id) {
                exempt += 1;
            } else if !found.add((ts, id, daily)) {
                break;
            }
        }
    }
    let found = found.sorted().into_iter();
    Ok(found.map(|(ts, id, _)| (id, ts)).collect())
}

/// The oldest rows of several series, each of which ascends: time, id, and series.
struct Oldest {
    found: BinaryHeap<(i64, i64, i64)>,
    most: usize,
}

impl Oldest {
    fn of(most: usize) -> Oldest {
        let found = BinaryHeap::new();
        Oldest { found, most }
    }

    /// False if no later row of the same series can be one of them.
    fn add(&mut self, row: (i64, i64, i64)) -> bool {
        if self.found.len() < self.most {
            self.found.push(row);
            return true;
        }
        match self.found.peek_mut() {
            Some(mut last) if row < *last => {
                *last = row;
                true
            }
            _ => false,
        }
    }

    /// Whether no series that begins at this time has any of them.
    fn excludes(&self, ts: i64) -> bool {
        let last = self.found.peek();
        self.found.len() >= self.most && last.is_none_or(|&(last, ..)| last <= ts)
    }

    fn sorted(self) -> Vec<(i64, i64, i64)> {
        self.found.into_sorted_vec()
    }
}

/// Removes connections, given in the order of their times; with `keep_totals` the rollups still
/// count them.
pub fn remove_connections(
    db: &Db,
    writer: &mut Writer,
    rows: &[(i64, i64)],
    keep_totals: bool,
) -> rusqlite::Result<Removed> {
    let mut candidates = OrphanCandidates::default();
    let mut rivals =
        db.prepare_cached("DELETE FROM rival WHERE connection_id = ?1 RETURNING host_id")?;
    let mut connection = db.prepare_cached("DELETE FROM connection WHERE id = ?1")?;
    for (id, _) in rows {
        let Some((group_day, contribution)) = stored(db, *id)? else {
            continue;
        };
        for host in rivals.query_map([id], |row| row.get(0))? {
            candidates.hosts.insert(host?);
            (writer.intern.usage).add(group_day.account, -usage::RIVAL);
        }
        connection.execute([id])?;
        match keep_totals {
            true => writer.connection_rollup.retain_in_rollup(group_day),
            false => writer.connection_rollup.remove(group_day, &contribution),
        }
    }
    let pruned = writer
        .connection_rollup
        .write_and_prune(db, &mut writer.intern)?;
    candidates.merge(pruned);
    candidates.remove(db, &mut writer.intern)?;
    let removed = Removed {
        count: rows.len() as i64,
        from: rows.first().map_or(0, |&(_, ts)| ts),
        to: rows.last().map_or(0, |&(_, ts)| ts),
    };
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

/// A lookup: its time, id and group.
pub type LookupRow = (i64, i64, i64);

/// The oldest lookups, before a time.
pub fn oldest_lookups(db: &Db, before: i64, most: i64) -> rusqlite::Result<Vec<LookupRow>> {
    db.prepare_cached("SELECT ts, id, group_id FROM lookup WHERE ts < ?1 ORDER BY ts LIMIT ?2")?
        .query_map([before, most], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect()
}

/// Those of an account, found as [`oldest_connections_of`].
pub fn oldest_lookups_of(db: &Db, account: u32, most: usize) -> rusqlite::Result<Vec<LookupRow>> {
    let mut days = db.prepare_cached(
        "SELECT group_id, first_ts FROM lookup_daily INDEXED BY lookup_daily_account
         WHERE account = ?1 ORDER BY first_ts",
    )?;
    let mut of_group =
        db.prepare_cached("SELECT ts, id FROM lookup WHERE group_id = ?1 ORDER BY id")?;
    let mut days = days.query([account])?;
    let (mut found, mut seen) = (Oldest::of(most), BTreeSet::new());
    while let Some(day) = days.next()? {
        let group = day.get(0)?;
        if found.excludes(day.get(1)?) {
            break;
        }
        // not a later day of a group whose lookups are known
        if !seen.insert(group) {
            continue;
        }
        let mut rows = of_group.query([group])?;
        while let Some(row) = rows.next()? {
            if !found.add((row.get(0)?, row.get(1)?, group)) {
                break;
            }
        }
    }
    Ok(found.sorted())
}

/// Removes lookups, given in the order of their times.
pub fn remove_lookups(
    db: &Db,
    writer: &mut Writer,
    rows: &[LookupRow],
) -> rusqlite::Result<Removed> {
    static ANSWERS: LazyLock<String> = LazyLock::new(|| {
        let delete = "DELETE FROM answer WHERE lookup_id = ?1 RETURNING name_id";
        format!("{delete}, {}", usage::OF_ANSWER)
    });
    let mut candidates = OrphanCandidates::default();
    let mut answers = db.prepare_cached(&ANSWERS)?;
    let mut lookup = db.prepare_cached("DELETE FROM lookup WHERE id = ?1")?;
    let mut by_day = BTreeMap::new();
    for (ts, id, group) in rows {
        let mut bytes = 0;
        let of_answer = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?));
        for answer in answers.query_map([id], of_answer)? {
            let (host, size) = answer?;
            candidates.hosts.extend(host);
            bytes += size;
        }
        lookup.execute([id])?;
        let day = writer.days.id(db, *ts)?;
        let removed: &mut (i64, i64) = by_day.entry((day, *group)).or_default();
        removed.0 += 1;
        removed.1 += bytes;
        candidates.lookup_groups.insert(*group);
    }
    lookup_rollup::subtract(db, &by_day, &mut writer.intern.usage)?;
    candidates.remove(db, &mut writer.intern)?;
    let removed = Removed {
        count: rows.len() as i64,
        from: rows.first().map_or(0, |&(ts, ..)| ts),
        to: rows.last().map_or(0, |&(ts, ..)| ts),
    };
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

/// Removes the oldest totals of removed connections, of days that ended before `before`.
pub fn remove_retained_totals(
    db: &Db,
    writer: &mut Writer,
    before: i64,
) -> rusqlite::Result<Removed> {
    let days: Vec<(i64, GroupDay, i64)> = db
        .prepare_cached(&format!(
            "SELECT c.id, c.group_id, c.removed, d.start_ts, c.account
             FROM connection_daily c JOIN day d ON d.id = c.day_id
             WHERE c.removed > 0
               AND c.day_id = (SELECT id FROM day
                               WHERE EXISTS (SELECT 1 FROM connection_daily
                                             WHERE day_id = day.id AND removed > 0)
                               ORDER BY start_ts LIMIT 1)
               AND d.end_ts <= ?1 LIMIT {ROWS}"
        ))?
        .query_map([before], |row| {
            let group_day = GroupDay {
                group: row.get(1)?,
                daily: row.get(0)?,
                account: row.get(4)?,
            };
            Ok((row.get(2)?, group_day, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut removed = Removed::default();
    for (count, group_day, start) in &days {
        writer.connection_rollup.drop_retained(db, *group_day)?;
        removed.count += count;
        (removed.from, removed.to) = (*start, *start);
    }
    let candidates = writer
        .connection_rollup
        .write_and_prune(db, &mut writer.intern)?;
    candidates.remove(db, &mut writer.intern)?;
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

/// Removes the first day that began by `by` and has no connections and no lookups left, with
/// the groups that are on no other day.
fn remove_empty_day(db: &Db, writer: &mut Writer, by: i64) -> rusqlite::Result<()> {
    let first: Option<i64> = db
        .prepare_cached(
            "SELECT id FROM day WHERE start_ts <= ?1
             AND NOT EXISTS (SELECT 1 FROM lookup_daily WHERE day_id = day.id)
             AND NOT EXISTS (SELECT 1 FROM connection_daily WHERE day_id = day.id AND connections > 0)
             ORDER BY start_ts LIMIT 1",
        )?
        .query_row([by], |row| row.get(0))
        .optional()?;
    let Some(day) = first else {
        return Ok(());
    };
    remove_totals(db, writer, "day_id = ?1", day)?;
    let deleted = db
        .prepare_cached(
            "DELETE FROM day
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM connection_daily WHERE day_id = ?1)",
        )?
        .execute([day])?;
    if deleted > 0 {
        writer.days.forget();
    }
    Ok(())
}

/// Records the span of removed rows as a gap, so that their absence does not read as
/// "nothing happened". One row per kind, reason and recording.
pub fn record_gap(
    db: &Db,
    recording: i64,
    (kind, why): (GapKind, &str),
    rows: &Removed,
) -> rusqlite::Result<()> {
    if rows.count == 0 {
        return Ok(());
    }
    let earlier: Option<i64> = db
        .prepare_cached("SELECT id FROM gap WHERE kind = ?1 AND recording_id = ?2 AND why = ?3")?
        .query_row(params![kind.as_str(), recording, why], |row| row.get(0))
        .optional()?;
    match earlier {
        Some(id) => db
            .prepare_cached(
                "UPDATE gap SET from_ts = min(from_ts, ?2), to_ts = max(to_ts, ?3), lost = lost + ?4
                 WHERE id = ?1",
            )?
            .execute(params![id, rows.from, rows.to, rows.count])?,
        None => db
            .prepare_cached(
                "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why)
                 VALUES (?1, ?2, ?3, ?5, ?4, ?6)",
            )?
            .execute(params![
                recording,
                rows.from,
                rows.to,
                rows.count,
                kind.as_str(),
                why
            ])?,
    };
    Ok(())
}

/// Removes totals of an account that are of no connection any more; whether there were any. One
/// whose outcome became known later leaves some behind.
pub fn remove_empty_totals(db: &Db, writer: &mut Writer, account: u32) -> rusqlite::Result<bool> {
    let empty = "account = ?1 AND connections = 0";
    Ok(remove_totals(db, writer, empty, account.into())? > 0)
}

/// Removes some daily totals that meet a condition, with their groups if those are on no other day.
fn remove_totals(
    db: &Db,
    writer: &mut Writer,
    condition: &str,
    of: i64,
) -> rusqlite::Result<usize> {
    let rows: Vec<(i64, i64)> = db
        .prepare_cached(&format!(
            "DELETE FROM connection_daily
             WHERE id IN (SELECT id FROM connection_daily WHERE {condition} LIMIT {ROWS})
             RETURNING id, group_id, account"
        ))?
        .query_map([of], |row| {
            let usage = &mut writer.intern.usage;
            usage.add(row.get(2)?, -usage::CONNECTION_DAILY);
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut candidates = OrphanCandidates::default();
    let mut removed = Vec::new();
    for (id, group) in rows {
        prune_group(db, group, &mut candidates, &mut writer.intern.usage)?;
        removed.push(id);
    }
    removed.sort_unstable();
    writer.intern.forget_daily(&removed);
    candidates.remove(db, &mut writer.intern)?;
    Ok(removed.len())
}
