//! A history that a test writes as a recorder does, without one.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use egrets::model::{Connection, Name, Outcome, Process, Source, builders};
use egrets::store::{Access, Recording, Store};

pub const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

/// A history in this directory that is being recorded, since half an hour.
pub fn record(dir: &Path) -> (PathBuf, Store) {
    let db = dir.join("egrets.db");
    let recording = Recording {
        start_ts: now() - 1800 * SECOND,
        hook_set: "kprobe".to_owned(),
        hooks: String::new(),
    };
    let store = Store::open(&db, &Access::default(), &recording).unwrap();
    (db, store)
}

/// A connection of a process of its own.
pub fn connection(number: u64, comm: &str, host: &str, seconds_ago: i64) -> Connection {
    Connection {
        number,
        ts: now() - seconds_ago * SECOND,
        name: Some(Name {
            host: host.into(),
            source: Source::Process,
            age_ms: Some(5),
            lookup: None,
            rivals: 0,
            rival_names: Vec::new(),
        }),
        outcome: Outcome::Connected,
        process: Rc::new(Process {
            serial: number,
            pid: 2000 + number as u32,
            exe: Some(format!("/usr/bin/{comm}")),
            ..builders::process(comm)
        }),
        ..builders::connection(comm)
    }
}
