//! Messages alike that come in floods. Anyone who can send to a socket can send it
//! forged answers by the hundred thousand: they must be seen, and must not fill the
//! disk. The first ones of each kind are told one by one, the rest as a number.

use hashlink::LruCache;

use crate::model::{Lookup, LookupStatus};

/// Told one by one in each [`WINDOW_NS`].
const ONE_BY_ONE: u64 = 16;
const WINDOW_NS: u64 = 10_000_000_000;
/// Floods followed at once; one that is forgotten begins anew.
const MAX_FLOODS: usize = 4096;

/// Whose they are and what they are.
type Key = (u64, LookupStatus);

struct Flood {
    begun_ns: u64,
    /// Told one by one so far.
    told: u64,
    /// The row that stands for the rest.
    rest: Option<Lookup>,
    /// Whether that has grown since it was told.
    grown: bool,
}

pub struct Floods {
    floods: LruCache<Key, Flood>,
}

impl Default for Floods {
    fn default() -> Self {
        Floods {
            floods: LruCache::new(MAX_FLOODS),
        }
    }
}

impl Floods {
    /// A message came; gives it back where it is to be told by itself.
    pub fn add(&mut self, lookup: Lookup, ns: u64) -> Option<Lookup> {
        let key = (lookup.process.serial, lookup.status);
        let flood = self.floods.entry(key).or_insert_with(|| Flood {
            begun_ns: ns,
            told: 0,
            rest: None,
            grown: false,
        });
        if ns.saturating_sub(flood.begun_ns) >= WINDOW_NS && !flood.grown {
            flood.begun_ns = ns;
            flood.told = 0;
            flood.rest = None;
        }
        if flood.told < ONE_BY_ONE {
            flood.told += 1;
            return Some(lookup);
        }
        match &mut flood.rest {
            Some(rest) => rest.times += 1,
            None => flood.rest = Some(lookup),
        }
        flood.grown = true;
        None
    }

    /// The rows that stand for many and have grown since the last call.
    pub fn grown(&mut self) -> Vec<Lookup> {
        let mut rows = Vec::new();
        for (_, flood) in self.floods.iter_mut().filter(|(_, flood)| flood.grown) {
            flood.grown = false;
            rows.extend(flood.rest.clone());
        }
        rows
    }
}

/// As many records of a message that nobody asked for as are worth keeping.
pub const RECORDS_KEPT: usize = 16;

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
    fn a_flood_is_a_few_rows_that_add_up() {
        let mut floods = Floods::default();
        let (mut rows, mut sum) = (0, 0);
        for i in 0..100_000 {
            if let Some(row) = floods.add(forged(), i) {
                (rows, sum) = (rows + 1, sum + row.times);
            }
        }
        let rest = floods.grown();
        assert_eq!((rows, rest.len()), (ONE_BY_ONE, 1));
        assert_eq!(sum + rest[0].times, 100_000);
        assert!(floods.grown().is_empty());
    }

    #[test]
    fn after_a_while_messages_are_told_one_by_one_again() {
        let mut floods = Floods::default();
        for _ in 0..100 {
            floods.add(forged(), 1);
        }
        floods.grown();
        assert!(floods.add(forged(), WINDOW_NS).is_none());
        assert_eq!(floods.grown()[0].times, 85);
        assert!(floods.add(forged(), WINDOW_NS + 1).is_some());
    }
}
