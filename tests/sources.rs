//! Names from other sources than an answer from port 53: /etc/hosts, multicast DNS, LLMNR,
//! other ports, hints in HTTPS records; and sockets and processes that are older than the
//! recorder.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::*;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, ResourceRecord};
use socket2::{Domain, Socket, Type};

fn rows(db: &Path, sql: &str) -> Vec<Vec<String>> {
    select(db, sql)
}

const NONE: Vec<Vec<String>> = Vec::new();

// --- /etc/hosts --------------------------------------------------------------

/// Connects by name in a new mount namespace that lives long enough for its /etc/hosts to be
/// read: docs/limitations.md.
fn get(net: &Net, name: &str, port: &str) {
    let script = format!("sleep 0.5; {} get {name} {port}", dial().display());
    let output = net.command("sh").args(["-c", &script]).output();
    assert_eq!(code(&output.unwrap()), 0, "{name}");
}

fn write_hosts(net: &Net, lines: &str) {
    std::fs::write(format!("/etc/netns/{}/hosts", net.near), lines).unwrap();
}

#[test]
fn hosts_file_of_the_processes_mount_namespace_names_connections() {
    let nets = [Net::new(), Net::new()];
    let ports = nets.each_ref().map(|net| net.http("x").to_string());
    // "ip netns exec" makes a mount namespace with this file in it
    write_hosts(&nets[0], &format!("{FAR4}\tOne.test # a comment\n"));
    write_hosts(&nets[1], &format!("#\n{FAR4} two.test\n{FAR6} two.test\n"));
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let mut rate = Rate::new("/etc/hosts, a file for each mount namespace");
    for _ in 0..5 {
        for (net, (name, port)) in nets.iter().zip(["one.test", "two.test"].iter().zip(&ports)) {
            get(net, name, port);
        }
    }
    recorder.stop();
    let inodes = nets.each_ref().map(|net| net.near_inode().to_string());
    let sql = format!(
        "SELECT netns, host FROM egress WHERE protocol = 'tcp' AND dst_port > 1024 AND netns IN ({})
         AND host_source IS 'hosts' AND lookup_id IS NULL AND host_age_ms IS NULL",
        inodes.join(", ")
    );
    for row in rows(&db, &sql) {
        let of_first = row[0] == inodes[0];
        rate.count(&row[1], if of_first { "one.test" } else { "two.test" });
    }
    assert_eq!(
        value::<i64>(
            &db,
            &format!(
                "SELECT count(*) FROM egress WHERE dst_port IN ({}, {})",
                ports[0], ports[1]
            )
        ),
        10
    );
    rate.verdict();
}

#[test]
fn hosts_file_ranks_between_own_lookups_and_those_of_others() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x").to_string();
    write_hosts(&net, &format!("{FAR4} file.test alias.test\n"));
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    get(&net, "asked.test", &port);
    get(&net, "file.test", &port);
    recorder.stop();
    let sql = format!(
        "SELECT host, host_source, host_rivals FROM egress WHERE dst_port = {port} ORDER BY id"
    );
    assert_eq!(
        rows(&db, &sql),
        [["asked.test", "process", "0"], ["file.test", "hosts", "1"]]
    );
    assert_eq!(
        rows(
            &db,
            &format!(
                "SELECT r.host, r.lookup_id FROM rivals r JOIN egress e ON e.id = r.connection_id
                 WHERE dst_port = {port}"
            )
        ),
        [["alias.test", ""]]
    );
}

/// The reader of files is stopped meanwhile.
#[test]
fn hosts_file_that_is_read_late_names_its_processes_connections() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x").to_string();
    write_hosts(&net, &format!("{FAR4} file.test\n"));
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    get(&net, "asked.test", &port);
    let reader = recorder.child("file-reader").to_string();
    let of_file = format!("dst_port = {port} AND cmdline LIKE '%file.test%'");
    let count =
        |filter: &str| value::<i64>(&db, &format!("SELECT count(*) FROM egress WHERE {filter}"));
    // a file that takes longer than 3 s is given up
    for attempt in 1..10 {
        run("kill", &["-STOP", &reader]);
        let script = format!(
            "sleep 0.3; {} get file.test {port}; sleep 4",
            dial().display()
        );
        let mut client = net.command("sh").args(["-c", &script]).spawn().unwrap();
        eventually("a row", || (count(&of_file) == attempt).then_some(()));
        run("kill", &["-CONT", &reader]);
        client.wait().unwrap();
        if count(&format!(
            "{of_file} AND host = 'file.test' AND host_source = 'hosts'"
        )) > 0
        {
            break;
        }
    }
    recorder.stop();
    let named = format!("{of_file} AND host = 'file.test' AND lookup_id IS NULL");
    assert_eq!(count(&named), 1);
    assert_eq!(count("host = 'asked.test' AND dst_port > 53"), 1);
}

#[test]
fn hostile_hosts_file_only_costs_names() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let path = |name: &str| dir.path().join(name).display().to_string();
    run("mkfifo", &[&path("fifo")]);
    std::os::unix::fs::symlink("/proc/kmsg", path("link")).unwrap();
    let huge = format!("{FAR4} huge.test\n").repeat(1 << 16) + &"x".repeat(1 << 22);
    std::fs::write(path("huge"), huge).unwrap();
    let bytes = [
        b"\xff\xfe\x00 \x1b[31m\n",
        FAR4.as_bytes(),
        b" \x1b]0;evil\x07\n",
    ]
    .concat();
    std::fs::write(path("bytes"), bytes).unwrap();
    let files = ["fifo", "bytes", "huge"].map(path);
    let files = files.into_iter().chain(["/dev/zero".to_string()]);
    let dial = format!("{} tcp {FAR4} {port}", dial().display());
    let script: String = files
        .map(|file| {
            // a separate exec, in a new mount namespace
            format!("unshare -m sh -c 'mount --bind {file} /etc/hosts && exec {dial}' || exit; ")
        })
        .collect();
    let output = net.record(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let sql = format!("SELECT coalesce(host, '-') FROM egress WHERE dst_port = {port} ORDER BY id");
    let hosts = rows(&db, &sql).concat();
    assert_eq!(hosts[0], "-", "a fifo");
    assert!(!hosts[1].contains('\x1b'), "{hosts:?}");
    // read in part, or given up after a while
    assert!(["huge.test", "-"].contains(&hosts[2].as_str()), "{hosts:?}");
    assert_eq!(hosts[3], "-", "/dev/zero");
}

/// What an unprivileged user puts in the place of /etc/hosts, in a mount namespace of their own.
#[test]
fn hosts_file_is_read_with_the_rights_of_its_user_and_without_following_links() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let line = |name: &str| format!("{FAR4} {name}\n");
    std::fs::write(path("secret"), line("secret.test")).unwrap();
    std::fs::set_permissions(path("secret"), Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path("own"), line("own.test")).unwrap();
    let places = [
        // what is in place, and the name that it gives
        (format!("ln -s {} /etc/hosts", path("secret")), "-"),
        (
            format!(
                "touch /etc/hosts; mount --bind {} /etc/hosts",
                path("secret")
            ),
            "-",
        ),
        ("ln -s /proc/kmsg /etc/hosts".to_string(), "-"),
        (format!("ln -s {} /etc/hosts", path("own")), "-"),
        ("mkfifo /etc/hosts".to_string(), "-"),
        (
            "touch /etc/hosts; mount --bind /proc/self/environ /etc/hosts".to_string(),
            "-",
        ),
        (format!("cp {} /etc/hosts", path("own")), "own.test"),
        (
            format!("touch /etc/hosts; mount --bind {} /etc/hosts", path("own")),
            "own.test",
        ),
    ];
    // A connection waits for the file only as long as its user's budget lasts, which on a busy
    // machine these files use up; the second finds what was read since.
    let dial = format!("{} tcp {FAR4} {port}", dial().display());
    let script: String = places
        .iter()
        .map(|(place, _)| {
            format!(
                "setpriv --reuid=12345 --regid=12345 --clear-groups unshare -Urm sh -c \
                 'mount -t tmpfs t /etc && {{ {place}; }} && {dial} && sleep 0.5 && {dial}' || exit; "
            )
        })
        .collect();
    let (_dir, db) = history();
    let output = net.observe(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let sql = format!("SELECT coalesce(host, '-') FROM egress WHERE dst_port = {port} ORDER BY id");
    let names = rows(&db, &sql).concat();
    let (pairs, rest) = names.as_chunks::<2>();
    assert!(rest.is_empty(), "{names:?}");
    for [first, second] in pairs {
        assert!(first == "-" || first == second, "{names:?}");
    }
    let seconds: Vec<&str> = pairs.iter().map(|[_, second]| second.as_str()).collect();
    assert_eq!(seconds, places.map(|(_, name)| name));
}

/// A mount namespace with this file in the place of /etc/hosts.
fn with_hosts_file(file: &Path) -> MountNamespace {
    let file = file.display().to_string();
    let mount = || drop(run("mount", &["--bind", &file, "/etc/hosts"]));
    MountNamespace::new(mount)
}

/// Runs a command to its end in the near network, but with the mounts that it has, while the reader
/// of files is stopped.
fn unread(recorder: &Recorder, net: &Net, mut command: Command) {
    let reader = recorder.child("file-reader").to_string();
    run("kill", &["-STOP", &reader]);
    // until all that it has started has closed its output
    let output = net.near(|| command.output().unwrap());
    run("kill", &["-CONT", &reader]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

fn as_user(uid: u32, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={uid}"), format!("--regid={uid}")];
    command.args(ids).arg("--clear-groups").args(args);
    command
}

/// As in a container with the host's pid namespace, or in a unit with a file system of its own.
#[test]
fn recorder_in_another_mount_namespace_reads_the_hosts_files_without_the_process() {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt"));
    // a kernel thread's, where the first process may not be looked at
    let host = namespace("1").or_else(|_| namespace("2")).unwrap();
    assert_eq!(namespace("self").unwrap(), host, "the host's is needed");
    let of_host = std::fs::read_to_string("/etc/hosts").unwrap();
    let mut lines = of_host.lines().map(str::split_whitespace);
    let name = lines.find_map(|mut words| (words.next()? == "127.0.0.1").then(|| words.next())?);
    let name = name.expect("a name of 127.0.0.1 in /etc/hosts");
    let net = Net::new();
    let listener = net.near(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let (_dir, db) = history();
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let (programs, hosts) = (dir.path().join("bin"), dir.path().join("hosts"));
    std::fs::create_dir(&programs).unwrap();
    std::fs::copy(dial(), programs.join("dial")).unwrap();
    std::fs::write(&hosts, "127.0.0.1 recorder.test\n").unwrap();
    let container = with_hosts_file(&hosts);
    let programs = programs.display().to_string();
    container.inside(|| run("mount", &["-t", "tmpfs", "none", &programs]));
    let recorder = Recorder::start_with(&db, &[], container.within(egrets()));
    // its parent ends at once, too
    let script = format!("{programs}/dial tcp 127.0.0.1 {port} & exit");
    for uid in [0, 12345] {
        unread(&recorder, &net, as_user(uid, &["sh", "-c", &script]));
    }
    let sql = format!(
        "SELECT uid, host, host_source, exe_hash_status FROM egress WHERE dst_port = {port}
         AND exe_hash_status IS NOT NULL ORDER BY uid"
    );
    let rows = eventually("two connections", || {
        let rows = rows(&db, &sql);
        (rows.len() == 2).then_some(rows)
    });
    let expected = ["0", "12345"].map(|uid| [uid, name, "hosts", "hashed"]);
    assert_eq!(rows, expected);
    recorder.stop();
}

#[test]
fn hosts_file_is_read_through_any_process_that_stays_in_its_mount_namespace() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let stays = |namespace: &MountNamespace| {
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        Guard(namespace.within(sleep).spawn().unwrap())
    };
    let (older, newer) = (dir.path().join("older"), dir.path().join("newer"));
    std::fs::write(&older, format!("{FAR4} older.test\n")).unwrap();
    std::fs::write(&newer, format!("{FAR4} before.test\n")).unwrap();
    let before = with_hosts_file(&older);
    let _older = stays(&before);
    let recorder = Recorder::start(&db, &[]);
    let since = with_hosts_file(&newer);
    let _newer = stays(&since);
    // more than are remembered
    for _ in 0..20 {
        ok(&mut since.within(Command::new("true")));
    }
    std::fs::write(&newer, format!("{FAR4} newer.test\n")).unwrap();
    let dial = dial().display().to_string();
    for namespace in [&before, &since] {
        for uid in [0, 12345] {
            let connects = as_user(uid, &[&dial, "tcp", FAR4, &port]);
            unread(&recorder, &net, namespace.within(connects));
        }
    }
    let sql = format!(
        "SELECT uid, host, host_source FROM egress WHERE dst_port = {port} AND host IS NOT NULL
         ORDER BY id"
    );
    let rows = eventually("four names", || {
        let rows = rows(&db, &sql);
        (rows.len() == 4).then_some(rows)
    });
    let expected =
        ["older.test", "newer.test"].map(|name| [["0", name, "hosts"], ["12345", name, "hosts"]]);
    assert_eq!(rows, expected.concat());
    recorder.stop();
}

// --- other protocols and ports -------------------------------------------------------

/// A neighbour that answers queries to a multicast group.
fn neighbour(net: &Net, group: [u8; 4], port: u16, reply: fn(&Packet) -> (Vec<u8>, bool)) {
    for ns in [&net.near, &net.far] {
        run(
            "ip",
            &["-n", ns, "route", "add", "224.0.0.0/4", "dev", "up0"],
        );
    }
    let socket = net.far(move || {
        let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
        let far = FAR4.parse().unwrap();
        socket
            .join_multicast_v4(&Ipv4Addr::from(group), &far)
            .unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        socket
    });
    std::thread::spawn(move || {
        let mut data = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut data) {
            let Ok(question) = Packet::parse(&data[..length]) else {
                continue;
            };
            let (answer, to_all) = reply(&question);
            let to = if to_all {
                SocketAddr::from((group, port))
            } else {
                from
            };
            let _ = socket.send_to(&answer, to);
        }
    });
}

/// An answer as servers send it: with the id and the question.
fn answered(question: &Packet) -> Packet<'static> {
    let name = question.questions[0].qname.clone().into_owned();
    let mut packet = Packet::new_reply(question.id());
    packet
        .questions
        .push(question.questions[0].clone().into_owned());
    let address = RData::A(A {
        address: FAR4.parse::<Ipv4Addr>().unwrap().into(),
    });
    packet
        .answers
        .push(ResourceRecord::new(name, CLASS::IN, 60, address));
    packet
}

fn ask_and_compare(
    net: &Net,
    case: &'static str,
    options: &[&str],
    args: &[&str],
) -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, db) = history();
    let recorder = Recorder::start(&db, options);
    let output = net.command(ask()).args(args).output().unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    recorder.stop();
    let mut rate = Rate::new(case);
    rate.compare(&db, &text(&output.stdout));
    rate.verdict();
    (dir, db)
}

#[test]
fn multicast_dns_answers_match_by_name_from_any_responder() {
    let net = Net::new();
    let port = net.farewell(false).to_string();
    neighbour(&net, [224, 0, 0, 251], 5353, |question| {
        // RFC 6762 section 6.7: a query from another port is answered as by a unicast server
        let legacy = question.id() != 0;
        let mut answer = answered(question);
        if !legacy {
            answer.questions.clear();
        }
        (answer.build_bytes_vec().unwrap(), !legacy)
    });
    for (case, way) in [
        ("multicast DNS, answered by multicast", "mdns"),
        ("multicast DNS, asked as of a server", "multicast"),
    ] {
        let names = ["printer.local", "scanner.local", "printer.local"];
        let args = [&[way, "224.0.0.251:5353", &port][..], &names].concat();
        let (_dir, db) = ask_and_compare(&net, case, &[], &args);
        let sql = "SELECT DISTINCT status, qname, server_ip, server_port FROM dns WHERE comm = 'ask' AND qname LIKE '%.local' ORDER BY qname";
        let asked = ["answered", "printer.local", "224.0.0.251", "5353"];
        assert_eq!(rows(&db, sql)[0], asked);
    }
}

#[test]
fn llmnr_answers_match_from_any_responder() {
    let net = Net::new();
    let port = net.farewell(false).to_string();
    neighbour(&net, [224, 0, 0, 252], 5355, |question| {
        (answered(question).build_bytes_vec().unwrap(), false)
    });
    let args = ["multicast", "224.0.0.252:5355", &port, "nas", "desk", "nas"];
    let (_dir, db) = ask_and_compare(&net, "LLMNR", &[], &args);
    let sql = "SELECT DISTINCT status, server_ip, server_port FROM dns WHERE comm = 'ask' AND qname IN ('nas', 'desk')";
    assert_eq!(rows(&db, sql), [["answered", "224.0.0.252", "5355"]]);
}

#[test]
fn configured_dns_ports_are_parsed() {
    let mut net = Net::new();
    net.dnsmasq(&["--port=5453", &format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    for way in ["connected", "tcp"] {
        let args = [way, "10.77.0.2:5453", &port, "a.test", "b.test"];
        let case = "a name server on another port (--dns-port)";
        ask_and_compare(&net, case, &["--dns-port", "5453"], &args);
    }
    // without the option it is ordinary traffic
    let (_dir, db) = history();
    let args = ["connected", "10.77.0.2:5453", &port, "a.test"];
    let ask = ask();
    let output = net.observe(&db, &[&[ask.to_str().unwrap()][..], &args].concat());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert_eq!(value::<i64>(&db, "SELECT count(*) FROM dns"), 0);
}

#[test]
fn address_hints_of_https_records_name_connections() {
    let mut net = Net::new();
    // RFC 9460: priority 1, target ".", ipv4hint (4), of four bytes
    let hint = "0001 00 0004 0004 0a4d0002".replace(' ', "");
    net.dnsmasq(&[&format!("--dns-rr=svc.test,65,{hint}"), "--local=/test/"]);
    let port = net.farewell(false).to_string();
    let (_dir, db) = history();
    let script =
        format!("dig +tries=1 @{FAR4} svc.test TYPE65 >/dev/null; exec 3<>/dev/tcp/{FAR4}/{port}");
    let mut rate = Rate::new("address hints of HTTPS records");
    let output = net.observe(&db, &["bash", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let sql = format!("SELECT host FROM egress WHERE dst_port = {port}");
    rate.count(&rows(&db, &sql)[0][0], "svc.test");
    rate.verdict();
}

// --- older than the recorder -------------------------------------------------------

/// A client that has opened its socket and waits.
struct Waiting {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Waiting {
    fn start(net: &Net, program: std::path::PathBuf, args: &[&str]) -> Waiting {
        let mut child = net
            .command(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Waiting { child, stdout }
    }

    /// Lets it continue. Returns its output.
    fn go(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

#[test]
fn sockets_older_than_the_recorder_are_adopted_and_their_answers_name() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let held = [("held", "udp"), ("tcp-held", "tcp")].map(|(way, protocol)| {
        let name = format!("{protocol}.test");
        let args = [way, "10.77.0.2:53", &port, &name];
        (Waiting::start(&net, ask(), &args), protocol)
    });
    let talking = Waiting::start(&net, dial(), &["hold", FAR4, &port]);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let mut rate = Rate::new("resolved over a socket that is older than the recorder");
    for (client, _) in held {
        let said = client.go();
        eventually("the row", || {
            let sql = format!(
                "SELECT count(*) FROM egress WHERE src_port = {}",
                said.split(' ').nth(1)?
            );
            (value::<i64>(&db, &sql) == 1).then_some(())
        });
        rate.compare(&db, &said);
    }
    talking.go();
    recorder.stop();
    rate.verdict();

    let near = net.near_inode();
    let sql = format!(
        "SELECT comm, protocol, dst_ip, dst_port, outcome, latency_us, exe LIKE '%/' || comm, cmdline LIKE '%' || comm || '%',
            rx_bytes IS NOT NULL
         FROM egress WHERE already_open AND netns = {near} ORDER BY protocol, comm"
    );
    assert_eq!(
        rows(&db, &sql),
        [
            ["ask", "tcp", FAR4, "53", "connected", "", "1", "1", "1"],
            ["dial", "tcp", FAR4, &port, "connected", "", "1", "1", "1"],
            ["ask", "udp", FAR4, "53", "sent", "", "1", "1", "1"],
        ]
    );
    // the other ends of these connections are on this machine too, and are not egress
    let far = net.far_inode();
    let sql =
        format!("SELECT comm, dst_ip, dst_port FROM egress WHERE already_open AND netns = {far}");
    assert_eq!(rows(&db, &sql), NONE);
}

/// A connection of a user, and a socket that listens on its port, as an accepted one has.
fn connect_and_listen(net: &Net, port: u16) -> (TcpStream, TcpListener) {
    let reusing = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
    };
    net.near(|| {
        become_user(4321);
        let stream = reusing();
        let to: SocketAddr = format!("{FAR4}:{port}").parse().unwrap();
        stream.connect(&to.into()).unwrap();
        let listener = reusing();
        listener.bind(&stream.local_addr().unwrap()).unwrap();
        listener.listen(1).unwrap();
        (stream.into(), listener.into())
    })
}

#[test]
fn connections_that_no_process_has_as_the_recorder_starts_belong_to_who_uses_them() {
    let net = Net::new();
    let port = net.http("x");
    let (held, _on_its_port) = connect_and_listen(&net, port);
    let (hold, take) = UnixStream::pair().unwrap();
    let mut listeners = Vec::new();
    let sources = [(); 3].map(|()| {
        let (parked, listener) = connect_and_listen(&net, port);
        listeners.push(listener);
        park(&hold, &[&parked]);
        parked.local_addr().unwrap().port()
    });
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let row = |source: u16| {
        let sql = format!(
            "SELECT pid, comm, uid, outcome, already_open, tx_bytes, duration_us IS NOT NULL
             FROM egress WHERE src_port = {source} AND netns = {}",
            net.near_inode()
        );
        rows(&db, &sql)
    };
    let own = std::process::id().to_string();
    let unknown = ["0", "unknown", "4321", "connected", "1", "", "0"];
    for source in sources {
        eventually("the row", || (row(source) == [unknown]).then_some(()));
    }
    let [one, other, reset] = sources;
    // sock_diag(7) sends in its caller's context, and holds the lock of the socket
    ok(net
        .command("ss")
        .args(["-K", "src", &format!("{NEAR4}:{reset}")]));
    eventually("the end of the one that is reset", || {
        (row(reset)[0][6] == "1").then_some(())
    });
    assert_eq!(row(reset)[0][..3], ["0", "unknown", "4321"]);
    let mut taken = TcpStream::from(unpark(&take));
    let source = taken.local_addr().unwrap().port();
    assert_eq!(source, one);
    taken.write_all(&[b'x'; 1234]).unwrap();
    eventually("its process", || {
        let row = row(one);
        (row[0][0] == own && row[0][2] == "0" && row[0][5] == "1234").then_some(())
    });
    drop(taken);
    eventually("its end", || (row(one)[0][6] == "1").then_some(()));
    assert_eq!(row(one).len(), 1);
    assert_eq!(row(other), [unknown]);
    // with what it is on its way through: who closes it has not used it
    drop((hold, take));
    eventually("the other's end", || {
        (row(other)[0][6] == "1").then_some(())
    });
    assert_eq!(row(other)[0][..3], ["0", "unknown", "4321"]);
    // any user may listen on the port of their connection
    let kept = row(held.local_addr().unwrap().port());
    assert_eq!((&*kept[0][0], &*kept[0][4]), (&*own, "1"), "{kept:?}");
    assert_eq!(recorder.stop(), 0);
    let accepted = format!(
        "SELECT count(*) FROM egress WHERE netns = {}",
        net.far_inode()
    );
    assert_eq!(value::<i64>(&db, &accepted), 0);
    let lost = "SELECT lost FROM gaps WHERE kind IN ('owner', 'socket')";
    assert_eq!(select(&db, lost), NONE);
}

#[test]
fn names_resolved_before_the_recording_are_missing_and_not_wrong() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let before = Waiting::start(&net, dial(), &["later", "old.test", &port]);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    before.go();
    recorder.stop();
    let mut rate = Rate::new("resolved before the recording");
    let sql = format!("SELECT host FROM egress WHERE dst_port = {port}");
    rate.count(&rows(&db, &sql)[0][0], "old.test");
    rate.verdict_some_missing();
}

/// Sends a query for own.test to a server, and connects without waiting for the answer.
const ASKS_IN_VAIN: &str = r#"
exec 3<>/dev/udp/$1/53
printf '\0\1\1\0\0\1\0\0\0\0\0\0\3own\4test\0\0\1\0\1' >&3
[ $2 = open ] || exec 3>&-
exec 4<>/dev/tcp/$3/$4
"#;

#[test]
fn process_whose_own_answer_was_not_seen_gets_no_name_from_anothers_lookup() {
    // no host has this address
    const SILENT: &str = "10.77.0.9";
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recording = Recording::start(&net);
    ok(net
        .command(ask())
        .args(["connected", "10.77.0.2:53", "0", "another.test"]));
    ok(net.command(dial()).args(["tcp", FAR4, &port]));
    for then in ["open", "closed"] {
        ok(net
            .command("bash")
            .args(["-c", ASKS_IN_VAIN, "bash", SILENT, then, FAR4, &port]));
    }
    recording.save(&db);
    let sql =
        format!("SELECT comm, host, host_source FROM egress WHERE dst_port = {port} ORDER BY id");
    assert_eq!(
        rows(&db, &sql),
        [
            ["dial", "another.test", "netns"],
            ["bash", "", ""],
            ["bash", "", ""]
        ]
    );
}

#[test]
fn process_older_than_the_recorder_gets_names_from_later_lookups() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let before = Waiting::start(&net, dial(), &["wait", "new.test", &port]);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    before.go();
    recorder.stop();
    let mut rate = Rate::new("a process older than the recorder");
    let sql = format!("SELECT host FROM egress WHERE dst_port = {port} AND exe LIKE '%/dial'");
    rate.count(&rows(&db, &sql)[0][0], "new.test");
    rate.verdict();
}

// --- flows and raw addresses -------------------------------------------------

#[test]
fn udp_flow_is_one_named_row_with_packet_counts() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.echo().to_string();
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    let count = volume(300).to_string();
    // as QUIC clients do: many datagrams over a connected or an unconnected socket
    let script = format!(
        "{dial} udp quic.test {port} {count} 1200 && {dial} udp-to quic.test {port} {count} 1200"
    );
    let output = net.observe(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let sql = format!(
        "SELECT host, tx_packets, rx_packets, tx_bytes, rx_bytes FROM egress WHERE dst_port = {port}"
    );
    let bytes = (volume(300) * 1200).to_string();
    let flow = ["quic.test", &count, &count, &bytes, &bytes];
    assert_eq!(rows(&db, &sql), [flow, flow]);
    let mut rate = Rate::new("UDP flows, connected and unconnected");
    for row in rows(&db, &sql) {
        rate.count(&row[0], "quic.test");
    }
    rate.verdict();
}

#[test]
fn address_without_a_lookup_has_no_name() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    // another process's name for another address of the host does not count
    let script = format!("{dial} tcp a.test {port}; {dial} tcp {FAR6} {port}");
    let output = net.observe(&db, &["sh", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let mut rate = Rate::new("no DNS at all: a raw address");
    let sql =
        format!("SELECT coalesce(host, 'none') FROM egress WHERE dst_port = {port} AND family = 6");
    rate.count(&rows(&db, &sql)[0][0], "none");
    rate.verdict();
}
