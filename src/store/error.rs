//! Errors that name the history they are about.

use std::fmt;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

pub fn cannot_write(path: &Path) -> String {
    format!("{} can't be written", path.display())
}

pub fn cannot_read(path: &Path) -> String {
    format!("{} can't be read", path.display())
}

/// Adds the file's name to an error of SQLite's.
pub fn of_file(error: anyhow::Error, path: &Path) -> anyhow::Error {
    match sqlite_error(&error) {
        Some(_) => error.context(cannot_read(path)),
        None => error,
    }
}

/// Whether the cause of an error is a damaged file.
pub fn is_damaged(error: &anyhow::Error) -> bool {
    sqlite_error(error).is_some_and(|e| e.code == ErrorCode::DatabaseCorrupt)
}

/// What keeps a history from being written, and may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Another program holds its lock.
    Locked,
    DiskFull,
    /// The file system is read-only, or fails.
    Unwritable,
}

impl Obstacle {
    /// The obstacle that caused an error; none if trying again would not help.
    pub fn of(error: &anyhow::Error) -> Option<Obstacle> {
        let error = sqlite_error(error)?;
        match error.code {
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed => Some(Obstacle::Locked),
            ErrorCode::DiskFull => Some(Obstacle::DiskFull),
            ErrorCode::ReadOnly if error.extended_code == ffi::SQLITE_READONLY_DBMOVED => None,
            ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory => Some(Obstacle::Unwritable),
            _ => None,
        }
    }

    /// How a recording that could not write its end has ended, as `recordings` shows it.
    pub fn end(self) -> &'static str {
        match self {
            Obstacle::Locked => "locked",
            Obstacle::DiskFull => "disk full",
            Obstacle::Unwritable => "not writable",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::Locked => "another program has locked it",
            Obstacle::DiskFull => "the disk is full",
            Obstacle::Unwritable => "its file system refuses to write",
        })
    }
}

fn sqlite_error(error: &anyhow::Error) -> Option<ffi::Error> {
    let mut causes = error.chain();
    causes.find_map(|cause| {
        cause
            .downcast_ref::<rusqlite::Error>()?
            .sqlite_error()
            .copied()
    })
}
