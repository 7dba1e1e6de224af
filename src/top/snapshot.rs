//! What the screen shows, as of one moment.

use std::collections::HashMap;

use super::traffic::{Connection, Flow, ProgramEntry, Rate, Traffic};

#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub flows: HashMap<u32, Flow>,
    pub programs: HashMap<u32, ProgramEntry>,
    /// Those that are open, and the last ones that have ended.
    pub connections: Vec<Connection>,
    /// Total rates, the newest last.
    pub history: Vec<Rate>,
    pub status: Status,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether a recorder is writing.
    pub running: bool,
    /// Everything up to this time is in the history; None: it has no recording.
    pub seen_ts: Option<i64>,
    /// What is shown began at or after this time, or is open.
    pub since: i64,
    /// Events lost since then.
    pub lost: i64,
    /// Older connections are still being read.
    pub loading: bool,
    pub error: Option<String>,
    pub notice: Option<String>,
    /// How the filter was read.
    pub readings: Vec<String>,
}

impl Snapshot {
    pub fn new(traffic: &Traffic, status: Status) -> Snapshot {
        let connections = traffic.open.values().chain(traffic.ended.values());
        Snapshot {
            flows: traffic.flows.clone(),
            programs: traffic.programs.clone(),
            connections: connections.filter(|c| c.flow.is_some()).cloned().collect(),
            history: traffic.history.iter().copied().collect(),
            status,
        }
    }

    /// The newest total; None: not known.
    pub fn total(&self) -> Option<Rate> {
        self.history.last().copied().filter(|_| self.status.running)
    }
}
