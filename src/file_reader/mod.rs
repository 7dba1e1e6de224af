//! Reads files whose path or content a user may have chosen: /etc/hosts in a mount namespace, a
//! container runtime's files in a home. The recorder opens none of them. A helper process, which
//! is started before anything else and keeps only the capabilities that it needs, forks a
//! [`worker`] for each [`Session`]: that becomes the user, without any capability, so that it
//! can read what the user can read and nothing else. A file system of that user may make it
//! hang, even so that no signal ends it: it holds nothing of the recorder's, and is left behind.
//!
//! In go requests; out come the bytes of regular files, up to a limit, or the reason why not.

mod executable;
mod frame;
pub mod host;
pub mod hosts;
mod mounts;
mod namespace;
mod package_lookup;
pub mod packages;
mod protocol;
pub mod regular_file;
mod rpm;
mod server;
mod session;
mod worker;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::privileges::{FILE_READER, helper};
pub use protocol::{
    ExecutableReport, ExecutableRequest, ExecutableStamp, FileRequest, FileStamp, ReadStatus,
    Reply, Who,
};
pub use server::{EXECUTABLE_LIFETIME, serve};
pub use session::Session;

/// The helper process. It ends with the last clone of this.
#[derive(Clone)]
pub struct FileReader {
    control: Arc<OwnedFd>,
}

impl FileReader {
    /// Starts the helper, which takes over the capabilities that the caller has now.
    ///
    /// # Errors
    /// The program can't be run again.
    pub fn start() -> Result<FileReader> {
        let helper = helper::start(FILE_READER, Stdio::null())
            .context("the process that reads users' files can't be started")?;
        Ok(FileReader {
            control: Arc::new(helper.control),
        })
    }

    /// One that accepts requests and never answers.
    #[cfg(test)]
    pub fn hanging() -> FileReader {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::mem::forget(theirs);
        FileReader {
            control: Arc::new(ours.into()),
        }
    }

    /// Starts a worker with the rights of `who`. Never waits: whether it works shows in its
    /// first reply.
    ///
    /// # Errors
    /// The helper has ended, or has too much to do.
    pub fn session(&self, who: &Who) -> Result<Session> {
        let (ours, theirs) = UnixStream::pair()?;
        let message = serde_json::to_vec(who)?;
        let fds = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(
            &*self.control,
            &[IoSlice::new(&message)],
            &mut ancillary,
            flags,
        )
        .context("the process that reads users' files does not answer")?;
        Session::new(ours)
    }
}

#[cfg(test)]
mod tests;
