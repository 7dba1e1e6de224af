//! The file itself: making it, opening it, bringing its schema up to date, and
//! who may.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection as Db, ErrorCode, OpenFlags, ffi};

/// The schema's versions, oldest first: `PRAGMA user_version` counts those done.
pub const MIGRATIONS: [&str; 10] = [
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_evidence.sql"),
    include_str!("../../migrations/0003_identity.sql"),
    include_str!("../../migrations/0004_lookups.sql"),
    include_str!("../../migrations/0005_retention.sql"),
    include_str!("../../migrations/0006_sessions.sql"),
    include_str!("../../migrations/0007_rollups.sql"),
    include_str!("../../migrations/0008_protocols.sql"),
    include_str!("../../migrations/0009_starts.sql"),
    include_str!("../../migrations/0010_sums_and_settings.sql"),
];

/// Marks a SQLite file as egrets' (`PRAGMA application_id`): "egrt".
const APPLICATION_ID: i32 = 0x6567_7274;

/// How long a statement waits for another process' lock.
const BUSY: Duration = Duration::from_secs(5);

/// Who may read the file besides its owner.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `--group`: a group id.
    pub group: Option<u32>,
    /// The file's directory is egrets' own, so it may be opened to the group.
    pub own_directory: bool,
}

pub fn cannot_write(path: &Path) -> String {
    format!(
        "{} can't be written; what is stored in it is unharmed",
        path.display()
    )
}

pub fn cannot_read(path: &Path) -> String {
    format!("{} can't be read", path.display())
}

/// An error on reading a history, with the file's name where it is SQLite's.
pub fn of_file(error: anyhow::Error, path: &Path) -> anyhow::Error {
    match sqlite_code(&error) {
        Some(_) => error.context(cannot_read(path)),
        None => error,
    }
}

/// Whether an error comes of a file that has been damaged.
pub fn is_damaged(error: &anyhow::Error) -> bool {
    sqlite_code(error) == Some(ErrorCode::DatabaseCorrupt)
}

fn sqlite_code(error: &anyhow::Error) -> Option<ErrorCode> {
    let mut causes = error.chain();
    causes.find_map(|cause| cause.downcast_ref::<rusqlite::Error>()?.sqlite_error_code())
}

/// Makes the file where it is missing, and takes the recorder's lock. The lock is
/// flock(2)'s: SQLite's own are fcntl(2)'s, which are others.
pub fn create(path: &Path, access: &Access) -> Result<File> {
    if let Some(dir) = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty() && !d.exists())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("the directory {} can't be made", dir.display()))?;
        if let Some(group) = access.group {
            open_to_group(dir, group, 0o750)?;
        }
    }
    // Through a link, what egrets writes as root would land where somebody else
    // wants it.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .with_context(|| format!("{} can't be opened for recording", path.display()))?;
    if !file.metadata()?.is_file() {
        bail!("{} is no regular file", path.display());
    }
    // A reader that asks whether a recorder runs holds the lock for a moment.
    for _ in 0..10 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("{} can't be locked", path.display()));
            }
        }
    }
    bail!(
        "another egrets records into {}: stop that one, or give this one a file of its own with --db",
        path.display()
    )
}

/// Whether a recorder has the file now.
pub fn recorder_runs(path: &Path) -> bool {
    File::open(path).is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

pub fn open_writer(path: &Path) -> Result<Db> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    refuse_others(&db, path)?;
    // WAL: readers go on while egrets writes. NORMAL: a commit is not synced, so a
    // power cut may take the last ones, and never the file (sqlite.org/wal.html).
    let set = |name: &str, value: &str| db.pragma_update(None, name, value);
    // First, as it holds only for a file that has nothing in it yet: what retention
    // frees can be given back.
    set("auto_vacuum", "INCREMENTAL")
        .and_then(|()| set("journal_mode", "WAL"))
        .and_then(|()| set("synchronous", "NORMAL"))
        // A busy edge's pages are written once for many batches.
        .and_then(|()| set("cache_size", "-8192"))
        // Others do that: see checkpoint.rs.
        .and_then(|()| set("wal_autocheckpoint", "0"))
        .and_then(|()| set("journal_size_limit", "33554432"))
        .with_context(|| cannot_write(path))?;
    persist_wal(&db).with_context(|| cannot_write(path))?;
    // Else SQLite plans a statement anew for each value that is bound to it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Another connection to a file that is open for recording, to copy its -wal.
pub fn open_checkpointer(path: &Path) -> Result<Db> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    persist_wal(&db)
        // A connection that has read nothing yet knows of no -wal and copies none.
        .and_then(|()| db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
        .with_context(|| cannot_write(path))?;
    Ok(db)
}

/// Opens the file to read it, while it is written or not.
pub fn open_reader(path: &Path) -> Result<Db> {
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
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    refuse_others(&db, path)?;
    let version = version(&db, path)?;
    if version == 0 {
        bail!(
            "{} holds no history yet: record one with 'sudo egrets record'",
            path.display()
        );
    }
    Ok(db)
}

fn open(path: &Path, mode: OpenFlags) -> Result<Db> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLITE_OPEN_NOFOLLOW refuses links in the directories too, so those are
    // resolved first; the last part was opened without following already.
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

/// Refuses a file that is not egrets', before anything in it is changed.
fn refuse_others(db: &Db, path: &Path) -> Result<()> {
    let version = version(db, path)?;
    let number = |sql| db.query_row(sql, [], |row| row.get::<_, i32>(0));
    let read = number("PRAGMA application_id")
        .and_then(|id| Ok((id, number("SELECT count(*) FROM sqlite_schema")?)));
    let (id, tables) = read.with_context(|| cannot_read(path))?;
    if tables > 0 && id != APPLICATION_ID {
        bail!(
            "{} is a SQLite database of another program: egrets leaves it alone; name another file with --db",
            path.display()
        );
    }
    if version > MIGRATIONS.len() {
        bail!(
            "{} was written by a newer egrets (schema {version}, this one knows {}): use that one, or name another file with --db",
            path.display(),
            MIGRATIONS.len()
        );
    }
    Ok(())
}

fn version(db: &Db, path: &Path) -> Result<usize> {
    match db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)) {
        Ok(version) => Ok(version as usize),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => bail!(
            "{} is not a SQLite database: egrets leaves it alone; name another file with --db",
            path.display()
        ),
        Err(e) => Err(e).with_context(|| cannot_read(path)),
    }
}

/// Brings the schema up to date, all of it or nothing.
pub fn migrate(db: &mut Db, path: &Path) -> Result<()> {
    let done = version(db, path)?;
    let apply = |db: &mut Db| -> rusqlite::Result<()> {
        let tx = db.transaction()?;
        for migration in MIGRATIONS.iter().skip(done) {
            tx.execute_batch(migration)?;
        }
        tx.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.commit()
    };
    if done < MIGRATIONS.len() {
        // Off while tables are made anew, which is what a table goes by that others
        // refer to (sqlite.org/lang_altertable.html#otheralter).
        db.pragma_update(None, "foreign_keys", "OFF")
            .and_then(|()| apply(db))
            .with_context(|| cannot_write(path))?;
    }
    db.pragma_update(None, "foreign_keys", "ON")
        .with_context(|| cannot_write(path))
}

/// Keeps the -wal and -shm files when the last connection closes: who may read
/// the file but not write its directory can't make them, and needs them.
fn persist_wal(db: &Db) -> rusqlite::Result<()> {
    let mut on: std::ffi::c_int = 1;
    // SAFETY: the handle is open, and SQLITE_FCNTL_PERSIST_WAL takes a pointer to
    // an int that lives through the call (sqlite.org/c3ref/c_fcntl_begin_atomic_write.html).
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

/// Opens the file, and the two beside it, to the group that was named.
pub fn share(path: &Path, access: &Access) -> Result<()> {
    let Some(group) = access.group else {
        return Ok(());
    };
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        open_to_group(Path::new(&name), group, 0o640)?;
    }
    let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) else {
        return Ok(());
    };
    if access.own_directory {
        return open_to_group(dir, group, 0o750);
    }
    let meta = fs::metadata(dir)?;
    let (of_group, of_all) = (meta.mode() & 0o010 != 0, meta.mode() & 0o001 != 0);
    if !(of_all || of_group && meta.gid() == group) {
        log::warn!(
            "the group can't look into {}: open it to them, or use another directory",
            dir.display()
        );
    }
    Ok(())
}

fn open_to_group(path: &Path, group: u32, mode: u32) -> Result<()> {
    let open = || -> std::io::Result<()> {
        // By what stands there and not by its name: a link that somebody puts there is not
        // followed. O_PATH, for closing another descriptor would give up SQLite's locks.
        let there = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        if there.metadata()?.is_symlink() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let itself = format!("/proc/self/fd/{}", there.as_raw_fd());
        chown(&itself, None, Some(group))?;
        fs::set_permissions(&itself, fs::Permissions::from_mode(mode))
    };
    open().with_context(|| format!("{} can't be opened to group {group}", path.display()))
}

/// The group id of a name, or of a number.
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
    fn a_link_is_not_followed_to_what_a_group_may_read() {
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

    #[test]
    fn a_file_with_containers_is_brought_up_to_date_and_keeps_every_reference() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut db = Db::open(&path).unwrap();
        // the version in which a container's id was unique
        for migration in &MIGRATIONS[..5] {
            db.execute_batch(migration).unwrap();
        }
        db.execute_batch(
            "PRAGMA user_version = 5;
             INSERT INTO recording (id, start_ts, seen_ts, hostname, kernel, version, pid, hook_set, hooks)
             VALUES (1, 0, 0, 'h', 'k', 'v', 1, 's', 'h');
             INSERT INTO container (id, container_id, name) VALUES (3, 'outer', 'o');
             INSERT INTO container (id, container_id, name, outer_id) VALUES (7, 'inner', 'web', 3);
             INSERT INTO process (recording_id, pid, start_ns, comm, uid, container_id)
             VALUES (1, 1, 0, 'curl', 0, 7);",
        )
        .unwrap();
        migrate(&mut db, &path).unwrap();
        let row = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0));
        let names = "SELECT c.name || ' in ' || o.name FROM process p
            JOIN container c ON c.id = p.container_id JOIN container o ON o.id = c.outer_id";
        assert_eq!(row(names).unwrap(), "web in o");
        let broken: i64 = db
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(broken, 0);
        assert_eq!(row("PRAGMA integrity_check").unwrap(), "ok");
        let again = "INSERT INTO container (container_id, name) VALUES ('inner', 'renamed')";
        assert_eq!(db.execute(again, []).unwrap(), 1);
        let orphan = "INSERT INTO process (recording_id, pid, start_ns, comm, uid, container_id)
            VALUES (1, 1, 0, 'x', 0, 99)";
        assert!(
            db.execute(orphan, []).is_err(),
            "references are checked as before"
        );
    }
}
