//! What the tests stand on: two real network namespaces joined by a veth pair, a
//! real dnsmasq, servers on sockets of the far namespace, and the real egrets.
//! Needs root; a part that is missing fails the test that wants it.
#![allow(dead_code)] // each test file uses its own part of it

#[path = "../tools/send/agreed.rs"]
pub mod agreed;
pub mod coverage;
pub mod docker;
pub mod image;
pub mod peer;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::types::FromSql;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, ResourceRecord};
use socket2::SockRef;
use tempfile::TempDir;

/// The program under test.
pub fn egrets() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrets"));
    command
        .env_remove("EGRETS_DB")
        .env_remove("SUDO_UID")
        .env_remove("RUST_LOG");
    command
}

/// The tests' own small client.
pub fn dial() -> PathBuf {
    tool("dial")
}

/// The client of tests/tools/ask.rs.
pub fn ask() -> PathBuf {
    tool("ask")
}

/// The client of tests/tools/send/main.rs.
pub fn send() -> PathBuf {
    tool("send")
}

/// The client of tests/tools/packet.rs.
pub fn packet() -> PathBuf {
    tool("packet")
}

fn tool(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let tool = exe.parent().unwrap().parent().unwrap();
    let tool = tool.join("examples").join(name);
    assert!(
        tool.exists(),
        "{} is missing: run 'cargo build --examples'",
        tool.display()
    );
    tool
}

/// How much a load test does: `full`, or the part of it that EGRETS_TEST_VOLUME
/// says, for slow machines.
pub fn volume(full: usize) -> usize {
    let Ok(part) = std::env::var("EGRETS_TEST_VOLUME") else {
        return full;
    };
    let part: f64 = part
        .parse()
        .expect("EGRETS_TEST_VOLUME is a part, such as 0.3");
    ((full as f64 * part) as usize).max(1)
}

/// Runs to the end; fails the test unless it succeeds.
pub fn ok(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub fn run(program: &str, args: &[&str]) -> String {
    ok(Command::new(program).args(args))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// How long a test waits for what must come. Only a failed one waits so long: loading
/// the BPF programs takes an emulated machine with all processors busy 30 s at times.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tries until it gives something.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A child that is ended, by its pid, with the test.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two namespaces: `near`, where clients run, and `far`, where servers listen.
pub struct Net {
    pub near: String,
    pub far: String,
    servers: Vec<Guard>,
}

pub const NEAR4: &str = "10.77.0.1";
pub const FAR4: &str = "10.77.0.2";
pub const FAR6: &str = "fd77::2";
/// See [`Net::many_addresses`].
const MANY4: &str = "10.77.1.0/24";

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Net {
    pub fn new() -> Net {
        let id = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let net = Net {
            near: format!("egt-near-{id}"),
            far: format!("egt-far-{id}"),
            servers: Vec::new(),
        };
        for ns in [&net.near, &net.far] {
            run("ip", &["netns", "add", ns]);
            run("ip", &["-n", ns, "link", "set", "lo", "up"]);
        }
        let (near, far) = (net.near.as_str(), net.far.as_str());
        run(
            "ip",
            &[
                "link", "add", "up0", "netns", near, "type", "veth", "peer", "name", "up0",
                "netns", far,
            ],
        );
        for (ns, v4, v6) in [(near, NEAR4, "fd77::1"), (far, FAR4, FAR6)] {
            run(
                "ip",
                &["-n", ns, "addr", "add", &format!("{v4}/24"), "dev", "up0"],
            );
            run(
                "ip",
                &[
                    "-n",
                    ns,
                    "addr",
                    "add",
                    &format!("{v6}/64"),
                    "dev",
                    "up0",
                    "nodad",
                ],
            );
            run("ip", &["-n", ns, "link", "set", "up0", "up"]);
        }
        let etc = PathBuf::from("/etc/netns").join(near);
        fs::create_dir_all(&etc).unwrap();
        fs::write(
            etc.join("resolv.conf"),
            format!("nameserver {FAR4}\noptions timeout:2\n"),
        )
        .unwrap();
        // A fresh veth pair drops packets at first: a refusal has been there and back.
        for ip in [FAR4, FAR6] {
            eventually("the pair carries traffic", || {
                let output = net.command(dial()).args(["tcp", ip, "9"]).output().unwrap();
                text(&output.stderr).contains("refused").then_some(())
            });
        }
        net
    }

    /// The inode number of the far namespace, as the column `netns` has it.
    pub fn far_inode(&self) -> u64 {
        fs::metadata(format!("/run/netns/{}", self.far))
            .unwrap()
            .ino()
    }

    pub fn near_inode(&self) -> u64 {
        fs::metadata(format!("/run/netns/{}", self.near))
            .unwrap()
            .ino()
    }

    /// A command inside the near namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.near]).arg(program);
        command
    }

    /// `egrets record --db DB -- …` with the command inside the near namespace.
    pub fn record(&self, db: &Path, command: &[&str]) -> Output {
        let mut egrets = egrets();
        egrets.args(["record", "--db"]).arg(db).arg("--");
        egrets
            .args(["ip", "netns", "exec", &self.near])
            .args(command);
        egrets.output().unwrap()
    }

    /// A real dnsmasq on the far side that answers with these options.
    pub fn dnsmasq(&mut self, options: &[&str]) {
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.far,
                "dnsmasq",
                "--keep-in-foreground",
            ])
            .args([
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
            ])
            .args([
                "--user=root",
                "--bind-interfaces",
                "--local-ttl=60",
                "--cache-size=0",
            ])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq");
        self.servers.push(Guard(child));
        let port = options.iter().find_map(|o| o.strip_prefix("--port="));
        eventually("dnsmasq answers", || {
            let at = format!("@{FAR4}");
            let dig = self
                .command("dig")
                .args(["+tries=1", "+time=1", "-p", port.unwrap_or("53"), &at])
                .args(["version.bind", "chaos", "txt"])
                .output()
                .unwrap();
            dig.status.success().then_some(())
        });
    }

    /// Runs on a thread inside the far namespace, whose sockets stay there.
    pub fn far<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        within(&self.far, make)
    }

    /// The same inside the near one: programs that it starts are there too, without
    /// the mounts of `command`.
    pub fn near<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        within(&self.near, make)
    }

    /// An HTTP server that answers every request with `body` and closes.
    pub fn http(&self, body: &'static str) -> u16 {
        let listener = self.far(|| TcpListener::bind("[::]:0").unwrap());
        // More may dial at once than 128: who finds no room waits for a second.
        SockRef::from(&listener).listen(4_096).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream, body));
            }
        });
        port
    }

    /// A server that says goodbye to everybody who says something: by closing, or by
    /// breaking the connection off.
    pub fn farewell(&self, reset: bool) -> u16 {
        let listener = self.far(|| TcpListener::bind("[::]:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 16]);
                    if reset {
                        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                        return;
                    }
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
        port
    }

    /// A UDP server that sends every datagram back.
    pub fn echo(&self) -> u16 {
        let socket = self.far(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut data = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut data) {
                let _ = socket.send_to(&data[..len], from);
            }
        });
        port
    }

    /// All of 10.77.1.0/24 leads to the far side and is its own.
    pub fn many_addresses(&self) {
        let to_far = ["route", "add", MANY4, "via", FAR4];
        run("ip", &[&["-n", &self.near][..], &to_far].concat());
        let own = ["route", "add", "local", MANY4, "dev", "lo"];
        run("ip", &[&["-n", &self.far][..], &own].concat());
    }

    /// A DNS server of the test's own on the far side: it answers each message
    /// with those that `reply` makes of it.
    pub fn dns(&self, reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
        self.dns_at(FAR4, reply);
    }

    /// The same at another of the far side's addresses.
    pub fn dns_at(
        &self,
        ip: &'static str,
        mut reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) {
        let socket = self.far(move || UdpSocket::bind((ip, 53)).unwrap());
        thread::spawn(move || {
            let mut data = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut data) {
                for message in reply(&data[..len]) {
                    let _ = socket.send_to(&message, from);
                }
            }
        });
    }
}

fn within<T: Send>(netns: &str, make: impl FnOnce() -> T + Send) -> T {
    let ns = File::open(format!("/run/netns/{netns}")).unwrap();
    thread::scope(|scope| {
        let run = || {
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            make()
        };
        scope.spawn(run).join().unwrap()
    })
}

/// The answer to a query for an address, as name servers give it.
pub fn addresses(query: &[u8], addresses: &[Ipv4Addr], ttl: u32) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    for question in &query.questions {
        for address in addresses {
            let rdata = RData::A(A::from(*address));
            let name = question.qname.clone();
            reply
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, ttl, rdata));
        }
    }
    reply.questions = query.questions.clone();
    reply.build_bytes_vec().unwrap()
}

fn answer(mut stream: std::net::TcpStream, body: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let _ = write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

impl Drop for Net {
    fn drop(&mut self) {
        self.servers.clear();
        for ns in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", ns]).output();
        }
        let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.near));
    }
}

/// Where the cgroup2 hierarchy is mounted.
pub fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let mount = mount.and_then(|line| line.split(' ').nth(4));
    PathBuf::from(mount.expect("cgroup2 is mounted"))
}

/// A recorder of the whole host, running in the background.
pub struct Recorder {
    child: Option<Child>,
    pub db: PathBuf,
    stderr: mpsc::Receiver<String>,
}

impl Recorder {
    pub fn start(db: &Path, args: &[&str]) -> Recorder {
        Recorder::start_with(db, args, egrets())
    }

    pub fn start_with(db: &Path, args: &[&str], mut egrets: Command) -> Recorder {
        let mut child = egrets
            .args(["record", "--db"])
            .arg(db)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, stderr) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                eprintln!("[egrets] {line}");
                let _ = to.send(line);
            }
        });
        let recorder = Recorder {
            child: Some(child),
            db: db.to_path_buf(),
            stderr,
        };
        recorder.expect("recording into");
        recorder
    }

    /// Waits for a line on stderr that contains this.
    pub fn expect(&self, part: &str) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(e) => panic!("no line with {part:?} on stderr: {e}"),
            }
        }
    }

    /// What it has said on stderr since, as far as no [`Recorder::expect`] took it.
    pub fn said(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, name: &str) {
        run("kill", &[&format!("-{name}"), &self.pid().to_string()]);
    }

    /// Ctrl-C, and the end: its exit status.
    pub fn stop(mut self) -> i32 {
        self.signal("INT");
        self.child
            .take()
            .unwrap()
            .wait()
            .unwrap()
            .code()
            .unwrap_or(-1)
    }

    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A directory that goes with the test, and a history's path in it.
pub fn history() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("e.db");
    (dir, db)
}

/// Reads through Debian's own sqlite3, as users do: rows of columns.
pub fn sqlite3(db: &Path, sql: &str) -> Vec<Vec<String>> {
    let out = ok(Command::new("sqlite3")
        .args(["-readonly", "-separator", "\u{1f}"])
        .arg(db)
        .arg(sql));
    out.lines()
        .map(|line| line.split('\u{1f}').map(str::to_string).collect())
        .collect()
}

/// What a recording has missed, but for the calls whose return the kernel did not
/// show: they cost no row more than the errno of an attempt that failed at once.
pub const GAPS: &str = "SELECT kind, lost, why FROM gaps WHERE kind <> 'return'";

/// One value through the library.
pub fn value<T: FromSql>(db: &Path, sql: &str) -> T {
    let db = rusqlite::Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db.query_row(sql, [], |row| row.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// How often connections had the name that they should have. Its verdicts make the
/// table of docs/naming.md.
pub struct Rate {
    case: &'static str,
    right: u32,
    missing: u32,
    wrong: u32,
    faults: Vec<String>,
}

impl Rate {
    pub fn new(case: &'static str) -> Rate {
        Rate {
            case,
            right: 0,
            missing: 0,
            wrong: 0,
            faults: Vec::new(),
        }
    }

    /// One connection: its name in the history, "" where it has none, and the true one.
    pub fn count(&mut self, got: &str, truth: &str) {
        match got {
            _ if got == truth => self.right += 1,
            "" => self.missing += 1,
            _ => self.wrong += 1,
        }
        if got != truth {
            self.faults.push(format!("{got:?} for {truth:?}"));
        }
    }

    /// The names of the rows of `egress` that fit, all of which should have this one.
    pub fn rows(&mut self, db: &Path, filter: &str, truth: &str) {
        let rows = sqlite3(db, &format!("SELECT host FROM egress WHERE {filter}"));
        assert!(!rows.is_empty(), "no row where {filter}");
        for row in rows {
            self.count(&row[0], truth);
        }
    }

    /// Every connection that `ask` has printed, found by its own port.
    pub fn compare(&mut self, db: &Path, printed: &str) {
        assert!(!printed.is_empty(), "nothing was dialled");
        for line in printed.lines() {
            let [name, own, ip, port] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}: no line of ask's");
            };
            let sql = format!(
                "SELECT host FROM egress WHERE (src_port, dst_ip, dst_port) = ({own}, '{ip}', {port})"
            );
            let rows = sqlite3(db, &sql);
            let [[got]] = rows.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else {
                panic!("{line}: {rows:?}");
            };
            self.count(got, name);
        }
    }

    /// Says what came out, past libtest's capture; and nothing may be wrong or missing.
    pub fn verdict(self) {
        self.say();
        assert_eq!((self.missing, self.wrong), (0, 0), "{:?}", self.faults);
        assert_ne!(self.right, 0, "nothing was counted");
    }

    /// The same for a case where docs/naming.md explains why names may be missing.
    pub fn verdict_some_missing(self) {
        self.say();
        assert_eq!(self.wrong, 0, "{:?}", self.faults);
        assert_ne!(self.right + self.missing, 0, "nothing was counted");
    }

    fn say(&self) {
        let line = format!(
            "\nnaming: {} | {} | {} | {}\n",
            self.case, self.right, self.missing, self.wrong
        );
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}
