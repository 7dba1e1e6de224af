//! Names from /etc/hosts as each process sees it: resolving them sends nothing that could be
//! captured. In come a process and an address; out goes the name that the file has in the
//! process' mount namespace.
//!
//! The process may choose that file. So it is read on a thread of its own, with a time limit,
//! within the process' root, and up to a maximum size. A process that no longer exists has the
//! file that its user, or else root, had in its mount namespace.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hashlink::LruCache;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::time::{ClockId, clock_gettime};

use super::hosts_file::{HostsTable, parse};
use crate::attribute::regular_file;
use crate::capture::event::{MountNamespace, Owner};
use crate::model::{MAX_RIVALS, Name, Rival, Source};

/// How long events wait for a file. One on a dead network file system costs names, and this
/// wait once.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Bytes read of a file.
const MAX_BYTES: u64 = 1 << 20;
/// Files kept: those used last.
const MAX_FILES: usize = 256;

const ROOT: u32 = 0;

/// Differs when the file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Mount namespace and user. In a user namespace, any user may change the root of a process and
/// thus its file: that must not name other users' connections.
type HostsKey = (MountNamespace, u32);

struct ReadRequest {
    pid: u32,
    key: HostsKey,
    /// Of the file as it was read last.
    stamp: Option<FileStamp>,
}

/// A file's content; None where it has not changed.
type FileContent = Option<(FileStamp, HostsTable)>;

struct ReadReply {
    key: HostsKey,
    content: Result<FileContent>,
}

#[derive(Default)]
struct CachedFile {
    stamp: Option<FileStamp>,
    table: HostsTable,
    /// When it was last checked, nanoseconds since boot.
    checked_ns: u64,
}

pub struct HostsFiles {
    requests: SyncSender<ReadRequest>,
    replies: Receiver<ReadReply>,
    /// Whether a request timed out whose reply is still to come.
    waiting: bool,
    files: LruCache<HostsKey, CachedFile>,
}

impl HostsFiles {
    pub fn start() -> HostsFiles {
        let (requests, received) = sync_channel::<ReadRequest>(1);
        let (reply, replies) = sync_channel(1);
        thread::spawn(move || {
            for request in received {
                let content = read(&request);
                let key = request.key;
                if reply.send(ReadReply { key, content }).is_err() {
                    return;
                }
            }
        });
        HostsFiles {
            requests,
            replies,
            waiting: false,
            files: LruCache::new(MAX_FILES),
        }
    }

    /// A program was started: reads the file of a new mount namespace while the process lives.
    pub fn on_exec(&mut self, owner: &Owner) {
        let key = (owner.mntns, owner.uid);
        if owner.mntns.id != 0 && !self.files.contains_key(&key) {
            self.check(owner.pid, key);
        }
    }

    /// The name that the file of a process has for an address that it connects to at `ns`,
    /// nanoseconds since boot.
    pub fn name(&mut self, owner: &Owner, ip: IpAddr, ns: u64) -> Option<Name> {
        if owner.mntns.id == 0 || ip.is_unspecified() {
            return None;
        }
        let key = (owner.mntns, owner.uid);
        // A file that was checked after the connection began is what the process saw.
        if self.files.get(&key).is_none_or(|f| f.checked_ns < ns) {
            self.check(owner.pid, key);
        }
        let key = match self.files.contains_key(&key) {
            true => key,
            false => (owner.mntns, ROOT),
        };
        let names = self.files.get(&key)?.table.get(&ip)?;
        let (first, others) = names.split_first()?;
        let rival = |host: &String| Rival {
            host: Rc::from(host.as_str()),
            lookup: None,
        };
        Some(Name {
            host: Rc::from(first.as_str()),
            source: Source::Hosts,
            age_ms: None,
            lookup: None,
            rivals: others.len(),
            rival_names: others.iter().take(MAX_RIVALS).map(rival).collect(),
        })
    }

    fn check(&mut self, pid: u32, key: HostsKey) {
        if self.waiting {
            match self.replies.try_recv() {
                Ok(late) => self.receive(late),
                Err(_) => return,
            }
        }
        let stamp = self.files.get(&key).and_then(|file| file.stamp);
        let request = ReadRequest { pid, key, stamp };
        if self.requests.try_send(request).is_err() {
            return;
        }
        self.waiting = true;
        if let Ok(reply) = self.replies.recv_timeout(TIMEOUT) {
            self.receive(reply);
        }
    }

    fn receive(&mut self, reply: ReadReply) {
        self.waiting = false;
        let now = clock_gettime(ClockId::Boottime);
        let checked_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        match reply.content {
            Ok(Some((stamp, table))) => {
                let file = CachedFile {
                    stamp: Some(stamp),
                    table,
                    checked_ns,
                };
                self.files.insert(reply.key, file);
            }
            Ok(None) => {
                if let Some(file) = self.files.get_mut(&reply.key) {
                    file.checked_ns = checked_ns;
                }
            }
            // The process has ended, or has no such file: the cached one stays.
            Err(e) => log::debug!("/etc/hosts of mount namespace {}: {e:#}", reply.key.0.inode),
        }
    }
}

fn read(request: &ReadRequest) -> Result<FileContent> {
    let root = root_of(request)?;
    // Symbolic links resolve as they do for the process.
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = File::from(openat2(&root, "etc/hosts", flags, Mode::empty(), inside)?);
    // It may be a device: root in a container can create one, which its own processes can't
    // open.
    let (file, meta) = regular_file::open(&found)?;
    let stamp = FileStamp {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    };
    if request.stamp == Some(stamp) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some((stamp, parse(&String::from_utf8_lossy(&bytes)))))
}

/// The root directory of a process of the mount namespace.
fn root_of(request: &ReadRequest) -> Result<rustix::fd::OwnedFd> {
    let is_there = |pid: &str| {
        let path = format!("/proc/{pid}/ns/mnt");
        std::fs::metadata(path).is_ok_and(|m| m.ino() == u64::from(request.key.0.inode))
    };
    let pid = request.pid.to_string();
    // egrets itself, if it is in that namespace, outlives the process.
    let pid = ["self", &pid].into_iter().find(|pid| is_there(pid));
    let path = format!("/proc/{}/root", pid.context("the process has ended")?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_file_names_nothing_for_other_users() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut hosts = HostsFiles::start();
        let owner = |uid| Owner {
            pid: u32::MAX, // has ended
            tid: 1,
            uid,
            login_uid: None,
            start_ns: 1,
            exec_id: 1,
            cgroup_id: 1,
            netns: 1,
            netns_cookie: 1,
            mntns: MountNamespace { id: 9, inode: 1 },
            comm: "x".into(),
        };
        let seen = |hosts: &mut HostsFiles, uid, line: &str| {
            let file = CachedFile {
                table: parse(line),
                ..CachedFile::default()
            };
            hosts.files.insert((owner(uid).mntns, uid), file);
        };
        let host = |hosts: &mut HostsFiles, uid| Some(hosts.name(&owner(uid), ip, 1)?.host);
        seen(&mut hosts, 1000, "192.0.2.1 lie");
        assert_eq!(host(&mut hosts, 1001), None);
        assert_eq!(host(&mut hosts, ROOT), None);
        seen(&mut hosts, ROOT, "192.0.2.1 true");
        assert_eq!(host(&mut hosts, 1001).as_deref(), Some("true"));
        assert_eq!(host(&mut hosts, 1000).as_deref(), Some("lie"));
    }

    #[test]
    fn ended_process_or_one_of_another_namespace_has_no_file() {
        let own = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino() as u32;
        let read = |pid, inode| {
            read(&ReadRequest {
                pid,
                key: (MountNamespace { id: 9, inode }, ROOT),
                stamp: None,
            })
        };
        assert!(read(u32::MAX, own).is_ok(), "egrets' own namespace");
        assert!(read(1, 1).is_err());
        assert!(read(u32::MAX, 1).is_err());
    }
}
