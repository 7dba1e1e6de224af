//! A small client for the tests: it does one thing on the network and exits, so
//! that a test knows exactly what happened. Built as an example.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::{Child, Command, exit};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["tcp", host, port] => tcp(host, port),
        ["get", host, port] => get(host, port),
        ["each", from, to, port] => each(number(from), number(to), port),
        ["child", host, port] => child(host, port),
        ["udp", ip, port, count, size] => udp(ip, port, number(count), number(size)),
        ["udp-silent", ip, port] => udp_silent(ip, port),
        ["loop", ip, port, count] => connects(ip, port, number(count)),
        ["drip", ip, port] => drip(ip, port),
        _ => {
            eprintln!(
                "usage: dial tcp|get|child HOST PORT | each FROM TO PORT | udp IP PORT COUNT SIZE | udp-silent IP PORT | loop IP PORT COUNT | drip IP PORT"
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

fn resolve(host: &str, port: &str) -> std::io::Result<SocketAddr> {
    (host, number(port) as u16)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("no address"))
}

/// Asks for a name and connects: microseconds lie between.
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

/// The parent resolves, its child dials.
fn child(host: &str, port: &str) -> std::io::Result<()> {
    let to = resolve(host, port)?;
    let status = Command::new(std::env::current_exe()?)
        .args(["tcp", &to.ip().to_string(), port])
        .status()?;
    exit(status.code().unwrap_or(1));
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
