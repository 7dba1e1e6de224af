//! Core dumps. They hold all that a process had in memory, so they are root's alone, and bounded:
//! a process chooses how much memory it has.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use elfcore::ProcessView;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};

/// Dumps that a directory may hold.
const MAX_DUMPS: usize = 32;
/// Of a dump: the rest is left out.
const MAX_BYTES: u64 = 1 << 30;
/// How long one may take; then the process is killed without it.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A directory of the caller's own, which no other user can look into.
pub struct DumpDir {
    path: PathBuf,
    fd: OwnedFd,
}

impl DumpDir {
    /// Creates it where it does not exist.
    ///
    /// # Errors
    /// It is not the caller's alone.
    pub fn open(path: &Path) -> Result<DumpDir> {
        let path = std::path::absolute(path)?;
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("can't create {}", path.display()));
            }
            _ => {}
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())
            .with_context(|| format!("{} can't be used for dumps", path.display()))?;
        let dir = DumpDir { path, fd };
        dir.check()?;
        Ok(dir)
    }

    /// From its descriptor.
    pub fn of(fd: OwnedFd) -> Result<DumpDir> {
        let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        let dir = DumpDir { path, fd };
        dir.check()?;
        Ok(dir)
    }

    fn check(&self) -> Result<()> {
        let path = self.path.display();
        let found = File::from(self.fd.try_clone()?).metadata()?;
        if !found.is_dir() {
            bail!("{path} is not a directory");
        }
        let own = rustix::process::geteuid().as_raw();
        if found.uid() != own || found.mode() & 0o077 != 0 {
            bail!(
                "{path} must be a directory of user {own} alone: core dumps hold secrets. chown {own} {path}; chmod 700 {path}"
            );
        }
        Ok(())
    }

    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub fn path_of(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    pub fn remove(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// A new file, and its name.
    ///
    /// # Errors
    /// It has too many dumps already, or there is no room.
    pub fn create(&self, pid: u32) -> Result<(String, File)> {
        let there = fs::read_dir(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))?;
        if there.count() >= MAX_DUMPS {
            bail!(
                "{} has {MAX_DUMPS} files already: remove some",
                self.path.display()
            );
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let name = format!("{}.{:03}-{pid}.core", now.as_secs(), now.subsec_millis());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = openat(self.fd.as_fd(), &name, flags | OFlags::CLOEXEC, mode)
            .with_context(|| format!("can't create {name} in {}", self.path.display()))?;
        Ok((name, File::from(fd)))
    }
}

/// Writes the core dump of a process that has been stopped. Reads its memory alone, and none of
/// the files that it has chosen.
pub fn write(pid: u32, file: File) -> Result<()> {
    let process = ProcessView::new(i32::try_from(pid)?).context("can't attach to it")?;
    let mut out = Bounded {
        out: BufWriter::new(file),
        left: MAX_BYTES,
    };
    let written = elfcore::write_core_dump(&mut out, &process);
    out.out.flush()?;
    // what it has up to the bound can be read
    if out.left > 0 {
        written.context("its memory can't be read")?;
    }
    Ok(())
}

struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if len == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.out.write(bytes.get(..len).unwrap_or_default())?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
