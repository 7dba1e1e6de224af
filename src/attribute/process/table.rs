//! The process table: from /proc at first, then from fork, exec and exit events. A process that
//! only its socket shows, as its fork was lost, is looked up in /proc and compared by start
//! time.

use std::rc::Rc;

use super::identities::Identities;
use super::identity::Surroundings;
use super::image::{Image, command_line};
use super::node::{Node, same_start};
use super::proc_reader::{ProcEntry, ProcReader};
use super::shares::{Ended, Running};
use crate::attribute::container::cgroup_path;
use crate::attribute::naming::ProcessKey;
use crate::capture::event::{Exec, Owner};
use crate::model::Process;

#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessOptions {
    /// Whether /proc shows the kernel side's pids.
    pub procfs: bool,
    /// Keep no arguments: command lines hold secrets.
    pub no_args: bool,
}

pub struct Processes {
    running: Running,
    ended: Ended,
    identities: Identities,
    proc: ProcReader,
    /// The process to track as soon as it appears.
    to_track: Option<u32>,
}

impl Processes {
    /// An empty table.
    pub fn new(options: ProcessOptions) -> Processes {
        Processes {
            running: Running::default(),
            ended: Ended::default(),
            identities: Identities::default(),
            proc: ProcReader::new(options.procfs, options.no_args),
            to_track: None,
        }
    }

    /// Adds all processes that run now.
    pub fn seed(&mut self) {
        for entry in self.proc.all() {
            let (key, uid) = (entry.key, entry.uid);
            let node = self.node_of(entry, key);
            if self.running.get(key.0).is_none() {
                self.running.insert(uid, Rc::new(node));
            }
        }
    }

    /// A process was created by a user; returns whether it is new.
    pub fn fork(
        &mut self,
        uid: u32,
        (pid, start_ns): ProcessKey,
        ppid: u32,
        parent_start_ns: u64,
    ) -> bool {
        if self.running(pid, start_ns).is_some() {
            return false; // found in /proc before, or reported twice
        }
        let parent = self.find(ppid, parent_start_ns);
        let node = match &parent {
            Some(parent) => Node::child(parent, (pid, start_ns)),
            None => Node::orphan((pid, start_ns), Some(ppid)),
        };
        self.insert(uid, Rc::new(node));
        true
    }

    fn insert(&mut self, uid: u32, node: Rc<Node>) {
        if self.to_track == Some(node.key.0) {
            self.to_track = None;
            node.tracked.set(true);
        }
        self.running.insert(uid, node);
    }

    /// A process has begun to run another program, `ns` since boot.
    pub fn exec(&mut self, exec: Exec, ns: u64) {
        let key = (exec.owner.pid, exec.owner.start_ns);
        if self.running(key.0, key.1).is_none() {
            self.fork(exec.owner.uid, key, exec.ppid, exec.parent_start_ns);
        }
        let Some(node) = self.running(key.0, key.1) else {
            return;
        };
        node.session.set(exec.session);
        node.set_image(Rc::new(Image {
            comm: exec.owner.comm,
            exe: exec.exe,
            exe_file: exec.exe_file,
            cmdline: command_line(&exec.argv, exec.argv_cut > 0, self.proc.no_args),
            exec_id: Some(exec.owner.exec_id),
            exec_ns: Some(ns),
            ..Image::default()
        }));
    }

    /// Gives a new process what it has from its creator. With CLONE_PARENT, by which runc
    /// creates a container's first process (libcontainer/nsenter/nsexec.c), that is not its
    /// parent.
    pub fn inherit_from_creator(&mut self, key: ProcessKey, creator: ProcessKey, session: u32) {
        let Some(node) = self.running(key.0, key.1) else {
            return;
        };
        node.session.set(session);
        let is_creator =
            |parent: &Rc<Node>| parent.key.0 == creator.0 && same_start(parent.key.1, creator.1);
        if node.parent.as_ref().is_some_and(is_creator) {
            return;
        }
        if let Some(creator) = self.find(creator.0, creator.1) {
            node.inherit(&creator);
        }
    }

    pub fn exit(&mut self, pid: u32, start_ns: u64) {
        if let Some(node) = self.running(pid, start_ns) {
            let uid = self.running.remove(pid).unwrap_or_default();
            self.ended.insert(uid, (pid, start_ns), node);
        }
    }

    /// A process was moved to this path of a cgroup v1 hierarchy; returns whether it names a
    /// container.
    pub fn moved(&mut self, pid: u32, start_ns: u64, path: Option<&str>) -> bool {
        let contained = path.is_some_and(|path| cgroup_path::container(path).is_some());
        if let Some(node) = self.running(pid, start_ns) {
            match path {
                Some(path) if contained => {
                    *node.v1_path.borrow_mut() = Some(path.into());
                    if cgroup_path::is_cut(path) {
                        node.v1_path_read.set(false);
                    }
                }
                Some(_) => {}
                None => {
                    *node.v1_path.borrow_mut() = None;
                    node.v1_path_read.set(false);
                }
            }
        }
        contained
    }

    /// Marks a process, which was seeded or whose fork is still to be handled, and its
    /// descendants.
    pub fn track(&mut self, pid: u32) {
        match self.running.get(pid) {
            Some(node) => node.tracked.set(true),
            None => self.to_track = Some(pid),
        }
    }

    /// Whether any tracked process still runs.
    pub fn any_tracked(&self) -> bool {
        self.running.values().any(|n| n.tracked.get())
    }

    /// The process of an event, from /proc where its fork was lost.
    pub fn node(&mut self, owner: &Owner) -> Rc<Node> {
        if let Some(node) = self.find(owner.pid, owner.start_ns) {
            let exec_id = node.image().exec_id;
            if exec_id.is_some_and(|known| known != owner.exec_id) {
                node.set_image(Rc::new(self.image_after_lost_exec(owner)));
            }
            return node;
        }
        let key = (owner.pid, owner.start_ns);
        if let Some(entry) = self.read_proc(owner) {
            let node = Rc::new(self.node_of(entry, key));
            self.insert(owner.uid, Rc::clone(&node));
            return node;
        }
        // It has ended, or /proc does not show it. Its pid may be another process' by now.
        let node = Rc::new(Node::orphan(key, None));
        self.ended.insert(owner.uid, key, Rc::clone(&node));
        node
    }

    /// The program after an exec whose event was lost: what /proc still shows, but never the
    /// earlier one.
    fn image_after_lost_exec(&self, owner: &Owner) -> Image {
        let image = self.read_proc(owner).map(|entry| entry.image);
        Image {
            comm: owner.comm.clone(),
            exec_id: Some(owner.exec_id),
            ..image.unwrap_or_default()
        }
    }

    /// Whether the executable is the file that its path leads to on the host.
    pub fn runs_hosts_file(&self, process: &Process) -> bool {
        let exe = process.exe.as_deref();
        exe.is_some_and(|path| self.proc.is_hosts_file(path, &process.exe_file))
    }

    /// The identity that the process has in this event.
    pub fn identify(&mut self, node: &Node, owner: &Owner, place: Surroundings) -> Rc<Process> {
        self.identities.identify(node, owner, place)
    }

    /// Its cgroup v1 path, if that names a container: from an event or, read once, from /proc.
    pub fn v1_path(&self, node: &Node) -> Option<Rc<str>> {
        let is_whole = |path: &Rc<str>| !cgroup_path::is_cut(path);
        let known = node.v1_path.borrow().as_ref().is_some_and(is_whole);
        if !known
            && !node.v1_path_read.replace(true)
            && let Some(text) = self.proc.cgroup(node.key.0)
            && let Some(path) = cgroup_path::v1_container_path(&text)
        {
            *node.v1_path.borrow_mut() = Some(path.into());
        }
        node.v1_path.borrow().clone()
    }

    /// Its cgroup2 path from /proc, where no event has reported all of it.
    pub fn v2_path(&self, node: &Node) -> Option<Rc<str>> {
        let cgroup = self.proc.cgroup(node.key.0)?;
        cgroup_path::v2_path(&cgroup).map(Rc::from)
    }

    fn running(&self, pid: u32, start_ns: u64) -> Option<Rc<Node>> {
        self.running
            .get(pid)
            .filter(|n| same_start(n.key.1, start_ns))
            .cloned()
    }

    /// A process that runs or has ended.
    fn find(&mut self, pid: u32, start_ns: u64) -> Option<Rc<Node>> {
        self.running(pid, start_ns)
            .or_else(|| self.ended.get(&(pid, start_ns)).cloned())
    }

    fn read_proc(&self, owner: &Owner) -> Option<ProcEntry> {
        self.proc
            .one(owner.pid)
            .filter(|entry| same_start(entry.key.1, owner.start_ns))
    }

    fn node_of(&self, entry: ProcEntry, key: ProcessKey) -> Node {
        let parent = entry.ppid.and_then(|ppid| self.running.get(ppid));
        let node = match parent {
            Some(parent) => Node::child(parent, key),
            None => Node::orphan(key, entry.ppid),
        };
        node.session.set(entry.session);
        node.set_image(Rc::new(entry.image));
        node
    }
}

#[cfg(test)]
mod tests;
