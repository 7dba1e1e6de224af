//! What a cgroup path says: the container and the systemd unit that it names. Pure.

use std::borrow::Cow;

/// The container that a cgroup path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerPath<'a> {
    pub runtime: Option<&'static str>,
    pub id: &'a str,
    /// The path above it, which may name an outer container.
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
            return None; // the container's monitor
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
            false if is_build_step(id, parent, runtime) => (Some(BUILDKIT), id),
            false => system_container(path, parts[i], parent, parts.get(i + 1).copied())?,
        };
        let above = parts[..i].iter().map(|p| p.len() + 1).sum::<usize>();
        Some(ContainerPath {
            runtime: found.0,
            id: found.1,
            above: &path[..above.saturating_sub(1)],
        })
    })
}

/// The runtime of a step of a build, which dockerd or buildkitd runs itself.
pub const BUILDKIT: &str = "buildkit";

/// A RUN step of BuildKit: `buildkit/ID`, or with the systemd driver `docker-ID.scope`
/// (executor/runcexecutor/executor.go). Its id has 25 digits of base 36 (identity/randomid.go).
fn is_build_step(id: &str, parent: &str, runtime: Option<&str>) -> bool {
    let is_step = match runtime {
        None => parent == BUILDKIT,
        Some(runtime) => runtime == "docker",
    };
    let is_digit = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
    is_step && id.len() == 25 && id.bytes().all(is_digit)
}

/// A system container, whose id is a name: LXC's `lxc.payload.NAME` or `lxc/NAME`
/// (src/lxc/cgroups/cgfsng.c), and the `payload` below systemd-nspawn's service or scope
/// (src/nspawn/nspawn-cgroup.c), next to its supervisor.
///
/// Users can create such a directory in cgroups that are delegated to them, and a name, unlike
/// an id, can be guessed: there it names no container.
fn system_container<'a>(
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

/// A name without systemd's escapes (systemd.unit(5)): `\x2d` is a `-`.
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

/// The runtime whose bare ids a directory holds.
fn bare_runtime(parent: &str) -> Option<&'static str> {
    match parent {
        // `actions_job`: the cgroup-parent that GitHub's runners give Docker
        "docker" | "actions_job" => Some("docker"),
        "libpod_parent" => Some("podman"),
        _ => None,
    }
}

/// The longest path that is kept as it is, as long as /proc has it (PATH_MAX).
const MAX_PATH: usize = 4095;
/// What stands for the directories that are left out of a longer one.
pub const CUT: &str = "/…";

/// The path of a directory in this one. The first directories say which container it is.
pub fn below(path: &str, name: &str) -> String {
    match path.len() + name.len() {
        _ if is_cut(path) => path.to_owned(),
        MAX_PATH.. => format!("{path}{CUT}"),
        _ => format!("{path}/{name}"),
    }
}

/// Whether directories are left out at its end.
pub fn is_cut(path: &str) -> bool {
    path.ends_with(CUT)
}

/// The user whose service manager (`user@UID.service`) a cgroup is: systemd delegates it.
pub fn user(name: &str) -> Option<u32> {
    let uid = name.strip_prefix("user@")?;
    uid.strip_suffix(".service")?.parse().ok()
}

/// 64 hexadecimal digits, as the managers of OCI runtimes generate them.
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

/// The path in the cgroup2 hierarchy of a /proc/PID/cgroup; None for the root. The kernel cuts one
/// that is too long anywhere (kernfs_path_from_node), so its last directory may be another one.
pub fn v2_path(proc_cgroup: &str) -> Option<Cow<'_, str>> {
    let mut lines = proc_cgroup.lines();
    let path = lines.find_map(|line| line.strip_prefix("0::"))?;
    let whole = match path.rfind('/') {
        Some(end) if path.len() >= MAX_PATH => format!("{}{CUT}", &path[..end]).into(),
        _ => path.into(),
    };
    (path != "/").then_some(whole)
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
    fn layout_of_each_runtime_names_its_container() {
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
    fn steps_of_builds_are_containers() {
        let step = "x3qk1v0p9f2mzt7ayc5s8n4db";
        for path in [
            format!("/docker/buildkit/{step}"),
            format!("/system.slice/docker-{step}.scope"),
        ] {
            let found = container(&path).unwrap();
            assert_eq!(
                (found.runtime, found.id),
                (Some("buildkit"), step),
                "{path}"
            );
        }
        assert_eq!(container("/buildkit/short"), None);
    }

    #[test]
    fn innermost_container_wins_and_monitors_are_no_containers() {
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
    fn system_containers_have_names_and_their_monitors_do_not_count() {
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
    fn first_path_with_a_container_counts_in_a_hybrid_hierarchy() {
        let text = format!("12:pids:/user\n3:cpu,cpuacct:/docker/{ID}\n0::/\n");
        assert_eq!(
            v1_container_path(&text),
            Some(format!("/docker/{ID}").as_str())
        );
        assert_eq!(v1_container_path("0::/\n"), None);
        let path = v2_path("1:cpu:/x\n0::/user.slice\n");
        assert_eq!(path.as_deref(), Some("/user.slice"));
        assert_eq!(v2_path("1:cpu:/x\n0::/\n"), None);
        let deep = format!("/docker{}", "/dddddddddddddddd".repeat(300));
        let cut = format!("0::{}\n", &deep[..MAX_PATH]);
        let path = v2_path(&cut).unwrap();
        assert!(path.ends_with("/dddddddddddddddd/…"), "{path}");
    }

    #[test]
    fn innermost_unit_is_found() {
        assert_eq!(unit("/system.slice/nginx.service"), Some("nginx.service"));
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope"),
            Some("app-x.scope")
        );
        assert_eq!(unit("/system.slice"), None);
        assert_eq!(user("user@1000.service"), Some(1000));
        assert_eq!(user("user-1000.slice"), None);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in ".{0,300}") {
            if let Some(found) = container(&path) {
                prop_assert!(!found.id.is_empty() && path.starts_with(found.above));
            }
            let _ = (unescaped(&path), unit(&path), user(&path), v1_container_path(&path));
        }
    }
}
