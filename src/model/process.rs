//! Processes and what started them.

use std::rc::Rc;

use super::Container;

/// Who: a process between two changes of its identity. An exec, a new name,
/// user, cgroup or network namespace makes another one.
#[derive(Debug)]
pub struct Process {
    /// Tells this identity from every other one of the run.
    pub serial: u64,
    /// The process (tgid) in the initial pid namespace.
    pub pid: u32,
    /// Nanoseconds since boot: tells two users of one pid apart.
    pub start_ns: u64,
    pub ppid: Option<u32>,
    pub parent_comm: Option<String>,
    /// Of the thread group's leader.
    pub comm: String,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    /// As the initial user namespace sees it.
    pub uid: u32,
    pub user: Option<String>,
    pub cgroup: Option<String>,
    pub unit: Option<String>,
    pub container: Option<Rc<Container>>,
    /// Inode number, as lsns(8) shows it.
    pub netns: Option<u32>,
    /// Who had logged in, as audit keeps it.
    pub login_uid: Option<u32>,
    pub login_user: Option<String>,
    /// What started it.
    pub parent: Option<Rc<Ancestor>>,
    /// Pid of its session's leader, setsid(2).
    pub session: Option<u32>,
}

/// A program that started others: a process between two execs.
#[derive(Debug)]
pub struct Ancestor {
    /// Tells it from every other one of the run.
    pub serial: u64,
    pub pid: u32,
    /// As [`Process::start_ns`].
    pub start_ns: u64,
    pub comm: String,
    pub exe: Option<String>,
    pub cmdline: Option<String>,
    pub parent: Option<Rc<Ancestor>>,
}
