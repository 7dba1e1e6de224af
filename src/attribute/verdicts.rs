//! What the rules of a policy are called.

use std::rc::Rc;

use crate::model::VerdictRule;

/// The names of a policy's rules, by their index.
#[derive(Debug, Clone)]
pub struct RuleLabels {
    pub rules: Vec<Rc<str>>,
    /// Digest of the policy.
    pub policy: Rc<str>,
}

impl RuleLabels {
    pub fn label(&self, rule: VerdictRule) -> Rc<str> {
        match rule {
            VerdictRule::Index(index) => match self.rules.get(usize::from(index)) {
                Some(label) => Rc::clone(label),
                None => format!("rule {}", u32::from(index) + 1).into(),
            },
            VerdictRule::Default => "default".into(),
            VerdictRule::Essential => "essential".into(),
            VerdictRule::SourceRouting => "source_routing".into(),
            VerdictRule::UnknownContainer => "unknown_containers".into(),
        }
    }
}
