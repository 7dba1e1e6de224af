//! What egrets needs of the machine, asked before anything is loaded, so that
//! what is missing is named together with the command that grants it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

/// A capability that the capture cannot do without.
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

/// The inode of the initial pid namespace, include/linux/proc_ns.h.
const PROC_PID_INIT_INO: u64 = 0xEFFF_FFFC;

/// One thing that has to be so, and whether it is: Err says the way out.
pub struct Check {
    pub what: String,
    pub result: Result<(), String>,
}

/// Everything that is asked before the programs are loaded.
pub fn checks() -> Vec<Check> {
    let effective = capabilities(None)
        .map(|c| c.effective)
        .unwrap_or(CapabilitySet::empty());
    let all = effective.contains(CapabilitySet::SYS_ADMIN);
    let mut checks: Vec<Check> = NEEDS
        .iter()
        .map(|need| Check {
            what: format!("{} (to {})", need.name, need.purpose),
            result: if all || effective.contains(need.set) {
                Ok(())
            } else {
                Err(grant(need.name))
            },
        })
        .collect();
    checks.push(Check {
        what: "kernel type information (BTF)".into(),
        result: if Path::new("/sys/kernel/btf/vmlinux").exists() {
            Ok(())
        } else {
            Err("/sys/kernel/btf/vmlinux is missing: egrets needs a kernel with CONFIG_DEBUG_INFO_BTF=y, 5.10 or later".into())
        },
    });
    checks
}

fn grant(capability: &str) -> String {
    let program = std::env::current_exe().map_or("egrets".into(), |p| p.display().to_string());
    let names = NEEDS.map(|n| n.name.to_lowercase()).join(",");
    format!(
        "{capability} is missing: run egrets as root (sudo egrets …), or grant what it needs once with\n  sudo setcap {names},cap_dac_read_search,cap_sys_ptrace+ep {program}"
    )
}

/// Fails with the first thing that is not so.
pub fn demand() -> Result<()> {
    for check in checks() {
        if let Err(way_out) = check.result {
            bail!("{way_out}");
        }
    }
    Ok(())
}

/// Whether the pids of the kernel side are those of this process' /proc.
pub fn in_initial_pid_namespace() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|m| m.ino() == PROC_PID_INIT_INO)
}
