//! A rule: whose connections, to what, and what becomes of them.

pub use crate::model::Action;

use super::problem::Position;
use super::target::{Ports, Target};
use super::who::Who;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Enforced if the policy is.
    Enforce,
    /// Recorded and shown, never enforced: the connection is let through.
    Observe,
}

/// All conditions must hold; an empty list of targets or ports is no condition.
#[derive(Debug, Clone)]
pub struct Rule {
    pub at: Position,
    pub name: Option<String>,
    pub who: Who,
    pub to: Vec<Target>,
    pub ports: Vec<Ports>,
    pub action: Action,
    pub mode: Mode,
    /// From when it no longer matches, ns since 1970.
    pub expires: Option<i64>,
    pub owner: Option<String>,
    pub ticket: Option<String>,
    /// Its names may grant loopback, link-local, private and metadata addresses, too.
    pub private: bool,
    /// The name that was looked up is enough, whatever its connections say.
    pub sni_off: bool,
}

impl Rule {
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The rule in messages and tables: its name, or its number in the file, from 1.
    pub fn label(&self, index: usize) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("rule {}", index + 1),
        }
    }
}
