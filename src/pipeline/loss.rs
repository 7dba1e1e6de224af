//! The kernel side's loss counters, which only grow, as gaps.

use std::collections::HashMap;

use crate::model::{Gap, Loss};

pub struct LossCounters {
    reported: HashMap<Loss, u64>,
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

    /// What has been lost since the last call.
    pub fn gaps(&mut self, totals: Vec<(Loss, u64)>, to_ts: i64) -> Vec<Gap> {
        let from_ts = self.checked_ts.min(to_ts);
        self.checked_ts = to_ts;
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

    #[test]
    fn each_loss_is_reported_once() {
        let full = Loss {
            kind: GapKind::Dns,
            why: "the ring buffer was full",
        };
        let mut counters = LossCounters::new(0);
        let mut lost = |total| -> Vec<u64> {
            let gaps = counters.gaps(vec![(full, total)], 1);
            gaps.iter().map(|gap| gap.lost).collect()
        };
        assert!(lost(0).is_empty());
        assert_eq!(lost(3), [3]);
        assert!(lost(3).is_empty());
        assert_eq!(lost(10), [7]);
    }
}
