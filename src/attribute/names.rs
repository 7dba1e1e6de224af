//! Which name a destination has: every accepted answer is remembered in the
//! scopes that may use it, and the narrowest one wins (docs/architecture.md).
//! Pure: no clock, no /proc.
//!
//! An address of a shared host has many names, so what is kept is not a label
//! but the evidence: who asked, when, in which lookup.

use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;

use hashlink::LruCache;

use crate::model::{Endpoint, MAX_RIVALS, Name, Rival, Source, dst_scope};

/// A process over its whole life: pid and start.
pub type ProcessKey = (u32, u64);

/// Where an answer counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Process(ProcessKey),
    /// A container's id, or a cgroup's where it is no container; and the network
    /// namespace, in each of which an address may be another host's.
    Container(Rc<str>, u64),
    Netns(u64),
    Host,
}

/// Who asks or dials.
#[derive(Debug, Clone)]
pub struct Party {
    pub process: ProcessKey,
    /// Its thread that asks or dials.
    pub tid: u32,
    /// None in the root cgroup, which is everybody's.
    pub group: Option<Rc<str>>,
    /// Whether `group` is a container.
    pub contained: bool,
    pub netns: u64,
    /// As the initial user namespace sees it.
    pub uid: u32,
}

/// That somebody was told addresses for a name.
#[derive(Debug)]
pub struct Answer {
    pub host: Rc<str>,
    /// Nanoseconds since boot.
    pub ns: u64,
    pub lookup: u64,
    pub asker: Rc<Party>,
    pub server: Endpoint,
    /// The resolver is one that the host itself is configured with, and the
    /// asker could not have put another in its place.
    pub trusted_resolver: bool,
}

impl Answer {
    /// Whether the dialler may take the asker's word: only from somebody who
    /// could mislead it anyway. Anyone may run a DNS server and ask it lies.
    fn convinces(&self, dialler: &Party) -> bool {
        let same_container = !self.asker.contained || self.asker.group == dialler.group;
        same_container
            && (self.trusted_resolver
                || self.asker.uid == dialler.uid
                || self.asker.uid <= SYS_UID_MAX)
    }
}

/// An answer as it counts for one address in one scope.
struct Told {
    answer: Rc<Answer>,
    /// The thread that dialled with it last.
    dialled_by: Option<u32>,
}

/// The last user id of root and the system's services, login.defs(5).
const SYS_UID_MAX: u32 = 999;

/// Names kept for one address in one scope; the user's own oldest go first.
const NAMES_PER_ADDRESS: usize = 256;

/// Every answer that can still name a connection, `cap` of them in all.
pub struct Names {
    by_address: LruCache<(Scope, IpAddr), Vec<Told>>,
    held: usize,
    cap: usize,
}

impl Names {
    pub fn new(cap: usize) -> Names {
        Names {
            by_address: LruCache::new_unbounded(),
            held: 0,
            cap: cap.max(1),
        }
    }

    /// An answer was accepted: its name was given these addresses.
    pub fn learn(&mut self, answer: Answer, addresses: &[IpAddr]) {
        let answer = Rc::new(answer);
        for ip in addresses {
            // A sinkhole's answer says nothing about the address. And whom a group
            // is asked, anyone on the link may answer, any user of this host too: that
            // names neighbours, and nothing on the Internet for others.
            let sinkhole = ip.is_unspecified() || ip.is_loopback();
            let from_anyone = answer.server.ip.is_multicast() && dst_scope(*ip) == "public";
            for scope in scopes(&answer.asker) {
                if (sinkhole || from_anyone) && !matches!(scope, Scope::Process(_)) {
                    continue;
                }
                self.keep((scope, *ip), &answer);
            }
        }
        while self.held > self.cap
            && let Some((_, names)) = self.by_address.remove_lru()
        {
            self.held -= names.len();
        }
    }

    fn keep(&mut self, key: (Scope, IpAddr), answer: &Rc<Answer>) {
        let names = self.by_address.entry(key).or_insert_with(Vec::new);
        // The same name from a different user stays: each convinces others.
        let again = names.iter().map(|told| &told.answer).position(|old| {
            old.host == answer.host
                && old.asker.uid == answer.asker.uid
                && old.asker.group == answer.asker.group
                && old.trusted_resolver == answer.trusted_resolver
        });
        if let Some(at) = again {
            names.remove(at);
            self.held -= 1;
        } else if names.len() == NAMES_PER_ADDRESS {
            // Who asks for many names must not push out what others were told.
            let own = |told: &Told| told.answer.asker.uid == answer.asker.uid;
            names.remove(names.iter().position(own).unwrap_or(0));
            self.held -= 1;
        }
        names.push(Told {
            answer: Rc::clone(answer),
            dialled_by: None,
        });
        self.held += 1;
    }

    /// The name of `dst` for a process that dials it at `ns`.
    pub fn name(
        &mut self,
        dialler: &Party,
        ancestors: &[ProcessKey],
        dst: Endpoint,
        ns: u64,
    ) -> Option<Name> {
        let groups = dialler.group.clone();
        let groups = groups.map(|group| Scope::Container(group, dialler.netns));
        let scopes = [(Scope::Process(dialler.process), Source::Process)]
            .into_iter()
            .chain(
                ancestors
                    .iter()
                    .map(|a| (Scope::Process(*a), Source::Ancestor)),
            )
            .chain(groups.map(|group| (group, Source::Container)))
            .chain([
                (Scope::Netns(dialler.netns), Source::Netns),
                (Scope::Host, Source::Host),
            ]);
        for (scope, source) in scopes {
            // The same address is another host's in another network.
            if source == Source::Host && dst_scope(dst.ip) != "public"
                || source == Source::Netns && dialler.netns == UNKNOWN_NETNS
            {
                continue;
            }
            let name = self.latest(scope, source, dialler, dst, ns);
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
        dialler: &Party,
        dst: Endpoint,
        ns: u64,
    ) -> Option<Name> {
        let own = matches!(scope, Scope::Process(_));
        let names = self.by_address.get_mut(&(scope, dst.ip))?;
        let counts = |answer: &Answer| {
            // Who was asked for a name was known without it.
            answer.ns <= ns && answer.server != dst && (own || answer.convinces(dialler))
        };
        let mut candidates: Vec<&mut Told> =
            names.iter_mut().filter(|t| counts(&t.answer)).collect();
        candidates.sort_by_key(|t| std::cmp::Reverse(t.answer.ns));
        let chosen = match source {
            Source::Process => of_thread(&candidates, dialler.tid, ns),
            _ => 0,
        };
        let best = candidates.get_mut(chosen)?;
        best.dialled_by = Some(dialler.tid);
        let answer = Rc::clone(&best.answer);
        let mut seen: HashSet<&Rc<str>> = HashSet::from([&answer.host]);
        let rivals: Vec<&Answer> = candidates
            .iter()
            .map(|told| &*told.answer)
            .filter(|rival| seen.insert(&rival.host))
            .collect();
        let rival_names = rivals.iter().take(MAX_RIVALS).map(|rival| Rival {
            host: Rc::clone(&rival.host),
            lookup: Some(rival.lookup),
        });
        Some(Name {
            source,
            age_ms: Some((ns - answer.ns) / 1_000_000),
            lookup: Some(answer.lookup),
            rivals: rivals.len(),
            rival_names: rival_names.collect(),
            host: Rc::clone(&answer.host),
        })
    }
}

/// Of sockets older than the recording, where the kernel had made no cookie yet.
const UNKNOWN_NETNS: u64 = 0;

/// How long after its own question a thread is expected to dial.
const THREAD_PATIENCE_NS: u64 = 5_000_000_000;

/// Which of a process' answers, the latest first, a thread dials with. Threads that each
/// resolve and dial must not get each other's names; but many programs resolve on other
/// threads than they dial on. So its own answer comes first while it waits to be used,
/// and after that unless a later one was taken by nobody else.
fn of_thread(latest_first: &[&mut Told], tid: u32, ns: u64) -> usize {
    let position = |own: bool| {
        latest_first
            .iter()
            .position(|t| (t.answer.asker.tid == tid) == own)
    };
    let (Some(own), Some(other)) = (position(true), position(false)) else {
        return 0;
    };
    let (mine, theirs) = (&latest_first[own], &latest_first[other]);
    let waits = mine.dialled_by.is_none() && ns - mine.answer.ns < THREAD_PATIENCE_NS;
    let taken = theirs.dialled_by.is_some_and(|by| by != tid);
    if own < other || waits || taken {
        own
    } else {
        other
    }
}

/// The scopes in which an answer to this asker counts.
fn scopes(asker: &Party) -> impl Iterator<Item = Scope> + use<> {
    let group = asker.group.clone();
    let group = group.map(|group| Scope::Container(group, asker.netns));
    [Scope::Process(asker.process)]
        .into_iter()
        .chain(group)
        .chain([Scope::Netns(asker.netns), Scope::Host])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn party(pid: u32, uid: u32) -> Party {
        Party {
            process: (pid, 1),
            tid: pid,
            group: None,
            contained: false,
            netns: 1,
            uid,
        }
    }

    fn to(ip: &str, port: u16) -> Endpoint {
        let ip = ip.parse().unwrap();
        Endpoint { ip, port }
    }

    struct World {
        names: Names,
        lookups: u64,
    }

    impl World {
        fn new(cap: usize) -> World {
            World {
                names: Names::new(cap),
                lookups: 0,
            }
        }

        fn told(&mut self, who: &Party, host: &str, at: &str, ms: u64) {
            self.lookups += 1;
            let who = Rc::new(who.clone());
            let answer = Answer {
                host: host.into(),
                ns: ms * MS,
                lookup: self.lookups,
                asker: who,
                server: to("192.0.2.53", 53),
                trusted_resolver: false,
            };
            self.names.learn(answer, &[at.parse().unwrap()]);
        }

        fn name(&mut self, who: &Party, at: &str, ms: u64) -> Option<(String, Source, u64, usize)> {
            self.named(who, &[], at, ms)
        }

        fn named(
            &mut self,
            who: &Party,
            ancestors: &[ProcessKey],
            at: &str,
            ms: u64,
        ) -> Option<(String, Source, u64, usize)> {
            let name = self.names.name(who, ancestors, to(at, 443), ms * MS)?;
            Some((
                name.host.to_string(),
                name.source,
                name.age_ms.unwrap(),
                name.rivals,
            ))
        }
    }

    #[test]
    fn two_processes_with_two_names_for_one_address_each_have_their_own() {
        let mut w = World::new(100);
        let (a, b) = (party(1, 0), party(2, 0));
        w.told(&a, "a.example", "192.0.2.1", 1);
        w.told(&b, "b.example", "192.0.2.1", 2);
        assert_eq!(
            w.name(&a, "192.0.2.1", 3),
            Some(("a.example".into(), Source::Process, 2, 0))
        );
        assert_eq!(
            w.name(&b, "192.0.2.1", 3),
            Some(("b.example".into(), Source::Process, 1, 0))
        );
    }

    #[test]
    fn the_latest_answer_before_the_connection_wins_and_the_others_are_rivals() {
        let mut w = World::new(100);
        let a = party(1, 0);
        w.told(&a, "old.example", "192.0.2.1", 1);
        w.told(&a, "new.example", "192.0.2.1", 5);
        w.told(&a, "later.example", "192.0.2.1", 9);
        assert_eq!(
            w.name(&a, "192.0.2.1", 7),
            Some(("new.example".into(), Source::Process, 2, 1))
        );
        let all = w
            .names
            .name(&a, &[], to("192.0.2.1", 443), 10 * MS)
            .unwrap();
        let rivals: Vec<&str> = all.rival_names.iter().map(|r| &*r.host).collect();
        assert_eq!(
            (&*all.host, rivals),
            ("later.example", vec!["new.example", "old.example"])
        );
    }

    #[test]
    fn threads_that_resolve_and_dial_each_have_their_own() {
        let mut w = World::new(100);
        let thread = |tid| Party { tid, ..party(1, 0) };
        let host = |w: &mut World, tid, ms| w.name(&thread(tid), "192.0.2.1", ms).unwrap().0;
        w.told(&thread(11), "a.example", "192.0.2.1", 1);
        w.told(&thread(12), "b.example", "192.0.2.1", 2);
        assert_eq!(host(&mut w, 11, 3), "a.example");
        assert_eq!(host(&mut w, 12, 4), "b.example");
        assert_eq!(host(&mut w, 11, 5), "a.example", "again");
        // a third one resolves for others
        w.told(&thread(13), "c.example", "192.0.2.1", 6);
        assert_eq!(host(&mut w, 11, 7), "c.example");
        assert_eq!(host(&mut w, 14, 8), "c.example");
    }

    #[test]
    fn what_a_thread_asked_long_ago_and_never_used_gives_way() {
        let mut w = World::new(100);
        let thread = |tid| Party { tid, ..party(1, 0) };
        w.told(&thread(11), "old.example", "192.0.2.1", 1);
        w.told(&thread(12), "new.example", "192.0.2.1", 60_000);
        assert_eq!(
            w.name(&thread(11), "192.0.2.1", 60_001).unwrap().0,
            "new.example"
        );
    }

    #[test]
    fn the_same_name_twice_is_no_rival() {
        let mut w = World::new(100);
        let a = party(1, 0);
        w.told(&a, "a.example", "192.0.2.1", 1);
        w.told(&a, "a.example", "192.0.2.1", 2);
        assert_eq!(
            w.name(&a, "192.0.2.1", 2),
            Some(("a.example".into(), Source::Process, 0, 0))
        );
    }

    #[test]
    fn scopes_widen_from_process_to_host() {
        let mut w = World::new(100);
        let group = |pid, group: &str, netns| Party {
            group: Some(group.into()),
            contained: false,
            netns,
            ..party(pid, 0)
        };
        let dialler = group(10, "g", 7);
        w.told(&group(1, "elsewhere", 8), "host.example", "192.0.2.1", 1);
        assert_eq!(w.name(&dialler, "192.0.2.1", 9).unwrap().1, Source::Host);
        w.told(&group(2, "elsewhere", 7), "netns.example", "192.0.2.1", 2);
        assert_eq!(w.name(&dialler, "192.0.2.1", 9).unwrap().1, Source::Netns);
        w.told(&group(3, "g", 7), "group.example", "192.0.2.1", 3);
        assert_eq!(
            w.name(&dialler, "192.0.2.1", 9).unwrap().1,
            Source::Container
        );
        w.told(&group(4, "elsewhere", 9), "parent.example", "192.0.2.1", 4);
        let (host, source, ..) = w
            .named(&dialler, &[(5, 1), (4, 1)], "192.0.2.1", 9)
            .unwrap();
        assert_eq!(
            (host.as_str(), source),
            ("parent.example", Source::Ancestor)
        );
        w.told(&dialler, "own.example", "192.0.2.1", 5);
        let (host, source, ..) = w.named(&dialler, &[(4, 1)], "192.0.2.1", 9).unwrap();
        assert_eq!((host.as_str(), source), ("own.example", Source::Process));
    }

    #[test]
    fn another_networks_private_addresses_are_other_hosts() {
        let mut w = World::new(100);
        let elsewhere = Party {
            netns: 2,
            ..party(1, 0)
        };
        for at in ["10.0.0.1", "fd00::1", "169.254.1.1", "100.64.0.1"] {
            w.told(&elsewhere, "theirs.example", at, 1);
            assert_eq!(w.name(&party(2, 0), at, 2), None, "{at}");
            assert_eq!(w.name(&elsewhere, at, 2).unwrap().1, Source::Process);
        }
    }

    #[test]
    fn a_users_lies_name_nobody_elses_connection() {
        let mut w = World::new(100);
        let (liar, victim, daemon) = (party(1, 1000), party(2, 1001), party(3, 33));
        w.told(&liar, "lie.example", "192.0.2.1", 1);
        assert_eq!(w.name(&victim, "192.0.2.1", 2), None);
        assert_eq!(w.name(&party(4, 0), "192.0.2.1", 2), None);
        assert_eq!(
            w.name(&party(5, 1000), "192.0.2.1", 2).unwrap().1,
            Source::Netns
        );
        w.told(&daemon, "true.example", "192.0.2.1", 3);
        w.told(&liar, "lie.example", "192.0.2.1", 4);
        assert_eq!(
            w.name(&victim, "192.0.2.1", 5),
            Some(("true.example".into(), Source::Netns, 2, 0))
        );
    }

    #[test]
    fn a_containers_answers_stay_in_it_even_roots() {
        let mut w = World::new(100);
        let contained = |pid, group: &str| Party {
            group: Some(group.into()),
            contained: true,
            netns: 1,
            ..party(pid, 0)
        };
        w.told(&contained(1, "c1"), "lie.example", "192.0.2.1", 1);
        assert_eq!(w.name(&party(2, 0), "192.0.2.1", 2), None);
        assert_eq!(w.name(&contained(3, "c2"), "192.0.2.1", 2), None);
        assert_eq!(
            w.name(&contained(4, "c1"), "192.0.2.1", 2).unwrap().1,
            Source::Container
        );
    }

    #[test]
    fn a_sinkholes_answer_names_only_for_who_asked() {
        let mut w = World::new(100);
        let a = party(1, 0);
        w.told(&a, "ads.example", "127.0.0.1", 1);
        assert_eq!(w.name(&a, "127.0.0.1", 2).unwrap().0, "ads.example");
        assert_eq!(w.name(&party(2, 0), "127.0.0.1", 2), None);
    }

    #[test]
    fn a_server_has_no_name_that_it_was_asked_for_itself() {
        let mut w = World::new(100);
        let a = party(1, 0);
        w.told(&a, "router.example", "192.0.2.53", 1);
        let mut host = |port| Some(w.names.name(&a, &[], to("192.0.2.53", port), MS)?.host);
        assert_eq!(host(53), None);
        assert_eq!(host(443).as_deref(), Some("router.example"));
    }

    #[test]
    fn many_names_of_one_user_push_out_no_one_elses() {
        let mut w = World::new(10_000);
        let (user, root) = (party(1, 1000), party(2, 0));
        w.told(&root, "honest.example", "192.0.2.1", 1);
        for i in 0..2 * NAMES_PER_ADDRESS {
            w.told(&user, &format!("{i}.lie.example"), "192.0.2.1", 2);
        }
        let named = w.name(&party(3, 0), "192.0.2.1", 3).unwrap();
        assert_eq!((named.0.as_str(), named.3), ("honest.example", 0));
    }

    #[test]
    fn what_a_group_was_asked_names_nothing_public_for_others() {
        let mut w = World::new(100);
        let avahi = Rc::new(party(1, 100));
        let mut told = |at: &str| {
            let answer = Answer {
                host: "lie.local".into(),
                ns: MS,
                lookup: 1,
                asker: Rc::clone(&avahi),
                server: to("224.0.0.251", 5353),
                trusted_resolver: false,
            };
            w.names.learn(answer, &[at.parse().unwrap()]);
        };
        told("93.184.216.34");
        told("10.0.0.7");
        let other = party(2, 1000);
        assert_eq!(w.name(&other, "93.184.216.34", 2), None);
        assert_eq!(w.name(&avahi, "93.184.216.34", 2).unwrap().0, "lie.local");
        assert_eq!(w.name(&other, "10.0.0.7", 2).unwrap().0, "lie.local");
    }

    #[test]
    fn networks_that_are_not_known_are_not_the_same() {
        let mut w = World::new(100);
        let unknown = |pid| Party {
            netns: UNKNOWN_NETNS,
            ..party(pid, 0)
        };
        w.told(&unknown(1), "theirs.example", "10.0.0.1", 1);
        assert_eq!(w.name(&unknown(2), "10.0.0.1", 2), None);
    }

    #[test]
    fn memory_is_bounded_by_the_cap() {
        let mut w = World::new(30);
        for i in 0..1000 {
            w.told(
                &party(i, 0),
                &format!("{i}.example"),
                "192.0.2.1",
                u64::from(i),
            );
            assert!(w.names.held <= 30 || w.names.by_address.len() <= 1);
        }
        let held: usize = w.names.by_address.iter().map(|(_, v)| v.len()).sum();
        assert_eq!(w.names.held, held);
    }
}
