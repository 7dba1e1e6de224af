//! Names and the sets of rules that are about them.

use super::sets::{Mask, Sets, mask_of};
use crate::policy::name_hash::NameHasher;
use crate::policy::{Policy, Rule};

/// A name's keyed hash, with the sets of the names below it and of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub hash: u64,
    pub below: u32,
    pub exact: u32,
}

pub fn names(
    policy: &Policy,
    is_live: impl Fn(&Rule) -> bool,
    hasher: &NameHasher,
    sets: &mut Sets,
) -> Vec<Name> {
    let live = mask_of(policy.rules.len(), |index| {
        policy.rules.get(index).is_some_and(&is_live)
    });
    let of_live = |bits: Mask| -> Mask { std::array::from_fn(|i| bits[i] & live[i]) };
    let rules = policy.name_rules();
    let names = rules.into_iter().map(|(name, rules)| Name {
        hash: hasher.hash(name),
        below: sets.number(of_live(rules.below)),
        exact: sets.number(of_live(rules.exact)),
    });
    names.collect()
}

/// Labels of the longest name of rules and lists.
pub fn most_labels(policy: &Policy) -> usize {
    let labels = |name: &str| name.split('.').count();
    policy
        .name_rules()
        .into_keys()
        .map(labels)
        .max()
        .unwrap_or(0)
}
