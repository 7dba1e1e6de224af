//! How a recording ended. It is stored when the next one begins, at the latest: one that was
//! killed can't write anything, and one whose history is locked or on a full disk only an
//! attribute of the file, which needs neither lock nor space.

use std::path::Path;

use rusqlite::{Connection as Db, OptionalExtension, params};
use rustix::fs::{XattrFlags, lgetxattr, lremovexattr, lsetxattr};

/// Holds the recording's id and the reason: `12 locked`.
const ATTRIBUTE: &str = "user.egrets.ended";

/// Identifies the host's boot.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Stores why a recording ends before its time, in the file if that is possible.
pub fn leave_word(db: &Db, path: &Path, recording: i64, why: &str) {
    let stored = db.execute(
        "UPDATE recording SET ended = ?1 WHERE id = ?2",
        params![why, recording],
    );
    if stored.is_err() {
        let word = format!("{recording} {why}");
        let set = lsetxattr(path, ATTRIBUTE, word.as_bytes(), XattrFlags::empty());
        if let Err(e) = set {
            log::debug!("how the recording ended can't be stored: {e}");
        }
    }
}

/// Completes what earlier recordings could not store of their end.
pub fn settle(db: &Db, path: &Path) -> rusqlite::Result<()> {
    if let Some((recording, why)) = word(path) {
        db.execute(
            "UPDATE recording SET ended = ?1 WHERE id = ?2 AND ended IS NULL",
            params![why, recording],
        )?;
    }
    db.execute(
        "UPDATE recording SET ended = CASE WHEN boot_id IS ?1 THEN 'killed' ELSE 'host restarted' END
         WHERE ended IS NULL",
        [boot_id()],
    )?;
    let _ = lremovexattr(path, ATTRIBUTE);
    Ok(())
}

/// How the newest recording ended, if that is known and it has no successor.
pub fn of_last(db: &Db, path: &Path) -> rusqlite::Result<Option<String>> {
    let last: Option<(i64, Option<String>)> = db
        .query_row(
            "SELECT id, ended FROM recording ORDER BY id DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(last.and_then(|(id, ended)| {
        let word = || {
            let (recording, why) = word(path)?;
            (recording == id).then_some(why)
        };
        ended.or_else(word)
    }))
}

fn word(path: &Path) -> Option<(i64, String)> {
    let mut buffer = [0; 64];
    let length = lgetxattr(path, ATTRIBUTE, &mut buffer[..]).ok()?;
    let (id, why) = std::str::from_utf8(buffer.get(..length)?)
        .ok()?
        .split_once(' ')?;
    Some((id.parse().ok()?, why.to_owned()))
}
