//! What a process may do, as the kernel tells in /proc/PID/status.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use rustix::thread::CapabilitySet;

/// Of all threads of a process together.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    /// As capabilities(7) names them.
    pub capabilities: Vec<String>,
    pub no_new_privs: bool,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

impl Held {
    /// None: there is no such process, or it can't be read.
    pub fn of(pid: u32) -> Option<Held> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let mut all: Option<Held> = None;
        for thread in threads.flatten() {
            // A thread may have ended meanwhile.
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else {
                continue;
            };
            let one = Held::parse(&status)?;
            all = Some(match all {
                Some(all) => all.with(one),
                None => one,
            });
        }
        all
    }

    /// Of the child of `pid` that runs `command`, a subcommand of egrets. None also if the kernel
    /// was built without CONFIG_PROC_CHILDREN.
    pub fn of_child(pid: u32, command: &str) -> Option<Held> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let children = threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<u32> = children
            .flat_map(|pids| {
                pids.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        let runs = |child: &&u32| {
            fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| {
                let argument = line.split(|&byte| byte == 0).nth(1);
                argument.map(OsStr::from_bytes) == Some(OsStr::new(command))
            })
        };
        Held::of(*children.iter().find(runs)?)
    }

    fn with(self, other: Held) -> Held {
        let both: BTreeSet<String> = self
            .capabilities
            .into_iter()
            .chain(other.capabilities)
            .collect();
        Held {
            capabilities: both.into_iter().collect(),
            no_new_privs: self.no_new_privs && other.no_new_privs,
            seccomp: self.seccomp && other.seccomp,
        }
    }

    fn parse(status: &str) -> Option<Held> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.strip_prefix(':')?.trim())
        };
        // The permitted ones: those can be made effective at any time.
        let bits = u64::from_str_radix(field("CapPrm")?, 16).ok()?;
        let set = CapabilitySet::from_bits_retain(bits);
        let mut capabilities: Vec<String> = set
            .iter_names()
            .map(|(name, _)| format!("CAP_{name}"))
            .collect();
        capabilities.sort();
        Some(Held {
            capabilities,
            no_new_privs: field("NoNewPrivs")? == "1",
            // SECCOMP_MODE_FILTER, include/uapi/linux/seccomp.h
            seccomp: field("Seccomp")? == "2",
        })
    }

    /// For people, as `egrets status` shows it.
    pub fn describe(&self) -> String {
        let capabilities = match self.capabilities.as_slice() {
            [] => "no capabilities".to_owned(),
            // all that there are
            many if many.len() > 20 => format!("{} capabilities", many.len()),
            few => few.join(" "),
        };
        let yes_no = |name: &str, on: bool| format!("{}{name}", if on { "" } else { "no " });
        format!(
            "{capabilities}; {}, {}",
            yes_no("no_new_privs", self.no_new_privs)
                .replace("no no_new_privs", "without no_new_privs"),
            yes_no("seccomp filter", self.seccomp)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_a_process_is_read_and_described() {
        let held = |caps: &str, privs: u8, seccomp: u8| {
            Held::parse(&format!(
                "Name:\tx\nCapPrm:\t{caps}\nCapEff:\t0\nNoNewPrivs:\t{privs}\nSeccomp:\t{seccomp}\n"
            ))
            .unwrap()
        };
        let little = held("0000000000080004", 1, 2);
        assert_eq!(
            little.describe(),
            "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE; no_new_privs, seccomp filter"
        );
        let all = held("000001ffffffffff", 0, 0);
        assert_eq!(
            all.describe(),
            "41 capabilities; without no_new_privs, no seccomp filter"
        );
        // one thread that keeps more is what counts
        assert_eq!(
            little.with(held("0000000000000000", 0, 2)).describe(),
            "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE; without no_new_privs, seccomp filter"
        );
    }

    #[test]
    fn own_privileges_can_be_read() {
        assert!(Held::of(std::process::id()).is_some());
    }

    #[test]
    fn child_is_found_by_its_command() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        // Other tests' threads come and go: a listing of them may miss some.
        let found = (0..100).find_map(|_| Held::of_child(std::process::id(), "60"));
        let other = Held::of_child(std::process::id(), "61");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Held::of(std::process::id()));
        assert_eq!(other, None);
    }
}
