//! System calls that send and receive: the exact bytes that clients transferred, against their
//! rows, and against a firewall's counters.

use std::path::Path;
use std::process::Command;

use crate::support::agreed::{ANSWERS, answer, back};
use crate::support::coverage::{TcpCounters, compare_both, say};
use crate::support::peer::{Answers, Firewall, Peer};
use crate::support::*;

/// A run of `send`, and the counters that it must have.
struct Run {
    args: String,
    protocol: &'static str,
    out: TcpCounters,
    back: TcpCounters,
}

fn tcp(way: &str, ip: &str, port: u16, count: usize, size: usize) -> Run {
    Run {
        args: format!("{way} {ip} {port} {count} {size}"),
        protocol: "tcp",
        out: TcpCounters::bytes(count * size),
        back: TcpCounters::bytes(back(count * size)),
    }
}

fn udp(way: &str, ip: &str, port: u16, count: usize, size: usize) -> Run {
    Run {
        args: format!("udp-{way} {ip} {port} {count} {size}"),
        protocol: "udp",
        out: TcpCounters::datagrams(count, size),
        back: TcpCounters::datagrams(ANSWERS * count, answer(size)),
    }
}

/// Runs each. Those that the kernel lacks are reported as absent and left out.
fn run_all(net: &Net, runs: Vec<Run>) -> Vec<Run> {
    let there = |run: &Run| {
        let absent = ok(Command::new(send()).args(run.args.split(' '))) == "absent\n";
        if absent {
            let way = run.args.split(' ').next().unwrap();
            say(&format!("{way} | {} | absent | - | -", run.protocol));
        }
        !absent
    };
    net.near(|| runs.into_iter().filter(there).collect())
}

fn compare_all(db: &Path, runs: &[Run]) {
    for run in runs {
        compare_both(db, run.protocol, &run.args, run.out, run.back);
    }
}

/// Records them.
fn record(net: &Net, runs: Vec<Run>) -> Vec<Run> {
    let (_dir, db) = history();
    let recording = Recording::start(net);
    let runs = run_all(net, runs);
    recording.save(&db);
    compare_all(&db, &runs);
    runs
}

/// The expected totals of one family: out and back.
fn sums(runs: &[Run], colon: bool) -> (usize, usize) {
    runs.iter()
        .filter(|run| run.args.contains(':') == colon)
        .fold((0, 0), |(out, back), run| {
            (out + run.out.bytes, back + run.back.bytes)
        })
}

/// The calls that work on sockets of both TCP and UDP.
const WAYS: [&str; 26] = [
    "write",
    "writev",
    "send",
    "sendmsg",
    "sendmmsg",
    "zerocopy",
    "sendfile",
    "splice",
    "vmsplice",
    "uring",
    "uring-write",
    "uring-sendmsg",
    "uring-zc",
    "uring-sendmsg-zc",
    "in-read",
    "in-readv",
    "in-recv",
    "in-recvfrom",
    "in-recvmsg",
    "in-recvmmsg",
    "in-peek",
    "in-splice",
    "in-uring",
    "in-uring-read",
    "in-uring-recvmsg",
    "in-uring-multishot",
];

#[test]
fn tcp_bytes_of_every_system_call_are_exact_and_match_the_firewall() {
    let net = Net::new();
    let peer = Peer::start(&net, Answers::Plain);
    let firewall = Firewall::count(&net, peer.port);
    let runs = WAYS
        .iter()
        .chain(&["in-zerocopy"])
        .flat_map(|way| [FAR4, FAR6].map(|ip| tcp(way, ip, peer.port, 5, 70_001)));
    let runs = record(&net, runs.collect());
    // A TCP header has 20 to 60 bytes, so packets give a lower and an upper bound.
    for (family, ip_header) in [("ipv4", 20), ("ipv6", 40)] {
        let (out, back) = sums(&runs, family == "ipv6");
        let resent = [net.near(resent), net.far(resent)];
        for (end, bytes, resent) in [("dport", out, resent[0]), ("sport", back, resent[1])] {
            let (packets, counted) = firewall.counted("tcp", family, end);
            let least = counted.saturating_sub(packets * (ip_header + 60) + resent);
            let most = counted - packets * (ip_header + 20);
            assert!(
                (least..=most).contains(&bytes),
                "{family}, {end}: {bytes} is not within {least} and {most}"
            );
        }
    }
}

/// Bytes that TCP has retransmitted in this thread's namespace, at most: the firewall counts
/// them, egrets does not.
fn resent() -> usize {
    const MSS: usize = 1460;
    let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp: "));
    let [names, values] = [(); 2].map(|()| tcp.next().unwrap().split(' '));
    let (_, segments) = names
        .zip(values)
        .find(|(name, _)| *name == "RetransSegs")
        .unwrap();
    segments.parse::<usize>().unwrap() * MSS
}

#[test]
fn kernel_tls_bytes_are_counted_as_the_application_sees_them() {
    let net = Net::new();
    let mut runs = Vec::new();
    for (way, tls13) in [("ktls", false), ("ktls-1.3", true)] {
        let peer = Peer::start(&net, Answers::Encrypted { tls13 });
        // large records, and small ones that are mostly overhead
        runs.push(tcp(way, FAR4, peer.port, 5, 70_001));
        runs.push(tcp(way, FAR6, peer.port, 200, 100));
    }
    record(&net, runs);
}

#[test]
fn udp_bytes_of_every_system_call_are_exact_and_match_the_firewall() {
    let ways = WAYS.iter().chain(&["sendto", "gso"]);
    let net = Net::new();
    let peer = Peer::start(&net, Answers::Plain);
    let firewall = Firewall::count(&net, peer.port);
    let mut runs = Vec::new();
    for ip in [FAR4, FAR6] {
        runs.extend(ways.clone().map(|way| udp(way, ip, peer.port, 20, 1200)));
        runs.push(udp("empty", ip, peer.port, 5, 0));
    }
    let runs = record(&net, runs);
    for (family, headers) in [("ipv4", 20 + 8), ("ipv6", 40 + 8)] {
        let (out, back) = sums(&runs, family == "ipv6");
        for (end, bytes) in [("dport", out), ("sport", back)] {
            let (packets, counted) = firewall.counted("udp", family, end);
            assert_eq!(counted - packets * headers, bytes, "{family}, {end}");
        }
    }
}

#[test]
fn merged_and_fragmented_datagrams_are_counted_one_by_one() {
    let net = Net::new();
    let (plain, together) = (Answers::Plain, Answers::Together);
    let [plain, together] = [plain, together].map(|answers| Peer::start(&net, answers).port);
    let runs = [FAR4, FAR6].map(|ip| {
        [
            udp("in-gro", ip, together, 20, 600),
            // a socket without UDP_GRO gets each datagram separately
            udp("in-recv", ip, together, 20, 600),
            udp("fragments", ip, plain, 7, 30_000),
        ]
    });
    record(&net, runs.into_iter().flatten().collect());
}
