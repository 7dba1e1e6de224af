//! System calls that std has no name for, with std's errors.

use std::fs::File;
use std::io::{Error, ErrorKind, PipeReader, PipeWriter, Result, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr::null_mut;

use socket2::SockAddr;

pub type Done = Result<()>;

/// The most that is moved through a pipe at once: what one holds.
pub const PIPE: usize = 65_536;

/// What a system call returned: bytes or a number, or an error.
pub fn check(n: impl TryInto<isize>) -> Result<usize> {
    let n = n.try_into().unwrap_or(-1);
    usize::try_from(n).map_err(|_| Error::last_os_error())
}

pub fn error(text: impl Into<String>) -> Error {
    Error::other(text.into())
}

/// The kernel does not have the way.
pub fn absent() -> Error {
    ErrorKind::Unsupported.into()
}

/// Whether it says so: ENOENT where there is no TLS, EOPNOTSUPP.
pub fn is_absent(e: &Error) -> bool {
    e.kind() == ErrorKind::Unsupported
        || matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP))
}

/// Calls again with what is left until all has gone.
pub fn all(data: &[u8], mut some: impl FnMut(&[u8]) -> Result<usize>) -> Done {
    let mut at = 0;
    while at < data.len() {
        match some(&data[at..])? {
            0 => return Err(error("nothing was taken")),
            n => at += n,
        }
    }
    Ok(())
}

/// The same bytes for many calls, which only read them.
pub fn iovec(data: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }
}

pub fn iovec_mut(data: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    }
}

/// A message of these pieces, to an address where the socket has none. Valid as long as
/// they are.
pub fn message(pieces: &mut [libc::iovec], to: Option<&SockAddr>) -> libc::msghdr {
    // SAFETY: all zeroes is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    if let Some(to) = to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len();
    }
    message
}

pub fn write(fd: RawFd, data: &[u8]) -> Result<usize> {
    // SAFETY (all calls from here on): what is pointed to is valid for the lengths given.
    check(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

pub fn read(fd: RawFd, data: &mut [u8]) -> Result<usize> {
    check(unsafe { libc::read(fd, data.as_mut_ptr().cast(), data.len()) })
}

pub fn writev(fd: RawFd, pieces: &[libc::iovec]) -> Result<usize> {
    check(unsafe { libc::writev(fd, pieces.as_ptr(), pieces.len() as libc::c_int) })
}

pub fn readv(fd: RawFd, pieces: &[libc::iovec]) -> Result<usize> {
    check(unsafe { libc::readv(fd, pieces.as_ptr(), pieces.len() as libc::c_int) })
}

pub fn send(fd: RawFd, data: &[u8], flags: libc::c_int) -> Result<usize> {
    check(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) })
}

pub fn sendto(fd: RawFd, data: &[u8], to: &SockAddr) -> Result<usize> {
    let (data, len, to, to_len) = (data.as_ptr(), data.len(), to.as_ptr(), to.len());
    check(unsafe { libc::sendto(fd, data.cast(), len, 0, to.cast(), to_len) })
}

pub fn recv(fd: RawFd, data: &mut [u8], flags: libc::c_int) -> Result<usize> {
    check(unsafe { libc::recv(fd, data.as_mut_ptr().cast(), data.len(), flags) })
}

/// From whom is not asked for.
pub fn recvfrom(fd: RawFd, data: &mut [u8]) -> Result<usize> {
    let (data, len) = (data.as_mut_ptr(), data.len());
    check(unsafe { libc::recvfrom(fd, data.cast(), len, 0, null_mut(), null_mut()) })
}

pub fn sendmsg(fd: RawFd, message: &libc::msghdr) -> Result<usize> {
    check(unsafe { libc::sendmsg(fd, message, 0) })
}

/// From a certain address of this host: IP_PKTINFO, ip(7).
pub fn send_from(fd: RawFd, data: &[u8], to: &SockAddr, from: Ipv4Addr) -> Result<usize> {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from(from).to_be(),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let length = size_of_val(&info) as u32;
    let mut control = [0u64; 8]; // aligned as its header has to be
    let mut pieces = [iovec(data)];
    let mut message = message(&mut pieces, Some(to));
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: `control` has room for one header and these data behind it.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::IPPROTO_IP;
        (*header).cmsg_type = libc::IP_PKTINFO;
        (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
        libc::CMSG_DATA(header)
            .cast::<libc::in_pktinfo>()
            .write_unaligned(info);
    }
    sendmsg(fd, &message)
}

pub fn recvmsg(fd: RawFd, message: &mut libc::msghdr) -> Result<usize> {
    check(unsafe { libc::recvmsg(fd, message, 0) })
}

/// One of sendmmsg's or recvmmsg's.
pub fn one_of_many(msg_hdr: libc::msghdr) -> libc::mmsghdr {
    libc::mmsghdr {
        msg_hdr,
        msg_len: 0,
    }
}

/// The length of each that has gone.
pub fn sendmmsg(fd: RawFd, messages: &mut [libc::mmsghdr]) -> Result<Vec<usize>> {
    let (all, count) = (messages.as_mut_ptr(), messages.len() as u32);
    let n = check(unsafe { libc::sendmmsg(fd, all, count, 0) })?;
    Ok(messages[..n].iter().map(|m| m.msg_len as usize).collect())
}

/// Waits for the first of them only; the length of each that has come.
pub fn recvmmsg(fd: RawFd, messages: &mut [libc::mmsghdr]) -> Result<Vec<usize>> {
    let (all, count) = (messages.as_mut_ptr(), messages.len() as u32);
    let n = check(unsafe { libc::recvmmsg(fd, all, count, libc::MSG_WAITFORONE, null_mut()) })?;
    Ok(messages[..n].iter().map(|m| m.msg_len as usize).collect())
}

pub fn splice(from: RawFd, to: RawFd, len: usize) -> Result<usize> {
    check(unsafe { libc::splice(from, null_mut(), to, null_mut(), len, 0) })
}

pub fn sendfile(from: RawFd, to: RawFd, len: usize) -> Result<usize> {
    check(unsafe { libc::sendfile(to, from, null_mut(), len) })
}

/// Puts the pages of the data into a pipe.
pub fn vmsplice(pipe: &PipeWriter, data: &[u8]) -> Result<usize> {
    let piece = iovec(&data[..data.len().min(PIPE)]);
    check(unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const piece, 1, 0) })
}

/// Splices these bytes out of a pipe.
pub fn drain(pipe: &PipeReader, to: RawFd, len: usize) -> Result<usize> {
    let mut left = len;
    while left > 0 {
        left -= match splice(pipe.as_raw_fd(), to, left)? {
            0 => return Err(error("nothing was taken")),
            n => n,
        };
    }
    Ok(len)
}

/// A file without a name: what sendfile and splice read.
pub fn file_of(data: &[u8]) -> Result<File> {
    let fd = check(unsafe { libc::memfd_create(c"send".as_ptr(), 0) })?;
    // SAFETY: it is open, and owned by nothing else.
    let mut file = unsafe { File::from_raw_fd(fd as RawFd) };
    file.write_all(data)?;
    Ok(file)
}
