//! Loss is counted exactly. A topic of its own, which runs alone: the BPF programs count the losses
//! of all processes.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::*;

/// Nor do its tests run beside each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn captured_and_lost_events_add_up() {
    let _alone = alone();
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &["--ring-size", "64K"]);
    // A recorder that does not read: the ring fills up and the kernel side counts.
    recorder.signal("STOP");
    let all = volume(2000).max(600); // the ring holds some 300
    ok(net
        .command(dial())
        .args(["loop", FAR4, &port, &all.to_string()]));
    recorder.signal("CONT");
    assert_eq!(recorder.stop(), 0);
    let captured: i64 = value(
        &db,
        &format!(
            "SELECT count(*) FROM egress WHERE netns = {}",
            net.near_inode()
        ),
    );
    let lost: i64 = value(
        &db,
        "SELECT COALESCE(sum(lost), 0) FROM gaps WHERE kind = 'connect'",
    );
    assert!(captured > 0 && lost > 0, "{captured} captured, {lost} lost");
    assert_eq!(captured + lost, all as i64);
}

/// Stopped for longer than its buffer lasts, it goes on; what happened meanwhile is in the history
/// or counted as lost.
#[test]
fn a_recorder_that_is_stopped_for_a_while_goes_on_and_counts_what_it_lost() {
    let _alone = alone();
    // CI has no time for the half minute
    let stopped = std::env::var("EGRETS_TEST_STOPPED").map_or(5, |n| n.parse().unwrap());
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let recorder = Recorder::start(&db, &["--ring-size", "256K"]);
    let count = |sql: &str| value::<i64>(&db, sql);
    const ALL: &str = "SELECT count(*) FROM egress";
    let said = dir.path().join("said");
    let mut load = net
        .command(dial())
        .args(["drip", FAR4, &port])
        .stdout(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    eventually("some rows", || (count(ALL) > 50).then_some(()));
    recorder.signal("STOP");
    let from = wall_clock();
    thread::sleep(Duration::from_secs(stopped));
    let to = wall_clock();
    recorder.signal("CONT");
    let seen = "SELECT count(*) FROM egress WHERE ts > ";
    eventually("it goes on", || {
        (count(&format!("{seen}{to}")) > 50).then_some(())
    });
    load.kill().unwrap();
    load.wait().unwrap();
    let begun = fs::read_to_string(said).unwrap().lines().count() as i64;
    assert_eq!(recorder.stop(), 0);

    let own = format!("netns = {}", net.near_inode());
    let captured = count(&format!("{ALL} WHERE {own}"));
    let lost = count("SELECT coalesce(sum(lost), 0) FROM gaps WHERE kind = 'connect'");
    assert!(lost > 0, "{captured} of {begun} captured");
    // the client may have been killed between a line and its connection
    assert!(
        (begun - 1..=begun).contains(&(captured + lost)),
        "{captured} + {lost} of {begun}"
    );
    let gap = format!("kind = 'connect' AND from_ts <= {to} AND to_ts >= {from}");
    assert_eq!(
        count(&format!("SELECT sum(lost) FROM gaps WHERE {gap}")),
        lost
    );
    let meanwhile = count(&format!("{seen}{from} AND ts < {to}"));
    assert!(meanwhile > 0, "what the buffer held is there");
    let ends = select(&db, "SELECT ended, clean FROM recordings");
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0][1], "1", "{ends:?}");
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
}

/// Nanoseconds since 1970.
fn wall_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as i64
}
