//! The helper process: forks a worker for each session, and keeps an eye on them. It opens no
//! file itself, and is the only process with the capabilities to become another user.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::{capabilities, set_no_new_privs};

use super::protocol::Who;
use super::worker;

use crate::privileges::{CapabilitySet, helper, hold_only};

/// How long a worker may live, and one that reads an executable. One that hangs in the kernel
/// outlives it.
const LIFETIME: Duration = Duration::from_secs(3);
pub const EXECUTABLE_LIFETIME: Duration = Duration::from_secs(60);
/// Workers at once, those that hang included: of one user, and of all.
const MAX_OF_USER: usize = 16;
const MAX_WORKERS: usize = 128;
/// How often ended and overdue workers are looked for.
const CHECK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// A message is a [`Who`].
const MAX_MESSAGE: usize = 1024;

struct Worker {
    /// None for one that stays.
    uid: Option<u32>,
    since: Instant,
    lifetime: Duration,
}

/// Serves the recorder at the other end of stdin until that ends.
///
/// # Errors
/// stdin is not a recorder's socket.
pub fn serve() -> Result<()> {
    let control = helper::control()?;
    drop_capabilities()?;
    worker::close_all_but(&[control.as_raw_fd()]);
    let mut workers = HashMap::new();
    let result = run(&control, &mut workers);
    for pid in workers.keys() {
        let _ = kill_process(*pid, Signal::KILL);
    }
    result
}

fn run(control: &OwnedFd, workers: &mut HashMap<Pid, Worker>) -> Result<()> {
    loop {
        let mut fds = [PollFd::new(control, PollFlags::IN)];
        let watched = workers.values().any(|worker| worker.uid.is_some());
        let ready = match poll(&mut fds, watched.then_some(&CHECK)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => false,
            Err(e) => return Err(e.into()),
        };
        reap(workers);
        if !ready {
            continue;
        }
        let Some((who, stream)) = receive(control)? else {
            return Ok(());
        };
        if !has_room(workers, who.uid()) {
            continue; // the session ends with its stream
        }
        // SAFETY: this process has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                worker::run(&who, stream);
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                if let Some(pid) = Pid::from_raw(child.as_raw()) {
                    let lifetime = match who {
                        Who::Executable { .. } => EXECUTABLE_LIFETIME,
                        _ => LIFETIME,
                    };
                    let worker = Worker {
                        uid: who.uid(),
                        since: Instant::now(),
                        lifetime,
                    };
                    workers.insert(pid, worker);
                }
            }
        }
    }
}

fn has_room(workers: &HashMap<Pid, Worker>, uid: Option<u32>) -> bool {
    let of_user = workers.values().filter(|worker| worker.uid == uid).count();
    workers.len() < MAX_WORKERS && of_user < MAX_OF_USER
}

fn reap(workers: &mut HashMap<Pid, Worker>) {
    while let Ok(Some((pid, _))) = waitpid(None, WaitOptions::NOHANG) {
        workers.remove(&pid);
    }
    let overdue =
        |worker: &Worker| worker.uid.is_some() && worker.since.elapsed() > worker.lifetime;
    for (pid, _) in workers.iter().filter(|(_, worker)| overdue(worker)) {
        let _ = kill_process(*pid, Signal::KILL);
    }
}

/// The next session; None when the recorder has ended.
fn receive(control: &OwnedFd) -> Result<Option<(Who, UnixStream)>> {
    let mut message = [0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut message)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(control.as_fd(), &mut parts, &mut ancillary, flags);
    let got = received?.bytes;
    let stream = ancillary.drain().find_map(|received| match received {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if got == 0 {
        return Ok(None);
    }
    let who = serde_json::from_slice(&message[..got]).context("not a recorder")?;
    let stream = stream.context("not a recorder")?;
    Ok(Some((who, UnixStream::from(stream))))
}

/// To become a user, to open the root directory of a process, to end a worker.
fn drop_capabilities() -> Result<()> {
    let needed = CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SYS_PTRACE
        | CapabilitySet::KILL;
    let kept = capabilities(None)?.permitted & needed;
    hold_only(kept)?;
    // Nothing is executed from here on: no set-user-ID program can give more.
    set_no_new_privs(true)?;
    Ok(())
}
