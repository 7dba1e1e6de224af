//! A policy that allows what a history has, small enough to read.
//!
//! `actor.rs` says which processes share a rule, `fold.rs` which destinations become one.

mod actor;
mod fold;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, ensure};
use rusqlite::Connection;

use crate::model::Protocol;

use super::emit::RuleText;
use super::traffic::{self, Reading, Traffic};
use super::{Destination, Essential, MAX_RULES, Policy};
use actor::Actors;
pub use actor::Chosen;
use fold::Place;

/// What is kept of a history: actors with a destination and a port.
const MAX_KEPT: usize = 500_000;

/// Rules that are written; the rest of what a policy can have is the reader's.
const MAX_WRITTEN: usize = MAX_RULES - 26;

/// Destinations of a rule: as the parser allows.
const MAX_TARGETS: usize = 4096;

/// A protocol and its port, if it has one.
type Port = (Protocol, Option<u16>);

/// The ports by which destinations were reached.
type Ports = BTreeSet<(u16, Option<u16>)>;

/// What `learn` has to know besides the history.
pub struct Wanted<'a> {
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// The processes to learn about; empty for all.
    pub chosen: &'a [Chosen],
    /// Without rules: what is open anyway needs none.
    pub base: &'a Policy,
}

/// What is open without a rule. A policy about chosen processes ends with a rule that stops all
/// else of theirs, so the essentials need rules, too.
pub fn base_of(chosen: &[Chosen]) -> Policy {
    let mut base = Policy::nothing_but_essentials();
    if !chosen.is_empty() {
        base.essentials = vec![Essential::Dns];
    }
    base
}

/// What was learnt.
#[derive(Debug)]
pub struct Learned {
    pub rules: Vec<RuleText>,
    pub connections: i64,
}

/// # Errors
///
/// SQLite's, and a history with more destinations than a policy could name.
pub fn learn(db: &Connection, wanted: &Wanted) -> Result<Learned> {
    let reading = Reading {
        since: wanted.since,
        until: wanted.until,
        ..Reading::default()
    };
    let mut seen = Seen::new(wanted);
    traffic::read(db, reading, &mut |traffic| seen.add(traffic))?;
    let connections = seen.connections;
    Ok(Learned {
        rules: seen.rules(),
        connections,
    })
}

/// What an actor reached.
#[derive(Default)]
struct Reached {
    connections: i64,
    /// How often, by destination and port.
    counts: HashMap<(Place, Port), i64>,
}

struct Seen<'a> {
    wanted: &'a Wanted<'a>,
    actors: Actors<'a>,
    /// By the text of `who`.
    reached: HashMap<String, Reached>,
    labels: HashMap<String, String>,
    kept: usize,
    connections: i64,
}

impl<'a> Seen<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Seen<'a> {
        Seen {
            wanted,
            actors: Actors::new(wanted.chosen),
            reached: HashMap::new(),
            labels: HashMap::new(),
            kept: 0,
            connections: 0,
        }
    }

    fn add(&mut self, traffic: &Traffic) -> Result<()> {
        let who = &traffic.process.subject;
        let Some(actor) = self.actors.of(traffic.process.id, who) else {
            return Ok(());
        };
        self.connections += traffic.connections;
        if !self.wanted.base.decide(who, &traffic.to, 0).stops() {
            return Ok(());
        }
        self.labels.entry(actor.who.clone()).or_insert(actor.label);
        let reached = self.reached.entry(actor.who).or_default();
        reached.connections += traffic.connections;
        let key = (Place::of(&traffic.to), port(&traffic.to));
        let count = reached.counts.entry(key).or_insert_with(|| {
            self.kept += 1;
            0
        });
        *count += traffic.connections;
        ensure!(
            self.kept <= MAX_KEPT,
            "the history has more than {MAX_KEPT} destinations, too many for a policy: choose \
             less of it with --since, --container, --image, --unit or --user"
        );
        Ok(())
    }

    /// The rules, ever coarser until there are few enough.
    fn rules(mut self) -> Vec<RuleText> {
        for reached in self.reached.values_mut() {
            reached.counts.retain(|_, count| *count > 0);
        }
        self.reached.retain(|_, reached| !reached.counts.is_empty());
        let precise = self.written(false);
        if precise.len() <= MAX_WRITTEN {
            return precise;
        }
        let united = self.written(true);
        if united.len() <= MAX_WRITTEN {
            return united;
        }
        self.unite_least();
        self.written(true)
    }

    /// Puts all but the most active ones into one.
    fn unite_least(&mut self) {
        let mut actors: Vec<(i64, String)> = self
            .reached
            .iter()
            .map(|(who, reached)| (reached.connections, who.clone()))
            .collect();
        actors.sort_by(|a, b| b.cmp(a));
        let mut rest = Reached::default();
        for (_, who) in actors.drain(MAX_WRITTEN.min(actors.len()) / 2..) {
            if let Some(reached) = self.reached.remove(&who) {
                rest.connections += reached.connections;
                for (key, count) in reached.counts {
                    *rest.counts.entry(key).or_default() += count;
                }
            }
        }
        self.labels
            .insert(String::new(), "everything else".to_owned());
        self.reached.insert(String::new(), rest);
    }

    /// One rule for an actor if `united`, else one for each set of ports.
    fn written(&self, united: bool) -> Vec<RuleText> {
        let mut actors: Vec<_> = self.reached.iter().collect();
        actors.sort_by(|a, b| {
            b.1.connections
                .cmp(&a.1.connections)
                .then_with(|| a.0.cmp(b.0))
        });
        let mut names = Names::default();
        let mut rules = Vec::new();
        for (who, reached) in actors {
            let label = self.labels.get(who).map_or("", String::as_str);
            for (place, ports, to) in groups(reached, united) {
                for to in chunks(to) {
                    rules.push(RuleText {
                        name: names.unique(label),
                        who: who.clone(),
                        to,
                        ports: ports.clone(),
                        private: place,
                        action: "allow",
                    });
                }
            }
        }
        rules
    }
}

/// An empty list stays one: no condition.
fn chunks(to: Vec<String>) -> Vec<Vec<String>> {
    match to.is_empty() {
        true => vec![to],
        false => to.chunks(MAX_TARGETS).map(<[String]>::to_vec).collect(),
    }
}

/// The destinations that share their ports: whether names may grant private addresses, the ports,
/// the destinations.
fn groups(reached: &Reached, united: bool) -> Vec<(bool, Vec<String>, Vec<String>)> {
    let mut places: BTreeMap<Place, Ports> = BTreeMap::new();
    for (place, (protocol, port)) in reached.counts.keys() {
        // frames have no protocol number
        let number = protocol.number().unwrap_or(u16::MAX);
        places
            .entry(place.clone())
            .or_default()
            .insert((number, *port));
    }
    let places = fold::fold(places);
    let mut groups: BTreeMap<(bool, bool, Ports), Vec<String>> = BTreeMap::new();
    let all: Ports = places.values().flatten().copied().collect();
    for (place, ports) in places {
        let ports = match united && !place.is_frames() {
            true => all
                .iter()
                .filter(|(number, _)| *number != u16::MAX)
                .copied()
                .collect(),
            false => ports,
        };
        let key = (place.is_private_name(), place.is_frames(), ports);
        groups.entry(key).or_default().extend(place.target());
    }
    groups
        .into_iter()
        .map(|((private, _, ports), to)| (private, fold::ports(&ports), to))
        .collect()
}

fn port(to: &Destination) -> Port {
    (to.protocol, to.port)
}

/// Names of rules, each once.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn unique(&mut self, label: &str) -> String {
        let label: String = label
            .chars()
            .filter(|c| !c.is_control())
            .take(180)
            .collect();
        let label = if label.is_empty() {
            "rule".to_owned()
        } else {
            label
        };
        let mut name = label.clone();
        loop {
            let n = self.0.entry(label.clone()).or_default();
            *n += 1;
            if *n > 1 {
                name = format!("{label} ({n})");
            }
            // another label may look like this
            if name == label || !self.0.contains_key(&name) {
                self.0.entry(name.clone()).or_default();
                return name;
            }
        }
    }
}
