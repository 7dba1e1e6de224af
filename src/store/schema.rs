//! The schema: what sqlite3's users read in the file itself, and files of every version.

use std::path::Path;

use rusqlite::Connection as Db;

use super::{Access, MIGRATIONS, Recording, Store, open_reader};

fn recording() -> Recording {
    Recording {
        start_ts: 9_000_000_000,
        hook_set: "kprobe".to_owned(),
        hooks: String::new(),
    }
}

fn new_file(path: &Path) -> Db {
    let store = Store::open(path, &Access::default(), &recording()).unwrap();
    store.finish(9_000_000_001).unwrap();
    open_reader(path).unwrap()
}

fn texts(db: &Db, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn number(db: &Db, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn tables_are_strict_and_what_refers_to_another_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let db = new_file(&dir.path().join("e.db"));
    let own = "schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'";
    let lax = format!("SELECT name FROM pragma_table_list WHERE {own} AND strict = 0");
    assert_eq!(texts(&db, &lax), [""; 0]);
    let tables = format!("SELECT count(*) FROM pragma_table_list WHERE {own}");
    assert!(number(&db, &tables) > 10);
    let loose = format!(
        "SELECT t.name || '.' || c.name FROM pragma_table_list t, pragma_table_info(t.name) c
         WHERE {} AND c.name LIKE '%\\_id' ESCAPE '\\'
           AND c.name NOT IN (SELECT \"from\" FROM pragma_foreign_key_list(t.name))
         ORDER BY 1",
        own.replace("name", "t.name")
            .replace("type", "t.type")
            .replace("schema", "t.schema")
    );
    // The ids that a kernel and a runtime gave, and those of lookups that may be gone.
    assert_eq!(
        texts(&db, &loose),
        [
            "connection.lookup_id",
            "container.container_id",
            "recording.boot_id",
            "rival.lookup_id"
        ]
    );
}

#[test]
fn every_view_and_each_of_its_columns_is_commented_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let db = new_file(&dir.path().join("e.db"));
    let views = texts(&db, "SELECT name FROM sqlite_schema WHERE type = 'view'");
    assert!(views.len() >= 10, "{views:?}");
    for view in views {
        let sql = texts(
            &db,
            &format!("SELECT sql FROM sqlite_schema WHERE name = '{view}'"),
        );
        let (head, body) = sql[0].split_once('\n').unwrap();
        assert!(head.contains("AS -- "), "{view}: {head}");
        let commented: Vec<&str> = body
            .lines()
            .filter_map(|line| line.split_once(" -- "))
            .filter(|(_, comment)| comment.len() > 3)
            .filter_map(|(column, _)| {
                let column = column.trim().trim_end_matches(',');
                column.rsplit([' ', '.']).next()
            })
            .collect();
        let columns = texts(
            &db,
            &format!("SELECT name FROM pragma_table_info('{view}')"),
        );
        assert_eq!(commented, columns, "{view}");
    }
}

/// What every version has the same.
const ALL: &str = "
    INSERT INTO recording (id, start_ts, seen_ts, hostname, kernel, version, pid, hook_set, hooks)
    VALUES (1, 1000, 2000, 'h', 'k', 'v', 1, 'kprobe', 'h');
    INSERT INTO container (id, container_id, name) VALUES (4, 'c0ffee', 'web');
    INSERT INTO process (id, recording_id, pid, start_ns, comm, uid, container_id)
    VALUES (5, 1, 77, 0, 'curl', 1000, 4), (6, 1, 78, 0, 'wget', 0, NULL);
    INSERT INTO host (id, name) VALUES (1, 'example.com'), (2, 'cdn.test'), (3, 'other.test');
    INSERT INTO address (id, addr, ip, scope) VALUES
        (1, x'00000000000000000000ffffc0000201', '192.0.2.1', 'public'),
        (2, x'00000000000000000000ffffc0000235', '192.0.2.53', 'public');
    INSERT INTO gap (recording_id, from_ts, to_ts, kind, lost, why) VALUES (1, 1, 2, 'dns', 3, 'full');";

/// Rows as the first version had them: a connection with a rival and the lookup that it
/// rests on, which had an alias, another one, and one that was refused.
const FIRST: &str = "
    INSERT INTO lookup (id, ts, process_id, server_id, server_port, transport, qname_id, qtype, rcode, latency_us, status)
    VALUES (21, 1000, 5, 2, 53, 'udp', 1, 'A', 'NOERROR', 700, 'answered'),
           (22, 1001, 6, 2, 53, 'tcp', 2, 'AAAA', NULL, NULL, 'unanswered');
    INSERT INTO answer (lookup_id, name_id, type, data, ttl)
    VALUES (21, 1, 'CNAME', 'cdn.test', 60), (21, 2, 'A', '192.0.2.1', 30);
    INSERT INTO connection (id, ts, process_id, tid, protocol, src_id, src_port, dst_id, dst_port, host_id,
                            host_source, host_age_ms, host_rivals, lookup_id, outcome, errno, tx_bytes, rx_bytes)
    VALUES (31, 1100, 5, 77, 'tcp', 2, 5000, 1, 443, 1, 'process', 3, 1, 21, 'connected', NULL, 10, 20),
           (32, 1200, 5, 77, 'tcp', 2, 5001, 1, 443, 1, 'process', 4, 1, 21, 'connected', NULL, 1, 2),
           (33, 90000000000001, 6, 78, 'tcp', NULL, NULL, 1, 80, NULL, NULL, NULL, NULL, NULL,
            'refused', 'ECONNREFUSED', NULL, NULL);
    INSERT INTO rival (connection_id, host_id) VALUES (31, 3);";

/// The same as the seventh has them.
const SEVENTH: &str = "
    UPDATE recording SET last_connection = 33, last_lookup = 22;
    INSERT INTO day (id, start_ts, end_ts) VALUES (1, 0, 86400000000000), (2, 86400000000000, 172800000000000);
    INSERT INTO edge (id, process_id, protocol, src_id, dst_id, dst_port, host_id, host_source, outcome, errno,
                      connections, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
    VALUES (1, 5, 'tcp', 2, 1, 443, 1, 'process', 'connected', NULL, 2, 2, 11, 2, 22, 1100, 1200),
           (2, 6, 'tcp', NULL, 1, 80, NULL, NULL, 'refused', 'ECONNREFUSED', 1, 0, 0, 0, 0,
            90000000000001, 90000000000001);
    INSERT INTO edge_day (id, edge_id, day_id, connections, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
    VALUES (1, 1, 1, 2, 2, 11, 2, 22, 1100, 1200), (2, 2, 2, 1, 0, 0, 0, 0, 90000000000001, 90000000000001);
    INSERT INTO connection (id, ts, edge_day_id, tid, src_port, host_age_ms, host_rivals, lookup_id, tx_bytes, rx_bytes)
    VALUES (31, 1100, 1, 77, 5000, 3, 1, 21, 10, 20), (32, 1200, 1, 77, 5001, 4, 1, 21, 1, 2),
           (33, 90000000000001, 2, 78, NULL, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO inquiry (id, process_id, server_id, server_port, transport, qname_id, qtype, rcode, status)
    VALUES (1, 5, 2, 53, 'udp', 1, 'A', 'NOERROR', 'answered'), (2, 6, 2, 53, 'tcp', 2, 'AAAA', NULL, 'unanswered');
    INSERT INTO lookup (id, ts, inquiry_id, latency_us) VALUES (21, 1000, 1, 700), (22, 1001, 2, NULL);
    INSERT INTO answer (lookup_id, n, name_id, type, data, ttl)
    VALUES (21, 1, NULL, 'CNAME', 'cdn.test', 60), (21, 2, 2, 'A', '192.0.2.1', 30);
    INSERT INTO rival (connection_id, host_id) VALUES (31, 3);";

/// What the versions after the first had more.
const LATER: [(usize, &str); 2] = [
    (
        2,
        "UPDATE connection SET already_open = 1 WHERE id = 33;
         UPDATE rival SET lookup_id = 22; UPDATE lookup SET times = 9 WHERE id = 22;",
    ),
    (
        3,
        "INSERT INTO ancestor (id, recording_id, pid, start_ts, comm) VALUES (8, 1, 70, 5, 'bash');
         INSERT INTO lineage (ancestor_id, depth, above_id) VALUES (8, 0, 8);
         UPDATE process SET parent_id = 8, start_ts = 6 WHERE id = 5;",
    ),
];

#[test]
fn a_file_of_every_version_is_brought_up_to_date_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    // The newest one's rows are what the tests of the store write.
    let newest = 9;
    for version in 1..=newest {
        let path = dir.path().join(format!("{version}.db"));
        let old = Db::open(&path).unwrap();
        for migration in &MIGRATIONS[..version] {
            old.execute_batch(migration).unwrap();
        }
        old.execute_batch(ALL).unwrap();
        old.execute_batch(if version < 7 { FIRST } else { SEVENTH })
            .unwrap();
        for (since, sql) in LATER {
            if version >= since {
                old.execute_batch(sql).unwrap();
            }
        }
        old.execute_batch(&format!(
            "PRAGMA user_version = {version}; PRAGMA application_id = 0x65677274"
        ))
        .unwrap();
        drop(old);

        let store = Store::open(&path, &Access::default(), &recording()).unwrap();
        let run = store.run();
        let next = (run.first_connection, run.first_lookup);
        assert_eq!(next, (34, 23), "version {version}");
        store.finish(9_000_000_001).unwrap();
        let db = open_reader(&path).unwrap();
        let rows = |sql: &str| texts(&db, sql);
        assert_eq!(
            rows("SELECT concat_ws(' ', id, ts, comm, src_ip, src_port, dst_ip, dst_port, host, host_age_ms, lookup_id,
                                   outcome, errno, tx_bytes, container_name, already_open) FROM egress ORDER BY id"),
            [
                "31 1100 curl 192.0.2.53 5000 192.0.2.1 443 example.com 3 21 connected 10 web 0".to_owned(),
                "32 1200 curl 192.0.2.53 5001 192.0.2.1 443 example.com 4 21 connected 1 web 0".to_owned(),
                format!("33 90000000000001 wget 192.0.2.1 80 refused ECONNREFUSED {}", i32::from(version > 1)),
            ],
            "version {version}"
        );
        assert_eq!(
            rows("SELECT concat_ws(' ', comm, connections, failed, tx_bytes, rx_bytes, first_ts, last_ts)
                  FROM egress_total ORDER BY comm"),
            ["curl 2 0 11 22 1100 1200", "wget 1 1 90000000000001 90000000000001"]
        );
        assert_eq!(
            rows(
                "SELECT concat_ws(' ', day_ts, day_end_ts, connections) FROM egress_daily ORDER BY day_ts"
            ),
            ["0 86400000000000 2", "86400000000000 172800000000000 1"]
        );
        assert_eq!(
            rows(
                "SELECT concat_ws(' ', id, comm, server_ip, qname, name, type, data, ttl, status, times) FROM dns ORDER BY id, type"
            ),
            [
                "21 curl 192.0.2.53 example.com cdn.test A 192.0.2.1 30 answered 1".to_owned(),
                "21 curl 192.0.2.53 example.com example.com CNAME cdn.test 60 answered 1"
                    .to_owned(),
                format!(
                    "22 wget 192.0.2.53 cdn.test unanswered {}",
                    if version > 1 { 9 } else { 1 }
                ),
            ]
        );
        assert_eq!(
            rows("SELECT concat_ws(' ', id, qname, rcode) FROM lookups ORDER BY id"),
            ["21 example.com NOERROR", "22 cdn.test"]
        );
        for view in ["lookups_total", "lookups_daily"] {
            assert_eq!(
                rows(&format!(
                    "SELECT concat_ws(' ', comm, qname, lookups, failed, first_ts, last_ts) FROM {view} ORDER BY comm"
                )),
                [
                    "curl example.com 1 0 1000 1000",
                    "wget cdn.test 1 1 1001 1001"
                ]
            );
        }
        let rival = if version > 1 {
            "31 other.test 22"
        } else {
            "31 other.test"
        };
        assert_eq!(
            rows("SELECT concat_ws(' ', connection_id, host, lookup_id) FROM rivals"),
            [rival]
        );
        let bash: &[&str] = if version > 2 { &["5 1 bash"] } else { &[] };
        assert_eq!(
            rows("SELECT concat_ws(' ', process_id, depth, comm) FROM ancestors"),
            bash
        );
        assert_eq!(
            rows("SELECT concat_ws(' ', kind, lost) FROM gaps WHERE kind = 'dns'"),
            ["dns 3"]
        );
        assert_eq!(
            number(&db, "SELECT count(*) FROM pragma_foreign_key_check"),
            0
        );
        assert_eq!(rows("PRAGMA integrity_check"), ["ok"]);
    }
    assert_eq!(
        MIGRATIONS.len(),
        newest + 1,
        "there is a new version to be tested from"
    );
}

#[test]
fn recordings_of_a_boot_count_the_starts_of_processes_from_one_time() {
    const SECOND: i64 = 1_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.db");
    let booted = |boot_ts| {
        let mut store = Store::open(&path, &Access::default(), &recording()).unwrap();
        store.set_boot_ts(boot_ts).unwrap();
        let found = store.run().boot_ts;
        store.finish(9_000_000_001).unwrap();
        found
    };
    assert_eq!(booted(100 * SECOND), 100 * SECOND);
    assert_eq!(booted(101 * SECOND), 100 * SECOND, "the clock went faster");
    assert_eq!(booted(500 * SECOND), 500 * SECOND, "the clock was set");
    assert_eq!(booted(499 * SECOND), 500 * SECOND);
    let other = "UPDATE recording SET boot_id = 'another'";
    Db::open(&path).unwrap().execute(other, []).unwrap();
    assert_eq!(booted(499 * SECOND), 499 * SECOND, "another boot");
}

#[test]
fn lookups_of_days_without_connections_get_days_that_overlap_no_others() {
    const HOUR: i64 = 3_600_000_000_000;
    let db = Db::open_in_memory().unwrap();
    for migration in &MIGRATIONS[..9] {
        db.execute_batch(migration).unwrap();
    }
    // A day of two hours east, and lookups before, in and after it.
    let times = [1, 21, 22, 45, 46, 47, 100].map(|hour| hour * HOUR);
    db.execute_batch(&format!(
        "INSERT INTO day (start_ts, end_ts) VALUES ({}, {});
         INSERT INTO inquiry (id, transport, status) VALUES (7, 'udp', 'answered');
         INSERT INTO lookup (ts, inquiry_id) VALUES {};",
        22 * HOUR,
        46 * HOUR,
        times.map(|ts| format!("({ts}, 7)")).join(", ")
    ))
    .unwrap();
    db.execute_batch(MIGRATIONS[9]).unwrap();
    assert_eq!(
        texts(
            &db,
            &format!(
                "SELECT concat_ws(' ', day_ts / {HOUR}, day_end_ts / {HOUR}, lookups, first_ts / {HOUR}, last_ts / {HOUR})
                 FROM lookups_daily ORDER BY day_ts"
            )
        ),
        ["0 22 2 1 21", "22 46 2 22 45", "46 48 2 46 47", "96 120 1 100 100"]
    );
    assert_eq!(number(&db, "SELECT lookups FROM lookups_total"), 7);
}
