//! Loss is counted exactly. A topic of its own, which runs alone: the BPF programs count the losses
//! of all processes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::mem::offset_of;
use std::net::{Shutdown, TcpStream};
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::*;
use egrets::capture::event::EventKind;
use egrets::capture::types::egrets_share;
use egrets::capture::{Capture, Options};
use egrets::model::GapKind;

/// Nor do its tests run beside each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rows of other processes than the test's. What is lost is counted for all, and nothing says
/// whose it was.
fn of_others(db: &Path, net: &Net) -> i64 {
    let own = format!("{}, {}", net.near_inode(), net.far_inode());
    value(
        db,
        &format!("SELECT count(*) FROM egress WHERE netns NOT IN ({own})"),
    )
}

/// Captured and lost are all that happened, no less; nor more, unless others have connected
/// meanwhile.
fn assert_sum(db: &Path, net: &Net, captured: i64, lost: i64, all: RangeInclusive<i64>) {
    let others = of_others(db, net);
    let sum = captured + lost;
    assert!(
        all.contains(&sum) || others > 0 && sum > *all.end(),
        "{captured} + {lost} of {all:?}, and {others} of others"
    );
}

/// How many events of a kind the history says were lost.
fn lost_of(db: &Path, kind: &str) -> i64 {
    let sql = format!("SELECT coalesce(sum(lost), 0) FROM gaps WHERE kind = '{kind}'");
    value(db, &sql)
}

#[test]
fn captured_and_lost_events_add_up() {
    let _alone = alone();
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &["--ring-size", "64K"]);
    // A recorder that does not read: the ring fills up and the kernel side counts.
    recorder.signal("STOP");
    let all = volume(2000).max(600); // the ring holds some 300
    ok(net
        .command(dial())
        .args(["loop", FAR4, &port, &all.to_string()]));
    recorder.signal("CONT");
    assert_eq!(recorder.stop(), 0);
    let captured: i64 = value(
        &db,
        &format!(
            "SELECT count(*) FROM egress WHERE netns = {}",
            net.near_inode()
        ),
    );
    let lost = lost_of(&db, "connect");
    assert!(captured > 0 && lost > 0, "{captured} captured, {lost} lost");
    let all = all as i64;
    assert_sum(&db, &net, captured, lost, all..=all);
}

/// What was decided is lost beside what it was decided on: the programs of a policy are an object
/// of their own.
#[test]
fn verdicts_that_are_lost_are_counted() {
    let _alone = alone();
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let policy = dir.path().join("policy.yaml");
    fs::write(&policy, "version: 1\ndefault: allow\nrules: []\n").unwrap();
    let args = ["--ring-size", "64K", "--policy", policy.to_str().unwrap()];
    let recorder = Recorder::start(&db, &args);
    recorder.signal("STOP");
    let all = volume(2000).max(600);
    ok(net
        .command(dial())
        .args(["loop", FAR4, &port, &all.to_string()]));
    recorder.signal("CONT");
    assert_eq!(recorder.stop(), 0);
    let own = format!("netns = {}", net.near_inode());
    // of a connection that is lost itself, its verdict has no row
    let sql = format!("SELECT count(*), count(verdict) FROM egress WHERE {own}");
    let [rows, decided] = [0, 1].map(|at| select(&db, &sql)[0][at].parse::<i64>().unwrap());
    let [connects, verdicts] = ["connect", "verdict"].map(|kind| lost_of(&db, kind));
    let all = all as i64;
    assert_sum(&db, &net, rows, connects, all..=all);
    assert!(
        decided > 0 && verdicts > 0,
        "{decided} kept, {verdicts} lost"
    );
    assert!(
        (decided + verdicts <= all || of_others(&db, &net) > 0)
            && decided + verdicts + connects >= all,
        "{decided} of {rows} decided, {verdicts} verdicts and {connects} connects lost"
    );
}

#[test]
fn flood_of_one_user_leaves_room_in_the_ring_buffer_for_others() {
    let _alone = alone();
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &["--ring-size", "512K"]);
    recorder.signal("STOP");
    let all = 2500; // the ring holds some 1200
    let as_user = |uid: &str| {
        let mut command = net.command(Path::new("setpriv"));
        command.args(["--reuid", uid, "--regid", uid, "--clear-groups"]);
        command.arg(dial());
        command
    };
    for (uid, count) in [("4321", all), ("4322", all), ("4323", 20)] {
        ok(as_user(uid).args(["loop", FAR4, &port, &count.to_string()]));
    }
    // root has more, but not all of it
    ok(net
        .command(dial())
        .args(["loop", FAR4, &port, &all.to_string()]));
    ok(as_user("4324").args(["loop", FAR4, &port, "5"]));
    recorder.signal("CONT");
    let unread = offset_of!(egrets_share, unread);
    eventually("nothing is unread", || {
        (sum_of_shares(&recorder, unread) == 0).then_some(())
    });
    assert_eq!(recorder.stop(), 0);
    let of = |uid: u32| {
        let ended = "outcome = 'connected' AND duration_us IS NOT NULL AND exe LIKE '%/dial'";
        let own = format!("netns = {}", net.near_inode());
        let sql = format!(
            "SELECT count(*), coalesce(sum({ended}), 0) FROM egress WHERE uid = {uid} AND {own}"
        );
        select(&db, &sql).remove(0)
    };
    assert_eq!(of(4323), ["20", "20"]);
    assert_eq!(of(4324), ["5", "5"]);
    let captured = [4321, 4322, 0].map(|uid| of(uid)[0].parse::<i64>().unwrap());
    let lost = lost_of(&db, "connect");
    assert!(captured.iter().all(|n| *n > 20), "{captured:?}");
    assert_sum(&db, &net, captured.iter().sum(), lost, 3 * all..=3 * all);
}

/// By what it is lost as. None of an event that did not come through the ring buffer.
fn gap_kind(kind: &EventKind) -> Option<GapKind> {
    Some(match kind {
        EventKind::Fork { .. } => GapKind::Fork,
        EventKind::Exec(_) => GapKind::Exec,
        EventKind::Exit { .. } => GapKind::Exit,
        EventKind::Connect(_) => GapKind::Connect,
        EventKind::Errno { .. } => GapKind::Errno,
        EventKind::Established(_) => GapKind::Established,
        EventKind::Close(_) => GapKind::Close,
        EventKind::Release { .. } => GapKind::Release,
        EventKind::Flow(_) => GapKind::Flow,
        EventKind::FlowEnd(_) => GapKind::FlowEnd,
        EventKind::Association { .. } => GapKind::Association,
        EventKind::Dns(_) => GapKind::Dns,
        EventKind::Cgroup { .. } => GapKind::Cgroup,
        EventKind::Attach { .. } => GapKind::Attach,
        EventKind::FirstHop { .. } => GapKind::Hop,
        EventKind::Owner { .. } => GapKind::Owner,
        EventKind::Verdict(_) => GapKind::Verdict,
        EventKind::Payload(_) => GapKind::Payload,
        EventKind::FlowProgress(_) | EventKind::TcpProgress(_) => return None,
    })
}

/// A capture, with what it has captured.
struct Counting {
    capture: Capture,
    captured: BTreeMap<&'static str, i64>,
    /// Processes whose exit was captured, by pid and start.
    exited: HashSet<(u32, u64)>,
    /// Lost before.
    before: HashMap<&'static str, i64>,
}

impl Counting {
    fn start(ring_bytes: u32) -> Counting {
        let options = Options {
            ring_bytes,
            ..Options::default()
        };
        let mut capture = Capture::start(&options).unwrap();
        capture.adopt_open_sockets().unwrap();
        Counting {
            capture,
            captured: BTreeMap::new(),
            exited: HashSet::new(),
            before: HashMap::new(),
        }
    }

    /// How many there were.
    fn drain(&mut self) -> usize {
        let (captured, exited) = (&mut self.captured, &mut self.exited);
        let drained = self.capture.drain(Duration::from_secs(10), |event| {
            if let EventKind::Exit { pid, start_ns } = event.kind {
                exited.insert((pid, start_ns));
            }
            if let Some(kind) = gap_kind(&event.kind) {
                *captured.entry(kind.as_str()).or_default() += 1;
            }
        });
        drained.unwrap().events
    }

    fn lost(&self) -> BTreeMap<&'static str, i64> {
        let mut all = self.capture.lost();
        // no record is lost with it
        all.retain(|(loss, _)| loss.kind != GapKind::Return);
        let since = all.into_iter().map(|(loss, n)| {
            let kind = loss.kind.as_str();
            let before = self.before.get(kind).copied().unwrap_or_default();
            (kind, n as i64 - before)
        });
        since.filter(|(_, n)| *n > 0).collect()
    }

    fn begin(&mut self) {
        self.before.clear();
        self.before = self.lost().into_iter().collect();
        self.captured.clear();
        self.exited.clear();
    }
}

/// Waits with this until nothing happens on the machine while both are read.
fn while_quiet(small: &mut Counting, large: &mut Counting) {
    eventually("a quiet moment", || {
        large.drain();
        small.drain();
        let lost = small.lost();
        thread::sleep(Duration::from_millis(2));
        (large.drain() == 0 && small.drain() == 0 && small.lost() == lost).then_some(())
    });
}

/// Two captures see the same; one of them has room for everything.
#[test]
fn captured_and_lost_add_up_for_every_kind_of_event() {
    const ROUNDS: usize = 3;
    let _alone = alone();
    let net = Net::new();
    let port = net.http("x");
    for route in [
        "203.0.113.0/25 via 10.77.0.2",
        "unreachable 203.0.113.128/25",
    ] {
        let args = format!("-n {} route add {route}", net.near);
        run("ip", &args.split(' ').collect::<Vec<_>>());
    }
    let (ends, parked): (Vec<UnixStream>, Vec<UnixStream>) =
        (0..ROUNDS).map(|_| parked_connections(&net, port)).unzip();
    let older = || Guard(Command::new("sleep").arg("1000").spawn().unwrap());
    let mut older = [(); 4].map(|()| older());
    let mut large = Counting::start(16 << 20);
    let mut small = Counting::start(4096);
    while_quiet(&mut small, &mut large);
    small.begin();
    large.begin();
    for (round, parked) in parked.into_iter().enumerate() {
        // 'ip netns exec' would hide the cgroups
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", net.near))
            .arg(dial())
            .args(["every-kind", &port.to_string()])
            .arg(cgroup2().join(format!("egt-loss-{}", std::process::id())))
            .arg("203.0.113.200")
            .stdin(std::os::fd::OwnedFd::from(parked))
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            // in the first round it is read as fast as can be, and then not at all
            if round == 0 {
                small.drain();
            }
        }
        assert!(child.wait().unwrap().success());
    }
    // the SYNs with a source route are sent again
    thread::sleep(Duration::from_millis(1200));
    older.iter_mut().for_each(|older| older.0.kill().unwrap());
    for mut end in ends {
        end.shutdown(Shutdown::Write).unwrap();
        assert_eq!(end.read(&mut [0]).unwrap(), 0, "it has ended");
    }
    let mut all = BTreeMap::new();
    let mut lost = BTreeMap::new();
    let mut twice = [0; 2];
    for _ in 0..50 {
        while_quiet(&mut small, &mut large);
        lost = small.lost();
        all = small.captured.clone();
        for (kind, n) in &lost {
            *all.entry(kind).or_default() += n;
        }
        // what is not known to have begun has no end
        *all.entry("flow_end").or_default() += lost.get("flow").copied().unwrap_or_default();
        twice = [&mut all, &mut large.captured]
            .map(|counts| counts.remove("exit").unwrap_or_default() - large.exited.len() as i64);
        if all == large.captured {
            break;
        }
        large
            .captured
            .insert("exit", twice[1] + large.exited.len() as i64);
    }
    assert_eq!(
        all, large.captured,
        "captured {:?}, lost {lost:?}",
        small.captured
    );
    assert_eq!(large.lost(), BTreeMap::new());
    // threads of one process that end at once may both report it
    assert!(twice.iter().all(|n| (0..=2).contains(n)), "{twice:?}");
    for kind in [
        "fork",
        "exec",
        "exit",
        "connect",
        "errno",
        "established",
        "close",
        "release",
        "flow",
        "flow_end",
        "dns",
        "cgroup",
        "attach",
        "hop",
        "owner",
        "payload",
    ] {
        assert!(lost.contains_key(kind), "no {kind} is lost: {lost:?}");
    }
    assert!(small.captured.len() > 8, "{:?}", small.captured);
}

/// Connections that no process has: they wait in the second of these.
fn parked_connections(net: &Net, port: u16) -> (UnixStream, UnixStream) {
    let (to, from) = UnixStream::pair().unwrap();
    let connections = net.near(|| [(); 2].map(|()| TcpStream::connect((FAR4, port)).unwrap()));
    park(&to, &connections);
    (to, from)
}

/// Stopped for longer than its buffer lasts, it goes on; what happened meanwhile is in the history
/// or counted as lost.
#[test]
fn a_recorder_that_is_stopped_for_a_while_goes_on_and_counts_what_it_lost() {
    let _alone = alone();
    // CI has no time for the half minute
    let stopped = std::env::var("EGRETS_TEST_STOPPED").map_or(5, |n| n.parse().unwrap());
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    // a slow recorder does not keep up with the small one even while it runs
    let (ring, more_than_it_holds) = match is_slow_machine() {
        true => ("1M", 4_000),
        false => ("256K", 1_000),
    };
    let recorder = Recorder::start(&db, &["--ring-size", ring]);
    let count = |sql: &str| value::<i64>(&db, sql);
    let own = format!(
        "SELECT count(*) FROM egress WHERE netns = {}",
        net.near_inode()
    );
    let said = dir.path().join("said");
    let mut load = net
        .command(dial())
        .args(["drip", FAR4, &port])
        .stdout(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    eventually("some rows", || (count(&own) > 50).then_some(()));
    let begun = || fs::read_to_string(&said).unwrap().lines().count() as i64;
    recorder.signal("STOP");
    let (from, before) = (wall_clock(), begun());
    thread::sleep(Duration::from_secs(stopped));
    eventually("more than the buffer holds", || {
        (begun() - before > more_than_it_holds).then_some(())
    });
    load.kill().unwrap();
    load.wait().unwrap();
    let (to, begun) = (wall_clock(), begun());
    recorder.signal("CONT");
    let unread = offset_of!(egrets_share, unread);
    eventually("it has read what it holds", || {
        (sum_of_shares(&recorder, unread) == 0).then_some(())
    });
    ok(net.command(dial()).args(["loop", FAR4, &port, "50"]));
    assert_eq!(recorder.stop(), 0);

    let after = count(&format!("{own} AND ts > {to}"));
    assert_eq!(after, 50, "it goes on");
    let captured = count(&own) - after;
    let lost = lost_of(&db, "connect");
    assert!(lost > 0, "{captured} of {begun} captured");
    // the client may have been killed between a line and its connection
    assert_sum(&db, &net, captured, lost, begun - 1..=begun);
    let gap = format!("kind = 'connect' AND from_ts <= {to} AND to_ts >= {from}");
    assert_eq!(
        count(&format!("SELECT sum(lost) FROM gaps WHERE {gap}")),
        lost
    );
    let meanwhile = count(&format!("{own} AND ts > {from} AND ts < {to}"));
    assert!(meanwhile > 0, "what the buffer held is there");
    let ends = select(&db, "SELECT ended, clean FROM recordings");
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0][1], "1", "{ends:?}");
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
}

/// Nanoseconds since 1970.
fn wall_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as i64
}
