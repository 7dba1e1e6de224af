//! Containers and what their runtimes report about them.

use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// A container between two changes of its details that contradict each other: a rename, or
/// another address after a restart, makes another one with the same id.
#[derive(Debug, PartialEq, Eq)]
pub struct Container {
    /// Unique within the run.
    pub serial: u64,
    pub id: String,
    /// From its cgroup path. Some paths do not say; see [`ContainerDetails::runtime`].
    pub runtime: Option<&'static str>,
    /// The user who may create its cgroup: 0, or the one whom the cgroup around it is delegated to.
    /// The id alone proves nothing, as every process can read it.
    pub uid: u32,
    /// The container that it runs in.
    pub outer: Option<Rc<Container>>,
}

impl Container {
    /// A key that another user's container with the same id does not have.
    pub fn key(&self) -> Rc<str> {
        format!("{}/{}", self.uid, self.id).into()
    }
}

/// A cgroup of the cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupUpdate {
    pub id: u64,
    pub path: Rc<str>,
    pub unit: Option<Rc<str>>,
    pub container: Option<Rc<Container>>,
}

/// New details of a container. The first one precedes every record that refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUpdate {
    pub container: Rc<Container>,
    pub details: Details,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Details {
    /// Queried, no answer yet.
    Pending,
    /// The runtime did not answer, or does not know the container.
    #[default]
    Unknown,
    Known(Rc<ContainerDetails>),
}

impl Details {
    pub fn known(&self) -> Option<&ContainerDetails> {
        match self {
            Details::Known(details) => Some(details),
            Details::Pending | Details::Unknown => None,
        }
    }
}

impl From<ContainerDetails> for Details {
    fn from(details: ContainerDetails) -> Details {
        Details::Known(Rc::new(details))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerDetails {
    pub name: Option<String>,
    pub image: Option<String>,
    pub hostname: Option<String>,
    pub ip: Option<String>,
    /// Kubernetes only.
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    /// The runtime whose files these details come from.
    pub runtime: Option<&'static str>,
}

/// Bytes kept of each text. Names have at most 253; an image with its digest, about 400.
const MAX_TEXT: usize = 1024;

impl ContainerDetails {
    /// Truncates each text to [`MAX_TEXT`]: the files may be a user's, and every row and
    /// line of the container repeats them.
    pub fn bounded(mut self) -> ContainerDetails {
        let texts = [
            &mut self.name,
            &mut self.image,
            &mut self.hostname,
            &mut self.ip,
            &mut self.pod,
            &mut self.pod_namespace,
        ];
        for text in texts.into_iter().flatten().filter(|t| t.len() > MAX_TEXT) {
            let ends = (0..=MAX_TEXT).rev().find(|&n| text.is_char_boundary(n));
            text.truncate(ends.unwrap_or_default());
            text.shrink_to_fit();
        }
        self
    }

    /// These details, completed from `older`.
    pub fn or(self, older: &ContainerDetails) -> ContainerDetails {
        let or = |new: Option<String>, old: &Option<String>| new.or_else(|| old.clone());
        ContainerDetails {
            name: or(self.name, &older.name),
            image: or(self.image, &older.image),
            hostname: or(self.hostname, &older.hostname),
            ip: or(self.ip, &older.ip),
            pod: or(self.pod, &older.pod),
            pod_namespace: or(self.pod_namespace, &older.pod_namespace),
            runtime: self.runtime.or(older.runtime),
        }
    }

    /// Whether both can't be true of one container at the same time.
    pub fn contradicts(&self, older: &ContainerDetails) -> bool {
        let differ = |new: &Option<String>, old: &Option<String>| matches!((new, old), (Some(new), Some(old)) if new != old);
        differ(&self.name, &older.name)
            || differ(&self.image, &older.image)
            || differ(&self.hostname, &older.hostname)
            || differ(&self.ip, &older.ip)
    }
}

/// The newest details of each container, as a sink keeps them from the updates. An entry
/// lives as long as something refers to its container.
#[derive(Default)]
pub struct ContainerTable {
    by_serial: HashMap<u64, (Weak<Container>, Details)>,
    /// Number of entries at which unreferenced ones are removed.
    purge_at: usize,
}

/// Smallest [`ContainerTable::purge_at`].
const MIN_PURGE: usize = 1024;

impl ContainerTable {
    pub fn update(&mut self, update: &ContainerUpdate) {
        let entry = (Rc::downgrade(&update.container), update.details.clone());
        self.by_serial.insert(update.container.serial, entry);
        if self.by_serial.len() > self.purge_at {
            self.by_serial
                .retain(|_, (container, _)| container.strong_count() > 0);
            self.purge_at = MIN_PURGE.max(2 * self.by_serial.len());
        }
    }

    /// The container's details, where they are known.
    pub fn details(&self, container: &Container) -> Option<&ContainerDetails> {
        self.by_serial.get(&container.serial)?.1.known()
    }

    /// Whether the answer about the container is still to come.
    pub fn is_pending(&self, container: &Container) -> bool {
        matches!(
            self.by_serial.get(&container.serial),
            Some((_, Details::Pending))
        )
    }

    /// From its cgroup path, or else from its details.
    pub fn runtime(&self, container: &Container) -> Option<&'static str> {
        container
            .runtime
            .or_else(|| self.details(container)?.runtime)
    }

    /// Its name, or its id where it has none.
    pub fn label<'a>(&'a self, container: &'a Container) -> &'a str {
        let name = self.details(container).and_then(|d| d.name.as_deref());
        name.unwrap_or(&container.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(serial: u64, name: &str) -> ContainerUpdate {
        let container = Container {
            serial,
            id: "c1".into(),
            runtime: None,
            uid: 0,
            outer: None,
        };
        let details = ContainerDetails {
            name: Some(name.into()),
            ..ContainerDetails::default()
        };
        ContainerUpdate {
            container: Rc::new(container),
            details: details.into(),
        }
    }

    #[test]
    fn table_keeps_details_only_of_referenced_containers() {
        let mut table = ContainerTable::default();
        let kept = update(0, "kept");
        table.update(&kept);
        for serial in 1..10_000 {
            table.update(&update(serial, "gone"));
            assert!(table.by_serial.len() <= MIN_PURGE + 1);
        }
        assert_eq!(table.label(&kept.container), "kept");
    }
}
