//! Forged answers: no user may name another user's connection, and a flood of forged answers
//! must be counted without filling the disk.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::support::*;

const SERVER: &str = "10.77.0.2:53";
/// The address that forged answers give.
const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 7);

fn record(net: &Net, db: &std::path::Path, script: &str) -> String {
    let output = net.observe(db, &["sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    text(&output.stdout)
}

/// An honest name server with a name for the victim's address.
fn victim() -> (Net, String) {
    let mut net = Net::new();
    net.many_addresses();
    net.dnsmasq(&[
        &format!("--listen-address={FAR4}"),
        &format!("--address=/honest.test/{VICTIM}"),
        &format!("--address=/other.test/{FAR4}"),
    ]);
    let port = net.farewell(false).to_string();
    (net, port)
}

#[test]
fn a_users_own_name_server_never_names_another_users_connections() {
    let (net, port) = victim();
    // the attacker's own name server, which resolves every name to the victim's address
    net.dns_at("10.77.1.66", |query| vec![addresses(query, &[VICTIM], 60)]);
    let (ask, dial) = (ask().display().to_string(), dial().display().to_string());
    let (_dir, db) = history();
    let lies = format!("{ask} connected 10.77.1.66:53 0 evil.test");
    let liar = format!("setpriv --reuid=12345 --regid=12345 --clear-groups {lies}");
    // root in its own user namespace is still that user
    let in_namespace =
        format!("setpriv --reuid=12345 --regid=12345 --clear-groups unshare -Ur {lies}");
    let honest = format!("{ask} connected {SERVER} {port} honest.test");
    let raw = format!("{dial} tcp {VICTIM} {port}");
    let rounds: String = [&liar, &in_namespace]
        .map(|lie| format!("{lie} || exit; {raw} || exit; {honest} && {lie} || exit; "))
        .concat()
        .repeat(3);
    let said = record(&net, &db, &format!("{rounds} {honest}"));
    assert_eq!(
        value::<i64>(
            &db,
            "SELECT count(*) FROM dns WHERE qname = 'evil.test' AND status = 'answered'"
        ),
        12
    );
    let mut rate = Rate::new("a user's own name server lies about an address");
    rate.compare(&db, &said);
    // a process without a lookup gets the name that root resolved, or none: never the forged one
    let sql = format!(
        "SELECT coalesce(host, 'none') FROM egress WHERE comm = 'dial' AND dst_port = {port} ORDER BY id"
    );
    let raw = select(&db, &sql).concat();
    assert_eq!(raw.len(), 6);
    rate.count(&raw[0], "none");
    for name in &raw[1..] {
        rate.count(name, "honest.test");
    }
    rate.verdict();
}

#[test]
fn forged_answers_from_other_servers_or_for_other_queries_name_nothing() {
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false).to_string();
    let socket = net.far(|| UdpSocket::bind((FAR4, 53)).unwrap());
    let elsewhere =
        net.far(|| ["10.77.1.53:53", "10.77.0.2:5300"].map(|a| UdpSocket::bind(a).unwrap()));
    std::thread::spawn(move || {
        let mut data = [0; 4096];
        let truth = [FAR4.parse().unwrap()];
        while let Ok((length, from)) = socket.recv_from(&mut data) {
            let query = &data[..length];
            let lie = addresses(query, &[VICTIM], 60);
            let mut wrong_id = lie.clone();
            wrong_id[0] ^= 0x55;
            let mut wrong_question = lie.clone();
            wrong_question[13] ^= 1; // the first letter of the name
            let mut no_answer = lie.clone();
            no_answer[2] &= 0x7f; // the header of a query
            for other in &elsewhere {
                let _ = other.send_to(&lie, from);
            }
            let right = addresses(query, &truth, 60);
            for message in [
                wrong_id,
                wrong_question,
                no_answer,
                right.clone(),
                right,
                lie,
            ] {
                let _ = socket.send_to(&message, from);
            }
        }
    });
    let (_dir, db) = history();
    let (ask, dial) = (ask().display().to_string(), dial().display().to_string());
    let script = format!(
        "{ask} connected {SERVER} {port} a.test b.test a.test && {dial} tcp {VICTIM} {port}"
    );
    let said = record(&net, &db, &script);
    let mut rate = Rate::new("forged: another server, id, question; late, twice");
    rate.compare(&db, &said);
    let sql = format!("SELECT coalesce(host, 'none') FROM egress WHERE dst_ip = '{VICTIM}'");
    for row in select(&db, &sql) {
        rate.count(&row[0], "none");
    }
    rate.verdict();
    let sql = "SELECT count(*) FROM dns WHERE status = 'answered' AND data = '10.77.1.7'";
    assert_eq!(value::<i64>(&db, sql), 0);
    let sql = "SELECT count(*) FROM dns WHERE status = 'unsolicited' AND data = '10.77.1.7'";
    assert!(value::<i64>(&db, sql) >= 6, "the forged ones are shown");
}

#[test]
fn late_answer_never_names_a_connection_wrongly() {
    let net = Net::new();
    let port = net.farewell(false).to_string();
    net.dns(|query| {
        std::thread::sleep(Duration::from_secs(11));
        vec![addresses(query, &[FAR4.parse().unwrap()], 60)]
    });
    let (_dir, db) = history();
    let ask = ask().display().to_string();
    let said = record(
        &net,
        &db,
        &format!("{ask} connected {SERVER} {port} slow.test"),
    );
    let mut rate = Rate::new("an answer after 11 s");
    rate.compare(&db, &said);
    rate.verdict_some_missing();
}

#[test]
fn flood_of_forged_answers_changes_no_name_and_is_counted() {
    const PAUSE: Duration = Duration::from_millis(1500);
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false).to_string();
    let near = ["netns", "exec", &net.near, "nft"];
    for rule in [
        "add table inet count",
        "add chain inet count in { type filter hook input priority 0; }",
        "add counter inet count from53",
        "add rule inet count in udp sport 53 counter name from53",
    ] {
        run("ip", &[&near[..], &[rule]].concat());
    }
    let flood = volume(100_000);
    let socket = net.far(|| UdpSocket::bind((FAR4, 53)).unwrap());
    std::thread::spawn(move || {
        let mut data = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut data) {
            let query = data[..length].to_vec();
            let begun = std::time::Instant::now();
            let mut lie = addresses(&query, &[VICTIM], 60);
            for i in 0..flood {
                // every id except the right one, and 0, which the client accepts too
                let id = (i % 65_534 + 1) as u16;
                lie[..2].copy_from_slice(&id.to_be_bytes());
                if lie[..2] != query[..2] {
                    let _ = socket.send_to(&lie, from);
                }
            }
            // DNS is limited per socket and second; and where this took long, the recorder has
            // not read all of it yet. The client waits 20 s.
            let pause = (begun.elapsed() / 2).clamp(PAUSE, 10 * PAUSE);
            std::thread::sleep(pause);
            let _ = socket.send_to(&addresses(&query, &[FAR4.parse().unwrap()], 60), from);
        }
    });
    let (_dir, db) = history();
    let (ask, dial) = (ask().display().to_string(), dial().display().to_string());
    let script = format!("{ask} connected {SERVER} {port} real.test && {dial} tcp {VICTIM} {port}");
    // every message is counted, so this needs a recorder that sees nothing else
    let output = net.record(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let mut rate = Rate::new("100,000 forged answers");
    rate.compare(&db, &said);
    let sql = format!("SELECT coalesce(host, 'none') FROM egress WHERE dst_ip = '{VICTIM}'");
    rate.count(&select(&db, &sql)[0][0], "none");
    rate.verdict();

    let counters = run(
        "ip",
        &[&near[..], &["list", "counter", "inet", "count", "from53"]].concat(),
    );
    let arrived = counters.split("packets ").nth(1).unwrap();
    let arrived: i64 = arrived.split(' ').next().unwrap().parse().unwrap();
    assert!(arrived > flood as i64 / 2, "{arrived} of {flood} arrived");
    let stored: i64 = value(
        &db,
        "SELECT coalesce(sum(times), 0) FROM (SELECT DISTINCT id, times FROM dns)",
    );
    let lost: i64 = value(
        &db,
        "SELECT coalesce(sum(lost), 0) FROM gaps WHERE kind IN ('dns', 'dns_budget')",
    );
    assert_eq!(stored + lost, arrived, "all that arrived is stored or lost");
    let rows: i64 = value(&db, "SELECT count(*) FROM dns");
    assert!(rows < 200, "{rows} rows for {arrived} messages");
}
