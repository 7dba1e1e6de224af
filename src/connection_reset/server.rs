//! The helper process: resets what the recorder at the other end of stdin names, until that ends.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::fstat;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};

use super::{Failure, MAX_MESSAGE, NEEDED, Request};
use crate::capture::socket_diag;
use crate::model::mapped;
use crate::privileges::{helper, hold_only};

/// # Errors
/// stdin is not a recorder's socket.
pub fn serve() -> Result<()> {
    let control = helper::control()?;
    hold_only(NEEDED)?;
    // Nothing is executed from here on.
    set_no_new_privs(true)?;
    let mut message = [0; MAX_MESSAGE];
    loop {
        let (_, len) = recv(&control, &mut message[..], RecvFlags::empty())?;
        if len == 0 {
            return Ok(());
        }
        let message = message.get(..len).unwrap_or_default();
        let request: Request = serde_json::from_slice(message).context("not a recorder")?;
        if let Err(e) = reset(&request) {
            let why = format!("{e:#}");
            let failure = serde_json::to_vec(&Failure { request, why })?;
            // lost if the recorder has too many of them
            let _ = send(
                &control,
                &failure,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            );
        }
    }
}

fn reset(request: &Request) -> Result<()> {
    let namespace = namespace(request).context("its network namespace is not found")?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("its network namespace can't be entered")?;
    let end = |of: SocketAddr| (mapped(of.ip()), of.port());
    match socket_diag::reset([end(request.src), end(request.dst)], request.cookie) {
        // it has ended by itself
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done.context("the kernel does not reset it"),
    }
}

/// That of a thread of its process, of one of its sockets, or of any other process.
fn namespace(request: &Request) -> Option<OwnedFd> {
    let is_it =
        |file: &OwnedFd| fstat(file).is_ok_and(|found| found.st_ino == u64::from(request.netns));
    let of_tasks = |directory: &str| {
        let tasks = std::fs::read_dir(directory).ok()?.flatten();
        tasks
            .filter_map(|task| File::open(task.path().join("ns/net")).ok())
            .map(OwnedFd::from)
            .find(is_it)
    };
    of_tasks(&format!("/proc/{}/task", request.pid))
        .or_else(|| namespaces_of_sockets(request.pid)?.find(is_it))
        .or_else(|| of_tasks("/proc"))
}

/// A process may have left the namespace in which it has made a socket.
fn namespaces_of_sockets(pid: u32) -> Option<impl Iterator<Item = OwnedFd>> {
    let process = pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let sockets = files.filter_map(|file| {
        let target = std::fs::read_link(file.path()).ok()?;
        let number = file.file_name().to_str()?.parse().ok()?;
        target.to_str()?.starts_with("socket:").then_some(number)
    });
    Some(sockets.filter_map(move |number| {
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
        socket_diag::namespace_of(&socket).ok()
    }))
}
