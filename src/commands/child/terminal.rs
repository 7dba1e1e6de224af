//! The terminal of the command: a pseudoterminal of its own, and a thread that copies between it
//! and egrets' terminal. Without it, the command could put what it likes into the input of the
//! terminal (TIOCSTI), or stay in the background and read what its owner types next.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, Uid, fcntl_setfl, fstat};
use rustix::process::{Pid, Signal, getpgrp, kill_current_process_group, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, tcsetwinsize,
};
use signal_hook::consts::SIGWINCH;

/// How often it looks whether egrets is in the foreground.
const LOOK: Duration = Duration::from_millis(500);
/// How long the last output has to be written once the command has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

pub struct Terminal {
    master: OwnedFd,
    /// Until the command has it: with another one open, its end would not be seen.
    slave: Option<OwnedFd>,
    /// egrets' own.
    outer: File,
    /// Its settings before the command.
    saved: Termios,
    /// Whether stdin is the terminal, so that the command gets what is typed.
    typed: bool,
    /// Whether the terminal is left in line mode, for a pager behind the pipe.
    lines: bool,
}

impl Terminal {
    /// None: neither stdin, stdout nor stderr is a terminal.
    pub fn open_if_needed() -> Result<Option<Terminal>> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let Some(tty) = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
            .into_iter()
            .find(|fd| fd.is_terminal())
        else {
            return Ok(None);
        };
        // Opened again: the descriptor may be for reading or for writing only.
        let outer = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", tty.as_raw_fd()))
            .or_else(|_| tty.try_clone_to_owned().map(File::from))?;
        let saved = tcgetattr(&outer)?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )?;
        let typed = stdin.is_terminal();
        let piped =
            fstat(&stdout).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Fifo);
        let lines = typed && piped;
        let mut settings = saved.clone();
        if lines {
            // The outer terminal does it.
            settings.local_modes.remove(LocalModes::ECHO);
        }
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let terminal = Terminal {
            master,
            slave: Some(slave),
            outer,
            saved,
            typed,
            lines,
        };
        terminal.copy_size();
        Ok(Some(terminal))
    }

    /// Makes it the user's, who may open it by its name then.
    pub fn give_to_user(&self, uid: u32) -> Result<()> {
        if let Some(slave) = &self.slave {
            let uid = Some(Uid::from_raw(uid));
            rustix::fs::fchown(slave, uid, None).context("the terminal's owner")?;
        }
        Ok(())
    }

    /// Replaces what is a terminal of the command's stdin, stdout and stderr.
    pub fn give_to(&self, command: &mut Command) -> io::Result<()> {
        let slave = || -> io::Result<Stdio> {
            let slave = self.slave.as_ref().ok_or(io::ErrorKind::NotFound)?;
            Ok(slave.try_clone()?.into())
        };
        if io::stdin().is_terminal() {
            command.stdin(slave()?);
        }
        if io::stdout().is_terminal() {
            command.stdout(slave()?);
        }
        if io::stderr().is_terminal() {
            command.stderr(slave()?);
        }
        Ok(())
    }

    /// In the new process: makes the terminal among stdin, stdout and stderr the session's.
    pub fn control() -> io::Result<()> {
        for fd in 0..3 {
            // SAFETY: asks the kernel about a descriptor, open or not.
            unsafe {
                if libc::isatty(fd) == 1 {
                    return match libc::ioctl(fd, libc::TIOCSCTTY, 0) {
                        0 => Ok(()),
                        _ => Err(io::Error::last_os_error()),
                    };
                }
            }
        }
        Ok(())
    }

    /// Starts copying for the command with this pid.
    pub fn relay(mut self, pid: u32) -> Result<Relay> {
        self.slave = None;
        let (resized, on_resize) = io::pipe().context("a pipe")?;
        fcntl_setfl(&resized, OFlags::NONBLOCK)?;
        signal_hook::low_level::pipe::register(SIGWINCH, on_resize).context("signal handlers")?;
        let (stopped, stop) = io::pipe().context("a pipe")?;
        let (done, is_done) = channel();
        thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || {
                let mut copier = Copier {
                    command: Pid::from_raw(pid as i32),
                    typed: self.typed,
                    terminal: self,
                    pending: Vec::new(),
                    raw: false,
                };
                copier.run(&resized, stopped.as_fd());
                copier.restore();
                let _ = done.send(());
            })
            .context("a thread for the terminal can't be started")?;
        Ok(Relay {
            _stop: Some(stop),
            done: is_done,
        })
    }

    fn copy_size(&self) {
        if let Ok(size) = tcgetwinsize(&self.outer) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.outer).is_ok_and(|group| group == getpgrp())
    }
}

/// The thread that copies. Ends with the command.
pub struct Relay {
    _stop: Option<io::PipeWriter>,
    done: Receiver<()>,
}

impl Relay {
    /// Copies the command's last output, and gives the terminal back.
    pub fn finish(mut self) {
        self._stop = None;
        let _ = self.done.recv_timeout(LAST_OUTPUT);
    }
}

struct Copier {
    terminal: Terminal,
    command: Option<Pid>,
    /// Whether there is more to be typed.
    typed: bool,
    /// What the command has not read yet.
    pending: Vec<u8>,
    raw: bool,
}

/// Whether a process neither ignores nor handles SIGTSTP, as shells do.
fn stops_by_default(process: Pid) -> bool {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let stop = 1 << (libc::SIGTSTP - 1);
    match (set("SigIgn:"), set("SigCgt:")) {
        (Some(ignored), Some(caught)) => (ignored | caught) & stop == 0,
        _ => false,
    }
}

impl Copier {
    fn run(&mut self, resized: &io::PipeReader, stopped: BorrowedFd<'_>) {
        loop {
            let reads = self.reads_input();
            let mut master = PollFlags::IN;
            if !self.pending.is_empty() {
                master |= PollFlags::OUT;
            }
            let mut fds = vec![
                PollFd::new(&self.terminal.master, master),
                PollFd::from_borrowed_fd(resized.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(stopped, PollFlags::IN),
            ];
            if reads && self.pending.is_empty() {
                fds.push(PollFd::new(&self.terminal.outer, PollFlags::IN));
            }
            let timeout = Timespec::try_from(LOOK).ok();
            if poll(&mut fds, timeout.as_ref()).is_err_and(|e| e != rustix::io::Errno::INTR) {
                return;
            }
            let ready = |i: usize| fds.get(i).is_some_and(|fd| !fd.revents().is_empty());
            let (output, size, stop, input) = (ready(0), ready(1), ready(2), ready(3));
            if size {
                let mut resized = resized;
                let _ = resized.read(&mut [0; 64]);
                self.terminal.copy_size();
            }
            if input {
                self.read_input();
            }
            self.write_input();
            if output && self.copy_output().is_err() {
                return;
            }
            if stop {
                // Until none is left.
                while let Ok(true) = self.copy_output() {}
                return;
            }
        }
    }

    /// Whether what is typed is for the command now. Sets the terminal's mode for it.
    fn reads_input(&mut self) -> bool {
        if !self.typed || !self.terminal.is_foreground() {
            return false;
        }
        if self.terminal.lines {
            // A pager that reads keys has left line mode.
            return tcgetattr(&self.terminal.outer)
                .is_ok_and(|now| now.local_modes.contains(LocalModes::ICANON));
        }
        if !self.raw {
            let mut raw = self.terminal.saved.clone();
            raw.make_raw();
            self.raw = tcsetattr(&self.terminal.outer, OptionalActions::Drain, &raw).is_ok();
        }
        self.raw
    }

    fn read_input(&mut self) {
        let mut bytes = [0; 1024];
        match (&self.terminal.outer).read(&mut bytes) {
            Ok(0) if self.terminal.lines => {
                let end = self.terminal.saved.special_codes[SpecialCodeIndex::VEOF];
                self.pending.push(end);
            }
            Ok(0) => self.typed = false,
            Ok(n) => {
                let suspend = self.suspends(&bytes[..n]);
                self.pending.extend_from_slice(&bytes[..n]);
                if suspend {
                    self.suspend();
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.typed = false,
        }
    }

    /// Whether Ctrl-Z is among what was typed, and is for the command as a whole: it is no shell
    /// that has given the terminal to a job.
    fn suspends(&self, typed: &[u8]) -> bool {
        let master = &self.terminal.master;
        let Ok(settings) = tcgetattr(master) else {
            return false;
        };
        settings.local_modes.contains(LocalModes::ISIG)
            && typed.contains(&settings.special_codes[SpecialCodeIndex::VSUSP])
            && tcgetpgrp(master).ok() == self.command
            && self.command.is_some_and(stops_by_default)
    }

    /// Stops the command and egrets' own job. The kernel does not stop a session's first process
    /// for Ctrl-Z: nothing in its session could continue it.
    fn suspend(&mut self) {
        let Some(command) = self.command else {
            return;
        };
        self.pending.clear();
        let _ = kill_process_group(command, Signal::STOP);
        self.restore();
        let _ = kill_current_process_group(Signal::TSTP);
        // Here it goes on after 'fg'.
        self.terminal.copy_size();
        let _ = kill_process_group(command, Signal::CONT);
    }

    fn write_input(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match rustix::io::write(&self.terminal.master, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => {
                self.pending.clear();
                self.typed = false;
            }
        }
    }

    /// Whether there was some. An error: no process has the terminal any more.
    fn copy_output(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.terminal.master, &mut bytes) {
            Ok(0) => Ok(false),
            Ok(n) => {
                (&self.terminal.outer).write_all(&bytes[..n])?;
                Ok(true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn restore(&mut self) {
        if self.raw {
            self.raw = false;
            let _ = tcsetattr(
                &self.terminal.outer,
                OptionalActions::Drain,
                &self.terminal.saved,
            );
        }
    }
}
