//! An unprivileged user against a running recorder, and a victim beside it: all of the victim's
//! rows are in the history with their right names, and the recorder costs no more than it may.
//! What is measured is a table of docs/security.md. EGRETS_TEST_ATTACKS="names forge" runs those
//! alone.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::*;

/// How long the victim's last connection may take to be in the history.
const MAX_LAG: Duration = Duration::from_secs(60);
/// Resident memory, in MiB.
const MAX_MEMORY: f64 = 512.0;
/// Seconds that an attack is given.
const ATTACK: &str = "60";

const ATTACKER: u32 = 65_534;
const VICTIM: u32 = 33;
/// Connections of the victim that follow a lookup.
const NAMED: usize = 64;
/// An address that the victim connects to without a lookup.
const RAW: &str = "10.77.1.9";

struct Attack {
    name: &'static str,
    title: &'static str,
    argument: fn(&Setting) -> Vec<String>,
    recorder: Which,
}

enum Which {
    /// The one that runs.
    Running,
    /// One that starts when the attack is under way.
    New,
    /// The same, whose log is not read.
    NewUnread,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "quiet",
        title: "none",
        argument: |_| vec![],
        recorder: Which::Running,
    },
    Attack {
        name: "amplify",
        title: "DNS answers of 3,900 addresses, from a server of one's own",
        argument: |_| vec![],
        recorder: Which::Running,
    },
    Attack {
        name: "names",
        title: "names for the victim's destinations, and 1,000 others a lookup",
        argument: |_| vec![FAR4.into()],
        recorder: Which::Running,
    },
    Attack {
        name: "forge",
        title: "answers without a query, to all of the victim's ports",
        argument: |_| vec![FAR4.into()],
        recorder: Which::Running,
    },
    Attack {
        name: "destinations",
        title: "a datagram each to random destinations",
        argument: |_| vec![FAR4.into()],
        recorder: Which::Running,
    },
    Attack {
        name: "cgroups",
        title: "cgroups made and removed, half of them named as containers",
        argument: |setting| vec![setting.cgroup.display().to_string()],
        recorder: Which::Running,
    },
    Attack {
        name: "dials",
        title: "connections, as many as two processes can make",
        argument: |_| vec![],
        recorder: Which::Running,
    },
    Attack {
        name: "execs",
        title: "programs with a megabyte of arguments",
        argument: |_| vec![],
        recorder: Which::Running,
    },
    Attack {
        name: "hosts",
        title: "mount namespaces whose /etc/hosts is a FIFO, a link, a directory, 20 MB",
        argument: |_| vec![],
        recorder: Which::Running,
    },
    Attack {
        name: "fuse",
        title: "mount namespaces whose /etc/hosts is on FUSE and never answers",
        argument: |setting| vec![setting.fuse()],
        recorder: Which::Running,
    },
    Attack {
        name: "sockets",
        title: "131,072 UDP sockets that have named a destination",
        argument: |_| vec![volume(131_072).to_string()],
        recorder: Which::Running,
    },
    Attack {
        name: "reader",
        title: "a reader's locks, held for 7 of 8 s",
        argument: |setting| vec![setting.db.display().to_string()],
        recorder: Which::Running,
    },
    Attack {
        name: "descriptors",
        title: "900,000 descriptors of one socket, from before the recorder",
        argument: |_| vec![volume(900_000).to_string()],
        recorder: Which::New,
    },
    Attack {
        name: "namespaces",
        title: "700 network and mount namespaces from before the recorder, and ever more",
        argument: |_| vec![volume(700).to_string()],
        recorder: Which::New,
    },
    Attack {
        name: "refused",
        title: "2,000 connections a second, and a log on stdout that is not read",
        argument: |_| vec![],
        recorder: Which::NewUnread,
    },
];

struct Setting {
    net: Net,
    http: String,
    echo: String,
    db: PathBuf,
    /// A cgroup that belongs to the attacker, as systemd delegates them.
    cgroup: PathBuf,
    recorder: Option<Recorder>,
    /// Of its log, if that is not read.
    _log: Option<PipeReader>,
}

impl Setting {
    fn pid(&self) -> u32 {
        self.recorder.as_ref().unwrap().pid()
    }

    /// A device that any user may open, as most distributions have it.
    fn fuse(&self) -> String {
        let device = self.db.with_file_name("fuse");
        if !device.exists() {
            // Documentation/admin-guide/devices.txt
            run(
                "mknod",
                &["-m", "666", device.to_str().unwrap(), "c", "10", "229"],
            );
        }
        device.display().to_string()
    }

    fn start_recorder(&mut self, which: &Which) {
        if let Some(before) = self.recorder.take() {
            assert_eq!(before.stop(), 0);
        }
        let mut egrets = egrets();
        let mut args = vec!["--group".to_string(), ATTACKER.to_string()];
        if let Which::NewUnread = which {
            let (reader, writer) = std::io::pipe().unwrap();
            egrets.stdout(writer);
            args.push("--print".to_string());
            self._log = Some(reader);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.recorder = Some(Recorder::start_with(&self.db, &args, egrets));
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // The last of the attacker's processes may be about to end.
        for _ in 0..50 {
            if fs::remove_dir(&self.cgroup).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn victims_rows_are_complete_and_right_under_every_attack() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    net.many_addresses();
    let (dir, db) = history();
    // for the group of --group
    run("chmod", &["755", dir.path().to_str().unwrap()]);
    let cgroup = cgroup2().join(format!("egrets-attack-{}", std::process::id()));
    fs::create_dir(&cgroup).unwrap();
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        let path = cgroup.join(file);
        std::os::unix::fs::chown(&path, Some(ATTACKER), Some(ATTACKER)).unwrap();
    }
    let mut setting = Setting {
        http: net.http("x").to_string(),
        echo: net.echo().to_string(),
        net,
        db,
        cgroup,
        recorder: None,
        _log: None,
    };
    setting.start_recorder(&Which::New);
    let mut wrong = Vec::new();
    let only = std::env::var("EGRETS_TEST_ATTACKS").ok();
    let is_wanted = |attack: &&Attack| {
        only.as_ref()
            .is_none_or(|o| o.split(' ').any(|n| n == attack.name))
    };
    for attack in ATTACKS.iter().filter(is_wanted) {
        let measured = measure(&mut setting, attack);
        let line = format!(
            "\nsecurity: {} | {} | {:.2} | {:.0} | {:.1}\n",
            attack.title, measured.rows, measured.cpu, measured.memory, measured.lag
        );
        // what println prints of a test that passes is not shown
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        wrong.extend(
            measured
                .wrong
                .iter()
                .map(|w| format!("{}: {w}", attack.name)),
        );
    }
    let recorder = setting.recorder.take().unwrap();
    let said = recorder.said().len();
    assert_eq!(wrong, Vec::<String>::new());
    assert!(said < 200, "{said} lines on stderr");
    assert_eq!(recorder.stop(), 0);
}

struct Measured {
    /// Of the victim, right ones / all that happened.
    rows: String,
    /// Seconds of processor time per second.
    cpu: f64,
    /// Most MiB resident.
    memory: f64,
    /// Seconds from the victim's last connection to its row.
    lag: f64,
    wrong: Vec<String>,
}

fn measure(setting: &mut Setting, attack: &Attack) -> Measured {
    let mut attacker = start(setting, attack);
    let began = Instant::now();
    let mut ticks = 0;
    if let Which::Running = attack.recorder {
        fs::write(format!("/proc/{}/clear_refs", setting.pid()), "5").unwrap();
        ticks = cpu_ticks(setting.pid());
    } else {
        setting.start_recorder(&attack.recorder);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let from = now.as_nanos() as i64;
    // What is built up first is part of an attack.
    std::thread::sleep(Duration::from_secs(2));
    let mut wrong = act(setting);
    let ended = Instant::now();
    let last = format!(
        "SELECT count(*) FROM egress WHERE ts >= {from} AND uid = {VICTIM} AND dst_ip = '{RAW}'
         AND duration_us IS NOT NULL"
    );
    while value::<i64>(&setting.db, &last) == 0 && ended.elapsed() < MAX_LAG {
        std::thread::sleep(Duration::from_millis(50));
    }
    let lag = ended.elapsed();
    let cpu = (cpu_ticks(setting.pid()) - ticks) as f64 / 100.0 / began.elapsed().as_secs_f64();
    let memory = peak_kib(setting.pid()) as f64 / 1024.0;
    let _ = attacker.0.kill();
    let _ = attacker.0.wait();
    drop(attacker);
    end_attackers();
    settle(setting);
    if lag >= MAX_LAG {
        wrong.push(format!(
            "the victim's last row is late by more than {lag:?}"
        ));
    }
    if memory > MAX_MEMORY {
        wrong.push(format!("{memory} MiB"));
    }
    let (right, unexpected) = rows(setting, from);
    if right != NAMED + 2 || !unexpected.is_empty() {
        wrong.push(format!(
            "{right} of {} rows, wrong: {unexpected:?}",
            NAMED + 2
        ));
    }
    Measured {
        rows: format!("{right}/{}", NAMED + 2),
        cpu,
        memory,
        lag: lag.as_secs_f64(),
        wrong,
    }
}

/// Waits until all that has happened is in the history: each attack is measured by itself.
fn settle(setting: &Setting) {
    const MARK: &str = "127.77.0.3";
    static PORT: AtomicU16 = AtomicU16::new(1);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let _ = setting.net.near(|| TcpStream::connect((MARK, port)));
    let mark = format!("SELECT count(*) FROM egress WHERE dst_ip = '{MARK}' AND dst_port = {port}");
    eventually("the recorder has caught up", || {
        (value::<i64>(&setting.db, &mark) > 0).then_some(())
    });
}

/// The attacker, in its cgroup and the victim's network, and in a session of its own: the
/// scheduler shares the processors among sessions.
fn start(setting: &Setting, attack: &Attack) -> Guard {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/attack.py");
    // Not 'ip netns exec', which hides the cgroups.
    let join = format!(
        "echo $$ >{}/cgroup.procs && exec nsenter --net=/run/netns/{} \"$@\"",
        setting.cgroup.display(),
        setting.net.near
    );
    let id = ATTACKER.to_string();
    let program = fs::read_to_string(tool).unwrap();
    let mut attacker = Command::new("sh")
        .args(["-c", &join, "sh", "setsid", "setpriv", "--reuid", &id])
        .args(["--regid", &id, "--clear-groups", "--inh-caps=-all"])
        .args(["--no-new-privs", "/usr/bin/python3", "-c", &program])
        .args([attack.name, ATTACK])
        .args((attack.argument)(setting))
        .current_dir("/")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(attacker.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{}", attack.name);
    Guard(attacker)
}

/// All that the attacker has started. Processes of this user are the test's own.
fn end_attackers() {
    let procs = cgroup2().join(format!("egrets-attack-{}/cgroup.procs", std::process::id()));
    for _ in 0..100 {
        let left = fs::read_to_string(&procs).unwrap_or_default();
        if left.is_empty() {
            return;
        }
        for pid in left.lines() {
            let _ = Command::new("kill").args(["-9", pid]).output();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The victim's traffic. What failed of it: then its rows can't be judged.
fn act(setting: &Setting) -> Vec<String> {
    let id = VICTIM.to_string();
    let named = NAMED.to_string();
    let all: [&[&str]; 3] = [
        &["each", "1", &named, &setting.http],
        &["udp", FAR4, &setting.echo, "20", "100"],
        &["tcp", RAW, &setting.http],
    ];
    let mut failed = Vec::new();
    for args in all {
        let output = setting
            .net
            .command("setpriv")
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .arg(dial())
            .args(args)
            .output()
            .unwrap();
        if !output.status.success() {
            failed.push(format!("the victim's {args:?}: {}", text(&output.stderr)));
        }
    }
    failed
}

/// How many of the victim's rows are right, and those that are not.
fn rows(setting: &Setting, from: i64) -> (usize, Vec<Vec<String>>) {
    let own = format!(
        "ts >= {from} AND uid = {VICTIM} AND netns = {}",
        setting.net.near_inode()
    );
    let right = format!(
        "exe LIKE '%/dial' AND user = 'www-data' AND container_id IS NULL AND CASE
           WHEN dst_ip = '{RAW}' THEN outcome = 'connected' AND host IS NULL
           WHEN protocol = 'tcp' THEN outcome = 'connected' AND host_source = 'process'
               AND cmdline LIKE '% tcp ' || host || ' {http}' AND lookup_id IS NOT NULL
           ELSE tx_bytes = 2000 AND rx_bytes = 2000 AND cmdline LIKE '% udp %'
         END",
        http = setting.http
    );
    // Lookups are rows of dns; their flows are in egress as well.
    let shown = format!(
        "SELECT protocol, dst_ip, host, host_source, outcome, exe, cmdline, container_id, tx_bytes
         FROM egress WHERE {own} AND dst_port <> 53 AND NOT coalesce({right}, 0)"
    );
    let count = format!(
        "SELECT count(*) FROM egress WHERE {own} AND dst_port <> 53 AND coalesce({right}, 0)"
    );
    let right: i64 = value(&setting.db, &count);
    (right as usize, select(&setting.db, &shown))
}

/// Of all threads, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kib| kib.trim().strip_suffix(" kB"));
    peak.unwrap().parse().unwrap()
}

/// Types into every terminal that it can reach, then waits for Ctrl-C.
const TYPES: &str = "
import fcntl, os, signal, sys, termios
print(os.get_terminal_size(0), flush=True)
os.close(os.open(os.ttyname(0), os.O_RDWR))
for path in ('/dev/stdin', '/dev/stdout', '/dev/stderr', '/dev/tty', sys.argv[1]):
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        for byte in b'typed\\n':
            fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
    except OSError:
        pass
def interrupted(*_):
    print('interrupted', flush=True)
    sys.exit(9)
signal.signal(signal.SIGINT, interrupted)
print('ready', flush=True)
signal.pause()
";

#[test]
fn command_cannot_type_into_the_terminal_that_egrets_runs_on() {
    let (dir, db) = history();
    let program = dir.path().join("types.py");
    std::fs::write(&program, TYPES).unwrap();
    let (egrets, program, db) = (
        env!("CARGO_BIN_EXE_egrets"),
        program.display(),
        db.display(),
    );
    run("chmod", &["755", dir.path().to_str().unwrap()]);
    let script = format!(
        "stty rows 33 cols 77; SUDO_UID=33 {egrets} record --db {db} -- python3 {program} $(tty); \
         echo status $?; read -r -t 1 line; echo left: $line."
    );
    let mut terminal = Command::new("script")
        .args(["-qec", &format!("bash -c '{script}'"), "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut said = String::new();
    let mut shown = BufReader::new(terminal.stdout.take().unwrap());
    while shown.read_line(&mut said).unwrap() > 0 {
        if said.ends_with("ready\r\n") {
            keys.write_all(b"\x03").unwrap();
        }
    }
    terminal.wait().unwrap();
    assert!(said.contains("columns=77, lines=33"), "{said}");
    assert!(said.contains("interrupted\r\n"), "{said}");
    assert!(said.contains("status 9\r\nleft: .\r\n"), "{said}");
}

#[test]
fn exposure_of_the_units_is_at_most_2_5_and_2() {
    let dir = tempfile::tempdir().unwrap();
    for (name, threshold) in [
        ("egrets.service", 25),
        ("egrets-serve.service", 20),
        ("egrets-ship.service", 20),
    ] {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
        let unit = fs::read_to_string(unit.join(name))
            .unwrap()
            .replace("@PREFIX@", "/usr");
        let path = dir.path().join(name);
        fs::write(&path, unit).unwrap();
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true"])
            .arg(format!("--threshold={threshold}"))
            .arg(&path)
            .output()
            .unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn tests_that_the_pages_on_security_and_policies_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for dir in ["src", "tests"] {
        read_all(&root.join(dir), &mut sources);
    }
    for (page, chapter) in [
        ("docs/security.md", "## Promises"),
        ("docs/policy.md", "## How it was tried"),
    ] {
        let page = fs::read_to_string(root.join(page)).unwrap();
        let chapter = page.split(chapter).nth(1).unwrap();
        let chapter = chapter.split("\n## ").next().unwrap();
        let names: Vec<&str> = chapter
            .split('`')
            .filter_map(|code| code.rsplit_once("::").map(|(_, name)| name))
            .filter(|name| !name.contains(' '))
            .collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let test = format!("#[test]\nfn {name}("); // a property has arguments
            assert!(sources.contains(&test), "no test {name}");
        }
    }
}

/// The text of all Rust files, without their indentation.
fn read_all(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                into.push_str(line.trim_start());
                into.push('\n');
            }
        }
    }
}
