//! What one core can make of each kind of event, and how the recorder bears it: what it takes for
//! each, how long events wait, how full the ring buffer gets, and what is lost.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::common::{Recorder, processor_time};
use crate::recorder::{Ring, Waits, losses, seconds};

/// Where lookups are answered: with 1 to 30 addresses each.
const RESOLVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18453);
const MOST_ADDRESSES: u64 = 30;
/// Names that are looked up in turn.
const NAMES: u64 = 10_000;

/// Counts what it does until it is to stop.
pub type Load = fn(&AtomicBool, &AtomicU64) -> Result<()>;

const LOADS: [(&str, Load); 3] = [
    ("connections", dial),
    ("UDP flows, a socket and a datagram each", send),
    ("lookups, a socket each, of 1 to 30 addresses", look_up),
];

/// Prints a line for each load, of a new history below this directory.
pub fn measure(dir: &Path) -> Result<()> {
    let seconds = seconds()?;
    println!("all that one core makes of each, {seconds} s, a new history each");
    for (number, (what, load)) in LOADS.into_iter().enumerate() {
        let db = dir.join(format!("load{number}.db"));
        let recorder = Recorder::start(&db, &["--dns-port", &RESOLVER.port().to_string()])?;
        let begun = Instant::now();
        let ((), done, waits) = under(load, &Ring::of(&recorder)?, |_| {
            std::thread::sleep(Duration::from_secs(seconds));
            Ok(())
        })?;
        let took = begun.elapsed().as_secs_f64();
        let done = done as f64;
        let recorders = processor_time(recorder.pid())?.as_secs_f64();
        recorder.stop()?;
        println!(
            "  {what}: {:.0} a second, the recorder {:.1} µs each; {waits}; lost: {}",
            done / took,
            recorders * 1e6 / done,
            losses(&db)?
        );
    }
    Ok(())
}

/// What `look` returns, which runs beside this load; how often that did its work, and how its events
/// waited in the recorder's ring buffer.
pub fn under<T>(
    load: Load,
    ring: &Ring,
    look: impl FnOnce(&AtomicU64) -> Result<T>,
) -> Result<(T, u64, Waits)> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&stop, &done));
        let waits = scope.spawn(|| ring.watch(&stop));
        let seen = look(&done);
        stop.store(true, Ordering::Relaxed);
        load.join().ok().context("the load")??;
        let waits = waits.join().ok().context("the ring's watcher")?;
        Ok((seen?, done.load(Ordering::Relaxed), waits))
    })
}

pub fn dial(stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    while !stop.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(to)?;
        // Reset, so that no port waits for the last packet.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        drop(listener.accept()?);
        drop(stream);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn send(stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let to = receiver.local_addr()?;
    let mut datagram = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        sender.send_to(&datagram.clone(), to)?;
        receiver.recv(&mut datagram)?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn look_up(stop: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let resolver = UdpSocket::bind(RESOLVER)?;
    let mut message = [0; 1024];
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let client = UdpSocket::bind("127.0.0.1:0")?;
        client.connect(RESOLVER)?;
        client.send(&query(number))?;
        let (len, from) = resolver.recv_from(&mut message)?;
        resolver.send_to(&answer(&message[..len], number), from)?;
        client.recv(&mut message)?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Of type A (RFC 1035, section 4.1).
fn query(number: u64) -> Vec<u8> {
    let label = format!("host{}", number % NAMES);
    let mut message = (number as u16).to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [&label, "example", "com"] {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn answer(query: &[u8], number: u64) -> Vec<u8> {
    let addresses = number % MOST_ADDRESSES + 1;
    let mut message = query.to_vec();
    message[2] = 0x81;
    message[3] = 0x80;
    message[7] = addresses as u8;
    for address in 0..addresses {
        let host = (number % NAMES) as u16;
        // its name is the question's: a pointer there
        message.extend([
            0xc0,
            12,
            0,
            1,
            0,
            1,
            0,
            0,
            1,
            44,
            0,
            4,
            198,
            18 + (address % 2) as u8,
        ]);
        message.extend(host.to_be_bytes());
    }
    message
}
