//! Datasets of many machines (docs/fleet.md): written as Parquet, and read by DuckDB, which answers
//! questions as the histories themselves do. The histories are written by the store, as a recorder
//! does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use chrono::{DateTime, Utc};
use egrets::model::{
    Action, Connection, Container, Endpoint, Lookup, LookupStatus, Name, Outcome, Process,
    Protocol, Record, ResourceRecord, Source, Verdict, WireName, WireNames, builders,
};
use egrets::query::{self, Engine, History, OutputFormat, Request};
use egrets::store::{self, Access, Attached, Recording, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::dataset::{answers, duckdb, egrets_with, raw};
use crate::support::text;

const SECOND: i64 = 1_000_000_000;
/// 2026-11-24T06:00:00Z: the histories end then, and cover two days.
const NOW: i64 = 1_795_500_000 * SECOND;

/// Questions, most of them of the golden ones, with a span that cuts a day, and without one.
const QUESTIONS: [&str; 73] = [
    "which processes hit example.com",
    "which containers hit example.com",
    "which users reached 192.0.2.0/24",
    "which units talked to example.com",
    "who contacted *.example.com",
    "what hit 192.0.2.7",
    "what did curl talk to",
    "what did pid 3003 talk to",
    "what did user alice reach",
    "what did user 1001 reach",
    "what did unit nginx.service reach",
    "when did curl hit example.com",
    "when did curl first hit example.com",
    "when did curl last hit example.com",
    "which hosts were contacted by curl",
    "which IPs did curl reach",
    "which ports did nginx connect to",
    "which processes connected to raw IPs",
    "which connections failed",
    "which connections were refused",
    "which connections did curl make on port 443 over tcp",
    "which connections were named by host",
    "which processes resolved cdn.test",
    "what did curl resolve",
    "which names did user alice look up",
    "which lookups failed",
    "which names were resolved but never contacted",
    "which names were resolved by nginx but never contacted",
    "how many connections did curl make",
    "how many hosts did nginx reach",
    "how many processes hit example.com today",
    "how many lookups did curl make",
    "how many pids hit example.com",
    "how much did curl send to example.com",
    "how much data was received in the last 3 hours",
    "top 3 hosts",
    "what share of connections failed",
    "percent of traffic by process",
    "failure rate per host",
    "what percentage of lookups failed",
    "connections per 5 minutes",
    "busiest minute",
    "the least contacted host",
    "top processes by bytes",
    "top 2 users since yesterday",
    "top 5 names resolved",
    "last 2 connections from curl",
    "which users hit example.com between 1:00 and 4:45",
    "which processes hit example.com over udp",
    "which processes hit 'a%_.example.com'",
    "connections per hour",
    "connections per day",
    "connections per month",
    "lookups per hour",
    "top 2 hosts per day",
    "which pids hit example.com",
    "new hosts since midnight",
    "new processes since midnight",
    "which ports were new since midnight",
    "processes that sent more than 1 MB",
    "hosts with more than 20 connections",
    "processes that hit example.com but never cdn.test",
    "processes that made lookups but no connections",
    "what did the processes that hit cdn.test talk to",
    "average duration of connections of curl",
    "slowest connections",
    "slowest lookups",
    "what was denied",
    "which rules were hit",
    "what did the policy block",
    "summary",
    "which protocols were used",
    "which connections showed another name than they looked up",
];

/// The connections and lookups of a machine, so that each question finds some.
fn write(db: &Path, seed: u64, connections: u64) {
    let recording = Recording {
        start_ts: NOW - 30 * 3600 * SECOND,
        hook_set: "kprobe".to_owned(),
        hooks: String::new(),
    };
    let mut store = Store::open(db, &Access::default(), &recording).unwrap();
    let actors = actors();
    let step = 30 * 3600 * SECOND / (connections as i64 + 1);
    for number in 1..=connections {
        let ts = NOW - 30 * 3600 * SECOND + number as i64 * step;
        let random = (number + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        // One came late, and goes to one host alone; another only looks up.
        let late = number > connections * 5 / 6 && number % 40 == 0;
        let usual = actors.len() - 2;
        let process = match late {
            true => &actors[usual],
            false => &actors[(random % usual as u64) as usize],
        };
        // The 0th host.
        let random = if late { random / 448 * 448 } else { random };
        if number % 50 == 0 {
            let number = connections + number;
            let lookup = lookup(number, ts - 3_000_000, random, &actors[usual + 1]);
            store.add(&Record::Lookup(lookup));
        }
        for record in [
            Record::Lookup(lookup(number, ts - 2_000_000, random, process)),
            Record::Closed(connection(number, ts, random, process)),
        ] {
            store.add(&record);
        }
        if number % 500 == 0 {
            store.commit(ts).unwrap();
        }
    }
    store.commit(NOW - SECOND).unwrap();
    store.finish(NOW - SECOND).unwrap();
}

fn actors() -> Vec<Rc<Process>> {
    let container = Rc::new(Container {
        serial: 1,
        id: format!("{:064x}", 0xabc),
        uid: 0,
        runtime: Some("docker"),
        outer: None,
    });
    let actor = |serial: u32, comm: &str, uid: u32, user: Option<&str>| Process {
        serial: serial.into(),
        pid: 3000 + serial,
        start_ns: u64::from(serial) * 1_000_000,
        exe: Some(format!("/usr/bin/{comm}")),
        uid,
        user: user.map(Into::into),
        euid: uid,
        euser: user.map(Into::into),
        ..builders::process(comm)
    };
    let all = [
        actor(1, "curl", 1000, Some("alice")),
        actor(2, "curl", 1001, Some("bob")),
        Process {
            unit: Some("nginx.service".into()),
            ..actor(3, "nginx", 33, Some("www-data"))
        },
        Process {
            container: Some(container),
            ..actor(4, "python3", 0, Some("root"))
        },
        Process {
            exe: None,
            cmdline: None,
            ..actor(5, "kworker", 0, Some("root"))
        },
        actor(6, "backup", 0, Some("root")),
        actor(7, "dig", 1000, Some("alice")),
    ];
    all.into_iter().map(Rc::new).collect()
}

fn host(random: u64) -> (Option<&'static str>, [u8; 4]) {
    match random / 8 % 7 {
        0 => (Some("example.com"), [192, 0, 2, 7]),
        1 => (Some("www.example.com"), [192, 0, 2, 8]),
        2 => (Some("cdn.test"), [198, 51, 100, 1]),
        3 => (Some("a%_.example.com"), [198, 51, 100, 2]),
        4 => (None, [203, 0, 113, 9]),
        5 => (Some("api.cdn.test"), [10, 0, 0, 9]),
        _ => (Some("bücher's.example"), [192, 0, 2, 7]),
    }
}

fn connection(number: u64, ts: i64, random: u64, process: &Rc<Process>) -> Connection {
    let (name, ip) = host(random);
    let (outcome, errno) = match random / 64 % 9 {
        0 => (Outcome::Refused, Some(libc::ECONNREFUSED)),
        1 => (Outcome::Timeout, Some(libc::ETIMEDOUT)),
        2 => (Outcome::Denied, Some(libc::EPERM)),
        _ => (Outcome::Connected, None),
    };
    let done = (outcome == Outcome::Connected).then_some(());
    let udp = (random / 3).is_multiple_of(11);
    let verdict = (random / 5).is_multiple_of(6).then(|| Verdict {
        action: if random.is_multiple_of(2) {
            Action::Block
        } else {
            Action::Alert
        },
        enforced: random.is_multiple_of(3),
        rule: "no-cdn".into(),
        policy: "0123".into(),
        action_outcome: None,
    });
    let wire = (random / 7).is_multiple_of(4).then(|| {
        Rc::new(WireNames {
            sni: Some(WireName {
                text: "front.example".into(),
                is_host: true,
            }),
            alpn: Some("h2,http/1.1".into()),
            ..WireNames::default()
        })
    });
    Connection {
        number,
        ts,
        process: Rc::clone(process),
        tid: process.pid,
        protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
        src: Some(Endpoint {
            ip: [10, 0, 0, 2].into(),
            port: 40_000 + (number % 20_000) as u16,
        }),
        dst: Endpoint {
            ip: ip.into(),
            port: match (&*process.comm, number % 5) {
                ("backup", _) => 8443,
                (_, 0) => 80,
                _ => 443,
            },
        },
        name: name.map(|host| Name {
            host: host.into(),
            source: if number.is_multiple_of(9) {
                Source::Host
            } else {
                Source::Process
            },
            age_ms: Some(number % 90),
            lookup: Some(number),
            rivals: 0,
            rival_names: Vec::new(),
        }),
        outcome: if udp { Outcome::Sent } else { outcome },
        errno: errno.filter(|_| !udp),
        latency_us: done.map(|()| 1000 + number as i64 % 997),
        tx_bytes: done.map(|()| 700 + random % 5000),
        rx_bytes: done.map(|()| 5000 + random % 50_000),
        duration_us: Some(20_000 + (random % 100_000) as i64),
        wire,
        verdict,
        ..builders::connection("")
    }
}

fn lookup(number: u64, ts: i64, random: u64, process: &Rc<Process>) -> Lookup {
    let (name, ip) = host(random);
    let failed = random.is_multiple_of(13);
    let name = match number % 17 {
        0 => "unused.test",
        _ => name.unwrap_or("gone.nx"),
    };
    Lookup {
        number,
        ts,
        process: Rc::clone(process),
        qname: Some(name.into()),
        rcode: Some(if failed { "NXDOMAIN" } else { "NOERROR" }.into()),
        latency_us: Some(800 + number as i64 % 3000),
        status: LookupStatus::Answered,
        answers: match failed {
            true => Vec::new(),
            false => vec![
                ResourceRecord {
                    name: name.into(),
                    rtype: "CNAME".into(),
                    data: "edge.test".into(),
                    ttl: 60,
                },
                ResourceRecord {
                    name: "edge.test".into(),
                    rtype: "A".into(),
                    data: std::net::IpAddr::from(ip).to_string(),
                    ttl: 30,
                },
            ],
        },
        ..builders::lookup(name, "192.0.2.1")
    }
}

fn export(db: &Path, dataset: &Path, args: &[&str]) -> Output {
    egrets_with(&["export", "--format", "parquet", "--db"])
        .arg(db)
        .arg("--output")
        .arg(dataset)
        .args(args)
        .output()
        .unwrap()
}

fn exported(db: &Path, dataset: &Path, args: &[&str]) -> String {
    let output = export(db, dataset, args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

fn one(dataset: &Path, statement: &str) -> Vec<Value> {
    duckdb(dataset, &[statement.to_owned()]).remove(0)
}

fn request(question: query::Question) -> Request<Utc> {
    Request {
        question,
        since: None,
        until: None,
        format: OutputFormat::Json,
        width: None,
        now: DateTime::from_timestamp_nanos(NOW),
        color: false,
        explain: false,
        limit: None,
        begun: None,
    }
}

/// The statement for DuckDB.
fn statement(question: &str) -> String {
    statement_for(Engine::DuckDb, question)
}

fn statement_for(engine: Engine, question: &str) -> String {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    let question =
        query::parse_of_machines(question, &now).unwrap_or_else(|e| panic!("{question}: {e:#}"));
    let sql = request(question).sql_of_dataset(engine);
    sql.unwrap_or_else(|e| panic!("{e:#}"))
}

/// The answer of a history.
fn answer(db: &rusqlite::Connection, question: &str) -> Vec<Value> {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    let parsed = query::parse(question, &now).unwrap_or_else(|e| panic!("{question}: {e:#}"));
    answer_over(db, &[], question, parsed)
}

/// The answer of several histories.
fn answer_of_several(
    (db, several): &(rusqlite::Connection, Vec<History>),
    question: &str,
) -> Vec<Value> {
    let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
    let parsed = query::parse_of_machines(question, &now);
    let parsed = parsed.unwrap_or_else(|e| panic!("{question}: {e:#}"));
    answer_over(db, several, question, parsed)
}

fn answer_over(
    db: &rusqlite::Connection,
    several: &[History],
    question: &str,
    parsed: query::Question,
) -> Vec<Value> {
    let mut out = Vec::new();
    let found = request(parsed).run_over(db, several, &mut out, &mut std::io::sink());
    found.unwrap_or_else(|e| panic!("{question}: {e:#}"));
    let rows = text(&out);
    rows.lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect()
}

/// Rows in canonical order; what only one machine's answers do not have is left out.
fn sorted(rows: &[Value], without: &str) -> Vec<String> {
    let rows = rows.iter().cloned().map(|mut row| {
        let columns = row.as_object_mut().unwrap();
        columns.remove(without);
        // SQLite's 0.0 is 0
        for value in columns.values_mut() {
            if let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0) {
                *value = Value::from(number as i64);
            }
        }
        // SQLite's order within it is that of the rows
        if let Some(Value::String(list)) = columns.get_mut("ips") {
            let mut all = Vec::from_iter(list.split(','));
            all.sort_unstable();
            *list = all.join(",");
        }
        row.to_string()
    });
    let mut rows = Vec::from_iter(rows);
    rows.sort();
    rows
}

fn history(dir: &Path, name: &str, seed: u64, connections: u64) -> PathBuf {
    let db = dir.join(format!("{name}.db"));
    write(&db, seed, connections);
    // as if that machine had recorded it
    let writer = rusqlite::Connection::open(&db).unwrap();
    let rename = "UPDATE recording SET hostname = ?1";
    writer.execute(rename, [name]).unwrap();
    db
}

/// The files of a dataset that have their names, and those that do not.
fn files(dataset: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut open = vec![dataset.to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    let named = |path: &PathBuf| path.extension().is_some_and(|is| is == "parquet");
    files.into_iter().partition(named)
}

#[test]
fn duckdb_answers_questions_to_a_dataset_as_the_history_does() {
    compare_answers(Engine::DuckDb, "python");
}

#[test]
#[ignore = "needs ClickHouse and Spark: make test-engines"]
fn clickhouse_answers_questions_to_a_dataset_as_the_history_does() {
    compare_answers(Engine::ClickHouse, "engines");
}

#[test]
#[ignore = "needs ClickHouse and Spark: make test-engines"]
fn spark_answers_questions_to_a_dataset_as_the_history_does() {
    compare_answers(Engine::Spark, "engines");
}

fn compare_answers(engine: Engine, environment: &str) {
    let dir = TempDir::new().unwrap();
    let db = history(dir.path(), "one", 1, 3000);
    // A day of which a shipper has made one file, but has not removed those of its hours; and one
    // that is by the hour.
    let dataset = dir.path().join("dataset");
    let (day, hours) = (
        ["--machine", "web-1", "--until", "2026-11-24T00:00:00Z"],
        ["--machine", "web-1", "--split", "hour"],
    );
    exported(&db, &dataset, &day);
    let by_hours = dir.path().join("hours");
    exported(&db, &by_hours, &hours);
    for hour in files(&by_hours).0 {
        let to = dataset.join(hour.strip_prefix(&by_hours).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(hour, to).unwrap();
    }
    let reader = store::open_reader(&db).unwrap();
    let statements = QUESTIONS.map(|question| statement_for(engine, question));
    let answers = answers(engine, environment, &dataset, &statements);
    let mut found = 0;
    for ((question, theirs), sql) in QUESTIONS.iter().zip(&answers).zip(&statements) {
        let ours = answer(&reader, question);
        let machine = match ours.first() {
            Some(row) if row.get("machine").is_some() => "",
            _ => "machine",
        };
        assert_eq!(
            sorted(&ours, machine),
            sorted(theirs, machine),
            "{question}\n{sql}"
        );
        found += usize::from(!ours.is_empty());
    }
    assert!(found >= QUESTIONS.len() - 3, "only {found} found anything");
}

#[test]
fn machines_are_kept_apart_and_asked_for() {
    let dir = TempDir::new().unwrap();
    let dataset = dir.path().join("dataset");
    let machines = [("web-1", 1, 900), ("web-2", 2, 1100), ("db-1", 3, 700)];
    let (mut histories, mut paths) = (Vec::new(), Vec::new());
    for (name, seed, connections) in machines {
        let db = history(dir.path(), name, seed, connections);
        let role = format!("role={}", name.split('-').next().unwrap());
        exported(
            &db,
            &dataset,
            &[
                "--machine",
                name,
                "--label",
                "cluster=prod",
                "--label",
                &role,
            ],
        );
        histories.push((name, store::open_reader(&db).unwrap()));
        paths.push(db);
    }
    let number = |rows: &[Value], column: &str| -> i64 {
        rows.iter().map(|row| row[column].as_i64().unwrap()).sum()
    };
    let questions = [
        "which machines hit cdn.test",
        "connections per machine to cdn.test",
        "which processes hit cdn.test on machine web-2",
        "which processes hit cdn.test with label role=web",
        "how many machines hit cdn.test in cluster prod",
        "how many pids hit cdn.test",
        "how many lookups were there",
        "what did the users that hit cdn.test resolve",
        "top 2 hosts per machine",
        "top 2 names looked up per machine",
        "top 2 hosts by bytes per process",
    ];
    let statements = Vec::from_iter(questions.iter().map(|question| statement(question)));
    let all = duckdb(&dataset, &statements);
    let hits = |name: &str| {
        let (_, db) = histories.iter().find(|(of, _)| *of == name).unwrap();
        number(&answer(db, "which processes hit cdn.test"), "connections")
    };
    for rows in &all[..2] {
        assert_eq!(rows.len(), 3);
        for row in rows {
            let machine = row["machine"].as_str().unwrap();
            assert_eq!(row["connections"], hits(machine), "{machine}");
        }
    }
    assert_eq!(number(&all[2], "connections"), hits("web-2"));
    assert_eq!(
        number(&all[3], "connections"),
        hits("web-1") + hits("web-2")
    );
    assert_eq!(all[4][0]["number"], 3);
    // What has the same number on two machines is two.
    let of = |question: &str, column: &str| -> i64 {
        let answers = histories.iter().map(|(_, db)| answer(db, question));
        answers.map(|rows| number(&rows, column)).sum()
    };
    assert_eq!(
        all[5][0]["number"],
        of("how many pids hit cdn.test", "number")
    );
    assert_eq!(
        all[6][0]["number"],
        of("how many lookups were there", "number")
    );
    assert_eq!(
        number(&all[7], "lookups"),
        of("what did the users that hit cdn.test resolve", "lookups")
    );
    // The histories themselves, read together, answer as their dataset does.
    let (db, attached) = store::open_readers(&paths).unwrap();
    let of = |Attached { schema, machine }| History { schema, machine };
    let several = (db, attached.into_iter().map(of).collect());
    let of_files = questions
        .iter()
        .filter(|of| !of.contains("prod") && !of.contains("label"));
    let all = Vec::from_iter(QUESTIONS.iter().chain(of_files));
    let statements = Vec::from_iter(all.iter().map(|question| statement(question)));
    for (question, theirs) in all.into_iter().zip(duckdb(&dataset, &statements)) {
        let ours = answer_of_several(&several, question);
        assert_eq!(sorted(&ours, ""), sorted(&theirs, ""), "{question}");
    }
    // ... and `query --dataset` by DuckDB's own program, and by its Python package.
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/bin");
    let python = dir.path().join("python");
    fs::create_dir(&python).unwrap();
    let script = format!("#!/bin/sh\nexec {}/python \"$@\"\n", venv.display());
    fs::write(python.join("python3"), script).unwrap();
    fs::set_permissions(python.join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let ask = |path: &Path, args: &[&str]| {
        let mut query = egrets_with(&["query", "--dataset"]);
        query
            .arg(&dataset)
            .args(args)
            .env("TZ", "UTC")
            .env("PATH", path);
        let output = query.output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)];
        (output.status.code(), said)
    };
    for path in [&venv, &python] {
        let (code, [rows, said]) = ask(path, &["--json", "which machines hit cdn.test"]);
        assert_eq!(code, Some(0), "{said}");
        let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
        let theirs = one(&dataset, &statement("which machines hit cdn.test"));
        assert_eq!(sorted(&Vec::from_iter(rows), ""), sorted(&theirs, ""));
        let (code, [rows, said]) = ask(path, &["last 2 connections on machine web-2"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            rows.contains("MACHINE") && said.contains("2 connections"),
            "{rows}{said}"
        );
        // nothing in a dataset knows of it
        assert!(
            said.contains("does not say when its machines were not recording"),
            "{said}"
        );
        let (code, [_, said]) = ask(path, &["which machines hit nowhere.test"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("does not say which machines were recording"),
            "{said}"
        );
    }
    let (code, [_, said]) = ask(dir.path(), &["which machines hit cdn.test"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("pip install duckdb"), "{said}");
    fs::create_dir(dir.path().join("empty")).unwrap();
    let mut query = egrets_with(&["query", "--lake", "empty", "top hosts"]);
    let output = query
        .current_dir(dir.path())
        .env("PATH", &venv)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("No files found"), "{said}");
    // Whose rows they are, with types.
    let whose = one(
        &dataset,
        "SELECT machine, count(DISTINCT history) AS histories, any_value(labels['role']) AS role,
                CAST(min(timestamp) AS DATE) = min(day) AS same, any_value(typeof(timestamp)) AS type
         FROM egress GROUP BY machine ORDER BY machine",
    );
    assert_eq!(
        whose[0],
        json!({"machine": "db-1", "histories": 1, "role": "db", "same": true, "type": "TIMESTAMP WITH TIME ZONE"})
    );
}

#[test]
fn several_histories_are_asked_by_a_pattern() {
    let dir = TempDir::new().unwrap();
    for (name, seed) in [("web-1", 1), ("web-2", 2)] {
        history(dir.path(), name, seed, 300);
    }
    let ask = |pattern: &str, args: &[&str]| {
        let mut query = egrets_with(&["query", "--db", pattern]);
        query.args(args).current_dir(dir.path()).env("TZ", "UTC");
        let output = query.output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)];
        (output.status.code(), said)
    };
    let (code, [rows, notes]) = ask("*.db", &["which machines hit cdn.test"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(rows.contains("web-1 ") && rows.contains("web-2 "), "{rows}");
    for note in [
        "2 machines",
        "note: web-1, web-2: recorded until 2026-11-24 05:59:59",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    // what is said of others is not about an answer of one
    let (_, [rows, notes]) = ask("*.db", &["last 3 connections on machine web-2"]);
    assert!(
        rows.contains("MACHINE") && !rows.contains("web-1"),
        "{rows}"
    );
    assert!(
        notes.contains("web-2: recorded until") && !notes.contains("web-1"),
        "{notes}"
    );
    // a machine whose history begins later was not watched before
    let writer = rusqlite::Connection::open(dir.path().join("web-2.db")).unwrap();
    let later = "UPDATE recording SET start_ts = ?1";
    writer.execute(later, [NOW - 7200 * SECOND]).unwrap();
    drop(writer);
    let (code, [_, notes]) = ask("web-?.db", &["what did wget talk to"]);
    assert_eq!(code, Some(1), "{notes}");
    for note in [
        "egrets was not seeing everything",
        "note: web-2: recorded from 2026-11-24 04:00:00",
        "these histories have no process wget",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    for (args, words) in [
        (
            &["connections on machine db-1"][..],
            "they are of web-1, web-2",
        ),
        (&["connections with label a=b"], "histories have no labels"),
        (&["open connections"], "known on each machine alone"),
        (&["--sql", "top hosts"], "for one history"),
    ] {
        let (code, [_, said]) = ask("*.db", args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let (code, [_, said]) = ask("*.sqlite", &["top hosts"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no file matches *.sqlite"), "{said}");
    let (_, [_, said]) = ask(".", &["top hosts"]);
    assert!(said.contains("--db './*.db'"), "{said}");
    // one of many is no history, and more than can be attached
    fs::write(
        dir.path().join("x.db"),
        "not a database, but longer than a header of one",
    )
    .unwrap();
    let (code, [_, said]) = ask("*.db", &["top hosts"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("x.db is not a SQLite database"), "{said}");
    for number in 0..126 {
        let link = dir.path().join(format!("many-{number}.db"));
        fs::hard_link(dir.path().join("web-1.db"), link).unwrap();
    }
    let (code, [_, said]) = ask("many-*.db", &["top hosts"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("126 histories, and 125 can be read at once"),
        "{said}"
    );
    fs::remove_file(dir.path().join("many-0.db")).unwrap();
    let (code, [rows, notes]) = ask("many-*.db", &["how many connections to cdn.test"]);
    assert_eq!(code, Some(0), "{notes}");
    let (_, [one, _]) = ask("web-1.db", &["how many connections to cdn.test", "--json"]);
    let one: Value = serde_json::from_str(&one).unwrap();
    let all = 125 * one["number"].as_i64().unwrap();
    assert!(rows.contains(&all.to_string()), "{rows}");
    assert!(notes.contains("note: web-1: recorded until"), "{notes}");
}

#[test]
fn files_have_every_row_with_its_types_statistics_and_bloom_filters() {
    let dir = TempDir::new().unwrap();
    let db = history(dir.path(), "one", 5, 2000);
    let dataset = dir.path().join("dataset");
    let said = exported(&db, &dataset, &["--machine", "web-1"]);
    // 30 hours before 06:00 of the second day
    assert!(said.contains(" rows in 6 files, "), "{said}");
    let (named, others) = files(&dataset);
    assert_eq!((named.len(), others.len()), (6, 0));
    let at = named[0].strip_prefix(&dataset).unwrap().to_str().unwrap();
    assert!(
        at.starts_with("table=dns/day=2026-11-23/machine=web-1/") && at.ends_with(".parquet"),
        "{at}"
    );
    // every column of every row
    let reader = store::open_reader(&db).unwrap();
    for view in ["egress", "dns", "lookups", "verdicts"] {
        let columns = reader.prepare(&format!("SELECT * FROM {view}")).unwrap();
        let columns = Vec::from_iter(columns.column_names().map(str::to_owned));
        let digest = |blob: &str, column: &String| match column.as_str() {
            "dst_addr" => format!("lower(hex({blob})) AS {column}"),
            column => format!("\"{column}\""),
        };
        let chosen = Vec::from_iter(columns.iter().map(|column| digest("dst_addr", column)));
        let sql = format!("SELECT {} FROM {view} ORDER BY id, ts", chosen.join(", "));
        let mut statement = reader.prepare(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut ours = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let value = |(at, name): (usize, &String)| {
                let value = query::json_value(row.get_ref(at).unwrap());
                (name.clone(), serde_json::from_str(&value).unwrap())
            };
            ours.push(Value::Object(
                columns.iter().enumerate().map(value).collect(),
            ));
        }
        let theirs = one(&dataset, &sql);
        assert!(ours.len() > 200, "{view}");
        assert_eq!(sorted(&ours, ""), sorted(&theirs, ""), "{view}");
    }
    let files = format!("'{}/table=egress/*/*/*.parquet'", dataset.display());
    let metadata = one(
        &dataset,
        &format!(
            "SELECT path_in_schema AS name, any_value(type) AS type, any_value(compression) AS compression,
                    bool_and(stats_min_value IS NOT NULL) AS stats, bool_and(bloom_filter_offset IS NOT NULL) AS bloom
             FROM parquet_metadata({files}) WHERE name IN ('host', 'dst_ip', 'comm', 'exe_sha256', 'ts', 'exe')
             GROUP BY name ORDER BY name"
        ),
    );
    for column in &metadata {
        let name = column["name"].as_str().unwrap();
        assert_eq!(column["compression"], "ZSTD");
        assert_eq!(column["stats"], name != "exe_sha256", "{name}");
        assert_eq!(column["bloom"], !["ts", "exe"].contains(&name), "{name}");
    }
    assert_eq!(metadata.len(), 6);
    let types = one(
        &dataset,
        &format!(
            "SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM read_parquet({files}))"
        ),
    );
    for (name, wanted) in [
        ("ts", "BIGINT"),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("raw", "BOOLEAN"),
        ("alpn", "VARCHAR[]"),
        ("dst_addr", "BLOB"),
        ("src_addr", "BLOB"),
        ("labels", "MAP(VARCHAR, VARCHAR)"),
        ("machine_id", "VARCHAR"),
    ] {
        let column = types.iter().find(|column| column["name"] == name);
        assert_eq!(
            column.unwrap_or_else(|| panic!("{name}"))["type"],
            wanted,
            "{name}"
        );
    }
}

#[test]
fn bad_places_and_options_are_refused() {
    let dir = TempDir::new().unwrap();
    let db = history(dir.path(), "one", 1, 50);
    let dataset = dir.path().join("dataset");
    exported(&db, &dataset, &[]);
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for (dataset, args, words) in [
        (&dataset, &[][..], ".parquet exists; --force replaces it"),
        (
            &dataset,
            &["--split", "hour"],
            "has this history's rows by the day",
        ),
        (
            &dataset,
            &["--label", "prod"],
            "a label is written as KEY=VALUE",
        ),
        (
            &dataset,
            &["--label", "a=1", "--label", "a=2"],
            "label a is given twice",
        ),
        (&dataset, &["top 3 hosts"], "ranks, groups or compares"),
        (&file, &[], "is not a directory"),
        (&PathBuf::from("-"), &[], "not to standard output"),
        (&file.join("below"), &[], "can't create the directory"),
    ] {
        let output = export(&db, dataset, args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    exported(&db, &dataset, &["--force"]);
    for (args, words) in [
        (
            &["export", "-o", "x.parquet"][..],
            "--format parquet --output DIRECTORY",
        ),
        (
            &["export", "-o", "x", "--split", "hour"],
            "goes with --format parquet",
        ),
        (
            &["export", "-o", "x", "--machine", "a"],
            "goes with --format parquet",
        ),
        (
            &["export", "-o", "a*", "--ddl", "duckdb"],
            "stands for others",
        ),
        (
            &["query", "--sql=duckdb", "open connections"],
            "is known on each machine",
        ),
        (
            &["query", "--sql=duckdb", "beacons"],
            "found on each machine",
        ),
        (
            &["query", "--sql=duckdb", "what did children of make talk to"],
            "ancestors of processes are known on each machine",
        ),
        (
            &["query", "--sql=duckdb", "connections since boot"],
            "started at another time",
        ),
        (
            &["query", "--sql=duckdb", "top 3 ports per machine"],
            "on machine NAME",
        ),
    ] {
        let output = egrets_with(args).current_dir(dir.path()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

/// EGRETS_KILLS is how often.
#[test]
fn a_killed_export_leaves_whole_files_alone_and_the_next_completes_them() {
    let kills = std::env::var("EGRETS_KILLS").map_or(4, |n| n.parse().unwrap());
    let dir = TempDir::new().unwrap();
    let db = history(dir.path(), "one", 9, 12_000);
    let reader = store::open_reader(&db).unwrap();
    let rows = |of: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM egress{of}");
        reader.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let dataset = dir.path().join("dataset");
    let started = Instant::now();
    exported(&db, &dataset, &["--split", "hour"]);
    let whole = started.elapsed();
    let (complete, _) = files(&dataset);
    let mut interrupted = 0;
    for n in 0..kills {
        if n % 2 == 0 {
            fs::remove_dir_all(&dataset).unwrap();
        }
        let mut child = egrets_with(&[
            "export", "--format", "parquet", "--split", "hour", "--force", "--db",
        ])
        .arg(&db)
        .arg("--output")
        .arg(&dataset)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        thread::sleep(whole * (n * 37 % 97 + 2) / 100);
        child.kill().unwrap();
        interrupted += i32::from(child.wait().unwrap().signal() == Some(9));
        let (named, _) = files(&dataset);
        let of_egress = |path: &&PathBuf| path.starts_with(dataset.join("table=egress"));
        if named.iter().any(|path| of_egress(&path)) {
            // Each file with a name has all rows of its hour, once.
            let sums = "SELECT CAST(ts // 3600000000000 AS VARCHAR) AS hour, count(*) AS n, count(DISTINCT id) AS ids
                        FROM read_parquet('@/table=egress/*/*/*.parquet') GROUP BY ALL";
            let sums = sums.replace('@', dataset.to_str().unwrap());
            for hour in raw(&sums) {
                let number: i64 = hour["hour"].as_str().unwrap().parse().unwrap();
                let here = rows(&format!(" WHERE ts / 3600000000000 = {number}"));
                assert_eq!((&hour["n"], &hour["ids"]), (&json!(here), &json!(here)));
            }
        }
    }
    assert!(interrupted > 0, "none was killed before its end");
    exported(&db, &dataset, &["--split", "hour", "--force"]);
    let (named, _) = files(&dataset);
    assert_eq!(named, complete);
    let all = one(
        &dataset,
        "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM egress",
    );
    assert_eq!(all[0], json!({"n": rows(""), "ids": rows("")}));
}

#[test]
fn a_full_disk_leaves_no_part_of_a_file() {
    let dir = TempDir::new().unwrap();
    let db = history(dir.path(), "one", 1, 12_000);
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| {
        let status = Command::new(args[0]).args(&args[1..]).arg(&disk).status();
        assert!(status.unwrap().success());
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs"]);
    let output = export(&db, &disk, &[]);
    let (named, others) = files(&disk);
    mount(&["umount"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("can't be written and was removed") && said.contains("No space left"),
        "{said}"
    );
    // Those that were complete before stay.
    let failed = named
        .iter()
        .any(|path| said.contains(path.to_str().unwrap()));
    assert!(
        !failed && named.len() < 2 && others.is_empty(),
        "{named:?} {others:?}"
    );
}
