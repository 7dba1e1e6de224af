//! The recorder's end of a worker: one request at a time, and a reply that it waits for only as
//! long as it chooses.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frame::{parse_reply, write_request};
use super::protocol::{FileRequest, Reply};

pub struct Session {
    stream: UnixStream,
    /// The beginning of a reply.
    received: Vec<u8>,
    ended: bool,
}

impl Session {
    pub(super) fn new(stream: UnixStream) -> Result<Session> {
        stream.set_nonblocking(true)?;
        Ok(Session {
            stream,
            received: Vec::new(),
            ended: false,
        })
    }

    /// Sends a request, which is short enough never to block.
    ///
    /// # Errors
    /// The worker has ended.
    pub fn request(&mut self, request: &FileRequest) -> io::Result<()> {
        write_request(&mut self.stream, request)
    }

    /// The reply, waiting for it up to `limit`; None where it has not come.
    ///
    /// # Errors
    /// The worker was refused, or has ended.
    pub fn reply(&mut self, limit: Duration) -> Result<Option<Reply>> {
        let end = Instant::now() + limit;
        loop {
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("its reader has ended"),
                Ok(n) => {
                    self.received.extend_from_slice(&chunk[..n]);
                    if let Some(reply) = parse_reply(&self.received)? {
                        self.received.clear();
                        return Ok(Some(reply));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    wait(&self.stream, left)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// A file below a directory, whole, if it has no more bytes than `max`. Waits up to `limit`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(
        &mut self,
        below: &Path,
        path: &Path,
        max: u64,
        limit: Duration,
    ) -> Result<Vec<u8>> {
        let request = FileRequest::File {
            below: below.into(),
            path: path.into(),
            max,
        };
        let requested = self.request(&request).map_err(anyhow::Error::from);
        let reply =
            requested.and_then(|()| self.reply(limit)?.context("its reader takes too long"));
        if reply.is_err() {
            self.ended = true;
            // A late reply must not pass for that to another request.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        match reply? {
            Reply::Content(_, bytes) => Ok(bytes),
            Reply::Refused(why) => bail!(why),
            Reply::Unchanged | Reply::Gone | Reply::Executable(_) => bail!("no content"),
        }
    }

    /// Whether a file was not [`read`](Session::read) because the worker was late or has ended:
    /// nothing more is read in this session.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

fn wait(stream: &UnixStream, limit: Duration) -> io::Result<()> {
    let limit = Timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
    match poll(&mut fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
