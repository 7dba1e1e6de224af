//! Requirements, checked before anything is loaded, so that an error names what is missing
//! and the command that grants it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

/// A capability that the capture requires.
struct Need {
    set: CapabilitySet,
    /// As setcap(8) and systemd name it.
    name: &'static str,
    purpose: &'static str,
}

const NEEDS: [Need; 3] = [
    Need {
        set: CapabilitySet::BPF,
        name: "CAP_BPF",
        purpose: "load BPF programs",
    },
    Need {
        set: CapabilitySet::NET_ADMIN,
        name: "CAP_NET_ADMIN",
        purpose: "attach to the sockets of all cgroups",
    },
    Need {
        set: CapabilitySet::PERFMON,
        name: "CAP_PERFMON",
        purpose: "attach to tracepoints and read kernel data",
    },
];

/// A kind of namespace, with the inode of its initial one (include/linux/proc_ns.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Namespace {
    User = 0xEFFF_FFFD,
    Pid = 0xEFFF_FFFC,
    Cgroup = 0xEFFF_FFFB,
}

impl Namespace {
    /// Whether egrets is in the initial one, the host's.
    pub fn is_initial(self) -> bool {
        let name = match self {
            Namespace::User => "user",
            Namespace::Pid => "pid",
            Namespace::Cgroup => "cgroup",
        };
        match fs::metadata(format!("/proc/self/ns/{name}")) {
            Ok(namespace) => namespace.ino() == self as u64,
            // A kernel without this kind of namespaces.
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

/// BTF of the kernel's own types.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// One requirement, and whether it is met.
pub struct Check {
    pub what: String,
    pub ok: bool,
}

/// All requirements.
pub fn checks() -> Vec<Check> {
    let missing = missing_capabilities();
    let capabilities = NEEDS.iter().map(|need| Check {
        what: format!("{} (to {})", need.name, need.purpose),
        ok: !missing.contains(&need.name),
    });
    let user = Check {
        what: "the host's user namespace (capabilities count nowhere else)".into(),
        ok: Namespace::User.is_initial(),
    };
    let btf = Check {
        what: "kernel type information (BTF)".into(),
        ok: Path::new(BTF).exists(),
    };
    capabilities.chain([user, btf]).collect()
}

/// What to do about the first requirement that is not met.
pub fn remedy() -> Option<String> {
    if !Namespace::User.is_initial() {
        return Some(
            "this is a user namespace of its own, as in a rootless container, and its root may \
             not load BPF programs: run egrets on the host"
                .into(),
        );
    }
    if !Path::new(BTF).exists() {
        return Some(format!(
            "{BTF} is missing: this kernel, {}, was built without type information (BTF), by which \
             egrets attaches, and a file of it from elsewhere can't replace it. Boot one with \
             CONFIG_DEBUG_INFO_BTF=y, 5.10 or later: those of Debian 11, Ubuntu 21.04, Fedora 34, \
             RHEL 9, Arch Linux and later. Histories can be read on any",
            rustix::system::uname().release().to_string_lossy()
        ));
    }
    let missing = missing_capabilities();
    let is = match missing.len() {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    let program = std::env::current_exe().map_or("egrets".into(), |p| p.display().to_string());
    let names = NEEDS.map(|n| n.name.to_lowercase()).join(",");
    Some(format!(
        "{} {is} missing: run egrets as root (sudo egrets …), or grant what it needs to the program \
         once. All who may execute it can then see the traffic and the command lines of every \
         user, so first let a group alone do that:\n  \
         sudo chgrp GROUP {program} && sudo chmod 0750 {program}\n  \
         sudo setcap {names},cap_dac_read_search,cap_sys_ptrace+ep {program}",
        missing.join(", ")
    ))
}

/// # Errors
/// A requirement is not met: what to do about it.
pub fn require() -> Result<()> {
    match remedy() {
        Some(remedy) => bail!("{remedy}"),
        None => Ok(()),
    }
}

/// By name. CAP_SYS_ADMIN includes them all (capabilities(7)).
fn missing_capabilities() -> Vec<&'static str> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |c| c.effective);
    let all = effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN);
    NEEDS
        .iter()
        .filter(|need| !all && !effective.contains(need.set))
        .map(|need| need.name)
        .collect()
}
