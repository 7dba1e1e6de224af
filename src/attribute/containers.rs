//! The containers that there are, by what their cgroups' paths, their files and Docker
//! tell. One that is told otherwise than before, by a rename or by an address that it has
//! since a restart, is another [`Container`] from then on: what it did before it did under
//! its old name.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hashlink::LruCache;

use super::docker::{Change, Docker, News, Question};
use super::{cgroups, users};
use crate::model::{Container, ContainerDetails, Details, Record};

/// Containers remembered: those with traffic last.
const MAX_CONTAINERS: usize = 4096;
/// Changes that wait for their time. Beyond that the oldest is early.
const MAX_WAITING: usize = 1024;

pub struct Containers {
    known: LruCache<String, Known>,
    docker: Docker,
    /// Docker's changes whose time has not come: the events before them are still to be
    /// handled. With when, nanoseconds since 1970.
    waiting: VecDeque<(i64, String, Change)>,
    serial: u64,
}

/// What is known by an id.
#[derive(Default)]
struct Known {
    /// None until its cgroup has been seen.
    container: Option<Rc<Container>>,
    /// What has been told of it so far, its cgroup seen or not: Docker tells of a
    /// container before it starts, and nothing when it is gone.
    said: ContainerDetails,
    /// Its process has ended: started again, it may have another address.
    stopped: bool,
}

impl Containers {
    pub fn start() -> Containers {
        Containers {
            known: LruCache::new(MAX_CONTAINERS),
            docker: Docker::start(),
            waiting: VecDeque::new(),
            serial: 0,
        }
    }

    /// The container that a cgroup path names; its details are asked for once.
    pub fn of(&mut self, path: &str) -> Option<Rc<Container>> {
        let found = cgroups::container(path)?;
        if let Some(container) = self.known.get(found.id).and_then(|k| k.container.as_ref()) {
            return Some(Rc::clone(container));
        }
        let details = match found.runtime {
            // Their name is all that they are known by.
            Some("lxc" | "systemd-nspawn") => Details::Known(ContainerDetails {
                name: Some(cgroups::unescaped(found.id)),
                ..ContainerDetails::default()
            }),
            runtime => {
                let home = cgroups::user(path).and_then(users::home);
                self.ask(found.id, runtime, home)
            }
        };
        // Each call is on a shorter path.
        let outer = self.of(found.above);
        let container = self.make(found.id, found.runtime, outer, details);
        let known = self.known.remove(found.id).unwrap_or_default();
        let known = Known {
            container: Some(Rc::clone(&container)),
            ..known
        };
        self.known.insert(found.id.to_string(), known);
        Some(container)
    }

    /// The details of a container while its answer is to come.
    fn ask(
        &self,
        id: &str,
        runtime: Option<&'static str>,
        home: Option<std::path::PathBuf>,
    ) -> Details {
        let id = id.to_string();
        if self.docker.ask(Question { id, runtime, home }) {
            Details::Pending
        } else {
            Details::Unknown
        }
    }

    fn make(
        &mut self,
        id: &str,
        runtime: Option<&'static str>,
        outer: Option<Rc<Container>>,
        details: Details,
    ) -> Rc<Container> {
        self.serial += 1;
        Rc::new(Container {
            serial: self.serial,
            id: id.to_string(),
            runtime,
            outer,
            details: RefCell::new(details),
        })
    }

    /// Takes in what has come. Answers count at once, they say what has been true all
    /// along; changes when their time has come.
    pub fn listen(&mut self, out: &mut Vec<Record>) {
        for news in self.docker.news().collect::<Vec<_>>() {
            match news {
                News::Answer { id, details } => self.answered(&id, details, out),
                News::Changed { id, ts, change } => {
                    self.waiting.push_back((ts, id, change));
                    if self.waiting.len() > MAX_WAITING {
                        self.next_change(out);
                    }
                }
                News::Back => self.ask_again(),
            }
        }
    }

    /// Makes the changes up to this time, nanoseconds since 1970.
    pub fn change_until(&mut self, ts: i64, out: &mut Vec<Record>) {
        while self.waiting.front().is_some_and(|(when, ..)| *when <= ts) {
            self.next_change(out);
        }
    }

    fn next_change(&mut self, out: &mut Vec<Record>) {
        let Some((_, id, change)) = self.waiting.pop_front() else {
            return;
        };
        let mut known = self.known.remove(&id).unwrap_or_default();
        let mut told = known.said.clone();
        match change {
            Change::Named { name, image } => {
                told.name = name.or(told.name);
                told.image = image.or(told.image);
            }
            Change::Renamed(name) => told.name = Some(name),
            // of several networks the first counts
            Change::Address(ip) if known.stopped || told.ip.is_none() => {
                told.ip = Some(ip);
                known.stopped = false;
            }
            Change::Address(_) => {}
            Change::Stopped => known.stopped = true,
        }
        told.runtime = Some("docker");
        let told = told.bounded();
        let pending = known.container.as_ref().is_some_and(|c| c.is_pending());
        known.said = told.clone();
        self.known.insert(id.clone(), known);
        // One that is asked about has what was told of it with the answer.
        if !pending {
            self.tell(&id, told, out);
        }
    }

    fn answered(&mut self, id: &str, details: Details, out: &mut Vec<Record>) {
        let mut known = self.known.remove(id).unwrap_or_default();
        if let Details::Known(details) = details {
            known.said = details.bounded().or(&known.said);
        }
        let said = known.said.clone();
        self.known.insert(id.to_string(), known);
        self.tell(id, said, out);
    }

    /// What is said of a container by now.
    fn tell(&mut self, id: &str, said: ContainerDetails, out: &mut Vec<Record>) {
        let Some(container) = self.known.peek(id).and_then(|k| k.container.clone()) else {
            return;
        };
        let nothing = said == ContainerDetails::default();
        let old = container.details();
        if let Some(old) = &old
            && said.contradicts(old)
        {
            let new = Details::Known(said.or(old));
            let new = self.make(id, container.runtime, container.outer.clone(), new);
            if let Some(known) = self.known.peek_mut(id) {
                known.container = Some(new);
            }
            return;
        }
        let new = match (nothing, &old) {
            (true, None) => Details::Unknown,
            (_, Some(old)) => Details::Known(said.or(old)),
            (false, None) => Details::Known(said),
        };
        if container.details.replace(new.clone()) != new {
            out.push(Record::Container(container));
        }
    }

    /// Asks Docker anew about its containers: it was away, and what it was asked then it
    /// did not answer, nor did it tell what has changed.
    fn ask_again(&mut self) {
        let docker = |k: &&Rc<Container>| matches!(k.runtime(), None | Some("docker"));
        let mine = self.known.iter().rev();
        let mine = mine
            .filter_map(|(_, k)| k.container.as_ref())
            .filter(docker);
        for container in mine {
            if self.ask(&container.id, container.runtime, None) == Details::Unknown {
                break; // the queue is full of those used last
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// A table with a container whose answer is to come.
    fn table() -> (Containers, Rc<Container>) {
        let mut table = Containers::start();
        let container = table.of(&format!("/docker/{ID}")).unwrap();
        (table, container)
    }

    fn change(table: &mut Containers, ts: i64, change: Change) -> Vec<Record> {
        let mut out = Vec::new();
        table.waiting.push_back((ts, ID.into(), change));
        table.change_until(ts, &mut out);
        out
    }

    fn now(table: &mut Containers) -> ContainerDetails {
        let container = table.of(&format!("/docker/{ID}")).unwrap();
        container.details().unwrap()
    }

    #[test]
    fn a_container_keeps_the_name_that_it_had_and_has_its_new_one_from_its_time_on() {
        let (mut table, first) = table();
        table.answered(ID, Details::Known(details("web", None)), &mut Vec::new());
        let rename = Change::Renamed("old".into());
        table.waiting.push_back((50, ID.into(), rename));
        table.change_until(49, &mut Vec::new());
        assert_eq!(now(&mut table).name.as_deref(), Some("web"));
        table.change_until(50, &mut Vec::new());
        assert_eq!(now(&mut table).name.as_deref(), Some("old"));
        assert_eq!(first.details().unwrap().name.as_deref(), Some("web"));
        let second = table.of(&format!("/docker/{ID}")).unwrap();
        assert!(second.serial != first.serial && second.id == first.id);
    }

    #[test]
    fn an_address_fills_what_was_not_known_and_a_restart_changes_it() {
        let (mut table, first) = table();
        table.answered(ID, Details::Known(details("web", None)), &mut Vec::new());
        assert_eq!(
            change(&mut table, 1, Change::Address("10.0.0.2".into())).len(),
            1
        );
        change(&mut table, 2, Change::Address("10.9.0.2".into())); // a second network
        assert_eq!(first.details().unwrap().ip.as_deref(), Some("10.0.0.2"));
        change(&mut table, 3, Change::Stopped);
        assert_eq!(now(&mut table).ip.as_deref(), Some("10.0.0.2"));
        change(&mut table, 4, Change::Address("10.0.0.3".into()));
        assert_eq!(now(&mut table).ip.as_deref(), Some("10.0.0.3"));
        assert_eq!(first.details().unwrap().ip.as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn what_events_told_counts_where_the_container_is_gone_before_the_answer() {
        let mut table = Containers::start();
        let named = Change::Named {
            name: Some("web".into()),
            image: Some("img:1".into()),
        };
        change(&mut table, 1, named);
        change(&mut table, 2, Change::Address("10.0.0.2".into()));
        let container = table.of(&format!("/docker/{ID}")).unwrap();
        assert!(container.is_pending(), "its host name may come yet");
        table.answered(ID, Details::Unknown, &mut Vec::new());
        let details = now(&mut table);
        assert_eq!(
            (
                details.name.as_deref(),
                details.image.as_deref(),
                details.ip.as_deref()
            ),
            (Some("web"), Some("img:1"), Some("10.0.0.2"))
        );
        // and an answer that comes to nothing later takes nothing away
        table.answered(ID, Details::Unknown, &mut Vec::new());
        assert_eq!(now(&mut table), details);
    }

    #[test]
    fn a_text_without_end_is_cut_between_two_characters() {
        let (mut table, _) = table();
        let long = format!("x{}", "é".repeat(1 << 20));
        table.answered(ID, Details::Known(details(&long, None)), &mut Vec::new());
        let name = now(&mut table).name.unwrap();
        assert!(name.len() == 1023 && long.starts_with(&name));
        change(&mut table, 1, Change::Renamed(format!("y{long}")));
        assert_eq!(now(&mut table).name.unwrap().len(), 1024);
    }

    #[test]
    fn nothing_said_is_not_known() {
        let (mut table, container) = table();
        table.answered(ID, Details::Unknown, &mut Vec::new());
        assert_eq!(*container.details.borrow(), Details::Unknown);
    }
}
