//! Explanations of every kind, from histories with the real schema.

use chrono::{DateTime, Utc};

use super::super::fixture::{By, CURL, History, NOW, SECOND};
use super::*;

const DIG: By = By {
    comm: "dig",
    exe: Some("/usr/bin/dig"),
    pid: 77,
    uid: 1001,
    user: Some("bob"),
    container: None,
};

const OK: Option<&str> = Some("NOERROR");

fn explain(history: &History, id: i64) -> Explanation {
    Explanation::read(&history.0, id).unwrap().unwrap()
}

fn text(history: &History, id: i64) -> String {
    let now: DateTime<Utc> = DateTime::from_timestamp_nanos(NOW);
    let mut out = Vec::new();
    explain(history, id).text(&now, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(history: &History, id: i64) -> serde_json::Value {
    let mut out = Vec::new();
    explain(history, id).json(&mut out).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert!(line.trim_end().chars().all(crate::text::is_printable));
    serde_json::from_str(&line).unwrap()
}

/// A connection of curl's to api.example.com, `ago` seconds before now, which that
/// name's lookup 62 s before now named.
fn named(history: &History, source: &str, ago: i64) -> i64 {
    let records = [
        ("api.example.com", "CNAME", "edge.example.net", 300),
        ("edge.example.net", "A", "192.0.2.7", 30),
        ("edge.example.net", "A", "192.0.2.8", 30),
    ];
    let lookup = history.look_up(CURL, ("api.example.com", "A"), OK, &records, 62);
    let host = Some("api.example.com");
    let id = history.connect(CURL, host, "192.0.2.7", "connected", ago);
    history.rest_on(id, source, Some((lookup, (62 - ago) * 1000)), &[], 0);
    id
}

#[test]
fn name_is_explained_from_query_to_address() {
    let history = History::recording();
    let id = named(&history, "process", 60);
    assert_eq!(
        text(&history, id),
        "\
connection   1 to 192.0.2.7:443 over tcp (public), connected
             11-23 13:59:00.000 (UTC), sent 700 B, received 5.2 KiB, 125.3ms
process      curl, pid 4242, user alice, /usr/bin/curl
name         api.example.com
source       process: the process itself had looked up this name
age          the answer was 2.0s old when the connection began
query        A api.example.com, answered NOERROR in 3.2ms
             by curl, pid 4242, /usr/bin/curl
             11-23 13:58:58.000, to 192.0.2.53:53 over udp, lookup 1
answer       NAME              TYPE   DATA              TTL
             api.example.com   CNAME  edge.example.net  300 s
             edge.example.net  A      192.0.2.7         30 s
             and 1 record that does not lead to this address
rivals       none: this source had no other name for the address
"
    );
}

#[test]
fn expired_answer_is_marked() {
    let history = History::recording();
    let id = named(&history, "netns", 20);
    let text = text(&history, id);
    for part in [
        "source       netns: a process in its network namespace had looked up this name\n",
        "age          the answer was 42.0s old when the connection began, and its time to live had passed",
        "edge.example.net  A      192.0.2.7         30 s, expired\n",
        "api.example.com   CNAME  edge.example.net  300 s\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn rivals_are_listed_and_the_rest_is_counted() {
    let history = History::recording();
    let id = named(&history, "host", 60);
    let one =
        |name, ago| history.look_up(DIG, (name, "A"), OK, &[(name, "A", "192.0.2.7", 60)], ago);
    let rivals = [
        ("old.test", Some(one("old.test", 90))),
        ("evil\x1b[2J.test", Some(one("evil\x1b[2J.test", 80))),
    ];
    history.rest_on(id, "host", Some((1, 2000)), &rivals, 7);
    let text = text(&history, id);
    let rivals = &text[text.find("rivals").unwrap()..];
    assert_eq!(
        rivals,
        "\
rivals       7 other names for the address from this source
             NAME              LOOKED UP           QUERIED BY
             evil\\x1b[2J.test  11-23 13:58:40.000  dig, pid 77, /usr/bin/dig
             old.test          11-23 13:58:30.000  dig, pid 77, /usr/bin/dig
             and 5 more
"
    );
    let json = json(&history, id);
    assert_eq!(json["host_rivals"], 7);
    assert_eq!(json["rivals"][0]["host"], "evil\x1b[2J.test");
    assert_eq!(json["rivals"][0]["lookup"]["comm"], "dig");
    assert_eq!(json["rivals"][1]["lookup_id"], 2);
}

#[test]
fn name_from_etc_hosts_has_no_lookup() {
    let history = History::recording();
    let id = history.connect(CURL, Some("db.internal"), "10.0.0.5", "refused", 5);
    history.rest_on(id, "hosts", None, &[("db", None)], 1);
    let text = text(&history, id);
    assert_eq!(
        text,
        "\
connection   1 to 10.0.0.5:443 over tcp (private), refused
             11-23 13:59:55.000 (UTC)
process      curl, pid 4242, user alice, /usr/bin/curl
name         db.internal
source       hosts: /etc/hosts, as the process sees it, has this name for the address
query        none: nothing was looked up
rivals       1 other name for the address, later in that file
             db
"
    );
}

#[test]
fn name_that_the_connection_sent_is_shown_with_what_it_differs_from() {
    let history = History::recording();
    let sends = |id, sni, ech| {
        history.send_names(id, &[("sni", sni), ("sni_ech", ech), ("alpn", "h2")]);
    };
    let id = history.connect(CURL, Some("a.test"), "192.0.2.7", "connected", 5);
    history.rest_on(id, "sni", None, &[], 0);
    sends(id, "a.test", "0");
    let shown = text(&history, id);
    let of_name = &shown[shown.find("name ").unwrap()..];
    assert_eq!(
        of_name,
        "\
name         a.test
source       sni: the connection itself asked for this name (server name of TLS)
query        none was seen for this name
rivals       none: this source had no other name for the address
tls          asked for a.test, offered h2
"
    );
    let id = history.connect(CURL, Some("own.test"), "192.0.2.7", "connected", 5);
    sends(id, "front\x1b.test", "0");
    let shown = text(&history, id);
    assert!(
        shown.ends_with(
            "tls          asked for front\\x1b.test, offered h2\n             \
             which is another name than the one that was looked up\n"
        ),
        "{shown}"
    );
    let id = history.connect(CURL, None, "192.0.2.9", "connected", 5);
    sends(id, "provider.test", "1");
    assert!(text(&history, id).contains("an encrypted name (ECH)"));
}

#[test]
fn json_has_the_columns_of_the_view_and_the_evidence() {
    let history = History::recording();
    let id = named(&history, "process", 60);
    let json = json(&history, id);
    let view = history.0.prepare("SELECT * FROM egress").unwrap();
    for column in view.column_names().filter(|c| *c != "dst_addr") {
        assert!(json.get(column).is_some(), "{column}");
    }
    assert_eq!(json["lookup"]["qname"], "api.example.com");
    assert_eq!(json["lookup"]["latency_us"], 3210);
    let answers = json["answers"].as_array().unwrap();
    let part = |key: &str| answers.iter().map(|a| a[key].clone()).collect::<Vec<_>>();
    assert_eq!(part("leads"), [true, true, false]);
    assert_eq!(part("expired"), [false, false, false]);
    assert_eq!(part("data")[1], "192.0.2.7");
    assert_eq!(json["rivals"], serde_json::json!([]));
    assert_eq!(json["no_name"], serde_json::Value::Null);
}

/// Why a connection of curl's to 192.0.2.7 ten seconds before now has no name.
fn reason(history: &History) -> String {
    let id = history.connect(CURL, None, "192.0.2.7", "connected", 10);
    let json = json(history, id);
    let no_name = &json["no_name"];
    let flaws = no_name["others"].as_array().unwrap().iter();
    let flaws = flaws.map(|other| other["flaw"].as_str().unwrap());
    let reason = no_name["reason"].as_str().unwrap();
    [reason]
        .into_iter()
        .chain(flaws)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn address_in_no_answer_is_a_raw_one() {
    let history = History::recording();
    // part of another address does not match
    let hint = "1 . ipv4hint=192.0.2.77,1192.0.2.7";
    history.look_up(
        DIG,
        ("a.test", "HTTPS"),
        OK,
        &[("a.test", "HTTPS", hint, 60)],
        20,
    );
    history.look_up(
        DIG,
        ("a.test", "TXT"),
        OK,
        &[("a.test", "TXT", "192.0.2.7", 60)],
        20,
    );
    assert_eq!(reason(&history), "no_answer");
    assert!(text(&history, 1).contains(
        "name         none\n\
         why          no answer in this history contains 192.0.2.7: the process used the address \
         itself, or got it in a way that egrets does not see\n"
    ));
}

#[test]
fn discounted_answer_is_shown_with_its_flaw() {
    let container = Some(("0123456789abcdef", Some("web")));
    let contained = By { container, ..DIG };
    let a = [("a.test", "A", "192.0.2.7", 60)];
    let query = ("a.test", "A");
    let hint = [(
        "a.test",
        "HTTPS",
        "1 . alpn=h2 ipv4hint=192.0.2.9,192.0.2.7",
        60,
    )];
    for (by, question, rcode, records, ago, flaw) in [
        (DIG, query, OK, &a, 20, "not_trusted"),
        (DIG, ("a.test", "HTTPS"), OK, &hint, 20, "not_trusted"),
        (contained, query, OK, &a, 20, "other_container"),
        (CURL, query, OK, &a, 20, "forgotten"),
        (CURL, query, OK, &a, 10, "later"),
        (CURL, query, Some("SERVFAIL"), &a, 20, "error"),
        (CURL, query, OK, &a, 7200, "earlier_recording"),
    ] {
        let history = History::recording();
        history.look_up(by, question, rcode, records, ago);
        assert_eq!(reason(&history), format!("others {flaw}"));
    }
    let history = History::recording();
    history.look_up(CURL, query, OK, &a, 20);
    history
        .0
        .execute("UPDATE lookup_group SET status = 'unsolicited'", [])
        .unwrap();
    assert_eq!(reason(&history), "others unsolicited");
}

#[test]
fn nearest_answers_before_the_connection_come_first() {
    let history = History::recording();
    let a = [("a.test", "A", "192.0.2.7", 60)];
    for ago in [5, 30].into_iter().chain(12..30) {
        history.look_up(DIG, ("a.test", "A"), OK, &a, ago);
    }
    let id = history.connect(CURL, None, "192.0.2.7", "connected", 10);
    let json = json(&history, id);
    assert_eq!(json["no_name"]["others_total"], 20);
    assert_eq!(
        json["no_name"]["others"][0]["time"],
        "2026-11-23T13:59:48.000Z"
    );
    assert_eq!(json["no_name"]["others"].as_array().unwrap().len(), 16);
    let text = text(&history, id);
    assert!(
        text.contains(
            "answers      20 answers contained 192.0.2.7, but none counts for this connection\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("             and 4 more\n"), "{text}");
}

#[test]
fn other_reasons_for_having_no_name_are_given() {
    let history = History::recording();
    let reason = |id| json(&history, id)["no_name"]["reason"].clone();
    let old = history.connect(CURL, None, "192.0.2.7", "connected", 10);
    let set = "UPDATE connection SET already_open = 1";
    history.0.execute(set, []).unwrap();
    assert_eq!(reason(old), "already_open");
    assert!(text(&history, old).contains("older than the recording"));
    let server = history.connect_to(CURL, None, ("192.0.2.53", 53), "connected", 10);
    assert_eq!(reason(server), "dns_server");
    let group = history.connect_to(CURL, None, ("224.0.0.251", 5353), "sent", 10);
    assert_eq!(reason(group), "multicast");
}

#[test]
fn lost_dns_events_are_counted() {
    let history = History::recording();
    history.lose("dns", 3, NOW - 30 * SECOND, NOW - 20 * SECOND);
    history.lose("dns_budget", 2, NOW - 30 * SECOND, NOW - 20 * SECOND);
    history.lose("tcp", 5, NOW - 30 * SECOND, NOW - 20 * SECOND);
    history.lose("dns", 7, NOW - 5 * SECOND, NOW - 5 * SECOND);
    let id = history.connect(CURL, None, "192.0.2.7", "connected", 10);
    assert!(text(&history, id).ends_with(
        "lost         5 DNS events earlier in the same recording, possibly including an answer\n"
    ));
}

#[test]
fn untrusted_text_is_escaped() {
    let history = History::recording();
    let hostile = By {
        comm: "a\n\x1b[2J",
        exe: Some("/\u{202e}x"),
        container: Some(("id", Some("\x07"))),
        ..CURL
    };
    let name = "n\x1b.test";
    let lookup = history.look_up(hostile, (name, "A"), OK, &[(name, "A", "192.0.2.7", 1)], 60);
    let id = history.connect(hostile, Some(name), "192.0.2.7", "connected", 50);
    history.rest_on(id, "process", Some((lookup, 10_000)), &[], 0);
    let set = "UPDATE process SET cmdline = ?1";
    history.0.execute(set, ["x\r\n\x1b]0;title\x07"]).unwrap();
    let shown = text(&history, id);
    assert!(
        shown
            .lines()
            .all(|line| line.chars().all(crate::text::is_printable)),
        "{shown}"
    );
    assert_eq!(json(&history, id)["comm"], hostile.comm);
}

#[test]
fn unknown_id_is_none() {
    assert!(
        Explanation::read(&History::recording().0, 9)
            .unwrap()
            .is_none()
    );
}
