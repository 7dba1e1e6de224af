//! Names in the kernel: an address that a resolver gives for a name is the name's before its
//! process can connect there, and no process gets one for a name in any other way.

mod escapes;
mod harms;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::*;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Addresses of 10.77.1.0/24 and 10.64.0.0/16 are open to names alone. One of the resolvers is a stub's.
const POLICY: &str = r#"
version: 1
resolvers: [10.77.0.2, "fd77::2", 10.77.1.3, 127.0.0.11]
lookups: block
stale: block
default: allow
rules:
  - { name: named, to: [allowed.test, "*.below.test"], action: allow, private: true }
  - { name: not for private addresses, to: [rebind.test], action: allow }
  - { name: refused lookups, to: [forbidden.test], action: block }
  - { name: so that it may be asked, to: [listed.test, killed.test], ports: [9], action: allow, private: true }
  - { name: listed, to: [listed.test], action: block }
  - { name: killed, to: [killed.test], action: kill }
  - { name: the rest, to: [10.77.1.0/24, 10.64.0.0/16], action: block }
"#;

const RESOLVER: (&str, u16) = (FAR4, 53);
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_TXT: u16 = 16;

/// Two namespaces whose traffic the policy governs, and the port of a server on every address.
fn governed() -> (Net, u16) {
    shared::share_with(|dir| {
        let file = dir.join("policy.yaml");
        std::fs::write(&file, POLICY).unwrap();
        let file = file.to_str().unwrap().to_string();
        vec!["--policy".into(), file, "--enforce".into()]
    });
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false);
    (net, port)
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, last)
}

/// A name as it is on the wire: the labels may have any bytes.
fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let labels = labels
        .iter()
        .map(|label| [&[label.len() as u8], *label].concat());
    [labels.collect::<Vec<_>>().concat(), vec![0]].concat()
}

fn name(text: &str) -> Vec<u8> {
    let labels: Vec<&[u8]> = text.split('.').map(str::as_bytes).collect();
    wire(&labels)
}

fn query(id: u16, name: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [
        &[high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        name,
        &[0, 1, 0, 1],
    ]
    .concat()
}

/// The name of a message's question.
fn asked(message: &[u8]) -> &[u8] {
    let name = &message[12..];
    let end = name.iter().position(|len| *len == 0).unwrap();
    &name[..=end]
}

fn record(owner: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
    let [high, low] = rtype.to_be_bytes();
    let len = (data.len() as u16).to_be_bytes();
    [owner, &[high, low, 0, 1, 0, 0, 0, 60], &len, data].concat()
}

/// A pointer to the question's name.
const QUESTION: [u8; 2] = [0xc0, 12];

fn answer(query: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] = 0x81;
    message[3] = 0x80;
    message[7] = records.len() as u8;
    [message, records.concat()].concat()
}

fn a(owner: &[u8], ip: Ipv4Addr) -> Vec<u8> {
    record(owner, TYPE_A, &ip.octets())
}

/// Answers each query with an address, whose last byte is the number that the name begins with.
fn numbered(message: &[u8]) -> Vec<Vec<u8>> {
    let name = asked(message);
    let digits = name[1..].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |n, byte| n * 10 + u32::from(byte - b'0'));
    vec![answer(message, &[a(&QUESTION, address(number as u8))])]
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks and waits for one message.
fn ask(socket: &UdpSocket, id: u16, name: &[u8]) -> Vec<u8> {
    socket.send_to(&query(id, name), RESOLVER).unwrap();
    receive(socket)
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut data = [0; 4096];
    let len = socket.recv(&mut data).expect("an answer");
    data[..len].to_vec()
}

/// Whether a connection to the address is let through.
fn reaches(ip: Ipv4Addr, port: u16) -> bool {
    match TcpStream::connect_timeout(&SocketAddr::new(ip.into(), port), PATIENCE) {
        Ok(_) => true,
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => false,
        Err(e) => panic!("{ip}: {e}"),
    }
}

/// Each address is new, so that nothing is known of it before its answer. EGRETS_RACES is how many,
/// both ways.
#[test]
fn connection_right_behind_the_answer_is_decided_by_its_name() {
    let (net, port) = governed();
    net.route_to_far("10.64.0.0/16");
    let of_number = |n: u16| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) | u32::from(n));
    net.dns(move |message| {
        let label = &asked(message)[1..];
        let digits = label.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |n, byte| n * 10 + u16::from(byte - b'0'));
        vec![answer(message, &[a(&QUESTION, of_number(number))])]
    });
    let races = std::env::var("EGRETS_RACES").map_or(volume(500) as u16, |n| n.parse().unwrap());
    net.near(|| {
        let socket = client();
        let (mut refused, mut passed) = (0, 0);
        for i in 1..=races {
            let (yes, no) = (i, i + 32_768);
            ask(&socket, i, &name(&format!("{yes}.N.Allowed.test")));
            refused += u32::from(!reaches(of_number(yes), port));
            ask(&socket, i, &name(&format!("{no}.n.other.test")));
            passed += u32::from(reaches(of_number(no), port));
        }
        eprintln!("{races} of each: {refused} allowed ones refused, {passed} others let through");
        assert_eq!((refused, passed), (0, 0));
        // a datagram is decided likewise
        let udp = client();
        assert!(udp.send_to(b"x", (of_number(1), 9)).is_ok());
        let refused = udp.send_to(b"x", (of_number(32_769), 9)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    });
}

#[test]
fn name_holds_for_itself_below_or_both_and_in_its_own_namespace_alone() {
    let (net, port) = governed();
    let (other, other_port) = governed();
    net.dns(numbered);
    other.dns(numbered);
    net.near(|| {
        let socket = client();
        for (id, name_asked, allowed) in [
            (1, "1.allowed.test", true),
            (2, "2.notallowed.test", false),
            (3, "3.allowed.test.evil.test", false),
            (4, "4.below.test", true),
            (5, "5.a.b.c.d.e.f.g.h.i.j.k.allowed.test", true),
            // a name never leads to a private address unless its rule says so
            (6, "6.rebind.test", false),
        ] {
            ask(&socket, id, &name(name_asked));
            assert_eq!(reaches(address(id as u8), port), allowed, "{name_asked}");
        }
    });
    other.near(|| assert!(!reaches(address(1), other_port)));
}

#[test]
fn dot_or_nul_in_a_label_makes_no_other_name() {
    let (net, port) = governed();
    net.dns(|message| vec![answer(message, &[a(&QUESTION, address(9))])]);
    net.near(|| {
        for labels in [
            &[&b"x.allowed"[..], b"test"][..],
            &[b"x", b"allowed.test"],
            &[b"allowed\0", b"test"],
            &[b"allowed", b"test\0"],
            &[b"allowed.test\0evil"],
        ] {
            ask(&client(), 1, &wire(labels));
            assert!(!reaches(address(9), port), "{labels:?}");
        }
        ask(&client(), 1, &wire(&[b"x", b"allowed", b"test"]));
        assert!(reaches(address(9), port));
    });
}

#[test]
fn every_record_of_a_long_answer_and_of_a_chain_is_granted() {
    let (net, port) = governed();
    let target = name("edge.cdn.test");
    net.dns(move |message| {
        let asked = asked(message).to_vec();
        let alias = record(&QUESTION, TYPE_CNAME, &target);
        let records = match asked.get(1) {
            // many records
            Some(b'm') => (1..=60).map(|i| a(&QUESTION, address(i))).collect(),
            // two CNAMEs, then the address of the last one
            Some(b'c') => vec![
                alias,
                record(&target, TYPE_CNAME, &name("last.cdn.test")),
                a(&name("LAST.cdn.test"), address(71)),
                // whose record has nothing to do with the question
                a(&name("stranger.test"), address(72)),
            ],
            // the CNAME alone: the resolver is asked again
            Some(b'o') => vec![alias],
            _ => vec![a(&QUESTION, address(73))],
        };
        vec![answer(message, &records)]
    });
    net.near(|| {
        let socket = client();
        ask(&socket, 1, &name("many.allowed.test"));
        assert!((1..=60).all(|i| reaches(address(i), port)));
        ask(&socket, 2, &name("chain.allowed.test"));
        assert!(reaches(address(71), port));
        assert!(!reaches(address(72), port));
        ask(&socket, 3, &name("edge.cdn.test"));
        assert!(
            reaches(address(73), port),
            "its chain has been asked before"
        );
    });
    let (net, port) = governed();
    let target = name("edge.cdn.test");
    net.dns(move |message| {
        let alias = record(&QUESTION, TYPE_CNAME, &target);
        let only = asked(message).get(1) == Some(&b'o');
        let records = if only {
            alias
        } else {
            a(&QUESTION, address(74))
        };
        vec![answer(message, &[records])]
    });
    net.near(|| {
        let socket = client();
        ask(&socket, 1, &name("only.allowed.test"));
        ask(&socket, 2, &name("edge.cdn.test"));
        assert!(reaches(address(74), port));
    });
}

#[test]
fn answer_to_no_query_grants_nothing() {
    let (net, port) = governed();
    let liar = net.far(|| UdpSocket::bind("10.77.1.66:53").unwrap());
    let wanted = name("x.allowed.test");
    net.dns(move |message| {
        let lie = |id: u16, name: &[u8]| {
            let mut lie = answer(&query(id, name), &[a(&QUESTION, address(9))]);
            lie[..2].copy_from_slice(&id.to_be_bytes());
            lie
        };
        let id = u16::from_be_bytes([message[0], message[1]]);
        match id {
            // another id, another question, another type of question
            1 => vec![lie(2, &wanted)],
            3 => vec![lie(3, &wanted)],
            // no answer, but another query
            4 => vec![query(4, &wanted)],
            9 => vec![],
            // an answer of another owner
            5 => vec![answer(message, &[a(&wanted, address(9))])],
            _ => vec![answer(message, &[a(&QUESTION, address(9))])],
        }
    });
    net.near(|| {
        let socket = client();
        for (id, name_asked) in [
            (1, "x.allowed.test"),
            (3, "y.allowed.test"),
            (3, "x.other.test"),
            (4, "x.allowed.test"),
            (5, "x.other.test"),
        ] {
            ask(&client(), id, &name(name_asked));
            assert!(!reaches(address(9), port), "{id}: {name_asked}");
        }
        // another socket's
        socket
            .send_to(&query(6, &name("x.other.test")), RESOLVER)
            .unwrap();
        ask(&client(), 6, &name("x.other.test"));
        receive(&socket);
        assert!(!reaches(address(9), port));
        // two names with one id
        socket
            .send_to(&query(7, &name("x.other.test")), RESOLVER)
            .unwrap();
        receive(&socket);
        ask(&socket, 7, &name("x.allowed.test"));
        assert!(!reaches(address(9), port), "a second name with the same id");
    });
    // another server's answer to the right question
    net.near(|| {
        let socket = client();
        socket
            .send_to(&query(9, &name("x.allowed.test")), RESOLVER)
            .unwrap();
        let to = SocketAddr::new(NEAR4.parse().unwrap(), socket.local_addr().unwrap().port());
        let lie = answer(
            &query(9, &name("x.allowed.test")),
            &[a(&QUESTION, address(9))],
        );
        liar.send_to(&lie, to).unwrap();
        receive(&socket);
        assert!(!reaches(address(9), port), "another server");
    });
}

/// An IPv4 packet with a UDP datagram.
fn packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => unreachable!(),
    };
    let len = 8 + payload.len() as u16;
    let header = [
        &[0x45, 0][..],
        &(20 + len).to_be_bytes(),
        &[0, 0, 0, 0, 64, 17, 0, 0],
        &octets(from.ip()),
        &octets(to.ip()),
        &from.port().to_be_bytes(),
        &to.port().to_be_bytes(),
        &len.to_be_bytes(),
        &[0, 0],
    ];
    [&header.concat(), payload].concat()
}

#[test]
fn resolvers_address_over_loopback_is_no_resolver() {
    let (net, port) = governed();
    // the resolver itself says nothing
    net.dns(|_| vec![]);
    net.near(|| {
        let socket = client();
        let own = SocketAddr::new(NEAR4.parse().unwrap(), socket.local_addr().unwrap().port());
        let resolver = SocketAddr::new(FAR4.parse().unwrap(), 53);
        let asks = query(1, &name("x.allowed.test"));
        let lie = answer(&asks, &[a(&QUESTION, address(9))]);

        socket.send_to(&asks, RESOLVER).unwrap();
        let raw = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(libc::IPPROTO_RAW)),
        );
        let forged = packet(resolver, own, &lie);
        raw.unwrap().send_to(&forged, &SockAddr::from(own)).unwrap();
        receive(&socket);
        assert!(!reaches(address(9), port), "a raw socket");

        let socket6 = UdpSocket::bind("[::]:0").unwrap();
        socket6.set_read_timeout(Some(PATIENCE)).unwrap();
        let resolver6 = SocketAddr::new(FAR6.parse().unwrap(), 53);
        let port6 = socket6.local_addr().unwrap().port();
        let own6 = SocketAddr::new("fd77::1".parse().unwrap(), port6);
        socket6.send_to(&asks, resolver6).unwrap();
        let bound = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        bound.set_freebind_v6(true).unwrap();
        bound.bind(&SockAddr::from(resolver6)).unwrap();
        bound.send_to(&lie, &SockAddr::from(own6)).unwrap();
        receive(&socket6);
        assert!(!reaches(address(9), port), "IPV6_FREEBIND");

        // a process' own server at the address of a stub
        let stub = UdpSocket::bind("127.0.0.11:53").unwrap();
        socket.send_to(&asks, "127.0.0.11:53").unwrap();
        let from = stub.recv_from(&mut [0; 512]).unwrap().1;
        stub.send_to(&lie, from).unwrap();
        receive(&socket);
        assert!(!reaches(address(9), port), "a stub of its own");
    });
}

/// A dnsmasq in the near namespace, which has answered at the address.
fn stub(net: &Net, options: &[&str], at: &str) -> Guard {
    stub_in(Command::new("env"), net, options, at)
}

/// The same, started by a command that takes another one.
fn stub_in(mut by: Command, net: &Net, options: &[&str], at: &str) -> Guard {
    let dnsmasq = by
        .args(["ip", "netns", "exec", &net.near, "dnsmasq"])
        .args(["--keep-in-foreground", "--conf-file=/dev/null"])
        .args(["--no-resolv", "--no-hosts", "--pid-file="])
        .args(["--user=root", "--bind-interfaces"])
        .args(["--address=/allowed.test/10.77.1.9"])
        .args(["--address=/other.test/10.77.1.10"])
        .args(options)
        .stderr(Stdio::null())
        .spawn();
    let dnsmasq = Guard(dnsmasq.expect("dnsmasq"));
    net.near(|| {
        eventually("dnsmasq answers", || {
            let socket = client();
            let brief = Some(Duration::from_millis(200));
            socket.set_read_timeout(brief).unwrap();
            socket
                .send_to(&query(1, &name("x.allowed.test")), at)
                .ok()?;
            socket.recv(&mut [0; 512]).ok()
        });
    });
    dnsmasq
}

#[test]
fn stub_of_the_host_grants_over_loopback() {
    let (net, port) = governed();
    let _dnsmasq = stub(&net, &["--listen-address=127.0.0.11"], "127.0.0.11:53");
    net.near(|| {
        assert!(reaches(address(9), port));
        let socket = client();
        socket
            .send_to(&query(2, &name("x.other.test")), "127.0.0.11:53")
            .unwrap();
        receive(&socket);
        assert!(!reaches(address(10), port));
    });
}

/// A stub whose address is translated, as Docker's is.
#[test]
fn stub_behind_nat_grants_over_loopback() {
    let (net, port) = governed();
    ok(net.command("nft").arg(
        "table ip nat {
            chain out {
                type nat hook output priority -100
                ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.1:5300
            }
        }",
    ));
    let _dnsmasq = stub(
        &net,
        &["--listen-address=127.0.0.1", "--port=5300"],
        "127.0.0.11:53",
    );
    net.near(|| assert!(reaches(address(9), port)));
}

/// A user can make the address of any name of his own that of another name.
#[test]
fn name_that_a_rule_refuses_counts_for_who_asked_it() {
    let (net, port) = governed();
    net.dns(|message| vec![answer(message, &[a(&QUESTION, FAR4.parse().unwrap())])]);
    let cgroup = cgroup2().join("egrets-test-names");
    std::fs::create_dir_all(&cgroup).unwrap();
    let elsewhere = || {
        let script = format!(
            "echo $$ > {}/cgroup.procs; exec {} tcp {FAR4} {port}",
            cgroup.display(),
            dial().display()
        );
        let output = net.near(|| Command::new("sh").args(["-c", &script]).output());
        text(&output.unwrap().stderr)
    };
    net.near(|| {
        ask(&client(), 1, &name("x.listed.test"));
        assert!(!reaches(FAR4.parse().unwrap(), port));
    });
    let said = elsewhere();
    assert!(!said.contains("not permitted"), "{said}");
    let _ = std::fs::remove_dir(&cgroup);
}

#[test]
fn names_outlive_a_reload() {
    let (net, port) = governed();
    net.dns(numbered);
    net.near(|| {
        ask(&client(), 1, &name("1.allowed.test"));
        ask(&client(), 2, &name("2.other.test"));
    });
    let history = Recording::start(&net).history().to_path_buf();
    let policies = || value::<i64>(&history, "SELECT count(*) FROM policies");
    let before = policies();
    run("kill", &["-HUP", &shared::recorder_pid().to_string()]);
    eventually("the policy is read again", || {
        (policies() > before).then_some(())
    });
    net.near(|| {
        assert!(reaches(address(1), port));
        assert!(!reaches(address(2), port));
    });
}

#[test]
fn threads_of_one_socket_do_not_mix_their_names() {
    let (net, port) = governed();
    net.dns(numbered);
    net.near(|| {
        let socket = client();
        let rounds = volume(1_000) as u16;
        thread::scope(|scope| {
            for (names, first) in [("allowed.test", 1), ("other.test", 101)] {
                let socket = &socket;
                scope.spawn(move || {
                    for i in 0..rounds {
                        let asks = format!("{}.{names}", first + i % 100);
                        let id = i * 2 + u16::from(first > 100);
                        socket.send_to(&query(id, &name(&asks)), RESOLVER).unwrap();
                        socket.recv(&mut [0; 512]).unwrap();
                    }
                });
            }
        });
        for i in 1..=100 {
            assert!(reaches(address(i), port), "{i}: allowed");
            assert!(!reaches(address(i + 100), port), "{i}: refused");
        }
    });
}

/// Runs as an unprivileged user: the rights of one thread.
fn as_user<T: Send>(uid: u32, run: impl FnOnce() -> T + Send) -> T {
    become_user(uid);
    run()
}

#[test]
fn users_flood_of_lookups_costs_no_other_users_names() {
    let (net, port) = governed();
    net.dns(|message| {
        let octets = |i: u32| [10, 78, (i >> 8) as u8, i as u8];
        let digits: String = asked(message)[1..].iter().map(|b| *b as char).collect();
        let flood: Option<u32> = digits
            .strip_prefix('f')
            .and_then(|n| n.split('\u{5}').next()?.parse().ok());
        match flood {
            Some(n) => {
                let ips = (0..30).map(|i| Ipv4Addr::from(octets(n * 30 + i)));
                vec![answer(
                    message,
                    &ips.map(|ip| a(&QUESTION, ip)).collect::<Vec<_>>(),
                )]
            }
            None => numbered(message),
        }
    });
    net.near(|| ask(&client(), 1, &name("1.allowed.test")));
    net.near(|| {
        as_user(12_345, || {
            let socket = client();
            for i in 0..volume(2_000) as u16 {
                ask(&socket, i, &name(&format!("f{i}.flood.test")));
            }
        });
    });
    net.near(|| assert!(reaches(address(1), port)));
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Asks over TCP and reads until the server closes.
fn ask_tcp(id: u16, name: &[u8]) {
    let mut stream = TcpStream::connect(RESOLVER).unwrap();
    stream.write_all(&framed(&query(id, name))).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn tcp_answer_in_one_segment_grants_and_its_own_data_never_does() {
    let (net, port) = governed();
    let listener = net.far(|| TcpListener::bind(RESOLVER).unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut len = [0; 2];
            stream.set_nodelay(true).unwrap();
            stream.read_exact(&mut len).unwrap();
            let mut message = vec![0; u16::from_be_bytes(len).into()];
            stream.read_exact(&mut message).unwrap();
            if asked(&message).starts_with(b"\x01t") {
                // text whose end is an answer, and a segment that begins there
                let forged = framed(&answer(
                    &query(1, &name("x.allowed.test")),
                    &[a(&QUESTION, address(9))],
                ));
                let whole = framed(&answer(&message, &[record(&QUESTION, TYPE_TXT, &forged)]));
                let (first, second) = whole.split_at(whole.len() - forged.len());
                stream.write_all(first).unwrap();
                thread::sleep(Duration::from_millis(50));
                stream.write_all(second).unwrap();
            } else {
                let reply = numbered(&message).concat();
                stream.write_all(&framed(&reply)).unwrap();
            }
        }
    });
    net.near(|| {
        ask_tcp(1, &name("1.allowed.test"));
        assert!(reaches(address(1), port));
        ask_tcp(1, &name("2.other.test"));
        assert!(!reaches(address(2), port));
        // the forged answer is to a question that this connection has asked
        let mut stream = TcpStream::connect(RESOLVER).unwrap();
        stream
            .write_all(&framed(&query(2, &name("t.other.test"))))
            .unwrap();
        thread::sleep(Duration::from_millis(20));
        stream
            .write_all(&framed(&query(1, &name("x.allowed.test"))))
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(!reaches(address(9), port));
    });
}

#[test]
fn lookup_of_a_name_that_no_rule_lets_a_process_reach_is_refused() {
    let (net, _) = governed();
    net.dns(numbered);
    net.near(|| {
        let socket = client();
        let refused = socket.send_to(&query(1, &name("1.forbidden.test")), RESOLVER);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
        // what can't be read might be one
        let refused = socket.send_to(b"not a query", RESOLVER);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
        ask(&socket, 1, &name("1.permitted.test"));
    });
}

#[test]
fn a_name_kills_only_the_process_that_looked_it_up() {
    let (net, port) = governed();
    net.dns(numbered);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let port = port.to_string();
    // another process of the cgroup
    net.near(|| ask(&client(), 1, &name("30.killed.test")));
    let mut dial = net.command(dial());
    let refused = dial.args(["tcp", "10.77.1.30", &port]).output().unwrap();
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("not permitted"));
    // itself: it is killed, or has ended before
    let mut asks = net.command(crate::support::ask());
    asks.args(["sendto", "10.77.0.2:53", &port, "31.killed.test"]);
    assert!(!asks.output().unwrap().status.success());
    eventually("it is known what became of it", || {
        let sql = "SELECT count(*) FROM egress WHERE rule = 'killed' AND action_outcome <> ''";
        (value::<i64>(recording.history(), sql) > 0).then_some(())
    });
    recording.save(&db);
    let sql =
        "SELECT dst_ip, outcome, verdict, rule, coalesce(action_outcome, '-') IN ('done', 'gone')
               FROM egress WHERE protocol = 'tcp' ORDER BY dst_ip";
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        "10.77.1.30 denied block killed 0",
        "10.77.1.31 denied kill killed 1",
    ];
    assert_eq!(select(&db, sql), rows.map(row));
}

/// `ndots` and search lists make a resolver try other names first.
#[test]
fn name_with_a_search_suffix_may_be_asked_where_the_name_itself_may() {
    let net = Net::new();
    let (dir, db) = history();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(
        at("resolv.conf"),
        "nameserver 10.77.0.2\nsearch search.test\n",
    )
    .unwrap();
    let policy = "{ version: 1, lookups: block, default: block, rules: [{ to: [good.test], action: allow }] }";
    std::fs::write(at("policy.yaml"), policy).unwrap();
    let mut script = String::new();
    let cases = [
        ("good.test", "passes"),
        ("x.good.test.search.test", "passes"),
        ("bad.test", "refused"),
        ("bad.test.search.test", "refused"),
    ];
    for (asked, _) in cases {
        let bytes = query(1, &name(asked));
        let bytes: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        script += &format!(
            "printf '{bytes}' 2>/dev/null >/dev/udp/10.77.0.2/53 && echo {asked} passes || echo {asked} refused; "
        );
    }
    // only what the command does, in a namespace with a resolv.conf of its own
    let mut command = Command::new("unshare");
    let bind = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    command.args(["--mount", "sh", "-c", bind, &at("resolv.conf")]);
    command.arg(egrets().get_program());
    command.args(["record", "--db"]).arg(&db);
    command.args(["--policy", &at("policy.yaml"), "--enforce", "--"]);
    command.args(["ip", "netns", "exec", &net.near, "bash", "-c", &script]);
    let expected = cases.map(|(asked, becomes)| format!("{asked} {becomes}\n"));
    assert_eq!(ok(&mut command), expected.concat());
}

/// Processes keep what they looked up before the policy began.
#[test]
fn names_from_before_the_policy_are_those_that_no_user_could_have_forged() {
    let net = Net::new();
    let port = net.farewell(false);
    let (dir, db) = history();
    let link = format!("egt{}", std::process::id());
    let host = [
        "link", "add", &link, "type", "veth", "peer", "name", "up1", "netns", &net.far,
    ];
    run("ip", &host);
    run("ip", &["addr", "add", "10.79.0.1/28", "dev", &link]);
    run("ip", &["link", "set", &link, "up"]);
    run("ip", &["-n", &net.far, "link", "set", "up1", "up"]);
    run(
        "ip",
        &["-n", &net.near, "addr", "add", "10.79.0.2/28", "dev", "lo"],
    );
    for last in 2..8 {
        let ip = format!("10.79.0.{last}/28");
        run("ip", &["-n", &net.far, "addr", "add", &ip, "dev", "up1"]);
    }
    let serve = |socket: UdpSocket| {
        thread::spawn(move || {
            let mut data = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut data) {
                // "5.900.cached.test" is 10.79.0.5 for 900 s: to load a policy can take minutes
                let digits = |at: usize, len: usize| {
                    let text = std::str::from_utf8(&data[at..at + len]).unwrap();
                    text.parse::<u32>().unwrap()
                };
                let ip = Ipv4Addr::new(10, 79, 0, digits(13, 1) as u8);
                let ttl = digits(15, usize::from(data[14]));
                let _ = socket.send_to(&addresses(&data[..len], &[ip], ttl), from);
            }
        })
    };
    serve(net.far(|| UdpSocket::bind("10.79.0.2:53").unwrap()));
    serve(net.near(|| UdpSocket::bind("10.79.0.2:53").unwrap()));
    let ask = |mut command: Command, name: &str| {
        ok(command.args(["connected", "10.79.0.2:53", "0", name]));
    };
    let recorder = Recorder::start(&db, &[]);
    eventually("the pair carries traffic", || {
        let mut command = Command::new(crate::support::ask());
        command.args(["connected", "10.79.0.2:53", "0", "7.1.first.test"]);
        command.output().unwrap().status.success().then_some(())
    });
    ask(Command::new(crate::support::ask()), "3.900.cached.test");
    ask(Command::new(crate::support::ask()), "4.1.cached.test");
    let mut users = Command::new("setpriv");
    users
        .args(["--reuid", "12345", "--clear-groups"])
        .arg(crate::support::ask());
    ask(users, "5.900.cached.test");
    ask(net.command(crate::support::ask()), "6.900.cached.test");
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(recorder.stop(), 0);
    let policy = dir.path().join("policy.yaml");
    let rules = "version: 1
resolvers: [10.79.0.2]
default: allow
rules:
  - { to: [cached.test], action: allow, private: true }
  - { to: [10.79.0.0/28], action: block }
";
    std::fs::write(&policy, rules).unwrap();
    let policy = policy.to_str().unwrap();
    let recorder = Recorder::start(&db, &["--policy", policy, "--enforce"]);
    let reached: Vec<u8> = (3..7)
        .filter(|last| reaches(Ipv4Addr::new(10, 79, 0, *last), port))
        .collect();
    assert_eq!(reached, [3]);
    assert_eq!(recorder.stop(), 0);
}
