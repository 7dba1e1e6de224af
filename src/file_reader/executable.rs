//! What an executable is: its hash, its flags, its package. In comes the file that a process runs,
//! or its path where the process has ended; out goes a report. Runs with the rights of the
//! process' user alone.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use md5::Md5;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fstatfs, major, minor, openat2, statat};
use rustix::time::{ClockId, clock_gettime};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::mounts::require_local;
use super::package_lookup::{Checksum, Lookup};
use super::packages;
use super::protocol::{
    ExecutableReport, ExecutableRequest, ExecutableStamp, FileStamp, ReadStatus, Reply,
};
use super::regular_file;

/// Bytes of the largest executable that is read: what is larger costs its user nothing to make,
/// and a second or more to hash. Browsers have 300 MB.
pub const MAX_BYTES: u64 = 512 << 20;

const SET_USER_ID: u32 = 0o4000;
const WORLD_WRITABLE: u32 = 0o2;

/// What is open before the worker takes its user's rights.
#[derive(Default)]
pub struct Found {
    /// The file that the process runs.
    pub exe: Option<OwnedFd>,
    pub root: Option<OwnedFd>,
    /// The path of that root directory, in the mount namespace.
    pub root_path: Option<std::ffi::CString>,
    /// mountinfo of the process.
    pub mounts: Option<OwnedFd>,
    /// Its directory in /proc.
    pub process: Option<OwnedFd>,
}

/// Reads an executable, unless it is as it is known.
///
/// # Errors
/// The file can't be read to its end.
pub fn describe(found: &Found, request: &ExecutableRequest) -> Result<Reply> {
    let path = below_root(found, request);
    let (file, meta) = match find(found, request, path) {
        Ok(found) => found,
        Err(why) => return Ok(report(ExecutableReport::without(why))),
    };
    // A process that has changed its root directory could have made any database there.
    let own_root = found
        .root
        .as_ref()
        .filter(|_| found.root_path.as_deref() == Some(c"/"));
    let root = own_root.filter(|_| request.packages);
    let databases = root.map(packages::stamps).unwrap_or_default();
    let mut stamp = ExecutableStamp {
        file: FileStamp::of(&meta),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        databases,
    };
    if request.known.as_ref() == Some(&stamp) {
        return Ok(Reply::Unchanged);
    }
    let mut shown = ExecutableReport {
        setuid: Some(meta.mode() & SET_USER_ID != 0),
        world_writable_dir: own_root
            .zip(path)
            .and_then(|(root, path)| below_writable_dir(root, path)),
        ..ExecutableReport::without(ReadStatus::Read)
    };
    let mut owner = None;
    if let (Some(root), Some(path)) = (root, path) {
        // Where the path leads to another file now, that is the package's.
        let is_there = at(root, path).is_some_and(|there| is_same(&there, &meta));
        match packages::find(root, path).unwrap_or(Lookup::Unknown) {
            Lookup::Unowned => shown.packaged = Some(false),
            Lookup::Owned(package) if is_there => {
                shown.packaged = Some(true);
                shown.package = Some(package.name.clone());
                shown.package_version = package.version.clone();
                owner = package.checksum;
            }
            Lookup::Owned(_) | Lookup::Unknown => {}
        }
    }
    match meta.size() > MAX_BYTES {
        true => shown.status = ReadStatus::TooLarge,
        false => match regular_file::open(&file) {
            Ok((mut opened, _)) => {
                let (sha256, modified) = hash(&mut opened, meta.size(), owner.as_ref())?;
                let after = opened.metadata()?;
                stamp.file = FileStamp::of(&after);
                // Of a file that runs only root can change the content, but anyone its name.
                let may_differ = !is_alive(found) && stamp.file.changed_since(request.run_ts);
                if may_differ || after.size() != meta.size() {
                    return Ok(report(ExecutableReport::without(ReadStatus::Gone)));
                }
                (shown.sha256, shown.modified) = (Some(sha256), modified);
            }
            Err(_) => shown.status = ReadStatus::Unreadable,
        },
    }
    // Another user may be able to read it.
    if shown.status != ReadStatus::Unreadable {
        shown.stamp = Some(stamp);
    }
    Ok(report(shown))
}

fn report(mut report: ExecutableReport) -> Reply {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    report.cpu_us = used.tv_sec as u64 * 1_000_000 + used.tv_nsec as u64 / 1_000;
    Reply::Executable(Box::new(report))
}

/// The path of an executable below the root directory.
fn below_root<'a>(found: &Found, request: &'a ExecutableRequest) -> Option<&'a Path> {
    let root = found.root_path.as_ref().and_then(|root| root.to_str().ok());
    let path = Path::new(request.path.as_deref()?);
    path.strip_prefix(root.unwrap_or("/")).ok()
}

/// The file that the process runs, or else the one at its path, if that is what it ran.
fn find(
    found: &Found,
    request: &ExecutableRequest,
    path: Option<&Path>,
) -> Result<(File, Metadata), ReadStatus> {
    let exe = found.exe.as_ref().and_then(|exe| exe.try_clone().ok());
    if let Some(exe) = exe.map(File::from) {
        require_local(&exe).map_err(|_| ReadStatus::FileSystem)?;
        // In a user's mount namespace, what is below an overlay can change while it runs.
        if !request.packages && is_overlay(&exe) {
            return Err(ReadStatus::FileSystem);
        }
        if let Some(meta) = reported(&exe, found, request) {
            return Ok((exe, meta));
        }
    }
    let root = found.root.as_ref().ok_or(ReadStatus::Gone)?;
    let file = path
        .and_then(|path| at(root, path))
        .ok_or(ReadStatus::Gone)?;
    require_local(&file).map_err(|_| ReadStatus::FileSystem)?;
    let meta = reported(&file, found, request).ok_or(ReadStatus::Gone)?;
    match FileStamp::of(&meta).changed_since(request.run_ts) {
        true => Err(ReadStatus::Gone),
        false => Ok((file, meta)),
    }
}

fn is_overlay(file: &File) -> bool {
    const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630; // linux/magic.h
    fstatfs(file).is_ok_and(|of| of.f_type == OVERLAYFS_SUPER_MAGIC)
}

/// The file at a path without links.
fn at(root: &OwnedFd, path: &Path) -> Option<File> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), how)
        .ok()
        .map(File::from)
}

fn is_same(file: &File, meta: &Metadata) -> bool {
    file.metadata()
        .is_ok_and(|there| (there.dev(), there.ino()) == (meta.dev(), meta.ino()))
}

/// Its metadata, if it is the file that the kernel side saw. stat(2) has other device numbers for
/// files on Btrfs and overlays than the kernel itself, and mountinfo.
fn reported(file: &File, found: &Found, request: &ExecutableRequest) -> Option<Metadata> {
    let meta = file.metadata().ok()?;
    let is_device = || {
        (major(meta.dev()), minor(meta.dev())) == request.device
            || mount_device(file, found.mounts.as_ref()).ok() == Some(request.device)
    };
    (meta.is_file() && meta.ino() == request.inode && is_device()).then_some(meta)
}

/// The device of a file's mount, proc_pid_mountinfo(5).
fn mount_device(file: &File, mounts: Option<&OwnedFd>) -> Result<(u32, u32)> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let id = id.context("no mount")?.trim();
    let mounts = match mounts {
        Some(mounts) => File::from(mounts.try_clone()?),
        None => File::open("/proc/self/mountinfo")?,
    };
    for line in BufReader::new(mounts.take(MAX_MOUNTINFO)).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let mut fields = line.split(' ');
        if fields.next() == Some(id) {
            let device = fields.nth(1).and_then(|device| device.split_once(':'));
            let (major, minor) = device.context("no device")?;
            return Ok((major.parse()?, minor.parse()?));
        }
    }
    anyhow::bail!("no such mount")
}

const MAX_MOUNTINFO: u64 = 1 << 20;

/// Whether the process is still there, which keeps its file from being written to. That it runs
/// the same file as before can't be seen with its user's rights: the recorder compares its execs.
fn is_alive(found: &Found) -> bool {
    let process = found.process.as_ref();
    process.is_some_and(|process| statat(process, "stat", AtFlags::empty()).is_ok())
}

/// Whether any user can write to a directory on the way to a file; None where they can't all be
/// looked at, and none of the others is.
fn below_writable_dir(root: &OwnedFd, path: &Path) -> Option<bool> {
    let mut known = true;
    for dir in path.ancestors().skip(1) {
        let dir = match dir.as_os_str().is_empty() {
            true => Path::new("."),
            false => dir,
        };
        match at(root, dir).and_then(|dir| dir.metadata().ok()) {
            Some(meta) if meta.mode() & WORLD_WRITABLE != 0 => return Some(true),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(false)
}

/// The SHA-256 in hexadecimal digits, and whether the content differs from a checksum.
fn hash(file: &mut File, size: u64, checksum: Option<&Checksum>) -> Result<(String, Option<bool>)> {
    let mut sha256 = Sha256::new();
    let mut sha1 = matches!(checksum, Some(Checksum::Sha1(_))).then(Sha1::new);
    let mut md5 = matches!(checksum, Some(Checksum::Md5(_))).then(Md5::new);
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    while left > 0 {
        let n = file.read(&mut buffer)?;
        ensure!(n > 0, "the file became shorter");
        let bytes = &buffer[..n];
        left = left.saturating_sub(n as u64);
        sha256.update(bytes);
        if let Some(sha1) = &mut sha1 {
            sha1.update(bytes);
        }
        if let Some(md5) = &mut md5 {
            md5.update(bytes);
        }
    }
    let sha256 = sha256.finalize();
    let modified = checksum.map(|expected| match expected {
        Checksum::Md5(sum) => md5.map(|md5| md5.finalize()[..] != sum[..]) != Some(false),
        Checksum::Sha1(sum) => sha1.map(|sha1| sha1.finalize()[..] != sum[..]) != Some(false),
        Checksum::Sha256(sum) => sha256[..] != sum[..],
    });
    let hex = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, modified))
}
