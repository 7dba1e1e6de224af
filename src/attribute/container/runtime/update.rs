//! Queries to runtimes, and their reports.

use crate::model::ContainerDetails;

/// A container whose details are wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct DetailsQuery {
    pub id: String,
    /// From its cgroup path. Where the path does not say, it may be Docker's, too.
    pub runtime: Option<&'static str>,
    /// The user whose container it is ([`Container::uid`](crate::model::Container::uid)): only that
    /// user's files speak for it.
    pub uid: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum RuntimeUpdate {
    /// The answer to a query.
    Answer {
        uid: u32,
        id: String,
        /// None where neither files nor the daemon know the container.
        details: Option<ContainerDetails>,
    },
    /// The process that reads users' files had no time for all of a query's.
    Late {
        query: DetailsQuery,
        /// What those that it had time for say.
        details: Option<ContainerDetails>,
    },
    /// Docker reported a change, at `ts` (nanoseconds since 1970).
    Changed {
        id: String,
        ts: i64,
        change: ContainerChange,
    },
    /// Docker's daemon answers again; changes may have been missed.
    DaemonBack,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerChange {
    /// Created or started.
    Named {
        name: Option<String>,
        image: Option<String>,
    },
    Renamed(String),
    /// It got an address in a network.
    Address(String),
    /// Its process has ended; it may be restarted with another address.
    Stopped,
}
