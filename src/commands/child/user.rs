//! Who the command runs as: the user who called sudo.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist, setgid, setgroups, setuid};

pub struct Credentials {
    user: User,
    groups: Vec<Gid>,
}

impl Credentials {
    /// None: the command runs as egrets does.
    ///
    /// # Errors
    /// SUDO_UID or SUDO_GID is set and no user's or group's: guessing could run the command as root.
    pub fn of_caller() -> Result<Option<Credentials>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let (uid, gid) = (id("SUDO_UID")?, id("SUDO_GID")?);
        if let Some(gid) = gid {
            Group::from_gid(Gid::from_raw(gid))
                .with_context(|| format!("group {gid}, of SUDO_GID"))?
                .with_context(|| format!("SUDO_GID is {gid}, which is no group's: {UNSET}"))?;
        }
        let Some(uid) = uid.filter(|uid| *uid != 0) else {
            return Ok(None);
        };
        let user = User::from_uid(Uid::from_raw(uid))
            .with_context(|| format!("user {uid}, who called sudo"))?
            .with_context(|| format!("SUDO_UID is {uid}, which is no user's: {UNSET}"))?;
        let name = CString::new(user.name.as_str())?;
        let groups = getgrouplist(&name, user.gid).context("groups of the user")?;
        Ok(Some(Credentials { user, groups }))
    }

    /// The group that only this user is in, as most systems make one for each: it has their name.
    pub fn private_group(&self) -> Option<u32> {
        let group = Group::from_gid(self.user.gid).ok().flatten()?;
        let alone = group.mem.iter().all(|member| *member == self.user.name);
        (group.name == self.user.name && alone).then_some(group.gid.as_raw())
    }

    pub fn uid(&self) -> u32 {
        self.user.uid.as_raw()
    }

    /// The variables that name the user and what belongs to a session of theirs, as in
    /// `sudo -u`; the others stay.
    pub fn set_environment(&self, command: &mut Command) {
        let runtime = format!("/run/user/{}", self.user.uid);
        command
            .env("HOME", &self.user.dir)
            .env("USER", &self.user.name)
            .env("LOGNAME", &self.user.name)
            .env("SHELL", &self.user.shell)
            .env("MAIL", format!("/var/mail/{}", self.user.name))
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
        match Path::new(&runtime).is_dir() {
            true => command.env("XDG_RUNTIME_DIR", &runtime),
            false => command.env_remove("XDG_RUNTIME_DIR"),
        };
    }

    /// In the new process; makes system calls alone.
    pub fn assume(&self) -> io::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.user.gid)?;
        setuid(self.user.uid)?;
        Ok(())
    }
}

const UNSET: &str = "to run the command as root, unset it (env -u SUDO_UID -u SUDO_GID egrets …)";

/// The id in an environment variable, if there is one.
fn id(variable: &str) -> Result<Option<u32>> {
    let Some(value) = std::env::var_os(variable) else {
        return Ok(None);
    };
    value
        .to_str()
        // u32::from_str takes "+5", and the last one means "unchanged" to setuid(2)
        .filter(|id| id.bytes().all(|c| c.is_ascii_digit()))
        .and_then(|id| id.parse().ok())
        .filter(|id| *id != u32::MAX)
        .map(Some)
        .ok_or_else(|| {
            anyhow!(
                "{variable} is {value:?}, which is no id: it should name who called sudo; {UNSET}"
            )
        })
}
