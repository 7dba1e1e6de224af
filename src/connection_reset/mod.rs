//! Resets open TCP connections that a policy does not allow: older ones, and those that said a name
//! which it refuses. The recorder has no right to do so. A helper process, which is started before
//! privileges are dropped and only for a policy that needs it, keeps those that it takes: it is given
//! a connection's two ends, its cookie, which no other socket ever has, and its network namespace.

mod server;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::thread::capabilities;
use serde::{Deserialize, Serialize};

use crate::model::Connection;
use crate::privileges::{CONNECTION_RESET, CapabilitySet, helper};
pub use server::serve;

/// To enter network namespaces, and to reset others' connections there.
const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SYS_PTRACE);

/// A message is a [`Request`] or a [`Failure`].
const MAX_MESSAGE: usize = 4 << 10;

/// Requests that wait until the helper takes them.
const MAX_WAITING: usize = 262_144;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub cookie: u64,
    /// Its process.
    pub pid: u32,
    /// Inode number of its network namespace.
    pub netns: u32,
    pub src: SocketAddr,
    pub dst: SocketAddr,
    /// The kernel lets none of its payload out: if it can't be reset, its process waits in vain.
    pub silenced: bool,
}

impl Request {
    /// None if its ends are not known.
    pub fn of(cookie: u64, c: &Connection, silenced: bool) -> Option<Request> {
        let src = c.src?;
        Some(Request {
            cookie,
            pid: c.process.pid,
            netns: c.process.netns?,
            src: SocketAddr::new(src.ip, src.port),
            dst: SocketAddr::new(c.dst.ip, c.dst.port),
            silenced,
        })
    }
}

/// What could not be reset, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub request: Request,
    pub why: String,
}

/// The helper process. It ends with this.
pub struct ConnectionReset {
    control: OwnedFd,
    waiting: VecDeque<Request>,
}

impl ConnectionReset {
    /// Starts the helper, which takes over the capabilities that the caller has now.
    ///
    /// # Errors
    /// Some are missing, or the program can't be run again.
    pub fn start() -> Result<ConnectionReset> {
        let held = capabilities(None)?.permitted;
        if !held.contains(NEEDED) {
            bail!(
                "'established: reset' and 'sni: strict' take CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_SYS_PTRACE: run egrets as root, and leave them in the unit's CapabilityBoundingSet"
            );
        }
        let helper = helper::start(CONNECTION_RESET, Stdio::null())
            .context("the process that resets connections can't be started")?;
        Ok(ConnectionReset {
            control: helper.control,
            waiting: VecDeque::new(),
        })
    }

    /// Never waits. False if too many do already.
    #[must_use]
    pub fn request(&mut self, request: Request) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push_back(request);
        }
        has_room
    }

    /// Hands over what waits, as far as the helper takes it. The failures since the last time.
    ///
    /// # Errors
    /// The helper has ended.
    pub fn poll(&mut self) -> Result<Vec<Failure>> {
        const ENDED: &str = "the process that resets connections has ended";
        while let Some(request) = self.waiting.front() {
            let message = serde_json::to_vec(request)?;
            match send(
                &self.control,
                &message,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                Err(e) => return Err(e).context(ENDED),
            }
        }
        let mut failures = Vec::new();
        let mut message = [0; MAX_MESSAGE];
        loop {
            match recv(&self.control, &mut message[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context(ENDED);
                }
                Ok((_, len)) => {
                    let message = message.get(..len).unwrap_or_default();
                    failures.push(serde_json::from_slice(message)?);
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(failures),
                Err(e) => return Err(e.into()),
            }
        }
    }
}
