//! Rollups give the same answers as the single rows.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::types::Value;

use super::super::fixture::{SECOND, request};
use super::super::sql::{Zone, statement};
use super::*;
use crate::model::builders::{connection, lookup};
use crate::model::{Lookup, Name, Outcome, Record, Source};
use crate::store::tests::support;
use crate::store::{Store, open_reader};

const DAY: i64 = 86_400 * SECOND;
/// A few days before now.
const START: i64 = super::super::fixture::NOW - 6 * DAY;

/// One question for each projection that rollups can answer, and for each predicate.
const QUESTIONS: [&str; 34] = [
    "which processes hit example.com",
    "which containers hit example.com",
    "which users reached 192.0.2.0/24",
    "what did program1 talk to",
    "which IPs did program0 reach",
    "which ports did program2 connect to",
    "which processes connected to raw IPs",
    "how many connections did program1 make",
    "how many hosts did program1 reach",
    "how many processes hit example.com",
    "how much did program0 send to example.com",
    "top 3 hosts",
    "top processes by bytes",
    "what did program1 talk to on port 443",
    "which processes were refused by example.com",
    "which images talked to example.com",
    "which processes hit example.com over tcp",
    "which processes resolved example.com",
    "which users resolved h1.example.com",
    "what did program1 resolve",
    "how many names did program0 resolve",
    "which lookups failed",
    "how many lookups did program1 make",
    "top 3 names",
    "which hosts are new since 2026-11-19",
    "which processes are new since 2026-11-20",
    "how many hosts are new since 2026-11-19",
    "which names did program1 resolve that are new since 2026-11-19",
    "connections per day",
    "which processes hit example.com per day",
    "top 2 hosts per week",
    "traffic per month",
    "lookups per day",
    "which names did program1 resolve per day",
];

/// A connection: how long after the last one, by which process, to which host, how it ended.
#[derive(Debug, Clone)]
struct Dial {
    later: i64,
    process: u64,
    host: u8,
    end: u8,
    bytes: Option<u64>,
    /// It ends a few batches later.
    long: bool,
}

fn dial() -> impl Strategy<Value = Dial> {
    (
        0..DAY / 3,
        0..3_u64,
        0..5_u8,
        0..4_u8,
        prop::option::of(0..1_000_u64),
        any::<bool>(),
    )
        .prop_map(|(later, process, host, end, bytes, long)| Dial {
            later,
            process,
            host,
            end,
            bytes,
            long,
        })
}

fn record(dial: &Dial, number: u64, ts: i64) -> crate::model::Connection {
    let mut c = connection(&format!("program{}", dial.process));
    (c.number, c.ts) = (number, ts);
    if let Some(process) = Rc::get_mut(&mut c.process) {
        process.serial = dial.process;
        process.uid = dial.process as u32 % 2;
    }
    c.dst.ip = [192, 0, 2, dial.host / 2].into();
    c.name = (dial.host > 0).then(|| Name {
        host: format!("h{}.example.com", dial.host).into(),
        source: Source::Process,
        age_ms: None,
        lookup: None,
        rivals: 0,
        rival_names: Vec::new(),
    });
    c
}

/// The lookup before a connection.
fn looked_up(dial: &Dial, c: &crate::model::Connection) -> Lookup {
    let name = c.name.as_ref().map_or("h0.example.com", |name| &name.host);
    let mut lookup = lookup(name, "192.0.2.7");
    (lookup.number, lookup.ts) = (c.number, c.ts - 1_000_000);
    lookup.process = Rc::clone(&c.process);
    if dial.end == 0 {
        lookup.rcode = Some("NXDOMAIN".to_owned());
    }
    lookup
}

fn end(dial: &Dial, c: &mut crate::model::Connection) {
    (c.outcome, c.errno) = match dial.end {
        0 => (Outcome::Refused, Some(libc::ECONNREFUSED)),
        1 => (Outcome::InProgress, None),
        _ => (Outcome::Connected, None),
    };
    (c.tx_bytes, c.rx_bytes) = (dial.bytes, dial.bytes.map(|n| n * 7));
}

/// Writes a history, a few connections per batch, with retention by age. Returns the start of
/// the last connection.
fn write(path: &std::path::Path, dials: &[Dial], keep: Option<i64>, summary: Option<i64>) -> i64 {
    let mut store = support::open(path, START);
    store.retention.age = keep.map(|ns| Duration::from_nanos(ns as u64));
    store.retention.summary = summary.map(|ns| Duration::from_nanos(ns as u64));
    let mut now = START;
    let mut open = Vec::new();
    for (n, dial) in dials.iter().enumerate() {
        now += dial.later;
        let mut c = record(dial, n as u64 + 1, now);
        store.add(&Record::Lookup(looked_up(dial, &c)));
        store.add(&Record::Opened(c.clone()));
        end(dial, &mut c);
        match dial.long {
            true => open.push(c),
            false => store.add(&Record::Closed(c)),
        }
        if n % 3 == 2 {
            store.commit(now).unwrap();
        }
        if n % 7 == 6 {
            open.drain(..).for_each(|c| store.add(&Record::Closed(c)));
        }
    }
    open.drain(..).for_each(|c| store.add(&Record::Closed(c)));
    finish(store, now);
    now
}

/// Each commit has a time budget for removal: on a busy machine that is a single step, and a
/// step removes the rollups of one day.
fn finish(mut store: Store, now: i64) {
    for _ in 0..100 {
        store.commit(now).unwrap();
    }
    store.finish(now).unwrap();
}

fn rows(db: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = db.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

static PARSED: LazyLock<Vec<(&str, Question)>> = LazyLock::new(|| {
    let parsed = |text: &&'static str| (*text, request(text, OutputFormat::Json, None).question);
    QUESTIONS.iter().map(parsed).collect()
});

fn answers_agree(db: &Connection, since: Option<i64>, until: Option<i64>) {
    // Days like the recorder's, other days, and one of 25 hours.
    let zones = [
        (vec![], 0),
        (vec![], 19_800),
        (vec![(START / SECOND + 2 * 86_400, 3_600)], 0),
    ];
    let zones = zones.map(|(before, last)| Zone { before, last });
    for (text, question) in PARSED.iter() {
        for zone in &zones[..if question.bucket.is_some() { 3 } else { 1 }] {
            let [rollups, single] = [true, false]
                .map(|use_rollups| statement(question, since, until, zone, use_rollups));
            assert_ne!(rollups, single, "{text}: no rollups are read");
            assert_eq!(
                rows(db, &rollups),
                rows(db, &single),
                "{text} from {since:?} to {until:?}, {zone:?}"
            );
        }
    }
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn clock_set_back_loses_nothing_and_mixes_no_days() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let mut id = 0;
    // Within a recording, and from one to the next.
    for hops in [[0, 30, 5, 29], [3, 2, 50, 1], [49, 0, 0, 26]] {
        let mut store = support::open(&path, START + hops[0] * DAY / 24);
        let first = store.run().first_connection;
        assert_eq!(first, id + 1);
        for hop in hops {
            let now = START + hop * DAY / 24;
            for process in 0..3 {
                id += 1;
                let dial = Dial {
                    later: 0,
                    process,
                    host: 1,
                    end: 2,
                    bytes: Some(9),
                    long: false,
                };
                let mut c = record(&dial, (id - first + 1) as u64, now);
                end(&dial, &mut c);
                store.add(&Record::Opened(c));
            }
            store.commit(now).unwrap();
        }
        let last = START + hops[3] * DAY / 24;
        store.finish(last).unwrap();
    }
    let db = open_reader(&path).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM egress"), id);
    assert_eq!(number(&db, "SELECT sum(connections) FROM egress_daily"), id);
    let overlaps = "SELECT count(*) FROM days a JOIN days b ON a.start_ts < b.start_ts AND a.end_ts > b.start_ts";
    assert_eq!(number(&db, overlaps), 0);
    answers_agree(&db, None, None);
    answers_agree(&db, Some(START + DAY / 24), Some(START + 2 * DAY));
    answers_agree(&db, Some(START + 4 * DAY / 24), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn rollups_answer_like_single_rows(
        dials in prop::collection::vec(dial(), 1..40),
        keep in prop::option::of(0..3 * DAY),
        spans in prop::collection::vec((0..7 * DAY, 0..7 * DAY), 3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        write(&path, &dials, keep, None);
        let db = open_reader(&path).unwrap();
        answers_agree(&db, None, None);
        let midnight = START.div_euclid(DAY) * DAY;
        answers_agree(&db, Some(midnight + DAY), Some(midnight + 3 * DAY));
        for (a, b) in spans {
            answers_agree(&db, Some(START + a.min(b)), Some(START + a.max(b) + 1));
            answers_agree(&db, Some(START + a), None);
            answers_agree(&db, None, Some(START + b));
        }
        for (table, of, or) in [
            ("process", "process_id", "process_id"),
            ("host", "host_id", "qname_id"),
            ("address", "dst_id", "server_id"),
        ] {
            let left_over = format!(
                "SELECT count(*) FROM {table} WHERE id NOT IN (SELECT {of} FROM connection_group WHERE {of} IS NOT NULL)
                 AND id NOT IN (SELECT {or} FROM lookup_group WHERE {or} IS NOT NULL)"
            );
            prop_assert_eq!(number(&db, &left_over), 0, "stale rows in {}", table);
        }
        prop_assert_eq!(number(&db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    }

    #[test]
    fn rollups_outlive_connections_as_configured(
        dials in prop::collection::vec(dial(), 1..40),
        keep in 0..2 * DAY,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let now = write(&path, &dials, Some(keep), Some(365 * DAY));
        let db = open_reader(&path).unwrap();
        let all = dials.len() as i64;
        for view in ["egress_total", "egress_daily"] {
            prop_assert_eq!(number(&db, &format!("SELECT sum(connections) FROM {view}")), all);
        }
        let left = number(&db, "SELECT count(*) FROM egress");
        let gone = number(&db, "SELECT coalesce(sum(lost), 0) FROM gaps WHERE kind = 'summary'");
        prop_assert_eq!(left + gone, all);
        prop_assert_eq!(number(&db, &format!("SELECT count(*) FROM egress WHERE ts < {}", now - keep)), 0);
        drop(db);
        // A run without options for rollups keeps them.
        let mut store = support::open(&path, now);
        store.retention.age = Some(Duration::from_nanos(keep as u64));
        finish(store, now);
        let db = open_reader(&path).unwrap();
        prop_assert_eq!(number(&db, "SELECT sum(connections) FROM egress_total"), all);
        drop(db);
        // They are removed when their days expire: only what `egress` has is counted.
        let mut store = support::open(&path, now);
        store.retention.age = Some(Duration::from_nanos((keep + 2 * DAY) as u64));
        store.retention.summary = Some(Duration::ZERO);
        finish(store, now + 2 * DAY);
        let db = open_reader(&path).unwrap();
        answers_agree(&db, None, None);
        prop_assert_eq!(number(&db, "SELECT coalesce(sum(connections), 0) FROM egress_total"), left);
    }
}
