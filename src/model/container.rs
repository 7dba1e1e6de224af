//! Containers and what their runtimes say of them.

use std::cell::RefCell;
use std::rc::Rc;

/// A container between two changes of what its runtime says of it.
#[derive(Debug)]
pub struct Container {
    /// Tells it from every other one of the run.
    pub serial: u64,
    pub id: String,
    pub runtime: Option<&'static str>,
    /// The container that it runs in.
    pub outer: Option<Rc<Container>>,
    /// What its runtime says of it; comes later than its first event may.
    pub details: RefCell<Details>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// Asked for, no answer yet.
    Pending,
    /// The runtime did not answer, or does not know it.
    Unknown,
    Known(ContainerDetails),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerDetails {
    pub name: Option<String>,
    pub image: Option<String>,
    pub hostname: Option<String>,
    pub ip: Option<String>,
    /// Of Kubernetes.
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    /// Whose files these details are from, where the cgroup's path did not tell.
    pub runtime: Option<&'static str>,
}

/// Bytes that are kept of each text of a container's: names are 253 at most, images'
/// with a digest some 400.
const MAX_DETAIL: usize = 1024;

impl ContainerDetails {
    /// These, each text cut to a length that an honest one does not reach: they come from
    /// files that may be a user's own, and are in each row and line of the container.
    pub fn bounded(mut self) -> ContainerDetails {
        let texts = [
            &mut self.name,
            &mut self.image,
            &mut self.hostname,
            &mut self.ip,
            &mut self.pod,
            &mut self.pod_namespace,
        ];
        for text in texts.into_iter().flatten().filter(|t| t.len() > MAX_DETAIL) {
            let ends = (0..=MAX_DETAIL).rev().find(|&n| text.is_char_boundary(n));
            text.truncate(ends.unwrap_or_default());
            text.shrink_to_fit();
        }
        self
    }

    /// These, and what only the older ones have.
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

    /// Whether both can't be true of one container at one time.
    pub fn contradicts(&self, older: &ContainerDetails) -> bool {
        let differ = |new: &Option<String>, old: &Option<String>| matches!((new, old), (Some(new), Some(old)) if new != old);
        differ(&self.name, &older.name)
            || differ(&self.image, &older.image)
            || differ(&self.hostname, &older.hostname)
            || differ(&self.ip, &older.ip)
    }
}

impl Container {
    /// As its cgroup's path tells, or else its files.
    pub fn runtime(&self) -> Option<&'static str> {
        self.runtime.or_else(|| match &*self.details.borrow() {
            Details::Known(details) => details.runtime,
            _ => None,
        })
    }

    /// Its name, or its id where it has none.
    pub fn called(&self) -> String {
        let name = self.details().and_then(|d| d.name);
        name.unwrap_or_else(|| self.id.clone())
    }

    pub fn is_pending(&self) -> bool {
        *self.details.borrow() == Details::Pending
    }

    pub fn details(&self) -> Option<ContainerDetails> {
        match &*self.details.borrow() {
            Details::Known(details) => Some(details.clone()),
            _ => None,
        }
    }
}
