//! The containers known so far, from cgroup paths, runtimes' files and Docker. A container
//! whose details contradict the earlier ones, after a rename or with another address since a
//! restart, becomes another [`Container`]: what it did before keeps its old name.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use hashlink::LruCache;

use super::cgroup_path;
use super::runtime::{ContainerChange, DetailsQuery, RuntimeUpdate, Runtimes};
use crate::attribute::users;
use crate::model::{Container, ContainerDetails, ContainerUpdate, Details, Record};

/// Containers kept: those with the latest traffic.
const MAX_CONTAINERS: usize = 4096;
/// Changes that wait for their time. Beyond that the oldest is applied early.
const MAX_PENDING_CHANGES: usize = 1024;

pub struct Containers {
    entries: LruCache<String, Entry>,
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
    pub fn start() -> Containers {
        Containers {
            entries: LruCache::new(MAX_CONTAINERS),
            runtimes: Runtimes::start(),
            pending_changes: VecDeque::new(),
            serial: 0,
        }
    }

    /// The container that a cgroup path names. A new one is emitted, and its details are
    /// queried.
    pub fn of(&mut self, path: &str, out: &mut Vec<Record>) -> Option<Rc<Container>> {
        let found = cgroup_path::container(path)?;
        if let Some(container) = self
            .entries
            .get(found.id)
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
            runtime => {
                let home = cgroup_path::user(path).and_then(users::home);
                match self.query(found.id, runtime, home) {
                    true => Details::Pending,
                    false => Details::Unknown,
                }
            }
        };
        // Ends: each call has a shorter path.
        let outer = self.of(found.above, out);
        self.serial += 1;
        let container = Container {
            serial: self.serial,
            id: found.id.to_string(),
            runtime: found.runtime,
            outer,
        };
        Some(self.update(found.id, |entry, _| entry.start(container, details, out)))
    }

    /// Queries a container's details; false where too many queries wait already.
    fn query(&self, id: &str, runtime: Option<&'static str>, home: Option<PathBuf>) -> bool {
        let id = id.to_string();
        self.runtimes.query(DetailsQuery { id, runtime, home })
    }

    /// Changes the entry of an id, which becomes the one used last.
    fn update<T>(&mut self, id: &str, change: impl FnOnce(&mut Entry, &mut u64) -> T) -> T {
        let mut entry = self.entries.remove(id).unwrap_or_default();
        let result = change(&mut entry, &mut self.serial);
        self.entries.insert(id.to_string(), entry);
        result
    }

    /// Takes in what runtimes have reported. Answers apply at once, as they describe what
    /// was true all along; changes apply when their time has come.
    pub fn poll_updates(&mut self, out: &mut Vec<Record>) {
        for update in self.runtimes.updates().collect::<Vec<_>>() {
            match update {
                RuntimeUpdate::Answer { id, details } => self.answered(&id, details, out),
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
        self.update(&id, |entry, serial| {
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

    fn answered(&mut self, id: &str, details: Option<ContainerDetails>, out: &mut Vec<Record>) {
        self.update(id, |entry, serial| {
            if let Some(details) = details {
                entry.reported = details.bounded().or(&entry.reported);
            }
            entry.emit_reported(serial, out);
        });
    }

    /// Queries Docker's containers again: while the daemon was away it neither answered nor
    /// reported changes.
    fn query_again(&mut self) {
        for (_, entry) in self.entries.iter().rev() {
            let Some(container) = &entry.container else {
                continue;
            };
            let details = entry.details.known().and_then(|d| d.runtime);
            let runtime = container.runtime.or(details);
            if matches!(runtime, None | Some("docker"))
                && !self.query(&container.id, container.runtime, None)
            {
                break; // the queue holds those used last
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerTable;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn details(name: &str, ip: Option<&str>) -> ContainerDetails {
        ContainerDetails {
            name: Some(name.into()),
            image: Some("img:1".into()),
            hostname: Some("h".into()),
            ip: ip.map(str::to_string),
            runtime: Some("docker"),
            ..ContainerDetails::default()
        }
    }

    /// A table with one container, whose details are pending, and what its records say.
    struct World {
        table: Containers,
        sink: ContainerTable,
        records: usize,
    }

    impl World {
        fn empty() -> World {
            World {
                table: Containers::start(),
                sink: ContainerTable::default(),
                records: 0,
            }
        }

        fn new() -> (World, Rc<Container>) {
            let mut world = World::empty();
            let container = world.container();
            (world, container)
        }

        fn emit<T>(&mut self, make: impl FnOnce(&mut Containers, &mut Vec<Record>) -> T) -> T {
            let mut out = Vec::new();
            let result = make(&mut self.table, &mut out);
            self.records = out.len();
            for record in out {
                match record {
                    Record::Container(update) => self.sink.update(&update),
                    other => panic!("{other:?}"),
                }
            }
            result
        }

        fn container(&mut self) -> Rc<Container> {
            self.emit(|table, out| table.of(&format!("/docker/{ID}"), out))
                .unwrap()
        }

        fn answer(&mut self, details: Option<ContainerDetails>) {
            self.emit(|table, out| table.answered(ID, details, out));
        }

        fn change(&mut self, ts: i64, change: ContainerChange) {
            self.table
                .pending_changes
                .push_back((ts, ID.into(), change));
            self.apply_until(ts);
        }

        fn apply_until(&mut self, ts: i64) {
            self.emit(|table, out| table.apply_until(ts, out));
        }

        fn details_of(&self, container: &Container) -> ContainerDetails {
            self.sink.details(container).unwrap().clone()
        }

        fn details(&mut self) -> ContainerDetails {
            let container = self.container();
            self.details_of(&container)
        }
    }

    #[test]
    fn container_keeps_its_old_name_for_what_it_did_before_a_rename() {
        let (mut world, first) = World::new();
        world.answer(Some(details("web", None)));
        let rename = ContainerChange::Renamed("old".into());
        world
            .table
            .pending_changes
            .push_back((50, ID.into(), rename));
        world.apply_until(49);
        assert_eq!(world.details().name.as_deref(), Some("web"));
        world.apply_until(50);
        assert_eq!(world.details().name.as_deref(), Some("old"));
        assert_eq!(world.details_of(&first).name.as_deref(), Some("web"));
        let second = world.container();
        assert!(second.serial != first.serial && second.id == first.id);
    }

    #[test]
    fn address_completes_the_details_and_a_restart_replaces_it() {
        let (mut world, first) = World::new();
        world.answer(Some(details("web", None)));
        world.change(1, ContainerChange::Address("10.0.0.2".into()));
        assert_eq!(world.records, 1);
        world.change(2, ContainerChange::Address("10.9.0.2".into())); // a second network
        assert_eq!(world.details_of(&first).ip.as_deref(), Some("10.0.0.2"));
        world.change(3, ContainerChange::Stopped);
        assert_eq!(world.details().ip.as_deref(), Some("10.0.0.2"));
        world.change(4, ContainerChange::Address("10.0.0.3".into()));
        assert_eq!(world.details().ip.as_deref(), Some("10.0.0.3"));
        assert_eq!(world.details_of(&first).ip.as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn events_count_where_the_container_is_removed_before_the_answer() {
        let mut world = World::empty();
        let named = ContainerChange::Named {
            name: Some("web".into()),
            image: Some("img:1".into()),
        };
        world.change(1, named);
        world.change(2, ContainerChange::Address("10.0.0.2".into()));
        let container = world.container();
        assert!(
            world.sink.is_pending(&container),
            "its hostname may come yet"
        );
        world.answer(None);
        let details = world.details();
        assert_eq!(
            (
                details.name.as_deref(),
                details.image.as_deref(),
                details.ip.as_deref()
            ),
            (Some("web"), Some("img:1"), Some("10.0.0.2"))
        );
        // a later empty answer removes nothing
        world.answer(None);
        assert_eq!(world.details(), details);
    }

    #[test]
    fn overlong_text_is_cut_between_two_characters() {
        let (mut world, _) = World::new();
        let long = format!("x{}", "é".repeat(1 << 20));
        world.answer(Some(details(&long, None)));
        let name = world.details().name.unwrap();
        assert!(name.len() == 1023 && long.starts_with(&name));
        world.change(1, ContainerChange::Renamed(format!("y{long}")));
        assert_eq!(world.details().name.unwrap().len(), 1024);
    }

    #[test]
    fn empty_answer_leaves_the_details_unknown() {
        let (mut world, container) = World::new();
        world.answer(None);
        let entry = world.table.entries.peek(ID).unwrap();
        assert_eq!(entry.details, Details::Unknown);
        assert!(!world.sink.is_pending(&container));
    }
}
