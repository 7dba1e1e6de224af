//! The sums of lookups: of each inquiry (who asked whom for what, and how that went) on
//! each day, and over all time. They change in the transaction that changes the lookups.

use std::collections::BTreeMap;

use rusqlite::{Connection as Db, params};

/// By ids of `day` and `inquiry`, in their order, so that each page is found once.
type ByDay<T> = BTreeMap<(i64, i64), T>;

/// Lookups that are new since the last [`Asked::write`].
#[derive(Default)]
pub struct Asked(ByDay<More>);

struct More {
    lookups: i64,
    first_ts: i64,
    last_ts: i64,
}

impl Asked {
    /// A lookup of this inquiry on this day is new.
    pub fn add(&mut self, day: i64, inquiry: i64, ts: i64) {
        let more = self.0.entry((day, inquiry)).or_insert(More {
            lookups: 0,
            first_ts: ts,
            last_ts: ts,
        });
        more.lookups += 1;
        more.first_ts = more.first_ts.min(ts);
        more.last_ts = more.last_ts.max(ts);
    }

    pub fn write(&mut self, db: &Db) -> rusqlite::Result<()> {
        let mut on_day = db.prepare_cached(
            "INSERT INTO inquiry_day (day_id, inquiry_id, lookups, first_ts, last_ts)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET lookups = lookups + ?3,
                 first_ts = min(first_ts, ?4), last_ts = max(last_ts, ?5)",
        )?;
        let mut in_all = db.prepare_cached(
            "UPDATE inquiry SET lookups = lookups + ?2,
                 first_ts = CASE lookups WHEN 0 THEN ?3 ELSE min(first_ts, ?3) END,
                 last_ts = CASE lookups WHEN 0 THEN ?4 ELSE max(last_ts, ?4) END
             WHERE id = ?1",
        )?;
        for ((day, inquiry), more) in std::mem::take(&mut self.0) {
            let More {
                lookups,
                first_ts,
                last_ts,
            } = more;
            on_day.execute([day, inquiry, lookups, first_ts, last_ts])?;
            in_all.execute([inquiry, lookups, first_ts, last_ts])?;
        }
        Ok(())
    }
}

/// So many lookups have been removed of these inquiries on these days, the oldest of each.
pub fn removed(db: &Db, gone: &ByDay<i64>) -> rusqlite::Result<()> {
    // The first one that is left, by id, which is one look: ids and times go up together
    // unless the clock is set back.
    let mut on_day = db.prepare_cached(
        "UPDATE inquiry_day SET lookups = lookups - ?3,
             first_ts = coalesce((SELECT ts FROM lookup WHERE inquiry_id = ?2 ORDER BY id LIMIT 1), first_ts)
         WHERE day_id = ?1 AND inquiry_id = ?2",
    )?;
    let mut empty = db.prepare_cached(
        "DELETE FROM inquiry_day WHERE day_id = ?1 AND inquiry_id = ?2 AND lookups <= 0",
    )?;
    let mut in_all = db.prepare_cached(
        "UPDATE inquiry SET lookups = lookups - ?2,
             first_ts = coalesce((SELECT ts FROM lookup WHERE inquiry_id = ?1 ORDER BY id LIMIT 1), first_ts)
         WHERE id = ?1",
    )?;
    for (&(day, inquiry), &lookups) in gone {
        on_day.execute(params![day, inquiry, lookups])?;
        empty.execute([day, inquiry])?;
        in_all.execute([inquiry, lookups])?;
    }
    Ok(())
}
