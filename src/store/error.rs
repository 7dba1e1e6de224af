//! Errors that name the history they are about.

use std::path::Path;

use rusqlite::ErrorCode;

pub fn cannot_write(path: &Path) -> String {
    format!(
        "{} can't be written; what is stored in it is unharmed",
        path.display()
    )
}

pub fn cannot_read(path: &Path) -> String {
    format!("{} can't be read", path.display())
}

/// Adds the file's name to an error of SQLite's.
pub fn of_file(error: anyhow::Error, path: &Path) -> anyhow::Error {
    match sqlite_code(&error) {
        Some(_) => error.context(cannot_read(path)),
        None => error,
    }
}

/// Whether the cause of an error is a damaged file.
pub fn is_damaged(error: &anyhow::Error) -> bool {
    sqlite_code(error) == Some(ErrorCode::DatabaseCorrupt)
}

fn sqlite_code(error: &anyhow::Error) -> Option<ErrorCode> {
    let mut causes = error.chain();
    causes.find_map(|cause| cause.downcast_ref::<rusqlite::Error>()?.sqlite_error_code())
}
