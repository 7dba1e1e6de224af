//! The file itself: creating it, locking it, opening it, and its permissions.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection as Db, OpenFlags, ffi};

use super::error::{cannot_read, cannot_write};
use super::migrations;
use super::trust::{LOCK, POLICY_SOCKET, SUFFIXES, beside, check_files, check_kind};

/// The longest value of a history that is read, in bytes: no recorder writes one of a tenth of this,
/// but the view of a file that another user prepared may make one of gigabytes.
const MAX_VALUE: i32 = 16 << 20;

/// How long a statement waits for the lock of another process.
const BUSY: Duration = Duration::from_secs(5);
/// The same while recording, when the caller tries again.
pub const BUSY_WHILE_RECORDING: Duration = Duration::from_millis(20);
/// The same for the last checkpoint.
pub const BUSY_AT_END: Duration = Duration::from_secs(2);

/// Read access for others than the file's owner.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `--group`: a group id.
    pub group: Option<u32>,
    /// The directory holds nothing but the history, so the group may have access to it.
    pub own_directory: bool,
    /// The user whose group that is: they have access to a directory of theirs anyway.
    pub reader: Option<u32>,
}

/// Creates the file if it is missing, and takes the recorder's lock: flock(2) on a file beside
/// it, which no other user can open. Any reader of the history could hold a lock on that.
pub fn create(path: &Path, access: &Access) -> Result<File> {
    if let Some(dir) = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty() && !d.exists())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("the directory {} can't be created", dir.display()))?;
        if let Some(group) = access.group {
            open_to_group(dir, group, 0o750)?;
        }
    }
    check_files(path)?;
    // Closed before SQLite opens it: closing a descriptor later would drop SQLite's locks.
    drop(open_own(path, path)?);
    let lock = open_own(&beside(path, LOCK), path)?;
    // `recorder_runs` in a reader holds the lock for a moment.
    for _ in 0..10 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("{} can't be locked", path.display()));
            }
        }
    }
    bail!(
        "another egrets records into {}: stop it, or choose another file with --db",
        path.display()
    )
}

/// Opens a file of this user's for writing, or creates it.
fn open_own(file: &Path, history: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // A symbolic link could make root write to a file of the attacker's choice.
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(file)
        .with_context(|| format!("{} can't be opened for recording", history.display()))
}

/// Whether a recorder is writing to the file now.
pub fn recorder_runs(path: &Path) -> bool {
    let lock = beside(path, LOCK);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(&lock);
    match file {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        // Another user's: the kernel lists all locks.
        Err(_) => locks(&lock)
            .iter()
            .any(|lock| lock.kind == "FLOCK" && lock.mode == "WRITE"),
    }
}

/// The process that records into the file, as far as the kernel shows it.
pub fn recorder_pid(path: &Path) -> Option<u32> {
    let mut locks = locks(&beside(path, LOCK)).into_iter();
    let lock = locks.find(|lock| lock.kind == "FLOCK" && lock.mode == "WRITE")?;
    Some(lock.pid).filter(|pid| *pid > 0)
}

/// The files that make up a history, whether or not they exist.
pub fn files(path: &Path) -> Vec<PathBuf> {
    Vec::from(SUFFIXES.map(|suffix| beside(path, suffix)))
}

/// Where the recorder of the file takes requests about its policy.
pub fn policy_socket(path: &Path) -> PathBuf {
    beside(path, POLICY_SOCKET)
}

/// The process other than this one that keeps the history from being written, if it is known.
pub fn lock_holder(path: &Path) -> Option<u32> {
    /// Of the -shm file: the writer's lock in WAL mode (sqlite.org/walformat.html).
    const WRITER: u64 = 120;
    /// Of the database file: locks of other modes.
    const PENDING: u64 = 0x4000_0000;
    let mut of_writers = locks(&beside(path, "-shm"))
        .into_iter()
        .filter(|lock| (lock.first..=lock.last).contains(&WRITER))
        .chain(
            locks(path)
                .into_iter()
                .filter(|lock| lock.last >= PENDING && lock.mode == "WRITE"),
        )
        .filter(|lock| lock.kind != "FLOCK" && lock.pid != std::process::id());
    of_writers.next().map(|lock| lock.pid)
}

/// Which files a recording writes to, to notice that one was deleted or replaced.
pub struct Identity(Vec<(PathBuf, Option<(u64, u64)>)>);

impl Identity {
    pub fn of(path: &Path) -> Identity {
        let files = ["", "-wal", "-shm", LOCK].map(|suffix| beside(path, suffix));
        Identity(files.map(|file| (file.clone(), id(&file))).into())
    }

    /// The first file that is not what it was.
    pub fn lost(&self) -> Option<&Path> {
        let mut files = self.0.iter();
        let lost = files.find(|(file, was)| id(file) != *was)?;
        Some(&lost.0)
    }
}

/// None if there is no such file.
fn id(file: &Path) -> Option<(u64, u64)> {
    match fs::symlink_metadata(file) {
        Ok(meta) => Some((meta.dev(), meta.ino())),
        Err(_) => None,
    }
}

/// A line of /proc/locks.
struct LockLine {
    kind: String,
    mode: String,
    pid: u32,
    first: u64,
    last: u64,
}

/// The locks on a file, as far as /proc/locks shows them.
fn locks(file: &Path) -> Vec<LockLine> {
    let inode = fs::symlink_metadata(file).map(|m| m.ino()).ok();
    let lines = fs::read_to_string("/proc/locks").unwrap_or_default();
    let of_file = |line: &str| -> Option<LockLine> {
        // 1: POSIX  ADVISORY  WRITE 1234 fe:01:5678 120 120
        let mut words = line.split_whitespace().skip(1).filter(|word| *word != "->");
        let (kind, _, mode) = (words.next()?, words.next()?, words.next()?);
        let pid = words.next()?.parse().unwrap_or(0);
        // Not the device: btrfs shows another one here.
        let found: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        let (first, last) = (words.next()?, words.next()?);
        (Some(found) == inode).then(|| LockLine {
            kind: kind.to_owned(),
            mode: mode.to_owned(),
            pid,
            first: first.parse().unwrap_or(0),
            last: last.parse().unwrap_or(u64::MAX),
        })
    };
    lines.lines().filter_map(of_file).collect()
}

pub fn open_writer(path: &Path) -> Result<Db> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrations::check_writable(&db, path)?;
    // WAL: readers are not blocked by the writer. NORMAL: commits are not synced, so a
    // power cut may lose the last ones, but never the file (sqlite.org/wal.html).
    let set = |name: &str, value: &str| db.pragma_update(None, name, value);
    // auto_vacuum lets retention return space to the file system. It must come first: it
    // takes effect only in an empty file.
    set("auto_vacuum", "INCREMENTAL")
        .and_then(|()| set("journal_mode", "WAL"))
        .and_then(|()| set("synchronous", "NORMAL"))
        // Large enough to keep the pages of busy groups across batches.
        .and_then(|()| set("cache_size", "-8192"))
        // checkpoint.rs does it.
        .and_then(|()| set("wal_autocheckpoint", "0"))
        .and_then(|()| set("journal_size_limit", "33554432"))
        .with_context(|| cannot_write(path))?;
    persist_wal(&db).with_context(|| cannot_write(path))?;
    // Otherwise SQLite re-plans a statement for each value that is bound to it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A history has none, but a file that another user prepared may.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// A second connection to a file that is open for recording, to checkpoint it.
pub fn open_checkpointer(path: &Path) -> Result<Db> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    persist_wal(&db)
        // A connection that has not read anything does not know the -wal and would copy nothing.
        .and_then(|()| db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
        .with_context(|| cannot_write(path))?;
    Ok(db)
}

/// Opens the file for reading, whether or not a recorder is writing to it.
pub fn open_reader(path: &Path) -> Result<Db> {
    check_kind(path)?;
    match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!(
            "there is no history at {}: record one with 'sudo egrets record', or name another file with --db",
            path.display()
        ),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => bail!(
            "you may not read {}: use sudo, or let your group read it with 'egrets record --group GROUP'",
            path.display()
        ),
        Err(e) => return Err(e).with_context(|| cannot_read(path)),
        Ok(_) => {}
    }
    for suffix in SUFFIXES {
        check_kind(&beside(path, suffix))?;
    }
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
    migrations::check_readable(&db, path)?;
    Ok(db)
}

/// A database without a file, which others can be attached to.
pub fn open_in_memory() -> Result<Db> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Db::open_in_memory_with_flags(flags)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

/// Attaches a history to it, for reading.
pub fn attach(db: &Db, path: &Path, schema: &str) -> rusqlite::Result<()> {
    let mut uri = "file:".to_owned();
    for byte in canonical(path).as_os_str().as_encoded_bytes() {
        match byte {
            // all others may mean something (sqlite.org/uri.html)
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02x}"),
        }
    }
    db.execute(
        &format!("ATTACH ?1 AS {schema}"),
        [format!("{uri}?mode=ro")],
    )?;
    Ok(())
}

fn open(path: &Path, mode: OpenFlags) -> Result<Db> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLITE_OPEN_NOFOLLOW refuses links in the path's directories too, so those are
    // resolved first; only the last component must not be a link.
    let real = canonical(path);
    let db = Db::open_with_flags(&real, flags).with_context(|| cannot_read(path))?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

fn canonical(path: &Path) -> PathBuf {
    let dir = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (dir.canonicalize(), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        _ => path.to_path_buf(),
    }
}

/// Keeps the -wal and -shm files when the last connection closes: a reader needs them, and
/// can't create them without write access to the directory.
fn persist_wal(db: &Db) -> rusqlite::Result<()> {
    let mut on: std::ffi::c_int = 1;
    // SAFETY: the handle is open, and SQLITE_FCNTL_PERSIST_WAL takes a pointer to
    // an int that outlives the call (sqlite.org/c3ref/c_fcntl_begin_atomic_write.html).
    let rc = unsafe {
        ffi::sqlite3_file_control(
            db.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_PERSIST_WAL,
            (&raw mut on).cast(),
        )
    };
    match rc {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// Gives the group of `--group` read access to the file, its -wal and its -shm.
pub fn share(path: &Path, access: &Access) -> Result<()> {
    let Some(group) = access.group else {
        return Ok(());
    };
    for suffix in ["", "-wal", "-shm"] {
        open_to_group(&beside(path, suffix), group, 0o640)?;
    }
    let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) else {
        return Ok(());
    };
    if access.own_directory {
        return open_to_group(dir, group, 0o750);
    }
    let meta = fs::metadata(dir)?;
    let (of_group, of_all) = (meta.mode() & 0o010 != 0, meta.mode() & 0o001 != 0);
    if !(of_all || of_group && meta.gid() == group || access.reader == Some(meta.uid())) {
        log::warn!(
            "the group can't access the directory {}: allow it to, or use another directory",
            dir.display()
        );
    }
    Ok(())
}

fn open_to_group(path: &Path, group: u32, mode: u32) -> Result<()> {
    let open = || -> std::io::Result<()> {
        // Through a descriptor and not by name, so that a link that replaces the file is not
        // followed. O_PATH, because closing an ordinary descriptor drops SQLite's locks.
        let handle = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        if handle.metadata()?.is_symlink() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let target = format!("/proc/self/fd/{}", handle.as_raw_fd());
        chown(&target, None, Some(group))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))
    };
    open().with_context(|| format!("{} can't be opened to group {group}", path.display()))
}

/// The id of a group that is given by name or number.
pub fn group_id(name: &str) -> Result<u32> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let group = nix::unistd::Group::from_name(name).with_context(|| format!("group {name}"))?;
    Ok(group
        .with_context(|| format!("there is no group {name}: see 'getent group'"))?
        .gid
        .as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_access_is_not_granted_through_a_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let group = fs::metadata(&file).unwrap().gid();
        let mode = || fs::metadata(&file).unwrap().mode() & 0o777;
        assert!(open_to_group(&link, group, 0o640).is_err());
        assert_eq!(mode(), 0o600);
        open_to_group(&file, group, 0o640).unwrap();
        assert_eq!(mode(), 0o640);
    }
}
