//! What the tests are built on: network namespaces joined by a veth pair, a real dnsmasq,
//! servers in the far namespace, and the real egrets. Needs root; a missing part fails the
//! test that needs it.

#[path = "../tools/send/agreed.rs"]
pub mod agreed;
pub mod browser;
pub mod coverage;
#[cfg(feature = "parquet")]
pub mod dataset;
pub mod docker;
pub mod forge;
pub mod image;
pub mod kernel_objects;
pub mod metrics;
pub mod mounts;
pub mod net;
pub mod peer;
pub mod rate;
pub mod recorder;
pub mod say;
pub mod shared;
pub mod tls;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

pub use kernel_objects::{KernelObjects, bpf_map, sum_of_shares};
pub use mounts::{MountNamespace, mount};
pub use net::*;
pub use rate::*;
pub use recorder::*;
pub use shared::Recording;
pub use tls::*;

/// The program under test.
pub fn egrets() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrets"));
    command
        .env_remove("EGRETS_DB")
        .env_remove("EGRETS_LABELS")
        .env("EGRETS_CONFIG", "none")
        .env_remove("SUDO_UID")
        .env_remove("RUST_LOG");
    command
}

/// Gives up root: of the calling thread alone, unlike libc's functions.
pub fn become_user(uid: u32) {
    // SAFETY: a system call that changes the ids of this thread.
    let set = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
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

/// On slow machines, the part of a load test to run, such as 0.3.
const VOLUME: &str = "EGRETS_TEST_VOLUME";

pub fn is_slow_machine() -> bool {
    std::env::var_os(VOLUME).is_some()
}

/// How much a load test does: `full`, or the part of it that EGRETS_TEST_VOLUME gives.
pub fn volume(full: usize) -> usize {
    let Ok(part) = std::env::var(VOLUME) else {
        return full;
    };
    let part: f64 = part
        .parse()
        .expect("EGRETS_TEST_VOLUME is a part, such as 0.3");
    ((full as f64 * part) as usize).max(1)
}

/// Runs it to its end, and fails the test unless it succeeds. Returns its output.
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

/// How long a test waits for an expected event. On a busy emulated machine, loading the BPF
/// programs alone can take 30 s, and with those of a policy a minute more.
const PATIENCE: Duration = Duration::from_secs(300);

/// Tries until it returns something.
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

/// A child process that is killed at the end of the test.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the cgroup2 hierarchy is mounted.
pub fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let mount = mount.and_then(|line| line.split(' ').nth(4));
    PathBuf::from(mount.expect("cgroup2 is mounted"))
}
