//! What sock_diag(7) does for TCP sockets besides listing them. It assigns cookies to those that are
//! no files of any process, when it shows them; and it resets connections.

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{fstat, stat};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// An address, IPv4 mapped, and a port.
type End = ([u8; 16], u16);

/// include/uapi/linux/sockios.h
const SIOCGSKNS: libc::Ioctl = 0x894C;
/// include/uapi/linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// INET_DIAG_NOCOOKIE, include/uapi/linux/inet_diag.h
pub const ANY_COOKIE: u64 = u64::MAX;
/// struct nlmsghdr and struct inet_diag_req_v2
const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 56;
/// struct inet_diag_sockid, which ends a request, and its cookie, which ends it. An answer, struct
/// inet_diag_msg, has four bytes before it, the family first.
const ID_LEN: usize = 48;
const COOKIE_AT: usize = 40;
const ID_AT: usize = HEADER_LEN + 4;
/// A kernel's answer to a dump comes in parts of 32 KiB at most.
const PART: usize = 32 << 10;
/// TCP_TIME_WAIT, include/net/tcp_states.h: nothing is left to be reset.
const ENDED: u32 = 1 << 6;

/// Of TCP sockets, by their two ends, each in the network namespace of a socket that is given
/// with it.
pub fn assign_cookies(sockets: impl Iterator<Item = (OwnedFd, [End; 2])> + Send) {
    // A thread of its own, since it moves from one namespace to the next.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (beside, [src, dst]) in sockets {
                if let Err(e) = show(&beside, src, dst) {
                    log::debug!("a path of an MPTCP connection gets no cookie: {e}");
                }
            }
        });
    });
}

fn show(beside: &OwnedFd, src: End, dst: End) -> io::Result<()> {
    let namespace = namespace_of(beside)?;
    // It takes CAP_SYS_ADMIN, which is not needed where egrets is already.
    if fstat(&namespace)?.st_ino != stat("/proc/thread-self/ns/net")?.st_ino {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    // The kernel has answered when this returns, and nothing of the answer is needed.
    let request = request(SOCK_DIAG_BY_FAMILY, 0, [src, dst], ANY_COOKIE);
    send(&request)?;
    Ok(())
}

/// The network namespace of a socket.
///
/// # Errors
/// It is none, or takes CAP_NET_ADMIN.
pub fn namespace_of(socket: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: SIOCGSKNS takes no argument, and returns a descriptor that is this function's.
    unsafe {
        match libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The socket that has the kernel's answer.
fn send(request: &[u8]) -> io::Result<OwnedFd> {
    let diag = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&diag, request, SendFlags::empty(), &kernel)?;
    Ok(diag)
}

/// Resets a TCP connection of this network namespace, by its two ends and its cookie. False if
/// there is none with this cookie.
///
/// # Errors
/// `EOPNOTSUPP` from a kernel without `CONFIG_INET_DIAG_DESTROY`.
pub fn reset([src, dst]: [End; 2], cookie: u64) -> io::Result<bool> {
    let flags = libc::NLM_F_ACK as u16;
    let by_ends = destroy(&request(SOCK_DESTROY, flags, [src, dst], cookie));
    let Err(mut missed) = by_ends else {
        return Ok(true);
    };
    // By its ends the kernel finds none that is bound to a device, or has another peer than was
    // seen: a socket's own id has all of that. It may change meanwhile, as when it is connected.
    for _ in 0..2 {
        if !is_missing(&missed) {
            return Err(missed);
        }
        let Some(found) = find(src.1, cookie)? else {
            return Ok(false);
        };
        match destroy(&found) {
            Ok(()) => return Ok(true),
            Err(e) => missed = e,
        }
    }
    Err(missed)
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESTALE))
}

/// The request that resets the TCP socket with this cookie, by its id as the kernel has it.
fn find(port: u16, cookie: u64) -> io::Result<Option<Vec<u8>>> {
    for any in [Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets(), [0; 16]] {
        let mut dump = request(
            SOCK_DIAG_BY_FAMILY,
            libc::NLM_F_DUMP as u16,
            [(any, port), (any, 0)],
            ANY_COOKIE,
        );
        let states = REQUEST_LEN - ID_LEN - size_of::<u32>();
        dump[states..states + size_of::<u32>()].copy_from_slice(&(!ENDED).to_ne_bytes());
        let diag = send(&dump)?;
        if let Some((family, id)) = find_in(&diag, cookie)? {
            let flags = libc::NLM_F_ACK as u16;
            let mut found = request(SOCK_DESTROY, flags, [(any, 0), (any, 0)], cookie);
            found[HEADER_LEN] = family;
            found[REQUEST_LEN - ID_LEN..].copy_from_slice(&id);
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The family and the id of the socket with this cookie, in the answer to a dump.
fn find_in(diag: &OwnedFd, cookie: u64) -> io::Result<Option<(u8, [u8; ID_LEN])>> {
    let mut part = vec![0; PART];
    loop {
        let (len, whole) = recv(diag, &mut part[..], RecvFlags::empty())?;
        if len == 0 || whole > len {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = part.get(..len).unwrap_or_default();
        while let Some((kind, message, after)) = next_message(rest) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(None),
                libc::NLMSG_ERROR => acknowledged(message)?,
                _ => {
                    let family = message.get(HEADER_LEN).copied();
                    let id = message.get(ID_AT..ID_AT + ID_LEN);
                    let id = id.and_then(|id| <[u8; ID_LEN]>::try_from(id).ok());
                    if let (Some(family), Some(id)) = (family, id)
                        && id[COOKIE_AT..] == cookie_bytes(cookie)
                    {
                        return Ok(Some((family, id)));
                    }
                }
            }
            rest = after;
        }
    }
}

/// The kind of the first message, the message with its header, and what follows it.
fn next_message(of: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(of.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(of.get(4..6)?.try_into().ok()?);
    let message = of.get(..len).filter(|_| len >= HEADER_LEN)?;
    let after = of.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, message, after))
}

fn destroy(request: &[u8]) -> io::Result<()> {
    let diag = send(request)?;
    let mut answer = [0; 512];
    let (len, _) = recv(&diag, &mut answer[..], RecvFlags::empty())?;
    acknowledged(answer.get(..len).unwrap_or_default())
}

/// What struct nlmsgerr says, after struct nlmsghdr.
fn acknowledged(message: &[u8]) -> io::Result<()> {
    let error = message.get(HEADER_LEN..HEADER_LEN + size_of::<i32>());
    let error = error.and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Whether this kernel can reset connections, and this process ask it to.
///
/// # Errors
/// Why not.
pub fn can_reset() -> io::Result<()> {
    // the address of none
    let nowhere = (Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets(), 1);
    let flags = libc::NLM_F_ACK as u16;
    match destroy(&request(SOCK_DESTROY, flags, [nowhere, nowhere], 0)) {
        Err(e) if is_missing(&e) => Ok(()),
        done => done,
    }
}

fn request(kind: u16, flags: u16, [src, dst]: [End; 2], cookie: u64) -> Vec<u8> {
    let both_ipv4 = [src, dst].map(|(addr, _)| Ipv6Addr::from(addr).to_ipv4_mapped());
    let (family, [from, to]) = match both_ipv4 {
        [Some(from), Some(to)] => (libc::AF_INET, [from, to].map(padded)),
        _ => (libc::AF_INET6, [src.0, dst.0]),
    };
    let mut request = Vec::with_capacity(REQUEST_LEN);
    request.extend((REQUEST_LEN as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16 | flags).to_ne_bytes());
    request.extend([0; 8]); // sequence number and port
    request.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes()); // in any state
    request.extend(src.1.to_be_bytes());
    request.extend(dst.1.to_be_bytes());
    request.extend(from);
    request.extend(to);
    request.extend(0_u32.to_ne_bytes()); // of any device
    request.extend(cookie_bytes(cookie));
    request
}

/// The lower half first.
fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    let (low, high) = bytes.split_at_mut(4);
    low.copy_from_slice(&(cookie as u32).to_ne_bytes());
    high.copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
    bytes
}

/// An IPv4 address at the beginning of its field.
fn padded(address: std::net::Ipv4Addr) -> [u8; 16] {
    let mut field = [0; 16];
    field[..4].copy_from_slice(&address.octets());
    field
}
