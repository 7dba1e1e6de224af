//! Containers of runtimes that no daemon is asked about: real cgroups and bundles, laid
//! out as those runtimes do it, and real processes in them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;

/// Files and directories of the test's own, taken away with it.
#[derive(Default)]
struct Laid {
    dirs: Vec<PathBuf>,
}

impl Laid {
    /// A directory; those above it that are not there yet are the test's too.
    fn dir(&mut self, path: &Path) {
        let missing: Vec<_> = path.ancestors().take_while(|p| !p.exists()).collect();
        for dir in missing.into_iter().rev() {
            // Another test may make the same one meanwhile: then it is that test's.
            if fs::create_dir(dir).is_ok() {
                self.dirs.push(dir.into());
            }
        }
    }

    fn file(&mut self, path: &str, text: &str) {
        let path = Path::new(path);
        self.dir(path.parent().unwrap());
        fs::write(path, text).unwrap();
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        for dir in self.dirs.iter().rev() {
            // cgroups have files that go with them
            if !dir.starts_with("/sys") {
                for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                    let _ = fs::remove_file(entry.path());
                }
            }
            let _ = fs::remove_dir(dir);
        }
    }
}

/// An id that no other container has.
fn id(mark: char) -> String {
    let text = format!("{:x}{mark}", std::process::id());
    format!("{text:0>64}")
}

/// Dials from inside a cgroup, in the near namespace.
fn dial_in(net: &Net, cgroup: &Path, port: &str) {
    let script = format!(
        "echo $$ > \"{}/cgroup.procs\"; exec \"$@\"",
        cgroup.display()
    );
    let dialled = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", net.near))
        .args(["sh", "-ec", &script, "sh"])
        .arg(dial())
        .args(["tcp", FAR4, port])
        .output()
        .unwrap();
    assert!(dialled.status.success(), "{}", text(&dialled.stderr));
}

/// Records one connection from this cgroup; `columns` of its row.
fn row_of(cgroup: &str, laid: &mut Laid, columns: &str) -> Vec<String> {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let mut egrets = egrets();
    egrets.env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let recorder = Recorder::start_with(&db, &[], egrets);
    let path = cgroup2().join(cgroup.trim_start_matches('/'));
    laid.dir(&path);
    dial_in(&net, &path, &port);
    let written = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
    eventually("the row is written", || {
        (value::<i64>(&db, &written) > 0).then_some(())
    });
    assert_eq!(recorder.stop(), 0);
    let mut rows = sqlite3(
        &db,
        &format!("SELECT {columns} FROM egress WHERE dst_port = {port}"),
    );
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

const COLUMNS: &str = "container_runtime, container_name, container_image, container_hostname, pod_namespace, pod, coalesce(outer_container_id, '')";

#[test]
fn a_kubernetes_pod_of_containerd_has_namespace_pod_container_and_image() {
    // containerd: core/runtime/v2/bundle.go, internal/cri/annotations/annotations.go;
    // kubelet: pkg/kubelet/cm/pod_container_manager_linux.go
    let (id, mut laid) = (id('a'), Laid::default());
    laid.file(
        &format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"),
        r#"{"ociVersion":"1.2.0","hostname":"web-0","annotations":{
            "io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27",
            "io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
    );
    for cgroup in [
        format!("/kubepods.slice/kubepods-pod{id}.slice/cri-containerd-{id}.scope"),
        format!("/kubepods/burstable/pod{id}/{id}"),
    ] {
        assert_eq!(
            row_of(&cgroup, &mut laid, COLUMNS),
            [
                "containerd",
                "nginx",
                "docker.io/library/nginx:1.27",
                "web-0",
                "shop",
                "web-0",
                ""
            ],
            "{cgroup}"
        );
    }
}

#[test]
fn a_pod_of_crio_and_a_container_of_podman_in_another_are_told_by_their_files() {
    // CRI-O: internal/storage, pkg/annotations; containers/storage: containers.go
    let (pod, inner, mut laid) = (id('b'), id('c'), Laid::default());
    laid.file(
        &format!("/run/containers/storage/overlay-containers/{pod}/userdata/config.json"),
        r#"{"hostname":"api-1","annotations":{"io.kubernetes.container.name":"api",
            "io.kubernetes.pod.name":"api-1","io.kubernetes.pod.namespace":"default",
            "io.kubernetes.cri-o.ImageName":"quay.io/shop/api:2"}}"#,
    );
    laid.file(
        &format!("/var/lib/containers/storage/overlay-containers/{inner}/userdata/config.json"),
        r#"{"hostname":"4f1d","annotations":{"io.container.manager":"libpod"}}"#,
    );
    let outer = format!("/kubepods.slice/kubepods-pod{pod}.slice/crio-{pod}.scope");
    assert_eq!(
        row_of(&outer, &mut laid, COLUMNS),
        [
            "crio",
            "api",
            "quay.io/shop/api:2",
            "api-1",
            "default",
            "api-1",
            ""
        ]
    );
    let nested = format!("{outer}/machine.slice/libpod-{inner}.scope/container");
    let mut columns = COLUMNS.to_string();
    columns.push_str(", outer_container_name");
    assert_eq!(
        row_of(&nested, &mut laid, &columns),
        ["podman", "", "", "4f1d", "", "", &pod, "api"]
    );
}

#[test]
fn hostile_files_and_names_break_nothing() {
    let (big, evil, mut laid) = (id('d'), id('e'), Laid::default());
    let bundle =
        |id: &str| format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json");
    laid.file(&bundle(&big), "");
    fs::File::options()
        .write(true)
        .open(bundle(&big))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let cgroup = |id: &str| format!("/kubepods.slice/cri-containerd-{id}.scope");
    assert_eq!(
        row_of(&cgroup(&big), &mut laid, COLUMNS),
        ["containerd", "", "", "", "", "", ""]
    );
    laid.file(
        &bundle(&evil),
        r#"{"annotations":{"io.kubernetes.cri.container-name":"a\u001b[2J\n', --"}}"#,
    );
    // A path of many levels: beyond what the kernel side keeps, it names no container.
    let deep = format!("{}/{}", cgroup(&evil), vec!["d".repeat(200); 3].join("/"));
    let columns = "hex(container_name), length(cgroup) > 600";
    let row = row_of(&deep, &mut laid, columns);
    let name: String = b"a\x1b[2J\n', --"
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    assert_eq!(row, [name.as_str(), "1"]);
}

#[test]
fn system_containers_have_their_name() {
    // LXC: src/lxc/cgroups/cgfsng.c; systemd: src/nspawn/nspawn-cgroup.c
    let mut laid = Laid::default();
    let me = std::process::id();
    for (cgroup, runtime, name) in [
        (
            format!("/lxc.payload.box{me}/system.slice"),
            "lxc",
            format!("box{me}"),
        ),
        (
            format!("/machine.slice/systemd-nspawn@my\\x2dbox{me}.service/payload"),
            "systemd-nspawn",
            format!("my-box{me}"),
        ),
    ] {
        let columns = "container_runtime, container_name";
        assert_eq!(row_of(&cgroup, &mut laid, columns), [runtime, &name]);
    }
}
