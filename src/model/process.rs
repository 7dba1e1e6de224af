//! Processes and what started them.

use std::rc::Rc;

use super::{Container, Executable};

/// A process between two changes of its identity. An exec, a new name, user, cgroup or network
/// namespace makes another one.
#[derive(Debug)]
pub struct Process {
    /// Unique within the run.
    pub serial: u64,
    /// The process (tgid) in the initial pid namespace.
    pub pid: u32,
    /// When it started, nanoseconds since boot. With the pid, it identifies the process.
    pub start_ns: u64,
    pub ppid: Option<u32>,
    pub parent_comm: Option<String>,
    /// The thread group leader's.
    pub comm: String,
    pub exe: Option<String>,
    pub exe_file: ExeFile,
    /// What its file has, once it has been read.
    pub executable: Option<Rc<Executable>>,
    pub cmdline: Option<String>,
    /// The real user id, as the initial user namespace sees it.
    pub uid: u32,
    /// Who is accountable for it: of a subordinate id its owner.
    pub account: u32,
    pub user: Option<String>,
    /// The effective one: a set-user-ID program acts with its owner's rights.
    pub euid: u32,
    pub euser: Option<String>,
    pub cgroup: Option<String>,
    pub unit: Option<String>,
    pub container: Option<Rc<Container>>,
    /// Inode number, as lsns(8) shows it.
    pub netns: Option<u32>,
    /// The user who logged in, as audit records it.
    pub login_uid: Option<u32>,
    pub login_user: Option<String>,
    /// The program that started it.
    pub parent: Option<Rc<Ancestor>>,
    /// Pid of its session leader, setsid(2).
    pub session: Option<u32>,
}

/// What is known of an executable besides its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExeFile {
    pub view: Option<ExeView>,
    /// Deleted or replaced: its path leads to another file, or to none.
    pub deleted: bool,
    /// Of its file system, major and minor.
    pub device: Option<(u32, u32)>,
    pub inode: Option<u64>,
    /// Only root can change the file, or put another one at its path in that view.
    pub root_only: bool,
}

impl ExeFile {
    /// Whether its path says which program it is: only root can change what is there, in a mount
    /// namespace of the initial user namespace.
    pub fn is_trusted(&self) -> bool {
        matches!(self.view, Some(ExeView::Host | ExeView::Namespace))
            && self.root_only
            && !self.deleted
    }
}

/// Where an executable's path holds. A process chooses its root directory, and any user can
/// create a mount namespace, in which any file may be at any path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExeView {
    /// The mount namespace of the host's first process.
    Host,
    /// Another one that a privileged process created, such as a container's.
    Namespace,
    /// One that belongs to a user namespace other than the initial one.
    UserNamespace,
    /// None: the mount was removed lazily, or never mounted.
    Detached,
    /// A memfd, which has no path.
    Memory,
}

impl ExeView {
    pub fn as_str(self) -> &'static str {
        match self {
            ExeView::Host => "host",
            ExeView::Namespace => "namespace",
            ExeView::UserNamespace => "user_namespace",
            ExeView::Detached => "detached",
            ExeView::Memory => "memory",
        }
    }
}

/// A program that started others: a process between two execs.
#[derive(Debug)]
pub struct Ancestor {
    /// Unique within the run, among processes, too.
    pub serial: u64,
    pub pid: u32,
    /// As [`Process::start_ns`].
    pub start_ns: u64,
    pub comm: String,
    pub exe: Option<String>,
    /// [`ExeFile::is_trusted`]
    pub exe_is_trusted: bool,
    pub cmdline: Option<String>,
    pub parent: Option<Rc<Ancestor>>,
}
