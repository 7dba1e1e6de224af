//! `egrets alert`, on a history that this process writes as a recorder does.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use egrets::model::{Record, builders};
use serde_json::Value;

use crate::support::{Guard, code, egrets, eventually, text};
use crate::written::{connection, now, record};

fn alerts(child: &mut Child) -> Receiver<Value> {
    let (to, alerts) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = to.send(serde_json::from_str(&line).unwrap());
        }
    });
    alerts
}

#[test]
fn what_a_question_finds_is_reported_once_on_stdout_and_to_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    store.add(&Record::Opened(connection(1, "curl", "old.test", 100)));
    store.commit(now()).unwrap();
    let (program, copy) = (dir.path().join("program"), dir.path().join("copy"));
    fs::write(&program, format!("#!/bin/sh\ncat >> {}\n", copy.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = egrets();
    command
        .args([
            "alert",
            "--json",
            "--recorder",
            "--if",
            "lookups that failed",
            "--db",
        ])
        .args([db.as_os_str(), "--exec".as_ref(), program.as_os_str()])
        .args(["new", "hosts", "by", "curl"])
        .stdout(Stdio::piped());
    let mut child = Guard(command.spawn().unwrap());
    let alerts = alerts(&mut child.0);
    let mut lookup = builders::lookup("gone.test", "192.0.2.1");
    lookup.rcode = Some("NXDOMAIN".into());
    // what comes before it has started is none of its business
    let missing = eventually("the lookup is reported", || {
        assert!(child.0.try_wait().unwrap().is_none(), "it has ended");
        (lookup.number, lookup.ts) = (lookup.number + 1, now());
        store.add(&Record::Lookup(lookup.clone()));
        store.commit(now()).unwrap();
        alerts.try_iter().next()
    });
    for (number, comm, host) in [
        (2, "curl", "old.test"),
        (3, "wget", "other.test"),
        (4, "curl", "new\n.test"),
        (5, "curl", "new\n.test"),
    ] {
        store.add(&Record::Opened(connection(number, comm, host, 0)));
    }
    store.commit(now()).unwrap();
    let new = eventually("the new host is reported", || alerts.try_iter().next());
    thread::sleep(Duration::from_secs(5)); // for another look
    // a slow machine's recorder may be late
    let more = alerts
        .try_iter()
        .filter(|alert| alert["alert"] != "recorder");
    let more = Vec::from_iter(more);
    assert!(more.is_empty(), "{more:#?}");
    let of = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
    assert_eq!(of(&missing, "alert"), "lookups that failed");
    assert_eq!(of(&missing, "qname"), "gone.test");
    assert_eq!(of(&new, "alert"), "new hosts by curl");
    assert_eq!(of(&new, "event"), "alert");
    assert_eq!(of(&new, "host"), "new\n.test");
    assert_eq!(of(&new, "comm"), "curl");

    // the recorder ends
    store.finish(now()).unwrap();
    drop(store);
    eventually("the end is reported", || {
        alerts
            .try_iter()
            .find(|alert| alert["why"] == "no recorder runs")
    });
    eventually("the program gets all of them", || {
        let lines = fs::read_to_string(&copy).unwrap_or_default();
        let all = ["gone.test", "\"host\":\"new", "no recorder runs"];
        all.iter().all(|text| lines.contains(text)).then_some(())
    });
}

/// The notifications that come to a session bus.
fn notifications(receiver: &mut Child) -> Receiver<Value> {
    let mut stdout = BufReader::new(receiver.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    let (to, notifications) = channel();
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = to.send(serde_json::from_str(&line).unwrap());
        }
    });
    notifications
}

#[test]
fn a_desktop_shows_what_processes_choose_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    let address = format!("unix:path={}", dir.path().join("bus").display());
    let mut bus = Command::new("dbus-daemon");
    bus.args(["--session", "--nofork", "--print-address", "--address"])
        .arg(&address)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut bus = Guard(bus.spawn().unwrap());
    let mut listening = String::new();
    let mut stdout = BufReader::new(bus.0.stdout.take().unwrap());
    stdout.read_line(&mut listening).unwrap();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/notifications.py");
    let mut receiver = Command::new("/usr/bin/python3");
    receiver
        .arg(tool)
        .env("DBUS_SESSION_BUS_ADDRESS", &address)
        .stdout(Stdio::piped());
    let mut receiver = Guard(receiver.spawn().unwrap());
    let notifications = notifications(&mut receiver.0);

    let mut alert = egrets();
    alert
        .args(["alert", "--desktop", "--if", "connections to port 443"])
        .arg("--db")
        .arg(&db)
        .env("DBUS_SESSION_BUS_ADDRESS", &address)
        .stdout(Stdio::null());
    let mut child = Guard(alert.spawn().unwrap());
    let (comm, host) = ("<b>&amp;\\074i\\076", "-u<img src=x>.test");
    let mut number = 0;
    let shown = eventually("the notification comes", || {
        assert!(child.0.try_wait().unwrap().is_none(), "it has ended");
        number += 1;
        store.add(&Record::Opened(connection(number, comm, host, 0)));
        store.commit(now()).unwrap();
        notifications.try_iter().next()
    });
    assert_eq!(shown["app"], "egrets");
    assert_eq!(shown["summary"], "connections to port 443");
    let body = shown["body"].as_str().unwrap();
    let plain = body
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    assert!(!body.contains(['<', '>']), "{body}");
    assert!(plain.starts_with(comm), "{body}");
    assert!(plain.contains(&format!(" to {host}:443/tcp")), "{body}");

    // a user without a desktop, who can run what is outside of root's directories
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let exe = dir.path().join("egrets");
    fs::copy(env!("CARGO_BIN_EXE_egrets"), &exe).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(&exe)
        .args(["alert", "--desktop", "curl"])
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    assert!(
        said.contains("--desktop: there is no session bus"),
        "{said}"
    );
}

#[test]
fn a_condition_that_no_single_row_answers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _store) = record(dir.path());
    for (question, why) in [
        ("top 5 hosts", "ranks, groups or compares"),
        ("connections since yesterday", "leave out the time"),
        ("connections per process", "ranks, groups or compares"),
        ("blub blub blub", "blub"),
    ] {
        let output = egrets()
            .args(["alert", "--for", "1s", "--if", question, "--db"])
            .arg(&db)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{question}: {said}");
        assert!(said.contains(why), "{question}: {said}");
    }
    let relative = Command::new(egrets().get_program())
        .args(["alert", "--exec", "program", "curl", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert!(text(&relative.stderr).contains("whole path"));
}

/// A server of openssl(1): what it gets, and what it answers.
struct TlsServer {
    process: Guard,
    port: u16,
    requests: Receiver<String>,
}

impl TlsServer {
    /// With a certificate for 127.0.0.1 by the authority in ca.pem, which is made, too.
    fn start(dir: &Path) -> TlsServer {
        let config = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = test\n\
                      [ca]\nbasicConstraints = critical, CA:TRUE\n\
                      [leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
        fs::write(dir.join("config"), config).unwrap();
        let certificate = |name: &str, more: &str| {
            let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -config config";
            let files = format!("-keyout {name}.key -out {name}.pem -extensions {name}");
            let words = [common, &files, more].join(" ");
            let mut openssl = Command::new("openssl");
            openssl.current_dir(dir).args(words.split_whitespace());
            let output = openssl.output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        };
        certificate("ca", "");
        certificate("leaf", "-CA ca.pem -CAkey ca.key");
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "s_server", "-quiet", "-cert", "leaf.pem", "-key", "leaf.key",
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Guard(openssl.spawn().unwrap());
        let (to, requests) = channel();
        let mut stdout = process.0.stdout.take().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while let Ok(len @ 1..) = stdout.read(&mut bytes) {
                let _ = to.send(text(&bytes[..len]));
            }
        });
        TlsServer {
            process,
            port,
            requests,
        }
    }

    /// The next request, up to the end of its JSON.
    fn request(&self) -> String {
        let mut request = String::new();
        while !request.ends_with('}') {
            request += &self.requests.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        request
    }

    fn answer(&mut self, status: &str) {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let stdin = self.process.0.stdin.as_mut().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn webhook_gets_its_secret_over_tls_and_an_alert_again_that_it_did_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    let mut server = TlsServer::start(dir.path());
    let headers = dir.path().join("headers");
    fs::write(&headers, "Authorization: Bearer s3cret\n").unwrap();
    let url = format!("https://127.0.0.1:{}/hook", server.port);
    let start = |ca: &str| {
        let mut command = egrets();
        command
            .args(["alert", "--if", "lookups that failed", "--webhook"])
            .arg(&url)
            .args(["--webhook-headers".as_ref(), headers.as_os_str()])
            .args(["--webhook-ca".as_ref(), dir.path().join(ca).as_os_str()])
            .args(["--db".as_ref(), db.as_os_str()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    fs::set_permissions(&headers, fs::Permissions::from_mode(0o644)).unwrap();
    let output = start("ca.pem").output().unwrap();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(said.contains("other users can read"), "{said}");
    fs::set_permissions(&headers, fs::Permissions::from_mode(0o600)).unwrap();

    let mut child = Guard(start("ca.pem").spawn().unwrap());
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    let printed = thread::spawn(move || stdout.read_line(&mut String::new()));
    let mut lookup = builders::lookup("gone.test", "192.0.2.1");
    lookup.rcode = Some("NXDOMAIN".into());
    eventually("the alert is printed", || {
        (lookup.number, lookup.ts) = (lookup.number + 1, now());
        store.add(&Record::Lookup(lookup.clone()));
        store.commit(now()).unwrap();
        printed.is_finished().then_some(())
    });
    let first = server.request();
    server.answer("503 Service Unavailable");
    let again = server.request();
    server.answer("204 No Content");
    for request in [&first, &again] {
        assert!(request.starts_with("POST /hook HTTP/1.1"), "{request}");
        assert!(request.contains("Bearer s3cret"), "{request}");
        let body = request.split("\r\n\r\n").nth(1).unwrap();
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["qname"], "gone.test");
    }
    drop(child);

    // one that another authority vouches for gets nothing
    fs::copy(dir.path().join("leaf.pem"), dir.path().join("other.pem")).unwrap();
    let mut child = Guard(start("other.pem").spawn().unwrap());
    let stderr = BufReader::new(child.0.stderr.take().unwrap());
    let (to, said) = channel();
    thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    let why = eventually("the failure is reported", || {
        (lookup.number, lookup.ts) = (lookup.number + 1, now());
        store.add(&Record::Lookup(lookup.clone()));
        store.commit(now()).unwrap();
        said.try_iter()
            .find(|line| line.contains("could not be sent"))
    });
    assert!(why.contains("https://127.0.0.1"), "{why}");
    let got: String = server.requests.try_iter().collect();
    assert!(!got.contains("s3cret"), "{got}");
}
