//! Datagrams: the peer answers each with `agreed::ANSWERS` of them.

use std::io::Result;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::SockRef;

use crate::agreed::{ANSWERS, answer, option};
use crate::calls::{Done, error, iovec, message, one_of_many, sendmmsg};
use crate::ways::{Receiver, Sender};

/// Of a socket that many datagrams come to at once; the kernel caps it.
const QUEUE: usize = 1 << 20;
const PAGE: usize = 4096;

/// A socket for this destination that has room for what comes.
pub fn socket(to: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    SockRef::from(&socket).set_recv_buffer_size(QUEUE)?;
    Ok(socket)
}

pub fn run(way: &str, to: SocketAddr, count: usize, size: usize) -> Done {
    let (out, into) = match way.strip_prefix("in-") {
        Some(into) => ("send", into),
        // what is sent makes these, and not how
        None if matches!(way, "empty" | "fragments") => ("send", "recv"),
        None => (way, "recv"),
    };
    let socket = socket(to)?;
    // these name the destination with each datagram
    let named = matches!(
        out,
        "sendto" | "sendmsg" | "uring-sendmsg" | "uring-sendmsg-zc"
    );
    if !named {
        socket.connect(to)?;
    }
    // before Linux 6.5 each page that is spliced is a datagram
    let pages = vec![b'x'; size * count + PAGE];
    let data = &pages[pages.as_ptr().align_offset(PAGE)..][..size * count];
    let piece = &data[..size];
    let mut receiver = Receiver::new(into, &socket)?;
    match out {
        "sendmmsg" => many(&socket, data, size)?,
        "gso" => {
            option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, &(size as i32))?;
            socket.send(data)?;
        }
        _ => {
            let mut sender = Sender::new(out, &socket, named.then(|| to.into()), piece)?;
            for _ in 0..count {
                if sender.send(piece)? != size {
                    return Err(error("a part of a datagram was sent"));
                }
                // what receives by itself would go on to the next ones
                if into != "uring-multishot" {
                    receive(&mut receiver, ANSWERS, answer(size))?;
                }
            }
            if into != "uring-multishot" {
                return Ok(());
            }
        }
    }
    receive(&mut receiver, ANSWERS * count, answer(size))
}

/// All of them with one call.
fn many(socket: &UdpSocket, data: &[u8], size: usize) -> Done {
    let mut pieces: Vec<_> = data.chunks(size).map(iovec).collect();
    let mut messages: Vec<_> = pieces
        .iter_mut()
        .map(|piece| one_of_many(message(std::slice::from_mut(piece), None)))
        .collect();
    match sendmmsg(socket.as_raw_fd(), &mut messages)?.len() == messages.len() {
        true => Ok(()),
        false => Err(error("not all were sent")),
    }
}

/// So many datagrams of this length, or packets of several of them.
fn receive(receiver: &mut Receiver, count: usize, size: usize) -> Done {
    let mut left = count;
    receiver.receive(|len| {
        let datagrams = len.checked_div(size).unwrap_or(1);
        if len != datagrams * size || datagrams > left {
            return Err(error(format!("{len} bytes came back")));
        }
        left -= datagrams;
        Ok(left == 0)
    })
}
