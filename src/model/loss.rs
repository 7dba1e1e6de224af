//! What was not recorded.

/// A kind of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loss {
    pub kind: &'static str,
    pub why: &'static str,
}

/// Events that were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub from_ts: i64,
    pub to_ts: i64,
    /// The kind of the lost events, as the view `gaps` names it.
    pub kind: &'static str,
    pub lost: u64,
    pub why: &'static str,
}
