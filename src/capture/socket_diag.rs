//! Cookies for sockets that are no files of any process: the kernel assigns one when it shows a
//! socket through sock_diag(7).

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{fstat, stat};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// An address, IPv4 mapped, and a port.
type End = ([u8; 16], u16);

/// include/uapi/linux/sockios.h
const SIOCGSKNS: libc::Ioctl = 0x894C;
/// include/uapi/linux/sock_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// struct nlmsghdr and struct inet_diag_req_v2
const REQUEST_LEN: usize = 16 + 56;

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
    // SAFETY: SIOCGSKNS takes no argument, and returns a descriptor that is this function's.
    let namespace = unsafe {
        match libc::ioctl(beside.as_raw_fd(), SIOCGSKNS) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    // It takes CAP_SYS_ADMIN, which is not needed where egrets is already.
    if fstat(&namespace)?.st_ino != stat("/proc/thread-self/ns/net")?.st_ino {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    let diag = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    // The kernel has answered when this returns, and nothing of the answer is needed.
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&diag, &request(src, dst), SendFlags::empty(), &kernel)?;
    Ok(())
}

fn request(src: End, dst: End) -> Vec<u8> {
    let both_ipv4 = [src, dst].map(|(addr, _)| Ipv6Addr::from(addr).to_ipv4_mapped());
    let (family, [from, to]) = match both_ipv4 {
        [Some(from), Some(to)] => (libc::AF_INET, [from, to].map(padded)),
        _ => (libc::AF_INET6, [src.0, dst.0]),
    };
    let mut request = Vec::with_capacity(REQUEST_LEN);
    request.extend((REQUEST_LEN as u32).to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    request.extend([0; 8]); // sequence number and port
    request.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes()); // in any state
    request.extend(src.1.to_be_bytes());
    request.extend(dst.1.to_be_bytes());
    request.extend(from);
    request.extend(to);
    request.extend(0_u32.to_ne_bytes()); // of any device
    request.extend([u8::MAX; 8]); // INET_DIAG_NOCOOKIE
    request
}

/// An IPv4 address at the beginning of its field.
fn padded(address: std::net::Ipv4Addr) -> [u8; 16] {
    let mut field = [0; 16];
    field[..4].copy_from_slice(&address.octets());
    field
}
