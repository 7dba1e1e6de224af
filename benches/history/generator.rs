//! Generates the records of a busy host: services that each talk to a few hosts, some programs
//! that talk to many, hosts distributed by Zipf's law. Most connections end within a batch, some
//! are long, some refused.

use std::net::IpAddr;
use std::rc::Rc;

use egrets::model::{
    Connection, Container, Endpoint, Lookup, LookupStatus, Name, Outcome, Process, Protocol,
    Record, ResourceRecord, Source, Transport,
};

const PROCESSES: usize = 50;
const CONTAINERS: usize = 20;
const HOSTS: usize = 2_000;
/// How many of the processes talk to any host; the others talk to `OWN_HOSTS` of them.
const ANYWHERE: usize = 5;
const OWN_HOSTS: usize = 40;
/// Connections to example.com, per thousand.
const EXAMPLE_PER_MILLE: u64 = 10;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Connections per day: 10 million a month.
const PER_DAY: i64 = 333_333;
/// When a history ends: 2026-11-23T18:00:00Z.
const END: i64 = 1_795_456_800 * SECOND;

pub struct Generator {
    pub start: i64,
    ts: i64,
    step: i64,
    seed: u64,
    next_connection: u64,
    next_lookup: u64,
    processes: Vec<Rc<Process>>,
    hosts: Vec<(Rc<str>, Vec<IpAddr>)>,
    /// Cumulative weights of the hosts, for Zipf's law.
    weights: Vec<f64>,
    open: Vec<Connection>,
    /// Percentage of connections that stay open beyond their batch.
    pub long_percent: u64,
}

impl Generator {
    /// For a history of this many connections. It always ends at the same time.
    pub fn new(connections: usize) -> Generator {
        let step = DAY / PER_DAY;
        let mut total = 0.0;
        let weights = (1..=HOSTS)
            .map(|rank| {
                total += 1.0 / rank as f64;
                total
            })
            .collect();
        let start = END - connections as i64 * step;
        Generator {
            start,
            ts: start,
            step,
            seed: 42,
            next_connection: 1,
            next_lookup: 1,
            processes: processes(),
            hosts: (0..HOSTS).map(host).collect(),
            weights,
            open: Vec::new(),
            long_percent: 10,
        }
    }

    /// Begins a new recording: numbers start again, and nothing is open.
    pub fn begin_run(&mut self) {
        (self.next_connection, self.next_lookup) = (1, 1);
        self.open.clear();
    }

    pub fn now(&self) -> i64 {
        self.ts
    }

    /// The next connections, each preceded by its lookup if `lookups`, and the ends of those that
    /// were open. Also returns the time.
    pub fn batch(&mut self, connections: usize, lookups: bool) -> (Vec<Record>, i64) {
        let mut records = Vec::with_capacity(connections * 2);
        for mut c in std::mem::take(&mut self.open) {
            c.outcome = Outcome::Connected;
            self.transfer(&mut c);
            records.push(Record::Closed(c));
        }
        for _ in 0..connections {
            self.ts += self.step;
            let (process, host) = (self.process(), self.random());
            let (process, host) = self.pair(process, host);
            let lookup = lookups.then(|| {
                let lookup = self.lookup(process, host);
                let number = lookup.number;
                records.push(Record::Lookup(lookup));
                number
            });
            let mut c = self.connection(process, host, lookup);
            records.push(match self.random() % 100 {
                n if n < self.long_percent => {
                    c.outcome = Outcome::InProgress;
                    self.open.push(c.clone());
                    Record::Opened(c)
                }
                n if n < self.long_percent + 2 => {
                    c.outcome = Outcome::Refused;
                    c.errno = Some(libc::ECONNREFUSED);
                    c.duration_us = Some(310);
                    Record::Outcome(c)
                }
                _ => {
                    self.transfer(&mut c);
                    Record::Closed(c)
                }
            });
        }
        (records, self.ts)
    }

    /// xorshift64*: the same history each time.
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// Some processes make far more connections than others.
    fn process(&mut self) -> usize {
        let (a, b) = (self.random() as usize, self.random() as usize);
        (a % PROCESSES).min(b % PROCESSES)
    }

    /// Decides which process talks to which host.
    fn pair(&mut self, process: usize, random: u64) -> (usize, usize) {
        if random % 1000 < EXAMPLE_PER_MILLE {
            return (process, 0);
        }
        let at = (random >> 10) as f64 / (1_u64 << 38) as f64 * self.weights[HOSTS - 1];
        let host = self.weights.partition_point(|&sum| sum < at).min(HOSTS - 1);
        // Only example.com has a fixed share.
        let host = host.max(1);
        match process < ANYWHERE {
            true => (process, host),
            false => (process, 1 + (host % OWN_HOSTS + process * 37) % (HOSTS - 1)),
        }
    }

    fn connection(&mut self, process: usize, host: usize, lookup: Option<u64>) -> Connection {
        let number = self.next_connection;
        self.next_connection += 1;
        let (name, addresses) = &self.hosts[host];
        Connection {
            number,
            ts: self.ts,
            process: Rc::clone(&self.processes[process]),
            tid: self.processes[process].pid,
            protocol: Protocol::Tcp,
            src: Some(Endpoint {
                ip: [10, 0, 0, 1 + (process % CONTAINERS) as u8].into(),
                port: 32_768 + (number % 28_000) as u16,
            }),
            dst: Endpoint {
                ip: addresses[number as usize % addresses.len()],
                port: 443,
            },
            name: Some(Name {
                host: Rc::clone(name),
                source: Source::Process,
                age_ms: Some(3 + number % 90),
                lookup,
                rivals: 0,
                rival_names: Vec::new(),
            }),
            outcome: Outcome::Connected,
            errno: None,
            latency_us: None,
            tx_bytes: None,
            rx_bytes: None,
            tx_packets: None,
            rx_packets: None,
            already_open: false,
            inbound: false,
            first_hop: None,
            total_bytes: None,
            wire: None,
            geo: None,
            raw: false,
            shared_pid: None,
            duration_us: None,
            verdict: None,
        }
    }

    /// Sets the bytes and the duration of a connection.
    fn transfer(&mut self, c: &mut Connection) {
        let random = self.random();
        c.latency_us = Some(1_200 + (random % 5_000) as i64);
        c.tx_bytes = Some(700 + random % 5_000);
        c.rx_bytes = Some(5_000 + random % 50_000);
        c.duration_us = Some(20_000 + (random % 100_000) as i64);
    }

    fn lookup(&mut self, process: usize, host: usize) -> Lookup {
        let number = self.next_lookup;
        self.next_lookup += 1;
        let (name, addresses) = &self.hosts[host];
        Lookup {
            number,
            ts: self.ts - 3_000_000,
            process: Rc::clone(&self.processes[process]),
            server: Endpoint {
                ip: [10, 0, 0, 53].into(),
                port: 53,
            },
            transport: Transport::Udp,
            qname: Some(Rc::clone(name)),
            qtype: Some("A".to_owned()),
            rcode: Some("NOERROR".to_owned()),
            latency_us: Some(800 + number as i64 % 3_000),
            status: LookupStatus::Answered,
            answers: vec![ResourceRecord {
                name: Rc::clone(name),
                rtype: "A".into(),
                data: addresses[number as usize % addresses.len()].to_string(),
                ttl: 60,
            }],
            times: 1,
        }
    }
}

/// A host's name and addresses.
fn host(rank: usize) -> (Rc<str>, Vec<IpAddr>) {
    let name = match rank {
        0 => "example.com".to_owned(),
        _ => format!("host{rank}.zone{}.test", rank % 97),
    };
    let addresses = (0..1 + rank % 3)
        .map(|n| IpAddr::from([198, 18 + n as u8, (rank / 250) as u8, (rank % 250) as u8]))
        .collect();
    (name.into(), addresses)
}

fn processes() -> Vec<Rc<Process>> {
    let containers: Vec<Rc<Container>> = (0..CONTAINERS).map(container).collect();
    (0..PROCESSES)
        .map(|i| {
            // The two in the questions are neither the busiest nor the idlest.
            let comm = match i {
                3 => "curl".to_owned(),
                _ => format!("service{i}"),
            };
            Rc::new(Process {
                serial: i as u64,
                pid: 1_000 + i as u32,
                start_ns: i as u64,
                ppid: Some(1),
                parent_comm: Some("systemd".into()),
                exe: Some(format!("/usr/bin/{comm}")),
                exe_file: Default::default(),
                executable: None,
                cmdline: Some(format!("/usr/bin/{comm} --config /etc/{comm}.conf")),
                comm,
                uid: 1_000,
                account: 1_000,
                user: Some("svc".into()),
                cgroup: None,
                unit: None,
                container: (i % 5 < 2).then(|| Rc::clone(&containers[i * 2 / 5 % CONTAINERS])),
                netns: Some(4_026_531_840),
                euid: 0,
                euser: None,
                login_uid: None,
                login_user: None,
                parent: None,
                session: None,
            })
        })
        .collect()
}

fn container(i: usize) -> Rc<Container> {
    Rc::new(Container {
        serial: i as u64,
        id: format!("{i:064x}"),
        uid: 0,
        runtime: Some("docker"),
        outer: None,
    })
}
