//! What attaching needs of the kernel: two file systems, mounted anywhere or not at all, the
//! cgroup namespace, kprobes; and the size of a loaded program.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{ProgramType, libbpf_sys};
use procfs::ProcResult;
use procfs::process::Process;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::preflight::Namespace;

/// The root of a mounted file system of a type, or a private mount of it that no other process
/// sees and that is unmounted with the descriptor.
fn root_of(fstype: &str) -> Result<OwnedFd> {
    let mounted = mount_points(fstype)
        .unwrap_or_default()
        .into_iter()
        .find_map(|(dir, device)| {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(dir, flags, Mode::empty()).ok()?;
            // Another file system may be mounted over it.
            let found = rustix::fs::fstat(&dir).ok()?.st_dev;
            let found = format!("{}:{}", rustix::fs::major(found), rustix::fs::minor(found));
            (found == device).then_some(dir)
        });
    if let Some(dir) = mounted {
        return Ok(dir);
    }
    let private = || -> rustix::io::Result<OwnedFd> {
        let fs = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(fs.as_fd())?;
        fsmount(
            fs.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
    };
    private().with_context(|| format!("{fstype} is not mounted and can't be mounted"))
}

/// Mount points of whole file systems of a type (not bind mounts of parts), each with its
/// device as `MAJOR:MINOR`.
fn mount_points(fstype: &str) -> ProcResult<Vec<(PathBuf, String)>> {
    Ok(Process::myself()?
        .mountinfo()?
        .into_iter()
        .filter(|m| m.fs_type == fstype && m.root == "/")
        .map(|m| (m.mount_point, m.majmin))
        .collect())
}

/// The topmost directory of the cgroup2 hierarchy that egrets sees.
pub fn cgroup2() -> Result<OwnedFd> {
    root_of("cgroup2")
}

/// Inode of the cgroup2 hierarchy's root (kernfs numbers its root 1): any other is the root of
/// a cgroup namespace.
const CGROUP2_ROOT_INO: u64 = 1;

/// Whether the descriptor is the real root, not a cgroup namespace's.
pub fn is_cgroup2_root(dir: &OwnedFd) -> bool {
    rustix::fs::fstat(dir).is_ok_and(|stat| stat.st_ino == CGROUP2_ROOT_INO)
}

/// Joins the host's cgroup namespace if a process in it is visible, as in a container with the
/// host's pid namespace. Applies to the calling thread and the threads that it starts.
pub fn join_cgroup_namespace() {
    if Namespace::Cgroup.is_initial() || !Namespace::Pid.is_initial() {
        return;
    }
    let host = procfs::process::all_processes().into_iter().flatten();
    let host = host.flatten().find_map(|process| {
        let namespace = fs::File::open(format!("/proc/{}/ns/cgroup", process.pid)).ok()?;
        let stat = rustix::fs::fstat(&namespace).ok()?;
        (stat.st_ino == Namespace::Cgroup as u64).then_some(namespace)
    });
    if let Some(host) = host {
        let kind = Some(LinkNameSpaceType::ControlGroup);
        let _ = move_into_link_name_space(host.as_fd(), kind);
    }
}

/// Whether the programs of cgroups may have the current task with its type, whose fields they read
/// at once.
pub fn has_typed_task() -> bool {
    ProgramType::CgroupSockAddr
        .is_helper_supported(libbpf_sys::BPF_FUNC_get_current_task_btf)
        .unwrap_or(false)
}

/// Whether the kernel has kprobes: perf_event_open(2) has an event type for them.
pub fn has_kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe/type").exists()
}

/// Size of a loaded program in bytes: BPF instructions, and machine code.
pub fn program_bytes(program: BorrowedFd<'_>) -> Option<(u32, u32)> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes, the size of the struct; all zero, it
    // requests no other buffers.
    let error =
        unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut len) };
    (error == 0).then_some((info.xlated_prog_len, info.jited_prog_len))
}

/// An event to attach a tracepoint program to.
///
/// libbpf does this too, but only if tracefs is mounted in its usual place.
pub fn open_tracepoint(category: &str, name: &str) -> Result<OwnedFd> {
    let tracefs = root_of("tracefs")?;
    let path = format!(
        "/proc/self/fd/{}/events/{category}/{name}/id",
        tracefs.as_raw_fd()
    );
    let id: u64 = fs::read_to_string(&path)
        .with_context(|| format!("the kernel has no tracepoint {category}/{name}"))?
        .trim()
        .parse()
        .map_err(|_| anyhow!("the id of tracepoint {category}/{name} is not a number"))?;
    let attr = PerfEventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<PerfEventAttr>() as u32,
        config: id,
        rest: [0; 6],
    };
    // SAFETY: perf_event_open(2) reads `size` bytes of a valid, initialized attr. Pid -1 with
    // cpu 0, as in libbpf: a tracepoint program runs on all.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &attr,
            -1,
            0,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("perf_event_open for tracepoint {category}/{name}"));
    }
    // SAFETY: the kernel has just opened this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The first published part of `struct perf_event_attr`
/// (include/uapi/linux/perf_event.h, PERF_ATTR_SIZE_VER0).
#[repr(C)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
