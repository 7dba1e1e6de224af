//! Files that a command writes for its user: complete, or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// Refuses a path that must not be replaced. `takes` says what the option accepts.
///
/// # Errors
///
/// What is there.
pub fn check(path: &Path, force: bool, takes: &str) -> Result<()> {
    // A symbolic link itself would be replaced.
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    ensure!(
        there.is_file() || there.is_symlink(),
        "{} is not a regular file: --output takes {takes}",
        path.display()
    );
    ensure!(force, "{} exists; --force replaces it", path.display());
    Ok(())
}

/// A file without a name yet, in the directory of `path`; readable only by its owner, like the
/// history.
///
/// # Errors
///
/// When the directory can't be written.
pub fn unnamed(path: &Path) -> Result<NamedTempFile> {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".egrets-")
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| cannot_write(path))
}

/// Writes a text to a file that gets its name once it is on disk.
///
/// # Errors
///
/// An existing file, unless `force`; a full disk, for example. Then no file is left.
pub fn write(path: &Path, force: bool, text: &str) -> Result<()> {
    check(path, force, "a file, or - for standard output")?;
    let mut file = unnamed(path)?;
    let written = file.write_all(text.as_bytes());
    written
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| cannot_write(path))?;
    let named = match force {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    named
        .map_err(|e| e.error)
        .with_context(|| cannot_write(path))?;
    Ok(())
}

pub fn cannot_write(path: &Path) -> String {
    format!("{} can't be written and was removed", path.display())
}
