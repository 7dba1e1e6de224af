//! The wall clock and the boot clock. The kernel side dates events by the latter.

use rustix::time::{ClockId, clock_gettime};

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
