//! The other end of tests/tools/send, over TCP and UDP on one port of the far side.

use std::io::{Read, Write, copy, sink};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Net, agreed, run};

/// How it answers. Over TCP once all has arrived, with `agreed::back` bytes.
#[derive(Clone, Copy)]
pub enum Answers {
    Plain,
    /// All answers to a datagram in one packet of segmentation offload.
    Together,
    /// Kernel TLS.
    Encrypted {
        tls13: bool,
    },
    /// TCP: this many bytes, without waiting for input.
    Meanwhile(usize),
}

/// Bytes received so far.
#[derive(Clone, Default)]
pub struct Got {
    tcp: Arc<AtomicUsize>,
    udp: Arc<AtomicUsize>,
}

impl Got {
    pub fn tcp(&self) -> usize {
        self.tcp.load(Ordering::Relaxed)
    }

    pub fn udp(&self) -> usize {
        self.udp.load(Ordering::Relaxed)
    }
}

pub struct Peer {
    pub port: u16,
    pub got: Got,
}

impl Peer {
    pub fn start(net: &Net, answers: Answers) -> Peer {
        let (listener, socket) = net.far(|| {
            let listener = TcpListener::bind("[::]:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            (listener, UdpSocket::bind(("::", port)).unwrap())
        });
        let port = listener.local_addr().unwrap().port();
        let got = Got::default();
        let counts = got.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = counts.clone();
                thread::spawn(move || serve(stream, answers, &counts.tcp));
            }
        });
        // room for a burst, beyond the machine's limit
        agreed::option(
            &socket,
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            &(64_i32 << 20),
        )
        .unwrap();
        let counts = got.clone();
        thread::spawn(move || datagrams(&socket, answers, &counts.udp));
        Peer { port, got }
    }
}

fn serve(stream: TcpStream, answers: Answers, count: &AtomicUsize) {
    if let Answers::Encrypted { tls13 } = answers {
        // where the kernel has no TLS, the client says so
        let _ = agreed::encrypt(&stream, tls13);
    }
    if let Answers::Meanwhile(bytes) = answers {
        let out = stream.try_clone().unwrap();
        thread::spawn(move || {
            give(&out, bytes);
            let _ = out.shutdown(Shutdown::Write);
        });
        let _ = copy(&mut &stream, &mut sink());
        return;
    }
    let mut total = 0;
    let mut data = vec![0; 65_536];
    while let Ok(n @ 1..) = (&stream).read(&mut data) {
        total += n;
        count.fetch_add(n, Ordering::Relaxed);
    }
    give(&stream, agreed::back(total));
}

fn give(mut stream: &TcpStream, bytes: usize) {
    let data = vec![b'y'; 65_536];
    let mut left = bytes;
    while left > 0 && stream.write_all(&data[..left.min(data.len())]).is_ok() {
        left -= left.min(data.len());
    }
}

fn datagrams(socket: &UdpSocket, answers: Answers, count: &AtomicUsize) {
    let mut data = vec![0; 65_536];
    while let Ok((len, from)) = socket.recv_from(&mut data) {
        count.fetch_add(len, Ordering::Relaxed);
        let each = agreed::answer(len);
        let (times, segment) = match answers {
            Answers::Together if each > 0 => (1, each),
            _ => (agreed::ANSWERS, 0),
        };
        let whole = vec![b'y'; each * agreed::ANSWERS / times];
        let set = agreed::option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, &(segment as i32));
        set.unwrap();
        for _ in 0..times {
            let _ = socket.send_to(&whole, from);
        }
    }
}

/// A second source of truth: the far side's firewall counts the packets of a port.
pub struct Firewall<'a> {
    net: &'a Net,
}

/// A counter for each protocol, family and direction.
const COUNTED: [(&str, &str, &str); 8] = [
    ("udp", "ipv4", "dport"),
    ("udp", "ipv4", "sport"),
    ("udp", "ipv6", "dport"),
    ("udp", "ipv6", "sport"),
    ("tcp", "ipv4", "dport"),
    ("tcp", "ipv4", "sport"),
    ("tcp", "ipv6", "dport"),
    ("tcp", "ipv6", "sport"),
];

impl Firewall<'_> {
    pub fn count(net: &Net, port: u16) -> Firewall<'_> {
        let mut rules = String::from("table inet egt {\n");
        for (protocol, family, end) in COUNTED {
            rules += &format!("counter {protocol}-{family}-{end} {{}}\n");
        }
        for (hook, wanted) in [("input", "dport"), ("output", "sport")] {
            rules += &format!("chain {hook} {{ type filter hook {hook} priority 0;\n");
            for (protocol, family, end) in COUNTED.iter().filter(|(.., end)| *end == wanted) {
                rules += &format!(
                    "meta nfproto {family} {protocol} {end} {port} counter name {protocol}-{family}-{end}\n"
                );
            }
            rules += "}\n";
        }
        rules += "}\n";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        std::fs::write(&file, rules).unwrap();
        let file = file.to_str().unwrap();
        run("ip", &["netns", "exec", &net.far, "nft", "-f", file]);
        Firewall { net }
    }

    /// Packets, and their bytes from the IP header on. A packet of segmentation offload counts
    /// once, with one header.
    pub fn counted(&self, protocol: &str, family: &str, end: &str) -> (usize, usize) {
        let name = format!("{protocol}-{family}-{end}");
        let list = ["nft", "list", "counter", "inet", "egt", &name];
        let said = run(
            "ip",
            &[&["netns", "exec", self.net.far.as_str()], &list[..]].concat(),
        );
        let words: Vec<&str> = said.split_whitespace().collect();
        let after = |key| {
            let at = words.iter().position(|word| *word == key).unwrap();
            words[at + 1].parse().unwrap()
        };
        (after("packets"), after("bytes"))
    }
}
