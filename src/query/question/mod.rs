//! The question language (docs/questions.md): plain English to a [`Question`].
//!
//! A question begins with what it wants listed; then come clauses in any order:
//! who, where to, when, how it went. The parser takes a word or leaves it, and
//! remembers what it would have taken: when none fits, that is what it can suggest.

mod clause;
mod expected;
mod head;
mod manner;
mod parser;
mod span;
mod subject;
#[cfg(test)]
mod tests;
mod vocabulary;

use super::host::Host;
pub use expected::{expected, written};
pub use parser::{Naming, parse};

/// What is asked: which rows are looked at, and what is made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub list: List,
    pub from: From,
    /// All of these hold for a row that counts.
    pub only: Vec<Only>,
    /// Nanoseconds since 1970: from this time on, ...
    pub since: Option<i64>,
    /// ... and before this one.
    pub until: Option<i64>,
    pub pick: Option<Pick>,
    /// Only what the same question would not have found before `since`, which is known.
    pub new: bool,
    /// A row for each of these.
    pub per: Option<Per>,
}

/// What an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Who it was.
    Actors(Actors),
    /// Hosts with their ports; of lookups, the names asked for.
    Destinations,
    Addresses,
    Ports,
    /// Each connection or lookup.
    Each,
    /// How many of these there are.
    Count(Counted),
    /// How many bytes went there and back.
    Bytes,
    /// Which names were answered with an address, and then nobody went there.
    NeverContacted,
    /// Which questions had an error for an answer, or none.
    FailedLookups,
}

/// The rows that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Connections,
    Lookups,
}

/// Whom an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actors {
    /// What runs: a short name, an executable, a user and a container.
    Processes,
    /// Each process on its own.
    Pids,
    Containers,
    Images,
    Users,
    Units,
    Pods,
    /// Kubernetes' namespaces, of the pods in them.
    Namespaces,
}

/// What "how many" counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Actors(Actors),
    Hosts,
    Addresses,
    Ports,
    Rows,
}

/// The spans of local time that an answer is split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    Minute,
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
}

/// Who is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By its short name, its executable's name, or its executable's path.
    Process(String),
    Pid(u32),
    /// All that descends from a process by that name, at any depth; not itself.
    BelowProcess(String),
    BelowPid(u32),
    /// A process, by either of the above, and all that descends from it.
    Tree(Box<Subject>),
    /// By its name, its id, or the beginning of its id.
    Container(String),
    /// With or without its tag.
    Image(String),
    /// By name or uid.
    User(String),
    /// A systemd unit, with or without `.service`.
    Unit(String),
    /// By its name, `namespace/name`, or the beginning of its name and a `*`.
    Pod(String),
    /// Kubernetes' namespace of a pod.
    Namespace(String),
}

/// A condition on the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    By(Subject),
    To(Host),
    Port(u16),
    /// `tcp`, `udp`.
    Protocol(&'static str),
    /// The version of IP: 4 or 6.
    Family(u8),
    /// One of the outcomes of the view.
    Outcome(&'static str),
    /// Any outcome that is a failure.
    Failed,
    /// Any outcome that is none, once it is known.
    Succeeded,
    /// Not closed yet.
    Open,
    /// Where the destination is: a `dst_scope`.
    Scope(&'static str),
    /// Where the name came from: a `host_source`.
    Source(&'static str),
}

impl List {
    /// What "how many" of these counts.
    pub fn counted(self) -> Counted {
        match self {
            List::Actors(actors) => Counted::Actors(actors),
            List::Destinations => Counted::Hosts,
            List::Addresses => Counted::Addresses,
            List::Ports => Counted::Ports,
            _ => Counted::Rows,
        }
    }
}

/// Which of the rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Those with most connections or lookups.
    Most(u32),
    /// Those with most bytes.
    MostBytes(u32),
    First(u32),
    Last(u32),
    /// Those that took longest to connect or to be answered.
    Slowest(u32),
    /// Those that were open longest.
    Longest(u32),
}

impl Pick {
    /// All rows, those with most first.
    pub const ALL: u32 = u32::MAX;
}

impl Subject {
    /// Whether it is known by what its processes descend from.
    pub fn is_below(&self) -> bool {
        matches!(
            self,
            Subject::BelowProcess(_) | Subject::BelowPid(_) | Subject::Tree(_)
        )
    }
}

impl Question {
    /// Whether it is about what descends from a process.
    pub fn about_descendants(&self) -> bool {
        let below = |only: &Only| matches!(only, Only::By(subject) if subject.is_below());
        self.only.iter().any(below)
    }

    /// The times asked about, where the command line's bound them too.
    pub fn span(&self, since: Option<i64>, until: Option<i64>) -> (Option<i64>, Option<i64>) {
        let until = match (self.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (self.since.max(since), until)
    }
}
