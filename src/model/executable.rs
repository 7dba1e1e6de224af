//! Executables and what identifies them beside their path.

use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// An executable as a process began to run it. What its file has is found out later, by another
/// process.
#[derive(Debug, PartialEq, Eq)]
pub struct Executable {
    /// Unique within the run.
    pub serial: u64,
}

/// What was found out about an executable: once, and for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutableUpdate {
    pub executable: Rc<Executable>,
    pub identity: Rc<ExecutableIdentity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutableIdentity {
    pub status: HashStatus,
    /// Lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Set-user-ID.
    pub setuid: Option<bool>,
    /// Any user can write to a directory that its path leads through.
    pub world_writable_dir: Option<bool>,
    /// Whether a package owns the file at its path.
    pub packaged: Option<bool>,
    pub package: Option<String>,
    pub package_version: Option<String>,
    /// Whether its content differs from the checksum of its package.
    pub modified: Option<bool>,
}

impl ExecutableIdentity {
    /// Nothing but why.
    pub fn unknown(status: HashStatus) -> ExecutableIdentity {
        ExecutableIdentity {
            status,
            sha256: None,
            setuid: None,
            world_writable_dir: None,
            packaged: None,
            package: None,
            package_version: None,
            modified: None,
        }
    }
}

/// Whether an executable was hashed, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashStatus {
    Hashed,
    TooLarge,
    /// Its user may run it, but not read it.
    Unreadable,
    /// The process had ended, and its path no longer leads to what it ran for certain.
    Gone,
    /// Its file system may be another process' or another host's.
    FileSystem,
    /// Its user has had too much hashed.
    RateLimit,
    /// Reading took too long.
    Timeout,
}

impl HashStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            HashStatus::Hashed => "hashed",
            HashStatus::TooLarge => "too_large",
            HashStatus::Unreadable => "unreadable",
            HashStatus::Gone => "gone",
            HashStatus::FileSystem => "file_system",
            HashStatus::RateLimit => "rate_limit",
            HashStatus::Timeout => "timeout",
        }
    }
}

/// The identity of each executable, as a sink keeps them from the updates. An entry lives as long
/// as something refers to its executable.
#[derive(Default)]
pub struct ExecutableTable {
    by_serial: HashMap<u64, (Weak<Executable>, Rc<ExecutableIdentity>)>,
    /// Number of entries at which unreferenced ones are removed.
    purge_at: usize,
}

/// Smallest [`ExecutableTable::purge_at`].
const MIN_PURGE: usize = 1024;

impl ExecutableTable {
    pub fn update(&mut self, update: &ExecutableUpdate) {
        let entry = (
            Rc::downgrade(&update.executable),
            Rc::clone(&update.identity),
        );
        self.by_serial.insert(update.executable.serial, entry);
        if self.by_serial.len() > self.purge_at {
            self.by_serial
                .retain(|_, (executable, _)| executable.strong_count() > 0);
            self.purge_at = MIN_PURGE.max(2 * self.by_serial.len());
        }
    }

    /// Where it is known.
    pub fn identity(&self, executable: &Executable) -> Option<&ExecutableIdentity> {
        Some(&self.by_serial.get(&executable.serial)?.1)
    }
}
