//! Destinations to the targets of a rule: names within a registrable domain, addresses within a
//! network, ports within a protocol become one where they are many.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Protocol;

use super::super::target::{METADATA, NamePattern, Scope, plain_address};
use super::super::{Destination, NameKind};
use super::Ports;

/// Names of one registrable domain that are listed; more become the domain.
const MAX_NAMES: usize = 3;

/// Addresses of one small network that are listed.
const MAX_ADDRESSES: usize = 3;

/// Networks of one scope that are listed.
const MAX_PRIVATE: usize = 16;
const MAX_PUBLIC: usize = 64;

/// Ports of a protocol that are listed.
const MAX_PORTS: usize = 8;

/// A destination, as a rule may name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Name {
        name: String,
        /// Only `private: true` lets the name grant this address.
        private: bool,
    },
    Metadata,
    Network(IpNet),
    /// By [`Scope::as_str`].
    Scope(&'static str),
    /// Frames without an IP packet.
    Frames,
}

impl Place {
    pub fn of(to: &Destination) -> Place {
        let Some(ip) = to.ip.map(plain_address) else {
            return Place::Frames;
        };
        let scope = Scope::of(ip);
        let is_metadata = METADATA.contains(&ip);
        if let Some(name) = to.names.first()
            && NamePattern::parse(&name.name)
                .is_ok_and(|pattern| pattern.kind == NameKind::Both && pattern.name == name.name)
            && name.name.contains('.')
        {
            let inside = matches!(scope, Scope::Loopback | Scope::Link | Scope::Private);
            return Place::Name {
                name: name.name.clone(),
                private: inside || is_metadata,
            };
        }
        match scope {
            _ if is_metadata => Place::Metadata,
            Scope::Private | Scope::Public => Place::Network(ip.into()),
            scope => Place::Scope(scope.as_str()),
        }
    }

    pub fn is_private_name(&self) -> bool {
        matches!(self, Place::Name { private: true, .. })
    }

    pub fn is_frames(&self) -> bool {
        *self == Place::Frames
    }

    /// As in `to`; None where only the ports say it.
    pub fn target(&self) -> Option<String> {
        match self {
            Place::Name { name, .. } => Some(name.clone()),
            Place::Metadata => Some("metadata".to_owned()),
            Place::Network(net) if net.prefix_len() == net.max_prefix_len() => {
                Some(net.addr().to_string())
            }
            Place::Network(net) => Some(net.to_string()),
            Place::Scope(scope) => Some((*scope).to_owned()),
            Place::Frames => None,
        }
    }
}

type Places = BTreeMap<Place, Ports>;

/// Fewer places that include the given ones.
pub fn fold(places: Places) -> Places {
    let places = fold_by(places, domain, MAX_NAMES);
    let places = fold_by(places, network, MAX_ADDRESSES);
    let places = fold_by(places, |place| scope(place, Scope::Private), MAX_PRIVATE);
    fold_by(places, |place| scope(place, Scope::Public), MAX_PUBLIC)
}

/// Puts those that have the same larger place into it, where they are more than `max`.
fn fold_by(places: Places, larger: impl Fn(&Place) -> Option<Place>, max: usize) -> Places {
    let mut members: BTreeMap<Place, usize> = BTreeMap::new();
    for place in places.keys().filter_map(&larger) {
        *members.entry(place).or_default() += 1;
    }
    let mut folded = Places::new();
    for (place, ports) in places {
        let into = larger(&place).filter(|into| members.get(into).is_some_and(|n| *n > max));
        folded
            .entry(into.unwrap_or(place))
            .or_default()
            .extend(ports);
    }
    folded
}

/// The registrable domain of a name. Beyond it, names belong to others.
fn domain(place: &Place) -> Option<Place> {
    let Place::Name { name, private } = place else {
        return None;
    };
    let domain = psl::domain_str(name)?;
    Some(Place::Name {
        name: domain.to_owned(),
        private: *private,
    })
}

fn network(place: &Place) -> Option<Place> {
    let Place::Network(net) = place else {
        return None;
    };
    let ip = net.addr();
    let prefix = if ip.is_ipv4() { 24 } else { 64 };
    let larger = IpNet::new(ip, prefix).ok()?.trunc();
    // what a network of private addresses has is private
    (Scope::of(larger.network()) == Scope::of(larger.broadcast())
        && !METADATA.iter().any(|ip: &IpAddr| larger.contains(ip)))
    .then_some(Place::Network(larger))
}

fn scope(place: &Place, of: Scope) -> Option<Place> {
    match place {
        Place::Network(net) if Scope::of(net.addr()) == of => Some(Place::Scope(of.as_str())),
        _ => None,
    }
}

/// As in `ports`.
pub fn ports(of: &Ports) -> Vec<String> {
    let mut by_protocol: BTreeMap<u16, BTreeSet<Option<u16>>> = BTreeMap::new();
    for (number, port) in of {
        by_protocol.entry(*number).or_default().insert(*port);
    }
    let mut found = Vec::new();
    for (number, ports) in by_protocol {
        let protocol = match number {
            u16::MAX => Protocol::Packet,
            number => Protocol::of(number),
        };
        let name = protocol.as_str();
        let has_ports = matches!(
            protocol,
            Protocol::Tcp | Protocol::Udp | Protocol::Ip(33 | 132 | 136)
        );
        // 0 and none are no ports that a rule can name
        let all = ports.len() > MAX_PORTS
            || !has_ports
            || ports.contains(&None)
            || ports.contains(&Some(0));
        match all {
            true => found.push(name.to_owned()),
            false => found.extend(ports.iter().flatten().map(|port| format!("{port}/{name}"))),
        }
    }
    found
}
