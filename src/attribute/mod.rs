//! From events to records: names, processes, containers. In come the kernel's
//! typed events in order; out go [`Record`]s for the sinks. It knows no BPF and
//! no SQL, and nothing in it fails: what cannot be found out is left unknown.

pub mod cgroups;
mod connections;
pub mod dns;
mod docker;
mod exclude;
mod lookups;
pub mod names;
mod processes;
mod resolvers;
mod users;

use std::path::PathBuf;
use std::rc::Rc;

use hashlink::LruCache;

use crate::capture::event::{DnsMessage, Event, FlowBytes, Owner, What};
use crate::record::{
    Answer, Container, Details, Endpoint, Lookup, Process, Record, Status, Transport,
};
use connections::Connections;
use docker::Docker;
use lookups::{Asked, Lookups};
use names::{Names, Party};
use processes::{Node, Place, Processes};
use resolvers::Resolvers;

pub use exclude::Exclude;

/// What is settled for a run.
pub struct Settings {
    /// Answers remembered at most, over all scopes.
    pub max_names: usize,
    /// What is neither stored nor printed. It still counts for naming.
    pub exclude: Vec<Exclude>,
    /// Only what [`Attributor::track`] names and its descendants.
    pub only_tracked: bool,
    /// The ids that the next connection and the next lookup get.
    pub next_connection: i64,
    pub next_lookup: i64,
    /// Whether /proc shows the kernel side's pids.
    pub procfs: bool,
    /// Directory of the topmost cgroup that is seen.
    pub cgroup_root: PathBuf,
}

/// Containers remembered: those with traffic last.
const MAX_CONTAINERS: usize = 4096;

pub struct Attributor {
    settings: Settings,
    /// Wall clock minus boot clock, in nanoseconds; taken anew for each batch.
    pub clock_offset_ns: i64,
    processes: Processes,
    cgroups: cgroups::Cgroups,
    containers: LruCache<String, Rc<Container>>,
    docker: Docker,
    names: Names,
    lookups: Lookups,
    connections: Connections,
    resolvers: Resolvers,
}

/// Somebody who asks or dials.
struct Who {
    node: Rc<Node>,
    process: Rc<Process>,
    party: Rc<Party>,
}

impl Attributor {
    /// Begins with the processes and cgroups that there are.
    pub fn new(settings: Settings) -> Attributor {
        let mut processes = Processes::new(settings.procfs);
        processes.seed();
        let mut cgroups = cgroups::Cgroups::default();
        cgroups.seed(&settings.cgroup_root);
        Attributor {
            names: Names::new(settings.max_names),
            connections: Connections::new(settings.next_connection),
            settings,
            clock_offset_ns: 0,
            processes,
            cgroups,
            containers: LruCache::new(MAX_CONTAINERS),
            docker: Docker::start(),
            lookups: Lookups::default(),
            resolvers: Resolvers::default(),
        }
    }

    /// Names the process that, with all it starts, is recorded where
    /// [`Settings::only_tracked`] is set. Its fork is still to be handled.
    pub fn track(&mut self, pid: u32) {
        self.processes.track(pid);
    }

    /// Whether a tracked process runs, or a connection of one is open.
    pub fn tracked_is_busy(&self) -> bool {
        self.processes.any_tracked() || self.connections.any_open()
    }

    pub fn handle(&mut self, event: Event, out: &mut Vec<Record>) {
        let ns = event.ns;
        let ts = self.wall(ns);
        match event.what {
            What::Fork {
                pid,
                start_ns,
                ppid,
                parent_start_ns,
            } => {
                self.processes.fork(pid, start_ns, ppid, parent_start_ns);
            }
            What::Exec(exec) => self.processes.exec(exec),
            What::Exit { pid, start_ns } => self.processes.exit(pid, start_ns),
            What::Connect(connect) => {
                let who = self.who(&connect.owner);
                let name = self.name(&who, connect.dst, ns);
                let begun = connections::Begun {
                    ns,
                    ts,
                    process: who.process,
                    name,
                };
                if self.wanted(&who.node, connect.dst, &begun.process) {
                    self.connections.attempt(&connect, begun, out);
                }
            }
            What::Flow(connect) => {
                let who = self.who(&connect.owner);
                let name = self.name(&who, connect.dst, ns);
                let begun = connections::Begun {
                    ns,
                    ts,
                    process: who.process,
                    name,
                };
                if self.wanted(&who.node, connect.dst, &begun.process) {
                    self.connections.flow(&connect, begun, out);
                }
            }
            What::Errno { cookie, errno } => self.connections.failed(cookie, errno, ns, out),
            What::Established(state) => self.connections.established(&state, ns, out),
            What::Close(state) => self.connections.closed(&state, ns, out),
            What::Release { cookie, .. } => self.connections.released(cookie, ns, out),
            What::FlowEnd(end) => self.flow_ended(end.cookie, end.dst, end.bytes, out),
            What::Dns(message) if message.ingress => self.answer(&message, ns, out),
            What::Dns(message) => self.query(&message, ns, out),
            What::Cgroup {
                id,
                hierarchy,
                path,
            } => {
                if hierarchy == 0 {
                    self.cgroups.add(id, &path);
                }
                // Asked for before its first process connects.
                self.container_of(&path);
            }
            What::Attach {
                pid,
                start_ns,
                hierarchy,
                path,
            } => {
                if hierarchy != 0 && cgroups::container(&path).is_some() {
                    self.processes.moved(pid, start_ns, &path);
                    self.container_of(&path);
                }
            }
        }
    }

    /// What time alone brings: lookups that nobody answered, containers' details.
    /// `seen_ns` is until when all events have been handled, which is not the
    /// present where the reader is behind: an answer may be waiting to be read.
    pub fn tick(&mut self, seen_ns: u64, out: &mut Vec<Record>) {
        for asked in self.lookups.expired(seen_ns) {
            self.unanswered(asked, out);
        }
        for (id, details) in self.docker.answered() {
            if let Some(container) = self.containers.get(&id) {
                *container.details.borrow_mut() = details;
                out.push(Record::Container(Rc::clone(container)));
            }
        }
    }

    /// The recording ends: what waits for an answer got none.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        for asked in self.lookups.rest() {
            self.unanswered(asked, out);
        }
    }

    /// The UDP flows that are open, to ask the kernel side for their bytes.
    pub fn open_flows(&self) -> Vec<(u64, Endpoint)> {
        self.connections.open_flows()
    }

    /// New counters of an open flow.
    pub fn flow_progress(
        &mut self,
        cookie: u64,
        dst: Endpoint,
        bytes: FlowBytes,
        out: &mut Vec<Record>,
    ) {
        self.connections.flow_progress(cookie, dst, bytes, out);
    }

    /// A flow has ended with its socket.
    pub fn flow_ended(
        &mut self,
        cookie: u64,
        dst: Endpoint,
        bytes: FlowBytes,
        out: &mut Vec<Record>,
    ) {
        for asked in self.lookups.abandoned(cookie, dst) {
            self.unanswered(asked, out);
        }
        self.connections.flow_ended(cookie, dst, bytes, out);
    }

    fn wall(&self, ns: u64) -> i64 {
        ns as i64 + self.clock_offset_ns
    }

    fn who(&mut self, owner: &Owner) -> Who {
        let node = self.processes.node(owner);
        let cgroup = self.cgroup(&node, owner.cgroup_id);
        let container = cgroup.as_deref().and_then(|path| self.container_of(path));
        let group = match &container {
            Some(container) => Some(Rc::from(container.id.as_str())),
            None => cgroup.clone(),
        };
        let party = Rc::new(Party {
            process: node.key,
            group,
            contained: container.is_some(),
            netns: owner.netns_cookie,
            uid: owner.uid,
        });
        let process = self
            .processes
            .identify(&node, owner, Place { cgroup, container });
        Who {
            node,
            process,
            party,
        }
    }

    fn cgroup(&mut self, node: &Node, id: u64) -> Option<Rc<str>> {
        if id == cgroups::ROOT_ID {
            // On cgroup v1 all containers may share the root of cgroup2.
            return self.processes.v1_path(node);
        }
        if let Some(path) = self.cgroups.path(id) {
            return Some(path);
        }
        let path = self.processes.v2_path(node)?;
        self.cgroups.add(id, &path);
        Some(path)
    }

    /// The container that a cgroup path names; its details are asked for once.
    fn container_of(&mut self, path: &str) -> Option<Rc<Container>> {
        let found = cgroups::container(path)?;
        if let Some(container) = self.containers.get(found.id) {
            return Some(Rc::clone(container));
        }
        // Runtimes without a prefix of their own may be Docker's too.
        let dockers = matches!(found.runtime, Some("docker") | None);
        let pending = dockers && self.docker.ask(found.id);
        let container = Rc::new(Container {
            id: found.id.to_string(),
            runtime: found.runtime,
            details: std::cell::RefCell::new(if pending {
                Details::Pending
            } else {
                Details::Unknown
            }),
        });
        self.containers
            .insert(found.id.to_string(), Rc::clone(&container));
        Some(container)
    }

    fn name(&mut self, who: &Who, dst: Endpoint, ns: u64) -> Option<crate::record::Name> {
        self.names
            .name(&who.party, &who.node.ancestors(), dst.ip, ns)
    }

    fn wanted(&self, node: &Node, dst: Endpoint, process: &Process) -> bool {
        let excluded = self
            .settings
            .exclude
            .iter()
            .any(|e| e.matches(dst, process));
        !excluded && self.covers(node)
    }

    fn lookup_wanted(&self, who: &Who, server: Endpoint) -> bool {
        let excludes = &self.settings.exclude;
        let excluded = excludes
            .iter()
            .any(|e| e.matches_lookup(server, &who.process));
        !excluded && self.covers(&who.node)
    }

    /// Whether the run is about this process at all.
    fn covers(&self, node: &Node) -> bool {
        !self.settings.only_tracked || node.tracked.get()
    }

    fn query(&mut self, message: &DnsMessage, ns: u64, out: &mut Vec<Record>) {
        let who = self.who(&message.owner);
        let wanted = self.lookup_wanted(&who, message.server);
        let Ok(parsed) = dns::parse(&message.payload) else {
            return self.malformed(message, who.process, ns, wanted, out);
        };
        let Some(question) = parsed.question else {
            return;
        };
        if parsed.response {
            return; // a server's answer, sent to a port that DNS servers use
        }
        let asked = Asked {
            lookup: self.next_lookup(),
            id: parsed.id,
            server: message.server,
            question,
            ns,
            process: who.process,
            party: who.party,
            wanted,
        };
        let shown = self.lookup(&asked, Status::Unanswered);
        if self.lookups.asked(message.cookie, asked) && wanted {
            out.push(Record::Query(shown));
        }
    }

    fn answer(&mut self, message: &DnsMessage, ns: u64, out: &mut Vec<Record>) {
        let parsed = match dns::parse(&message.payload) {
            Ok(parsed) if !parsed.response => return,
            Ok(parsed) => parsed,
            Err(_) => {
                let who = self.who(&message.owner);
                let wanted = self.lookup_wanted(&who, message.server);
                return self.malformed(message, who.process, ns, wanted, out);
            }
        };
        let Some(asked) = self
            .lookups
            .answered(message.cookie, message.server, &parsed)
        else {
            return self.unsolicited(message, parsed, ns, out);
        };
        if parsed.rcode == "NOERROR" {
            let addresses = dns::addresses(&asked.question, &parsed.answers);
            let host: Rc<str> = dns::host_of(&asked.question).into();
            let trusted = self.resolvers.trusted(asked.server.ip, message.owner.netns);
            self.names
                .learn(&asked.party, &host, &addresses, ns, asked.lookup, trusted);
        }
        if asked.wanted {
            let mut lookup = self.lookup(&asked, Status::Answered);
            lookup.rcode = Some(parsed.rcode);
            lookup.latency_us = Some(((ns - asked.ns) / 1000) as i64);
            lookup.answers = parsed.answers.into_iter().map(stored).collect();
            out.push(Record::Lookup(lookup));
        }
    }

    fn unsolicited(
        &mut self,
        message: &DnsMessage,
        parsed: dns::Message,
        ns: u64,
        out: &mut Vec<Record>,
    ) {
        let who = self.who(&message.owner);
        if !self.lookup_wanted(&who, message.server) {
            return;
        }
        let (qname, qtype) = match parsed.question {
            Some(q) => (Some(q.name.as_str().into()), Some(q.qtype)),
            None => (None, None),
        };
        out.push(Record::Lookup(Lookup {
            id: self.next_lookup(),
            ts: self.wall(ns),
            process: who.process,
            server: message.server,
            transport: Transport::Udp,
            qname,
            qtype,
            rcode: Some(parsed.rcode),
            latency_us: None,
            status: Status::Unsolicited,
            answers: parsed.answers.into_iter().map(stored).collect(),
            times: 1,
        }));
    }

    fn malformed(
        &mut self,
        message: &DnsMessage,
        process: Rc<Process>,
        ns: u64,
        wanted: bool,
        out: &mut Vec<Record>,
    ) {
        if !wanted {
            return;
        }
        out.push(Record::Lookup(Lookup {
            id: self.next_lookup(),
            ts: self.wall(ns),
            process,
            server: message.server,
            transport: Transport::Udp,
            qname: None,
            qtype: None,
            rcode: None,
            latency_us: None,
            status: Status::Malformed,
            answers: Vec::new(),
            times: 1,
        }));
    }

    fn unanswered(&mut self, asked: Asked, out: &mut Vec<Record>) {
        if asked.wanted {
            out.push(Record::Lookup(self.lookup(&asked, Status::Unanswered)));
        }
    }

    /// A lookup's row as far as its query tells.
    fn lookup(&self, asked: &Asked, status: Status) -> Lookup {
        Lookup {
            id: asked.lookup,
            ts: self.wall(asked.ns),
            process: Rc::clone(&asked.process),
            server: asked.server,
            transport: Transport::Udp,
            qname: Some(asked.question.name.as_str().into()),
            qtype: Some(asked.question.qtype.clone()),
            rcode: None,
            latency_us: None,
            status,
            answers: Vec::new(),
            times: 1,
        }
    }

    fn next_lookup(&mut self) -> i64 {
        let id = self.settings.next_lookup;
        self.settings.next_lookup += 1;
        id
    }
}

fn stored(record: dns::Record) -> Answer {
    Answer {
        name: record.name.as_str().into(),
        rtype: record.rtype,
        data: record.data,
        ttl: record.ttl,
    }
}
