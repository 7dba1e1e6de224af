//! A client for the tests that queries a name server in each of the ways of real resolvers,
//! connects to the answer, and prints the connection: a test then knows which name each
//! connection should have. Built as an example.
//!
//! `ask WAY SERVER:PORT DIAL NAME…` connects to the last address of each answer. DIAL is a TCP
//! port, or `udp:PORT` (connected) or `sendto:PORT`; 0 connects to nothing. A line each:
//! `NAME OWN_PORT ADDRESS PORT`. The ways `held` and `tcp-held` have their socket first, print
//! `ready` and wait for a line on stdin.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::exit;
use std::time::Duration;

use io_uring::{IoUring, opcode, types};
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};

type Result<T> = std::io::Result<T>;

const USAGE: &str = "usage: ask connected|sendto|sendmmsg|uring|edns|mixed|truncated|multicast|mdns|held|tcp|tcp-bytes|tcp-held|pipelined|threads SERVER:PORT DIAL NAME...";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [way, server, dial, names @ ..] = &args[..] else {
        eprintln!("{USAGE}");
        exit(2);
    };
    let result = server
        .parse()
        .map_err(std::io::Error::other)
        .and_then(|server| run(way, server, dial, names));
    if let Err(e) = result {
        eprintln!("ask: {e}");
        exit(1);
    }
}

fn run(way: &str, server: SocketAddr, dial: &str, names: &[String]) -> Result<()> {
    match way {
        "pipelined" => {
            for (name, answer) in names.iter().zip(pipelined(server, names)?) {
                reach(name, &answer, dial)?;
            }
            Ok(())
        }
        "threads" => std::thread::scope(|scope| {
            let one = |name| move || one("connected", server, dial, name);
            let threads: Vec<_> = names.iter().map(|name| scope.spawn(one(name))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| exit(3)))
        }),
        _ => names
            .iter()
            .try_for_each(|name| one(way, server, dial, name)),
    }
}

/// Resolves one name and connects to it.
fn one(way: &str, server: SocketAddr, dial: &str, name: &str) -> Result<()> {
    let question = query(name, TYPE::A, None);
    let answer = match way {
        "connected" => connected(server, &question)?,
        "sendto" | "multicast" => sendto(server, &question)?,
        "sendmmsg" => sendmmsg(server, name)?,
        "uring" => uring(server, &question)?,
        "mdns" => mdns(server, &question)?,
        "held" => {
            let socket = udp(server)?;
            socket.connect(server)?;
            ready()?;
            socket.send(&question)?;
            received(&question, |buffer| socket.recv(buffer))?
        }
        "tcp-held" => {
            let mut stream = TcpStream::connect(server)?;
            ready()?;
            stream.write_all(&framed(&question))?;
            next(&mut stream)?
        }
        "edns" => connected(server, &query(name, TYPE::A, Some(65_000)))?,
        "mixed" => connected(server, &query(&mixed_case(name), TYPE::A, None))?,
        "truncated" => truncated(server, &question)?,
        "tcp" => tcp(server, &question, false)?,
        "tcp-bytes" => tcp(server, &question, true)?,
        _ => return Err(std::io::Error::other(USAGE)),
    };
    reach(name, &answer, dial)
}

fn query(name: &str, qtype: TYPE, edns: Option<u16>) -> Vec<u8> {
    // A random id for each query.
    let mut id = [0; 2];
    let _ = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut id));
    let mut packet = Packet::new_query(u16::from_ne_bytes(id));
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new_unchecked(name),
        QTYPE::TYPE(qtype),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    if let Some(udp_packet_size) = edns {
        *packet.opt_mut() = Some(OPT {
            opt_codes: Vec::new(),
            udp_packet_size,
            version: 0,
        });
    }
    packet.build_bytes_vec().unwrap_or_else(|e| {
        eprintln!("ask: {name}: {e}");
        exit(2)
    })
}

/// draft-vixie-dnsext-dns0x20: a resolver's way to make answers harder to guess.
fn mixed_case(name: &str) -> String {
    let each = name.chars().enumerate();
    each.map(|(i, c)| match i % 2 {
        0 => c.to_ascii_uppercase(),
        _ => c,
    })
    .collect()
}

fn udp(server: SocketAddr) -> Result<UdpSocket> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(socket)
}

fn connected(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let socket = udp(server)?;
    socket.connect(server)?;
    socket.send(question)?;
    received(question, |buffer| socket.recv(buffer))
}

/// As musl does. A multicast answer comes from another address than the group's.
fn sendto(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let socket = udp(server)?;
    socket.send_to(question, server)?;
    received(question, |buffer| Ok(socket.recv_from(buffer)?.0))
}

/// The first answer with the question's id and the question, as resolvers check it; or
/// one with neither, by multicast.
fn received(question: &[u8], mut recv: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = recv(&mut buffer)?;
        let answer = &buffer[..length];
        let name = question[12..].iter().position(|&b| b == 0).unwrap_or(0);
        let asked = 12..12 + name + 5; // with type and class
        let fits = answer.get(..2) == question.get(..2)
            && answer.get(asked.clone()) == question.get(asked);
        if length > 12 && answer[2] & 0x80 != 0 && (fits || answer[..2] == [0, 0]) {
            return Ok(answer.to_vec());
        }
    }
}

/// Waits for a line, so that a recorder can be started meanwhile.
fn ready() -> Result<()> {
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).map(drop)
}

/// As a multicast DNS resolver of its own right, RFC 6762 section 6: asked from port
/// 5353 it is answered by multicast, without id and question.
fn mdns(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let SocketAddr::V4(group) = server else {
        return Err(std::io::ErrorKind::Unsupported.into());
    };
    let socket = UdpSocket::bind(("0.0.0.0", group.port()))?;
    socket.join_multicast_v4(group.ip(), &std::net::Ipv4Addr::UNSPECIFIED)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let question = [&[0, 0], &question[2..]].concat();
    socket.send_to(&question, server)?;
    received(&question, |buffer| Ok(socket.recv_from(buffer)?.0))
}

/// As glibc does: A and AAAA leave in one call, their answers come in one.
fn sendmmsg(server: SocketAddr, name: &str) -> Result<Vec<u8>> {
    let socket = udp(server)?;
    socket.connect(server)?;
    let mut questions = [query(name, TYPE::A, None), query(name, TYPE::AAAA, None)];
    let mut vectors = questions.each_mut().map(|q| libc::iovec {
        iov_base: q.as_mut_ptr().cast(),
        iov_len: q.len(),
    });
    // SAFETY: all zeroes is what an empty header is.
    let mut headers: [libc::mmsghdr; 2] = unsafe { std::mem::zeroed() };
    for (header, vector) in headers.iter_mut().zip(&mut vectors) {
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the vectors and what they point to live until both calls are done.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), 2, 0) };
    if sent != 2 {
        return Err(std::io::Error::last_os_error());
    }
    let mut answers = [[0u8; 4096]; 2];
    let mut vectors = answers.each_mut().map(|a| libc::iovec {
        iov_base: a.as_mut_ptr().cast(),
        iov_len: a.len(),
    });
    for (header, vector) in headers.iter_mut().zip(&mut vectors) {
        header.msg_hdr.msg_iov = vector;
    }
    let mut got = 0;
    while got < 2 {
        let rest = &mut headers[got..];
        // SAFETY: as above.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as u32,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        if n <= 0 {
            return Err(std::io::Error::last_os_error());
        }
        got += n as usize;
    }
    // the A answer, whichever came first
    let a = answers.iter().zip(&headers);
    let mut a = a.filter(|(answer, _)| answer[..2] == questions[0][..2]);
    let (answer, header) = a.next().ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(answer[..header.msg_len as usize].to_vec())
}

fn uring(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let socket = udp(server)?;
    socket.connect(server)?;
    let mut ring = IoUring::new(2)?;
    let fd = types::Fd(socket.as_raw_fd());
    let mut buffer = vec![0; 4096];
    let send = opcode::Send::new(fd, question.as_ptr(), question.len() as u32).build();
    let recv = opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).build();
    let mut done = |entry| {
        // SAFETY: the buffers outlive the operation, which is awaited here.
        unsafe { ring.submission().push(&entry) }.map_err(std::io::Error::other)?;
        ring.submit_and_wait(1)?;
        let result = ring.completion().next().map_or(-1, |done| done.result());
        usize::try_from(result).map_err(|_| std::io::Error::from_raw_os_error(-result))
    };
    done(send)?;
    let length = done(recv)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Over TCP where the answer was too long for UDP, RFC 7766 section 5.
fn truncated(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>> {
    let answer = connected(server, question)?;
    if answer[2] & 2 == 0 {
        return Err(std::io::Error::other("the answer is not truncated"));
    }
    tcp(server, question, false)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = message.len() as u16;
    [&length.to_be_bytes(), message].concat()
}

/// Over TCP, in one segment or in as many as it has bytes.
fn tcp(server: SocketAddr, question: &[u8], bytewise: bool) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let message = framed(question);
    for part in message.chunks(if bytewise { 1 } else { message.len() }) {
        stream.write_all(part)?;
    }
    next(&mut stream)
}

fn next(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// All questions over one TCP connection before the first answer is read; the answers
/// may come in any order.
fn pipelined(server: SocketAddr, names: &[String]) -> Result<Vec<Vec<u8>>> {
    let questions: Vec<_> = names.iter().map(|n| query(n, TYPE::A, None)).collect();
    let mut stream = TcpStream::connect(server)?;
    let all: Vec<u8> = questions.iter().flat_map(|q| framed(q)).collect();
    stream.write_all(&all)?;
    let mut answers = vec![Vec::new(); questions.len()];
    for _ in 0..questions.len() {
        let answer = next(&mut stream)?;
        let asked = questions.iter().position(|q| q[..2] == answer[..2]);
        answers[asked.ok_or(std::io::ErrorKind::InvalidData)?] = answer;
    }
    Ok(answers)
}

/// Connects to the last address of an answer, and prints that.
fn reach(name: &str, answer: &[u8], dial: &str) -> Result<()> {
    let packet = Packet::parse(answer).map_err(std::io::Error::other)?;
    let mut addresses = packet.answers.iter().filter_map(|r| match &r.rdata {
        RData::A(a) => Some(IpAddr::from(a.address.to_be_bytes())),
        RData::AAAA(a) => Some(IpAddr::from(a.address.to_be_bytes())),
        _ => None,
    });
    let ip = addresses.next_back();
    let ip = ip.ok_or_else(|| std::io::Error::other(format!("{name} has no address")))?;
    let (way, port) = dial.split_once(':').unwrap_or(("tcp", dial));
    let port: u16 = port.parse().map_err(std::io::Error::other)?;
    if port == 0 {
        return Ok(());
    }
    let to = SocketAddr::new(ip, port);
    let own = match way {
        "tcp" => TcpStream::connect(to)?.local_addr()?,
        "udp" => {
            let socket = udp(to)?;
            socket.connect(to)?;
            socket.send(b"x")?;
            socket.local_addr()?
        }
        "sendto" => {
            let socket = udp(to)?;
            socket.send_to(b"x", to)?;
            socket.local_addr()?
        }
        _ => return Err(std::io::Error::other(format!("{way} is no way to dial"))),
    };
    // Threads print at once: one write each.
    std::io::stdout().write_all(format!("{name} {} {ip} {port}\n", own.port()).as_bytes())
}
