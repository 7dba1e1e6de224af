//! The commands that read a history, on one that was written without a recorder: neither
//! root nor BPF is needed, and a build without the feature `record` passes it too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
#[cfg(not(feature = "record"))]
use std::path::Path;
use std::path::PathBuf;
use std::process::{Command, Output};

use egrets::model::{Connection, Name, Outcome, Record, Source, builders};
use egrets::store::{Access, Recording, Store};
use tempfile::TempDir;

fn egrets(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egrets"))
        .args(args)
        .env_remove("EGRETS_DB")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a command that succeeds.
fn ok(args: &[&str]) -> String {
    let output = egrets(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The history of a curl that connected to www.example.com, and of one that was refused.
fn history() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("egrets.db");
    let start_ts = 1_795_442_400_000_000_000;
    let recording = Recording {
        start_ts,
        hook_set: "kprobe".to_owned(),
        hooks: String::new(),
    };
    let mut store = Store::open(&db, &Access::default(), &recording).unwrap();
    for (number, outcome) in [(1, Outcome::Connected), (2, Outcome::Refused)] {
        let ts = start_ts + number as i64;
        store.add(&Record::Opened(connection(number, ts, outcome)));
    }
    store.finish(start_ts + 1_000_000_000).unwrap();
    (dir, db)
}

fn connection(number: u64, ts: i64, outcome: Outcome) -> Connection {
    Connection {
        number,
        ts,
        name: Some(Name {
            host: "www.example.com".into(),
            source: Source::Process,
            age_ms: Some(5),
            lookup: None,
            rivals: 0,
            rival_names: Vec::new(),
        }),
        outcome,
        ..builders::connection("curl")
    }
}

#[test]
fn question_is_answered_from_the_file() {
    let (_dir, db) = history();
    let db = db.to_str().unwrap();
    let table = ok(&[
        "query",
        "--db",
        db,
        "which",
        "processes",
        "hit",
        "example.com",
    ]);
    let lines = Vec::from_iter(table.lines());
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("PROCESS  "), "{table}");
    assert!(lines[1].starts_with("curl  "), "{table}");
    let json = ok(&[
        "query",
        "--json",
        "--db",
        db,
        "which connections were refused",
    ]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&row["id"], &row["host"]),
        (&2.into(), &"www.example.com".into())
    );
    let nothing = egrets(&["query", "--db", db, "who hit elsewhere.test"]);
    assert_eq!(nothing.status.code(), Some(1));
}

#[test]
fn rows_are_exported_explained_and_counted() {
    let (_dir, db) = history();
    let db = db.to_str().unwrap();
    let csv = ok(&["export", "--db", db, "--format", "csv", "--output", "-"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let explained = ok(&["explain", "--db", db, "1"]);
    assert!(
        explained.contains("name         www.example.com\n"),
        "{explained}"
    );
    let status = ok(&["status", "--db", db]);
    assert!(status.contains("connections  2\n"), "{status}");
}

#[test]
fn history_is_reported_as_a_page_as_markdown_and_as_json() {
    let (dir, db) = history();
    let db = db.to_str().unwrap();
    let page = dir.path().join("report.html");
    let page = page.to_str().unwrap();
    ok(&["report", "--db", db, "-o", page]);
    let html = fs::read_to_string(page).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("www.example.com"));
    let mode = fs::metadata(page).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // neither an existing file nor what a link leads to is written to
    let link = dir.path().join("link.html");
    std::os::unix::fs::symlink(page, &link).unwrap();
    for output in [page, link.to_str().unwrap()] {
        let again = egrets(&["report", "--db", db, "-o", output, "--host", "example.org"]);
        assert_eq!(again.status.code(), Some(2));
        assert!(text(&again.stderr).contains("--force replaces it"));
    }
    ok(&[
        "report",
        "--db",
        db,
        "-o",
        link.to_str().unwrap(),
        "--force",
    ]);
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read_to_string(page).unwrap(), html);

    let markdown = ok(&["report", "--db", db, "--markdown"]);
    assert!(
        markdown.contains("| `curl` | `www.example.com:443` | 2 | 1 |"),
        "{markdown}"
    );
    let json = ok(&[
        "report",
        "--json",
        "--db",
        db,
        "which connections were refused",
    ]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["totals"]["connections"], &json["format"]),
        (&1.into(), &1.into())
    );

    // one that has not seen the host, and the history itself
    let (_other_dir, other) = history();
    let other = other.to_str().unwrap();
    let compared = ok(&["report", "--db", db, "--markdown", "--baseline", other]);
    assert!(
        compared.contains("No new hosts, compared with `"),
        "{compared}"
    );
    for refused in [
        &["report", "--db", db, "--markdown", "--baseline", db][..],
        &["report", "--db", db, "--markdown", "top 5 hosts"],
        &["report", "--db", db, "--markdown", "--host", "http://x"],
        &["report", "--db", "/no/such.db", "--markdown"],
    ] {
        let output = egrets(refused);
        assert_eq!(output.status.code(), Some(2), "{refused:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn names_of_the_history_complete_a_question() {
    let (_dir, db) = history();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrets"));
    command.args(["complete-words", "--shell", "zsh", "--", "query"]);
    command.args(["who", "hit", "ww"]).env("EGRETS_DB", &db);
    let output = command.output().unwrap();
    assert_eq!(text(&output.stdout), "www.example.com\thost\n");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(&["completions", shell]).contains("complete-words"));
    }
}

/// A policy beside the history.
fn policy(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn errors_of_a_policy_are_reported_at_once() {
    let (dir, _) = history();
    let file = policy(
        &dir,
        "policy.yaml",
        "version: 1\ndefualt: block\nrules:\n  - { to: [10.1.2.3/8], action: alow }\n",
    );
    for command in ["check", "explain", "replay"] {
        let output = egrets(
            &["policy", command, &file, "curl to example.com"]
                [..3 + usize::from(command == "explain")],
        );
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
        let errors = text(&output.stderr);
        for expected in [
            "1:1: default is missing",
            "2:1: a policy has no key \"defualt\"; did you mean default?",
            "4:12: \"10.1.2.3/8\" has bits beyond its prefix; is it 10.0.0.0/8?",
            "4:33: action can't be \"alow\"; did you mean allow?",
        ] {
            assert!(errors.contains(&format!("{file}:{expected}")), "{errors}");
        }
    }
}

#[test]
fn policy_is_checked_explained_and_put_to_the_history() {
    let (dir, db) = history();
    let db = db.to_str().unwrap();
    let file = policy(
        &dir,
        "policy.yaml",
        "version: 1\ndefault: allow\nrules:\n  - { name: no curl, who: { exe: /usr/bin/curl }, action: block }\n  - { name: web, to: [example.com], ports: [443], action: block }\n",
    );
    let checked = ok(&["policy", "check", &file]);
    assert!(
        checked.contains(":4:5: warning: a copy of the program"),
        "{checked}"
    );
    assert!(
        checked.contains("2 rules, default: allow, 1 warning"),
        "{checked}"
    );

    let explained = ok(&[
        "policy",
        "explain",
        &file,
        "/bin/nc to www.example.com:80 as root",
    ]);
    assert!(
        explained.starts_with("allow: by default: allow\n"),
        "{explained}"
    );
    assert!(
        explained.contains("no curl at line 4 (block): exe is /bin/nc, not /usr/bin/curl"),
        "{explained}"
    );
    assert!(
        explained.contains("web at line 5 (block): 80/tcp is not in ports: 443"),
        "{explained}"
    );
    let explained = ok(&[
        "policy",
        "explain",
        "--json",
        &file,
        "/usr/bin/curl to 192.0.2.7",
    ]);
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(
        (&explained["action"], &explained["line"]),
        (&"block".into(), &4.into())
    );

    let replayed = egrets(&["policy", "replay", &file, "--json", "--db", db]);
    assert_eq!(
        replayed.status.code(),
        Some(1),
        "{}",
        text(&replayed.stderr)
    );
    let replayed: serde_json::Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(
        (&replayed["connections"], &replayed["stopped"]),
        (&2.into(), &2.into())
    );
    assert_eq!(replayed["rules"][0]["by"], "web");
    let shown = egrets(&["policy", "replay", &file, "--db", db]);
    assert!(
        text(&shown.stdout).starts_with("would be stopped: 2 (100.00 %)"),
        "{}",
        text(&shown.stdout)
    );

    let learnt = dir.path().join("learnt.yaml");
    let learnt = learnt.to_str().unwrap();
    let output = egrets(&["policy", "learn", "--db", db, "--output", learnt]);
    assert!(
        text(&output.stderr).contains("it stops 0"),
        "{}",
        text(&output.stderr)
    );
    ok(&["policy", "replay", learnt, "--db", db]);
    let again = egrets(&["policy", "learn", "--db", db, "--output", learnt]);
    assert_eq!(again.status.code(), Some(2));
    let none = egrets(&["policy", "learn", "--db", db, "--container", "none"]);
    assert_eq!(none.status.code(), Some(1));

    let config = policy(&dir, "config.yaml", "allow:\n  - www.example.com\n");
    let imported = policy(&dir, "imported.yaml", &ok(&["policy", "import", &config]));
    assert!(ok(&["policy", "check", &imported]).contains("1 rule, default: alert"));
}

#[test]
fn policies_that_others_can_change_are_refused() {
    let (dir, _) = history();
    let file = policy(&dir, "policy.yaml", "version: 1\ndefault: allow\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let output = egrets(&["policy", "check", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("chmod go-w"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn every_command_has_a_man_page() {
    let dir = tempfile::tempdir().unwrap();
    ok(&["man-pages", dir.path().to_str().unwrap()]);
    let help = ok(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.split("\n\n").next().unwrap();
    let names = commands
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    for name in names.filter(|name| *name != "help") {
        let page = fs::read_to_string(dir.path().join(format!("egrets-{name}.1")));
        let page = page.unwrap();
        for section in [
            "OPTIONS",
            "EXAMPLES",
            "FILES",
            "ENVIRONMENT",
            "\"EXIT STATUS\"",
            "\"SEE ALSO\"",
        ] {
            assert!(
                page.contains(&format!(".SH {section}\n")),
                "{name}: {section}"
            );
        }
        assert!(!page.contains("EXTRA"), "{name}");
    }
    assert!(dir.path().join("egrets.1").exists());
    let nested = dir.path().join("egrets-policy-check.1");
    let nested = fs::read_to_string(nested).unwrap();
    assert!(nested.contains("egrets policy check"), "{nested}");
    let policy = fs::read_to_string(dir.path().join("egrets-policy.1")).unwrap();
    assert!(policy.contains("egrets\\-policy\\-check(1)"), "{policy}");
}

#[test]
fn a_command_that_is_none_lists_those_that_are() {
    let output = egrets(&["tpo"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.starts_with("egrets: there is no command 'tpo'; the commands are "),
        "{said}"
    );
    assert!(
        said.contains("query") && said.lines().count() == 1,
        "{said}"
    );
    assert!(ok(&["--help"]).contains("Examples:\n"));
}

#[test]
fn answers_are_limited_explained_and_asked_for_without_a_terminal() {
    let (_dir, db) = history();
    let db = db.to_str().unwrap();
    let rows = ok(&["query", "--db", db, "--json", "--limit", "1", "connections"]);
    assert_eq!(rows.lines().count(), 1, "{rows}");
    let output = egrets(&["query", "--db", db, "--explain", "who sent the most data"]);
    assert!(
        text(&output.stderr)
            .contains("note: read as: processes of connections, most bytes sent first")
    );
    let none = egrets(&["query", "--db", db]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("there is no question"));
    // a name of the history in the SQL, if there is a history
    let sql = ok(&["query", "--db", db, "--sql", "what did www talk to"]);
    assert!(sql.ends_with(";\n"), "{sql}");
    let span = ok(&[
        "query",
        "--db",
        db,
        "--json",
        "--until",
        "last night",
        "how many connections",
    ]);
    assert!(span.contains("\"number\":2"), "{span}");
}

#[test]
fn missing_history_is_an_error_that_names_it() {
    let output = egrets(&["query", "--db", "/no/such/egrets.db", "who hit a.test"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/no/such/egrets.db"));
    // the SQL of a question reads no file
    ok(&["query", "--db", "/no/such", "--sql", "who hit a.test"]);
}

#[cfg(not(feature = "record"))]
#[test]
fn reader_build_refuses_to_record_and_says_how_to_get_the_full_one() {
    for args in [
        &[][..],
        &["watch", "--json"],
        &["record", "--db", "x", "--", "true", "--help"],
        &["record", "--help"],
        &["check", "--verbose"],
    ] {
        let output = egrets(args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
        for part in ["only reads histories", "make build"] {
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
    assert!(!Path::new("x").exists());
}

#[cfg(not(feature = "parquet"))]
#[test]
fn build_without_parquet_says_how_to_get_it() {
    let (dir, db) = history();
    let dataset = dir.path().join("dataset");
    let [db, dataset] = [&db, &dataset].map(|path| path.to_str().unwrap());
    let output = egrets(&["export", "--format", "parquet", "-o", dataset, "--db", db]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--features parquet"), "{said}");
    // What reads a dataset needs no feature.
    let views = ok(&["export", "--ddl", "duckdb", "-o", "s3://bucket/egress"]);
    assert!(
        views.contains("'s3://bucket/egress/table=egress/*/*/*.parquet'"),
        "{views}"
    );
    assert!(
        ok(&["query", "--sql=duckdb", "which machines hit x.org"]).contains("GROUP BY machine")
    );
}
