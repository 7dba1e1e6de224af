//! What a policy decided on a connection.

use std::rc::Rc;

/// What becomes of a connection; from `Block` on it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerdictAction {
    Allow,
    Alert,
    Block,
    /// Refused, and its process stopped.
    Suspend,
    /// Refused, and its process killed.
    Kill,
    /// As `Kill`, after a core dump.
    Dump,
}

impl VerdictAction {
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictAction::Allow => "allow",
            VerdictAction::Alert => "alert",
            VerdictAction::Block => "block",
            VerdictAction::Suspend => "suspend",
            VerdictAction::Kill => "kill",
            VerdictAction::Dump => "dump",
        }
    }

    pub fn refuses(self) -> bool {
        self >= VerdictAction::Block
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
}

/// A verdict, as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub action: VerdictAction,
    /// Whether it was enforced; otherwise it was only observed.
    pub enforced: bool,
    /// The name of the rule, or of what decided in place of one.
    pub rule: Rc<str>,
    /// Digest of the policy.
    pub policy: Rc<str>,
}

impl Verdict {
    /// Whether the connection was refused.
    pub fn stopped(&self) -> bool {
        self.enforced && self.action.refuses()
    }
}
