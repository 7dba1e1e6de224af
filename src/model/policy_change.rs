//! Policies as they come into force, and what their rules did.

use std::rc::Rc;

use super::verdict::{Action, VerdictRule};

/// A policy decides from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    pub ts: i64,
    pub reason: PolicyReason,
    /// Counts the policies of a run, from 1.
    pub generation: u32,
    pub file: String,
    pub digest: Rc<str>,
    pub rules: Vec<RuleInForce>,
    pub default: Action,
    /// Enforced; otherwise only observed.
    pub enforced: bool,
    /// On trial: when the one before returns, unless this one is confirmed.
    pub revert_ts: Option<i64>,
    /// A generation further back that may have decided until now, or may again.
    pub fallback: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInForce {
    /// What it is called.
    pub label: Rc<str>,
    pub action: Action,
    /// Never enforced.
    pub observed: bool,
}

/// Why a policy came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyReason {
    /// The recording began.
    Started,
    /// The file was read again.
    Reloaded,
    /// A rule has expired.
    Expired,
    /// It is on trial.
    Applied,
    /// The one that was on trial was not confirmed.
    Reverted,
}

impl PolicyReason {
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyReason::Started => "started",
            PolicyReason::Reloaded => "reloaded",
            PolicyReason::Expired => "expired",
            PolicyReason::Applied => "applied",
            PolicyReason::Reverted => "reverted",
        }
    }
}

/// A policy that was on trial is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyConfirmation {
    pub ts: i64,
    pub file: String,
    pub digest: Rc<str>,
}

/// A policy file that was read again and can't be used: the one before stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRefusal {
    pub ts: i64,
    pub file: String,
    /// All that is wrong with it.
    pub error: String,
}

/// How often the rules of a generation have decided on an attempt or a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyHits {
    pub ts: i64,
    pub generation: u32,
    /// Of the rules that have new ones, all.
    pub hits: Vec<(VerdictRule, u64)>,
    /// Containers that their runtime has not described.
    pub unknown_containers: u32,
}
