//! What the rules of a policy are called.

use std::rc::Rc;

use crate::model::{RuleInForce, VerdictRule};

/// The names of a policy's rules, by their index.
#[derive(Debug, Clone)]
pub struct RuleLabels {
    pub rules: Vec<RuleInForce>,
    /// Digest of the policy.
    pub policy: Rc<str>,
}

impl RuleLabels {
    pub fn label(&self, rule: VerdictRule) -> Rc<str> {
        match rule {
            VerdictRule::Index(index) => match self.rules.get(usize::from(index)) {
                Some(rule) => Rc::clone(&rule.label),
                None => format!("rule {}", u32::from(index) + 1).into(),
            },
            setting => setting.setting().unwrap_or_default().into(),
        }
    }
}
