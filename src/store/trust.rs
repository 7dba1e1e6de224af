//! Which files egrets records into: those that no other user can write, replace or read
//! through. And which it reads: regular ones, so that nothing hangs.

use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The suffix of the recorder's lock.
pub const LOCK: &str = "-lock";

/// A history's files: itself, what SQLite keeps beside it, and the lock.
pub const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-journal", LOCK];

/// The suffix of the socket on which a recorder takes requests about its policy.
pub const POLICY_SOCKET: &str = "-policy";

pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Refuses what is not a regular file; one that does not exist passes.
pub fn check_kind(path: &Path) -> Result<()> {
    metadata(path).map(drop)
}

/// Refuses to record into a file that others can write or replace, or beside such files.
pub fn check_files(path: &Path) -> Result<()> {
    for suffix in SUFFIXES {
        let file = beside(path, suffix);
        if let Some(meta) = metadata(&file)? {
            check_owner(&file, &meta)?;
        }
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    let mode = fs::metadata(dir)
        .with_context(|| format!("the directory {} can't be used", dir.display()))?
        .mode();
    if mode & 0o002 != 0 && mode & libc::S_ISVTX == 0 {
        bail!(
            "every user can replace files in {}: record into a directory of your own ('chmod o-w {0}' makes this one yours)",
            dir.display()
        );
    }
    Ok(())
}

fn metadata(path: &Path) -> Result<Option<Metadata>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        // Opening the file says what is wrong.
        Err(_) => return Ok(None),
    };
    match kind(meta.file_type()) {
        None => Ok(Some(meta)),
        Some(kind) => bail!(
            "{} is {kind}, not a history: name a regular file with --db",
            path.display()
        ),
    }
}

fn kind(of: FileType) -> Option<&'static str> {
    match of {
        of if of.is_file() => None,
        of if of.is_dir() => Some("a directory"),
        of if of.is_symlink() => Some("a symbolic link"),
        of if of.is_fifo() => Some("a FIFO"),
        of if of.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let path = path.display();
    if meta.uid() != own {
        bail!(
            "{path} belongs to user {}, who could change what is recorded: remove it, or choose another file with --db",
            meta.uid()
        );
    }
    if meta.mode() & 0o022 != 0 {
        bail!(
            "{path} can be written by other users (mode {:04o}): remove it if they may have done so, or else 'chmod go-w' it",
            meta.mode() & 0o7777
        );
    }
    if meta.nlink() > 1 {
        bail!(
            "{path} has another name too (a hard link): remove it, or choose another file with --db"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_that_others_can_write_or_replace_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("e.db");
        let refused = || check_files(&db).map_err(|e| e.to_string()).err();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert_eq!(refused(), None);
        for suffix in SUFFIXES {
            let file = beside(&db, suffix);
            fs::write(&file, "").unwrap();
            mode(&file, 0o644);
            assert_eq!(refused(), None);
            mode(&file, 0o666);
            assert!(refused().unwrap().contains("mode 0666"));
            mode(&file, 0o600);
            fs::hard_link(&file, dir.path().join("other")).unwrap();
            assert!(refused().unwrap().contains("hard link"));
            fs::remove_file(dir.path().join("other")).unwrap();
            fs::rename(&file, dir.path().join("target")).unwrap();
            std::os::unix::fs::symlink(dir.path().join("target"), &file).unwrap();
            assert!(refused().unwrap().contains("a symbolic link"));
            fs::remove_file(&file).unwrap();
        }
        mode(dir.path(), 0o777);
        assert!(refused().unwrap().contains("every user can replace"));
        mode(dir.path(), 0o1777);
        assert_eq!(refused(), None);
    }
}
