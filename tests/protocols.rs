//! What is neither TCP nor UDP: each protocol's packets, whose they are, and what of them
//! was the process' own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::agreed::{ANSWERS, answer, back};
use crate::support::coverage::{TcpCounters, compare_rows, linux, say};
use crate::support::peer::{Answers, Peer};
use crate::support::*;
use egrets::capture::event::EventKind;
use egrets::capture::{Capture, Options};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A run of `packet` inside the near namespace. None, and a row that says so, where this
/// kernel lacks the protocol.
fn run(net: &Net, args: &str, protocol: &str) -> Option<()> {
    let output: Output = net
        .command(packet())
        .args(args.split(' '))
        .output()
        .unwrap();
    match code(&output) {
        0 => Some(()),
        3 => {
            let way = args.split(' ').next().unwrap();
            say(&format!("{way} | {protocol} | absent | - | -"));
            None
        }
        _ => panic!("packet {args}: {}", text(&output.stderr)),
    }
}

/// A run whose socket exists already, and which waits to go on.
fn waiting(net: &Net, args: &str) -> Guard {
    let mut command = net.command(packet());
    command.args(args.split(' '));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guard(pipes.spawn().unwrap());
    let mut line = String::new();
    let stdout = child.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{args}");
    child
}

fn go_on(mut child: Guard) {
    let mut stdin = child.0.stdin.take().unwrap();
    stdin.write_all(b"now\n").unwrap();
    assert!(child.0.wait().unwrap().success());
}

/// Compares a run with its row; gives more of its columns.
fn compare(
    db: &Path,
    args: &str,
    protocol: &str,
    out: TcpCounters,
    back: TcpCounters,
) -> Vec<String> {
    let way = args.split(' ').next().unwrap();
    let filter = format!("protocol = '{protocol}' AND cmdline LIKE '%/packet {args}'");
    compare_rows(db, way, protocol, &filter, 1, out, back);
    let columns = "outcome, family, dst_ip, dst_port, src_port, raw";
    select(db, &format!("SELECT {columns} FROM egress WHERE {filter}")).remove(0)
}

/// Sends back what a socket of the far side gets, after `skip` bytes of it.
fn echo(socket: Socket, skip: usize) {
    thread::spawn(move || {
        let mut data = vec![std::mem::MaybeUninit::uninit(); 70_000];
        while let Ok((len, from)) = socket.recv_from(&mut data) {
            // SAFETY: recv_from has filled these.
            let got = unsafe { &*(&raw const data[skip..len] as *const [u8]) };
            let _ = socket.send_to(got, &from);
        }
    });
}

/// A socket of the far side, with its port. None where this kernel has none.
fn far(net: &Net, kind: Type, protocol: i32, ip: &'static str) -> Option<(Socket, u16)> {
    net.far(move || {
        let at: SocketAddr = SocketAddr::new(ip.parse().unwrap(), 0);
        let domain = Domain::for_address(at);
        let socket = Socket::new(domain, kind, Some(Protocol::from(protocol))).ok()?;
        socket.bind(&SockAddr::from(at)).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        Some((socket, port))
    })
}

const UDPLITE: i32 = 136;
/// For experiments, RFC 3692.
const EXPERIMENT: i32 = 253;

#[test]
fn udplite_is_exact_and_attributed() {
    let net = Net::new();
    let ports: Vec<(&str, u16)> = ["10.77.0.2", "fd77::2"]
        .into_iter()
        .map(|ip| {
            let port = far(&net, Type::DGRAM, UDPLITE, ip).map_or(9, |(socket, port)| {
                echo(socket, 0);
                port
            });
            (ip, port)
        })
        .collect();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let mut runs = Vec::new();
    for (way, count, size) in [("udplite", 20, 700), ("udplite-to", 7, 0)] {
        for (ip, port) in &ports {
            let args = format!("{way} {ip} {port} {count} {size}");
            if run(&net, &args, "udplite").is_some() {
                runs.push((args, *ip, *port, TcpCounters::datagrams(count, size)));
            }
        }
    }
    recording.save(&db);
    for (args, ip, port, counters) in &runs {
        let row = compare(&db, args, "udplite", *counters, *counters);
        let family = if ip.contains(':') { "6" } else { "4" };
        let truth = ["sent", family, ip, &port.to_string()];
        assert_eq!((&row[..4], &*row[5]), (&truth.map(String::from)[..], "0"));
        assert_ne!(row[4], "", "{args}: a port of its own");
    }
}

#[test]
fn pings_and_raw_packets_are_exact_and_attributed() {
    let net = Net::new();
    ok(net
        .command("sysctl")
        .args(["-q", "-w", "net.ipv4.ping_group_range=0 2147483647"]));
    let (raw4, _) = far(&net, Type::RAW, EXPERIMENT, FAR4).unwrap();
    echo(raw4, 20); // IPv4's raw sockets get the header too
    let (raw6, _) = far(&net, Type::RAW, EXPERIMENT, FAR6).unwrap();
    echo(raw6, 0);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    // way, address, protocol, its number, what a piece is larger than its size, whether it comes back
    let ways = [
        ("ping", FAR4, "icmp", 0, 8, true),
        ("ping", FAR6, "icmpv6", 0, 8, true),
        ("raw-ping", FAR4, "icmp", 0, 8, true),
        ("raw-ping", FAR6, "icmpv6", 0, 8, true),
        ("raw", FAR4, "ip-253", EXPERIMENT, 0, true),
        ("raw", FAR6, "ip-253", EXPERIMENT, 0, true),
        ("hdrincl", FAR4, "ospf", 89, 0, false),
        ("hdrincl", FAR6, "ospf", 89, 0, false),
    ];
    let runs = ways.map(|way| (way, format!("{} {} {} 9 1111", way.0, way.1, way.3)));
    for ((_, _, protocol, ..), args) in &runs {
        run(&net, args, protocol).unwrap();
    }
    recording.save(&db);
    for ((way, ip, protocol, _, more, back), args) in &runs {
        let out = TcpCounters::datagrams(9, 1111 + more);
        let none = TcpCounters::datagrams(0, 0);
        let row = compare(&db, args, protocol, out, if *back { out } else { none });
        let family = if ip.contains(':') { "6" } else { "4" };
        let raw = if *way == "ping" { "0" } else { "1" };
        assert_eq!(row, ["sent", family, ip, "", "", raw], "{args}");
    }
}

/// No process has them among its files as the recorder starts.
#[test]
fn datagram_sockets_on_their_way_through_a_unix_socket_at_the_start_are_recorded_when_they_send() {
    let net = Net::new();
    let (_dir, db) = history();
    let echo = net.echo();
    ok(net
        .command("sysctl")
        .args(["-qw", "net.ipv4.ping_group_range=0 0"]));
    let children = [
        format!("park-udp {FAR4} {echo} 1 100"),
        format!("park-ping {FAR4} 0 1 100"),
    ]
    .map(|args| waiting(&net, &args));
    let recorder = Recorder::start(&db, &[]);
    children.into_iter().for_each(go_on);
    assert_eq!(recorder.stop(), 0);
    let sql = format!(
        "SELECT protocol, comm, tx_bytes >= 100, rx_bytes >= 100 FROM egress
         WHERE netns = {} ORDER BY protocol",
        net.near_inode()
    );
    let rows = [["icmp", "packet", "1", "1"], ["udp", "packet", "1", "1"]];
    assert_eq!(select(&db, &sql), rows);
}

#[test]
fn socket_from_before_that_another_user_has_too_is_its_creators() {
    let net = Net::new();
    let (_dir, db) = history();
    let ways = [
        format!("share-tcp {FAR4} {} 3 100", tcp_echo(&net)),
        format!("lend-tcp {FAR4} {} 3 100", tcp_echo(&net)),
        format!("lend-udp {FAR4} {} 3 100", net.echo()),
    ];
    let children = ways.clone().map(|args| waiting(&net, &args));
    let keepers = children.each_ref().map(|child| child.0.id().to_string());
    let recorder = Recorder::start(&db, &[]);
    let row = |args: &str, columns: &str| {
        let port = args.split(' ').nth(2).unwrap();
        let sql = format!(
            "SELECT {columns} FROM egress WHERE dst_port = {port} AND netns = {}",
            net.near_inode()
        );
        select(&db, &sql)
    };
    let unused = [
        vec![["4321", "packet", "1", &keepers[0]]],
        vec![["4321", "unknown", "0", &keepers[1]]],
        vec![],
    ];
    for (args, unused) in ways.iter().zip(unused) {
        eventually("the row of a socket that is not used", || {
            (row(args, "uid, comm, pid > 0, shared_pid") == unused).then_some(())
        });
    }
    children.into_iter().for_each(go_on);
    assert_eq!(recorder.stop(), 0);
    for (args, keeper) in ways.iter().zip(keepers) {
        let columns = format!("uid, comm, pid > 0 AND pid <> {keeper}, tx_bytes");
        assert_eq!(row(args, &columns), [["4321", "packet", "1", "300"]]);
    }
}

/// An SCTP server of the far side that echoes over each association, or only reads. None if
/// this kernel lacks SCTP.
fn associations(net: &Net, sends: bool) -> Option<u16> {
    let (listener, port) = far(net, Type::STREAM, libc::IPPROTO_SCTP, FAR4)?;
    listener.listen(16).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut data = [0; 70_000];
                while let Ok(len) = stream.read(&mut data) {
                    if len == 0 || sends && stream.write_all(&data[..len]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Some(port)
}

#[test]
fn associations_have_an_outcome_and_count_payload_only() {
    let net = Net::new();
    let [echo, sink] = [true, false].map(|sends| associations(&net, sends).unwrap_or(9));
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    // way, port, count, size, whether it comes back
    let ways = [
        ("sctp", echo, 9, 1111, true),
        ("sctp", echo, 3, 20_000, true),
        ("sctp-many", echo, 9, 1111, true),
        ("sctp-close", sink, 400, 50, false),
    ];
    let mut runs = Vec::new();
    for way in ways {
        let args = format!("{} {FAR4} {} {} {}", way.0, way.1, way.2, way.3);
        if run(&net, &args, "sctp").is_some() {
            runs.push((way, args));
        }
    }
    let refused = format!("sctp {FAR4} 9 1 1");
    let lacks_sctp = runs.is_empty();
    if !lacks_sctp {
        let output = net
            .command(packet())
            .args(refused.split(' '))
            .output()
            .unwrap();
        assert!(text(&output.stderr).contains("refused"), "{output:?}");
    }
    thread::sleep(Duration::from_millis(500)); // for what goes on after the last close
    recording.save(&db);
    for ((_, port, count, size, back), args) in &runs {
        let [out, back] = chunks(&db, args, count * size, *back);
        let row = compare(&db, args, "sctp", out, back);
        let truth = ["connected", "4", FAR4, &port.to_string()];
        assert_eq!(row[..4], truth, "{args}");
    }
    if !lacks_sctp {
        let filter = format!("cmdline LIKE '%/packet {refused}'");
        let sql = format!("SELECT outcome, tx_bytes FROM egress WHERE {filter}");
        assert_eq!(select(&db, &sql), [["refused", "0"]]);
    }
    // an association is one flow of its client, and one of the server that answers
    let count = |direction: &str| {
        let filter = format!("protocol = 'sctp' AND direction = '{direction}'");
        value::<i64>(&db, &format!("SELECT count(*) FROM egress WHERE {filter}")) as usize
    };
    assert_eq!(count("out"), runs.len() + usize::from(!lacks_sctp));
    // clients that had the same port are one peer of the server's socket
    let answered = count("in");
    assert!(
        answered <= runs.len() && (answered > 0 || lacks_sctp),
        "{answered}"
    );
}

/// Records of them take their owner's part of the ring buffer.
#[test]
fn peer_causes_a_record_for_each_association_that_is_requested_and_no_more() {
    let net = Net::new();
    let mut capture = Capture::start(&Options::default()).unwrap();
    let forge = net
        .command(packet())
        .args(["sctp-forge", "127.0.0.1", "4006", "50", "4"])
        .output()
        .unwrap();
    match code(&forge) {
        0 => {}
        3 => return say("sctp-forge | sctp | absent | - | -"),
        _ => panic!("{}", text(&forge.stderr)),
    }
    let said = text(&forge.stdout);
    let cookies: Vec<u64> = said
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let [client, refused, listener] = cookies[..] else {
        panic!("{said}")
    };
    let mut associations = Vec::new();
    let drained = capture.drain(Duration::from_secs(10), |event| match event.kind {
        EventKind::Association { key, refused } if cookies.contains(&key.cookie) => {
            associations.push((key.cookie, refused));
        }
        _ => {}
    });
    drained.unwrap();
    assert_eq!(
        associations,
        [(client, false), (refused, true)],
        "the server listens on {listener}"
    );
}

/// RFC 9260, section 8.5: without the association's verification tag a chunk is none of its peer's.
#[test]
fn chunks_with_a_wrong_verification_tag_open_and_end_no_association() {
    let net = Net::new();
    let rules = "table inet silent { chain input { type filter hook input priority 0;
        sctp dport 4008 drop; }; }";
    let within = ["netns", "exec", &net.near, "nft", rules];
    ok(std::process::Command::new("ip").args(within));
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let args = "sctp-wrong-tags 127.0.0.1 4007 200 1000";
    if run(&net, args, "sctp").is_none() {
        return;
    }
    thread::sleep(Duration::from_millis(500)); // for what goes on after the last close
    recording.save(&db);
    let sql = "SELECT dst_port, outcome, tx_bytes, duration_us IS NOT NULL FROM egress
        WHERE cmdline LIKE '%/packet sctp-wrong-tags %' AND direction = 'out' AND NOT raw
        ORDER BY dst_port";
    let rows = select(&db, sql);
    assert_eq!(rows[0], ["4007", "connected", "200000", "1"], "{rows:?}");
    // it waits for its peer until its process gives up
    assert!(
        rows.len() == 2 && !["connected", "refused"].contains(&rows[1][1].as_str()),
        "{rows:?}"
    );
}

/// So many bytes out, and perhaps back. How many packets that takes is the kernels' to
/// decide.
fn chunks(db: &Path, args: &str, bytes: usize, back: bool) -> [TcpCounters; 2] {
    let counters = |bytes, column| {
        let filter = format!("cmdline LIKE '%/packet {args}'");
        let sql = format!("SELECT {column} FROM egress WHERE {filter}");
        let datagrams = select(db, &sql)[0][0].parse().ok();
        TcpCounters { bytes, datagrams }
    };
    let back = if back { bytes } else { 0 };
    [counters(bytes, "tx_packets"), counters(back, "rx_packets")]
}

/// A firewall of the far side that throws every fifth packet of SCTP away.
fn lose(net: &Net, hook: &str) {
    let rules = format!(
        "table inet lossy {{ counter lost {{}}; chain {hook} {{
            type filter hook {hook} priority 0;
            meta l4proto sctp numgen inc mod 5 == 3 counter name lost drop;
        }}; }}"
    );
    let within = ["netns", "exec", &net.far, "nft", &rules];
    ok(std::process::Command::new("ip").args(within));
}

fn lost(net: &Net) -> usize {
    let list = ["list", "counter", "inet", "lossy", "lost"];
    let within = ["netns", "exec", &net.far, "nft"];
    let said = ok(std::process::Command::new("ip").args(within).args(list));
    let after = said.split("packets ").nth(1).unwrap();
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn sctp_retransmissions_are_counted_once() {
    // what the far side does not get: the client's data; or what the client does not, data
    // and acknowledgements: so nothing comes in twice
    for (hook, way, sends, count) in [
        ("input", "sctp-close", false, 400),
        ("output", "sctp", true, 40),
    ] {
        let net = Net::new();
        let Some(port) = associations(&net, sends) else {
            return say("sctp under loss | sctp | absent | - | -");
        };
        for ns in [&net.near, &net.far] {
            for set in ["rto_min=50", "rto_initial=200", "rto_max=500"] {
                let set = format!("net.sctp.{set}");
                ok(std::process::Command::new("ip")
                    .args(["netns", "exec", ns, "sysctl", "-q", "-w", &set]));
            }
        }
        lose(&net, hook);
        let (_dir, db) = history();
        let recording = Recording::start(&net);
        let args = format!("{way} {FAR4} {port} {count} 1111");
        run(&net, &args, "sctp").unwrap();
        thread::sleep(Duration::from_secs(3)); // for what is sent again after the close
        recording.save(&db);
        assert!(lost(&net) > 5, "{hook}: {} were lost", lost(&net));
        let [out, back] = chunks(&db, &args, count * 1111, sends);
        let filter = format!("cmdline LIKE '%/packet {args}'");
        compare_rows(&db, "sctp under loss", "sctp", &filter, 1, out, back);
    }
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;

/// Which sets see the frames that bypass the queues, and how much of them.
fn bypass(db: &Path) -> (bool, bool) {
    let set: String = value(db, "SELECT hook_set FROM recordings");
    (set == "kprobe", set == "kprobe" || linux() >= (6, 4))
}

#[test]
fn frames_are_exact_and_attributed_with_the_destination_of_their_packet() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    // way, address, the frame's length less its size, whether its address is known, its port
    let ways = [
        ("raw", FAR4, ETHERNET + IPV4 + UDP, true, true),
        ("raw", FAR6, ETHERNET + IPV6 + UDP, true, true),
        ("dgram", FAR4, IPV4 + UDP, true, true),
        ("dgram", FAR6, IPV6 + UDP, true, true),
        ("vlan", FAR4, ETHERNET + 4 + IPV4 + UDP, true, true),
        ("qinq", FAR6, ETHERNET + 8 + IPV6 + UDP, true, true),
        ("options", FAR4, ETHERNET + 4 + IPV4 + 8 + UDP, true, true),
        ("options", FAR6, ETHERNET + 4 + IPV6 + 24 + UDP, true, true),
        ("fragment", FAR4, ETHERNET + IPV4 + UDP, true, false),
        ("fragment", FAR6, ETHERNET + IPV6 + 8 + UDP, true, false),
        ("short", FAR4, ETHERNET + IPV4 + UDP, true, false),
        ("other", FAR4, ETHERNET + IPV4 + UDP, false, false),
        ("ring", FAR4, ETHERNET + IPV4 + UDP, false, false),
        ("bypass", FAR4, ETHERNET + IPV4 + UDP, true, true),
    ];
    let runs = ways.map(|way| (way, format!("frame-{} {} 4242 8 1001", way.0, way.1)));
    for (_, args) in &runs {
        run(&net, args, "packet").unwrap();
    }
    let truncated = format!("frame-truncated {FAR4} 4242 8 1001");
    run(&net, &truncated, "packet").unwrap();
    recording.save(&db);
    let (whole, seen) = bypass(&db);
    for ((way, ip, more, address, port), args) in &runs {
        if *way == "bypass" && !seen {
            say("frame-bypass | packet | no | - | -");
            continue;
        }
        let row = packets(&db, args, 8, more + 1001);
        let known = *way != "bypass" || whole;
        let family = if ip.contains(':') { "6" } else { "4" };
        let truth = [
            "sent",
            if *address && known { family } else { "" },
            if *address && known { *ip } else { "" },
            if *port && known { "4242" } else { "" },
        ];
        assert_eq!(row[..4], truth, "{args}");
    }
    let row = packets(&db, &truncated, 8, ETHERNET + 10);
    assert_eq!(row[..4], ["sent", "", "", ""]);
}

#[test]
fn af_xdp_copy_mode_frames_are_seen_by_the_kprobe_set() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let runs = ["frame-xdp", "frame-xdp-poll"].map(|way| format!("{way} {FAR4} 4242 40 1001"));
    for args in &runs {
        if run(&net, args, "packet").is_none() {
            return;
        }
    }
    recording.save(&db);
    let (kprobe, _) = bypass(&db);
    for args in &runs {
        if kprobe {
            let row = packets(&db, args, 40, ETHERNET + IPV4 + UDP + 1001);
            assert_eq!(row[..4], ["sent", "4", FAR4, "4242"]);
        } else {
            // docs/limitations.md says so, and the table of ways has no row of it
            let rows = format!("SELECT count(*) FROM egress WHERE cmdline LIKE '%/packet {args}'");
            assert_eq!(value::<i64>(&db, &rows), 0);
        }
    }
}

#[test]
fn threads_sharing_a_packet_socket_count_each_frame_once() {
    const COUNT: usize = 8000;
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let args = format!("frame-threads {FAR4} 4242 {COUNT} 100");
    run(&net, &args, "packet").unwrap();
    recording.save(&db);
    packets(&db, &args, COUNT, ETHERNET + IPV4 + UDP + 100);
}

#[test]
fn bridged_frame_is_counted_once() {
    let net = Net::new();
    let ip = |args: &str| {
        let near = ["-n", &net.near].into_iter().chain(args.split(' '));
        ok(std::process::Command::new("ip").args(near));
    };
    ip("link set up0 down");
    ip("link set up0 name port0");
    ip("link add up0 type bridge");
    ip("link set port0 master up0");
    ip("link set port0 up");
    ip("link set up0 up");
    let sent = || -> usize {
        let file = "/sys/class/net/port0/statistics/tx_packets";
        ok(net.command("cat").arg(file)).trim().parse().unwrap()
    };
    eventually("the bridge passes on", || {
        let before = sent();
        run(&net, &format!("frame-raw {FAR4} 4241 1 1001"), "packet").unwrap();
        (sent() > before).then_some(())
    });
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let before = sent();
    let ways = ["raw", "dgram", "bypass"].map(|way| format!("frame-{way} {FAR4} 4242 8 1001"));
    for args in &ways {
        run(&net, args, "packet").unwrap();
    }
    assert!(sent() >= before + 24, "the port got them");
    ip("link set up0 down");
    ip("link set up0 name bridge0");
    ip("link set port0 down");
    ip("link set port0 name up0");
    ip("link set up0 up");
    let port = format!("frame-raw {FAR4} 4243 8 1001");
    run(&net, &port, "packet").unwrap();
    recording.save(&db);
    let (_, seen) = bypass(&db);
    for (args, more) in [
        (&ways[0], ETHERNET + IPV4 + UDP),
        (&ways[1], IPV4 + UDP),
        (&ways[2], ETHERNET + IPV4 + UDP),
        (&port, ETHERNET + IPV4 + UDP),
    ] {
        if seen || args != &ways[2] {
            packets(&db, args, 8, more + 1001);
        }
    }
}

#[test]
fn traffic_through_a_vlan_device_is_counted_once() {
    let net = Net::new();
    for (ns, v4, v6) in [(&net.near, NEAR4, "fd77::1"), (&net.far, FAR4, FAR6)] {
        let ip = |args: &str| {
            let mut command = std::process::Command::new("ip");
            command.args(["-n", ns]).args(args.split(' '));
            command
        };
        for args in [
            "link set up0 down",
            "addr flush dev up0",
            "link set up0 name port0",
        ] {
            ok(&mut ip(args));
        }
        let made = ip("link add link port0 name up0 type vlan id 7")
            .output()
            .unwrap();
        let said = text(&made.stderr);
        if said.contains("Unknown device type") || said.contains("not supported") {
            let absent =
                |protocol| say(&format!("over a VLAN device | {protocol} | absent | - | -"));
            return ["tcp", "udp"].into_iter().for_each(absent);
        }
        assert!(made.status.success(), "{said}");
        let up = ["link set port0 up", "link set up0 up"].map(String::from);
        let v4 = format!("addr add {v4}/24 dev up0");
        let v6 = format!("addr add {v6}/64 dev up0 nodad");
        for args in [&up[..], &[v4, v6]].concat() {
            ok(&mut ip(&args));
        }
    }
    let port = Peer::start(&net, Answers::Plain).port;
    eventually("the devices carry traffic", || {
        let output = net
            .command(dial())
            .args(["tcp", FAR6, "9"])
            .output()
            .unwrap();
        text(&output.stderr).contains("refused").then_some(())
    });
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    for ip in [FAR4, FAR6] {
        for args in [
            format!("write {ip} {port} 5 70001"),
            format!("udp-sendmmsg {ip} {port} 20 1200"),
        ] {
            ok(net.command(send()).args(args.split(' ')));
        }
    }
    let frames = ["raw", "dgram", "bypass"].map(|way| format!("frame-{way} {FAR4} 4243 8 1001"));
    for args in &frames {
        run(&net, args, "packet").unwrap();
    }
    recording.save(&db);
    let [tcp, tcp_back] = [5 * 70_001, back(5 * 70_001)].map(|n| TcpCounters::bytes(2 * n));
    let (udp, udp_back) = (
        TcpCounters::datagrams(40, 1200),
        TcpCounters::datagrams(40 * ANSWERS, answer(1200)),
    );
    for (protocol, out, back) in [("tcp", tcp, tcp_back), ("udp", udp, udp_back)] {
        let filter = format!("protocol = '{protocol}' AND dst_port = {port}");
        compare_rows(&db, "over a VLAN device", protocol, &filter, 2, out, back);
    }
    let (_, seen) = bypass(&db);
    for (args, link) in frames.iter().zip([ETHERNET, 0, ETHERNET]) {
        if seen || args != &frames[2] {
            packets(&db, args, 8, link + IPV4 + UDP + 1001);
        }
    }
}

#[test]
fn packet_socket_with_many_destinations_has_the_bytes_of_all() {
    const KNOWN: usize = 1024; // FRAMES_PER_SOCKET, bpf/frames.h
    const ALL: usize = KNOWN + 300;
    let net = Net::new();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let args = format!("frame-scan {FAR4} 10000 {ALL} 10");
    run(&net, &args, "packet").unwrap();
    let filter = format!("protocol = 'packet' AND cmdline LIKE '%/packet {args}'");
    let sums = "count(*), count(dst_port), sum(tx_packets), sum(tx_bytes)";
    let bytes = ALL * (ETHERNET + IPV4 + UDP + 10);
    let truth = [KNOWN + 1, KNOWN, ALL, bytes].map(|n| n.to_string());
    eventually("all is in the history", || {
        let rows = select(&db, &format!("SELECT {sums} FROM egress WHERE {filter}"));
        (rows == [truth.clone()]).then_some(())
    });
    recorder.stop();
    let lost = select(&db, "SELECT kind FROM gaps WHERE kind = 'flow'");
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn unusual_raw_headers_are_counted_without_guessing_fields() {
    let net = Net::new();
    let near = ["-n", &net.near, "link", "set", "up0", "mtu", "9000"];
    ok(std::process::Command::new("ip").args(near));
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // way, address, protocol, bytes after IP's headers, whether the port can be known
    let ways = [
        ("udp", FAR4, "udp", UDP + 1001, true),
        ("udp", FAR6, "udp", UDP + 1001, true),
        ("tcp", FAR4, "tcp", UDP + 1001, true),
        ("tcp", FAR6, "tcp", UDP + 1001, true),
        ("options", FAR4, "udp", UDP + 1001, true),
        ("options", FAR6, "udp", UDP + 1001, true),
        ("fragment", FAR4, "udp", UDP + 1001, false),
        ("fragment", FAR6, "udp", UDP + 1001, false),
        ("cut", FAR4, "udp", 3, false),
        ("cut", FAR6, "udp", 3, false),
        ("udp", FAR4, "udp", UDP + 8900, true),
    ];
    let runs = ways.map(|way| {
        let size = if way.3 > 8000 { 8900 } else { 1001 };
        (way, format!("header-{} {} 4242 6 {size}", way.0, way.1))
    });
    for ((_, _, protocol, ..), args) in &runs {
        run(&net, args, protocol).unwrap();
    }
    recorder.stop();
    for ((_, ip, protocol, bytes, port), args) in &runs {
        let (out, none) = (
            TcpCounters::datagrams(6, *bytes),
            TcpCounters::datagrams(0, 0),
        );
        let row = compare(&db, args, protocol, out, none);
        let family = if ip.contains(':') { "6" } else { "4" };
        let port = if *port { "4242" } else { "" };
        assert_eq!(row[..4], ["sent", family, ip, port], "{args}");
        assert_eq!(row[5], "1", "{args}");
    }
    // and none belongs to another process; servers of other tests answer to the near side
    let others = format!(
        "SELECT comm, protocol, dst_ip FROM egress
         WHERE raw AND comm <> 'packet' AND dst_ip IN ('{FAR4}', '{FAR6}')"
    );
    assert_eq!(select(&db, &others), [[""; 0]; 0]);
}

#[test]
fn raw_socket_older_than_the_recorder_has_an_owner() {
    let net = Net::new();
    let (raw, _) = far(&net, Type::RAW, EXPERIMENT, FAR4).unwrap();
    echo(raw, 20);
    let args = format!("wait-raw {FAR4} {EXPERIMENT} 5 0");
    let child = waiting(&net, &args);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    go_on(child);
    recorder.stop();
    let none = TcpCounters::datagrams(5, 0);
    let row = compare(&db, &args, "ip-253", none, none);
    assert_eq!(row, ["sent", "4", FAR4, "", "", "1"]);
    let older = "SELECT already_open FROM egress WHERE cmdline LIKE '%/packet wait-raw %'";
    assert_eq!(select(&db, older), [["1"]]);
}

/// A packet socket's row: what it got is not counted.
fn packets(db: &Path, args: &str, count: usize, size: usize) -> Vec<String> {
    let filter = format!("protocol = 'packet' AND cmdline LIKE '%/packet {args}'");
    let way = args.split(' ').next().unwrap();
    let out = TcpCounters::datagrams(count, size);
    let columns = "outcome, family, dst_ip, dst_port, comm, tx_bytes, rx_bytes, tx_packets";
    let sql = format!("SELECT {columns} FROM egress WHERE {filter}");
    let rows = select(db, &sql);
    let [row] = &rows[..] else {
        say(&format!("{way} | packet | no | - | -"));
        panic!("{args}: {rows:?}");
    };
    let got: usize = row[5].parse().unwrap();
    let error = (got as f64 - out.bytes as f64).abs() / out.bytes as f64 * 100.0;
    let own = if row[4] == "packet" { "yes" } else { "no" };
    say(&format!("{way} | packet | yes | {own} | {error:.2}"));
    assert_eq!((own, got), ("yes", out.bytes), "{args}");
    assert_eq!((&*row[6], &*row[7]), ("", &*count.to_string()), "{args}");
    row.clone()
}

/// A TCP server of the far side that sends back what it gets.
fn tcp_echo(net: &Net) -> u16 {
    let listener = net.far(|| TcpListener::bind("0.0.0.0:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    port
}

#[test]
fn inherited_or_passed_socket_keeps_its_first_owner_and_shows_the_other() {
    let net = Net::new();
    let (tcp, udp) = (tcp_echo(&net), net.echo());
    let (raw, _) = far(&net, Type::RAW, EXPERIMENT, FAR4).unwrap();
    echo(raw, 20);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let frame = ETHERNET + IPV4 + UDP;
    let ways = [
        ("tcp", tcp, 0),
        ("udp", udp, 0),
        ("raw", EXPERIMENT as u16, 0),
        ("frame", 4242, frame),
    ];
    let mut runs = Vec::new();
    for how in ["inherit", "pass"] {
        for (way, port, more) in ways {
            let args = format!("{how}-{way} {FAR4} {port} 7 501");
            // ends with the second process
            let printed = ok(net.command(packet()).args(args.split(' ')));
            runs.push((args, printed, 7 * (501 + more)));
        }
    }
    recording.save(&db);
    for (args, printed, bytes) in &runs {
        let columns = "pid, shared_pid, tx_bytes";
        let filter = format!("cmdline LIKE '%/packet {args}'");
        let rows = select(&db, &format!("SELECT {columns} FROM egress WHERE {filter}"));
        let (first, second) = printed.trim_end().split_once(' ').unwrap();
        assert_eq!(rows, [[first, second, &bytes.to_string()]], "{args}");
    }
}

/// A server of the far side at any of its addresses, which counts what it gets.
fn mptcp_sink(net: &Net) -> Option<(u16, std::sync::mpsc::Receiver<usize>)> {
    let server = net.far(|| {
        let server = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).ok()?;
        let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
        server.bind(&any.into()).unwrap();
        server.listen(1).unwrap();
        Some(server)
    })?;
    let port = server.local_addr().unwrap().as_socket().unwrap().port();
    let (to, got) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (mut peer, _) = server.accept().unwrap();
        let mut data = Vec::new();
        let _ = peer.read_to_end(&mut data);
        to.send(data.len())
    });
    Some((port, got))
}

/// The server offers another address of its own, and the client's kernel opens a path there.
fn offer_path(net: &Net, address: &str) {
    for args in [
        format!("-n {} addr add {address}/24 dev up0", net.far),
        format!(
            "-n {} mptcp limits set subflow 2 add_addr_accepted 2",
            net.near
        ),
        format!(
            "-n {} mptcp limits set subflow 2 add_addr_accepted 2",
            net.far
        ),
        format!("-n {} mptcp endpoint add {address} signal", net.far),
    ] {
        crate::support::run("ip", &args.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn mptcp_connection_from_before_the_recording_is_its_process_with_all_paths() {
    const SIZE: usize = 200_000;
    const OFFERED: [&str; 2] = ["10.77.0.3", "10.77.0.4"];
    let net = Net::new();
    let Some((port, got)) = mptcp_sink(&net) else {
        return eprintln!("this kernel has no MPTCP");
    };
    offer_path(&net, OFFERED[0]);
    let mut client =
        net.near(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap());
    let at: SocketAddr = format!("{FAR4}:{port}").parse().unwrap();
    client.connect(&at.into()).unwrap();
    client.write_all(b"before").unwrap();
    let established = format!(":{port:04X} 01 ");
    eventually("the kernel opens the other path", || {
        let all = net.near(|| std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
        (all.matches(&established).count() == 2).then_some(())
    });
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // one that is added now is the process', too
    offer_path(&net, OFFERED[1]);
    let paths = format!(
        "FROM egress WHERE dst_port = {port} AND netns = {}",
        net.near_inode()
    );
    eventually("the third path", || {
        (value::<i64>(
            &db,
            &format!("SELECT count(*) {paths} AND outcome = 'connected'"),
        ) == 3)
            .then_some(())
    });
    client.write_all(&vec![b'y'; SIZE]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(got.recv().unwrap(), 6 + SIZE);
    drop(client);
    let ended = format!("SELECT count(*) {paths} AND duration_us IS NOT NULL");
    eventually("their ends", || {
        (value::<i64>(&db, &ended) == 3).then_some(())
    });
    assert_eq!(recorder.stop(), 0);
    let rows = select(
        &db,
        &format!("SELECT dst_ip, pid, already_open {paths} ORDER BY dst_ip"),
    );
    let pid = std::process::id().to_string();
    assert_eq!(
        rows,
        [
            [FAR4, &pid, "1"],
            [OFFERED[0], &pid, "1"],
            [OFFERED[1], &pid, "0"]
        ]
    );
    let sum: i64 = value(&db, &format!("SELECT sum(tx_bytes) {paths}"));
    // on a busy machine MPTCP sends some again over another path
    assert!((SIZE..SIZE * 2).contains(&(sum as usize)), "{sum}");
}

/// The client offers an address, and the kernel of the server, which has accepted, opens a path to it.
#[test]
fn path_that_is_added_to_an_accepted_mptcp_connection_is_its_processs() {
    const SIZE: usize = 4_000_000;
    const PORT: u16 = 6_001;
    let net = Net::new();
    let server = net.far(|| {
        let server = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).ok()?;
        let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
        server.bind(&any.into()).unwrap();
        server.listen(1).unwrap();
        Some(server)
    });
    let Some(server) = server else {
        return eprintln!("this kernel has no MPTCP");
    };
    for args in [
        format!("-n {} addr add 10.77.0.5/24 dev up0", net.near),
        format!(
            "-n {} mptcp limits set subflow 2 add_addr_accepted 2",
            net.near
        ),
        format!(
            "-n {} mptcp limits set subflow 2 add_addr_accepted 2",
            net.far
        ),
    ] {
        crate::support::run("ip", &args.split(' ').collect::<Vec<_>>());
    }
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let mut client =
        net.near(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap());
    let port = server.local_addr().unwrap().as_socket().unwrap().port();
    let at: SocketAddr = format!("{FAR4}:{port}").parse().unwrap();
    client.connect(&at.into()).unwrap();
    client.write_all(b"x").unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    accepted.read_exact(&mut [0]).unwrap();
    // not before: a connection that waits for accept(2) opens no path, and none is tried again
    // (mptcp_subflow_create_socket, net/mptcp/subflow.c)
    let offer = format!(
        "-n {} mptcp endpoint add 10.77.0.5 port {PORT} signal",
        net.near
    );
    crate::support::run("ip", &offer.split(' ').collect::<Vec<_>>());
    let path = |filter: &str| {
        let sql = format!("SELECT count(*) FROM egress WHERE dst_port = {PORT} AND {filter}");
        value::<i64>(recording.history(), &sql)
    };
    eventually("the kernel opens the path", || {
        (path("outcome = 'connected'") == 1).then_some(())
    });
    // until it is used, only its user is known
    assert_eq!(path("pid = 0 AND comm = 'unknown' AND uid = 0"), 1);
    let sent = thread::spawn(move || {
        // more than one path has room for
        accepted.write_all(&vec![b'y'; SIZE]).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    sent.join().unwrap();
    assert_eq!(got.len(), SIZE);
    drop(client);
    recording.save(&db);
    let sql = format!("SELECT pid, tx_bytes > 0 FROM egress WHERE dst_port = {PORT}");
    assert_eq!(
        select(&db, &sql),
        [[&std::process::id().to_string()[..], "1"]]
    );
}

#[test]
fn each_path_of_an_mptcp_connection_is_its_owners_and_bytes_count_once() {
    const SIZE: usize = 200_000;
    const SECOND: &str = "10.77.0.3";
    let net = Net::new();
    let Some((port, got)) = mptcp_sink(&net) else {
        return say("paths | mptcp | absent | - | -");
    };
    offer_path(&net, SECOND);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let mut client =
        net.near(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).unwrap());
    let at: SocketAddr = format!("{FAR4}:{port}").parse().unwrap();
    client.connect(&at.into()).unwrap();
    client.write_all(b"x").unwrap();
    let paths = |filter: &str| {
        let sql = format!("SELECT count(*) FROM egress WHERE dst_port = {port} AND {filter}");
        value::<i64>(recording.history(), &sql)
    };
    eventually("the kernel opens the other path", || {
        (paths("outcome = 'connected'") == 2).then_some(())
    });
    // what is sent over the first path is sent again over the other
    let lose = format!("ip daddr {FAR4} tcp dport {port} drop");
    let table = format!(
        "table inet t {{
            chain out {{
                type filter hook output priority 0
                {lose}
            }}
        }}"
    );
    ok(net.command("nft").arg(table));
    client.write_all(&vec![b'y'; SIZE]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(got.recv().unwrap(), 1 + SIZE);
    drop(client);
    recording.save(&db);
    let sql = format!(
        "SELECT dst_ip, pid, shared_pid, tx_bytes FROM egress WHERE dst_port = {port} ORDER BY dst_ip"
    );
    let rows = select(&db, &sql);
    let pid = std::process::id().to_string();
    let [first, second] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(first[..3], [FAR4, &pid, ""]);
    assert_eq!(second[..3], [SECOND, &pid, ""]);
    let [first, second] = [first, second].map(|row| row[3].parse::<usize>().unwrap());
    // MPTCP itself sends some again where it is late
    let sum = first + second;
    assert!(
        (1 + SIZE..SIZE * 11 / 10).contains(&sum),
        "{first} + {second}"
    );
}
