//! The process behind a query or a connection, and whom it may trust.

use std::rc::Rc;

use crate::attribute::users;
use crate::model::Endpoint;

/// A process over its whole life: pid, and start in nanoseconds since boot.
pub type ProcessKey = (u32, u64);

/// The process that sends a query or connects.
#[derive(Debug, Clone)]
pub struct Requester {
    pub process: ProcessKey,
    /// The thread that does.
    pub tid: u32,
    /// Id of its container, or path of its cgroup where it is in none. None in the root cgroup,
    /// which is no group: all processes may be in it.
    pub group: Option<Rc<str>>,
    /// It is in a container, or in another user or pid namespace than the host's.
    pub contained: bool,
    /// It is in no container, and in the host's user, pid and network namespaces.
    pub on_host: bool,
    /// Cookie of its network namespace.
    pub netns: u64,
    /// As the initial user namespace sees it.
    pub uid: u32,
    /// The user whose share what it causes takes.
    pub account: u32,
}

/// An answer that matched its query.
#[derive(Debug)]
pub struct AcceptedAnswer {
    pub host: Rc<str>,
    /// Nanoseconds since boot.
    pub ns: u64,
    /// Number of the lookup.
    pub lookup: u64,
    pub requester: Rc<Requester>,
    pub server: Endpoint,
    /// The server is a resolver that the host is configured with, and the requester could not
    /// have replaced it with another.
    pub trusted_resolver: bool,
}

impl AcceptedAnswer {
    /// Whether the answer may name a connection of another process. Any user may run a DNS
    /// server that lies: only those count who could mislead that process anyway.
    pub fn is_trusted_by(&self, connecting: &Requester) -> bool {
        let requester = &self.requester;
        let same_container =
            !requester.contained || connecting.contained && requester.group == connecting.group;
        same_container
            && (self.trusted_resolver
                || requester.uid == connecting.uid
                || users::is_system(requester.uid))
    }
}
