//! `egrets record`, on real traffic between two network namespaces.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::support::forge::forged_first_packets;
use crate::support::metrics::{found_by_dashboard, read_metrics};
use crate::support::*;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};
use socket2::{Domain, Type};

/// The only row of `egress` that matches, with these columns.
fn row(db: &std::path::Path, columns: &str, filter: &str) -> Vec<String> {
    let rows = select(db, &format!("SELECT {columns} FROM egress WHERE {filter}"));
    assert_eq!(rows.len(), 1, "{filter}: {rows:?}");
    rows.into_iter().next().unwrap()
}

#[test]
fn command_is_recorded_with_name_process_outcome_and_bytes() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--host-record=web.test,{FAR4},{FAR6}")]);
    let port = net.http("hello");
    let (_dir, db) = history();
    let url = format!("http://web.test:{port}/");
    let output = net.record(&db, &["curl", "-s4", &url]);
    assert_eq!(
        (code(&output), text(&output.stdout).as_str()),
        (0, "hello"),
        "{}",
        text(&output.stderr)
    );

    let columns = "comm, pid = tid, exe, cmdline, host, host_source, host_rivals, outcome, errno, \
                   dst_ip, dst_port, src_ip, src_port > 0, dst_scope, family, uid, user, ppid > 0, \
                   tx_bytes > 70, rx_bytes, latency_us > 0, duration_us >= latency_us, netns > 0";
    let got = row(&db, columns, "protocol = 'tcp'");
    let (cmdline, port) = (format!("curl -s4 {url}"), port.to_string());
    let rx = ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".len())
        .to_string();
    assert_eq!(
        got,
        [
            "curl",
            "1",
            "/usr/bin/curl",
            &cmdline,
            "web.test",
            "process",
            "0",
            "connected",
            "",
            FAR4,
            &port,
            NEAR4,
            "1",
            "private",
            "4",
            "0",
            "root",
            "1",
            "1",
            &rx,
            "1",
            "1",
            "1"
        ]
    );
    let age: i64 = value(&db, "SELECT host_age_ms FROM egress WHERE protocol = 'tcp'");
    assert!((0..5_000).contains(&age), "{age} ms");
    let dns = select(
        &db,
        "SELECT comm, server_ip, server_port, transport, qname, qtype, rcode, name, type, data, ttl, latency_us > 0, status FROM dns",
    );
    assert_eq!(
        dns,
        [[
            "curl", FAR4, "53", "udp", "web.test", "A", "NOERROR", "web.test", "A", FAR4, "60",
            "1", "answered"
        ]]
    );
    assert_eq!(value::<i64>(&db, "SELECT count(*) FROM gaps"), 0);
    assert_eq!(value::<i64>(&db, "SELECT clean FROM recordings"), 1);
}

#[test]
fn a_and_aaaa_lookups_of_one_socket_are_stored_and_name_ipv6() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--host-record=web.test,{FAR4},{FAR6}")]);
    let port = net.http("six");
    let (_dir, db) = history();
    let output = net.observe(&db, &["curl", "-s", &format!("http://web.test:{port}/")]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let dns = select(&db, "SELECT qtype, data, status FROM dns ORDER BY qtype");
    assert_eq!(dns, [["A", FAR4, "answered"], ["AAAA", FAR6, "answered"]]);
    let got = row(
        &db,
        "dst_ip, family, host, host_source, outcome",
        "protocol = 'tcp'",
    );
    assert_eq!(got, [FAR6, "6", "web.test", "process", "connected"]);
}

#[test]
fn record_exits_with_the_status_of_its_command() {
    let net = Net::new();
    let (_dir, db) = history();
    for (command, status) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)] {
        assert_eq!(
            code(&net.record(&db, &["sh", "-c", command])),
            status,
            "{command}"
        );
    }
    let missing = egrets()
        .args(["record", "--db"])
        .arg(&db)
        .args(["--", "/no/such"])
        .output()
        .unwrap();
    assert_eq!(code(&missing), 2);
    assert!(
        text(&missing.stderr).contains("/no/such can't be run"),
        "{}",
        text(&missing.stderr)
    );
    let last = "SELECT clean FROM recordings ORDER BY id DESC LIMIT 1";
    assert_eq!(value::<i64>(&db, last), 1, "no recording was killed");
}

#[test]
fn only_the_command_and_its_descendants_are_recorded() {
    let net = Net::new();
    let port = net.http("x");
    let (_dir, db) = history();
    let unrelated = dial();
    let mut noise = Guard(
        net.command(&unrelated)
            .args(["loop", FAR4, &port.to_string(), "1000000"])
            .spawn()
            .unwrap(),
    );
    let inner = format!("sh -c '{} tcp {FAR4} {port}'; true", unrelated.display());
    let output = net.record(&db, &["sh", "-c", &inner]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(
        noise.0.try_wait().unwrap().is_none(),
        "the other traffic went on meanwhile"
    );
    assert_eq!(
        select(&db, "SELECT comm, parent_comm FROM egress"),
        [["dial", "sh"]]
    );
}

#[test]
fn command_runs_as_the_user_who_called_sudo() {
    let (_dir, db) = history();
    let output = egrets()
        .args(["record", "--group", "root", "--db"])
        .arg(&db)
        .args(["--", "sh", "-c", "id -u; id -g; echo $USER; cat $0"])
        .arg(&db)
        .env("SUDO_UID", "33")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "33\n33\nwww-data\n");
    assert_ne!(code(&output), 0, "www-data can't read the history");
}

#[test]
fn history_around_a_command_can_be_read_by_the_user_who_called_sudo() {
    let (dir, db) = history();
    std::os::unix::fs::chown(dir.path(), Some(33), Some(33)).unwrap();
    let record = || {
        let mut egrets = egrets();
        egrets
            .args(["record", "--db"])
            .arg(&db)
            .args(["--", "true"]);
        let output = egrets.env("SUDO_UID", "33").output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let said = record();
    assert!(!said.contains("can't access the directory"), "{said}");
    // and recorded into again
    record();
    let meta = std::fs::metadata(&db).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o777),
        (0, 33, 0o640)
    );
    let read = || {
        let mut query = Command::new("setpriv");
        query.args(["--reuid=33", "--regid=33", "--clear-groups"]);
        query.args([env!("CARGO_BIN_EXE_egrets"), "query", "--db"]);
        query.arg(&db).arg("connections").output().unwrap()
    };
    let output = read();
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("nothing found"));
    // A history that was there before is not opened to them.
    std::fs::set_permissions(&db, std::fs::Permissions::from_mode(0o600)).unwrap();
    record();
    assert_eq!(code(&read()), 2);
}

#[test]
fn a_thousand_concurrent_processes_each_get_their_own_name() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let all = volume(1000).to_string();
    let output = net.observe(&db, &[dial().to_str().unwrap(), "each", "1", &all, &port]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let wrong = "SELECT cmdline, exe, host, host_source, outcome, errno FROM egress
        WHERE protocol = 'tcp' AND NOT COALESCE(
            outcome = 'connected' AND host_source = 'process' AND exe LIKE '%/dial'
            AND cmdline LIKE '% tcp ' || host || ' ' || dst_port, 0)";
    assert_eq!(select(&db, wrong), Vec::<Vec<String>>::new());
    let count = "SELECT count(*), count(DISTINCT host) FROM egress WHERE protocol = 'tcp'";
    assert_eq!(select(&db, count), [[all.as_str(), all.as_str()]]);
    assert_eq!(select(&db, GAPS), Vec::<Vec<String>>::new());
}

#[test]
fn child_connection_is_named_by_its_parents_lookup() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let output = net.observe(
        &db,
        &[dial().to_str().unwrap(), "child", "parent.test", &port],
    );
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let got = row(&db, "host, host_source, parent_comm", "protocol = 'tcp'");
    assert_eq!(got, ["parent.test", "ancestor", "dial"]);
}

#[test]
fn address_with_two_names_gets_the_latest_and_counts_a_rival() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x");
    let (_dir, db) = history();
    let (a, b) = (
        format!("http://a.test:{port}/"),
        format!("http://b.test:{port}/"),
    );
    let output = net.observe(
        &db,
        &["curl", "-s4", "-o", "/dev/null", &a, "-o", "/dev/null", &b],
    );
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let rows = select(
        &db,
        "SELECT host, host_source, host_rivals FROM egress WHERE protocol = 'tcp' ORDER BY id",
    );
    assert_eq!(
        rows,
        [["a.test", "process", "0"], ["b.test", "process", "1"]]
    );
}

#[test]
fn every_failure_has_its_outcome_and_errno() {
    let net = Net::new();
    let ns = net.near.as_str();
    run(
        "ip",
        &["-n", ns, "route", "add", "prohibit", "192.0.2.0/24"],
    );
    run(
        "ip",
        &["-n", ns, "route", "add", "unreachable", "203.0.113.0/24"],
    );
    // a neighbour that never answers, so the SYN times out
    run(
        "ip",
        &[
            "-n",
            ns,
            "neigh",
            "add",
            "10.77.0.9",
            "lladdr",
            "02:00:00:00:00:09",
            "dev",
            "up0",
        ],
    );
    ok(net
        .command("sysctl")
        .args(["-qw", "net.ipv4.tcp_syn_retries=1"]));
    let (_dir, db) = history();
    let dial = dial();
    let dial = dial.display();
    let script = format!(
        "{dial} tcp {FAR4} 1; {dial} tcp 192.0.2.1 80; {dial} tcp 203.0.113.1 80; \
         {dial} tcp 198.51.100.1 80; {dial} tcp 10.77.0.9 80; {dial} tcp ::ffff:{FAR4} 1; true"
    );
    let output = net.observe(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let rows = select(
        &db,
        "SELECT dst_ip, outcome, errno, latency_us, duration_us > 0 FROM egress ORDER BY id",
    );
    assert_eq!(
        rows,
        [
            [FAR4, "refused", "ECONNREFUSED", "", "1"],
            ["192.0.2.1", "denied", "EACCES", "", "1"],
            ["203.0.113.1", "unreachable", "EHOSTUNREACH", "", "1"],
            ["198.51.100.1", "unreachable", "ENETUNREACH", "", "1"],
            ["10.77.0.9", "timeout", "ETIMEDOUT", "", "1"],
            [FAR4, "refused", "ECONNREFUSED", "", "1"],
        ]
    );
}

#[test]
fn udp_socket_that_never_sends_is_not_a_flow() {
    let net = Net::new();
    let (_dir, db) = history();
    let output = net.observe(&db, &[dial().to_str().unwrap(), "udp-silent", FAR4, "9"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(value::<i64>(&db, "SELECT count(*) FROM egress"), 0);
}

#[test]
fn five_hundred_datagrams_are_one_flow_with_bytes_both_ways() {
    let net = Net::new();
    let port = net.echo().to_string();
    let (_dir, db) = history();
    let output = net.observe(
        &db,
        &[dial().to_str().unwrap(), "udp", FAR4, &port, "500", "321"],
    );
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let got = row(
        &db,
        "comm, dst_ip, dst_port, src_ip, outcome, tx_bytes, rx_bytes, duration_us > 0",
        "1",
    );
    assert_eq!(
        got,
        ["dial", FAR4, &port, NEAR4, "sent", "160500", "160500", "1"]
    );
}

#[test]
fn replies_of_a_udp_server_are_marked_and_counted() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let port = net.echo().to_string();
    ok(net.command(dial()).args(["udp", FAR4, &port, "3", "10"]));
    recording.save(&db);
    let columns = "direction, src_ip, dst_ip, tx_bytes, rx_bytes, tx_packets, rx_packets";
    let flows = select(
        &db,
        &format!("SELECT {columns} FROM egress ORDER BY direction"),
    );
    let counted = ["30", "30", "3", "3"];
    let answers = [&["in", FAR4, NEAR4], &counted[..]].concat();
    let asked = [&["out", NEAR4, FAR4], &counted[..]].concat();
    assert_eq!(flows, [answers, asked]);
}

#[test]
fn server_with_many_peers_has_few_rows_and_all_bytes() {
    const PEERS: usize = 200;
    const ROWS: usize = 128;
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let port = net.echo();
    net.near(|| {
        for _ in 0..PEERS {
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.send_to(&[b'x'; 10], (FAR4, port)).unwrap();
            client.recv_from(&mut [0; 16]).unwrap();
        }
    });
    // the server's socket stays open: its bytes are read from time to time
    let received = format!(
        "SELECT sum(rx_bytes) FROM egress WHERE direction = 'in' AND netns = {}",
        net.far_inode()
    );
    eventually("all bytes are counted", || {
        let received = value::<Option<i64>>(recording.history(), &received);
        (received >= Some(10 * PEERS as i64)).then_some(())
    });
    recording.save(&db);
    let columns = "count(*), sum(dst_ip IS NULL), sum(tx_bytes), sum(rx_bytes)";
    let answers = format!("SELECT {columns} FROM egress WHERE direction = 'in'");
    let bytes = (10 * PEERS).to_string();
    let truth = [&(ROWS + 1).to_string(), "1", &bytes, &bytes];
    assert_eq!(select(&db, &answers), [truth]);
}

#[test]
fn who_forges_a_first_packet_hides_nothing() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let forged = forged_first_packets(&net);
    for (socket, far) in &forged {
        for _ in 0..100 {
            socket.send_to(&[b'x'; 1000], far).unwrap();
        }
    }
    drop(forged);
    recording.save(&db);
    let sql = "SELECT dst_port, direction, tx_bytes, rx_bytes FROM egress
               WHERE dst_port BETWEEN 4444 AND 4446 ORDER BY 1";
    assert_eq!(
        select(&db, sql),
        [
            ["4444", "out", "100000", "1"],
            ["4445", "out", "100000", "1"],
            ["4446", "out", "100001", "1"]
        ]
    );
}

#[test]
fn answer_to_another_socket_of_its_port_is_no_first_packet() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let server = net.far(|| UdpSocket::bind((FAR4, 4444)).unwrap());
    let near = |port: u16| net.near(|| UdpSocket::bind((NEAR4, port)));
    let asker = near(0).unwrap();
    let port = asker.local_addr().unwrap().port();
    asker.send_to(b"hello", (FAR4, 4444)).unwrap();
    server.recv_from(&mut [0; 8]).unwrap();
    drop(asker);
    // any process that walks over open files, as lsof and the recorder do, holds one for a moment
    let other = eventually("the port is free", || near(port).ok());
    server.send_to(b"hi", (NEAR4, port)).unwrap();
    other.recv_from(&mut [0; 8]).unwrap();
    for _ in 0..100 {
        other.send_to(&[b'x'; 1000], (FAR4, 4444)).unwrap();
    }
    drop(other);
    recording.save(&db);
    let columns = "direction, tx_bytes, rx_bytes";
    let sql = format!("SELECT {columns} FROM egress WHERE dst_port = 4444 ORDER BY tx_bytes");
    assert_eq!(
        select(&db, &sql),
        [["out", "5", "0"], ["out", "100000", "2"]]
    );
}

#[test]
fn flood_of_first_packets_costs_no_other_users_answers_their_direction() {
    /// More than the kernel side remembers of all users.
    const FLOOD: &str = "70000";
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    let (client, server) = net.near(|| {
        (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        )
    });
    let (from, to) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    client.send_to(b"ask", to).unwrap();
    server.recv_from(&mut [0; 8]).unwrap();
    // where other users may run it
    let dir = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let tool = dir.path().join("send");
    std::fs::copy(send(), &tool).unwrap();
    let user = ["--reuid", "4321", "--regid", "4321", "--clear-groups"];
    let flood = ["sources", "127.0.0.1", "0", FLOOD, "1"];
    ok(net.command("setpriv").args(user).arg(&tool).args(flood));
    server.send_to(b"answer", from).unwrap();
    drop((client, server));
    recording.save(&db);
    let answer = row(
        &db,
        "direction, tx_bytes, rx_bytes",
        &format!("dst_port = {}", from.port()),
    );
    assert_eq!(answer, ["in", "6", "3"]);
}

#[test]
fn flow_belongs_to_the_user_who_named_its_destination() {
    let net = Net::new();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    net.near(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"x", (FAR4, 4001)).unwrap();
        become_user(4321);
        socket.send_to(b"x", (FAR4, 4002)).unwrap();
    });
    recording.save(&db);
    let rows = "SELECT dst_port, uid FROM egress WHERE dst_port IN (4001, 4002) ORDER BY dst_port";
    assert_eq!(select(&db, rows), [["4001", "0"], ["4002", "4321"]]);
}

#[test]
fn first_hop_of_a_source_route_is_part_of_the_row() {
    let net = Net::new();
    let (_dir, db) = history();
    let routes = [["-4", "203.0.113.0/24", FAR4], ["-6", "fd99::/64", FAR6]];
    for [family, to, via] in routes {
        ok(net
            .command("ip")
            .args([family, "route", "add", to, "via", via]));
    }
    let recording = Recording::start(&net);
    net.near(|| {
        let datagrams = UdpSocket::bind("0.0.0.0:0").unwrap();
        let hop4: Ipv4Addr = FAR4.parse().unwrap();
        // loose source route and record, RFC 791; then the end of the options
        let option = [&[131, 7, 4][..], &hop4.octets(), &[0]].concat();
        set_option(&datagrams, libc::IPPROTO_IP, libc::IP_OPTIONS, &option);
        datagrams
            .send_to(&[b'x'; 100], "203.0.113.80:4443")
            .unwrap();
        let stream = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        set_option(&stream, libc::IPPROTO_IP, libc::IP_OPTIONS, &option);
        stream.set_nonblocking(true).unwrap();
        let to: std::net::SocketAddr = "203.0.113.81:4443".parse().unwrap();
        assert!(stream.connect(&to.into()).is_err(), "it is in progress");
        let segments = UdpSocket::bind("[::]:0").unwrap();
        let (end, hop6): (Ipv6Addr, Ipv6Addr) =
            ("fd99::80".parse().unwrap(), FAR6.parse().unwrap());
        // segment routing header, RFC 8754
        let header = [&[0, 4, 4, 1, 1, 0, 0, 0][..], &end.octets(), &hop6.octets()].concat();
        set_option(&segments, libc::IPPROTO_IPV6, libc::IPV6_RTHDR, &header);
        segments.send_to(&[b'x'; 100], "[fd99::80]:4443").unwrap();
        // the same socket without it is another flow
        set_option(&segments, libc::IPPROTO_IPV6, libc::IPV6_RTHDR, &[]);
        segments.send_to(&[b'x'; 7], "[fd99::80]:4443").unwrap();
    });
    recording.save(&db);
    let columns = "dst_ip, first_hop, coalesce(tx_bytes, 0)";
    let rows = format!("SELECT {columns} FROM egress WHERE dst_port = 4443 ORDER BY 1, 3");
    let routed = [
        ["203.0.113.80", FAR4, "100"],
        ["203.0.113.81", FAR4, "0"],
        ["fd99::80", "", "7"],
        ["fd99::80", FAR6, "100"],
    ];
    assert_eq!(select(&db, &rows), routed);
}

#[test]
fn what_the_own_firewall_refuses_is_denied() {
    let net = Net::new();
    let (_dir, db) = history();
    ok(net.command("nft").arg(
        "table inet t {
            chain out {
                type filter hook output priority 0
                udp dport { 53, 4443 } drop
                udp dport 4444 reject
                icmp type echo-request drop
            }
        }",
    ));
    let recording = Recording::start(&net);
    let question = {
        let mut question = Packet::new_query(7);
        let name = Name::new_unchecked("blocked.test");
        question
            .questions
            .push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        question.build_bytes_vec().unwrap()
    };
    net.near(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for (port, data) in [(53, &question[..]), (4443, b"x"), (4444, b"x")] {
            assert!(socket.send_to(data, (FAR4, port)).is_err());
        }
        socket.send_to(b"x", (FAR4, 4445)).unwrap();
    });
    let ping = net
        .command(packet())
        .args(["raw-ping", FAR4, "1", "1", "8"])
        .output()
        .unwrap();
    assert!(!ping.status.success());
    recording.save(&db);
    let rows = "SELECT protocol, dst_port, outcome, tx_bytes FROM egress ORDER BY 1, 2";
    let denied = [
        ["icmp", "", "denied", "0"],
        ["udp", "53", "denied", "0"],
        ["udp", "4443", "denied", "0"],
        ["udp", "4444", "denied", "0"],
        ["udp", "4445", "sent", "1"],
    ];
    assert_eq!(select(&db, rows), denied);
    let lookup = "SELECT qname, status FROM dns";
    assert_eq!(select(&db, lookup), [["blocked.test", "unsent"]]);
}

#[test]
fn excluded_lookups_still_name_connections() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x");
    let (_dir, db) = history();
    let output = ok(egrets()
        .args(["record", "--exclude", "53", "--exclude", "sh", "--db"])
        .arg(&db)
        .args([
            "--",
            "ip",
            "netns",
            "exec",
            &net.near,
            "curl",
            "-s4",
            &format!("http://a.test:{port}/"),
        ]));
    assert_eq!(output, "x");
    assert_eq!(
        select(&db, "SELECT comm, protocol, host FROM egress"),
        [["curl", "tcp", "a.test"]]
    );
}

#[test]
fn exec_separates_two_programs_of_one_pid() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let dial = dial();
    // one pid, two programs: the shell's /dev/tcp, then dial after exec
    let script = format!(
        "exec 3<>/dev/tcp/{FAR4}/{port}; exec {} tcp {FAR4} {port}",
        dial.display()
    );
    let output = net.observe(&db, &["bash", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let rows = select(
        &db,
        "SELECT comm, exe LIKE '%/bash', exe LIKE '%/dial' FROM egress ORDER BY id",
    );
    assert_eq!(rows, [["bash", "1", "0"], ["dial", "0", "1"]]);
    assert_eq!(
        value::<i64>(&db, "SELECT count(DISTINCT pid) FROM egress"),
        1
    );
}

#[test]
fn long_arguments_are_truncated_and_marked() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let long = "a".repeat(9_000);
    let script = format!("exec 3<>/dev/tcp/{FAR4}/{port}");
    let output = net.observe(&db, &["bash", "-c", &script, &long]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let cmdline: String = value(&db, "SELECT cmdline FROM egress");
    assert!(
        cmdline.starts_with("bash -c exec") && cmdline.ends_with("aaa…"),
        "{cmdline}"
    );
    assert!(cmdline.len() < 4_200, "{}", cmdline.len());
}

#[test]
fn recording_ends_after_the_given_duration() {
    let (_dir, db) = history();
    let output = egrets()
        .args(["record", "--for", "300ms", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert!(
        text(&output.stderr).contains("recorded "),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(value::<i64>(&db, "SELECT clean FROM recordings"), 1);
}

#[test]
fn command_that_outlives_the_duration_is_terminated() {
    let (_dir, db) = history();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrets"));
    command
        .args(["record", "--for", "500ms", "--db"])
        .arg(&db)
        .args(["--", "sleep", "600"]);
    assert_eq!(code(&command.output().unwrap()), 128 + 15);
}

#[test]
fn command_has_its_own_session_and_inherits_no_descriptors_and_no_restrictions() {
    let (_dir, db) = history();
    let show = "cat; ls /proc/self/fd; test $(cut -d \" \" -f 6 /proc/$$/stat) = $$ && echo own session; \
                grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; echo $HOME $XDG_RUNTIME_DIR";
    let mut egrets = Command::new("sh");
    egrets
        .args([
            "-c",
            "exec 9</etc/passwd; echo typed | \"$0\" record --db \"$1\" -- sh -c \"$2\"",
        ])
        .arg(env!("CARGO_BIN_EXE_egrets"))
        .arg(&db)
        .arg(show)
        .env("SUDO_UID", "33")
        .env("SUDO_GID", "33")
        .env("XDG_RUNTIME_DIR", "/run/user/0");
    // 3 is ls' own
    assert_eq!(
        ok(&mut egrets),
        "typed\n0\n1\n2\n3\nown session\nNoNewPrivs:\t0\nSeccomp:\t0\n/var/www\n"
    );
}

#[test]
fn command_of_an_unknown_caller_is_refused() {
    let (_dir, db) = history();
    for (variable, value) in [
        ("SUDO_UID", "1000x"),
        ("SUDO_UID", ""),
        ("SUDO_UID", "+0"),
        ("SUDO_UID", "-1"),
        ("SUDO_UID", "4294967295"),
        ("SUDO_UID", "54321"),
        ("SUDO_GID", "0x0"),
        ("SUDO_GID", "54321"),
    ] {
        let output = egrets()
            .args(["record", "--db"])
            .arg(&db)
            .args(["--", "id", "-u"])
            .env("SUDO_UID", "33")
            .env(variable, value)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{variable}={value}: {said}");
        assert!(
            said.contains(variable) && said.contains("unset it"),
            "{said}"
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn recorder_keeps_only_what_reading_proc_takes() {
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // Docker's workers and all other threads have started by the first commit.
    let held = eventually("all threads have dropped their privileges", || {
        egrets::privileges::Held::of(recorder.pid())
    });
    let reads_maps = |name: &&String| !["CAP_BPF", "CAP_PERFMON"].contains(&name.as_str());
    let rest: Vec<&String> = held.capabilities.iter().filter(reads_maps).collect();
    assert_eq!(rest, ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]);
    assert!(held.no_new_privs && held.seccomp, "{held:?}");
    let shown = ok(egrets().args(["status", "--db"]).arg(&db));
    let line = format!("privileges   {}", held.describe());
    assert!(shown.contains(&line), "{shown}");
    let line = "file reader  CAP_KILL CAP_SETGID CAP_SETUID CAP_SYS_PTRACE; no_new_privs";
    assert!(shown.contains(line), "{shown}");
    let shown = ok(egrets().args(["status", "--json", "--db"]).arg(&db));
    let last = serde_json::from_str::<serde_json::Value>(&shown).unwrap()["last"].take();
    let capabilities = |whose: &str| serde_json::json!(last[whose]["capabilities"]);
    assert_eq!(
        capabilities("privileges"),
        serde_json::json!(held.capabilities)
    );
    let reader = ["CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_PTRACE"];
    assert_eq!(
        capabilities("file_reader_privileges"),
        serde_json::json!(reader)
    );
    assert_eq!(recorder.stop(), 0);
}

#[test]
fn metrics_file_agrees_with_the_history() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--host-record=web.test,{FAR4}")]);
    let port = net.http("x");
    let (dir, db) = history();
    let metrics = dir.path().join("egrets.prom");
    let record = |metrics: &Path| {
        let script = format!(
            "curl -s http://web.test:{port}/; curl -s http://{FAR4}:9/; curl -s http://nowhere.test/; true"
        );
        let mut egrets = egrets();
        egrets.arg("record").arg("--db").arg(&db);
        egrets.arg("--metrics-file").arg(metrics);
        egrets.args(["--", "ip", "netns", "exec", &net.near, "sh", "-c", &script]);
        egrets.output().unwrap()
    };
    let output = record(&metrics);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let file = fs::read_to_string(&metrics).unwrap();
    let found = read_metrics(&file, "prometheus");
    let lines = |sql| {
        let rows = sqlite3(&db, sql).into_iter();
        Vec::from_iter(rows.map(|row| format!("{} {} {}.0", row[0], row[1], row[2])))
    };
    let mut wanted = lines(
        "SELECT 'egrets_connections_total', format('outcome=%s,protocol=%s', outcome, protocol), count(*)
         FROM egress GROUP BY protocol, outcome",
    );
    assert_eq!(wanted.len(), 3, "{wanted:?}");
    wanted.extend(lines(
        "SELECT 'egrets_received_bytes_total', format('protocol=%s', protocol), sum(rx_bytes)
         FROM egress GROUP BY protocol",
    ));
    wanted.extend(lines(
        "SELECT 'egrets_lookups_total', format('rcode=%s,status=%s', rcode, status), count(*)
         FROM lookups GROUP BY rcode, status",
    ));
    wanted.extend(lines(
        "SELECT 'egrets_open_connections', '', count(*) FROM egress WHERE duration_us IS NULL",
    ));
    for line in wanted {
        assert!(found.lines().any(|found| found == line), "{line}:\n{found}");
    }
    assert_eq!(found_by_dashboard(&found, false), 9);
    assert_eq!(fs::metadata(&metrics).unwrap().mode() & 0o777, 0o644);
    let left = fs::read_dir(dir.path()).unwrap().flatten();
    let left = left.filter(|file| file.file_name().to_string_lossy().contains("metrics"));
    assert_eq!(left.count(), 0);

    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = record(&open.join("egrets.prom"));
    assert_eq!(code(&refused), 2);
    let said = text(&refused.stderr);
    assert!(said.contains("install -d -m 755"), "{said}");
}

/// A file in MaxMind's format, written by a library for it.
fn geo_file(path: &Path, networks: &[(&str, serde_json::Value)]) {
    use maxminddb_writer::paths::IpAddrWithMask;
    let mut database = maxminddb_writer::Database::default();
    database.metadata.ip_version = maxminddb_writer::metadata::IpVersion::V6;
    database.metadata.binary_format_major_version = 2;
    for (net, value) in networks {
        let data = database.insert_value(value).unwrap();
        database.insert_node(net.parse::<IpAddrWithMask>().unwrap(), data);
    }
    database.write_to(fs::File::create(path).unwrap()).unwrap();
}

#[test]
fn public_addresses_have_their_country_and_network_and_nat64_the_address_behind_it() {
    let net = Net::new();
    let port = net.http("x");
    for (ns, family, args) in [
        (&net.near, "-4", "route add 203.0.113.0/24 via 10.77.0.2"),
        (&net.far, "-4", "route add local 203.0.113.0/24 dev lo"),
        (&net.near, "-6", "route add 64:ff9b::/96 via fd77::2"),
        (&net.far, "-6", "route add local 64:ff9b::/96 dev lo"),
    ] {
        let ip = ["-n", ns, family].into_iter().chain(args.split(' '));
        run("ip", &Vec::from_iter(ip));
    }
    let (dir, db) = history();
    let geo = ["country", "asn"].map(|name| dir.path().join(name));
    let country = serde_json::json!({"country": {"iso_code": "DE"}});
    geo_file(&geo[0], &[("::203.0.113.0/120", country)]);
    let network = serde_json::json!({
        "autonomous_system_number": 64500,
        "autonomous_system_organization": "Example \u{1b}[31m",
    });
    geo_file(&geo[1], &[("::203.0.113.4/126", network)]);
    let mut record = egrets();
    record.args(["record", "--db"]).arg(&db);
    for file in &geo {
        record.arg("--geo").arg(file);
    }
    let connect = format!(
        "for to in 203.0.113.7 203.0.113.9 64:ff9b::cb00:7107 64:ff9b::a4d:2 {FAR4}; do {} tcp $to {port}; done",
        dial().display()
    );
    record.args(["--", "ip", "netns", "exec", &net.near, "sh", "-c", &connect]);
    ok(&mut record);
    let rows = select(
        &db,
        "SELECT dst_ip, dst_ipv4, dst_scope, dst_country, dst_asn, dst_as_org FROM egress ORDER BY id",
    );
    let org = "Example \u{1b}[31m";
    assert_eq!(
        rows,
        [
            ["203.0.113.7", "", "public", "DE", "64500", org],
            ["203.0.113.9", "", "public", "DE", "", ""],
            [
                "64:ff9b::cb00:7107",
                "203.0.113.7",
                "public",
                "DE",
                "64500",
                org
            ],
            ["64:ff9b::a4d:2", "10.77.0.2", "private", "", "", ""],
            [FAR4, "", "private", "", "", ""],
        ]
    );
    let ask = |question: &str| {
        let mut query = egrets();
        ok(query.args(["query", question, "--db"]).arg(&db))
    };
    let countries = ask("connections per country");
    assert!(
        countries.contains("DE ") && countries.contains(" 3 "),
        "{countries}"
    );
    let network = ask("connections to AS64500");
    assert_eq!(network.matches("dial ").count(), 2, "{network}");
    let explained = ok(egrets().args(["explain", "3", "--db"]).arg(&db));
    let place = "by NAT64 to 203.0.113.7, in DE, AS64500 (Example \\x1b[31m)";
    assert!(explained.contains(place), "{explained}");

    let text = dir.path().join("text");
    fs::write(&text, "no database").unwrap();
    let refused = egrets()
        .args(["watch", "--geo"])
        .arg(text)
        .output()
        .unwrap();
    assert_eq!(code(&refused), 2);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("is not a database in MaxMind's format")
    );
}
