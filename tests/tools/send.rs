//! A client for the tests that sends in one certain way, and gets back what it sent:
//! COUNT pieces of SIZE bytes. Built as an example.
//!
//!     send WAY IP PORT COUNT SIZE

use std::fs::File;
use std::io::{IoSlice, Read, Seek, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::process::exit;
use std::ptr::null_mut;
use std::time::Duration;

use io_uring::{IoUring, opcode, types};

type Done = std::io::Result<()>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [way, ip, port, count, size] = args[..] else {
        eprintln!("usage: send WAY IP PORT COUNT SIZE");
        exit(2);
    };
    let to = format!("{ip}:{port}").parse();
    let (Ok(to), Ok(count), Ok(size)) = (to, count.parse(), size.parse()) else {
        eprintln!("send: an address or a number can't be read");
        exit(2);
    };
    let result = match way.strip_prefix("udp-") {
        Some(way) => udp(way, to, count, size),
        None => tcp(way, to, count, size),
    };
    if let Err(e) = result {
        eprintln!("send: {way}: {e}");
        exit(1);
    }
}

/// What a system call returned: bytes, or an error.
fn check(n: isize) -> std::io::Result<usize> {
    usize::try_from(n).map_err(|_| std::io::Error::last_os_error())
}

/// Calls again with what is left until a piece has gone.
fn all(size: usize, mut some: impl FnMut(usize) -> isize) -> Done {
    let mut at = 0;
    while at < size {
        match check(some(at))? {
            0 => return Err(std::io::Error::other("nothing was taken")),
            n => at += n,
        }
    }
    Ok(())
}

/// The peer sends back what it got once all has come.
fn tcp(way: &str, to: SocketAddr, count: usize, size: usize) -> Done {
    let mut stream = TcpStream::connect(to)?;
    let fd = stream.as_raw_fd();
    let data = vec![b'x'; size];
    match way {
        "uring" | "uring-zc" => tcp_uring(fd, &data, count, way == "uring-zc")?,
        "sendfile" | "splice" => tcp_file(fd, &data, count, way == "splice")?,
        _ => {
            for _ in 0..count {
                tcp_piece(way, &mut stream, &data)?;
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    let back = std::io::copy(&mut stream, &mut std::io::sink())?;
    match back == (count * size) as u64 {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{back} bytes came back"))),
    }
}

fn tcp_piece(way: &str, stream: &mut TcpStream, data: &[u8]) -> Done {
    let fd = stream.as_raw_fd();
    // SAFETY (all calls below): the slices are valid for the lengths given.
    let rest = |at: usize| (data[at..].as_ptr(), data.len() - at);
    match way {
        "write" => stream.write_all(data),
        "send" => all(data.len(), |at| unsafe {
            libc::send(fd, rest(at).0.cast(), rest(at).1, 0)
        }),
        "zerocopy" => {
            let on: libc::c_int = 1;
            let len = size_of::<libc::c_int>() as libc::socklen_t;
            let on = (&raw const on).cast();
            // SAFETY: an int, and its length.
            let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, on, len) };
            check(set as isize)?;
            all(data.len(), |at| unsafe {
                libc::send(fd, rest(at).0.cast(), rest(at).1, libc::MSG_ZEROCOPY)
            })
        }
        "writev" => all(data.len(), |at| {
            let (left, right) = data[at..].split_at((data.len() - at) / 2);
            let slices = [IoSlice::new(left), IoSlice::new(right)];
            stream.write_vectored(&slices).map_or(-1, |n| n as isize)
        }),
        "sendmsg" | "sendmmsg" => all(data.len(), |at| {
            let mut iov = libc::iovec {
                iov_base: rest(at).0.cast_mut().cast(),
                iov_len: rest(at).1,
            };
            // SAFETY: all zeroes is an empty message.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = &raw mut iov;
            message.msg_hdr.msg_iovlen = 1;
            if way == "sendmsg" {
                return unsafe { libc::sendmsg(fd, &raw const message.msg_hdr, 0) };
            }
            match unsafe { libc::sendmmsg(fd, &raw mut message, 1, 0) } {
                1 => message.msg_len as isize,
                _ => -1,
            }
        }),
        "vmsplice" => {
            let (from, into) = pipe()?;
            all(data.len(), |at| {
                let iov = libc::iovec {
                    iov_base: rest(at).0.cast_mut().cast(),
                    iov_len: rest(at).1.min(65_536),
                };
                let n = unsafe { libc::vmsplice(into.as_raw_fd(), &raw const iov, 1, 0) };
                drain(from.as_raw_fd(), fd, n)
            })
        }
        _ => Err(std::io::Error::other("no such way")),
    }
}

/// Two ends: to read from, to write into.
fn pipe() -> std::io::Result<(std::io::PipeReader, std::io::PipeWriter)> {
    std::io::pipe()
}

/// Splices these many bytes out of a pipe; gives back how many, or -1.
fn drain(from: RawFd, to: RawFd, n: isize) -> isize {
    let mut left = n.max(0) as usize;
    while left > 0 {
        // SAFETY: no pointers.
        let done = unsafe { libc::splice(from, null_mut(), to, null_mut(), left, 0) };
        if done <= 0 {
            return -1;
        }
        left -= done as usize;
    }
    n
}

/// Each piece out of a file.
fn tcp_file(fd: RawFd, data: &[u8], count: usize, splice: bool) -> Done {
    let path = std::env::temp_dir().join(format!("egrets-send-{}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(data)?;
    let (from, into) = pipe()?;
    for _ in 0..count {
        file.rewind()?;
        all(data.len(), |at| {
            let (left, source) = (data.len() - at, file.as_raw_fd());
            if !splice {
                // SAFETY: no pointers.
                return unsafe { libc::sendfile(fd, source, null_mut(), left) };
            }
            let into = into.as_raw_fd();
            // SAFETY: no pointers.
            let n =
                unsafe { libc::splice(source, null_mut(), into, null_mut(), left.min(65_536), 0) };
            drain(from.as_raw_fd(), fd, n)
        })?;
    }
    Ok(())
}

fn tcp_uring(fd: RawFd, data: &[u8], count: usize, zero_copy: bool) -> Done {
    let mut ring = IoUring::new(4)?;
    for _ in 0..count {
        all(data.len(), |at| {
            let (start, len) = (data[at..].as_ptr(), (data.len() - at) as u32);
            let entry = match zero_copy {
                true => opcode::SendZc::new(types::Fd(fd), start, len).build(),
                false => opcode::Send::new(types::Fd(fd), start, len).build(),
            };
            // SAFETY: the data outlive the operation, which is awaited here.
            if unsafe { ring.submission().push(&entry) }.is_err()
                || ring.submit_and_wait(1).is_err()
            {
                return -1;
            }
            // of zero copy another completion tells that the data are free again
            let first = ring
                .completion()
                .find(|done| !io_uring::cqueue::notif(done.flags()));
            first.map_or(-1, |done| done.result() as isize)
        })?;
    }
    Ok(())
}

/// The peer sends every datagram back.
fn udp(way: &str, to: SocketAddr, count: usize, size: usize) -> Done {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let fd = socket.as_raw_fd();
    let data = vec![b'x'; size * count];
    let mut back = vec![0; 65_536];
    match way {
        "send" => {
            for piece in data.chunks(size) {
                socket.send(piece)?;
                socket.recv(&mut back)?;
            }
            return Ok(());
        }
        "write" => {
            let mut file = File::from(std::os::fd::OwnedFd::from(socket.try_clone()?));
            for piece in data.chunks(size) {
                file.write_all(piece)?;
                let _ = file.read(&mut back)?;
            }
            return Ok(());
        }
        "empty" => {
            // nothing but a header, each answered by the same
            for _ in 0..count {
                socket.send(&[])?;
                socket.recv(&mut back)?;
            }
            return Ok(());
        }
        "sendmmsg" => {
            let mut iov: Vec<libc::iovec> = data
                .chunks(size)
                .map(|piece| libc::iovec {
                    iov_base: piece.as_ptr().cast_mut().cast(),
                    iov_len: piece.len(),
                })
                .collect();
            let mut messages: Vec<libc::mmsghdr> = iov
                .iter_mut()
                .map(|iov| {
                    // SAFETY: all zeroes is an empty message.
                    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                    message.msg_hdr.msg_iov = iov;
                    message.msg_hdr.msg_iovlen = 1;
                    message
                })
                .collect();
            // SAFETY: the messages and what they point to are valid.
            let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count as u32, 0) };
            if check(sent as isize)? != count {
                return Err(std::io::Error::other("not all were sent"));
            }
        }
        "gso" => {
            let segment = size as libc::c_int;
            let len = size_of::<libc::c_int>() as libc::socklen_t;
            let value = (&raw const segment).cast();
            // SAFETY: an int, and its length.
            let set = unsafe { libc::setsockopt(fd, libc::SOL_UDP, libc::UDP_SEGMENT, value, len) };
            check(set as isize)?;
            socket.send(&data)?;
        }
        _ => return Err(std::io::Error::other("no such way")),
    }
    for _ in 0..count {
        socket.recv(&mut back)?;
    }
    Ok(())
}
