//! A small client for the tests: it does one thing on the network and exits, so
//! that a test knows exactly what happened. Built as an example.

#[path = "every_kind.rs"]
mod every_kind;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, exit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use io_uring::{IoUring, opcode, types};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["tcp", host, port] => tcp(host, port),
        ["get", host, port] => get(host, port),
        ["each", from, to, port] => each(number(from), number(to), port),
        ["child", host, port] => child(host, port),
        ["fork", host, port] => fork(host, port),
        ["stale", host, port, seconds] => stale(host, port, number(seconds)),
        ["udp", ip, port, count, size] => udp(ip, port, number(count), number(size)),
        ["udp-to", host, port, count, size] => udp_to(host, port, number(count), number(size)),
        ["hold", ip, port] => hold(ip, port),
        ["later", host, port] => later(host, port),
        ["wait", host, port] => ready().and_then(|()| tcp(host, port)),
        ["udp-silent", ip, port] => udp_silent(ip, port),
        ["loop", ip, port, count] => connects(ip, port, number(count)),
        ["drip", ip, port] => drip(ip, port),
        ["thread", host, port] => thread(host, port),
        ["memory", host, port] => memory(host, port),
        ["try", way, ip, port] => attempt(way, ip, port),
        ["every-kind", port, cgroup, refused] => {
            every_kind::run(number(port) as u16, cgroup, address(refused))
        }
        _ => {
            eprintln!(
                "usage: dial tcp|memory|thread|get|child|fork|hold|later|wait HOST PORT | stale HOST PORT SECONDS | each FROM TO PORT | udp|udp-to IP PORT COUNT SIZE | udp-silent IP PORT | loop IP PORT COUNT | drip IP PORT | try WAY IP PORT | every-kind PORT CGROUP IP"
            );
            exit(2);
        }
    };
    if let Err(e) = result {
        eprintln!("dial: {e}");
        exit(1);
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| {
        eprintln!("dial: {text} is no number");
        exit(2)
    })
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap_or_else(|_| {
        eprintln!("dial: {text} is no IPv4 address");
        exit(2)
    })
}

fn resolve(host: &str, port: &str) -> std::io::Result<SocketAddr> {
    (host, number(port) as u16)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("no address"))
}

/// Resolves a name and connects within microseconds.
/// Connects from a thread, and again at the end of the standard input, when the first thread has
/// ended.
fn thread(host: &str, port: &str) -> std::io::Result<()> {
    let (host, port) = (host.to_string(), port.to_string());
    std::thread::spawn(move || {
        let mut held = TcpStream::connect(format!("{host}:{port}")).expect("no listener");
        held.write_all(b"old").expect("not sent");
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = tcp(&host, &port);
        exit(0);
    });
    // SAFETY: ends this thread alone; nothing on its stack is used by the other one.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended");
}

/// The same from memory: a copy of this program that has no file.
fn memory(host: &str, port: &str) -> std::io::Result<()> {
    let copy = rustix::fs::memfd_create("payload", rustix::fs::MemfdFlags::empty())?;
    std::io::copy(
        &mut std::fs::File::open("/proc/self/exe")?,
        &mut std::fs::File::from(copy.try_clone()?),
    )?;
    let program = format!("/proc/self/fd/{}", copy.as_raw_fd());
    let error = std::os::unix::process::CommandExt::exec(
        Command::new(program).arg("tcp").arg(host).arg(port),
    );
    Err(error)
}

fn tcp(host: &str, port: &str) -> std::io::Result<()> {
    TcpStream::connect(resolve(host, port)?).map(drop)
}

fn get(host: &str, port: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(resolve(host, port)?)?;
    write!(stream, "GET / HTTP/1.0\r\n\r\n")?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body)?;
    println!("{}", body.len());
    Ok(())
}

/// A process for each of n<FROM>.test to n<TO>.test, 16 at a time.
fn each(from: usize, to: usize, port: &str) -> std::io::Result<()> {
    let me = std::env::current_exe()?;
    let mut running: Vec<Child> = Vec::new();
    let mut failed = 0;
    for i in from..=to {
        if running.len() == 16 {
            failed += usize::from(!running.remove(0).wait()?.success());
        }
        running.push(
            Command::new(&me)
                .args(["tcp", &format!("n{i}.test"), port])
                .spawn()?,
        );
    }
    for mut child in running {
        failed += usize::from(!child.wait()?.success());
    }
    if failed > 0 {
        return Err(std::io::Error::other(format!("{failed} failed")));
    }
    Ok(())
}

/// The parent resolves, its child connects.
fn child(host: &str, port: &str) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    let status = Command::new(std::env::current_exe()?)
        .args(["tcp", &to.ip().to_string(), port])
        .status()?;
    exit(status.code().unwrap_or(1));
}

/// The same without an exec between.
fn fork(host: &str, port: &str) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    // SAFETY: this process has one thread, so the child may call anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        exit(i32::from(TcpStream::connect(to).is_err()));
    }
    let mut status = 0;
    // SAFETY: the status outlives the call.
    if unsafe { libc::waitpid(child, &mut status, 0) } != child || status != 0 {
        return Err(std::io::Error::other("the child could not connect"));
    }
    Ok(())
}

/// Connects to an address that was resolved that long ago.
fn stale(host: &str, port: &str, seconds: usize) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    std::thread::sleep(Duration::from_secs(seconds as u64));
    TcpStream::connect(to).map(drop)
}

/// Sends datagrams to an echo server, waiting for each one's return.
fn udp(ip: &str, port: &str, count: usize, size: usize) -> std::io::Result<()> {
    let to = resolve(ip, port)?;
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (data, mut back) = (vec![b'x'; size], vec![0; size]);
    for _ in 0..count {
        socket.send(&data)?;
        socket.recv(&mut back)?;
    }
    Ok(())
}

/// The same over a socket that is not connected.
fn udp_to(host: &str, port: &str, count: usize, size: usize) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (data, mut back) = (vec![b'x'; size], vec![0; size]);
    for _ in 0..count {
        socket.send_to(&data, to)?;
        socket.recv_from(&mut back)?;
    }
    Ok(())
}

/// Waits for a line, so that a recorder can be started meanwhile.
fn ready() -> std::io::Result<()> {
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).map(drop)
}

/// Has a connection, and only later says something over it.
fn hold(ip: &str, port: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(resolve(ip, port)?)?;
    ready()?;
    stream.write_all(b"x")?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Resolves, and only later dials.
fn later(host: &str, port: &str) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    ready()?;
    TcpStream::connect(to).map(drop)
}

/// A connected socket that never sends, as getaddrinfo makes to sort addresses.
fn udp_silent(ip: &str, port: &str) -> std::io::Result<()> {
    UdpSocket::bind("0.0.0.0:0")?.connect(resolve(ip, port)?)
}

/// Connects and closes, many times.
fn connects(ip: &str, port: &str, count: usize) -> std::io::Result<()> {
    let to = resolve(ip, port)?;
    for _ in 0..count {
        drop(TcpStream::connect(to)?);
    }
    Ok(())
}

/// Connects about once a millisecond until it is ended, and says before each one
/// what the time is, in nanoseconds since 1970.
fn drip(ip: &str, port: &str) -> std::io::Result<()> {
    let to = resolve(ip, port)?;
    loop {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        println!("{}", now.as_nanos());
        drop(TcpStream::connect(to)?);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One attempt, made in a certain way, then a byte sent and the end awaited. Prints
/// the errno that came of it, 0 for none, or "absent" where the kernel does not have
/// the way.
fn attempt(way: &str, ip: &str, port: &str) -> std::io::Result<()> {
    let to = SockAddr::from(resolve(ip, port)?);
    let protocol = if way == "mptcp" {
        Protocol::MPTCP
    } else {
        Protocol::TCP
    };
    let domain = Domain::from(i32::from(to.family()));
    let socket = match Socket::new(domain, Type::STREAM, Some(protocol)) {
        Err(e) if e.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            println!("{way} {ip} {port} absent");
            return Ok(());
        }
        socket => socket?,
    };
    // kept open until the end: its port is the one that is taken
    let _first = match way {
        "taken" => Some(take_port(&socket, domain, &to)?),
        _ => None,
    };
    let connected = match way {
        "blocking" | "mptcp" | "taken" => socket.connect(&to),
        "thread" => std::thread::scope(|scope| {
            let dialler = std::thread::Builder::new().name("dialler".into());
            let thread = dialler.spawn_scoped(scope, || socket.connect(&to))?;
            thread.join().unwrap_or_else(|_| exit(3))
        }),
        "nonblocking" => nonblocking(&socket, &to),
        "cancelled" => {
            socket.set_nonblocking(true)?;
            socket.connect(&to)
        }
        "fastopen" => socket
            .send_to_with_flags(b"x", &to, libc::MSG_FASTOPEN)
            .map(drop),
        "uring" => uring(&socket, &to),
        _ => return Err(std::io::Error::other(format!("{way} is no way to dial"))),
    };
    let end = connected.and_then(|()| {
        (&socket).write_all(b"x")?;
        (&socket).read_to_end(&mut Vec::new()).map(drop)
    });
    let errno = end.map_or_else(|e| e.raw_os_error().unwrap_or(-1), |()| 0);
    println!("{way} {ip} {port} {errno}");
    Ok(())
}

/// Waits for the outcome as event loops do.
fn nonblocking(socket: &Socket, to: &SockAddr) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(to) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => return other,
    }
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    if unsafe { libc::poll(&mut poll, 1, 30_000) } != 1 {
        return Err(std::io::Error::other("no outcome within 30 s"));
    }
    // Linux before 6.10 wakes who polls before it closes a socket that timed out
    // (tcp_write_err), and to read the error clears it: docs/limitations.md.
    std::thread::sleep(Duration::from_millis(100));
    socket.set_nonblocking(false)?;
    socket.take_error()?.map_or(Ok(()), Err)
}

fn uring(socket: &Socket, to: &SockAddr) -> std::io::Result<()> {
    let mut ring = IoUring::new(1)?;
    let fd = types::Fd(socket.as_raw_fd());
    let entry = opcode::Connect::new(fd, to.as_ptr().cast(), to.len()).build();
    // SAFETY: socket and address outlive the operation, which is awaited here.
    unsafe { ring.submission().push(&entry) }.map_err(std::io::Error::other)?;
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().map_or(-1, |done| done.result());
    if result < 0 {
        return Err(std::io::Error::from_raw_os_error(-result));
    }
    Ok(())
}

/// A connection to the same place, whose own port `socket` then wants too.
fn take_port(socket: &Socket, domain: Domain, to: &SockAddr) -> std::io::Result<Socket> {
    let first = Socket::new(domain, Type::STREAM, None)?;
    first.set_reuse_address(true)?;
    first.connect(to)?;
    socket.set_reuse_address(true)?;
    socket.bind(&first.local_addr()?)?;
    Ok(first)
}
