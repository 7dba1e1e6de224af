//! From events to records: names, processes, containers. In come the kernel's
//! typed events in order; out go [`Record`]s for the sinks. It knows no BPF and
//! no SQL, and nothing in it fails: what cannot be found out is left unknown.

mod bundles;
pub mod cgroups;
mod cni;
mod connections;
mod containers;
pub mod dns;
mod docker;
mod exclude;
mod floods;
pub mod hosts;
mod lookups;
pub mod names;
mod processes;
mod regular;
mod resolvers;
pub mod stream;
mod users;

use std::path::PathBuf;
use std::rc::Rc;

use crate::capture::event::{Dns, Event, EventKind, FlowEnd, FlowKey, Owner, TcpCounters};
use crate::capture::open::{Kind, OpenSocket};
use crate::model::{
    Endpoint, Lookup, LookupStatus, Name, Process, Record, ResourceRecord, Source, Transport,
    UNKNOWN,
};
use connections::{Connections, Now};
use containers::Containers;
use floods::{Floods, RECORDS_KEPT};
use hosts::Hosts;
use lookups::{Asked, Lookups};
use names::{Names, Party};
use processes::{Node, Place, Processes};
use resolvers::Resolvers;
use stream::Streams;

pub use exclude::Exclude;

/// What is settled for a run.
pub struct Settings {
    /// Answers remembered at most, over all scopes.
    pub max_names: usize,
    /// What is neither stored nor printed. It still counts for naming.
    pub exclude: Vec<Exclude>,
    /// Only what [`Attributor::track`] names and its descendants.
    pub only_tracked: bool,
    /// Whether /proc shows the kernel side's pids.
    pub procfs: bool,
    /// Keep no arguments of processes.
    pub no_args: bool,
    /// Where DNS servers are.
    pub dns_ports: Vec<u16>,
    /// Directory of the topmost cgroup that is seen.
    pub cgroup_root: PathBuf,
}

pub struct Attributor {
    settings: Settings,
    /// Wall clock minus boot clock, in nanoseconds; taken anew for each batch.
    pub clock_offset_ns: i64,
    processes: Processes,
    cgroups: cgroups::Cgroups,
    containers: Containers,
    names: Names,
    lookups: Lookups,
    connections: Connections,
    resolvers: Resolvers,
    hosts: Hosts,
    streams: Streams,
    floods: Floods,
    /// When the floods were told last, nanoseconds since boot.
    floods_told_ns: u64,
    /// Number of the last lookup.
    last_lookup: u64,
}

/// How often a flood's number is told anew.
const FLOOD_ROUND_NS: u64 = 1_000_000_000;

/// A DNS message that passed, and how.
struct Passed<'a> {
    dns: &'a Dns,
    transport: Transport,
    /// The whole message.
    bytes: &'a [u8],
    /// Nanoseconds since boot.
    ns: u64,
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
        let mut processes = Processes::new(processes::Options {
            procfs: settings.procfs,
            no_args: settings.no_args,
        });
        processes.seed();
        let mut cgroups = cgroups::Cgroups::default();
        cgroups.seed(&settings.cgroup_root);
        Attributor {
            names: Names::new(settings.max_names),
            connections: Connections::new(),
            clock_offset_ns: 0,
            settings,
            processes,
            cgroups,
            containers: Containers::start(),
            lookups: Lookups::default(),
            resolvers: Resolvers::default(),
            hosts: Hosts::start(),
            streams: Streams::default(),
            floods: Floods::default(),
            floods_told_ns: 0,
            last_lookup: 0,
        }
    }

    /// A socket that was open before the recording began; `ns` is now.
    pub fn adopt(&mut self, socket: &OpenSocket, ns: u64, out: &mut Vec<Record>) {
        if socket.kind != Kind::Tcp {
            return self.connections.found_flows(socket.cookie);
        }
        if let Some(begun) = self.begin(&socket.owner, socket.dst, ns, out) {
            self.connections.found(socket, begun, out);
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

    /// Takes in what runtimes have reported, before the events that follow it.
    pub fn poll_updates(&mut self, out: &mut Vec<Record>) {
        self.containers.poll_updates(out);
    }

    pub fn handle(&mut self, event: Event, out: &mut Vec<Record>) {
        let ns = event.ns;
        self.containers.apply_until(self.wall(ns), out);
        match event.kind {
            EventKind::Fork {
                pid,
                start_ns,
                ppid,
                parent_start_ns,
                from,
                session,
            } => {
                let new = self.processes.fork(pid, start_ns, ppid, parent_start_ns);
                if new {
                    self.processes.made((pid, start_ns), from, session);
                }
            }
            EventKind::Exec(exec) => {
                if self.settings.procfs {
                    self.hosts.started(&exec.owner);
                }
                self.processes.exec(exec);
            }
            EventKind::Exit { pid, start_ns } => self.processes.exit(pid, start_ns),
            EventKind::Connect(connect) => {
                if let Some(begun) = self.begin(&connect.owner, connect.dst, ns, out) {
                    self.connections.attempt(&connect, begun, out);
                }
            }
            EventKind::Flow(connect) => {
                if let Some(begun) = self.begin(&connect.owner, connect.dst, ns, out) {
                    self.connections.flow(&connect, begun, out);
                }
            }
            EventKind::Errno { cookie, errno } => self.connections.failed(cookie, errno, ns, out),
            EventKind::Established(state) => self.connections.established(&state, ns, out),
            EventKind::Close(state) => {
                self.stream_ended(state.cookie, out);
                self.connections.closed(&state, ns, out);
            }
            EventKind::Release {
                cookie,
                next: None,
                shared_pid,
                ..
            } => {
                self.stream_ended(cookie, out);
                self.connections.released(cookie, shared_pid, ns, out);
            }
            EventKind::Release { .. } => {} // its flows are ended by who reads the table
            EventKind::FlowEnd(end) => self.flow_ended(&end, out),
            EventKind::Association { key, refused } => {
                self.connections.associated(key, refused, ns, out);
            }
            EventKind::Dns(dns) => self.dns(&dns, ns, out),
            EventKind::Cgroup {
                id,
                hierarchy,
                path,
            } => {
                let Some(path) = path else { return };
                if hierarchy == 0 {
                    self.cgroups.add(id, &path);
                }
                // Asked for before its first process connects.
                self.containers.of(&path, out);
            }
            EventKind::Attach {
                pid,
                start_ns,
                hierarchy,
                path,
            } => {
                if hierarchy != 0 && self.processes.moved(pid, start_ns, path.as_deref()) {
                    path.and_then(|path| self.containers.of(&path, out));
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
        if seen_ns.saturating_sub(self.floods_told_ns) >= FLOOD_ROUND_NS {
            self.floods_told_ns = seen_ns;
            out.extend(self.floods.grown().into_iter().map(Record::Lookup));
        }
        self.containers.poll_updates(out);
        self.containers.apply_until(self.wall(seen_ns), out);
    }

    /// The recording ends: what waits for an answer got none.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        for asked in self.lookups.rest() {
            self.unanswered(asked, out);
        }
        out.extend(self.floods.grown().into_iter().map(Record::Lookup));
    }

    /// The flows that are open, to ask the kernel side for their bytes.
    pub fn open_flows(&self) -> Vec<FlowKey> {
        self.connections.open_flows()
    }

    /// What an open flow has come to, read at `ns`.
    pub fn flow_progress(&mut self, read: &FlowEnd, ns: u64, out: &mut Vec<Record>) {
        let now = self.moment(ns);
        self.connections.flow_progress(read, now, out);
    }

    /// Whether there are TCP connections to ask the kernel side for.
    pub fn any_tcp(&self) -> bool {
        self.connections.any_tcp()
    }

    /// New counters of a TCP connection, read at `ns`.
    pub fn carried(&mut self, carried: TcpCounters, ns: u64, out: &mut Vec<Record>) {
        let now = self.moment(ns);
        self.connections.carried(carried, now, out);
    }

    /// A flow has ended with its socket.
    pub fn flow_ended(&mut self, end: &FlowEnd, out: &mut Vec<Record>) {
        for asked in self.lookups.abandoned(end.key.cookie, Some(end.key.dst)) {
            self.unanswered(asked, out);
        }
        self.connections.flow_ended(end, out);
    }

    /// A TCP connection is gone, and with it who waited for answers from it.
    fn stream_ended(&mut self, cookie: u64, out: &mut Vec<Record>) {
        self.streams.ended(cookie);
        for asked in self.lookups.abandoned(cookie, None) {
            self.unanswered(asked, out);
        }
    }

    fn moment(&self, ns: u64) -> Now {
        Now {
            ns,
            ts: self.wall(ns),
        }
    }

    fn wall(&self, ns: u64) -> i64 {
        ns as i64 + self.clock_offset_ns
    }

    fn who(&mut self, owner: &Owner, out: &mut Vec<Record>) -> Who {
        let node = self.processes.node(owner);
        let cgroup = self.cgroup(&node, owner.cgroup_id);
        let container = cgroup
            .as_deref()
            .and_then(|path| self.containers.of(path, out));
        let group = match &container {
            Some(container) => Some(Rc::from(container.id.as_str())),
            None => cgroup.clone(),
        };
        let party = Rc::new(Party {
            process: node.key,
            tid: owner.tid,
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

    /// What is known of a connection when it begins; None where it is not wanted.
    fn begin(
        &mut self,
        owner: &Owner,
        dst: Endpoint,
        ns: u64,
        out: &mut Vec<Record>,
    ) -> Option<connections::Begun> {
        let who = self.who(owner, out);
        let name = self.name(&who, owner, dst, ns);
        self.wanted(&who.node, dst, &who.process)
            .then(|| connections::Begun {
                ns,
                ts: self.wall(ns),
                process: who.process,
                name,
            })
    }

    /// A name that others asked for gives way to the file that the process sees: who
    /// reads a name there asks nobody.
    fn name(&mut self, who: &Who, owner: &Owner, dst: Endpoint, ns: u64) -> Option<Name> {
        if dst == UNKNOWN {
            return None;
        }
        let ancestors = who.node.ancestors();
        let name = self.names.name(&who.party, &ancestors, dst, ns);
        let own = |n: &Name| matches!(n.source, Source::Process | Source::Ancestor);
        // A DNS server is dialled by its address, whatever others call that.
        if name.as_ref().is_some_and(own) || self.settings.dns_ports.contains(&dst.port) {
            return name.filter(own);
        }
        let file = self.settings.procfs;
        file.then(|| self.hosts.name(owner, dst.ip, ns))
            .flatten()
            .or(name)
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

    fn dns(&mut self, dns: &Dns, ns: u64, out: &mut Vec<Record>) {
        let Some(segment) = dns.segment else {
            for bytes in dns.messages() {
                let passed = Passed {
                    dns,
                    transport: Transport::Udp,
                    bytes,
                    ns,
                };
                self.message(&passed, out);
            }
            return;
        };
        let complete = self
            .streams
            .segment(dns.cookie, dns.ingress, segment, &dns.payload);
        for bytes in &complete {
            let passed = Passed {
                dns,
                transport: Transport::Tcp,
                bytes,
                ns,
            };
            if !self.message(&passed, out) {
                // It is not where a message begins, or no DNS at all.
                self.streams.give_up(dns.cookie, dns.ingress);
                return;
            }
        }
    }

    /// One message; whether it could be read.
    fn message(&mut self, passed: &Passed<'_>, out: &mut Vec<Record>) -> bool {
        let Ok(parsed) = dns::parse(passed.bytes) else {
            self.unasked(passed, None, LookupStatus::Malformed, out);
            return false;
        };
        match (parsed.response, passed.dns.ingress) {
            (false, false) => self.query(passed, parsed, out),
            (true, true) => self.answer(passed, parsed, out),
            // a server's, on a port that DNS servers use; a neighbour's question
            _ => {}
        }
        true
    }

    fn query(&mut self, passed: &Passed<'_>, parsed: dns::Message, out: &mut Vec<Record>) {
        let who = self.who(&passed.dns.owner, out);
        let wanted = self.lookup_wanted(&who, passed.dns.server);
        for question in parsed.questions {
            let asked = Asked {
                lookup: self.next_lookup(),
                id: parsed.id,
                server: passed.dns.server,
                transport: passed.transport,
                question,
                ns: passed.ns,
                process: Rc::clone(&who.process),
                party: Rc::clone(&who.party),
                wanted,
            };
            let shown = self.lookup(&asked, LookupStatus::Unanswered);
            if self.lookups.asked(passed.dns.cookie, asked) && wanted {
                out.push(Record::Query(shown));
            }
        }
    }

    fn answer(&mut self, passed: &Passed<'_>, parsed: dns::Message, out: &mut Vec<Record>) {
        let dns = passed.dns;
        let answered = self.lookups.answered(dns.cookie, dns.server, &parsed);
        if answered.is_empty() {
            return self.unasked(passed, Some(parsed), LookupStatus::Unsolicited, out);
        }
        for asked in answered {
            if parsed.rcode == "NOERROR" {
                let addresses = dns::addresses(&asked.question, &parsed.answers);
                let evidence = names::Answer {
                    host: dns::host_of(&asked.question).into(),
                    ns: passed.ns,
                    lookup: asked.lookup,
                    asker: Rc::clone(&asked.party),
                    server: asked.server,
                    trusted_resolver: self.resolvers.trusted(asked.server, dns.owner.netns),
                };
                self.names.learn(evidence, &addresses);
            }
            if asked.wanted {
                let mut lookup = self.lookup(&asked, LookupStatus::Answered);
                lookup.rcode = Some(parsed.rcode.clone());
                lookup.latency_us = Some((passed.ns.saturating_sub(asked.ns) / 1000) as i64);
                lookup.answers = parsed.answers.iter().map(stored).collect();
                out.push(Record::Lookup(lookup));
            }
        }
    }

    /// A message that nobody asked for, or that can't be read.
    fn unasked(
        &mut self,
        passed: &Passed<'_>,
        parsed: Option<dns::Message>,
        status: LookupStatus,
        out: &mut Vec<Record>,
    ) {
        let who = self.who(&passed.dns.owner, out);
        if !self.lookup_wanted(&who, passed.dns.server) {
            return;
        }
        let question = parsed.as_ref().and_then(dns::Message::question);
        let answers = parsed.iter().flat_map(|p| p.answers.iter());
        let lookup = Lookup {
            number: self.next_lookup(),
            ts: self.wall(passed.ns),
            process: who.process,
            server: passed.dns.server,
            transport: passed.transport,
            qname: question.map(|q| q.name.as_str().into()),
            qtype: question.map(|q| q.qtype.clone()),
            rcode: parsed.as_ref().map(|p| p.rcode.clone()),
            latency_us: None,
            status,
            answers: answers.take(RECORDS_KEPT).map(stored).collect(),
            times: 1,
        };
        out.extend(self.floods.add(lookup, passed.ns).map(Record::Lookup));
    }

    fn unanswered(&mut self, asked: Asked, out: &mut Vec<Record>) {
        if asked.wanted {
            out.push(Record::Lookup(
                self.lookup(&asked, LookupStatus::Unanswered),
            ));
        }
    }

    /// A lookup's row as far as its query tells.
    fn lookup(&self, asked: &Asked, status: LookupStatus) -> Lookup {
        Lookup {
            number: asked.lookup,
            ts: self.wall(asked.ns),
            process: Rc::clone(&asked.process),
            server: asked.server,
            transport: asked.transport,
            qname: Some(asked.question.name.as_str().into()),
            qtype: Some(asked.question.qtype.clone()),
            rcode: None,
            latency_us: None,
            status,
            answers: Vec::new(),
            times: 1,
        }
    }

    fn next_lookup(&mut self) -> u64 {
        self.last_lookup += 1;
        self.last_lookup
    }
}

fn stored(record: &dns::Record) -> ResourceRecord {
    ResourceRecord {
        name: record.name.as_str().into(),
        rtype: record.rtype.clone(),
        data: record.data.clone(),
        ttl: record.ttl,
    }
}
