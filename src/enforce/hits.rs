//! How often the rules have decided: the kernel side's counters, which only grow, as records.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{Action, PolicyHits, VerdictRule};
use crate::policy::Policy;

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(1);

pub struct HitCounters {
    read: Instant,
    /// What was reported, by generation.
    reported: HashMap<u32, Vec<u64>>,
    unknown_containers: Option<u32>,
    /// What the rules of a generation do.
    actions: HashMap<u32, Actions>,
    /// Of the rules that have hits, the most severe.
    pub worst: Action,
}

struct Actions {
    rules: Vec<Action>,
    default: Action,
    sni: Action,
}

impl Actions {
    fn of(&self, rule: VerdictRule) -> Action {
        match rule {
            VerdictRule::Index(index) => {
                let action = self.rules.get(usize::from(index));
                action.copied().unwrap_or(Action::Allow)
            }
            VerdictRule::Default => self.default,
            VerdictRule::Essential => Action::Allow,
            VerdictRule::Sni => self.sni,
            VerdictRule::SourceRouting | VerdictRule::UnknownContainer => Action::Block,
        }
    }
}

impl HitCounters {
    pub fn new() -> HitCounters {
        HitCounters {
            read: Instant::now(),
            reported: HashMap::new(),
            unknown_containers: None,
            actions: HashMap::new(),
            worst: Action::Allow,
        }
    }

    /// A generation decides from here on.
    pub fn begin(&mut self, generation: u32, policy: &Policy) {
        let actions = Actions {
            rules: policy.rules.iter().map(|rule| rule.action).collect(),
            default: policy.default,
            sni: policy.sni.action(),
        };
        self.actions.insert(generation, actions);
    }

    pub fn are_due(&self) -> bool {
        self.read.elapsed() >= INTERVAL
    }

    /// What differs from what was reported before.
    pub fn take(
        &mut self,
        generation: u32,
        counts: Vec<(VerdictRule, u64)>,
        unknown_containers: u32,
        ts: i64,
    ) -> Option<PolicyHits> {
        self.read = Instant::now();
        let reported = self.reported.entry(generation).or_default();
        reported.resize(counts.len(), 0);
        let mut hits = Vec::new();
        for ((rule, count), reported) in counts.into_iter().zip(reported) {
            if count != *reported {
                *reported = count;
                let actions = self.actions.get(&generation);
                let action = actions.map_or(Action::Allow, |actions| actions.of(rule));
                self.worst = self.worst.max(action);
                hits.push((rule, count));
            }
        }
        let changed =
            self.unknown_containers.replace(unknown_containers) != Some(unknown_containers);
        (changed || !hits.is_empty()).then_some(PolicyHits {
            ts,
            generation,
            hits,
            unknown_containers,
        })
    }

    /// A generation decides nothing any more.
    pub fn forget(&mut self, generation: u32) {
        self.reported.remove(&generation);
        self.actions.remove(&generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_reported_when_they_change_each_generation_by_itself() {
        let text = "version: 1\ndefault: block\nrules:\n  - { action: alert }\n";
        let mut counters = HitCounters::new();
        counters.begin(2, &Policy::parse(text).unwrap());
        let mut take = |generation, counts: [u64; 2], unknown| {
            let rules = [VerdictRule::Index(0), VerdictRule::Default];
            let counts = rules.into_iter().zip(counts).collect();
            counters.take(generation, counts, unknown, 1)
        };
        let hits = |taken: Option<PolicyHits>| taken.map(|taken| taken.hits);
        assert_eq!(hits(take(1, [0, 0], 0)), Some(vec![]));
        assert_eq!(take(1, [0, 0], 0), None);
        assert_eq!(
            hits(take(1, [0, 3], 0)),
            Some(vec![(VerdictRule::Default, 3)])
        );
        assert_eq!(
            hits(take(2, [2, 0], 0)),
            Some(vec![(VerdictRule::Index(0), 2)])
        );
        assert_eq!(take(1, [0, 3], 0), None);
        assert_eq!(hits(take(2, [2, 0], 1)), Some(vec![]));
        assert_eq!(counters.worst, Action::Alert);
    }
}
