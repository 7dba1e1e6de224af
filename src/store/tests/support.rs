//! Histories for tests, and looks into them.

use std::path::Path;
use std::sync::LazyLock;

use rusqlite::Connection as Db;

use super::super::{Access, Recording, Store, file, migrations};

/// A file without rows. Tests copy it, which is faster than migrating each time.
static TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let _lock = file::create(&path, &Access::default()).unwrap();
    let mut db = file::open_writer(&path).unwrap();
    migrations::migrate(&mut db, &path).unwrap();
    // Closing the last connection checkpoints the -wal.
    db.close().unwrap();
    std::fs::read(&path).unwrap()
});

pub fn recording(start_ts: i64) -> Recording {
    Recording {
        start_ts,
        hook_set: "kprobe".to_owned(),
        hooks: String::new(),
    }
}

/// Creates a history with no rows, if there is none at that path.
pub fn create(path: &Path) {
    if !path.exists() {
        std::fs::write(path, &*TEMPLATE).unwrap();
    }
}

/// Begins a recording, in a new history if there is none at that path.
pub fn open(path: &Path, start_ts: i64) -> Store {
    create(path);
    Store::open(path, &Access::default(), &recording(start_ts)).unwrap()
}

/// The first column, of text.
pub fn texts(db: &Db, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

pub fn number(db: &Db, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}
