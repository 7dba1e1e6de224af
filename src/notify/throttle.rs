//! Which events are worth a notification: none that repeats, and not too many of a rule. A user
//! who causes many must not keep others' from being reported, so each has a share.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Notifications of a rule in a minute, and those of them that may be of one user or container.
pub const MAX_A_MINUTE: usize = 20;
pub const MAX_OF_SUBJECT: usize = 10;

/// How long the same is not notified again.
pub const REPEAT: Duration = Duration::from_secs(600);

/// As many as a policy can have, and those of one before.
const MAX_RULES: usize = 600;

/// A user, and its container's number.
pub type Subject = (u32, Option<u64>);

#[derive(Default)]
pub struct Throttle {
    rules: HashMap<Rc<str>, Rule>,
    hasher: RandomState,
}

#[derive(Default)]
struct Rule {
    /// In the last minute.
    sent: VecDeque<(Instant, Subject)>,
    /// When what was notified: MAX_A_MINUTE bounds them.
    recent: HashMap<u64, Instant>,
    /// Events since the last notification.
    suppressed: u64,
}

impl Throttle {
    /// Whether an event is notified: then, how many of the rule were not since the last one.
    /// `same` is what events have in common that are the same to the reader.
    pub fn admit(
        &mut self,
        rule: &Rc<str>,
        subject: Subject,
        same: impl Hash,
        now: Instant,
    ) -> Option<u64> {
        if self.rules.len() >= MAX_RULES && !self.rules.contains_key(rule) {
            self.rules.retain(|_, rule| {
                rule.forget(now);
                !rule.recent.is_empty()
            });
            if self.rules.len() >= MAX_RULES {
                return None;
            }
        }
        let same = self.hasher.hash_one(same);
        let rule = self.rules.entry(Rc::clone(rule)).or_default();
        rule.forget(now);
        let of_subject = rule.sent.iter().filter(|(_, its)| *its == subject).count();
        if rule.recent.contains_key(&same)
            || rule.sent.len() >= MAX_A_MINUTE
            || of_subject >= MAX_OF_SUBJECT
        {
            rule.suppressed += 1;
            return None;
        }
        rule.sent.push_back((now, subject));
        rule.recent.insert(same, now);
        Some(std::mem::take(&mut rule.suppressed))
    }
}

impl Rule {
    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|(at, _)| now - *at >= MINUTE) {
            self.sent.pop_front();
        }
        self.recent.retain(|_, at| now - *at < REPEAT);
    }
}
