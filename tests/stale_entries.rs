//! The BPF maps: entries whose end no hook reports do not stay, a full map costs TCP little, and
//! nothing outlives the recorder.

use std::fs::{self, File};
use std::mem::offset_of;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::ptr::null_mut;
use std::thread;

use crate::support::*;
use egrets::capture::types::{
    egrets_endpoint, egrets_flow_key, egrets_owner, egrets_share, egrets_size, egrets_sock,
};
use libbpf_rs::{MapCore, MapHandle, libbpf_sys};

/// Flows of one user but root.
const SHARE_OF_FLOWS: usize = egrets_size::EGRETS_FLOWS.0 as usize / 8;

/// Adds entries until there is no room, or an LRU has replaced all that it had.
fn fill(map: &MapHandle) {
    let value = vec![0; map.value_size() as usize];
    for key in 0..u64::from(map.max_entries()) * 2 {
        // beyond all cookies and threads
        let key = (1 << 62 | key).to_ne_bytes();
        if map.update(&key, &value, libbpf_rs::MapFlags::ANY).is_err() {
            return;
        }
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes(bytes[offset..offset + 2].try_into().unwrap())
}

/// A policy by which no process in this cgroup may create an IP socket, while it is attached.
fn refuse(cgroup: &File) -> OwnedFd {
    let instruction = |code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    };
    // r0 = 0; exit
    let program = [instruction(0xb7), instruction(0x95)];
    // SAFETY: valid instructions and their number; a program and a cgroup that are open.
    unsafe {
        let fd = libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SOCK,
            c"refuse".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            null_mut(),
        );
        assert!(fd >= 0, "{fd}");
        let attach = libbpf_sys::BPF_CGROUP_INET_SOCK_CREATE;
        let done = libbpf_sys::bpf_prog_attach(fd, cgroup.as_raw_fd(), attach, 0);
        assert_eq!(done, 0);
        OwnedFd::from_raw_fd(fd)
    }
}

#[test]
fn socket_that_a_policy_refuses_is_deleted() {
    const TGID: usize = offset_of!(egrets_sock, owner) + offset_of!(egrets_owner, tgid);
    let dir = cgroup2().join(format!("egt-refused-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let cgroup = File::open(&dir).unwrap();
    let _policy = refuse(&cgroup);
    let (_db_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let socks = bpf_map(&recorder, "socks");
    let procs = dir.join("cgroup.procs");
    let mut pids = Vec::new();
    for _ in 0..5 {
        let script = format!("echo $$ >{}; echo $$; exec \"$@\"", procs.display());
        let output = Command::new("sh")
            .args(["-ec", &script, "sh"])
            .arg(packet())
            .args(["raw", "127.0.0.1", "253", "1", "1"])
            .output()
            .unwrap();
        assert!(text(&output.stderr).contains("not permitted"), "{output:?}");
        pids.push(text(&output.stdout).trim().parse::<u32>().unwrap());
    }
    let entries = || {
        let owners = socks.keys().filter_map(|key| {
            let value = socks.lookup(&key, libbpf_rs::MapFlags::ANY).ok()??;
            Some(u32_at(&value, TGID))
        });
        owners.filter(|tgid| pids.contains(tgid)).count()
    };
    assert_eq!(entries(), pids.len(), "the policy runs after the hook");
    eventually("they are deleted", || (entries() == 0).then_some(()));
    assert_eq!(recorder.stop(), 0);
    let rows = "SELECT count(*) FROM egress WHERE cmdline LIKE '%/packet raw 127.0.0.1 253 1 1'";
    assert_eq!(value::<i64>(&db, rows), 0);
    fs::remove_dir(&dir).unwrap();
}

#[test]
fn flows_that_threads_begin_at_once_on_one_socket_all_end_with_it() {
    const FIRST: usize = 20_000;
    const ROUNDS: usize = 3;
    const PORT: usize = offset_of!(egrets_flow_key, peer) + offset_of!(egrets_endpoint, port);
    let count = volume(1500);
    let net = Net::new();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let flows = bpf_map(&recorder, "flows");
    let args = format!("header-fan {FAR4} {FIRST} {count} 10");
    let left = || {
        let ports = flows.keys().map(|key| usize::from(u16_at(&key, PORT)));
        ports
            .filter(|port| (FIRST..FIRST + count).contains(port))
            .count()
    };
    // links are lost in some of them
    for _ in 0..ROUNDS {
        ok(net.command(packet()).args(args.split(' ')));
    }
    eventually("all are deleted", || (left() == 0).then_some(()));
    for (table, used) in [
        ("socks", offset_of!(egrets_share, socks)),
        ("flows", offset_of!(egrets_share, flows)),
    ] {
        let map = bpf_map(&recorder, table);
        // other traffic of the machine changes both
        eventually("the shares are what the table has", || {
            (sum_of_shares(&recorder, used) == map.keys().count()).then_some(())
        });
    }
    assert_eq!(recorder.stop(), 0);
    let filter = format!("cmdline LIKE '%/packet {args}'");
    let totals = "count(*), count(DISTINCT dst_port), sum(tx_bytes), sum(tx_packets)";
    let all = ROUNDS * count;
    let truth = [all, count, (8 + 10) * all, all].map(|n| n.to_string());
    let rows = select(&db, &format!("SELECT {totals} FROM egress WHERE {filter}"));
    assert_eq!(rows, [truth]);
    let lost = select(&db, "SELECT kind, lost FROM gaps WHERE lost > 0");
    assert!(lost.is_empty(), "{lost:?}");
}

/// Gives a socket as many flows, from this one on, that are pending: nothing is sent.
fn name(socket: &UdpSocket, first: u32, count: usize) {
    for n in first..first + count as u32 {
        let to = Ipv4Addr::from_bits(0x7f01_0000 + n);
        socket.connect((to, 9)).unwrap();
    }
}

#[test]
fn full_tables_cost_tcp_neither_outcome_nor_bytes_nor_errno() {
    let count = volume(500).to_string();
    let net = Net::new();
    run(
        "ip",
        &[
            "-n",
            &net.near,
            "route",
            "add",
            "unreachable",
            "203.0.113.0/24",
        ],
    );
    let port = net.http("hello").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    for table in ["socks", "connect_calls"] {
        fill(&bpf_map(&recorder, table));
    }
    ok(net.command(dial()).args(["loop", FAR4, &port, &count]));
    ok(net.command(dial()).args(["get", FAR4, &port]));
    for to in ["203.0.113.1 80", "10.77.0.2 1"] {
        let args = format!("try blocking {to}");
        ok(net.command(dial()).args(args.split(' ')));
    }
    assert_eq!(recorder.stop(), 0);
    let near = format!("netns = {}", net.near_inode());
    let sql = format!(
        "SELECT outcome, errno, count(*), count(latency_us), count(duration_us), max(rx_bytes) > 5
         FROM egress WHERE {near} GROUP BY outcome ORDER BY outcome"
    );
    let all = (count.parse::<usize>().unwrap() + 1).to_string();
    assert_eq!(
        select(&db, &sql),
        [
            ["connected", "", &all, &all, &all, "1"],
            ["refused", "ECONNREFUSED", "1", "0", "1", "0"],
            ["unreachable", "EHOSTUNREACH", "1", "0", "1", ""],
        ]
    );
    let kinds = select(&db, "SELECT DISTINCT kind FROM gaps WHERE lost > 0");
    assert_eq!(kinds, [["socket"]], "what found no room is counted");
}

/// EGRETS_TEST_STARTS=200 starts as many recorders.
#[test]
fn no_program_map_or_link_outlives_the_recorder() {
    let (_dir, db) = history();
    let starts = std::env::var("EGRETS_TEST_STARTS").map_or(2, |n| n.parse().unwrap());
    for killed in [false, true].into_iter().cycle().take(starts) {
        let recorder = Recorder::start(&db, &[]);
        let objects = KernelObjects::of(&recorder);
        match killed {
            true => recorder.kill(),
            false => assert_eq!(recorder.stop(), 0),
        }
        eventually("all are gone", || objects.are_gone().then_some(()));
    }
}

#[test]
fn user_with_too_many_flows_fills_only_his_own_share() {
    const PER_SOCKET: usize = 16_384;
    const SOCKETS: usize = SHARE_OF_FLOWS / PER_SOCKET + 1;
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let send = |port: u16| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
    };
    thread::scope(|scope| {
        let flooder = scope.spawn(|| {
            become_user(4321);
            let sockets = (0..SOCKETS).map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                name(&socket, 0, PER_SOCKET);
                socket
            });
            let sockets: Vec<UdpSocket> = sockets.collect();
            for _ in 0..3 {
                send(4001);
            }
            sockets
        });
        let sockets = flooder.join().unwrap();
        send(4002);
        drop(sockets);
    });
    let flows = bpf_map(&recorder, "flows");
    eventually("the flooder's flows end", || {
        (flows.keys().count() < PER_SOCKET).then_some(())
    });
    send(4003);
    // a socket's own limit: each further destination is lost once, and the bytes are kept
    let many = UdpSocket::bind("127.0.0.1:0").unwrap();
    name(&many, 0, PER_SOCKET);
    for _ in 0..3 {
        for n in 0..10 {
            let to = Ipv4Addr::from_bits(0x7f02_0000 + n);
            many.send_to(b"x", (to, 4004)).unwrap();
        }
    }
    drop(many);
    assert_eq!(recorder.stop(), 0);
    let pid = std::process::id();
    let ports = format!(
        "SELECT dst_port, tx_bytes FROM egress
         WHERE pid = {pid} AND (dst_port BETWEEN 4001 AND 4004 OR dst_ip IS NULL) ORDER BY 1"
    );
    assert_eq!(
        select(&db, &ports),
        [["", "30"], ["4002", "1"], ["4003", "1"]]
    );
    let lost = "SELECT kind, sum(lost) FROM gaps WHERE lost > 0 GROUP BY kind";
    assert_eq!(select(&db, lost), [["flow", "13"]]);
}
