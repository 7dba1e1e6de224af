//! The reference evaluator: the rules one by one, as a reader of the file would.

use std::net::IpAddr;

use crate::model::Protocol;

use super::essential::Essential;
use super::facts::{Destination, Evidence, HostName, Said, Subject};
use super::rule::{Action, Mode, Rule};
use super::target::{METADATA, Scope, Target, plain_address};
use super::who::WhoKey;
use super::{Policy, Sni, UnknownContainers};

/// What becomes of a connection, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub action: Action,
    /// The rule that decided, by its index.
    pub rule: Option<usize>,
    /// Whether the action is enforced under `--enforce`.
    pub enforced: bool,
    pub why: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Rule,
    /// DNS to one of the policy's resolvers, before all rules.
    Resolver,
    /// A container of which nothing is known yet, before all rules.
    UnknownContainer,
    Essential(Essential),
    /// The setting `sni`: the connection says no name, and goes where a rule wants one.
    Sni,
    Default,
}

const QUIC_PORT: u16 = 443;

/// Why a rule does not match: the first condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Expired,
    Who(WhoKey),
    Ports,
    To,
    /// Only its name matches, which may not grant such an address.
    Rebinding(Scope),
    /// Only a name matches for which the process' own lookups are no evidence.
    Evidence,
}

impl Decision {
    fn before_rules(action: Action, why: Reason) -> Decision {
        Decision {
            action,
            rule: None,
            enforced: true,
            why,
        }
    }

    /// Whether the connection is refused under `--enforce`.
    pub fn stops(&self) -> bool {
        self.enforced && self.action.stops()
    }
}

impl Policy {
    /// What becomes of a connection. `now`, in ns since 1970, decides which rules have expired.
    pub fn decide(&self, who: &Subject, to: &Destination, now: i64) -> Decision {
        self.decide_among(&self.rules_about(who, now), who, to)
    }

    /// The rules that may match what a process does, by their indexes.
    pub fn rules_about(&self, who: &Subject, now: i64) -> Vec<usize> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(_, rule)| who_mismatch(rule, who, now).is_none())
            .map(|(index, _)| index)
            .collect()
    }

    /// What becomes of a connection, from [`Policy::rules_about`] its process: when it is made, and
    /// under `sni` again by the name that it says itself.
    pub fn decide_among(&self, about: &[usize], who: &Subject, to: &Destination) -> Decision {
        let first = self.decide_by(about, who, [to, to]);
        let Some(said) = self.said(to).filter(|_| !first.action.stops()) else {
            return first;
        };
        let kept = Destination {
            names: said.iter().chain(&to.names).cloned().collect(),
            ..to.clone()
        };
        let mut names: Vec<HostName> = said.iter().cloned().collect();
        if said.is_none() && !to.names.is_empty() {
            // it has names, which do not count: none that a rule could have
            names.push(HostName {
                name: String::new(),
                evidence: Evidence::Shared,
            });
        }
        let replaced = Destination {
            names,
            ..to.clone()
        };
        let mut second = self.decide_by(about, who, [&replaced, &kept]);
        // the kernel side decides on a datagram once
        let is_tcp = to.protocol == Protocol::Tcp;
        if is_tcp && second.action.stops() && (said.is_none() || self.sni == Sni::Alert) {
            second = Decision::before_rules(self.sni.action(), Reason::Sni);
        }
        match second.action > first.action {
            true => second,
            false => first,
        }
    }

    /// The name that a connection says, or that it says none, where that is decided on. QUIC's is
    /// encrypted, so the kernel side can't read it: as if there was none.
    fn said(&self, to: &Destination) -> Option<Option<HostName>> {
        let by_itself = |name: &String| HostName {
            name: name.clone(),
            evidence: Evidence::Own,
        };
        let is_quic = to.protocol == Protocol::Udp && to.port == Some(QUIC_PORT);
        match (self.sni, &to.said) {
            (Sni::Off, _) => None,
            (Sni::Strict, _) if is_quic => Some(None),
            _ if to.protocol != Protocol::Tcp => None,
            (_, Said::NotYet) => None,
            (_, Said::Nothing) => Some(None),
            (_, Said::Name(name)) => Some(Some(by_itself(name))),
        }
    }

    /// By a destination's names, and for rules with `sni: off` by others.
    fn decide_by(
        &self,
        about: &[usize],
        who: &Subject,
        [to, unsaid]: [&Destination; 2],
    ) -> Decision {
        if self.is_dns_to_resolver(to) {
            return Decision::before_rules(Action::Allow, Reason::Resolver);
        }
        if who.container.is_unknown() && self.unknown_containers == UnknownContainers::Block {
            return Decision::before_rules(Action::Block, Reason::UnknownContainer);
        }
        let rules = about
            .iter()
            .filter_map(|index| Some((*index, self.rules.get(*index)?)));
        for (index, rule) in rules {
            let to = if rule.sni_off { unsaid } else { to };
            if self.where_mismatch(rule, to).is_none() {
                return Decision {
                    action: self.applied(rule, to),
                    rule: Some(index),
                    enforced: rule.mode == Mode::Enforce,
                    why: Reason::Rule,
                };
            }
        }
        let essential = self.essentials.iter().find(|e| e.covers(who, to));
        match essential {
            Some(essential) => Decision::before_rules(Action::Allow, Reason::Essential(*essential)),
            None => Decision::before_rules(self.default, Reason::Default),
        }
    }

    /// What becomes of a query for a name under `lookups: block`: it is let through if a rule lets
    /// its process reach the name, at whatever port; else the first rule about it decides, or the
    /// default. A resolver of this host asks for others, so what any process may reach counts.
    pub fn decide_lookup(&self, about: &[usize], is_stub: bool, name: &str) -> Decision {
        let names = |rule: &Rule| {
            rule.to.is_empty() || rule.to.iter().any(|target| self.names(target, name))
        };
        let rules = self
            .rules
            .iter()
            .enumerate()
            .filter(|(index, rule)| (is_stub || about.contains(index)) && names(rule));
        let mut first = None;
        for (index, rule) in rules {
            let decision = Decision {
                action: refused_at_most(rule.action),
                rule: Some(index),
                enforced: rule.mode == Mode::Enforce,
                why: Reason::Rule,
            };
            if !rule.action.stops() {
                return decision;
            }
            first = first.or(Some(decision));
        }
        let default = refused_at_most(self.default);
        first.unwrap_or(Decision::before_rules(default, Reason::Default))
    }

    /// Whether a packet is a DNS message to one of the policy's resolvers.
    pub fn is_dns_to_resolver(&self, to: &Destination) -> bool {
        self.essentials.contains(&Essential::Dns)
            && to.port == Some(53)
            && matches!(to.protocol, Protocol::Tcp | Protocol::Udp)
            && to.ip.is_some_and(|ip| {
                let ip = plain_address(ip);
                self.resolver_addresses()
                    .any(|resolver| plain_address(resolver) == ip)
            })
    }

    /// The first condition of a rule that does not hold; None if the rule matches.
    pub fn mismatch(
        &self,
        rule: &Rule,
        who: &Subject,
        to: &Destination,
        now: i64,
    ) -> Option<Mismatch> {
        who_mismatch(rule, who, now).or_else(|| self.where_mismatch(rule, to))
    }

    fn where_mismatch(&self, rule: &Rule, to: &Destination) -> Option<Mismatch> {
        let port = |ports: &super::Ports| ports.matches(to.protocol, to.port);
        if !(rule.ports.is_empty() || rule.ports.iter().any(port)) {
            return Some(Mismatch::Ports);
        }
        self.target_mismatch(rule, to)
    }

    fn target_mismatch(&self, rule: &Rule, to: &Destination) -> Option<Mismatch> {
        if rule.to.is_empty() {
            return None;
        }
        let ip = to.ip.map(plain_address);
        let by_address = |target: &Target| match target {
            Target::Cidr(net) => ip.is_some_and(|ip| net.contains(&ip)),
            Target::Scope(scope) => ip.is_some_and(|ip| Scope::of(ip) == *scope),
            Target::Metadata => ip.is_some_and(|ip| METADATA.contains(&ip)),
            Target::Unnamed => is_unnamed(to, ip),
            Target::List(index) => {
                ip.is_some_and(|ip| self.lists.get(*index).is_some_and(|l| l.has_address(ip)))
            }
            Target::Name(_) => false,
        };
        if rule.to.iter().any(by_address) {
            return None;
        }
        let mut best = Mismatch::To;
        for name in &to.names {
            if !rule.to.iter().any(|target| self.names(target, &name.name)) {
                continue;
            }
            best = match name_counts(rule, ip, name.evidence) {
                Ok(()) => return None,
                Err(mismatch) => mismatch,
            };
        }
        Some(best)
    }

    /// Whether a target covers a name.
    fn names(&self, target: &Target, name: &str) -> bool {
        match target {
            Target::Name(pattern) => pattern.matches(name),
            Target::List(index) => self.lists.get(*index).is_some_and(|l| l.has_name(name)),
            _ => false,
        }
    }

    /// The action of a rule that matches. What harms the process takes a name that it looked up
    /// itself: else the owner of a listed name could point it at others' addresses, and any
    /// user's lookup would kill each process that connects there.
    fn applied(&self, rule: &Rule, to: &Destination) -> Action {
        if !rule.action.harms() {
            return rule.action;
        }
        // names of others are still names: the destination is not unnamed without them
        let names = to.names.iter().cloned().map(|name| match name.evidence {
            Evidence::Own => name,
            _ => HostName {
                evidence: Evidence::Shared,
                ..name
            },
        });
        let own = Destination {
            names: names.collect(),
            ..to.clone()
        };
        match self.target_mismatch(rule, &own) {
            None => rule.action,
            Some(_) => Action::Block,
        }
    }
}

/// A name may be looked up for another process: that is refused, and no more.
fn refused_at_most(action: Action) -> Action {
    match action.harms() {
        true => Action::Block,
        false => action,
    }
}

fn who_mismatch(rule: &Rule, who: &Subject, now: i64) -> Option<Mismatch> {
    match rule.has_expired(now) {
        true => Some(Mismatch::Expired),
        false => rule.who.mismatch(who).map(Mismatch::Who),
    }
}

/// Whether a name that matches a rule's target is enough for the rule.
fn name_counts(rule: &Rule, ip: Option<IpAddr>, evidence: Evidence) -> Result<(), Mismatch> {
    if rule.action.stops() {
        // any user may look up a listed name and so give its address that name for others
        return match evidence {
            Evidence::Own | Evidence::Related => Ok(()),
            Evidence::Shared => Err(Mismatch::Evidence),
        };
    }
    let Some(ip) = ip.filter(|_| !rule.private) else {
        return Ok(());
    };
    match Scope::of(ip) {
        scope @ (Scope::Loopback | Scope::Link | Scope::Private) => Err(Mismatch::Rebinding(scope)),
        scope if METADATA.contains(&ip) => Err(Mismatch::Rebinding(scope)),
        _ => Ok(()),
    }
}

/// Addresses that have names, but none is known for this one.
fn is_unnamed(to: &Destination, ip: Option<IpAddr>) -> bool {
    to.names.is_empty()
        && ip.is_some_and(|ip| matches!(Scope::of(ip), Scope::Public | Scope::Private))
}
