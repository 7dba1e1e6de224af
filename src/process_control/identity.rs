//! Which process a request means: a pid is reused, a pid and a start time are not.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::model::tick_ns;

/// `PF_KTHREAD`, include/linux/sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;

const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A process that is the one which was meant, as long as this exists.
pub struct Target {
    pub pid: u32,
    pub is_kernel_thread: bool,
    pidfd: OwnedFd,
}

impl Target {
    /// None: that process has ended.
    ///
    /// # Errors
    /// It can't be found out.
    pub fn open(pid: u32, start_ns: u64) -> io::Result<Option<Target>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // of the process that the descriptor means, or of one that has got its pid since
        let stat = match Stat::read(pid) {
            Ok(stat) => stat,
            Err(e) if is_gone(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let target = Target {
            pid,
            is_kernel_thread: stat.flags & KERNEL_THREAD != 0,
            pidfd,
        };
        let is_meant = stat.start_ticks == start_ns / tick_ns();
        Ok((is_meant && !target.has_ended()).then_some(target))
    }

    /// A zombie has, too.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Waits until none of its threads runs, if it takes no longer than this.
    pub fn await_stop(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn is_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return true;
        };
        threads.flatten().all(|thread| {
            let stat = fs::read(thread.path().join("stat")).unwrap_or_default();
            Stat::parse(&stat).is_none_or(|stat| matches!(stat.state, 'T' | 't' | 'Z' | 'X'))
        })
    }

    /// # Errors
    /// It has ended, or may not be signalled.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }
}

pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Of /proc/PID/stat, proc_pid_stat(5).
pub struct Stat {
    pub state: char,
    pub ppid: u32,
    pub flags: u32,
    pub start_ticks: u64,
}

impl Stat {
    pub fn read(pid: u32) -> io::Result<Stat> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Stat::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The second field may hold anything.
    pub fn parse(text: &[u8]) -> Option<Stat> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        Some(Stat {
            state: field(3)?.chars().next()?,
            ppid: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }
}
