//! The recipes of docs/schema.md, run on a history in which each finds something.

use std::net::IpAddr;
use std::rc::Rc;

use super::super::{Store, open_reader};
use super::support;
use crate::model::builders::{connection, lookup};
use crate::model::*;

const SCHEMA: &str = include_str!("../../../docs/schema.md");

/// In 10.0.0.0/8, which a recipe selects.
const PRIVATE: &str = "10.1.2.3";
const PUBLIC: &str = "198.51.100.7";

/// The SQL of the recipes, each with the text before it.
fn recipes() -> Vec<(&'static str, &'static str)> {
    let section = SCHEMA
        .split("\n## ")
        .find_map(|s| s.strip_prefix("Recipes"));
    section
        .unwrap()
        .split("```\n")
        .filter_map(|part| part.split_once("```sql\n"))
        .map(|(words, sql)| (words.trim(), sql))
        .collect()
}

fn ancestor(serial: u64, comm: &str, cmdline: &str, parent: Option<Rc<Ancestor>>) -> Rc<Ancestor> {
    Rc::new(Ancestor {
        serial,
        pid: 1000 + serial as u32,
        start_ns: 0,
        comm: comm.to_owned(),
        exe: None,
        exe_is_trusted: false,
        cmdline: Some(cmdline.to_owned()),
        parent,
    })
}

/// Adds a connection of a new process, after `change`.
fn connect(
    store: &mut Store,
    now: i64,
    ip: &str,
    change: impl FnOnce(&mut Connection, &mut Process),
) {
    let mut c = connection("curl");
    c.number = store.batch.connections.len() as u64 + 1;
    c.ts = now;
    c.dst.ip = ip.parse().unwrap();
    c.outcome = Outcome::Connected;
    (c.tx_bytes, c.rx_bytes) = (Some(700), Some(5300));
    let mut process =
        Rc::into_inner(std::mem::replace(&mut c.process, connection("").process)).unwrap();
    process.serial = 100 + c.number;
    change(&mut c, &mut process);
    c.process = Rc::new(process);
    store.add(&Record::Opened(c));
}

fn look_up(store: &mut Store, ts: i64, server: IpAddr, rcode: &str, comm: &str) -> u64 {
    let mut l = lookup("web.test", PRIVATE);
    (l.number, l.ts) = (store.batch.lookups.len() as u64 + 1, ts);
    let process = Rc::get_mut(&mut l.process).unwrap();
    process.comm = comm.to_owned();
    process.serial = 200 + l.number;
    l.server.ip = server;
    l.rcode = Some(rcode.to_owned());
    let number = l.number;
    store.add(&Record::Lookup(l));
    number
}

/// A history in which every recipe finds something.
pub fn fill(store: &mut Store, now: i64) {
    let stub = "127.0.0.53".parse().unwrap();
    let answered = look_up(store, now, stub, "NOERROR", "curl");
    look_up(
        store,
        now + 1000,
        [192, 0, 2, 53].into(),
        "NOERROR",
        "systemd-resolve",
    );
    look_up(store, now, stub, "NXDOMAIN", "curl");

    let make = ancestor(1, "make", "make all", None);
    let script = ancestor(2, "bash", "bash ./build.sh", Some(make));
    // One of the recipes is about connection 17.
    for _ in 0..17 {
        let rival = Rival {
            host: "other.test".into(),
            lookup: Some(answered),
        };
        connect(store, now, PRIVATE, |c, process| {
            process.parent = Some(script.clone());
            process.session = Some(script.pid);
            process.unit = Some("build.service".to_owned());
            process.login_user = Some("alice".to_owned());
            c.name = Some(Name {
                host: "web.test".into(),
                source: Source::Container,
                age_ms: Some(5),
                lookup: Some(answered),
                rivals: 1,
                rival_names: vec![rival],
            });
        });
    }
    connect(store, now, PUBLIC, |c, _| {
        c.outcome = Outcome::Refused;
        c.errno = Some(libc::ECONNREFUSED);
        c.duration_us = Some(300);
    });
    let container = Container {
        uid: 0,
        serial: 1,
        id: "0123456789abcdef".repeat(4),
        runtime: Some("containerd"),
        outer: None,
    };
    let details = ContainerDetails {
        pod: Some("web-0".to_owned()),
        pod_namespace: Some("shop".to_owned()),
        ..ContainerDetails::default()
    };
    let update = ContainerUpdate {
        container: Rc::new(container),
        details: details.into(),
    };
    store.add(&Record::Container(update.clone()));
    connect(store, now, PRIVATE, |_, process| {
        process.container = Some(update.container);
    });
    for (kind, lost, why) in [
        (GapKind::Dns, 3, "the ring buffer was full"),
        (GapKind::Retention, 20, "older than is kept"),
    ] {
        store.add(&Record::Gap(Gap {
            from_ts: now - 1000,
            to_ts: now,
            kind,
            lost,
            why,
        }));
    }
    store.commit(now).unwrap();
}

#[test]
fn every_recipe_in_the_schema_docs_runs_and_finds_something() {
    let now = crate::when::to_ns(chrono::Utc::now());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let mut store = support::open(&path, now);
    fill(&mut store, now);
    let db = open_reader(&path).unwrap();
    let recipes = recipes();
    assert_eq!(recipes.len(), SCHEMA.matches("```sql").count());
    for (words, sql) in recipes {
        let mut statement = db.prepare(sql).unwrap_or_else(|e| panic!("{words}\n{e}"));
        assert!(statement.exists([]).unwrap(), "nothing found: {words}");
        // The recipes are passed to the shell in double quotes.
        assert!(!sql.contains(['"', '$', '`', '\\', '!']), "{words}");
    }
}
