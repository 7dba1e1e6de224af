//! The steps of a timeline.

use super::model::{Time, Timeline};

/// Most steps.
const MOST_STEPS: i64 = 720;

/// Lengths of a step in milliseconds.
const STEPS: [i64; 24] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
    604_800_000,
    2_592_000_000,
];

/// Figures of a step: connections, failed ones, bytes sent and received.
pub type Figures = [i64; 4];

/// The shortest step, in ns, with which `from..to` has no more than `MOST_STEPS` steps.
pub fn step(from: i64, to: i64) -> i64 {
    let span = to.saturating_sub(from);
    let fits = |ms: &i64| span / (ms * 1_000_000) <= MOST_STEPS;
    let ms = STEPS.into_iter().find(fits);
    // Longer than a history can be, unless its file says otherwise.
    let ms = ms.unwrap_or_else(|| span / MOST_STEPS / 1_000_000 + 1);
    ms * 1_000_000
}

impl Timeline {
    /// An empty one of this span.
    pub fn new(from: i64, to: i64) -> Timeline {
        let step = step(from, to);
        let start = from - from.rem_euclid(step);
        let last = (to.saturating_sub(1).max(from)).saturating_sub(start) / step;
        let steps = usize::try_from(last).unwrap_or(0) + 1;
        Timeline {
            start: Time(start),
            step_ms: step / 1_000_000,
            connections: vec![0; steps],
            failed: vec![0; steps],
            tx_bytes: vec![0; steps],
            rx_bytes: vec![0; steps],
            sql: None,
        }
    }

    /// Adds the figures of a step.
    pub fn add(&mut self, step: i64, [connections, failed, tx, rx]: Figures) {
        let at = usize::try_from(step).unwrap_or(0);
        for (series, figure) in [
            (&mut self.connections, connections),
            (&mut self.failed, failed),
            (&mut self.tx_bytes, tx),
            (&mut self.rx_bytes, rx),
        ] {
            let at = at.min(series.len() - 1);
            series[at] = series[at].saturating_add(figure);
        }
    }

    pub fn step_ns(&self) -> i64 {
        self.step_ms.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_any_length_has_a_bounded_number_of_steps() {
        const HOUR: i64 = 3_600_000;
        for (span_ms, step_ms) in [
            (0, 100),
            (60_000, 100),
            (HOUR, 5_000),
            (24 * HOUR, 120_000),
            (720 * HOUR, 3_600_000),
            (i64::MAX / 1_000_000, 12_810_238_941),
        ] {
            let timeline = Timeline::new(7, span_ms * 1_000_000);
            let steps = timeline.connections.len();
            assert_eq!(timeline.step_ms, step_ms, "{span_ms}");
            assert!((1..=721).contains(&steps), "{span_ms}: {steps}");
        }
    }

    #[test]
    fn figures_outside_of_the_span_are_kept_at_its_ends() {
        let mut timeline = Timeline::new(0, 1_000_000_000);
        timeline.add(-3, [1, 0, 5, 0]);
        timeline.add(1 << 40, [2, 1, 0, i64::MAX]);
        timeline.add(1 << 40, [2, 1, 0, i64::MAX]);
        assert_eq!(timeline.connections.first(), Some(&1));
        assert_eq!(timeline.connections.last(), Some(&4));
        assert_eq!(timeline.rx_bytes.last(), Some(&i64::MAX));
    }
}
