//! The tables of the kinds of questions.

use super::super::fixture::{AnswerRow, By, CURL, History, NOW, SECOND, request};
use super::*;

fn table(question: &str) -> (String, String) {
    history().ask(question, OutputFormat::Table, None)
}

#[test]
fn which_processes_hit_a_name() {
    let (out, notes) = table("which processes hit example.com");
    assert_eq!(
        out,
        "\
PROCESS                PID  USER   CONTAINER     HOST             CONNS  FAILED     SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
it's \"x\",\\n\\x1b[2J     900  101    123456789abc  a%_.example.com      1       0    700 B   5.2 KiB  11-23 13:59:55    11-23 13:59:55
curl                2 pids  alice  -             2 hosts              3       1  1.4 KiB  10.4 KiB  11-23 13:58:59    11-23 13:59:30
nginx                  900  101    web-1         api.example.com      1       0    700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
    );
    assert_eq!(notes, "\n4 processes, 5 connections\n");
}

#[test]
fn which_containers_hit_a_name() {
    let (out, notes) = table("which containers talked to example.com?");
    assert_eq!(
        out,
        "\
CONTAINER     IMAGE       PROCESS             HOST             CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
123456789abc  nginx:1.29  it's \"x\",\\n\\x1b[2J  a%_.example.com      1       0  700 B   5.2 KiB  11-23 13:59:55    11-23 13:59:55
web-1         nginx:1.29  nginx               api.example.com      1       0  700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
    );
    assert_eq!(notes, "\n2 containers, 2 connections\n");
}

#[test]
fn which_users_hit_a_network() {
    let (out, notes) = table("which users reached 192.0.2.0/24");
    assert_eq!(
        out,
        "\
USER   PROCESS     HOST     CONNS  FAILED     SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
101    2 programs  2 hosts      2       0  1.4 KiB  10.4 KiB  11-23 13:30:00    11-23 13:59:55
alice  curl        2 hosts      2       0  1.4 KiB  10.4 KiB  11-23 13:59:00    11-23 13:59:30
"
    );
    assert_eq!(notes, "\n2 users, 4 connections\n");
}

#[test]
fn what_a_container_talked_to() {
    let (out, notes) = table("what did container web-1 talk to");
    assert_eq!(
        out,
        "\
HOST             ADDRESS    PORT     CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
-                10.0.0.9   443/tcp      1       1      -         -  11-23 13:31:40    11-23 13:31:40
api.example.com  192.0.2.7  443/tcp      1       0  700 B   5.2 KiB  11-23 13:30:00    11-23 13:30:00
"
    );
    assert_eq!(notes, "\n2 destinations, 2 connections\n");
}

#[test]
fn when_a_process_hit_a_name() {
    let (out, notes) = table("when did curl hit example.com");
    assert_eq!(
        out,
        "\
TIME (UTC)          PROCESS   PID  HOST             DESTINATION        PROTOCOL  OUTCOME     SENT  RECEIVED  DURATION  ID
11-23 13:58:59.000  curl     4242  api.example.com  [2001:db8::7]:443  tcp       refused        -         -         -   2
11-23 13:59:00.000  curl     4242  api.example.com  192.0.2.7:443      tcp       connected  700 B   5.2 KiB   125.3ms   1
11-23 13:59:30.000  curl     4300  example.com      192.0.2.8:443      tcp       connected  700 B   5.2 KiB   125.3ms   3
"
    );
    assert_eq!(notes, "\n3 connections\n");
}

#[test]
fn which_processes_hit_raw_addresses() {
    let history = history();
    // DNS servers and multicast groups are never contacted by name
    history.connect_to(CURL, None, ("192.0.2.53", 53), "connected", 1);
    history.connect_to(CURL, None, ("192.0.2.53", 853), "connected", 1);
    history.connect_to(CURL, None, ("224.0.0.251", 8000), "connected", 1);
    history.connect_to(CURL, None, ("127.0.0.1", 8000), "connected", 1);
    let (out, notes) = history.ask(
        "which processes connected to raw IPs",
        OutputFormat::Table,
        None,
    );
    assert_eq!(
        out,
        "\
PROCESS   PID  USER   CONTAINER  HOST       CONNS  FAILED   SENT  RECEIVED  FIRST SEEN (UTC)  LAST SEEN
curl     4242  alice  -          127.0.0.1      1       0  700 B   5.2 KiB  11-23 13:59:59    11-23 13:59:59
nginx     900  101    web-1      10.0.0.9       1       1      -         -  11-23 13:31:40    11-23 13:31:40
"
    );
    assert_eq!(notes, "\n2 processes, 2 connections\n");
    let (out, _) = history.ask("which containers hit raw IPs", OutputFormat::Csv, None);
    assert_eq!(out.lines().count(), 2, "{out}");
    let (out, _) = history.ask("when did curl hit raw IPs", OutputFormat::Csv, None);
    assert_eq!(out.lines().count(), 2, "{out}");
}

/// Lookups with every outcome, one to a few minutes before now.
fn lookups() -> History {
    let history = history();
    let ok = Some("NOERROR");
    let look_up = |by, question, rcode, records: &[AnswerRow], ago| {
        history.look_up(by, question, rcode, records, ago);
    };
    let a = |name, data| (name, "A", data, 60);
    // contacted
    look_up(
        NGINX,
        ("example.com", "A"),
        ok,
        &[a("example.com", "192.0.2.8")],
        60,
    );
    // never contacted: by two programs, with two addresses behind an alias; by a hint alone
    let alias = ("cdn.test", "CNAME", "x.cdn.test", 60);
    look_up(
        CURL,
        ("cdn.test", "A"),
        ok,
        &[alias, a("x.cdn.test", "192.0.2.1")],
        120,
    );
    look_up(
        NGINX,
        ("cdn.test", "A"),
        ok,
        &[alias, a("x.cdn.test", "192.0.2.2")],
        90,
    );
    let hint = "1 . alpn=h2 ipv4hint=192.0.2.3";
    look_up(
        CURL,
        ("hint.test", "HTTPS"),
        ok,
        &[("hint.test", "HTTPS", hint, 60)],
        70,
    );
    // no address: no record of the type, an alias to nothing, a service, an error
    look_up(CURL, ("none.test", "AAAA"), ok, &[], 50);
    look_up(
        CURL,
        ("lost.test", "A"),
        ok,
        &[("lost.test", "CNAME", "gone.test", 60)],
        50,
    );
    look_up(
        CURL,
        ("_x._https.a.test", "HTTPS"),
        ok,
        &[("_x._https.a.test", "HTTPS", hint, 60)],
        50,
    );
    look_up(CURL, ("nx.test", "A"), Some("NXDOMAIN"), &[], 40);
    look_up(CURL, ("nx.test", "A"), Some("NXDOMAIN"), &[], 39);
    look_up(
        NGINX,
        ("evil\x1b.test", "PTR"),
        Some("SERVFAIL"),
        &[a("a", "192.0.2.9"), a("b", "192.0.2.9")],
        38,
    );
    look_up(CURL, ("nx.test", "A"), None, &[], 30);
    history
}

#[test]
fn which_names_were_resolved_but_never_contacted() {
    let question = "which names were resolved but never contacted";
    let (out, notes) = lookups().ask(question, OutputFormat::Table, None);
    assert_eq!(
        out,
        "\
NAME       QUERIED BY     PID  CONTAINER  LOOKUPS  ADDRESS      FIRST SEEN (UTC)  LAST SEEN
hint.test  curl          4242  -                1  -            11-23 13:58:50    11-23 13:58:50
cdn.test   2 programs  2 pids  2 places         2  2 addresses  11-23 13:58:00    11-23 13:58:30
"
    );
    assert_eq!(notes, "\n2 names, 3 lookups\n");
    let (out, _) = lookups().ask(question, OutputFormat::Json, Some(NOW - 25 * SECOND));
    assert_eq!(out, "");
}

#[test]
fn contacts_outside_of_the_span_do_not_count() {
    let question = "which names were resolved but never contacted";
    let mut request = request(question, OutputFormat::Csv, Some(NOW - 65 * SECOND));
    request.until = Some(NOW - 55 * SECOND);
    let mut out = Vec::new();
    request
        .run(&lookups().0, &mut out, &mut Vec::new())
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "qname,comm,comms,pid,pids,container_name,places,ips,addresses,lookups,first_seen,last_seen\r\n\
         example.com,nginx,1,900,1,web-1,1,192.0.2.8,1,1,2026-11-23T13:59:00.000Z,2026-11-23T13:59:00.000Z\r\n"
    );
}

#[test]
fn which_lookups_failed() {
    let history = lookups();
    let without_query = "INSERT INTO lookup_group (id, transport, rcode, status)
                   VALUES (98, 'udp', 'REFUSED', 'unsolicited'), (99, 'udp', NULL, 'malformed')";
    history.0.execute(without_query, []).unwrap();
    let lookups = "INSERT INTO lookup (ts, group_id) VALUES (?1, 98), (?1, 99)";
    history.0.execute(lookups, [NOW - SECOND]).unwrap();
    let (out, notes) = history.ask("which lookups failed", OutputFormat::Table, None);
    assert_eq!(
        out,
        "\
NAME           TYPE  RESULT      QUERIED BY   PID  CONTAINER  LOOKUPS  FIRST SEEN (UTC)  LAST SEEN
nx.test        A     unanswered  curl        4242  -                1  11-23 13:59:30    11-23 13:59:30
evil\\x1b.test  PTR   SERVFAIL    nginx        900  web-1            1  11-23 13:59:22    11-23 13:59:22
nx.test        A     NXDOMAIN    curl        4242  -                2  11-23 13:59:20    11-23 13:59:21
"
    );
    assert_eq!(notes, "\n4 lookups\n");
    let (out, _) = history.ask(
        "which lookups failed",
        OutputFormat::Json,
        Some(NOW - 25 * SECOND),
    );
    assert_eq!(out, "");
}

#[test]
fn ranking_by_bytes_adds_up_all_connections() {
    let history = History::recording();
    let big = By {
        comm: "big",
        exe: None,
        ..CURL
    };
    for ago in 1..4 {
        history.connect(big, Some("x.org"), "192.0.2.1", "connected", ago);
    }
    history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", 9);
    let (out, _) = history.ask("top 1 process by bytes", OutputFormat::Json, None);
    assert!(out.starts_with("{\"comm\":\"big\""), "{out}");
    assert_eq!(
        history
            .ask("top 1 connection by bytes", OutputFormat::Json, None)
            .0
            .lines()
            .count(),
        1
    );
}

/// The newest name, not the alphabetically last one.
#[test]
fn renamed_container_has_its_newest_name() {
    let history = History::recording();
    let web = By {
        container: Some(("c0ffee", Some("zebra"))),
        ..CURL
    };
    history.connect(web, Some("x.org"), "192.0.2.1", "connected", 20);
    history
        .0
        .execute_batch(
            "UPDATE container SET image = 'zoo:1';
             INSERT INTO container (container_id, name, image) VALUES ('c0ffee', 'ant', 'hill:2');
             INSERT INTO process (recording_id, pid, start_ns, start_ts, comm, exe, uid, user, euid, container_id)
             SELECT 1, pid, start_ns, start_ts, comm, exe, uid, user, euid, (SELECT max(id) FROM container) FROM process;
             INSERT INTO connection_group SELECT 9, (SELECT max(id) FROM process), protocol, src_id, dst_id, dst_port, host_id,
                 host_source, outcome, errno, direction, connections, tx_known, tx_bytes, rx_known, rx_bytes,
                 first_ts + 5000000000, last_ts + 5000000000, wire_id FROM connection_group;",
        )
        .unwrap();
    for question in [
        "which containers hit x.org",
        "which processes hit x.org",
        "which pids hit x.org",
    ] {
        let (out, _) = history.ask(question, OutputFormat::Table, None);
        assert!(out.contains(" ant ") || out.contains("\nant "), "{out}");
        assert!(!out.contains("zebra"), "{out}");
    }
    let (out, _) = history.ask("which containers hit x.org", OutputFormat::Json, None);
    assert!(out.contains(r#""container_image":"hill:2""#), "{out}");
}

/// A pid that was started twice is two processes; one that was recorded twice is one.
#[test]
fn reused_pid_is_another_process() {
    let history = History::recording();
    for (ago, start) in [(9, 1), (8, 1), (7, 2)] {
        history.connect(CURL, Some("x.org"), "192.0.2.1", "connected", ago);
        let started = "UPDATE process SET start_ts = ?1 WHERE start_ts = 0";
        history.0.execute(started, [NOW - 10 + start]).unwrap();
    }
    let (out, notes) = history.ask("which processes hit x.org", OutputFormat::Table, None);
    assert!(out.contains("\ncurl     2 pids  alice "), "{out}");
    assert_eq!(notes, "\n2 processes, 3 connections\n");
    let (out, notes) = history.ask("which pids hit x.org", OutputFormat::Json, None);
    let connections = out.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            row["pid"].as_i64(),
            row["uid"].as_i64(),
            row["connections"].as_i64(),
        )
    });
    let row = |n| (Some(4242), Some(1000), Some(n));
    assert_eq!(connections.collect::<Vec<_>>(), [row(1), row(2)]);
    assert_eq!(notes, "");
    let (out, _) = history.ask("how many pids hit x.org", OutputFormat::Json, None);
    assert!(out.starts_with(r#"{"number":2,"#), "{out}");
}
