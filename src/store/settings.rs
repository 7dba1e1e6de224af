//! The retention that a run was given. It is stored in the file and holds for later runs
//! until one overrides it.

use std::time::Duration;

use rusqlite::{Connection as Db, OptionalExtension, params};

use super::retention::Retention;

/// The default of `--max-size`: an unattended recorder must not fill the disk.
const DEFAULT_BYTES: u64 = 2 << 30;

/// The value of a retention option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override<T> {
    /// Back to the default.
    Default,
    /// No limit.
    Unbounded,
    Bound(T),
}

/// The retention options of a run. None: the stored setting, or the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetentionOverrides {
    pub age: Option<Override<Duration>>,
    pub bytes: Option<Override<u64>>,
    pub summary: Option<Override<Duration>>,
}

/// Stores the overrides, and returns the retention that is now in force.
pub fn resolve_retention(db: &Db, overrides: &RetentionOverrides) -> rusqlite::Result<Retention> {
    let ns = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    store(db, "keep", overrides.age, ns)?;
    store(db, "max_size", overrides.bytes, |bytes| bytes)?;
    store(db, "keep_summary", overrides.summary, ns)?;
    read(db)
}

fn store<T>(
    db: &Db,
    name: &str,
    value: Option<Override<T>>,
    number: impl Fn(T) -> u64,
) -> rusqlite::Result<()> {
    let value = match value {
        None => return Ok(()),
        Some(Override::Default) => {
            db.execute("DELETE FROM setting WHERE name = ?1", [name])?;
            return Ok(());
        }
        Some(Override::Unbounded) => None,
        Some(Override::Bound(value)) => Some(i64::try_from(number(value)).unwrap_or(i64::MAX)),
    };
    db.execute(
        "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)",
        params![name, value],
    )?;
    Ok(())
}

/// The retention that is in force for a file.
pub fn read(db: &Db) -> rusqlite::Result<Retention> {
    let setting = |name: &str, default: Option<u64>| {
        db.query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| {
            row.get::<_, Option<i64>>(0)
        })
        .optional()
        .map(|value| match value {
            None => default,
            Some(value) => value.and_then(|value| u64::try_from(value).ok()),
        })
    };
    Ok(Retention {
        age: setting("keep", None)?.map(Duration::from_nanos),
        bytes: setting("max_size", Some(DEFAULT_BYTES))?,
        summary: setting("keep_summary", None)?.map(Duration::from_nanos),
    })
}

impl Retention {
    pub fn is_default(&self) -> bool {
        (self.age, self.bytes, self.summary) == (None, Some(DEFAULT_BYTES), None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support;
    use super::super::{Store, open_reader};
    use super::*;

    #[test]
    fn retention_options_hold_for_later_runs_until_overridden() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let month = Duration::from_secs(30 * 86_400);
        let year = Duration::from_secs(365 * 86_400);
        let none = RetentionOverrides::default();
        for (overrides, expected) in [
            (none, (None, Some(2 << 30), None)),
            (
                RetentionOverrides {
                    age: Some(Override::Bound(month)),
                    bytes: Some(Override::Bound(5 << 30)),
                    ..none
                },
                (Some(month), Some(5 << 30), None),
            ),
            (none, (Some(month), Some(5 << 30), None)),
            (
                RetentionOverrides {
                    bytes: Some(Override::Unbounded),
                    summary: Some(Override::Bound(year)),
                    ..none
                },
                (Some(month), None, Some(year)),
            ),
            (
                RetentionOverrides {
                    age: Some(Override::Unbounded),
                    bytes: Some(Override::Default),
                    ..none
                },
                (None, Some(2 << 30), Some(year)),
            ),
            (
                RetentionOverrides {
                    summary: Some(Override::Default),
                    ..none
                },
                (None, Some(2 << 30), None),
            ),
        ] {
            let mut store: Store = support::open(&path, 1);
            store.resolve_retention(&overrides).unwrap();
            let parts = |r: Retention| (r.age, r.bytes, r.summary);
            assert_eq!(parts(store.retention), expected);
            store.finish(2).unwrap();
            let retention = read(&open_reader(&path).unwrap()).unwrap();
            assert_eq!(parts(retention), expected);
            assert_eq!(
                retention.is_default(),
                expected == (None, Some(2 << 30), None)
            );
        }
    }
}
