//! Executables and their identity: hash, flags, package. In come the images of processes that
//! connect; out go updates, whenever they are known: no record waits for one. The [`FileReader`]
//! reads the file with the rights of the process' user.
//!
//! A file is read again only where it may have changed. One that only root can change is taken
//! for the same for a second; any other is looked at for each exec, as its user could otherwise
//! put another program in its place.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::allowance::{Allowance, Limit, Limits};
use super::process::{Image, Node};
use super::shares::Shares;
use super::users;
use crate::capture::event::{MountNamespace, Owner};
use crate::file_reader::{
    EXECUTABLE_LIFETIME, ExecutableReport, ExecutableRequest, ExecutableStamp, FileReader,
    FileRequest, ReadStatus, Reply, Session, Who,
};
use crate::model::{ExeView, Executable, ExecutableIdentity, ExecutableUpdate, HashStatus, Record};

/// Executables remembered: those used last.
const MAX_KNOWN: usize = 4096;
/// How long one that only root can change is not looked at again.
const RECHECK: Duration = Duration::from_secs(1);
/// Files being read at once: of one user, of root or a system user, and of all other users. A
/// file system of a user's may make them hang.
const MAX_OF_USER: usize = 4;
const MAX_OF_SYSTEM_USER: usize = 8;
const MAX_OF_USERS: usize = 12;
/// Files that wait to be read: of one user, and in all.
const MAX_WAITING_OF_USER: usize = 1024;
const MAX_WAITING: usize = 4096;
/// How long the end of a recording waits for what is being read.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Milliseconds of processor time per second.
const CPU: Limits = Limits {
    system: Limit {
        rate: 100.0,
        burst: 20_000.0,
    },
    user: Limit {
        rate: 20.0,
        burst: 5_000.0,
    },
    users: Limit {
        rate: 50.0,
        burst: 10_000.0,
    },
};
/// What starting a reader takes beside its own time, in milliseconds.
const START_MS: f64 = 0.5;
/// What is counted for one that did not answer: a file system of the user's may have kept it.
const TIMEOUT_MS: f64 = 1_000.0;
/// And at most: RLIMIT_CPU of the reader.
const MOST_CPU_MS: f64 = 10_000.0;
/// A reader that ends so soon was refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// The process that runs an executable.
pub struct Runner {
    /// Itself, and those that may still be there when it is not.
    pub pids: Vec<u32>,
    pub uid: u32,
    pub mntns: MountNamespace,
    /// The user who is accountable.
    pub account: u32,
    /// When it began to run it, nanoseconds since 1970.
    pub run_ts: Option<i64>,
    pub node: Rc<Node>,
}

/// Whether a process has run the same program all the time, which kept its file as it was.
struct Running {
    node: Rc<Node>,
    image: Rc<Image>,
    run_ts: Option<i64>,
}

impl Running {
    fn is_same(&self) -> bool {
        Rc::ptr_eq(&self.node.image(), &self.image)
    }
}

/// A file that was changed after a process began to run it: a chmod or a rename of it, or another content
/// that was written while the process ran another program.
struct Unproved {
    running: Running,
    /// When it had been read, nanoseconds since boot: it is proved once all execs until then are known.
    ns: u64,
    key: ExecutableKey,
    stamp: ExecutableStamp,
    update: ExecutableUpdate,
}

/// A file as a user sees it, who may not be able to read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ExecutableKey {
    uid: u32,
    /// The mount namespace's id, which is never reused.
    mntns: u64,
    device: (u32, u32),
    inode: u64,
    path: Option<String>,
}

/// The executable that a file was last.
struct Known {
    executable: Rc<Executable>,
    since: Instant,
    requested: bool,
    /// As it was last read.
    read: Option<(ExecutableStamp, Rc<ExecutableIdentity>)>,
}

/// One that is to be read.
struct Waiting {
    executable: Rc<Executable>,
    key: ExecutableKey,
    account: u32,
    who: Who,
    request: ExecutableRequest,
    running: Running,
    /// A memfd: no package has it.
    in_memory: bool,
}

struct Reading {
    session: Session,
    begun: Instant,
    executable: Rc<Executable>,
    key: ExecutableKey,
    account: u32,
    running: Running,
    /// The stamp that was sent, and the identity if it is still that.
    known: Option<(ExecutableStamp, Rc<ExecutableIdentity>)>,
    in_memory: bool,
}

pub struct Executables {
    files: Option<FileReader>,
    serial: u64,
    known: Shares<ExecutableKey, Known>,
    waiting: VecDeque<Waiting>,
    reading: Vec<Reading>,
    unproved: Vec<Unproved>,
    /// Of accounts whose readers had no more time, and have not ended.
    hung: Vec<(u32, Session)>,
    cpu: Allowance,
    started: Instant,
}

impl Executables {
    /// Without a reader nothing is known of any.
    pub fn new(files: Option<FileReader>) -> Executables {
        Executables {
            files,
            serial: 0,
            known: Shares::new(MAX_KNOWN),
            waiting: VecDeque::new(),
            reading: Vec::new(),
            unproved: Vec::new(),
            hung: Vec::new(),
            cpu: Allowance::new(CPU),
            started: Instant::now(),
        }
    }

    /// The executable of an image; None where the kernel side does not say which file it is.
    pub fn of(&mut self, image: &Image, owner: &Owner, account: u32) -> Option<Rc<Executable>> {
        self.files.as_ref()?;
        let key = key(image, owner.uid, owner.mntns.id)?;
        if image.exe_file.root_only
            && let Some(known) = self.known.get_mut(&key)
            && known.since.elapsed() < RECHECK
        {
            return Some(Rc::clone(&known.executable));
        }
        self.serial += 1;
        let executable = Rc::new(Executable {
            serial: self.serial,
        });
        let read = self.known.remove(&key).and_then(|known| known.read);
        let known = Known {
            executable: Rc::clone(&executable),
            since: Instant::now(),
            requested: false,
            read,
        };
        self.known.insert(account, key, known);
        Some(executable)
    }

    /// Has an executable read for a process that connects, unless that was done for another one.
    pub fn read(
        &mut self,
        executable: &Rc<Executable>,
        image: &Rc<Image>,
        runner: Runner,
        out: &mut Vec<Record>,
    ) {
        let Some(key) = key(image, runner.uid, runner.mntns.id) else {
            return;
        };
        if let Some(known) = self.known.get_mut(&key)
            && known.executable.serial == executable.serial
            && std::mem::replace(&mut known.requested, true)
        {
            return;
        }
        let view = image.exe_file.view;
        let waiting = Waiting {
            executable: Rc::clone(executable),
            account: runner.account,
            who: Who::Executable {
                pids: runner.pids,
                uid: runner.uid,
                mntns: runner.mntns.inode,
                on_host: view == Some(ExeView::Host),
            },
            request: ExecutableRequest {
                path: key.path.clone().filter(|_| view != Some(ExeView::Memory)),
                device: key.device,
                inode: key.inode,
                run_ts: runner.run_ts,
                // In other views its user could have made any database.
                packages: matches!(view, Some(ExeView::Host | ExeView::Namespace)),
                known: None,
            },
            running: Running {
                node: runner.node,
                image: Rc::clone(image),
                run_ts: runner.run_ts,
            },
            key,
            in_memory: view == Some(ExeView::Memory),
        };
        let of_user = |w: &&Waiting| w.account == waiting.account;
        if self.waiting.len() >= MAX_WAITING
            || self.waiting.iter().filter(of_user).count() >= MAX_WAITING_OF_USER
        {
            emit(&waiting.executable, HashStatus::RateLimit, out);
            return;
        }
        self.waiting.push_back(waiting);
        self.start(out);
    }

    /// Takes in what has been read, and goes on with what waits.
    pub fn poll(&mut self, out: &mut Vec<Record>) {
        self.receive(Duration::ZERO, out);
        self.start(out);
    }

    /// All events until `processed_ns` have been handled.
    pub fn tick(&mut self, processed_ns: u64, out: &mut Vec<Record>) {
        for read in std::mem::take(&mut self.unproved) {
            match read.ns <= processed_ns {
                true => self.prove(read, out),
                false => self.unproved.push(read),
            }
        }
    }

    fn prove(&mut self, read: Unproved, out: &mut Vec<Record>) {
        match read.running.is_same() {
            true => self.found(&read.key, Some(read.stamp), read.update, out),
            false => emit(&read.update.executable, HashStatus::Gone, out),
        }
    }

    pub fn is_busy(&self) -> bool {
        !self.reading.is_empty() || !self.waiting.is_empty() || !self.unproved.is_empty()
    }

    /// The recording ends: waits a moment for what is being read.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        let end = Instant::now() + LAST_WAIT;
        let is_reading = |all: &Executables| !all.reading.is_empty() || !all.waiting.is_empty();
        while is_reading(self) && Instant::now() < end {
            self.receive(Duration::from_millis(5), out);
            self.start(out);
        }
        // The execs of these moments are not read any more.
        for read in std::mem::take(&mut self.unproved) {
            emit(&read.update.executable, HashStatus::Gone, out);
        }
    }

    /// Waits up to `limit` for the first of those that are being read.
    fn receive(&mut self, mut limit: Duration, out: &mut Vec<Record>) {
        for mut reading in std::mem::take(&mut self.reading) {
            let reply = reading.session.reply(std::mem::take(&mut limit));
            match reply {
                Ok(None) if reading.begun.elapsed() < EXECUTABLE_LIFETIME => {
                    self.reading.push(reading);
                }
                Ok(Some(reply)) => self.received(reading, reply, out),
                // refused: too many wait there
                Err(_) if reading.begun.elapsed() < REFUSED_WITHIN => {
                    emit(&reading.executable, HashStatus::RateLimit, out);
                }
                reply => {
                    if !users::is_system(reading.account) {
                        let used = reading.begun.elapsed().as_millis() as f64;
                        self.cpu
                            .spend(reading.account, used.clamp(TIMEOUT_MS, MOST_CPU_MS));
                    }
                    emit(&reading.executable, HashStatus::Timeout, out);
                    // It may hang in the kernel, where nothing ends it.
                    if reply.is_ok() {
                        self.hung.push((reading.account, reading.session));
                    }
                }
            }
        }
        self.hung
            .retain_mut(|(_, session)| matches!(session.reply(Duration::ZERO), Ok(None)));
    }

    fn received(&mut self, reading: Reading, reply: Reply, out: &mut Vec<Record>) {
        let (stamp, identity) = match reply {
            Reply::Executable(report) => {
                self.cpu.spend(reading.account, report.cpu_us as f64 / 1e3);
                let stamp = report.stamp.clone();
                (stamp, Rc::new(identity(*report, reading.in_memory)))
            }
            Reply::Unchanged if reading.known.is_some() => {
                let (stamp, identity) = reading.known.unzip();
                (stamp, identity.unwrap_or_else(unreadable))
            }
            other => {
                log::debug!("executable {:?}: {other:?}", reading.key);
                (None, unreadable())
            }
        };
        let update = ExecutableUpdate {
            executable: reading.executable,
            identity,
        };
        let running = reading.running;
        match stamp {
            Some(stamp) if stamp.file.changed_since(running.run_ts) => {
                self.unproved.push(Unproved {
                    running,
                    ns: boot_ns(),
                    key: reading.key,
                    stamp,
                    update,
                });
            }
            stamp => self.found(&reading.key, stamp, update, out),
        }
    }

    fn found(
        &mut self,
        key: &ExecutableKey,
        stamp: Option<ExecutableStamp>,
        update: ExecutableUpdate,
        out: &mut Vec<Record>,
    ) {
        if let Some(known) = self.known.get_mut(key)
            && let Some(stamp) = stamp
        {
            known.read = Some((stamp, Rc::clone(&update.identity)));
        }
        out.push(Record::Executable(update));
    }

    /// Starts to read as many as may be read at once.
    fn start(&mut self, out: &mut Vec<Record>) {
        let mut n = 0;
        while let Some(waiting) = self.waiting.get(n) {
            if !self.has_room(waiting.account) {
                n += 1;
                continue;
            }
            if let Some(waiting) = self.waiting.remove(n) {
                self.start_one(waiting, out);
            }
        }
    }

    fn has_room(&self, account: u32) -> bool {
        let of = |is: &dyn Fn(u32) -> bool| self.reading.iter().filter(|r| is(r.account)).count();
        let hung = self.hung.iter().filter(|(its, _)| *its == account).count();
        let of_user = of(&|other| other == account) + hung;
        match users::is_system(account) {
            true => of_user < MAX_OF_SYSTEM_USER,
            false => of_user < MAX_OF_USER && of(&|other| !users::is_system(other)) < MAX_OF_USERS,
        }
    }

    fn start_one(&mut self, waiting: Waiting, out: &mut Vec<Record>) {
        let Some(files) = &self.files else { return };
        let now = self.started.elapsed().as_nanos() as u64;
        if !self.cpu.take(waiting.account, START_MS, now) {
            emit(&waiting.executable, HashStatus::RateLimit, out);
            return;
        }
        let known = self.known.get_mut(&waiting.key);
        let known = known.and_then(|known| known.read.clone());
        let request = ExecutableRequest {
            known: known.as_ref().map(|(stamp, _)| stamp.clone()),
            ..waiting.request
        };
        let session = files.session(&waiting.who).and_then(|mut session| {
            session.request(&FileRequest::Executable(request))?;
            Ok(session)
        });
        match session {
            Ok(session) => self.reading.push(Reading {
                session,
                begun: Instant::now(),
                executable: waiting.executable,
                key: waiting.key,
                account: waiting.account,
                running: waiting.running,
                known,
                in_memory: waiting.in_memory,
            }),
            Err(e) => {
                log::debug!("executable {:?}: {e:#}", waiting.key);
                emit(&waiting.executable, HashStatus::Unreadable, out);
            }
        }
    }
}

fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn key(image: &Image, uid: u32, mntns: u64) -> Option<ExecutableKey> {
    let file = &image.exe_file;
    Some(ExecutableKey {
        uid,
        mntns,
        device: file.device?,
        inode: file.inode?,
        path: image.exe.clone(),
    })
}

fn emit(executable: &Rc<Executable>, status: HashStatus, out: &mut Vec<Record>) {
    out.push(Record::Executable(ExecutableUpdate {
        executable: Rc::clone(executable),
        identity: Rc::new(ExecutableIdentity::unknown(status)),
    }));
}

fn unreadable() -> Rc<ExecutableIdentity> {
    Rc::new(ExecutableIdentity::unknown(HashStatus::Unreadable))
}

fn identity(report: ExecutableReport, in_memory: bool) -> ExecutableIdentity {
    ExecutableIdentity {
        status: match report.status {
            ReadStatus::Read => HashStatus::Hashed,
            ReadStatus::TooLarge => HashStatus::TooLarge,
            ReadStatus::Unreadable => HashStatus::Unreadable,
            ReadStatus::Gone => HashStatus::Gone,
            ReadStatus::FileSystem => HashStatus::FileSystem,
        },
        sha256: report.sha256,
        setuid: report.setuid,
        world_writable_dir: report.world_writable_dir,
        packaged: report.packaged.or(in_memory.then_some(false)),
        package: report.package,
        package_version: report.package_version,
        modified: report.modified,
    }
}
