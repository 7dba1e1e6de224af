//! Frames, through packet sockets.

use std::io::{Error, Result};
use std::mem::zeroed;
use std::ptr::null_mut;

use libc::{c_int, sockaddr_ll, socklen_t};

use super::bytes::{Frame, Odd};
use super::{Run, Socket, check, share, whole, xdp};

const DEVICE: &std::ffi::CStr = c"up0";

pub fn send(run: &Run, way: &str) -> Result<()> {
    let (tags, odd): (&[u16], Odd) = match way {
        "vlan" => (&[0x8100], Odd::No),
        "qinq" => (&[0x88a8, 0x8100], Odd::No),
        "other" => (&[], Odd::OtherType),
        "short" => (&[], Odd::Short),
        "truncated" => (&[], Odd::Truncated),
        "fragment" => (&[], Odd::Fragment),
        "options" => (&[0x8100], Odd::Options),
        _ => (&[], Odd::No),
    };
    let frame = Frame {
        to: run.to,
        payload: run.size,
        tags,
        odd,
    };
    if let Some(how) = way.strip_prefix("xdp") {
        let device = address(&run.to)?.sll_ifindex;
        return xdp::send(device, &frame.bytes(), run.count, how == "-poll");
    }
    let kind = match way {
        "dgram" => libc::SOCK_DGRAM,
        _ => libc::SOCK_RAW,
    };
    let socket = socket(kind)?;
    let device = address(&run.to)?;
    let bytes = match way {
        "dgram" => frame.packet(),
        _ => frame.bytes(),
    };
    match way {
        "bypass" => socket.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1)?,
        "ring" => return ring(&socket, &device, &bytes, run.count),
        "scan" => return scan(run, &socket),
        "threads" => {
            let each = run.count / share::THREADS;
            return share::at_once(|_| (0..each).try_for_each(|_| plain(run, &socket)));
        }
        _ => {}
    }
    (0..run.count).try_for_each(|_| give(&socket, &device, &bytes))
}

/// Each to another port.
fn scan(run: &Run, socket: &Socket) -> Result<()> {
    (0..run.count).try_for_each(|i| {
        let mut one = *run;
        one.to.set_port(run.to.port() + i as u16);
        plain(&one, socket)
    })
}

/// It receives nothing: it has no protocol.
pub fn socket(kind: c_int) -> Result<Socket> {
    Socket::new(libc::AF_PACKET, kind, 0)
}

/// One frame with nothing odd.
pub fn plain(run: &Run, socket: &Socket) -> Result<()> {
    let frame = Frame {
        to: run.to,
        payload: run.size,
        tags: &[],
        odd: Odd::No,
    };
    give(socket, &address(&run.to)?, &frame.bytes())
}

fn give(socket: &Socket, device: &sockaddr_ll, bytes: &[u8]) -> Result<()> {
    let (at, len) = (bytes.as_ptr().cast(), bytes.len());
    let to = (&raw const *device).cast();
    // SAFETY: the frame and the address are valid for their lengths.
    let n = unsafe { libc::sendto(socket.0, at, len, 0, to, LEN) };
    whole(n, len)
}

const LEN: socklen_t = size_of::<sockaddr_ll>() as socklen_t;

/// The device, and every host on its link.
fn address(to: &std::net::SocketAddr) -> Result<sockaddr_ll> {
    // SAFETY: a name that ends with a NUL.
    let index = unsafe { libc::if_nametoindex(DEVICE.as_ptr()) };
    if index == 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: all zeroes is an address.
    let mut address: sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as c_int;
    address.sll_halen = 6;
    address.sll_addr = [0xff; 8];
    let kind: u16 = if to.is_ipv4() { 0x0800 } else { 0x86dd };
    address.sll_protocol = kind.to_be();
    Ok(address)
}

/// Through memory that the kernel shares: PACKET_TX_RING, the first version.
fn ring(socket: &Socket, device: &sockaddr_ll, frame: &[u8], count: usize) -> Result<()> {
    const SLOT: usize = 2048;
    const DATA: usize = 32; // TPACKET_HDRLEN less the address, linux/if_packet.h
    const SEND_REQUEST: u64 = 1;
    let slots = count.next_multiple_of(8);
    let request = [(slots * SLOT) as u32, 1, SLOT as u32, slots as u32];
    socket.set(libc::SOL_PACKET, libc::PACKET_TX_RING, &request)?;
    let to = (&raw const *device).cast();
    // SAFETY: an address and its length.
    check(unsafe { libc::bind(socket.0, to, LEN) } as isize)?;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the ring's own memory, of this size.
    let memory = unsafe { libc::mmap(null_mut(), slots * SLOT, protection, flags, socket.0, 0) };
    if memory == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    for slot in 0..count {
        // SAFETY: within the ring: a header of 32 bytes (status, length), then the frame.
        unsafe {
            let at = memory.cast::<u8>().add(slot * SLOT);
            at.add(DATA).copy_from(frame.as_ptr(), frame.len());
            at.cast::<u32>().add(2).write(frame.len() as u32);
            at.cast::<u64>().write_volatile(SEND_REQUEST);
        }
    }
    // SAFETY: no data: the ring has them.
    let n = unsafe { libc::send(socket.0, null_mut(), 0, 0) };
    whole(n, frame.len() * count)
}
