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

/// Starts a helper, which takes over the capabilities that the caller has now. Returns the
/// recorder's end of its socket of messages; the helper ends when that closes.
///
/// # Errors
/// The program can't be run again.
pub fn start(command: &str, stdout: Stdio) -> Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // A directory of its own: the caller's may be a user's.
    Command::new("/proc/self/exe")
        .arg0("egrets")
        .arg(command)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()?;
    Ok(ours)
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
