//! Names from /etc/hosts as each process sees it: resolving them sends nothing that could be
//! captured. In come a process and an address; out goes the name that the file has in the
//! process' mount namespace.
//!
//! The process may choose that file. So the [`FileReader`] reads it, with the process' rights;
//! events wait for it only within a budget, and how many files a user may have read, and
//! kept, is limited. Where a file comes later, so does the name. A process that no longer exists
//! has the file that its user, or else root, has in its mount namespace. The mount namespaces of
//! egrets and of the host's first process are root's and stay: there, one reader suffices.

use std::collections::HashMap;
use std::net::IpAddr;
use std::process;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::residents::{Residence, Residents};
use crate::attribute::allowance::{Allowance, Limit, Limits};
use crate::attribute::shares::Shares;
use crate::capture::event::Owner;
use crate::file_reader::host;
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

/// The file of a user in a mount namespace. In a user namespace, any user may change the root of a
/// process and thus its file: that must not name other users' connections.
type HostsKey = Residence;

#[derive(Default)]
struct CachedFile {
    stamp: Option<FileStamp>,
    /// None where it can't be read.
    table: Option<HostsTable>,
    /// When it was last checked, nanoseconds since boot.
    checked_ns: u64,
    /// The last check found no process that has the file, or no time to read it.
    missed: bool,
}

/// What the file of a process says of an address.
#[derive(Debug, PartialEq)]
pub enum HostsAnswer {
    /// Its name. None where the file has no name for it, or names nothing.
    Known(Option<Name>),
    /// The file is being read, or will be.
    Pending,
    /// The file was not read in time.
    Missed,
}

/// Whether an answer may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    WithinBudget,
    None,
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
    /// Egrets' own, and the host's if that is another one, as in a container.
    standing: Vec<StandingNamespace>,
    cached: Shares<HostsKey, CachedFile>,
    pending: HashMap<HostsKey, Pending>,
    /// Some of them may still be there when the process that connected is not.
    residents: Residents,
    reads: Allowance,
    waits: Allowance,
}

/// A mount namespace that only root can change and that outlives the recording: one reader checks
/// its file again and again, whatever becomes of the processes that connect.
struct StandingNamespace {
    inode: u32,
    session: Session,
    file: CachedFile,
    /// When the request was sent whose reply is still to come.
    waiting: Option<u64>,
}

impl HostsFiles {
    /// Starts with the processes that exist now. `account` is who is accountable for a user id.
    pub fn start(reader: Option<FileReader>, account: impl FnMut(u32) -> u32) -> HostsFiles {
        let mut hosts = HostsFiles::new(reader);
        let Some(reader) = &hosts.reader else {
            return hosts;
        };
        let own = host::mount_namespace_of(process::id());
        let of_host = host::mount_namespace().filter(|_| host::root().is_ok());
        for (inode, who) in [(own, Who::Own), (of_host, Who::Host)] {
            let inode = inode.filter(|inode| !hosts.is_standing(*inode));
            let standing = inode.and_then(|inode| StandingNamespace::new(reader, inode, &who));
            hosts.standing.extend(standing);
        }
        let known: Vec<u32> = hosts.standing.iter().map(|at| at.inode).collect();
        hosts.residents = Residents::read(&known, account);
        hosts
    }

    /// Without the namespaces and processes that exist now.
    pub fn new(reader: Option<FileReader>) -> HostsFiles {
        HostsFiles {
            reader,
            standing: Vec::new(),
            cached: Shares::new(MAX_FILES),
            pending: HashMap::new(),
            residents: Residents::new(),
            reads: Allowance::new(READS),
            waits: Allowance::new(WAITS),
        }
    }

    /// A program was started: has the file of a new mount namespace read while the process
    /// lives. That of a known one is read again at the next connection: what starts containers
    /// executes itself before the file is in place. `account` is the user who is accountable.
    pub fn on_exec(&mut self, owner: &Owner, account: u32) {
        let key = (owner.mntns, owner.uid);
        if owner.mntns.id == 0 || self.is_standing(owner.mntns.inode) {
            return;
        }
        self.residents.started(owner.pid, key, account);
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.begun_ns = OUTDATED;
        } else if let Some(file) = self.cached.get_mut(&key) {
            file.checked_ns = OUTDATED;
        } else {
            self.request(Some(owner.pid), key, account);
        }
    }

    /// Processes that may have the files of this one when it has ended.
    pub fn residents(&mut self, owner: &Owner) -> Vec<u32> {
        self.residents.of(&(owner.mntns, owner.uid))
    }

    /// The name that the file of a process has for an address that it connects to at `ns`,
    /// nanoseconds since boot.
    pub fn name(&mut self, owner: &Owner, account: u32, ip: IpAddr, ns: u64) -> HostsAnswer {
        self.answer(owner, account, ip, ns, Patience::WithinBudget)
    }

    /// The same, without waiting.
    pub fn poll_name(&mut self, owner: &Owner, account: u32, ip: IpAddr, ns: u64) -> HostsAnswer {
        self.answer(owner, account, ip, ns, Patience::None)
    }

    fn answer(
        &mut self,
        owner: &Owner,
        account: u32,
        ip: IpAddr,
        ns: u64,
        patience: Patience,
    ) -> HostsAnswer {
        if owner.mntns.id == 0 || ip.is_unspecified() {
            return HostsAnswer::Known(None);
        }
        let mut standing = self.standing.iter_mut();
        if let Some(standing) = standing.find(|at| at.inode == owner.mntns.inode) {
            return standing.answer(ip, ns, patience);
        }
        let key = (owner.mntns, owner.uid);
        self.check(Some(owner.pid), key, account, ns, patience);
        let file = self.cached.get_mut(&key);
        let answer = match file.filter(|file| file.checked_ns != OUTDATED) {
            Some(file) if file.table.is_some() => return file.answer(ip),
            Some(file) => file.answer(ip),
            None if self.reader.is_none() => HostsAnswer::Known(None),
            None => return HostsAnswer::Pending,
        };
        self.answer_of_root(owner, account, ip, ns, patience)
            .unwrap_or(answer)
    }

    /// What root's file says in the mount namespace of a process whose own can't be read.
    fn answer_of_root(
        &mut self,
        owner: &Owner,
        account: u32,
        ip: IpAddr,
        ns: u64,
        patience: Patience,
    ) -> Option<HostsAnswer> {
        let key = (owner.mntns, ROOT);
        if owner.uid != ROOT {
            self.check(None, key, account, ns, patience);
        }
        match self.cached.get_mut(&key) {
            Some(file) => Some(file.answer(ip)),
            None => self
                .pending
                .contains_key(&key)
                .then_some(HostsAnswer::Pending),
        }
    }

    fn is_standing(&self, inode: u32) -> bool {
        self.standing.iter().any(|at| at.inode == inode)
    }

    /// Brings the file up to date for a connection that began at `ns`, as far as there is time.
    fn check(
        &mut self,
        pid: Option<u32>,
        key: HostsKey,
        account: u32,
        ns: u64,
        patience: Patience,
    ) {
        if let Some(pending) = self.pending.remove(&key) {
            self.wait(key, pending, patience);
        }
        let checked = self.cached.get_mut(&key).map(|file| file.checked_ns);
        if checked.is_some_and(|at| at + MAX_AGE_NS > ns) {
            return;
        }
        self.request(pid, key, account);
        if let Some(pending) = self.pending.remove(&key) {
            self.wait(key, pending, patience);
        }
    }

    /// Starts to read a file through this process or else another one that has it, if its user
    /// has not had too many read.
    fn request(&mut self, pid: Option<u32>, key: HostsKey, account: u32) {
        let pids: Vec<u32> = pid.into_iter().chain(self.residents.of(&key)).collect();
        if pids.is_empty() {
            return;
        }
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
        let who = Who::Process {
            pids,
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
    fn wait(&mut self, key: HostsKey, mut pending: Pending, patience: Patience) {
        let begun = Instant::now();
        let left = match patience {
            Patience::WithinBudget => self.waits.left(pending.account, boot_ns()).max(0.0),
            Patience::None => 0.0,
        };
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
        self.received(key, &pending, Reply::Gone);
    }

    fn received(&mut self, key: HostsKey, pending: &Pending, reply: Reply) {
        let checked_ns = pending.begun_ns;
        match (reply, self.cached.get_mut(&key)) {
            (Reply::Content(stamp, bytes), _) => {
                let file = CachedFile::new(stamp, &bytes, checked_ns);
                self.cached.insert(pending.account, key, file);
            }
            // Where the process has ended, the file stays as it was.
            (reply, Some(file)) => {
                file.checked_ns = checked_ns;
                file.missed = matches!(reply, Reply::Gone);
            }
            (reply, None) => {
                log::debug!("/etc/hosts of mount namespace {}: {reply:?}", key.0.inode);
                let file = CachedFile {
                    checked_ns,
                    missed: matches!(reply, Reply::Gone),
                    ..CachedFile::default()
                };
                self.cached.insert(pending.account, key, file);
            }
        }
    }
}

impl StandingNamespace {
    fn new(reader: &FileReader, inode: u32, who: &Who) -> Option<StandingNamespace> {
        let session = reader.session(who).ok()?;
        Some(StandingNamespace {
            inode,
            session,
            file: CachedFile::default(),
            waiting: None,
        })
    }

    /// As a connection that began at `ns` may have seen the file.
    fn answer(&mut self, ip: IpAddr, ns: u64, patience: Patience) -> HostsAnswer {
        self.check(ns, patience);
        match (&self.file.table, self.waiting) {
            (Some(table), _) => HostsAnswer::Known(name_in(table, ip)),
            (None, Some(_)) => HostsAnswer::Pending,
            (None, None) => HostsAnswer::Known(None),
        }
    }

    fn check(&mut self, ns: u64, patience: Patience) {
        let late = self.waiting.is_some();
        if !late && self.file.checked_ns < ns {
            let stamp = self.file.stamp;
            let sent = self.session.request(&FileRequest::Hosts { stamp });
            self.waiting = sent.is_ok().then(boot_ns);
        }
        if let Some(sent_ns) = self.waiting {
            // A file that did not come in time is not waited for again.
            let limit = match late || patience == Patience::None {
                true => Duration::ZERO,
                false => TIMEOUT,
            };
            match self.session.reply(limit) {
                Ok(None) => return,
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
    }
}

impl CachedFile {
    fn new(stamp: FileStamp, bytes: &[u8], checked_ns: u64) -> CachedFile {
        CachedFile {
            stamp: Some(stamp),
            table: Some(parse(&String::from_utf8_lossy(bytes))),
            checked_ns,
            missed: false,
        }
    }

    /// What it says, as it was last read.
    fn answer(&self, ip: IpAddr) -> HostsAnswer {
        match self.table.as_ref().and_then(|table| name_in(table, ip)) {
            None if self.missed => HostsAnswer::Missed,
            name => HostsAnswer::Known(name),
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
impl HostsFiles {
    /// The file of this owner has been read, with these lines.
    pub fn read(&mut self, owner: &Owner, lines: &str) {
        let key = (owner.mntns, owner.uid);
        let file = CachedFile {
            table: Some(parse(lines)),
            checked_ns: boot_ns(),
            ..CachedFile::default()
        };
        self.pending.remove(&key);
        self.cached.insert(owner.uid, key, file);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::capture::event::MountNamespace;

    /// A process of a user that has ended, in a mount namespace of its own.
    pub fn owner(uid: u32) -> Owner {
        Owner {
            pid: u32::MAX,
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
        }
    }

    #[test]
    fn users_file_names_nothing_for_other_users() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut hosts = HostsFiles::new(None);
        let seen = |hosts: &mut HostsFiles, uid, line: &str| hosts.read(&owner(uid), line);
        let host = |hosts: &mut HostsFiles, uid| match hosts.name(&owner(uid), uid, ip, 1) {
            HostsAnswer::Known(name) => Some(name?.host),
            answer => panic!("{answer:?}"),
        };
        seen(&mut hosts, 1000, "192.0.2.1 lie");
        assert_eq!(host(&mut hosts, 1001), None);
        assert_eq!(host(&mut hosts, ROOT), None);
        seen(&mut hosts, ROOT, "192.0.2.1 true");
        assert_eq!(host(&mut hosts, 1001).as_deref(), Some("true"));
        assert_eq!(host(&mut hosts, 1000).as_deref(), Some("lie"));
    }

    #[test]
    fn file_that_is_not_read_yet_or_missed_is_no_file_without_names() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut hosts = HostsFiles::new(Some(FileReader::hanging()));
        let (user, key) = (owner(1000), (owner(1000).mntns, 1000));
        let known = |name: &str| {
            let table = parse(&format!("192.0.2.1 {name}"));
            HostsAnswer::Known(name_in(&table, ip))
        };
        assert_eq!(hosts.name(&user, 1000, ip, 1), HostsAnswer::Pending);
        hosts.read(&user, "192.0.2.1 a.test");
        assert_eq!(hosts.name(&user, 1000, ip, boot_ns()), known("a.test"));
        // a program starts: the file may be another one from here on
        hosts.on_exec(&user, 1000);
        assert_eq!(hosts.name(&user, 1000, ip, boot_ns()), HostsAnswer::Pending);
        let pending = hosts.pending.remove(&key).unwrap();
        hosts.received(key, &pending, Reply::Gone);
        assert_eq!(hosts.poll_name(&user, 1000, ip, 1), known("a.test"));
        let other = IpAddr::from([192, 0, 2, 2]);
        let missed = hosts.poll_name(&user, 1000, other, 1);
        assert_eq!(missed, HostsAnswer::Missed);
        // what may not be read names nothing
        hosts.received(key, &pending, Reply::Refused("a link".into()));
        let refused = hosts.poll_name(&user, 1000, other, 1);
        assert_eq!(refused, HostsAnswer::Known(None));
    }
}
