//! The process table: from the kernel's fork, exec and exit, begun from /proc.
//! A process that was seen only by its socket (its fork was lost, or it is older
//! than egrets) is looked up in /proc, guarded by its start time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::rc::Rc;

use procfs::process as proc;

use super::cgroups;
use super::names::ProcessKey;
use super::users::Users;
use crate::capture::event::{Exec, Owner};
use crate::record::{Container, Process};

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
    depth: usize,
    image: RefCell<Rc<Image>>,
    /// Whether this run records it: with `record -- CMD`, CMD's descendants.
    pub tracked: Cell<bool>,
    /// Its cgroup v1 path, where that names a container.
    v1_path: RefCell<Option<Rc<str>>>,
    /// Whether /proc was asked for that already.
    v1_asked: Cell<bool>,
    /// The identity that its last event had.
    last: RefCell<Option<(Identity, Rc<Process>)>>,
}

/// What makes a new [`Process`] row when it changes.
#[derive(Debug)]
struct Identity {
    comm: String,
    uid: u32,
    cgroup: Option<Rc<str>>,
    netns: u32,
    /// What it runs: an exec makes a new one.
    image: Rc<Image>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        // Held, so that no later image can have the same address.
        Rc::ptr_eq(&self.image, &other.image)
            && (&self.comm, self.uid, &self.cgroup, self.netns)
                == (&other.comm, other.uid, &other.cgroup, other.netns)
    }
}

/// How far up a process' ancestors are followed, and kept when they are gone.
const MAX_DEPTH: usize = 64;

pub struct Processes {
    live: HashMap<u32, Rc<Node>>,
    serial: u64,
    users: Users,
    /// Whether /proc shows the kernel side's pids.
    procfs: bool,
    /// The process to track as soon as it is seen.
    root: Option<u32>,
}

/// The parts of an identity that other tables know.
pub struct Place {
    pub cgroup: Option<Rc<str>>,
    pub container: Option<Rc<Container>>,
}

impl Processes {
    /// An empty table; `procfs` says whether /proc can be asked.
    pub fn new(procfs: bool) -> Processes {
        Processes {
            live: HashMap::new(),
            serial: 0,
            users: Users::default(),
            procfs,
            root: None,
        }
    }

    /// Every process that runs now, parents before children.
    pub fn seed(&mut self) {
        if !self.procfs {
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

    pub fn fork(&mut self, pid: u32, start_ns: u64, ppid: u32, parent_start_ns: u64) {
        if self.known(pid, start_ns).is_some() {
            return; // it was found in /proc, or is told twice
        }
        let parent = self.known(ppid, parent_start_ns);
        let node = match &parent {
            Some(parent) => Node::child(parent, (pid, start_ns)),
            None => Node::orphan((pid, start_ns), Some(ppid)),
        };
        self.insert(Rc::new(node));
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
        let mut cmdline = exec.argv.join(" ");
        if exec.argv_cut > 0 {
            cmdline.push('…');
        }
        let exe = exec.exe.or_else(|| node.image.borrow().exe.clone());
        let cmdline = (!cmdline.is_empty()).then_some(cmdline);
        *node.image.borrow_mut() = Rc::new(Image {
            comm: exec.owner.comm,
            exe,
            cmdline,
            exec_id: Some(exec.owner.exec_id),
        });
    }

    pub fn exit(&mut self, pid: u32, start_ns: u64) {
        if self.known(pid, start_ns).is_some() {
            self.live.remove(&pid);
        }
    }

    /// A process was moved to this path of a cgroup v1 hierarchy.
    pub fn moved(&mut self, pid: u32, start_ns: u64, path: &str) {
        if let Some(node) = self.known(pid, start_ns) {
            *node.v1_path.borrow_mut() = Some(path.into());
        }
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
        if let Some(node) = self.known(owner.pid, owner.start_ns) {
            let known = node.image.borrow().exec_id;
            if known.is_some_and(|known| known != owner.exec_id) {
                *node.image.borrow_mut() = Rc::new(self.image_now(owner));
            }
            return node;
        }
        let node = self
            .read_one(owner.pid)
            .filter(|node| same_start(node.key.1, owner.start_ns))
            .map(|node| Rc::new(node.renamed((owner.pid, owner.start_ns))))
            .unwrap_or_else(|| Rc::new(Node::orphan((owner.pid, owner.start_ns), None)));
        self.insert(Rc::clone(&node));
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
            cgroup: place.cgroup.clone(),
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
        });
        *node.last.borrow_mut() = Some((identity, Rc::clone(&process)));
        process
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
        self.procfs.then(|| fs::read_to_string(path).ok()).flatten()
    }

    fn known(&self, pid: u32, start_ns: u64) -> Option<Rc<Node>> {
        self.live
            .get(&pid)
            .filter(|n| same_start(n.key.1, start_ns))
            .cloned()
    }

    fn read_one(&self, pid: u32) -> Option<Node> {
        if !self.procfs {
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
        let argv = process.cmdline().unwrap_or_default();
        *node.image.borrow_mut() = Rc::new(Image {
            comm: stat.comm.clone(),
            exe: process.exe().ok().map(|p| p.to_string_lossy().into_owned()),
            cmdline: (!argv.is_empty()).then(|| argv.join(" ")),
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
            depth: 0,
            image: RefCell::default(),
            tracked: Cell::new(false),
            v1_path: RefCell::default(),
            v1_asked: Cell::new(false),
            last: RefCell::default(),
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
            depth: if cut { 1 } else { parent.depth + 1 },
            image: RefCell::new(Rc::clone(&parent.image.borrow())),
            tracked: Cell::new(parent.tracked.get()),
            v1_path: RefCell::new(parent.v1_path.borrow().clone()),
            v1_asked: Cell::new(parent.v1_asked.get()),
            last: RefCell::default(),
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

/// Clock ticks since boot (proc_pid_stat(5), field 22) in nanoseconds.
fn ticks_to_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1))
}

/// Whether two start times are one process': /proc rounds down to a tick.
fn same_start(a: u64, b: u64) -> bool {
    a == b || a.abs_diff(b) < 1_000_000_000 / procfs::ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32, start_ns: u64, comm: &str) -> Owner {
        Owner {
            pid,
            tid: pid,
            uid: 0,
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
        let mut table = Processes::new(false);
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
    fn an_identity_lasts_until_something_of_it_changes() {
        let mut table = Processes::new(false);
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
        let mut table = Processes::new(false);
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
        let mut table = Processes::new(false);
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
        let mut table = Processes::new(false);
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
        assert!(table.known(10, 9 * S).is_some());
    }

    #[test]
    fn what_a_tracked_process_starts_is_tracked() {
        let mut table = Processes::new(false);
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
    fn a_chain_of_forks_and_exits_stays_bounded() {
        let mut table = Processes::new(false);
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
        let mut table = Processes::new(true);
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
