//! The ways themselves, the same for streams and datagrams.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Result, Seek, SeekFrom, pipe};
use std::os::fd::{AsRawFd, RawFd};

use socket2::SockAddr;

use crate::agreed::option;
use crate::calls::*;
use crate::ring::Ring;
use crate::zerocopy::Mapping;

/// The room for one datagram; odd, so that reads of a stream do not end where writes do.
const ROOM: usize = 65_537;
/// How many a call of recvmmsg may receive.
const MANY: usize = 4;

/// What sends, and what some of the ways need for it.
pub struct Sender {
    way: String,
    fd: RawFd,
    /// Where the socket has no destination of its own.
    to: Option<SockAddr>,
    ring: Option<Ring>,
    pipe: (PipeReader, PipeWriter),
    file: File,
    size: usize,
}

impl Sender {
    /// Pieces of these data.
    pub fn new(
        way: &str,
        socket: &impl AsRawFd,
        to: Option<SockAddr>,
        data: &[u8],
    ) -> Result<Sender> {
        if way == "zerocopy" {
            option(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, &1_i32)?;
        }
        Ok(Sender {
            way: way.into(),
            fd: socket.as_raw_fd(),
            to,
            ring: Ring::of(way)?,
            pipe: pipe()?,
            file: file_of(data)?,
            size: data.len(),
        })
    }

    /// The rest of a piece, or some of it: how much. A datagram goes as a whole.
    pub fn send(&mut self, data: &[u8]) -> Result<usize> {
        let (fd, to) = (self.fd, self.to.as_ref());
        if let Some(ring) = &mut self.ring {
            return ring.send(&self.way, fd, data, to);
        }
        let (from, into) = &self.pipe;
        let (left, right) = data.split_at(data.len() / 2);
        let mut pieces = [iovec(left), iovec(right)];
        self.file
            .seek(SeekFrom::Start((self.size - data.len()) as u64))?;
        match (self.way.as_str(), to) {
            ("write", _) => write(fd, data),
            ("writev", _) => writev(fd, &pieces),
            ("send", _) => send(fd, data, 0),
            ("sendto", Some(to)) => sendto(fd, data, to),
            ("zerocopy", _) => send(fd, data, libc::MSG_ZEROCOPY),
            ("sendmsg", _) => sendmsg(fd, &message(&mut pieces, to)),
            ("sendmmsg", _) => {
                let [one, two] = &mut pieces;
                let one = message(std::slice::from_mut(one), to);
                let two = message(std::slice::from_mut(two), to);
                let sent = sendmmsg(fd, &mut [one_of_many(one), one_of_many(two)])?;
                Ok(sent.iter().sum())
            }
            ("sendfile", _) => sendfile(self.file.as_raw_fd(), fd, data.len()),
            ("splice", _) => {
                let len = data.len().min(PIPE);
                let n = splice(self.file.as_raw_fd(), into.as_raw_fd(), len)?;
                drain(from, fd, n)
            }
            ("vmsplice", _) => drain(from, fd, vmsplice(into, data)?),
            _ => Err(error("no such way")),
        }
    }
}

/// What receives.
pub struct Receiver {
    way: String,
    fd: RawFd,
    ring: Option<Ring>,
    pipe: (PipeReader, PipeWriter),
    mapping: Option<Mapping>,
    data: Vec<u8>,
}

impl Receiver {
    pub fn new(way: &str, socket: &impl AsRawFd) -> Result<Receiver> {
        if way == "gro" {
            option(socket, libc::SOL_UDP, libc::UDP_GRO, &1_i32)?;
        }
        Ok(Receiver {
            way: way.into(),
            fd: socket.as_raw_fd(),
            ring: Ring::of(way)?,
            pipe: pipe()?,
            mapping: match way {
                "zerocopy" => Some(Mapping::of(socket.as_raw_fd())?),
                _ => None,
            },
            data: vec![0; ROOM * MANY],
        })
    }

    /// Until `enough` says so of the length of what came: of a datagram, of a part of a
    /// stream, whose end is 0.
    pub fn receive(&mut self, mut enough: impl FnMut(usize) -> Result<bool>) -> Done {
        if let ("uring-multishot", Some(ring)) = (self.way.as_str(), &mut self.ring) {
            return ring.receive_all(self.fd, enough);
        }
        loop {
            let received = match self.some() {
                // Linux 6.1 breaks off a call for io_uring's work on what was sent before:
                // nothing was moved
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                received => received?,
            };
            for n in received {
                if enough(n)? {
                    return Ok(());
                }
            }
        }
    }

    /// What one call receives.
    fn some(&mut self) -> Result<Vec<usize>> {
        let (fd, data) = (self.fd, &mut self.data);
        if let Some(mapping) = &self.mapping {
            return Ok(vec![mapping.receive(fd, &mut data[..ROOM])?]);
        }
        let n = match (self.way.as_str(), &mut self.ring) {
            (way, Some(ring)) => ring.receive(way, fd, &mut data[..ROOM])?,
            ("read", _) => read(fd, &mut data[..ROOM])?,
            ("recv" | "gro", _) => recv(fd, &mut data[..ROOM], 0)?,
            ("recvfrom", _) => recvfrom(fd, &mut data[..ROOM])?,
            // looks at it before it takes it: bytes that come once
            ("peek", _) => match recv(fd, &mut data[..ROOM], libc::MSG_PEEK)? {
                0 => 0,
                _ => recv(fd, &mut data[..ROOM], 0)?,
            },
            ("readv", _) => readv(fd, &halves(data))?,
            ("recvmsg", _) => recvmsg(fd, &mut message(&mut halves(data), None))?,
            ("recvmmsg", _) => {
                let mut pieces: Vec<_> = data.chunks_mut(ROOM).map(iovec_mut).collect();
                let mut messages: Vec<_> = pieces
                    .iter_mut()
                    .map(|piece| one_of_many(message(std::slice::from_mut(piece), None)))
                    .collect();
                return recvmmsg(fd, &mut messages);
            }
            ("splice", _) => {
                let n = splice(fd, self.pipe.1.as_raw_fd(), PIPE)?;
                (&self.pipe.0).read_exact(&mut data[..n])?;
                n
            }
            _ => return Err(error("no such way")),
        };
        Ok(vec![n])
    }
}

/// The room for one datagram, in two pieces.
fn halves(data: &mut [u8]) -> [libc::iovec; 2] {
    let (left, right) = data[..ROOM].split_at_mut(ROOM / 2);
    [iovec_mut(left), iovec_mut(right)]
}
