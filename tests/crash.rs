//! kill -9 during a recording. A topic of its own, so that no other test affects the time that is
//! asserted.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::*;

#[test]
fn a_killed_recorder_loses_at_most_250_ms_and_the_history_shows_it() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // Prints the time of each connection before connecting.
    let load = net
        .command(dial())
        .args(["drip", FAR4, &port])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let count = || value::<i64>(&db, "SELECT count(*) FROM egress");
    eventually("some rows", || (count() > 100).then_some(()));
    thread::sleep(Duration::from_millis(700));
    let killed_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i64;
    recorder.kill();
    run("kill", &[&load.id().to_string()]);
    let dialled = load.wait_with_output().unwrap();

    let promised = text(&dialled.stdout)
        .lines()
        .filter_map(|line| line.parse::<i64>().ok())
        .filter(|ts| *ts <= killed_at - 250_000_000)
        .count() as i64;
    assert!(promised > 100, "{promised}");
    let stored: i64 = value(
        &db,
        &format!("SELECT count(*) FROM egress WHERE dst_port = {port}"),
    );
    assert!(stored >= promised, "{stored} of {promised}");
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
    assert_eq!(value::<i64>(&db, "SELECT clean FROM recordings"), 0);
    let rows = count();

    ok(egrets().args(["record", "--for", "200ms", "--db"]).arg(&db));
    let runs = select(
        &db,
        "SELECT clean, end_ts IS NULL FROM recordings ORDER BY id",
    );
    assert_eq!(runs, [["0", "1"], ["1", "0"]]);
    assert!(count() >= rows);
    let gap = select(&db, "SELECT kind, why FROM gaps WHERE kind = 'recording'");
    assert_eq!(
        gap,
        [[
            "recording",
            "not recording: the recorder before did not end cleanly"
        ]]
    );
}

/// Each time the history is whole, and what was recorded before is there.
#[test]
fn a_recorder_that_is_killed_again_and_again_leaves_a_whole_history() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let _load = Guard(
        net.command(dial())
            .args(["drip", FAR4, &port])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let count = || value::<i64>(&db, "SELECT count(*) FROM egress");
    let mut before = 0;
    for n in 1..=4 {
        let recorder = Recorder::start(&db, &[]);
        eventually("more rows", || (count() > before + 20).then_some(()));
        thread::sleep(Duration::from_millis(37 * n));
        recorder.kill();
        let rows = count();
        assert!(rows >= before, "{rows} after {before}");
        before = rows;
        assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
    }
    let ends = select(
        &db,
        "SELECT count(*) FROM recordings WHERE ended = 'killed'",
    );
    assert_eq!(ends, [["3"]], "the last one has no successor");
}
