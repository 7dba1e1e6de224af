//! rpm's database where it is SQLite, as Fedora has had it since 33, RHEL since 9 and openSUSE's
//! containers: `rpmdb.sqlite`. In comes a file that may have any content; out go a package and
//! its checksum of a file. It is mapped, not opened by SQLite, which would follow its path in
//! another mount namespace, and look for a journal to write to.
//!
//! Berkeley DB (until RHEL 8) and ndb (SUSE) are not read.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use memmap2::MmapOptions;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection as Db, MAIN_DB, OptionalExtension, params};
use rustix::fs::OFlags;

use super::package_lookup::{Checksum, Lookup, Package, in_root, is_token};
use super::regular_file;

/// Where databases are: Fedora since 36, and SUSE; all others.
const DIRECTORIES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
const SQLITE: &str = "rpmdb.sqlite";
/// Berkeley DB and ndb.
const OTHER_FORMATS: [&str; 2] = ["Packages", "Packages.db"];

/// Bytes of a database. A desktop's has some 300 MB.
const MAX_DATABASE: u64 = 4 << 30;
/// Bytes of a package's header, and entries of its index. A kernel's has 2 MB.
const MAX_HEADER: i32 = 64 << 20;
const MAX_ENTRIES: usize = 65_536;
/// Files of one name that are looked at.
const MAX_SAME_NAME: u32 = 4096;
/// Instructions of SQLite's, in thousands: what looks a file up takes far fewer.
const MAX_STEPS: u32 = 10_000;

/// The file of a database in one of its directories.
pub fn paths() -> impl Iterator<Item = String> {
    DIRECTORIES.iter().map(|dir| format!("{dir}/{SQLITE}"))
}

/// The package that owns one of these paths; None without a database.
pub fn find(root: &OwnedFd, paths: &[String]) -> Option<Lookup> {
    let exists = |path: &str| in_root(root, path, OFlags::PATH).ok();
    for path in self::paths() {
        let Some(file) = exists(&path) else { continue };
        // A transaction is running, or was killed: what counts is partly in the log.
        let log = exists(&format!("{path}-wal")).and_then(|log| log.metadata().ok());
        let found = match log.is_some_and(|log| log.len() > 0) {
            true => Ok(Lookup::Unknown),
            false => regular_file::open(&file)
                .map_err(Into::into)
                .and_then(|(file, _)| owner(&file, paths)),
        };
        return Some(found.unwrap_or(Lookup::Unknown));
    }
    let other = DIRECTORIES
        .iter()
        .flat_map(|dir| OTHER_FORMATS.map(|name| format!("{dir}/{name}")));
    other
        .into_iter()
        .any(|path| exists(&path).is_some())
        .then_some(Lookup::Unknown)
}

/// Of a database.
fn owner(file: &File, paths: &[String]) -> Result<Lookup> {
    let size = file.metadata()?.len();
    ensure!(size <= MAX_DATABASE, "the package database is too large");
    // SAFETY: a private mapping, of which SQLite may find any content. If the file gets shorter, this
    // process, which does nothing else, ends by SIGBUS.
    let map = unsafe { MmapOptions::new().map_copy(file) }?;
    // Until the process ends, with its one request.
    let bytes = Box::leak(Box::new(map));
    // WAL would take a file for its index; all that is in the log has been written back.
    if let Some(versions) = bytes.get_mut(18..20) {
        versions.fill(1);
    }
    let bytes: &'static [u8] = bytes;
    lookup(&bounded(bytes)?, paths)
}

/// A database of these bytes, in which nothing runs for long, or takes much memory.
fn bounded(bytes: &'static [u8]) -> Result<Db> {
    let mut db = Db::open_in_memory()?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_HEADER)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.deserialize_bytes(MAIN_DB, bytes)?;
    let mut steps = 0;
    db.progress_handler(
        1000,
        Some(move || {
            steps += 1;
            steps > MAX_STEPS
        }),
    )?;
    db.execute_batch("PRAGMA cell_size_check = ON")?;
    // A view could take any time and memory.
    for table in ["Packages", "Basenames"] {
        let sql = "SELECT type FROM pragma_table_list(?1)";
        let kind: String = db.query_row(sql, [table], |row| row.get(0))?;
        ensure!(kind == "table", "{table} is a {kind}");
    }
    Ok(db)
}

fn lookup(db: &Db, paths: &[String]) -> Result<Lookup> {
    let basename = paths.first().and_then(|path| path.rsplit('/').next());
    let mut files = db.prepare("SELECT hnum, idx FROM Basenames WHERE key = ?1 LIMIT ?2")?;
    let mut rows = files.query(params![basename, MAX_SAME_NAME])?;
    while let Some(row) = rows.next()? {
        let (package, file) = (row.get::<_, i64>(0)?, row.get::<_, u32>(1)?);
        let found = db
            .query_row(
                "SELECT blob FROM Packages WHERE hnum = ?1",
                [package],
                |row| {
                    let header = row.get_ref(0)?.as_blob().ok().and_then(Header::new);
                    Ok(header.and_then(|header| header.package(file as usize, paths)))
                },
            )
            .optional()?;
        if let Some(package) = found.flatten() {
            return Ok(Lookup::Owned(package));
        }
    }
    Ok(Lookup::Unowned)
}

/// A package as rpm stores it: numbers of entries and bytes, an index, data; all in network order.
struct Header<'a> {
    index: &'a [[u8; 16]],
    data: &'a [u8],
}

/// rpm's `rpmTag_e`.
#[derive(Clone, Copy)]
enum Tag {
    Name = 1000,
    Version = 1001,
    Release = 1002,
    Epoch = 1003,
    FileStates = 1029,
    FileDigests = 1035,
    DirIndexes = 1116,
    BaseNames = 1117,
    DirNames = 1118,
    FileDigestAlgorithm = 5011,
}

/// `rpmTagType_e`.
const CHAR: u32 = 1;
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
/// `RPMFILE_STATE_NORMAL`; in any other the package's file is not the one at its path.
const NORMAL: u8 = 0;

impl<'a> Header<'a> {
    fn new(bytes: &'a [u8]) -> Option<Header<'a>> {
        let (entries, rest) = u32_and_rest(bytes)?;
        let (length, rest) = u32_and_rest(rest)?;
        if entries as usize > MAX_ENTRIES {
            return None;
        }
        let (index, data) = rest.split_at_checked(entries as usize * 16)?;
        Some(Header {
            index: index.as_chunks().0,
            data: data.get(..length as usize)?,
        })
    }

    /// The package, if its file with this number is at one of the paths and was installed.
    fn package(&self, file: usize, paths: &[String]) -> Option<Package> {
        let dir = self.number(Tag::DirIndexes, file)? as usize;
        let dir = self.string(Tag::DirNames, dir)?.strip_prefix(b"/")?;
        let path = [dir, self.string(Tag::BaseNames, file)?].concat();
        let state = self.entry(Tag::FileStates, CHAR);
        let state = state.and_then(|(data, n)| data.get(file).filter(|_| file < n));
        if !paths.iter().any(|wanted| wanted.as_bytes() == path)
            || state.is_some_and(|state| *state != NORMAL)
        {
            return None;
        }
        let token = |tag| {
            let text = std::str::from_utf8(self.string(tag, 0)?).ok()?;
            is_token(text).then_some(text)
        };
        let epoch = self.number(Tag::Epoch, 0);
        let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
        let version = token(Tag::Version).zip(token(Tag::Release));
        Some(Package {
            name: token(Tag::Name)?.to_owned(),
            version: version.map(|(version, release)| format!("{epoch}{version}-{release}")),
            checksum: self.checksum(file),
        })
    }

    /// RFC 4880's numbers of algorithms. Without one it is MD5.
    fn checksum(&self, file: usize) -> Option<Checksum> {
        let sum = self.string(Tag::FileDigests, file)?;
        match self.number(Tag::FileDigestAlgorithm, 0).unwrap_or(1) {
            1 => Some(Checksum::Md5(bytes_of_hex(sum)?)),
            2 => Some(Checksum::Sha1(bytes_of_hex(sum)?)),
            8 => Some(Checksum::Sha256(bytes_of_hex(sum)?)),
            _ => None,
        }
    }

    /// The data of a tag, to the end of all data, and how many values it has.
    fn entry(&self, tag: Tag, kind: u32) -> Option<(&'a [u8], usize)> {
        self.index.iter().find_map(|entry| {
            let [is_tag, is_kind, offset, count] = numbers(entry);
            let matches = is_tag == tag as u32 && is_kind == kind;
            matches.then(|| Some((self.data.get(offset as usize..)?, count as usize)))?
        })
    }

    fn number(&self, tag: Tag, n: usize) -> Option<u32> {
        let (data, count) = self.entry(tag, INT32)?;
        let number = data.as_chunks().0.get(n).filter(|_| n < count)?;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&self, tag: Tag, n: usize) -> Option<&'a [u8]> {
        let (data, count) = self
            .entry(tag, STRING_ARRAY)
            .or_else(|| self.entry(tag, STRING))?;
        let text = data.split(|byte| *byte == 0).nth(n)?;
        (n < count).then_some(text)
    }
}

fn numbers(entry: &[u8; 16]) -> [u32; 4] {
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(entry.as_chunks().0) {
        *number = u32::from_be_bytes(*bytes);
    }
    numbers
}

fn u32_and_rest(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn bytes_of_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Seek, Write};

    /// A header as rpm writes it: `/opt/tool`, a Version, and two files in `/opt/` and `/usr/bin/`.
    fn header(states: &[u8]) -> Vec<u8> {
        let sum = "ab".repeat(32);
        let mut data = Vec::new();
        let mut index = Vec::new();
        let mut add = |tag: Tag, kind: u32, count: u32, bytes: &[u8]| {
            for number in [tag as u32, kind, data.len() as u32, count] {
                index.extend(number.to_be_bytes());
            }
            data.extend(bytes);
        };
        add(Tag::Epoch, INT32, 1, &2_u32.to_be_bytes());
        add(Tag::DirIndexes, INT32, 2, &[0, 0, 0, 1, 0, 0, 0, 0]);
        add(Tag::FileDigestAlgorithm, INT32, 1, &8_u32.to_be_bytes());
        add(Tag::Name, STRING, 1, b"tool\0");
        add(Tag::Version, STRING, 1, b"1.5\0");
        add(Tag::Release, STRING, 1, b"3.el9\0");
        add(Tag::BaseNames, STRING_ARRAY, 2, b"tool\0other\0");
        add(Tag::DirNames, STRING_ARRAY, 2, b"/opt/\0/usr/bin/\0");
        add(
            Tag::FileDigests,
            STRING_ARRAY,
            2,
            format!("{sum}\0\0").as_bytes(),
        );
        add(Tag::FileStates, CHAR, states.len() as u32, states);
        let lengths = [(index.len() / 16) as u32, data.len() as u32];
        let lengths = lengths.map(u32::to_be_bytes).concat();
        [lengths, index, data].concat()
    }

    fn package(header: &[u8], file: usize, path: &str) -> Option<Package> {
        Header::new(header)?.package(file, &[path.to_owned()])
    }

    #[test]
    fn file_is_of_the_package_that_installed_it() {
        let whole = header(&[NORMAL, NORMAL]);
        let owner = package(&whole, 0, "usr/bin/tool").unwrap();
        assert_eq!(owner.name, "tool");
        assert_eq!(owner.version.as_deref(), Some("2:1.5-3.el9"));
        assert_eq!(owner.checksum, Some(Checksum::Sha256([0xab; 32])));
        assert_eq!(package(&whole, 1, "opt/other").unwrap().checksum, None);
        for (file, path) in [(0, "opt/tool"), (1, "usr/bin/tool"), (2, "opt/other")] {
            assert_eq!(package(&whole, file, path), None, "{path}");
        }
        // replaced by another package's
        assert_eq!(package(&header(&[1, 0]), 0, "usr/bin/tool"), None);
    }

    /// A database of these tables, as bytes.
    fn database(sql: &str) -> Vec<u8> {
        let mut db = Db::open_in_memory().unwrap();
        db.execute_batch(sql).unwrap();
        db.serialize(MAIN_DB).unwrap().to_vec()
    }

    fn owner_in(bytes: &[u8]) -> Result<Lookup> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        owner(&file, &["usr/bin/tool".to_owned()])
    }

    const TABLES: &str =
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);
        CREATE TABLE Basenames (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);
        INSERT INTO Basenames VALUES ('tool', 9, 0), ('tool', 1, 7), ('tool', 1, 0);";

    #[test]
    fn hostile_databases_end_soon_and_say_nothing() {
        let view = "CREATE TABLE Packages (hnum, blob);
            CREATE VIEW Basenames AS WITH RECURSIVE n(key, hnum, idx) AS (
                SELECT 'x', 1, 1 UNION ALL SELECT 'x', hnum + 1, 1 FROM n) SELECT * FROM n;";
        let large = "CREATE TABLE Packages (hnum, blob AS (zeroblob(200000000)));
            INSERT INTO Packages VALUES (1);
            CREATE TABLE Basenames AS SELECT 'tool' AS key, 1 AS hnum, 0 AS idx;";
        for sql in [view, large, "CREATE TABLE other (x)"] {
            assert!(owner_in(&database(sql)).is_err(), "{sql}");
        }
        assert!(owner_in(b"no database").is_err() && owner_in(b"").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Bytes of a header or of a database are changed: names are names, and nothing panics.
        #[test]
        fn any_bytes_give_a_clean_name_or_none(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            in_database: bool,
        ) {
            let mut bytes = header(&[NORMAL, NORMAL]);
            if in_database {
                let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
                let hex = hex.collect::<String>();
                bytes = database(&format!("{TABLES} INSERT INTO Packages VALUES (1, x'{hex}');"));
            }
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let found = match in_database {
                true => owner_in(&bytes).ok().and_then(|found| match found {
                    Lookup::Owned(package) => Some(package),
                    _ => None,
                }),
                false => package(&bytes, 0, "usr/bin/tool"),
            };
            prop_assert!(found.is_some() || !changes.is_empty());
            if let Some(package) = found {
                prop_assert!(is_token(&package.name));
            }
        }
    }
}
