//! `--pin`: a policy that stays in force without its recorder, until the next one takes over or it
//! is unpinned. Each test has a BPF file system of its own, so that nothing outlives it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::libbpf_sys;

use crate::support::*;

/// Addresses of 10.77.1.0/24 below 240 are open to names alone, on the near side of the test's own
/// veth. Those above are another test's, which runs beside it.
const RULES: &str = r#"
version: 1
resolvers: [10.77.0.2, 10.77.1.3]
default: allow
rules:
  - { name: named, to: [allowed.test], action: allow, private: true }
  - name: the rest
    to: [10.77.1.0/25, 10.77.1.128/26, 10.77.1.192/27, 10.77.1.224/28]
    action: block
  - { name: the host's, who: { host: true }, to: [127.77.0.1], action: allow }
  - { name: of others, to: [127.77.0.1], action: block }
"#;

const PINS: &str = "/sys/fs/bpf/egrets";
const RESOLVER: &str = "10.77.0.2:53";
/// Takes its time.
const SLOW_RESOLVER: &str = "10.77.1.3";
const SLOWNESS: Duration = Duration::from_millis(300);
/// Sends first.
const PEER: &str = "10.77.1.7";

/// With a BPF file system, or with none.
struct Mounts(MountNamespace);

impl Mounts {
    fn new(bpffs: bool) -> Mounts {
        Mounts(MountNamespace::new(|| {
            let at = c"/sys/fs/bpf";
            // SAFETY: a text that ends with NUL.
            while unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) } == 0 {}
            if bpffs {
                mount(c"bpf", at);
            }
        }))
    }

    fn start(&self, db: &Path, policy: &Path, more: &[&str]) -> Recorder {
        let policy = policy.to_str().unwrap();
        let args = [&["--policy", policy, "--enforce"], more].concat();
        Recorder::start_with(db, &args, self.0.within(egrets()))
    }

    fn policy(&self, db: Option<&Path>, args: &[&str]) -> (i32, String) {
        let mut command = egrets();
        command.arg("policy").args(args);
        if let Some(db) = db {
            command.arg("--db").arg(db);
        }
        said(&self.0.within(command).output().unwrap())
    }

    /// Directories of recorders.
    fn pinned(&self) -> usize {
        let below = |dir: PathBuf| {
            let entries = fs::read_dir(dir).into_iter().flatten();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let count = || {
            let layouts = below(Path::new(PINS).to_owned());
            layouts.into_iter().flat_map(below).count()
        };
        self.0.inside(count)
    }
}

/// A cgroup that no recorder has seen.
struct NewCgroup(PathBuf);

impl NewCgroup {
    fn new() -> NewCgroup {
        let path = cgroup2().join("egrets-test-pin");
        fs::create_dir_all(&path).unwrap();
        NewCgroup(path)
    }

    /// What a connection from there ends with.
    fn dial(&self, ip: &str) -> String {
        let (procs, dial) = (self.0.join("cgroup.procs"), dial());
        let script = format!(
            "echo $$ > {} && exec {} tcp {ip} 9",
            procs.display(),
            dial.display()
        );
        said(&Command::new("sh").args(["-c", &script]).output().unwrap()).1
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn said(output: &Output) -> (i32, String) {
    (code(output), text(&output.stdout) + &text(&output.stderr))
}

fn file(dir: &Path, name: &str, more: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("{RULES}{more}")).unwrap();
    path
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, last)
}

/// The answer is the address whose last byte the name begins with.
fn numbered(query: &[u8]) -> Vec<Vec<u8>> {
    let digits = query[13..].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |n, byte| n * 10 + u32::from(byte - b'0'));
    vec![addresses(query, &[address(number as u8)], 60)]
}

fn ask(socket: &UdpSocket, resolver: &str, id: u16, name: &str) {
    let labels = name.split('.');
    let labels: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    let [high, low] = id.to_be_bytes();
    let header = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let query = [&header, &labels[..], &[0, 0, 1, 0, 1]].concat();
    socket.send_to(&query, resolver).unwrap();
    socket.recv(&mut [0; 4096]).expect("an answer");
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let patience = Duration::from_secs(20);
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

fn reaches(ip: Ipv4Addr, port: u16) -> bool {
    let patience = Duration::from_secs(20);
    match TcpStream::connect_timeout(&SocketAddr::new(ip.into(), port), patience) {
        Ok(_) => true,
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => false,
        Err(e) => panic!("{ip}: {e}"),
    }
}

/// Set when the test is over, in whatever way: what it has started ends with it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What went well, and what did not.
#[derive(Debug, Default)]
struct Seen {
    right: u32,
    wrong: Vec<String>,
}

impl Seen {
    fn add(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        match is_right {
            true => self.right += 1,
            false => self.wrong.push(what()),
        }
    }
}

fn until(over: &AtomicBool, mut step: impl FnMut(u32, &mut Seen)) -> Seen {
    let mut seen = Seen::default();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        step(n, &mut seen);
    }
    seen
}

/// Clients of the near side, until the test is over. Each counts what it sees.
fn traffic(net: &Net, port: u16, over: &AtomicBool) -> Vec<(&'static str, Seen)> {
    let begun = Instant::now();
    let at = || format!("after {:?}", begun.elapsed());
    // the connection right behind its answer, and one to an address without such a name
    let by_name = || {
        let socket = client();
        until(over, |n, seen| {
            let (yes, no) = (20 + n % 80, 100 + n % 50);
            ask(
                &socket,
                RESOLVER,
                n as u16,
                &format!("{yes}.n{n}.allowed.test"),
            );
            seen.add(reaches(address(yes as u8), port), || {
                format!("refused {}", at())
            });
            ask(
                &socket,
                RESOLVER,
                n as u16,
                &format!("{no}.n{n}.other.test"),
            );
            seen.add(!reaches(address(no as u8), port), || {
                format!("passed {}", at())
            });
            thread::sleep(Duration::from_millis(2));
        })
    };
    // looked up once, under the first recorder
    let kept = || {
        ask(&client(), RESOLVER, 1, "200.kept.allowed.test");
        until(over, |_, seen| {
            seen.add(reaches(address(200), port), || format!("refused {}", at()));
            thread::sleep(Duration::from_millis(2));
        })
    };
    // a query that is on its way while the recorders change
    let slow = || {
        let socket = client();
        let resolver = format!("{SLOW_RESOLVER}:53");
        until(over, |n, seen| {
            let ip = 210 + n % 30;
            ask(
                &socket,
                &resolver,
                n as u16,
                &format!("{ip}.s{n}.allowed.test"),
            );
            seen.add(reaches(address(ip as u8), port), || {
                format!("refused {}", at())
            });
        })
    };
    // answers to a peer that has sent first, and no more
    let answers = || {
        let near = UdpSocket::bind((NEAR4, 0)).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let to = near.local_addr().unwrap();
        let far = net.far(|| UdpSocket::bind((PEER, 0)).unwrap());
        far.send_to(b"first", to).unwrap();
        let (_, peer) = near.recv_from(&mut [0; 16]).unwrap();
        until(over, |_, seen| {
            seen.add(near.send_to(b"x", peer).is_ok(), || {
                format!("refused {}", at())
            });
            let _ = &far;
            thread::sleep(Duration::from_millis(2));
        })
    };
    thread::scope(|scope| {
        let run = |name, client: &(dyn Fn() -> Seen + Sync)| (name, net.near(client));
        let all = [
            scope.spawn(move || run("by name", &by_name)),
            scope.spawn(move || run("kept", &kept)),
            scope.spawn(move || run("slow", &slow)),
            scope.spawn(move || run("answers", &answers)),
        ];
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn pinned_policy_is_in_force_without_a_recorder_and_through_the_start_of_the_next() {
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false);
    net.dns(numbered);
    net.dns_at(SLOW_RESOLVER, |query| {
        thread::sleep(SLOWNESS);
        numbered(query)
    });
    let mounts = Mounts::new(true);
    let (dir, db) = history();
    let rules = file(dir.path(), "policy.yaml", "");
    let others = file(
        dir.path(),
        "others.yaml",
        "  - { to: [10.77.2.1], action: block }\n",
    );
    let pause = || thread::sleep(Duration::from_millis(400));
    let over = AtomicBool::new(false);

    let first = mounts.start(&db, &rules, &["--pin"]);
    let mut objects = vec![KernelObjects::of(&first)];
    let seen = thread::scope(|scope| {
        let ends = Over(&over);
        let seen = scope.spawn(|| traffic(&net, port, &over));
        pause();
        first.kill();
        pause();
        let (status, said) = mounts.policy(Some(&db), &["status"]);
        let expected = [
            "policy.yaml, enforced since",
            "recorder     none",
            "the rest ",
        ];
        assert!(
            status == 0 && expected.iter().all(|part| said.contains(part)),
            "{said}"
        );
        let (_, said) = mounts.policy(None, &["check", others.to_str().unwrap()]);
        assert!(
            said.contains("\npinned: ") && said.contains("policy.yaml, enforced since"),
            "{said}"
        );
        assert_eq!(mounts.pinned(), 1);
        let hosts = NewCgroup::new().dial("127.77.0.1");
        assert!(hosts.contains("refused"), "{hosts}");

        let second = mounts.start(&db, &rules, &["--pin"]);
        objects.push(KernelObjects::of(&second));
        eventually("the one before is gone", || {
            objects[0].are_gone().then_some(())
        });
        assert_eq!(mounts.pinned(), 1);
        let (status, said) = mounts.policy(None, &["unpin"]);
        assert!(status == 2 && said.contains("stop it first"), "{said}");
        let (_, said) = mounts.policy(Some(&db), &["status"]);
        assert!(
            said.contains("stays in force when the recorder ends"),
            "{said}"
        );
        second.kill();
        pause();

        // another policy; an orderly end leaves it, too
        let third = mounts.start(&db, &others, &["--pin"]);
        objects.push(KernelObjects::of(&third));
        pause();
        assert_eq!(third.stop(), 0);
        pause();
        drop(ends);
        seen.join().unwrap()
    });
    for (client, seen) in &seen {
        let (right, wrong) = (seen.right, seen.wrong.len());
        let first = seen.wrong.first();
        assert!(
            wrong == 0 && right >= 5,
            "{client}: {right} right, {wrong} wrong, {first:?}"
        );
        eprintln!("{client}: {right} right, none wrong");
    }
    let (status, said) = mounts.policy(Some(&dir.path().join("no.db")), &["status", "--json"]);
    let json = said.lines().find(|line| line.starts_with('{'));
    let pinned: serde_json::Value = serde_json::from_str(json.unwrap()).unwrap();
    let pinned = &pinned["pinned"][0];
    assert!(status == 0 && pinned["running"] == false, "{said}");
    let of_rest = &pinned["rules"][1];
    assert!(
        of_rest["rule"] == "the rest" && of_rest["hits"].as_u64() > Some(0),
        "{said}"
    );

    let opens = || net.near(|| reaches(address(9), port));
    assert!(!opens());
    let (status, said) = mounts.policy(None, &["unpin"]);
    assert!(
        status == 0 && said.contains("no longer in force: "),
        "{said}"
    );
    eventually("all are gone", || {
        objects.iter().all(KernelObjects::are_gone).then_some(())
    });
    assert!(opens());
    let (status, said) = mounts.policy(None, &["unpin"]);
    assert!(
        status == 0 && said.contains("no policy is pinned"),
        "{said}"
    );
}

#[test]
fn pinned_rules_expire_a_trial_ends_in_time_and_a_start_without_pin_takes_over_and_leaves_nothing()
{
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false);
    let mounts = Mounts::new(true);
    let (dir, db) = history();
    let rules = |name: &str, last: u8, more: &str| {
        let path = dir.path().join(name);
        let rule = format!("{{ to: [10.77.1.{last}], action: block }}");
        fs::write(
            &path,
            format!("version: 1\ndefault: allow\nrules: [{rule}{more}]\n"),
        )
        .unwrap();
        path
    };
    let before = rules("before.yaml", 240, "");
    let decides = || [240, 241].map(|last| net.near(|| reaches(address(last), port)));
    let recorder = mounts.start(&db, &before, &["--pin"]);
    let time = if is_slow_machine() { 100 } else { 10 };
    // some rules expire before the trial ends, some later
    let now = chrono::Utc::now();
    let mut expiring = String::new();
    for (last, seconds) in [
        (242, 2000),
        (243, time / 2),
        (244, 3000),
        (245, time / 2 + 1),
    ] {
        let at = now + chrono::TimeDelta::seconds(seconds as i64);
        let at = at.format("%Y-%m-%dT%H:%M:%SZ");
        expiring += &format!(", {{ to: [10.77.1.{last}], action: block, expires: {at} }}");
    }
    let tried = rules("tried.yaml", 241, &expiring);
    let datagrams = net.near(client);
    let opens = |last| match datagrams.send_to(b"x", (address(last), 9)) {
        Err(e) => e.raw_os_error() != Some(libc::EPERM),
        Ok(_) => true,
    };
    let are_open = || {
        [241, 242, 243, 244, 245].map(|last| {
            let connects = net.near(|| reaches(address(last), port));
            assert_eq!(connects, opens(last), "{last}");
            connects
        })
    };
    let time_text = format!("{time}s");
    let args = ["apply", tried.to_str().unwrap(), "--confirm", &time_text];
    let (status, said) = mounts.policy(Some(&db), &args);
    let applied = Instant::now();
    assert_eq!(status, 0, "{said}");
    recorder.kill();
    assert_eq!(decides(), [true, false]);
    assert_eq!(are_open(), [false; 5]);
    let (_, said) = mounts.policy(Some(&db), &["status"]);
    assert!(
        said.contains("tried.yaml, enforced") && said.contains("on trial"),
        "{said}"
    );
    let expired = Duration::from_secs(time / 2 + 1);
    thread::sleep(expired.saturating_sub(applied.elapsed()));
    assert_eq!(are_open(), [false, false, true, false, true]);
    thread::sleep(Duration::from_secs(time).saturating_sub(applied.elapsed()));
    assert_eq!(decides(), [false, true]);
    // without --enforce it is left alone
    let beside = mounts
        .0
        .within(egrets())
        .args(["watch", "--for", "100ms"])
        .output();
    let (status, said) = said_of(beside);
    assert!(
        status == 0 && said.contains("stays in force beside this"),
        "{said}"
    );
    let last = mounts.start(&db, &tried, &[]);
    assert_eq!(mounts.pinned(), 0);
    // the kernel frees a link that is no longer pinned a moment later
    eventually("the policy before is gone", || {
        (decides() == [true, false]).then_some(())
    });
    let objects = KernelObjects::of(&last);
    last.kill();
    eventually("all are gone", || objects.are_gone().then_some(()));
    assert_eq!(decides(), [true, true]);
}

fn said_of(output: std::io::Result<Output>) -> (i32, String) {
    said(&output.unwrap())
}

/// A program that lets each connection through, attached to the topmost cgroup until this is
/// dropped.
fn foreign_program(name: &std::ffi::CStr) -> [OwnedFd; 2] {
    let instruction = |code: u8, imm| libbpf_sys::bpf_insn {
        code,
        imm,
        ..Default::default()
    };
    // r0 = 1; exit
    let program = [instruction(0xb7, 1), instruction(0x95, 0)];
    let hook = libbpf_sys::BPF_CGROUP_INET4_CONNECT;
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: hook,
        ..Default::default()
    };
    let cgroup = fs::File::open(cgroup2()).unwrap();
    // SAFETY: the program, its options and texts that end with NUL outlive the calls; the
    // descriptors are new.
    unsafe {
        let program = libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            name.as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            &mut options,
        );
        assert!(program >= 0, "{program}");
        let link = libbpf_sys::bpf_link_create(program, cgroup.as_raw_fd(), hook, std::ptr::null());
        assert!(link >= 0, "{link}");
        [program, link].map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

#[test]
fn check_names_the_programs_of_others_that_may_change_destinations() {
    let (dir, _) = history();
    let rules = file(dir.path(), "policy.yaml", "");
    let check = || {
        let mut command = egrets();
        said_of(command.args(["policy", "check"]).arg(&rules).output()).1
    };
    let beside = foreign_program(c"cil_sock4_conne");
    let said = check();
    let expected = [
        "on this host, programs of others",
        "cil_sock4_conne (id ",
        ", connect4)",
    ];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    drop(beside);
    assert!(!check().contains("cil_sock4_conne"));
}

#[test]
fn pin_wants_a_bpf_file_system_and_a_directory_of_roots_own() {
    let (dir, db) = history();
    let rules = file(dir.path(), "policy.yaml", "");
    let start = |mounts: &Mounts| {
        let mut command = egrets();
        command
            .args(["record", "--enforce", "--pin", "--policy"])
            .arg(&rules);
        command.args(["--for", "100ms", "--db"]).arg(&db);
        said_of(mounts.0.within(command).output())
    };
    let (status, said) = start(&Mounts::new(false));
    let expected = "there is no BPF file system at /sys/fs/bpf";
    assert!(
        status == 2 && said.contains(expected) && said.contains("mount -t bpf"),
        "{said}"
    );
    let mounts = Mounts::new(true);
    mounts.0.inside(|| {
        fs::create_dir(PINS).unwrap();
        std::os::unix::fs::chown(PINS, Some(1000), None).unwrap();
    });
    let (status, said) = start(&mounts);
    assert!(
        status == 2 && said.contains("/sys/fs/bpf/egrets is of user 1000"),
        "{said}"
    );
    assert!(!db.exists());
}
