//! The host's mount namespace, that of its first process, and the way to its files from another
//! one: a container with the host's pid namespace, or a unit with a file system of its own.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags, openat, readlink};

/// The host's first process, where /proc shows the host's processes.
pub const INIT: u32 = 1;
/// A kernel thread.
const KTHREADD: u32 = 2;
const ROOT: u32 = 0;

/// The inode number of a process' mount namespace.
pub fn mount_namespace_of(pid: u32) -> Option<u32> {
    let namespace = fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?;
    Some(namespace.ino() as u32)
}

/// That of the host's. Without all of the first process' capabilities egrets may not be allowed to
/// look at it; kernel threads are in the same namespace.
pub fn mount_namespace() -> Option<u32> {
    mount_namespace_of(INIT).or_else(|| mount_namespace_of(KTHREADD))
}

/// The root directory of the host: that of its first process, or else of another one of root's.
/// Kernel threads may be left with an initial file system, and other processes with a directory of
/// their own.
///
/// # Errors
/// No process of the host's may be looked at.
pub fn root() -> Result<OwnedFd> {
    let namespace = mount_namespace();
    let others = procfs::process::all_processes().into_iter().flatten();
    let others = others.flatten().filter(|process| {
        process.status().is_ok_and(|status| status.ruid == ROOT) && process.exe().is_ok()
    });
    let pids = [INIT].into_iter().chain(others.map(|p| p.pid as u32));
    let of_host = pids.filter(|pid| namespace.is_some() && mount_namespace_of(*pid) == namespace);
    let mut roots = of_host.filter_map(|pid| {
        let path = format!("/proc/{pid}/root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let is_whole = readlink(&path, Vec::new()).is_ok_and(|root| root.as_c_str() == c"/");
        let root = openat(CWD, path, flags, Mode::empty());
        root.ok().filter(|_| is_whole)
    });
    roots
        .next()
        .context("the host's root directory can't be found")
}
