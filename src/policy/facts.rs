//! What a decision is made from: the process that connects, and the destination.

use std::net::IpAddr;

use crate::model::Protocol;

use super::pattern::Glob;

/// The process that connects. What is not known is None, and no positive condition on it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub exe: Option<String>,
    /// Whether `exe` says which program it is: the path holds in a mount namespace of the
    /// initial user namespace, and only root can change the file.
    pub exe_is_trusted: bool,
    pub uid: Option<u32>,
    pub user: Option<String>,
    pub container: Container,
    pub unit: Option<String>,
    pub cgroup: Option<String>,
    /// In the host's own namespaces and in no container.
    pub host: bool,
    /// A socket of the kernel's, without a process.
    pub kernel: bool,
    /// Below the command that is recorded.
    pub tree: bool,
    /// Executables of the programs that started it, where the paths say which ones.
    pub ancestors: Vec<String>,
    pub comm: Option<String>,
}

/// The container that a process is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Container {
    #[default]
    None,
    /// Its runtime has not described it yet, or does not know it.
    Unknown,
    Known(Details),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub name: Option<String>,
    pub id: Option<String>,
    pub image: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
}

impl Container {
    pub fn details(&self) -> Option<&Details> {
        match self {
            Container::Known(details) => Some(details),
            Container::None | Container::Unknown => None,
        }
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self, Container::Unknown)
    }

    /// By its name, or its id in full or in Docker's short form.
    pub fn has_name(&self, glob: &Glob) -> bool {
        let Some(details) = self.details() else {
            return false;
        };
        let short = |id: &str| id.get(..12).is_some_and(|short| glob.matches(short));
        details
            .name
            .as_deref()
            .is_some_and(|name| glob.matches(name))
            || details
                .id
                .as_deref()
                .is_some_and(|id| glob.matches(id) || short(id))
    }
}

/// The slice of the system's services.
const SYSTEM_SLICE: &str = "/system.slice/";

impl Subject {
    pub fn in_container(&self) -> bool {
        self.container != Container::None
    }

    /// The executable's path, where it says which program that is. In a container that the
    /// rule names, it is the container's path.
    pub fn exe_for(&self, rule_names_container: bool) -> Option<&str> {
        let holds = match rule_names_container {
            true => self.in_container(),
            false => self.exe_is_trusted && !self.in_container(),
        };
        self.exe.as_deref().filter(|_| holds)
    }

    /// Whether what is known of a process is that of the kernel's threads that connect and send
    /// for it (workqueues).
    pub fn is_kernels(exe: Option<&str>, uid: Option<u32>, comm: Option<&str>) -> bool {
        exe.is_none() && uid == Some(0) && comm.is_some_and(|comm| comm.starts_with("kworker/"))
    }

    /// What started it, as [`Subject::exe_for`].
    pub fn ancestors_for(&self, rule_names_container: bool) -> &[String] {
        match rule_names_container == self.in_container() {
            true => &self.ancestors,
            false => &[],
        }
    }

    /// Its unit, if the system manager started it.
    pub fn system_unit(&self) -> Option<&str> {
        let cgroup = self.cgroup.as_deref()?;
        self.unit
            .as_deref()
            .filter(|_| cgroup.starts_with(SYSTEM_SLICE))
    }
}

/// Whose lookup gave an address its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The connecting process'.
    Own,
    /// An ancestor's, or that of another process in its container or cgroup.
    Related,
    /// That of another process in its network namespace, or on the host, or /etc/hosts.
    Shared,
}

/// A name that the destination's address has for the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// Lower case, without the trailing dot.
    pub name: String,
    pub evidence: Evidence,
}

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// None: a frame without an IP packet.
    pub ip: Option<IpAddr>,
    /// None: the protocol has none.
    pub port: Option<u16>,
    pub protocol: Protocol,
    /// Alternatives: one that matches is enough.
    pub names: Vec<HostName>,
    pub said: Said,
}

/// The name that a connection itself says: the server name of TLS, the host of HTTP. It counts under
/// the setting `sni`, instead of those that the address was looked up by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Said {
    /// Nothing was sent yet, or that is not known.
    #[default]
    NotYet,
    /// What was sent says no name.
    Nothing,
    /// As [`HostName::name`].
    Name(String),
}
