//! The process behind an event: its identity, its container, the names of its destinations, and
//! whether this run records it.

use std::rc::Rc;

use super::Attributor;
use super::connections::ConnectionStart;
use super::container::{
    ROOT_ID,
    cgroup_path::{CUT, is_cut},
};
use super::deferred_names::Deferral;
use super::executables::Runner;
use super::naming::{HostsAnswer, Requester};
use super::process::{Node, Surroundings};
use crate::capture::event::Owner;
use crate::model::{Endpoint, Name, Process, Record, Source, UNKNOWN};

/// A process that sends a query or connects.
pub struct Actor {
    pub node: Rc<Node>,
    pub process: Rc<Process>,
    pub requester: Rc<Requester>,
}

impl Attributor {
    pub(super) fn actor(&mut self, owner: &Owner, out: &mut Vec<Record>) -> Actor {
        let node = self.processes.node(owner);
        let cgroup = self.cgroup(&node, owner.cgroup_id);
        let container = cgroup
            .as_deref()
            .and_then(|path| self.containers.of(path, out));
        let group = match &container {
            Some(container) => Some(container.key()),
            None => cgroup.clone(),
        };
        let contained = container.is_some() || owner.foreign;
        let requester = Rc::new(Requester {
            process: node.key,
            tid: owner.tid,
            group,
            contained,
            on_host: !contained && Some(owner.netns) == self.host_netns,
            netns: owner.netns_cookie,
            uid: owner.uid,
            account: self.accounts.of_process(owner),
        });
        let image = node.image();
        let account = requester.account;
        let executable = image
            .executable
            .get_or_init(|| self.executables.of(&image, owner, account));
        let surroundings = Surroundings {
            cgroup,
            container,
            executable: executable.clone(),
            account,
        };
        let process = self.processes.identify(&node, owner, surroundings);
        Actor {
            node,
            process,
            requester,
        }
    }

    /// In the share of who may create it.
    pub(super) fn add_cgroup(&mut self, id: u64, path: &str) {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let owner = self.containers.owner(above);
        self.cgroups.add(id, path, self.accounts.of(owner));
    }

    fn cgroup(&mut self, node: &Node, id: u64) -> Option<Rc<str>> {
        if id == ROOT_ID {
            // With cgroup v1, all containers may be in the root of cgroup2.
            return self.processes.v1_path(node);
        }
        let known = self.cgroups.get(id);
        if known.as_ref().is_some_and(|path| !is_cut(path)) {
            return known;
        }
        // It may have moved since.
        let whole = self.processes.v2_path(node).filter(|path| {
            let beginning = known.as_deref().and_then(|known| known.strip_suffix(CUT));
            beginning.is_none_or(|beginning| path.starts_with(beginning))
        });
        let Some(path) = whole else {
            return known;
        };
        self.add_cgroup(id, &path);
        Some(path)
    }

    /// What is known of a connection when it begins; None where it is not recorded.
    pub(super) fn begin(
        &mut self,
        owner: &Owner,
        dst: Endpoint,
        ns: u64,
        out: &mut Vec<Record>,
    ) -> Option<ConnectionStart> {
        let actor = self.actor(owner, out);
        let (name, deferral) = self.name(&actor, owner, dst, ns);
        if !self.records_connection(&actor, dst) {
            return None;
        }
        self.read_executable(&actor, owner, out);
        Some(ConnectionStart {
            ns,
            ts: self.wall(ns),
            process: actor.process,
            name,
            geo: self.geo.of(dst.ip),
            deferral,
        })
    }

    /// Has the executable read of a process that connects, once.
    pub(super) fn read_executable(&mut self, actor: &Actor, owner: &Owner, out: &mut Vec<Record>) {
        let image = actor.node.image();
        let Some(executable) = &actor.process.executable else {
            return;
        };
        if image.requested.replace(true) {
            return;
        }
        let others = actor
            .node
            .ppid
            .into_iter()
            .chain(self.hosts.residents(owner));
        let runner = Runner {
            pids: [owner.pid].into_iter().chain(others).collect(),
            uid: owner.uid,
            mntns: owner.mntns,
            account: actor.requester.account,
            run_ts: image.exec_ns.map(|ns| self.wall(ns)),
            node: Rc::clone(&actor.node),
        };
        self.executables.read(executable, &image, runner, out);
    }

    /// A name that another process looked up gives way to the /etc/hosts that this one sees: a
    /// process that finds a name there sends no query. It does so late if that is not read yet.
    fn name(
        &mut self,
        actor: &Actor,
        owner: &Owner,
        dst: Endpoint,
        ns: u64,
    ) -> (Option<Name>, Option<Deferral>) {
        if dst == UNKNOWN {
            return (None, None);
        }
        let ancestors = actor.node.ancestors();
        let is_own = |n: &Name| matches!(n.source, Source::Process | Source::Ancestor);
        let mut name = self.names.name(&actor.requester, &ancestors, dst, ns);
        // What another process looked up may be wrong for one whose own answer was not seen.
        if self.queries.lacks_answer(actor.requester.process, ns) {
            name = name.filter(is_own);
        }
        // Resolvers are configured by address, whatever names others have for it.
        if name.as_ref().is_some_and(is_own) || self.settings.dns_ports.contains(&dst.port) {
            return (name.filter(is_own), None);
        }
        if !self.settings.procfs || owner.pid == 0 {
            return (name, None);
        }
        let account = actor.requester.account;
        match self.hosts.name(owner, account, dst.ip, ns) {
            HostsAnswer::Known(from_file) => (from_file.or(name), None),
            HostsAnswer::Missed => (name, None),
            HostsAnswer::Pending => {
                let deferral = Deferral {
                    owner: owner.clone(),
                    account,
                };
                (name, Some(deferral))
            }
        }
    }

    fn records_connection(&self, actor: &Actor, dst: Endpoint) -> bool {
        let excludes = &self.settings.exclude;
        let is_hosts = |process: &Process| self.processes.runs_hosts_file(process);
        let excluded = excludes
            .iter()
            .any(|e| e.matches(dst, &actor.process, is_hosts));
        !excluded && self.records_process(&actor.node)
    }

    pub(super) fn records_lookup(&self, actor: &Actor, server: Endpoint) -> bool {
        let excludes = &self.settings.exclude;
        let is_hosts = |process: &Process| self.processes.runs_hosts_file(process);
        let excluded = excludes
            .iter()
            .any(|e| e.matches_lookup(server, &actor.process, is_hosts));
        !excluded && self.records_process(&actor.node)
    }

    fn records_process(&self, node: &Node) -> bool {
        !self.settings.only_tracked || node.tracked.get()
    }
}
