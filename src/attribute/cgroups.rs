//! Cgroups: from an id to a path, and from a path to the container and the
//! systemd unit that it names. The parsing is pure.

use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hashlink::LruCache;

/// The root cgroup's id: everybody's, so nobody's group.
pub const ROOT_ID: u64 = 1;

/// Deepest level that is read at start: the kernel's own default limit is none.
const MAX_LEVELS: usize = 32;

/// Paths that are remembered: those used last. Cgroups come and go for ever.
const REMEMBERED: usize = 65_536;

/// Paths of the cgroup2 hierarchy by their id, begun from the file system and
/// kept up by the kernel's events.
pub struct Cgroups {
    paths: LruCache<u64, Rc<str>>,
}

impl Default for Cgroups {
    fn default() -> Self {
        Cgroups {
            paths: LruCache::new(REMEMBERED),
        }
    }
}

impl Cgroups {
    /// Every cgroup that there is now below the hierarchy's root directory.
    pub fn seed(&mut self, root: &Path) {
        self.walk(root, &root.to_path_buf(), 0);
    }

    fn walk(&mut self, root: &Path, dir: &PathBuf, level: usize) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            let path = entry.path();
            if let Ok(relative) = path.strip_prefix(root) {
                // A directory's inode is its cgroup's id (kernfs_node.id).
                self.add(entry.ino(), &format!("/{}", relative.display()));
            }
            if level < MAX_LEVELS {
                self.walk(root, &path, level + 1);
            }
        }
    }

    /// A cgroup was made.
    pub fn add(&mut self, id: u64, path: &str) {
        self.paths.insert(id, path.into());
    }

    /// The path from the hierarchy's root; None for the root and the unknown.
    pub fn path(&mut self, id: u64) -> Option<Rc<str>> {
        self.paths.get(&id).cloned()
    }
}

/// A container that a cgroup path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerPath<'a> {
    pub runtime: Option<&'static str>,
    pub id: &'a str,
    /// The part of the path above it, where an outer container may be.
    pub above: &'a str,
}

/// The innermost container of a cgroup path.
///
/// The layouts are the runtimes' own: Docker and containerd with the cgroupfs
/// driver (`/docker/<id>`, `…/<id>`), with the systemd driver
/// (`docker-<id>.scope`, `cri-containerd-<id>.scope`, `:cri-containerd:<id>`,
/// `nerdctl-<id>.scope`), CRI-O (`crio-<id>.scope`) and podman (`libpod-<id>.scope`, `libpod-<id>`).
pub fn container(path: &str) -> Option<ContainerPath<'_>> {
    let parts: Vec<&str> = path.split('/').collect();
    parts.iter().enumerate().rev().find_map(|(i, part)| {
        let parent = i.checked_sub(1).map_or("", |p| parts[p]);
        let name = part.strip_suffix(".scope").unwrap_or(part);
        if name.starts_with("libpod-conmon-") || name.starts_with("crio-conmon-") {
            return None; // the monitor beside the container
        }
        let prefixed = [
            ("docker-", "docker"),
            ("cri-containerd-", "containerd"),
            ("nerdctl-", "containerd"),
            ("crio-", "crio"),
            ("libpod-", "podman"),
        ]
        .into_iter()
        .find_map(|(prefix, runtime)| Some((runtime, name.strip_prefix(prefix)?)));
        let (runtime, id) = match (prefixed, name.split_once(":cri-containerd:")) {
            (Some((runtime, id)), _) => (Some(runtime), id),
            (None, Some((_, id))) => (Some("containerd"), id),
            (None, None) => (bare_runtime(parent), name),
        };
        let found = match is_id(id) {
            true => (runtime, id),
            false => machine(path, parts[i], parent, parts.get(i + 1).copied())?,
        };
        let above = parts[..i].iter().map(|p| p.len() + 1).sum::<usize>();
        Some(ContainerPath {
            runtime: found.0,
            id: found.1,
            above: &path[..above.saturating_sub(1)],
        })
    })
}

/// A system container, which has a name for its id: LXC's `lxc.payload.NAME` or
/// `lxc/NAME` (src/lxc/cgroups/cgfsng.c), and systemd-nspawn's service or scope with its
/// `payload` below (src/nspawn/nspawn-cgroup.c), beside which its supervisor is.
///
/// A user may make such a directory in the cgroups that are delegated to them, and a name,
/// unlike an id, is guessed: there it is none.
fn machine<'a>(
    path: &str,
    part: &'a str,
    parent: &str,
    below: Option<&str>,
) -> Option<(Option<&'static str>, &'a str)> {
    let nspawn = || {
        let service = part.strip_prefix("systemd-nspawn@");
        let service = service.and_then(|name| name.strip_suffix(".service"));
        let scope = part.strip_prefix("machine-");
        service.or_else(|| scope.and_then(|name| name.strip_suffix(".scope")))
    };
    let (runtime, name) = if let Some(name) = part.strip_prefix("lxc.payload.") {
        ("lxc", name)
    } else if parent == "lxc" {
        ("lxc", part)
    } else if below == Some("payload") {
        ("systemd-nspawn", nspawn()?)
    } else {
        return None;
    };
    let delegated = path.starts_with("/user.slice/");
    (!delegated && !name.is_empty()).then_some((Some(runtime), name))
}

/// A name as systemd writes it into a unit's (systemd.unit(5)): `\x2d` is a `-`.
pub fn unescaped(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = rest.strip_prefix(b"\\x").and_then(|hex| hex.get(..2));
        let code = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                bytes.push(code);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whose the bare ids below a directory are.
fn bare_runtime(parent: &str) -> Option<&'static str> {
    match parent {
        // the second is what GitHub's runners set as Docker's cgroup-parent
        "docker" | "actions_job" => Some("docker"),
        "libpod_parent" => Some("podman"),
        _ => None,
    }
}

/// The user whose service manager a cgroup is below: `user@UID.service`, systemd's.
pub fn user(path: &str) -> Option<u32> {
    let unit = path
        .split('/')
        .find_map(|part| part.strip_prefix("user@"))?;
    unit.strip_suffix(".service")?.parse().ok()
}

/// 64 hexadecimal digits, as every OCI runtime's manager makes them.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first path of a /proc/PID/cgroup (cgroups(7)) that names a container.
pub fn v1_container_path(proc_cgroup: &str) -> Option<&str> {
    proc_cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| container(path).is_some())
}

/// The path in the cgroup2 hierarchy of a /proc/PID/cgroup; None for the root.
pub fn v2_path(proc_cgroup: &str) -> Option<&str> {
    proc_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .filter(|path| *path != "/")
}

/// The innermost systemd unit of a cgroup path: a service or a scope.
pub fn unit(path: &str) -> Option<&str> {
    path.rsplit('/')
        .find(|part| part.ends_with(".service") || part.ends_with(".scope"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const INNER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    #[test]
    fn every_runtimes_layout_names_its_container() {
        for (path, runtime) in [
            ("/docker/{}", Some("docker")),
            ("/system.slice/docker-{}.scope", Some("docker")),
            ("/actions_job/{}", Some("docker")),
            ("/system.slice/nerdctl-{}.scope", Some("containerd")),
            ("/libpod_parent/libpod-{}", Some("podman")),
            ("/kubepods/burstable/pod1/crio-{}", Some("crio")),
            ("/machine.slice/libpod-{}.scope", Some("podman")),
            ("/machine.slice/libpod-{}.scope/container", Some("podman")),
            ("/libpod_parent/{}", Some("podman")),
            (
                "/kubepods.slice/kubepods-pod1.slice/crio-{}.scope",
                Some("crio"),
            ),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-containerd-{}.scope",
                Some("containerd"),
            ),
            (
                "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{}",
                Some("containerd"),
            ),
            ("/kubepods/burstable/pod1/{}", None),
        ] {
            let path = path.replace("{}", ID);
            let found = container(&path).map(|c| (c.runtime, c.id));
            assert_eq!(found, Some((runtime, ID)), "{path}");
        }
    }

    #[test]
    fn the_innermost_container_wins_and_monitors_are_none() {
        let nested = format!("/docker/{ID}/docker/{INNER}/init");
        let inner = container(&nested).unwrap();
        assert_eq!(inner.id, INNER);
        assert_eq!(inner.above, format!("/docker/{ID}/docker"));
        assert_eq!(container(inner.above).map(|c| c.id), Some(ID));
        assert_eq!(
            container(&format!("/machine.slice/libpod-conmon-{ID}.scope")),
            None
        );
        assert_eq!(
            container("/user.slice/user-1000.slice/session-2.scope"),
            None
        );
        assert_eq!(container(&format!("/docker/{}", &ID[1..])), None);
        assert_eq!(container(&format!("/docker/{}", ID.to_uppercase())), None);
    }

    #[test]
    fn system_containers_have_names_and_their_monitors_are_none() {
        for (path, found) in [
            ("/lxc.payload.web", Some(("lxc", "web"))),
            (
                "/lxc.payload.web/system.slice/nginx.service",
                Some(("lxc", "web")),
            ),
            ("/lxc.monitor.web", None),
            ("/lxc/web/init.scope", Some(("lxc", "web"))),
            (
                "/machine.slice/systemd-nspawn@my\\x2dbox.service/payload/init.scope",
                Some(("systemd-nspawn", "my\\x2dbox")),
            ),
            (
                "/machine.slice/machine-box.scope/payload",
                Some(("systemd-nspawn", "box")),
            ),
            ("/machine.slice/machine-box.scope/supervisor", None),
            (
                "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/lxc.payload.web",
                None,
            ),
            ("/lxc.payload.", None),
        ] {
            let got = container(path).and_then(|c| Some((c.runtime?, c.id)));
            assert_eq!(got, found, "{path}");
        }
        assert_eq!(unescaped("my\\x2dbox"), "my-box");
        assert_eq!(unescaped("a\\x\\xzz\\x2"), "a\\x\\xzz\\x2");
        let nested = format!("/lxc.payload.web/docker/{ID}");
        assert_eq!(
            container(container(&nested).unwrap().above).unwrap().id,
            "web"
        );
    }

    #[test]
    fn a_hybrid_proc_file_gives_the_first_path_with_a_container() {
        let text = format!("12:pids:/user\n3:cpu,cpuacct:/docker/{ID}\n0::/\n");
        assert_eq!(
            v1_container_path(&text),
            Some(format!("/docker/{ID}").as_str())
        );
        assert_eq!(v1_container_path("0::/\n"), None);
        assert_eq!(v2_path("1:cpu:/x\n0::/user.slice\n"), Some("/user.slice"));
        assert_eq!(v2_path("1:cpu:/x\n0::/\n"), None);
    }

    #[test]
    fn the_innermost_unit_is_named() {
        assert_eq!(unit("/system.slice/nginx.service"), Some("nginx.service"));
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope"),
            Some("app-x.scope")
        );
        assert_eq!(unit("/system.slice"), None);
        assert_eq!(
            user("/user.slice/user-1000.slice/user@1000.service/x"),
            Some(1000)
        );
        assert_eq!(user("/system.slice"), None);
    }

    proptest! {
        #[test]
        fn any_path_is_survived(path in ".{0,300}") {
            if let Some(found) = container(&path) {
                prop_assert!(!found.id.is_empty() && path.starts_with(found.above));
            }
            let _ = (unescaped(&path), unit(&path), user(&path), v1_container_path(&path));
        }
    }
}
