//! Traffic patterns: short and long, few and many, sequential and concurrent, from containers
//! and over loopback; and the bytes that are recorded while they run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::agreed::{ANSWERS, answer, back, meanwhile};
use crate::support::coverage::{TcpCounters, compare_both, compare_rows};
use crate::support::docker::{Docker, GATEWAY};
use crate::support::peer::{Answers, Peer};
use crate::support::*;
use egrets::human;

/// A server on the far side that hands its connections to the test.
fn handed_over(net: &Net) -> (u16, Receiver<TcpStream>) {
    let listener = net.far(|| TcpListener::bind("[::]:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let (to, streams) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = to.send(stream);
        }
    });
    (port, streams)
}

/// A client that opens a connection and waits for input.
fn hold(net: &Net, port: u16, way: &str) -> Guard {
    let mut child = net
        .command(dial())
        .args([way, FAR4, &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Guard(child)
}

/// The lines that `watch` prints.
fn lines_of(watch: &mut Child) -> Receiver<String> {
    let (to, lines) = channel();
    let stdout = BufReader::new(watch.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    lines
}

#[test]
fn bytes_of_a_download_are_stored_while_it_runs_and_completely_at_stop() {
    // the clients do not read, so it has to fit into their buffers
    const FIRST: usize = 30_000;
    const SECOND: usize = 7_001;
    const BEFORE: usize = 1_234; // the recording
    let net = Net::new();
    let (port, streams) = handed_over(&net);
    let mut open = Vec::new();
    let _older = hold(&net, port, "hold");
    open.push(streams.recv().unwrap());
    open[0].write_all(&[b'x'; BEFORE]).unwrap();
    thread::sleep(Duration::from_millis(100)); // until it has arrived
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let mut watch = Guard(
        egrets()
            .args(["watch", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = lines_of(&mut watch.0);
    eventually("watch sees what is dialled", || {
        ok(net.command(dial()).args(["tcp", FAR4, &port.to_string()]));
        drop(streams.recv().unwrap());
        lines
            .try_iter()
            .any(|line| line.contains("\"event\":\"close\""))
            .then_some(())
    });
    let _newer = hold(&net, port, "hold");
    open.push(streams.recv().unwrap());
    for stream in &mut open {
        stream.write_all(&vec![b'x'; FIRST]).unwrap();
    }
    let of_port = format!("\"dst_port\":{port}");
    let got = format!("\"rx_bytes\":{FIRST}");
    eventually("the live log tells of it", || {
        let parts = [
            "\"event\":\"progress\"",
            &of_port,
            &got,
            "\"outcome\":\"connected\"",
        ];
        lines
            .try_iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
            .then_some(())
    });

    let rows = |rx: usize| {
        format!(
            "SELECT already_open, tx_bytes, outcome, duration_us FROM egress
             WHERE dst_port = {port} AND rx_bytes = {rx} ORDER BY already_open"
        )
    };
    let both = [["0", "0", "connected", ""], ["1", "0", "connected", ""]];
    eventually("the bytes are in the file", || {
        (select(&db, &rows(FIRST)) == both).then_some(())
    });
    // other traffic continues
    eventually("status shows their sum", || {
        let sum = || value::<i64>(&db, "SELECT sum(rx_bytes) FROM egress");
        let before = sum();
        let status = ok(egrets().args(["status", "--db"]).arg(&db));
        let received = format!(" {} received in this recording", human::bytes(before));
        (sum() == before && status.contains(&received)).then_some(())
    });
    for stream in &mut open {
        stream.write_all(&vec![b'x'; SECOND]).unwrap();
    }
    thread::sleep(Duration::from_millis(300)); // until all has arrived
    assert_eq!(recorder.stop(), 0);
    assert_eq!(select(&db, &rows(FIRST + SECOND)), both);
    // what came before is in the total beside it
    let totals =
        format!("SELECT total_rx_bytes FROM egress WHERE dst_port = {port} AND already_open");
    assert_eq!(value::<i64>(&db, &totals), (BEFORE + FIRST + SECOND) as i64);
}

/// `send` in the namespace of this name.
fn within(netns: &str, args: &str) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", netns])
        .arg(send())
        .args(args.split(' '));
    command
}

#[test]
fn thousands_of_short_connections_each_have_exact_bytes() {
    let count = volume(4000);
    let net = Net::new();
    let port = Peer::start(&net, Answers::Plain).port;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    ok(&mut within(
        &net.near,
        &format!("many {FAR4} {port} {count} 1"),
    ));
    recording.save(&db);
    // 1, 2, 3 … bytes
    let out = count * (count + 1) / 2;
    let filter = format!("dst_port = {port} AND protocol = 'tcp'");
    let (way, back) = ("many short connections", 2 * out + 7 * count);
    compare_rows(
        &db,
        way,
        "tcp",
        &filter,
        count,
        TcpCounters::bytes(out),
        TcpCounters::bytes(back),
    );
    let own = format!(
        "SELECT count(DISTINCT tx_bytes), min(tx_bytes), max(tx_bytes),
                sum(rx_bytes <> 2 * tx_bytes + 7) FROM egress WHERE {filter}"
    );
    let count = count.to_string();
    assert_eq!(select(&db, &own), [[&count[..], "1", &count, "0"]]);
}

#[test]
fn burst_over_many_sockets_has_exact_bytes_per_socket() {
    const TURNS: usize = 10;
    const SIZE: usize = 1000;
    let count = volume(300);
    let net = Net::new();
    let port = Peer::start(&net, Answers::Plain).port;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    ok(&mut within(
        &net.near,
        &format!("burst {FAR4} {port} {count} {SIZE}"),
    ));
    recording.save(&db);
    let sent = count * SIZE * TURNS + count * (count - 1) / 2;
    let tcp = [sent, 2 * sent + 7 * count].map(TcpCounters::bytes);
    // each answer is longer by the same amount
    let longer = answer(1) - 1;
    let datagrams = TURNS * count;
    let udp = [(1, 0), (ANSWERS, longer)].map(|(times, longer)| TcpCounters {
        bytes: times * (sent + longer * datagrams),
        datagrams: Some(times * datagrams),
    });
    for (protocol, [out, back]) in [("tcp", tcp), ("udp", udp)] {
        let filter = format!("dst_port = {port} AND protocol = '{protocol}'");
        compare_rows(&db, "burst of sockets", protocol, &filter, count, out, back);
        let each = format!("SELECT count(DISTINCT tx_bytes) FROM egress WHERE {filter}");
        assert_eq!(value::<i64>(&db, &each), count as i64);
    }
}

#[test]
fn slow_drip_is_stored_while_it_runs_and_completely_at_its_end() {
    const SIZE: usize = 5;
    // EGRETS_TEST_DRIP=180 for a release
    let seconds = std::env::var("EGRETS_TEST_DRIP").map_or(8, |n| n.parse().unwrap());
    let count = 2 * seconds;
    let net = Net::new();
    let peer = Peer::start(&net, Answers::Plain);
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let args = format!("drip {FAR4} {} {count} {SIZE}", peer.port);
    let mut drip = Guard(within(&net.near, &args).spawn().unwrap());
    let mut seen: [BTreeSet<i64>; 2] = Default::default();
    while drip.0.try_wait().unwrap().is_none() {
        for (seen, protocol) in seen.iter_mut().zip(["tcp", "udp"]) {
            let sql = format!(
                "SELECT tx_bytes FROM egress
                 WHERE protocol = '{protocol}' AND dst_port = {} AND netns = {} AND tx_bytes > 0",
                peer.port,
                net.near_inode()
            );
            seen.extend(
                select(recording.history(), &sql)
                    .iter()
                    .map(|row| -> i64 { row[0].parse().unwrap() }),
            );
        }
        thread::sleep(Duration::from_millis(500));
    }
    assert!(drip.0.wait().unwrap().success());
    recording.save(&db);
    for seen in &seen {
        // counters are read about every 2 s, less often on a busy emulated machine
        assert!(seen.len() >= (seconds / 4).max(2), "{seen:?}");
        assert!(
            seen.iter().all(|bytes| bytes % SIZE as i64 == 0),
            "{seen:?}"
        );
    }
    let out = count * SIZE;
    compare_both(
        &db,
        "tcp",
        &args,
        TcpCounters::bytes(out),
        TcpCounters::bytes(back(out)),
    );
    let back = TcpCounters::datagrams(ANSWERS * count, answer(SIZE));
    compare_both(&db, "udp", &args, TcpCounters::datagrams(count, SIZE), back);
}

#[test]
fn loopback_traffic_is_counted_once() {
    let net = Net::new();
    let port = Peer::start(&net, Answers::Plain).port;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    for (ip, way) in [("127.0.0.1", "write"), ("::1", "write")] {
        ok(&mut within(&net.far, &format!("{way} {ip} {port} 5 70001")));
        ok(&mut within(
            &net.far,
            &format!("udp-send {ip} {port} 20 9000"),
        ));
    }
    recording.save(&db);
    let (out, come) = (2 * 5 * 70_001, 2 * back(5 * 70_001));
    let filter = |protocol| format!("dst_port = {port} AND protocol = '{protocol}'");
    compare_rows(
        &db,
        "loopback",
        "tcp",
        &filter("tcp"),
        2,
        TcpCounters::bytes(out),
        TcpCounters::bytes(come),
    );
    let (out, come) = (
        TcpCounters::datagrams(40, 9000),
        TcpCounters::datagrams(80, answer(9000)),
    );
    compare_rows(&db, "loopback", "udp", &filter("udp"), 2, out, come);
}

#[test]
fn full_duplex_directions_are_counted_separately() {
    let (count, size) = (volume(500), 70_001);
    let net = Net::new();
    let answers = Answers::Meanwhile(meanwhile(count * size));
    let port = Peer::start(&net, answers).port;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let args = format!("duplex {FAR4} {port} {count} {size}");
    ok(&mut within(&net.near, &args));
    recording.save(&db);
    let out = count * size;
    compare_both(
        &db,
        "tcp",
        &args,
        TcpCounters::bytes(out),
        TcpCounters::bytes(meanwhile(out)),
    );
}

#[test]
fn bytes_of_a_killed_process_are_counted() {
    let net = Net::new();
    let peer = Peer::start(&net, Answers::Plain);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let args = format!("until-killed {FAR4} {} 1 70001", peer.port);
    let mut client = Guard(within(&net.near, &args).spawn().unwrap());
    eventually("a part has come", || {
        (peer.got.tcp() > 1_000_000).then_some(())
    });
    client.0.kill().unwrap();
    client.0.wait().unwrap();
    // the kernel still delivers what it had accepted
    let closed = format!(
        "SELECT count(*) FROM egress WHERE dst_port = {} AND duration_us IS NOT NULL",
        peer.port
    );
    eventually("it is closed", || {
        (value::<i64>(&db, &closed) == 1).then_some(())
    });
    recorder.stop();
    // the peer's answer to a dead process is not received
    compare_both(
        &db,
        "tcp",
        &args,
        TcpCounters::bytes(peer.got.tcp()),
        TcpCounters::bytes(0),
    );
}

#[test]
fn recorder_that_stops_mid_transfer_has_all_bytes_so_far() {
    let net = Net::new();
    let peer = Peer::start(&net, Answers::Plain);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let args = format!("drip {FAR4} {} 1000 700", peer.port);
    let _drip = Guard(within(&net.near, &args).spawn().unwrap());
    eventually("some has come", || (peer.got.udp() > 1_400).then_some(()));
    let before = [peer.got.tcp(), peer.got.udp()];
    assert_eq!(recorder.stop(), 0);
    let after = [peer.got.tcp(), peer.got.udp()];
    for (i, protocol) in ["tcp", "udp"].iter().enumerate() {
        let sql = format!(
            "SELECT tx_bytes FROM egress
             WHERE protocol = '{protocol}' AND cmdline LIKE '%/send {args}'"
        );
        let got = value::<i64>(&db, &sql) as usize;
        let between = before[i]..=after[i];
        assert!(between.contains(&got), "{protocol}: {got}, {between:?}");
    }
}

#[test]
fn container_traffic_is_exact_and_attributed_to_it() {
    let id = format!("{:0>64x}", std::process::id());
    let cgroup = cgroup2().join("docker").join(&id);
    let parent_is_ours = !cgroup.parent().unwrap().exists();
    fs::create_dir_all(&cgroup).unwrap();
    let net = Net::new();
    let port = Peer::start(&net, Answers::Plain).port;
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    for args in [
        format!("write {FAR4} {port} 5 70001"),
        format!("udp-sendmmsg {FAR6} {port} 20 1200"),
    ] {
        // not 'ip netns exec': that hides /sys/fs/cgroup
        let procs = cgroup.join("cgroup.procs");
        let script = format!("echo $$ >{}; exec \"$@\"", procs.display());
        ok(Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", net.near))
            .args(["sh", "-ec", &script, "sh"])
            .arg(send())
            .args(args.split(' ')));
    }
    recording.save(&db);
    fs::remove_dir(&cgroup).unwrap();
    if parent_is_ours {
        let _ = fs::remove_dir(cgroup.parent().unwrap());
    }
    compare_exchange(
        &db,
        "in a container's cgroup",
        &format!("container_id = '{id}'"),
    );
}

/// Rows of one exchange over TCP and one over UDP: 5 pieces of 70,001 bytes, 20 of 1,200.
fn compare_exchange(db: &Path, way: &str, filter: &str) {
    let tcp = [5 * 70_001, back(5 * 70_001)].map(TcpCounters::bytes);
    let out = TcpCounters::datagrams(20, 1200);
    let udp = [out, TcpCounters::datagrams(20 * ANSWERS, answer(1200))];
    for (protocol, [out, back]) in [("tcp", tcp), ("udp", udp)] {
        let filter = format!("{filter} AND protocol = '{protocol}'");
        compare_rows(db, way, protocol, &filter, 1, out, back);
    }
}

#[test]
fn docker_container_traffic_is_exact_and_attributed_to_it() {
    let send = send();
    let send = send.to_str().unwrap();
    let docker = Docker::start(&[send]);
    let port = Peer::start(&docker.net, Answers::Plain).port;
    let (_dir, db) = history();
    let recorder = docker.record(&db);
    // Docker masquerades traffic from its bridge's subnet
    let (own6, gateway6) = ("fd78::/64", "fd78::1");
    let network = ["network", "create", "--ipv6", "--subnet", own6, "six"];
    ok(&mut docker.cli(&network));
    for (name, network, ip) in [
        ("bridged", "bridge", GATEWAY),
        ("bridged6", "six", gateway6),
        ("hosted", "host", FAR4),
    ] {
        let run = [
            "--name",
            name,
            "--network",
            network,
            "img:1",
            "busybox",
            "sh",
            "-c",
        ];
        let script =
            format!("{send} write {ip} {port} 5 70001 && {send} udp-sendmmsg {ip} {port} 20 1200");
        docker.run(&[&run[..], &[&script]].concat());
    }
    recorder.stop();
    for (name, own) in [
        ("bridged", "container_ip = src_ip"),
        ("bridged6", "src_ip LIKE 'fd78::%'"),
        ("hosted", "1"),
    ] {
        let filter = format!("container_name = '{name}' AND dst_port = {port} AND {own}");
        compare_exchange(&db, "from a Docker container", &filter);
    }
}
