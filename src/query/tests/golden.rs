//! Golden answers: fifty questions with their SQL and answers; more about descendants, new
//! things, hours and pods; and refused questions. The snapshots are in `snapshots/`.

use std::fmt::Write as _;

use super::super::fixture::{By, CURL, History, NOW, SECOND, parsed, request};
use super::*;

const NGINX: By = By {
    comm: "nginx",
    exe: Some("/usr/sbin/nginx"),
    pid: 900,
    uid: 33,
    user: Some("www-data"),
    container: Some((
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        Some("web"),
    )),
};

const FIFTY: [&str; 50] = [
    "which processes hit example.com",
    "which containers hit example.com",
    "which images hit example.com",
    "which users reached 192.0.2.0/24",
    "which units talked to example.com",
    "who contacted *.example.com",
    "what hit 192.0.2.7",
    "what did curl talk to",
    "what did pid 4242 talk to",
    "what did container web talk to",
    "what did image nginx talk to",
    "what did user alice reach",
    "what did unit nginx.service reach",
    "when did curl hit example.com",
    "when did curl first hit example.com",
    "when did curl last hit example.com",
    "when was example.com contacted by nginx",
    "which hosts were contacted by curl",
    "which IPs did curl reach",
    "which ports did nginx connect to",
    "which processes connected to raw IPs",
    "which raw IPs were contacted by nginx",
    "which connections failed",
    "which connections were refused",
    "which connections timed out yesterday",
    "which connections did curl make on port 443 over tcp",
    "which connections were named by host",
    "which processes resolved cdn.test",
    "what did curl resolve",
    "what did unit nginx.service resolve",
    "which names did user alice look up",
    "which containers asked for cdn.test",
    "which lookups failed",
    "which lookups failed in container web",
    "which names were resolved but never contacted",
    "which names were resolved by unit nginx but never contacted",
    "how many connections did curl make",
    "how many hosts did nginx reach",
    "how many processes hit example.com today",
    "how many lookups did curl make",
    "how much did curl send to example.com",
    "how much data did container web send in the last hour",
    "top 3 hosts",
    "top processes by bytes",
    "top 2 containers since yesterday",
    "top 5 names resolved",
    "last 2 connections from curl",
    "which users hit example.com between 13:00 and 13:45",
    "which processes hit example.com over udp",
    "which processes hit 'a%_.example.com'",
];

/// curl's ancestors are a shell and make; nginx's is its own master process.
const DESCENDANTS: [&str; 12] = [
    "what did the children of pid 1234 talk to",
    "what did the children of bash talk to",
    "what did children of bash resolve",
    "which hosts did descendants of make hit",
    "which children of make hit example.com",
    "which containers did descendants of nginx use",
    "when did children of /usr/bin/make hit example.com",
    "how many connections did children of process bash make on port 443",
    "which lookups from children of make failed",
    "which names were resolved by children of nginx but never contacted",
    "top 1 host by bytes by descendants of make",
    "what did children of curl talk to",
];

/// What is new since a time, and what happened in each hour.
const BY_TIME: [&str; 22] = [
    "new since 13:40",
    "which hosts are new since 13:10",
    "what new hosts did curl hit today",
    "new domains since yesterday",
    "how many new hosts since 13:10",
    "which programs are new since 13:00",
    "which containers were never seen before 13:00",
    "which IPs are new since 13:59",
    "which new ports did nginx use today",
    "new names resolved since 13:59:30",
    "connections per hour today",
    "how much did curl send per day",
    "how many hosts per hour did nginx reach since yesterday",
    "lookups per minute in the last hour",
    "failed lookups per hour",
    "which processes hit example.com per hour",
    "traffic per day by container web",
    "connections per minute to nowhere.test",
    "connections per process",
    "traffic by host today",
    "which connections are open",
    "has anyone contacted the internet",
];

/// Kubernetes pods, single processes, longer buckets, and rankings within buckets.
const PODS_AND_SPANS: [&str; 22] = [
    "which pods hit example.com",
    "what did pod web-7d4b9 talk to",
    "what did pod shop/web-7d4b9 resolve",
    "which processes in pod web-* hit example.com",
    "which namespaces hit example.com",
    "which pods in namespace shop resolved cdn.test",
    "how many pods hit example.com today",
    "connections per pod today",
    "which pods are new since 13:00",
    "which pids hit example.com",
    "how many pids made lookups",
    "lookups per pid",
    "connections per week",
    "traffic per month by nginx",
    "which processes hit example.com monthly",
    "top 1 hosts per hour",
    "top 2 processes by bytes per day",
    "which names were resolved most per hour",
    "what did bash and its children talk to",
    "which names did make and all descendants resolve",
    "slowest lookups today",
    "top 2 longest connections to example.com",
];

const REFUSED: [&str; 34] = [
    "which lookups faild",
    "which processes hti example.com",
    "what did curl",
    "who hit",
    "which processes hit example.com since soom",
    "what did pid curl talk to",
    "which connections on port https",
    "which processes resolved 10.0.0.1",
    "who hit 10.0.0.0/40",
    "who hit https://example.com/x",
    "top 0 hosts",
    "tell me a joke",
    "who hit 'example.com",
    "which lookups over tcp",
    "who hit x'; DROP TABLE connection; --",
    "what did children of container web talk to",
    "what did children fo bash talk to",
    "which hosts are new",
    "new hosts per day since Monday",
    "which hosts are enw since Monday",
    "connections per fortnight",
    "last 3 hosts per hour",
    "top 3 connections per hour",
    "which new names were resolved but never contacted since Monday",
    "which processes hit example.com per host",
    "why does curl connect",
    "longest lookups",
    "what cities did we talk to",
    "which processes listen on port 80",
    "which hosts are not in allowlist.txt",
    "tcp and udp connections",
    "connections on port 80 on port 443",
    "how many hosts were contacted only once",
    "which connections hit example.com more than 3",
];

/// A day of traffic by a user's curl and a service's nginx in a container.
fn history() -> History {
    let history = History::new();
    history.record(NOW - 86_400 * SECOND, None, NOW);
    let api = Some("api.example.com");
    history.connect(CURL, Some("example.com"), "192.0.2.8", "connected", 7200);
    history.connect(CURL, api, "192.0.2.7", "connected", 60);
    history.connect(CURL, api, "2001:db8::7", "refused", 61);
    let named = history.connect(CURL, Some("cdn.test"), "192.0.2.20", "connected", 50);
    history.rest_on(named, "host", None, &[], 2);
    history.connect(NGINX, api, "192.0.2.7", "connected", 1800);
    history.connect(
        NGINX,
        Some("a%_.example.com"),
        "192.0.2.9",
        "connected",
        2700,
    );
    history.connect_to(NGINX, None, ("10.0.0.9", 5432), "timeout", 50_400 + 60);
    let a = |name, data| (name, "A", data, 60);
    let ok = Some("NOERROR");
    history.look_up(
        CURL,
        ("cdn.test", "A"),
        ok,
        &[a("cdn.test", "192.0.2.20")],
        51,
    );
    history.look_up(
        NGINX,
        ("cdn.test", "A"),
        ok,
        &[a("cdn.test", "192.0.2.20")],
        40,
    );
    history.look_up(
        NGINX,
        ("idle.test", "A"),
        ok,
        &[a("idle.test", "192.0.2.21")],
        30,
    );
    history.look_up(CURL, ("nx.test", "A"), Some("NXDOMAIN"), &[], 20);
    history.look_up(NGINX, ("nx.test", "AAAA"), None, &[], 10);
    history
        .0
        .execute(
            "UPDATE process SET unit = 'nginx.service' WHERE comm = 'nginx'",
            [],
        )
        .unwrap();
    history
        .0
        .execute_batch(
            "UPDATE container SET pod = 'web-7d4b9', pod_namespace = 'shop';
             UPDATE process SET start_ts = 1795300000000000000;",
        )
        .unwrap();
    let bash = (1234, "bash", "/usr/bin/bash");
    history.descend("curl", &[bash, (1200, "make", "/usr/bin/make")]);
    history.descend("nginx", &[(899, "nginx", "/usr/sbin/nginx")]);
    history
}

#[test]
fn fifty_questions() {
    insta::assert_snapshot!(answers(&history(), &FIFTY));
}

#[test]
fn questions_about_descendants() {
    insta::assert_snapshot!(answers(&history(), &DESCENDANTS));
}

#[test]
fn questions_about_new_things_and_hours() {
    insta::assert_snapshot!(answers(&history(), &BY_TIME));
}

#[test]
fn questions_about_pods_and_long_spans() {
    insta::assert_snapshot!(answers(&history(), &PODS_AND_SPANS));
}

/// All questions that have an answer.
fn answered() -> impl Iterator<Item = &'static str> {
    let all = FIFTY.iter().chain(&DESCENDANTS).chain(&BY_TIME);
    all.chain(&PODS_AND_SPANS).copied()
}

fn answers(history: &History, questions: &[&str]) -> String {
    let mut shown = String::new();
    for question in questions {
        let (out, notes) = history.ask(question, OutputFormat::Table, None);
        let sql = request(question, OutputFormat::Table, None).sql();
        _ = writeln!(
            shown,
            "### {question}\n{sql}\n\n{out}{}\n",
            notes.trim_start()
        );
    }
    shown
}

#[test]
fn refused_questions() {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    let mut shown = String::new();
    for question in REFUSED {
        let refused = parse(question, &now).unwrap_err().to_string();
        _ = writeln!(shown, "{refused}\n");
    }
    insta::assert_snapshot!(shown);
}

/// sqlite3(1) reads them from a file, as users would, and finds the same rows.
#[test]
fn every_statement_runs_in_sqlite3_as_shown() {
    let history = history();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.db");
    let path = file.to_str().unwrap();
    history.0.execute("VACUUM INTO ?1", [path]).unwrap();
    for question in answered() {
        let sql = request(question, OutputFormat::Table, None).sql();
        let output = std::process::Command::new("sqlite3")
            .args(["-readonly", "-json", path, &sql])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{question}: {said}"
        );
        let theirs = match output.stdout.as_slice() {
            b"" => Vec::new(),
            rows => serde_json::from_slice::<Vec<serde_json::Value>>(rows).unwrap(),
        };
        let (ours, _) = history.ask(question, OutputFormat::Json, None);
        let ours = ours.lines().map(|row| serde_json::from_str(row).unwrap());
        assert_eq!(
            theirs,
            ours.collect::<Vec<serde_json::Value>>(),
            "{question}"
        );
    }
}

#[test]
fn questions_with_a_subject_scan_no_table() {
    let history = history();
    let about = answered().filter(|question| {
        let question = parsed(question);
        let selective = |only: &ast::Predicate| matches!(only, ast::Predicate::By(_));
        question.relation == ast::Relation::Connections && question.predicates.iter().any(selective)
    });
    for question in about {
        let sql = request(question, OutputFormat::Table, None).sql();
        let mut plan = history
            .0
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = plan
            .query_map([], |row| row.get::<_, String>("detail"))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert!(
            !steps.iter().any(|step| step.starts_with("SCAN c")),
            "{question}: {steps:#?}"
        );
    }
}
