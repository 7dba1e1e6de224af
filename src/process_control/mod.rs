//! What a policy does to a process, besides refusing its connection: it is suspended, killed, or
//! killed after a core dump. The recorder has no right to do so. A helper process, which is
//! started before privileges are dropped and only for a policy that needs it, keeps those that it
//! takes, and does nothing else: it is given a pid, the time at which that process started, and
//! what is to be done. It checks both, and whom it spares, itself.

mod dump;
mod exempt;
mod identity;
mod protocol;
mod rate;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::privileges::{PROCESS_CONTROL, helper};
pub use dump::DumpDir;
pub use protocol::{MAX_A_MINUTE, Measure, Reply, Request};
pub use server::serve;

/// A message is a [`Request`] or a [`Reply`].
const MAX_MESSAGE: usize = 16 << 10;

/// The helper process. It ends with this.
pub struct ProcessControl {
    control: OwnedFd,
    can_dump: bool,
}

impl ProcessControl {
    /// Starts the helper, which takes over the capabilities that the caller has now.
    ///
    /// # Errors
    /// The program can't be run again.
    pub fn start(dumps: Option<DumpDir>) -> Result<ProcessControl> {
        let can_dump = dumps.is_some();
        // It finds the directory of its dumps where others have their output.
        let dumps = dumps.map_or(Stdio::null(), |dir| Stdio::from(dir.into_fd()));
        let helper = helper::start(PROCESS_CONTROL, dumps)
            .context("the process that kills for the policy can't be started")?;
        Ok(ProcessControl {
            control: helper.control,
            can_dump,
        })
    }

    pub fn can_dump(&self) -> bool {
        self.can_dump
    }

    /// Never waits: what became of it is in the reply with its number.
    ///
    /// # Errors
    /// The helper has ended, or has too much to do.
    pub fn request(&self, request: &Request) -> Result<()> {
        let message = serde_json::to_vec(request)?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(&self.control, &message, flags)
            .context("the process that kills for the policy does not answer")?;
        Ok(())
    }

    /// The next reply that is there.
    ///
    /// # Errors
    /// The helper has ended.
    pub fn reply(&self) -> Result<Option<Reply>> {
        let mut message = vec![0; MAX_MESSAGE];
        match recv(&self.control, &mut message[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                .context("the process that kills for the policy has ended"),
            Ok((_, len)) => Ok(Some(serde_json::from_slice(
                message.get(..len).unwrap_or_default(),
            )?)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
