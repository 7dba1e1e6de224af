//! Loss is counted exactly. A topic of its own, which runs alone: the BPF programs count the losses
//! of all processes.

use crate::support::*;

#[test]
fn captured_and_lost_events_add_up() {
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
