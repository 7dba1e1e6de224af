//! A worker: finds out whose rights it is to have, takes them, and reads. Until it has them it
//! touches nothing but /proc.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::process::{
    Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit,
};
use rustix::thread::set_no_new_privs;

use super::executable::{self, Found};
use super::frame::{read_request, write_reply};
use super::mounts::{hosts_is_served, require_local};
use super::namespace;
use super::protocol::{FileRequest, FileStamp, MAX_CONTENT, Reply, Who};
use super::regular_file;
use super::{host, hosts};

use crate::privileges::{CapabilitySet, hold_only};

/// CPU time of a worker that does not stay, and of one that reads an executable.
const MAX_CPU_SECONDS: u64 = 1;
const MAX_EXECUTABLE_CPU_SECONDS: u64 = 10;

/// Bytes of memory of such a worker: a package database that a container has may take any.
const MAX_DATA: u64 = 256 << 20;

/// The priority of a worker that reads an executable: nothing waits for it, but it has to be done
/// before its time is over. At 19, with ten other threads to a processor, a worker gets 1/700 of
/// that, less than most need within a minute.
const LOW: i32 = 10;

/// The group of users who are not in /etc/passwd, where their process no longer tells.
const NOGROUP: u32 = 65_534;

/// What a worker may do.
struct Rights {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Where the paths of requests begin.
enum Root {
    /// One below which root alone decides.
    Standing(OwnedFd),
    /// That of a process.
    Of(OwnedFd),
    /// The directory that a request names.
    Requested,
    /// For an executable.
    Executable(Found),
}

/// A process has ended, or is no longer the one that it was.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process has ended, or has another user or mount namespace")
    }
}

impl std::error::Error for Gone {}

/// Serves the requests of a session until it ends.
pub fn run(who: &Who, mut stream: UnixStream) {
    close_all_but(&[stream.as_raw_fd()]);
    let ready = prepare(who);
    while let Ok(Some(request)) = read_request(&mut stream) {
        let reply = match &ready {
            Ok(root) => answer(root, &request),
            Err(e) if e.is::<Gone>() => Ok(Reply::Gone),
            Err(e) => Err(anyhow::anyhow!("{e:#}")),
        };
        let reply = reply.unwrap_or_else(|e| Reply::Refused(format!("{e:#}")));
        if write_reply(&mut stream, &reply).is_err() {
            return;
        }
    }
}

/// Closes what was inherited, but for stdout and stderr, which are /dev/null: a worker that hangs
/// holds nothing.
pub fn close_all_but(kept: &[RawFd]) {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let is_stdio = |fd: &RawFd| matches!(*fd, libc::STDOUT_FILENO | libc::STDERR_FILENO);
    let others = |fd: &RawFd| !is_stdio(fd) && !kept.contains(fd);
    for fd in open.into_iter().filter(others) {
        // SAFETY: nothing in this process uses it any more; the one that listed them is closed.
        unsafe { libc::close(fd) };
    }
}

fn prepare(who: &Who) -> Result<Root> {
    let mut cpu_seconds = MAX_CPU_SECONDS;
    let (rights, root) = match who {
        Who::Own => (None, Root::Standing(directory(Path::new("/"))?)),
        Who::Host => (None, Root::Standing(host::root()?)),
        Who::Process { pids, uid, mntns } => {
            let (rights, root) = first_of(pids, *uid, *mntns)?;
            (Some(rights), Root::Of(root))
        }
        Who::User { uid } => (Some(of_user(*uid)?), Root::Requested),
        Who::Executable {
            pids,
            uid,
            mntns,
            on_host,
        } => {
            let (rights, found) = find_executable(pids, *uid, *mntns, *on_host)?;
            setpriority_process(None, LOW)?;
            cpu_seconds = MAX_EXECUTABLE_CPU_SECONDS;
            (Some(rights), Root::Executable(found))
        }
    };
    if let Some(rights) = rights {
        take(&rights)?;
        for (resource, limit) in [(Resource::Cpu, cpu_seconds), (Resource::Data, MAX_DATA)] {
            let limit = Some(limit);
            setrlimit(
                resource,
                Rlimit {
                    current: limit,
                    maximum: limit,
                },
            )?;
        }
    }
    drop_all_capabilities()?;
    Ok(root)
}

/// See [`of_process`]; the error is that of the first.
fn first_of(pids: &[u32], uid: u32, mntns: u32) -> Result<(Rights, OwnedFd)> {
    let mut found = pids.iter().map(|pid| of_process(*pid, uid, mntns));
    let first = found.next().context("no process")?;
    first.or_else(|e| found.find_map(Result::ok).ok_or(e))
}

/// The rights of a process, and its root directory. Everything is looked up below one
/// directory of /proc, which is of that process even if its pid is reused.
fn of_process(pid: u32, uid: u32, mntns: u32) -> Result<(Rights, OwnedFd)> {
    let process = process(pid)?;
    let rights = rights_in_namespace(&process, uid, mntns, hosts_is_served)?;
    let root = openat(&process, "root", DIRECTORY, Mode::empty()).context(Gone)?;
    Ok((rights, root))
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn process(pid: u32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}");
    openat(CWD, path, DIRECTORY, Mode::empty()).context(Gone)
}

/// The rights of a process, if it is one of this user's in this mount namespace. In one that users
/// can create, `is_served` looks at its mounts.
fn rights_in_namespace(
    process: &OwnedFd,
    uid: u32,
    mntns: u32,
    is_served: impl FnOnce(File) -> bool,
) -> Result<Rights> {
    let rights = rights_in_status(process).context(Gone)?;
    ensure!(rights.uid.as_raw() == uid, Gone);
    let read = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = openat(process, "ns/mnt", read, Mode::empty()).context(Gone)?;
    let inode = File::from(namespace.try_clone()?).metadata()?.ino();
    ensure!(inode == u64::from(mntns), Gone);
    if !namespace::is_roots(&namespace)? {
        // Its user could bind-mount any file there that root alone may read.
        ensure!(uid != 0, "root in a user's mount namespace");
        let mounts = openat(process, "mountinfo", read, Mode::empty())?;
        ensure!(
            !is_served(File::from(mounts)),
            "on a file system that another process serves"
        );
    }
    Ok(rights)
}

/// The executable of the first process, and the root directory of whichever is still there.
fn find_executable(pids: &[u32], uid: u32, mntns: u32, on_host: bool) -> Result<(Rights, Found)> {
    for (n, pid) in pids.iter().enumerate() {
        let Ok(process) = process(*pid) else { continue };
        let Ok(rights) = rights_in_namespace(&process, uid, mntns, |_| false) else {
            continue;
        };
        let path = OFlags::PATH | OFlags::CLOEXEC;
        let exe = (n == 0).then(|| openat(&process, "exe", path, Mode::empty()).ok());
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        let found = Found {
            exe: exe.flatten(),
            root: openat(&process, "root", DIRECTORY, Mode::empty()).ok(),
            root_path: readlinkat(&process, "root", Vec::new()).ok(),
            mounts: openat(&process, "mountinfo", read, Mode::empty()).ok(),
            process: (n == 0).then_some(process),
        };
        return Ok((rights, found));
    }
    let rights = of_user(uid).unwrap_or(Rights {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(NOGROUP),
        groups: Vec::new(),
    });
    let mut found = Found::default();
    if on_host {
        // Without the rights to look for it, the own one: on the host that is the same.
        let root = host::root().map_or_else(|_| directory(Path::new("/")), Ok);
        found.root = Some(root?);
        found.root_path = Some(c"/".to_owned());
        let init = process(host::INIT)?;
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        found.mounts = openat(init, "mountinfo", read, Mode::empty()).ok();
    }
    Ok((rights, found))
}

/// Real ids and supplementary groups, proc_pid_status(5).
fn rights_in_status(process: &OwnedFd) -> Result<Rights> {
    let status = openat(
        process,
        "status",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let status = io::read_to_string(File::from(status).take(64 << 10))?;
    let ids = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let ids = line.split_whitespace().map(str::parse);
        ids.collect::<Result<_, _>>().ok()
    };
    let first = |key| ids(key).and_then(|ids| ids.first().copied());
    Ok(Rights {
        uid: Uid::from_raw(first("Uid:").context("its user is not known")?),
        gid: Gid::from_raw(first("Gid:").context("its group is not known")?),
        groups: ids("Groups:")
            .unwrap_or_default()
            .into_iter()
            .map(Gid::from_raw)
            .collect(),
    })
}

/// Without its supplementary groups: what it owns suffices. passwd(5), as name services may use
/// the network.
fn of_user(uid: u32) -> Result<Rights> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    let gid = passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let own = fields.next()?.parse() == Ok(uid);
        own.then(|| fields.next()?.parse().ok()).flatten()
    });
    Ok(Rights {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid.context("no such user")?),
        groups: Vec::new(),
    })
}

/// Takes over the rights of a user. Without the capabilities for it (setcap(8) without
/// CAP_SETUID), they can only be its own.
fn take(rights: &Rights) -> Result<()> {
    let mine = Uid::effective();
    if rights.uid != mine || mine.is_root() {
        setgroups(&rights.groups).context("can't take over its groups")?;
        setresgid(rights.gid, rights.gid, rights.gid).context("can't take over its group")?;
    }
    setresuid(rights.uid, rights.uid, rights.uid).context("can't take over its user")?;
    Ok(())
}

fn drop_all_capabilities() -> Result<()> {
    hold_only(CapabilitySet::empty())?;
    set_no_new_privs(true)?;
    // After the change of user, which would reset it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

fn answer(root: &Root, request: &FileRequest) -> Result<Reply> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match (root, request) {
        (Root::Standing(root), FileRequest::Hosts { stamp }) => {
            // No user can change where its links lead. What only root may read names nothing.
            let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let (file, meta) = open(root, Path::new("etc/hosts"), inside)?;
            ensure!(meta.mode() & 0o004 != 0, "not readable by all users");
            hosts_reply(file, &meta, *stamp)
        }
        (Root::Of(root), FileRequest::Hosts { stamp }) => {
            let (file, meta) = open(root, Path::new("etc/hosts"), beneath)?;
            require_local(&file)?;
            hosts_reply(file, &meta, *stamp)
        }
        (Root::Requested, FileRequest::File { below, path, max }) => {
            let (mut file, meta) = open(&directory(below)?, path, beneath)?;
            require_local(&file)?;
            let max = (*max).min(MAX_CONTENT);
            ensure!(meta.len() <= max, "has more than {max} bytes");
            let mut bytes = Vec::new();
            file.by_ref().take(max).read_to_end(&mut bytes)?;
            Ok(Reply::Content(FileStamp::of(&meta), bytes))
        }
        (Root::Executable(found), FileRequest::Executable(request)) => {
            executable::describe(found, request)
        }
        _ => bail!("not a file for this reader"),
    }
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat2(
        CWD,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )?)
}

fn open(root: &OwnedFd, path: &Path, how: ResolveFlags) -> Result<(File, fs::Metadata)> {
    let found = openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        how,
    )?;
    // It may be a device, or a pipe that blocks.
    Ok(regular_file::open(&File::from(found))?)
}

fn hosts_reply(file: File, meta: &fs::Metadata, old: Option<FileStamp>) -> Result<Reply> {
    let stamp = FileStamp::of(meta);
    if old == Some(stamp) {
        return Ok(Reply::Unchanged);
    }
    let condensed = hosts::condense(BufReader::with_capacity(256 << 10, file))?;
    Ok(Reply::Content(stamp, condensed))
}
