//! Ports and the sets of rules that are about them.

use std::collections::BTreeSet;

use super::sets::{Sets, mask_of};
use crate::enforce::types::policy_port_table as raw;
use crate::model::Protocol;
use crate::policy::{Policy, Rule};

/// IP's numbers.
const UDPLITE: u16 = 136;

/// Sets of all ports, or all protocols, of a table.
pub struct PortTable {
    /// enum policy_port_table
    pub table: u32,
    pub sets: Vec<u16>,
}

pub fn tables(policy: &Policy, is_live: impl Fn(&Rule) -> bool, sets: &mut Sets) -> Vec<PortTable> {
    let mut tables = vec![PortTable {
        table: raw::POLICY_NO_PORTS.0,
        sets: without_ports(policy, &is_live, sets),
    }];
    let protocols = [
        (raw::POLICY_TCP, Protocol::Tcp),
        (raw::POLICY_UDP, Protocol::Udp),
        (raw::POLICY_UDPLITE, Protocol::of(UDPLITE)),
        (raw::POLICY_SCTP, Protocol::SCTP),
    ];
    for (table, protocol) in protocols {
        tables.push(PortTable {
            table: table.0,
            sets: by_port(policy, &is_live, protocol, sets),
        });
    }
    tables
}

/// Only where a range begins or ends can the set change.
fn by_port(
    policy: &Policy,
    is_live: &impl Fn(&Rule) -> bool,
    protocol: Protocol,
    sets: &mut Sets,
) -> Vec<u16> {
    let ranges = policy.rules.iter().flat_map(|rule| &rule.ports);
    let changes: BTreeSet<u32> = ranges
        .filter_map(|ports| ports.range)
        .flat_map(|(first, last)| [u32::from(first), u32::from(last) + 1])
        .collect();
    let mut by_port = Vec::with_capacity(1 << 16);
    let mut set = 0;
    for port in 0..=u16::MAX {
        if port == 0 || changes.contains(&u32::from(port)) {
            let mask = mask_of(policy.rules.len(), |index| {
                policy.rules.get(index).is_some_and(|rule| {
                    is_live(rule)
                        && (rule.ports.is_empty()
                            || rule.ports.iter().any(|p| p.matches(protocol, Some(port))))
                })
            });
            set = sets.number(mask) as u16;
        }
        by_port.push(set);
    }
    by_port
}

/// IPv6's extension headers, RFC 8200, and AH's. One that is a packet's protocol hides another.
const EXTENSIONS: [u16; 5] = [0, 43, 44, 51, 60];

/// By protocol; behind them, those of later fragments, for which a rule by port holds if it
/// refuses: the first fragment had the port. Likewise of packets whose headers can't be read.
fn without_ports(policy: &Policy, is_live: &impl Fn(&Rule) -> bool, sets: &mut Sets) -> Vec<u16> {
    let mut by_protocol = Vec::new();
    for headless in [false, true] {
        for number in 0..256 {
            let protocol = Protocol::of(number);
            let mask = mask_of(policy.rules.len(), |index| {
                policy.rules.get(index).is_some_and(|rule| {
                    let any_port = headless && rule.action.stops();
                    let holds = |p: &crate::policy::Ports| {
                        p.matches(protocol, None)
                            || any_port
                                && (EXTENSIONS.contains(&number)
                                    || p.protocol.is_none_or(|wanted| wanted == protocol))
                    };
                    is_live(rule) && (rule.ports.is_empty() || rule.ports.iter().any(holds))
                })
            });
            by_protocol.push(sets.number(mask) as u16);
        }
    }
    by_protocol
}
