//! The helper process: does what the recorder at the other end of stdin asks for, until that
//! ends.

use std::io::{PipeReader, Read, pipe};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{
    Pid, Signal, WaitOptions, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use rustix::thread::{capabilities, set_no_new_privs};

use super::MAX_MESSAGE;
use super::dump::{self, DumpDir};
use super::exempt::Exempt;
use super::identity::{Target, is_gone};
use super::protocol::{Measure, Reply, Request};
use super::rate::RateLimit;
use crate::model::ActionOutcome;
use crate::privileges::{CapabilitySet, filter_system_calls, helper, hold_only};

/// Dumps at once; more processes are killed without one.
const MAX_AT_ONCE: usize = 4;

/// How often running dumps are looked at.
const CHECK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How long a stopped process has to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of a message of the process that dumps.
const MAX_WHY: u64 = 1024;

/// A dump that is being written, by a child.
struct Dump {
    child: Pid,
    since: Instant,
    target: Target,
    number: u64,
    file: String,
    /// Whether it has been written; None while it is.
    ended: Option<bool>,
    /// Why it has failed.
    why: PipeReader,
}

struct Server {
    control: OwnedFd,
    exempt: Exempt,
    rate: RateLimit,
    dir: Option<DumpDir>,
    dumps: Vec<Dump>,
}

/// # Errors
/// stdin is not a recorder's socket.
pub fn serve() -> Result<()> {
    let control = helper::control()?;
    let recorder = getppid().context("not a recorder's child")?;
    let stdout = rustix::io::dup(std::io::stdout())?;
    let dir = DumpDir::of(stdout).ok();
    drop_privileges(dir.is_some())?;
    let mut server = Server {
        control,
        exempt: Exempt::new(recorder.as_raw_pid() as u32),
        rate: RateLimit::default(),
        dir,
        dumps: Vec::new(),
    };
    let result = server.run();
    server.abandon();
    result
}

/// To signal others' processes, and to see what they run or to read their memory.
fn drop_privileges(dumps: bool) -> Result<()> {
    let needed = CapabilitySet::KILL | CapabilitySet::SYS_PTRACE;
    let kept = capabilities(None)?.permitted & needed;
    hold_only(kept)?;
    // Nothing is executed from here on: no set-user-ID program can give more.
    set_no_new_privs(true)?;
    // What a dump takes, fork and ptrace, is refused with the rest. A kernel without seccomp does
    // without.
    if !dumps {
        let _ = filter_system_calls();
    }
    Ok(())
}

impl Server {
    fn run(&mut self) -> Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.control, PollFlags::IN)];
            let busy = !self.dumps.is_empty();
            let ready = match poll(&mut fds, busy.then_some(&CHECK)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(e) => return Err(e.into()),
            };
            self.finish_dumps();
            if !ready {
                continue;
            }
            let mut message = [0; MAX_MESSAGE];
            let (_, len) = recv(&self.control, &mut message[..], RecvFlags::empty())?;
            if len == 0 {
                return Ok(());
            }
            let request = serde_json::from_slice(message.get(..len).unwrap_or_default())
                .context("not a recorder")?;
            if let Some(reply) = self.act(&request) {
                self.reply(&reply);
            }
        }
    }

    /// A recorder that has ended is noticed by the next message.
    fn reply(&self, reply: &Reply) {
        if let Ok(message) = serde_json::to_vec(reply) {
            let _ = send(&self.control, &message, SendFlags::NOSIGNAL);
        }
    }

    /// None: the reply follows, once the dump is written.
    fn act(&mut self, request: &Request) -> Option<Reply> {
        let reply = |outcome, why| Reply {
            number: request.number,
            outcome,
            file: None,
            why,
        };
        let target = match Target::open(request.pid, request.start_ns) {
            Ok(Some(target)) => target,
            Ok(None) => return Some(reply(ActionOutcome::Gone, None)),
            Err(e) => return Some(reply(ActionOutcome::Failed, Some(e.to_string()))),
        };
        if let Some(why) = self.exempt.reason(&target, request.exe.as_deref()) {
            return Some(reply(ActionOutcome::Exempt, Some(why)));
        }
        let is_underway = self.dumps.iter().any(|dump| dump.target.pid == target.pid);
        if is_underway {
            // for another of its connections
            return Some(reply(ActionOutcome::Done, None));
        }
        if !self.rate.allows(&request.rule, Instant::now()) {
            return Some(reply(ActionOutcome::RateLimit, None));
        }
        let signal = |signal| match target.signal(signal) {
            Ok(()) => reply(ActionOutcome::Done, None),
            Err(e) if is_gone(&e) => reply(ActionOutcome::Gone, None),
            Err(e) => reply(ActionOutcome::Failed, Some(e.to_string())),
        };
        match request.measure {
            Measure::Suspend => Some(signal(Signal::STOP)),
            Measure::Kill => Some(signal(Signal::KILL)),
            Measure::Dump => {
                let stopped = signal(Signal::STOP);
                if stopped.outcome != ActionOutcome::Done {
                    return Some(stopped);
                }
                let why = match self.begin_dump(request, &target) {
                    Ok((child, file, why)) => {
                        self.dumps.push(Dump {
                            child,
                            since: Instant::now(),
                            target,
                            number: request.number,
                            file,
                            ended: None,
                            why,
                        });
                        return None;
                    }
                    Err(e) => format!("no core dump: {e:#}"),
                };
                let mut killed = signal(Signal::KILL);
                killed.why = killed.why.or(Some(why));
                Some(killed)
            }
        }
    }

    fn begin_dump(&self, request: &Request, target: &Target) -> Result<(Pid, String, PipeReader)> {
        let dir = self.dir.as_ref().context("there is no --dump-dir")?;
        anyhow::ensure!(
            self.dumps.len() < MAX_AT_ONCE,
            "{MAX_AT_ONCE} others are being written"
        );
        let (name, file) = dir.create(request.pid)?;
        let (why, mut to) = pipe()?;
        // SAFETY: this process has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let _ = set_parent_process_death_signal(Some(Signal::KILL));
                let write = || {
                    target.await_stop(STOP_LIMIT);
                    dump::write(request.pid, file)
                };
                // what a process has in /proc may surprise the reader
                let written = catch_unwind(AssertUnwindSafe(write))
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("it can't be read")));
                let failed = match written {
                    Ok(()) => 0,
                    Err(e) => {
                        let _ = std::io::Write::write_all(&mut to, format!("{e:#}").as_bytes());
                        1
                    }
                };
                std::process::exit(failed);
            }
            ForkResult::Parent { child } => {
                let child = Pid::from_raw(child.as_raw()).context("fork")?;
                Ok((child, name, why))
            }
        }
    }

    /// Kills the processes whose dumps are written, or take too long.
    fn finish_dumps(&mut self) {
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if let Some(dump) = self.dumps.iter_mut().find(|dump| dump.child == pid) {
                dump.ended = Some(status.exit_status() == Some(0));
            }
        }
        let is_over =
            |dump: &mut Dump| dump.ended.is_some() || dump.since.elapsed() > dump::TIME_LIMIT;
        let over: Vec<Dump> = self.dumps.extract_if(.., is_over).collect();
        for dump in over {
            let reply = dump.end(self.dir.as_ref());
            self.reply(&reply);
        }
    }

    /// The recorder has ended: what was to be killed is.
    fn abandon(&mut self) {
        for dump in std::mem::take(&mut self.dumps) {
            dump.end(self.dir.as_ref());
        }
    }
}

impl Dump {
    fn end(mut self, dir: Option<&DumpDir>) -> Reply {
        let _ = kill_process(self.child, Signal::KILL);
        let killed = self.target.signal(Signal::KILL);
        let mut reply = Reply {
            number: self.number,
            outcome: ActionOutcome::Done,
            file: None,
            why: None,
        };
        if let Err(e) = killed
            && !is_gone(&e)
        {
            reply.outcome = ActionOutcome::Failed;
            reply.why = Some(e.to_string());
            return reply;
        }
        let mut why = String::new();
        match self.ended {
            Some(true) => reply.file = dir.map(|dir| dir.path_of(&self.file)),
            Some(false) => {
                let _ = (&mut self.why).take(MAX_WHY).read_to_string(&mut why);
            }
            None => why = "it took too long".into(),
        }
        if reply.file.is_none() {
            if let Some(dir) = dir {
                dir.remove(&self.file);
            }
            reply.why = Some(format!("no core dump: {why}"));
        }
        reply
    }
}
