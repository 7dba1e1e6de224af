//! What the recorder and the helper say to each other.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whose rights a worker has, and where it looks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Who {
    /// The helper's own user, in its own mount namespace, which no other user can change. Such
    /// a worker stays.
    Own,
    /// The same in the mount namespace of the host's first process.
    Host,
    /// The first of these processes that is still one of this user in the mount namespace with
    /// this inode number; paths are below its root directory.
    Process {
        pids: Vec<u32>,
        uid: u32,
        mntns: u32,
    },
    /// A user; paths are below a directory that the request names.
    User { uid: u32 },
    /// For [`FileRequest::Executable`]. The first process is the one that ran it; the others may
    /// lend their root directory, as in [`Who::Process`], when it has ended.
    Executable {
        pids: Vec<u32>,
        uid: u32,
        mntns: u32,
        /// Its path holds in the host's mount namespace.
        on_host: bool,
    },
}

impl Who {
    /// The user who is accountable for what the worker costs.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Who::Own | Who::Host => None,
            Who::Process { uid, .. } | Who::User { uid } | Who::Executable { uid, .. } => {
                Some(*uid)
            }
        }
    }
}

/// Differs when the file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub changed: (i64, i64),
}

/// The kernel's file times may lag by a tick of its slowest clock (CONFIG_HZ=100).
const TICK_NS: i64 = 10_000_000;

impl FileStamp {
    /// Whether the file may have changed since it was run. Only while it runs is it safe from that
    /// (`ETXTBSY`).
    pub fn changed_since(&self, run_ts: Option<i64>) -> bool {
        let (seconds, ns) = self.changed;
        let changed_ts = seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        run_ts.is_none_or(|run_ts| changed_ts.saturating_add(TICK_NS) > run_ts)
    }

    pub fn of(meta: &Metadata) -> FileStamp {
        FileStamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum FileRequest {
    /// What counts of /etc/hosts, unless it is as it was at this stamp.
    Hosts { stamp: Option<FileStamp> },
    /// A file below a directory, whole, if it has no more bytes than this.
    File {
        below: PathBuf,
        path: PathBuf,
        max: u64,
    },
    /// What an executable is.
    Executable(ExecutableRequest),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecutableRequest {
    /// From the root of its mount namespace.
    pub path: Option<String>,
    /// As the kernel side reported them: of the file system (major, minor), and of the file.
    pub device: (u32, u32),
    pub inode: u64,
    /// When the process began to run it, nanoseconds since 1970. Where the process has ended, the
    /// file must not have changed since.
    pub run_ts: Option<i64>,
    /// Whether package databases are looked at.
    pub packages: bool,
    /// It is read only where it differs from this.
    pub known: Option<ExecutableStamp>,
}

/// Differs when the file or what packages say of it may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutableStamp {
    pub file: FileStamp,
    pub mtime: (i64, i64),
    /// Change time and inode of each package database.
    pub databases: Vec<(i64, i64, u64)>,
}

/// Whether the file was read, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadStatus {
    Read,
    TooLarge,
    Unreadable,
    Gone,
    FileSystem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutableReport {
    pub status: ReadStatus,
    /// None where it could not even be found.
    pub stamp: Option<ExecutableStamp>,
    pub sha256: Option<String>,
    pub setuid: Option<bool>,
    pub world_writable_dir: Option<bool>,
    pub packaged: Option<bool>,
    pub package: Option<String>,
    pub package_version: Option<String>,
    pub modified: Option<bool>,
    /// Processor time that it took.
    pub cpu_us: u64,
}

impl ExecutableReport {
    pub fn without(status: ReadStatus) -> ExecutableReport {
        ExecutableReport {
            status,
            stamp: None,
            sha256: None,
            setuid: None,
            world_writable_dir: None,
            packaged: None,
            package: None,
            package_version: None,
            modified: None,
            cpu_us: 0,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Content(FileStamp, Vec<u8>),
    Unchanged,
    /// The file may not be read, or is none.
    Refused(String),
    /// None of the processes that have the file is there any more.
    Gone,
    Executable(Box<ExecutableReport>),
}

/// Most bytes of any file. What asks for more gets nothing.
pub const MAX_CONTENT: u64 = 32 << 20;
