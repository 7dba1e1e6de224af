//! The setting `sni`: what a connection says decides, instead of what its address was looked up as.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// An extension of TLS.
fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u16;
    [&kind.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    let len = name.len() as u16;
    let list = (len + 3).to_be_bytes();
    extension(0, &[&list[..], &[0], &len.to_be_bytes(), name].concat())
}

/// A ClientHello in one record.
fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[32],
        &[8; 32],
        &[0, 4, 0x13, 1, 0x13, 2],
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let [_, len @ ..] = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &len, &body].concat();
    let len = (message.len() as u16).to_be_bytes();
    [&[22, 3, 1][..], &len, &message].concat()
}

fn saying(name: &str) -> Vec<u8> {
    hello(&[
        extension(0xff01, &[0]),
        server_name(name.as_bytes()),
        extension(43, &[2, 3, 4]),
    ])
}

fn request(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{headers}\r\n\r\n").into_bytes()
}

/// Whether what is sent, in these parts, comes to the server, which then ends the connection.
fn passes(to: (&str, u16), parts: &[&[u8]]) -> bool {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    for part in parts {
        // it may be reset between them
        let _ = stream.write_all(part);
        thread::sleep(Duration::from_millis(20 * (parts.len() as u64 - 1)));
    }
    match stream.read(&mut [0; 1]).map_err(|e| e.raw_os_error()) {
        Ok(_) => true,
        Err(Some(libc::ECONNABORTED)) => false,
        Err(e) => panic!("{to:?}: {e:?}"),
    }
}

#[test]
fn name_that_a_connection_says_decides_and_one_that_should_and_says_none_is_refused() {
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false);
    net.dns(|query| vec![addresses(query, &[Ipv4Addr::new(10, 77, 1, 160)], 60)]);
    let (dir, db) = history();
    // all names lead to one address, as those of a CDN do
    let (cdn, elsewhere) = ("10.77.1.160", "10.77.1.168");
    let write = |sni: &str| {
        let head = format!("allow\nresolvers: [{FAR4}]\nsni: {sni}");
        policy(
            dir.path(),
            &head,
            &[
                "{ name: listed, to: [listed.test], action: block }",
                "{ name: ours, to: [ours.test, '*.below.test'], ports: ['1000-65535', 443], action: allow, private: true }",
                "{ name: mail, to: [mail.test], ports: [25], action: allow, private: true, sni: off }",
                "{ name: the rest, to: [10.77.1.160/29], action: block }",
            ],
        )
    };
    let recorder = start(&db, &write("strict"), &["--enforce"]);
    for name in ["ours.test", "mail.test"] {
        ok(net.command("getent").args(["ahostsv4", name]));
    }
    let long = |name: &str| hello(&[extension(21, &[0; 1700]), server_name(name.as_bytes())]);
    let twice = hello(&[server_name(b"ours.test"), server_name(b"other.test")]);
    let ours = saying("ours.test");
    let in_records = [
        &[22, 3, 1, 0, 4][..],
        &ours[5..9],
        &[22, 3, 1, 2, 0],
        &ours[9..],
    ]
    .concat();
    let port_header = format!("Host:  OURS.test:{port}");
    let too_long = format!("{}.ours.test", "a".repeat(64));
    let cases: [(&str, Vec<u8>, &str); 21] = [
        ("its own name", ours.clone(), ""),
        ("in capitals, with a dot", saying("OURS.Test."), ""),
        ("behind much else", long("a.below.test"), ""),
        ("another", saying("other.test"), "the rest"),
        ("another, behind much else", long("below.test"), "the rest"),
        ("one that is listed", saying("a.listed.test"), "listed"),
        (
            "an end that is ours",
            saying("ours.test.other.test"),
            "the rest",
        ),
        ("a NUL", saying("ours.test\0.other.test"), "the rest"),
        ("a label that is too long", saying(&too_long), "sni"),
        ("no label between dots", saying("ours.test..test"), "sni"),
        ("none", hello(&[extension(43, &[2, 3, 4])]), "sni"),
        ("two", twice, "sni"),
        ("in two records", in_records, "sni"),
        ("nothing that is TLS", b"SSH-2.0-x\r\n".to_vec(), "sni"),
        ("a host", request("/", "Accept: */*\r\nhost:ours.test"), ""),
        ("with a port", request("/", &port_header), ""),
        ("another host", request("/", "Host: other.test"), "the rest"),
        (
            "a whole address",
            request("http://other.test/", "Host: ours.test"),
            "sni",
        ),
        (
            "two hosts",
            request("/", "Host: ours.test\r\nHost: other.test"),
            "sni",
        ),
        (
            "in the body",
            request("/", "A: b\r\n\r\nHost: ours.test"),
            "sni",
        ),
        ("no host", request("/", "A: b"), "sni"),
    ];
    for (what, bytes, rule) in &cases {
        let passed = net.near(|| passes((cdn, port), &[bytes]));
        assert_eq!(passed, rule.is_empty(), "{what}");
    }
    assert!(!net.near(|| passes((cdn, port), &[&ours[..1], &ours[1..]])));
    // MPTCP's first path
    let by_mptcp = |bytes: &[u8]| {
        let kind = Some(socket2::Protocol::MPTCP);
        let mut socket = net.near(|| Socket::new(Domain::IPV4, Type::STREAM, kind).unwrap());
        let to: SocketAddr = format!("{cdn}:{port}").parse().unwrap();
        socket.connect(&to.into()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        socket.write_all(bytes).unwrap();
        socket.read(&mut [0; 1]).is_ok()
    };
    // Debian's 5.10 has none
    let has_mptcp = Path::new("/proc/sys/net/mptcp").exists();
    assert!(!has_mptcp || by_mptcp(&ours) && !by_mptcp(&saying("mptcp.test")));
    // wherever it goes
    assert!(!net.near(|| passes((elsewhere, port), &[&saying("listed.test")])));
    assert!(net.near(|| passes((elsewhere, port), &[b"SSH-2.0-x\r\n"])));
    // the name in QUIC can't be read
    let datagram = |ip: &str, port: u16| {
        let socket = net.near(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        socket
            .send_to(b"x", (ip, port))
            .map_err(|e| e.raw_os_error())
    };
    assert_eq!(datagram(cdn, 443), Err(Some(libc::EPERM)));
    assert_eq!(
        [datagram(cdn, 4433), datagram(elsewhere, 443)],
        [Ok(1), Ok(1)]
    );
    // of a rule that does without
    let mail = net.far(|| std::net::TcpListener::bind("0.0.0.0:25").unwrap());
    let greeted = thread::spawn(move || mail.accept().unwrap().0.read(&mut [0; 9]).unwrap());
    net.near(|| {
        TcpStream::connect((cdn, 25))
            .unwrap()
            .write_all(b"EHLO x\r\n")
            .unwrap()
    });
    assert_eq!(greeted.join().unwrap(), 8);
    // real clients
    let (key, cert) = certificate(dir.path());
    let server = net.far(|| {
        let mut server = Command::new("openssl");
        server.args([
            "s_server", "-quiet", "-www", "-key", &key, "-cert", &cert, "-port", "8443",
        ]);
        server
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let _server = Guard(server);
    let curl = |url: &str| {
        let mut curl = net.command("curl");
        curl.args([
            "-sk",
            "--max-time",
            "20",
            "--connect-to",
            "::ours.test:8443",
            url,
        ]);
        curl.output().unwrap().status.code()
    };
    eventually("the server answers", || {
        (curl("https://ours.test/") == Some(0)).then_some(())
    });
    assert_eq!(curl("https://a.below.test/"), Some(0));
    let refused = curl("https://other.test/");
    assert!(matches!(refused, Some(35 | 56)), "{refused:?}");
    // reported alone
    write("alert");
    recorder.signal("HUP");
    recorder.expect("policy ");
    assert!(net.near(|| passes((cdn, port), &[&saying("alerted.test")])));
    assert_eq!(recorder.stop(), 0);

    let rows = |sni: &str| {
        select(
            &db,
            &format!(
                "SELECT coalesce(verdict, ''), coalesce(rule, ''), enforced, tx_bytes
                 FROM egress WHERE sni = '{sni}' AND dst_port IN ({port}, 8443)"
            ),
        )
    };
    assert_eq!(
        rows("alerted.test"),
        [[
            "alert",
            "sni",
            "1",
            &saying("alerted.test").len().to_string()
        ]]
    );
    assert_eq!(
        rows("other.test")[..2],
        [["block", "the rest", "1", "0"]; 2]
    );
    assert_eq!(
        rows("ours.test.other.test"),
        [["block", "the rest", "1", "0"]]
    );
    let by_rule = |rule: &str| {
        let sql = format!(
            "SELECT count(*) FROM egress WHERE rule = '{rule}' AND dst_ip = '{cdn}'
             AND dst_port IN ({port}, 443) AND verdict = 'block'"
        );
        value::<u32>(&db, &sql)
    };
    let expected = |rule| cases.iter().filter(|(.., by)| *by == rule).count() as u32;
    // and by MPTCP, and QUIC
    let more = 1 + u32::from(has_mptcp);
    assert_eq!(by_rule("the rest"), expected("the rest") + more);
    assert_eq!(by_rule("listed"), expected("listed"));
    // and the one in two parts
    assert_eq!(by_rule("sni"), expected("sni") + 1);

    // observed, and tried on what was recorded: the same
    let (other_dir, observed_db) = history();
    let file = write("strict");
    let recorder = start(&observed_db, &file, &[]);
    ok(net.command("getent").args(["ahostsv4", "ours.test"]));
    for (what, bytes, _) in &cases {
        assert!(net.near(|| passes((cdn, port), &[bytes])), "{what}");
    }
    assert_eq!(recorder.stop(), 0);
    let would = value::<u32>(
        &observed_db,
        &format!("SELECT count(*) FROM egress WHERE verdict = 'block' AND dst_port = {port}"),
    );
    assert_eq!(
        would,
        cases.iter().filter(|(.., rule)| !rule.is_empty()).count() as u32
    );
    let mut replay = egrets();
    replay
        .args(["policy", "replay", "--json"])
        .arg(&file)
        .arg("--db")
        .arg(&observed_db);
    let replayed = text(&replay.output().unwrap().stdout);
    let replayed: serde_json::Value = serde_json::from_str(&replayed).unwrap();
    // the recorder reads names also where the kernel side takes none
    let read =
        "SELECT count(*) FROM egress WHERE rule = 'sni' AND coalesce(sni, http_host) LIKE '%ours.test'
         AND proxied_host IS NULL";
    let lenient = value::<u32>(&observed_db, read);
    assert_eq!(lenient, 2);
    assert_eq!(replayed["stopped"], would - lenient, "{replayed}");
    drop(other_dir);
}
