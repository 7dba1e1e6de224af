//! The schema of a history file: its versions, its views, and which files egrets accepts.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection as Db, ErrorCode};

use super::error::{cannot_read, cannot_write};

/// The versions of the tables, oldest first: `PRAGMA user_version` is how many are applied.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_initial.sql")];

/// The public interface; see [`apply`].
const VIEWS: &str = include_str!("../../migrations/views.sql");

/// Marks a SQLite file as an egrets history (`PRAGMA application_id`): "egrt".
const APPLICATION_ID: i32 = 0x6567_7274;

/// Refuses a file that this egrets can't write, before anything in it is changed.
pub fn check_writable(db: &Db, path: &Path) -> Result<()> {
    check(db, path).map(drop)
}

/// Refuses a file that this egrets can't read.
pub fn check_readable(db: &Db, path: &Path) -> Result<()> {
    match check(db, path)? {
        0 => bail!(
            "{} holds no history yet: record one with 'sudo egrets record'",
            path.display()
        ),
        version if version < MIGRATIONS.len() => bail!(
            "{} was recorded by an older egrets: 'sudo egrets record --for 1s --db {0}' upgrades it",
            path.display()
        ),
        _ => Ok(()),
    }
}

/// The version of a file that is a history, or empty.
fn check(db: &Db, path: &Path) -> Result<usize> {
    let version = version(db, path)?;
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i32>(0));
    let (id, tables, known) = number("PRAGMA application_id")
        .and_then(|id| {
            let tables = number("SELECT count(*) FROM sqlite_schema")?;
            Ok((id, tables, has_tables_of(db, version)?))
        })
        .with_context(|| cannot_read(path))?;
    let path = path.display();
    if tables > 0 && id != APPLICATION_ID {
        bail!(
            "{path} is a SQLite database of another program: egrets leaves it alone; name another file with --db"
        );
    }
    if tables > 0 && !known {
        bail!(
            "{path} was recorded by a development version of egrets, older than 0.1.0, whose files are not supported: \
             move it away, or name another file with --db"
        );
    }
    if version > MIGRATIONS.len() {
        bail!(
            "{path} was written by a newer egrets (schema {version}, this one knows {}): use that one, or name another file with --db",
            MIGRATIONS.len()
        );
    }
    Ok(version)
}

/// A table that every version has, and that the first development versions had not.
const SINCE_FIRST_VERSION: &str = "connection_group";

/// Whether the tables have the columns of this version. Development versions before 0.1.0
/// numbered theirs from 1, too, with the same application id.
fn has_tables_of(db: &Db, version: usize) -> rusqlite::Result<bool> {
    if version > MIGRATIONS.len() {
        return db.table_exists(None, SINCE_FIRST_VERSION);
    }
    let scratch = Db::open_in_memory()?;
    for migration in MIGRATIONS.iter().take(version) {
        scratch.execute_batch(migration)?;
    }
    let stored = columns(db)?;
    Ok(columns(&scratch)?
        .iter()
        .all(|table| stored.contains(table)))
}

/// The views of a history of this version and these tables of it, each with its columns.
pub fn views_and(tables: &[&str]) -> rusqlite::Result<Vec<(String, Vec<String>)>> {
    let scratch = Db::open_in_memory()?;
    for migration in MIGRATIONS {
        scratch.execute_batch(migration)?;
    }
    scratch.execute_batch(VIEWS)?;
    let views = definitions(&scratch)?.into_iter().map(|(name, _)| name);
    let names = views.chain(tables.iter().map(|&name| name.to_owned()));
    names
        .map(|name| {
            let columns = columns_of(&scratch, "main", &name)?;
            Ok((name, columns))
        })
        .collect()
}

/// The columns of a table or view; none if there is no such.
pub fn columns_of(db: &Db, schema: &str, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_info(?1, ?2) ORDER BY cid";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([name, schema], |row| row.get(0))?;
    rows.collect()
}

/// Each table's name and columns.
fn columns(db: &Db) -> rusqlite::Result<Vec<(String, String)>> {
    let sql =
        "SELECT t.name, group_concat(c.name) FROM sqlite_schema t, pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' GROUP BY t.name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
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
    let applied = version(db, path)?;
    apply(db, applied, MIGRATIONS, VIEWS).with_context(|| cannot_write(path))
}

/// Applies the migrations after the first `applied`, and replaces the views where a
/// migration is applied or their definitions differ.
fn apply(db: &mut Db, applied: usize, migrations: &[&str], views: &str) -> rusqlite::Result<()> {
    let pending = migrations.get(applied..).unwrap_or_default();
    let wanted = {
        // SQLite resolves a view's tables when it is used, so this needs none.
        let scratch = Db::open_in_memory()?;
        scratch.execute_batch(views)?;
        definitions(&scratch)?
    };
    let stored = definitions(db)?;
    if !pending.is_empty() || !wanted.iter().all(|view| stored.contains(view)) {
        // While they are on, a table that others refer to can't be rebuilt
        // (sqlite.org/lang_altertable.html#otheralter).
        db.pragma_update(None, "foreign_keys", "OFF")?;
        let tx = db.transaction()?;
        for (name, _) in &wanted {
            tx.execute_batch(&format!("DROP VIEW IF EXISTS \"{name}\""))?;
        }
        for migration in pending {
            tx.execute_batch(migration)?;
        }
        tx.execute_batch(views)?;
        tx.pragma_update(None, "user_version", migrations.len() as u32)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.commit()?;
    }
    db.pragma_update(None, "foreign_keys", "ON")
}

/// The name and the SQL of each view.
fn definitions(db: &Db) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str =
        "CREATE TABLE connection_group (x); INSERT INTO connection_group VALUES (7)";
    const VIEW: &str = "CREATE VIEW v AS SELECT x FROM connection_group";

    fn texts(db: &Db, sql: &str) -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_later_migration_is_applied_to_a_file_of_an_earlier_version_with_new_views() {
        let mut db = Db::open_in_memory().unwrap();
        apply(&mut db, 0, &[FIRST], VIEW).unwrap();
        db.execute_batch("CREATE VIEW users_own AS SELECT 1 AS one")
            .unwrap();
        let second = "ALTER TABLE connection_group RENAME COLUMN x TO z;
                      ALTER TABLE connection_group ADD COLUMN y NOT NULL DEFAULT 8";
        let views = "CREATE VIEW v AS SELECT z AS x, y FROM connection_group;
                     CREATE VIEW w AS SELECT 1 AS one";
        apply(&mut db, 1, &[FIRST, second], views).unwrap();
        assert_eq!(texts(&db, "SELECT concat_ws(' ', x, y) FROM v"), ["7 8"]);
        assert_eq!(
            texts(&db, "SELECT name FROM sqlite_schema WHERE type = 'view'"),
            ["users_own", "v", "w"]
        );
        let version = db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
        assert_eq!(version, Ok(2));
    }

    #[test]
    fn views_that_differ_are_replaced_and_others_left_alone() {
        let mut db = Db::open_in_memory().unwrap();
        apply(&mut db, 0, &[FIRST], VIEW).unwrap();
        let changes = |db: &Db| {
            db.pragma_query_value(None, "schema_version", |row| row.get::<_, u32>(0))
                .unwrap()
        };
        let before = changes(&db);
        apply(&mut db, 1, &[FIRST], VIEW).unwrap();
        assert_eq!(changes(&db), before, "nothing to do");
        let view = "CREATE VIEW v AS SELECT x, x + 1 AS y FROM connection_group";
        apply(&mut db, 1, &[FIRST], view).unwrap();
        assert_eq!(texts(&db, "SELECT concat_ws(' ', x, y) FROM v"), ["7 8"]);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let mut db = Db::open_in_memory().unwrap();
        apply(&mut db, 0, &[FIRST], VIEW).unwrap();
        let broken = "DELETE FROM connection_group; INSERT INTO missing VALUES (1)";
        assert!(apply(&mut db, 1, &[FIRST, broken], VIEW).is_err());
        assert_eq!(texts(&db, "SELECT concat(x) FROM v"), ["7"]);
        let version = db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
        assert_eq!(version, Ok(1));
    }

    #[test]
    fn a_migration_may_rebuild_a_table_that_others_refer_to() {
        let mut db = Db::open_in_memory().unwrap();
        let first = "CREATE TABLE connection_group (id INTEGER PRIMARY KEY, name UNIQUE);
                     CREATE TABLE referring (id REFERENCES connection_group);
                     INSERT INTO connection_group VALUES (7, 'a'); INSERT INTO referring VALUES (7)";
        let rebuild = "CREATE TABLE rebuilt (id INTEGER PRIMARY KEY, name);
                       INSERT INTO rebuilt SELECT * FROM connection_group;
                       DROP TABLE connection_group;
                       ALTER TABLE rebuilt RENAME TO connection_group";
        apply(&mut db, 0, &[first], "").unwrap();
        apply(&mut db, 1, &[first, rebuild], "").unwrap();
        let broken = "SELECT concat(count(*)) FROM pragma_foreign_key_check";
        assert_eq!(texts(&db, broken), ["0"]);
        let orphan = "INSERT INTO referring VALUES (99)";
        assert!(
            db.execute(orphan, []).is_err(),
            "references are enforced again"
        );
    }
}
