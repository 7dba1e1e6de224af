//! Networks and the sets of rules that are about them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::sets::{EMPTY, Mask, Sets, or};
use crate::model::mapped;
use crate::policy::{METADATA, Policy, Rule, Scope, Target};

/// A network in the kernel side's form: IPv4 as ::ffff:a.b.c.d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    first: u128,
    len: u8,
}

impl Prefix {
    fn of(net: IpNet) -> Prefix {
        let len = net.prefix_len() + if net.addr().is_ipv4() { 96 } else { 0 };
        Prefix {
            first: u128::from_be_bytes(mapped(net.network())),
            len,
        }
    }

    fn contains(&self, other: Prefix) -> bool {
        let mask = u128::MAX
            .checked_shl(128 - u32::from(self.len))
            .unwrap_or(0);
        self.len <= other.len && other.first & mask == self.first
    }
}

/// A network and the set of all rules for its addresses, unless a longer one has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub addr: [u8; 16],
    pub len: u8,
    pub set: u32,
}

/// What a rule says of a network: a scope gives way to that of a longer prefix.
#[derive(Debug, Clone, Copy)]
struct Entry {
    own: Mask,
    scope: Option<Scope>,
}

/// Where scopes begin: `dst_scope` by prefixes. A test compares them.
const SCOPES: [(&str, Scope); 16] = [
    ("0.0.0.0/0", Scope::Public),
    ("0.0.0.0/32", Scope::Loopback),
    ("127.0.0.0/8", Scope::Loopback),
    ("224.0.0.0/4", Scope::Multicast),
    ("255.255.255.255/32", Scope::Multicast),
    ("169.254.0.0/16", Scope::Link),
    ("10.0.0.0/8", Scope::Private),
    ("172.16.0.0/12", Scope::Private),
    ("192.168.0.0/16", Scope::Private),
    ("100.64.0.0/10", Scope::Private),
    ("::/0", Scope::Public),
    ("::/128", Scope::Loopback),
    ("::1/128", Scope::Loopback),
    ("ff00::/8", Scope::Multicast),
    ("fe80::/10", Scope::Link),
    ("fc00::/7", Scope::Private),
];

/// The networks of all rules for which `is_live` is true.
pub fn networks(policy: &Policy, is_live: impl Fn(&Rule) -> bool, sets: &mut Sets) -> Vec<Network> {
    let mut v4 = BTreeMap::new();
    let mut v6 = BTreeMap::new();
    let mut add = |net: IpNet, mask: Mask, scope: Option<Scope>| {
        let entries = match net.addr() {
            IpAddr::V4(_) => &mut v4,
            // an IPv4 address never is one of these
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() && net.prefix_len() >= 96 => return,
            IpAddr::V6(_) => &mut v6,
        };
        let entry = entries.entry(Prefix::of(net)).or_insert(Entry {
            own: EMPTY,
            scope: None,
        });
        entry.own = or(entry.own, mask);
        entry.scope = scope.or(entry.scope);
    };
    for (net, scope) in SCOPES {
        if let Ok(net) = net.parse() {
            add(net, EMPTY, Some(scope));
        }
    }
    let mut by_scope = [EMPTY; Scope::ALL.len()];
    for (index, rule) in policy.rules.iter().enumerate() {
        if !is_live(rule) {
            continue;
        }
        let mask = super::sets::mask_of(index + 1, |i| i == index);
        for target in &rule.to {
            match target {
                Target::Cidr(net) => add(*net, mask, None),
                Target::Metadata => {
                    for ip in METADATA {
                        add(IpNet::from(ip), mask, None);
                    }
                }
                Target::List(list) => {
                    let list = policy.lists.get(*list);
                    for net in list.into_iter().flat_map(|list| list.networks()) {
                        add(*net, mask, None);
                    }
                }
                Target::Scope(scope) => {
                    let place = Scope::ALL.iter().position(|s| s == scope);
                    if let Some(place) = place.and_then(|place| by_scope.get_mut(place)) {
                        *place = or(*place, mask);
                    }
                }
                Target::Name(_) | Target::Unnamed => {}
            }
        }
    }
    let mut networks = complete(v4, &by_scope, sets);
    networks.extend(complete(v6, &by_scope, sets));
    networks
}

/// Gives each prefix the rules of those around it. Ascending, the ones around come first.
fn complete(
    entries: BTreeMap<Prefix, Entry>,
    by_scope: &[Mask; Scope::ALL.len()],
    sets: &mut Sets,
) -> Vec<Network> {
    let mut around: Vec<(Prefix, Entry)> = Vec::new();
    let mut networks = Vec::with_capacity(entries.len());
    for (prefix, mut entry) in entries {
        while around
            .last()
            .is_some_and(|(outer, _)| !outer.contains(prefix))
        {
            around.pop();
        }
        if let Some((_, outer)) = around.last() {
            entry.own = or(entry.own, outer.own);
            entry.scope = entry.scope.or(outer.scope);
        }
        let place = Scope::ALL.iter().position(|s| Some(*s) == entry.scope);
        let scope = place.and_then(|place| by_scope.get(place));
        networks.push(Network {
            addr: Ipv6Addr::from(prefix.first).octets(),
            len: prefix.len,
            set: sets.number(or(entry.own, *scope.unwrap_or(&EMPTY))),
        });
        around.push((prefix, entry));
    }
    networks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope_by_prefixes(ip: IpAddr) -> Scope {
        let ip = u128::from_be_bytes(mapped(ip));
        let address = Prefix {
            first: ip,
            len: 128,
        };
        let found = SCOPES
            .iter()
            .map(|(net, scope)| (Prefix::of(net.parse().unwrap()), *scope))
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.len);
        found.unwrap().1
    }

    proptest! {
        #[test]
        fn prefixes_give_each_address_its_scope(v4: u32, v6: u128, few in 0_u128..3, first: u8) {
            for ip in [v4, v4 & 0xffff, u32::from(first) << 24 | v4 >> 8] {
                let ip = IpAddr::from(std::net::Ipv4Addr::from(ip));
                prop_assert_eq!(scope_by_prefixes(ip), Scope::of(ip));
            }
            for ip in [v6, few, u128::from(first) << 120 | v6 >> 8, 0xfe << 120 | v6 >> 8] {
                let ip = IpAddr::from(Ipv6Addr::from(ip)).to_canonical();
                prop_assert_eq!(scope_by_prefixes(ip), Scope::of(ip));
            }
        }
    }
}
