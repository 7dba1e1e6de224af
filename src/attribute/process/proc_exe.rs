//! Executables as /proc shows them. Only the links of /proc are read: nothing is opened or
//! asked of a file system that a user may have mounted.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, MemfdFlags, Statx, StatxFlags, fstat, memfd_create, statx};

use crate::file_reader::host;
use crate::model::{ExeFile, ExeView};

/// What /proc/PID/exe appends to the path of a deleted file (fs/d_path.c).
const DELETED: &str = " (deleted)";
/// The inode number of the initial user namespace: PROC_USER_INIT_INO, include/linux/proc_ns.h.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
/// Mode bits of a directory where other users can create files, and, if the second one is not
/// set, rename and delete those of root.
const WORLD_WRITABLE: u32 = 0o2;
const STICKY: u32 = 0o1000;

/// What tells where an executable's path holds.
#[derive(Debug, Default)]
pub struct HostMounts {
    /// Ids of the mounts in the mount namespace of the host's first process.
    ids: HashSet<u64>,
    /// Inode number of that namespace.
    namespace: Option<u64>,
    /// Its root directory.
    root: PathBuf,
    /// The file system of memfds.
    memory: Option<(u32, u32)>,
}

impl HostMounts {
    pub fn read() -> HostMounts {
        let mounts = procfs::process::Process::new(1).and_then(|init| init.mountinfo());
        let ids = mounts.into_iter().flatten().map(|m| m.mnt_id as u64);
        let memfd = memfd_create("egrets", MemfdFlags::CLOEXEC);
        let memory = memfd.and_then(fstat).ok().map(|stat| {
            let dev = stat.st_dev;
            (rustix::fs::major(dev), rustix::fs::minor(dev))
        });
        let host = host::mount_namespace().map(u64::from);
        let is_own = host.is_some() && namespace(Path::new("/proc/self"), "mnt") == host;
        HostMounts {
            ids: ids.collect(),
            namespace: host,
            root: if is_own { "/" } else { "/proc/1/root" }.into(),
            memory,
        }
    }

    /// The executable of a process that has this directory in /proc, by its host's path.
    pub fn exe(&mut self, process: &Path) -> Option<(String, ExeFile)> {
        let dir = with_memory(process);
        let link = dir.join("exe");
        let target = fs::read_link(&link).ok()?;
        let shown = target.to_string_lossy();
        let path = shown.strip_suffix(DELETED);
        let deleted = path.is_some();
        // DONT_SYNC: a FUSE server is not asked.
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let Ok(stat) = statx(CWD, &link, flags, wanted) else {
            return Some((path.unwrap_or(&shown).to_string(), ExeFile::default()));
        };
        let view = self.view(&stat, process, deleted);
        let path = match view {
            ExeView::Memory => &shown,
            _ => path.unwrap_or(&shown),
        };
        let root_only = matches!(view, ExeView::Host | ExeView::Namespace)
            && !deleted
            && !is_shared(stat.stx_uid, stat.stx_mode.into())
            && self.parents_are_roots(Path::new(path));
        let file = ExeFile {
            view: Some(view),
            deleted,
            device: Some((stat.stx_dev_major, stat.stx_dev_minor)),
            inode: Some(stat.stx_ino),
            root_only,
        };
        Some((path.to_string(), file))
    }

    /// Whether an executable is the host's file at its path. A service with a mount namespace of
    /// its own, such as systemd's, runs those, too; a container does not.
    pub fn has(&self, path: &str, file: &ExeFile) -> bool {
        if file.deleted || file.view != Some(ExeView::Namespace) {
            return !file.deleted && file.view == Some(ExeView::Host);
        }
        let path = Path::new(path);
        if !file.root_only || !self.parents_are_roots(path) {
            return false;
        }
        let on_host = self.root.join(path.strip_prefix("/").unwrap_or(path));
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statx(CWD, &on_host, flags, StatxFlags::BASIC_STATS);
        found.is_ok_and(|stat| {
            file.inode == Some(stat.stx_ino)
                && file.device == Some((stat.stx_dev_major, stat.stx_dev_minor))
        })
    }

    /// Whether only root can change the directories that a path leads through. It is followed from
    /// the root, and no further than to a directory that a user can change.
    fn parents_are_roots(&self, path: &Path) -> bool {
        let dirs: Vec<_> = path.ancestors().skip(1).collect();
        dirs.into_iter().rev().all(|dir| {
            let below_root = self.root.join(dir.strip_prefix("/").unwrap_or(dir));
            fs::symlink_metadata(below_root.join("."))
                .is_ok_and(|meta| meta.is_dir() && !is_shared(meta.uid(), meta.mode()))
        })
    }

    fn view(&mut self, stat: &Statx, process: &Path, deleted: bool) -> ExeView {
        let device = (stat.stx_dev_major, stat.stx_dev_minor);
        if !self.ids.contains(&stat.stx_mnt_id)
            && self.namespace.is_some()
            && namespace(process, "mnt") == self.namespace
        {
            *self = HostMounts::read(); // mounted since
        }
        if deleted && self.memory == Some(device) {
            return ExeView::Memory;
        }
        // There a process can have named any file as its executable: prctl(2), PR_SET_MM_MAP.
        if namespace(process, "user") != Some(INITIAL_USER_NAMESPACE) {
            return ExeView::UserNamespace;
        }
        match self.ids.contains(&stat.stx_mnt_id) {
            true => ExeView::Host,
            false => ExeView::Namespace,
        }
    }
}

/// Inode number of a namespace of a process.
fn namespace(process: &Path, name: &str) -> Option<u64> {
    let found = fs::metadata(process.join("ns").join(name));
    found.ok().map(|namespace| namespace.ino())
}

/// The directory in /proc of a thread that still has the process' memory: after its first thread
/// has ended, /proc/PID shows neither executable nor arguments.
pub fn with_memory(process: &Path) -> PathBuf {
    let has_memory = |dir: &Path| fs::read_link(dir.join("exe")).is_ok();
    if has_memory(process) {
        return process.to_path_buf();
    }
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    let mut dirs = threads.flatten().take(MAX_THREADS).map(|t| t.path());
    dirs.find(|dir| has_memory(dir))
        .unwrap_or_else(|| process.to_path_buf())
}

/// Threads looked at.
const MAX_THREADS: usize = 64;

/// Whether users other than root can change a file, or what is in a directory.
fn is_shared(uid: u32, mode: u32) -> bool {
    uid != 0 || mode & (WORLD_WRITABLE | STICKY) == WORLD_WRITABLE
}
