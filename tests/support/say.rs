//! Datagrams and connections of this process, each made in one certain way.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use super::*;

/// What comes of it: the errno, 0 for none. A refused connection is none, as its packets were let
/// through.
pub fn say(net: &Net, way: &str, ip: &str, port: u16) -> i32 {
    let to = SocketAddr::new(ip.parse().unwrap(), port);
    let said = net.near(|| match way {
        "tcp" => TcpStream::connect(to).map(drop),
        "fastopen" => fast_open(to),
        "udp" => udp(to).and_then(|s| s.send_to(b"x", to)).map(drop),
        "connected" => udp(to)
            .and_then(|s| s.connect(to).and_then(|()| s.send(b"x")))
            .map(drop),
        "reconnected" => reconnected(to),
        "corked" => corked(to),
        "raw" => raw(to, 253, &[0; 16]),
        "ping" => raw(to, 1, b"\x08\0\xf7\xff\0\0\0\0"),
        "header" => raw(to, 255, &with_header(to)),
        "extensions" => raw(to, 255, &behind_extensions(to)),
        "smc" => smc(to),
        _ => panic!("{way}"),
    });
    match said {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => 0,
        Err(e) => e.raw_os_error().unwrap_or(-1),
        Ok(()) => 0,
    }
}

fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    match to {
        SocketAddr::V4(_) => UdpSocket::bind("0.0.0.0:0"),
        SocketAddr::V6(_) => UdpSocket::bind("[::]:0"),
    }
}

fn fast_open(to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket
        .send_to_with_flags(b"x", &to.into(), libc::MSG_FASTOPEN)
        .map(drop)
}

/// Of a socket that was connected to another destination.
fn reconnected(to: SocketAddr) -> io::Result<()> {
    let socket = udp(to)?;
    socket.connect((FAR4, 9))?;
    socket.send(b"x")?;
    take_answer(&socket);
    socket.connect(to)?;
    socket.send(b"x").map(drop)
}

/// The error that the peer's answer to a datagram leaves.
fn take_answer(socket: &UdpSocket) {
    eventually("the datagram is answered", || socket.take_error().unwrap());
}

fn corked(to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.send_to_with_flags(b"x", &to.into(), libc::MSG_MORE)?;
    socket.send_to(b"y", &to.into()).map(drop)
}

fn raw(to: SocketAddr, protocol: i32, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol.into()))?;
    let to = SocketAddr::new(to.ip(), 0);
    socket.send_to(packet, &to.into()).map(drop)
}

/// UDP, with headers that the process writes itself.
fn with_header(to: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = to.ip() else { panic!() };
    let header = [0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0];
    let port = to.port().to_be_bytes();
    [
        &header[..],
        &ip.octets(),
        &[0, 9],
        &port,
        &[0, 9, 0, 0, b'x'],
    ]
    .concat()
}

/// UDP over IPv6, behind more destination options headers than a sender needs.
fn behind_extensions(to: SocketAddr) -> Vec<u8> {
    const HEADERS: usize = 12;
    const DESTINATION: u8 = 60;
    let IpAddr::V6(ip) = to.ip() else { panic!() };
    let len = (HEADERS * 8 + 9) as u8;
    let mut packet = [
        &[0x60, 0, 0, 0, 0, len, DESTINATION, 64][..],
        &[0; 16],
        &ip.octets(),
    ]
    .concat();
    for n in 1..=HEADERS {
        let next = if n < HEADERS { DESTINATION } else { 17 };
        // PadN, RFC 8200
        packet.extend([next, 0, 1, 4, 0, 0, 0, 0]);
    }
    packet.extend([&[0, 9][..], &to.port().to_be_bytes(), &[0, 9, 0, 0, b'x']].concat());
    packet
}

/// The kernel connects a TCP socket of its own for it. EAFNOSUPPORT where there is no SMC.
fn smc(to: SocketAddr) -> io::Result<()> {
    const AF_SMC: i32 = 43;
    match Socket::new(Domain::from(AF_SMC), Type::STREAM, None) {
        Ok(socket) => socket.connect(&to.into()),
        Err(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// What a process of a user gets to hear that sends on a socket which this one has connected.
pub fn passed_to(uid: u32, net: &Net, ip: &str) -> String {
    let socket = net.near(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((ip, 9)).unwrap();
        socket.send(b"x").unwrap();
        take_answer(&socket);
        socket
    });
    let output = Command::new("setpriv")
        .args(["--reuid", &uid.to_string(), "--clear-groups"])
        .args(["/bin/echo", "y"])
        .stdout(std::os::fd::OwnedFd::from(socket))
        .output()
        .unwrap();
    text(&output.stderr)
}
