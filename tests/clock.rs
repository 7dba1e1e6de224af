//! The system's clock is set while a recorder runs: by a wrong answer of a time server, or as a virtual
//! machine is resumed. It is the machine's, so only one that runs nothing else has these tests.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::support::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

fn nanoseconds(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * SECOND + now.tv_nsec
}

/// The clock, which is put right at the end.
struct Clock {
    /// When the machine started, nanoseconds since 1970.
    started: i64,
}

impl Clock {
    fn new() -> Clock {
        let started = nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime);
        Clock { started }
    }

    /// By so many seconds from what is right.
    fn set(&self, wrong: i64) {
        let right = self.started + nanoseconds(ClockId::Boottime);
        let time = Timespec {
            tv_sec: right / SECOND + wrong,
            tv_nsec: right % SECOND,
        };
        clock_settime(ClockId::Realtime, time).unwrap();
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[ignore = "sets the machine's clock: make test-all-kernels"]
#[test]
fn clock_that_jumps_removes_nothing_and_for_a_moment_changes_no_time() {
    let machine = fs::read_to_string("/proc/cmdline").unwrap();
    assert!(
        machine.contains("rdinit=/init"),
        "not a machine of the tests"
    );
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let connect = |count: usize| {
        ok(net
            .command(dial())
            .args(["loop", FAR4, &port, &count.to_string()]));
    };
    let own = format!(
        "SELECT count(*) FROM egress WHERE netns = {}",
        net.near_inode()
    );
    let rows = || value::<i64>(&db, &own);
    let clock = Clock::new();
    let begun = nanoseconds(ClockId::Realtime);
    let recorder = Recorder::start(&db, &["--keep", "30d"]);
    connect(100);
    eventually("100 rows", || (rows() == 100).then_some(()));

    let mut all = 100;
    for wrong in [40 * DAY, -3600] {
        clock.set(wrong);
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            connect(5);
            all += 5;
        }
        clock.set(0);
        eventually("all rows", || (rows() == all).then_some(()));
    }
    let ended = nanoseconds(ClockId::Realtime);
    let sql = format!("{own} AND ts BETWEEN {begun} AND {ended}");
    assert_eq!(value::<i64>(&db, &sql), all);
    let jumps = || value::<i64>(&db, "SELECT count(*) FROM gaps WHERE kind = 'clock'");
    assert_eq!(jumps(), 0);

    // One that stays is followed.
    clock.set(40 * DAY);
    eventually("the clock is followed", || {
        connect(5);
        all += 5;
        (jumps() > 0).then_some(())
    });
    eventually("all rows", || (rows() == all).then_some(()));
    clock.set(0);
    eventually("the clock is followed back", || (jumps() > 1).then_some(()));
    connect(5);
    assert_eq!(recorder.stop(), 0);
    assert_eq!(rows(), all + 5);
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
}
