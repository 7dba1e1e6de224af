//! The clock of the kernel side.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, as bpf_ktime_get_boot_ns.
pub fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
