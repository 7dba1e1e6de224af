//! The command of `record -- CMD`: run as the user who called sudo, followed to
//! its end.

use std::ffi::{CString, OsString};
use std::io::IsTerminal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid, User, getgrouplist};
use rustix::process::{Pid, Signal, kill_process};

pub struct Child {
    process: std::process::Child,
    asked_to_end: bool,
}

impl Child {
    pub fn spawn(command: &[OsString]) -> Result<Child> {
        let (program, args) = command
            .split_first()
            .context("there is no command to run")?;
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
            asked_to_end: false,
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its exit status once it has ended; 128 and the signal where one ended it,
    /// as shells have it.
    pub fn ended(&mut self) -> Result<Option<ExitCode>> {
        let status = self.process.try_wait().context("the command's end")?;
        Ok(status.map(|status| {
            let code = status
                .code()
                .or(status.signal().map(|s| 128 + s))
                .unwrap_or(1);
            ExitCode::from(code as u8)
        }))
    }

    /// Hands a signal that asked egrets to stop on to the command, which then
    /// decides. Ctrl-C at a terminal has reached it by itself.
    pub fn pass_on(&self, signal: Option<i32>) {
        match signal {
            Some(libc::SIGINT) if !std::io::stdin().is_terminal() => self.send(Signal::INT),
            Some(libc::SIGTERM) => self.send(Signal::TERM),
            _ => {}
        }
    }

    /// Asks it to end, once.
    pub fn terminate(&mut self) {
        if !self.asked_to_end {
            self.asked_to_end = true;
            self.send(Signal::TERM);
        }
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.process.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// The user who called sudo, if root got here that way.
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
        .with_context(|| format!("the user {uid} who called sudo"))?
        .map(Some)
        .with_context(|| format!("there is no user {uid}, whom SUDO_UID names"))
}

/// User, groups and the environment that goes with them.
fn become_user(command: &mut Command, user: &User) -> Result<()> {
    let name = CString::new(user.name.as_str())?;
    let groups = getgrouplist(&name, user.gid).context("the groups of the user")?;
    let gids: Vec<libc::gid_t> = groups.into_iter().map(Gid::as_raw).collect();
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    command
        .env("HOME", &user.dir)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name);
    // SAFETY: between fork and exec only system calls are made, on memory that
    // was prepared before.
    unsafe {
        command.pre_exec(move || {
            let ok = libc::setgroups(gids.len(), gids.as_ptr()) == 0
                && libc::setgid(gid) == 0
                && libc::setuid(uid) == 0;
            if ok {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    Ok(())
}
