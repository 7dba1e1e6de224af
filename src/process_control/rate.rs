//! How often a rule may do something to a process: a rule that is wrong must not end a host.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::protocol::MAX_A_MINUTE;

const MINUTE: Duration = Duration::from_secs(60);

/// As many as a policy can have, and those of one before.
const MAX_RULES: usize = 600;

#[derive(Default)]
pub struct RateLimit {
    rules: HashMap<String, VecDeque<Instant>>,
}

impl RateLimit {
    /// Whether it is not too often; then it counts.
    pub fn allows(&mut self, rule: &str, now: Instant) -> bool {
        if self.rules.len() >= MAX_RULES {
            self.rules
                .retain(|_, times| times.back().is_some_and(|last| now - *last < MINUTE));
        }
        if self.rules.len() >= MAX_RULES && !self.rules.contains_key(rule) {
            return false;
        }
        let times = self.rules.entry(rule.to_owned()).or_default();
        while times.front().is_some_and(|first| now - *first >= MINUTE) {
            times.pop_front();
        }
        let allowed = times.len() < MAX_A_MINUTE;
        if allowed {
            times.push_back(now);
        }
        allowed
    }
}
