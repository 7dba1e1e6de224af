//! Who is notified of what a policy stops or reports.

use serde::{Deserialize, Serialize};

/// The key `notify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// A program and its arguments, started for each notification; empty: none.
    pub exec: Vec<String>,
    /// Whether systemd's journal gets them.
    pub journald: bool,
}

impl Notify {
    pub fn is_empty(&self) -> bool {
        self.exec.is_empty() && !self.journald
    }
}
