//! From events to records: processes, containers, names. In come the kernel side's typed events
//! in order; out go [`Record`]s for the sinks. It knows neither BPF nor SQL. Nothing in it
//! fails: what can't be found out stays unknown.

mod accounts;
mod actor;
mod allowance;
mod connections;
pub mod container;
mod deferred_names;
pub mod dns;
mod dns_events;
mod executables;
mod filter;
pub mod geo;
pub mod naming;
pub mod payload;
mod process;
mod sent_names;
mod shares;
mod users;
mod verdicts;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::capture::adopt::{Kind, OpenSocket};
use crate::capture::event::{self, Event, EventKind, FlowEnd, Owner};
use crate::file_reader::FileReader;
use crate::model::{CgroupUpdate, Connection, Container, Loss, PolicyChange, Record, Verdict};
use accounts::Accounts;
use connections::{Connections, Moment};
use container::{CgroupPaths, Containers};
use dns::{PendingQueries, RepeatCoalescer, StoredLookups, Streams};
use executables::Executables;
use geo::GeoFiles;
use naming::{HostsFiles, NameTable, Resolvers};
use payload::Beginnings;
use process::{ProcessOptions, Processes};

pub use filter::Exclude;
use verdicts::RuleLabels;

/// What holds for a whole run.
pub struct Settings {
    /// Most candidates for names kept, over all scopes.
    pub max_names: usize,
    /// What is not recorded. It counts for naming in any case.
    pub exclude: Vec<Exclude>,
    /// Record only the process of [`Attributor::track`] and its descendants.
    pub only_tracked: bool,
    /// Whether /proc shows the kernel side's pids.
    pub procfs: bool,
    /// Keep no arguments of processes.
    pub no_args: bool,
    /// Ports of DNS servers.
    pub dns_ports: Vec<u16>,
    /// Directory of the topmost visible cgroup.
    pub cgroup_root: PathBuf,
    /// Whether cgroups are reported, for a policy.
    pub reports_cgroups: bool,
    /// Reads the files that users may have chosen; without it they are not read.
    pub files: Option<FileReader>,
    /// Where addresses are.
    pub geo: GeoFiles,
}

pub struct Attributor {
    settings: Settings,
    /// What the rules of each generation of the policy are called.
    rules: HashMap<u32, RuleLabels>,
    /// Wall clock minus boot clock, in nanoseconds. To be set before each batch of events.
    pub clock_offset_ns: i64,
    processes: Processes,
    cgroups: CgroupPaths,
    containers: Containers,
    executables: Executables,
    names: NameTable,
    queries: PendingQueries,
    connections: Connections,
    resolvers: Resolvers,
    hosts: HostsFiles,
    geo: GeoFiles,
    accounts: Accounts,
    /// Inode of the host's network namespace.
    host_netns: Option<u32>,
    streams: Streams,
    beginnings: Beginnings,
    repeats: RepeatCoalescer,
    /// When coalesced lookups were emitted last, nanoseconds since boot.
    repeats_emitted_ns: u64,
    /// Number of the last lookup.
    last_lookup: u64,
    /// How much each user may have stored of lookups.
    stored: StoredLookups,
}

/// Generations of a policy whose verdicts may still be in the ring buffer: as many as the kernel
/// side has room for.
const KEPT_GENERATIONS: u32 = 4;

/// How long the end of a recording waits for names and containers' details, and how often it looks
/// for them.
const LAST_WAIT: Duration = Duration::from_millis(500);
const LAST_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often a coalesced lookup is emitted again as it grows.
const REPEATS_INTERVAL_NS: u64 = 1_000_000_000;

impl Attributor {
    /// Starts with the processes and cgroups that exist now.
    pub fn new(mut settings: Settings) -> Attributor {
        let mut processes = Processes::new(ProcessOptions {
            procfs: settings.procfs,
            no_args: settings.no_args,
        });
        processes.seed();
        let mut accounts = Accounts::default();
        // Without the host's processes in /proc, no file that belongs to them is found there.
        let processes_files = settings.files.clone().filter(|_| settings.procfs);
        let hosts = HostsFiles::start(processes_files.clone(), |uid| accounts.of(uid));
        let cgroups = CgroupPaths::read(&settings.cgroup_root, |uid| accounts.of(uid));
        let containers =
            Containers::start(&settings.cgroup_root, cgroups.all(), settings.files.clone());
        Attributor {
            names: NameTable::new(settings.max_names),
            executables: Executables::new(processes_files),
            cgroups,
            connections: Connections::new(),
            clock_offset_ns: 0,
            geo: std::mem::take(&mut settings.geo),
            settings,
            rules: HashMap::new(),
            processes,
            containers,
            queries: PendingQueries::default(),
            resolvers: Resolvers::new(host_netns()),
            hosts,
            accounts,
            host_netns: host_netns(),
            streams: Streams::default(),
            beginnings: Beginnings::default(),
            repeats: RepeatCoalescer::default(),
            repeats_emitted_ns: 0,
            last_lookup: 0,
            stored: StoredLookups::default(),
        }
    }

    /// Takes over a socket that was open before the recording; `ns` is now.
    pub fn adopt(&mut self, socket: &OpenSocket, ns: u64, out: &mut Vec<Record>) {
        match socket.kind {
            Kind::Tcp => {
                if let Some(start) = self.begin(&socket.owner, socket.dst, ns, out) {
                    self.connections.adopt(socket, start, out);
                }
            }
            Kind::Mptcp => {}
            _ if socket.listening => {}
            Kind::Udp | Kind::Other | Kind::Raw => self.connections.adopt_flows(socket.cookie),
        }
    }

    /// Tracks a process and its descendants; its exec is still to be handled: see
    /// [`Settings::only_tracked`].
    pub fn track(&mut self, pid: u32) {
        self.processes.track(pid);
    }

    /// From now on leaves these out; what is open stays.
    pub fn exclude(&mut self, exclude: Vec<Exclude>) {
        self.settings.exclude = exclude;
    }

    /// Whether a tracked process runs, or has an open connection.
    pub fn tracked_is_busy(&self) -> bool {
        self.processes.any_tracked() || self.connections.any_open()
    }

    /// Takes in what container runtimes have reported; to be called before the events that
    /// follow it.
    pub fn poll_updates(&mut self, out: &mut Vec<Record>) {
        self.containers.poll_updates(out);
        self.executables.poll(out);
        self.connections.poll_names(&mut self.hosts, out);
    }

    /// Handles an event that was read outside of the ring buffer; whether it is about a flow
    /// or a connection that is recorded.
    pub fn handle_polled(&mut self, event: Event, out: &mut Vec<Record>) -> bool {
        let recorded = match &event.kind {
            EventKind::FlowProgress(flow) => self.connections.has_flow(&flow.key),
            EventKind::TcpProgress(counters) => self.connections.has_tcp(counters.cookie),
            _ => true,
        };
        self.handle(event, out);
        recorded
    }

    pub fn handle(&mut self, event: Event, out: &mut Vec<Record>) {
        let ns = event.ns;
        // These come at any time, even while earlier events are in the ring buffer.
        if !matches!(
            event.kind,
            EventKind::FlowProgress(_)
                | EventKind::TcpProgress(_)
                | EventKind::FlowEnd(_)
                | EventKind::Release { .. }
        ) {
            self.containers.apply_until(self.wall(ns), out);
        }
        match event.kind {
            EventKind::Fork {
                pid,
                start_ns,
                ppid,
                parent_start_ns,
                creator,
                session,
                uid,
            } => {
                let key = (pid, start_ns);
                let new = self.processes.fork(uid, key, ppid, parent_start_ns);
                if new {
                    self.processes
                        .inherit_from_creator((pid, start_ns), creator, session);
                }
            }
            EventKind::Exec(exec) => {
                if self.settings.procfs {
                    let account = self.accounts.of_process(&exec.owner);
                    self.hosts.on_exec(&exec.owner, account);
                }
                self.processes.exec(exec, ns);
            }
            EventKind::Exit { pid, start_ns } => self.processes.exit(pid, start_ns),
            EventKind::Connect(connect) => {
                if let Some(start) = self.begin(&connect.owner, connect.dst, ns, out) {
                    self.connections.attempt(&connect, start, out);
                }
            }
            EventKind::Flow(connect) => {
                if let Some(start) = self.begin(&connect.owner, connect.dst, ns, out) {
                    self.connections.flow(&connect, start, out);
                }
            }
            EventKind::Errno { cookie, errno } => self.connections.failed(cookie, errno, ns, out),
            EventKind::Established(state) => self.connections.established(&state, ns, out),
            EventKind::Close(state) => {
                self.tcp_ended(state.cookie, out);
                self.connections.closed(&state, ns, out);
            }
            EventKind::Release {
                cookie,
                next: None,
                shared_pid,
                ..
            } => {
                self.tcp_ended(cookie, out);
                self.connections.released(cookie, shared_pid, ns, out);
            }
            EventKind::Release { .. } => {} // the reaper ends its flows
            EventKind::FlowEnd(end) => self.flow_ended(&end, out),
            EventKind::FlowProgress(flow) => {
                let now = self.moment(ns);
                self.connections.flow_progress(&flow, now, out);
            }
            EventKind::TcpProgress(counters) => {
                let now = self.moment(ns);
                self.connections.tcp_progress(counters, now, out);
            }
            EventKind::FirstHop { cookie, hop } => self.connections.routed(cookie, hop, out),
            EventKind::Owner { cookie, owner } => self.owned(cookie, &owner, out),
            EventKind::Association { key, refused } => {
                self.connections.associated(key, refused, ns, out);
            }
            EventKind::Verdict(verdict) => self.verdict(&verdict, ns, out),
            EventKind::Dns(dns) => self.dns(&dns, ns, out),
            EventKind::Payload(piece) => self.payload(&piece, out),
            EventKind::Cgroup {
                id,
                hierarchy,
                path,
            } => {
                let Some(path) = path else { return };
                // Queries its details before its first process connects.
                let container = self.containers.created(&path, out);
                if hierarchy == 0 {
                    self.add_cgroup(id, &path);
                    self.report_cgroup(id, &path, container, out);
                }
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

    /// Emits what only time brings: unanswered lookups, containers' details. All events until
    /// `processed_ns` have been handled; with a backlog that is not the present, and an answer
    /// may still be in the ring buffer.
    pub fn tick(&mut self, processed_ns: u64, out: &mut Vec<Record>) {
        let expired = self.queries.expired(processed_ns);
        self.unanswered(expired, out);
        if processed_ns.saturating_sub(self.repeats_emitted_ns) >= REPEATS_INTERVAL_NS {
            self.repeats_emitted_ns = processed_ns;
            out.extend(self.repeats.grown().into_iter().map(Record::Lookup));
        }
        self.containers.poll_updates(out);
        self.containers.apply_until(self.wall(processed_ns), out);
        self.executables.tick(processed_ns, out);
        self.geo.tick(processed_ns);
    }

    /// The recording ends: pending queries are unanswered.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        let pending = self.queries.drain();
        self.unanswered(pending, out);
        out.extend(self.repeats.grown().into_iter().map(Record::Lookup));
        self.executables.finish(out);
        let end = Instant::now() + LAST_WAIT;
        let is_due = |this: &Attributor| {
            this.connections.has_deferred_names() || this.containers.is_querying()
        };
        while is_due(self) && Instant::now() < end {
            std::thread::sleep(LAST_POLL_INTERVAL);
            self.connections.poll_names(&mut self.hosts, out);
            self.containers.poll_updates(out);
        }
    }

    /// Whether files are being read, so that [`poll_updates`](Attributor::poll_updates) is
    /// due soon.
    pub fn is_reading(&self) -> bool {
        self.executables.is_busy() || self.connections.has_deferred_names()
    }

    /// What has been left out since the beginning: more than its user's share.
    pub fn lost(&self) -> impl Iterator<Item = (Loss, u64)> + use<> {
        self.stored.lost()
    }

    fn flow_ended(&mut self, end: &FlowEnd, out: &mut Vec<Record>) {
        let abandoned = self.queries.abandoned(end.key.cookie, Some(end.key.dst));
        self.unanswered(abandoned, out);
        self.beginnings.flow_ended(&end.key);
        self.connections.flow_ended(end, out);
    }

    /// For a policy: the cgroups that exist.
    pub fn report_cgroups(&mut self, out: &mut Vec<Record>) {
        let all: Vec<(u64, Rc<str>)> = self.cgroups.all_by_id().collect();
        for (id, path) in all {
            let container = self.containers.of(&path, out);
            self.report_cgroup(id, &path, container, out);
        }
    }

    fn report_cgroup(
        &self,
        id: u64,
        path: &str,
        container: Option<Rc<Container>>,
        out: &mut Vec<Record>,
    ) {
        if self.settings.reports_cgroups {
            out.push(Record::Cgroup(CgroupUpdate {
                id,
                path: path.into(),
                unit: container::cgroup_path::unit(path).map(Into::into),
                container,
            }));
        }
    }

    /// The rules of a policy have these names.
    pub fn policy_changed(&mut self, change: &PolicyChange) {
        let labels = RuleLabels {
            rules: change.rules.clone(),
            policy: Rc::clone(&change.digest),
        };
        self.rules.insert(change.generation, labels);
        // verdicts of those before may still be in the ring buffer
        self.rules.retain(|generation, _| {
            *generation + KEPT_GENERATIONS >= change.generation
                || Some(*generation) == change.fallback
        });
    }

    /// A policy decides on the TCP connections that are older than it.
    pub fn judge_open(
        &mut self,
        verdict: &mut dyn FnMut(u64, &Connection) -> Option<Verdict>,
        out: &mut Vec<Record>,
    ) {
        self.connections.judge_open(verdict, out);
    }

    /// See [`Connections::take_silenced`].
    pub fn take_silenced(&mut self) -> Vec<(u64, Connection)> {
        self.connections.take_silenced()
    }

    /// A TCP connection goes on that was to be reset.
    pub fn not_reset(&mut self, cookie: u64, out: &mut Vec<Record>) {
        self.connections.not_reset(cookie, out);
    }

    /// A process uses a connection of which none was known.
    fn owned(&mut self, cookie: u64, owner: &Owner, out: &mut Vec<Record>) {
        if !self.connections.has_tcp(cookie) {
            return;
        }
        let actor = self.actor(owner, out);
        self.read_executable(&actor, owner, out);
        self.connections
            .owned(cookie, actor.process, owner.tid, out);
    }

    /// A verdict belongs to the attempt or the flow that was reported before it.
    fn verdict(&mut self, verdict: &event::Verdict, ns: u64, out: &mut Vec<Record>) {
        let Some(rules) = self.rules.get(&verdict.generation) else {
            return;
        };
        let shown = Verdict {
            action: verdict.action,
            enforced: verdict.enforced,
            rule: rules.label(verdict.rule),
            policy: Rc::clone(&rules.policy),
            action_outcome: None,
        };
        self.connections.decided(verdict, shown, ns, out);
    }

    fn tcp_ended(&mut self, cookie: u64, out: &mut Vec<Record>) {
        self.streams.ended(cookie);
        self.beginnings.ended(cookie);
        let abandoned = self.queries.abandoned(cookie, None);
        self.unanswered(abandoned, out);
    }

    fn moment(&self, ns: u64) -> Moment {
        Moment {
            ns,
            ts: self.wall(ns),
        }
    }

    fn wall(&self, ns: u64) -> i64 {
        ns as i64 + self.clock_offset_ns
    }
}

/// That of the first process, as /proc shows it.
fn host_netns() -> Option<u32> {
    let namespace = std::fs::metadata("/proc/1/ns/net").ok()?;
    Some(namespace.ino() as u32)
}
