//! `egrets alert`, on a history that this process writes as a recorder does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use egrets::model::{Record, builders};
use serde_json::Value;

use crate::support::{Guard, code, egrets, eventually, text};
use crate::written::{connection, now, record};

fn alerts(child: &mut Child) -> Receiver<Value> {
    let (to, alerts) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = to.send(serde_json::from_str(&line).unwrap());
        }
    });
    alerts
}

#[test]
fn what_a_question_finds_is_reported_once_on_stdout_and_to_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    store.add(&Record::Opened(connection(1, "curl", "old.test", 100)));
    store.commit(now()).unwrap();
    let (program, copy) = (dir.path().join("program"), dir.path().join("copy"));
    fs::write(&program, format!("#!/bin/sh\ncat >> {}\n", copy.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = egrets();
    command
        .args([
            "alert",
            "--json",
            "--recorder",
            "--if",
            "lookups that failed",
            "--db",
        ])
        .args([db.as_os_str(), "--exec".as_ref(), program.as_os_str()])
        .args(["new", "hosts", "by", "curl"])
        .stdout(Stdio::piped());
    let mut child = Guard(command.spawn().unwrap());
    let alerts = alerts(&mut child.0);
    let mut lookup = builders::lookup("gone.test", "192.0.2.1");
    lookup.rcode = Some("NXDOMAIN".into());
    // what comes before it has started is none of its business
    let missing = eventually("the lookup is reported", || {
        assert!(child.0.try_wait().unwrap().is_none(), "it has ended");
        (lookup.number, lookup.ts) = (lookup.number + 1, now());
        store.add(&Record::Lookup(lookup.clone()));
        store.commit(now()).unwrap();
        alerts.try_iter().next()
    });
    for (number, comm, host) in [
        (2, "curl", "old.test"),
        (3, "wget", "other.test"),
        (4, "curl", "new\n.test"),
        (5, "curl", "new\n.test"),
    ] {
        store.add(&Record::Opened(connection(number, comm, host, 0)));
    }
    store.commit(now()).unwrap();
    let new = eventually("the new host is reported", || alerts.try_iter().next());
    thread::sleep(Duration::from_secs(5)); // for another look
    // a slow machine's recorder may be late
    let more = alerts
        .try_iter()
        .filter(|alert| alert["alert"] != "recorder");
    let more = Vec::from_iter(more);
    assert!(more.is_empty(), "{more:#?}");
    let of = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
    assert_eq!(of(&missing, "alert"), "lookups that failed");
    assert_eq!(of(&missing, "qname"), "gone.test");
    assert_eq!(of(&new, "alert"), "new hosts by curl");
    assert_eq!(of(&new, "event"), "alert");
    assert_eq!(of(&new, "host"), "new\n.test");
    assert_eq!(of(&new, "comm"), "curl");

    // the recorder ends
    store.finish(now()).unwrap();
    drop(store);
    eventually("the end is reported", || {
        alerts
            .try_iter()
            .find(|alert| alert["why"] == "no recorder runs")
    });
    eventually("the program gets all of them", || {
        let lines = fs::read_to_string(&copy).unwrap_or_default();
        let all = ["gone.test", "\"host\":\"new", "no recorder runs"];
        all.iter().all(|text| lines.contains(text)).then_some(())
    });
}

#[test]
fn a_condition_that_no_single_row_answers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _store) = record(dir.path());
    for (question, why) in [
        ("top 5 hosts", "ranks, groups or compares"),
        ("connections since yesterday", "leave out the time"),
        ("connections per process", "ranks, groups or compares"),
        ("blub blub blub", "blub"),
    ] {
        let output = egrets()
            .args(["alert", "--for", "1s", "--if", question, "--db"])
            .arg(&db)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{question}: {said}");
        assert!(said.contains(why), "{question}: {said}");
    }
    let relative = Command::new(egrets().get_program())
        .args(["alert", "--exec", "program", "curl", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert!(text(&relative.stderr).contains("whole path"));
}
