//! Coalesces unsolicited and malformed messages. Anyone who can reach a socket can send it
//! forged answers by the hundred thousand: they must be visible without filling the disk. The
//! first of each process and kind are lookups of their own, the others one lookup with a count.

use crate::attribute::shares::Shares;
use crate::model::{Lookup, LookupStatus};

/// Single lookups in each [`WINDOW_NS`].
const BURST: u64 = 16;
const WINDOW_NS: u64 = 10_000_000_000;
/// Processes and kinds followed at once. One that is forgotten starts again.
const MAX_FOLLOWED: usize = 4096;

/// A process' serial and the kind of its messages.
type RepeatKey = (u64, LookupStatus);

struct Repeats {
    since_ns: u64,
    /// Single lookups so far.
    single: u64,
    /// The lookup that counts the others.
    coalesced: Option<Lookup>,
    /// Whether that has grown since it was emitted.
    grown: bool,
}

pub struct RepeatCoalescer {
    followed: Shares<RepeatKey, Repeats>,
    /// Of those that are no longer followed.
    evicted: Vec<Lookup>,
}

impl Default for RepeatCoalescer {
    fn default() -> Self {
        RepeatCoalescer {
            followed: Shares::new(MAX_FOLLOWED),
            evicted: Vec::new(),
        }
    }
}

impl RepeatCoalescer {
    /// Adds a message; returns it if it is to be emitted as a lookup of its own. `account` is the
    /// user whose share of those that are followed its process takes.
    pub fn add(&mut self, lookup: Lookup, account: u32, ns: u64) -> Option<Lookup> {
        let key = (lookup.process.serial, lookup.status);
        if !self.followed.contains_key(&key) {
            let first = Repeats {
                since_ns: ns,
                single: 0,
                coalesced: None,
                grown: false,
            };
            let evicted = self.followed.insert(account, key, first).into_iter();
            let grown = evicted.filter(|repeats| repeats.grown);
            self.evicted.extend(grown.filter_map(|r| r.coalesced));
        }
        let repeats = self.followed.get_mut(&key)?;
        if ns.saturating_sub(repeats.since_ns) >= WINDOW_NS && !repeats.grown {
            repeats.since_ns = ns;
            repeats.single = 0;
            repeats.coalesced = None;
        }
        if repeats.single < BURST {
            repeats.single += 1;
            return Some(lookup);
        }
        match &mut repeats.coalesced {
            Some(coalesced) => coalesced.times += 1,
            None => repeats.coalesced = Some(lookup),
        }
        repeats.grown = true;
        None
    }

    /// The coalesced lookups that have grown since the last call.
    pub fn grown(&mut self) -> Vec<Lookup> {
        let mut lookups = std::mem::take(&mut self.evicted);
        for repeats in self.followed.values_mut().filter(|r| r.grown) {
            repeats.grown = false;
            lookups.extend(repeats.coalesced.clone());
        }
        lookups
    }
}

/// Resource records kept of an unsolicited message.
pub const MAX_UNSOLICITED_RECORDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::lookup;

    fn forged() -> Lookup {
        Lookup {
            status: LookupStatus::Unsolicited,
            ..lookup("x.example", "192.0.2.1")
        }
    }

    #[test]
    fn flood_is_a_few_lookups_that_add_up() {
        let mut repeats = RepeatCoalescer::default();
        let (mut rows, mut sum) = (0, 0);
        for i in 0..100_000 {
            if let Some(row) = repeats.add(forged(), 0, i) {
                (rows, sum) = (rows + 1, sum + row.times);
            }
        }
        let rest = repeats.grown();
        assert_eq!((rows, rest.len()), (BURST, 1));
        assert_eq!(sum + rest[0].times, 100_000);
        assert!(repeats.grown().is_empty());
    }

    #[test]
    fn next_window_begins_with_single_lookups_again() {
        let mut repeats = RepeatCoalescer::default();
        for _ in 0..100 {
            repeats.add(forged(), 0, 1);
        }
        repeats.grown();
        assert!(repeats.add(forged(), 0, WINDOW_NS).is_none());
        assert_eq!(repeats.grown()[0].times, 85);
        assert!(repeats.add(forged(), 0, WINDOW_NS + 1).is_some());
    }
}
