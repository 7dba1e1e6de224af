//! What is kept: the oldest connections and lookups go where the history is too old or
//! too large, and the sums of connections with them or later. A little at each commit, so
//! that the capture never waits for it long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rusqlite::{Connection as Db, OptionalExtension, TransactionBehavior, params};

use super::inquiries;
use super::intern::Edge;
use super::prune::Suspects;
use super::rollup::prune_edge;
use super::write::{Writer, stored};

/// How much of the history is kept; all of it without bounds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// `--keep`: how old a connection or lookup gets.
    pub age: Option<Duration>,
    /// `--max-size`: how large the file gets.
    pub bytes: Option<u64>,
    /// `--keep-summary`: how old the sums of connections get that have gone; without it
    /// they go with those, and sums that are there already stay.
    pub summary: Option<Duration>,
}

/// How long a commit may take longer for the sake of it. One step more is begun
/// before this is over.
const BUDGET: Duration = Duration::from_millis(20);

/// Rows that a step removes at most: some 2 ms.
const ROWS: i64 = 200;
/// And where many were written: each sum that they share is then changed once for more of
/// them.
const MANY_ROWS: i64 = 4_000;

/// Open connections that are spared at most, the oldest: each step looks past them.
const SPARED: usize = 4_096;

/// Pages that a step gives back to the file system at most.
const PAGES: i64 = 32;
/// Free pages that are not worth giving back: the next batches fill them.
const SPARE: u64 = 1 << 20;

/// Removes what is beyond `keep` at `now` (nanoseconds since 1970): as much of it as there
/// is time for, but at least twice the rows that were `written`, so that the file comes back
/// to its size however busy the host is. All in one transaction, for the steps change the
/// same pages again and again, and each is written once.
pub fn enforce(
    db: &mut Db,
    writer: &mut Writer,
    keep: Keep,
    now: i64,
    written: usize,
) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let wanted = 2 * written as i64;
    let rows = wanted.clamp(ROWS, MANY_ROWS);
    let mut steps = wanted / rows;
    let spare = keep.bytes.map_or(SPARE, |bytes| SPARE.min(bytes / 8));
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    while steps > 0 || begun.elapsed() < BUDGET {
        steps -= 1;
        let removed = step(&tx, writer, keep, now, rows)?;
        let given_back = give_back(&tx, spare)?;
        if !removed && !given_back {
            break;
        }
    }
    tx.commit()
}

/// The oldest time that is kept, where one has been told.
fn cutoff(age: Option<Duration>, now: i64) -> Option<i64> {
    let age = i64::try_from(age?.as_nanos()).ok()?;
    Some(now.saturating_sub(age))
}

/// Removes so many rows at most; whether there were any.
fn step(db: &Db, writer: &mut Writer, keep: Keep, now: i64, most: i64) -> rusqlite::Result<bool> {
    let too_large = match keep.bytes {
        Some(bytes) => used(db)? > bytes,
        None => false,
    };
    let connection = oldest(db, &writer.open, 1)?.first().map(|&(_, ts)| ts);
    let lookup: Option<i64> = db
        .prepare_cached("SELECT min(ts) FROM lookup")?
        .query_row([], |row| row.get(0))?;
    let first = connection.into_iter().chain(lookup).min();
    let before_rows = match (first, cutoff(keep.age, now)) {
        (None, _) => None,
        _ if too_large => Some(i64::MAX),
        (Some(first), Some(before)) if first < before => Some(before),
        _ => None,
    };
    let sums_before = match too_large {
        true => Some(i64::MAX),
        false => cutoff(keep.summary, now),
    };
    let sums_first = too_large && sums_prevail(db)?;
    let sums = match sums_before {
        Some(before) if sums_first || before_rows.is_none() => remove_sums(db, writer, before)?,
        _ => Removed::default(),
    };
    note(db, writer.recording, "retention", &sums)?;
    let removed = match before_rows {
        // Whichever of the two begins earlier.
        Some(before) if sums.count == 0 => {
            let connections = connection == first;
            let summed = connections && keep.summary.is_some();
            let kind = match summed {
                true => "summary",
                false => "retention",
            };
            let removed = match connections {
                true => remove_connections(db, writer, before, most, summed)?,
                false => remove_lookups(db, writer, before, most)?,
            };
            note(db, writer.recording, kind, &removed)?;
            removed.count
        }
        _ => sums.count,
    };
    Ok(removed > 0)
}

/// Whether there are so many sums that those of connections which have gone must be more
/// than the rows that are left: a connection that is there has one sum of a day at most.
/// By ids, which are given in the order in which rows go.
fn sums_prevail(db: &Db) -> rusqlite::Result<bool> {
    let rows = |table: &str| {
        let sql =
            format!("SELECT (SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table}) + 1");
        db.prepare_cached(&sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    let [sums, connections, lookups] = ["edge_day", "connection", "lookup"].map(rows);
    let details = connections?
        .unwrap_or(0)
        .saturating_add(lookups?.unwrap_or(0));
    Ok(sums?.unwrap_or(0) / 2 > details)
}

/// Bytes of the file that hold something.
fn used(db: &Db) -> rusqlite::Result<u64> {
    Ok((number(db, "page_count")? - number(db, "freelist_count")?) * number(db, "page_size")?)
}

fn number(db: &Db, pragma: &str) -> rusqlite::Result<u64> {
    let mut statement = db.prepare_cached(&format!("PRAGMA {pragma}"))?;
    let number = statement.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(number.try_into().unwrap_or(0))
}

/// Rows that went: how many, and the times of the first and the last.
#[derive(Default)]
struct Removed {
    count: i64,
    from: i64,
    to: i64,
}

/// The oldest connections that may go, so many at most, by id, and their times. Not those
/// that are open: they carry on, and belong to the present.
fn oldest(db: &Db, open: &BTreeSet<i64>, most: usize) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = db.prepare_cached("SELECT id, ts FROM connection ORDER BY ts")?;
    let mut rows = statement.query([])?;
    let (mut found, mut spared) = (Vec::new(), 0);
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        let (id, ts) = (row.get(0)?, row.get(1)?);
        match spared < SPARED && open.contains(&id) {
            true => spared += 1,
            false => found.push((id, ts)),
        }
    }
    Ok(found)
}

/// Removes the oldest connections; `summed`: they are still counted.
fn remove_connections(
    db: &Db,
    writer: &mut Writer,
    before: i64,
    most: i64,
    summed: bool,
) -> rusqlite::Result<Removed> {
    let mut rows = oldest(db, &writer.open, most as usize)?;
    rows.retain(|&(_, ts)| ts < before);
    let mut suspects = Suspects::default();
    let mut rivals =
        db.prepare_cached("DELETE FROM rival WHERE connection_id = ?1 RETURNING host_id")?;
    let mut connection = db.prepare_cached("DELETE FROM connection WHERE id = ?1")?;
    for (id, _) in &rows {
        let Some((edge, share)) = stored(db, *id)? else {
            continue;
        };
        for host in rivals.query_map([id], |row| row.get(0))? {
            suspects.hosts.insert(host?);
        }
        connection.execute([id])?;
        match summed {
            true => writer.rollup.outlive(edge),
            false => writer.rollup.remove(edge, &share),
        }
    }
    suspects.join(writer.rollup.prune(db, &mut writer.intern)?);
    suspects.remove(db, &mut writer.intern)?;
    let removed = Removed {
        count: rows.len() as i64,
        from: rows.first().map_or(0, |&(_, ts)| ts),
        to: rows.last().map_or(0, |&(_, ts)| ts),
    };
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

fn remove_lookups(
    db: &Db,
    writer: &mut Writer,
    before: i64,
    most: i64,
) -> rusqlite::Result<Removed> {
    let rows: Vec<(i64, i64, i64)> = db
        .prepare_cached("SELECT id, ts, inquiry_id FROM lookup WHERE ts < ?1 ORDER BY ts LIMIT ?2")?
        .query_map([before, most], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut suspects = Suspects::default();
    let mut answers =
        db.prepare_cached("DELETE FROM answer WHERE lookup_id = ?1 RETURNING name_id")?;
    let mut lookup = db.prepare_cached("DELETE FROM lookup WHERE id = ?1")?;
    let mut gone = BTreeMap::new();
    for (id, ts, inquiry) in &rows {
        for host in answers.query_map([id], |row| row.get::<_, Option<i64>>(0))? {
            suspects.hosts.extend(host?);
        }
        lookup.execute([id])?;
        let day = writer.rollup.day(db, *ts)?;
        *gone.entry((day, *inquiry)).or_insert(0) += 1;
        suspects.inquiries.insert(*inquiry);
    }
    inquiries::removed(db, &gone)?;
    suspects.remove(db, &mut writer.intern)?;
    let removed = Removed {
        count: rows.len() as i64,
        from: rows.first().map_or(0, |&(_, ts, _)| ts),
        to: rows.last().map_or(0, |&(_, ts, _)| ts),
    };
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

/// Removes the oldest sums of connections that have gone, of days that ended before this.
fn remove_sums(db: &Db, writer: &mut Writer, before: i64) -> rusqlite::Result<Removed> {
    let days: Vec<(i64, Edge, i64)> = db
        .prepare_cached(&format!(
            "SELECT b.id, b.edge_id, b.removed, d.start_ts FROM edge_day b JOIN day d ON d.id = b.day_id
             WHERE b.removed > 0
               AND b.day_id = (SELECT id FROM day
                               WHERE EXISTS (SELECT 1 FROM edge_day WHERE day_id = day.id AND removed > 0)
                               ORDER BY start_ts LIMIT 1)
               AND d.end_ts <= ?1 LIMIT {ROWS}"
        ))?
        .query_map([before], |row| {
            let edge = Edge {
                id: row.get(1)?,
                on_day: row.get(0)?,
            };
            Ok((row.get(2)?, edge, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut removed = Removed::default();
    for (count, edge, start) in &days {
        writer.rollup.forget_removed(db, *edge)?;
        removed.count += count;
        (removed.from, removed.to) = (*start, *start);
    }
    let suspects = writer.rollup.prune(db, &mut writer.intern)?;
    suspects.remove(db, &mut writer.intern)?;
    remove_empty_day(db, writer, removed.to)?;
    Ok(removed)
}

/// Removes the first day, of those that began by a time, that no connection and no lookup
/// is left of, with the edges that had only attempts on it which came to be on others.
fn remove_empty_day(db: &Db, writer: &mut Writer, by: i64) -> rusqlite::Result<()> {
    let first: Option<i64> = db
        .prepare_cached(
            "SELECT id FROM day WHERE start_ts <= ?1
             AND NOT EXISTS (SELECT 1 FROM inquiry_day WHERE day_id = day.id)
             AND NOT EXISTS (SELECT 1 FROM edge_day WHERE day_id = day.id AND connections > 0)
             ORDER BY start_ts LIMIT 1",
        )?
        .query_row([by], |row| row.get(0))
        .optional()?;
    let Some(day) = first else {
        return Ok(());
    };
    let edges: Vec<(i64, i64)> = db
        .prepare_cached(&format!(
            "DELETE FROM edge_day WHERE id IN (SELECT id FROM edge_day WHERE day_id = ?1 LIMIT {ROWS})
             RETURNING id, edge_id"
        ))?
        .query_map([day], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut suspects = Suspects::default();
    let mut days = Vec::new();
    for (id, edge) in edges {
        prune_edge(db, edge, &mut suspects)?;
        days.push(id);
    }
    days.sort_unstable();
    writer.intern.forget_days(&days);
    suspects.remove(db, &mut writer.intern)?;
    let gone = db
        .prepare_cached(
            "DELETE FROM day WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM edge_day WHERE day_id = ?1)",
        )?
        .execute([day])?;
    if gone > 0 {
        writer.rollup.forget_day();
    }
    Ok(())
}

/// Notes from when to when rows are missing, so that an answer does not take their
/// absence for silence.
fn note(db: &Db, recording: i64, kind: &str, rows: &Removed) -> rusqlite::Result<()> {
    if rows.count == 0 {
        return Ok(());
    }
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM gap WHERE kind = ?1 AND recording_id = ?2")?
        .query_row(params![kind, recording], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => db
            .prepare_cached(
                "UPDATE gap SET from_ts = min(from_ts, ?2), to_ts = max(to_ts, ?3), lost = lost + ?4
                 WHERE id = ?1",
            )?
            .execute(params![id, rows.from, rows.to, rows.count])?,
        None => db
            .prepare_cached(
                "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why)
                 VALUES (?1, ?2, ?3, ?5, ?4, 'removed: older or more than is kept')",
            )?
            .execute(params![recording, rows.from, rows.to, rows.count, kind])?,
    };
    Ok(())
}

/// Gives free pages beyond `spare` bytes back, some at a time. None of a file that was
/// made without auto_vacuum: there they are used again. Whether there are more.
fn give_back(db: &Db, spare: u64) -> rusqlite::Result<bool> {
    if number(db, "auto_vacuum")? == 0
        || number(db, "freelist_count")? * number(db, "page_size")? <= spare
    {
        return Ok(false);
    }
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Recording, Store};
    use super::*;
    use crate::model::builders::connection;
    use crate::model::{Progress, Record};

    const SECOND: i64 = 1_000_000_000;
    const START: i64 = 1_795_442_400 * SECOND;

    fn recording() -> Recording {
        Recording {
            start_ts: START,
            hook_set: "kprobe".to_owned(),
            hooks: String::new(),
        }
    }

    /// A second of 100 connections for each commit; the slowest commit.
    fn record(store: &mut Store, seconds: std::ops::Range<i64>) -> Duration {
        let mut slowest = Duration::ZERO;
        for second in seconds {
            for n in 0..100 {
                let mut c = connection("curl");
                c.number = (second * 100 + n + 1) as u64;
                c.ts = START + second * SECOND + n;
                let process = std::rc::Rc::get_mut(&mut c.process).unwrap();
                process.serial = second as u64;
                store.add(&Record::Closed(c));
            }
            let begun = Instant::now();
            store.commit(START + second * SECOND).unwrap();
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    }

    fn number(store: &Store, sql: &str) -> i64 {
        store.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_older_than_is_kept_goes_and_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store =
            Store::open(&dir.path().join("e.db"), &Access::default(), &recording()).unwrap();
        store.keep.age = Some(Duration::from_secs(50));
        record(&mut store, 0..200);
        let oldest = number(&store, "SELECT min(ts) FROM connection");
        assert!(oldest >= START + 149 * SECOND, "{}", oldest - START);
        let left = number(&store, "SELECT count(*) FROM connection");
        let gone = number(&store, "SELECT lost FROM gaps WHERE kind = 'retention'");
        assert_eq!(left + gone, 20_000);
        assert_eq!(
            number(&store, "SELECT count(*) FROM pragma_foreign_key_check"),
            0
        );
        let processes = number(&store, "SELECT count(*) FROM process");
        assert_eq!(
            processes,
            (left + 99) / 100,
            "a process goes with its last row"
        );
    }

    #[test]
    fn a_file_stays_below_its_size_and_gives_space_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut store = Store::open(&path, &Access::default(), &recording()).unwrap();
        record(&mut store, 0..300);
        let before = used(&store.db).unwrap();
        store.keep.bytes = Some(1 << 20);
        let pause = record(&mut store, 300..400);
        eprintln!("slowest commit: {pause:?}");
        // On a busy machine a commit may have time for one step only.
        for _ in 0..300 {
            store.commit(START + 400 * SECOND).unwrap();
        }
        assert!(before > 2 << 20, "{before}");
        assert!(used(&store.db).unwrap() <= (1 << 20) + 100_000);
        store.finish(START + 400 * SECOND).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size < 3 << 19, "{size} after {before}");
    }

    #[test]
    fn sums_of_what_has_gone_leave_room_for_the_present() {
        const DAY: i64 = 86_400 * SECOND;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut store = Store::open(&path, &Access::default(), &recording()).unwrap();
        store.keep.bytes = Some(1 << 20);
        store.keep.summary = Some(Duration::from_secs(365 * 86_400));
        for day in 0..60 {
            for n in 0..200 {
                let mut c = connection("curl");
                c.number = (day * 200 + n + 1) as u64;
                c.ts = START + day * DAY + n;
                let process = std::rc::Rc::get_mut(&mut c.process).unwrap();
                process.serial = c.number;
                store.add(&Record::Closed(c));
            }
            store.commit(START + day * DAY + SECOND).unwrap();
        }
        for _ in 0..300 {
            store.commit(START + 60 * DAY).unwrap();
        }
        assert!(used(&store.db).unwrap() <= 1 << 20);
        let left = number(&store, "SELECT count(*) FROM connection");
        let sums = number(&store, "SELECT count(*) FROM edge_day");
        assert!(
            200 < left && left < sums && sums <= 2 * (left + ROWS),
            "{left} of {sums}"
        );
        assert_eq!(
            number(&store, "SELECT max(ts) FROM connection"),
            START + 59 * DAY + 199
        );
    }

    #[test]
    fn what_is_open_stays_until_it_ends_and_is_counted_all_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut store =
            Store::open(&dir.path().join("e.db"), &Access::default(), &recording()).unwrap();
        store.keep.age = Some(Duration::from_secs(50));
        let mut long = connection("vpn");
        (long.number, long.ts) = (1, START - SECOND);
        store.add(&Record::Opened(long.clone()));
        store.commit(START).unwrap();
        record(&mut store, 1..200);
        long.tx_bytes = Some(12_345);
        store.add(&Record::Progress(Progress {
            connection: long.clone(),
            ts: START + 200 * SECOND,
            due: false,
        }));
        record(&mut store, 200..210);
        let sent = |store: &Store, view: &str| {
            let sql = format!("SELECT coalesce(sum(tx_bytes), 0) FROM {view} WHERE comm = 'vpn'");
            number(store, &sql)
        };
        for view in ["egress", "egress_daily", "egress_total"] {
            assert_eq!(sent(&store, view), 12_345, "{view}");
        }
        let others = number(&store, "SELECT min(ts) FROM connection WHERE id > 1");
        assert!(others >= START + 159 * SECOND, "{}", others - START);
        store.add(&Record::Closed(long));
        record(&mut store, 210..212);
        for view in ["egress", "egress_daily", "egress_total"] {
            assert_eq!(sent(&store, view), 0, "{view}");
        }
    }

    #[test]
    fn of_too_many_open_connections_the_oldest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut store =
            Store::open(&dir.path().join("e.db"), &Access::default(), &recording()).unwrap();
        let most = SPARED as i64;
        for id in 1..=most + 300 {
            let mut c = connection("curl");
            (c.number, c.ts) = (id as u64, START + id);
            store.add(&Record::Opened(c));
        }
        store.keep.age = Some(Duration::from_secs(1));
        for _ in 0..10 {
            store.commit(START + 60 * SECOND).unwrap();
        }
        assert_eq!(number(&store, "SELECT count(*) FROM connection"), most);
        assert_eq!(number(&store, "SELECT max(id) FROM connection"), most);
    }

    #[test]
    fn a_connection_outlives_the_lookup_that_named_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut store =
            Store::open(&dir.path().join("e.db"), &Access::default(), &recording()).unwrap();
        record(&mut store, 0..1);
        store
            .db
            .execute_batch(&format!(
                "INSERT INTO inquiry (id, transport, status) VALUES (7, 'udp', 'answered');
                 INSERT INTO lookup (id, ts, inquiry_id) VALUES (7, {}, 7);
                 UPDATE connection SET lookup_id = 7",
                START - 3600 * SECOND
            ))
            .unwrap();
        store.keep.age = Some(Duration::from_secs(60));
        store.commit(START + SECOND).unwrap();
        assert_eq!(number(&store, "SELECT count(*) FROM lookup"), 0);
        assert_eq!(
            number(
                &store,
                "SELECT count(*) FROM egress WHERE lookup_id IS NULL"
            ),
            100
        );
    }
}
