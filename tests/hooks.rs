//! The hook sets: the outcome of every kind of attempt with each of them, and the output of
//! `egrets check`. `make test-kernels` runs this on other
//! kernels with each set.

use std::collections::VecDeque;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::*;
use libbpf_rs::libbpf_sys;
use socket2::SockRef;

/// Blocking in the main thread, in another one, non-blocking, by sendmsg, as MPTCP, by
/// io_uring.
const WAYS: [&str; 6] = [
    "blocking",
    "thread",
    "nonblocking",
    "fastopen",
    "mptcp",
    "uring",
];

/// A cgroup with a policy of its own.
struct PolicyCgroup {
    dir: PathBuf,
}

impl PolicyCgroup {
    /// One whose policy refuses every connection.
    fn denying(name: &str) -> PolicyCgroup {
        let (dir, cgroup) = PolicyCgroup::make(name);
        // mov64 r0, 0; exit
        let program = [0xb7, 0x95];
        let kind = libbpf_sys::BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
        attach(
            &cgroup,
            &program,
            kind,
            libbpf_sys::BPF_CGROUP_INET4_CONNECT,
        );
        attach(
            &cgroup,
            &program,
            kind,
            libbpf_sys::BPF_CGROUP_INET6_CONNECT,
        );
        PolicyCgroup { dir }
    }

    /// One whose own program keeps ending what other programs have requested of its sockets.
    fn clearing(name: &str) -> PolicyCgroup {
        let (dir, cgroup) = PolicyCgroup::make(name);
        let clear = u64::from(libbpf_sys::BPF_FUNC_sock_ops_cb_flags_set) << 32 | 0x85;
        // mov64 r2, 0; call; mov64 r0, 1; exit
        let program = [0x02b7, clear, 1 << 32 | 0xb7, 0x95];
        let kind = libbpf_sys::BPF_PROG_TYPE_SOCK_OPS;
        attach(&cgroup, &program, kind, libbpf_sys::BPF_CGROUP_SOCK_OPS);
        PolicyCgroup { dir }
    }

    fn make(name: &str) -> (PathBuf, fs::File) {
        let dir = cgroup2().join(name);
        fs::create_dir_all(&dir).unwrap();
        let cgroup = fs::File::open(&dir).unwrap();
        (dir, cgroup)
    }

    /// A line of a shell's script, which moves the shell there.
    fn enter(&self) -> String {
        format!("wait\necho $$ > {}/cgroup.procs\n", self.dir.display())
    }
}

impl Drop for PolicyCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Attaches a program for as long as the cgroup is there.
fn attach(cgroup: &fs::File, program: &[u64], of_type: u32, kind: u32) {
    let mut opts = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: kind,
        ..Default::default()
    };
    // SAFETY: valid instructions, each eight bytes, and names that end with NUL.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            of_type,
            c"policy".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr().cast(),
            program.len() as u64,
            &mut opts,
        )
    };
    assert!(fd > 0, "{}", std::io::Error::last_os_error());
    let multi = libbpf_sys::BPF_F_ALLOW_MULTI;
    // SAFETY: both descriptors are open.
    let failed = unsafe { libbpf_sys::bpf_prog_attach(fd, cgroup.as_raw_fd(), kind, multi) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

/// The same attempts every time, all at once: each way to each fate.
struct Attempts {
    net: Net,
    denying: PolicyCgroup,
    clearing: PolicyCgroup,
    script: String,
    count: usize,
}

impl Attempts {
    fn new() -> Attempts {
        let net = Net::new();
        let ip = |args: &str| {
            let args: Vec<&str> = args.split(' ').collect();
            ok(Command::new("ip").args(["-n", &net.near]).args(args));
        };
        for route in [
            "route add prohibit 192.0.2.0/24",
            "route add unreachable 203.0.113.0/24",
            "-6 route add prohibit 2001:db8:1::/48",
            // a neighbour that never answers
            "neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev up0",
            "neigh add fd77::9 lladdr 02:00:00:00:00:09 dev up0",
        ] {
            ip(route);
        }
        ok(net
            .command("sysctl")
            .args(["-qw", "net.ipv4.tcp_syn_retries=1"]));
        ok(net.command("nft").arg(
            "table inet t {
                chain out {
                    type filter hook output priority 0
                    tcp dport 81 drop
                    tcp dport 82 reject with tcp reset
                    tcp dport 83 reject with icmpx admin-prohibited
                }
            }",
        ));
        let (closing, resetting) = (net.farewell(false), net.farewell(true));
        let mut tries = Vec::new();
        for way in WAYS {
            for to in [
                format!("{FAR4} {closing}"),
                format!("{FAR6} {closing}"),
                format!("::ffff:{FAR4} {closing}"),
                format!("{FAR4} {resetting}"),
                format!("{FAR6} {resetting}"),
                format!("{FAR4} 1"),
                format!("{FAR6} 1"),
                format!("::ffff:{FAR4} 1"),
                "192.0.2.1 80".into(),
                "203.0.113.1 80".into(),
                "198.51.100.1 80".into(),
                "2001:db8:1::1 80".into(),
                "2001:db8:2::1 80".into(),
                "10.77.0.9 80".into(),
                "fd77::9 80".into(),
                format!("{FAR4} 81"),
                format!("{FAR4} 82"),
                format!("{FAR4} 83"),
                format!("{FAR6} 83"),
            ] {
                tries.push(format!("{way} {to}"));
            }
        }
        tries.push(format!("taken {FAR4} {closing}"));
        tries.push(format!("taken {FAR6} {closing}"));
        tries.push("cancelled 10.77.0.9 80".into());
        let denying = PolicyCgroup::denying(&net.near);
        let clearing = PolicyCgroup::clearing(&format!("{}-clearing", net.near));
        let dial = dial();
        let start = |one: &String| {
            let dial = dial.display();
            format!("{dial} try {one} & p=\"$p $!\"\n")
        };
        // A few at a time: a kretprobe follows ten threads at once. Those that take
        // seconds then go on beside the others.
        let (slow, quick): (Vec<_>, Vec<_>) = tries.into_iter().partition(|one| {
            one.contains("::9 80") || one.contains(".9 80") || one.ends_with(" 81")
        });
        let mut script = String::new();
        for few in slow.chunks(4) {
            script.extend(few.iter().map(start));
            script += "sleep 0.5\n";
        }
        let refused = WAYS.iter().flat_map(|way| {
            [FAR4, FAR6].map(|ip| format!("{way} {ip} 9")) // in the cgroup that refuses
        });
        let refused: Vec<String> = refused.collect();
        let cleared = net.farewell(false);
        let cleared = vec![
            format!("blocking {FAR4} {cleared}"),
            format!("nonblocking {FAR6} {cleared}"),
            format!("blocking {FAR6} 2"),
            "blocking 192.0.2.1 2".into(),
        ];
        let count = slow.len() + quick.len() + refused.len() + cleared.len();
        for (first, tries) in [
            (String::new(), quick),
            (denying.enter(), refused),
            (clearing.enter(), cleared),
        ] {
            script += &first;
            for few in tries.chunks(4) {
                script += "p=\n";
                script.extend(few.iter().map(start));
                script += "wait $p\n";
            }
        }
        Attempts {
            net,
            denying,
            clearing,
            script,
            count,
        }
    }

    /// Not through 'ip netns exec', which hides the cgroups.
    fn command(&self) -> [String; 5] {
        let namespace = format!("--net=/run/netns/{}", self.net.near);
        let script = self.script.clone();
        [
            "nsenter".into(),
            namespace,
            "sh".into(),
            "-c".into(),
            script,
        ]
    }

    /// Makes them. Returns what each process saw: (attempt, errno).
    fn observe(&self, db: &Path) -> Vec<(String, i32)> {
        let recording = Recording::start(&self.net);
        let [program, args @ ..] = self.command();
        let output = Command::new(program).args(args).output().unwrap();
        // what the kernel missed is stored some batches later
        thread::sleep(Duration::from_secs(1));
        recording.save(db);
        self.results(&output)
    }

    /// The same with a recorder for them alone.
    fn record(&self, db: &Path, hooks: &[&str]) -> Vec<(String, i32)> {
        let output = egrets()
            .args(["record", "--db"])
            .arg(db)
            .args(hooks)
            .arg("--")
            .args(self.command())
            .output()
            .unwrap();
        self.results(&output)
    }

    fn results(&self, output: &Output) -> Vec<(String, i32)> {
        assert_eq!(code(output), 0, "{}", text(&output.stderr));
        assert!(self.denying.dir.exists() && self.clearing.dir.exists());
        let mut said = Vec::new();
        assert_eq!(text(&output.stdout).lines().count(), self.count);
        for line in text(&output.stdout).lines() {
            let (attempt, errno) = line.rsplit_once(' ').unwrap();
            if errno == "absent" {
                let mptcp = Path::new("/proc/sys/net/mptcp");
                assert!(attempt.starts_with("mptcp ") && !mptcp.exists(), "{line}");
                continue;
            }
            let errno = errno.parse().unwrap_or_else(|_| panic!("{line}"));
            // io_uring of 5.10 gives up where an ICMP error wakes it, while the attempt goes on.
            if attempt.starts_with("uring ") && errno == libc::EALREADY {
                continue;
            }
            said.push((attempt.to_string(), errno));
        }
        said.sort();
        said
    }
}

fn name(errno: i32) -> &'static str {
    match errno {
        0 => "",
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNRESET => "ECONNRESET",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        other => panic!("errno {other} was not expected"),
    }
}

/// Outcome and errno to expect of an attempt that ended so.
fn expected(attempt: &str, errno: i32) -> (&'static str, &'static str) {
    if attempt.starts_with("cancelled ") {
        return ("failed", "");
    }
    let outcome = match errno {
        0 => "connected",
        libc::EPERM | libc::EACCES => "denied",
        libc::ENETUNREACH | libc::EHOSTUNREACH => "unreachable",
        libc::ECONNRESET => "reset",
        libc::ETIMEDOUT => "timeout",
        libc::ECONNREFUSED => "refused",
        _ => "failed",
    };
    (outcome, name(errno))
}

/// Whether it makes no change of state, so that only a return reports it. What the firewall
/// rejects comes back as a packet.
fn fails_at_once(attempt: &str, errno: i32) -> bool {
    let at_once = matches!(
        errno,
        libc::EPERM | libc::EACCES | libc::EADDRNOTAVAIL | libc::ENETUNREACH | libc::EHOSTUNREACH
    );
    at_once && !attempt.ends_with(" 83")
}

/// Whether the tracepoint set misses the errno: the call is not connect(2).
fn is_untraced(attempt: &str, errno: i32) -> bool {
    let other_call = attempt.starts_with("uring ") || attempt.starts_with("fastopen ");
    other_call && fails_at_once(attempt, errno)
}

fn hook_set(db: &Path) -> String {
    value(db, "SELECT hook_set FROM recordings")
}

/// What was missed has to be counted: the kernel may skip a return ('return').
fn missed(db: &Path, kind: &str) -> i64 {
    let sql = format!("SELECT COALESCE(sum(lost), 0) FROM gaps WHERE kind = '{kind}'");
    value(db, &sql)
}

/// Connections that their peers reset after a tenth of a second, and that are closed later.
fn churn(until: &AtomicBool) {
    const A_TURN: usize = 8; // below 1024 descriptors in all
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (mut clients, mut peers) = (VecDeque::new(), VecDeque::new());
    while !until.load(Ordering::Relaxed) {
        for _ in 0..A_TURN {
            clients.push_back(TcpStream::connect(at).unwrap());
            let (peer, _) = listener.accept().unwrap();
            SockRef::from(&peer)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            peers.push_back(peer);
        }
        peers.drain(..peers.len().saturating_sub(25 * A_TURN));
        clients.drain(..clients.len().saturating_sub(60 * A_TURN));
        thread::sleep(Duration::from_millis(4));
    }
}

#[test]
fn connections_that_end_while_the_recorder_starts_are_no_older_ones_whose_end_is_lost() {
    let net = Net::new();
    let until = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| net.near(|| churn(&until)));
        for _ in 0..2 {
            let (_dir, db) = history();
            let recorder = Recorder::start(&db, &[]);
            eventually("connections", || {
                (value::<i64>(&db, "SELECT count(*) FROM egress") > 100).then_some(())
            });
            thread::sleep(Duration::from_millis(500));
            assert_eq!(recorder.stop(), 0);
            let ends = "SELECT why, lost FROM gaps WHERE kind = 'close'";
            assert_eq!(select(&db, ends), Vec::<Vec<String>>::new());
        }
        until.store(true, Ordering::Relaxed);
    });
}

#[test]
fn every_attempt_has_the_outcome_and_errno_that_its_process_saw() {
    let attempts = Attempts::new();
    let (_dir, db) = history();
    let said = attempts.observe(&db);
    let tracepoint = hook_set(&db) == "tracepoint";
    let (mut wrong, mut unknown) = (Vec::new(), 0);
    let rows = select(
        &db,
        "SELECT cmdline, outcome, errno, latency_us IS NOT NULL, duration_us IS NOT NULL, comm
         FROM egress ORDER BY id DESC",
    );
    for (attempt, errno) in &said {
        let end = format!(" try {attempt}");
        let row = rows.iter().find(|row| row[0].ends_with(&end));
        let row = row.map(|row| &row[1..]);
        let (outcome, name) = match is_untraced(attempt, *errno) && tracepoint {
            true => ("failed", ""),
            false => expected(attempt, *errno),
        };
        let connected = matches!(outcome, "connected" | "reset");
        let right = row.is_some_and(|row| {
            row[0] == outcome
                && row[1] == name
                && row[2] == (connected as u8).to_string()
                && row[3..] == ["1", "dial"]
        });
        let not_known = row.is_some_and(|row| row[..2] == ["failed", ""]);
        match (right, not_known && fails_at_once(attempt, *errno)) {
            (true, _) => {}
            (false, true) => unknown += 1,
            (false, false) => wrong.push(format!(
                "{attempt}: saw {errno} {outcome}, egrets has {row:?}"
            )),
        }
    }
    assert!(said.len() > 80, "{} attempts", said.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        unknown <= missed(&db, "return"),
        "{unknown} without a reason"
    );
    assert_eq!(select(&db, GAPS), Vec::<Vec<String>>::new());
}

/// The rows of a recording without what differs from run to run.
fn rows(db: &Path) -> Vec<Vec<String>> {
    let mut rows = select(
        db,
        "SELECT cmdline, comm, exe, uid, user, parent_comm, protocol, family, src_ip, dst_ip,
                dst_port, dst_scope, host, host_source, host_rivals, unit, container_id, netns,
                CASE outcome WHEN 'reset' THEN NULL ELSE tx_bytes END, rx_bytes,
                src_port IS NULL, latency_us IS NULL, duration_us IS NULL, pid = tid, cgroup,
                outcome, errno
         FROM egress",
    );
    rows.sort();
    rows
}

fn lookups(db: &Path) -> Vec<Vec<String>> {
    select(
        db,
        "SELECT comm, exe, server_ip, server_port, transport, qname, qtype, rcode, name, type, data,
                ttl, status FROM dns ORDER BY qname, qtype, type, data, comm, exe",
    )
}

#[test]
#[ignore = "needs a kernel with kprobes: make test-kernels"]
fn both_hook_sets_give_the_same_rows() {
    let mut attempts = Attempts::new();
    attempts
        .net
        .dnsmasq(&[&format!("--host-record=web.test,{FAR4},{FAR6}")]);
    let port = attempts.net.http("x");
    let echo = attempts.net.echo();
    let (near, dial) = (&attempts.net.near, dial());
    let dial = dial.display();
    // named ones too, over TCP and UDP; 'ip netns exec' brings the resolver
    let named = format!(
        "ip netns exec {near} sh -c 'curl -so /dev/null http://web.test:{port}/; \
         {dial} udp web.test {echo} 5 100; {dial} child web.test {port}'\n"
    );
    attempts.script.insert_str(0, &named);
    // a worker of the kernel ends what was asked for over MPTCP, after its socket is closed
    attempts.script.push_str("sleep 3\n");
    let [kprobe, tracepoint] = ["kprobe", "tracepoint"].map(|set| {
        let (_dir, db) = history();
        let said = attempts.record(&db, &["--hooks", set]);
        assert_eq!(hook_set(&db), set);
        (said, rows(&db), lookups(&db), missed(&db, "return"))
    });
    assert_eq!(kprobe.0, tracepoint.0, "the processes saw the same");
    assert_eq!(kprobe.2, tracepoint.2, "dns");
    assert_eq!(kprobe.1.len(), tracepoint.1.len());
    let mut unknown = 0;
    for (kprobe_row, tracepoint_row) in kprobe.1.iter().zip(&tracepoint.1) {
        if kprobe_row == tracepoint_row {
            continue;
        }
        // only in the two columns that the tracepoint set may lack
        let columns = kprobe_row.len() - 2;
        assert_eq!(kprobe_row[..columns], tracepoint_row[..columns]);
        let attempt = kprobe_row[0]
            .rsplit_once(" try ")
            .map_or("", |(_, what)| what);
        let said = kprobe.0.iter().find(|(one, _)| one == attempt);
        if said.is_some_and(|(_, errno)| is_untraced(attempt, *errno)) {
            assert_eq!(tracepoint_row[columns..], ["failed", ""]);
        } else {
            assert!(
                said.is_some_and(|(_, errno)| fails_at_once(attempt, *errno)),
                "{kprobe_row:?}\n{tracepoint_row:?}"
            );
            let either = [&kprobe_row[columns..], &tracepoint_row[columns..]];
            assert!(
                either.contains(&&["failed".to_string(), String::new()][..]),
                "{either:?}"
            );
            unknown += 1;
        }
    }
    assert!(
        unknown <= kprobe.3 + tracepoint.3,
        "{unknown} without a reason"
    );
}

#[test]
fn requested_hook_set_is_used_or_refused_with_a_remedy() {
    let kprobes = Path::new("/sys/bus/event_source/devices/kprobe/type").exists();
    let check = |args: &[&str]| {
        egrets()
            .env_remove("EGRETS_HOOKS")
            .args(args)
            .output()
            .unwrap()
    };
    let kprobe = check(&["check", "--hooks", "kprobe"]);
    let auto = check(&["check"]);
    let tracepoint = check(&["check", "--hooks", "tracepoint"]);
    // the old name
    let portable = check(&["check", "--hooks", "portable"]);
    for output in [&tracepoint, &portable] {
        assert!(text(&output.stdout).contains("hooks (tracepoint set)"));
    }
    if kprobes {
        assert_eq!(code(&kprobe), 0, "{}", text(&kprobe.stderr));
        assert!(text(&kprobe.stdout).contains("hooks (kprobe set)"));
        assert!(text(&auto.stdout).contains("hooks (kprobe set)"));
    } else {
        assert_eq!(code(&kprobe), 2);
        assert!(text(&kprobe.stderr).contains("--hooks tracepoint works without it"));
        assert!(text(&auto.stdout).contains("hooks (tracepoint set: this kernel has no kprobes"));
    }
    for set in [&auto, &tracepoint] {
        assert_eq!(code(set), 0, "{}", text(&set.stderr));
        let said = text(&set.stdout);
        let last = said.lines().next_back().unwrap();
        // before 6.3 the tracepoint set has nothing that sees these
        let lacks = match coverage::linux() < (6, 3) && said.contains("hooks (tracepoint set") {
            true => ", without: packet sockets that bypass queues",
            false => "",
        };
        assert_eq!(last, format!("recording works here{lacks}"));
    }
}

#[test]
fn check_shows_verifier_statistics_of_each_program() {
    let output = ok(egrets().args(["check", "--verbose"]));
    let figures: Vec<u32> = output
        .lines()
        .filter(|line| line.starts_with("  ok       ") && line.contains('/'))
        .map(|line| line.split_whitespace().nth(4).unwrap().parse().unwrap())
        .collect();
    assert!(figures.len() > 12, "{output}");
    // The verifier gives up at a million (BPF_COMPLEXITY_LIMIT_INSNS): half of that leaves
    // room for kernels to come.
    assert!(figures.iter().all(|n| (1..500_000).contains(n)), "{output}");
}

/// In a cgroup of its own, as containers are, and in these new namespaces.
fn check_in(namespaces: &str) -> Output {
    let dir = cgroup2().join(format!("egt-container-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (program, procs) = (egrets(), dir.join("cgroup.procs"));
    let script = format!(
        "echo $$ > {}; exec unshare {namespaces} {} check",
        procs.display(),
        program.get_program().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let _ = fs::remove_dir(&dir);
    output
}

#[test]
fn kernel_without_btf_is_refused_and_the_message_says_which_have_it() {
    let script = r#"mount -t tmpfs none /sys/kernel/btf; exec "$0" record -- true"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-ec", script]);
    let output = unshare.arg(egrets().get_program()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    let release = text(&Command::new("uname").arg("-r").output().unwrap().stdout);
    for part in [
        "/sys/kernel/btf/vmlinux",
        release.trim(),
        "CONFIG_DEBUG_INFO_BTF=y",
        "Debian 11",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn check_in_a_container_reports_what_it_misses() {
    let own = "its own cgroup namespace";
    let unnamed = "its own pid namespace";
    let container = check_in("--cgroup --pid --fork --mount-proc");
    let said = text(&container.stdout);
    assert_eq!(code(&container), 0, "{said}{}", text(&container.stderr));
    assert!(
        said.contains(own) && said.contains("--cgroupns=host"),
        "{said}"
    );
    assert!(
        said.contains(unnamed) && said.contains("--pid=host"),
        "{said}"
    );
    assert!(said.contains("recording works here, for the processes of this cgroup namespace"));

    // With the host's pids the way to the host's cgroups is open.
    let with_pids = check_in("--cgroup --mount");
    let said = text(&with_pids.stdout);
    assert_eq!(code(&with_pids), 0, "{said}{}", text(&with_pids.stderr));
    assert!(!said.contains("note"), "{said}");

    let rootless = check_in("--user --map-root-user");
    let said = text(&rootless.stdout);
    assert_eq!(code(&rootless), 2, "{said}");
    assert!(
        said.contains("missing  the host's user namespace"),
        "{said}"
    );
    assert!(said.contains("run egrets on the host"), "{said}");
}
