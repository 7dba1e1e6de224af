//! Retention, on histories of known size.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rusqlite::Connection as Db;

use super::super::Store;
use super::super::orphans::ACCOUNT_OF_PROCESS;
use super::super::removal::{EXEMPT, ROWS};
use super::super::retention::used;
use super::super::usage::{
    CONNECTION, CONNECTION_DAILY, LOOKUP, LOOKUP_DAILY, OF_ANSWER, OF_CONNECTION_GROUP,
    OF_LOOKUP_GROUP, OF_PROCESS, RIVAL,
};
use super::support::{self, number, texts};
use crate::model::builders::{connection, lookup};
use crate::model::{Ancestor, Executable, Name, Outcome, Process, Progress, Record, Rival, Source};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_795_442_400 * SECOND;

/// A new history, in a directory that must outlive it.
fn history() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = support::open(&dir.path().join("e.db"), START);
    (dir, store)
}

/// Commits 100 connections for each second; returns the longest commit.
fn record(store: &mut Store, seconds: std::ops::Range<i64>) -> Duration {
    let mut slowest = Duration::ZERO;
    for second in seconds {
        for n in 0..100 {
            let mut c = connection("curl");
            c.number = (second * 100 + n + 1) as u64;
            c.ts = START + second * SECOND + n;
            let process = Rc::get_mut(&mut c.process).unwrap();
            process.serial = second as u64;
            let serial = process.serial;
            process.executable = Some(Rc::new(Executable { serial }));
            store.add(&Record::Closed(c));
        }
        let begun = Instant::now();
        store.commit(START + second * SECOND).unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

#[test]
fn rows_older_than_keep_are_removed_and_reported_as_a_gap() {
    let (_dir, mut store) = history();
    store.retention.age = Some(Duration::from_secs(50));
    record(&mut store, 0..200);
    let oldest = number(&store.db, "SELECT min(ts) FROM connection");
    assert!(oldest >= START + 149 * SECOND, "{}", oldest - START);
    let left = number(&store.db, "SELECT count(*) FROM connection");
    let removed = number(&store.db, "SELECT lost FROM gaps WHERE kind = 'retention'");
    assert_eq!(left + removed, 20_000);
    assert_eq!(
        number(&store.db, "SELECT count(*) FROM pragma_foreign_key_check"),
        0
    );
    let processes = number(&store.db, "SELECT count(*) FROM process");
    assert_eq!(
        processes,
        (left + 99) / 100,
        "a process is removed with its last row"
    );
    let executables = number(&store.db, "SELECT count(*) FROM executable");
    assert_eq!(executables, processes, "and its executable with it");
}

#[test]
fn while_the_clock_is_doubted_nothing_is_removed_by_its_age() {
    let (_dir, mut store) = history();
    store.retention.age = Some(Duration::from_secs(50));
    record(&mut store, 0..10);
    store.remove_by_age = false;
    store.commit(START + 86_400 * 40 * SECOND).unwrap();
    assert_eq!(number(&store.db, "SELECT count(*) FROM connection"), 1000);
    store.remove_by_age = true;
    store.commit(START + 86_400 * 40 * SECOND).unwrap();
    assert!(number(&store.db, "SELECT count(*) FROM connection") < 1000);
}

#[test]
fn a_file_stays_below_max_size_and_returns_space() {
    let (dir, mut store) = history();
    record(&mut store, 0..300);
    let before = used(&store.db).unwrap();
    store.retention.bytes = Some(1 << 20);
    let pause = record(&mut store, 300..400);
    eprintln!("slowest commit: {pause:?}");
    // On a busy machine a commit may have time for a single step only.
    for _ in 0..300 {
        store.commit(START + 400 * SECOND).unwrap();
    }
    assert!(before > 2 << 20, "{before}");
    assert!(used(&store.db).unwrap() <= (1 << 20) + 100_000);
    store.finish(START + 400 * SECOND).unwrap();
    let size = std::fs::metadata(dir.path().join("e.db")).unwrap().len();
    assert!(size < 3 << 19, "{size} after {before}");
}

/// Each lookup has a process, a name and an answer's name of its own: all go with it.
#[test]
fn a_file_of_lookups_alone_stays_below_max_size() {
    let (_dir, mut store) = history();
    store.retention.bytes = Some(1 << 20);
    for second in 0..60 {
        for n in 0..100 {
            let number = second * 100 + n + 1;
            let mut l = lookup(&format!("host{number}.example.com"), "192.0.2.1");
            (l.number, l.ts) = (number as u64, START + second * SECOND + n);
            l.answers[0].name = format!("alias{number}.example.com").into();
            let process = std::rc::Rc::get_mut(&mut l.process).unwrap();
            process.serial = number as u64;
            process.cmdline = Some("x".repeat(200));
            store.add(&Record::Lookup(l));
        }
        store.commit(START + second * SECOND).unwrap();
    }
    for _ in 0..300 {
        store.commit(START + 60 * SECOND).unwrap();
    }
    let used = used(&store.db).unwrap();
    assert!(used <= (1 << 20) + 100_000, "{used}");
    assert!(number(&store.db, "SELECT count(*) FROM lookup") > 100);
    let processes = number(&store.db, "SELECT count(*) FROM process");
    assert_eq!(processes, number(&store.db, "SELECT count(*) FROM lookup"));
}

#[test]
fn retained_totals_do_not_crowd_out_recent_connections() {
    const DAY: i64 = 86_400 * SECOND;
    let (_dir, mut store) = history();
    store.retention.bytes = Some(1 << 20);
    store.retention.summary = Some(Duration::from_secs(365 * 86_400));
    for day in 0..60 {
        for n in 0..200 {
            let mut c = connection("curl");
            c.number = (day * 200 + n + 1) as u64;
            c.ts = START + day * DAY + n;
            let process = std::rc::Rc::get_mut(&mut c.process).unwrap();
            process.serial = c.number;
            store.add(&Record::Closed(c));
        }
        store.commit(START + day * DAY + SECOND).unwrap();
    }
    for _ in 0..300 {
        store.commit(START + 60 * DAY).unwrap();
    }
    assert!(used(&store.db).unwrap() <= 1 << 20);
    let left = number(&store.db, "SELECT count(*) FROM connection");
    let totals = number(&store.db, "SELECT count(*) FROM connection_daily");
    // a step removes twice what its commit has written
    let step = (2 * 200).max(ROWS);
    assert!(
        200 < left && left < totals && totals <= 2 * (left + step),
        "{left} of {totals}"
    );
    assert_eq!(
        number(&store.db, "SELECT max(ts) FROM connection"),
        START + 59 * DAY + 199
    );
}

#[test]
fn open_connections_are_kept_and_counted_until_they_end() {
    let (_dir, mut store) = history();
    store.retention.age = Some(Duration::from_secs(50));
    let mut long = connection("vpn");
    (long.number, long.ts) = (1, START - SECOND);
    store.add(&Record::Opened(long.clone()));
    store.commit(START).unwrap();
    record(&mut store, 1..200);
    long.tx_bytes = Some(12_345);
    store.add(&Record::Progress(Progress {
        connection: long.clone(),
        ts: START + 200 * SECOND,
        due: false,
    }));
    record(&mut store, 200..210);
    let sent = |store: &Store, view: &str| {
        let sql = format!("SELECT coalesce(sum(tx_bytes), 0) FROM {view} WHERE comm = 'vpn'");
        number(&store.db, &sql)
    };
    for view in ["egress", "egress_daily", "egress_total"] {
        assert_eq!(sent(&store, view), 12_345, "{view}");
    }
    let others = number(&store.db, "SELECT min(ts) FROM connection WHERE id > 1");
    assert!(others >= START + 159 * SECOND, "{}", others - START);
    store.add(&Record::Closed(long));
    record(&mut store, 210..212);
    for view in ["egress", "egress_daily", "egress_total"] {
        assert_eq!(sent(&store, view), 0, "{view}");
    }
}

#[test]
fn at_most_4096_open_connections_are_exempt_the_oldest_first() {
    let (_dir, mut store) = history();
    let most = EXEMPT as i64;
    for id in 1..=most + 300 {
        let mut c = connection("curl");
        (c.number, c.ts) = (id as u64, START + id);
        store.add(&Record::Opened(c));
    }
    store.retention.age = Some(Duration::from_secs(1));
    for _ in 0..10 {
        store.commit(START + 60 * SECOND).unwrap();
    }
    assert_eq!(number(&store.db, "SELECT count(*) FROM connection"), most);
    assert_eq!(number(&store.db, "SELECT max(id) FROM connection"), most);
}

#[test]
fn a_connection_stays_when_the_lookup_that_named_it_is_removed() {
    let (_dir, mut store) = history();
    record(&mut store, 0..1);
    store
        .db
        .execute_batch(&format!(
            "INSERT INTO lookup_group (id, transport, status) VALUES (7, 'udp', 'answered');
             INSERT INTO lookup (id, ts, group_id) VALUES (7, {}, 7);
             UPDATE connection SET lookup_id = 7",
            START - 3600 * SECOND
        ))
        .unwrap();
    store.retention.age = Some(Duration::from_secs(60));
    store.commit(START + SECOND).unwrap();
    assert_eq!(number(&store.db, "SELECT count(*) FROM lookup"), 0);
    assert_eq!(
        number(
            &store.db,
            "SELECT count(*) FROM egress WHERE lookup_id IS NULL"
        ),
        100
    );
}

const FLOODER: u32 = 4321;
const OTHER: u32 = 1000;

/// One of a user's programs, with what started it.
fn of_user(process: &mut Rc<Process>, uid: u32, serial: u64) {
    let started = |serial, parent| Ancestor {
        serial,
        pid: 1,
        start_ns: 1,
        comm: "sh".into(),
        exe: Some("/usr/bin/sh".into()),
        exe_is_trusted: false,
        cmdline: Some(format!("sh -c {}", "x".repeat((serial % 90) as usize))),
        parent,
    };
    let process = Rc::get_mut(process).unwrap();
    (process.serial, process.uid, process.account) = (serial, uid, uid);
    process.cmdline = Some(format!("curl https://{serial}.example/?\u{20ac}"));
    let above = started(2_000_000 + u64::from(uid), None);
    process.parent = Some(Rc::new(started(1_000_000 + serial, Some(Rc::new(above)))));
}

/// A connection and a lookup of a user, with texts of their own.
fn act(store: &mut Store, number: i64, uid: u32, ts: i64) {
    let serial = u64::from(uid) * 10 + number as u64 % 7;
    let mut l = lookup(&format!("host{}.example", number % 13), "192.0.2.1");
    (l.number, l.ts) = (number as u64, ts);
    l.answers[0].name = format!("alias{}.example", number % 5).into();
    of_user(&mut l.process, uid, serial);
    store.add(&Record::Lookup(l));
    let mut c = connection("curl");
    (c.number, c.ts) = (number as u64, ts + 1);
    of_user(&mut c.process, uid, serial);
    c.name = Some(Name {
        host: format!("host{}.example", number % 13).into(),
        source: Source::Process,
        age_ms: Some(1),
        rivals: 1,
        rival_names: vec![Rival {
            host: "rival.example".into(),
            lookup: None,
        }],
        lookup: Some(number as u64),
    });
    store.add(&Record::Closed(c));
}

/// What each account has by the rows themselves, and by the table.
fn usage(db: &Db) -> [Vec<String>; 2] {
    let rows = format!(
        "SELECT account, {CONNECTION} FROM connection JOIN connection_daily d ON d.id = daily_id UNION ALL
         SELECT account, {RIVAL} FROM rival JOIN connection c ON c.id = connection_id
             JOIN connection_daily d ON d.id = daily_id UNION ALL
         SELECT account, {CONNECTION_DAILY} FROM connection_daily UNION ALL
         SELECT account, {LOOKUP_DAILY} + {LOOKUP} * lookups FROM lookup_daily UNION ALL
         SELECT {ACCOUNT_OF_PROCESS}, {OF_CONNECTION_GROUP} FROM connection_group UNION ALL
         SELECT {ACCOUNT_OF_PROCESS}, {OF_LOOKUP_GROUP} FROM lookup_group UNION ALL
         SELECT (SELECT {ACCOUNT_OF_PROCESS} FROM lookup l JOIN lookup_group g ON g.id = l.group_id
                 WHERE l.id = lookup_id), {OF_ANSWER} FROM answer UNION ALL
         SELECT account, {OF_PROCESS} FROM process"
    );
    let sum = format!(
        "WITH rows (account, bytes) AS ({rows})
         SELECT account || ' ' || sum(bytes) FROM rows GROUP BY account"
    );
    let table = "SELECT uid || ' ' || bytes FROM account WHERE bytes <> 0 ORDER BY uid";
    [texts(db, &sum), texts(db, table)]
}

#[test]
fn user_with_more_than_a_share_loses_the_oldest_of_their_own_rows() {
    let (_dir, mut store) = history();
    // some of each, some in the midst of the flood
    let is_others = |number: i64| number <= 300 || number % 100 == 0;
    let count = 9_000;
    store.retention.bytes = Some(1 << 20);
    for number in 1..=count {
        let uid = match is_others(number) {
            true => OTHER,
            false => FLOODER,
        };
        act(&mut store, number, uid, START + number * SECOND);
        if number % 100 == 0 {
            store.commit(START + number * SECOND).unwrap();
        }
    }
    for _ in 0..100 {
        store.commit(START + count * SECOND).unwrap();
    }
    let of = |uid: u32, table: &str, what: &str| {
        let sql = format!(
            "SELECT {what} FROM {table} JOIN process p ON p.id = process_id WHERE p.uid = {uid}"
        );
        number(&store.db, &sql)
    };
    let connection = "connection JOIN connection_daily d ON d.id = daily_id JOIN connection_group g ON g.id = d.group_id";
    let lookup = "lookup l JOIN lookup_group g ON g.id = l.group_id";
    let others = (1..=count).filter(|n| is_others(*n)).count() as i64;
    let mut left = 0;
    for (table, id) in [(connection, "connection.id"), (lookup, "l.id")] {
        assert_eq!(of(OTHER, table, "count(*)"), others, "{table}");
        // the newest ones, without a gap but for the other's
        let kept = of(FLOODER, table, "count(*)");
        let first = of(FLOODER, table, &format!("min({id})"));
        let between = (first..=count).filter(|n| !is_others(*n)).count() as i64;
        assert_eq!(kept, between, "{table}");
        assert!(kept > 100 && kept < count / 2, "{kept}");
        left += kept;
    }
    assert!(used(&store.db).unwrap() <= (1 << 20) + 100_000);
    let gaps = "SELECT kind || ' ' || lost || ' ' || why FROM gaps";
    assert_eq!(
        texts(&store.db, gaps),
        [format!(
            "share {} removed: those of user id {FLOODER} were more than a user's share",
            2 * (count - others) - left
        )]
    );
    let span = "SELECT from_ts || ' ' || to_ts FROM gaps";
    let newest = number(&store.db, "SELECT to_ts FROM gaps");
    assert_eq!(
        texts(&store.db, span),
        [format!("{} {newest}", START + 301 * SECOND)]
    );
    let [rows, table] = usage(&store.db);
    assert_eq!(rows, table);
    assert_eq!(table.len(), 2);
    // all of it goes, and is counted
    store.retention.age = Some(Duration::from_secs(1));
    for _ in 0..200 {
        store.commit(START + 2 * count * SECOND).unwrap();
    }
    assert_eq!(number(&store.db, "SELECT count(*) FROM process"), 0);
    assert_eq!(usage(&store.db), [vec![], Vec::<String>::new()]);
}

#[test]
fn totals_that_a_later_outcome_has_emptied_push_out_no_others() {
    let (_dir, mut store) = history();
    store.retention.bytes = Some(1 << 20);
    for number in 1..=100 {
        act(&mut store, number, OTHER, START + number * SECOND);
    }
    let mut attempts = Vec::new();
    for number in 101..=9_000 {
        let mut c = connection("curl");
        of_user(&mut c.process, FLOODER, 1);
        (c.number, c.ts) = (number, START + number as i64 * SECOND);
        c.dst.port = number as u16;
        c.outcome = Outcome::InProgress;
        store.add(&Record::Opened(c.clone()));
        attempts.push(c);
        if number % 100 == 0 {
            store.commit(START + number as i64 * SECOND).unwrap();
            for mut c in attempts.drain(..) {
                c.outcome = Outcome::Refused;
                store.add(&Record::Closed(c));
            }
        }
    }
    for _ in 0..100 {
        store.commit(START + 9_000 * SECOND).unwrap();
    }
    let others = "SELECT count(*) FROM connection JOIN connection_daily d ON d.id = daily_id WHERE account = 1000";
    assert_eq!(number(&store.db, others), 100);
    assert!(used(&store.db).unwrap() <= (1 << 20) + 100_000);
    let [rows, table] = usage(&store.db);
    assert_eq!(rows, table);
}
