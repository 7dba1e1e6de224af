//! First packets that seem to come from the far host, sent by the process that gets them.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, SockRef, Socket, Type};

use super::*;

const IPV6_FREEBIND: i32 = 78; // include/uapi/linux/in6.h
const IP_UNICAST_IF: i32 = 50; // include/uapi/linux/in.h
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x7777);

/// Sockets that have got such a packet, each from a port of its own, which is returned, too. The
/// last one has answered, through the loopback device.
pub fn forged_first_packets(net: &Net) -> [(UdpSocket, SocketAddr); 3] {
    net.near(|| {
        [
            through_loopback(far(FAR6, 4444)),
            by_multicast(far(FAR6, 4445)),
            answered(far(FAR4, 4446)),
        ]
    })
}

fn far(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Bound to an address of another host, by an option.
fn forger(address: SocketAddr, level: i32, option: i32) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    set_option(&socket, level, option, &1i32.to_ne_bytes());
    socket.bind(&address.into()).unwrap();
    socket.into()
}

fn through_loopback(address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("[fd77::1]:0").unwrap();
    let to = socket.local_addr().unwrap();
    let forger = forger(address, libc::IPPROTO_IPV6, IPV6_FREEBIND);
    forger.send_to(b"x", to).unwrap();
    (received(socket, address), address)
}

/// The copy that the sender's own host gets comes in by the device that the packet left by.
fn by_multicast(address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let device = index(c"up0");
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.join_multicast_v6(&GROUP, device).unwrap();
    let forger = forger(address, libc::IPPROTO_IPV6, IPV6_FREEBIND);
    SockRef::from(&forger).set_multicast_if_v6(device).unwrap();
    let port = socket.local_addr().unwrap().port();
    forger.send_to(b"x", (GROUP, port)).unwrap();
    (received(socket, address), address)
}

/// The first answer goes the way that the packet came; the socket is then free to send any other.
fn answered(address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((NEAR4, 0)).unwrap();
    let to = socket.local_addr().unwrap();
    let forger = forger(address, libc::IPPROTO_IP, libc::IP_TRANSPARENT);
    forger.send_to(b"x", to).unwrap();
    let socket = received(socket, address);
    let device = |index: u32| {
        let index = index.to_be_bytes(); // ip(7): network byte order
        set_option(&socket, libc::IPPROTO_IP, IP_UNICAST_IF, &index);
    };
    device(index(c"lo"));
    socket.send_to(b"x", address).unwrap();
    device(0);
    (socket, address)
}

fn received(socket: UdpSocket, from: SocketAddr) -> UdpSocket {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, peer) = socket.recv_from(&mut [0; 8]).unwrap();
    assert_eq!((peer.ip(), peer.port()), (from.ip(), from.port()));
    socket
}

fn index(device: &std::ffi::CStr) -> u32 {
    // SAFETY: a string that ends with a NUL.
    let index = unsafe { libc::if_nametoindex(device.as_ptr()) };
    assert!(index > 0);
    index
}
