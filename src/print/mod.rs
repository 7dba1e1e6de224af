//! The live log: records in, lines out, as text in the form of the first egrets
//! or as JSON. A line waits a moment for its container's details, and with it
//! all that follow: the order is that of what happened.

mod json;
mod text;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::model::{Process, Progress, Record};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// How long a line waits for what Docker says of its container.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct Printer {
    format: Format,
    out: Box<dyn Write>,
    /// Nanoseconds since 1970: text lines count their seconds from here.
    start_ts: i64,
    held: VecDeque<(Instant, Record)>,
}

impl Printer {
    pub fn new(format: Format, out: Box<dyn Write>, start_ts: i64) -> Printer {
        Printer {
            format,
            out,
            start_ts,
            held: VecDeque::new(),
        }
    }

    pub fn add(&mut self, record: Record) {
        self.held.push_back((Instant::now(), record));
    }

    /// Prints the lines that wait for nothing more.
    pub fn flush(&mut self) -> io::Result<()> {
        self.print(PATIENCE)
    }

    /// Prints all that are left.
    pub fn finish(&mut self) -> io::Result<()> {
        self.print(Duration::ZERO)
    }

    /// Whether a line waits: then the next flush should come soon.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    fn print(&mut self, patience: Duration) -> io::Result<()> {
        while let Some((since, record)) = self.held.front() {
            if is_pending(record) && since.elapsed() < patience {
                break;
            }
            match self.format {
                Format::Text => text::write(&mut self.out, record, self.start_ts)?,
                Format::Json => json::write(&mut self.out, record)?,
            }
            self.held.pop_front();
        }
        self.out.flush()
    }
}

fn is_pending(record: &Record) -> bool {
    process_of(record)
        .and_then(|p| p.container.as_ref())
        .is_some_and(|container| container.is_pending())
}

fn process_of(record: &Record) -> Option<&Process> {
    match record {
        Record::Query(l) | Record::Lookup(l) => Some(&l.process),
        Record::Opened(c)
        | Record::Outcome(c)
        | Record::Progress(Progress { connection: c, .. })
        | Record::Closed(c) => Some(&c.process),
        Record::Container(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use crate::model::*;
    use std::rc::Rc;

    fn process(comm: &str) -> Rc<Process> {
        Rc::new(Process {
            serial: 1,
            pid: 2074,
            start_ns: 1,
            ppid: Some(1),
            parent_comm: Some("bash".into()),
            comm: comm.into(),
            exe: Some("/usr/bin/curl".into()),
            cmdline: None,
            uid: 0,
            user: Some("root".into()),
            cgroup: None,
            unit: None,
            container: None,
            netns: None,
            start_ts: 0,
            login_uid: None,
            login_user: None,
            parent: None,
            session: None,
        })
    }

    pub fn connection(comm: &str) -> Connection {
        Connection {
            id: 1,
            ts: 0,
            process: process(comm),
            tid: 2074,
            protocol: Protocol::Tcp,
            src: None,
            dst: Endpoint {
                ip: [192, 0, 2, 1].into(),
                port: 443,
            },
            name: None,
            outcome: Outcome::InProgress,
            errno: None,
            latency_us: None,
            tx_bytes: None,
            rx_bytes: None,
            tx_packets: None,
            rx_packets: None,
            duration_us: None,
            already_open: false,
            raw: false,
            shared_pid: None,
        }
    }

    pub fn lookup(host: &str, ip: &str) -> Lookup {
        Lookup {
            id: 1,
            ts: 0,
            process: process("curl"),
            server: Endpoint {
                ip: [192, 0, 2, 53].into(),
                port: 53,
            },
            transport: Transport::Udp,
            qname: Some(host.into()),
            qtype: Some("A".into()),
            rcode: Some("NOERROR".into()),
            latency_us: Some(700),
            status: LookupStatus::Answered,
            answers: vec![ResourceRecord {
                name: host.into(),
                rtype: "A".into(),
                data: ip.into(),
                ttl: 60,
            }],
            times: 1,
        }
    }
}
