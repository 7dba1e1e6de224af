//! TCP_ZEROCOPY_RECEIVE: what comes is mapped where whole pages of it came, which a pair of
//! virtual devices hardly gives, else copied by the same call (Linux 5.11) or read.

use std::io::{Error, Result};
use std::mem::size_of;
use std::os::fd::RawFd;
use std::ptr::null_mut;

use crate::calls::{check, recv};

const TCP_ZEROCOPY_RECEIVE: libc::c_int = 35; // include/uapi/linux/tcp.h
const MAPPED: usize = 1 << 18;

/// struct tcp_zerocopy_receive of Linux 5.11, include/uapi/linux/tcp.h
#[repr(C)]
#[derive(Default)]
struct Request {
    address: u64,
    length: u32,
    skip_hint: u32,
    queued: u32,
    error: i32,
    copy_to: u64,
    copy_len: i32,
    flags: u32,
}

/// Where pages of a socket are mapped.
pub struct Mapping(*mut libc::c_void);

impl Mapping {
    pub fn of(fd: RawFd) -> Result<Mapping> {
        let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: new memory, of this size.
        match unsafe { libc::mmap(null_mut(), MAPPED, read, shared, fd, 0) } {
            libc::MAP_FAILED => Err(Error::last_os_error()),
            at => Ok(Mapping(at)),
        }
    }

    /// What there is, once there is something; 0 at the end.
    pub fn receive(&self, fd: RawFd, data: &mut [u8]) -> Result<usize> {
        let mut wait = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure.
        check(unsafe { libc::poll(&raw mut wait, 1, -1) })?;
        let mut request = Request {
            address: self.0 as u64,
            length: MAPPED as u32,
            copy_to: data.as_mut_ptr() as u64,
            copy_len: data.len() as i32,
            ..Default::default()
        };
        let mut len = size_of::<Request>() as libc::socklen_t;
        let (level, name) = (libc::IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE);
        // SAFETY: the structure and its length; the memory that it names is this size.
        let done = check(unsafe {
            let request = (&raw mut request).cast();
            libc::getsockopt(fd, level, name, request, &raw mut len)
        });
        match done {
            Err(e) if e.raw_os_error() == Some(libc::EIO) => return Ok(0), // the end
            done => done?,
        };
        // one that knows no copies leaves their length alone
        let copied = match len as usize == size_of::<Request>() {
            true => request.copy_len.max(0) as usize,
            false => 0,
        };
        match request.length as usize + copied {
            0 => recv(fd, data, 0),
            n => Ok(n),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: its own memory.
        unsafe { libc::munmap(self.0, MAPPED) };
    }
}
