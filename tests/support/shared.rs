//! One recorder for all tests of a topic, which run in one process: loading the BPF programs takes longer than most
//! tests do. Each test gets the rows of its own network namespace, in a file of its own.
//! EGRETS_TEST_HISTORY names the history of a recorder that runs already, for several
//! topics.
//!
//! A test that depends on the recorder's options, its start or its end has a [`Recorder`]
//! of its own instead.

use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::*;

struct Shared {
    /// None: another process stops it.
    pid: Option<u32>,
    db: PathBuf,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

/// A recorder with options for all tests of a topic: `args` is given the directory of its files,
/// which is removed with it.
pub fn share_with(args: fn(&Path) -> Vec<String>) {
    start(Some(args));
}

fn shared() -> &'static Shared {
    start(None)
}

/// The recorder, where this process has started it.
pub fn recorder_pid() -> u32 {
    shared().pid.expect("a recorder of this process")
}

fn start(args: Option<fn(&Path) -> Vec<String>>) -> &'static Shared {
    SHARED.get_or_init(|| {
        if args.is_none()
            && let Some(db) = std::env::var_os("EGRETS_TEST_HISTORY")
        {
            return Shared {
                pid: None,
                db: db.into(),
            };
        }
        let (to, started) = mpsc::channel();
        // The kernel ends the recorder with the thread that started it, so that it never
        // outlives tests that was killed. libtest's threads end with their test.
        thread::spawn(move || {
            let (dir, db) = history();
            let mut egrets = egrets();
            // SAFETY: prctl is one system call, allowed between fork and exec.
            unsafe {
                egrets.pre_exec(
                    || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    },
                );
            }
            let args = args.map_or(Vec::new(), |args| args(dir.path()));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let recorder = ManuallyDrop::new(Recorder::start_with(&db, &args, egrets));
            let _dir = ManuallyDrop::new(dir);
            let _ = to.send(Shared {
                pid: Some(recorder.pid()),
                db,
            });
            loop {
                thread::park();
            }
        });
        let shared = started.recv().expect("the shared recorder starts");
        // SAFETY: the handler takes and returns nothing.
        assert_eq!(unsafe { libc::atexit(stop) }, 0);
        shared
    })
}

/// At the end of the test binary, which fails if the recorder does not end cleanly.
extern "C" fn stop() {
    let Some((shared, pid)) = SHARED.get().and_then(|shared| Some((shared, shared.pid?))) else {
        return;
    };
    let (pid, mut status) = (pid as libc::pid_t, 0);
    // SAFETY: the recorder is this process's child, and nothing else waits for it.
    let ended =
        unsafe { libc::kill(pid, libc::SIGINT) == 0 && libc::waitpid(pid, &mut status, 0) == pid };
    let _ = std::fs::remove_dir_all(shared.db.parent().unwrap_or(Path::new("/nonexistent")));
    if !ended || status != 0 {
        eprintln!("the shared recorder ended with wait status {status:#x}");
        // SAFETY: nothing is left to run.
        unsafe { libc::_exit(101) };
    }
}

/// A connection to it marks the end of a recording. No test uses this address.
const MARK: &str = "127.77.0.1";

/// Nanoseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as i64
}

/// What happens in a test's namespaces from now on, seen by the shared recorder.
pub struct Recording<'a> {
    net: &'a Net,
    /// Inode numbers of the namespaces, for SQL.
    namespaces: String,
    /// Nanoseconds since 1970, as the column `ts`.
    from: i64,
}

impl Recording<'_> {
    /// Of both namespaces.
    pub fn start(net: &Net) -> Recording<'_> {
        let namespaces = format!("{}, {}", net.near_inode(), net.far_inode());
        Recording::of(net, namespaces)
    }

    fn of(net: &Net, namespaces: String) -> Recording<'_> {
        shared();
        Recording {
            net,
            namespaces,
            from: now(),
        }
    }

    /// The history of all namespaces, which is still being written.
    pub fn history(&self) -> &Path {
        &shared().db
    }

    /// Waits until the history has all of it, and copies that to `db`: `egress` and `dns` of
    /// the namespaces alone, the gaps that the recorder has had meanwhile, and `recordings`.
    pub fn save(self, db: &Path) {
        static PORT: AtomicU16 = AtomicU16::new(20_000);
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        // Refused. Events come in one ordered stream, so what came before this connection is
        // in the history once this is.
        let _ = self.net.near(|| TcpStream::connect((MARK, port)));
        let mut copy = Connection::open(db).unwrap();
        copy.busy_timeout(Duration::from_secs(10)).unwrap();
        copy.pragma_update(None, "synchronous", "off").unwrap();
        let history = format!("file:{}?mode=ro", shared().db.display());
        copy.execute("ATTACH ?1 AS history", [history]).unwrap();
        let own = format!("netns IN ({}) AND ts >= {}", self.namespaces, self.from);
        let count = |filter: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM history.egress WHERE {own} AND {filter}");
            copy.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let mark = format!("dst_ip = '{MARK}' AND dst_port = {port} AND duration_us IS NOT NULL");
        eventually("the history is complete", || {
            (count(&mark) > 0).then_some(())
        });
        let marked = now();
        // As 'record -- CMD' waits for the last closes. A socket that stays open delays this.
        let grace = Duration::from_secs(if is_slow_machine() { 30 } else { 2 });
        let end = Instant::now() + grace;
        while count("duration_us IS NULL") > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        // The bytes of what stays open are read in rounds. No hook reports the end of a packet
        // socket: it is noticed in the round behind its last bytes.
        let packets = format!("protocol = 'packet' AND ts >= {}", self.from);
        let has_packets = count(&packets) > 0;
        if has_packets || count("duration_us IS NULL") > 0 {
            let sql = "SELECT coalesce(max(counted_ts), 0) FROM history.recordings";
            let counted = || copy.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let counted_after = |ts: i64| {
                eventually("the counters are read", || {
                    Some(counted()).filter(|at| *at > ts)
                })
            };
            let last = counted_after(marked);
            if has_packets {
                counted_after(last);
            }
        }
        let copying = copy.transaction().unwrap();
        let from = self.from;
        for (view, filter) in [
            ("egress", format!("{own} AND dst_ip IS NOT '{MARK}'")),
            (
                "dns",
                format!("ts >= {from} AND process_id IN (SELECT process_id FROM egress)"),
            ),
            ("gaps", format!("to_ts >= {from}")),
            ("recordings", "1".to_string()),
        ] {
            let rows = format!("SELECT * FROM history.{view} WHERE");
            copying
                .execute_batch(&format!(
                    "CREATE TABLE IF NOT EXISTS {view} AS {rows} 0;
                     INSERT INTO {view} {rows} {filter};"
                ))
                .unwrap();
        }
        copying.commit().unwrap();
    }
}

impl Net {
    /// Runs the command inside the near namespace and saves what the shared recorder saw
    /// of it: for `egress` and `dns` the same as [`Net::record`], at a fraction of the time.
    pub fn observe(&self, db: &Path, command: &[&str]) -> Output {
        let recording = Recording::of(self, self.near_inode().to_string());
        let output = self.command(command[0]).args(&command[1..]).output();
        recording.save(db);
        output.unwrap()
    }
}
