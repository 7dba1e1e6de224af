use super::condition::COMM_BYTES;
use super::*;
use crate::query::ast::{Actors, Subject};
use crate::query::fixture::{By, CURL, History, NOW, SECOND, parsed};
use crate::text::printable;
use proptest::prelude::*;

fn question(projection: Projection, predicates: Vec<Predicate>) -> Question {
    Question {
        projection,
        predicates,
        ..parsed("which connections")
    }
}

/// In UTC.
fn statement(question: &Question, since: Option<i64>, until: Option<i64>) -> String {
    let utc = Zone {
        before: Vec::new(),
        last: 0,
    };
    super::statement(question, since, until, &utc, true)
}

fn who(host: Host) -> Question {
    question(
        Projection::Actors(Actors::Processes),
        vec![Predicate::To(host)],
    )
}

fn host(text: &str) -> Host {
    Host::parse(text, false).unwrap()
}

/// The processes, by name, that hit a host.
fn hitters(history: &History, host: Host) -> Vec<String> {
    let sql = statement(&who(host), None, None);
    let mut statement = history.0.prepare(&sql).unwrap();
    let mut names = statement
        .query_map([], |row| row.get("comm"))
        .unwrap()
        .collect::<Result<Vec<String>, _>>()
        .unwrap();
    names.sort();
    names
}

/// How many connections a subject made.
fn made(history: &History, of: Subject) -> i64 {
    let sql = statement(
        &question(Projection::Destinations, vec![Predicate::By(of)]),
        None,
        None,
    );
    let total = format!("SELECT coalesce(sum(connections), 0) FROM ({sql})");
    history.0.query_row(&total, [], |row| row.get(0)).unwrap()
}

fn process(name: &str) -> Subject {
    Subject::Process(name.to_owned())
}

/// A history in which each of these processes connected once.
fn connected(by: &[By]) -> History {
    let history = History::recording();
    for &by in by {
        history.connect(by, None, "192.0.2.1", "connected", 1);
    }
    history
}

fn called<'a>(comm: &'a str, exe: Option<&'a str>) -> By<'a> {
    By { comm, exe, ..CURL }
}

#[test]
fn statement_reads_as_if_written_by_hand() {
    let sql = statement(&who(host("it's.example.com")), None, None);
    assert_eq!(
        sql,
        "\
SELECT comm, exe,
       CASE count(DISTINCT pid || ' ' || coalesce(start_ts, '')) WHEN 1 THEN min(pid) END AS pid,
       count(DISTINCT pid || ' ' || coalesce(start_ts, '')) AS pids,
       uid, substr(max(printf('%019d', last_ts) || user), 20) AS user,
       container_id, substr(max(printf('%019d', last_ts) || container_name), 20) AS container_name,
       CASE count(DISTINCT coalesce(host, dst_ip)) WHEN 1 THEN min(host) END AS host,
       CASE count(DISTINCT dst_ip) WHEN 1 THEN min(dst_ip) END AS dst_ip,
       count(DISTINCT coalesce(host, dst_ip)) AS hosts,
       sum(connections) AS connections, sum(failed) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,
       strftime('%Y-%m-%dT%H:%M:%S', min(first_ts) / 1000000000, 'unixepoch')
           || printf('.%03dZ', min(first_ts) / 1000000 % 1000) AS first_seen,
       strftime('%Y-%m-%dT%H:%M:%S', max(last_ts) / 1000000000, 'unixepoch')
           || printf('.%03dZ', max(last_ts) / 1000000 % 1000) AS last_seen
FROM egress_total
WHERE host IS NOT NULL
  AND likelihood(host = 'it''s.example.com' OR host LIKE '%.it''s.example.com' ESCAPE '\\', 0.001)
GROUP BY comm, exe, uid, container_id
ORDER BY last_seen DESC, comm, exe, uid, container_id"
    );
}

#[test]
fn name_finds_itself_and_its_subdomains() {
    let history = History::recording();
    for (comm, host) in [
        ("apex", "example.com"),
        ("www", "www.example.com"),
        ("deep", "a.b.example.com"),
        ("other", "notexample.com"),
        ("longer", "example.com.evil.org"),
    ] {
        history.connect(called(comm, None), Some(host), "192.0.2.1", "connected", 1);
    }
    assert_eq!(
        hitters(&history, host("example.com")),
        ["apex", "deep", "www"]
    );
    assert_eq!(hitters(&history, host("*.example.com")), ["deep", "www"]);
}

#[test]
fn underscores_and_percents_in_a_name_are_literal() {
    let history = History::recording();
    for (comm, host) in [
        ("one", "x._a%.org"),
        ("two", "x.ba%.org"),
        ("three", "x._abc.org"),
        ("four", r"x.\_a%.org"),
    ] {
        history.connect(called(comm, None), Some(host), "192.0.2.1", "connected", 1);
    }
    assert_eq!(hitters(&history, host("_a%.org")), ["one"]);
    assert_eq!(hitters(&history, host(r"\_a%.org")), ["four"]);
}

#[test]
fn networks_find_only_addresses_of_their_family() {
    let history = History::recording();
    for (comm, ip) in [
        ("ten", "10.255.0.1"),
        ("eleven", "11.0.0.0"),
        ("six", "2001:db8::5"),
    ] {
        history.connect(called(comm, None), None, ip, "connected", 1);
    }
    assert_eq!(hitters(&history, host("10.0.0.0/8")), ["ten"]);
    assert_eq!(hitters(&history, host("11.0.0.0")), ["eleven"]);
    assert_eq!(hitters(&history, host("0.0.0.0/0")), ["eleven", "ten"]);
    assert_eq!(hitters(&history, host("2001:DB8::/32")), ["six"]);
    assert_eq!(hitters(&history, host("::/0")), ["six"]);
    assert_eq!(hitters(&history, host("::ffff:10.255.0.1")), ["ten"]);
}

#[test]
fn process_is_found_by_name_executable_and_path() {
    let history = connected(&[
        called("curl", Some("/usr/bin/curl")),
        called("worker-1", Some("/opt/x/python3.13")),
        called("other", Some("/usr/bin/notcurl")),
        called("unknown", None),
    ]);
    for (name, n) in [
        ("curl", 1),
        ("Curl", 0),
        ("python3.13", 1),
        ("python3_13", 0),
        ("x/python3.13", 1),
        ("/opt/x/python3.13", 1),
        ("/python3.13", 0),
        ("worker-1", 1),
        ("unknown", 1),
        ("", 0),
    ] {
        assert_eq!(made(&history, process(name)), n, "{name}");
    }
}

#[test]
fn long_name_is_found_by_its_truncated_form() {
    let history = connected(&[
        called("kube-controller", Some("/usr/bin/kube-controller-manager")),
        called("kube-controller", Some("/usr/bin/kube-controller-other")),
        called("kube-controller", None),
        called("my-long-script-", Some("/usr/bin/python3.13")),
    ]);
    assert_eq!(made(&history, process("kube-controller-manager")), 2);
    assert_eq!(made(&history, process("kube-controller")), 3);
    assert_eq!(made(&history, process("my-long-script-name.py")), 1);
}

#[test]
fn container_is_found_by_name_id_and_id_prefix() {
    let id = "0123456789abcdef".repeat(4);
    let history = connected(&[
        By {
            container: Some((&id, Some("web"))),
            ..CURL
        },
        By {
            container: Some(("0123456789ab-not-hex", Some("Web"))),
            ..CURL
        },
        CURL,
    ]);
    for (name, n) in [
        ("web", 1),
        (&*id, 1),
        ("0123456789abc", 1),
        ("0123456789ABC", 1),
        ("0123456789ab", 2),
        ("0123456789a", 0),
        ("0123456789ab%", 0),
    ] {
        assert_eq!(
            made(&history, Subject::Container(name.to_owned())),
            n,
            "{name}"
        );
    }
}

#[test]
fn user_is_found_by_name_and_uid_and_process_by_pid() {
    let history = connected(&[
        CURL,
        By {
            pid: 7,
            uid: 0,
            user: None,
            ..CURL
        },
    ]);
    assert_eq!(made(&history, Subject::User("alice".to_owned())), 1);
    assert_eq!(made(&history, Subject::User("1000".to_owned())), 1);
    assert_eq!(made(&history, Subject::User("0".to_owned())), 1);
    assert_eq!(made(&history, Subject::Pid(7)), 1);
    assert_eq!(made(&history, Subject::Pid(8)), 0);
}

#[test]
fn selective_questions_scan_no_connections() {
    let history = History::new();
    for question in [
        "which processes hit example.com",
        "which containers hit *.example.com",
        "who hit 192.0.2.0/24",
        "what did curl talk to",
        "what did /usr/bin/curl talk to",
        "what did pid 7 talk to",
        "what did container web talk to",
        "when did user alice hit example.com",
        "which names were resolved but never contacted",
    ] {
        let sql = statement(&parsed(question), None, None);
        let mut plan = history
            .0
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let mut steps = plan
            .query_map([], |row| row.get::<_, String>("detail"))
            .unwrap();
        assert!(
            !steps.any(|step| step.unwrap().contains("SCAN c")),
            "{question}"
        );
    }
}

#[test]
fn question_with_a_span_uses_the_index_on_times() {
    let history = History::new();
    for question in [
        "connections per hour today",
        "new hosts since 9:00",
        "which connections failed today",
        "connections since 9:00",
        "failed lookups per hour today",
    ] {
        let question = parsed(question);
        let sql = statement(&question, question.since, question.until);
        let mut plan = history
            .0
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps: Vec<String> = plan
            .query_map([], |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        // Rollups of whole days are read first.
        let rows = steps.iter().find(|step| step.contains("_ts (ts>?"));
        assert!(
            rows.is_some() && !steps.iter().any(|step| step.starts_with("SCAN p")),
            "{steps:?}: {sql}"
        );
    }
}

#[test]
fn span_includes_its_start_and_excludes_its_end() {
    let history = connected(&[CURL]);
    let question = question(
        Projection::Each,
        vec![
            Predicate::By(process("curl")),
            Predicate::To(host("192.0.2.1")),
        ],
    );
    let at = NOW - SECOND;
    for (since, until, found) in [
        (None, None, true),
        (Some(at), Some(at + 1), true),
        (Some(at + 1), None, false),
        (None, Some(at), false),
    ] {
        let sql = statement(&question, since, until);
        assert_eq!(history.0.prepare(&sql).unwrap().exists([]).unwrap(), found);
    }
}

#[test]
fn statement_contains_no_control_character() {
    let sql = statement(
        &question(
            Projection::Destinations,
            vec![Predicate::By(process("a\n\x1b[2J';--\0"))],
        ),
        None,
        None,
    );
    assert!(sql.lines().all(|line| printable(line) == line));
    assert!(sql.contains("CAST(x'610a1b5b324a273b2d2d00' AS TEXT)"));
}

thread_local! {
    /// Without rows, to prepare statements with.
    static PREPARED: History = History::new();
}

/// Text that is hard on quoting: SQL's and LIKE's own characters often.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-'\"\\\\%_;.* \n\x1baé]{1,12}",
        "\\PC{1,24}",
        "[^\0]{1,24}"
    ]
}

proptest! {
    #[test]
    fn sqlite_prepares_the_statement_of_any_accepted_host(
        text in any::<String>(), literal in any::<bool>()
    ) {
        if let Ok(host) = Host::parse(&text, literal) {
            let history = History::new();
            prop_assert!(history.0.prepare(&statement(&who(host), None, None)).is_ok());
        }
    }

    /// Most rows of words mean nothing: those that begin like a question often do.
    #[test]
    fn sqlite_prepares_the_statement_of_any_understood_question(
        head in prop::sample::select(vec![
            "which processes", "which hosts", "new ports", "connections", "what did curl", "who",
            "how many containers", "how much", "lookups", "top 3 users", "which names were resolved",
            "traffic", "failed lookups", "which open connections", "has anyone", "raw IPs",
        ]),
        clauses in prop::collection::vec(prop::sample::select(vec![
            "hit x.org", "talk to exactly y.org", "resolve z.org", "by container 'a b'", "on port 443",
            "over udp", "per hour", "per day", "by host", "per process", "since monday", "new since 9:00",
            "today", "failed", "but never contacted", "by bytes", "to the internet", "from children of make",
            "in unit nginx", "named by host", "last 3", "most data", "that succeeded", "to raw IPs", "are open",
        ]), 0..4)
    ) {
        let question = format!("{head} {}", clauses.join(" "));
        let now = chrono::DateTime::<chrono::Utc>::from_timestamp_nanos(NOW);
        if let Ok(question) = super::super::parse(&question, &now) {
            let sql = statement(&question, question.since, question.until);
            PREPARED.with(|history| {
                prop_assert!(history.0.prepare(&sql).is_ok(), "{sql}");
                Ok(())
            })?;
        }
    }

    #[test]
    fn any_name_finds_exactly_its_own_row(name in hostile()) {
        let (other, lower) = (format!("{name}x"), name.to_ascii_lowercase());
        let history = History::recording();
        // An id and a uid that none of the names can be.
        for (comm, id) in [(&name, "1".repeat(64)), (&other, "2".repeat(64))] {
            let id = id.as_str();
            let by = By { comm, exe: None, pid: 1, uid: u32::MAX, user: Some(comm), container: Some((id, Some(comm))) };
            history.connect(by, Some(&comm.to_ascii_lowercase()), "192.0.2.1", "connected", 1);
        }
        prop_assert_eq!(hitters(&history, Host::Domain(lower)), [name.clone()]);
        prop_assert_eq!(made(&history, Subject::Container(name.clone())), 1);
        prop_assert_eq!(made(&history, Subject::User(name.clone())), 1);
        if other.len() <= COMM_BYTES {
            prop_assert_eq!(made(&history, process(&name)), 1);
        }
    }

    #[test]
    fn any_name_finds_exactly_its_subdomains(base in hostile()) {
        let base = base.to_ascii_lowercase();
        let history = History::recording();
        history.connect(called("below", None), Some(&format!("a.{base}")), "192.0.2.1", "connected", 1);
        history.connect(called("beside", None), Some(&format!("a.b{base}")), "192.0.2.1", "connected", 1);
        history.connect(called("itself", None), Some(&base), "192.0.2.1", "connected", 1);
        prop_assert_eq!(hitters(&history, Host::Subdomains(base)), ["below"]);
    }
}
