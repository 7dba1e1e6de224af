//! Rollups of lookups: the totals of each lookup group, per day and over all time. They
//! change in the same transaction as the lookups.

use std::collections::BTreeMap;

use rusqlite::{Connection as Db, OptionalExtension, params};

use super::usage::{self, Usage};

/// By `day.id` and `lookup_group.id`. Sorted, so that writing visits each page once.
type ByDay<T> = BTreeMap<(i64, i64), T>;

/// The lookups that were added since the last [`LookupRollup::write`].
#[derive(Default)]
pub struct LookupRollup(ByDay<NewLookups>);

struct NewLookups {
    account: u32,
    lookups: i64,
    first_ts: i64,
    last_ts: i64,
}

impl LookupRollup {
    pub fn add(&mut self, (day, group): (i64, i64), account: u32, ts: i64) {
        let added = self.0.entry((day, group)).or_insert(NewLookups {
            account,
            lookups: 0,
            first_ts: ts,
            last_ts: ts,
        });
        added.lookups += 1;
        added.first_ts = added.first_ts.min(ts);
        added.last_ts = added.last_ts.max(ts);
    }

    pub fn write(&mut self, db: &Db, usage: &mut Usage) -> rusqlite::Result<()> {
        let mut daily = db.prepare_cached(
            "INSERT INTO lookup_daily (day_id, group_id, lookups, first_ts, last_ts, account)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET lookups = lookups + ?3,
                 first_ts = min(first_ts, ?4), last_ts = max(last_ts, ?5)
             RETURNING lookups = ?3",
        )?;
        let mut total = db.prepare_cached(
            "UPDATE lookup_group SET lookups = lookups + ?2,
                 first_ts = CASE lookups WHEN 0 THEN ?3 ELSE min(first_ts, ?3) END,
                 last_ts = CASE lookups WHEN 0 THEN ?4 ELSE max(last_ts, ?4) END
             WHERE id = ?1",
        )?;
        for ((day, group), added) in std::mem::take(&mut self.0) {
            let NewLookups {
                account,
                lookups,
                first_ts,
                last_ts,
            } = added;
            let values = params![day, group, lookups, first_ts, last_ts, account];
            let is_new: bool = daily.query_row(values, |row| row.get(0))?;
            let bytes = lookups * usage::LOOKUP + i64::from(is_new) * usage::LOOKUP_DAILY;
            usage.add(account, bytes);
            total.execute([group, lookups, first_ts, last_ts])?;
        }
        Ok(())
    }
}

/// Subtracts removed lookups, the oldest ones of each group: how many of which day, and what their
/// records took.
pub fn subtract(db: &Db, removed: &ByDay<(i64, i64)>, usage: &mut Usage) -> rusqlite::Result<()> {
    // The first remaining lookup by id, which is a single index search: ids and times
    // ascend together unless the clock is set back.
    let mut daily = db.prepare_cached(
        "UPDATE lookup_daily SET lookups = lookups - ?3,
             first_ts = coalesce((SELECT ts FROM lookup WHERE group_id = ?2 ORDER BY id LIMIT 1), first_ts)
         WHERE day_id = ?1 AND group_id = ?2 RETURNING account",
    )?;
    let mut empty = db.prepare_cached(
        "DELETE FROM lookup_daily WHERE day_id = ?1 AND group_id = ?2 AND lookups <= 0",
    )?;
    let mut total = db.prepare_cached(
        "UPDATE lookup_group SET lookups = lookups - ?2,
             first_ts = coalesce((SELECT ts FROM lookup WHERE group_id = ?1 ORDER BY id LIMIT 1), first_ts)
         WHERE id = ?1",
    )?;
    for (&(day, group), &(lookups, records)) in removed {
        let values = params![day, group, lookups];
        let account: Option<u32> = daily.query_row(values, |row| row.get(0)).optional()?;
        let days = empty.execute([day, group])? as i64;
        let bytes = records + lookups * usage::LOOKUP + days * usage::LOOKUP_DAILY;
        usage.add(account.unwrap_or_default(), -bytes);
        total.execute([group, lookups])?;
    }
    Ok(())
}
