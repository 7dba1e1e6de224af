//! How much is kept, as it was said last: that stands in the file, and holds for later runs
//! that are told nothing.

use std::time::Duration;

use rusqlite::{Connection as Db, OptionalExtension, params};

use super::retention::Keep;

/// `--max-size`, where nobody has said another one: an unattended recorder fills no disk.
const DEFAULT_BYTES: u64 = 2 << 30;

/// What an option says of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<T> {
    /// What it is where nobody says anything.
    Default,
    /// There is none.
    Unbounded,
    Bound(T),
}

/// What a run was told; none where the file's setting holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    pub age: Option<Told<Duration>>,
    pub bytes: Option<Told<u64>>,
    pub summary: Option<Told<Duration>>,
}

/// Notes what a run was told; what holds now.
pub fn settle(db: &Db, wanted: &Wanted) -> rusqlite::Result<Keep> {
    let ns = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    note(db, "keep", wanted.age, ns)?;
    note(db, "max_size", wanted.bytes, |bytes| bytes)?;
    note(db, "keep_summary", wanted.summary, ns)?;
    read(db)
}

fn note<T>(
    db: &Db,
    name: &str,
    told: Option<Told<T>>,
    number: impl Fn(T) -> u64,
) -> rusqlite::Result<()> {
    let value = match told {
        None => return Ok(()),
        Some(Told::Default) => {
            db.execute("DELETE FROM setting WHERE name = ?1", [name])?;
            return Ok(());
        }
        Some(Told::Unbounded) => None,
        Some(Told::Bound(value)) => Some(i64::try_from(number(value)).unwrap_or(i64::MAX)),
    };
    db.execute(
        "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)",
        params![name, value],
    )?;
    Ok(())
}

/// What holds in a file of the newest version, or an older one.
pub fn read(db: &Db) -> rusqlite::Result<Keep> {
    let defaults = Keep {
        bytes: Some(DEFAULT_BYTES),
        ..Keep::default()
    };
    if !db
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'setting'")?
        .exists([])?
    {
        return Ok(defaults);
    }
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
    Ok(Keep {
        age: setting("keep", None)?.map(Duration::from_nanos),
        bytes: setting("max_size", defaults.bytes)?,
        summary: setting("keep_summary", None)?.map(Duration::from_nanos),
    })
}

impl Keep {
    /// Whether it is what nobody has said anything of.
    pub fn is_default(&self) -> bool {
        (self.age, self.bytes, self.summary) == (None, Some(DEFAULT_BYTES), None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Recording, Store, open_reader};
    use super::*;

    #[test]
    fn what_is_said_once_holds_until_it_is_said_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let month = Duration::from_secs(30 * 86_400);
        let year = Duration::from_secs(365 * 86_400);
        let nothing = Wanted::default();
        for (wanted, held) in [
            (nothing, (None, Some(2 << 30), None)),
            (
                Wanted {
                    age: Some(Told::Bound(month)),
                    bytes: Some(Told::Bound(5 << 30)),
                    ..nothing
                },
                (Some(month), Some(5 << 30), None),
            ),
            (nothing, (Some(month), Some(5 << 30), None)),
            (
                Wanted {
                    bytes: Some(Told::Unbounded),
                    summary: Some(Told::Bound(year)),
                    ..nothing
                },
                (Some(month), None, Some(year)),
            ),
            (
                Wanted {
                    age: Some(Told::Unbounded),
                    bytes: Some(Told::Default),
                    ..nothing
                },
                (None, Some(2 << 30), Some(year)),
            ),
            (
                Wanted {
                    summary: Some(Told::Default),
                    ..nothing
                },
                (None, Some(2 << 30), None),
            ),
        ] {
            let recording = Recording {
                start_ts: 1,
                hook_set: "kprobe".to_owned(),
                hooks: String::new(),
            };
            let mut store = Store::open(&path, &Access::default(), &recording).unwrap();
            store.settle(&wanted).unwrap();
            let parts = |keep: Keep| (keep.age, keep.bytes, keep.summary);
            assert_eq!(parts(store.keep), held);
            store.finish(2).unwrap();
            let keep = read(&open_reader(&path).unwrap()).unwrap();
            assert_eq!(parts(keep), held);
            assert_eq!(keep.is_default(), held == (None, Some(2 << 30), None));
        }
    }
}
