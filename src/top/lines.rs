//! The lines of a view: traffic summed by program, host or container, or a connection each.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap};

use super::columns::{Column, Tab};
use super::snapshot::Snapshot;
use super::traffic::{Connection, Container, Flow, Peer, ProgramEntry, Rate};
use crate::human;
use crate::text::printable;

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A program, by its number.
    Program(u32),
    /// A name, or the address of what has none.
    Host(String),
    /// DNS servers, folded.
    Resolvers,
    /// By its id; None: outside of containers.
    Container(Option<String>),
    Connection(i64),
}

/// An order of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Both rates together, then both totals.
    Traffic,
    By(Column),
}

#[derive(Debug, Clone)]
pub struct Line {
    pub key: Key,
    /// The history did not have it before.
    pub new: bool,
    pub rate: Option<Rate>,
    pub sent: Option<i64>,
    pub received: Option<i64>,
    pub connections: i64,
    pub open: i64,
    pub failed: i64,
    /// Of a connection: when it began, and how long it took; None: it is open.
    began: Option<(i64, Option<i64>)>,
    texts: Vec<(Column, String)>,
    /// The connection that its texts are about, while they are not written.
    unwritten: Option<usize>,
}

impl Line {
    /// Nothing goes on, and nothing is open.
    pub fn is_idle(&self) -> bool {
        self.open == 0 && self.rate.is_none_or(|rate| rate.both() == 0.0)
    }

    /// What a column shows, printable.
    pub fn text(&self, column: Column, now: i64) -> Cow<'_, str> {
        let bytes = |n: Option<i64>| n.map_or("-".to_owned(), |n| human::short_bytes(n as f64));
        let rate = |of: fn(Rate) -> f64| {
            self.rate
                .map_or("-".to_owned(), |rate| human::short_bytes(of(rate)))
        };
        Cow::Owned(match column {
            Column::SentRate => rate(|rate| rate.sent),
            Column::ReceivedRate => rate(|rate| rate.received),
            Column::Sent => bytes(self.sent),
            Column::Received => bytes(self.received),
            Column::Open => human::short_count(self.open),
            Column::Connections => human::short_count(self.connections),
            Column::Failed => human::short_count(self.failed),
            Column::Age if self.began.is_none() => String::new(),
            Column::Age => human::short_duration(self.age_us(now)),
            Column::Id => match self.key {
                Key::Connection(id) => id.to_string(),
                _ => String::new(),
            },
            column => {
                let found = self.texts.iter().find(|(of, _)| *of == column);
                return found.map_or(Cow::Borrowed(""), |(_, text)| Cow::Borrowed(text));
            }
        })
    }

    /// How long a connection took, or has taken by now.
    fn age_us(&self, now: i64) -> i64 {
        match self.began {
            Some((_, Some(duration))) => duration,
            Some((ts, None)) if self.open > 0 => now.saturating_sub(ts).max(0) / 1000,
            _ => 0,
        }
    }

    /// What a column of numbers is sorted by.
    fn number(&self, column: Column, now: i64) -> f64 {
        let rate = self.rate.unwrap_or_default();
        match column {
            Column::SentRate => rate.sent,
            Column::ReceivedRate => rate.received,
            Column::Sent => self.sent.unwrap_or(-1) as f64,
            Column::Received => self.received.unwrap_or(-1) as f64,
            Column::Open => self.open as f64,
            Column::Connections => self.connections as f64,
            Column::Failed => self.failed as f64,
            Column::Age => self.age_us(now) as f64,
            Column::Id => match self.key {
                Key::Connection(id) => id as f64,
                _ => 0.0,
            },
            _ => 0.0,
        }
    }

    fn by_traffic(&self, other: &Line) -> Ordering {
        let rate = |line: &Line| line.rate.unwrap_or_default().both();
        let total = |line: &Line| {
            line.sent
                .unwrap_or(0)
                .saturating_add(line.received.unwrap_or(0))
        };
        let began = |line: &Line| line.began.map(|(ts, _)| ts);
        rate(other)
            .total_cmp(&rate(self))
            .then_with(|| (other.open > 0).cmp(&(self.open > 0)))
            .then_with(|| total(other).cmp(&total(self)))
            .then_with(|| began(other).cmp(&began(self)))
    }
}

/// Sorts lines: numbers from the greatest, texts from A.
pub fn sort(lines: &mut [Line], by: Sort, reversed: bool, now: i64) {
    let compare = |a: &Line, b: &Line| {
        let order = match by {
            Sort::Traffic => Ordering::Equal,
            Sort::By(column) if column.is_number() => {
                b.number(column, now).total_cmp(&a.number(column, now))
            }
            Sort::By(Column::Pid | Column::Port) => {
                let column = if by == Sort::By(Column::Pid) {
                    Column::Pid
                } else {
                    Column::Port
                };
                leading_number(&a.text(column, now)).cmp(&leading_number(&b.text(column, now)))
            }
            Sort::By(column) => a.text(column, now).cmp(&b.text(column, now)),
        };
        let order = if reversed { order.reverse() } else { order };
        let by_traffic = || match (by, reversed) {
            (Sort::Traffic, true) => b.by_traffic(a),
            _ => a.by_traffic(b),
        };
        order
            .then_with(by_traffic)
            .then_with(|| name_of(a).cmp(name_of(b)))
    };
    lines.sort_by(compare);
}

fn name_of(line: &Line) -> &str {
    line.texts.first().map_or("", |(_, text)| text)
}

fn leading_number(text: &str) -> u64 {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The lines of a view, unsorted. `fold`: DNS servers are one line. `within`: only what another
/// line is about.
pub fn lines(snapshot: &Snapshot, tab: Tab, fold: bool, within: Option<&Key>) -> Vec<Line> {
    let flows = snapshot
        .flows
        .values()
        .filter(|flow| flow.connections > 0)
        .filter_map(|flow| Some((flow, snapshot.programs.get(&flow.program)?)));
    let flows = flows
        .filter(|(flow, program)| within.is_none_or(|key| is_within(flow, program, key, fold)));
    if tab == Tab::Connections {
        return connections(snapshot, fold, within);
    }
    let mut groups: HashMap<Key, Group<'_>> = HashMap::new();
    for (flow, program) in flows {
        let key = match tab {
            Tab::Hosts => key_of(&flow.peer, fold),
            Tab::Containers => {
                let container = program.program.container.as_ref();
                Key::Container(container.map(|c| c.id.clone()))
            }
            _ => Key::Program(flow.program),
        };
        groups.entry(key).or_default().add(flow, program);
    }
    groups
        .into_iter()
        .map(|(key, group)| group.line(key, fold))
        .collect()
}

fn is_within(flow: &Flow, program: &ProgramEntry, key: &Key, fold: bool) -> bool {
    match key {
        Key::Program(id) => flow.program == *id,
        Key::Container(id) => {
            let container = program.program.container.as_ref();
            container.map(|c| &c.id) == id.as_ref()
        }
        Key::Host(_) | Key::Resolvers => key_of(&flow.peer, fold) == *key,
        Key::Connection(_) => false,
    }
}

fn key_of(peer: &Peer, fold: bool) -> Key {
    match peer.is_resolver() && fold {
        true => Key::Resolvers,
        false => Key::Host(name(peer)),
    }
}

/// A name, or the address of what has none.
fn name(peer: &Peer) -> String {
    let known = peer.host.as_deref().or(peer.ip.as_deref());
    known
        .filter(|name| !name.is_empty())
        .unwrap_or("(other)")
        .to_owned()
}

/// Flows that are one line.
#[derive(Default)]
struct Group<'a> {
    flows: Vec<(&'a Flow, &'a ProgramEntry)>,
}

impl<'a> Group<'a> {
    fn add(&mut self, flow: &'a Flow, program: &'a ProgramEntry) {
        self.flows.push((flow, program));
    }

    fn line(&self, key: Key, fold: bool) -> Line {
        let flows = || self.flows.iter().map(|(flow, _)| *flow);
        let rates = flows().map(|flow| flow.rate);
        let rate = rates.reduce(|all, one| match (all, one) {
            (Some(all), Some(one)) => Some(all.plus(one)),
            (all, one) => all.or(one),
        });
        let first = self.flows.first().map(|(_, program)| *program);
        let new = match key {
            Key::Program(_) => first.is_some_and(|p| p.new == Some(true)),
            Key::Container(Some(_)) => first.is_some_and(|p| p.new_container),
            Key::Host(_) => flows().all(|flow| flow.new == Some(true)),
            _ => false,
        };
        let sum = |of: fn(&Flow) -> i64| flows().map(of).fold(0, i64::saturating_add);
        Line {
            new,
            rate: rate.flatten(),
            sent: Some(sum(|flow| flow.bytes.sent)),
            received: Some(sum(|flow| flow.bytes.received)),
            connections: sum(|flow| flow.connections),
            open: sum(|flow| flow.open),
            failed: sum(|flow| flow.failed),
            began: None,
            texts: self.texts(&key, first, fold),
            unwritten: None,
            key,
        }
    }

    fn texts(&self, key: &Key, first: Option<&ProgramEntry>, fold: bool) -> Vec<(Column, String)> {
        let mut texts = Vec::new();
        match (key, first) {
            (Key::Program(_), Some(entry)) => {
                texts.push((Column::Process, process(entry)));
                texts.push((Column::Pid, self.pids()));
                texts.push((Column::User, printable(&entry.program.user).into_owned()));
                texts.push((
                    Column::Container,
                    container(entry.program.container.as_ref()),
                ));
                texts.push((Column::Peers, self.peers(fold)));
            }
            (Key::Container(_), Some(entry)) => {
                let of = entry.program.container.as_ref();
                let name = match of {
                    Some(_) => container(of),
                    None => "(no container)".to_owned(),
                };
                let image = of.and_then(|c| c.image.as_deref()).unwrap_or("-");
                texts.push((Column::Container, name));
                texts.push((Column::Image, printable(image).into_owned()));
                texts.push((Column::From, self.programs()));
                texts.push((Column::Peers, self.peers(fold)));
            }
            (Key::Host(host), _) => {
                texts.push((Column::Host, printable(host).into_owned()));
                texts.extend(self.peer_texts());
            }
            (Key::Resolvers, _) => {
                let names = self.flows.iter().map(|(flow, _)| name(&flow.peer));
                let servers = BTreeSet::from_iter(names);
                texts.push((Column::Host, resolvers(servers.len())));
                texts.extend(self.peer_texts());
            }
            _ => {}
        }
        texts
    }

    fn pids(&self) -> String {
        let flows = || self.flows.iter().map(|(flow, _)| flow);
        let pids = BTreeSet::from_iter(flows().flat_map(|flow| &flow.pids));
        match (pids.first(), pids.len()) {
            (_, n) if flows().any(|flow| flow.more_pids) => format!("{n}+ pids"),
            (Some(pid), 1) => pid.to_string(),
            (_, n) => format!("{n} pids"),
        }
    }

    fn peer_texts(&self) -> [(Column, String); 3] {
        let flows = || self.flows.iter().map(|(flow, _)| flow);
        let addresses =
            flows().flat_map(|flow| flow.addresses.iter().map(|a| printable(a).into_owned()));
        let ports = flows().map(|flow| port(&flow.peer));
        [
            (
                Column::Address,
                first_and_more(BTreeSet::from_iter(addresses)),
            ),
            (Column::Port, first_and_more(BTreeSet::from_iter(ports))),
            (Column::From, self.programs()),
        ]
    }

    /// The programs, the busiest first.
    fn programs(&self) -> String {
        let names = self
            .flows
            .iter()
            .map(|(flow, entry)| (process(entry), *flow));
        busiest(names)
    }

    /// The peers, the busiest first; DNS servers only if there is nothing else.
    fn peers(&self, fold: bool) -> String {
        let all = || self.flows.iter().map(|(flow, _)| *flow);
        let named = |flow: &'a Flow| (printable(&name(&flow.peer)).into_owned(), flow);
        let others = all().filter(|flow| !(fold && flow.peer.is_resolver()));
        match others.clone().next() {
            Some(_) => busiest(others.map(named)),
            None => resolvers(BTreeSet::from_iter(all().map(|flow| name(&flow.peer))).len()),
        }
    }
}

/// The busiest name, and how many others there are.
fn busiest<'a>(named: impl Iterator<Item = (String, &'a Flow)>) -> String {
    let mut sums: HashMap<String, (f64, bool, i64)> = HashMap::new();
    for (name, flow) in named {
        let sum = sums.entry(name).or_default();
        sum.0 += flow.rate.unwrap_or_default().both();
        sum.1 |= flow.open > 0;
        sum.2 = sum
            .2
            .saturating_add(flow.bytes.sent)
            .saturating_add(flow.bytes.received);
    }
    let others = sums.len().saturating_sub(1);
    let first = sums.into_iter().max_by(|(a, x), (b, y)| {
        x.0.total_cmp(&y.0)
            .then((x.1, x.2).cmp(&(y.1, y.2)))
            .then_with(|| Reverse(a).cmp(&Reverse(b)))
    });
    and_more(first.map_or(String::new(), |(name, _)| name), others)
}

fn first_and_more(all: BTreeSet<String>) -> String {
    let others = all.len().saturating_sub(1);
    and_more(all.into_iter().next().unwrap_or_default(), others)
}

fn and_more(first: String, others: usize) -> String {
    match others {
        0 => first,
        n => format!("{first} +{n}"),
    }
}

fn resolvers(n: usize) -> String {
    match n {
        1 => "DNS server".to_owned(),
        n => format!("DNS servers ({n})"),
    }
}

fn process(entry: &ProgramEntry) -> String {
    match &*entry.program.comm {
        "" => "(other)".to_owned(),
        comm => printable(comm).into_owned(),
    }
}

fn container(container: Option<&Container>) -> String {
    let Some(container) = container else {
        return "-".to_owned();
    };
    match &container.name {
        Some(name) => printable(name).into_owned(),
        None => printable(&container.id).chars().take(12).collect(),
    }
}

fn port(peer: &Peer) -> String {
    let protocol = printable(&peer.protocol);
    match peer.port {
        Some(port) => format!("{port}/{protocol}"),
        None => protocol.into_owned(),
    }
}

/// A line for each connection; those to DNS servers are one if folded.
fn connections(snapshot: &Snapshot, fold: bool, within: Option<&Key>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut folded = Group::default();
    for (index, connection) in snapshot.connections.iter().enumerate() {
        let Some((flow, entry)) = connection.flow.and_then(|id| {
            let flow = snapshot.flows.get(&id)?;
            Some((flow, snapshot.programs.get(&flow.program)?))
        }) else {
            continue;
        };
        if within.is_some_and(|key| !is_within(flow, entry, key, fold)) {
            continue;
        }
        if !(fold && flow.peer.is_resolver()) {
            lines.push(connection_line(connection, flow, index));
        }
    }
    let flows = snapshot
        .flows
        .values()
        .filter(|f| fold && f.peer.is_resolver() && f.connections > 0);
    for flow in flows {
        let Some(entry) = snapshot.programs.get(&flow.program) else {
            continue;
        };
        if within.is_none_or(|key| is_within(flow, entry, key, fold)) {
            folded.add(flow, entry);
        }
    }
    if !folded.flows.is_empty() {
        let mut line = folded.line(Key::Resolvers, fold);
        let connections = human::count(line.connections, "flow", "flows");
        line.texts.insert(0, (Column::Process, folded.programs()));
        line.texts.push((Column::State, connections));
        lines.push(line);
    }
    lines
}

fn connection_line(connection: &Connection, flow: &Flow, index: usize) -> Line {
    let state = &connection.state;
    Line {
        key: Key::Connection(connection.id),
        new: flow.new == Some(true),
        rate: connection.rate,
        sent: state.sent,
        received: state.received,
        connections: 1,
        open: i64::from(state.is_open()),
        failed: i64::from(state.has_failed()),
        began: Some((connection.ts, state.duration_us)),
        texts: Vec::new(),
        unwritten: Some(index),
    }
}

/// Writes the texts of a connection's line: of ten thousand, a page is shown.
pub fn write_texts(line: &mut Line, snapshot: &Snapshot) {
    let Some((connection, flow, entry)) = line.unwritten.take().and_then(|index| {
        let connection = snapshot.connections.get(index)?;
        let flow = snapshot.flows.get(&connection.flow?)?;
        Some((connection, flow, snapshot.programs.get(&flow.program)?))
    }) else {
        return;
    };
    let (state, program) = (&connection.state, &entry.program);
    let host = printable(&name(&flow.peer)).into_owned();
    let said = match (state.outcome, state.is_open()) {
        ("in_progress", true) => "opening",
        (_, true) => "open",
        ("connected" | "sent", false) => "closed",
        (outcome, false) => outcome,
    };
    let address = connection.ip.as_deref().unwrap_or("-");
    line.texts = vec![
        (Column::Process, process(entry)),
        (Column::Pid, connection.pid.to_string()),
        (Column::User, printable(&program.user).into_owned()),
        (Column::Container, container(program.container.as_ref())),
        (
            Column::Host,
            match flow.peer.inbound {
                true => format!("< {host}"),
                false => host,
            },
        ),
        (Column::Address, printable(address).into_owned()),
        (Column::Port, port(&flow.peer)),
        (Column::State, said.to_owned()),
    ];
}
