//! Which name a destination has. Each accepted answer is kept in the scopes in which it counts,
//! and the narrowest scope wins (docs/architecture.md). Pure: no clock, no /proc.
//!
//! As an address of a shared host has many names, the table keeps the evidence: who sent the
//! query, when, in which lookup.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;

use hashlink::LruCache;

use super::requester::{AcceptedAnswer, ProcessKey, Requester};
use crate::model::{Endpoint, MAX_RIVALS, Name, Rival, Source, dst_scope, nat64_ipv4};

/// Where an answer counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Process(ProcessKey),
    /// A requester's group in one network namespace: in another one, an address may be another
    /// host's.
    Container(Rc<str>, u64),
    Netns(u64),
    Host,
}

/// A name for one address in one scope.
struct Candidate {
    answer: Rc<AcceptedAnswer>,
    /// The thread that connected with it last.
    used_by: Option<u32>,
}

impl Candidate {
    fn account(&self) -> u32 {
        self.answer.requester.account
    }
}

/// Candidates for one address in one scope. Beyond that, the user with the most of them loses
/// the oldest.
const MAX_CANDIDATES: usize = 256;

/// Cookie of network namespaces that had none yet when a socket older than the recording was
/// found.
const UNKNOWN_NETNS: u64 = 0;

/// How far the clocks of two processors may differ: answers are learned in the order of events.
const CLOCKS_NS: u64 = 1_000_000;

/// How long a thread that sent a query is expected to take until it connects.
const THREAD_TIMEOUT_NS: u64 = 5_000_000_000;

/// All answers that can still name a connection, `cap` candidates at most. Beyond that, the user
/// with the most candidates loses those that were used least recently: no user can evict what
/// another has.
pub struct NameTable {
    by_address: HashMap<Place, Vec<Candidate>>,
    /// By [`Requester::account`].
    users: HashMap<u32, Share>,
    size: usize,
    cap: usize,
}

type Place = (Scope, IpAddr);

/// What the answers to one user have in the table.
struct Share {
    candidates: usize,
    /// Where they are, by last use.
    places: LruCache<Place, ()>,
}

impl NameTable {
    pub fn new(cap: usize) -> NameTable {
        NameTable {
            by_address: HashMap::new(),
            users: HashMap::new(),
            size: 0,
            cap: cap.max(1),
        }
    }

    /// Adds an answer, which gave its name these addresses.
    pub fn learn(&mut self, answer: AcceptedAnswer, addresses: &[IpAddr]) {
        let answer = Rc::new(answer);
        for ip in addresses {
            // A sinkhole's address belongs to no host. And any host or user may answer a query
            // to a multicast group: such an answer names neighbours, but nothing on the Internet
            // for other processes.
            let sinkhole = ip.is_unspecified() || ip.is_loopback();
            let is_near = dst_scope(*ip) != "public" && nat64_ipv4(*ip).is_none();
            let from_anyone = answer.server.ip.is_multicast() && !is_near;
            for scope in scopes_of(&answer.requester) {
                if (sinkhole || from_anyone) && !matches!(scope, Scope::Process(_)) {
                    continue;
                }
                self.insert((scope, *ip), &answer);
            }
        }
        while self.size > self.cap {
            self.evict();
        }
    }

    fn insert(&mut self, place: Place, answer: &Rc<AcceptedAnswer>) {
        let account = answer.requester.account;
        let candidates = self.by_address.entry(place.clone()).or_default();
        // The same name from another user stays: other processes trust it.
        let older = candidates.iter().map(|c| &c.answer).position(|old| {
            old.host == answer.host
                && old.requester.uid == answer.requester.uid
                && old.requester.group == answer.requester.group
                && old.trusted_resolver == answer.trusted_resolver
        });
        let dropped = match older {
            Some(at) => Some(candidates.remove(at)),
            None if candidates.len() == MAX_CANDIDATES => {
                let most = largest_share(candidates, account);
                let at = candidates.iter().position(|c| c.account() == most);
                Some(candidates.remove(at.unwrap_or(0)))
            }
            None => None,
        };
        candidates.push(Candidate {
            answer: Rc::clone(answer),
            used_by: None,
        });
        if let Some(dropped) = dropped {
            let of = dropped.account();
            let others = candidates.iter().any(|c| c.account() == of);
            self.forget(of, 1, (!others).then_some(&place));
        }
        self.size += 1;
        let share = self.users.entry(account).or_insert_with(|| Share {
            candidates: 0,
            places: LruCache::new_unbounded(),
        });
        share.candidates += 1;
        share.places.insert(place, ());
    }

    /// Evicts the candidates of the user with the most of them, from the place where they were
    /// used least recently.
    fn evict(&mut self) {
        let largest = self.users.iter_mut().max_by_key(|(_, s)| s.candidates);
        let Some((account, share)) = largest else {
            return;
        };
        let account = *account;
        let Some((place, ())) = share.places.remove_lru() else {
            return;
        };
        let mut evicted = 0;
        if let Some(candidates) = self.by_address.get_mut(&place) {
            let before = candidates.len();
            candidates.retain(|c| c.account() != account);
            evicted = before - candidates.len();
            if candidates.is_empty() {
                self.by_address.remove(&place);
            }
        }
        self.forget(account, evicted, None);
    }

    /// Counts candidates of a user that are gone, and the place where they were the last.
    fn forget(&mut self, account: u32, candidates: usize, place: Option<&Place>) {
        self.size -= candidates;
        if let Some(share) = self.users.get_mut(&account) {
            share.candidates -= candidates;
            if let Some(place) = place {
                share.places.remove(place);
            }
            if share.candidates == 0 {
                self.users.remove(&account);
            }
        }
    }

    /// The name of `dst` for a process that connects to it at `ns`.
    pub fn name(
        &mut self,
        connecting: &Requester,
        ancestors: &[ProcessKey],
        dst: Endpoint,
        ns: u64,
    ) -> Option<Name> {
        let group = connecting.group.clone();
        let group = group.map(|group| Scope::Container(group, connecting.netns));
        let ancestors = ancestors.iter().map(|key| Scope::Process(*key));
        let scopes = [(Scope::Process(connecting.process), Source::Process)]
            .into_iter()
            .chain(ancestors.map(|scope| (scope, Source::Ancestor)))
            .chain(group.map(|scope| (scope, Source::Container)))
            .chain([
                (Scope::Netns(connecting.netns), Source::Netns),
                (Scope::Host, Source::Host),
            ]);
        for (scope, source) in scopes {
            // In another network, a private address is another host's.
            if source == Source::Host && dst_scope(dst.ip) != "public"
                || source == Source::Netns && connecting.netns == UNKNOWN_NETNS
            {
                continue;
            }
            let name = self.latest(scope, source, connecting, dst, ns);
            if name.is_some() {
                return name;
            }
        }
        None
    }

    fn latest(
        &mut self,
        scope: Scope,
        source: Source,
        connecting: &Requester,
        dst: Endpoint,
        ns: u64,
    ) -> Option<Name> {
        let own = matches!(scope, Scope::Process(_));
        let place = (scope, dst.ip);
        let candidates = self.by_address.get_mut(&place)?;
        let counts = |answer: &AcceptedAnswer| {
            // A server that was queried for a name is not reached by that name.
            answer.ns <= ns + CLOCKS_NS
                && answer.server != dst
                && (own || answer.is_trusted_by(connecting))
        };
        let mut latest_first: Vec<&mut Candidate> = candidates
            .iter_mut()
            .filter(|c| counts(&c.answer))
            .collect();
        latest_first.sort_by_key(|c| std::cmp::Reverse(c.answer.ns));
        let chosen = match source {
            Source::Process => candidate_of_thread(&latest_first, connecting.tid, ns),
            _ => 0,
        };
        let best = latest_first.get_mut(chosen)?;
        best.used_by = Some(connecting.tid);
        if let Some(share) = self.users.get_mut(&best.account()) {
            share.places.get(&place);
        }
        let answer = Rc::clone(&best.answer);
        let mut seen: HashSet<&Rc<str>> = HashSet::from([&answer.host]);
        let rivals: Vec<&AcceptedAnswer> = latest_first
            .iter()
            .map(|c| &*c.answer)
            .filter(|rival| seen.insert(&rival.host))
            .collect();
        let rival_names = rivals.iter().take(MAX_RIVALS).map(|rival| Rival {
            host: Rc::clone(&rival.host),
            lookup: Some(rival.lookup),
        });
        Some(Name {
            source,
            age_ms: Some(ns.saturating_sub(answer.ns) / 1_000_000),
            lookup: Some(answer.lookup),
            rivals: rivals.len(),
            rival_names: rival_names.collect(),
            host: Rc::clone(&answer.host),
        })
    }
}

/// Which of its process' candidates a thread connects with. Threads that each resolve and
/// connect must not get each other's names, but many programs resolve and connect on different
/// threads. So a thread's latest own candidate comes first until it has been used, and after
/// that unless a later one of another thread is unused.
fn candidate_of_thread(latest_first: &[&mut Candidate], tid: u32, ns: u64) -> usize {
    let position = |own: bool| {
        latest_first
            .iter()
            .position(|c| (c.answer.requester.tid == tid) == own)
    };
    let (Some(own), Some(other)) = (position(true), position(false)) else {
        return 0;
    };
    let (mine, theirs) = (&latest_first[own], &latest_first[other]);
    let unused = mine.used_by.is_none() && ns.saturating_sub(mine.answer.ns) < THREAD_TIMEOUT_NS;
    let taken = theirs.used_by.is_some_and(|by| by != tid);
    if own < other || unused || taken {
        own
    } else {
        other
    }
}

/// The user with the most candidates, if `account` had one more.
fn largest_share(candidates: &[Candidate], account: u32) -> u32 {
    let mut counts = HashMap::from([(account, 1)]);
    for candidate in candidates {
        *counts.entry(candidate.account()).or_insert(0) += 1;
    }
    let most = counts.iter().max_by_key(|(id, n)| (**n, **id == account));
    most.map_or(account, |(id, _)| *id)
}

/// The scopes in which an answer to this requester counts. That of the host is for processes in
/// the host's own namespaces.
fn scopes_of(requester: &Requester) -> impl Iterator<Item = Scope> + use<> {
    let host = requester.on_host.then_some(Scope::Host);
    let group = requester.group.clone();
    let group = group.map(|group| Scope::Container(group, requester.netns));
    [Scope::Process(requester.process)]
        .into_iter()
        .chain(group)
        .chain([Scope::Netns(requester.netns)])
        .chain(host)
}

#[cfg(test)]
mod tests;
