//! How often the rules have decided: the kernel side's counters, which only grow, as records.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{PolicyHits, VerdictRule};

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(1);

pub struct HitCounters {
    read: Instant,
    /// What was reported, by generation.
    reported: HashMap<u32, Vec<u64>>,
    unknown_containers: Option<u32>,
}

impl HitCounters {
    pub fn new() -> HitCounters {
        HitCounters {
            read: Instant::now(),
            reported: HashMap::new(),
            unknown_containers: None,
        }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_reported_when_they_change_each_generation_by_itself() {
        let mut counters = HitCounters::new();
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
    }
}
