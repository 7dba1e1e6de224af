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
    let killed_at = now();
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

/// Each time the history is whole, what was recorded before is there, nothing is left in the kernel,
/// and the next one starts. EGRETS_TEST_KILLS=200 kills as many recorders.
#[test]
fn a_recorder_that_is_killed_again_and_again_leaves_a_whole_history() {
    let kills = std::env::var("EGRETS_TEST_KILLS").map_or(4, |n| n.parse().unwrap());
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
    for n in 1..=kills {
        let recorder = Recorder::start(&db, &[]);
        let objects = KernelObjects::of(&recorder);
        eventually("more rows", || (count() > before + 20).then_some(()));
        // in any part of a commit, which comes each 100 ms
        thread::sleep(Duration::from_millis(37 * n % 101));
        recorder.kill();
        let rows = count();
        assert!(rows >= before, "{rows} after {before}");
        before = rows;
        assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
        eventually("all are gone", || objects.are_gone().then_some(()));
    }
    let ends = select(
        &db,
        "SELECT count(*) FROM recordings WHERE ended = 'killed'",
    );
    let ended = (kills - 1).to_string();
    assert_eq!(ends, [[ended]], "the last one has no successor");
    if kills > 4 {
        // what println prints of a test that passes is not shown
        eprintln!("{kills} killed, {before} rows");
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as i64
}
