//! A client for the tests that sends COUNT pieces of SIZE bytes over one certain protocol,
//! and says what of it came back. Built as an example.
//!
//!     packet WAY IP PORT COUNT SIZE
//!
//! PORT is the number of the protocol for the ways of raw sockets. What a kernel does not
//! have is exit code 3.

use std::io::{Error, Result};
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::process::exit;

use libc::{c_int, c_void, socklen_t};
use socket2::SockAddr;

#[path = "packet/bytes.rs"]
mod bytes;
#[path = "packet/frames.rs"]
mod frames;
#[path = "packet/sctp.rs"]
mod sctp;
#[path = "packet/share.rs"]
mod share;
#[path = "packet/xdp.rs"]
mod xdp;

const UDPLITE: c_int = 136;
const SCTP: c_int = libc::IPPROTO_SCTP;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [way, ip, port, count, size] = args[..] else {
        eprintln!("usage: packet WAY IP PORT COUNT SIZE");
        exit(2);
    };
    let run = ip.parse().ok().and_then(|ip| {
        Some(Run {
            to: SocketAddr::new(ip, port.parse().ok()?),
            count: count.parse().ok()?,
            size: size.parse().ok()?,
        })
    });
    let Some(run) = run else {
        eprintln!("packet: an address or a number can't be read");
        exit(2);
    };
    match run.go(way) {
        Ok(()) => {}
        Err(e) if missing(&e) => {
            eprintln!("packet: {way}: this kernel has it not: {e}");
            exit(3);
        }
        Err(e) => {
            eprintln!("packet: {way}: {e}");
            exit(1);
        }
    }
}

fn missing(e: &Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT | libc::EAFNOSUPPORT)
    )
}

#[derive(Clone, Copy)]
struct Run {
    to: SocketAddr,
    count: usize,
    size: usize,
}

/// A socket that closes with it. Waits 5 s for what is to come back.
struct Socket(c_int);

impl Socket {
    fn new(family: c_int, kind: c_int, protocol: c_int) -> Result<Socket> {
        let socket = Socket::plain(family, kind, protocol)?;
        let limit = libc::timeval {
            tv_sec: 5,
            tv_usec: 0,
        };
        socket.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &limit)?;
        Ok(socket)
    }

    fn plain(family: c_int, kind: c_int, protocol: c_int) -> Result<Socket> {
        // SAFETY: no pointers.
        let socket = unsafe { libc::socket(family, kind, protocol) };
        check(socket as isize).map(|socket| Socket(socket as c_int))
    }

    fn set<T>(&self, level: c_int, name: c_int, value: &T) -> Result<()> {
        let value_at = (value as *const T).cast::<c_void>();
        // SAFETY: a valid value and its size.
        let done =
            unsafe { libc::setsockopt(self.0, level, name, value_at, size_of::<T>() as socklen_t) };
        check(done as isize).map(drop)
    }

    fn connect(&self, to: SocketAddr) -> Result<()> {
        let to = SockAddr::from(to);
        // SAFETY: an address and its length.
        check(unsafe { libc::connect(self.0, to.as_ptr().cast(), to.len()) } as isize).map(drop)
    }

    fn send(&self, data: &[u8]) -> Result<()> {
        // SAFETY: the slice is valid for its length.
        let n = unsafe { libc::send(self.0, data.as_ptr().cast(), data.len(), 0) };
        whole(n, data.len())
    }

    fn send_to(&self, data: &[u8], to: SocketAddr) -> Result<()> {
        let to = SockAddr::from(to);
        // SAFETY: the slice and the address are valid for their lengths.
        let n = unsafe {
            let (at, len) = (data.as_ptr().cast(), data.len());
            libc::sendto(self.0, at, len, 0, to.as_ptr().cast(), to.len())
        };
        whole(n, data.len())
    }

    fn receive(&self) -> Result<usize> {
        let mut data = [0u8; 70_000];
        // SAFETY: the buffer is valid for its length.
        check(unsafe { libc::recv(self.0, data.as_mut_ptr().cast(), data.len(), 0) })
    }

    /// Takes this many bytes, in whatever pieces they come.
    fn receive_all(&self, bytes: usize) -> Result<()> {
        let mut got = 0;
        while got < bytes {
            match self.receive()? {
                0 => return Err(Error::other(format!("{got} bytes came back"))),
                n => got += n,
            }
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: its own descriptor.
        unsafe { libc::close(self.0) };
    }
}

fn check(n: isize) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::last_os_error())
}

fn whole(n: isize, len: usize) -> Result<()> {
    match check(n)? {
        n if n == len => Ok(()),
        n => Err(Error::other(format!("{n} bytes were taken of {len}"))),
    }
}

impl Run {
    fn go(&self, way: &str) -> Result<()> {
        if let Some(way) = way.strip_prefix("frame-") {
            return frames::send(self, way);
        }
        if let Some(way) = way.strip_prefix("header-") {
            return self.odd_headers(way);
        }
        if let Some(way) = way.strip_prefix("inherit-") {
            return share::send(self, false, way);
        }
        if let Some(way) = way.strip_prefix("wait-") {
            return share::wait(self, way);
        }
        if let Some(way) = way.strip_prefix("park-") {
            return share::park(self, way);
        }
        if let Some(way) = way.strip_prefix("lend-") {
            return share::lend(self, way, false);
        }
        if let Some(way) = way.strip_prefix("share-") {
            return share::lend(self, way, true);
        }
        if let Some(way) = way.strip_prefix("pass-") {
            return share::send(self, true, way);
        }
        match way {
            "udplite" => self.datagrams(libc::SOCK_DGRAM, UDPLITE, true),
            "udplite-to" => self.datagrams(libc::SOCK_DGRAM, UDPLITE, false),
            "ping" => self.ping(libc::SOCK_DGRAM),
            "raw-ping" => self.ping(libc::SOCK_RAW),
            "raw" => self.raw(),
            "hdrincl" => self.header_included(),
            "sctp" => self.stream(libc::SOCK_STREAM, SCTP),
            "sctp-many" => self.sctp_many(),
            "sctp-close" => self.sctp_close(),
            "sctp-forge" => sctp::forge(self),
            "sctp-wrong-tags" => sctp::wrong_tags(self),
            _ => Err(Error::other("no such way")),
        }
    }

    fn family(&self) -> c_int {
        match self.to.is_ipv4() {
            true => libc::AF_INET,
            false => libc::AF_INET6,
        }
    }

    /// The address alone: raw sockets have no ports.
    fn host(&self) -> SocketAddr {
        SocketAddr::new(self.to.ip(), 0)
    }

    fn datagrams(&self, kind: c_int, protocol: c_int, connected: bool) -> Result<()> {
        let socket = Socket::new(self.family(), kind, protocol)?;
        if connected {
            socket.connect(self.to)?;
        }
        let data = vec![b'x'; self.size];
        for _ in 0..self.count {
            match connected {
                true => socket.send(&data)?,
                false => socket.send_to(&data, self.to)?,
            }
            socket.receive()?;
        }
        Ok(())
    }

    /// Echo requests. The kernel of the other side answers.
    fn ping(&self, kind: c_int) -> Result<()> {
        let (protocol, request, reply) = match self.to.ip() {
            IpAddr::V4(_) => (libc::IPPROTO_ICMP, 8, 0),
            IpAddr::V6(_) => (libc::IPPROTO_ICMPV6, 128, 129),
        };
        let socket = Socket::new(self.family(), kind, protocol)?;
        for sequence in 0..self.count {
            let message = bytes::echo(request, sequence as u16, self.size);
            socket.send_to(&message, self.host())?;
            self.await_reply(&socket, kind, reply)?;
        }
        Ok(())
    }

    /// A raw socket gets everything of its protocol.
    fn await_reply(&self, socket: &Socket, kind: c_int, reply: u8) -> Result<()> {
        let mut data = [0u8; 70_000];
        loop {
            // SAFETY: the buffer is valid for its length.
            let n = unsafe { libc::recv(socket.0, data.as_mut_ptr().cast(), data.len(), 0) };
            let n = check(n)?;
            let header = match kind == libc::SOCK_RAW && self.to.is_ipv4() {
                true => usize::from(data[0] & 0xf) * 4,
                false => 0,
            };
            if n > header && data[header] == reply {
                return Ok(());
            }
        }
    }

    /// A protocol of one's own. The other side sends it back.
    fn raw(&self) -> Result<()> {
        let protocol = self.to.port().into();
        let socket = Socket::new(self.family(), libc::SOCK_RAW, protocol)?;
        let data = vec![b'x'; self.size];
        for _ in 0..self.count {
            socket.send_to(&data, self.host())?;
            socket.receive()?;
        }
        Ok(())
    }

    /// Whole packets, of a socket that receives nothing.
    fn header_included(&self) -> Result<()> {
        let socket = Socket::new(self.family(), libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        let payload = vec![b'x'; self.size];
        for _ in 0..self.count {
            let packet = bytes::ip(self.to.ip(), self.to.port() as u8, &payload);
            socket.send_to(&packet, self.host())?;
        }
        Ok(())
    }

    /// Whole packets too, of UDP or TCP, with something odd about them.
    fn odd_headers(&self, way: &str) -> Result<()> {
        if way == "fan" {
            return self.fan();
        }
        let odd = match way {
            "fragment" => bytes::Odd::Fragment,
            "options" => bytes::Odd::Options,
            _ => bytes::Odd::No,
        };
        let whole = bytes::Frame {
            to: self.to,
            payload: self.size,
            tags: &[],
            odd,
        };
        let mut packet = whole.packet();
        let (protocol, header) = match self.to.is_ipv4() {
            true => (9, 20),
            false => (6, 40),
        };
        match way {
            "tcp" => packet[protocol] = libc::IPPROTO_TCP as u8,
            // ports and lengths that are not there
            "cut" => packet.truncate(header + 3),
            _ => {}
        }
        let socket = Socket::new(self.family(), libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        (0..self.count).try_for_each(|_| socket.send_to(&packet, self.host()))
    }

    /// Threads that send from one socket at once, to COUNT ports from PORT on together.
    fn fan(&self) -> Result<()> {
        let socket = &Socket::new(self.family(), libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        share::at_once(|thread| {
            (thread..self.count)
                .step_by(share::THREADS)
                .try_for_each(|i| {
                    let whole = bytes::Frame {
                        to: SocketAddr::new(self.to.ip(), self.to.port() + i as u16),
                        payload: self.size,
                        tags: &[],
                        odd: bytes::Odd::No,
                    };
                    socket.send_to(&whole.packet(), self.host())
                })
        })
    }

    fn stream(&self, kind: c_int, protocol: c_int) -> Result<()> {
        let socket = Socket::new(self.family(), kind, protocol)?;
        socket.connect(self.to)?;
        let data = vec![b'x'; self.size];
        for _ in 0..self.count {
            socket.send(&data)?;
            socket.receive_all(self.size)?;
        }
        Ok(())
    }

    /// An association that sending makes.
    fn sctp_many(&self) -> Result<()> {
        let socket = Socket::new(self.family(), libc::SOCK_SEQPACKET, SCTP)?;
        let data = vec![b'x'; self.size];
        for _ in 0..self.count {
            socket.send_to(&data, self.to)?;
            socket.receive_all(self.size)?;
        }
        Ok(())
    }

    /// All at once, and the socket is closed while the kernel still sends it.
    fn sctp_close(&self) -> Result<()> {
        let socket = Socket::new(self.family(), libc::SOCK_STREAM, SCTP)?;
        socket.connect(self.to)?;
        let data = vec![b'x'; self.size];
        for _ in 0..self.count {
            socket.send(&data)?;
        }
        Ok(())
    }
}
