//! Processes as /proc shows them.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::process as proc;

use super::image::{Image, command_line};
use super::proc_exe::{HostMounts, with_memory};
use crate::attribute::naming::ProcessKey;
use crate::capture::event::arguments;
use crate::model::{ExeFile, tick_ns};

/// Bytes kept of a command line, as in the kernel side.
const ARGV_MAX: usize = 4096;

#[derive(Debug)]
pub struct ProcReader {
    /// Whether /proc shows the kernel side's pids.
    available: bool,
    /// Keep no arguments.
    pub no_args: bool,
    mounts: RefCell<HostMounts>,
}

/// A process in /proc.
pub struct ProcEntry {
    pub key: ProcessKey,
    pub uid: u32,
    pub ppid: Option<u32>,
    pub session: u32,
    pub image: Image,
}

impl ProcReader {
    pub fn new(available: bool, no_args: bool) -> ProcReader {
        let mounts = match available {
            true => HostMounts::read(),
            false => HostMounts::default(),
        };
        ProcReader {
            available,
            no_args,
            mounts: RefCell::new(mounts),
        }
    }

    /// See [`HostMounts::has`].
    pub fn is_hosts_file(&self, path: &str, file: &ExeFile) -> bool {
        self.mounts.borrow().has(path, file)
    }

    /// All processes, parents before children.
    pub fn all(&self) -> Vec<ProcEntry> {
        if !self.available {
            return Vec::new();
        }
        let Ok(all) = proc::all_processes() else {
            return Vec::new();
        };
        let mut found: Vec<_> = all.flatten().filter_map(|p| p.stat().ok()).collect();
        found.sort_by_key(|stat| (stat.starttime, stat.pid));
        let entries = found.iter().map(|stat| self.entry(stat));
        entries.collect()
    }

    /// The process that has this pid now.
    pub fn one(&self, pid: u32) -> Option<ProcEntry> {
        if !self.available {
            return None;
        }
        let process = proc::Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        Some(self.entry(&stat))
    }

    /// /proc/PID/cgroup.
    pub fn cgroup(&self, pid: u32) -> Option<String> {
        let path = format!("/proc/{pid}/cgroup");
        self.available
            .then(|| fs::read_to_string(path).ok())
            .flatten()
    }

    fn entry(&self, stat: &proc::Stat) -> ProcEntry {
        let pid = stat.pid as u32;
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let (argv, cut) = read_argv(&dir);
        let exe = self.mounts.borrow_mut().exe(&dir);
        let (exe, exe_file) = exe.map_or_else(Default::default, |(path, file)| (Some(path), file));
        ProcEntry {
            key: (pid, ticks_to_ns(stat.starttime)),
            uid: fs::metadata(&dir).map_or(0, |meta| meta.uid()),
            ppid: Some(stat.ppid as u32).filter(|ppid| *ppid != 0),
            session: u32::try_from(stat.session).unwrap_or_default(),
            image: Image {
                comm: stat.comm.clone(),
                exe,
                exe_file,
                cmdline: command_line(&argv, cut, self.no_args),
                exec_id: None,
                ..Image::default()
            },
        }
    }
}

/// The arguments of a process, and whether they were truncated: the process may have written
/// anything there, of any length.
fn read_argv(process: &Path) -> (Vec<String>, bool) {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(with_memory(process).join("cmdline")) {
        let _ = file.take(ARGV_MAX as u64 + 1).read_to_end(&mut bytes);
    }
    let cut = bytes.len() > ARGV_MAX;
    bytes.truncate(ARGV_MAX);
    (arguments(&bytes), cut)
}

/// Clock ticks since boot (proc_pid_stat(5), field 22) in nanoseconds.
fn ticks_to_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(tick_ns())
}
