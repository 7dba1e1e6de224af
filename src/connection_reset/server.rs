//! The helper process: resets what the recorder at the other end of stdin names, until that ends.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::fstat;
use rustix::net::{RecvFlags, SendFlags, recv, send};
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
    let namespace = namespace(request).context("no process is in its network namespace")?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("its network namespace can't be entered")?;
    let end = |of: SocketAddr| (mapped(of.ip()), of.port());
    match socket_diag::reset([end(request.src), end(request.dst)], request.cookie) {
        // it has ended by itself
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done.context("the kernel does not reset it"),
    }
}

/// A thread of its process is in its network namespace, or any other process.
fn namespace(request: &Request) -> Option<File> {
    let threads = format!("/proc/{}/task", request.pid);
    [threads.as_str(), "/proc"]
        .into_iter()
        .find_map(|directory| {
            let tasks = std::fs::read_dir(directory).ok()?.flatten();
            tasks
                .filter_map(|task| File::open(task.path().join("ns/net")).ok())
                .find(|file| {
                    fstat(file).is_ok_and(|found| found.st_ino == u64::from(request.netns))
                })
        })
}
