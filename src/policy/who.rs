//! `who`: the process that connects. All conditions must hold.

use super::facts::Subject;
use super::pattern::{Glob, ImagePattern, PathPattern, UserPattern};

/// At least one positive pattern, if there are any, and no negative one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition<T> {
    pub any: Vec<T>,
    pub none: Vec<T>,
}

impl<T> Default for Condition<T> {
    fn default() -> Condition<T> {
        Condition {
            any: Vec::new(),
            none: Vec::new(),
        }
    }
}

impl<T> Condition<T> {
    /// Nothing is required.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// `matches` is false for a pattern on a fact that is not known.
    pub fn holds(&self, matches: impl Fn(&T) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(&matches)) && !self.none.iter().any(&matches)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    pub exe: Condition<PathPattern>,
    pub user: Condition<UserPattern>,
    pub container: Condition<Glob>,
    pub image: Condition<ImagePattern>,
    pub pod: Condition<Glob>,
    /// Of the pod.
    pub namespace: Condition<Glob>,
    /// Below system.slice only: users name their own units as they like.
    pub unit: Condition<Glob>,
    pub cgroup: Condition<PathPattern>,
    /// In the host's own namespaces and in no container.
    pub host: Option<bool>,
    /// The kernel's own sockets.
    pub kernel: Option<bool>,
    /// Below the command of `record -- CMD`.
    pub tree: Option<bool>,
    /// A program that started it, directly or through others: as `exe`.
    pub via: Condition<PathPattern>,
    /// Its name (comm), which it chooses itself: with `alert` only.
    pub process: Condition<Glob>,
}

/// The conditions of [`Who`], by their keys in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoKey {
    Exe,
    User,
    Container,
    Image,
    Pod,
    Namespace,
    Unit,
    Cgroup,
    Host,
    Kernel,
    Tree,
    Via,
    Process,
}

impl WhoKey {
    pub fn as_str(self) -> &'static str {
        match self {
            WhoKey::Exe => "exe",
            WhoKey::User => "user",
            WhoKey::Container => "container",
            WhoKey::Image => "image",
            WhoKey::Pod => "pod",
            WhoKey::Namespace => "namespace",
            WhoKey::Unit => "unit",
            WhoKey::Cgroup => "cgroup",
            WhoKey::Host => "host",
            WhoKey::Kernel => "kernel",
            WhoKey::Tree => "tree",
            WhoKey::Via => "via",
            WhoKey::Process => "process",
        }
    }
}

impl Who {
    /// Every process.
    pub fn is_empty(&self) -> bool {
        *self == Who::default()
    }

    /// It says which container, so that paths in it are what `exe` means.
    pub fn names_container(&self) -> bool {
        !(self.container.any.is_empty()
            && self.image.any.is_empty()
            && self.pod.any.is_empty()
            && self.namespace.any.is_empty())
    }

    /// It depends on what only the runtime knows of a container.
    pub fn needs_container_details(&self) -> bool {
        !(self.container.is_empty()
            && self.image.is_empty()
            && self.pod.is_empty()
            && self.namespace.is_empty())
    }

    /// The first condition that does not hold.
    pub fn mismatch(&self, of: &Subject) -> Option<WhoKey> {
        let flag = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        let exe = of.exe_for(self.names_container());
        let ancestors = of.ancestors_for(self.names_container());
        let details = of.container.details();
        let text = |condition: &Condition<Glob>, value: Option<&str>| {
            condition.holds(|glob| value.is_some_and(|value| glob.matches(value)))
        };
        let is_known = !(self.needs_container_details() && of.container.is_unknown());
        let checks = [
            (WhoKey::Kernel, flag(self.kernel, of.kernel)),
            (WhoKey::Host, flag(self.host, of.host)),
            (WhoKey::Tree, flag(self.tree, of.tree)),
            (
                WhoKey::Container,
                is_known && self.container.holds(|glob| of.container.has_name(glob)),
            ),
            (
                WhoKey::Image,
                self.image.holds(|image| {
                    let of = details.and_then(|details| details.image.as_deref());
                    of.is_some_and(|of| image.matches(of))
                }),
            ),
            (
                WhoKey::Pod,
                text(&self.pod, details.and_then(|d| d.pod.as_deref())),
            ),
            (
                WhoKey::Namespace,
                text(
                    &self.namespace,
                    details.and_then(|d| d.namespace.as_deref()),
                ),
            ),
            (WhoKey::Unit, text(&self.unit, of.system_unit())),
            (
                WhoKey::Cgroup,
                self.cgroup
                    .holds(|path| of.cgroup.as_deref().is_some_and(|of| path.matches(of))),
            ),
            (
                WhoKey::User,
                self.user
                    .holds(|user| user.matches(of.uid, of.user.as_deref())),
            ),
            (
                WhoKey::Exe,
                self.exe
                    .holds(|path| exe.is_some_and(|exe| path.matches(exe))),
            ),
            (
                WhoKey::Via,
                self.via
                    .holds(|path| ancestors.iter().any(|exe| path.matches(exe))),
            ),
            (WhoKey::Process, text(&self.process, of.comm.as_deref())),
        ];
        checks
            .into_iter()
            .find(|(_, holds)| !holds)
            .map(|(key, _)| key)
    }
}
