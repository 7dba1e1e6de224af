//! Rollups of lookups: the totals of each lookup group, per day and over all time. They
//! change in the same transaction as the lookups.

use std::collections::BTreeMap;

use rusqlite::{Connection as Db, params};

/// By `day.id` and `lookup_group.id`. Sorted, so that writing visits each page once.
type ByDay<T> = BTreeMap<(i64, i64), T>;

/// The lookups that were added since the last [`LookupRollup::write`].
#[derive(Default)]
pub struct LookupRollup(ByDay<NewLookups>);

struct NewLookups {
    lookups: i64,
    first_ts: i64,
    last_ts: i64,
}

impl LookupRollup {
    pub fn add(&mut self, day: i64, group: i64, ts: i64) {
        let added = self.0.entry((day, group)).or_insert(NewLookups {
            lookups: 0,
            first_ts: ts,
            last_ts: ts,
        });
        added.lookups += 1;
        added.first_ts = added.first_ts.min(ts);
        added.last_ts = added.last_ts.max(ts);
    }

    pub fn write(&mut self, db: &Db) -> rusqlite::Result<()> {
        let mut daily = db.prepare_cached(
            "INSERT INTO lookup_daily (day_id, group_id, lookups, first_ts, last_ts)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET lookups = lookups + ?3,
                 first_ts = min(first_ts, ?4), last_ts = max(last_ts, ?5)",
        )?;
        let mut total = db.prepare_cached(
            "UPDATE lookup_group SET lookups = lookups + ?2,
                 first_ts = CASE lookups WHEN 0 THEN ?3 ELSE min(first_ts, ?3) END,
                 last_ts = CASE lookups WHEN 0 THEN ?4 ELSE max(last_ts, ?4) END
             WHERE id = ?1",
        )?;
        for ((day, group), added) in std::mem::take(&mut self.0) {
            let NewLookups {
                lookups,
                first_ts,
                last_ts,
            } = added;
            daily.execute([day, group, lookups, first_ts, last_ts])?;
            total.execute([group, lookups, first_ts, last_ts])?;
        }
        Ok(())
    }
}

/// Subtracts removed lookups, the oldest ones of each group: how many of which day.
pub fn subtract(db: &Db, removed: &ByDay<i64>) -> rusqlite::Result<()> {
    // The first remaining lookup by id, which is a single index search: ids and times
    // ascend together unless the clock is set back.
    let mut daily = db.prepare_cached(
        "UPDATE lookup_daily SET lookups = lookups - ?3,
             first_ts = coalesce((SELECT ts FROM lookup WHERE group_id = ?2 ORDER BY id LIMIT 1), first_ts)
         WHERE day_id = ?1 AND group_id = ?2",
    )?;
    let mut empty = db.prepare_cached(
        "DELETE FROM lookup_daily WHERE day_id = ?1 AND group_id = ?2 AND lookups <= 0",
    )?;
    let mut total = db.prepare_cached(
        "UPDATE lookup_group SET lookups = lookups - ?2,
             first_ts = coalesce((SELECT ts FROM lookup WHERE group_id = ?1 ORDER BY id LIMIT 1), first_ts)
         WHERE id = ?1",
    )?;
    for (&(day, group), &lookups) in removed {
        daily.execute(params![day, group, lookups])?;
        empty.execute([day, group])?;
        total.execute([group, lookups])?;
    }
    Ok(())
}
