//! Policies: what they refuse, and that observing says the same. Each test has rules about
//! addresses of its own, so that they may run at once and disturb no others.

mod escapes;
mod harms;
mod server_names;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::forge::forged_first_packets;
use crate::support::say::{passed_to, say};
use crate::support::*;
use socket2::{Domain, Socket, Type};

/// A policy file of root's.
fn policy(dir: &Path, default: &str, rules: &[&str]) -> PathBuf {
    let path = dir.join("policy.yaml");
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    fs::write(
        &path,
        format!(
            "version: 1
default: {default}
rules:
{rules}"
        ),
    )
    .unwrap();
    path
}

fn start(db: &Path, policy: &Path, more: &[&str]) -> Recorder {
    let policy = policy.to_str().unwrap();
    Recorder::start(db, &[&["--policy", policy], more].concat())
}

/// `record --fail-on alert` around a command that is to follow.
fn egrets_with(policy: &Path, dir: &Path) -> Command {
    let mut egrets = egrets();
    egrets.args(["record", "--fail-on", "alert", "--policy"]);
    egrets
        .arg(policy)
        .arg("--db")
        .arg(dir.join("other.db"))
        .arg("--");
    egrets
}

const DAEMON: u32 = 1;

#[test]
fn what_a_policy_blocks_is_refused_by_every_way_and_recorded_as_denied() {
    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let rules = policy(
        dir.path(),
        "allow",
        &[
            "{ name: port, to: [10.77.1.16/28], ports: [81], action: block }",
            "{ name: user, who: { user: daemon }, to: [10.77.1.32], action: block }",
            "{ name: all, to: [10.77.1.48/28], action: block }",
            "{ name: watched, to: [10.77.1.64], action: block, mode: observe }",
            "{ name: hidden, to: [fd77::2], ports: [4453/udp], action: block }",
            "{ name: forged, to: [fd77::2, 10.77.0.2], ports: [4444, 4445, 4446], action: block }",
            "{ name: smc, who: { kernel: false }, to: [10.77.1.80], action: block }",
        ],
    );
    let recorder = start(&db, &rules, &["--enforce"]);
    const EPERM: i32 = libc::EPERM;
    for (way, ip, port, errno) in [
        ("tcp", "10.77.1.17", 81, EPERM),
        ("tcp", "::ffff:10.77.1.17", 81, EPERM),
        ("tcp", "10.77.1.17", 82, 0),
        ("tcp", "10.77.1.33", 81, 0),
        ("tcp", "10.77.1.32", 81, 0),
        ("tcp", "10.77.1.49", 9, EPERM),
        ("fastopen", "10.77.1.49", 9, EPERM),
        ("udp", "10.77.1.50", 9, EPERM),
        ("udp", "::ffff:10.77.1.50", 9, EPERM),
        ("udp", "10.77.1.17", 81, EPERM),
        ("udp", "10.77.1.17", 82, 0),
        ("connected", "10.77.1.51", 9, EPERM),
        ("corked", "10.77.1.52", 9, EPERM),
        ("reconnected", "10.77.1.53", 9, EPERM),
        ("raw", "10.77.1.54", 9, EPERM),
        ("header", "10.77.1.55", 9, EPERM),
        ("ping", "10.77.1.56", 9, EPERM),
        ("extensions", FAR6, 4453, EPERM),
        ("tcp", "10.77.1.64", 9, 0),
        ("udp", "10.77.1.65", 9, 0),
    ] {
        assert_eq!(say(&net, way, ip, port), errno, "{way} {ip} {port}");
    }
    // absent from many kernels
    let smc = say(&net, "smc", "10.77.1.80", 9);
    assert!([EPERM, libc::EAFNOSUPPORT].contains(&smc), "{smc}");
    for (socket, far) in forged_first_packets(&net) {
        let error = socket.send_to(b"x", far).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EPERM), "{far}");
    }
    let daemon = net
        .command("setpriv")
        .args(["--reuid", &DAEMON.to_string(), "--clear-groups"])
        .arg(dial())
        .args(["tcp", "10.77.1.32", "9"])
        .output()
        .unwrap();
    let passed = passed_to(DAEMON, &net, "10.77.1.32");
    for said in [text(&daemon.stderr), passed] {
        assert!(said.contains("not permitted"), "{said}");
    }
    for way in [
        "udp-sendmmsg",
        "udp-gso",
        "udp-uring-sendmsg",
        "udp-zerocopy",
    ] {
        let output = net
            .command(send())
            .args([way, "10.77.1.60", "9", "4", "100"])
            .output()
            .unwrap();
        let said = text(&output.stderr);
        let is_absent = text(&output.stdout).contains("absent");
        assert!(is_absent || said.contains("not permitted"), "{way}: {said}");
    }
    assert_eq!(recorder.stop(), 0);
    // another test's may be beside it
    let own = format!("netns = {}", net.near_inode());
    let rows = |filter: &str| {
        let columns = "protocol, dst_ip, outcome, verdict, rule, coalesce(tx_packets, 0)";
        let sql =
            format!("SELECT DISTINCT {columns} FROM egress WHERE {own} AND {filter} ORDER BY 2, 1");
        select(&db, &sql)
    };
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        rows("verdict <> 'allow' AND dst_ip NOT IN ('10.77.1.60', '10.77.1.80')"),
        [
            "udp 10.77.0.2 sent block forged 1",
            "tcp 10.77.1.17 denied block port 0",
            "udp 10.77.1.17 denied block port 0",
            "tcp 10.77.1.32 denied block user 0",
            "udp 10.77.1.32 sent block user 1",
            "tcp 10.77.1.49 denied block all 0",
            "udp 10.77.1.50 denied block all 0",
            "udp 10.77.1.51 denied block all 0",
            "udp 10.77.1.52 denied block all 0",
            "udp 10.77.1.53 denied block all 0",
            "ip-253 10.77.1.54 denied block all 0",
            "udp 10.77.1.55 denied block all 0",
            "icmp 10.77.1.56 denied block all 0",
            "tcp 10.77.1.64 refused block watched 0",
            "ipv6-opts fd77::2 denied block hidden 0",
            "udp fd77::2 denied block forged 0",
        ]
        .map(row)
    );
    let all = "SELECT count(*) FROM egress WHERE dst_ip = '10.77.1.60' AND (tx_bytes > 0 OR outcome <> 'denied')";
    assert_eq!(value::<i64>(&db, all), 0);
    // the counters of the kernel, and what it reported
    let hits = "SELECT rule, hits FROM policy_rules
                WHERE rule NOT IN ('user', 'smc') AND number ORDER BY 1";
    let rows = "SELECT rule, count(*) FROM verdicts WHERE rule NOT IN ('user', 'smc') AND rule IN
                    (SELECT rule FROM policy_rules WHERE number) GROUP BY 1";
    assert_eq!(select(&db, hits), select(&db, rows));
    let shown = egrets()
        .args(["policy", "status", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    let shown = text(&shown.stdout);
    let explain = |args: &[&str]| {
        let id = select(&db, "SELECT id FROM verdicts WHERE rule = 'all' LIMIT 1");
        let mut egrets = egrets();
        egrets.args(["policy", "explain"]).args(args).arg(&id[0][0]);
        let said = egrets.arg("--db").arg(&db).output().unwrap();
        text(&said.stdout) + &text(&said.stderr)
    };
    let decided = explain(&[]);
    let expected = [
        "block: by \"all\" at line 6; outcome denied",
        "user at line 5 (block): user is root, not daemon",
    ];
    assert!(
        expected.iter().all(|part| decided.contains(part)),
        "{decided}"
    );
    let put_to = explain(&[rules.to_str().unwrap()]);
    assert!(put_to.contains("block: by \"all\" at line 6"), "{put_to}");
    fs::write(&rules, "version: 1\ndefault: allow\n").unwrap();
    let decided = explain(&[]);
    assert!(
        decided.contains("by \"all\"; outcome denied") && decided.contains("has changed"),
        "{decided}"
    );
    let line = |words: &[&str]| {
        let mut lines = shown.lines().map(|line| line.split_whitespace());
        assert!(
            lines.any(|line| line.take(words.len()).eq(words.iter().copied())),
            "{words:?} in {shown}"
        );
    };
    line(&["port", "block", "3"]);
    line(&["watched", "block,", "observed", "1"]);
    assert!(shown.contains("policy.yaml, enforced since"), "{shown}");
    let digest =
        "SELECT count(DISTINCT policy) FROM egress WHERE policy = (SELECT digest FROM policies)";
    assert_eq!(value::<i64>(&db, digest), 1);
}

/// A directory that only root can change, for programs whose paths rules name.
struct Programs(PathBuf);

impl Programs {
    /// The client of tests/tools/dial.rs at each of these paths.
    fn new(paths: &[&str]) -> Programs {
        let dir = tempfile::Builder::new()
            .prefix("egt-programs-")
            .tempdir_in("/run")
            .unwrap()
            .keep();
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for path in paths {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(dial(), &path).unwrap();
        }
        Programs(dir)
    }

    fn path(&self, path: &str) -> String {
        self.0.join(path).to_str().unwrap().to_owned()
    }

    fn copy(&self, from: &str, path: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(from, path).unwrap();
    }

    /// A command that this copy of the shell starts.
    fn started_by(&self, shell: &str, command: &Command) -> Command {
        let mut starting = Command::new(self.path(shell));
        starting
            .args(["-c", "\"$@\"; exit $?", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        starting
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A cgroup below the root of cgroup2.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Cgroup {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let dir = words.next()?;
            (words.next() == Some("cgroup2")).then(|| PathBuf::from(dir))
        });
        let dir = mount.unwrap().join(name);
        fs::create_dir_all(&dir).unwrap();
        Cgroup(dir)
    }

    /// A command, in this cgroup if `inside`. It joins before it enters a namespace, whose
    /// /sys has no cgroups.
    fn run(&self, command: Command, inside: bool) -> Command {
        let join = match inside {
            true => format!("echo $$ > {}; ", self.0.join("cgroup.procs").display()),
            false => String::new(),
        };
        let mut joining = Command::new("sh");
        joining
            .args(["-c", &format!("{join}exec \"$@\""), "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        joining
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn program_from_before_is_known_except_in_a_user_namespace() {
    const TO: &str = "10.77.1.70";
    let net = Net::new();
    net.many_addresses();
    let port = net.http("x").to_string();
    let programs = Programs::new(&["a"]);
    let (dir, db) = history();
    let who = format!("exe: {}", programs.path("a"));
    let rule = format!("{{ name: own, who: {{ {who} }}, to: [{TO}], action: alert }}");
    let rules = policy(dir.path(), "allow", &[&rule]);
    let older = |wrapper: &[&str]| {
        let mut command = Command::new("env");
        command.args(wrapper).arg(programs.path("a"));
        command.args(["thread", TO, &port]).stdin(Stdio::piped());
        net.near(|| command.spawn().unwrap())
    };
    let children = [older(&[]), older(&["unshare", "--user", "--map-root-user"])];
    std::thread::sleep(std::time::Duration::from_millis(500));
    let recorder = start(&db, &rules, &[]);
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    assert_eq!(recorder.stop(), 0);
    let sql = format!(
        "SELECT exe_view, verdict FROM egress
         WHERE dst_port = {port} AND NOT already_open ORDER BY 1"
    );
    assert_eq!(
        select(&db, &sql),
        [["host", "alert"], ["user_namespace", "allow"]]
    );
}

/// Of a process from before, and of one whose parent has ended.
#[test]
fn what_started_a_process_is_known_by_a_rule_that_comes_with_a_reload() {
    const TO: &str = "10.77.1.71";
    let net = Net::new();
    net.many_addresses();
    let port = net.http("x").to_string();
    let programs = Programs::new(&["a"]);
    programs.copy("/bin/sh", "sh");
    let (dir, db) = history();
    let rules = policy(dir.path(), "allow", &[]);
    let waiting = |by: Option<&str>| {
        let mut command = Command::new(programs.path("a"));
        command.args(["thread", TO, &port]);
        if let Some(shell) = by {
            command = programs.started_by(shell, &command);
        }
        command.stdin(Stdio::piped());
        net.near(|| command.spawn().unwrap())
    };
    let children = [waiting(Some("sh")), waiting(None)];
    let recorder = start(&db, &rules, &[]);
    let via = format!("who: {{ via: {} }}", programs.path("*"));
    let rule = format!("{{ name: by, {via}, to: [{TO}], action: alert }}");
    policy(dir.path(), "allow", &[&rule]);
    recorder.signal("HUP");
    recorder.expect("policy ");
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    let mut orphan = net.command(programs.path("sh"));
    let script = format!(
        "(sleep 0.2; exec {} tcp {TO} {port}) & exit 0",
        programs.path("a")
    );
    orphan.args(["-c", &script]);
    assert!(orphan.output().unwrap().status.success());
    let sql = format!(
        "SELECT verdict, coalesce(rule, '') FROM egress
         WHERE dst_port = {port} AND NOT already_open ORDER BY id"
    );
    eventually("three connections", || {
        (select(&db, &sql).len() == 3).then_some(())
    });
    assert_eq!(recorder.stop(), 0);
    let mut seen = select(&db, &sql);
    seen.sort();
    assert_eq!(
        seen,
        [["alert", "by"], ["alert", "by"], ["allow", "default"]]
    );
}

/// Connections that are older than the policy.
#[test]
fn older_connections_are_reported_or_reset_if_the_policy_does_not_allow_them() {
    use std::io::Read;
    use std::net::TcpStream;

    let net = Net::new();
    net.many_addresses();
    let port = net.http("x");
    let connect = |ip: &str| {
        let stream = net.near(|| TcpStream::connect((ip, port)).unwrap());
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
    };
    // the kernel does not find such a one by its ends
    let bound_to_a_device = |ip: &str| {
        let socket = net.near(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
        socket.bind_device(Some(b"up0")).unwrap();
        let to: SocketAddr = format!("{ip}:{port}").parse().unwrap();
        socket.connect(&to.into()).unwrap();
        let limit = Some(Duration::from_millis(200));
        socket.set_read_timeout(limit).unwrap();
        TcpStream::from(socket)
    };
    let error = |mut stream: &TcpStream| stream.read(&mut [0; 1]).unwrap_err().raw_os_error();
    let is_reset = |stream: &TcpStream| {
        eventually("a reset", || {
            (error(stream) == Some(libc::ECONNABORTED)).then_some(())
        });
    };
    let (dir, db) = history();
    let block = |setting: &str, ips: &str| {
        let rule = format!("{{ name: stop, to: [{ips}], action: block }}");
        policy(
            dir.path(),
            &format!("allow\nestablished: {setting}"),
            &[&rule],
        )
    };
    let [stopped, open, later] = ["10.77.1.72", "10.77.1.73", "10.77.1.74"].map(connect);
    let bound = bound_to_a_device("10.77.1.72");
    let observed = start(&db, &block("alert", "10.77.1.72"), &["--enforce"]);
    eventually("a verdict", || {
        let sql = format!("SELECT enforced FROM egress WHERE dst_port = {port} AND rule = 'stop'");
        select(&db, &sql)
            .contains(&vec!["0".to_owned()])
            .then_some(())
    });
    assert_eq!(observed.stop(), 0);
    assert_eq!(error(&stopped), Some(libc::EAGAIN));

    let recorder = start(&db, &block("reset", "10.77.1.72"), &["--enforce"]);
    is_reset(&stopped);
    is_reset(&bound);
    assert_eq!(error(&later), Some(libc::EAGAIN));
    let held = ok(egrets().args(["status", "--db"]).arg(&db));
    assert!(
        held.contains("resets       CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SYS_PTRACE"),
        "{held}"
    );
    block("reset", "10.77.1.74");
    recorder.signal("HUP");
    recorder.expect("policy ");
    is_reset(&later);
    assert_eq!(error(&open), Some(libc::EAGAIN), "it is allowed");
    assert_eq!(recorder.stop(), 0);
    let sql = format!(
        "SELECT dst_ip, outcome, coalesce(errno, ''), coalesce(verdict, ''), coalesce(rule, '')
         FROM egress WHERE dst_port = {port} ORDER BY ts, dst_ip"
    );
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = select(&db, &sql);
    for expected in [
        "10.77.1.72 connected  block stop",
        "10.77.1.72 connected ECONNABORTED block stop",
        "10.77.1.74 connected ECONNABORTED block stop",
    ] {
        assert!(rows.contains(&row(expected)), "{expected}: {rows:?}");
    }
    assert!(rows.contains(&row("10.77.1.73 connected   ")), "{rows:?}");
}

/// As a line of a shell, which says how often the command was refused.
fn line_of(command: &Command) -> String {
    format!("{}2>&1 | grep -c 'not permitted'; true\n", quoted(command))
}

/// For a shell.
fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}' ", word.to_str().unwrap()));
    quoted.collect()
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % n
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// A rule of random conditions.
fn random_rule(numbers: &mut Numbers, number: usize, dir: &str, cgroup: &str) -> String {
    let mut who = Vec::new();
    let mut negates_via = false;
    if numbers.below(2) == 0 {
        let exes = ["a", "b/c", "*", "**", "b/*", "b/**", "b/d/**"];
        let not = numbers.one_of(&["", "", "!"]);
        who.push(format!("exe: \"{not}{dir}/{}\"", numbers.one_of(&exes)));
    }
    if numbers.below(3) == 0 {
        who.push(format!(
            "user: \"{}\"",
            numbers.one_of(&["root", "daemon", "!daemon", "2"])
        ));
    }
    if numbers.below(4) == 0 {
        let not = numbers.one_of(&["", "!"]);
        who.push(format!(
            "cgroup: \"{not}{cgroup}{}\"",
            numbers.one_of(&["", "/**"])
        ));
    }
    if numbers.below(6) == 0 {
        who.push(format!("host: {}", numbers.one_of(&["true", "false"])));
    }
    if numbers.below(3) == 0 {
        let not = numbers.one_of(&["", "", "!"]);
        let by = numbers.one_of(&["by/sh", "by/*", "**", "b/**", "sh"]);
        negates_via = not == "!";
        who.push(format!("via: \"{not}{dir}/{by}\""));
    }
    let by_name = numbers.below(4) == 0;
    if by_name {
        let names = numbers.one_of(&["a", "c*", "!e", "a, e", "*", "*b*", "a*, !a"]);
        let names: Vec<String> = names
            .split(", ")
            .map(|name| format!("\"{name}\""))
            .collect();
        who.push(format!("process: [{}]", names.join(", ")));
    }
    let to = numbers.one_of(&[
        "10.77.1.200",
        "10.77.1.201",
        "10.77.1.200/31",
        "10.77.1.200/29",
        "10.77.0.0/16",
        "private",
        "public",
        "10.77.1.203, unnamed",
        "\"64:ff9b::/96\"",
        "\"::/0\"",
        "0.0.0.0/0",
    ]);
    let ports = numbers.one_of(&[
        "",
        "",
        ", ports: [7001]",
        ", ports: [7001-7002, 7004]",
        ", ports: [udp]",
    ]);
    let action = match by_name {
        true => "alert",
        false if negates_via => numbers.one_of(&["alert", "block"]),
        false => numbers.one_of(&["allow", "alert", "block"]),
    };
    format!(
        "{{ name: r{number}, who: {{ {} }}, to: [{to}]{ports}, action: {action} }}",
        who.join(", ")
    )
    .replace("who: {  }, ", "")
}

#[test]
fn observed_verdicts_are_those_of_the_reference_evaluator() {
    verdicts_are_the_evaluators(false);
}

#[test]
fn enforced_verdicts_are_those_of_the_reference_evaluator_and_what_clients_see() {
    verdicts_are_the_evaluators(true);
}

/// The kernel's verdicts, the evaluator's, and what becomes of connections, under random policies.
fn verdicts_are_the_evaluators(enforce: bool) {
    use egrets::model::Protocol;
    use egrets::policy::{Destination, Policy, Reason, Said, Subject};

    let net = Net::new();
    net.many_addresses();
    let programs = Programs::new(&["a", "b/c", "b/d/e"]);
    programs.copy("/bin/sh", "by/sh");
    fs::set_permissions(
        programs.path("b/d/e"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let name = format!("egt-policy-{}-{enforce}", std::process::id());
    let cgroup = Cgroup::new(&name);
    let (dir, db) = history();
    let dir_of_programs = programs.0.to_str().unwrap().to_owned();
    let mut numbers = Numbers(1 + u64::from(enforce));
    let mut recorder = None;
    let policies = match std::env::var("EGRETS_POLICIES") {
        Ok(n) => n.parse().unwrap(),
        Err(_) => 3,
    };
    let mut expected = Vec::new();
    for _ in 0..policies {
        let rules: Vec<String> = (0..8)
            .map(|i| random_rule(&mut numbers, i, &dir_of_programs, &format!("/{name}")))
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let default = numbers.one_of(&["allow", "block"]);
        let file = policy(dir.path(), default, &rules);
        let parsed = Policy::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut script = String::new();
        let mut refusals = String::new();
        match &recorder {
            _ if enforce => {}
            None => recorder = Some(start(&db, &file, &[])),
            Some(recorder) => {
                recorder.signal("HUP");
                recorder.expect("policy ");
            }
        }
        for _ in 0..16 {
            let exe = numbers.one_of(&["a", "b/c", "b/d/e"]);
            let uid = [0, DAEMON, 2][numbers.below(3)];
            let in_cgroup = numbers.below(2) == 0;
            let is_started = numbers.below(2) == 0;
            let ip = format!("10.77.1.{}", 200 + numbers.below(5));
            let port = 7001 + numbers.below(4) as u16;
            let protocol = numbers.one_of(&["tcp", "udp"]);
            let mut words = vec![protocol.to_owned(), ip.clone(), port.to_string()];
            if protocol == "udp" {
                words.extend(["1".to_owned(), "1".to_owned()]);
            }
            let mut command = net.command("setpriv");
            command
                .args(["--reuid", &uid.to_string(), "--clear-groups"])
                .arg(programs.path(exe))
                .args(words);
            let mut command = cgroup.run(command, in_cgroup);
            if is_started {
                command = programs.started_by("by/sh", &command);
            }
            match enforce {
                false => drop(command.output().unwrap()),
                true => script += &line_of(&command),
            }
            let own = fs::read_to_string("/proc/self/cgroup").unwrap();
            let own = own
                .lines()
                .find_map(|line| line.strip_prefix("0::"))
                .unwrap()
                .to_owned();
            let subject = Subject {
                exe: Some(programs.path(exe)),
                exe_is_trusted: exe != "b/d/e",
                uid: Some(uid),
                user: Some(
                    ["root", "daemon", "bin"]
                        [[0, DAEMON, 2].iter().position(|u| *u == uid).unwrap()]
                    .into(),
                ),
                cgroup: Some(if in_cgroup { format!("/{name}") } else { own }),
                comm: exe.rsplit('/').next().map(str::to_owned),
                ancestors: match is_started {
                    true => vec![programs.path("by/sh")],
                    false => Vec::new(),
                },
                ..Subject::default()
            };
            let destination = Destination {
                ip: Some(ip.parse().unwrap()),
                port: Some(port),
                protocol: if protocol == "tcp" {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                },
                names: Vec::new(),
                said: Said::NotYet,
            };
            let decision = parsed.decide(&subject, &destination, 0);
            let rule = match (decision.rule, decision.why) {
                (Some(rule), _) => format!("r{rule}"),
                (None, Reason::Default) => "default".to_owned(),
                (None, _) => "essential".to_owned(),
            };
            refusals += if decision.stops() { "1\n" } else { "0\n" };
            let verdict = decision.action.as_str().to_owned();
            expected.push((
                vec![
                    protocol.to_owned(),
                    ip,
                    port.to_string(),
                    exe.to_owned(),
                    uid.to_string(),
                    verdict,
                    rule,
                ],
                rules.join("\n"),
            ));
        }
        if enforce {
            // about the command alone: its rules would stop other tests
            let mut egrets = egrets();
            egrets.args(["record", "--enforce", "--policy"]).arg(&file);
            egrets
                .arg("--db")
                .arg(&db)
                .args(["--", "sh", "-c", &script]);
            let seen = ok(&mut egrets);
            if seen != refusals {
                let sql =
                    "SELECT protocol, dst_ip, dst_port, exe, uid, cgroup, verdict, rule FROM egress
                           ORDER BY id DESC LIMIT 16";
                eprintln!(
                    "{:#?}\n{:#?}",
                    select(&db, sql),
                    &expected[expected.len() - 16..]
                );
            }
            assert_eq!(seen, refusals, "{default}: {}", rules.join("\n"));
        }
    }
    if let Some(recorder) = recorder {
        assert_eq!(recorder.stop(), 0);
    }
    let sql = format!(
        "SELECT protocol, dst_ip, dst_port, substr(exe, {}), uid, coalesce(verdict, ''), coalesce(rule, '')
         FROM egress WHERE exe LIKE '{dir_of_programs}/%' ORDER BY id",
        dir_of_programs.len() + 2
    );
    let rows = select(&db, &sql);
    assert_eq!(rows.len(), expected.len());
    for (row, (expected, rules)) in rows.iter().zip(&expected) {
        assert_eq!(row, expected, "{rules}");
    }
}

#[test]
fn reload_under_traffic_mixes_no_rules() {
    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let side = |first: &str, second: &str, name: &str| {
        let rules = [
            format!("{{ name: {name}1, to: [10.77.1.220], action: {first} }}"),
            format!("{{ name: {name}2, to: [10.77.1.221], action: {second} }}"),
        ];
        policy(dir.path(), "allow", &[&rules[0], &rules[1]])
    };
    let recorder = start(&db, &side("block", "allow", "a"), &["--enforce"]);
    let loops: Vec<_> = ["10.77.1.220", "10.77.1.221"]
        .into_iter()
        .map(|ip| {
            let script = format!("while :; do {} loop {ip} 9 20; done", dial().display());
            let mut command = net.command("sh");
            Guard(
                command
                    .args(["-c", &script])
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap(),
            )
        })
        .collect();
    let reload = || {
        let mut egrets = egrets();
        egrets.args(["policy", "reload", "--db"]).arg(&db);
        egrets.output().unwrap()
    };
    for round in 0..4 {
        match round % 2 {
            0 => side("allow", "block", "b"),
            _ => side("block", "allow", "a"),
        };
        let reloaded = reload();
        let said = text(&reloaded.stdout);
        assert!(
            said.contains("2 rules, enforced from now on"),
            "{said}{reloaded:?}"
        );
    }
    // a file that is wrong changes nothing
    fs::write(
        dir.path().join("policy.yaml"),
        "version: 1\nrules: [{ to: [x y], action: blok }]",
    )
    .unwrap();
    let refused = reload();
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said.contains("unchanged") && said.contains("policy.yaml:2:"),
        "{said}"
    );
    recorder.expect("unchanged");
    drop(loops);
    assert_eq!(recorder.stop(), 0);
    let said = text(&reload().stderr);
    assert!(said.contains("no recorder is running on"), "{said}");
    let kinds = select(
        &db,
        "SELECT DISTINCT dst_ip, rule, verdict, outcome, p.id % 2 FROM egress e
         JOIN (SELECT min(id) AS id, digest FROM policies GROUP BY digest) p ON p.digest = e.policy
         WHERE dst_ip IN ('10.77.1.220', '10.77.1.221') ORDER BY 1, 2",
    );
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        kinds,
        [
            "10.77.1.220 a1 block denied 1",
            "10.77.1.220 b1 allow refused 0",
            "10.77.1.221 a2 allow refused 1",
            "10.77.1.221 b2 block denied 0",
        ]
        .map(row)
    );
    let changes =
        "SELECT reason, error IS NULL, coalesce(error LIKE '%blok%', 0) FROM policy_changes";
    let expected = [
        "started 1 0",
        "reloaded 1 0",
        "reloaded 1 0",
        "reloaded 1 0",
        "reloaded 1 0",
        "refused 0 1",
    ];
    assert_eq!(select(&db, changes), expected.map(row));
    // each generation has counters of its own
    let hits = "SELECT DISTINCT r.rule FROM policy_rules r JOIN verdicts v ON v.policy = r.digest
                AND v.rule = r.rule WHERE number GROUP BY r.rule, r.digest HAVING sum(DISTINCT hits) = 0";
    assert_eq!(select(&db, hits), Vec::<Vec<String>>::new());
}

#[test]
fn policy_on_trial_gives_way_unless_it_is_confirmed_even_if_the_recorder_hangs() {
    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let file = |name: &str, action: &str| {
        let rule = format!("{{ name: {name}, to: [10.77.1.230], action: {action} }}");
        let path = policy(dir.path(), "allow", &[&rule]).with_file_name(format!("{name}.yaml"));
        fs::rename(dir.path().join("policy.yaml"), &path).unwrap();
        path
    };
    let (open, shut) = (file("open", "allow"), file("shut", "block"));
    let time = Duration::from_secs(if is_slow_machine() { 20 } else { 4 });
    let apply = |file: &Path| {
        let time = format!("{}s", time.as_secs());
        let mut command = egrets();
        command.args(["policy", "apply"]).arg(file);
        command.args(["--confirm", &time, "--db"]).arg(&db);
        command
    };
    let policy = |args: &[&str]| {
        let mut command = egrets();
        command.arg("policy").args(args).arg("--db").arg(&db);
        let output = command.output().unwrap();
        (code(&output), text(&output.stdout) + &text(&output.stderr))
    };
    let connect = || say(&net, "tcp", "10.77.1.230", 9);
    // What is applied is enforced, also by a recorder that observes.
    let recorder = start(&db, &open, &[]);
    assert_eq!(connect(), 0);
    let said = text(&apply(&shut).output().unwrap().stdout);
    let applied = Instant::now();
    let expected = ["shut.yaml: 1 rule, enforced until", "policy confirm"];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(connect(), libc::EPERM);
    let (status, said) = policy(&["reload"]);
    assert!(status == 2 && said.contains("not confirmed yet"), "{said}");
    let (_, said) = policy(&["status"]);
    assert!(
        said.contains("on trial") && said.contains("open.yaml is in force again"),
        "{said}"
    );
    recorder.signal("STOP");
    thread::sleep(time.saturating_sub(applied.elapsed()));
    assert_eq!(connect(), 0);
    recorder.signal("CONT");
    recorder.expect("not confirmed in time");
    // at a terminal
    let mut terminal = Command::new("script")
        .args(["-qec", &quoted(&apply(&shut)), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(b"what\nyes\n").unwrap();
    let output = terminal.wait_with_output().unwrap();
    drop(keys);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains("stays in force"),
        "{said}"
    );
    thread::sleep(time);
    assert_eq!(connect(), libc::EPERM);
    let (status, said) = policy(&["confirm"]);
    assert!(status == 2 && said.contains("no policy waits"), "{said}");
    // taken back at once
    assert!(apply(&open).status().unwrap().success());
    assert_eq!(connect(), 0);
    let (status, said) = policy(&["confirm", "--no"]);
    assert!(
        status == 0 && said.contains("shut.yaml: 1 rule, enforced again"),
        "{said}"
    );
    assert_eq!(connect(), libc::EPERM);
    assert_eq!(recorder.stop(), 0);
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    // of each, the policy that decided
    let rows = "SELECT rule, verdict, outcome,
                       (SELECT replace(file, rtrim(file, replace(file, '/', '')), '') FROM policies
                        WHERE digest = e.policy)
                FROM egress e WHERE dst_ip = '10.77.1.230' ORDER BY id";
    let (open, shut) = (
        "open allow refused open.yaml",
        "shut block denied shut.yaml",
    );
    assert_eq!(
        select(&db, rows),
        [open, shut, open, shut, open, shut].map(row)
    );
    let changes = select(&db, "SELECT reason FROM policy_changes ORDER BY id").concat();
    assert_eq!(
        changes.join(" "),
        "started applied refused reverted applied confirmed refused applied reverted"
    );
    let hits = "SELECT reason, rule, hits FROM policy_rules r JOIN policies p ON p.id = policy_id
                WHERE number ORDER BY p.id";
    assert_eq!(
        select(&db, hits),
        [
            "started open 2",
            "applied shut 1",
            "reverted open 0",
            "applied shut 1",
            "applied open 1",
            "reverted shut 1",
        ]
        .map(row)
    );
}

#[test]
fn policy_around_a_command_is_about_it_and_its_descendants_alone() {
    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let file = policy(
        dir.path(),
        "block",
        &["{ name: open, to: [10.77.1.241], action: allow }"],
    );
    let mut egrets = egrets();
    egrets.args(["record", "--enforce", "--policy"]).arg(&file);
    egrets.args(["--fail-on", "block"]);
    egrets.arg("--db").arg(&db).args(["--", "sh", "-c"]);
    // a process that is not below the command, meanwhile
    let others = say(&net, "tcp", "10.77.1.240", 9);
    let dial = dial().display().to_string();
    let shell = net.command("sh");
    let enter: Vec<_> = shell.get_args().map(|a| a.to_str().unwrap()).collect();
    let enter = format!("ip {}", enter.join(" "));
    let script =
        format!("{enter} -c 'for i in 0 1; do {dial} tcp 10.77.1.24$i 9; done; sleep 2'; exit 7");
    let child = std::thread::scope(|scope| {
        let child = scope.spawn(|| egrets.arg(script).output().unwrap());
        eventually("the command is refused", || {
            assert_eq!(say(&net, "tcp", "10.77.1.240", 9), others);
            child.is_finished().then_some(())
        });
        child.join().unwrap()
    });
    assert_eq!(child.status.code(), Some(3), "{}", text(&child.stderr));
    let only = policy(
        dir.path(),
        "allow",
        &["{ name: seen, to: [192.0.2.1], action: block }"],
    );
    let unhurt = egrets_with(&only, dir.path())
        .args(["sh", "-c", "exit 7"])
        .output()
        .unwrap();
    assert_eq!(unhurt.status.code(), Some(7), "{}", text(&unhurt.stderr));
    let sql = "SELECT dst_ip, outcome, verdict, rule FROM egress ORDER BY id";
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        "10.77.1.240 denied block default",
        "10.77.1.241 refused allow open",
    ];
    assert_eq!(select(&db, sql), rows.map(row));
}

/// A container is unknown until its runtime has described it, and never the host.
#[test]
fn new_cgroup_of_a_container_is_unknown_and_not_the_hosts() {
    let net = Net::new();
    let (dir, db) = history();
    let file = dir.path().join("policy.yaml");
    let rules =
        "rules:\n  - { name: named, who: { container: '*' }, to: [10.77.0.2], action: alert }\n";
    let head = "version: 1\ndefault: allow\nunknown_containers: block\n";
    fs::write(&file, format!("{head}{rules}")).unwrap();
    let recorder = start(&db, &file, &[]);
    let id = format!("{:064x}", std::process::id());
    let above = Cgroup::new("docker");
    let cgroup = Cgroup::new(&format!("docker/{id}"));
    let mut command = net.command(dial());
    command.args(["tcp", FAR4, "9"]);
    let _ = cgroup.run(command, true).output().unwrap();
    drop(cgroup);
    drop(above);
    assert_eq!(recorder.stop(), 0);
    let sql = format!("SELECT verdict, rule FROM egress WHERE container_id = '{id}'");
    assert_eq!(select(&db, &sql), [["block", "unknown_containers"]]);
}

/// A bash that connects and waits, with no more than `text` in its environment.
fn waiting(net: &Net, ip: &str, text: &str) -> Guard {
    let script = format!("{{ : </dev/tcp/{ip}/9; }} 2>/dev/null; read -r -t 30 line");
    let mut command = net.command("env");
    command.args(["-i", &format!("TEXT={text}"), "bash", "-c", &script]);
    Guard(command.stdin(Stdio::piped()).spawn().unwrap())
}

fn signal_that_ended(process: &mut Guard) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    eventually("the process ends", || process.0.try_wait().unwrap()).signal()
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

#[test]
fn process_of_a_refused_connection_is_suspended_killed_or_dumped_and_the_host_spared() {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let file = policy(
        dir.path(),
        "allow",
        &[
            "{ name: suspends, to: [10.77.1.80], action: suspend }",
            "{ name: kills, to: [10.77.1.81], action: kill }",
            "{ name: dumps, to: [10.77.1.82], action: dump }",
            "{ name: observes, to: [10.77.1.83], action: kill, mode: observe }",
            "{ name: often, to: [10.77.1.84], action: kill }",
        ],
    );
    let dumps = dir.path().join("dumps");
    let dump_dir = dumps.to_str().unwrap();
    let args = ["--policy", file.to_str().unwrap(), "--enforce", "--print"];

    // without a place for dumps, and with one that others can look into
    let mut refused = egrets();
    refused.args(["record", "--db"]).arg(&db).args(args);
    let said = text(&refused.output().unwrap().stderr);
    assert!(said.contains("--dump-dir"), "{said}");
    fs::DirBuilder::new().mode(0o755).create(&dumps).unwrap();
    let said = text(
        &refused
            .args(["--dump-dir", dump_dir])
            .output()
            .unwrap()
            .stderr,
    );
    assert!(said.contains("chmod 700"), "{said}");
    fs::remove_dir(&dumps).unwrap();

    let log = dir.path().join("log");
    let mut command = egrets();
    command.stdout(fs::File::create(&log).unwrap());
    let recorder = Recorder::start_with(
        &db,
        &[&args[..], &["--dump-dir", dump_dir]].concat(),
        command,
    );

    let shown = egrets().args(["status", "--db"]).arg(&db).output().unwrap();
    let shown = text(&shown.stdout);
    let held = "actions      CAP_KILL CAP_SYS_PTRACE; no_new_privs";
    assert!(shown.contains(held), "{shown}");

    let suspended = waiting(&net, "10.77.1.80", "");
    let pid = suspended.0.id();
    eventually("it is stopped", || (state(pid) == 'T').then_some(()));
    send_signal(pid, libc::SIGCONT);
    eventually("it continues", || (state(pid) == 'S').then_some(()));
    let mut killed = waiting(&net, "10.77.1.81", "");
    assert_eq!(signal_that_ended(&mut killed), Some(libc::SIGKILL));
    let marker = format!("marker-{}", std::process::id());
    let mut dumped = waiting(&net, "10.77.1.82", &marker);
    assert_eq!(signal_that_ended(&mut dumped), Some(libc::SIGKILL));
    let mut observed = waiting(&net, "10.77.1.83", "");

    // one of the host's resolvers, to which a rule applies: it is refused and left alone
    let mut stub = net.command("dnsmasq");
    stub.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
    ])
    .args([
        "--no-hosts",
        "--pid-file=",
        "--user=root",
        "--bind-interfaces",
    ])
    .args(["--listen-address=127.0.0.9", "--server=10.77.1.81"]);
    let mut stub = Guard(stub.spawn().unwrap());
    eventually("the resolver asks", || {
        net.near(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
            let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01x\x04test\0\0\x01\0\x01";
            socket.send_to(query, "127.0.0.9:53").ok()
        });
        let sql = "SELECT count(*) FROM egress WHERE action_outcome = 'exempt'";
        (value::<i64>(&db, sql) > 0).then_some(())
    });
    assert!(stub.0.try_wait().unwrap().is_none());

    let mut many: Vec<Guard> = (0..24).map(|_| waiting(&net, "10.77.1.84", "")).collect();
    let sql = "SELECT count(action_outcome) FROM egress WHERE rule = 'often'";
    eventually("all are decided", || {
        (value::<i64>(&db, sql) == 24).then_some(())
    });
    let ended = |process: &mut Guard| process.0.try_wait().unwrap().is_some();
    eventually("20 end", || {
        (many
            .iter_mut()
            .filter_map(|p| ended(p).then_some(()))
            .count()
            == 20)
            .then_some(())
    });
    assert!(!ended(&mut observed));
    assert_eq!(recorder.stop(), 0);

    let sql = "SELECT rule, verdict, outcome, coalesce(action_outcome, '-'), count(*) FROM egress
               WHERE rule <> 'default' AND rule <> 'essential' AND protocol = 'tcp' GROUP BY 1, 2, 3, 4 ORDER BY 1, 4";
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        "dumps dump denied done 1",
        "kills kill denied done 1",
        "observes kill refused - 1",
        "often kill denied done 20",
        "often kill denied rate_limit 4",
        "suspends suspend denied done 1",
    ];
    assert_eq!(select(&db, sql), rows.map(row));
    let said = fs::read_to_string(&log).unwrap();
    for event in [
        "process.suspended comm=bash",
        "process.killed comm=bash",
        "process.spared comm=dnsmasq",
        "why=\"it is /usr/sbin/dnsmasq\"",
    ] {
        assert!(said.contains(event), "{event}: {said}");
    }
    let [core] = &fs::read_dir(&dumps).unwrap().collect::<Vec<_>>()[..] else {
        panic!("one dump");
    };
    let core = core.as_ref().unwrap();
    let path = core.path().display().to_string();
    assert!(said.contains(&format!("file={path}")), "{said}");
    assert_eq!(core.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(core.path()).unwrap();
    // e_type, elf(5): ET_CORE
    assert_eq!((&bytes[..4], bytes[16]), (&b"\x7fELF"[..], 4));
    let found = bytes
        .windows(marker.len())
        .any(|at| at == marker.as_bytes());
    assert!(found, "its memory is in the dump");
}

fn send_signal(pid: u32, signal: i32) {
    // SAFETY: signals a child of this process.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Gives up the rights of root, for this thread.
fn give_up_root() {
    const USER: u32 = 65_534;
    become_user(USER);
}

/// A process names an address that is open, and sends to another one first.
fn send_by_source_routes(net: &Net) {
    net.near(|| {
        let hop4: Ipv4Addr = FAR4.parse().unwrap();
        let (end6, hop6): (Ipv6Addr, Ipv6Addr) =
            ("fd99::80".parse().unwrap(), FAR6.parse().unwrap());
        // loose source route and record, RFC 791; then the end of the options
        let option = [&[131, 7, 4][..], &hop4.octets(), &[0]].concat();
        // segment routing header, RFC 8754
        let header = [
            &[0, 4, 4, 1, 1, 0, 0, 0][..],
            &end6.octets(),
            &hop6.octets(),
        ]
        .concat();
        for (domain, level, name, route, hop, ip) in [
            (
                Domain::IPV4,
                libc::IPPROTO_IP,
                libc::IP_OPTIONS,
                &option,
                SocketAddr::new(hop4.into(), 4443),
                "203.0.113.80",
            ),
            (
                Domain::IPV6,
                libc::IPPROTO_IPV6,
                libc::IPV6_RTHDR,
                &header,
                SocketAddr::new(hop6.into(), 4443),
                "fd99::80",
            ),
        ] {
            // IPv4's is a privilege
            if domain == Domain::IPV6 {
                give_up_root();
            }
            let to = SocketAddr::new(ip.parse().unwrap(), 4443).into();
            let datagrams = Socket::new(domain, Type::DGRAM, None).unwrap();
            // the hop itself is open
            datagrams.send_to(b"x", &hop.into()).unwrap();
            set_option(&datagrams, level, name, route);
            let error = datagrams.send_to(b"x", &to).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{ip}");
            // its SYN never leaves
            let stream = Socket::new(domain, Type::STREAM, None).unwrap();
            set_option(&stream, level, name, route);
            stream.set_nonblocking(true).unwrap();
            assert!(stream.connect(&to).is_err());
        }
    });
}

#[test]
fn source_routes_and_uring_mptcp_and_sctp_are_refused_and_a_rule_ends_when_it_expires() {
    let net = Net::new();
    net.many_addresses();
    for [family, to, via] in [["-4", "203.0.113.0/24", FAR4], ["-6", "fd99::/64", FAR6]] {
        ok(net
            .command("ip")
            .args([family, "route", "add", to, "via", via]));
    }
    let (dir, db) = history();
    let all = "{ name: all, to: [10.77.1.112/28], action: block }";
    let file = policy(dir.path(), "allow", &[all]);
    let recorder = start(&db, &file, &["--enforce"]);
    send_by_source_routes(&net);
    let mut expected = vec![
        "tcp 203.0.113.80 source_routing",
        "tcp fd99::80 source_routing",
        "udp 203.0.113.80 source_routing",
        "udp fd99::80 source_routing",
    ];
    for (way, ip, row) in [
        ("uring", "10.77.1.113", "tcp 10.77.1.113 all"),
        ("mptcp", "10.77.1.114", "tcp 10.77.1.114 all"),
    ] {
        let said = ok(net.command(dial()).args(["try", way, ip, "9"]));
        match said.trim().rsplit_once(' ').unwrap() {
            (_, "absent") => {}
            (_, errno) => {
                assert_eq!(errno, libc::EPERM.to_string(), "{way}");
                expected.push(row);
            }
        }
    }
    net.near(|| {
        let sctp = Socket::new(Domain::IPV4, Type::STREAM, Some(libc::IPPROTO_SCTP.into()));
        let Ok(sctp) = sctp else { return };
        sctp.set_nonblocking(true).unwrap();
        let to = SocketAddr::new("10.77.1.115".parse().unwrap(), 9);
        assert!(sctp.connect(&to.into()).is_err());
        expected.push("sctp 10.77.1.115 all");
        drop(sctp);
        escapes::sctp_reaches_no_second_address(&net, "10.77.1.132", "10.77.1.115");
    });

    // longer where the machine is slower
    let is_refused = [2, 10, 60].iter().any(|seconds| {
        let expires = chrono::Utc::now() + chrono::TimeDelta::seconds(*seconds);
        let expires = expires.format("%Y-%m-%dT%H:%M:%SZ");
        let rule =
            format!("{{ name: brief, to: [10.77.1.129], action: block, expires: {expires} }}");
        policy(dir.path(), "allow", &[all, &rule]);
        recorder.signal("HUP");
        recorder.expect("policy ");
        say(&net, "tcp", "10.77.1.129", 9) == libc::EPERM
    });
    assert!(is_refused);
    eventually("the rule expires", || {
        (say(&net, "tcp", "10.77.1.129", 9) == 0).then_some(())
    });
    expected.push("tcp 10.77.1.129 brief");
    assert_eq!(recorder.stop(), 0);

    let sql = "SELECT DISTINCT protocol, dst_ip, rule FROM egress
               WHERE outcome = 'denied' AND verdict = 'block' ORDER BY 1, 2";
    expected.sort_unstable();
    let expected = expected
        .iter()
        .map(|row| row.split(' ').map(str::to_owned).collect());
    assert_eq!(select(&db, sql), expected.collect::<Vec<Vec<_>>>());
}

#[test]
fn policy_around_the_command_of_a_user_who_called_sudo_is_enforced() {
    let (dir, db) = history();
    let rules = ["{ name: open, to: [127.77.1.2], action: allow }"];
    let file = policy(dir.path(), "block", &rules);
    // loopback is open unless the policy says otherwise
    let text_of_file = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("essentials: {{ loopback: false }}\n{text_of_file}"),
    )
    .unwrap();
    let script = "id -u; for i in 1 2; do bash -c \"</dev/tcp/127.77.1.$i/9\"; done";
    let mut egrets = egrets();
    egrets.args(["record", "--enforce", "--policy"]).arg(&file);
    egrets
        .arg("--db")
        .arg(&db)
        .args(["--", "bash", "-c", script]);
    let output = egrets
        .env("SUDO_UID", "33")
        .env("SUDO_GID", "33")
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "33\n", "{}", text(&output.stderr));
    let sql = "SELECT dst_ip, uid, outcome, verdict, rule FROM egress ORDER BY id";
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        "127.77.1.1 33 denied block default",
        "127.77.1.2 33 refused allow open",
    ];
    assert_eq!(select(&db, sql), rows.map(row));
}

/// What a notified program gets, and what it may not cause; beside it, systemd's journal, in a
/// mount namespace in which this test has its socket.
#[test]
fn what_a_policy_stops_is_notified_once_and_what_a_notification_causes_is_not() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;

    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let out = dir.path().join("events");
    let program = dir.path().join("notify");
    let script = format!(
        "#!/bin/sh\ncat >> {}\n{} tcp 10.77.1.98 9\nexit 5\n",
        out.display(),
        dial().display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let rules = "rules:
  - { name: stop, to: [10.77.1.96, 10.77.1.98], action: block }
  - { name: watch, to: [10.77.1.97], action: alert }
";
    let file = dir.path().join("policy.yaml");
    let write = |notify: &str| {
        let text = format!("version: 1\ndefault: allow\nnotify: {{ {notify} }}\n{rules}");
        fs::write(&file, text).unwrap();
    };
    write(&format!("journald: true, exec: [{}]", program.display()));

    let mut host = Command::new("unshare");
    let mount = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && exec \"$@\"";
    host.args(["--mount", "sh", "-c", mount, "sh"])
        .arg(egrets().get_program());
    let args = ["--policy", file.to_str().unwrap(), "--enforce"];
    let recorder = Recorder::start_with(&db, &args, host);
    let pid = recorder.pid();
    let journal = format!("/proc/{pid}/root/run/systemd/journal/socket");
    let journal = UnixDatagram::bind(journal).unwrap();
    journal
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();

    for _ in 0..3 {
        assert_eq!(say(&net, "tcp", "10.77.1.96", 9), libc::EPERM);
    }
    say(&net, "tcp", "10.77.1.97", 9);
    let count = || fs::read_to_string(&out).unwrap_or_default().lines().count();
    eventually("two notifications", || (count() == 2).then_some(()));
    recorder.expect("notifications that failed");
    assert_eq!(say(&net, "tcp", "10.77.1.96", 10), libc::EPERM);
    eventually("the next one", || (count() == 3).then_some(()));
    eventually("the program connects", || {
        let sql = "SELECT count(*) FROM egress WHERE dst_ip = '10.77.1.98' AND verdict = 'block'";
        (value::<i64>(&db, sql) >= 3).then_some(())
    });
    let held = ok(egrets().args(["status", "--db"]).arg(&db));
    assert!(
        held.contains("notifier     no capabilities; no_new_privs"),
        "{held}"
    );
    write("journald: true");
    let reload = egrets()
        .args(["policy", "reload", "--db"])
        .arg(&db)
        .output();
    let said = text(&reload.unwrap().stderr);
    assert!(said.contains("restart the recorder"), "{said}");
    assert_eq!(recorder.stop(), 0);

    let events: Vec<serde_json::Value> = fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut seen: Vec<String> = events
        .iter()
        .map(|e| {
            format!(
                "{} {} {}:{} {} suppressed {}",
                e["event"].as_str().unwrap(),
                e["rule"].as_str().unwrap(),
                e["dst_ip"].as_str().unwrap(),
                e["dst_port"],
                e["comm"].as_str().unwrap(),
                e["suppressed"]
            )
        })
        .collect();
    seen.sort();
    let comm = events[0]["comm"].as_str().unwrap();
    assert_eq!(
        seen,
        [
            format!("alert watch 10.77.1.97:9 {comm} suppressed 0"),
            format!("blocked stop 10.77.1.96:10 {comm} suppressed 2"),
            format!("blocked stop 10.77.1.96:9 {comm} suppressed 0"),
        ]
    );
    for _ in 0..3 {
        let mut datagram = [0; 1 << 16];
        let len = journal.recv(&mut datagram).unwrap();
        let said = text(&datagram[..len]);
        assert!(said.contains("EGRETS_RULE\n"), "{said}");
        assert!(said.contains("SYSLOG_IDENTIFIER\n"), "{said}");
    }
    journal.set_nonblocking(true).unwrap();
    assert!(journal.recv(&mut [0; 16]).is_err(), "no fourth");
}
