//! Frames through AF_XDP, which the kernel copies: memory and rings that it shares
//! (Documentation/networking/af_xdp.rst).

use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_void, socklen_t};

use super::{Socket, check};

const CHUNK: usize = 4096;
/// Of each ring; no more frames are sent.
const SLOTS: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the kernel to send with sendto, or with poll.
pub fn send(device: c_int, frame: &[u8], count: usize, polls: bool) -> Result<()> {
    if count > SLOTS as usize {
        return Err(Error::other("too many for the ring"));
    }
    let socket = Socket::plain(libc::AF_XDP, libc::SOCK_RAW, 0)?;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let memory = map(-1, count * CHUNK, private, 0)?;
    // SAFETY: all zeroes is a request.
    let mut region: libc::xdp_umem_reg = unsafe { zeroed() };
    region.addr = memory as u64;
    region.len = (count * CHUNK) as u64;
    region.chunk_size = CHUNK as u32;
    socket.set(libc::SOL_XDP, libc::XDP_UMEM_REG, &region)?;
    for ring in [
        libc::XDP_UMEM_FILL_RING,
        libc::XDP_UMEM_COMPLETION_RING,
        libc::XDP_TX_RING,
    ] {
        socket.set(libc::SOL_XDP, ring, &SLOTS)?;
    }
    // SAFETY: all zeroes is an answer.
    let mut at: libc::xdp_mmap_offsets = unsafe { zeroed() };
    let mut len = size_of::<libc::xdp_mmap_offsets>() as socklen_t;
    let answer = (&raw mut at).cast();
    let (level, name) = (libc::SOL_XDP, libc::XDP_MMAP_OFFSETS);
    // SAFETY: the answer and its length.
    check(unsafe { libc::getsockopt(socket.0, level, name, answer, &raw mut len) } as isize)?;
    let size = at.tx.desc as usize + SLOTS as usize * size_of::<libc::xdp_desc>();
    let shared = libc::MAP_SHARED | libc::MAP_POPULATE;
    let ring = map(socket.0, size, shared, libc::XDP_PGOFF_TX_RING)?;
    // SAFETY: all zeroes is an address.
    let mut address: libc::sockaddr_xdp = unsafe { zeroed() };
    address.sxdp_family = libc::AF_XDP as u16;
    // before Linux 5.11 poll sends for those alone that ask whether they have to call
    let wakeup = if polls { libc::XDP_USE_NEED_WAKEUP } else { 0 };
    address.sxdp_flags = libc::XDP_COPY | wakeup;
    address.sxdp_ifindex = device as u32;
    let to = (&raw const address).cast();
    let len = size_of::<libc::sockaddr_xdp>() as socklen_t;
    let end = Instant::now() + PATIENCE;
    // SAFETY: an address and its length.
    while let Err(e) = check(unsafe { libc::bind(socket.0, to, len) } as isize) {
        // the kernel releases the queue of a closed socket with a delay
        if e.raw_os_error() != Some(libc::EBUSY) || Instant::now() > end {
            return Err(e);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for slot in 0..count {
        // SAFETY: within the memory, and within the ring, as it says itself.
        unsafe {
            let chunk = memory.cast::<u8>().add(slot * CHUNK);
            chunk.copy_from(frame.as_ptr(), frame.len());
            let slots = ring.cast::<u8>().add(at.tx.desc as usize);
            slots
                .cast::<libc::xdp_desc>()
                .add(slot)
                .write(libc::xdp_desc {
                    addr: (slot * CHUNK) as u64,
                    len: frame.len() as u32,
                    options: 0,
                });
        }
    }
    // SAFETY: two numbers of the ring's, which the kernel looks at.
    let [given, taken] = [at.tx.producer, at.tx.consumer]
        .map(|offset| unsafe { &*ring.cast::<u8>().add(offset as usize).cast::<AtomicU32>() });
    given.store(count as u32, Ordering::Release);
    let end = Instant::now() + PATIENCE;
    while taken.load(Ordering::Acquire) < count as u32 {
        let mut wait = libc::pollfd {
            fd: socket.0,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one structure; no data. The ring shows whether it was done.
        unsafe {
            match polls {
                true => libc::poll(&raw mut wait, 1, 10) as isize,
                false => libc::send(socket.0, null_mut(), 0, libc::MSG_DONTWAIT),
            }
        };
        if Instant::now() > end {
            return Err(Error::other("the kernel does not send"));
        }
    }
    Ok(())
}

fn map(file: c_int, size: usize, flags: c_int, offset: i64) -> Result<*mut c_void> {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory.
    match unsafe { libc::mmap(null_mut(), size, both, flags, file, offset) } {
        libc::MAP_FAILED => Err(Error::last_os_error()),
        at => Ok(at),
    }
}
