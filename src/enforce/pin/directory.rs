//! Directories in the BPF file system: root's own and no other's, each locked by the recorder
//! that has made it for as long as it runs.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libbpf_rs::Link;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, statfs};
use rustix::io::Errno;

/// Where every system mounts it.
pub const BPFFS: &str = "/sys/fs/bpf";
const ROOT: &str = "/sys/fs/bpf/egrets";

/// The policy's programs at the cgroup in the order in which they end: first those that refuse, then
/// those that learn what these go by.
const VERDICTS_FIRST: [&str; 5] = [
    "link_policy_egress",
    "link_policy_connect6",
    "link_policy_connect4",
    "link_policy_asked",
    "link_policy_answered",
];

/// How long another process may look at what is pinned, or change it, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// BPF_FS_MAGIC, include/uapi/linux/magic.h
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// # Errors
/// There is no BPF file system where it has to be.
pub fn require_bpffs() -> Result<()> {
    let found = statfs(BPFFS).map(|found| found.f_type as u64 & 0xffff_ffff);
    if found == Ok(BPF_FS_MAGIC) {
        return Ok(());
    }
    bail!(
        "--pin: there is no BPF file system at {BPFFS}: 'sudo mount -t bpf -o mode=700 bpf {BPFFS}' mounts it"
    )
}

/// The directory of all that is pinned. Who holds this alone makes, takes or removes directories
/// in it.
pub struct Root {
    _lock: OwnedFd,
}

impl Root {
    /// None: there is nothing.
    ///
    /// # Errors
    /// It is another user's, or can't be locked.
    pub fn open() -> Result<Option<Root>> {
        let Some(directory) = open_own(Path::new(ROOT))? else {
            return Ok(None);
        };
        let begun = Instant::now();
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => bail!("{ROOT} is locked by another process"),
                locked => {
                    locked.context(ROOT)?;
                    return Ok(Some(Root { _lock: directory }));
                }
            }
        }
    }

    /// # Errors
    /// As of [`Root::open`]; or it can't be created.
    pub fn create() -> Result<Root> {
        require_bpffs()?;
        make(Path::new(ROOT))?;
        Root::open()?.with_context(|| format!("{ROOT} is gone again"))
    }

    /// What recorders have pinned: a directory for each, below one for the layout of its tables.
    pub fn instances(&self) -> Vec<PathBuf> {
        let layouts = children(Path::new(ROOT));
        layouts.iter().flat_map(|layout| children(layout)).collect()
    }

    /// A new directory of this process'.
    pub fn add(&self, layout: &str, name: &str) -> Result<Directory> {
        let layout = Path::new(ROOT).join(layout);
        make(&layout)?;
        let path = layout.join(name);
        make(&path)?;
        let lock = Directory::lock(&path)?;
        lock.with_context(|| format!("{} is locked", path.display()))
    }
}

/// One recorder's.
pub struct Directory {
    pub path: PathBuf,
    /// Those of [`VERDICTS_FIRST`]. A recorder that has dropped its privileges can't open them.
    verdicts: Vec<Link>,
    _lock: OwnedFd,
}

impl Directory {
    /// None: the recorder that made it runs.
    ///
    /// # Errors
    /// It is another user's, or what is pinned in it can't be opened.
    pub fn lock(path: &Path) -> Result<Option<Directory>> {
        let Some(directory) = open_own(path)? else {
            return Ok(None);
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            locked => {
                locked.with_context(|| path.display().to_string())?;
                let mut verdicts = Vec::new();
                for file in VERDICTS_FIRST.map(|name| path.join(name)) {
                    if file.exists() {
                        let link = Link::open(&file);
                        verdicts.push(link.with_context(|| file.display().to_string())?);
                    }
                }
                Ok(Some(Directory {
                    path: path.to_owned(),
                    verdicts,
                    _lock: directory,
                }))
            }
        }
    }

    /// The name of the layout that its tables have.
    pub fn layout(&self) -> Option<&str> {
        self.path.parent()?.file_name()?.to_str()
    }

    /// Removes it with all that is pinned in it: the kernel detaches what nothing else holds.
    ///
    /// # Errors
    /// Something can't be detached or removed.
    pub fn remove(&self) -> Result<()> {
        let said = |path: &Path| format!("{} can't be removed", path.display());
        let files = fs::read_dir(&self.path).with_context(|| said(&self.path))?;
        let files = files.collect::<io::Result<Vec<_>>>();
        let files = files.with_context(|| said(&self.path))?;
        // When the last file of a link is gone, the kernel detaches it later, in no order. So
        // nothing is refused meanwhile for an answer that was not learnt any more.
        for link in &self.verdicts {
            let detached = link.detach();
            detached.with_context(|| format!("{}: can't be detached", self.path.display()))?;
        }
        for file in files.iter().map(fs::DirEntry::path) {
            fs::remove_file(&file).with_context(|| said(&file))?;
        }
        fs::remove_dir(&self.path).with_context(|| said(&self.path))?;
        // another one's may be beside it
        if let Some(layout) = self.path.parent() {
            let _ = fs::remove_dir(layout);
        }
        Ok(())
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut paths: Vec<PathBuf> = directories.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn make(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            let hint = match e.raw_os_error() {
                Some(libc::EROFS) => ": the unit takes ReadWritePaths=/sys/fs/bpf",
                _ => "",
            };
            Err(e).with_context(|| format!("{} can't be created{hint}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A directory of root's that no other user can read or write. None: there is none.
fn open_own(path: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS) if !rustix::process::geteuid().is_root() => return Ok(None),
        opened => opened.with_context(|| path.display().to_string())?,
    };
    let found = fstat(&directory).with_context(|| path.display().to_string())?;
    if found.st_uid != 0 || found.st_mode & 0o077 != 0 {
        bail!(
            "{} is of user {} with mode {:03o}: what is pinned has to be root's alone (mode 700); remove it",
            path.display(),
            found.st_uid,
            found.st_mode & 0o777
        );
    }
    Ok(Some(directory))
}
