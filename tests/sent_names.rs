//! The names that connections send themselves: TLS, QUIC, HTTP/1 and its proxies.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::*;

fn rows(db: &Path, sql: &str) -> Vec<Vec<String>> {
    select(db, sql)
}

/// A server on the far side, for any name, which ends with the value.
struct NamedServer(
    Child,
    u16,
    #[expect(dead_code, reason = "dropping it removes the files")] tempfile::TempDir,
);

impl Drop for NamedServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tls_server(net: &Net) -> NamedServer {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(dir.path());
    let port = net.farewell(false); // one that is free
    let port = port + 1;
    let server = net.far(|| {
        Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-key", &key, "-cert", &cert])
            .args(["-accept", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let server = NamedServer(server, port, dir);
    eventually("the server of TLS listens", || {
        net.near(|| TcpStream::connect((FAR4, port))).ok()
    });
    server
}

#[test]
fn tls_connection_has_the_name_that_it_asks_for() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let server = tls_server(&net);
    let port = server.1;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let curl = |args: &[&str], url: &str| {
        let url = format!("https://{url}:{port}/");
        let client = net
            .command("curl")
            .args(["-sko", "/dev/null"])
            .args(args)
            .arg(url)
            .status();
        assert!(client.unwrap().success(), "{args:?}");
    };
    let to = |name: &str| format!("{name}:{port}:{FAR4}");
    // dialled by address, without a lookup
    curl(&["--resolve", &to("One.test")], "One.test");
    curl(&[], FAR4);
    // its own lookup was for another name
    curl(
        &[
            "--connect-to",
            &format!("front.test:{port}:own.test:{port}"),
        ],
        "front.test",
    );
    curl(&[], "both.test");
    // others have looked up other names of the address
    curl(&["--resolve", &to("three.test")], "three.test");
    recording.save(&db);
    let sql = format!(
        "SELECT host, host_source, sni, sni_ech, alpn LIKE '%http/1.1', host_rivals, lookup_id IS NULL
         FROM egress WHERE dst_port = {port} AND comm = 'curl' ORDER BY id"
    );
    assert_eq!(
        rows(&db, &sql),
        [
            ["one.test", "sni", "one.test", "0", "1", "0", "1"],
            ["", "", "", "0", "1", "", "1"],
            ["own.test", "process", "front.test", "0", "1", "0", "0"],
            ["both.test", "process", "both.test", "0", "1", "0", "0"],
            ["three.test", "sni", "three.test", "0", "1", "2", "1"],
        ]
    );
}

#[test]
fn quic_flow_has_the_name_that_it_asks_for() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(dir.path());
    let port = "4433";
    let (python, script) = python("quic.py");
    let server = net.far(|| {
        Command::new(&python)
            .arg(&script)
            .args(["serve", &cert, &key, FAR4, port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let _server = (serving(server), dir);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    for args in [
        &[FAR4, port, "one.test", "1"][..],
        &[FAR4, port, "two.test", "2"],
        &[FAR4, port],
        &["own.test", port, "other.test"],
    ] {
        let client = net
            .command(&python)
            .args([&script, "get"])
            .args(args)
            .status();
        assert!(client.unwrap().success(), "{args:?}");
    }
    recording.save(&db);
    let sql = format!(
        "SELECT host, host_source, sni, sni_ech, alpn FROM egress
         WHERE dst_port = {port} AND protocol = 'udp' ORDER BY id"
    );
    let seen = rows(&db, &sql);
    let mut rate = Rate::new("QUIC, versions 1 and 2, with Retry: aioquic");
    for (row, sent) in seen.iter().zip(["one.test", "two.test", "", "other.test"]) {
        rate.count(&row[2], sent);
    }
    rate.verdict();
    assert_eq!(
        seen,
        [
            ["one.test", "sni", "one.test", "0", "h3"],
            ["two.test", "sni", "two.test", "0", "h3"],
            ["", "", "", "0", "h3"],
            ["own.test", "process", "other.test", "0", "h3"],
        ]
    );
}

#[test]
fn quinn_asks_for_a_name_over_quic() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let names = ["one.test", "two.test"];
    let port = quinn_asks_for(&net, &names);
    recording.save(&db);
    let sql = format!(
        "SELECT host, host_source, sni, sni_ech FROM egress
         WHERE dst_port = {port} AND protocol = 'udp' ORDER BY id"
    );
    let seen = rows(&db, &sql);
    let mut rate = Rate::new("QUIC: quinn");
    for (row, sent) in seen.iter().zip(names) {
        rate.count(&row[2], sent);
    }
    rate.verdict();
    assert_eq!(seen, names.map(|name| [name, "sni", name, "0"]));
}

/// Handshakes over QUIC for these names, each from a socket of its own. Returns the server's port.
fn quinn_asks_for(net: &Net, names: &[&str]) -> u16 {
    use quinn::rustls::RootCertStore;
    use quinn::rustls::pki_types::pem::PemObject;
    use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(dir.path());
    let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
    let mut trusted = RootCertStore::empty();
    trusted.add(chain[0].clone()).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let serves = quinn::ServerConfig::with_single_cert(chain, key).unwrap();
    let dials = quinn::ClientConfig::with_root_certificates(Arc::new(trusted)).unwrap();
    let endpoint = |socket, server| {
        let runtime = Arc::new(quinn::TokioRuntime);
        quinn::Endpoint::new(quinn::EndpointConfig::default(), server, socket, runtime).unwrap()
    };
    let far = net.far(|| UdpSocket::bind((FAR4, 0)).unwrap());
    let to = far.local_addr().unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let server = endpoint(far, Some(serves));
        tokio::spawn(async move {
            while let Some(client) = server.accept().await {
                let _ = client.await;
            }
        });
        for name in names {
            let near = net.near(|| UdpSocket::bind("0.0.0.0:0").unwrap());
            let client = endpoint(near, None);
            let handshake = client.connect_with(dials.clone(), to, name).unwrap();
            // for none of these names; it comes long after the name was sent
            let refusal = handshake.await.unwrap_err().to_string();
            assert!(refusal.contains("certificate"), "{refusal}");
        }
    });
    to.port()
}

/// A ClientHello with X25519MLKEM768's key share, as browsers send it, and a name.
fn client_hello(name: &[u8], ech: bool) -> Vec<u8> {
    let sized = |len: usize, data: &[u8]| {
        let size = (data.len() as u32).to_be_bytes();
        [&size[4 - len..], data].concat()
    };
    let extension = |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], &sized(2, data)].concat();
    let share = [&[0x11, 0xec][..], &sized(2, &[9; 1216])].concat();
    let host = sized(2, &[&[0][..], &sized(2, name)].concat());
    let mut extensions = extension(51, &sized(2, &share));
    if ech {
        extensions.extend(extension(0xfe0d, &[0; 180]));
    }
    extensions.extend(extension(0, &host));
    let version_and_random = [&[3, 3][..], &[7; 32]].concat();
    let ciphers = [0, 0, 2, 0x13, 1, 1, 0];
    let body = [&version_and_random[..], &ciphers, &sized(2, &extensions)].concat();
    [&[1][..], &sized(3, &body)].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let each = message.chunks(size).map(|part| {
        let header = [22, 3, 1, (part.len() >> 8) as u8, part.len() as u8];
        [&header, part].concat()
    });
    each.collect::<Vec<_>>().concat()
}

/// A server on the far side that takes all that comes.
fn sink(net: &Net) -> u16 {
    let listener = net.far(|| TcpListener::bind((FAR4, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    port
}

/// Over a connection of its own, a segment between two cuts.
fn send_in_pieces(net: &Net, port: u16, bytes: &[u8], cuts: &[usize]) {
    let mut stream = net.near(|| TcpStream::connect((FAR4, port)).unwrap());
    stream.set_nodelay(true).unwrap();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        stream.write_all(&bytes[from..to]).unwrap();
        from = to;
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn client_hello_in_pieces_names_and_a_hostile_one_does_not() {
    let net = Net::new();
    let port = sink(&net);
    let send = |bytes: &[u8], cuts: &[usize]| send_in_pieces(&net, port, bytes, cuts);
    let whole = |name: &[u8]| records(&client_hello(name, false), 16_384);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    send(&whole(b"whole.test"), &[]);
    send(&whole(b"cut.test"), &[1, 4, 700, 701]);
    send(
        &records(&client_hello(b"records.test", false), 97),
        &[50, 1300],
    );
    send(&records(&client_hello(b"provider.test", true), 16_384), &[]);
    send(&whole(b"a\x1b[2J\n.test"), &[]);
    send(&whole(b"192.0.2.1"), &[]);
    let mut lies = whole(b"lies.test");
    lies[6] = 0x7f; // the message says that it is longer than any
    send(&lies, &[9]);
    send(&[b"EHLO x\r\n", &whole(b"later.test")[..]].concat(), &[8]);
    recording.save(&db);
    let sql = format!(
        "SELECT coalesce(host, '-'), coalesce(sni, '-'), coalesce(sni_ech, '-') FROM egress
         WHERE dst_port = {port} ORDER BY id"
    );
    assert_eq!(
        rows(&db, &sql),
        [
            ["whole.test", "whole.test", "0"],
            ["cut.test", "cut.test", "0"],
            ["records.test", "records.test", "0"],
            ["provider.test", "provider.test", "1"],
            ["-", "a\\027[2j\\010.test", "0"],
            ["-", "192.0.2.1", "0"],
            ["-", "-", "-"],
            // on this port, what came first may have been for a proxy
            ["-", "later.test", "0"],
        ]
    );
}

#[test]
fn http2_without_tls_and_socks_say_whom_they_want() {
    let net = Net::new();
    let port = sink(&net);
    let send = |parts: &[&[u8]], cuts: &[usize]| {
        send_in_pieces(&net, port, &parts.concat(), cuts);
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let request = b"\0\0\x0d\x01\x05\0\0\0\x01\x82\x86\x84\x41\x08two.test";
    let connect = b"\0\0\x15\x01\x04\0\0\0\x01\x42\x07CONNECT\x41\x0afar.test:1";
    let hello = records(&client_hello(b"far.test", false), 16_384);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    send(&[preface, request], &[]);
    send(&[preface, request], &[24, 40, 41]);
    send(&[preface, connect], &[33]);
    // with a password, and TLS through the proxy
    let login = b"\x01\x02me\x03pwd";
    let to = b"\x05\x01\0\x03\x08Far.test\x01\xbb";
    send(&[b"\x05\x02\0\x02", login, to, &hello], &[4, 6, 12, 15, 27]);
    send(
        &[b"\x05\x01\0", b"\x05\x01\0\x01\xc0\0\x02\x01\0\x50"],
        &[3],
    );
    send(&[b"\x04\x01\0\x50\0\0\0\x01me\0four.test\0"], &[]);
    // what only begins so
    send(&[b"\x05\x01\0", b"\x16\x03\x01\0\x02hi"], &[3]);
    send(&[b"\x04\x01\0\x50\0\0\0\x01\xffe\0four.test\0"], &[]);
    send(
        &[preface, b"\0\0\x04\x01\x05\0\0\0\x01\x82\x86\x84\xbe"],
        &[24],
    );
    recording.save(&db);
    let sql = format!(
        "SELECT coalesce(host, ''), coalesce(http_host, ''), coalesce(proxied_host, ''),
             coalesce(proxied_port, ''), coalesce(sni, '')
         FROM egress WHERE dst_port = {port} ORDER BY id"
    );
    assert_eq!(
        rows(&db, &sql),
        [
            ["", "two.test", "", "", ""],
            ["", "two.test", "", "", ""],
            ["", "", "far.test", "1", ""],
            ["", "", "far.test", "443", "far.test"],
            ["", "", "192.0.2.1", "80", ""],
            ["", "", "four.test", "80", ""],
            ["", "", "", "", ""],
            ["", "", "", "", ""],
            ["", "", "", "", ""],
        ]
    );
}

#[test]
fn dtls_flow_has_the_name_that_it_asks_for() {
    let net = Net::new();
    let dir = tempfile::tempdir().unwrap();
    let _server = dtls_server(&net, dir.path());
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    assert!(dtls(&net, &["-servername", "One.test", "-alpn", "coap"]));
    // in packets of 256 bytes, of which the ClientHello takes several
    let long = format!("{}.test", ["p"; 3].map(|label| label.repeat(60)).join("."));
    assert!(dtls(&net, &["-servername", &long, "-mtu", "256"]));
    assert!(dtls(&net, &["-noservername"]));
    recording.save(&db);
    let sql = "SELECT host, host_source, sni, sni_ech, alpn FROM egress
         WHERE dst_port = 4444 AND protocol = 'udp' ORDER BY id";
    assert_eq!(
        rows(&db, sql),
        [
            ["one.test", "sni", "one.test", "0", "coap"],
            [&long, "sni", &long, "0", ""],
            ["", "", "", "", ""],
        ]
    );
}

#[test]
fn connection_that_goes_over_to_tls_has_the_name_that_it_asks_for() {
    let net = Net::new();
    let listener = net.far(|| TcpListener::bind((FAR4, 587)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = submission(stream);
        }
    });
    let (_dir, db) = history();
    let at = format!("{FAR4}:587");
    let args = [
        "s_client",
        "-starttls",
        "smtp",
        "-servername",
        "mail.test",
        "-connect",
        &at,
    ];
    // no certificate comes: it fails
    net.observe(&db, &[&["openssl"][..], &args].concat());
    let sql = "SELECT host, host_source, sni FROM egress WHERE dst_port = 587";
    assert_eq!(rows(&db, sql), [["mail.test", "sni", "mail.test"]]);
}

/// A mail server (RFC 3207) that ends where TLS begins.
fn submission(stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut to = &stream;
    let mut read = || lines.read_line(&mut String::new());
    to.write_all(b"220 mail.test ESMTP\r\n")?;
    read()?;
    to.write_all(b"250-mail.test\r\n250 STARTTLS\r\n")?;
    read()?;
    to.write_all(b"220 go ahead\r\n")?;
    // the first byte of TLS, so that the connection ends behind it
    lines.fill_buf().map(drop)
}

#[test]
fn http_requests_say_their_host_and_what_a_proxy_is_asked_for() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let at = format!("http://{FAR4}:{port}");
    let (_dir, db) = history();
    let script = format!(
        "curl -so /dev/null -H 'Host: Web.test:99' {at}/; curl -so /dev/null -x {at} http://far.test/; \
         curl -sko /dev/null -x {at} https://c.test/; true"
    );
    let output = net.observe(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0);
    let sql = format!(
        "SELECT host, http_host, proxied_host, proxied_port FROM egress
         WHERE dst_port = {port} ORDER BY id"
    );
    assert_eq!(
        rows(&db, &sql),
        [
            ["", "web.test", "", ""],
            ["", "far.test", "far.test", "80"],
            ["", "c.test", "c.test", "443"],
        ]
    );
}

#[test]
fn without_payload_connections_are_recorded_and_no_name_that_they_send() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &["--no-payload"]);
    let url = format!("http://{FAR4}:{port}/");
    let output = net.command("curl").args(["-s", &url]).output().unwrap();
    assert_eq!(text(&output.stdout), "x");
    recorder.stop();
    let sql = format!(
        "SELECT outcome, http_host, (SELECT hooks LIKE '%payload%' FROM recordings) FROM egress
         WHERE dst_port = {port}"
    );
    assert_eq!(rows(&db, &sql), [["connected", "", "0"]]);
}
