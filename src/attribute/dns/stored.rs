//! How much of lookups is stored. Naming needs them in memory, and gets all of them. But one user
//! can get answers of thousands of records a second, from a name server of their own: what is
//! beyond a user's share is left out of the history, and counted.

use crate::attribute::allowance::{Allowance, Limit, Limits};
use crate::model::{GapKind, Lookup, Loss, ResourceRecord};

/// Rows per second: a lookup is one, and so is each of its records.
const ROWS: Limits = Limits {
    system: Limit {
        rate: 20_000.0,
        burst: 400_000.0,
    },
    user: Limit {
        rate: 2_000.0,
        burst: 40_000.0,
    },
    users: Limit {
        rate: 8_000.0,
        burst: 160_000.0,
    },
};

const LOOKUPS: Loss = Loss {
    kind: GapKind::DnsLookups,
    why: "more lookups than a user's share",
};
const RECORDS: Loss = Loss {
    kind: GapKind::DnsRecords,
    why: "more records of DNS answers than a user's share",
};

pub struct StoredLookups {
    rows: Allowance,
    lookups_lost: u64,
    records_lost: u64,
}

impl Default for StoredLookups {
    fn default() -> Self {
        StoredLookups {
            rows: Allowance::new(ROWS),
            lookups_lost: 0,
            records_lost: 0,
        }
    }
}

impl StoredLookups {
    /// A lookup with as many of its records as there is room for in the share of `account`; the others
    /// are not made. `left_out` are missing already.
    pub fn admit(
        &mut self,
        mut lookup: Lookup,
        answers: impl ExactSizeIterator<Item = ResourceRecord>,
        left_out: usize,
        account: u32,
        ns: u64,
    ) -> Option<Lookup> {
        self.records_lost += left_out as u64;
        if !self.rows.take(account, 1.0, ns) {
            self.lookups_lost += 1;
            self.records_lost += answers.len() as u64;
            return None;
        }
        let room = self.rows.left(account, ns).max(0.0) as usize;
        self.records_lost += answers.len().saturating_sub(room) as u64;
        lookup.answers = answers.take(room).collect();
        self.rows.spend(account, lookup.answers.len() as f64);
        Some(lookup)
    }

    pub fn lost(&self) -> impl Iterator<Item = (Loss, u64)> + use<> {
        [(LOOKUPS, self.lookups_lost), (RECORDS, self.records_lost)]
            .into_iter()
            .filter(|(_, lost)| *lost > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::lookup;

    #[test]
    fn every_record_is_stored_or_counted_and_other_users_keep_their_share() {
        let mut stored = StoredLookups::default();
        let small = lookup("x.example", "192.0.2.1");
        let records_of_it = vec![small.answers[0].clone(); 1000];
        let admit = |stored: &mut StoredLookups, left_out, account| {
            let answers = records_of_it.iter().cloned();
            stored.admit(small.clone(), answers, left_out, account, 1)
        };
        let (mut lookups, mut records) = (0, 0);
        for _ in 0..5_000 {
            if let Some(lookup) = admit(&mut stored, 10, 1000) {
                lookups += 1;
                records += lookup.answers.len() as u64;
            }
        }
        let lost: Vec<u64> = stored.lost().map(|(_, lost)| lost).collect();
        assert_eq!(
            [lookups + lost[0], records + lost[1]],
            [5_000, 5_000 * 1010]
        );
        assert!(lookups + records <= ROWS.user.burst as u64);
        let others = admit(&mut stored, 0, 1001).unwrap();
        assert_eq!(others.answers.len(), 1000);
    }
}
