//! The rules of each name of a policy, as the kernel looks them up: by the longest suffix of a
//! name that the policy has. Each entry is complete: it has the rules of shorter suffixes, too.

use std::collections::HashMap;

use super::target::{NameKind, Target};
use super::{MAX_RULES, Policy};

/// A bit for each rule.
pub type RuleBits = [u64; MAX_RULES / 64];

/// Rules that a name of the policy makes match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameRules {
    /// For the name itself.
    pub exact: RuleBits,
    /// For the names below it.
    pub below: RuleBits,
}

impl Policy {
    /// Of every name in rules and lists.
    pub fn name_rules(&self) -> HashMap<&str, NameRules> {
        let mut own: HashMap<&str, NameRules> = HashMap::new();
        for (index, rule) in self.rules.iter().enumerate().take(MAX_RULES) {
            for target in &rule.to {
                match target {
                    Target::Name(pattern) => add(&mut own, &pattern.name, pattern.kind, index),
                    Target::List(list) => {
                        for (name, kind) in self
                            .lists
                            .iter()
                            .skip(*list)
                            .take(1)
                            .flat_map(|list| list.names())
                        {
                            add(&mut own, name, kind, index);
                        }
                    }
                    _ => {}
                }
            }
        }
        let complete = own.iter().map(|(name, rules)| {
            let mut rules = *rules;
            let above = own_above(&own, name);
            or(&mut rules.exact, &above);
            or(&mut rules.below, &above);
            (*name, rules)
        });
        complete.collect()
    }
}

fn add<'a>(own: &mut HashMap<&'a str, NameRules>, name: &'a str, kind: NameKind, index: usize) {
    let rules = own.entry(name).or_default();
    let bit = 1 << (index % 64);
    if kind != NameKind::Below {
        rules.exact[index / 64] |= bit;
    }
    if kind != NameKind::Exact {
        rules.below[index / 64] |= bit;
    }
}

/// The rules of the names above one, for names below them.
fn own_above(own: &HashMap<&str, NameRules>, name: &str) -> RuleBits {
    let mut bits = RuleBits::default();
    let mut rest = name;
    while let Some((_, above)) = rest.split_once('.') {
        if let Some(rules) = own.get(above) {
            or(&mut bits, &rules.below);
        }
        rest = above;
    }
    bits
}

fn or(to: &mut RuleBits, bits: &RuleBits) {
    for (word, more) in to.iter_mut().zip(bits) {
        *word |= more;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::policy;
    use super::*;

    /// What the kernel does: the longest suffix that the table has.
    fn lookup(table: &HashMap<&str, NameRules>, name: &str) -> RuleBits {
        if let Some(rules) = table.get(name) {
            return rules.exact;
        }
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(rules) = table.get(above) {
                return rules.below;
            }
            rest = above;
        }
        RuleBits::default()
    }

    #[test]
    fn longest_suffix_has_the_rules_of_every_pattern_that_matches() {
        let policy = policy(
            "allow",
            &[
                r#"{ to: [example.com], action: block }"#,
                r#"{ to: ["=example.com"], action: block }"#,
                r#"{ to: ["*.example.com"], action: block }"#,
                r#"{ to: [a.b.example.com, com], action: block }"#,
                r#"{ to: ["*.b.example.com"], action: block }"#,
            ],
        );
        let table = policy.name_rules();
        for name in [
            "com",
            "example.com",
            "b.example.com",
            "a.b.example.com",
            "z.a.b.example.com",
            "c.b.example.com",
            "notexample.com",
            "org",
        ] {
            let mut expected = RuleBits::default();
            for (index, rule) in policy.rules.iter().enumerate() {
                let matches = |target: &Target| match target {
                    Target::Name(pattern) => pattern.matches(name),
                    _ => false,
                };
                expected[0] |= u64::from(rule.to.iter().any(matches)) << index;
            }
            assert_eq!(lookup(&table, name), expected, "{name}");
        }
    }
}
