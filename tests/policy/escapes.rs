//! Ways to be taken for another program, and to send by another's socket: each is refused.

use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;

use super::*;

/// Whether a process reached the address, or was refused by the policy.
fn is_refused(command: &mut Command) -> bool {
    let output = command.output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    let refused = said.contains("not permitted");
    assert!(
        refused || output.status.success() || said.contains("Connection refused"),
        "{command:?}: {said}"
    );
    refused
}

/// Gives the process that the command starts this pid, which no other has.
fn with_pid(command: &mut Command, pid: u32) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap();
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    let before = read(LAST);
    let found = eventually("the pid is free and used again", || {
        fs::write(LAST, (pid - 1).to_string()).unwrap();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        child.wait().unwrap();
        (id == pid).then_some(said)
    });
    fs::write(LAST, before.trim()).unwrap();
    found
}

#[test]
fn program_that_a_rule_allows_is_borrowed_by_no_copy_link_loader_namespace_or_pid() {
    const TO: &str = "10.77.1.140";
    let net = Net::new();
    net.many_addresses();
    let programs = Programs::new(&["a", "other"]);
    let a = programs.path("a");
    fs::hard_link(&a, programs.path("link")).unwrap();
    // a script's program is its interpreter
    let script = programs.0.join("script");
    fs::write(&script, format!("#!{}\n", programs.path("other"))).unwrap();
    let of_all = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(&script, of_all(0o755)).unwrap();
    let loader = fs::read_dir("/lib64").unwrap().flatten();
    let loader = loader.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("ld-linux")
    });
    let loader = loader.unwrap().to_str().unwrap().to_owned();

    let (dir, db) = history();
    let allow = format!("{{ name: own, who: {{ exe: {a} }}, to: [{TO}], action: allow }}");
    let block = format!("{{ name: others, to: [{TO}, 127.77.2.1], action: block }}");
    let recorder = start(
        &db,
        &policy(dir.path(), "allow", &[&allow, &block]),
        &["--enforce"],
    );
    let as_daemon = |words: &[&str]| {
        let mut command = net.command("setpriv");
        let uid = DAEMON.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]);
        command.args(words);
        command
    };
    assert!(!is_refused(&mut as_daemon(&[&a, "tcp", TO, "9"])));
    let other = programs.path("other");
    let bind = format!("mount --bind {other} {a} && exec {a} tcp {TO} 9");
    let mut ways: Vec<Vec<&str>> = vec![
        vec![&other, "tcp", TO, "9"],
        vec![&loader, &a, "tcp", TO, "9"],
        // by the program itself, from memory
        vec![&a, "memory", TO, "9"],
        vec![
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &bind,
        ],
    ];
    let link = programs.path("link");
    ways.push(vec![&link, "tcp", TO, "9"]);
    let shared = programs.0.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, of_all(0o777)).unwrap();
    let copy = programs.path("shared/copy");
    let copied = format!("cp {a} {copy} && exec {copy} tcp {TO} 9");
    ways.push(vec!["sh", "-c", &copied]);
    let named = format!("exec -a {a} {other} tcp {TO} 9");
    ways.push(vec!["bash", "-c", &named]);
    let script = programs.path("script");
    let scripted = format!("{script} tcp {TO} 9 2>&1 | grep -q usage; {other} tcp {TO} 9");
    ways.push(vec!["sh", "-c", &scripted]);
    // in namespaces of the process' own
    for kinds in [
        "--user",
        "--user --cgroup",
        "--user --pid --fork",
        "--user --uts --ipc",
    ] {
        let mut way = vec!["unshare", "--map-root-user"];
        way.extend(kinds.split(' '));
        way.extend([other.as_str(), "tcp", TO, "9"]);
        ways.push(way);
    }
    let inside = format!("ip link set lo up && exec {other} tcp 127.77.2.1 9");
    ways.push(vec![
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        &inside,
    ]);
    for way in &ways {
        assert!(is_refused(&mut as_daemon(way)), "{way:?}");
    }
    // the pid of one that has ended
    let run = |program: &str| {
        let mut command = Command::new(program);
        command.args(["tcp", TO, "9"]).uid(DAEMON);
        command
    };
    net.near(|| {
        let mut child = run(&a).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let said = with_pid(&mut run(&other), pid);
        assert!(said.contains("not permitted"), "{said}");
    });
    assert_eq!(recorder.stop(), 0);
}

/// One of the process' own threads, as another user.
fn as_daemon<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(DAEMON);
            run()
        });
        thread.join().unwrap()
    })
}

#[test]
fn socket_that_has_reached_another_place_or_was_passed_on_is_decided_anew() {
    const OPEN: &str = "10.77.1.144";
    const SHUT: &str = "10.77.1.145";
    const ROOTS: &str = "10.77.1.146";
    let net = Net::new();
    net.many_addresses();
    let port = net.http("x");
    let (dir, db) = history();
    let rules = policy(
        dir.path(),
        "allow",
        &[
            &format!("{{ name: shut, to: [{SHUT}], action: block }}"),
            &format!("{{ name: roots, who: {{ user: '!root' }}, to: [{ROOTS}], action: block }}"),
        ],
    );
    let recorder = start(&db, &rules, &["--enforce"]);
    // the error of a datagram before comes first
    let refused = |send: &dyn Fn() -> std::io::Result<usize>| {
        let errors = std::iter::repeat_with(|| send().expect_err("it is refused"));
        let error = errors
            .map(|e| e.raw_os_error())
            .find(|e| *e != Some(libc::ECONNREFUSED));
        assert_eq!(error, Some(Some(libc::EPERM)));
    };
    let at = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port);
    net.near(|| {
        // connected to no place again
        let unconnect = |socket: &Socket| {
            let none = libc::sockaddr {
                sa_family: libc::AF_UNSPEC as u16,
                sa_data: [0; 14],
            };
            // SAFETY: an address and its length.
            let failed = unsafe {
                let len = size_of_val(&none) as u32;
                libc::connect(std::os::fd::AsRawFd::as_raw_fd(socket), &none, len)
            };
            assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        };
        let udp = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        udp.connect(&at(OPEN, 9).into()).unwrap();
        udp.send(b"x").unwrap();
        unconnect(&udp);
        refused(&|| udp.send_to(b"x", &at(SHUT, 9).into()));
        let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        tcp.connect(&at(OPEN, port).into()).unwrap();
        unconnect(&tcp);
        refused(&|| tcp.connect(&at(SHUT, port).into()).map(|()| 0));

        // one more than the recorder has room for
        let crowded = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        for n in 0..4_200_u32 {
            let to = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 16, 0)) + n);
            let _ = crowded.send_to(b"x", &SocketAddr::new(to.into(), 9).into());
        }
        refused(&|| crowded.send_to(b"x", &at(SHUT, 9).into()));
        crowded.send_to(b"x", &at(OPEN, 9).into()).unwrap();

        // passed on through a Unix socket by root
        let roots = UdpSocket::bind("0.0.0.0:0").unwrap();
        roots.connect((ROOTS, 9)).unwrap();
        roots.send(b"x").unwrap();
        let (sends, gets) = UnixStream::pair().unwrap();
        park(&sends, &[&roots]);
        refused(&|| as_daemon(|| roots.send(b"x")));
        drop(roots);
        let got = UdpSocket::from(unpark(&gets));
        refused(&|| as_daemon(|| got.send(b"x")));
        assert!(got.send(b"x").is_ok());
    });
    assert_eq!(recorder.stop(), 0);
}

/// An association with a peer that has two addresses, one of which is shut.
pub fn sctp_reaches_no_second_address(net: &Net, open: &str, shut: &str) {
    const SCTP: i32 = libc::IPPROTO_SCTP;
    const PRIMARY_ADDR: i32 = 6; // include/uapi/linux/sctp.h
    const BINDX_ADD: i32 = 100;
    let counter = "table ip seen {
        counter open { }
        counter shut { }
        chain in {
            type filter hook prerouting priority -400
            ip daddr OPEN counter name open
            ip daddr SHUT counter name shut
        }
    }";
    let counter = counter.replace("OPEN", open).replace("SHUT", shut);
    run("ip", &["netns", "exec", &net.far, "nft", &counter]);
    let address = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port).into();
    let raw = |address: &socket2::SockAddr| {
        // SAFETY: the bytes of an address.
        unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), 16) }.to_vec()
    };
    let (listener, port) = net.far(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(SCTP.into())).unwrap();
        socket.bind(&address(open, 0)).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        set_option(&socket, SCTP, BINDX_ADD, &raw(&address(shut, port)));
        socket.listen(1).unwrap();
        (socket, port)
    });
    let near = Socket::new(Domain::IPV4, Type::STREAM, Some(SCTP.into())).unwrap();
    near.connect(&address(open, port)).unwrap();
    let (far, _) = listener.accept().unwrap();
    let mut primary = [&[0; 4][..], &raw(&address(shut, port))].concat();
    primary.resize(4 + size_of::<libc::sockaddr_storage>(), 0);
    set_option(&near, SCTP, PRIMARY_ADDR, &primary);
    for _ in 0..20 {
        near.send(b"x").unwrap();
        std::io::Read::read(&mut &far, &mut [0; 1]).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    let seen = |counter: &str| {
        let list = [
            "netns", "exec", &net.far, "nft", "list", "counter", "ip", "seen", counter,
        ];
        let said = run("ip", &list);
        said.split("packets ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            != "0"
    };
    assert_eq!([seen("open"), seen("shut")], [true, false]);
}
