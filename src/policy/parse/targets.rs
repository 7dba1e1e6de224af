//! `to` and `ports` of a rule.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::Protocol;

use super::super::list::List;
use super::super::problem::{Position, shown};
use super::super::{NamePattern, Ports, Scope, Target, plain_address};
use super::fields::Reader;
use super::yaml::Item;
use crate::text::did_you_mean;

/// Destinations of a rule that are written in the policy itself.
const MAX_TARGETS: usize = 4096;

/// Entries of `ports`.
const MAX_PORTS: usize = 256;

/// Lists of a policy.
const MAX_LISTS: usize = 64;

const LIST: &str = "list:";

pub fn read_to(reader: &mut Reader, item: &Item) -> Vec<Target> {
    let scalars = reader.scalars(item, "to");
    if scalars.len() > MAX_TARGETS {
        let text = format!(
            "to can have {MAX_TARGETS} destinations at most: put them into a file, with \
             'to: [\"list:FILE\"]'"
        );
        reader.problem(item.at, text);
    }
    scalars
        .into_iter()
        .take(MAX_TARGETS)
        .filter_map(|(text, at)| target(reader, text, at))
        .collect()
}

fn target(reader: &mut Reader, text: &str, at: Position) -> Option<Target> {
    if let Some(pattern) = text.strip_prefix(LIST) {
        return list(reader, pattern, at);
    }
    match text {
        "metadata" => return Some(Target::Metadata),
        "unnamed" => return Some(Target::Unnamed),
        _ => {}
    }
    if let Some(scope) = Scope::ALL.into_iter().find(|scope| scope.as_str() == text) {
        return Some(Target::Scope(scope));
    }
    match address(text).or_else(|| name(text)) {
        Some(Ok(target)) => Some(target),
        Some(Err(why)) => {
            reader.problem(at, format!("{} {why}", shown(text)));
            None
        }
        None => None,
    }
}

fn name(text: &str) -> Option<Result<Target, String>> {
    if text.starts_with('!') {
        let why = "negates, which only who can: let an earlier rule decide about what is left out";
        return Some(Err(why.to_owned()));
    }
    // single words that are nearly a keyword are no names that a policy means
    let keywords = [
        "loopback",
        "link",
        "private",
        "multicast",
        "public",
        "metadata",
        "unnamed",
    ];
    if !text.contains('.') && !text.starts_with('=') {
        let help = did_you_mean(text, &keywords);
        if help.starts_with("did") && text != "localhost" {
            return Some(Err(format!("is not known; {help} ={text} is the name")));
        }
    }
    Some(NamePattern::parse(text).map(Target::Name))
}

/// None if it is neither an address nor a network.
fn address(text: &str) -> Option<Result<Target, String>> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Some(Ok(Target::Cidr(IpNet::from(plain_address(ip)))));
    }
    let (ip, prefix) = text.split_once('/')?;
    let ip = ip.parse::<IpAddr>().ok()?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let net = prefix
        .parse()
        .ok()
        .and_then(|prefix| IpNet::new(ip, prefix).ok());
    let Some(net) = net else {
        return Some(Err(format!(
            "has a prefix that is not a number from 0 to {longest}"
        )));
    };
    if net.addr() != net.network() {
        return Some(Err(format!(
            "has bits beyond its prefix; is it {}?",
            net.trunc()
        )));
    }
    Some(Ok(Target::Cidr(net)))
}

fn list(reader: &mut Reader, pattern: &str, at: Position) -> Option<Target> {
    if pattern.is_empty() || pattern.contains('\0') {
        reader.problem(at, "list: is followed by a file, as in list:feeds/bad.txt");
        return None;
    }
    let lists = &mut reader.context.lists;
    if let Some(index) = lists.iter().position(|list| list.pattern == pattern) {
        return Some(Target::List(index));
    }
    if lists.len() == MAX_LISTS {
        reader.problem(at, format!("a policy has {MAX_LISTS} lists at most"));
        return None;
    }
    lists.push(List::new(pattern.to_owned(), at));
    Some(Target::List(lists.len() - 1))
}

pub fn read_ports(reader: &mut Reader, item: &Item) -> Vec<Ports> {
    let scalars = reader.scalars(item, "ports");
    if scalars.len() > MAX_PORTS {
        reader.problem(
            item.at,
            format!("ports can have {MAX_PORTS} values at most"),
        );
    }
    let mut found = Vec::new();
    for (text, at) in scalars.into_iter().take(MAX_PORTS) {
        match ports(text) {
            Some(ports) => found.push(ports),
            None => {
                let text = format!(
                    "{} is not a port (443), a range (8000-8999), either with a protocol \
                     (53/udp), or a protocol (icmp)",
                    shown(text)
                );
                reader.problem(at, text);
            }
        }
    }
    found
}

fn ports(text: &str) -> Option<Ports> {
    if let Some(protocol) = protocol(text) {
        return Some(Ports {
            protocol: Some(protocol),
            range: None,
        });
    }
    let (range, named) = match text.split_once('/') {
        Some((range, name)) => (range, Some(protocol(name)?)),
        None => (text, None),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = (port(first)?, port(last)?);
    let has_ports = |protocol| {
        matches!(
            protocol,
            Protocol::Tcp | Protocol::Udp | Protocol::Ip(132 | 136 | 33)
        )
    };
    (first <= last && named.is_none_or(has_ports)).then_some(Ports {
        protocol: named,
        range: Some((first, last)),
    })
}

fn protocol(name: &str) -> Option<Protocol> {
    if name == Protocol::Packet.as_str() {
        return Some(Protocol::Packet);
    }
    (0..=255)
        .map(Protocol::of)
        .find(|protocol| protocol.as_str() == name)
}
