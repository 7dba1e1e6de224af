//! Associations within the host, and a peer that forges packets for them.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use libc::{c_void, socklen_t};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Run, SCTP, check};

/// What ends an association, and what would begin one: RFC 9260, section 3.2.
const ABORT: u8 = 6;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;
const CHUNK: usize = 4;
/// Of the chunks that end one: the tag is the one that the receiver sends with.
const T: u8 = 1;
/// Verification tags that are no association's: none has 0, and this is one of 2^32.
const WRONG: [u32; 2] = [0, 0x1234_5678];

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
            raw.send_to(&packet(from, to, WRONG[0], kind, 0), &host.into())?;
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

/// Two clients get chunks with wrong tags from what looks like their servers: one that has an
/// association and closes before all that it wrote is sent, and one whose server, at the next
/// port, does not answer. The server reads all that the first wrote.
pub fn wrong_tags(run: &Run) -> Result<()> {
    let socket = |kind| {
        Socket::new(
            Domain::for_address(run.to),
            kind,
            Some(Protocol::from(SCTP)),
        )
    };
    let listener = socket(Type::STREAM)?;
    listener.bind(&run.to.into())?;
    listener.listen(1)?;
    let (mut client, pending) = (socket(Type::STREAM)?, socket(Type::STREAM)?);
    client.set_send_buffer_size(1 << 20)?;
    client.connect(&run.to.into())?;
    pending.set_nonblocking(true)?;
    let silent = SocketAddr::new(run.to.ip(), run.to.port() + 1);
    match pending.connect(&silent.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        done => return Err(Error::other(format!("{silent}: {done:?}"))),
    }
    let raw = socket(Type::RAW)?;
    let ports = |client: &Socket| -> Result<u16> {
        let at = client.local_addr()?.as_socket().expect("an IP address");
        Ok(at.port())
    };
    let pairs = [
        (run.to.port(), ports(&client)?),
        (silent.port(), ports(&pending)?),
    ];
    let forge = || -> Result<()> {
        let ends = [ABORT, SHUTDOWN_COMPLETE].map(|kind| [(kind, 0), (kind, T)]);
        for (kind, flags) in ends.into_iter().flatten().chain([(COOKIE_ACK, 0)]) {
            for ((from, to), tag) in pairs.iter().flat_map(|pair| WRONG.map(|tag| (pair, tag))) {
                let host = SocketAddr::new(run.to.ip(), 0);
                raw.send_to(&packet(*from, *to, tag, kind, flags), &host.into())?;
            }
        }
        Ok(())
    };
    forge()?;
    let message = vec![b'x'; run.size];
    for _ in 0..run.count {
        client.write_all(&message)?;
    }
    drop(client);
    forge()?;
    let (mut server, _) = listener.accept()?;
    let mut all = Vec::new();
    server.read_to_end(&mut all)?;
    match all.len() == run.count * run.size {
        true => Ok(()),
        false => Err(Error::other(format!("{} bytes have arrived", all.len()))),
    }
}

/// A packet with one chunk, from what looks like a peer.
fn packet(from: u16, to: u16, tag: u32, kind: u8, flags: u8) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([kind, flags, 0, CHUNK as u8]);
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
