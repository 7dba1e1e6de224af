//! Processes of egrets beside the recorder, which keep rights that it drops: the same program
//! with a hidden command. What they are to do comes over a socket, at their stdin.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::setsid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The recorder's end of a helper.
pub struct Helper {
    /// A socket of messages. The helper ends when this closes.
    pub control: OwnedFd,
    pub pid: u32,
}

/// Starts a helper, which takes over the capabilities that the caller has now.
///
/// # Errors
/// The program can't be run again.
pub fn start(command: &str, stdout: Stdio) -> Result<Helper> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // A directory of its own: the caller's may be a user's.
    let child = Command::new("/proc/self/exe")
        .arg0("egrets")
        .arg(command)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Helper {
        control: ours,
        pid: child.id(),
    })
}

/// In the helper: its end of the socket.
///
/// # Errors
/// It has no stdin, or the kernel refuses a handler.
pub fn control() -> Result<OwnedFd> {
    // Not in the terminal's foreground: Ctrl-C ends the recorder, and that ends this.
    let _ = setsid();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::<AtomicBool>::default())?;
    }
    let control = rustix::io::dup(std::io::stdin())?;
    rustix::io::fcntl_setfd(&control, rustix::io::FdFlags::CLOEXEC)?;
    Ok(control)
}
