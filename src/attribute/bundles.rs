//! What a container's files say of it, so that no daemon has to be asked: the OCI
//! bundle's config.json with the annotations that its runtime writes there, podman's
//! containers.json, Docker's config.v2.json. Some of them are in a user's home: each is
//! a regular file, read to a bound, and what does not parse is as if it were not there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::cni;
use super::docker::Inspect;
use super::regular;
use crate::model::ContainerDetails;

/// A config.json is some 30 KiB; no honest one comes near this.
const MAX_FILE: u64 = 4 << 20;
/// Namespaces of containerd's that are looked through.
const MAX_NAMESPACES: usize = 64;

/// Where containerd's shim of runtime v2 keeps its bundles: NAMESPACE/ID below it.
const CONTAINERD: &str = "run/containerd/io.containerd.runtime.v2.task";
/// containers/storage's directories (podman's and CRI-O's): run root, and graph root.
const STORAGE: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

/// Of containers/storage (storage/drivers): each has a directory of its own.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// The part of the OCI runtime specification's config.json that is read.
#[derive(Deserialize)]
struct Bundle {
    hostname: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// An entry of containers/storage's containers.json.
#[derive(Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
    /// JSON in itself.
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct StoredMetadata {
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// What the files below `root` say of a container. `home` is that of the user whose
/// rootless podman it may be.
pub fn describe(root: &Path, id: &str, home: Option<&Path>) -> Option<ContainerDetails> {
    containerd(root, id)
        .or_else(|| storage(root, id, home))
        .or_else(|| docker(root, id, home))
}

fn containerd(root: &Path, id: &str) -> Option<ContainerDetails> {
    let namespaces = fs::read_dir(root.join(CONTAINERD)).ok()?;
    let bundle: Bundle = namespaces
        .flatten()
        // Docker's own containers are bundles of containerd's too, which say nothing.
        .filter(|namespace| namespace.file_name() != "moby")
        .take(MAX_NAMESPACES)
        .find_map(|namespace| read(&namespace.path().join(id).join("config.json")))?;
    let mut details = annotated(&bundle);
    details.runtime = Some("containerd");
    // a pod's containers have the address of its sandbox
    let sandbox = bundle.annotations.get("io.kubernetes.cri.sandbox-id");
    details.ip = cni::address(root, sandbox.map_or(id, String::as_str));
    Some(details)
}

/// The annotations of containerd's CRI plugin (pkg/cri/annotations) and of CRI-O
/// (pkg/annotations).
fn annotated(bundle: &Bundle) -> ContainerDetails {
    let one_of = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| bundle.annotations.get(*key));
        found.filter(|text| !text.is_empty()).cloned()
    };
    ContainerDetails {
        name: one_of(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ]),
        image: one_of(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
            "io.kubernetes.cri-o.Image",
        ]),
        hostname: bundle.hostname.clone().filter(|text| !text.is_empty()),
        ip: one_of(&["io.kubernetes.cri-o.IP.0"]),
        pod: one_of(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        pod_namespace: one_of(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ]),
        runtime: None,
    }
}

/// podman's, of root or of a user, and CRI-O's.
fn storage(root: &Path, id: &str, home: Option<&Path>) -> Option<ContainerDetails> {
    let own = home.map(|home| below(root, home).join(".local/share/containers/storage"));
    let dirs = STORAGE.iter().map(|dir| root.join(dir)).chain(own);
    let of_driver = |dir: PathBuf| DRIVERS.map(|driver| dir.join(format!("{driver}-containers")));
    for dir in dirs.flat_map(of_driver) {
        let bundle: Option<Bundle> = read(&dir.join(id).join("userdata/config.json"));
        let stored: Option<Vec<Stored>> = read(&dir.join("containers.json"));
        let stored = stored.and_then(|all| all.into_iter().find(|c| c.id == id));
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
        details.ip = details.ip.or_else(|| cni::address(root, id));
        return Some(details);
    }
    None
}

/// An absolute path as `root` has it.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Docker's own file, below the data root that /etc/docker/daemon.json may set, or the
/// usual one of a user's rootless Docker.
fn docker(root: &Path, id: &str, home: Option<&Path>) -> Option<ContainerDetails> {
    #[derive(Deserialize)]
    struct Daemon {
        #[serde(rename = "data-root")]
        data_root: Option<PathBuf>,
    }
    let daemon: Option<Daemon> = read(&root.join("etc/docker/daemon.json"));
    let data_root = daemon.and_then(|d| d.data_root);
    let data_root = data_root.unwrap_or_else(|| "/var/lib/docker".into());
    docker_file(&below(root, &data_root), id).or_else(|| {
        let own = below(root, home?).join(".local/share/docker");
        docker_file(&own, id)
    })
}

/// The same below a data root that is known.
pub fn docker_file(data_root: &Path, id: &str) -> Option<ContainerDetails> {
    let inspect: Inspect = read(&data_root.join("containers").join(id).join("config.v2.json"))?;
    Some(inspect.details())
}

/// A file of JSON, whatever lies there.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    // A user's link may lead to a device.
    let found = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (file, meta) = regular::open(&File::from(found)).ok()?;
    if meta.len() > MAX_FILE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
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
    fn said(root: &Path, home: Option<&str>) -> [Option<String>; 6] {
        let d = describe(root, ID, home.map(Path::new)).unwrap_or_default();
        let runtime = d.runtime.map(str::to_string);
        [d.name, d.image, d.hostname, d.pod, d.pod_namespace, runtime]
    }

    fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_string()))
    }

    #[test]
    fn a_pod_of_containerds_is_read_from_its_bundle() {
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
        assert_eq!(said(dir.path(), None), expected);
    }

    #[test]
    fn a_pod_of_crios_is_read_from_its_bundle() {
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
        assert_eq!(said(dir.path(), None), expected);
    }

    #[test]
    fn podmans_containers_of_root_and_of_a_user_are_read() {
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
            assert_eq!(said(dir.path(), home), expected);
        }
    }

    #[test]
    fn dockers_file_is_read_below_its_data_root() {
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
                said(dir.path(), None),
                some(["web", "img:1", "h", "", "", "docker"])
            );
        }
    }

    #[test]
    fn what_is_broken_too_large_or_no_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
        let path = dir.path().join(config.replace("ID", ID));
        for text in ["", "{", "[]", r#"{"annotations":{"a":1}}"#, "\u{0}\u{1b}"] {
            write(dir.path(), config, text);
            assert_eq!(describe(dir.path(), ID, None), None, "{text:?}");
        }
        // 100 MB, sparse: refused unread
        fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
        assert_eq!(describe(dir.path(), ID, None), None);
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(describe(dir.path(), ID, None), None);
        // a link to a device
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(describe(dir.path(), ID, None), None);
        // and one to a regular file is followed
        let real = dir.path().join("real.json");
        fs::write(&real, r#"{"hostname":"web-0"}"#).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        assert!(describe(dir.path(), ID, None).is_some());
    }
}
