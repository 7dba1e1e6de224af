//! Who is spared: without these the host, or the way to it, would be lost.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::identity::{Stat, Target};
use crate::policy::STUBS;

const SSH: [&str; 8] = [
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
    "/usr/libexec/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-auth",
    "/usr/lib/ssh/sshd-session",
    "/usr/lib/ssh/sshd-auth",
    "/usr/sbin/dropbear",
];

const RUNTIMES: [&str; 22] = [
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/bin/docker-proxy",
    "/usr/sbin/docker-proxy",
    "/usr/libexec/docker/docker-proxy",
    "/usr/bin/containerd",
    "/usr/bin/containerd-shim",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/runc",
    "/usr/sbin/runc",
    "/usr/bin/crun",
    "/usr/bin/podman",
    "/usr/bin/conmon",
    "/usr/libexec/podman/conmon",
    "/usr/bin/crio",
    "/usr/bin/kubelet",
    "/usr/local/bin/k3s",
    "/usr/bin/systemd-nspawn",
    "/usr/lib/systemd/systemd-nspawn",
    "/usr/bin/lxc-start",
    "/usr/sbin/lxd",
    "/usr/bin/incusd",
];

/// Ancestors that are followed.
const MAX_ANCESTORS: usize = 64;

pub struct Exempt {
    recorder: u32,
}

impl Exempt {
    pub fn new(recorder: u32) -> Exempt {
        Exempt { recorder }
    }

    /// Why a process is spared. `exe` is its program, as the recorder knows it: also where its
    /// file has been replaced since.
    pub fn reason(&self, target: &Target, exe: Option<&str>) -> Option<String> {
        if target.pid == 1 {
            return Some("it is the first process".into());
        }
        if target.is_kernel_thread {
            return Some("it belongs to the kernel".into());
        }
        if self.is_recorder_or_above(target.pid) || is_same_program(target.pid, "/proc/self/exe") {
            return Some("it is egrets, or started it".into());
        }
        let mut programs = SSH.iter().chain(&RUNTIMES).chain(&STUBS);
        programs
            .find(|path| exe == Some(**path) || is_same_program(target.pid, path))
            .map(|path| format!("it is {path}"))
    }

    fn is_recorder_or_above(&self, pid: u32) -> bool {
        let mut at = self.recorder;
        for _ in 0..MAX_ANCESTORS {
            if at == pid {
                return true;
            }
            match Stat::read(at) {
                Ok(stat) if stat.ppid > 0 => at = stat.ppid,
                _ => return false,
            }
        }
        false
    }
}

/// Whether it runs this file of the host's. Not its path counts, at which a mount namespace of a
/// user's may have any file, but the file itself, which only root can change.
fn is_same_program(pid: u32, path: &str) -> bool {
    let (Ok(its), Ok(file)) = (fs::metadata(format!("/proc/{pid}/exe")), fs::metadata(path)) else {
        return false;
    };
    (its.dev(), its.ino()) == (file.dev(), file.ino())
        && file.uid() == 0
        && file.mode() & 0o022 == 0
}
