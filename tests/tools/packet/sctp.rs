//! Associations within the host, and a peer that forges packets for them.

use std::io::{ErrorKind, Read, Result, Write};
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use libc::{c_void, socklen_t};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Run, SCTP, check};

/// What ends an association, and what would begin one: RFC 9260, section 3.2.
const ABORT: u8 = 6;
const COOKIE_ACK: u8 = 11;
const CHUNK: usize = 4;

/// Connects to a server of its own at the address, and to a port without one. Raw sockets send
/// `count` chunks of each kind to either end, of no association. Prints the cookies of the sockets:
/// the client's, the refused one and the server's, which listens.
pub fn forge(run: &Run) -> Result<()> {
    let domain = Domain::for_address(run.to);
    let socket = |kind| Socket::new(domain, kind, Some(Protocol::from(SCTP)));
    let listener = socket(Type::STREAM)?;
    listener.bind(&run.to.into())?;
    listener.listen(1)?;
    let (mut client, refused) = (socket(Type::STREAM)?, socket(Type::STREAM)?);
    client.connect(&run.to.into())?;
    let free = SocketAddr::new(run.to.ip(), run.to.port() + 1);
    let error = refused.connect(&free.into()).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    println!(
        "{} {} {}",
        cookie(&client)?,
        cookie(&refused)?,
        cookie(&listener)?
    );
    let raw = socket(Type::RAW)?;
    let from = client.local_addr()?.as_socket().expect("an IP address");
    let ports = [run.to.port(), from.port()];
    for kind in [ABORT, COOKIE_ACK].repeat(run.count) {
        for [from, to] in [ports, [ports[1], ports[0]]] {
            let host = SocketAddr::new(run.to.ip(), 0);
            raw.send_to(&packet(from, to, kind), &host.into())?;
        }
    }
    // the association goes on
    let (mut server, _) = listener.accept()?;
    let mut data = [0; 1];
    for _ in 0..2 {
        client.write_all(b"x")?;
        server.read_exact(&mut data)?;
        std::mem::swap(&mut client, &mut server);
    }
    Ok(())
}

/// A packet with one chunk, whose verification tag is wrong.
fn packet(from: u16, to: u16, kind: u8) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend([0; 8]);
    bytes.extend([kind, 0, 0, CHUNK as u8]);
    let checksum = crc32c(&bytes).to_le_bytes();
    bytes[8..12].copy_from_slice(&checksum);
    bytes
}

fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bit = |crc: u32| (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
    !bytes.iter().fold(!0, byte)
}

fn cookie(socket: &Socket) -> Result<u64> {
    let (mut cookie, mut len) = (0_u64, size_of::<u64>() as socklen_t);
    let at = (&raw mut cookie).cast::<c_void>();
    // SAFETY: a value of this size.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            at,
            &mut len,
        )
    };
    check(done as isize).map(|_| cookie)
}
