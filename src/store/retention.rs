//! What is kept: the oldest connections and lookups go where the history is too old or
//! too large. A little at each commit, so that the capture never waits for it long.

use std::time::{Duration, Instant};

use rusqlite::{Connection as Db, OptionalExtension, TransactionBehavior, params};

use super::intern::Interner;

/// How much of the history is kept; all of it without bounds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// `--keep`: how old a connection or lookup gets.
    pub age: Option<Duration>,
    /// `--max-size`: how large the file gets.
    pub bytes: Option<u64>,
}

/// How long a commit may take longer for the sake of it. One step more is begun
/// before this is over.
const BUDGET: Duration = Duration::from_millis(20);

/// Rows that a step removes at most: some 2 ms.
const ROWS: i64 = 200;

/// Pages that a step gives back to the file system at most.
const PAGES: i64 = 200;

/// Removes what is beyond `keep` at `now` (nanoseconds since 1970), as much of it as
/// there is time for.
pub fn enforce(
    db: &mut Db,
    intern: &mut Interner,
    recording: i64,
    keep: Keep,
    now: i64,
) -> rusqlite::Result<()> {
    let end = Instant::now() + BUDGET;
    while Instant::now() < end && step(db, intern, recording, keep, now)? {}
    Ok(())
}

/// Whether it removed anything.
fn step(
    db: &mut Db,
    intern: &mut Interner,
    recording: i64,
    keep: Keep,
    now: i64,
) -> rusqlite::Result<bool> {
    let oldest = |table: &str| {
        let sql = format!("SELECT min(ts) FROM {table}");
        db.prepare_cached(&sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    let (connection, lookup) = (oldest("connection")?, oldest("lookup")?);
    let Some(first) = connection.into_iter().chain(lookup).min() else {
        return Ok(false);
    };
    let too_large = keep
        .bytes
        .is_some_and(|bytes| used(db).is_ok_and(|used| used > bytes));
    let age = keep.age.and_then(|age| i64::try_from(age.as_nanos()).ok());
    let before = match age.map(|age| now.saturating_sub(age)) {
        _ if too_large => i64::MAX,
        Some(before) if first < before => before,
        _ => return Ok(false),
    };
    // Whichever of the two begins earlier; up to where the other goes on.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (removed, last) = match connection == Some(first) {
        true => remove_connections(&tx, intern, before)?,
        false => remove_lookups(&tx, intern, before)?,
    };
    if removed > 0 {
        note(&tx, recording, first, last, removed)?;
    }
    tx.commit()?;
    give_back(db)?;
    Ok(removed > 0)
}

/// Bytes of the file that hold something.
fn used(db: &Db) -> rusqlite::Result<u64> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok((pages * number("page_size")?).try_into().unwrap_or(0))
}

fn remove_connections(db: &Db, intern: &mut Interner, before: i64) -> rusqlite::Result<(i64, i64)> {
    let rows = oldest(db, "connection", before)?;
    for &(id, _, _) in &rows {
        db.prepare_cached("DELETE FROM rival WHERE connection_id = ?1")?
            .execute([id])?;
        db.prepare_cached("DELETE FROM connection WHERE id = ?1")?
            .execute([id])?;
    }
    forget_processes(db, intern, &rows)?;
    Ok(extent(&rows))
}

fn remove_lookups(db: &Db, intern: &mut Interner, before: i64) -> rusqlite::Result<(i64, i64)> {
    let rows = oldest(db, "lookup", before)?;
    for &(id, _, _) in &rows {
        for sql in [
            "UPDATE connection SET lookup_id = NULL WHERE lookup_id = ?1",
            "UPDATE rival SET lookup_id = NULL WHERE lookup_id = ?1",
            "DELETE FROM answer WHERE lookup_id = ?1",
            "DELETE FROM lookup WHERE id = ?1",
        ] {
            db.prepare_cached(sql)?.execute([id])?;
        }
    }
    forget_processes(db, intern, &rows)?;
    Ok(extent(&rows))
}

/// A row that goes: its id, time and process.
type Old = (i64, i64, Option<i64>);

fn oldest(db: &Db, table: &str, before: i64) -> rusqlite::Result<Vec<Old>> {
    let sql =
        format!("SELECT id, ts, process_id FROM {table} WHERE ts < ?1 ORDER BY ts LIMIT {ROWS}");
    db.prepare_cached(&sql)?
        .query_map([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// How many they are, and the time of the last.
fn extent(rows: &[Old]) -> (i64, i64) {
    (rows.len() as i64, rows.last().map_or(0, |&(_, ts, _)| ts))
}

/// Removes the processes that nothing is left of. Hosts, addresses and containers
/// stay: they are few, and come again.
fn forget_processes(db: &Db, intern: &mut Interner, rows: &[Old]) -> rusqlite::Result<()> {
    let mut ids: Vec<i64> = rows.iter().filter_map(|&(_, _, process)| process).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut gone = Vec::new();
    for id in ids {
        let deleted = db
            .prepare_cached(
                "DELETE FROM process WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM connection WHERE process_id = ?1)
                 AND NOT EXISTS (SELECT 1 FROM lookup WHERE process_id = ?1)",
            )?
            .execute([id])?;
        if deleted > 0 {
            gone.push(id);
        }
    }
    intern.forget_processes(&gone);
    Ok(())
}

/// Notes from when to when rows are missing, so that an answer does not take their
/// absence for silence.
fn note(db: &Db, recording: i64, from: i64, to: i64, removed: i64) -> rusqlite::Result<()> {
    let known: Option<i64> = db
        .prepare_cached("SELECT id FROM gap WHERE kind = 'retention' AND recording_id = ?1")?
        .query_row([recording], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => db
            .prepare_cached(
                "UPDATE gap SET from_ts = min(from_ts, ?2), to_ts = max(to_ts, ?3), lost = lost + ?4
                 WHERE id = ?1",
            )?
            .execute(params![id, from, to, removed])?,
        None => db
            .prepare_cached(
                "INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why)
                 VALUES (?1, ?2, ?3, 'retention', ?4, 'removed: older or more than is kept')",
            )?
            .execute(params![recording, from, to, removed])?,
    };
    Ok(())
}

/// Gives free pages at the file's end back. Nothing in a file that was made without
/// auto_vacuum: there the free pages are used again.
fn give_back(db: &Db) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Recording, Store};
    use super::*;
    use crate::print::tests_support::connection;
    use crate::record::Record;

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
                c.id = second * 100 + n + 1;
                c.ts = START + second * SECOND + n;
                let process = std::rc::Rc::get_mut(&mut c.process).unwrap();
                process.serial = second as u64;
                store.add(&Record::Opened(c));
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
        store.keep = Keep {
            age: Some(Duration::from_secs(50)),
            bytes: None,
        };
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
        assert!(before > 2 << 20, "{before}");
        assert!(used(&store.db).unwrap() <= (1 << 20) + 100_000);
        store.finish(START + 400 * SECOND).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size < 3 << 19, "{size} after {before}");
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
                "INSERT INTO lookup (id, ts, transport, status) VALUES (7, {}, 'udp', 'answered');
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
                "SELECT count(*) FROM connection WHERE lookup_id IS NULL"
            ),
            100
        );
    }
}
