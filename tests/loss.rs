//! Loss is counted exactly. On its own in this file, and so on its own on the
//! machine: the kernel side counts what anybody loses.

mod common;

use common::*;

/// Connections that the TCP of a namespace began, RFC 1213's tcpActiveOpens.
fn active_opens(ns: Option<&str>) -> i64 {
    let mut command = match ns {
        Some(ns) => {
            let mut command = std::process::Command::new("ip");
            command.args(["netns", "exec", ns, "cat"]);
            command
        }
        None => std::process::Command::new("cat"),
    };
    let snmp = ok(command.arg("/proc/net/snmp"));
    let tcp: Vec<Vec<&str>> = snmp
        .lines()
        .filter(|l| l.starts_with("Tcp:"))
        .map(|l| l.split(' ').collect())
        .collect();
    let column = tcp[0].iter().position(|c| *c == "ActiveOpens").unwrap();
    tcp[1][column].parse().unwrap()
}

#[test]
fn captured_and_lost_are_together_what_happened() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let opens =
        || active_opens(Some(&net.near)) + active_opens(Some(&net.far)) + active_opens(None);
    let before = opens();
    let recorder = Recorder::start(&db, &["--ring-size", "64K"]);
    // A recorder that does not read: the ring fills up and the kernel side counts.
    recorder.signal("STOP");
    ok(net.command(dial()).args(["loop", FAR4, &port, "2000"]));
    recorder.signal("CONT");
    assert_eq!(recorder.stop(), 0);
    let happened = opens() - before;
    assert!(happened >= 2000, "{happened}");
    let captured: i64 = value(&db, "SELECT count(*) FROM egress WHERE protocol = 'tcp'");
    let lost: i64 = value(
        &db,
        "SELECT COALESCE(sum(lost), 0) FROM gaps WHERE kind = 'connect'",
    );
    assert!(captured > 0 && lost > 0, "{captured} captured, {lost} lost");
    assert_eq!(captured + lost, happened);
}
