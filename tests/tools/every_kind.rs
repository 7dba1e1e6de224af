//! A process that makes an event of each kind that the kernel side can lose.

use std::fs;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Loose source route by FAR, RFC 791.
const ROUTE: [u8; 8] = [0x83, 7, 4, 10, 77, 0, 2, 0];
const QUERY: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04loss\x04test\0\0\x01\0\x01";

fn at(ip: Ipv4Addr, port: u16) -> SockAddr {
    SocketAddrV4::new(ip, port).into()
}

/// Connections that wait in the Unix socket at stdin.
fn receive(parked: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(parked, into, &mut message, RecvFlags::empty())?;
    let files = message.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok(files.flatten().collect())
}

/// `port` is a web server's; nothing listens at `refused`; `cgroup` is to be made.
pub fn run(port: u16, cgroup: &str, refused: Ipv4Addr) -> io::Result<()> {
    let mut parked = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let older = receive(&parked)?;
    for connection in &older {
        rustix::io::write(connection, b"x")?;
    }
    let datagrams = || Socket::new(Domain::IPV4, Type::DGRAM, None);
    let kept = datagrams()?;
    for port in 4100..4104 {
        kept.send_to(b"x", &at(FAR, port))?;
    }
    let mut http = TcpStream::connect((FAR, port))?;
    http.write_all(b"GET / HTTP/1.1\r\nHost: loss.test\r\n\r\n")?;
    let _ = http.read(&mut [0; 100])?;
    drop(http);
    let _ = TcpStream::connect((refused, 80));
    let udp = datagrams()?;
    for port in 4000..4004 {
        udp.send_to(b"x", &at(FAR, port))?;
    }
    udp.send_to(QUERY, &at(FAR, 53))?;
    drop(udp);
    let routed = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // SAFETY: the option's bytes and their number.
    let set = unsafe {
        let (bytes, len) = (ROUTE.as_ptr().cast(), ROUTE.len() as libc::socklen_t);
        libc::setsockopt(
            routed.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_OPTIONS,
            bytes,
            len,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    routed.set_nonblocking(true)?;
    let _ = routed.connect(&at(Ipv4Addr::new(203, 0, 113, 81), 4443));
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(253)))?;
    raw.send_to(b"x", &at(FAR, 0))?;
    drop(raw);
    let sctp = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(132)));
    if let Ok(sctp) = &sctp {
        sctp.set_nonblocking(true)?;
        let _ = sctp.connect(&at(FAR, 4005));
    }
    fs::create_dir(cgroup)?;
    let procs = format!("{cgroup}/cgroup.procs");
    let mut inside = Command::new("true");
    // SAFETY: this process has no other thread.
    unsafe { inside.pre_exec(move || fs::write(&procs, "0")) };
    inside.status()?;
    fs::remove_dir(cgroup)?;
    // what is kept ends with this process, when the buffer is full
    // SAFETY: this process has no other thread.
    if unsafe { libc::fork() } == 0 {
        let _ = parked.read(&mut [0]);
    }
    Ok(())
}
