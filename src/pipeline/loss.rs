//! The kernel side's loss counters, which only grow, as gaps.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::model::{Gap, Loss};

pub struct LossCounters {
    reported: HashMap<Loss, u64>,
    /// When they began to be read last.
    checked_ts: i64,
}

impl LossCounters {
    /// Counts from `now_ts`, nanoseconds since 1970.
    pub fn new(now_ts: i64) -> LossCounters {
        LossCounters {
            reported: HashMap::new(),
            checked_ts: now_ts,
        }
    }

    /// What has been lost since the last call. The counters were read within this time: a recorder
    /// may be stopped for long while it reads them, and what is lost meanwhile is in the one gap or
    /// in the next.
    pub fn gaps(&mut self, totals: Vec<(Loss, u64)>, read: RangeInclusive<i64>) -> Vec<Gap> {
        let (begun_ts, to_ts) = read.into_inner();
        let from_ts = self.checked_ts.min(to_ts);
        self.checked_ts = begun_ts;
        let mut gaps = Vec::new();
        for (loss, total) in totals {
            let reported = self.reported.insert(loss, total).unwrap_or_default();
            let lost = total.saturating_sub(reported);
            if lost > 0 {
                let Loss { kind, why } = loss;
                gaps.push(Gap {
                    from_ts,
                    to_ts,
                    kind,
                    lost,
                    why,
                });
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GapKind;

    const FULL: Loss = Loss {
        kind: GapKind::Dns,
        why: "the ring buffer was full",
    };

    #[test]
    fn each_loss_is_reported_once() {
        let mut counters = LossCounters::new(0);
        let mut lost = |total| -> Vec<u64> {
            let gaps = counters.gaps(vec![(FULL, total)], 1..=1);
            gaps.iter().map(|gap| gap.lost).collect()
        };
        assert!(lost(0).is_empty());
        assert_eq!(lost(3), [3]);
        assert!(lost(3).is_empty());
        assert_eq!(lost(10), [7]);
    }

    #[test]
    fn loss_while_the_counters_are_read_is_in_its_gap() {
        let mut counters = LossCounters::new(0);
        let mut gap = |total, read| {
            let gaps = counters.gaps(vec![(FULL, total)], read);
            gaps.first().map(|gap| (gap.from_ts, gap.to_ts))
        };
        // stopped from 12 to 40, before or after this counter was read
        assert_eq!(gap(3, 10..=40), Some((0, 40)));
        assert_eq!(gap(5, 50..=51), Some((10, 51)));
    }
}
