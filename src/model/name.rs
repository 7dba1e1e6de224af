//! A destination's name and its evidence.

use std::rc::Rc;

/// Whose answer names a connection: the narrowest scope wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The process itself asked.
    Process,
    /// A process that it descends from asked.
    Ancestor,
    /// Somebody in the same container, or the same cgroup, asked.
    Container,
    /// Somebody in the same network namespace asked.
    Netns,
    /// Somebody on the host asked.
    Host,
    /// Nobody that egrets saw: the `/etc/hosts` that the process sees.
    Hosts,
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
        }
    }
}

/// A destination's name and what it rests on.
#[derive(Debug, Clone)]
pub struct Name {
    pub host: Rc<str>,
    pub source: Source,
    /// How old the answer was when the connection began; None without one.
    pub age_ms: Option<u64>,
    /// Number of the lookup that it comes from; None without one.
    pub lookup: Option<u64>,
    /// How many other names that scope has for the address.
    pub rivals: usize,
    /// The latest of them, [`MAX_RIVALS`] at most.
    pub rival_names: Vec<Rival>,
}

/// Another name that a destination could have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    pub host: Rc<str>,
    /// Number of its lookup.
    pub lookup: Option<u64>,
}

/// The rivals that are kept by name for one connection.
pub const MAX_RIVALS: usize = 16;
