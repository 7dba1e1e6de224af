//! Between the recorder and its helper.

use serde::{Deserialize, Serialize};

use crate::model::ActionOutcome;

/// Processes that a rule may do something to in a minute.
pub const MAX_A_MINUTE: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    Suspend,
    Kill,
    /// And kill.
    Dump,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The reply has it, too.
    pub number: u64,
    pub pid: u32,
    /// With the pid, it identifies the process. Nanoseconds since boot.
    pub start_ns: u64,
    pub measure: Measure,
    /// Whose [`MAX_A_MINUTE`] it counts among.
    pub rule: String,
    /// Its program, if the path says which file of the host's that is.
    pub exe: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub number: u64,
    pub outcome: ActionOutcome,
    /// Of a dump that was made.
    pub file: Option<String>,
    /// Why not, or why there is no dump.
    pub why: Option<String>,
}
