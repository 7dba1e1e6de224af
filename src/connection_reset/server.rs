//! The helper process: resets what the recorder at the other end of stdin names, until that ends.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::fs::fstat;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};

use super::{Failure, MAX_MESSAGE, NEEDED, Request};
use crate::capture::socket_diag;
use crate::model::mapped;
use crate::privileges::{helper, hold_only};

/// Tasks, and files of a process, that are looked at for a namespace.
const MAX_LOOKED_AT: usize = 4096;

/// Namespaces that are kept open, and processes that are known to lead to none.
const MAX_KEPT: usize = 64;
const MAX_MISSED: usize = 4096;

/// # Errors
/// stdin is not a recorder's socket.
pub fn serve() -> Result<()> {
    let control = helper::control()?;
    hold_only(NEEDED)?;
    // Nothing is executed from here on.
    set_no_new_privs(true)?;
    let home = File::open("/proc/self/ns/net").context("its own network namespace")?;
    let home = OwnedFd::from(home);
    let mut namespaces = Namespaces::default();
    let mut message = [0; MAX_MESSAGE];
    loop {
        let (_, len) = match recv(&control, &mut message[..], RecvFlags::DONTWAIT) {
            // what is known of namespaces holds for requests that came together
            Err(rustix::io::Errno::AGAIN) => {
                namespaces = Namespaces::default();
                recv(&control, &mut message[..], RecvFlags::empty())?
            }
            received => received?,
        };
        if len == 0 {
            return Ok(());
        }
        let message = message.get(..len).unwrap_or_default();
        let request: Request = serde_json::from_slice(message).context("not a recorder")?;
        if let Err(e) = reset(&request, &mut namespaces, &home) {
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

fn reset(request: &Request, namespaces: &mut Namespaces, home: &OwnedFd) -> Result<()> {
    ensure!(
        request.cookie != socket_diag::ANY_COOKIE,
        "its cookie is that of any socket"
    );
    let namespace = namespaces
        .of(request)
        .context("its network namespace is not found")?;
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), network)
        .context("its network namespace can't be entered")?;
    let end = |of: SocketAddr| (mapped(of.ip()), of.port());
    let done = socket_diag::reset([end(request.src), end(request.dst)], request.cookie);
    // a namespace lives for as long as a process is in it
    move_into_link_name_space(home.as_fd(), network)
        .context("its network namespace can't be left")?;
    // if there is none, it has ended by itself
    done.context("the kernel does not reset it").map(drop)
}

/// Network namespaces that have been found, by their inode numbers, and where one was not found.
#[derive(Default)]
struct Namespaces {
    found: HashMap<u32, OwnedFd>,
    /// By process; None: by all processes.
    missed: HashSet<(u32, Option<u32>)>,
}

impl Namespaces {
    /// That of a thread of its process, of one of its sockets, or of any other process.
    fn of(&mut self, request: &Request) -> Option<&OwnedFd> {
        let netns = request.netns;
        if !self.found.contains_key(&netns) {
            let found = self.look_at(request, Some(request.pid));
            let found = found.or_else(|| self.look_at(request, None))?;
            if self.found.len() >= MAX_KEPT {
                self.found.clear();
            }
            self.found.insert(netns, found);
        }
        self.found.get(&netns)
    }

    /// At a process, or all.
    fn look_at(&mut self, request: &Request, pid: Option<u32>) -> Option<OwnedFd> {
        let key = (request.netns, pid);
        if self.missed.contains(&key) {
            return None;
        }
        let is_it = |file: &OwnedFd| {
            fstat(file).is_ok_and(|found| found.st_ino == u64::from(request.netns))
        };
        let of_tasks = |directory: &str| {
            let tasks = std::fs::read_dir(directory).ok()?.flatten();
            let is_task = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
            tasks
                .filter(|task| task.file_name().to_str().is_some_and(is_task))
                .take(MAX_LOOKED_AT)
                .filter_map(|task| File::open(task.path().join("ns/net")).ok())
                .map(OwnedFd::from)
                .find(is_it)
        };
        let found = match pid {
            Some(pid) => of_tasks(&format!("/proc/{pid}/task"))
                .or_else(|| namespaces_of_sockets(pid)?.find(is_it)),
            None => of_tasks("/proc"),
        };
        if found.is_none() && self.missed.len() < MAX_MISSED {
            self.missed.insert(key);
        }
        found
    }
}

/// A process may have left the namespace in which it has made a socket.
fn namespaces_of_sockets(pid: u32) -> Option<impl Iterator<Item = OwnedFd>> {
    let process = pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let sockets = files.take(MAX_LOOKED_AT).filter_map(|file| {
        let target = std::fs::read_link(file.path()).ok()?;
        let number = file.file_name().to_str()?.parse().ok()?;
        target.to_str()?.starts_with("socket:").then_some(number)
    });
    Some(sockets.filter_map(move |number| {
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
        socket_diag::namespace_of(&socket).ok()
    }))
}
