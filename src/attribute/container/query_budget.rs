//! How many containers' details each user may have read: creating a cgroup is cheap, reading the
//! files that it makes egrets read is not.

use std::time::{Duration, Instant};

use hashlink::LruCache;

/// Queries at once.
const BURST: u32 = 32;
/// Time after which there is one more.
const INTERVAL: Duration = Duration::from_secs(1);
/// Users whose budget is kept: those with the latest queries.
const MAX_USERS: usize = 1024;

/// A user's queries, and since when they count.
struct Budget {
    left: u32,
    since: Instant,
}

pub struct QueryBudgets(LruCache<u32, Budget>);

impl Default for QueryBudgets {
    fn default() -> Self {
        QueryBudgets(LruCache::new(MAX_USERS))
    }
}

impl QueryBudgets {
    /// Takes one of a user's queries; false if there is none left.
    pub fn take(&mut self, uid: u32, now: Instant) -> bool {
        let budget = self.0.entry(uid).or_insert_with(|| Budget {
            left: BURST,
            since: now,
        });
        let passed = now.duration_since(budget.since).as_secs() / INTERVAL.as_secs();
        let passed = u32::try_from(passed).unwrap_or(BURST);
        if passed > 0 {
            budget.left = budget.left.saturating_add(passed).min(BURST);
            budget.since = now;
        }
        let is_left = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_uses_up_only_its_users_queries() {
        let (mut budgets, now) = (QueryBudgets::default(), Instant::now());
        let taken = (0..300).filter(|_| budgets.take(1000, now)).count();
        assert_eq!(taken, BURST as usize);
        assert!(budgets.take(1001, now));
        let later = now + 3 * INTERVAL;
        let taken = (0..300).filter(|_| budgets.take(1000, later)).count();
        assert_eq!(taken, 3);
    }
}
