//! Cgroups and their classes: what the rules can tell apart of containers, units and paths.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use super::types::{policy_cgroup, policy_cgroup_flag as flag};
use crate::model::{CgroupUpdate, ContainerUpdate, Details};
use crate::policy::{self, Subject};

/// Smallest [`Classes::prune_at`].
const MIN_PRUNE: usize = 16_384;

/// Directories of containers, and of cgroups of each, that are looked at: any user can make some.
const MAX_LOOKS: usize = 64;

/// Id of the hierarchy's root.
const ROOT: u64 = 1;

/// What of a cgroup rules may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Facts {
    container: Option<Rc<str>>,
    unit: Option<Rc<str>>,
    path: Rc<str>,
}

struct Class {
    facts: Facts,
    /// In the kernel's table of the generation of now.
    written: bool,
}

/// Class 0 is of cgroups that are not classified yet.
pub struct Classes {
    /// By number, from 1; None is free.
    classes: Vec<Option<Class>>,
    free: Vec<u32>,
    /// Number of cgroups at which those that no longer exist are removed.
    prune_at: usize,
    numbers: HashMap<Facts, u32>,
    details: HashMap<Rc<str>, (String, Details)>,
    by_container: HashMap<Rc<str>, Vec<u64>>,
    cgroups: HashMap<u64, u32>,
    /// Cgroups whose entries the kernel does not have yet.
    changed: HashSet<u64>,
}

impl Classes {
    pub fn new() -> Classes {
        let mut classes = Classes {
            classes: Vec::new(),
            free: Vec::new(),
            prune_at: MIN_PRUNE,
            numbers: HashMap::new(),
            details: HashMap::new(),
            by_container: HashMap::new(),
            cgroups: HashMap::new(),
            changed: HashSet::new(),
        };
        classes.add(&CgroupUpdate {
            id: ROOT,
            path: "/".into(),
            unit: None,
            container: None,
        });
        classes
    }

    pub fn add(&mut self, cgroup: &CgroupUpdate) {
        let container = cgroup.container.as_ref().map(|container| {
            let key = container.key();
            self.details
                .entry(Rc::clone(&key))
                .or_insert_with(|| (container.id.clone(), Details::Pending));
            let its = self.by_container.entry(Rc::clone(&key)).or_default();
            its.push(cgroup.id);
            key
        });
        let facts = Facts {
            container,
            unit: cgroup.unit.clone(),
            path: Rc::clone(&cgroup.path),
        };
        let class = match self.numbers.get(&facts) {
            Some(class) => *class,
            None => self.new_class(facts),
        };
        self.cgroups.insert(cgroup.id, class);
        self.changed.insert(cgroup.id);
    }

    fn new_class(&mut self, facts: Facts) -> u32 {
        let class = self.free.pop().unwrap_or_else(|| {
            self.classes.push(None);
            self.classes.len() as u32
        });
        self.numbers.insert(facts.clone(), class);
        if let Some(place) = self.classes.get_mut(class as usize - 1) {
            *place = Some(Class {
                facts,
                written: false,
            });
        }
        class
    }

    /// Removes the cgroups that no longer exist below the hierarchy's root, once there are many.
    /// The kernel's entries of those that are returned have no use.
    pub fn prune(&mut self, root: &Path) -> Vec<u64> {
        if self.cgroups.len() < self.prune_at {
            return Vec::new();
        }
        let (classes, mut gone) = (&self.classes, Vec::new());
        self.cgroups.retain(|id, class| {
            let class = classes.get(*class as usize - 1).and_then(Option::as_ref);
            let path = class.map(|class| root.join(class.facts.path.trim_start_matches('/')));
            let exists = path
                .is_some_and(|path| std::fs::metadata(path).is_ok_and(|found| found.ino() == *id));
            if !exists {
                gone.push(*id);
            }
            exists
        });
        let used: HashSet<u32> = self.cgroups.values().copied().collect();
        for (class, place) in (1..).zip(&mut self.classes) {
            if !used.contains(&class)
                && let Some(freed) = place.take()
            {
                self.numbers.remove(&freed.facts);
                self.free.push(class);
            }
        }
        let cgroups = &self.cgroups;
        self.by_container.retain(|_, ids| {
            ids.retain(|id| cgroups.contains_key(id));
            !ids.is_empty()
        });
        let by_container = &self.by_container;
        self.details.retain(|key, _| by_container.contains_key(key));
        self.prune_at = MIN_PRUNE.max(2 * self.cgroups.len());
        gone
    }

    pub fn describe(&mut self, update: &ContainerUpdate) {
        let key = update.container.key();
        let its = (update.container.id.clone(), update.details.clone());
        self.details.insert(Rc::clone(&key), its);
        for class in self.classes.iter_mut().flatten() {
            if class.facts.container.as_ref() == Some(&key) {
                class.written = false;
            }
        }
        let cgroups = self.by_container.get(&key);
        self.changed.extend(cgroups.into_iter().flatten());
    }

    /// Whether no runtime's answer is awaited.
    pub fn all_described(&self) -> bool {
        let mut details = self.details.values();
        !details.any(|(_, details)| matches!(details, Details::Pending))
    }

    /// Containers that exist below the hierarchy's root and that no runtime has described.
    pub fn undescribed(&self, root: &Path) -> u32 {
        let is_there = |key: &Rc<str>| {
            let cgroups = self.by_container.get(key).into_iter().flatten();
            cgroups.take(MAX_LOOKS).any(|id| {
                let path = self.path_of(*id).map(|path| root.join(path));
                path.is_some_and(|path| path.exists())
            })
        };
        let undescribed = self
            .details
            .iter()
            .filter(|(_, (_, details))| matches!(details, Details::Pending | Details::Unknown));
        let found = undescribed.take(MAX_LOOKS).filter(|(key, _)| is_there(key));
        found.count() as u32
    }

    fn path_of(&self, cgroup: u64) -> Option<&str> {
        let class = *self.cgroups.get(&cgroup)?;
        let class = self.classes.get(class as usize - 1)?.as_ref()?;
        Some(class.facts.path.trim_start_matches('/'))
    }

    /// The next generation has none of the classes.
    pub fn forget_written(&mut self) {
        for class in self.classes.iter_mut().flatten() {
            class.written = false;
        }
    }

    /// Classes that the kernel does not have in this generation, each as a process in it.
    pub fn take_unwritten(&mut self) -> Vec<(u32, Subject)> {
        let all = (1..).zip(&self.classes);
        let unwritten = all.filter_map(|(number, class)| {
            let class = class.as_ref().filter(|class| !class.written)?;
            Some((number, self.subject(&class.facts)))
        });
        let unwritten = unwritten.collect();
        for class in self.classes.iter_mut().flatten() {
            class.written = true;
        }
        unwritten
    }

    /// Entries of cgroups that have changed. Their classes have to be written before.
    pub fn take_changed(&mut self) -> Vec<(u64, policy_cgroup)> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |id: u64| {
            let class = *self.cgroups.get(&id)?;
            let facts = &self.classes.get(class as usize - 1)?.as_ref()?.facts;
            let known = self.container(facts);
            let flags = match known {
                policy::Container::None => flag::POLICY_OUTSIDE.0,
                policy::Container::Unknown => flag::POLICY_INHERITED.0 | flag::POLICY_UNKNOWN.0,
                policy::Container::Known(_) => flag::POLICY_INHERITED.0,
            };
            Some((id, policy_cgroup { class, flags }))
        };
        changed.into_iter().filter_map(entry).collect()
    }

    fn container(&self, facts: &Facts) -> policy::Container {
        match &facts.container {
            Some(key) => self.described(key),
            None => policy::Container::None,
        }
    }

    /// A container by its [key](crate::model::Container::key).
    pub fn described(&self, key: &Rc<str>) -> policy::Container {
        match self.details.get(key) {
            Some((id, Details::Known(details))) => policy::Container::Known(policy::Details {
                name: details.name.clone(),
                id: Some(id.clone()),
                image: details.image.clone(),
                pod: details.pod.clone(),
                namespace: details.pod_namespace.clone(),
            }),
            _ => policy::Container::Unknown,
        }
    }

    fn subject(&self, facts: &Facts) -> Subject {
        Subject {
            container: self.container(facts),
            unit: facts.unit.as_deref().map(str::to_owned),
            cgroup: Some(facts.path.to_string()),
            ..Subject::default()
        }
    }
}
