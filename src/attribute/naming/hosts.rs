//! Names from /etc/hosts as each process sees it: resolving them sends nothing that could be
//! captured. In come a process and an address; out goes the name that the file has in the
//! process' mount namespace.
//!
//! The process may choose that file. So the [`FileReader`] reads it, with the process' rights;
//! events wait for it only within a budget, and how many files a user may have read, and
//! kept, is limited. A process that no longer exists has the file that its user, or else root,
//! had in its mount namespace.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::attribute::allowance::{Allowance, Limit, Limits};
use crate::attribute::shares::Shares;
use crate::capture::event::{MountNamespace, Owner};
use crate::file_reader::hosts::{HostsTable, parse};
use crate::file_reader::{FileReader, FileRequest, FileStamp, Reply, Session, Who};
use crate::model::{MAX_RIVALS, Name, Rival, Source};

/// How long events wait for a file at most. One that takes longer names what comes later.
const TIMEOUT: Duration = Duration::from_millis(50);
/// How long a reader may take.
const LIFETIME: Duration = Duration::from_secs(3);
/// Files kept: those used last.
const MAX_FILES: usize = 1024;
/// Files being read, of one user.
const MAX_PENDING: usize = 16;
/// Processes remembered of a mount namespace and user.
const MAX_STARTED: usize = 8;
/// How old a file in another mount namespace than egrets' may be. Each read takes a process.
const MAX_AGE_NS: u64 = 1_000_000_000;

/// Files read per second.
const READS: Limits = Limits {
    system: Limit {
        rate: 50.0,
        burst: 500.0,
    },
    user: Limit {
        rate: 4.0,
        burst: 32.0,
    },
    users: Limit {
        rate: 32.0,
        burst: 128.0,
    },
};
/// Kept for the files of namespaces that have not been read yet.
const RESERVED_READS: f64 = 8.0;

/// Milliseconds per second that events wait for files.
const WAITS: Limits = Limits {
    system: Limit {
        rate: 100.0,
        burst: 500.0,
    },
    user: Limit {
        rate: 20.0,
        burst: 200.0,
    },
    users: Limit {
        rate: 50.0,
        burst: 500.0,
    },
};

const ROOT: u32 = 0;
/// The time of a check that counts no more.
const OUTDATED: u64 = 0;

/// Mount namespace and user. In a user namespace, any user may change the root of a process and
/// thus its file: that must not name other users' connections.
type HostsKey = (MountNamespace, u32);

#[derive(Default)]
struct CachedFile {
    stamp: Option<FileStamp>,
    /// None where it can't be read.
    table: Option<HostsTable>,
    /// When it was last checked, nanoseconds since boot.
    checked_ns: u64,
}

/// A file that is being read.
struct Pending {
    session: Session,
    account: u32,
    begun: Instant,
    begun_ns: u64,
}

pub struct HostsFiles {
    reader: Option<FileReader>,
    own: Option<OwnNamespace>,
    cached: Shares<HostsKey, CachedFile>,
    pending: HashMap<HostsKey, Pending>,
    /// Processes that were started there, the last one first: some of them may still be there
    /// when the one that connected is not.
    started: Shares<HostsKey, Vec<u32>>,
    reads: Allowance,
    waits: Allowance,
}

/// The mount namespace that egrets is in, whose file one reader checks again and again.
struct OwnNamespace {
    inode: u32,
    session: Session,
    file: CachedFile,
    /// When the request was sent whose reply is still to come.
    waiting: Option<u64>,
}

impl HostsFiles {
    pub fn new(reader: Option<FileReader>) -> HostsFiles {
        let own = reader.as_ref().and_then(OwnNamespace::new);
        HostsFiles {
            reader,
            own,
            cached: Shares::new(MAX_FILES),
            pending: HashMap::new(),
            started: Shares::new(MAX_FILES),
            reads: Allowance::new(READS),
            waits: Allowance::new(WAITS),
        }
    }

    /// A program was started: has the file of a new mount namespace read while the process
    /// lives. That of a known one is read again at the next connection: what starts containers
    /// executes itself before the file is in place. `account` is the user who is accountable.
    pub fn on_exec(&mut self, owner: &Owner, account: u32) {
        let key = (owner.mntns, owner.uid);
        if owner.mntns.id == 0 || self.is_own(owner) {
            return;
        }
        self.remember(owner.pid, key, account);
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.begun_ns = OUTDATED;
        } else if let Some(file) = self.cached.get_mut(&key) {
            file.checked_ns = OUTDATED;
        } else {
            self.start(owner.pid, key, account);
        }
    }

    /// The name that the file of a process has for an address that it connects to at `ns`,
    /// nanoseconds since boot.
    pub fn name(&mut self, owner: &Owner, account: u32, ip: IpAddr, ns: u64) -> Option<Name> {
        if owner.mntns.id == 0 || ip.is_unspecified() {
            return None;
        }
        if self.is_own(owner) {
            return name_in(self.own.as_mut()?.table(ns)?, ip);
        }
        let key = (owner.mntns, owner.uid);
        self.check(owner.pid, key, account, ns);
        let own = self.cached.get_mut(&key).and_then(|f| f.table.as_ref());
        if let Some(table) = own {
            return name_in(table, ip);
        }
        let roots = self.cached.get_mut(&(owner.mntns, ROOT))?;
        name_in(roots.table.as_ref()?, ip)
    }

    fn remember(&mut self, pid: u32, key: HostsKey, account: u32) {
        if !self.started.contains_key(&key) {
            self.started.insert(account, key, Vec::new());
        }
        if let Some(pids) = self.started.get_mut(&key) {
            pids.retain(|known| *known != pid);
            pids.insert(0, pid);
            pids.truncate(MAX_STARTED);
        }
    }

    fn is_own(&self, owner: &Owner) -> bool {
        self.own
            .as_ref()
            .is_some_and(|own| own.inode == owner.mntns.inode)
    }

    /// Brings the file up to date for a connection that began at `ns`, as far as there is time.
    fn check(&mut self, pid: u32, key: HostsKey, account: u32, ns: u64) {
        if let Some(pending) = self.pending.remove(&key) {
            self.wait(key, pending);
        }
        let checked = self.cached.get_mut(&key).map(|file| file.checked_ns);
        if checked.is_some_and(|at| at + MAX_AGE_NS > ns) {
            return;
        }
        self.start(pid, key, account);
        if let Some(pending) = self.pending.remove(&key) {
            self.wait(key, pending);
        }
    }

    /// Starts to read a file, if its user has not had too many read.
    fn start(&mut self, pid: u32, key: HostsKey, account: u32) {
        let now = boot_ns();
        let known = self.cached.get_mut(&key);
        let stamp = known.as_ref().and_then(|file| file.stamp);
        let reserved = match known {
            Some(_) => RESERVED_READS,
            None => 0.0,
        };
        self.pending.retain(|_, p| p.begun.elapsed() < LIFETIME);
        let of_user = self.pending.values().filter(|p| p.account == account);
        let Some(reader) = &self.reader else { return };
        if self.pending.contains_key(&key)
            || of_user.count() >= MAX_PENDING
            || self.reads.left(account, now) < reserved
            || !self.reads.take(account, 1.0, now)
        {
            return;
        }
        let started = self.started.get_mut(&key);
        let started = started.map(|pids| pids.as_slice()).unwrap_or_default();
        let who = Who::Process {
            pids: [&[pid], started].concat(),
            uid: key.1,
            mntns: key.0.inode,
        };
        let session = reader.session(&who).and_then(|mut session| {
            session.request(&FileRequest::Hosts { stamp })?;
            Ok(session)
        });
        match session {
            Ok(session) => {
                let pending = Pending {
                    session,
                    account,
                    begun: Instant::now(),
                    begun_ns: now,
                };
                self.pending.insert(key, pending);
            }
            Err(e) => log::debug!("/etc/hosts of mount namespace {}: {e:#}", key.0.inode),
        }
    }

    /// Waits for a file within its user's budget; it stays pending where that does not suffice.
    fn wait(&mut self, key: HostsKey, mut pending: Pending) {
        let begun = Instant::now();
        let left = self.waits.left(pending.account, boot_ns()).max(0.0);
        let limit = TIMEOUT.min(Duration::from_secs_f64(left / 1e3));
        let reply = pending.session.reply(limit);
        let waited = begun.elapsed().as_secs_f64() * 1e3;
        self.waits.spend(pending.account, waited);
        match reply {
            Ok(None) if pending.begun.elapsed() < LIFETIME => {
                self.pending.insert(key, pending);
                return;
            }
            Ok(None) => {}
            Ok(Some(reply)) => return self.received(key, &pending, reply),
            Err(e) => log::debug!("/etc/hosts of mount namespace {}: {e:#}", key.0.inode),
        }
        self.received(key, &pending, Reply::Unchanged);
    }

    fn received(&mut self, key: HostsKey, pending: &Pending, reply: Reply) {
        let checked_ns = pending.begun_ns;
        match (reply, self.cached.get_mut(&key)) {
            (Reply::Content(stamp, bytes), _) => {
                let file = CachedFile::new(stamp, &bytes, checked_ns);
                self.cached.insert(pending.account, key, file);
            }
            // Where the process has ended, the file stays as it was.
            (_, Some(file)) => file.checked_ns = checked_ns,
            (reply, None) => {
                log::debug!("/etc/hosts of mount namespace {}: {reply:?}", key.0.inode);
                let file = CachedFile {
                    checked_ns,
                    ..CachedFile::default()
                };
                self.cached.insert(pending.account, key, file);
            }
        }
    }
}

impl OwnNamespace {
    fn new(reader: &FileReader) -> Option<OwnNamespace> {
        let inode = fs::metadata("/proc/self/ns/mnt").ok()?.ino() as u32;
        let session = reader.session(&Who::Own).ok()?;
        Some(OwnNamespace {
            inode,
            session,
            file: CachedFile::default(),
            waiting: None,
        })
    }

    /// The names, as a connection that began at `ns` may have seen them.
    fn table(&mut self, ns: u64) -> Option<&HostsTable> {
        let late = self.waiting.is_some();
        if !late && self.file.checked_ns < ns {
            let stamp = self.file.stamp;
            let sent = self.session.request(&FileRequest::Hosts { stamp });
            self.waiting = sent.is_ok().then(boot_ns);
        }
        if let Some(sent_ns) = self.waiting {
            // A file that did not come in time is not waited for again.
            let limit = match late {
                true => Duration::ZERO,
                false => TIMEOUT,
            };
            match self.session.reply(limit) {
                Ok(None) => return self.file.table.as_ref(),
                Ok(Some(Reply::Content(stamp, bytes))) => {
                    self.file = CachedFile::new(stamp, &bytes, sent_ns);
                }
                Ok(Some(_)) => self.file.checked_ns = sent_ns,
                Err(e) => {
                    log::debug!("/etc/hosts: {e:#}");
                    self.file.checked_ns = u64::MAX; // its reader has ended
                }
            }
            self.waiting = None;
        }
        self.file.table.as_ref()
    }
}

impl CachedFile {
    fn new(stamp: FileStamp, bytes: &[u8], checked_ns: u64) -> CachedFile {
        CachedFile {
            stamp: Some(stamp),
            table: Some(parse(&String::from_utf8_lossy(bytes))),
            checked_ns,
        }
    }
}

fn name_in(table: &HostsTable, ip: IpAddr) -> Option<Name> {
    let (first, others) = table.get(&ip)?.split_first()?;
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

/// Nanoseconds since boot.
fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_file_names_nothing_for_other_users() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut hosts = HostsFiles::new(None);
        let owner = |uid| Owner {
            pid: u32::MAX, // has ended
            tid: 1,
            uid,
            euid: 0,
            login_uid: None,
            start_ns: 1,
            exec_id: 1,
            cgroup_id: 1,
            netns: 1,
            netns_cookie: 1,
            mntns: MountNamespace { id: 9, inode: 1 },
            foreign: false,
            comm: "x".into(),
        };
        let seen = |hosts: &mut HostsFiles, uid, line: &str| {
            let file = CachedFile {
                table: Some(parse(line)),
                ..CachedFile::default()
            };
            hosts.cached.insert(uid, (owner(uid).mntns, uid), file);
        };
        let host = |hosts: &mut HostsFiles, uid| Some(hosts.name(&owner(uid), uid, ip, 1)?.host);
        seen(&mut hosts, 1000, "192.0.2.1 lie");
        assert_eq!(host(&mut hosts, 1001), None);
        assert_eq!(host(&mut hosts, ROOT), None);
        seen(&mut hosts, ROOT, "192.0.2.1 true");
        assert_eq!(host(&mut hosts, 1001).as_deref(), Some("true"));
        assert_eq!(host(&mut hosts, 1000).as_deref(), Some("lie"));
    }
}
