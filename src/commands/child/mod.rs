//! The command of `record -- CMD`. It runs as the user who called sudo, in a session of its own
//! and, if egrets has a terminal, on another one ([`terminal`]): a process can type into the
//! terminal of its session, and egrets' may be root's.

mod terminal;
mod user;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

use terminal::{Relay, Terminal};

pub use user::Credentials;

/// A process that has everything of the command but its program: it waits to be released, so
/// that egrets can drop the privileges that starting it takes.
pub struct HeldChild {
    pid: u32,
    gate: OwnedFd,
    program: String,
    spawning: JoinHandle<io::Result<std::process::Child>>,
    terminal: Option<Terminal>,
    other_user: bool,
}

impl HeldChild {
    /// # Errors
    /// No process can be made.
    pub fn start(command: &[OsString], credentials: Option<Credentials>) -> Result<HeldChild> {
        let (program, args) = command.split_first().context("no command to run")?;
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(args);
        if let Some(user) = &credentials {
            user.set_environment(&mut command);
        }
        let other_user = credentials.is_some();
        let terminal = Terminal::open_if_needed().context("a terminal for the command")?;
        if let Some(terminal) = &terminal {
            terminal.give_to(&mut command)?;
            if let Some(user) = &credentials {
                terminal.give_to_user(user.uid())?;
            }
        }
        let has_terminal = terminal.is_some();
        let (ready, report) = pipe_with(PipeFlags::CLOEXEC).context("a pipe")?;
        let (wait, gate) = pipe_with(PipeFlags::CLOEXEC).context("a pipe")?;
        let (to_report, to_wait, to_close) =
            (report.as_raw_fd(), wait.as_raw_fd(), gate.as_raw_fd());
        // SAFETY: between fork and exec only async-signal-safe system calls are made, on memory
        // that was allocated before.
        unsafe {
            command.pre_exec(move || {
                new_session(has_terminal)?;
                close_others_at_exec();
                if let Some(user) = &credentials {
                    user.assume()?;
                }
                // Otherwise it would wait for itself.
                libc::close(to_close);
                wait_for_release(to_report, to_wait)
            });
        }
        // It returns once the program runs.
        let spawning = thread::spawn(move || {
            let spawned = command.spawn();
            drop((report, wait));
            spawned
        });
        let mut pid = [0; 4];
        match rustix::io::retry_on_intr(|| rustix::io::read(&ready, &mut pid)) {
            Ok(4) => Ok(HeldChild {
                pid: u32::from_ne_bytes(pid),
                gate,
                program: name,
                spawning,
                terminal,
                other_user,
            }),
            _ => match spawned(spawning) {
                Err(e) => Err(e).with_context(|| format!("{name} can't be run")),
                Ok(_) => bail!("{name} can't be run"),
            },
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is another user's, so that it takes CAP_KILL to stop it.
    pub fn is_other_users(&self) -> bool {
        self.other_user
    }

    /// Lets it run its program.
    ///
    /// # Errors
    /// The program can't be run.
    pub fn release(self) -> Result<Child> {
        let _ = rustix::io::write(&self.gate, &[1]);
        let process =
            spawned(self.spawning).with_context(|| format!("{} can't be run", self.program))?;
        let relay = match self.terminal {
            Some(terminal) => Some(terminal.relay(self.pid)?),
            None => None,
        };
        Ok(Child {
            process,
            relay,
            terminated: false,
        })
    }
}

fn spawned(spawning: JoinHandle<io::Result<std::process::Child>>) -> Result<std::process::Child> {
    spawning
        .join()
        .map_err(|_| anyhow!("the thread that starts it has panicked"))?
        .map_err(Into::into)
}

/// In the new process: leaves the session of egrets. `terminal`: stdin, stdout or stderr is the
/// new one.
fn new_session(terminal: bool) -> io::Result<()> {
    rustix::process::setsid()?;
    if terminal {
        Terminal::control()?;
    }
    Ok(())
}

/// In the new process: nothing above stderr reaches the program, even what egrets' caller has
/// left open.
fn close_others_at_exec() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: changes flags of descriptors alone.
    unsafe {
        let flag = libc::CLOSE_RANGE_CLOEXEC;
        if libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, flag) == 0 {
            return;
        }
        // Linux before 5.11.
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        for fd in FIRST as RawFd..limit.rlim_cur.min(1 << 20) as RawFd {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// In the new process: reports its pid, and waits for [`HeldChild::release`].
fn wait_for_release(report: RawFd, wait: RawFd) -> io::Result<()> {
    // SAFETY: both are open, and the buffers live during the calls.
    unsafe {
        let pid = (libc::getpid() as u32).to_ne_bytes();
        libc::write(report, pid.as_ptr().cast(), pid.len());
        let mut byte = 0u8;
        loop {
            match libc::read(wait, (&raw mut byte).cast(), 1) {
                1 => return Ok(()),
                -1 if *libc::__errno_location() == libc::EINTR => {}
                // egrets has ended.
                _ => libc::_exit(127),
            }
        }
    }
}

pub struct Child {
    process: std::process::Child,
    relay: Option<Relay>,
    terminated: bool,
}

impl Child {
    /// Its exit status once it has ended; 128 plus the signal that killed it, as in shells.
    pub fn try_wait(&mut self) -> Result<Option<ExitCode>> {
        let status = self.process.try_wait().context("waiting for the command")?;
        if status.is_some()
            && let Some(relay) = self.relay.take()
        {
            relay.finish();
        }
        Ok(status.map(|status| {
            let code = status
                .code()
                .or(status.signal().map(|s| 128 + s))
                .unwrap_or(1);
            ExitCode::from(code as u8)
        }))
    }

    /// Forwards a signal that egrets got; the command decides when to stop. Ctrl-C goes to all
    /// of its process group, as a terminal would send it.
    pub fn forward(&self, signal: Option<i32>) {
        match signal {
            Some(SIGINT) => {
                if let Some(pid) = self.pid() {
                    let _ = kill_process_group(pid, Signal::INT);
                }
            }
            Some(SIGTERM) => self.send(Signal::TERM),
            _ => {}
        }
    }

    /// Sends SIGTERM, once.
    pub fn terminate(&mut self) {
        if !self.terminated {
            self.terminated = true;
            self.send(Signal::TERM);
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.process.id() as i32)
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }
}
