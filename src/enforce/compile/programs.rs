//! Paths of programs and the sets of rules that are about them.

use std::collections::BTreeSet;

use super::sets::{Mask, Sets, mask_of};
use crate::enforce::path_hash::components;
use crate::enforce::types::policy_exe_kind as raw;
use crate::policy::{PathPattern, Policy, Rule};

/// No file that a rule could name.
const ANY: &str = "\u{1}";

/// A path, or the directory of one, in the kernel side's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// enum policy_exe_kind
    pub kind: u32,
    pub path: String,
    pub set: u32,
}

/// Components of the longest directory that a rule names.
pub fn depth(policy: &Policy) -> usize {
    let of_ancestors = policy.rules.iter().flat_map(|rule| {
        let via = &rule.who.via;
        via.any.iter().chain(&via.none)
    });
    let all = patterns(policy).chain(of_ancestors);
    let directories = all.filter_map(|pattern| match pattern {
        PathPattern::Exact(_) => None,
        PathPattern::In(path) | PathPattern::Below(path) => Some(components(path).count()),
    });
    directories.max().unwrap_or(0)
}

fn patterns(policy: &Policy) -> impl Iterator<Item = &PathPattern> {
    let exes = policy.rules.iter().map(|rule| &rule.who.exe);
    exes.flat_map(|exe| exe.any.iter().chain(&exe.none))
}

/// What of a program's path a pattern is about.
pub fn exe_kind(pattern: &PathPattern) -> (raw, &str) {
    match pattern {
        PathPattern::Exact(path) => (raw::POLICY_EXE, path),
        PathPattern::In(path) => (raw::POLICY_EXE_CHILD, path),
        PathPattern::Below(path) => (raw::POLICY_EXE_BELOW, path),
    }
}

/// Each with all rules for a program at such a path.
pub fn programs(policy: &Policy, is_live: impl Fn(&Rule) -> bool, sets: &mut Sets) -> Vec<Program> {
    let rule = |index: usize| policy.rules.get(index).filter(|rule| is_live(rule));
    let mask = |path: &str, contained: bool| -> Mask {
        mask_of(policy.rules.len(), |index| {
            rule(index).is_some_and(|rule| {
                // a container's paths are for the rules that say which container
                let counts = rule.who.names_container() == contained;
                rule.who
                    .exe
                    .holds(|pattern| counts && pattern.matches(path))
            })
        })
    };
    let mut programs = Vec::new();
    let distinct: BTreeSet<String> = patterns(policy).map(ToString::to_string).collect();
    for text in distinct {
        let Ok(pattern) = PathPattern::parse(&text) else {
            continue;
        };
        let (kind, path) = exe_kind(&pattern);
        let example = match &pattern {
            PathPattern::Exact(_) => path.to_owned(),
            PathPattern::In(_) => format!("{path}/{ANY}"),
            PathPattern::Below(_) => format!("{path}/{ANY}/{ANY}"),
        };
        for contained in [false, true] {
            let offset = match contained {
                true => raw::POLICY_EXE_CONTAINED.0,
                false => 0,
            };
            programs.push(Program {
                kind: kind.0 + offset,
                path: path.to_owned(),
                set: sets.number(mask(&example, contained)),
            });
        }
    }
    programs
}
