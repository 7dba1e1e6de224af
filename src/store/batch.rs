//! The records since the last commit. While the history can't be written they are kept, up to a
//! bound of memory; what comes after that is counted.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem::size_of;

use super::policy::Hits;
use crate::model::{
    ActionOutcome, Connection, ContainerUpdate, ExecutableUpdate, Gap, GapKind, Lookup, Outcome,
    PolicyChange, PolicyConfirmation, PolicyRefusal, Process, ProcessAction, Progress, Record,
    ResourceRecord,
};

/// How much memory the records of a batch take before new ones are dropped. What is known of
/// those that have a row already may take as much again.
const MAX_BYTES: usize = 64 << 20;

/// Gaps of a batch that are kept apart.
const MAX_GAPS: usize = 1024;

/// Spans of numbers that [`Dropped`] remembers.
const MAX_SPANS: usize = 1024;

/// The kind of loss that this file counts.
const KIND: GapKind = GapKind::Store;
const NEW: &str = "the history could not be written for too long";
const UPDATE: &str = "how they went on could not be written";

/// A connection that changes twice in a batch is written once.
pub struct Batch {
    pub connections: Vec<Latest>,
    /// Those whose name has changed, by number: the other names of the address may have, too.
    pub renamed: HashSet<u64>,
    /// Indexes into `connections` by number.
    indexes: HashMap<u64, usize>,
    pub lookups: Vec<Lookup>,
    pub containers: Vec<ContainerUpdate>,
    pub executables: Vec<ExecutableUpdate>,
    pub gaps: Vec<Gap>,
    /// When the bytes of what is open were last read.
    pub counted_ts: Option<i64>,
    pub policies: Vec<PolicyChange>,
    pub refusals: Vec<PolicyRefusal>,
    pub confirmations: Vec<PolicyConfirmation>,
    pub hits: Hits,
    /// What became of verdicts' actions, by the numbers of their connections.
    pub actions: Vec<(u64, ActionOutcome)>,
    /// An estimate.
    bytes: usize,
    max_bytes: usize,
    /// Processes that `bytes` includes, by serial.
    processes: HashSet<u64>,
    dropped: Dropped,
}

/// The latest state of a connection, and whether it may still transfer data.
pub struct Latest {
    pub connection: Connection,
    pub open: bool,
}

/// The numbers of connections that were dropped, as spans: what is reported of them later has
/// no row to go to, and was counted.
#[derive(Default)]
struct Dropped(Vec<(u64, u64)>);

impl Dropped {
    fn add(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => {
                if self.0.len() == MAX_SPANS {
                    self.0.remove(0);
                }
                self.0.push((number, number));
            }
        }
    }

    fn contains(&self, number: u64) -> bool {
        let mut spans = self.0.iter().rev();
        spans.any(|(first, last)| (*first..=*last).contains(&number))
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::bounded(MAX_BYTES)
    }
}

impl Batch {
    pub fn bounded(max_bytes: usize) -> Batch {
        Batch {
            connections: Vec::new(),
            renamed: HashSet::new(),
            indexes: HashMap::new(),
            lookups: Vec::new(),
            containers: Vec::new(),
            executables: Vec::new(),
            gaps: Vec::new(),
            counted_ts: None,
            policies: Vec::new(),
            refusals: Vec::new(),
            confirmations: Vec::new(),
            hits: Hits::default(),
            actions: Vec::new(),
            bytes: 0,
            max_bytes,
            processes: HashSet::new(),
            dropped: Dropped::default(),
        }
    }

    pub fn add(&mut self, record: &Record) {
        if let Record::Named(c) | Record::NamedAfterEnd(c) = record {
            self.renamed.insert(c.number);
        }
        match record {
            Record::Opened(c) => self.open(c),
            Record::Progress(Progress { connection: c, .. }) => self.update(c, true),
            Record::Outcome(c) | Record::Decided(c) | Record::Named(c) => {
                let open = matches!(
                    c.outcome,
                    Outcome::InProgress | Outcome::Connected | Outcome::Sent
                );
                self.update(c, open);
            }
            Record::Closed(c) | Record::NamedAfterEnd(c) => self.update(c, false),
            Record::Lookup(lookup) => self.lookup(lookup),
            Record::Container(update) => self.container(update),
            Record::Executable(update) => self.executable(update),
            Record::Gap(gap) => self.gap(gap.clone()),
            Record::Counted(ts) => self.counted_ts = Some(*ts),
            Record::Policy(change) => self.policies.push(change.clone()),
            Record::PolicyRefused(refusal) => self.refusals.push(refusal.clone()),
            Record::PolicyConfirmed(confirmed) => self.confirmations.push(confirmed.clone()),
            Record::PolicyHits(hits) => self.hits.add(hits),
            Record::Acted(action) => self.acted(action),
            Record::Query(_) | Record::Cgroup(_) => {}
        }
    }

    /// Rows that the batch writes.
    pub fn rows(&self) -> usize {
        self.connections.len() + self.lookups.len() + self.actions.len()
    }

    /// After a commit.
    pub fn clear(&mut self) {
        *self = Batch {
            dropped: std::mem::take(&mut self.dropped),
            ..Batch::bounded(self.max_bytes)
        };
    }

    fn open(&mut self, c: &Connection) {
        match self.bytes < self.max_bytes {
            true => self.put(c, true),
            false => {
                self.dropped.add(c.number);
                self.lose(c.ts, NEW);
            }
        }
    }

    fn update(&mut self, c: &Connection, open: bool) {
        if self.indexes.contains_key(&c.number) || self.bytes < 2 * self.max_bytes {
            if !self.dropped.contains(c.number) {
                self.put(c, open);
            }
        } else if !self.dropped.contains(c.number) {
            self.lose(c.ts, UPDATE);
        }
    }

    fn put(&mut self, c: &Connection, open: bool) {
        let latest = Latest {
            connection: c.clone(),
            open,
        };
        match self.indexes.entry(c.number) {
            Entry::Occupied(index) => self.connections[*index.get()] = latest,
            Entry::Vacant(index) => {
                index.insert(self.connections.len());
                self.connections.push(latest);
                let rivals = c.name.as_ref().map_or(0, |name| name.rival_names.len());
                self.bytes += size_of::<Latest>() + 64 * (rivals + 1);
                self.count_process(&c.process);
            }
        }
    }

    fn lookup(&mut self, lookup: &Lookup) {
        if self.bytes >= self.max_bytes {
            return self.lose(lookup.ts, NEW);
        }
        let answers = lookup.answers.iter().map(bytes_of);
        self.bytes += size_of::<Lookup>() + 64 + answers.sum::<usize>();
        self.count_process(&lookup.process);
        self.lookups.push(lookup.clone());
    }

    fn container(&mut self, update: &ContainerUpdate) {
        if self.bytes >= 2 * self.max_bytes {
            return;
        }
        self.bytes += size_of::<ContainerUpdate>() + 512;
        self.containers.push(update.clone());
    }

    fn executable(&mut self, update: &ExecutableUpdate) {
        if self.bytes >= 2 * self.max_bytes {
            return;
        }
        self.bytes += size_of::<ExecutableUpdate>() + 256;
        self.executables.push(update.clone());
    }

    fn acted(&mut self, action: &ProcessAction) {
        let c = &action.connection;
        let outcome = c.verdict.as_ref().and_then(|v| v.action_outcome);
        let Some(outcome) = outcome.filter(|_| !self.dropped.contains(c.number)) else {
            return;
        };
        if self.bytes >= 2 * self.max_bytes {
            return self.lose(c.ts, UPDATE);
        }
        self.bytes += size_of::<(u64, ActionOutcome)>();
        self.actions.push((c.number, outcome));
    }

    fn gap(&mut self, gap: Gap) {
        let full = self.gaps.len() >= MAX_GAPS;
        let alike = |g: &&mut Gap| {
            (g.kind, g.why) == (gap.kind, gap.why) && (full || gap.from_ts <= g.to_ts)
        };
        match self.gaps.iter_mut().rev().find(alike) {
            Some(earlier) => {
                earlier.from_ts = earlier.from_ts.min(gap.from_ts);
                earlier.to_ts = earlier.to_ts.max(gap.to_ts);
                earlier.lost += gap.lost;
            }
            None => self.gaps.push(gap),
        }
    }

    /// One loss at this time: all in a batch are one gap.
    fn lose(&mut self, ts: i64, why: &'static str) {
        let earlier = self
            .gaps
            .iter_mut()
            .find(|g| (g.kind, g.why) == (KIND, why));
        match earlier {
            Some(gap) => {
                gap.from_ts = gap.from_ts.min(ts);
                gap.to_ts = gap.to_ts.max(ts);
                gap.lost += 1;
            }
            None => self.gaps.push(Gap {
                from_ts: ts,
                to_ts: ts,
                kind: KIND,
                lost: 1,
                why,
            }),
        }
    }

    /// A record keeps its process in memory, and that its parent.
    fn count_process(&mut self, process: &Process) {
        if self.processes.insert(process.serial) {
            let of = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            let parent = process.parent.as_ref();
            let parent = parent.map_or(0, |p| of(&p.exe) + of(&p.cmdline));
            self.bytes += size_of::<Process>() + 512;
            self.bytes += of(&process.exe) + of(&process.cmdline) + of(&process.cgroup) + parent;
        }
    }
}

fn bytes_of(answer: &ResourceRecord) -> usize {
    size_of::<ResourceRecord>() + answer.rtype.len() + answer.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::connection;

    #[test]
    fn beyond_its_bound_a_batch_counts_exactly_what_it_drops() {
        let mut batch = Batch::bounded(100_000);
        let numbered = |number| Connection {
            number,
            ts: number as i64,
            ..connection("curl")
        };
        for number in 1..=1000 {
            batch.add(&Record::Opened(numbered(number)));
            batch.add(&Record::Closed(numbered(number)));
        }
        let kept = batch.connections.len();
        assert!((10..1000).contains(&kept) && batch.connections.iter().all(|c| !c.open));
        let [gap] = &batch.gaps[..] else { panic!() };
        assert_eq!(kept as u64 + gap.lost, 1000);
        assert_eq!((gap.kind, gap.to_ts), (GapKind::Store, 1000));
        // After a commit there is room again, but not for what was counted.
        batch.clear();
        batch.add(&Record::Closed(numbered(1000)));
        assert_eq!(batch.rows(), 0);
        batch.add(&Record::Opened(numbered(1001)));
        assert_eq!((batch.rows(), batch.gaps.len()), (1, 0));
    }
}
