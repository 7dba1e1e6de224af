//! `egrets export`: the rows of the views as files, also while the history grows.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use crate::support::*;
use tempfile::TempDir;

fn export(db: &Path, args: &[&str]) -> Output {
    let mut command = egrets();
    command.arg("export").arg("--db").arg(db).args(args);
    command.output().unwrap()
}

/// The rows that it writes to standard output.
fn exported(db: &Path, args: &[&str]) -> Vec<serde_json::Value> {
    let output = export(db, &[&["--output", "-"], args].concat());
    assert!(code(&output) <= 1, "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A copy of a history with a few connections and lookups of curl and dig, recorded once.
fn recorded() -> (TempDir, PathBuf) {
    static RECORDED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, original) = RECORDED.get_or_init(|| {
        let mut net = Net::new();
        net.dnsmasq(&[&format!("--address=/test/{FAR4}"), "--local=/nx/"]);
        let port = net.http("hello");
        let (dir, db) = history();
        let script = format!(
            "for n in 1 2 3; do curl -s4 http://web$n.test:{port}/; done
             dig +tries=1 @{FAR4} gone.nx other.test >/dev/null; :"
        );
        assert_eq!(code(&net.record(&db, &["sh", "-c", &script])), 0);
        (dir, db)
    });
    let (dir, db) = history();
    let copy = rusqlite::Connection::open(original).unwrap();
    let to = db.to_str().unwrap();
    copy.execute("VACUUM INTO ?1", [to]).unwrap();
    fs::set_permissions(&db, fs::Permissions::from_mode(0o600)).unwrap();
    (dir, db)
}

/// Adds `n` more connections like the first, a second apart.
fn multiply(db: &Path, n: usize) {
    let db = rusqlite::Connection::open(db).unwrap();
    db.execute_batch(&format!(
        "CREATE TEMP TABLE one AS SELECT * FROM connection ORDER BY id LIMIT 1;
             UPDATE one SET id = NULL;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})
             INSERT INTO connection SELECT one.* FROM one, n;
             UPDATE connection SET ts = ts + id * 1000000000;"
    ))
    .unwrap();
}

#[test]
fn rows_are_those_of_the_view_in_every_column() {
    let (dir, db) = recorded();
    for (view, columns) in [("egress", 50), ("dns", 25), ("lookups", 20)] {
        let rows = exported(&db, &["--what", view]);
        let n: i64 = value(&db, &format!("SELECT count(*) FROM {view}"));
        assert_eq!(rows.len() as i64, n, "{view}");
        assert!(n > 2, "{view}");
        // every column with its exact value
        let names = select(
            &db,
            &format!("SELECT name FROM pragma_table_info('{view}') WHERE name <> 'dst_addr'"),
        );
        assert!(names.len() >= columns, "{view} has {}", names.len());
        for name in names.iter().map(|name| name[0].as_str()) {
            let there = select(
                &db,
                &format!("SELECT json_array(\"{name}\") FROM {view} ORDER BY ts, id"),
            );
            for (row, there) in rows.iter().zip(there) {
                let there: serde_json::Value = serde_json::from_str(&there[0]).unwrap();
                assert_eq!(row[name], there[0], "{view}.{name}");
            }
        }
    }
    let csv = dir.path().join("e.csv");
    let output = export(&db, &["-o", csv.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let said = text(&output.stderr);
    let rows = exported(&db, &[]);
    assert!(
        said.starts_with(&format!("{} rows in 1 file, ", rows.len())),
        "{said}"
    );
    let written = fs::read_to_string(&csv).unwrap();
    assert!(written.starts_with("id,time,ts,pid,tid,comm,exe,cmdline,"));
    assert_eq!(written.lines().count(), rows.len() + 1);
    let mode = fs::metadata(&csv).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn question_and_span_select_the_rows() {
    let (_dir, db) = recorded();
    let hosts = |args: &[&str]| {
        let rows = exported(&db, args);
        let mut hosts = Vec::from_iter(rows.iter().map(|row| row["host"].clone()));
        hosts.dedup();
        hosts
    };
    assert_eq!(hosts(&["which processes hit web2.test"]), ["web2.test"]);
    assert_eq!(
        hosts(&["what", "did", "curl", "talk", "to", "on", "port", "9"]),
        [serde_json::Value::Null; 0]
    );
    assert_eq!(exported(&db, &["--until", "2001-01-01"]).len(), 0);
    assert_eq!(
        exported(&db, &["--since", "1h"]).len(),
        exported(&db, &[]).len()
    );
    let rows = exported(&db, &["which lookups failed"]);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["qname"] == "gone.nx"));
    let rows = exported(&db, &["--what", "lookups", "what did dig resolve"]);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["comm"] == "dig"));
    for (args, words) in [
        (&["top 3 hosts"][..], "ranks, groups or compares"),
        (&["connections per hour"], "ranks, groups or compares"),
        (&["new hosts since today"], "ranks, groups or compares"),
        (&["--what", "dns", "who hit x.test"], "about connections"),
        (
            &["--what", "egress", "what did dig resolve"],
            "about lookups",
        ),
        (&["--since", "now"], "ends before it begins"),
        (&["who hti x.test"], "did you mean: hit"),
    ] {
        let output = export(&db, &[&["-o", "-"], args].concat());
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(text(&output.stderr).contains(words), "{args:?}");
        assert!(output.stdout.is_empty());
    }
    // finding nothing is not an error, and CSV is then a header alone
    let output = export(&db, &["-o", "-", "--format", "csv", "who hit nowhere.test"]);
    assert_eq!(
        (code(&output), text(&output.stdout).lines().count()),
        (1, 1)
    );
}

#[test]
fn split_by_day_writes_the_rows_of_each_day() {
    let (dir, db) = recorded();
    multiply(&db, 200_000);
    let out = dir.path().join("days");
    let output = export(&db, &["--split", "day", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let mut total = 0;
    let mut files = 0;
    for entry in fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let day = name.strip_prefix("egress-").unwrap();
        for line in BufReader::new(fs::File::open(&path).unwrap()).lines() {
            let line = line.unwrap();
            assert!(line.contains(&format!("\"time\":\"{day}T")), "{line}");
            total += 1;
        }
        files += 1;
    }
    assert_eq!(
        total,
        value::<i64>(&db, "SELECT count(*) FROM egress"),
        "no row is lost or written twice"
    );
    assert!((3..=4).contains(&files), "{files}");
    // one day exists already: nothing is written
    let one = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    for entry in fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        if path != one {
            fs::remove_file(path).unwrap();
        }
    }
    let output = export(&db, &["--split", "day", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn existing_file_is_replaced_only_with_force_and_anything_else_never() {
    let (dir, db) = recorded();
    let path = dir.path().join("e.jsonl");
    let out = path.to_str().unwrap();
    fs::write(&path, "mine").unwrap();
    let output = export(&db, &["-o", out]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("--force"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(code(&export(&db, &["-o", out, "--force"])), 0);
    assert!(fs::read_to_string(&path).unwrap().starts_with("{\"id\":1,"));
    // a symbolic link is replaced, not its target
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    let before = fs::read(&path).unwrap();
    let to_link = ["-o", link.to_str().unwrap(), "--what", "dns", "--force"];
    assert_eq!(code(&export(&db, &to_link)), 0);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    for path in ["/dev/null", dir.path().to_str().unwrap()] {
        let output = export(&db, &["-o", path, "--force"]);
        assert_eq!(code(&output), 2, "{path}");
        assert!(
            text(&output.stderr).contains("is not a regular file"),
            "{path}"
        );
    }
    let left = fs::read_dir(dir.path()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with(".egrets-export")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn full_disk_and_signal_leave_no_files() {
    let (dir, db) = recorded();
    multiply(&db, 100_000);
    let mount = tempfile::tempdir().unwrap();
    let disk = mount.path().to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]);
    let output = export(&db, &["-o", &format!("{disk}/e.jsonl")]);
    let left = fs::read_dir(disk).unwrap().count();
    run("umount", &[disk]);
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    assert!(
        said.contains("e.jsonl can't be written") && said.contains("No space left"),
        "{said}"
    );
    assert_eq!(left, 0);

    let out = dir.path().join("signal");
    fs::create_dir(&out).unwrap();
    let mut command = egrets();
    command.arg("export").arg("--db").arg(&db);
    command.arg("-o").arg(out.join("e.jsonl"));
    let mut child = Guard(command.stderr(Stdio::piped()).spawn().unwrap());
    eventually("the export has begun", || {
        fs::read_dir(&out).unwrap().next()?.ok()
    });
    run("kill", &["-TERM", &child.0.id().to_string()]);
    assert_eq!(child.0.wait().unwrap().signal(), Some(15));
    let mut said = String::new();
    let mut stderr = child.0.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("stopped by a signal"), "{said}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

/// Also during a scan that finds no row for a long time.
#[test]
fn control_c_ends_a_long_scan_at_once() {
    let (dir, db) = recorded();
    multiply(&db, 1_000_000);
    let out = dir.path().join("interrupted");
    fs::create_dir(&out).unwrap();
    let file = out.join("e.jsonl").display().to_string();
    // none of them is open, which only single rows show: nothing is printed before the end
    let export = ["export", "--force", "-o", &file, "open connections"];
    let query = ["query", "--json", "open connections"];
    for command in [&export[..], &query] {
        let begun = || {
            let mut egrets = egrets();
            egrets.args(command).arg("--db").arg(&db);
            egrets.stdout(Stdio::piped()).stderr(Stdio::piped());
            Guard(egrets.spawn().unwrap())
        };
        let started = Instant::now();
        let all = begun().0.wait().unwrap();
        assert_eq!(all.code(), Some(1), "{command:?}");
        let whole = started.elapsed();
        let _ = fs::remove_file(&file);
        let mut child = begun();
        thread::sleep(whole / 4);
        let pressed = Instant::now();
        run("kill", &["-INT", &child.0.id().to_string()]);
        assert_eq!(child.0.wait().unwrap().signal(), Some(2), "{command:?}");
        let took = pressed.elapsed();
        assert!(took < whole / 2, "{command:?}: {took:?} of {whole:?}");
        let mut printed = String::new();
        let mut stdout = child.0.stdout.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        assert_eq!(printed, "");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn memory_does_not_grow_with_the_rows_and_a_closed_pipe_is_not_an_error() {
    let (_dir, db) = recorded();
    // its peak memory, in KiB, after this many rows were read
    let peak = |rows: usize| {
        let mut command = egrets();
        command.arg("export").arg("--db").arg(&db).args(["-o", "-"]);
        let mut child = Guard(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        for _ in 0..rows {
            lines.next().unwrap().unwrap();
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().trim_end_matches(" kB").parse::<i64>();
        drop(lines);
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        let mut said = String::new();
        let mut stderr = child.0.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
        peak.unwrap()
    };
    multiply(&db, 100_000);
    let (few, many) = (peak(5_000), peak(90_000));
    assert!(many < few + 2_048, "{few} KiB, then {many} KiB");
}

#[test]
fn export_of_a_growing_history_is_consistent() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    // Only traffic of the command is recorded.
    let mut command = net.command(env!("CARGO_BIN_EXE_egrets"));
    command.arg("record").arg("--db").arg(&db).arg("--");
    command.arg(dial()).args(["loop", FAR4, &port, "8000"]);
    let mut recorder = Guard(command.env_remove("SUDO_UID").spawn().unwrap());
    let count = || value::<i64>(&db, "SELECT count(*) FROM egress");
    eventually("a history", || db.exists().then_some(()));
    eventually("rows", || {
        let rows = export(&db, &["-o", "-"]);
        (rows.stdout.len() > 10_000).then_some(())
    });
    let mut sizes = Vec::new();
    while sizes.len() < 5 {
        let before = count();
        let rows = exported(&db, &[]);
        let mut ids = Vec::from_iter(rows.iter().map(|row| row["id"].as_i64().unwrap()));
        assert!((before..=count()).contains(&(ids.len() as i64)));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len());
        assert_eq!(ids.last(), Some(&(ids.len() as i64)), "none is left out");
        sizes.push(ids.len());
    }
    assert!(sizes[0] < 8_000, "it grew meanwhile: {sizes:?}");
    assert_eq!(recorder.0.wait().unwrap().code(), Some(0));
    assert_eq!(count(), 8_000);
}

#[test]
fn stalled_reader_holds_no_snapshot_and_misses_no_row() {
    let (_dir, db) = recorded();
    multiply(&db, 20_000);
    let writer = rusqlite::Connection::open(&db).unwrap();
    writer
        .execute_batch(
            "CREATE TEMP TABLE one AS SELECT * FROM answer
                 WHERE lookup_id = (SELECT min(lookup_id) FROM answer);
             INSERT INTO one SELECT lookup_id, n + 1, name_id, type, data, ttl FROM one;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO lookup (ts, group_id)
                 SELECT ts + i * 1000000000, group_id FROM lookup, n
                 WHERE id = (SELECT lookup_id FROM one);
             INSERT INTO answer SELECT l.id, n, name_id, type, data, ttl FROM lookup l, one
                 WHERE l.id NOT IN (SELECT lookup_id FROM answer);",
        )
        .unwrap();
    for view in ["egress", "dns"] {
        let ids = format!("SELECT id FROM {view} ORDER BY ts, id");
        let there = select(&db, &ids);
        let mut command = egrets();
        command.arg("export").arg("--db").arg(&db);
        command.args(["--what", view, "-o", "-"]);
        let mut child = Guard(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut exported = vec![id(&lines.next().unwrap().unwrap())];
        // The -wal can be truncated, which a reader of an older snapshot would prevent.
        writer
            .execute("UPDATE recording SET seen_ts = seen_ts + 1", [])
            .unwrap();
        eventually("the export closes its snapshot", || {
            let busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            (busy == Ok(0)).then_some(())
        });
        // Meanwhile, rows are added at both ends.
        for ts in ["1", "ts + 1000000000"] {
            writer
                .execute_batch(&format!(
                    "INSERT INTO lookup (ts, group_id)
                         SELECT {ts}, group_id FROM lookup ORDER BY ts DESC LIMIT 100;
                     INSERT INTO connection (ts, daily_id, tid)
                         SELECT {ts}, daily_id, tid FROM connection ORDER BY ts DESC LIMIT 100;"
                ))
                .unwrap();
        }
        exported.extend(lines.map(|line| id(&line.unwrap())));
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        let there = there.iter().map(|row| row[0].parse::<i64>().unwrap());
        assert!(
            there.eq(exported),
            "{view}: in order, each as often as there"
        );
    }
}

fn id(line: &str) -> i64 {
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    row["id"].as_i64().unwrap()
}

#[test]
fn export_needs_permission_to_read_the_history() {
    let (_dir, db) = recorded();
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_egrets"))
        .arg("export")
        .arg("--db")
        .arg(&db)
        .args(["-o", "-"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(output.stdout.is_empty());
}
