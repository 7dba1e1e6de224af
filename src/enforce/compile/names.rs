//! Names and the sets of rules that are about them.

use super::sets::{Mask, Sets};
use crate::policy::{Policy, Rule};

/// A name and the sets of all rules that have it, unless a longer one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub name: Box<str>,
    /// For itself, and for the names below it.
    pub exact: u32,
    pub below: u32,
}

/// The names of all rules for which `is_live` is true.
pub fn names(policy: &Policy, is_live: impl Fn(&Rule) -> bool, sets: &mut Sets) -> Vec<Name> {
    let live: Mask = super::mask_of(policy.rules.len(), |index| {
        policy.rules.get(index).is_some_and(&is_live)
    });
    let and = |mask: Mask| std::array::from_fn(|i| mask[i] & live[i]);
    let of_policy = policy.name_rules();
    let names = of_policy.into_iter().map(|(name, rules)| Name {
        name: name.into(),
        exact: sets.number(and(rules.exact)),
        below: sets.number(and(rules.below)),
    });
    names.collect()
}
