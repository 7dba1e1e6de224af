//! `egrets serve`: the page in a real Chromium, on a history that this process writes as a recorder
//! does; and requests that are refused.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::metrics::{found_by_dashboard, read_metrics};
use crate::written::{connection, now, record};
use egrets::model::Record;
use egrets::privileges::Held;
use rustix::process::{Pid, Signal, kill_process};

/// Names that try to be markup, code, or the end of what they stand in.
pub const HOSTILE: [&str; 6] = [
    "<img src=x onerror=alert(1)>.test",
    "</script><script>alert(1)</script>",
    "\"><svg/onload=alert(1)>'`${alert(1)}",
    "--><!--<iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "</title></textarea><a href=//evil.test>\u{202e}\x1b[31m&lt;b&gt;",
];

/// A running `egrets serve`.
struct Served {
    child: Child,
    /// With the token.
    address: String,
}

impl Served {
    fn start(db: &Path, args: &[&str]) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_egrets"))
            .args(["serve", "--db"])
            .arg(db)
            .args(args)
            .env_remove("EGRETS_DB")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut address).unwrap();
        Served {
            child,
            address: address.trim().to_owned(),
        }
    }

    fn host(&self) -> &str {
        self.address.split('/').nth(2).unwrap()
    }

    fn token(&self) -> &str {
        self.address.split_once("#token=").unwrap().1
    }

    /// What a request is answered with, from its first line to its end.
    fn request(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        let end = Some(Duration::from_secs(30));
        stream.set_read_timeout(end).unwrap();
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"
        ))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

#[test]
fn a_page_in_a_browser_follows_the_history_and_keeps_zoom_and_filter() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    for (number, (comm, host, ago)) in [
        ("curl", "api.example.com", 1500),
        ("curl", "api.example.com", 900),
        ("wget", "files.example.net", 600),
    ]
    .into_iter()
    .enumerate()
    {
        store.add(&Record::Opened(connection(number as u64, comm, host, ago)));
    }
    for (number, name) in HOSTILE.into_iter().enumerate() {
        let number = 10 + number as u64;
        store.add(&Record::Opened(connection(number, name, name, 300)));
    }
    store.commit(now()).unwrap();
    let served = Served::start(&db, &["--listen", "127.0.0.1:0"]);
    let mut browser = Browser::start();
    let tab = browser.open(&served.address);
    browser.wait(&tab, "document.querySelector('#hosts td')");
    let text = browser.get(&tab, "document.querySelector('#report').innerText");
    let text = text.as_str().unwrap();
    assert!(text.contains("api.example.com") && text.contains("files.example.net"));
    assert!(text.contains("<img src=x onerror=alert(1)>.test"), "{text}");

    // The token leaves the address, and stays in this tab.
    let place = browser.get(&tab, "location.href + document.cookie");
    assert_eq!(place, format!("http://{}/?since=1h", served.host()));

    // A zoom stays where it is while rows come in, and so does what is open, and the focus.
    browser.get(&tab, "document.querySelector('#hosts details').open = true");
    browser.drag(&tab, "#chart .u-over", 0.3, 0.7);
    let range = "document.querySelector('#range').textContent";
    browser.wait(&tab, range);
    let zoomed = browser.get(&tab, range);
    browser.get(&tab, "document.querySelector('#chart').focus()");
    let host = "new.example.org";
    assert!(!text.contains(host));
    store.add(&Record::Opened(connection(30, "curl", host, 1)));
    store.commit(now()).unwrap();
    browser.wait(
        &tab,
        &format!("document.querySelector('#hosts').innerText.includes({host:?})"),
    );
    assert_eq!(browser.get(&tab, range), zoomed);
    assert_eq!(
        browser.get(
            &tab,
            "[document.activeElement.id, document.querySelector('#hosts details').open].join()"
        ),
        "chart,true"
    );
    browser.press(&tab, "0");
    browser.wait(&tab, &format!("{range} === ''"));

    // A filter is in the address, and outlives a reload as the token does.
    let ask = |question: &str| {
        format!(
            "(() => {{ const f = document.querySelector('#ask'); f.elements.q.value = {question:?}; f.requestSubmit(); }})()"
        )
    };
    browser.get(&tab, &ask("wget"));
    let shows_wget_alone = "!document.querySelector('#hosts')?.innerText.includes('api.example.com') && \
         document.querySelector('#hosts')?.innerText.includes('files.example.net')";
    browser.wait(&tab, shows_wget_alone);
    let address = browser.get(&tab, "location.search");
    assert_eq!(address, "?since=1h&q=wget");
    browser.get(&tab, "globalThis.before = true, location.reload()");
    browser.wait(&tab, &format!("!globalThis.before && {shows_wget_alone}"));

    // A question that is not understood is refused with its reason, and the page stays.
    browser.get(&tab, &ask("wget frobnicating <b>x</b>"));
    browser.wait(&tab, "!document.querySelector('#refused').hidden");
    let refused = browser.get(&tab, "document.querySelector('#refused').textContent");
    let refused = refused.as_str().unwrap();
    assert!(refused.contains("is not understood"), "{refused}");
    assert_eq!(
        browser.get(&tab, "document.querySelectorAll('#refused *').length"),
        0
    );
    browser.get(&tab, &ask("top 5 hosts by bytes"));
    browser.wait(
        &tab,
        "document.querySelector('#refused').textContent.includes('egrets query')",
    );
    browser.get(&tab, "history.go(-2)");
    browser.wait(
        &tab,
        &format!("document.querySelector('#refused').hidden && {shows_wget_alone}"),
    );

    // It fits a phone, and dark and light differ.
    browser.get(&tab, &ask(""));
    browser.wait(
        &tab,
        "document.querySelector('#hosts').innerText.includes('api.example.com')",
    );
    browser.resize(&tab, 390, 844);
    let wide = "document.documentElement.scrollWidth <= 390";
    browser.wait(&tab, wide);
    let paper = "getComputedStyle(document.body).backgroundColor";
    let papers = ["light", "dark"].map(|scheme| {
        browser.prefer(&tab, scheme);
        browser.get(&tab, paper)
    });
    assert_ne!(papers[0], papers[1]);

    // Another tab without the token shows nothing.
    let other = browser.open(&format!("http://{}/", served.host()));
    browser.wait(&other, "document.querySelector('#state')?.hidden === false");
    let said = browser.get(&other, "document.querySelector('#state').textContent");
    assert!(said.as_str().unwrap().contains("no token"), "{said}");
    assert_eq!(
        browser.get(&other, "document.querySelector('#report').innerText"),
        ""
    );

    browser.show(&tab);
    // A server that ends is noticed, and what it last said stays.
    let pid = Pid::from_raw(served.child.id() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    browser.wait(
        &tab,
        "document.querySelector('#state').textContent.includes('does not answer')",
    );
    assert_eq!(browser.complaints(&tab), Vec::<String>::new());
    assert_eq!(browser.complaints(&other), Vec::<String>::new());
}

#[test]
fn requests_are_refused_without_the_token_from_other_sites_and_if_they_are_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let (db, mut store) = record(dir.path());
    store.add(&Record::Opened(connection(1, "curl", "secret.test", 60)));
    store.commit(now()).unwrap();
    let served = Served::start(&db, &["--listen", "127.0.0.1:0"]);
    let host = format!("Host: {}\r\n", served.host());
    let right = format!("Authorization: Bearer {}\r\n", served.token());
    let all = format!("{host}{right}");

    let answer = served.get("/view?since=1h", &all);
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains("secret.test"));
    let tag = header(&answer, "etag").unwrap();
    let again = served.get("/view?since=1h", &format!("{all}If-None-Match: {tag}\r\n"));
    assert_eq!(status(&again), 304, "{again}");
    assert!(header(&again, "retry-after").is_some() && !again.contains("secret.test"));
    assert_eq!(header(&again, "age"), Some("0"));

    let metrics = served.get("/metrics", &all);
    assert_eq!(status(&metrics), 200, "{metrics}");
    let kind = header(&metrics, "content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(!metrics.contains("secret.test") && !metrics.contains("curl"));
    let read = read_metrics(metrics.split_once("\r\n\r\n").unwrap().1, "openmetrics");
    for line in [
        "egrets_history_connections outcome=connected,protocol=tcp 1.0",
        "egrets_recording  1.0",
    ] {
        assert!(read.contains(line), "{read}");
    }
    assert_eq!(found_by_dashboard(&read, true), 2);

    let document = served.get("/", &host);
    assert_eq!(status(&document), 200);
    assert!(!document.contains("secret.test") && !document.contains(served.token()));
    let policy = header(&document, "content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    assert_eq!(header(&document, "referrer-policy"), Some("no-referrer"));

    let longest = "x".repeat(20_000);
    for (wanted, path, headers) in [
        (403, "/view", host.clone()),
        (
            403,
            "/view",
            format!("{host}Authorization: Bearer {}x\r\n", served.token()),
        ),
        (
            403,
            "/view",
            format!("{host}Cookie: token={}\r\n", served.token()),
        ),
        (
            403,
            &format!("/view?token={}", served.token()),
            host.clone(),
        ),
        (403, "/view", format!("Host: evil.test\r\n{right}")),
        (403, "/", "Host: evil.test\r\n".to_owned()),
        (403, "/view", right.clone()),
        (403, "/metrics", host.clone()),
        (403, "/view", format!("{all}Origin: http://evil.test\r\n")),
        (403, "/view", format!("{all}Sec-Fetch-Site: cross-site\r\n")),
        (404, "/../../etc/passwd", all.clone()),
        (404, "/egrets.db", all.clone()),
        (422, "/view?q=gibberish+of+a+kind", all.clone()),
        (422, "/view?since=never", all.clone()),
        (422, &format!("/view?q={}", "x".repeat(501)), all.clone()),
        (431, "/view", format!("{all}X: {longest}\r\n")),
    ] {
        let answer = served.get(path, &headers);
        assert_eq!(status(&answer), wanted, "{path} {headers}: {answer}");
        assert!(!answer.contains("secret.test"));
    }
    let post = served.request(&format!(
        "POST /view HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n{all}\r\nabc"
    ));
    assert_eq!(status(&post), 405, "{post}");
    assert_eq!(status(&served.request("nonsense\r\n\r\n")), 400);

    // A program that opens connections and says nothing keeps others out for seconds only.
    let idle = Vec::from_iter((0..80).map(|_| TcpStream::connect(served.host()).unwrap()));
    assert_eq!(status(&served.get("/view?since=1h", &all)), 200);
    drop(idle);

    let held = Held::of(served.child.id()).unwrap();
    assert_eq!(
        held.describe(),
        "no capabilities; no_new_privs, seccomp filter"
    );
}

#[test]
fn a_socket_is_closed_to_other_users_and_still_wants_the_token() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (db, mut store) = record(dir.path());
    store.commit(now()).unwrap();
    let (socket, token) = (dir.path().join("http"), dir.path().join("token"));
    let args = [&socket, &token].map(|path| path.to_str().unwrap());
    let served = Served::start(&db, &["--socket", args[0], "--token-file", args[1]]);
    let token = fs::read_to_string(&token).unwrap();
    assert_eq!(token.trim(), served.token());
    let curl = |uid: u32, token: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--unix-socket",
            args[0],
        ])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .arg("http://localhost/view?since=1h");
        if uid != 0 {
            curl.uid(uid);
        }
        let output = curl.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert_eq!(curl(0, token.trim()), "200");
    assert_eq!(curl(0, "guess"), "403");
    if rustix::process::geteuid().is_root() {
        let refused = curl(65534, token.trim());
        assert!(
            refused.starts_with("000") && !refused.contains("200"),
            "{refused}"
        );
    }
    let pid = Pid::from_raw(served.child.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let mut served = served;
    assert!(served.child.wait().unwrap().success());
    // What it left is replaced.
    Served::start(&db, &["--socket", args[0]]);
}
