//! Policies as they come into force.

use std::rc::Rc;

/// A policy decides from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    pub ts: i64,
    /// Counts the policies of a run, from 1.
    pub generation: u32,
    pub file: String,
    pub digest: Rc<str>,
    /// What the rules are called, by their index.
    pub rules: Vec<Rc<str>>,
    /// Enforced; otherwise only observed.
    pub enforced: bool,
}
