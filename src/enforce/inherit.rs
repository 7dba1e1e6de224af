//! What a recorder before has learnt, from the maps that it has pinned: names of addresses, and
//! queries whose answers are still to come. All is copied before the new programs learn anything.
//! From then on both learn the same, but for what came in between: so it is compared until
//! nothing is missing, and only then do the new rules decide.

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapMut};

use super::bytes::plain_bytes;
use super::clock::boot_ns;
use super::pin::Before;
use super::types;
use crate::capture::entries;

/// Tables of names, as the kernel side calls them.
pub const TABLES: [&str; 7] = [
    "policy_queries",
    "policy_grants",
    "policy_seen_names",
    "policy_aliases",
    "policy_streams",
    "policy_order",
    "policy_buckets",
];

/// Entries that are written by one system call.
const AT_ONCE: usize = 4096;

/// Programs that began before have ended after this.
pub const GRACE: Duration = Duration::from_millis(20);

/// How often it is compared: what is still missing then changes all the time.
const ATTEMPTS: usize = 50;

/// From a policy that decides to one that is about to.
pub struct Names<'a> {
    pub before: &'a Before,
    pub table: &'a dyn Fn(&str) -> Option<&'a MapMut<'a>>,
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

impl Names<'_> {
    /// Into tables that no program writes yet.
    pub fn copy(&self) -> Result<()> {
        let order = self.read("policy_order")?;
        let placed = Placed::new(&order);
        self.write("policy_order", &order)?;
        let mut buckets = self.read("policy_buckets")?;
        buckets.retain(|(_, bucket)| bucket.iter().any(|byte| *byte != 0));
        self.write("policy_buckets", &buckets)?;
        drop((order, buckets));

        // What has no place there is never removed. A name from before the policy is worth it as
        // long as its answer is good.
        let mut grants = self.read("policy_grants")?;
        let now = boot_ns();
        grants.retain(|(key, value)| placed.has(GRANTS, key) || is_good(value, now));
        let used: HashSet<u64> = grants
            .iter()
            .flat_map(|(_, value)| grant_of(value).names)
            .map(|granted| granted.name)
            .collect();
        self.write("policy_grants", &grants)?;
        drop(grants);
        let mut names = self.read("policy_seen_names")?;
        names.retain(|(key, _)| {
            let name = key.first_chunk().map(|key| u64::from_ne_bytes(*key));
            placed.has(SEEN_NAMES, key) || name.is_some_and(|name| used.contains(&name))
        });
        self.write("policy_seen_names", &without_sets(names))?;
        for table in ["policy_queries", "policy_aliases", "policy_streams"] {
            self.write(table, &self.read(table)?)?;
        }
        Ok(())
    }

    /// Once both learn: adds what is missing. Returns whether all is there then.
    pub fn complete(&self) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            sleep(GRACE);
            if self.add_missing()? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is there is read first: what comes later, both learn, and nothing of it is missing.
    fn add_missing(&self) -> Result<usize> {
        let mut added = 0;
        for (table, is_newer) in NEWER {
            let mut missing = self.read(table)?;
            let known: HashMap<_, _> = entries(self.to(table)?)?.into_iter().collect();
            missing
                .retain(|(key, value)| known.get(key).is_none_or(|known| is_newer(value, known)));
            if table == "policy_seen_names" {
                missing = without_sets(missing);
            }
            added += self.put(table, &missing)?;
        }
        let grants = self.read("policy_grants")?;
        let known: HashMap<_, _> = entries(self.to("policy_grants")?)?.into_iter().collect();
        let now = boot_ns();
        let mut changed = Vec::new();
        for (key, value) in grants {
            let mut to = known
                .get(&key)
                .map_or_else(Default::default, |to| grant_of(to));
            let by_process = key.get(8..16) != Some(&[0; 8]);
            let is_wanted = known.contains_key(&key) || is_good(&value, now);
            if is_wanted && merge(&mut to, &grant_of(&value), by_process) {
                changed.push((key, plain_bytes(&to).to_vec()));
            }
        }
        Ok(added + self.put("policy_grants", &changed)?)
    }

    fn read(&self, table: &str) -> Result<Entries> {
        let map = self.before.map(table);
        entries(map.with_context(|| format!("there is no {table}"))?)
    }

    fn to(&self, table: &str) -> Result<&MapMut<'_>> {
        (self.table)(table).with_context(|| format!("there is no {table}"))
    }

    fn put(&self, table: &str, entries: &Entries) -> Result<usize> {
        let map = self.to(table)?;
        for (key, value) in entries {
            map.update(key, value, MapFlags::ANY)
                .with_context(|| table.to_owned())?;
        }
        Ok(entries.len())
    }

    fn write(&self, table: &str, entries: &Entries) -> Result<()> {
        let map = self.to(table)?;
        for some in entries.chunks(AT_ONCE) {
            let keys: Vec<u8> = some.iter().flat_map(|(key, _)| key).copied().collect();
            let values: Vec<u8> = some.iter().flat_map(|(_, value)| value).copied().collect();
            let count = some.len() as u32;
            map.update_batch(&keys, &values, count, MapFlags::ANY, MapFlags::ANY)
                .with_context(|| table.to_owned())?;
        }
        Ok(())
    }
}

/// Whether an entry knows more than another one with its key.
type IsNewer = fn(&[u8], &[u8]) -> bool;

const NEWER: [(&str, IsNewer); 4] = [
    ("policy_seen_names", |_, _| false),
    ("policy_queries", |one, other| {
        asked_ns(one) > asked_ns(other)
    }),
    ("policy_aliases", |one, other| {
        read::<types::policy_alias>(one).expires_ns > read::<types::policy_alias>(other).expires_ns
    }),
    ("policy_streams", |one, other| {
        one != other && read::<types::policy_stream>(one).lost == 0
    }),
];

fn asked_ns(query: &[u8]) -> u64 {
    read::<types::policy_query>(query).asked_ns
}

const GRANTS: u16 = types::policy_order_table::ORDER_GRANTS.0 as u16;
const SEEN_NAMES: u16 = types::policy_order_table::ORDER_SEEN_NAMES.0 as u16;

/// Entries that have a place in their users' rings: bpf/policy_names_order.h.
struct Placed(HashSet<(u16, Vec<u8>)>);

impl Placed {
    fn new(order: &Entries) -> Placed {
        let place = |(at, key): &(Vec<u8>, Vec<u8>)| {
            (read::<types::policy_order_key>(at).table, key.clone())
        };
        Placed(order.iter().map(place).collect())
    }

    fn has(&self, table: u16, key: &[u8]) -> bool {
        let mut filled = key.to_vec();
        filled.resize(size_of::<types::policy_order_value>(), 0);
        self.0.contains(&(table, filled))
    }
}

/// The sets of its rules are of the generations of the policy before.
fn without_sets(mut names: Entries) -> Entries {
    for (_, value) in &mut names {
        let mut name: types::policy_seen_name = read(value);
        name.sets = [0; 2];
        *value = plain_bytes(&name).to_vec();
    }
    names
}

fn read<T: plain::Plain + Default>(bytes: &[u8]) -> T {
    let mut value = T::default();
    let _ = plain::copy_from_bytes(&mut value, bytes);
    value
}

fn grant_of(bytes: &[u8]) -> types::policy_grant {
    read(bytes)
}

fn is_good(grant: &[u8], now: u64) -> bool {
    let names = grant_of(grant).names;
    names.iter().any(|granted| granted.expires_ns > now)
}

/// Adds the names that are missing, as far as there is room; whether there were any. `by_process`:
/// a name may be there for each process.
fn merge(to: &mut types::policy_grant, from: &types::policy_grant, by_process: bool) -> bool {
    let mut changed = false;
    for new in from.names.iter().filter(|new| new.expires_ns != 0) {
        let is_same = |old: &&mut types::policy_granted| {
            let process = old.tgid == new.tgid && old.start_ns == new.start_ns;
            old.expires_ns != 0 && old.name == new.name && (!by_process || process)
        };
        let place = match to.names.iter_mut().find(is_same) {
            Some(old) if old.expires_ns >= new.expires_ns => continue,
            Some(old) => Some(old),
            None => to.names.iter_mut().find(|old| old.expires_ns == 0),
        };
        if let Some(place) = place {
            *place = *new;
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(names: &[(u64, u64, u32)]) -> types::policy_grant {
        let mut grant = types::policy_grant::default();
        for (place, (name, expires_ns, tgid)) in grant.names.iter_mut().zip(names) {
            (place.name, place.expires_ns, place.tgid) = (*name, *expires_ns, *tgid);
        }
        grant
    }

    fn assert_same(one: &types::policy_grant, other: &types::policy_grant) {
        assert!(plain_bytes(one) == plain_bytes(other));
    }

    #[test]
    fn names_that_are_missing_are_added_and_later_expiries_kept() {
        let from = grant(&[(1, 50, 7), (2, 60, 7), (3, 0, 7)]);
        let mut to = grant(&[(2, 40, 8), (4, 90, 8)]);
        assert!(merge(&mut to, &from, false));
        assert_same(&to, &grant(&[(2, 60, 7), (4, 90, 8), (1, 50, 7)]));
        assert!(!merge(&mut to, &from, false), "nothing is missing now");
        // of each process
        let mut to = grant(&[(2, 70, 8)]);
        assert!(merge(&mut to, &from, true));
        assert_same(&to, &grant(&[(2, 70, 8), (1, 50, 7), (2, 60, 7)]));
        // what has no room changes nothing, or it would never be complete
        let mut full = grant(&(10..18).map(|name| (name, 1, 1)).collect::<Vec<_>>());
        assert!(!merge(&mut full, &from, false));
    }
}
