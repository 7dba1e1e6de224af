//! The wall clock and the boot clock. The kernel side dates events by the latter.

use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// A clock that differs by less was slewed, not set.
const JUMP: u64 = SECOND;
/// How long a clock that was set is not believed: a wrong answer of a time server, or a virtual
/// machine that continues, is often put right at once.
const DOUBT: u64 = 10 * SECOND;
/// How long after that nothing is removed by its age.
const SETTLING: u64 = 3600 * SECOND;

/// The wall clock, nanoseconds since 1970.
pub fn now_ts() -> i64 {
    nanos(ClockId::Realtime)
}

/// Nanoseconds since boot, suspends included, as bpf_ktime_get_boot_ns has it.
pub fn now_ns() -> u64 {
    nanos(ClockId::Boottime) as u64
}

/// When the host booted by today's wall clock, nanoseconds since 1970.
pub fn boot_ts() -> i64 {
    now_ts() - now_ns() as i64
}

fn nanos(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Refuses a time namespace whose boot clock is not the kernel's, which dates the events.
///
/// # Errors
/// This process is in one.
pub fn check_time_namespace() -> Result<()> {
    let link = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    // The offsets in /proc are those of future children.
    if link("time") != link("time_for_children") {
        return Ok(());
    }
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    if is_shifted(&offsets) {
        bail!(
            "egrets runs in a time namespace with a boot time of its own, by which all times would be wrong: \
             run it on the host ('nsenter --time=/proc/1/ns/time egrets ...')"
        );
    }
    Ok(())
}

/// Whether time_namespaces(7) offsets shift the boot clock.
fn is_shifted(offsets: &str) -> bool {
    let mut lines = offsets.lines().map(str::split_whitespace);
    lines.any(|mut words| {
        matches!(words.next(), Some("boottime" | "7")) && words.any(|number| number != "0")
    })
}

/// The offset of the wall clock from the boot clock that a recording goes by. A clock that is
/// set is believed when it has stayed so for a while.
pub struct WallClock {
    /// When the host booted, by the clock that is believed.
    offset: i64,
    /// Another offset, and since when (nanoseconds since boot).
    doubted: Option<(i64, u64)>,
    /// When the clock will have settled, nanoseconds since boot.
    settled_ns: u64,
}

impl WallClock {
    pub fn new(offset: i64) -> WallClock {
        WallClock {
            offset,
            doubted: None,
            settled_ns: 0,
        }
    }

    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Nothing is removed by its age for a while.
    pub fn doubt(&mut self, now_ns: u64) {
        self.settled_ns = now_ns.saturating_add(SETTLING);
    }

    /// Whether the age of a row can be trusted.
    pub fn is_settled(&self, now_ns: u64) -> bool {
        self.doubted.is_none() && now_ns >= self.settled_ns
    }

    /// Looks at the clock. By how much it was set, once that is believed.
    pub fn update(&mut self, now_ns: u64, offset: i64) -> Option<i64> {
        if offset.abs_diff(self.offset) < JUMP {
            if self.doubted.take().is_some() {
                log::info!("the clock was put right again");
            }
            self.offset = offset;
            return None;
        }
        let since = match self.doubted {
            Some((doubted, since)) if doubted.abs_diff(offset) < JUMP => since,
            _ => {
                log::warn!(
                    "the clock was set by {} s: times follow it when it has stayed so for {} s",
                    (offset - self.offset) / SECOND as i64,
                    DOUBT / SECOND
                );
                self.doubted = Some((offset, now_ns));
                now_ns
            }
        };
        if now_ns.saturating_sub(since) < DOUBT {
            return None;
        }
        let change = offset - self.offset;
        self.offset = offset;
        self.doubted = None;
        self.doubt(now_ns);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400 * SECOND as i64;

    #[test]
    fn a_clock_that_jumps_for_a_moment_changes_no_time() {
        let mut clock = WallClock::new(0);
        let mut now_ns = 0;
        let mut step = |clock: &mut WallClock, offset| {
            now_ns += SECOND;
            let change = clock.update(now_ns, offset);
            (change, clock.offset(), clock.is_settled(now_ns))
        };
        for jump in [40 * DAY, -DAY / 24] {
            for _ in 0..10 {
                assert_eq!(step(&mut clock, jump), (None, 0, false));
            }
            // slewed since
            assert_eq!(step(&mut clock, 1000), (None, 1000, true));
            step(&mut clock, 0);
        }
    }

    #[test]
    fn a_clock_that_stays_set_is_followed_and_removes_nothing_for_an_hour() {
        for jump in [40 * DAY, -DAY / 24] {
            let mut clock = WallClock::new(0);
            assert_eq!(clock.update(5 * SECOND, jump), None);
            // Another value begins the doubt anew.
            assert_eq!(clock.update(14 * SECOND, 2 * jump), None);
            assert_eq!(clock.update(16 * SECOND, 2 * jump), None);
            assert_eq!(clock.update(24 * SECOND, 2 * jump), Some(2 * jump));
            assert_eq!(clock.offset(), 2 * jump);
            assert!(!clock.is_settled(3600 * SECOND));
            assert!(clock.is_settled(3624 * SECOND));
        }
    }

    #[test]
    fn a_time_namespace_with_a_boot_clock_of_its_own_is_recognized() {
        assert!(!is_shifted(""));
        assert!(!is_shifted(
            "monotonic           5         0\nboottime           0         0\n"
        ));
        assert!(is_shifted(
            "monotonic           0         0\nboottime      -86400         0\n"
        ));
    }
}
