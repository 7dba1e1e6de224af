//! The process table: from the kernel's fork, exec and exit, begun from /proc.
//! A process that was seen only by its socket (its fork was lost, or it is older
//! than egrets) is looked up in /proc, guarded by its start time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::rc::Rc;

use hashlink::LruCache;
use procfs::process as proc;

use super::cgroups;
use super::names::ProcessKey;
use super::users::Users;
use crate::capture::event::{Exec, Owner, arguments};
use crate::model::{Ancestor, Container, Process, tick_ns};

/// What an exec gives a process, and fork hands on.
#[derive(Debug, Default)]
pub struct Image {
    pub comm: String,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    /// The process' [`Owner::exec_id`] since then; None where /proc told the rest.
    pub exec_id: Option<u64>,
}

/// A process over its whole life, linked to its parent.
#[derive(Debug)]
pub struct Node {
    pub key: ProcessKey,
    pub ppid: Option<u32>,
    parent: Option<Rc<Node>>,
    /// What its parent ran when it started this one.
    born_of: Option<Rc<Image>>,
    depth: usize,
    image: RefCell<Rc<Image>>,
    /// Pid of its session's leader, as its last fork or exec told; 0 where none has.
    session: Cell<u32>,
    /// Whether this run records it: with `record -- CMD`, CMD's descendants.
    pub tracked: Cell<bool>,
    /// Its cgroup v1 path, where that names a container.
    v1_path: RefCell<Option<Rc<str>>>,
    /// Whether /proc was asked for that already.
    v1_asked: Cell<bool>,
    /// The identity that its last event had.
    last: RefCell<Option<(Identity, Rc<Process>)>>,
    /// What it is to those that it starts with its newest such program.
    ancestor: RefCell<Option<(Rc<Image>, Rc<Ancestor>)>>,
}

/// What makes a new [`Process`] row when it changes.
#[derive(Debug)]
struct Identity {
    comm: String,
    uid: u32,
    login_uid: Option<u32>,
    cgroup: Option<Rc<str>>,
    container: Option<Rc<Container>>,
    netns: u32,
    /// What it runs: an exec makes a new one.
    image: Rc<Image>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        let container = |of: &Identity| of.container.as_ref().map(|c| c.serial);
        // Held, so that no later image can have the same address.
        Rc::ptr_eq(&self.image, &other.image)
            && container(self) == container(other)
            && (
                &self.comm,
                self.uid,
                self.login_uid,
                &self.cgroup,
                self.netns,
            ) == (
                &other.comm,
                other.uid,
                other.login_uid,
                &other.cgroup,
                other.netns,
            )
    }
}

/// How far up a process' ancestors are followed, and kept when they are gone.
const MAX_DEPTH: usize = 64;

/// Processes remembered that have ended: those that something came of last. A socket
/// may outlive the process that owns it, in one that inherited it.
const MAX_ENDED: usize = 4096;

/// Bytes of a command line that are kept, as the kernel side keeps them.
const ARGV_MAX: usize = 4096;

/// How the table is filled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether /proc shows the kernel side's pids.
    pub procfs: bool,
    /// Keep no arguments: command lines hold secrets.
    pub no_args: bool,
}

pub struct Processes {
    live: HashMap<u32, Rc<Node>>,
    ended: LruCache<ProcessKey, Rc<Node>>,
    serial: u64,
    users: Users,
    options: Options,
    /// The process to track as soon as it is seen.
    root: Option<u32>,
}

/// The parts of an identity that other tables know.
pub struct Place {
    pub cgroup: Option<Rc<str>>,
    pub container: Option<Rc<Container>>,
}

impl Processes {
    /// An empty table.
    pub fn new(options: Options) -> Processes {
        Processes {
            live: HashMap::new(),
            ended: LruCache::new(MAX_ENDED),
            serial: 0,
            users: Users::default(),
            options,
            root: None,
        }
    }

    /// Every process that runs now, parents before children.
    pub fn seed(&mut self) {
        if !self.options.procfs {
            return;
        }
        let Ok(all) = proc::all_processes() else {
            return;
        };
        let mut found: Vec<_> = all
            .flatten()
            .filter_map(|p| Some((p.stat().ok()?, p)))
            .collect();
        found.sort_by_key(|(stat, _)| (stat.starttime, stat.pid));
        for (stat, process) in found {
            let node = self.read(&stat, &process);
            self.live.entry(node.key.0).or_insert(node);
        }
    }

    /// A process was made; whether it is new.
    pub fn fork(&mut self, pid: u32, start_ns: u64, ppid: u32, parent_start_ns: u64) -> bool {
        if self.known(pid, start_ns).is_some() {
            return false; // it was found in /proc, or is told twice
        }
        let parent = self.remembered(ppid, parent_start_ns);
        let node = match &parent {
            Some(parent) => Node::child(parent, (pid, start_ns)),
            None => Node::orphan((pid, start_ns), Some(ppid)),
        };
        self.insert(Rc::new(node));
        true
    }

    fn insert(&mut self, node: Rc<Node>) {
        if self.root == Some(node.key.0) {
            self.root = None;
            node.tracked.set(true);
        }
        self.live.insert(node.key.0, node);
    }

    pub fn exec(&mut self, exec: Exec) {
        let key = (exec.owner.pid, exec.owner.start_ns);
        let node = match self.known(key.0, key.1) {
            Some(node) => node,
            None => {
                self.fork(key.0, key.1, exec.ppid, exec.parent_start_ns);
                match self.known(key.0, key.1) {
                    Some(node) => node,
                    None => return,
                }
            }
        };
        let cmdline = self.cmdline(&exec.argv, exec.argv_cut > 0);
        let exe = exec.exe.or_else(|| node.image.borrow().exe.clone());
        node.session.set(exec.session);
        *node.image.borrow_mut() = Rc::new(Image {
            comm: exec.owner.comm,
            exe,
            cmdline,
            exec_id: Some(exec.owner.exec_id),
        });
    }

    /// What a new process has of who made it, which is not its parent with CLONE_PARENT:
    /// so runc makes a container's first process (libcontainer/nsenter/nsexec.c).
    pub fn made(&mut self, key: ProcessKey, from: ProcessKey, session: u32) {
        let Some(node) = self.known(key.0, key.1) else {
            return;
        };
        node.session.set(session);
        let is_parent =
            |parent: &Rc<Node>| parent.key.0 == from.0 && same_start(parent.key.1, from.1);
        if node.parent.as_ref().is_some_and(is_parent) {
            return;
        }
        if let Some(from) = self.remembered(from.0, from.1) {
            *node.image.borrow_mut() = Rc::clone(&from.image.borrow());
            *node.v1_path.borrow_mut() = from.v1_path.borrow().clone();
            node.v1_asked.set(from.v1_asked.get());
            node.tracked.set(node.tracked.get() || from.tracked.get());
        }
    }

    pub fn exit(&mut self, pid: u32, start_ns: u64) {
        if let Some(node) = self.known(pid, start_ns) {
            self.live.remove(&pid);
            self.ended.insert((pid, start_ns), node);
        }
    }

    /// A command line as it is kept.
    fn cmdline(&self, argv: &[String], cut: bool) -> Option<String> {
        if self.options.no_args {
            return argv.first().filter(|program| !program.is_empty()).cloned();
        }
        let mut cmdline = argv.join(" ");
        if cut {
            cmdline.push('…');
        }
        (!cmdline.is_empty()).then_some(cmdline)
    }

    /// A process was moved to this path of a cgroup v1 hierarchy, or to one that is too
    /// long; whether it names a container.
    pub fn moved(&mut self, pid: u32, start_ns: u64, path: Option<&str>) -> bool {
        let contained = path.is_some_and(|path| cgroups::container(path).is_some());
        if let Some(node) = self.known(pid, start_ns) {
            match path {
                Some(path) if contained => *node.v1_path.borrow_mut() = Some(path.into()),
                Some(_) => {}
                None => {
                    *node.v1_path.borrow_mut() = None;
                    node.v1_asked.set(false);
                }
            }
        }
        contained
    }

    /// Marks a process whose fork is still to be told, and all that it starts.
    pub fn track(&mut self, pid: u32) {
        self.root = Some(pid);
    }

    /// Whether any process that is tracked still runs.
    pub fn any_tracked(&self) -> bool {
        self.live.values().any(|n| n.tracked.get())
    }

    /// The process of an event, read from /proc where its fork was not seen.
    pub fn node(&mut self, owner: &Owner) -> Rc<Node> {
        if let Some(node) = self.remembered(owner.pid, owner.start_ns) {
            let known = node.image.borrow().exec_id;
            if known.is_some_and(|known| known != owner.exec_id) {
                *node.image.borrow_mut() = Rc::new(self.image_now(owner));
            }
            return node;
        }
        let key = (owner.pid, owner.start_ns);
        let read = self
            .read_one(owner.pid)
            .filter(|node| same_start(node.key.1, owner.start_ns));
        if let Some(node) = read {
            let node = Rc::new(node.renamed(key));
            self.insert(Rc::clone(&node));
            return node;
        }
        // It has ended, or can't be looked up. Its pid may be another one's by now.
        let node = Rc::new(Node::orphan(key, None));
        self.ended.insert(key, Rc::clone(&node));
        node
    }

    /// What a process runs whose exec was lost: what /proc still tells, or nothing,
    /// and never what it ran before.
    fn image_now(&self, owner: &Owner) -> Image {
        let read = self.read_one(owner.pid);
        let image = read
            .filter(|node| same_start(node.key.1, owner.start_ns))
            .and_then(|node| Rc::try_unwrap(node.image.into_inner()).ok())
            .unwrap_or_default();
        Image {
            comm: owner.comm.clone(),
            exec_id: Some(owner.exec_id),
            ..image
        }
    }

    /// The identity that the process has in this event.
    pub fn identify(&mut self, node: &Node, owner: &Owner, place: Place) -> Rc<Process> {
        let image = Rc::clone(&node.image.borrow());
        let identity = Identity {
            comm: owner.comm.clone(),
            uid: owner.uid,
            login_uid: owner.login_uid,
            cgroup: place.cgroup.clone(),
            container: place.container.clone(),
            netns: owner.netns,
            image: Rc::clone(&image),
        };
        if let Some((last, process)) = &*node.last.borrow()
            && *last == identity
        {
            return Rc::clone(process);
        }
        self.serial += 1;
        let cgroup = place.cgroup.as_deref();
        let parent = self.started_by(node);
        let process = Rc::new(Process {
            serial: self.serial,
            pid: owner.pid,
            start_ns: owner.start_ns,
            ppid: node.ppid,
            parent_comm: node.parent.as_ref().map(|p| p.image.borrow().comm.clone()),
            comm: owner.comm.clone(),
            exe: image.exe.clone(),
            cmdline: image.cmdline.clone(),
            uid: owner.uid,
            user: self.users.name(owner.uid),
            cgroup: cgroup.map(str::to_string),
            unit: cgroup.and_then(cgroups::unit).map(str::to_string),
            container: place.container,
            netns: (owner.netns != 0).then_some(owner.netns),
            login_uid: owner.login_uid,
            login_user: owner.login_uid.and_then(|uid| self.users.name(uid)),
            parent,
            session: Some(node.session.get()).filter(|pid| *pid != 0),
        });
        *node.last.borrow_mut() = Some((identity, Rc::clone(&process)));
        process
    }

    /// The program that started a process, with those above it.
    fn started_by(&mut self, node: &Node) -> Option<Rc<Ancestor>> {
        let mut missing = Vec::new();
        let mut found = None;
        let mut at = (node.parent.as_ref(), node.born_of.as_ref());
        while let (Some(parent), Some(image)) = at {
            if let Some((of, ancestor)) = &*parent.ancestor.borrow()
                && Rc::ptr_eq(of, image)
            {
                found = Some(Rc::clone(ancestor));
                break;
            }
            missing.push((parent, image));
            at = (parent.parent.as_ref(), parent.born_of.as_ref());
        }
        for (parent, image) in missing.into_iter().rev() {
            self.serial += 1;
            let ancestor = Rc::new(Ancestor {
                serial: self.serial,
                pid: parent.key.0,
                start_ns: parent.key.1,
                comm: image.comm.clone(),
                exe: image.exe.clone(),
                cmdline: image.cmdline.clone(),
                parent: found,
            });
            *parent.ancestor.borrow_mut() = Some((Rc::clone(image), Rc::clone(&ancestor)));
            found = Some(ancestor);
        }
        found
    }

    /// Its cgroup v1 path that names a container, told by an event or, asked once,
    /// by /proc.
    pub fn v1_path(&self, node: &Node) -> Option<Rc<str>> {
        if node.v1_path.borrow().is_none() && !node.v1_asked.replace(true) {
            let text = self.proc_cgroup(node)?;
            *node.v1_path.borrow_mut() = cgroups::v1_container_path(&text).map(Rc::from);
        }
        node.v1_path.borrow().clone()
    }

    /// Its cgroup2 path as /proc tells it, where no event has.
    pub fn v2_path(&self, node: &Node) -> Option<Rc<str>> {
        cgroups::v2_path(&self.proc_cgroup(node)?).map(Rc::from)
    }

    fn proc_cgroup(&self, node: &Node) -> Option<String> {
        let path = format!("/proc/{}/cgroup", node.key.0);
        self.options
            .procfs
            .then(|| fs::read_to_string(path).ok())
            .flatten()
    }

    fn known(&self, pid: u32, start_ns: u64) -> Option<Rc<Node>> {
        self.live
            .get(&pid)
            .filter(|n| same_start(n.key.1, start_ns))
            .cloned()
    }

    /// A process that runs, or ran.
    fn remembered(&mut self, pid: u32, start_ns: u64) -> Option<Rc<Node>> {
        self.known(pid, start_ns)
            .or_else(|| self.ended.get(&(pid, start_ns)).cloned())
    }

    fn read_one(&self, pid: u32) -> Option<Node> {
        if !self.options.procfs {
            return None;
        }
        let process = proc::Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        Rc::try_unwrap(self.read(&stat, &process)).ok()
    }

    fn read(&self, stat: &proc::Stat, process: &proc::Process) -> Rc<Node> {
        let key = (stat.pid as u32, ticks_to_ns(stat.starttime));
        let ppid = stat.ppid as u32;
        let node = match self.live.get(&ppid) {
            Some(parent) => Node::child(parent, key),
            None => Node::orphan(key, (ppid != 0).then_some(ppid)),
        };
        node.session
            .set(u32::try_from(stat.session).unwrap_or_default());
        let (argv, cut) = read_argv(key.0);
        *node.image.borrow_mut() = Rc::new(Image {
            comm: stat.comm.clone(),
            exe: process.exe().ok().map(|p| p.to_string_lossy().into_owned()),
            cmdline: self.cmdline(&argv, cut),
            exec_id: None,
        });
        Rc::new(node)
    }
}

impl Node {
    fn orphan(key: ProcessKey, ppid: Option<u32>) -> Node {
        Node {
            key,
            ppid,
            parent: None,
            born_of: None,
            depth: 0,
            image: RefCell::default(),
            session: Cell::new(0),
            tracked: Cell::new(false),
            v1_path: RefCell::default(),
            v1_asked: Cell::new(false),
            last: RefCell::default(),
            ancestor: RefCell::default(),
        }
    }

    /// A new process is its parent until it execs.
    fn child(parent: &Rc<Node>, key: ProcessKey) -> Node {
        // A process that forks and exits, for ever, must not make a chain that
        // grows for ever: it begins anew now and then.
        let cut = parent.depth >= MAX_DEPTH;
        Node {
            key,
            ppid: Some(parent.key.0),
            parent: Some(if cut {
                Rc::new(parent.alone())
            } else {
                Rc::clone(parent)
            }),
            born_of: Some(Rc::clone(&parent.image.borrow())),
            depth: if cut { 1 } else { parent.depth + 1 },
            image: RefCell::new(Rc::clone(&parent.image.borrow())),
            session: parent.session.clone(),
            tracked: Cell::new(parent.tracked.get()),
            v1_path: RefCell::new(parent.v1_path.borrow().clone()),
            v1_asked: Cell::new(parent.v1_asked.get()),
            last: RefCell::default(),
            ancestor: RefCell::default(),
        }
    }

    /// The same process without its ancestors.
    fn alone(&self) -> Node {
        let image = Rc::clone(&self.image.borrow());
        Node {
            image: RefCell::new(image),
            ..Node::orphan(self.key, self.ppid)
        }
    }

    fn renamed(self, key: ProcessKey) -> Node {
        Node { key, ..self }
    }

    /// Its parent, grandparent and so on, as far as they are known.
    pub fn ancestors(&self) -> Vec<ProcessKey> {
        let mut keys = Vec::new();
        let mut at = self.parent.as_ref();
        while let Some(node) = at {
            keys.push(node.key);
            at = node.parent.as_ref();
        }
        keys
    }
}

/// The arguments of a process that runs, and whether they were cut. Its owner may have
/// written anything there, of any length.
fn read_argv(pid: u32) -> (Vec<String>, bool) {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
        let _ = file.take(ARGV_MAX as u64 + 1).read_to_end(&mut bytes);
    }
    let cut = bytes.len() > ARGV_MAX;
    bytes.truncate(ARGV_MAX);
    (arguments(&bytes), cut)
}

/// Clock ticks since boot (proc_pid_stat(5), field 22) in nanoseconds.
fn ticks_to_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(tick_ns())
}

/// Whether two start times are one process': /proc rounds down to a tick.
fn same_start(a: u64, b: u64) -> bool {
    a == b || a.abs_diff(b) < tick_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32, start_ns: u64, comm: &str) -> Owner {
        Owner {
            pid,
            tid: pid,
            uid: 0,
            login_uid: None,
            start_ns,
            exec_id: 7,
            cgroup_id: 1,
            netns: 2,
            netns_cookie: 3,
            mntns: Default::default(),
            comm: comm.into(),
        }
    }

    fn exec(pid: u32, start_ns: u64, argv: &[&str]) -> Exec {
        Exec {
            owner: owner(pid, start_ns, argv[0]),
            ppid: 1,
            parent_start_ns: 0,
            session: 10,
            exe: Some(format!("/bin/{}", argv[0])),
            argv: argv.iter().map(|a| a.to_string()).collect(),
            argv_cut: 0,
        }
    }

    fn nowhere() -> Place {
        Place {
            cgroup: None,
            container: None,
        }
    }

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_child_that_does_not_exec_runs_its_parents_program() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["bash", "-c", "x"]));
        table.fork(11, 2 * S, 10, S);
        let who = owner(11, 2 * S, "bash");
        let node = table.node(&who);
        let process = table.identify(&node, &who, nowhere());
        assert_eq!(process.exe.as_deref(), Some("/bin/bash"));
        assert_eq!(process.cmdline.as_deref(), Some("bash -c x"));
        assert_eq!(
            (process.ppid, process.parent_comm.as_deref()),
            (Some(10), Some("bash"))
        );
        assert_eq!(node.ancestors(), [(10, S)]);
    }

    #[test]
    fn what_a_sibling_made_has_the_siblings_program_and_cgroup_and_its_own_parent() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["runc", "create"]));
        table.fork(11, 2 * S, 10, S);
        table.exec(exec(11, 2 * S, &["runc", "init"]));
        let path = format!("/docker/{}", "a1".repeat(32));
        assert!(table.moved(11, 2 * S, Some(&path)));
        // CLONE_PARENT: by 11, and its parent is 10
        assert!(table.fork(12, 3 * S, 10, S));
        table.made((12, 3 * S), (11, 2 * S), 10);
        let node = table.node(&owner(12, 3 * S, "runc"));
        assert_eq!(node.ancestors(), [(10, S)]);
        assert_eq!(table.v1_path(&node).as_deref(), Some(path.as_str()));
        assert_eq!(node.image.borrow().cmdline.as_deref(), Some("runc init"));
    }

    #[test]
    fn an_identity_lasts_until_something_of_it_changes() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        let bash = owner(10, S, "bash");
        let node = table.node(&bash);
        let first = table.identify(&node, &bash, nowhere());
        assert_eq!(table.identify(&node, &bash, nowhere()).serial, first.serial);
        let user = Owner {
            uid: 1000,
            ..bash.clone()
        };
        let second = table.identify(&node, &user, nowhere());
        assert_ne!(second.serial, first.serial);
        table.exec(exec(10, S, &["bash"]));
        let third = table.identify(&node, &user, nowhere());
        assert_ne!(third.serial, second.serial);
    }

    #[test]
    fn an_exec_that_no_event_saw_leaves_nothing_of_the_program_before() {
        let mut table = Processes::new(Options::default());
        let who = owner(10, S, "bash");
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["bash", "one"]));
        let node = table.node(&who);
        table.identify(&node, &who, nowhere());
        table.exec(exec(10, S, &["env", "bash", "two"]));
        table.exec(exec(10, S, &["bash", "two"]));
        let process = table.identify(&node, &who, nowhere());
        assert_eq!(process.cmdline.as_deref(), Some("bash two"));
    }

    #[test]
    fn a_process_whose_exec_was_lost_has_not_the_program_before() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["bash", "script"]));
        let curl = Owner {
            exec_id: 8,
            ..owner(10, S, "curl")
        };
        let node = table.node(&curl);
        let process = table.identify(&node, &curl, nowhere());
        assert_eq!(process.comm, "curl");
        assert_eq!((&process.exe, &process.cmdline), (&None, &None));
    }

    #[test]
    fn a_pid_used_again_is_another_process() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["curl"]));
        let again = owner(10, 9 * S, "wget");
        let node = table.node(&again);
        let process = table.identify(&node, &again, nowhere());
        assert_eq!(
            (process.comm.as_str(), process.exe.as_deref()),
            ("wget", None)
        );
        table.exit(10, S); // the first one's, late
        assert!(table.remembered(10, 9 * S).is_some());
    }

    #[test]
    fn what_a_tracked_process_starts_is_tracked() {
        let mut table = Processes::new(Options::default());
        table.track(10);
        table.fork(10, S, 1, 0);
        table.fork(11, 2 * S, 10, S);
        table.exit(10, S);
        assert!(table.any_tracked());
        table.fork(12, 3 * S, 11, 2 * S);
        assert!(table.node(&owner(12, 3 * S, "x")).tracked.get());
        table.exit(11, 2 * S);
        table.exit(12, 3 * S);
        assert!(!table.any_tracked());
    }

    #[test]
    fn a_process_that_has_ended_is_still_known_and_its_pid_free_for_another() {
        let mut table = Processes::new(Options::default());
        table.track(10);
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["curl", "x"]));
        table.exit(10, S);
        table.fork(10, 5 * S, 1, 0);
        let late = owner(10, S, "curl");
        let node = table.node(&late);
        assert!(node.tracked.get());
        let process = table.identify(&node, &late, nowhere());
        assert_eq!(process.cmdline.as_deref(), Some("curl x"));
        assert!(!table.any_tracked());
        // one that was never seen takes nobody's place
        table.node(&owner(10, 3 * S, "x"));
        assert!(table.known(10, 5 * S).is_some());
        for pid in 0..2 * MAX_ENDED as u32 {
            table.fork(pid, 9 * S, 1, 0);
            table.exit(pid, 9 * S);
        }
        assert_eq!(table.ended.len(), MAX_ENDED);
    }

    #[test]
    fn ancestors_are_what_they_were_when_they_started_the_next() {
        let mut table = Processes::new(Options::default());
        table.fork(10, S, 1, 0);
        table.exec(exec(10, S, &["bash", "build.sh"]));
        table.fork(11, 2 * S, 10, S);
        table.exec(exec(11, 2 * S, &["make"]));
        table.fork(12, 3 * S, 11, 2 * S);
        table.fork(13, 3 * S, 11, 2 * S);
        table.exec(exec(11, 2 * S, &["true"]));
        table.exit(11, 2 * S);
        let mut chain = |pid| {
            let who = owner(pid, 3 * S, "curl");
            let node = table.node(&who);
            let mut at = table.identify(&node, &who, nowhere()).parent.clone();
            let mut chain = Vec::new();
            while let Some(ancestor) = at {
                chain.push((ancestor.pid, ancestor.comm.clone(), ancestor.serial));
                at = ancestor.parent.clone();
            }
            chain
        };
        let first = chain(12);
        let comms: Vec<_> = first
            .iter()
            .map(|(pid, comm, _)| (*pid, comm.as_str()))
            .collect();
        assert_eq!(comms, [(11, "make"), (10, "bash")]);
        assert_eq!(chain(13), first);
    }

    #[test]
    fn without_arguments_only_the_program_is_kept() {
        let mut table = Processes::new(Options {
            no_args: true,
            ..Options::default()
        });
        table.exec(exec(10, S, &["curl", "-u", "me:secret"]));
        let who = owner(10, S, "curl");
        let node = table.node(&who);
        let process = table.identify(&node, &who, nowhere());
        assert_eq!(process.cmdline.as_deref(), Some("curl"));
    }

    #[test]
    fn a_chain_of_forks_and_exits_stays_bounded() {
        let mut table = Processes::new(Options::default());
        table.fork(1, S, 0, 0);
        for i in 1..2000u32 {
            table.fork(i + 1, u64::from(i + 1) * S, i, u64::from(i) * S);
            table.exit(i, u64::from(i) * S);
        }
        let last = table.node(&owner(2000, 2000 * S, "x"));
        assert!(
            last.ancestors().len() <= MAX_DEPTH + 1,
            "{}",
            last.ancestors().len()
        );
    }

    #[test]
    fn this_process_is_found_in_proc() {
        let mut table = Processes::new(Options {
            procfs: true,
            ..Options::default()
        });
        table.seed();
        let pid = std::process::id();
        let node = table.live.get(&pid).cloned().unwrap();
        let me = owner(pid, node.key.1, "egrets");
        let process = table.identify(&node, &me, nowhere());
        let exe = std::env::current_exe().unwrap();
        assert_eq!(process.exe.as_deref(), exe.to_str());
        assert!(process.ppid.is_some() && process.parent_comm.is_some());
    }
}
