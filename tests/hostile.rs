//! Questions and names that are out to break something: their size, their quotes, SQL and
//! control characters in them, and bytes that are no text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Output;

use crate::support::*;

/// Names that networks and programs can have.
const NAMES: [&str; 8] = [
    "it's",
    "'; DROP TABLE connection; --",
    "\" OR 1=1 --",
    "%",
    "_",
    "a\\'b",
    "\u{1b}]0;title\u{7}\u{1b}[2J",
    "\u{202e}gpj.exe",
];

fn asked(command: &str, db: &Path, args: &[&OsStr]) -> Output {
    let mut egrets = egrets();
    egrets.arg(command).arg("--db").arg(db).args(args);
    egrets.output().unwrap()
}

fn query(db: &Path, args: &[&str]) -> Output {
    asked("query", db, &Vec::from_iter(args.iter().map(OsStr::new)))
}

/// A history with a connection to each of these, of a process called so.
fn named() -> (tempfile::TempDir, std::path::PathBuf) {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let dial = dial().display().to_string();
    let script = NAMES
        .map(|_| format!("{dial} tcp {FAR4} {port}"))
        .join("; ");
    assert_eq!(code(&net.record(&db, &["sh", "-c", &script])), 0);
    let history = rusqlite::Connection::open(&db).unwrap();
    for (id, name) in (1..).zip(NAMES) {
        let all = format!(
            "INSERT INTO host (name) VALUES (lower(?1));
             UPDATE connection_group SET host_id = last_insert_rowid()
                 WHERE process_id = (SELECT process_id FROM egress WHERE id = {id});
             UPDATE process SET comm = substr(?1, 1, 15), exe = NULL
                 WHERE id = (SELECT process_id FROM egress WHERE id = {id});"
        );
        for sql in all
            .split_inclusive(';')
            .filter(|sql| !sql.trim().is_empty())
        {
            let mut statement = history.prepare(sql).unwrap();
            let parameters = statement.parameter_count();
            let params = &[name][..parameters];
            statement
                .execute(rusqlite::params_from_iter(params))
                .unwrap();
        }
    }
    (dir, db)
}

#[test]
fn a_hostile_name_is_found_by_itself_alone_and_drives_no_terminal() {
    let (_dir, db) = named();
    for name in NAMES {
        let quoted = format!("'{}'", name.replace('\'', "''"));
        for question in [
            format!("what did {quoted} talk to"),
            format!("which connections to {quoted}"),
            format!("new hosts contacted by {quoted} today"),
            format!("connections per hour to {quoted}"),
        ] {
            let json = query(&db, &["--json", &question]);
            let (rows, said) = (text(&json.stdout), text(&json.stderr));
            assert_eq!(
                (code(&json), rows.lines().count()),
                (0, 1),
                "{question}: {said}"
            );
            let row: serde_json::Value = serde_json::from_str(&rows).unwrap();
            assert_eq!(row["connections"].as_i64().unwrap_or(1), 1, "{question}");
            // the SQL runs as it is, in Debian's sqlite3, and finds the same
            let sql = query(&db, &["--sql", &question]);
            let sql = text(&sql.stdout);
            assert!(sql.chars().all(|c| c == '\n' || !c.is_control()), "{sql:?}");
            assert_eq!(sqlite3(&db, &sql).len(), 1, "{question}: {sql}");
            for shown in [query(&db, &[&question]), query(&db, &["--csv", &question])] {
                let shown = text(&shown.stdout) + &text(&shown.stderr);
                let dangerous =
                    |c: char| (c.is_control() && !"\r\n".contains(c)) || c == '\u{202e}';
                assert!(!shown.chars().any(dangerous), "{shown:?}");
            }
        }
        // not in quotes it may be refused, and harms nothing
        assert!(code(&query(&db, &[&format!("who hit {name}")])) <= 2);
    }
    let rows: i64 = value(&db, "SELECT count(*) FROM egress");
    assert_eq!(rows, NAMES.len() as i64);
    let check: String = value(&db, "PRAGMA integrity_check");
    assert_eq!(check, "ok");
}

#[test]
fn questions_beyond_all_measure_are_refused_and_not_shown() {
    let (_dir, db) = history();
    ok(egrets().args(["record", "--for", "100ms", "--db"]).arg(&db));
    for question in [
        "who hit ".to_owned() + &"x".repeat(10_000),
        "who hit x.org ".repeat(1000),
        "'".repeat(10_000),
        "\u{1b}[2J".repeat(3000),
        "é".repeat(60_000),
    ] {
        for command in ["query", "export"] {
            let mut egrets = egrets();
            egrets.arg(command).arg("--db").arg(&db).arg(&question);
            if command == "export" {
                egrets.args(["--output", "-"]);
            }
            let output = egrets.output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(code(&output), 2, "{said}");
            assert!(output.stdout.is_empty());
            assert!(
                said.contains("the limit is 1000") && said.len() < 2000,
                "{said}"
            );
        }
    }
    // as long as it may be
    let long = format!("who hit {}", "x".repeat(992));
    assert_eq!(code(&query(&db, &[&long])), 1);
}

#[test]
fn bytes_that_are_no_text_are_refused_where_text_is_wanted() {
    let (dir, db) = history();
    ok(egrets().args(["record", "--for", "100ms", "--db"]).arg(&db));
    let bytes = OsStr::from_bytes(b"who hit \xff\xfe\x1b[2J");
    for args in [
        vec![bytes],
        vec![OsStr::new("who hit x.org"), OsStr::new("--since"), bytes],
    ] {
        let output = asked("query", &db, &args);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{said}");
        assert!(
            said.contains("invalid UTF-8") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
    // a path may be any bytes
    let path = dir.path().join(OsStr::from_bytes(b"\xff\xfe.jsonl"));
    let output = asked(
        "export",
        &db,
        &[
            "-o".as_ref(),
            path.as_os_str(),
            "--until=2001-01-01".as_ref(),
        ],
    );
    assert_eq!(code(&output), 1, "no rows: {}", text(&output.stderr));
    assert!(path.exists());
    let missing = dir.path().join(OsStr::from_bytes(b"\xff\xfe.db"));
    let output = asked("query", &missing, &[OsStr::new("who hit x.org")]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("there is no history at"));
    // a key that was pressed gets no answer, and no error
    let mut words = egrets();
    words
        .args(["complete-words", "--shell", "zsh", "--", "query"])
        .arg(bytes);
    assert_eq!(ok(&mut words), "");
}
