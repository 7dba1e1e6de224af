//! What runtimes' files say about a container, without any daemon: the OCI bundle's
//! config.json with its runtime's annotations, podman's containers.json, Docker's
//! config.v2.json. Some of them are in a user's home: only regular files are read, up to a
//! limit, and one that does not parse counts as missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cni;
use super::docker::file_in;
use super::json_file::{Source, find, read};
use crate::model::ContainerDetails;

/// containerd namespaces searched.
const MAX_NAMESPACES: usize = 64;

/// Bundles of containerd's runtime v2 shim: NAMESPACE/ID below it.
const CONTAINERD: &str = "run/containerd/io.containerd.runtime.v2.task";
/// Run root and graph root of containers/storage (podman, CRI-O).
const STORAGE: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

/// Storage drivers of containers/storage (storage/drivers), each with its directory.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// What is read of the OCI runtime specification's config.json.
#[derive(Deserialize)]
struct Bundle {
    hostname: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// An entry of containers/storage's containers.json.
#[derive(Deserialize)]
struct StoredContainer {
    id: String,
    names: Option<Vec<String>>,
    /// JSON within JSON.
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct StoredMetadata {
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// What root's files below `root` say about a container of root's.
pub fn describe(root: &Path, id: &str) -> Option<ContainerDetails> {
    let details = |dir| {
        let mut details = stored(&root.join(dir), id, Source::System)?;
        details.ip = details.ip.or_else(|| cni::address(root, id));
        Some(details)
    };
    containerd(root, id)
        .or_else(|| STORAGE.iter().find_map(details))
        .or_else(|| docker(root, id))
}

/// What the files in a user's home say about a container of that user.
pub fn describe_rootless(home: &Path, id: &str, source: Source<'_>) -> Option<ContainerDetails> {
    let share = home.join(".local/share");
    stored(&share.join("containers/storage"), id, source)
        .or_else(|| file_in(&share.join("docker"), id, source))
}

fn containerd(root: &Path, id: &str) -> Option<ContainerDetails> {
    let namespaces = fs::read_dir(root.join(CONTAINERD)).ok()?;
    let bundle: Bundle = namespaces
        .flatten()
        // Docker's containers have bundles here, too, without annotations.
        .filter(|namespace| namespace.file_name() != "moby")
        .take(MAX_NAMESPACES)
        .find_map(|namespace| {
            read(
                &namespace.path().join(id).join("config.json"),
                Source::System,
            )
        })?;
    let mut details = annotated(&bundle);
    details.runtime = Some("containerd");
    // a pod's containers share its sandbox's address
    let sandbox = bundle.annotations.get("io.kubernetes.cri.sandbox-id");
    details.ip = cni::address(root, sandbox.map_or(id, String::as_str));
    Some(details)
}

/// The annotations of containerd's CRI plugin (pkg/cri/annotations) and of CRI-O
/// (pkg/annotations).
fn annotated(bundle: &Bundle) -> ContainerDetails {
    let first = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| bundle.annotations.get(*key));
        found.filter(|text| !text.is_empty()).cloned()
    };
    ContainerDetails {
        name: first(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ]),
        image: first(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
            "io.kubernetes.cri-o.Image",
        ]),
        hostname: bundle.hostname.clone().filter(|text| !text.is_empty()),
        ip: first(&["io.kubernetes.cri-o.IP.0"]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        pod_namespace: first(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ]),
        runtime: None,
    }
}

/// Containers of podman and of CRI-O in a storage directory.
fn stored(storage: &Path, id: &str, source: Source<'_>) -> Option<ContainerDetails> {
    for dir in DRIVERS.map(|driver| storage.join(format!("{driver}-containers"))) {
        let bundle: Option<Bundle> = read(&dir.join(id).join("userdata/config.json"), source);
        let stored = find(
            &dir.join("containers.json"),
            source,
            |c: &StoredContainer| c.id == id,
        );
        if bundle.is_none() && stored.is_none() {
            continue;
        }
        let mut details = bundle.as_ref().map(annotated).unwrap_or_default();
        details.runtime = Some(if details.pod.is_some() {
            "crio"
        } else {
            "podman"
        });
        if let Some(stored) = stored {
            let metadata = stored
                .metadata
                .and_then(|text| serde_json::from_str(&text).ok());
            let metadata: Option<StoredMetadata> = metadata;
            details.name = details.name.or(stored.names.into_iter().flatten().next());
            details.image = details.image.or(metadata.and_then(|m| m.image_name));
        }
        return Some(details);
    }
    None
}

/// An absolute path below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Docker's file, below the data root that /etc/docker/daemon.json may set.
fn docker(root: &Path, id: &str) -> Option<ContainerDetails> {
    #[derive(Deserialize)]
    struct DaemonConfig {
        #[serde(rename = "data-root")]
        data_root: Option<PathBuf>,
    }
    let daemon: Option<DaemonConfig> = read(&root.join("etc/docker/daemon.json"), Source::System);
    let data_root = daemon.and_then(|d| d.data_root);
    let data_root = data_root.unwrap_or_else(|| "/var/lib/docker".into());
    file_in(&below(root, &data_root), id, Source::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path.replace("ID", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("ID", ID)).unwrap();
    }

    /// name, image, hostname, pod, pod_namespace, runtime
    fn described(root: &Path, home: Option<&str>) -> [Option<String>; 6] {
        let d = match home {
            None => describe(root, ID),
            Some(home) => describe_rootless(&below(root, Path::new(home)), ID, Source::System),
        };
        let d = d.unwrap_or_default();
        let runtime = d.runtime.map(str::to_string);
        [d.name, d.image, d.hostname, d.pod, d.pod_namespace, runtime]
    }

    fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_string()))
    }

    #[test]
    fn containerd_pod_is_read_from_its_bundle() {
        // containerd: core/runtime/v2/bundle.go, internal/cri/annotations/annotations.go
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
            r#"{"ociVersion":"1.2.0","hostname":"web-0","annotations":{
                "io.kubernetes.cri.container-name":"nginx",
                "io.kubernetes.cri.container-type":"container",
                "io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27",
                "io.kubernetes.cri.sandbox-name":"web-0",
                "io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
        );
        let expected = some([
            "nginx",
            "docker.io/library/nginx:1.27",
            "web-0",
            "web-0",
            "shop",
            "containerd",
        ]);
        assert_eq!(described(dir.path(), None), expected);
    }

    #[test]
    fn crio_pod_is_read_from_its_bundle() {
        // CRI-O: internal/storage (run root), pkg/annotations/internal.go
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "run/containers/storage/overlay-containers/ID/userdata/config.json",
            r#"{"hostname":"api-1","annotations":{
                "io.kubernetes.container.name":"api","io.kubernetes.pod.name":"api-1",
                "io.kubernetes.pod.namespace":"default",
                "io.kubernetes.cri-o.ImageName":"quay.io/shop/api:2"}}"#,
        );
        let expected = some([
            "api",
            "quay.io/shop/api:2",
            "api-1",
            "api-1",
            "default",
            "crio",
        ]);
        assert_eq!(described(dir.path(), None), expected);
    }

    #[test]
    fn podman_containers_of_root_and_of_users_are_read() {
        // containers/storage: containers.go; podman: userdata/config.json
        let list = r#"[{"id":"other","names":["x"]},{"id":"ID","names":["web"],
            "image":"77af4d6b9913","metadata":"{\"image-name\":\"docker.io/library/busybox:latest\",\"name\":\"web\"}"}]"#;
        for (storage, home) in [
            ("var/lib/containers/storage", None),
            (
                "home/alice/.local/share/containers/storage",
                Some("/home/alice"),
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            write(
                dir.path(),
                &format!("{storage}/overlay-containers/containers.json"),
                list,
            );
            write(
                dir.path(),
                &format!("{storage}/overlay-containers/ID/userdata/config.json"),
                r#"{"hostname":"4f1d","annotations":{"io.container.manager":"libpod"}}"#,
            );
            let expected = some([
                "web",
                "docker.io/library/busybox:latest",
                "4f1d",
                "",
                "",
                "podman",
            ]);
            assert_eq!(described(dir.path(), home), expected);
        }
    }

    #[test]
    fn docker_file_is_read_below_its_data_root() {
        // moby: daemon/container/container.go, ToDisk
        for data_root in ["", "srv/docker"] {
            let dir = tempfile::tempdir().unwrap();
            if !data_root.is_empty() {
                write(
                    dir.path(),
                    "etc/docker/daemon.json",
                    r#"{"data-root":"/srv/docker"}"#,
                );
            }
            let place = if data_root.is_empty() {
                "var/lib/docker"
            } else {
                data_root
            };
            write(
                dir.path(),
                &format!("{place}/containers/ID/config.v2.json"),
                r#"{"ID":"ID","Name":"/web","Config":{"Hostname":"h","Image":"img:1"},
                    "NetworkSettings":{"Networks":{"own":{"IPAddress":"172.18.0.2"}}}}"#,
            );
            assert_eq!(
                described(dir.path(), None),
                some(["web", "img:1", "h", "", "", "docker"])
            );
        }
    }

    #[test]
    fn broken_overlong_and_irregular_files_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let config = "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
        let path = dir.path().join(config.replace("ID", ID));
        for text in ["", "{", "[]", r#"{"annotations":{"a":1}}"#, "\u{0}\u{1b}"] {
            write(dir.path(), config, text);
            assert_eq!(describe(dir.path(), ID), None, "{text:?}");
        }
        // 100 MB, sparse: refused without being read
        fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
        assert_eq!(describe(dir.path(), ID), None);
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(describe(dir.path(), ID), None);
        // a link to a device
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(describe(dir.path(), ID), None);
        // and one to a regular file is followed
        let real = dir.path().join("real.json");
        fs::write(&real, r#"{"hostname":"web-0"}"#).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        assert!(describe(dir.path(), ID).is_some());
    }

    /// Settings of `egrets.service` that hide directories from the recorder.
    fn hidden_by_unit() -> Vec<&'static str> {
        let unit = include_str!("../../../../systemd/egrets.service");
        let value = |key: &str| {
            let lines = unit.lines().rev();
            lines
                .filter_map(|line| line.split_once('='))
                .find_map(|(k, v)| (k == key).then_some(v))
        };
        // systemd.exec(5): `read-only` leaves them visible
        let home = match value("ProtectHome") {
            None | Some("no" | "false" | "read-only") => &[][..],
            Some(_) => &["/home", "/root", "/run/user"][..],
        };
        let others = value("InaccessiblePaths")
            .into_iter()
            .chain(value("TemporaryFileSystem"));
        let others = others.flat_map(str::split_whitespace);
        home.iter().copied().chain(others).collect()
    }

    #[test]
    fn unit_hides_none_of_the_directories_with_runtimes_files() {
        let rootless = [
            "home/alice/.local/share/containers/storage",
            "root/.local/share/docker",
        ];
        let dirs = STORAGE.into_iter().chain([CONTAINERD]).chain(rootless);
        let hidden = hidden_by_unit();
        for dir in dirs.map(|dir| Path::new("/").join(dir)) {
            let by = hidden.iter().find(|hidden| dir.starts_with(hidden));
            assert_eq!(by, None, "{} is hidden", dir.display());
        }
    }
}
