//! The containers known so far, from cgroup paths, runtimes' files and Docker. A container
//! whose details contradict the earlier ones, after a rename or with another address since a
//! restart, becomes another [`Container`]: what it did before keeps its old name.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use hashlink::LruCache;

use super::cgroup_path;
use super::delegation::Delegation;
use super::entries::Entries;
use super::query_budget::QueryBudgets;
use super::runtime::{ContainerChange, DetailsQuery, RuntimeUpdate, Runtimes};
use crate::file_reader::FileReader;
use crate::model::{Container, ContainerDetails, ContainerUpdate, Details, Record};

/// Ids of root's containers kept, so that no user's cgroup passes for one.
const MAX_SYSTEM_IDS: usize = 65_536;
/// Changes that wait for their time. Beyond that the oldest is applied early.
const MAX_PENDING_CHANGES: usize = 1024;
/// How often a container is queried whose files are not read in time.
const MAX_QUERIES: u32 = 10;

pub struct Containers {
    entries: Entries<Entry>,
    delegation: Delegation,
    /// Root's containers, each with the id of the one that it runs in.
    system_ids: LruCache<String, Option<String>>,
    budgets: QueryBudgets,
    runtimes: Runtimes,
    /// Docker's changes with their time (nanoseconds since 1970) and container id, while
    /// earlier kernel events are still to be handled.
    pending_changes: VecDeque<(i64, String, ContainerChange)>,
    serial: u64,
}

/// What is known about an id.
#[derive(Default)]
struct Entry {
    /// None until its cgroup has been seen.
    container: Option<Rc<Container>>,
    /// The container's details as last emitted.
    details: Details,
    /// Everything that was reported about the id, its cgroup seen or not: Docker reports a
    /// container before it starts, and nothing once it has been removed.
    reported: ContainerDetails,
    /// Its process has ended; after a restart it may have another address.
    stopped: bool,
    /// Queries that came to nothing, as the reader of files was late.
    late: u32,
}

impl Entry {
    /// Another container with this id.
    fn start(
        &mut self,
        container: Container,
        details: Details,
        out: &mut Vec<Record>,
    ) -> Rc<Container> {
        let container = Rc::new(container);
        self.container = Some(Rc::clone(&container));
        self.emit(&container, details, out);
        container
    }

    fn emit(&mut self, container: &Rc<Container>, details: Details, out: &mut Vec<Record>) {
        self.details = details.clone();
        out.push(Record::Container(ContainerUpdate {
            container: Rc::clone(container),
            details,
        }));
    }

    fn is_pending(&self) -> bool {
        self.container.is_some() && self.details == Details::Pending
    }

    /// Emits what has been reported so far, if that is new.
    fn emit_reported(&mut self, serial: &mut u64, out: &mut Vec<Record>) {
        let Some(container) = self.container.clone() else {
            return;
        };
        let reported = self.reported.clone();
        let details = match self.details.known() {
            None if reported == ContainerDetails::default() => Details::Unknown,
            None => reported.into(),
            Some(old) if reported.contradicts(old) => {
                let details = reported.or(old).into();
                *serial += 1;
                let renamed = Container {
                    serial: *serial,
                    id: container.id.clone(),
                    runtime: container.runtime,
                    uid: container.uid,
                    outer: container.outer.clone(),
                };
                self.start(renamed, details, out);
                return;
            }
            Some(old) => reported.or(old).into(),
        };
        if details != self.details {
            self.emit(&container, details, out);
        }
    }
}

impl Containers {
    /// With the paths of the cgroups that exist now, and the root of the cgroup2 hierarchy.
    pub fn start<'a>(
        cgroup2: &Path,
        existing: impl Iterator<Item = &'a str>,
        files: Option<FileReader>,
    ) -> Containers {
        let mut containers = Containers {
            entries: Entries::new(),
            delegation: Delegation::new(cgroup2),
            system_ids: LruCache::new(MAX_SYSTEM_IDS),
            budgets: QueryBudgets::default(),
            runtimes: Runtimes::start(files),
            pending_changes: VecDeque::new(),
            serial: 0,
        };
        for path in existing {
            containers.register(path);
        }
        containers
    }

    /// A cgroup was created: as [`of`](Containers::of).
    pub fn created(&mut self, path: &str, out: &mut Vec<Record>) -> Option<Rc<Container>> {
        self.register(path);
        self.of(path, out)
    }

    /// The user who may create cgroups in this one.
    pub fn owner(&mut self, path: &str) -> u32 {
        self.delegation.owner(path)
    }

    /// Remembers the id of one of root's containers. Root in a container may create cgroups with
    /// the ids of others: an id is whose it was first, and rather of a container in no other.
    fn register(&mut self, path: &str) {
        let Some(found) = cgroup_path::container(path) else {
            return;
        };
        if self.delegation.owner(found.above) != 0 {
            return;
        }
        let outer = outer_id(found.above);
        let is_free = match self.system_ids.get(found.id) {
            Some(known) => known.is_some() && outer.is_none(),
            None => outer.is_none() || !self.entries.is_users(found.id),
        };
        if is_free {
            self.system_ids.insert(found.id.to_string(), outer);
        }
    }

    /// Whether a container has this id, and it runs elsewhere.
    fn is_borrowed(&mut self, uid: u32, id: &str, outer: Option<&str>) -> bool {
        if uid == 0 {
            return match self.system_ids.get(id) {
                Some(runs_in) => runs_in.as_deref() != outer,
                None => outer.is_some() && self.entries.is_users(id),
            };
        }
        let entry = self.entries.get(uid, id);
        let known = entry.and_then(|entry| entry.container.as_ref());
        known.is_some_and(|known| known.outer.as_ref().map(|outer| &*outer.id) != outer)
    }

    /// The container that a cgroup path names. A new one is emitted, and its details are
    /// queried.
    pub fn of(&mut self, path: &str, out: &mut Vec<Record>) -> Option<Rc<Container>> {
        let found = cgroup_path::container(path)?;
        let uid = self.delegation.owner(found.above);
        let is_taken = self.system_ids.contains_key(found.id);
        let is_name = matches!(found.runtime, Some("lxc" | "systemd-nspawn"));
        if uid != 0 && (is_taken || is_name) {
            // Another container has this id, or any may have this name: the user's cgroup is none.
            return self.of(found.above, out);
        }
        if self.is_borrowed(uid, found.id, outer_id(found.above).as_deref()) {
            return self.of(found.above, out);
        }
        if let Some(container) = self
            .entries
            .get(uid, found.id)
            .and_then(|e| e.container.as_ref())
        {
            return Some(Rc::clone(container));
        }
        let details = match found.runtime {
            // Their id is their name, and nothing else is known about them.
            Some("lxc" | "systemd-nspawn") => Details::from(ContainerDetails {
                name: Some(cgroup_path::unescaped(found.id)),
                ..ContainerDetails::default()
            }),
            // The steps of all builds have the builder's name.
            Some(cgroup_path::BUILDKIT) => Details::from(ContainerDetails {
                name: Some(cgroup_path::BUILDKIT.into()),
                ..ContainerDetails::default()
            }),
            runtime => match self.query(found.id, runtime, uid) {
                true => Details::Pending,
                false => Details::Unknown,
            },
        };
        // Ends: each call has a shorter path.
        let outer = self.of(found.above, out);
        self.serial += 1;
        let container = Container {
            serial: self.serial,
            id: found.id.to_string(),
            runtime: found.runtime,
            uid,
            outer,
        };
        Some(self.update(uid, found.id, |entry, _| {
            entry.start(container, details, out)
        }))
    }

    /// Queries a container's details; false where too many queries wait already, or this user has
    /// used their share.
    fn query(&mut self, id: &str, runtime: Option<&'static str>, uid: u32) -> bool {
        if uid != 0 && !self.budgets.take(uid, Instant::now()) {
            return false;
        }
        let id = id.to_string();
        self.runtimes.query(DetailsQuery { id, runtime, uid })
    }

    /// Changes the entry of an id, which becomes the one used last.
    fn update<T>(
        &mut self,
        uid: u32,
        id: &str,
        change: impl FnOnce(&mut Entry, &mut u64) -> T,
    ) -> T {
        let mut entry = self.entries.remove(uid, id).unwrap_or_default();
        let result = change(&mut entry, &mut self.serial);
        self.entries.insert(uid, id, entry);
        result
    }

    /// Takes in what runtimes have reported. Answers apply at once, as they describe what
    /// was true all along; changes apply when their time has come.
    pub fn poll_updates(&mut self, out: &mut Vec<Record>) {
        for update in self.runtimes.updates().collect::<Vec<_>>() {
            match update {
                RuntimeUpdate::Answer { uid, id, details } => {
                    self.answered(uid, &id, details, out);
                }
                RuntimeUpdate::Late { query, details } => self.late(query, details, out),
                RuntimeUpdate::Changed { id, ts, change } => {
                    self.pending_changes.push_back((ts, id, change));
                    if self.pending_changes.len() > MAX_PENDING_CHANGES {
                        self.apply_next(out);
                    }
                }
                RuntimeUpdate::DaemonBack => self.query_again(),
            }
        }
    }

    /// Applies the changes up to this time, nanoseconds since 1970.
    pub fn apply_until(&mut self, ts: i64, out: &mut Vec<Record>) {
        while self
            .pending_changes
            .front()
            .is_some_and(|(when, ..)| *when <= ts)
        {
            self.apply_next(out);
        }
    }

    fn apply_next(&mut self, out: &mut Vec<Record>) {
        let Some((_, id, change)) = self.pending_changes.pop_front() else {
            return;
        };
        // The daemon is root's.
        self.update(0, &id, |entry, serial| {
            let mut reported = std::mem::take(&mut entry.reported);
            match change {
                ContainerChange::Named { name, image } => {
                    reported.name = name.or(reported.name);
                    reported.image = image.or(reported.image);
                }
                ContainerChange::Renamed(name) => reported.name = Some(name),
                // of several networks the first counts
                ContainerChange::Address(ip) if entry.stopped || reported.ip.is_none() => {
                    reported.ip = Some(ip);
                    entry.stopped = false;
                }
                ContainerChange::Address(_) => {}
                ContainerChange::Stopped => entry.stopped = true,
            }
            reported.runtime = Some("docker");
            entry.reported = reported.bounded();
            // The answer to a pending query is emitted together with this.
            if !entry.is_pending() {
                entry.emit_reported(serial, out);
            }
        });
    }

    fn answered(
        &mut self,
        uid: u32,
        id: &str,
        details: Option<ContainerDetails>,
        out: &mut Vec<Record>,
    ) {
        self.update(uid, id, |entry, serial| {
            if let Some(details) = details {
                entry.reported = details.bounded().or(&entry.reported);
            }
            entry.emit_reported(serial, out);
        });
    }

    /// On a busy machine its files may be read at another attempt. Each is one of its user's queries:
    /// what makes the reader hang costs others nothing more.
    fn late(
        &mut self,
        query: DetailsQuery,
        details: Option<ContainerDetails>,
        out: &mut Vec<Record>,
    ) {
        let DetailsQuery { id, runtime, uid } = query;
        let late = self.update(uid, &id, |entry, _| {
            entry.late += 1;
            entry.late
        });
        if late >= MAX_QUERIES || !self.query(&id, runtime, uid) {
            self.answered(uid, &id, details, out);
        }
    }

    /// Whether the details of a container are still to come.
    pub fn is_querying(&self) -> bool {
        self.entries.all().any(Entry::is_pending)
    }

    /// Queries Docker's containers again: while the daemon was away it neither answered nor
    /// reported changes.
    fn query_again(&mut self) {
        for entry in self.entries.system() {
            let Some(container) = &entry.container else {
                continue;
            };
            let details = entry.details.known().and_then(|d| d.runtime);
            if !matches!(container.runtime.or(details), None | Some("docker")) {
                continue;
            }
            let query = DetailsQuery {
                id: container.id.clone(),
                runtime: container.runtime,
                uid: 0,
            };
            if !self.runtimes.query(query) {
                break; // the queue holds those used last
            }
        }
    }
}

/// The id of the container that a cgroup is in.
fn outer_id(path: &str) -> Option<String> {
    cgroup_path::container(path).map(|outer| outer.id.to_string())
}

#[cfg(test)]
mod tests;
