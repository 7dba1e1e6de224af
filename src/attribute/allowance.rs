//! How much of something each user, and all of them together, may use per second: token buckets.
//! Pure: the caller has the clock.

use hashlink::LruCache;

use super::users;

/// Users followed at once. One that is forgotten starts again; the limit for all holds.
const MAX_USERS: usize = 4096;

/// A rate per second, and how much may be saved up.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub rate: f64,
    pub burst: f64,
}

/// Limits of a system user, any other user, and all users that are none of the system's.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub system: Limit,
    pub user: Limit,
    pub users: Limit,
}

struct Bucket {
    left: f64,
    at_ns: u64,
}

impl Bucket {
    fn fill(&mut self, limit: Limit, now_ns: u64) {
        let seconds = now_ns.saturating_sub(self.at_ns) as f64 / 1e9;
        self.left = (self.left + seconds * limit.rate).min(limit.burst);
        self.at_ns = self.at_ns.max(now_ns);
    }
}

pub struct Allowance {
    limits: Limits,
    users: LruCache<u32, Bucket>,
    all: Bucket,
}

impl Allowance {
    pub fn new(limits: Limits) -> Allowance {
        let left = limits.users.burst;
        Allowance {
            limits,
            users: LruCache::new(MAX_USERS),
            all: Bucket { left, at_ns: 0 },
        }
    }

    /// How much this user may use now.
    pub fn left(&mut self, user: u32, now_ns: u64) -> f64 {
        let is_system = users::is_system(user);
        let limit = match is_system {
            true => self.limits.system,
            false => self.limits.user,
        };
        let full = || Bucket {
            left: limit.burst,
            at_ns: now_ns,
        };
        let bucket = self.users.entry(user).or_insert_with(full);
        bucket.fill(limit, now_ns);
        if is_system {
            return bucket.left;
        }
        self.all.fill(self.limits.users, now_ns);
        bucket.left.min(self.all.left)
    }

    /// Uses some; false, and nothing is used, where that is more than is left.
    pub fn take(&mut self, user: u32, amount: f64, now_ns: u64) -> bool {
        let enough = self.left(user, now_ns) >= amount;
        if enough {
            self.spend(user, amount);
        }
        enough
    }

    /// Uses what was used already.
    pub fn spend(&mut self, user: u32, amount: f64) {
        // What a user uses beyond the own share is a debt of that user, not of all.
        let shared = self.users.get_mut(&user).map_or(amount, |bucket| {
            let within = amount.min(bucket.left.max(0.0));
            bucket.left -= amount;
            within
        });
        if !users::is_system(user) {
            self.all.left -= shared;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn limit(rate: f64, burst: f64) -> Limit {
        Limit { rate, burst }
    }

    #[test]
    fn user_has_a_burst_and_then_the_rate_and_others_have_theirs() {
        let mut allowance = Allowance::new(Limits {
            system: limit(100.0, 1000.0),
            user: limit(10.0, 50.0),
            users: limit(1000.0, 1000.0),
        });
        let mut taken = |user, tries, now| {
            let taken = (0..tries).filter(|_| allowance.take(user, 1.0, now));
            taken.count()
        };
        assert_eq!(taken(1000, 500, S), 50);
        assert_eq!(taken(1000, 500, 2 * S), 10);
        assert_eq!(taken(1001, 500, 2 * S), 50);
        assert_eq!(taken(0, 5000, 2 * S), 1000);
        assert_eq!(taken(1000, 500, 100 * S), 50);
    }

    #[test]
    fn many_users_share_a_limit_that_system_users_do_not() {
        let mut allowance = Allowance::new(Limits {
            system: limit(10.0, 10.0),
            user: limit(10.0, 10.0),
            users: limit(20.0, 20.0),
        });
        let taken = (1000..6000).filter(|user| allowance.take(*user, 1.0, S));
        assert_eq!(taken.count(), 20);
        assert!(allowance.take(53, 1.0, S));
    }
}
