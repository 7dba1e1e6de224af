//! What started a process, and its name: the conditions `via` and `process`. The kernel side finds
//! which of them hold, and the set of rules is that of the combination.

use super::sets::{Sets, mask_of};
use crate::enforce::types;
use crate::enforce::types::policy_condition_flag as raw;
use crate::policy::{Condition, Glob, PathPattern, Policy, Rule};

pub const MAX_CONDITIONS: usize = types::policy_size::POLICY_CONDITIONS.0 as usize;

const WORDS: usize = types::policy_size::POLICY_COMM_WORDS.0 as usize;
const CHARS: usize = types::policy_size::POLICY_COMM_CHARS.0 as usize;
const BITS: usize = 64;

/// Characters of a process' name: TASK_COMM_LEN of the kernel, without the NUL.
const MAX_NAME: usize = 15;

/// Of all rules. What the kernel side has is made of the patterns' bits when they have some.
#[derive(Default)]
pub struct Lineage {
    /// Different patterns of paths.
    pub patterns: Vec<PathPattern>,
    conditions: Vec<Required>,
    names: Names,
    /// By the conditions that hold, a bit each.
    sets: Vec<u32>,
}

/// What a rule requires. Paths are those in the container that it names, or of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Required {
    via: Condition<PathPattern>,
    process: Condition<Glob>,
    contained: bool,
}

fn required(rule: &Rule) -> Option<Required> {
    let who = &rule.who;
    (!who.via.is_empty() || !who.process.is_empty()).then(|| Required {
        via: who.via.clone(),
        process: who.process.clone(),
        contained: who.names_container(),
    })
}

/// Each once.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in all {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// Why the kernel side has no room for a policy's conditions.
pub fn problem(policy: &Policy) -> Option<String> {
    let conditions = distinct(policy.rules.iter().filter_map(required));
    if conditions.len() > MAX_CONDITIONS {
        return Some(format!(
            "via and process: a policy can have {MAX_CONDITIONS} different ones, and this one {}",
            conditions.len()
        ));
    }
    Names::new(&conditions)
        .is_none()
        .then(|| "process: the names are too many or too long".to_owned())
}

impl Lineage {
    /// Of a policy without a [`problem`].
    pub fn new(policy: &Policy, is_live: impl Fn(&Rule) -> bool, sets: &mut Sets) -> Lineage {
        let conditions = distinct(policy.rules.iter().filter_map(required));
        let paths = conditions
            .iter()
            .flat_map(|c| c.via.any.iter().chain(&c.via.none));
        let by_rule: Vec<Option<usize>> = policy
            .rules
            .iter()
            .map(|rule| {
                let its = required(rule)?;
                conditions.iter().position(|condition| *condition == its)
            })
            .collect();
        let combinations = 0_u32..1 << conditions.len().min(MAX_CONDITIONS);
        let sets = combinations.map(|holds| {
            sets.number(mask_of(policy.rules.len(), |index| {
                let condition = by_rule.get(index).copied().flatten();
                let rule = policy.rules.get(index);
                rule.is_some_and(&is_live) && condition.is_none_or(|at| holds >> at & 1 == 1)
            }))
        });
        Lineage {
            patterns: distinct(paths.cloned()),
            names: Names::new(&conditions).unwrap_or_default(),
            sets: sets.collect(),
            conditions,
        }
    }

    pub fn conditions(&self) -> u32 {
        self.conditions.len() as u32
    }

    /// The set of the rules without a condition.
    pub fn unconditional(&self) -> u32 {
        self.sets.first().copied().unwrap_or(0)
    }

    /// The kernel side's entry; `bit` is that of a pattern.
    pub fn entry(&self, bit: impl Fn(&PathPattern) -> u64) -> types::policy_lineage {
        let bits = |patterns: &[PathPattern]| patterns.iter().map(&bit).fold(0, |a, b| a | b);
        let mut entry = types::policy_lineage {
            comm_start: self.names.start,
            comm_star: self.names.star,
            has_names: (!self.names.patterns.is_empty()).into(),
            ..types::policy_lineage::default()
        };
        for (to, of) in entry.conditions.iter_mut().zip(&self.conditions) {
            let flags = [
                (of.contained, raw::POLICY_CONTAINED),
                (!of.process.any.is_empty(), raw::POLICY_NEEDS_NAME),
            ];
            *to = types::policy_condition {
                via_any: bits(&of.via.any),
                via_none: bits(&of.via.none),
                comm_any: self.names.accepting(&of.process.any),
                comm_none: self.names.accepting(&of.process.none),
                flags: flags
                    .into_iter()
                    .filter(|(on, _)| *on)
                    .fold(0, |flags, (_, flag)| flags | flag.0),
                pad: 0,
            };
        }
        // a condition that is none always holds there
        for (to, from) in entry.sets.iter_mut().zip(self.sets.iter().cycle()) {
            *to = *from;
        }
        entry
    }

    /// For each character of a name, the states that it leads on from; empty without names.
    pub fn characters(&self) -> &[[u64; WORDS]] {
        &self.names.characters
    }
}

/// Patterns of names as automata side by side: struct policy_lineage in bpf/policy.h.
#[derive(Default)]
struct Names {
    /// Each with the word and the bit of its accepting state.
    patterns: Vec<(Glob, usize, u32)>,
    start: [u64; WORDS],
    star: [u64; WORDS],
    characters: Vec<[u64; WORDS]>,
    /// States of each word.
    used: [usize; WORDS],
}

impl Names {
    /// None if there is no room.
    fn new(conditions: &[Required]) -> Option<Names> {
        let globs = conditions
            .iter()
            .flat_map(|c| c.process.any.iter().chain(&c.process.none));
        let mut names = Names::default();
        for glob in distinct(globs) {
            names.add(glob)?;
        }
        Some(names)
    }

    fn add(&mut self, glob: &Glob) -> Option<()> {
        let text = glob.as_str().as_bytes();
        let literals = text.iter().filter(|byte| **byte != b'*').count();
        if literals > MAX_NAME {
            return Some(()); // no process is called so
        }
        let word = (0..WORDS).find(|word| self.used[*word] + literals < BITS)?;
        let mut at = self.used[word];
        self.start[word] |= 1 << at;
        self.characters.resize(CHARS, [0; WORDS]);
        for byte in text {
            match byte {
                b'*' => self.star[word] |= 1 << at,
                byte => {
                    self.characters[usize::from(*byte)][word] |= 1 << at;
                    at += 1;
                }
            }
        }
        self.patterns.push((glob.clone(), word, at as u32));
        self.used[word] = at + 1;
        Some(())
    }

    fn accepting(&self, globs: &[Glob]) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (_, word, bit) in self
            .patterns
            .iter()
            .filter(|(glob, ..)| globs.contains(glob))
        {
            words[*word] |= 1 << bit;
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As policy_match_name of bpf/policy_lineage.h.
    fn accepts(names: &Names, glob: &Glob, name: &str) -> bool {
        let accepting = names.accepting(std::slice::from_ref(glob));
        (0..WORDS).any(|word| {
            let state = name.bytes().fold(names.start[word], |state, byte| {
                let on = names.characters[usize::from(byte)][word];
                (state & on) << 1 | (state & names.star[word])
            });
            state & accepting[word] != 0
        })
    }

    #[test]
    fn automata_accept_what_their_patterns_match() {
        let texts = [
            "curl",
            "cu*",
            "*rl",
            "*u*",
            "*",
            "**",
            "a*a*b",
            "c*l",
            "",
            "*ab*ab",
            "fifteen-letters",
            "a-name-that-no-process-can-have*",
            "*aaa",
            "fifteen*letters",
            "é*",
        ];
        let all: Vec<Glob> = texts.into_iter().map(Glob::new).collect();
        let process = Condition {
            any: all.clone(),
            none: Vec::new(),
        };
        let required = Required {
            via: Condition::default(),
            process,
            contained: false,
        };
        let names = Names::new(std::slice::from_ref(&required)).unwrap();
        assert!(names.used[1] > 0, "the next word: {:?}", names.used);
        let tried = [
            "curl",
            "cu",
            "url",
            "a",
            "aab",
            "aabaab",
            "xabab",
            "ab",
            "caaal",
            "aaaa",
            "",
            "fifteen-letters",
            "fifteen-letter",
            "éa",
            "cl",
            "ba",
        ];
        for glob in &all {
            for name in tried {
                assert_eq!(
                    accepts(&names, glob, name),
                    glob.matches(name),
                    "{glob:?} {name}"
                );
            }
        }
        let many = (0..64).map(|n| Glob::new(format!("name-{n}"))).collect();
        let process = Condition {
            any: many,
            none: Vec::new(),
        };
        assert!(
            Names::new(&[Required {
                process,
                ..required
            }])
            .is_none()
        );
    }
}
