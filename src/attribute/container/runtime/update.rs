//! Queries to runtimes, and their reports.

use std::path::PathBuf;

use crate::model::ContainerDetails;

/// A container whose details are wanted.
pub struct DetailsQuery {
    pub id: String,
    /// From its cgroup path. Where the path does not say, it may be Docker's, too.
    pub runtime: Option<&'static str>,
    /// Home of the user whose container it may be.
    pub home: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum RuntimeUpdate {
    /// The answer to a query.
    Answer {
        id: String,
        /// None where neither files nor the daemon know the container.
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
