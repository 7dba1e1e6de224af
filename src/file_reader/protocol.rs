//! What the recorder and the helper say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whose rights a worker has, and where it looks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Who {
    /// The helper's own user, in its own mount namespace, which no other user can change. Such
    /// a worker stays.
    Own,
    /// The first of these processes that is still one of this user in the mount namespace with
    /// this inode number; paths are below its root directory.
    Process {
        pids: Vec<u32>,
        uid: u32,
        mntns: u32,
    },
    /// A user; paths are below a directory that the request names.
    User { uid: u32 },
}

impl Who {
    /// The user who is accountable for what the worker costs.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Who::Own => None,
            Who::Process { uid, .. } | Who::User { uid } => Some(*uid),
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
}

#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Content(FileStamp, Vec<u8>),
    Unchanged,
    Refused(String),
}

/// Most bytes of any file. What asks for more gets nothing.
pub const MAX_CONTENT: u64 = 32 << 20;
