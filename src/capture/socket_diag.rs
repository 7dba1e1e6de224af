//! What sock_diag(7) does for TCP sockets: it lists them, files of a process or not, and assigns
//! cookies to those that it shows; and it resets connections.

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

use super::skel::types::bpf_tcp_state;

/// An address, IPv4 mapped, and a port.
pub type End = ([u8; 16], u16);

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
const ESTABLISHED: u32 = bpf_tcp_state::BPF_TCP_ESTABLISHED.0;
const SYN_SENT: u32 = bpf_tcp_state::BPF_TCP_SYN_SENT.0;
const CLOSE_WAIT: u32 = bpf_tcp_state::BPF_TCP_CLOSE_WAIT.0;
const LAST_ACK: u32 = bpf_tcp_state::BPF_TCP_LAST_ACK.0;
const CLOSING: u32 = bpf_tcp_state::BPF_TCP_CLOSING.0;
/// TCP_TIME_WAIT, include/net/tcp_states.h: nothing is left to be reset.
const ENDED: u32 = 1 << 6;
/// struct inet_diag_msg: of what follows the id, the bytes that wait to be acknowledged, the user
/// and the inode; attributes follow it.
const QUEUED_AT: usize = HEADER_LEN + 60;
const UID_AT: usize = HEADER_LEN + 64;
const INODE_AT: usize = HEADER_LEN + 68;
const ATTRIBUTES_AT: usize = HEADER_LEN + 72;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CGROUP_ID: u16 = 21;

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
    enter(&namespace_of(beside)?)?;
    // The kernel has answered when this returns, and nothing of the answer is needed.
    let request = request(SOCK_DIAG_BY_FAMILY, 0, [src, dst], ANY_COOKIE);
    send(&request)?;
    Ok(())
}

/// Moves this thread into a network namespace. It takes CAP_SYS_ADMIN, which is not needed where
/// the thread is already.
///
/// # Errors
/// It may not, or this is none.
pub fn enter(namespace: &OwnedFd) -> io::Result<()> {
    if fstat(namespace)?.st_ino != own_namespace()? {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    Ok(())
}

/// Inode number of this thread's network namespace.
///
/// # Errors
/// /proc does not show it.
pub fn own_namespace() -> io::Result<u64> {
    Ok(stat("/proc/thread-self/ns/net")?.st_ino)
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
        let mut found = None;
        dump(any, port, !ENDED, |message| {
            let id = message.get(ID_AT..ID_AT + ID_LEN);
            let id = id.and_then(|id| <[u8; ID_LEN]>::try_from(id).ok());
            if let (Some(family), Some(id)) = (message.get(HEADER_LEN), id)
                && id[COOKIE_AT..] == cookie_bytes(cookie)
            {
                found = Some((*family, id));
            }
        })?;
        if let Some((family, id)) = found {
            let flags = libc::NLM_F_ACK as u16;
            let mut found = request(SOCK_DESTROY, flags, [(any, 0), (any, 0)], cookie);
            found[HEADER_LEN] = family;
            found[REQUEST_LEN - ID_LEN..].copy_from_slice(&id);
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A TCP socket as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    pub src: End,
    pub dst: End,
    /// enum bpf_tcp_state
    pub state: u32,
    pub cookie: u64,
    /// Of the user who created it.
    pub uid: u32,
    /// 0: no file has it any more, or it was not accepted yet.
    pub inode: u32,
    /// In the cgroup2 hierarchy: where it was created.
    pub cgroup_id: Option<u64>,
    /// Payload sent and received.
    pub bytes: Option<(u64, u64)>,
    /// The connection began here: as `has_sent_syn` of bpf/iterators.h.
    pub dialled: bool,
}

/// The TCP sockets of this network namespace in these states, a bit each.
///
/// # Errors
/// The kernel has no `tcp_diag`.
pub fn list(states: u32) -> io::Result<Vec<TcpSocket>> {
    let mut found = Vec::new();
    for any in [Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets(), [0; 16]] {
        dump(any, 0, states, |message| found.extend(tcp_socket(message)))?;
    }
    Ok(found)
}

/// Passes on the messages of a listing: of the address family that `any` is an address of.
fn dump(any: [u8; 16], port: u16, states: u32, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let flags = libc::NLM_F_DUMP as u16;
    let ends = [(any, port), (any, 0)];
    let mut dump = request(SOCK_DIAG_BY_FAMILY, flags, ends, ANY_COOKIE);
    let states_at = REQUEST_LEN - ID_LEN - size_of::<u32>();
    dump[states_at..states_at + size_of::<u32>()].copy_from_slice(&states.to_ne_bytes());
    dump[HEADER_LEN + 2] = 1 << (INET_DIAG_INFO - 1); // with this attribute
    let diag = send(&dump)?;
    let mut part = vec![0; PART];
    loop {
        let (len, whole) = recv(&diag, &mut part[..], RecvFlags::empty())?;
        if len == 0 || whole > len {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = part.get(..len).unwrap_or_default();
        while let Some((kind, message, after)) = next_message(rest) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => acknowledged(message)?,
                _ => each(message),
            }
            rest = after;
        }
    }
}

fn tcp_socket(message: &[u8]) -> Option<TcpSocket> {
    let id = message.get(ID_AT..ID_AT + ID_LEN)?;
    let family = i32::from(*message.get(HEADER_LEN)?);
    let end = |address: usize, port: usize| -> Option<End> {
        let field: [u8; 16] = bytes_at(id, address)?;
        let address = match family {
            libc::AF_INET => Ipv4Addr::from(bytes_at::<4>(&field, 0)?)
                .to_ipv6_mapped()
                .octets(),
            _ => field,
        };
        Some((address, u16::from_be_bytes(bytes_at(id, port)?)))
    };
    let state = u32::from(*message.get(HEADER_LEN + 1)?);
    let cookie: [u8; 8] = bytes_at(id, COOKIE_AT)?;
    let (low, high) = cookie.split_at(4);
    let mut socket = TcpSocket {
        src: end(4, 0)?,
        dst: end(20, 2)?,
        state,
        cookie: u64::from(u32_at(high, 0)?) << 32 | u64::from(u32_at(low, 0)?),
        uid: u32_at(message, UID_AT)?,
        inode: u32_at(message, INODE_AT)?,
        cgroup_id: None,
        bytes: None,
        dialled: state == SYN_SENT,
    };
    let queued = u32_at(message, QUEUED_AT)?;
    let mut rest = message.get(ATTRIBUTES_AT..).unwrap_or_default();
    while let Some((kind, value, after)) = next_attribute(rest) {
        match kind {
            INET_DIAG_CGROUP_ID => socket.cgroup_id = u64_at(value, 0),
            INET_DIAG_INFO => {
                if let Some(info) = TcpInfo::of(value) {
                    socket.bytes = Some(info.payload(state));
                    socket.dialled |= info.has_sent_syn(state, queued);
                }
            }
            _ => {}
        }
        rest = after;
    }
    Some(socket)
}

/// What of struct tcp_info counts bytes (include/uapi/linux/tcp.h).
struct TcpInfo {
    acked: u64,
    received: u64,
    not_sent: u32,
    /// Without what was sent again.
    sent: u64,
}

impl TcpInfo {
    fn of(info: &[u8]) -> Option<TcpInfo> {
        Some(TcpInfo {
            acked: u64_at(info, 120)?,
            received: u64_at(info, 128)?,
            not_sent: u32_at(info, 144)?,
            sent: u64_at(info, 200)?.saturating_sub(u64_at(info, 208)?),
        })
    }

    /// Sent and received, as `tcp_counters` of bpf/tcp.h.
    fn payload(&self, state: u32) -> (u64, u64) {
        let sent = match self.acked > self.sent + 2 {
            true => self.acked - 2,
            false => self.sent,
        };
        let fin = matches!(state, CLOSE_WAIT | LAST_ACK | CLOSING);
        (sent, self.received.saturating_sub(fin.into()))
    }

    fn has_sent_syn(&self, state: u32, queued: u32) -> bool {
        let fin = !matches!(state, ESTABLISHED | CLOSE_WAIT) && self.not_sent == 0;
        let in_flight = u64::from(queued.saturating_sub(self.not_sent));
        self.acked + in_flight == self.sent + u64::from(fin) + 1
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_ne_bytes)
}

/// The kind and the value of the first attribute (struct rtattr), and what follows it.
fn next_attribute(of: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    const HEADER: usize = 4;
    let len = usize::from(u16::from_ne_bytes(bytes_at(of, 0)?));
    let kind = u16::from_ne_bytes(bytes_at(of, 2)?);
    let value = of.get(HEADER..len)?;
    let after = of.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, value, after))
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
