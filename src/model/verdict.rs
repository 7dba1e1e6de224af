//! What a policy decided on a connection.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Connection;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Allow,
    /// Let through, and reported.
    Alert,
    /// Refused.
    Block,
    /// Refused, and the process is stopped (SIGSTOP).
    Suspend,
    /// Refused, and the process is killed.
    Kill,
    /// Refused, and the process is killed after a core dump.
    Dump,
}

impl Action {
    pub const ALL: [Action; 6] = [
        Action::Allow,
        Action::Alert,
        Action::Block,
        Action::Suspend,
        Action::Kill,
        Action::Dump,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Alert => "alert",
            Action::Block => "block",
            Action::Suspend => "suspend",
            Action::Kill => "kill",
            Action::Dump => "dump",
        }
    }

    /// Whether the connection is refused.
    pub fn stops(self) -> bool {
        !matches!(self, Action::Allow | Action::Alert)
    }

    /// Whether the process is stopped or killed, too.
    pub fn harms(self) -> bool {
        matches!(self, Action::Suspend | Action::Kill | Action::Dump)
    }
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictRule {
    /// A rule of the file, from 0.
    Index(u16),
    /// No rule matched.
    Default,
    /// Open under any default.
    Essential,
    /// The setting `source_routing`.
    SourceRouting,
    /// The setting `unknown_containers`.
    UnknownContainer,
    /// The setting `sni`.
    Sni,
}

impl VerdictRule {
    /// What decides in place of a rule.
    pub const SETTINGS: [VerdictRule; 5] = [
        VerdictRule::Default,
        VerdictRule::Essential,
        VerdictRule::SourceRouting,
        VerdictRule::UnknownContainer,
        VerdictRule::Sni,
    ];

    /// What decides in place of a rule has this name in tables and messages.
    pub fn setting(self) -> Option<&'static str> {
        match self {
            VerdictRule::Index(_) => None,
            VerdictRule::Default => Some("default"),
            VerdictRule::Essential => Some("essential"),
            VerdictRule::SourceRouting => Some("source_routing"),
            VerdictRule::UnknownContainer => Some("unknown_containers"),
            VerdictRule::Sni => Some("sni"),
        }
    }
}

/// What became of the action on the process: [`Action::harms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionOutcome {
    Done,
    /// It had ended.
    Gone,
    /// The host needs it.
    Exempt,
    /// The rule has done so too often.
    RateLimit,
    Failed,
}

impl ActionOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            ActionOutcome::Done => "done",
            ActionOutcome::Gone => "gone",
            ActionOutcome::Exempt => "exempt",
            ActionOutcome::RateLimit => "rate_limit",
            ActionOutcome::Failed => "failed",
        }
    }
}

/// A verdict, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    /// Whether it was enforced; otherwise it was only observed.
    pub enforced: bool,
    /// The name of the rule, or of what decided in place of one.
    pub rule: Rc<str>,
    /// Digest of the policy.
    pub policy: Rc<str>,
    /// In a [`ProcessAction`] only: it is known later.
    pub action_outcome: Option<ActionOutcome>,
}

/// What was done to the process of a connection that was refused, or why nothing was.
#[derive(Debug, Clone)]
pub struct ProcessAction {
    pub ts: i64,
    /// As it was when it was refused, with the outcome.
    pub connection: Connection,
    /// A core dump's path.
    pub file: Option<String>,
    pub why: Option<String>,
}

impl Verdict {
    /// Whether the connection was refused.
    pub fn stopped(&self) -> bool {
        self.enforced && self.action.stops()
    }
}
