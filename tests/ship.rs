//! `egrets ship`: a history, as a recorder goes on writing it, in a dataset in a directory and in an
//! object store.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use egrets::model::{Connection, Name, Outcome, Process, Record, Source, builders};
use egrets::store::{Access, Recording, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::dataset::{duckdb, egrets_with, environment, raw};
use crate::support::text;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

/// Writes a history by the store, as a recorder does.
struct Writer {
    store: Store,
    process: Rc<Process>,
    next: u64,
    open: Vec<Connection>,
}

impl Writer {
    fn new(db: &Path, start_ts: i64) -> Writer {
        let recording = Recording {
            start_ts,
            hook_set: "kprobe".to_owned(),
            hooks: String::new(),
        };
        Writer {
            store: Store::open(db, &Access::default(), &recording).unwrap(),
            process: Rc::new(builders::process("curl")),
            next: 1,
            open: Vec::new(),
        }
    }

    /// A connection and its lookup; every fifth stays open.
    fn add(&mut self, ts: i64) {
        let number = self.next;
        self.next += 1;
        let mut lookup = builders::lookup("a.example", "192.0.2.1");
        lookup.number = number;
        lookup.ts = ts;
        self.store.add(&Record::Lookup(lookup));
        let connection = Connection {
            number,
            ts,
            process: Rc::clone(&self.process),
            name: Some(Name {
                host: "a.example".into(),
                source: Source::Process,
                age_ms: Some(1),
                lookup: Some(number),
                rivals: 0,
                rival_names: Vec::new(),
            }),
            outcome: Outcome::Connected,
            ..builders::connection("curl")
        };
        match number % 5 {
            0 => {
                self.store.add(&Record::Opened(connection.clone()));
                self.open.push(connection);
            }
            _ => self.close(connection),
        }
    }

    fn close(&mut self, mut connection: Connection) {
        connection.duration_us = Some(1000 + connection.number as i64);
        connection.tx_bytes = Some(connection.number);
        connection.rx_bytes = Some(1);
        self.store.add(&Record::Closed(connection));
    }

    /// Closes the older half of those that are open.
    fn close_some(&mut self) {
        let left = self.open.split_off(self.open.len() / 2);
        for connection in std::mem::replace(&mut self.open, left) {
            self.close(connection);
        }
    }

    fn commit(&mut self) {
        self.store.commit(now()).unwrap();
    }
}

fn ship(db: &Path, to: &str, args: &[&str]) -> Command {
    let mut command = egrets_with(&["ship", "--machine", "web-1", "--to", to, "--db"]);
    command.arg(db).args(args).stderr(Stdio::piped());
    command
}

/// One round, which has to succeed.
fn shipped(mut command: Command) -> String {
    let output = command.arg("--once").output().unwrap();
    let said = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    said
}

const SUMS: &str =
    "SELECT count(*) AS rows, count(DISTINCT id) AS ids, CAST(sum(id) AS BIGINT) AS sum,
    count(duration_us) AS ended, CAST(sum(tx_bytes) AS BIGINT) AS sent FROM egress";

fn there(dataset: &Path) -> Value {
    duckdb(dataset, &[SUMS.to_owned()]).remove(0).remove(0)
}

fn here(db: &Path) -> Value {
    let db = egrets::store::open_reader(db).unwrap();
    let sql = "SELECT count(*), sum(id), count(duration_us), sum(tx_bytes) FROM egress";
    db.query_row(sql, [], |row| {
        let n = |at| row.get::<_, i64>(at).unwrap();
        Ok(json!({"rows": n(0), "ids": n(0), "sum": n(1), "ended": n(2), "sent": n(3)}))
    })
    .unwrap()
}

/// Whose protocol an object store has.
#[derive(Clone, Copy, PartialEq)]
enum Cloud {
    Amazon,
    Google,
    Azure,
}

impl Cloud {
    fn url(self, path: &str) -> String {
        match self {
            Cloud::Amazon => format!("s3://bucket/{path}"),
            Cloud::Google => format!("gs://bucket/{path}"),
            Cloud::Azure => format!("az://bucket/{path}"),
        }
    }

    /// With the variables that docs/fleet.md names.
    fn with(self, mut command: Command, port: u16) -> Command {
        let server = format!("http://127.0.0.1:{port}");
        let account = format!("{server}/devstoreaccount1");
        let variables = match self {
            Cloud::Amazon => &[
                ("AWS_ENDPOINT", server.as_str()),
                ("AWS_ACCESS_KEY_ID", "a"),
                ("AWS_SECRET_ACCESS_KEY", "b"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_TIMEOUT", "1s"),
            ][..],
            Cloud::Google => &[
                ("GOOGLE_BASE_URL", server.as_str()),
                ("GOOGLE_BEARER_TOKEN", "a"),
                ("GOOGLE_ALLOW_HTTP", "true"),
                ("GOOGLE_TIMEOUT", "1s"),
            ],
            Cloud::Azure => &[
                ("AZURE_STORAGE_ENDPOINT", account.as_str()),
                ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
                ("AZURE_ALLOW_HTTP", "true"),
                ("AZURE_TIMEOUT", "1s"),
            ],
        };
        command.envs(variables.iter().copied());
        command
    }
}

/// That of Azurite's account, which its documentation names.
const AZURITE_KEY: &str = concat!(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsu",
    "Fq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
);

/// An object store on this machine, with the bucket or container `bucket`.
struct Server {
    cloud: Cloud,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    /// Amazon's and Google's are one: moto, which tests/tools/s3.py gives what Google's differs in.
    fn start(cloud: Cloud) -> Server {
        let (python, script, says) = match cloud {
            Cloud::Azure => ("engines", "azurite.py", "scripts/engines.sh installs it"),
            _ => ("python", "s3.py", "scripts/tools.sh installs it"),
        };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools");
        let mut child = Command::new(environment(python).join("bin/python"))
            .arg(directory.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(says);
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        answers.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the server's port");
        Server {
            cloud,
            child,
            orders,
            answers,
            port,
        }
    }

    fn url(&self) -> String {
        self.cloud.url("egress")
    }

    fn with(&self, command: Command) -> Command {
        self.cloud.with(command, self.port)
    }

    /// Copies a dataset into a new directory, which is returned.
    fn copy(&mut self, to: &Path, dataset: &str) -> PathBuf {
        let _ = fs::remove_dir_all(to);
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{} {dataset}/", to.display()).unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
        to.join(dataset)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Stands before the server, and fails in turn: it refuses with status 503, cuts a request short,
/// never answers, or cuts the connection behind some bytes of it.
fn faulty(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let turn = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || fail(client, server, turn));
        }
    });
    port
}

fn fail(mut client: TcpStream, server: u16, turn: usize) {
    let forwarded = match turn % 6 {
        0 => {
            let _ = client.read(&mut [0; 4096]);
            let said = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = client.write_all(said);
            return;
        }
        1 => 700,
        2 => {
            thread::sleep(Duration::from_secs(3));
            return;
        }
        3 => 20_000,
        _ => u64::MAX,
    };
    let Ok(mut to) = TcpStream::connect(("127.0.0.1", server)) else {
        return;
    };
    let (mut answers, mut back) = (to.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut (&mut client).take(forwarded), &mut to);
    let _ = client.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// EGRETS_KILLS is how often. Rows come into old hours, too, as when a clock was set back, and old
/// connections end.
#[test]
fn each_row_is_shipped_once_however_often_it_is_killed() {
    ship_and_kill([Cloud::Amazon, Cloud::Google].map(Server::start).into());
}

#[test]
#[ignore = "of half a gigabyte: scripts/engines.sh"]
fn each_row_is_shipped_to_azure_once_however_often_it_is_killed() {
    ship_and_kill(vec![Server::start(Cloud::Azure)]);
}

/// To a directory and to these object stores in turn.
fn ship_and_kill(mut servers: Vec<Server>) {
    let kills = std::env::var("EGRETS_KILLS").map_or(4, |n| n.parse::<u32>().unwrap());
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("e.db");
    let start = now() - 5 * HOUR;
    let mut writer = Writer::new(&db, start);
    let copy = dir.path().join("copy");
    let dataset = dir.path().join("dataset");
    let to_directory = dataset.to_str().unwrap();
    let (mut whole, mut interrupted) = (Duration::from_millis(500), 0);
    for n in 0..kills {
        for k in 0..200 {
            let random = (u64::from(n) * 200 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            writer.add(start + i64::try_from(random).unwrap() % (5 * HOUR / 1000) * 1000);
        }
        writer.close_some();
        writer.commit();
        let places = servers.len() + 1;
        let mut server = servers.get_mut((n as usize % places).wrapping_sub(1));
        let mut command = match &server {
            Some(server) => server.with(ship(&db, &server.url(), &["--every", "1s"])),
            None => ship(&db, to_directory, &["--every", "1s"]),
        };
        let begun = Instant::now();
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * (n * 37 % 97 + 5) / 100);
        child.kill().unwrap();
        interrupted += i32::from(child.wait().unwrap().signal() == Some(9));
        whole = whole.max(begun.elapsed());
        let read = match &mut server {
            Some(server) => server.copy(&copy, "egress"),
            None => dataset.clone(),
        };
        let is_named = |path: &PathBuf| path.extension().is_some_and(|is| is == "parquet");
        // The last of the tables: without files of each there are no views.
        if walk(&read.join("table=lookups")).iter().any(is_named) {
            let there = there(&read);
            assert_eq!(there["rows"], there["ids"], "{there}");
        }
    }
    assert!(interrupted > 0);
    writer.commit();
    for _ in 0..2 {
        shipped(ship(&db, to_directory, &[]));
        assert_eq!(there(&dataset), here(&db));
        for server in &mut servers {
            let command = ship(&db, &server.url(), &[]);
            shipped(server.cloud.with(command, faulty(server.port)));
            assert_eq!(there(&server.copy(&copy, "egress")), here(&db));
        }
        // Connections of hours that are over have ended since then.
        writer.close_some();
        writer.commit();
    }
    shipped(ship(&db, to_directory, &[]));
    // What a killed process had begun is gone with the next file there.
    let mut abandoned = Vec::new();
    for entry in walk(&dataset) {
        if entry.extension().is_some_and(|is| is == "tmp") {
            abandoned.push(entry);
        }
    }
    assert!(abandoned.len() <= 1, "{abandoned:?}");
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.append(&mut walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// The names of the machines of a table's files, and the hours that each has.
fn hours(dataset: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<_, Vec<String>>::new();
    for path in walk(&dataset.join("table=egress")) {
        let machine = path.parent().unwrap().file_name().unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (_, hour) = name.split_once('-').unwrap_or(("", ""));
        let machine = machine.to_string_lossy().replace("machine=", "");
        found.entry(machine).or_default().push(hour.to_owned());
    }
    found
}

/// A machine that was renamed keeps the files of before; what retention removes stays in the
/// dataset; a day that was exported is not shipped again.
#[test]
fn dataset_keeps_what_the_history_no_longer_has() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("e.db");
    let dataset = dir.path().join("dataset");
    let to = dataset.to_str().unwrap();
    // The beginning of a day, so that its hours are known; the day after it, too, has been over
    // for longer than it takes until a day becomes one file.
    let day = now().div_euclid(24 * HOUR) * 24 * HOUR - 72 * HOUR;
    let second = day + 3 * HOUR + SECOND;
    for (first, hours) in [(day, &[0, 1, 2][..]), (second, &[3, 4, 5, 24, 25])] {
        let mut writer = Writer::new(&db, first);
        for hour in hours {
            for n in 0..20 {
                writer.add(day + hour * HOUR + (2 + n) * SECOND);
            }
        }
        writer.commit();
        writer.store.finish(now()).unwrap();
    }
    let sql = rusqlite::Connection::open(&db).unwrap();
    sql.execute_batch(
        "UPDATE recording SET hostname = 'before' WHERE id = 1;
         UPDATE recording SET hostname = 'after' WHERE id = 2;",
    )
    .unwrap();
    let mut own_name = egrets_with(&["ship", "--keep-hours", "--to", to, "--db"]);
    own_name.arg(&db);
    let said = shipped(own_name);
    assert!(said.starts_with("480 rows in 24 files, "), "{said}");
    let named = hours(&dataset);
    let hours_of = |name: &str| named[name].join(" ");
    // The new name begins with the next day, however the rows are split.
    assert_eq!(hours_of("before"), "00 01 02 03 04 05");
    assert_eq!(hours_of("after"), "00 01");
    let all = there(&dataset);
    assert_eq!(all, here(&db));
    // Retention removes rows of an hour that has gained others.
    let (start, end) = (day + HOUR, day + 2 * HOUR);
    sql.execute(
        "UPDATE connection SET duration_us = 7 WHERE ts BETWEEN ?1 AND ?2 AND duration_us IS NULL",
        [start, end],
    )
    .unwrap();
    let remove = "DELETE FROM connection WHERE ts BETWEEN ?1 AND ?2 AND tx_bytes IS NOT NULL";
    assert_eq!(sql.execute(remove, [start, end]).unwrap(), 16);
    for args in [&["ship", "--keep-hours"][..], &["ship"]] {
        let mut own_name = egrets_with(args);
        own_name.args(["--to", to, "--db"]).arg(&db);
        shipped(own_name);
        assert_eq!(there(&dataset), all);
    }
    // The other day has become one file.
    let named = hours(&dataset);
    assert_eq!(named["before"].join(" "), "00 01 02 03 04 05");
    assert_eq!(named["after"], [""]);
    // By the day, the rows would be there twice.
    let mut by_day = egrets_with(&["ship", "--once", "--split", "day", "--to", to, "--db"]);
    let output = by_day.arg(&db).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("this history's rows by the hour"), "{said}");
    // A day that was exported whole has them already.
    let other = dir.path().join("other");
    let to = other.to_str().unwrap();
    let export = egrets_with(&["export", "--format", "parquet", "--output", to, "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert!(export.status.success(), "{}", text(&export.stderr));
    let mut own_name = egrets_with(&["ship", "--to", to, "--db"]);
    own_name.arg(&db);
    let said = shipped(own_name);
    assert!(said.starts_with("0 rows in 0 files"), "{said}");
}

/// An export without `--force`: the store itself refuses what is there (a conditional put).
#[test]
fn object_that_exists_is_replaced_by_force_alone() {
    for cloud in [Cloud::Amazon, Cloud::Google] {
        export_again(&mut Server::start(cloud));
    }
}

#[test]
#[ignore = "of half a gigabyte: scripts/engines.sh"]
fn object_in_azure_that_exists_is_replaced_by_force_alone() {
    export_again(&mut Server::start(Cloud::Azure));
}

fn export_again(server: &mut Server) {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("e.db");
    let mut writer = Writer::new(&db, now() - HOUR);
    writer.add(now() - 60 * SECOND);
    writer.commit();
    let url = server.url();
    let args = [
        "export",
        "--format",
        "parquet",
        "--machine",
        "web-1",
        "--output",
        &url,
        "--db",
    ];
    let export = |more: &[&str]| {
        let mut command = egrets_with(&args);
        command.arg(&db).args(more);
        let output = server.with(command).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(export(&[]).0, Some(0));
    let (code, said) = export(&[]);
    assert!(
        code == Some(2) && said.contains("exists; --force replaces it"),
        "{said}"
    );
    writer.add(now());
    writer.commit();
    let (code, said) = export(&["--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        there(&server.copy(&dir.path().join("copy"), "egress")),
        here(&db)
    );
}

/// All at once, as machines do.
#[test]
fn fifty_machines_ship_into_one_dataset() {
    let dir = TempDir::new().unwrap();
    let dataset = dir.path().join("dataset");
    let begun = now() - HOUR;
    let machines = Vec::from_iter((0..50).map(|n| {
        let db = dir.path().join(format!("m-{n}.db"));
        let mut writer = Writer::new(&db, begun + n);
        for k in 0..20 + n {
            writer.add(begun + k * SECOND);
        }
        writer.commit();
        let mut ship = egrets_with(&["ship", "--once", "--machine"]);
        let ship = ship.arg(format!("m-{n}")).arg("--to").arg(&dataset);
        let child = ship.arg("--db").arg(&db).stderr(Stdio::null()).spawn();
        (n, db, child.unwrap())
    }));
    let mut expected = Vec::new();
    for (n, db, mut child) in machines {
        assert!(child.wait().unwrap().success(), "m-{n}");
        let here = here(&db);
        expected
            .push(json!({"machine": format!("m-{n}"), "rows": here["rows"], "sent": here["sent"]}));
    }
    expected.sort_by_key(|row| row["machine"].to_string());
    let sums = "SELECT machine, count(*) AS rows, CAST(sum(tx_bytes) AS BIGINT) AS sent FROM egress
        GROUP BY machine ORDER BY machine";
    assert_eq!(duckdb(&dataset, &[sums.to_owned()])[0], expected);
}

/// EGRETS_KILLS is how often.
#[test]
fn hours_of_a_day_become_one_file_however_often_it_is_killed() {
    merge_and_kill(Server::start(Cloud::Amazon));
}

#[test]
#[ignore = "of half a gigabyte: scripts/engines.sh"]
fn hours_of_a_day_in_azure_become_one_file_however_often_it_is_killed() {
    merge_and_kill(Server::start(Cloud::Azure));
}

fn merge_and_kill(mut server: Server) {
    let kills = std::env::var("EGRETS_KILLS").map_or(4, |n| n.parse::<u32>().unwrap());
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("e.db");
    let day = now().div_euclid(24 * HOUR) * 24 * HOUR - 72 * HOUR;
    let mut writer = Writer::new(&db, day);
    for n in 0..1000 {
        writer.add(day + (1 + n % 9) * 4 * HOUR + n * SECOND);
    }
    writer.commit();
    let (cloud, port) = (server.cloud, server.port);
    let copy = dir.path().join("copy");
    let mut whole = Duration::from_millis(300);
    for n in 0..kills {
        let name = n.to_string();
        let to_cloud = n % 2 == 1;
        let (directory, url) = (dir.path().join(&name), cloud.url(&name));
        let command = |args: &[&str]| match to_cloud {
            true => cloud.with(ship(&db, &url, args), port),
            false => ship(&db, directory.to_str().unwrap(), args),
        };
        let mut dataset = || match to_cloud {
            true => server.copy(&copy, &name),
            false => directory.clone(),
        };
        shipped(command(&["--keep-hours"]));
        let begun = Instant::now();
        let mut merging = command(&["--every", "1s"]);
        let mut merging = merging.stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * (n * 37 % 97 + 5) / 100);
        merging.kill().unwrap();
        merging.wait().unwrap();
        whole = whole.max(begun.elapsed());
        assert_eq!(there(&dataset()), here(&db));
        shipped(command(&[]));
        assert_eq!(there(&dataset()), here(&db));
        assert_eq!(hours(&dataset())["web-1"], ["", ""]);
    }
    // The same rows by the hour, as if it had been killed before it removed any.
    let merged = dir.path().join("0");
    let by_hours = dir.path().join("hours");
    shipped(ship(&db, by_hours.to_str().unwrap(), &["--keep-hours"]));
    for hour in walk(&by_hours) {
        let to = merged.join(hour.strip_prefix(&by_hours).unwrap());
        fs::copy(hour, to).unwrap();
    }
    let files = format!("{}/table=egress/*/*/*.parquet", merged.display());
    let all = raw(&format!("SELECT count(*) AS rows FROM '{files}'"));
    assert_eq!(all[0]["rows"], 2000);
    assert_eq!(there(&merged), here(&db));
    assert_eq!(hours(&merged)["web-1"].len(), 11);
    shipped(ship(&db, merged.to_str().unwrap(), &["--keep-hours"]));
    assert_eq!(hours(&merged)["web-1"].len(), 11);
    // Connections of the day that end come into its file.
    writer.close_some();
    writer.commit();
    shipped(ship(&db, merged.to_str().unwrap(), &[]));
    assert_eq!(hours(&merged)["web-1"], ["", ""]);
    assert_eq!(there(&merged), here(&db));
}

#[test]
fn shipper_outlasts_a_place_that_is_away_and_says_how_far_it_came() {
    let dir = TempDir::new().unwrap();
    let db = dir.path().join("e.db");
    let metrics = dir.path().join("ship.prom");
    let mut writer = Writer::new(&db, now() - 60 * SECOND);
    for n in 0..10 {
        writer.add(now() - (30 - n) * SECOND);
    }
    writer.commit();
    let mut s3 = Server::start(Cloud::Amazon);
    // Nothing listens there yet.
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gate.local_addr().unwrap().port();
    drop(gate);
    let mut once = Cloud::Amazon.with(ship(&db, &s3.url(), &["--once"]), port);
    let output = once.env("AWS_TIMEOUT", "100ms").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("can't be listed: "), "{said}");
    let status = |args: &[&str]| -> Output {
        let mut command = egrets_with(&["status", "--db"]);
        command.arg(&db).args(args).output().unwrap()
    };
    let said = text(&status(&[]).stdout);
    assert!(
        said.contains("shipped      to s3://bucket/egress: nothing yet; failing since "),
        "{said}"
    );
    let args = ["--every", "1s", "--metrics-file", metrics.to_str().unwrap()];
    let mut command = s3.with(ship(&db, &s3.url(), &args));
    let mut child = command.spawn().unwrap();
    let copy = dir.path().join("copy");
    let until = Instant::now() + Duration::from_secs(60);
    let has = |s3: &mut Server, db: &Path| {
        let read = s3.copy(&copy, "egress");
        // the views want a file of each table
        let tables = ["table=egress", "table=lookups"];
        tables.iter().all(|table| read.join(table).exists()) && there(&read) == here(db)
    };
    while !has(&mut s3, &db) {
        assert!(Instant::now() < until, "not shipped");
        thread::sleep(Duration::from_millis(200));
    }
    // What is new is there with a later round.
    writer.add(now());
    writer.close_some();
    writer.commit();
    while !has(&mut s3, &db) {
        assert!(
            Instant::now() < until,
            "not shipped: {} {}",
            there(&copy.join("egress")),
            here(&db)
        );
        thread::sleep(Duration::from_millis(200));
    }
    let shown: Value = serde_json::from_slice(&status(&["--json"]).stdout).unwrap();
    let shown = &shown["shipped"][0];
    assert_eq!(shown["running"], true, "{shown}");
    assert!(
        shown["error"].is_null() && shown["behind_ms"].as_i64() < Some(60_000),
        "{shown}"
    );
    let figures = fs::read_to_string(&metrics).unwrap();
    for name in [
        "egrets_shipped_rows_total ",
        "egrets_ship_lag_seconds ",
        "egrets_ship_failures_total 0",
    ] {
        assert!(figures.contains(name), "{name}: {figures}");
    }
    // A signal ends it in order.
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    // What is wrong from the beginning is an error.
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for (to, words) in [
        (
            "ftp://host/egress",
            "a dataset is in a directory, or at s3://",
        ),
        ("s3://", "can't be used"),
        (file.to_str().unwrap(), "is not a directory"),
    ] {
        let output = ship(&db, to, &["--once"]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(words), "{to}: {said}");
    }
}
