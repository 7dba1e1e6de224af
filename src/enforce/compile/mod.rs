//! A policy's rules as the tables of the kernel side (bpf/policy.h): which rules are compatible
//! with a program, a user, a class of cgroups, a port, a network.

mod addresses;
mod lineage;
mod names;
mod ports;
mod programs;
mod sets;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

use super::{Scope, types};
use crate::policy::name_hash::NameHasher;
use crate::policy::{
    Action, Essential, Lookups, Mode, Policy, Rule, Sni, SourceRouting, Stale, Subject, Target,
    UnknownContainers, UserPattern, Who,
};
pub use addresses::Network;
pub use lineage::{Lineage, problem as lineage_problem};
pub use names::{Name, most_labels};
pub use ports::PortTable;
pub use programs::{Program, depth as max_depth, exe_kind};
pub use sets::Mask;
use sets::{Sets, mask_of};

/// Everything of a generation but its number, and the sets of cgroups, which are added as these
/// appear.
pub struct Tables {
    pub settings: types::policy_settings,
    pub users: Vec<(u32, u32)>,
    pub programs: Vec<Program>,
    pub ports: Vec<PortTable>,
    pub networks: Vec<Network>,
    pub resolvers: Vec<IpAddr>,
    /// What resolv.conf has names tried with.
    pub search_suffixes: Vec<String>,
    pub names: Vec<Name>,
    pub lineage: Lineage,
    sets: Sets,
    /// The conditions on cgroups of each rule; None of one that has expired.
    classes: Vec<Option<Who>>,
    /// When rules of these tables expire, ns since 1970, in order: the first may have, by the time
    /// that they decide.
    pub deadlines: Vec<i64>,
}

impl Tables {
    /// Of a generation that decides on nothing, but learns from answers what these tables will go
    /// by: who asked is kept with the names that rules have.
    pub fn learning(&self) -> Tables {
        Tables {
            settings: types::policy_settings {
                // there is no such process
                flags: types::policy_flag::POLICY_TREE_ONLY.0,
                ..Default::default()
            },
            users: Vec::new(),
            programs: Vec::new(),
            ports: Vec::new(),
            resolvers: self.resolvers.clone(),
            networks: Vec::new(),
            search_suffixes: Vec::new(),
            names: self.names.clone(),
            lineage: Lineage::default(),
            sets: Sets::new(),
            classes: Vec::new(),
            deadlines: Vec::new(),
        }
    }

    /// As the rules are at `now`, ns since 1970.
    ///
    /// # Errors
    /// A user that the system does not have; more different sets than the kernel side has room
    /// for.
    pub fn compile(policy: &Policy, scope: Scope, hasher: &NameHasher, now: i64) -> Result<Tables> {
        let is_live = |rule: &Rule| !rule.has_expired(now);
        let mut sets = Sets::new();
        let users = users(policy, is_live, &mut sets)?;
        let programs = programs::programs(policy, is_live, &mut sets);
        let ports = ports::tables(policy, is_live, &mut sets);
        let networks = addresses::networks(policy, is_live, &mut sets);
        let names = names::names(policy, is_live, hasher, &mut sets);
        let lineage = Lineage::new(policy, is_live, &mut sets);
        let mut tables = Tables {
            settings: settings(policy, scope, is_live, &mut sets),
            users,
            programs,
            ports,
            networks,
            names,
            lineage,
            resolvers: policy.resolver_addresses().collect(),
            search_suffixes: policy.search_suffixes.clone(),
            sets,
            classes: policy
                .rules
                .iter()
                .map(|rule| is_live(rule).then(|| of_cgroup(&rule.who)))
                .collect(),
            deadlines: deadlines(policy, is_live),
        };
        let unknown = Subject {
            container: crate::policy::Container::Unknown,
            ..Subject::default()
        };
        tables.settings.class_miss = tables.class_set(&unknown);
        tables.add_eras(policy);
        tables.settings.conditions = tables.lineage.conditions();
        tables.settings.unconditional = tables.lineage.unconditional();
        if !tables.sets.fit() {
            bail!("the policy's rules have too many different combinations: use fewer rules");
        }
        Ok(tables)
    }

    /// The set of a process' cgroup: of its container, unit and path.
    pub fn class_set(&mut self, of: &Subject) -> u32 {
        let classes = &self.classes;
        let mask = mask_of(classes.len(), |index| {
            let who = classes.get(index).and_then(Option::as_ref);
            who.is_some_and(|who| who.mismatch(of).is_none())
        });
        self.sets.number(mask)
    }

    /// The sets of the rules that are left after each of the deadlines: of all, and of those for a
    /// kind of process.
    fn add_eras(&mut self, policy: &Policy) {
        let times = std::iter::once(i64::MIN).chain(self.deadlines.iter().copied());
        let eras = self.settings.live.iter_mut();
        let of_eras = eras.zip(self.settings.kinds.chunks_mut(KINDS)).zip(times);
        for ((live, kinds), time) in of_eras {
            let mut number = |holds: &dyn Fn(&Rule) -> bool| {
                let is_left = |index: usize| {
                    let rule = policy.rules.get(index);
                    rule.is_some_and(|rule| !rule.has_expired(time) && holds(rule))
                };
                self.sets.number(mask_of(policy.rules.len(), is_left))
            };
            *live = number(&|_| true);
            for (kind, set) in kinds.iter_mut().enumerate() {
                *set = number(&|rule| is_of_kind(&rule.who, kind as u32));
            }
        }
    }

    /// All sets, by their numbers.
    pub fn masks(&self) -> &[Mask] {
        self.sets.masks()
    }
}

const KINDS: usize = types::policy_kind::POLICY_KINDS.0 as usize;

/// Whether a process of this kind can be one of these.
fn is_of_kind(who: &Who, kind: u32) -> bool {
    use types::policy_kind as raw;
    let flag =
        |wanted: Option<bool>, bit: raw| wanted.is_none_or(|wanted| wanted == (kind & bit.0 != 0));
    flag(who.host, raw::POLICY_HOST)
        && flag(who.tree, raw::POLICY_TREE)
        && flag(who.kernel, raw::POLICY_KERNEL)
}

/// Each once.
fn deadlines(policy: &Policy, is_live: impl Fn(&Rule) -> bool) -> Vec<i64> {
    let live = policy.rules.iter().filter(|rule| is_live(rule));
    let times: BTreeSet<i64> = live.filter_map(|rule| rule.expires).collect();
    times.into_iter().collect()
}

fn of_cgroup(who: &Who) -> Who {
    Who {
        container: who.container.clone(),
        image: who.image.clone(),
        pod: who.pod.clone(),
        namespace: who.namespace.clone(),
        unit: who.unit.clone(),
        cgroup: who.cgroup.clone(),
        ..Who::default()
    }
}

fn settings(
    policy: &Policy,
    scope: Scope,
    is_live: impl Fn(&Rule) -> bool,
    sets: &mut Sets,
) -> types::policy_settings {
    use types::policy_flag as raw;
    let mut of = |matches: &dyn Fn(&Rule) -> bool| {
        let live = |index: usize| {
            let rule = policy.rules.get(index);
            rule.is_some_and(|rule| is_live(rule) && matches(rule))
        };
        sets.number(mask_of(policy.rules.len(), live))
    };
    let flags = [
        (scope.enforce, raw::POLICY_ENFORCE),
        (scope.only_tree, raw::POLICY_TREE_ONLY),
        (
            policy.source_routing == SourceRouting::Refuse,
            raw::POLICY_REFUSE_SOURCE_ROUTE,
        ),
        (
            policy.unknown_containers == UnknownContainers::Block,
            raw::POLICY_REFUSE_UNKNOWN,
        ),
        (policy.stale == Stale::Allow, raw::POLICY_STALE_NAMES),
        (policy.lookups == Lookups::Block, raw::POLICY_BLOCK_LOOKUPS),
        (policy.sni != Sni::Off, raw::POLICY_SNI),
        (policy.sni == Sni::Strict, raw::POLICY_SNI_STRICT),
    ];
    let mut settings = types::policy_settings {
        flags: flags
            .into_iter()
            .filter(|(on, _)| *on)
            .fold(0, |flags, (_, flag)| flags | flag.0),
        essentials: policy
            .essentials
            .iter()
            .map(essential)
            .fold(0, |a, b| a | b),
        exe_depth: programs::depth(policy) as u32,
        exe_miss: of(&|rule| rule.who.exe.holds(|_| false)),
        user_miss: of(&|rule| rule.who.user.holds(|_| false)),
        any: of(&|rule| rule.to.is_empty()),
        unnamed: of(&|rule| rule.to.contains(&Target::Unnamed)),
        private_named: of(&|rule| rule.private || rule.action.stops()),
        shared_named: of(&|rule| !rule.action.stops()),
        unsaid: of(&|rule| rule.sni_off),
        allowing: of(&|rule| !rule.action.stops()),
        default_action: action(policy.default),
        ..Default::default()
    };
    let places = settings.actions.iter_mut().zip(&mut settings.observed);
    for (rule, (act, observed)) in policy.rules.iter().zip(places) {
        *act = action(rule.action);
        *observed = u8::from(rule.mode == Mode::Observe);
    }
    settings
}

fn action(action: Action) -> u8 {
    use types::egrets_action as raw;
    let number = match action {
        Action::Allow => raw::EGRETS_ALLOW,
        Action::Alert => raw::EGRETS_ALERT,
        Action::Block => raw::EGRETS_BLOCK,
        Action::Suspend => raw::EGRETS_SUSPEND,
        Action::Kill => raw::EGRETS_KILL,
        Action::Dump => raw::EGRETS_DUMP,
    };
    number.0 as u8
}

fn essential(essential: &Essential) -> u32 {
    use types::policy_essential as raw;
    match essential {
        Essential::Dns => raw::POLICY_DNS,
        Essential::Dhcp => raw::POLICY_DHCP,
        Essential::Icmp => raw::POLICY_ICMP,
        Essential::Ntp => raw::POLICY_NTP,
        Essential::Kernel => raw::POLICY_KERNEL_SOCKETS,
        Essential::Loopback => raw::POLICY_LOOPBACK,
    }
    .0
}

/// Each user that a rule names, with all rules for it.
fn users(
    policy: &Policy,
    is_live: impl Fn(&Rule) -> bool,
    sets: &mut Sets,
) -> Result<Vec<(u32, u32)>> {
    let mut uids = BTreeSet::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        for pattern in rule.who.user.any.iter().chain(&rule.who.user.none) {
            let uid = uid_of(pattern).with_context(|| rule.label(index))?;
            uids.insert(uid);
        }
    }
    let users = uids.into_iter().map(|uid| {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = user.map(|user| user.name);
        let mask = mask_of(policy.rules.len(), |index| {
            policy.rules.get(index).is_some_and(|rule| {
                let holds = |p: &UserPattern| p.matches(Some(uid), name.as_deref());
                is_live(rule) && rule.who.user.holds(holds)
            })
        });
        (uid, sets.number(mask))
    });
    Ok(users.collect())
}

fn uid_of(pattern: &UserPattern) -> Result<u32> {
    match pattern {
        UserPattern::Uid(uid) => Ok(*uid),
        UserPattern::Name(name) if name == "root" => Ok(0),
        UserPattern::Name(name) => {
            let user = User::from_name(name).with_context(|| format!("user {name:?}"))?;
            let user = user.with_context(|| {
                format!("this system has no user {name:?}: name another one, or write its number")
            })?;
            Ok(user.uid.as_raw())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule can expire while its tables are filled: then it has to end at once.
    #[test]
    fn tables_know_when_rules_expire_and_which_are_left_then() {
        let rule = |name: &str, at: &str| {
            format!("  - {{ name: {name}, to: [192.0.2.1], action: block, expires: {at} }}\n")
        };
        let [past, soon, later] = [
            "2026-11-23T11:00:00Z",
            "2026-11-23T12:00:01Z",
            "2026-11-24T00:00:00Z",
        ];
        let rules = rule("a", later) + &rule("b", soon) + &rule("c", past);
        let policy =
            Policy::parse(&format!("version: 1\ndefault: allow\nrules:\n{rules}")).unwrap();
        let scope = Scope {
            enforce: true,
            only_tree: false,
        };
        let now = policy.rules[1].expires.unwrap() - 1;
        let left = |now| {
            let tables = Tables::compile(&policy, scope, &NameHasher::new([1, 2]), now).unwrap();
            let live = tables.settings.live;
            let sets = live.iter().take(tables.deadlines.len() + 1);
            let masks = sets.map(|set| tables.masks()[*set as usize][0]);
            (tables.deadlines.clone(), masks.collect::<Vec<_>>())
        };
        let times = [1, 0].map(|rule: usize| policy.rules[rule].expires.unwrap());
        // the one that had expired before is in no other set
        assert_eq!(left(now), (times.to_vec(), vec![0b111, 0b001, 0]));
        assert_eq!(left(now + 1), (times[1..].to_vec(), vec![0b111, 0]));
        assert_eq!(left(i64::MAX), (Vec::new(), vec![0b111]));
    }
}
