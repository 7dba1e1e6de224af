//! When the pipeline looks at the ring buffer, and for how long it takes events from it.

use std::time::{Duration, Instant};

/// How often the ring buffer is looked at while there is traffic. What is committed lags
/// behind by this, and by the commit itself.
pub const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long after the last event traffic counts as going on.
const TRAFFIC: Duration = Duration::from_millis(500);
/// How often the pipeline wakes up without traffic, and the store says that the recorder is
/// still running.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// The shortest drain, however slow the sinks are.
const MIN_DRAIN: Duration = Duration::from_millis(1);

pub struct Schedule {
    last_event: Instant,
    /// How long one drain of the ring buffer may take.
    pub drain_budget: Duration,
}

impl Schedule {
    pub fn new() -> Schedule {
        Schedule {
            last_event: Instant::now(),
            drain_budget: POLL_INTERVAL,
        }
    }

    pub fn saw_events(&mut self) {
        self.last_event = Instant::now();
    }

    pub fn has_traffic(&self) -> bool {
        self.last_event.elapsed() < TRAFFIC
    }

    /// How long to sleep, unless an event comes: until the next look at the ring buffer, the
    /// next flush that a sink wants, or the end.
    pub fn timeout(&self, flush_within: Option<Duration>, end: Option<Instant>) -> Duration {
        let poll = match self.has_traffic() {
            true => POLL_INTERVAL,
            false => HEARTBEAT,
        };
        let until_end = end.map(|end| end.saturating_duration_since(Instant::now()));
        [flush_within, until_end]
            .into_iter()
            .flatten()
            .fold(poll, Duration::min)
    }

    /// Adapts the next drain to what the last one took, and what its records took in the
    /// sinks.
    pub fn adapt(&mut self, drained: Duration, delivered: Duration) {
        // ending what a release left comes on top of the budget
        let drained = drained.min(self.drain_budget);
        self.drain_budget = next_budget(self.drain_budget, drained, delivered);
    }
}

/// A budget by which delivery takes no longer than [`POLL_INTERVAL`]: meanwhile the ring
/// buffer fills up, and drained events take memory.
fn next_budget(budget: Duration, drained: Duration, delivered: Duration) -> Duration {
    let next = match delivered > POLL_INTERVAL {
        true => drained.div_duration_f64(delivered) * POLL_INTERVAL.as_secs_f64(),
        false => 2.0 * budget.as_secs_f64(),
    };
    Duration::from_secs_f64(next).clamp(MIN_DRAIN, POLL_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn slow_delivery_shortens_the_drain_and_fast_delivery_lengthens_it_again() {
        assert_eq!(next_budget(ms(100), ms(100), ms(1_000)), ms(10));
        assert_eq!(next_budget(ms(10), ms(10), ms(100)), ms(20));
        assert_eq!(next_budget(ms(80), ms(5), ms(50)), POLL_INTERVAL);
        // a disk that stalls: what was captured meanwhile is stored soon
        assert_eq!(next_budget(ms(100), ms(2), ms(5_000)), ms(1));
    }

    #[test]
    fn sleep_ends_with_whatever_is_due_first() {
        let schedule = Schedule::new();
        assert_eq!(schedule.timeout(None, None), POLL_INTERVAL);
        assert_eq!(schedule.timeout(Some(ms(20)), None), ms(20));
        let now = Some(Instant::now());
        assert_eq!(schedule.timeout(Some(ms(20)), now), Duration::ZERO);
    }
}
