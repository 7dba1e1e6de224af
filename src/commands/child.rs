//! The command of `record -- CMD`, which runs as the user who called sudo.

use std::ffi::{CString, OsString};
use std::io::IsTerminal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::unistd::{Uid, User, getgrouplist, setgid, setgroups, setuid};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

pub struct Child {
    process: std::process::Child,
    terminated: bool,
}

impl Child {
    pub fn spawn(command: &[OsString]) -> Result<Child> {
        let (program, args) = command.split_first().context("no command to run")?;
        let mut command = Command::new(program);
        command.args(args);
        if let Some(user) = caller()? {
            become_user(&mut command, &user)?;
        }
        let process = command
            .spawn()
            .with_context(|| format!("{} can't be run", program.to_string_lossy()))?;
        Ok(Child {
            process,
            terminated: false,
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its exit status once it has ended; 128 plus the signal that killed it, as in shells.
    pub fn try_wait(&mut self) -> Result<Option<ExitCode>> {
        let status = self.process.try_wait().context("waiting for the command")?;
        Ok(status.map(|status| {
            let code = status
                .code()
                .or(status.signal().map(|s| 128 + s))
                .unwrap_or(1);
            ExitCode::from(code as u8)
        }))
    }

    /// Forwards a signal that egrets got; the command decides when to stop. From a
    /// terminal, Ctrl-C reaches it directly.
    pub fn forward(&self, signal: Option<i32>) {
        match signal {
            Some(SIGINT) if !std::io::stdin().is_terminal() => self.send(Signal::INT),
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

    fn send(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.process.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// The user who called sudo, if it was sudo that made this process root.
fn caller() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let Some(uid) = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse().ok())
    else {
        return Ok(None);
    };
    if uid == 0 {
        return Ok(None);
    }
    User::from_uid(Uid::from_raw(uid))
        .with_context(|| format!("user {uid}, who called sudo"))?
        .map(Some)
        .with_context(|| format!("SUDO_UID is {uid}, which is no user's"))
}

/// Changes user, groups and the environment variables that name the user.
fn become_user(command: &mut Command, user: &User) -> Result<()> {
    let name = CString::new(user.name.as_str())?;
    let groups = getgrouplist(&name, user.gid).context("groups of the user")?;
    let (uid, gid) = (user.uid, user.gid);
    command
        .env("HOME", &user.dir)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name);
    // SAFETY: between fork and exec only async-signal-safe system calls are made, on memory
    // that was allocated before.
    unsafe {
        command.pre_exec(move || {
            setgroups(&groups)?;
            setgid(gid)?;
            setuid(uid)?;
            Ok(())
        });
    }
    Ok(())
}
