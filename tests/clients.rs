//! The names that real clients send, and what real proxies are asked for, each with its rate: `make
//! tables` makes rows of the table of docs/naming.md from them.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;
use tempfile::TempDir;

/// A far side that has every name below test: pages over TLS on 8443 and over HTTP/2 without it on 8080,
/// and a resolver of DNS over HTTPS that is called as a well-known one.
struct Site {
    net: Net,
    dir: TempDir,
    key: String,
    cert: String,
    _server: Guard,
}

/// The resolver's own address.
const RESOLVER: &str = "10.77.0.3";

impl Site {
    fn new() -> Site {
        let mut net = Net::new();
        // else its own lookup of the resolver would name what a client connects to next
        run(
            "ip",
            &["-n", &net.far, "addr", "add", RESOLVER, "dev", "up0"],
        );
        let [any, resolver] = [("test", FAR4), ("dns.google", RESOLVER)]
            .map(|(name, ip)| format!("--address=/{name}/{ip}"));
        net.dnsmasq(&[&any, &resolver]);
        let dir = tempfile::tempdir().unwrap();
        let (key, cert) = certificate(dir.path());
        let server = net.far(|| {
            Command::new("node")
                .args([&source("web.js"), &key, &cert, FAR4])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        Site {
            _server: serving(server),
            net,
            dir,
            key,
            cert,
        }
    }

    /// A program of the near side that goes on, in a shell.
    fn starts(&self, netns: &str, script: &str) -> Guard {
        let mut shell = Command::new("ip");
        let shell = shell.args(["netns", "exec", netns, "sh", "-ec", script, "sh"]);
        let quiet = shell.stdout(Stdio::null()).stderr(Stdio::null());
        Guard(quiet.arg(self.dir.path()).spawn().unwrap())
    }

    fn waits_for(&self, address: &str, port: u16) {
        eventually("a proxy listens", || {
            self.net.near(|| TcpStream::connect((address, port))).ok()
        });
    }
}

/// Counts a column of rows that should all have this name.
fn count(rate: &mut Rate, db: &Path, column: &str, filter: &str, truth: &str) {
    let sql = format!("SELECT coalesce({column}, '') FROM egress WHERE {filter}");
    let rows = select(db, &sql);
    assert!(!rows.is_empty(), "no row where {filter}");
    for row in rows {
        rate.count(&row[0], truth);
    }
}

fn ask(history: &Path, question: &str) -> String {
    let mut egrets = egrets();
    egrets.args(["query", "--db"]).arg(history).arg(question);
    ok(&mut egrets)
}

#[test]
fn clients_are_recorded_with_the_names_that_they_send() {
    const TLS: &str = "dst_port = 8443";
    const HTTP2: &str = "dst_port = 8080";
    let site = Site::new();
    let _dtls = dtls_server(&site.net, site.dir.path());
    let [js, py] = ["client.js", "client.py"].map(source);
    let s_client = |options: &str, name: &str| {
        format!("openssl s_client -servername {name} {options} </dev/null >/dev/null 2>&1")
    };
    // what the rows of each have in common, and how it gets something from a host
    type Client<'a> = (
        &'static str,
        &'static str,
        String,
        &'a dyn Fn(&str) -> String,
    );
    let clients: [Client<'_>; 8] = [
        (
            "TLS: curl",
            "sni",
            format!("comm = 'curl' AND {TLS}"),
            &|name| format!("curl -sko /dev/null https://{name}:8443/"),
        ),
        (
            "TLS: openssl s_client",
            "sni",
            format!("comm = 'openssl' AND {TLS}"),
            &|name| s_client(&format!("-connect {FAR4}:8443"), name),
        ),
        (
            "DTLS: openssl s_client",
            "sni",
            "comm = 'openssl' AND protocol = 'udp'".into(),
            &|name| s_client(&format!("-dtls -connect {FAR4}:4444"), name),
        ),
        (
            "TLS: Python",
            "sni",
            format!("cmdline LIKE '%client.py%' AND {TLS}"),
            &|name| format!("python3 {py} https://{name}:8443/"),
        ),
        (
            "TLS: Node",
            "sni",
            format!("cmdline LIKE '%client.js%' AND {TLS}"),
            &|name| format!("node {js} https://{name}:8443/"),
        ),
        // its request is answered by a page that it can't read
        (
            "TLS: Go (docker)",
            "sni",
            format!("comm = 'docker' AND {TLS}"),
            &|name| {
                format!(
                    "HOME=/nonexistent DOCKER_API_VERSION=1.40 docker --tls --tlscacert {} -H tcp://{name}:8443 ps >/dev/null 2>&1 || true",
                    site.cert
                )
            },
        ),
        (
            "HTTP/2 without TLS: curl",
            "http_host",
            format!("comm = 'curl' AND {HTTP2}"),
            &|name| format!("curl -so /dev/null --http2-prior-knowledge http://{name}:8080/"),
        ),
        (
            "HTTP/2 without TLS: Node",
            "http_host",
            format!("cmdline LIKE '%client.js%' AND {HTTP2}"),
            &|name| format!("node {js} http://{name}:8080/"),
        ),
    ];
    let names = ["one.test", "two.test"];
    let each = clients.iter().flat_map(|(.., get)| names.map(get));
    // all names from one process, whose start takes long
    let urls = names.map(|name| format!("https://{name}:8443/")).join(" ");
    let java = format!("java {} {urls}", source("Client.java"));
    let script: Vec<String> = each.chain([java]).collect();
    let (_dir, db) = history();
    let output = site.net.observe(&db, &["sh", "-ec", &script.join("\n")]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    for (what, column, rows, _) in clients {
        let mut rate = Rate::new(what);
        for name in names {
            let of_name = format!("{rows} AND cmdline LIKE '%{name}%'");
            count(&mut rate, &db, column, &of_name, name);
        }
        rate.verdict();
    }
    let mut rate = Rate::new("TLS: Java");
    let sql = format!("SELECT sni FROM egress WHERE comm = 'java' AND {TLS} ORDER BY id");
    let rows = select(&db, &sql);
    assert_eq!(rows.len(), names.len());
    for (row, name) in rows.iter().zip(names) {
        rate.count(&row[0], name);
    }
    rate.verdict();
}

/// The far side's mounts are the script's alone: keys of root's, and a name server.
const FAR_PROXIES: &str = r#"
    mount -t tmpfs -o mode=700 none ~root
    mkdir -m 700 ~root/.ssh
    cp "$1/id.pub" ~root/.ssh/authorized_keys
    mount --bind "$1/resolv.conf" /etc/resolv.conf
    setpriv --pdeathsig TERM tinyproxy -d -c "$1/tinyproxy.conf" &
    exec dropbear -F -s -r "$1/host" -p 10.77.0.2:2222 -P "$1/pid""#;

const SSH: &str = r#"exec ssh -N -D 127.0.0.1:1080 -F none -i "$1/id" -p 2222 -o BatchMode=yes \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@10.77.0.2"#;

#[test]
fn what_proxies_are_asked_for_is_recorded() {
    let site = Site::new();
    let at = |name: &str| site.dir.path().join(name).display().to_string();
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &at("id")],
    );
    run("dropbearkey", &["-t", "ecdsa", "-f", &at("host")]);
    fs::write(at("resolv.conf"), format!("nameserver {FAR4}\n")).unwrap();
    fs::write(
        at("tinyproxy.conf"),
        format!("Port 8888\nListen {FAR4}\nTimeout 60\n"),
    )
    .unwrap();
    let _far = site.starts(&site.net.far, FAR_PROXIES);
    site.waits_for(FAR4, 2222);
    site.waits_for(FAR4, 8888);
    let _ssh = site.starts(&site.net.near, SSH);
    site.waits_for("127.0.0.1", 1080);
    let plain = site.net.http("x");
    let ssh = "127.0.0.1:1080";
    let tinyproxy = format!("http://{FAR4}:8888");
    let cases = [
        (
            "SOCKS5: curl, ssh -D",
            format!("socks5h://{ssh}"),
            "https",
            8443,
        ),
        (
            "SOCKS4a: curl, ssh -D",
            format!("socks4a://{ssh}"),
            "http",
            plain,
        ),
        ("CONNECT: curl, tinyproxy", tinyproxy.clone(), "https", 8443),
        ("HTTP proxy: curl, tinyproxy", tinyproxy, "http", plain),
    ];
    let (_dir, db) = history();
    let mut script = String::new();
    for (i, (_, proxy, scheme, port)) in cases.iter().enumerate() {
        for name in ["a", "b"] {
            script +=
                &format!("curl -fsko /dev/null -x {proxy} {scheme}://{name}{i}.test:{port}/\n");
        }
    }
    let recording = Recording::start(&site.net);
    let shared = recording.history().to_owned();
    let output = site.net.command("sh").args(["-ec", &script]).output();
    recording.save(&db);
    let output = output.unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    for (i, (what, _, scheme, port)) in cases.into_iter().enumerate() {
        let mut rate = Rate::new(what);
        for name in ["a", "b"].map(|name| format!("{name}{i}.test")) {
            let own = format!("comm = 'curl' AND cmdline LIKE '%{name}%'");
            let asked = format!("{name}:{port}");
            let column = "proxied_host || ':' || proxied_port";
            count(&mut rate, &db, column, &own, &asked);
            // what goes through the proxy is not with it
            let sni = if scheme == "https" { name.as_str() } else { "" };
            let sql =
                format!("SELECT coalesce(sni, ''), host_source IS 'sni' FROM egress WHERE {own}");
            assert_eq!(select(&db, &sql), [[sni, "0"]], "{what}");
        }
        rate.verdict();
    }
    let answer = ask(&shared, "which processes hit a0.test");
    assert!(answer.contains("curl"), "{answer}");
}

/// What a certificate's key is called by `--ignore-certificate-errors-spki-list`.
fn pin(cert: &str) -> String {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der \
        | openssl dgst -sha256 -binary | base64";
    let mut shell = Command::new("sh");
    ok(shell.args(["-ec", script, cert])).trim().to_owned()
}

#[test]
fn clients_that_resolve_over_https_are_named_by_what_they_send() {
    let site = Site::new();
    let (python, script) = python("quic.py");
    let server = site.net.far(|| {
        Command::new(python)
            .args([&script, "serve", &site.cert, &site.key, FAR4, "4433"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let _quic = serving(server);
    // a page with another one in it, over QUIC
    let profile = tempfile::tempdir().unwrap();
    let doh = "https://dns.google/dns-query";
    let state = format!(r#"{{"dns_over_https":{{"mode":"secure","templates":"{doh}"}}}}"#);
    fs::write(profile.path().join("Local State"), state).unwrap();
    let chromium = format!(
        "HOME={0} timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
         --disable-background-networking --disable-component-update --disable-sync --user-data-dir={0} \
         --ignore-certificate-errors-spki-list={1} --origin-to-force-quic-on=quic.test:4433 \
         --dump-dom https://page.test:8443/frame 2>/dev/null",
        profile.path().display(),
        pin(&site.cert)
    );
    let curl =
        format!("curl -sko /dev/null --doh-insecure --doh-url {doh} https://curl.test:8443/");
    let (_dir, db) = history();
    let recording = Recording::start(&site.net);
    let shared = recording.history().to_owned();
    let script = format!("{curl}\n{chromium}");
    let output = site.net.command("sh").args(["-ec", &script]).output();
    recording.save(&db);
    let output = output.unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("<iframe"),
        "{}",
        text(&output.stdout)
    );
    for (what, filter, name) in [
        (
            "DNS over HTTPS: curl",
            "comm = 'curl' AND dst_port = 8443",
            "curl.test",
        ),
        (
            "DNS over HTTPS, TLS: Chromium",
            "comm <> 'curl' AND dst_port = 8443",
            "page.test",
        ),
        (
            "DNS over HTTPS, QUIC: Chromium",
            "protocol = 'udp' AND dst_port = 4433",
            "quic.test",
        ),
    ] {
        let mut rate = Rate::new(what);
        count(
            &mut rate,
            &db,
            "host",
            &format!("{filter} AND direction = 'out'"),
            name,
        );
        let sql = format!(
            "SELECT DISTINCT host_source, host = sni FROM egress WHERE {filter} AND direction = 'out'"
        );
        assert_eq!(select(&db, &sql), [["sni", "1"]], "{what}");
        rate.verdict();
    }
    let seen = "SELECT count(*) FROM dns WHERE qname IN ('curl.test', 'page.test', 'quic.test')";
    assert_eq!(value::<i64>(&db, seen), 0, "they asked in clear");
    let answer = ask(&shared, "which processes use DNS over HTTPS");
    assert!(
        answer.contains("curl") && answer.contains("chrom"),
        "{answer}"
    );
    let answer = ask(&shared, "which processes hit page.test");
    assert!(answer.contains("chrom"), "{answer}");
}
