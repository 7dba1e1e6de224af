//! What must hold of any bytes: for the fuzz targets, and for tests/corpus.rs, which
//! plays what they have found again.
#![allow(dead_code)] // each target uses one

use std::cell::RefCell;
use std::io;

use egrets::attribute::dns::{addresses, host_of, parse};
use egrets::attribute::stream::Streams;
use egrets::attribute::{Attributor, Settings, hosts};
use egrets::capture::event::{Connect, Dns, Event, EventKind, MountNamespace, Owner, Segment};
use egrets::model::{self, Connection, Endpoint, Protocol, Record};
use egrets::print::{LineFormat, Printer};

/// Characters that the names and data of one message come to at most.
const MAX_TEXT: usize = 1 << 20;

/// A message, and all that is made of it: the lookup's rows and lines, the names of
/// the connections to its addresses.
pub fn dns(bytes: &[u8]) {
    if bytes.len() < 12 {
        assert!(parse(bytes).is_err(), "less than a header");
        return;
    }
    // The message as a query and as an answer. A pointer may lead to the bit that
    // makes the difference: then the names differ.
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
        "{text} characters of {} bytes",
        bytes.len()
    );
    let asked = parse(&query).map(|query| query.questions);
    if let [question] = &message.questions[..]
        && asked.as_ref() == Ok(&message.questions)
    {
        let given = addresses(question, &message.answers);
        let named = message.rcode == "NOERROR";
        let named = named.then(|| host_of(question));
        RUN.with_borrow_mut(|run| {
            run.exchange(query, answer);
            for ip in given {
                let connection = run.connection(Endpoint { ip, port: 443 });
                let host = connection.name.as_ref().map(|name| &*name.host);
                // Those before may have named it too: who asks is always the same.
                assert!(named.is_none() || host == named, "{host:?}, not {named:?}");
            }
        });
    }
}

thread_local! {
    static RUN: RefCell<Run> = RefCell::new(Run::new());
}

/// Everything between the kernel side and the sinks.
struct Run {
    attributor: Attributor,
    printers: [Printer; 2],
    ns: u64,
}

const SERVER: Endpoint = Endpoint {
    ip: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53)),
    port: 53,
};

impl Run {
    fn new() -> Run {
        let attributor = Attributor::new(Settings {
            max_names: 1000,
            exclude: Vec::new(),
            only_tracked: false,
            procfs: false,
            no_args: false,
            dns_ports: vec![53],
            cgroup_root: "/nonexistent".into(),
        });
        let printer = |format| Printer::new(format, Box::new(io::sink()), 0, model::Run::new(0));
        Run {
            attributor,
            printers: [printer(LineFormat::Text), printer(LineFormat::Json)],
            ns: 1,
        }
    }

    /// Prints what comes of an event; gives the connection that it began.
    fn handle(&mut self, kind: EventKind) -> Option<Connection> {
        self.ns += 1;
        let mut records = Vec::new();
        let mut begun = None;
        let event = Event { ns: self.ns, kind };
        self.attributor.handle(event, &mut records);
        let printer = &mut self.printers[self.ns as usize / 2 % 2];
        for record in records {
            if let Record::Opened(connection) = &record {
                begun = Some(connection.clone());
            }
            printer.add(&record);
        }
        printer.finish().expect("a sink takes all");
        begun
    }

    /// A query that leaves a new socket, and its answer.
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
                each: None,
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
        };
        self.handle(EventKind::Connect(connect))
            .expect("a connection has begun")
    }
}

fn owner() -> Owner {
    Owner {
        pid: 10,
        tid: 10,
        uid: 1000,
        login_uid: None,
        start_ns: 1,
        exec_id: 1,
        cgroup_id: 1,
        netns: 2,
        netns_cookie: 3,
        mntns: MountNamespace::default(),
        comm: "client".into(),
    }
}

/// A stream of messages in segments of any cut, order and overlap: what is read is a
/// beginning of what was sent. Its own bytes say, two by two, where they lie.
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
        seen.extend(streams.segment(cookie, false, at, part));
    };
    segment(0, bytes.len().min(1)); // where it begins has to be known
    for pair in bytes.chunks_exact(2).take(1000) {
        let from = usize::from(pair[0]) * bytes.len() / 256;
        segment(from, (from + usize::from(pair[1])).min(bytes.len()));
    }
    let mut sent = bytes;
    for message in seen {
        let (length, rest) = sent.split_first_chunk().expect("no more than was sent");
        let (expected, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        assert_eq!(message, expected);
        sent = rest;
    }
    // The same with no sense at all.
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
        streams.segment(u64::from(way % 3), way & 4 == 0, at, part);
    }
}

/// /etc/hosts, which is its process' to write.
pub fn hosts(bytes: &[u8]) {
    let table = hosts::parse(&String::from_utf8_lossy(bytes));
    let names = || table.values().flatten();
    assert!(names().count() <= 4096);
    assert!(
        names().all(|n| !n.is_empty() && n.len() <= 255 && n.bytes().all(|b| b.is_ascii_graphic()))
    );
}
