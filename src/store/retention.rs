//! Retention: removes the oldest rows when the history is too old or too large. The work is
//! spread over the commits, so that the capture never waits long for it.

use std::time::{Duration, Instant};

use rusqlite::{Connection as Db, TransactionBehavior};

use super::removal::{
    LookupRow, ROWS, Removed, oldest_connections, oldest_connections_of, oldest_lookups,
    oldest_lookups_of, record_gap, remove_connections, remove_empty_totals, remove_lookups,
    remove_retained_totals,
};
use super::usage;
use super::write::Writer;
use crate::model::GapKind;

/// How much of the history is kept. The default is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// `--keep`: the age of connections and lookups.
    pub age: Option<Duration>,
    /// `--max-size`: the size of the file.
    pub bytes: Option<u64>,
    /// `--keep-summary`: the age of the totals of removed connections. Without it the totals
    /// are reduced when connections are removed, and earlier retained ones stay.
    pub summary: Option<Duration>,
}

impl Retention {
    /// The same, without removing anything by its age.
    pub fn without_age(self) -> Retention {
        Retention {
            age: None,
            summary: None,
            ..self
        }
    }
}

/// How much longer a commit may take because of retention. The last step begins before the
/// budget is used up, and may exceed it.
const BUDGET: Duration = Duration::from_millis(20);

/// The same as [`ROWS`] after a large batch. Larger steps update each shared total less often.
const MANY_ROWS: i64 = 4_000;

/// Pages that a step returns to the file system at most.
const PAGES: i64 = 32;
const BEYOND_KEPT: &str = "removed: older or more than is kept";
/// Free bytes that are not returned, since the next batches need them.
const SPARE: u64 = 1 << 20;

/// Removes what exceeds `retention` at `now` (nanoseconds since 1970): as much as the time
/// budget allows, but at least twice the `written` rows, so that the file shrinks back to its
/// limit even on a busy host. A single transaction, because the steps change the same pages
/// again and again, and each is then written once.
pub fn enforce(
    db: &mut Db,
    writer: &mut Writer,
    retention: Retention,
    now: i64,
    written: usize,
) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let minimum = 2 * written as i64;
    let rows = minimum.clamp(ROWS, MANY_ROWS);
    let mut steps = minimum / rows;
    let spare = retention.bytes.map_or(SPARE, |bytes| SPARE.min(bytes / 8));
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    while steps > 0 || begun.elapsed() < BUDGET {
        steps -= 1;
        let removed = step(&tx, writer, retention, now, rows)?;
        let vacuumed = vacuum(&tx, spare)?;
        if !removed && !vacuumed {
            break;
        }
    }
    tx.commit()
}

/// The oldest time that is kept.
fn cutoff(age: Option<Duration>, now: i64) -> Option<i64> {
    let age = i64::try_from(age?.as_nanos()).ok()?;
    Some(now.saturating_sub(age))
}

/// Removes at most `most` rows; whether it removed any.
fn step(
    db: &Db,
    writer: &mut Writer,
    retention: Retention,
    now: i64,
    most: i64,
) -> rusqlite::Result<bool> {
    let too_large = match retention.bytes {
        Some(bytes) => used(db)? > bytes,
        None => false,
    };
    let totals_before = match too_large {
        true => Some(i64::MAX),
        false => cutoff(retention.summary, now),
    };
    // With totals, which stay where rows were, no user has a share: rows go by their age.
    let accounts = match too_large && retention.summary.is_none() {
        true => usage::beyond_their_share(db)?,
        false => Vec::new(),
    };
    for account in &accounts {
        if remove_empty_totals(db, writer, *account)? {
            writer.intern.usage.write(db)?;
            return Ok(true);
        }
    }
    let rows = Rows::to_remove(db, writer, retention, now, too_large, &accounts)?;
    let totals_first = too_large && totals_outnumber_rows(db)?;
    let totals = match totals_before {
        Some(before) if totals_first || rows.is_none() => {
            remove_retained_totals(db, writer, before)?
        }
        _ => Removed::default(),
    };
    let recording = writer.recording;
    record_gap(db, recording, (GapKind::Retention, BEYOND_KEPT), &totals)?;
    let removed = match rows {
        Some(rows) if totals.count == 0 => rows.remove(db, writer, retention, most)?,
        _ => totals.count,
    };
    writer.intern.usage.write(db)?;
    Ok(removed > 0)
}

/// The rows that go first: the connections or the lookups, whichever begin earlier.
struct Rows {
    are_connections: bool,
    before: i64,
    /// Of this account alone, which has more than its share.
    account: Option<u32>,
}

impl Rows {
    fn to_remove(
        db: &Db,
        writer: &Writer,
        retention: Retention,
        now: i64,
        too_large: bool,
        accounts: &[u32],
    ) -> rusqlite::Result<Option<Rows>> {
        // Last those of any account: the oldest of all.
        for account in accounts.iter().copied().map(Some).chain([None]) {
            let connection = connections(db, writer, account, 1)?
                .first()
                .map(|row| row.1);
            let lookup = lookups(db, account, i64::MAX, 1)?.first().map(|row| row.0);
            let Some(first) = connection.into_iter().chain(lookup).min() else {
                continue;
            };
            let before = match too_large {
                true => i64::MAX,
                false => cutoff(retention.age, now).unwrap_or(i64::MIN),
            };
            return Ok((first < before).then_some(Rows {
                are_connections: connection == Some(first),
                before,
                account,
            }));
        }
        Ok(None)
    }

    fn remove(
        &self,
        db: &Db,
        writer: &mut Writer,
        retention: Retention,
        most: i64,
    ) -> rusqlite::Result<i64> {
        let keeps_totals = self.are_connections && retention.summary.is_some();
        let removed = match self.are_connections {
            true => {
                let mut rows = connections(db, writer, self.account, most as usize)?;
                rows.retain(|&(_, ts)| ts < self.before);
                remove_connections(db, writer, &rows, keeps_totals)?
            }
            false => {
                let rows = lookups(db, self.account, self.before, most)?;
                remove_lookups(db, writer, &rows)?
            }
        };
        let kind = match self.account {
            _ if keeps_totals => GapKind::Summary,
            Some(_) => GapKind::Share,
            None => GapKind::Retention,
        };
        let why = self.account.map(|account| {
            format!("removed: those of user id {account} were more than a user's share")
        });
        let why = why.as_deref().unwrap_or(BEYOND_KEPT);
        record_gap(db, writer.recording, (kind, why), &removed)?;
        Ok(removed.count)
    }
}

/// The ids and times of the oldest ones, of an account or of all.
fn connections(
    db: &Db,
    writer: &Writer,
    account: Option<u32>,
    most: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    match account {
        Some(account) => oldest_connections_of(db, account, &writer.open, most),
        None => oldest_connections(db, &writer.open, most),
    }
}

fn lookups(
    db: &Db,
    account: Option<u32>,
    before: i64,
    most: i64,
) -> rusqlite::Result<Vec<LookupRow>> {
    match account {
        Some(account) => oldest_lookups_of(db, account, most as usize),
        None => oldest_lookups(db, before, most),
    }
}

/// Whether most daily totals must be those of removed connections: a connection with a row
/// accounts for one daily total at most. Estimated from the id ranges, since rows are removed
/// roughly in the order of their ids.
fn totals_outnumber_rows(db: &Db) -> rusqlite::Result<bool> {
    let rows = |table: &str| {
        let sql = format!(
            "SELECT CAST((SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table}) AS INTEGER)"
        );
        db.prepare_cached(&sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    let [totals, connections, lookups] = ["connection_daily", "connection", "lookup"].map(rows);
    let details = connections?
        .unwrap_or(0)
        .saturating_add(lookups?.unwrap_or(0));
    Ok(totals?.unwrap_or(0) / 2 > details)
}

/// The size of the file without its free pages.
pub fn used(db: &Db) -> rusqlite::Result<u64> {
    Ok((pragma(db, "page_count")? - pragma(db, "freelist_count")?) * pragma(db, "page_size")?)
}

fn pragma(db: &Db, name: &str) -> rusqlite::Result<u64> {
    let mut statement = db.prepare_cached(&format!("PRAGMA {name}"))?;
    let number = statement.query_row([], |row| row.get::<_, i64>(0))?;
    Ok(number.try_into().unwrap_or(0))
}

/// Returns some of the free pages beyond `spare` bytes to the file system; whether it did.
/// Not possible if the file was created without auto_vacuum, which then reuses them.
fn vacuum(db: &Db, spare: u64) -> rusqlite::Result<bool> {
    if pragma(db, "auto_vacuum")? == 0
        || pragma(db, "freelist_count")? * pragma(db, "page_size")? <= spare
    {
        return Ok(false);
    }
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}
