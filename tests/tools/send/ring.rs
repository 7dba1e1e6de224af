//! io_uring, one operation at a time.

use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use io_uring::squeue::Entry;
use io_uring::{IoUring, Probe, cqueue, opcode, types};
use socket2::SockAddr;

use crate::calls::{self, Done, absent, error};

pub struct Ring(IoUring);

const ENTRIES: u32 = 32;
/// Of a group of buffers that the kernel fills by itself.
const GROUP: u16 = 1;
const BUFFERS: u16 = 16;
const BUFFER: usize = 65_536;
/// User data of a receive, in contrast to that of providing buffers.
const RECEIVED: u64 = 1;

impl Ring {
    /// What a way needs, if it is io_uring's. Absent where the kernel does not have it.
    pub fn of(way: &str) -> Result<Option<Ring>> {
        let code = match way {
            "uring-zc" => opcode::SendZc::CODE,
            "uring-sendmsg-zc" => opcode::SendMsgZc::CODE,
            _ if way.starts_with("uring") => opcode::Send::CODE, // as old as the others
            _ => return Ok(None),
        };
        let ring = IoUring::new(ENTRIES)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        match probe.is_supported(code) {
            true if way == "uring-multishot" => Ring(ring).multishot().map(Some),
            true => Ok(Some(Ring(ring))),
            false => Err(absent()),
        }
    }

    /// The same, with one operation for all: no probe knows of that.
    fn multishot(mut self) -> Result<Ring> {
        let (mut here, there) = UnixStream::pair()?;
        here.write_all(b"x")?;
        match self.receive_all(there.as_raw_fd(), |_| Ok(true)) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Err(absent()), // before 6.0
            Err(e) => Err(e),
            Ok(()) => Ok(Ring(IoUring::new(ENTRIES)?)),
        }
    }

    fn push(&mut self, entry: &Entry) -> Done {
        // SAFETY: what it points to outlives it: see `run` and `receive_all`.
        unsafe { self.0.submission().push(entry) }.map_err(Error::other)
    }

    /// Runs one to its end, while the caller keeps what it points to.
    fn run(&mut self, entry: &Entry) -> Result<usize> {
        self.push(entry)?;
        loop {
            self.wait()?;
            // of zero copy another completion tells that the data are free again
            let done = self
                .0
                .completion()
                .find(|done| !cqueue::notif(done.flags()));
            match done.map(|done| length(done.result())) {
                None => {}
                // nothing was moved
                Some(Err(e)) if e.kind() == ErrorKind::Interrupted => self.push(entry)?,
                Some(result) => return result,
            }
        }
    }

    /// Until something is done. Linux 6.1 interrupts that at times, for work of its own.
    fn wait(&mut self) -> Result<()> {
        match self.0.submit_and_wait(1) {
            Err(e) if e.kind() != ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    /// One of the ways that take the data as they are, or as a message.
    pub fn send(
        &mut self,
        way: &str,
        fd: RawFd,
        data: &[u8],
        to: Option<&SockAddr>,
    ) -> Result<usize> {
        let mut piece = [calls::iovec(data)];
        let message = calls::message(&mut piece, to);
        let (fd, start, len) = (types::Fd(fd), data.as_ptr(), data.len() as u32);
        let entry = match way {
            "uring" => opcode::Send::new(fd, start, len).build(),
            "uring-write" => opcode::Write::new(fd, start, len).build(),
            "uring-zc" => opcode::SendZc::new(fd, start, len).build(),
            "uring-sendmsg" => opcode::SendMsg::new(fd, &raw const message).build(),
            "uring-sendmsg-zc" => opcode::SendMsgZc::new(fd, &raw const message).build(),
            _ => return Err(error("no such way")),
        };
        self.run(&entry)
    }

    pub fn receive(&mut self, way: &str, fd: RawFd, data: &mut [u8]) -> Result<usize> {
        let (start, len) = (data.as_mut_ptr(), data.len() as u32);
        let mut piece = [calls::iovec_mut(data)];
        let mut message = calls::message(&mut piece, None);
        let fd = types::Fd(fd);
        let entry = match way {
            "uring" => opcode::Recv::new(fd, start, len).build(),
            "uring-read" => opcode::Read::new(fd, start, len).build(),
            "uring-recvmsg" => opcode::RecvMsg::new(fd, &raw mut message).build(),
            _ => return Err(error("no such way")),
        };
        self.run(&entry)
    }

    /// One operation that receives again and again, into buffers that it takes from a
    /// group, until `enough` says so of a length; 0 is the end of a stream.
    pub fn receive_all(
        &mut self,
        fd: RawFd,
        mut enough: impl FnMut(usize) -> Result<bool>,
    ) -> Done {
        let mut buffers = vec![0_u8; BUFFER * usize::from(BUFFERS)];
        let start = buffers.as_mut_ptr();
        let provide = |first: u16, count| {
            let at = start.wrapping_add(BUFFER * usize::from(first));
            opcode::ProvideBuffers::new(at, BUFFER as i32, count, GROUP, first).build()
        };
        let receive = opcode::RecvMulti::new(types::Fd(fd), GROUP)
            .build()
            .user_data(RECEIVED);
        self.push(&provide(0, BUFFERS))?;
        self.push(&receive)?;
        loop {
            self.wait()?;
            let done: Vec<_> = self.0.completion().collect();
            for done in done {
                if done.user_data() != RECEIVED {
                    length(done.result())?;
                    continue;
                }
                match length(done.result()) {
                    // all are full, and on their way back
                    Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
                    Err(e) => return Err(e),
                    Ok(len) => {
                        if enough(len)? {
                            return Ok(());
                        }
                    }
                }
                if let Some(used) = cqueue::buffer_select(done.flags()) {
                    self.push(&provide(used, 1))?;
                }
                if !cqueue::more(done.flags()) {
                    self.push(&receive)?;
                }
            }
        }
    }
}

fn length(result: i32) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_raw_os_error(-result))
}
