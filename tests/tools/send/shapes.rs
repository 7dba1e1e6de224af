//! Shapes of traffic: many connections, many sockets, a drip, both ways at once, and
//! what goes on until it is ended.

use std::io::{Read, Result, Write, sink};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use crate::agreed::{ANSWERS, answer, back, meanwhile};
use crate::calls::{Done, error, send_from};
use crate::udp;

/// Sends, and waits for what comes back.
fn exchange(to: SocketAddr, data: &[u8]) -> Done {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(data)?;
    stream.shutdown(Shutdown::Write)?;
    enough(std::io::copy(&mut stream, &mut sink())?, back(data.len()))
}

fn enough(got: u64, wanted: usize) -> Done {
    match got == wanted as u64 {
        true => Ok(()),
        false => Err(error(format!("{got} bytes came back"))),
    }
}

/// COUNT connections, one after the other: each carries a byte more than the last one,
/// so that no two have the same numbers.
pub fn many(to: SocketAddr, count: usize, size: usize) -> Done {
    let data = vec![b'x'; size + count];
    (0..count).try_for_each(|i| exchange(to, &data[..size + i]))
}

/// COUNT datagrams to a socket of its own at this address, each from another address of this host.
pub fn sources(at: SocketAddr, count: usize, size: usize) -> Done {
    let receiver = UdpSocket::bind(at)?;
    let to = receiver.local_addr()?.into();
    let sender = UdpSocket::bind("0.0.0.0:0")?;
    let data = vec![b'x'; size];
    (0..count as u32).try_for_each(|i| {
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + i);
        send_from(sender.as_raw_fd(), &data, &to, from).map(drop)
    })
}

/// COUNT connections and as many UDP sockets, all open at once, which send in turn. The
/// first of each kind carries SIZE bytes ten times, each other a byte more than that.
pub fn burst(to: SocketAddr, count: usize, size: usize) -> Done {
    const TURNS: usize = 10;
    let data = vec![b'x'; (size + 1) * TURNS + count];
    let mut streams = connected(count, || TcpStream::connect(to))?;
    let sockets: Vec<UdpSocket> = connected(count, || {
        let socket = udp::socket(to)?;
        socket.connect(to)?;
        Ok(socket)
    })?;
    for turn in 0..TURNS {
        // the last turn brings each to its own sum
        let more = |i: usize| if turn == TURNS - 1 { size + i } else { size };
        for (i, (stream, socket)) in streams.iter_mut().zip(&sockets).enumerate() {
            stream.write_all(&data[..more(i)])?;
            socket.send(&data[..more(i)])?;
        }
    }
    for (i, (stream, socket)) in streams.iter_mut().zip(&sockets).enumerate() {
        stream.shutdown(Shutdown::Write)?;
        let got = std::io::copy(stream, &mut sink())?;
        enough(got, back(size * TURNS + i))?;
        let mut room = vec![0; answer(size + count)];
        for _ in 0..TURNS * ANSWERS {
            socket.recv(&mut room)?;
        }
    }
    Ok(())
}

fn connected<T>(count: usize, make: impl Fn() -> Result<T>) -> Result<Vec<T>> {
    (0..count).map(|_| make()).collect()
}

/// Both ways at once: the peer sends `meanwhile` as much without waiting.
pub fn duplex(to: SocketAddr, count: usize, size: usize) -> Done {
    let stream = TcpStream::connect(to)?;
    let (mut out, mut back) = (stream.try_clone()?, stream);
    let writer = thread::spawn(move || -> Done {
        let data = vec![b'x'; size];
        (0..count).try_for_each(|_| out.write_all(&data))?;
        out.shutdown(Shutdown::Write)
    });
    let got = std::io::copy(&mut back, &mut sink())?;
    writer.join().map_err(|_| error("the writer broke"))??;
    enough(got, meanwhile(count * size))
}

/// SIZE bytes over TCP, and over UDP, twice a second, COUNT times.
pub fn drip(to: SocketAddr, count: usize, size: usize) -> Done {
    let data = vec![b'x'; size];
    let mut stream = TcpStream::connect(to)?;
    let socket = udp::socket(to)?;
    socket.connect(to)?;
    for _ in 0..count {
        stream.write_all(&data)?;
        socket.send(&data)?;
        for _ in 0..ANSWERS {
            socket.recv(&mut vec![0; answer(size)])?;
        }
        thread::sleep(Duration::from_millis(500));
    }
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    enough(rest.len() as u64, back(count * size))
}

/// Sends until it is killed.
pub fn until_killed(to: SocketAddr, size: usize) -> Done {
    let mut stream = TcpStream::connect(to)?;
    let data = vec![b'x'; size];
    loop {
        stream.write_all(&data)?;
    }
}
