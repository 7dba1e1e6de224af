//! What is open, what has ended since, and what all of it has transferred: connections are summed
//! by program and peer, so that what has ended takes no memory of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Connections that have ended and are still listed.
const MAX_ENDED: usize = 1000;
/// Sums that are kept apart; beyond them, those that have been idle for longest are merged.
const MAX_FLOWS: usize = 20_000;
const MAX_PROGRAMS: usize = 5_000;
/// Process ids and addresses that are kept of a program or a peer.
const MAX_KEPT: usize = 64;
/// Totals that are kept for the sparkline.
const MAX_HISTORY: usize = 512;

/// Bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    pub sent: f64,
    pub received: f64,
}

impl Rate {
    pub fn both(self) -> f64 {
        self.sent + self.received
    }

    pub fn plus(self, other: Rate) -> Rate {
        Rate {
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }
}

/// Payload in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes {
    pub sent: i64,
    pub received: i64,
}

impl Bytes {
    fn add(&mut self, other: Bytes) {
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
    }

    fn subtract(&mut self, other: Bytes) {
        self.sent = self.sent.saturating_sub(other.sent);
        self.received = self.received.saturating_sub(other.received);
    }

    /// The rate by which this came from `earlier`. What is counted no longer is no traffic.
    fn rate_since(self, earlier: Bytes, seconds: f64) -> Rate {
        let per_second = |now: i64, then: i64| now.saturating_sub(then).max(0) as f64 / seconds;
        Rate {
            sent: per_second(self.sent, earlier.sent),
            received: per_second(self.received, earlier.received),
        }
    }
}

/// A program of a user, in a container or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Program {
    pub comm: String,
    pub exe: Option<String>,
    /// Name, or id of one without.
    pub user: String,
    pub container: Option<Container>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Container {
    pub id: String,
    pub name: Option<String>,
    pub image: Option<String>,
}

/// The other end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    pub host: Option<String>,
    /// Of a peer without a name. None for both: several, merged.
    pub ip: Option<String>,
    pub port: Option<u16>,
    pub protocol: String,
    /// It sent first.
    pub inbound: bool,
}

impl Peer {
    /// Whether it is a DNS server, as far as its port shows.
    pub fn is_resolver(&self) -> bool {
        matches!(self.port, Some(53 | 853 | 5353 | 5355))
    }
}

/// A connection as it was read.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub id: i64,
    pub ts: i64,
    pub pid: u32,
    pub program: u32,
    pub peer: Peer,
    pub ip: Option<String>,
    pub state: State,
    /// Whether it passes the filter.
    pub matches: bool,
}

/// What a connection can have come to.
pub const OUTCOMES: [&str; 9] = [
    "connected",
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "denied",
    "in_progress",
    "failed",
    "sent",
];

/// What changes of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// One of [`OUTCOMES`].
    pub outcome: &'static str,
    pub sent: Option<i64>,
    pub received: Option<i64>,
    pub duration_us: Option<i64>,
}

impl State {
    fn bytes(&self) -> Bytes {
        Bytes {
            sent: self.sent.unwrap_or(0),
            received: self.received.unwrap_or(0),
        }
    }

    pub fn is_open(&self) -> bool {
        let may_transfer = matches!(self.outcome, "connected" | "in_progress" | "sent");
        self.duration_us.is_none() && may_transfer
    }

    pub fn has_failed(&self) -> bool {
        !matches!(self.outcome, "connected" | "in_progress" | "sent")
    }
}

#[derive(Debug, Clone)]
pub struct Connection {
    pub id: i64,
    pub ts: i64,
    pub pid: u32,
    /// None: it does not pass the filter.
    pub flow: Option<u32>,
    pub ip: Option<Arc<str>>,
    pub state: State,
    pub rate: Option<Rate>,
    /// At the last sample.
    sampled: Option<Bytes>,
}

/// What a program and a peer have in common.
#[derive(Debug, Clone)]
pub struct Flow {
    pub program: u32,
    pub peer: Arc<Peer>,
    pub addresses: BTreeSet<Arc<str>>,
    pub pids: BTreeSet<u32>,
    /// There are more than those of `pids`.
    pub more_pids: bool,
    pub bytes: Bytes,
    pub rate: Option<Rate>,
    pub connections: i64,
    pub open: i64,
    pub failed: i64,
    /// Whether the history had this peer before. None: not looked up.
    pub new: Option<bool>,
    sampled: Option<Bytes>,
    /// Number of the sample before which it last changed.
    changed: u64,
}

/// A program, and what was looked up about it.
#[derive(Debug, Clone)]
pub struct ProgramEntry {
    pub program: Arc<Program>,
    /// A row of the view `egress` that one of its processes made.
    pub example: i64,
    /// As that of a flow.
    pub new: Option<bool>,
    /// Whether its container is.
    pub new_container: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Traffic {
    pub flows: HashMap<u32, Flow>,
    flow_ids: HashMap<(u32, Arc<Peer>), u32>,
    pub programs: HashMap<u32, ProgramEntry>,
    program_ids: HashMap<Arc<Program>, u32>,
    last_id: u32,
    /// By id.
    pub open: BTreeMap<i64, Connection>,
    pub ended: BTreeMap<i64, Connection>,
    /// The total of each sample.
    pub history: VecDeque<Rate>,
    samples: u64,
    sampled_at: Option<i64>,
}

impl Traffic {
    /// Forgets all but the numbers of programs.
    pub fn clear(&mut self) {
        *self = Traffic {
            programs: std::mem::take(&mut self.programs),
            program_ids: std::mem::take(&mut self.program_ids),
            last_id: self.last_id,
            ..Traffic::default()
        };
    }

    /// Forgets programs, too: those of another file.
    pub fn forget_programs(&mut self) {
        self.clear();
        self.programs.clear();
        self.program_ids.clear();
    }

    /// The number of a program, which a row of `egress` shows.
    pub fn program(&mut self, program: Program, example: i64) -> u32 {
        let full = self.programs.len() >= MAX_PROGRAMS;
        let program = match self.program_ids.contains_key(&program) {
            false if full => Program::default(),
            _ => program,
        };
        let id = match self.program_ids.get(&program) {
            Some(id) => *id,
            None => {
                self.last_id += 1;
                let program = Arc::new(program);
                self.program_ids.insert(Arc::clone(&program), self.last_id);
                self.programs.insert(
                    self.last_id,
                    ProgramEntry {
                        program,
                        example,
                        new: None,
                        new_container: false,
                    },
                );
                self.last_id
            }
        };
        if let Some(entry) = self.programs.get_mut(&id) {
            entry.example = entry.example.max(example);
        }
        id
    }

    /// Takes in a row that may be known.
    pub fn put(&mut self, row: Row) {
        let known = self.open.remove(&row.id);
        if known.is_none() && self.ended.contains_key(&row.id) {
            return;
        }
        let sampled = known.as_ref().and_then(|c| c.sampled);
        let rate = known.as_ref().and_then(|c| c.rate);
        if let Some(known) = known {
            self.uncount(&known);
        }
        let ip = row.ip.map(Arc::from);
        let flow = row
            .matches
            .then(|| self.flow(row.program, row.peer, ip.clone()));
        let connection = Connection {
            id: row.id,
            ts: row.ts,
            pid: row.pid,
            flow,
            ip,
            state: row.state,
            rate,
            sampled,
        };
        self.count(&connection);
        self.keep(connection);
    }

    /// The open connection `id` has changed.
    pub fn update(&mut self, id: i64, state: State) {
        let Some(mut connection) = self.open.remove(&id) else {
            return;
        };
        if connection.state != state {
            self.uncount(&connection);
            connection.state = state;
            self.count(&connection);
        }
        self.keep(connection);
    }

    /// The open connection is no longer in the history.
    pub fn forget(&mut self, id: i64) {
        if let Some(connection) = self.open.remove(&id)
            && let Some(flow) = connection.flow.and_then(|id| self.flows.get_mut(&id))
        {
            flow.open -= 1;
        }
    }

    fn keep(&mut self, connection: Connection) {
        if connection.state.is_open() {
            self.open.insert(connection.id, connection);
        } else if connection.flow.is_some() {
            self.ended.insert(connection.id, connection);
            if self.ended.len() > MAX_ENDED {
                self.ended.pop_first();
            }
        }
    }

    fn flow(&mut self, program: u32, peer: Peer, ip: Option<Arc<str>>) -> u32 {
        let peer = Arc::new(peer);
        let key = (program, peer);
        let id = match self.flow_ids.get(&key) {
            Some(id) => *id,
            None => {
                self.last_id += 1;
                self.flow_ids.insert(key.clone(), self.last_id);
                let (program, peer) = key;
                // What comes after the first sample begins at nothing.
                let sampled = self.sampled_at.map(|_| Bytes::default());
                self.flows.insert(
                    self.last_id,
                    Flow {
                        program,
                        peer,
                        addresses: BTreeSet::new(),
                        pids: BTreeSet::new(),
                        more_pids: false,
                        bytes: Bytes::default(),
                        rate: None,
                        connections: 0,
                        open: 0,
                        failed: 0,
                        new: None,
                        sampled,
                        changed: self.samples,
                    },
                );
                self.last_id
            }
        };
        if let (Some(flow), Some(ip)) = (self.flows.get_mut(&id), ip)
            && flow.addresses.len() < MAX_KEPT
        {
            flow.addresses.insert(ip);
        }
        id
    }

    fn count(&mut self, connection: &Connection) {
        let samples = self.samples;
        if let Some(flow) = connection.flow.and_then(|id| self.flows.get_mut(&id)) {
            flow.bytes.add(connection.state.bytes());
            flow.connections += 1;
            flow.open += i64::from(connection.state.is_open());
            flow.failed += i64::from(connection.state.has_failed());
            flow.changed = samples;
            match flow.pids.len() < MAX_KEPT {
                true => drop(flow.pids.insert(connection.pid)),
                false => flow.more_pids |= !flow.pids.contains(&connection.pid),
            }
        }
    }

    fn uncount(&mut self, connection: &Connection) {
        if let Some(flow) = connection.flow.and_then(|id| self.flows.get_mut(&id)) {
            flow.bytes.subtract(connection.state.bytes());
            flow.connections -= 1;
            flow.open -= i64::from(connection.state.is_open());
            flow.failed -= i64::from(connection.state.has_failed());
        }
    }

    /// The bytes of everything were read at this time, nanoseconds since 1970: rates are what
    /// has come since the last time. There are none at first, and after the clock was set.
    pub fn sample(&mut self, at: i64) {
        let seconds = self
            .sampled_at
            .map(|before| at.saturating_sub(before) as f64 / 1e9)
            .filter(|seconds| *seconds > 0.0);
        let rate = |now: Bytes, then: Option<Bytes>| Some(now.rate_since(then?, seconds?));
        let mut total = Rate::default();
        for flow in self.flows.values_mut() {
            flow.rate = rate(flow.bytes, flow.sampled);
            flow.sampled = Some(flow.bytes);
            total = total.plus(flow.rate.unwrap_or_default());
        }
        let began_before = self.sampled_at;
        for connection in self.open.values_mut().chain(self.ended.values_mut()) {
            let bytes = connection.state.bytes();
            let new = began_before.is_some_and(|before| connection.ts >= before);
            let then = connection.sampled.or(new.then(Bytes::default));
            connection.rate = rate(bytes, then);
            connection.sampled = Some(bytes);
        }
        if seconds.is_some() {
            if self.history.len() == MAX_HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(total);
        }
        self.sampled_at = Some(at);
        self.samples += 1;
        if self.flows.len() > MAX_FLOWS {
            self.merge_idle();
        }
    }

    /// No rates until two more samples: what came meanwhile came in no known time.
    pub fn restart_rates(&mut self) {
        self.sampled_at = None;
        for flow in self.flows.values_mut() {
            (flow.rate, flow.sampled) = (None, None);
        }
        for connection in self.open.values_mut().chain(self.ended.values_mut()) {
            (connection.rate, connection.sampled) = (None, None);
        }
    }

    /// Merges the older half of what is idle into one flow per program, and programs that have
    /// nothing else into one.
    fn merge_idle(&mut self) {
        let in_list: BTreeSet<u32> = self.ended.values().filter_map(|c| c.flow).collect();
        let merged = Peer::default();
        let mut idle: Vec<(u64, u32)> = self
            .flows
            .iter()
            .filter(|(id, flow)| flow.open == 0 && *flow.peer != merged && !in_list.contains(id))
            .map(|(id, flow)| (flow.changed, *id))
            .collect();
        idle.sort_unstable();
        idle.truncate(idle.len().div_ceil(2));
        for (_, id) in idle {
            let Some(flow) = self.flows.remove(&id) else {
                continue;
            };
            self.flow_ids.remove(&(flow.program, flow.peer));
            let into = self.flow(flow.program, merged.clone(), None);
            if let Some(into) = self.flows.get_mut(&into) {
                into.bytes.add(flow.bytes);
                into.connections += flow.connections;
                into.failed += flow.failed;
                into.more_pids |= flow.more_pids || into.pids.len() + flow.pids.len() > MAX_KEPT;
                into.pids.extend(flow.pids);
                into.sampled = Some(into.bytes);
            }
        }
    }
}
