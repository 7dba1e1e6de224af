//! What of this host makes a policy decide otherwise than its reader expects. For
//! `egrets policy check`: nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::libbpf_sys as sys;
use libbpf_rs::query::ProgInfoIter;

use crate::capture::cgroup2;
use crate::policy::Policy;

/// Where programs can change the destination, each with the name that libbpf has for it.
const REWRITING: [(sys::bpf_attach_type, &str); 4] = [
    (sys::BPF_CGROUP_INET4_CONNECT, "connect4"),
    (sys::BPF_CGROUP_INET6_CONNECT, "connect6"),
    (sys::BPF_CGROUP_UDP4_SENDMSG, "sendmsg4"),
    (sys::BPF_CGROUP_UDP6_SENDMSG, "sendmsg6"),
];

/// Of egrets itself, which change nothing: no longer than the kernel keeps of a name (15).
const OWN: [&str; 6] = [
    "egrets_connect4",
    "egrets_connect6",
    "egrets_sendmsg4",
    "egrets_sendmsg6",
    "policy_connect4",
    "policy_connect6",
];

/// Programs at a hook, as far as they are counted.
const MOST: u32 = 64;

/// Each a sentence; none where the caller may not look.
pub fn warnings(policy: &Policy) -> Vec<String> {
    let mut found: Vec<String> = rewriting().into_iter().collect();
    if policy.goes_by_names() {
        found.extend(unseen_lookups(Path::new("/")));
    }
    found
}

/// The programs of others that see connections beside a policy's. Only root may ask.
fn rewriting() -> Option<String> {
    let root = cgroup2().ok()?;
    let mut hooks_of: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for (hook, name) in REWRITING {
        for id in attached(&root, hook) {
            hooks_of.entry(id).or_default().insert(name);
        }
    }
    let programs: Vec<String> = ProgInfoIter::default()
        .filter_map(|program| {
            let hooks = hooks_of.get(&program.id)?;
            let name = program.name.to_string_lossy().into_owned();
            let is_own = OWN.contains(&name.as_str());
            let hooks: Vec<&str> = hooks.iter().copied().collect();
            (!is_own).then(|| format!("{name} (id {}, {})", program.id, hooks.join(", ")))
        })
        .collect();
    (!programs.is_empty()).then(|| {
        format!(
            "programs of others may change where connections go, as Cilium's do for services: {}. \
             What they change before the policy decides has the address after it, which has no \
             name, and what they change later the one before it",
            programs.join("; ")
        )
    })
}

/// Ids of the programs that run for the topmost cgroup that is visible, those of cgroups above
/// it included.
fn attached(cgroup: &OwnedFd, hook: sys::bpf_attach_type) -> Vec<u32> {
    let mut ids = [0_u32; MOST as usize];
    let mut count = MOST;
    // SAFETY: a descriptor that is open, and room for as many ids as are asked for.
    let result = unsafe {
        sys::bpf_prog_query(
            cgroup.as_raw_fd(),
            hook,
            sys::BPF_F_QUERY_EFFECTIVE,
            std::ptr::null_mut(),
            ids.as_mut_ptr(),
            &mut count,
        )
    };
    match result {
        0 => ids.into_iter().take(count as usize).collect(),
        _ => Vec::new(),
    }
}

/// Lookups that no program sees: those that go to systemd-resolved by its own protocol, and from
/// there over TLS.
fn unseen_lookups(root: &Path) -> Option<String> {
    let nsswitch = fs::read_to_string(root.join("etc/nsswitch.conf")).ok()?;
    let mut lines = nsswitch.lines().map(|line| line.trim_start());
    let hosts = lines.find_map(|line| line.strip_prefix("hosts:"))?;
    let hosts = hosts.split('#').next()?;
    if !hosts.split_whitespace().any(|word| word == "resolve") {
        return None;
    }
    let (file, value) = dns_over_tls(root)?;
    Some(format!(
        "lookups go through nss-resolve (/etc/nsswitch.conf) to systemd-resolved, which asks over TLS \
         (DNSOverTLS={value} in {}): no name is seen, so no rule for one matches. Take resolve out of \
         the line hosts, so that programs ask at 127.0.0.53, or switch DNSOverTLS off",
        Path::new("/")
            .join(file.strip_prefix(root).unwrap_or(&file))
            .display()
    ))
}

/// The setting that holds, and the file that has it, unless it is off. As systemd reads them: the
/// main file of the first directory that has one, then what is beside it, by its name; a name in an
/// earlier directory hides those in later ones.
fn dns_over_tls(root: &Path) -> Option<(PathBuf, String)> {
    let dirs = [
        "etc/systemd",
        "run/systemd",
        "usr/local/lib/systemd",
        "usr/lib/systemd",
    ];
    let dirs = dirs.map(|dir| root.join(dir));
    let main = dirs
        .iter()
        .map(|dir| dir.join("resolved.conf"))
        .find(|f| f.exists());
    let mut drop_ins = BTreeMap::new();
    for dir in dirs.iter().rev() {
        let files = fs::read_dir(dir.join("resolved.conf.d"))
            .into_iter()
            .flatten()
            .flatten();
        for file in files.filter(|file| file.path().extension().is_some_and(|e| e == "conf")) {
            drop_ins.insert(file.file_name(), file.path());
        }
    }
    let mut holds = None;
    for file in main.into_iter().chain(drop_ins.into_values()) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if key.trim() == "DNSOverTLS" {
                holds = Some((file.clone(), value.trim().to_owned()));
            }
        }
    }
    let is_off = |value: &str| {
        let value = value.to_ascii_lowercase();
        ["", "no", "n", "false", "f", "off", "0"].contains(&value.as_str())
    };
    holds.filter(|(_, value)| !is_off(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_by_nss_resolve_are_unseen_if_resolved_asks_over_tls() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let file = || {
            unseen_lookups(root).map(|text| {
                let (_, rest) = text.split_once(" in /").unwrap();
                rest.split(')').next().unwrap().to_owned()
            })
        };
        write(
            "usr/lib/systemd/resolved.conf",
            "[Resolve]\n#DNSOverTLS=yes\nDNSOverTLS=opportunistic\n",
        );
        assert_eq!(file(), None);
        write(
            "etc/nsswitch.conf",
            "passwd: files\nhosts: files dns # resolve\n",
        );
        assert_eq!(file(), None);
        write(
            "etc/nsswitch.conf",
            "hosts: mymachines resolve [!UNAVAIL=return] files dns\n",
        );
        assert_eq!(file().as_deref(), Some("usr/lib/systemd/resolved.conf"));
        write("etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=no\n");
        assert_eq!(file(), None);
        write(
            "usr/lib/systemd/resolved.conf.d/50-tls.conf",
            "DNSOverTLS = yes\n",
        );
        assert_eq!(
            file().as_deref(),
            Some("usr/lib/systemd/resolved.conf.d/50-tls.conf")
        );
        // hides it
        write("etc/systemd/resolved.conf.d/50-tls.conf", "");
        assert_eq!(file(), None);
    }
}
