//! The schema: what users of sqlite3 see in the file, and which files are accepted.

use std::path::Path;

use rusqlite::Connection as Db;

use super::super::{Access, Store, open_reader};
use super::support::{self, number, texts};

fn new_file(path: &Path) -> Db {
    support::open(path, 9_000_000_000)
        .finish(9_000_000_001)
        .unwrap();
    open_reader(path).unwrap()
}

#[test]
fn tables_are_strict_and_declare_their_foreign_keys() {
    let dir = tempfile::tempdir().unwrap();
    let db = new_file(&dir.path().join("e.db"));
    let ours = "schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'";
    let lax = format!("SELECT name FROM pragma_table_list WHERE {ours} AND strict = 0");
    assert_eq!(texts(&db, &lax), [""; 0]);
    let tables = format!("SELECT count(*) FROM pragma_table_list WHERE {ours}");
    assert!(number(&db, &tables) > 10);
    let loose = format!(
        "SELECT t.name || '.' || c.name FROM pragma_table_list t, pragma_table_info(t.name) c
         WHERE {} AND c.name LIKE '%\\_id' ESCAPE '\\'
           AND c.name NOT IN (SELECT \"from\" FROM pragma_foreign_key_list(t.name))
         ORDER BY 1",
        ours.replace("name", "t.name")
            .replace("type", "t.type")
            .replace("schema", "t.schema")
    );
    // External ids, and references to lookups, which retention may have removed.
    assert_eq!(
        texts(&db, &loose),
        [
            "connection.lookup_id",
            "container.container_id",
            "recording.boot_id",
            "rival.lookup_id"
        ]
    );
}

#[test]
fn every_view_and_column_has_a_comment_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let db = new_file(&dir.path().join("e.db"));
    let views = texts(&db, "SELECT name FROM sqlite_schema WHERE type = 'view'");
    assert!(views.len() >= 10, "{views:?}");
    for view in views {
        let sql = texts(
            &db,
            &format!("SELECT sql FROM sqlite_schema WHERE name = '{view}'"),
        );
        let (head, body) = sql[0].split_once('\n').unwrap();
        assert!(head.contains("AS -- "), "{view}: {head}");
        let commented: Vec<&str> = body
            .lines()
            .filter_map(|line| line.split_once(" -- "))
            .filter(|(_, comment)| comment.len() > 3)
            .filter_map(|(column, _)| {
                let column = column.trim().trim_end_matches(',');
                column.rsplit([' ', '.']).next()
            })
            .collect();
        let columns = texts(
            &db,
            &format!("SELECT name FROM pragma_table_info('{view}')"),
        );
        assert_eq!(commented, columns, "{view}");
    }
}

/// Makes a file that `change` was run on, and returns how a recorder and a reader refuse it.
fn refusals(change: &str) -> [String; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    drop(new_file(&path));
    let db = Db::open(&path).unwrap();
    db.execute_batch(&format!("PRAGMA journal_mode = DELETE; {change}"))
        .unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let writer = Store::open(&path, &Access::default(), &support::recording(1)).err();
    let reader = open_reader(&path).err();
    assert!(
        std::fs::read(&path).unwrap() == before,
        "the file was changed"
    );
    [writer, reader].map(|refused| refused.unwrap().to_string())
}

#[test]
fn files_of_development_versions_are_refused_unchanged() {
    // Their schemas were numbered 1 to 10, with the same application id.
    let renamed = "PRAGMA foreign_keys = OFF; DROP VIEW verdicts; DROP VIEW egress; DROP VIEW egress_total; DROP VIEW egress_daily;
        ALTER TABLE connection_group RENAME TO edge";
    for development in [
        format!("{renamed}; PRAGMA user_version = 1"),
        format!("{renamed}; PRAGMA user_version = 10"),
        "DROP VIEW recordings; ALTER TABLE recording DROP COLUMN ended".to_string(),
    ] {
        for refused in refusals(&development) {
            assert!(
                refused.contains("e.db was recorded by a development version of egrets")
                    && refused.contains("move it away, or name another file with --db"),
                "{refused}"
            );
        }
    }
}

#[test]
fn files_of_newer_versions_are_refused_unchanged() {
    for refused in refusals("PRAGMA user_version = 99") {
        assert!(
            refused.contains("newer egrets (schema 99, this one knows 1)"),
            "{refused}"
        );
    }
}

#[test]
fn a_recorder_restores_views_that_differ() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let views = "SELECT sql FROM sqlite_schema WHERE type = 'view' ORDER BY name";
    let expected = texts(&new_file(&path), views);
    let db = Db::open(&path).unwrap();
    db.execute_batch("DROP VIEW gaps; CREATE VIEW gaps AS SELECT 1 AS lost; DROP VIEW days")
        .unwrap();
    drop(db);
    assert_eq!(texts(&new_file(&path), views), expected);
}

#[test]
fn a_view_that_another_user_prepared_makes_no_huge_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    new_file(&path);
    let view = "DROP VIEW egress; CREATE VIEW egress AS SELECT zeroblob(900000000) AS host";
    Db::open(&path).unwrap().execute_batch(view).unwrap();
    let db = open_reader(&path).unwrap();
    let host = db.query_row("SELECT host FROM egress", [], |row| {
        row.get::<_, Vec<u8>>(0)
    });
    assert!(host.unwrap_err().to_string().contains("too big"));
}

#[test]
fn recordings_of_one_boot_share_a_boot_time_unless_the_clock_was_set() {
    const SECOND: i64 = 1_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let booted = |boot_ts| {
        let mut store = support::open(&path, 9_000_000_000);
        store.set_boot_ts(boot_ts).unwrap();
        let found = store.run().boot_ts;
        store.finish(9_000_000_001).unwrap();
        found
    };
    assert_eq!(booted(100 * SECOND), 100 * SECOND);
    assert_eq!(booted(101 * SECOND), 100 * SECOND, "the clock was slewed");
    assert_eq!(booted(500 * SECOND), 500 * SECOND, "the clock was set");
    assert_eq!(booted(499 * SECOND), 500 * SECOND);
    let other = "UPDATE recording SET boot_id = 'another'";
    Db::open(&path).unwrap().execute(other, []).unwrap();
    assert_eq!(booted(499 * SECOND), 499 * SECOND, "another boot");
}
