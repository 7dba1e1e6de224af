//! What must hold for any input: for the fuzz targets, and for tests/corpus.rs, which replays
//! the corpus.
#![allow(dead_code)] // each target uses one of them

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;

use aes_gcm::aead::Aead;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use egrets::attribute::dns::{Streams, addresses, host_of, parse};
use egrets::attribute::payload::Beginnings;
use egrets::attribute::{Attributor, Settings};
use egrets::capture::event::{
    Connect, Dns, Event, EventKind, MountNamespace, Owner, Payload, PayloadKind, Segment,
};
use egrets::file_reader::hosts::{condense, parse as parse_hosts};
use egrets::model::{self, Connection, Endpoint, Protocol, Record, WireNames};
use egrets::policy::{
    Destination, List, MAX_RULES, Policy, Position, Said, Subject, import_config,
};
use egrets::print::{CompactOptions, LineFormat, Printer};

/// Most characters in the names and data of one message.
const MAX_TEXT: usize = 1 << 20;

/// A message and everything made of it: lookups, their lines, the names of connections to its
/// addresses.
pub fn dns(bytes: &[u8]) {
    if bytes.len() < 12 {
        assert!(parse(bytes).is_err(), "shorter than a header");
        return;
    }
    // The message as a query and as an answer. Where a compression pointer leads to the QR bit,
    // their names differ.
    let [query, answer] = [false, true].map(|response| {
        let mut message = bytes.to_vec();
        message[2] = message[2] & 0x7f | u8::from(response) << 7; // QR
        message
    });
    let Ok(message) = parse(&answer) else {
        return;
    };
    let mut text = 0;
    for record in &message.answers {
        assert!(record.name.bytes().all(|b| b.is_ascii_graphic()));
        assert!(
            record
                .data
                .bytes()
                .all(|b| b.is_ascii_graphic() || b == b' ')
        );
        text += record.name.len() + record.data.len();
    }
    assert!(
        text <= MAX_TEXT,
        "{text} characters from {} bytes",
        bytes.len()
    );
    let queried = parse(&query).map(|query| query.questions);
    if let [question] = &message.questions[..]
        && queried.as_ref() == Ok(&message.questions)
    {
        let given = addresses(question, &message.answers);
        let named = message.rcode == "NOERROR" && message.opcode_is_query;
        let named = named.then(|| host_of(question));
        SCENARIO.with_borrow_mut(|run| {
            run.exchange(query, answer);
            for ip in given {
                let connection = run.connection(Endpoint { ip, port: 443 });
                let host = connection.name.as_ref().map(|name| &*name.host);
                // Earlier ones may have named it, too: the process is always the same.
                assert!(named.is_none() || host == named, "{host:?}, not {named:?}");
            }
        });
    }
}

thread_local! {
    static SCENARIO: RefCell<Scenario> = RefCell::new(Scenario::new());
}

/// Everything between the kernel side and the output.
struct Scenario {
    attributor: Attributor,
    printers: [Printer; 3],
    ns: u64,
}

const SERVER: Endpoint = Endpoint {
    ip: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53)),
    port: 53,
};

impl Scenario {
    fn new() -> Scenario {
        let attributor = Attributor::new(Settings {
            max_names: 1000,
            exclude: Vec::new(),
            only_tracked: false,
            procfs: false,
            no_args: false,
            dns_ports: vec![53],
            cgroup_root: "/nonexistent".into(),
            reports_cgroups: false,
            geo: Default::default(),
            files: None,
        });
        let printer = |format| Printer::new(format, Box::new(io::sink()), 0, model::Run::new(0));
        Scenario {
            attributor,
            printers: [
                printer(LineFormat::Compact(CompactOptions {
                    columns: 80,
                    color: true,
                    dns_ports: Vec::new(),
                })),
                printer(LineFormat::Classic),
                printer(LineFormat::Json),
            ],
            ns: 1,
        }
    }

    /// Prints an event's records; returns the connection that it opened.
    fn handle(&mut self, kind: EventKind) -> Option<Connection> {
        self.ns += 1;
        let mut records = Vec::new();
        let mut begun = None;
        let event = Event { ns: self.ns, kind };
        self.attributor.handle(event, &mut records);
        let printer = &mut self.printers[self.ns as usize / 2 % 3];
        for record in records {
            if let Record::Opened(connection) = &record {
                begun = Some(connection.clone());
            }
            printer.add(&record);
        }
        printer.finish().expect("io::sink takes everything");
        begun
    }

    /// A query from a new socket, and its answer.
    fn exchange(&mut self, query: Vec<u8>, answer: Vec<u8>) {
        let cookie = self.ns;
        for (ingress, payload) in [(false, query), (true, answer)] {
            self.handle(EventKind::Dns(Dns {
                owner: owner(),
                cookie,
                server: SERVER,
                ingress,
                segment: None,
                payload,
                message_size: None,
                denied: false,
            }));
        }
    }

    fn connection(&mut self, dst: Endpoint) -> Connection {
        let connect = Connect {
            owner: owner(),
            cookie: self.ns,
            protocol: Protocol::Tcp,
            src: None,
            dst,
            raw: false,
            shared_pid: None,
            inbound: false,
            denied: false,
            first_hop: None,
            route: 0,
        };
        self.handle(EventKind::Connect(connect))
            .expect("an opened connection")
    }
}

fn owner() -> Owner {
    Owner {
        pid: 10,
        tid: 10,
        uid: 1000,
        euid: 0,
        login_uid: None,
        start_ns: 1,
        exec_id: 1,
        cgroup_id: 1,
        netns: 2,
        netns_cookie: 3,
        mntns: MountNamespace::default(),
        foreign: false,
        comm: "client".into(),
    }
}

/// A stream in overlapping segments in any order: the messages read are a beginning of those
/// sent. The bytes of the stream are also the offsets and lengths of its segments.
pub fn stream(bytes: &[u8]) {
    let (start, cookie) = (u32::MAX - 300, 1); // so that the numbers wrap
    let mut streams = Streams::default();
    let mut seen = Vec::new();
    let mut segment = |from: usize, to: usize| {
        let part = &bytes[from..to];
        let at = Segment {
            seq: start.wrapping_add(from as u32),
            ack: 7,
            len: part.len() as u32,
        };
        seen.extend(streams.segment(0, cookie, false, at, part));
    };
    segment(0, bytes.len().min(1)); // fixes the start
    for pair in bytes.chunks_exact(2).take(1000) {
        let from = usize::from(pair[0]) * bytes.len() / 256;
        segment(from, (from + usize::from(pair[1])).min(bytes.len()));
    }
    let mut sent = bytes;
    for message in seen {
        let (length, rest) = sent
            .split_first_chunk()
            .expect("no more messages than were sent");
        let (expected, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        assert_eq!(message, expected);
        sent = rest;
    }
    // Segments that make no sense.
    for words in bytes.chunks_exact(6).take(1000) {
        let [a, b, c, d, len, way] = *words else {
            unreachable!()
        };
        let at = Segment {
            seq: u32::from_be_bytes([a, b, c, d]),
            ack: u32::from_be_bytes([d, c, b, a]),
            len: u32::from(len),
        };
        let part = &bytes[..usize::from(len).min(bytes.len())];
        streams.segment(0, u64::from(way % 3), way & 4 == 0, at, part);
    }
}

/// What a client sends first over TLS: its first byte chooses how it is cut.
pub fn tls(bytes: &[u8]) {
    beginning(PayloadKind::Tls, bytes);
}

/// The same over HTTP/1.
pub fn http(bytes: &[u8]) {
    beginning(PayloadKind::Http, bytes);
}

/// The same over HTTP/2, behind the preface.
pub fn http2(bytes: &[u8]) {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    beginning(PayloadKind::Http2, &[preface, bytes].concat());
}

/// The same to a SOCKS proxy.
pub fn socks(bytes: &[u8]) {
    beginning(PayloadKind::Socks, bytes);
}

fn piece(kind: PayloadKind, offset: usize, bytes: &[u8]) -> Payload {
    Payload {
        cookie: 1,
        peer: Endpoint {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 443,
        },
        kind,
        start: 0,
        offset: offset as u32,
        bytes: bytes.to_vec(),
        message_size: None,
    }
}

/// Names are printable ASCII, however hostile.
fn is_printable(names: Option<&WireNames>) {
    for name in names.iter().flat_map(|names| {
        let proxied = names.proxied.as_ref().map(|(name, _)| name);
        names.sni.iter().chain(&names.http_host).chain(proxied)
    }) {
        assert!(name.text.bytes().all(|b| b.is_ascii_graphic()));
        assert!(name.text.len() <= 4 * 255);
    }
}

/// The beginning of a connection, whole and in pieces that the bytes themselves choose: both say
/// the same names.
fn beginning(kind: PayloadKind, bytes: &[u8]) {
    let whole = &bytes[..bytes.len().min(4096)];
    let names = Beginnings::default().piece(0, &piece(kind, 0, whole));
    is_printable(names.as_ref());
    let cut = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0)) * whole.len() / 256;
    let mut cuts = [0, cut(3), cut(4), cut(10), whole.len()];
    cuts.sort_unstable();
    let mut spans: Vec<(usize, usize)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
    // of the others, an early part may say enough, or say that it is nothing
    let is_any_order = kind == PayloadKind::Tls;
    if is_any_order {
        spans.rotate_left(usize::from(bytes.first().copied().unwrap_or(0)) % 4);
    }
    let mut beginnings = Beginnings::default();
    let mut found = None;
    for (from, to) in spans {
        found = found.or(beginnings.piece(0, &piece(kind, from, &whole[from..to])));
    }
    is_printable(found.as_ref());
    if matches!(kind, PayloadKind::Tls | PayloadKind::Socks) {
        assert_eq!(found, names);
    }
}

/// Datagrams of DTLS: the first byte says how long each is.
pub fn dtls(bytes: &[u8]) {
    datagrams(PayloadKind::Dtls, bytes);
}

/// Datagrams of QUIC, as they are; and frames in a packet that is sealed with the true keys, since
/// nothing else gets behind them.
pub fn quic(bytes: &[u8]) {
    datagrams(PayloadKind::Quic, bytes);
    let (first, frames) = bytes.split_at(bytes.len().min(1));
    let mut beginnings = Beginnings::default();
    // in two packets, of which each has some
    let cut = usize::from(first.first().copied().unwrap_or(0)) * frames.len() / 256;
    for (number, part) in [&frames[..cut], &frames[cut..]].into_iter().enumerate() {
        let packet = sealed(number as u8, &part[..part.len().min(1200)]);
        let found = beginnings.piece(0, &piece(PayloadKind::Quic, 0, &packet));
        is_printable(found.as_ref());
    }
}

fn datagrams(kind: PayloadKind, bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let mut beginnings = Beginnings::default();
    let mut found = None;
    for datagram in rest.chunks(usize::from(*first) * 8 + 1) {
        found = found.or(beginnings.piece(0, &piece(kind, 0, datagram)));
    }
    is_printable(found.as_ref());
    // as one call sends them
    let several = Payload {
        message_size: NonZeroUsize::new(usize::from(*first) * 8 + 1),
        ..piece(kind, 0, rest)
    };
    is_printable(Beginnings::default().piece(0, &several).as_ref());
}

/// An Initial packet of QUIC version 1 (RFC 9001) to the connection with the identifier of that
/// standard's examples, whose keys they give.
fn sealed(number: u8, frames: &[u8]) -> Vec<u8> {
    const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    const KEY: [u8; 16] = 0x1f369613dd76d5467730efcbe3b1a22d_u128.to_be_bytes();
    const IV: [u8; 12] = [
        0xfa, 0x04, 0x4b, 0x2f, 0x42, 0xa3, 0xfd, 0x3b, 0x46, 0xfb, 0x25, 0x5c,
    ];
    const HEADER_KEY: [u8; 16] = 0x9f50449e04a0e810283a1e9933adedd2_u128.to_be_bytes();
    // padded, so that there is enough to sample
    let frames = [frames, &[0; 4]].concat();
    let length = (1 + frames.len() + 16) as u16 | 0x4000;
    let mut packet = vec![0xc0, 0, 0, 0, 1, ID.len() as u8];
    packet.extend(ID);
    packet.extend([0, 0]); // no identifier of its own, no token
    packet.extend(length.to_be_bytes());
    let at = packet.len();
    packet.push(number);
    let mut nonce = IV;
    nonce[11] ^= number;
    let message = aes_gcm::aead::Payload {
        msg: &frames,
        aad: &packet,
    };
    let cipher = Aes128Gcm::new(&KEY.into());
    packet.extend(cipher.encrypt(&nonce.into(), message).expect("it is short"));
    let mut mask = aes_gcm::aes::Block::clone_from_slice(&packet[at + 4..at + 20]);
    Aes128::new(&HEADER_KEY.into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    packet[at] ^= mask[1];
    packet
}

/// A ClientHello gets through the seal: else nothing that is sealed is read.
#[test]
fn sealed_packets_are_read() {
    let hello = b"\x01\0\0\x3a\x03\x03\
        01234567890123456789012345678901\0\0\x02\x13\x01\x01\0\0\x0f\0\0\0\x0b\0\x09\0\0\x06a.test";
    let frames = [b"\x06\0\x3e", &hello[..]].concat();
    let packet = piece(PayloadKind::Quic, 0, &sealed(1, &frames));
    let names = Beginnings::default().piece(0, &packet).expect("names");
    assert_eq!(&*names.sni.expect("a name").text, "a.test");
}

/// /etc/hosts, which its process can write.
pub fn hosts(bytes: &[u8]) {
    let condensed = condense(bytes).unwrap_or_default();
    let table = parse_hosts(&String::from_utf8_lossy(&condensed));
    let names = || table.values().flatten();
    assert!(names().count() <= 4096);
    assert!(
        names().all(|n| !n.is_empty() && n.len() <= 255 && n.bytes().all(|b| b.is_ascii_graphic()))
    );
}

/// A policy file and what is made of it; the same bytes as the original's configuration and as a
/// list.
pub fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Policy::parse(&text) {
        Ok(policy) => decide(&policy),
        Err(problems) => {
            assert!((1..=100).contains(&problems.iter().count()));
            let lines = text.split(['\n', '\r']).count() as u32;
            for problem in problems.iter() {
                assert!((1..=lines + 1).contains(&problem.at.line), "{problem}");
            }
        }
    }
    if let Ok(imported) = import_config(&text) {
        assert!(Policy::parse(&imported.text).is_ok(), "{}", imported.text);
    }
    let mut list = List::new("list".into(), Position::default());
    if list.add("list", &mut &bytes[..]).is_ok() {
        list.finish();
        assert!(list.len() <= bytes.len());
        assert!(
            list.names()
                .all(|(name, _)| list.has_name(name) || list.has_name(&format!("x.{name}")))
        );
        assert!(
            list.networks()
                .iter()
                .all(|net| list.has_address(net.addr()))
        );
    }
}

fn decide(policy: &Policy) {
    assert!(policy.rules.len() <= MAX_RULES);
    policy.warnings(0, |_| true);
    let to = Destination {
        ip: Some([192, 0, 2, 1].into()),
        port: Some(443),
        protocol: Protocol::Tcp,
        names: Vec::new(),
        said: Said::NotYet,
    };
    let explanation = policy.explain(&Subject::default(), &to, 0);
    let decision = policy.decide(&Subject::default(), &to, 0);
    assert_eq!(explanation.decision, decision);
    let looked_at = decision.rule.unwrap_or(explanation.before.len());
    assert_eq!(explanation.before.len(), looked_at);
}
