//! What a policy would have done to the connections of a history.

use std::collections::HashMap;

use anyhow::Result;
use hashlink::LruCache;
use rusqlite::Connection;

use crate::text::printable;

use super::facts::Subject;
use super::target::Target;
use super::traffic::{self, Queries, Reading, Traffic};
use super::{Container, Decision, Essential, Lookups, Policy, Reason, Sni, Stale};

/// Processes and destinations of which the totals are kept; the rest is added up.
const MAX_RANKED: usize = 10_000;

/// Processes for which the rules about them are kept.
const MAX_PROCESSES: usize = 10_000;

/// The outcome of a replay.
#[derive(Debug, Default)]
pub struct Replay {
    pub connections: i64,
    pub stopped: i64,
    pub alerted: i64,
    /// Would be stopped if their rules did not only observe.
    pub observed: i64,
    /// Let through by a name that another process had looked up, and whose answer had expired:
    /// `stale: block` refuses those of them whose asker had ended. None without it.
    pub stale: Option<i64>,
    /// Queries to the resolvers, under `lookups: block`.
    pub lookups: Option<LookupTotals>,
    /// What decided, in the file's order: rules, then what comes beside them.
    pub deciders: Vec<Decider>,
    /// What would be stopped, by process and by destination, the most first.
    pub processes: Vec<(String, i64)>,
    pub destinations: Vec<(String, i64)>,
    /// Connections of processes, and to destinations, beyond those that are ranked.
    pub unranked_processes: i64,
    pub unranked_destinations: i64,
}

#[derive(Debug, Default)]
pub struct LookupTotals {
    pub lookups: i64,
    pub refused: i64,
    /// The names of those, the most first.
    pub names: Vec<(String, i64)>,
}

/// A rule, or what else decides, with what it decided.
#[derive(Debug, Clone)]
pub struct Decider {
    pub decision: Decision,
    pub connections: i64,
    /// How many of them would be stopped.
    pub stopped: i64,
    /// One of its connections.
    pub example: Example,
}

#[derive(Debug, Clone)]
pub struct Example {
    pub ts: i64,
    pub process: String,
    pub destination: String,
}

/// Puts a policy to a history. `now` decides which rules have expired.
///
/// # Errors
///
/// SQLite's.
pub fn replay(
    db: &Connection,
    policy: &Policy,
    (since, until): (Option<i64>, Option<i64>),
    now: i64,
) -> Result<Replay> {
    let is_name =
        |target: &Target| matches!(target, Target::Name(_) | Target::List(_) | Target::Unnamed);
    let reading = Reading {
        since,
        until,
        ancestors: policy.rules.iter().any(|rule| !rule.who.via.is_empty()),
        rivals: policy.rules.iter().flat_map(|rule| &rule.to).any(is_name),
        said: policy.sni != Sni::Off,
    };
    let mut counter = Counter::new(policy, now);
    traffic::read(db, reading, &mut |traffic| {
        counter.add(traffic);
        Ok(())
    })?;
    if policy.stale == Stale::Block {
        let mut stale = 0;
        traffic::read_expired(db, reading, &mut |traffic| {
            stale += i64::from(counter.rests_on_name(traffic));
        })?;
        counter.totals.stale = Some(stale);
    }
    if policy.lookups == Lookups::Block {
        counter.totals.lookups = Some(counter.queries(db, reading)?);
    }
    Ok(counter.finish())
}

/// Gaps in what was recorded of a span.
///
/// # Errors
///
/// SQLite's.
pub fn gaps(db: &Connection, (since, until): (Option<i64>, Option<i64>)) -> Result<i64> {
    let sql = "SELECT count(*) FROM gaps WHERE to_ts > ?1 AND from_ts < ?2";
    let span = [since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)];
    Ok(db.query_row(sql, span, |row| row.get(0))?)
}

struct Counter<'a> {
    policy: &'a Policy,
    now: i64,
    totals: Replay,
    deciders: Vec<Option<Decider>>,
    rules: LruCache<i64, Vec<usize>>,
    processes: Ranking,
    destinations: Ranking,
}

impl<'a> Counter<'a> {
    fn new(policy: &'a Policy, now: i64) -> Counter<'a> {
        Counter {
            policy,
            now,
            totals: Replay::default(),
            deciders: vec![None; policy.rules.len() + 4 + Essential::ALL.len()],
            rules: LruCache::new(MAX_PROCESSES),
            processes: Ranking::default(),
            destinations: Ranking::default(),
        }
    }

    fn add(&mut self, traffic: &Traffic) {
        let who = &traffic.process.subject;
        if !self.rules.contains_key(&traffic.process.id) {
            let about = self.policy.rules_about(who, self.now);
            self.rules.insert(traffic.process.id, about);
        }
        let about = self
            .rules
            .get(&traffic.process.id)
            .map_or(&[][..], |rules| rules);
        let decision = self.policy.decide_among(about, who, &traffic.to);
        let n = traffic.connections;
        self.totals.connections += n;
        let would_stop = decision.action.stops();
        if decision.stops() {
            self.totals.stopped += n;
            self.processes.add(|| process_label(who), n);
            self.destinations.add(|| destination_label(traffic), n);
        } else if would_stop {
            self.totals.observed += n;
        } else if decision.action == super::Action::Alert {
            self.totals.alerted += n;
        }
        let index = self.index(&decision);
        let Some(slot) = self.deciders.get_mut(index) else {
            return;
        };
        let decider = slot.get_or_insert_with(|| Decider {
            decision,
            connections: 0,
            stopped: 0,
            example: example(traffic),
        });
        decider.connections += n;
        if decision.stops() {
            if decider.stopped == 0 {
                decider.decision = decision;
                decider.example = example(traffic);
            }
            decider.stopped += n;
        }
    }

    fn queries(&self, db: &Connection, reading: Reading) -> Result<LookupTotals> {
        let resolvers: Vec<_> = self.policy.resolver_addresses().collect();
        let (mut totals, mut names) = (LookupTotals::default(), Ranking::default());
        traffic::read_queries(db, reading, &mut |queries| {
            if !resolvers.contains(&queries.server) {
                return;
            }
            totals.lookups += queries.lookups;
            if self.refuses(queries) {
                totals.refused += queries.lookups;
                names.add(|| printable(&queries.name).into_owned(), queries.lookups);
            }
        })?;
        totals.names = names.sorted();
        Ok(totals)
    }

    /// A name with a search suffix passes where the name itself does.
    fn refuses(&self, queries: &Queries) -> bool {
        let who = &queries.process.subject;
        let about = self.policy.rules_about(who, self.now);
        let is_stub = who.exe_for(false).is_some_and(is_stub);
        let refuses = |name: &str| self.policy.decide_lookup(&about, is_stub, name).stops();
        let bare = |suffix: &String| {
            queries
                .name
                .strip_suffix(suffix.as_str())?
                .strip_suffix('.')
        };
        refuses(&queries.name)
            && self
                .policy
                .search_suffixes
                .iter()
                .filter_map(bare)
                .all(refuses)
    }

    /// Whether a connection is let through, and would not be without its names.
    fn rests_on_name(&self, traffic: &Traffic) -> bool {
        let who = &traffic.process.subject;
        let unnamed = super::Destination {
            names: Vec::new(),
            ..traffic.to.clone()
        };
        !self.policy.decide(who, &traffic.to, self.now).stops()
            && self.policy.decide(who, &unnamed, self.now).stops()
    }

    /// The place of what decided: the rules, then the rest.
    fn index(&self, decision: &Decision) -> usize {
        let rules = self.policy.rules.len();
        match (decision.why, decision.rule) {
            (Reason::Rule, Some(index)) => index,
            (Reason::Resolver, _) => rules,
            (Reason::UnknownContainer, _) => rules + 1,
            (Reason::Sni, _) => rules + 2,
            (Reason::Essential(essential), _) => {
                let at = Essential::ALL.iter().position(|e| *e == essential);
                rules + 3 + at.unwrap_or_default()
            }
            _ => rules + 3 + Essential::ALL.len(),
        }
    }

    fn finish(mut self) -> Replay {
        let deciders = self.deciders.into_iter().flatten();
        self.totals.deciders = deciders.filter(|decider| decider.connections > 0).collect();
        self.totals.unranked_processes = self.processes.rest;
        self.totals.unranked_destinations = self.destinations.rest;
        self.totals.processes = self.processes.sorted();
        self.totals.destinations = self.destinations.sorted();
        self.totals
    }
}

/// Resolvers that run on hosts, and ask for others.
fn is_stub(exe: &str) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    matches!(
        name,
        "systemd-resolved" | "dnsmasq" | "dockerd" | "unbound" | "named" | "nscd" | "sssd_be"
    )
}

fn example(traffic: &Traffic) -> Example {
    let subject = &traffic.process.subject;
    Example {
        ts: traffic.ts,
        process: format!("{}[{}]", process_label(subject), traffic.process.pid),
        destination: destination_label(traffic),
    }
}

/// A process in a few words: its name, and where it runs.
pub fn process_label(of: &Subject) -> String {
    let comm = of.comm.as_deref().unwrap_or("?");
    let place = match &of.container {
        Container::Known(details) => details.name.as_deref().or(details.pod.as_deref()),
        Container::Unknown => Some("unknown container"),
        Container::None => of.system_unit().or(of.user.as_deref()),
    };
    let label = match place {
        Some(place) => format!("{comm} ({place})"),
        None => comm.to_owned(),
    };
    printable(&label).into_owned()
}

fn destination_label(traffic: &Traffic) -> String {
    let to = &traffic.to;
    let host = match (to.names.first(), to.ip) {
        (Some(name), _) => printable(&name.name).into_owned(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => "frames".to_owned(),
    };
    match to.port {
        Some(port) if host.contains(':') => format!("[{host}]:{port}/{}", to.protocol.as_str()),
        Some(port) => format!("{host}:{port}/{}", to.protocol.as_str()),
        None => format!("{host} {}", to.protocol.as_str()),
    }
}

/// Totals by key, for as many keys as are kept.
#[derive(Default)]
struct Ranking {
    totals: HashMap<String, i64>,
    rest: i64,
}

impl Ranking {
    fn add(&mut self, key: impl Fn() -> String, n: i64) {
        let key = key();
        if let Some(total) = self.totals.get_mut(&key) {
            *total += n;
        } else if self.totals.len() < MAX_RANKED {
            self.totals.insert(key, n);
        } else {
            self.rest += n;
        }
    }

    fn sorted(self) -> Vec<(String, i64)> {
        let mut sorted: Vec<(String, i64)> = self.totals.into_iter().collect();
        sorted.retain(|(_, n)| *n > 0);
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sorted
    }
}
