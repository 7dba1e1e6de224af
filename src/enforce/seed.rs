//! Names of addresses from before the policy, as the kernel side has them: processes may still
//! have them in their caches, and ask no more.

use std::collections::BTreeMap;

use super::types::{policy_grant, policy_granted, policy_seen_name};
use crate::model::{CachedAddress, mapped};
use crate::policy::name_hash::NameHasher;
use crate::policy::plain_address;

/// They have no place in their user's ring (bpf/policy_names_order.h), and so stay until the recorder
/// ends: few of the tables' entries.
const MAX_ADDRESSES: usize = 4096;

/// Entries of the tables.
#[derive(Default)]
pub struct Seeds {
    pub grants: BTreeMap<[u8; 16], policy_grant>,
    pub names: BTreeMap<u64, policy_seen_name>,
}

impl Seeds {
    /// Of the newest ones. `boot_offset_ns` is the time of the boot, ns since 1970.
    pub fn new(cached: &[CachedAddress], hasher: &NameHasher, boot_offset_ns: i64) -> Seeds {
        let mut seeds = Seeds::default();
        for address in cached.iter().filter(|address| is_plain(&address.name)) {
            let suffixes = hasher.suffixes(&address.name);
            let Some(name) = suffixes.last().copied() else {
                continue;
            };
            let ip = mapped(plain_address(address.ip));
            if seeds.grants.len() >= MAX_ADDRESSES && !seeds.grants.contains_key(&ip) {
                continue;
            }
            let names = &mut seeds.grants.entry(ip).or_default().names;
            let free = names.iter_mut().find(|at| at.name == name || at.name == 0);
            if let Some(place) = free.filter(|place| place.name == 0) {
                *place = policy_granted {
                    name,
                    expires_ns: (address.expires_ts - boot_offset_ns).max(1) as u64,
                    ..Default::default()
                };
                seeds.names.insert(name, seen_name(&suffixes));
            }
        }
        seeds
    }
}

/// What needs no escapes in a history.
fn is_plain(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    name.bytes().all(is_plain)
}

fn seen_name(suffixes: &[u64]) -> policy_seen_name {
    let mut seen = policy_seen_name::default();
    for (to, from) in seen.suffixes.iter_mut().zip(suffixes) {
        *to = *from;
        seen.suffix_count += 1;
    }
    seen.is_whole = u8::from(suffixes.len() <= seen.suffixes.len());
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_newest_names_and_names_their_suffixes() {
        let hasher = NameHasher::new([1, 2]);
        let cached = |name: &str, ip: &str, expires_ts| CachedAddress {
            name: name.into(),
            ip: ip.parse().unwrap(),
            expires_ts,
        };
        let deep = "l.k.j.i.h.g.f.e.d.c.b.a";
        let mut all = vec![
            cached("www.example.com", "192.0.2.1", 1_000),
            cached("www.example.com", "192.0.2.1", 900),
            cached("evil\\046example.com", "192.0.2.1", 1_000),
            cached(deep, "64:ff9b::192.0.2.2", 1_000),
        ];
        all.extend((0..20).map(|i| cached(&format!("n{i}.test"), "192.0.2.3", 1_000)));
        let seeds = Seeds::new(&all, &hasher, 400);
        let names = |ip: &str| {
            let grant = seeds.grants.get(&mapped(ip.parse().unwrap())).unwrap();
            let names = grant.names.iter().filter(|at| at.name != 0);
            names.map(|at| (at.name, at.expires_ns)).collect::<Vec<_>>()
        };
        assert_eq!(names("192.0.2.1"), [(hasher.hash("www.example.com"), 600)]);
        assert_eq!(names("192.0.2.2"), [(hasher.hash(deep), 600)]);
        let newest = (0..8).map(|i| (hasher.hash(&format!("n{i}.test")), 600));
        assert_eq!(names("192.0.2.3"), newest.collect::<Vec<_>>());
        let seen = seeds.names.get(&hasher.hash("www.example.com")).unwrap();
        assert_eq!((seen.suffix_count, seen.is_whole), (3, 1));
        assert_eq!(seen.suffixes[1], hasher.hash("example.com"));
        let seen = seeds.names.get(&hasher.hash(deep)).unwrap();
        assert_eq!((seen.suffix_count, seen.is_whole), (10, 0));
    }
}
