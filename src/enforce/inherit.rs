//! What a recorder before has learnt, from the maps that it has pinned: names of addresses, and
//! queries whose answers are still to come. All is copied before the new programs learn anything.
//! From then on both learn the same, but for what came in between: so it is compared until
//! nothing is missing, and only then do the new rules decide.

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

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

/// How long it is compared: the recorder does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// The part of a table that may be added: what is added has no place in its user's ring, and
/// nothing makes room for it.
const PART: usize = 16;

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
            let name = name_of(key);
            placed.has(SEEN_NAMES, key) || name.is_some_and(|name| used.contains(&name))
        });
        self.write("policy_seen_names", &without_sets(names))?;
        for table in ["policy_queries", "policy_aliases", "policy_streams"] {
            self.write(table, &self.read(table)?)?;
        }
        Ok(())
    }

    /// Once both learn: adds what is missing of what was learnt since [`Names::copy`] began.
    /// Returns whether all is there then.
    pub fn complete(&self, since_ns: u64) -> Result<bool> {
        let begun = Instant::now();
        let mut added = Added::default();
        loop {
            sleep(GRACE);
            if self.add_missing(since_ns, &mut added)? == 0 {
                return Ok(!added.is_full);
            }
            if begun.elapsed() > PATIENCE {
                return Ok(false);
            }
        }
    }

    /// What is there is read first: what comes later, both learn, and nothing of it is missing.
    fn add_missing(&self, since_ns: u64, added: &mut Added) -> Result<usize> {
        let grants = self.read("policy_grants")?;
        let mut queries = self.read("policy_queries")?;
        // a program that took the time before may have written it after the copy
        let since_ns = since_ns.saturating_sub(PATIENCE.as_nanos() as u64);
        queries.retain(|(_, query)| asked_ns(query) >= since_ns);
        let mut aliases = self.read("policy_aliases")?;
        let now = boot_ns();
        aliases.retain(|(_, alias)| alias_of(alias).expires_ns > now);

        let good = grants.iter().filter(|(_, grant)| is_good(grant, now));
        let used: HashSet<u64> = good
            .flat_map(|(_, grant)| grant_of(grant).names)
            .map(|granted| granted.name)
            .chain(queries.iter().map(|(_, query)| query_of(query).name))
            .chain(aliases.iter().map(|(_, alias)| alias_of(alias).name))
            .collect();
        let mut names = self.read("policy_seen_names")?;
        names.retain(|(key, _)| name_of(key).is_some_and(|name| used.contains(&name)));
        let streams = self.read("policy_streams")?;

        let tables: [(&'static str, Entries, IsNewer); 4] = [
            ("policy_seen_names", without_sets(names), |_, _| false),
            ("policy_queries", queries, |one, other| {
                asked_ns(one) > asked_ns(other)
            }),
            ("policy_aliases", aliases, |one, other| {
                alias_of(one).expires_ns > alias_of(other).expires_ns
            }),
            ("policy_streams", streams, |one, other| {
                is_further(&read(one), &read(other))
            }),
        ];
        let mut count = 0;
        for (table, mut missing, is_newer) in tables {
            let to = self.to(table)?;
            let known: HashMap<_, _> = entries(to)?.into_iter().collect();
            let most = to.max_entries() as usize / PART;
            missing.retain(|(key, value)| match known.get(key) {
                Some(known) => is_newer(value, known),
                None => added.takes(table, key, most),
            });
            count += self.put(table, &missing)?;
        }
        let to = self.to("policy_grants")?;
        let known: HashMap<_, _> = entries(to)?.into_iter().collect();
        let most = to.max_entries() as usize / PART;
        let mut changed = Vec::new();
        for (key, value) in grants {
            let mut to = known
                .get(&key)
                .map_or_else(Default::default, |to| grant_of(to));
            let by_process = key.get(8..16) != Some(&[0; 8]);
            let is_wanted = known.contains_key(&key)
                || is_good(&value, now) && added.takes("policy_grants", &key, most);
            if is_wanted && merge(&mut to, &grant_of(&value), by_process) {
                changed.push((key, plain_bytes(&to).to_vec()));
            }
        }
        Ok(count + self.put("policy_grants", &changed)?)
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

/// What was added to each table.
#[derive(Default)]
struct Added {
    keys: HashMap<&'static str, HashSet<Vec<u8>>>,
    is_full: bool,
}

impl Added {
    /// Whether what is missing is to be added: not what had to make room since it was, and no more
    /// than `most`.
    fn takes(&mut self, table: &'static str, key: &[u8], most: usize) -> bool {
        let keys = self.keys.entry(table).or_default();
        if keys.contains(key) {
            return false;
        }
        if keys.len() >= most {
            self.is_full = true;
            return false;
        }
        keys.insert(key.to_vec())
    }
}

fn name_of(key: &[u8]) -> Option<u64> {
    key.first_chunk().map(|key| u64::from_ne_bytes(*key))
}

fn query_of(bytes: &[u8]) -> types::policy_query {
    read(bytes)
}

fn asked_ns(query: &[u8]) -> u64 {
    query_of(query).asked_ns
}

fn alias_of(bytes: &[u8]) -> types::policy_alias {
    read(bytes)
}

/// Whether one knows where a later answer of the same connection begins. Sequence numbers wrap.
fn is_further(one: &types::policy_stream, other: &types::policy_stream) -> bool {
    let distance = one.next.wrapping_sub(other.next);
    one.lost == 0 && one.begun != 0 && (other.begun == 0 || distance.cast_signed() > 0)
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
    fn of_two_streams_the_one_that_is_further_is_kept() {
        let stream = |next: u32, begun: u8, lost: u8| types::policy_stream {
            next,
            begun,
            lost,
            ..Default::default()
        };
        assert!(is_further(&stream(7, 1, 0), &stream(5, 1, 0)));
        assert!(!is_further(&stream(5, 1, 0), &stream(7, 1, 0)));
        assert!(!is_further(&stream(5, 1, 0), &stream(5, 1, 0)));
        assert!(is_further(&stream(3, 1, 0), &stream(u32::MAX - 3, 1, 0)));
        assert!(is_further(&stream(3, 1, 0), &stream(9, 0, 1)));
        assert!(!is_further(&stream(9, 1, 1), &stream(3, 1, 0)));
        assert!(!is_further(&stream(9, 0, 0), &stream(3, 1, 0)));
    }

    #[test]
    fn what_is_missing_is_added_once_and_up_to_a_part() {
        let mut added = Added::default();
        assert!(added.takes("one", b"a", 2));
        assert!(!added.takes("one", b"a", 2) && !added.is_full);
        assert!(added.takes("other", b"a", 2));
        assert!(added.takes("one", b"b", 2) && !added.is_full);
        assert!(!added.takes("one", b"c", 2) && added.is_full);
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
