//! A destination's name and its evidence.

use std::rc::Rc;

/// The scope of the answer that names a connection. The narrowest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The process sent the query.
    Process,
    /// One of its ancestors did.
    Ancestor,
    /// A process in the same container or cgroup did.
    Container,
    /// A process in the same network namespace did.
    Netns,
    /// Any process on the host did.
    Host,
    /// None did: the `/etc/hosts` that the process sees has the name.
    Hosts,
    /// The connection itself did: the server name of its TLS ClientHello.
    Sni,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Process => "process",
            Source::Ancestor => "ancestor",
            Source::Container => "container",
            Source::Netns => "netns",
            Source::Host => "host",
            Source::Hosts => "hosts",
            Source::Sni => "sni",
        }
    }
}

/// A destination's name and its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub host: Rc<str>,
    pub source: Source,
    /// How old the answer was when the connection began; None without one.
    pub age_ms: Option<u64>,
    /// Number of the lookup that it comes from; None without one.
    pub lookup: Option<u64>,
    /// Number of other names that the scope has for the address.
    pub rivals: usize,
    /// The latest [`MAX_RIVALS`] of them.
    pub rival_names: Vec<Rival>,
}

/// Another name that a destination could have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    pub host: Rc<str>,
    /// Number of its lookup.
    pub lookup: Option<u64>,
}

/// Rivals kept with their names for each connection.
pub const MAX_RIVALS: usize = 16;
