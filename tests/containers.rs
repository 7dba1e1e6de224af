//! Containers whose details are in files: real cgroups and bundles, laid out as the runtimes
//! do, and real processes in them. `tests/runtimes.rs` and `tests/docker.rs` run the runtimes
//! themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::*;
use tempfile::TempDir;

/// Files and directories that are removed with this value.
#[derive(Default)]
struct TempFiles {
    dirs: Vec<PathBuf>,
}

impl TempFiles {
    /// Creates a directory and its missing parents.
    fn dir(&mut self, path: &Path) {
        let missing: Vec<_> = path.ancestors().take_while(|p| !p.exists()).collect();
        for dir in missing.into_iter().rev() {
            // Another test may create the same one at the same time, and then removes it.
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

impl Drop for TempFiles {
    fn drop(&mut self) {
        for dir in self.dirs.iter().rev() {
            // a cgroup's files disappear with it
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
fn id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:056x}{next:08x}", std::process::id())
}

/// A recording of processes in the test's cgroups, which connect to the far side. There is no
/// Docker daemon.
struct Scene {
    net: Net,
    /// Of a server on the far side.
    port: String,
    recorder: Recorder,
    dir: TempDir,
    laid: TempFiles,
}

impl Scene {
    fn new() -> Scene {
        Scene::recorded_with(&[])
    }

    fn recorded_with(args: &[&str]) -> Scene {
        let mut net = Net::new();
        net.dnsmasq(&[
            &format!("--listen-address={FAR4}"),
            &format!("--address=/test/{FAR4}"),
        ]);
        let port = net.http("x").to_string();
        let (dir, db) = history();
        let mut egrets = egrets();
        egrets.env("DOCKER_HOST", "unix:///no/such/docker.sock");
        egrets.stdout(fs::File::create(dir.path().join("printed")).unwrap());
        let recorder = Recorder::start_with(&db, args, egrets);
        Scene {
            net,
            port,
            recorder,
            dir,
            laid: TempFiles::default(),
        }
    }

    /// A command in a cgroup of the cgroup2 hierarchy, in the near network.
    fn command(&mut self, cgroup: &str, command: &[&str]) -> Command {
        let path = cgroup2().join(cgroup.trim_start_matches('/'));
        self.laid.dir(&path);
        self.command_in(&path, command)
    }

    /// The same in a cgroup of any hierarchy.
    fn command_in(&self, cgroup: &Path, command: &[&str]) -> Command {
        let script = r#"echo $$ > "$0/cgroup.procs"; exec "$@""#;
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).arg(cgroup);
        shell.args(["ip", "netns", "exec", &self.net.near]);
        shell.args(command);
        shell
    }

    /// Connects once.
    fn dial(&mut self, cgroup: &str) {
        let (dial, port) = (dial(), self.port.clone());
        ok(&mut self.command(cgroup, &[dial.to_str().unwrap(), "tcp", FAR4, &port]));
    }

    /// Waits until there are as many connections in the history.
    fn written(&self, count: i64) {
        self.eventually("the rows are written", "count(*)", count);
    }

    /// Waits until as many have the names of their containers, which complete rows that are written
    /// before.
    fn named(&self, count: i64) {
        self.eventually(
            "containers have their names",
            "count(container_name)",
            count,
        );
    }

    fn eventually(&self, what: &str, counted: &str, count: i64) {
        let sql = format!(
            "SELECT {counted} FROM egress WHERE dst_port = {}",
            self.port
        );
        eventually(what, || {
            (value::<i64>(&self.db(), &sql) == count).then_some(())
        });
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("e.db")
    }

    /// Ends the recording once it has this many connections; returns these columns of them.
    fn rows(self, columns: &str, count: i64) -> Vec<Vec<String>> {
        let (db, port) = (self.db(), self.port.clone());
        let (_dir, _laid) = self.end(count);
        let sql = format!("SELECT {columns} FROM egress WHERE dst_port = {port} ORDER BY id");
        select(&db, &sql)
    }

    /// The same; the test's files and cgroups exist as long as the returned values.
    fn end(self, count: i64) -> (TempDir, TempFiles) {
        self.written(count);
        assert_eq!(self.recorder.stop(), 0);
        (self.dir, self.laid)
    }
}

/// These columns of a connection from this cgroup.
fn row_of(cgroup: &str, columns: &str) -> Vec<String> {
    let mut scene = Scene::new();
    scene.dial(cgroup);
    let mut rows = scene.rows(columns, 1);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// The same of a container that has a name.
fn named_row_of(cgroup: &str, columns: &str) -> Vec<String> {
    let mut scene = Scene::new();
    scene.dial(cgroup);
    scene.named(1);
    scene.rows(columns, 1).remove(0)
}

const COLUMNS: &str = "container_runtime, container_name, container_image, container_hostname, pod_namespace, pod, coalesce(outer_container_id, '')";

/// containerd: core/runtime/v2/bundle.go
fn bundle(namespace: &str, id: &str) -> String {
    format!("/run/containerd/io.containerd.runtime.v2.task/{namespace}/{id}/config.json")
}

/// Docker's file about a container: moby, daemon/container/container.go, ToDisk.
fn docker_file(id: &str, name: &str) -> String {
    format!(
        r#"{{"ID":"{id}","Name":"/{name}","Config":{{"Hostname":"h-{name}","Image":"img:1"}},
            "NetworkSettings":{{"Networks":{{"bridge":{{"IPAddress":""}}}}}}}}"#
    )
}

#[test]
fn docker_files_describe_containers_of_each_driver_and_cgroup_parent() {
    // moby: daemon/oci_linux.go, WithCgroups; GitHub's runner images: /actions_job
    let (me, mut laid) = (id(), TempFiles::default());
    let file = docker_file(&me, "web");
    laid.file(
        &format!("/var/lib/docker/containers/{me}/config.v2.json"),
        &file,
    );
    for cgroup in [
        format!("/docker/{me}"),
        format!("/system.slice/docker-{me}.scope"),
        format!("/actions_job/{me}"),
        format!("/own.slice/docker-{me}.scope"),
        format!("/egt-own/{me}"),
    ] {
        assert_eq!(
            row_of(&cgroup, COLUMNS),
            ["docker", "web", "img:1", "h-web", "", "", ""],
            "{cgroup}"
        );
    }
}

#[test]
fn files_in_a_home_describe_rootless_containers_of_that_user_only() {
    // systemd delegates user@UID.service; moby: daemon/oci_linux.go; podman:
    // libpod/container_internal_linux.go; containers/storage: containers.go
    let (docker, podman, mut laid) = (id(), id(), TempFiles::default());
    // www-data's home, as Debian has it
    let share = "/var/www/.local/share";
    laid.file(
        &format!("{share}/docker/containers/{docker}/config.v2.json"),
        &docker_file(&docker, "mine"),
    );
    let storage = format!("{share}/containers/storage/overlay-containers");
    let containers = format!(
        r#"[{{"id":"{podman}","names":["own"],"metadata":"{{\"image-name\":\"quay.io/img:2\",\"name\":\"own\"}}"}}]"#
    );
    laid.file(&format!("{storage}/containers.json"), &containers);
    laid.file(
        &format!("{storage}/{podman}/userdata/config.json"),
        r#"{"hostname":"h-own","annotations":{"io.container.manager":"libpod"}}"#,
    );
    let user = "/user.slice/user-33.slice/user@33.service/user.slice";
    let rootless = |scope: &str| named_row_of(&format!("{user}/{scope}"), COLUMNS);
    assert_eq!(
        rootless(&format!("docker-{docker}.scope")),
        ["docker", "mine", "img:1", "h-mine", "", "", ""]
    );
    assert_eq!(
        rootless(&format!("libpod-{podman}.scope/container")),
        ["podman", "own", "quay.io/img:2", "h-own", "", "", ""]
    );
    // a user's files describe no container of another user
    assert_eq!(
        row_of(&format!("/machine.slice/libpod-{podman}.scope"), COLUMNS),
        ["podman", "", "", "", "", "", ""]
    );
}

/// A container of www-data's with this name in a file; its cgroup.
fn rootless(laid: &mut TempFiles, name: &str) -> String {
    let id = id();
    let containers = "/var/www/.local/share/docker/containers";
    laid.file(
        &format!("{containers}/{id}/config.v2.json"),
        &docker_file(&id, name),
    );
    format!("/user.slice/user-33.slice/user@33.service/docker-{id}.scope")
}

/// The reader is stopped meanwhile, for longer than it may take for a file.
#[test]
fn details_that_the_reader_of_files_has_late_complete_their_rows() {
    let mut laid = TempFiles::default();
    let mut scene = Scene::new();
    let reader = scene.recorder.child("file-reader").to_string();
    run("kill", &["-STOP", &reader]);
    scene.dial(&rootless(&mut laid, "late"));
    scene.written(1);
    thread::sleep(Duration::from_millis(1500));
    run("kill", &["-CONT", &reader]);
    scene.named(1);
    assert_eq!(scene.rows("container_name", 1).concat(), ["late"]);
}

/// The end waits half a second, in which a busy machine may not read it.
#[test]
fn details_that_are_read_as_the_recording_ends_complete_their_rows() {
    let mut laid = TempFiles::default();
    let ends = || {
        let mut scene = Scene::new();
        let reader = scene.recorder.child("file-reader").to_string();
        run("kill", &["-STOP", &reader]);
        scene.dial(&rootless(&mut laid, "last"));
        scene.written(1);
        scene.recorder.signal("INT");
        thread::sleep(Duration::from_millis(100));
        run("kill", &["-CONT", &reader]);
        let (db, port) = (scene.db(), scene.port.clone());
        assert_eq!(scene.recorder.wait(), 0);
        let named = format!("SELECT count(container_name) FROM egress WHERE dst_port = {port}");
        value::<i64>(&db, &named) == 1
    };
    assert!(std::iter::repeat_with(ends).take(5).any(|named| named));
}

#[test]
fn borrowed_id_is_another_container_and_changes_nothing_of_the_real_one() {
    let (me, mut laid) = (id(), TempFiles::default());
    for (home, name) in [("/var/lib", "payroll"), ("/var/www/.local/share", "evil")] {
        laid.file(
            &format!("{home}/docker/containers/{me}/config.v2.json"),
            &docker_file(&me, name),
        );
    }
    let real = format!("/docker/{me}");
    let users = "/user.slice/user-33.slice/user@33.service/user.slice";
    let borrowed = format!("{users}/docker-{me}.scope");
    let mut scene = Scene::new();
    // whichever of them is known first
    for cgroup in [&borrowed, &real, &borrowed, &real] {
        scene.dial(cgroup);
    }
    scene.named(3);
    let names = scene.rows("container_name", 4).concat();
    assert_eq!([&names[1], &names[3]], ["payroll"; 2]);
    assert_eq!(names[0], "evil");
    assert_ne!(names[2], "payroll");
    // of another user there is no file
    let mut scene = Scene::new();
    let nobodys = borrowed.replace("33", "65534");
    for cgroup in [&real, &nobodys] {
        scene.dial(cgroup);
    }
    assert_eq!(scene.rows("container_name", 2).concat(), ["payroll", ""]);
}

#[test]
fn containerd_pod_has_its_namespace_pod_container_and_image() {
    // containerd: internal/cri/annotations/annotations.go;
    // kubelet: pkg/kubelet/cm/pod_container_manager_linux.go
    let (id, sandbox, mut laid) = (id(), id(), TempFiles::default());
    laid.file(
        &bundle("k8s.io", &id),
        r#"{"ociVersion":"1.2.0","hostname":"web-0","annotations":{
            "io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"docker.io/library/nginx:1.27",
            "io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop",
            "io.kubernetes.cri.sandbox-id":"SANDBOX"}}"#
            .replace("SANDBOX", &sandbox)
            .as_str(),
    );
    // containernetworking/cni: libcni/api.go
    laid.file(
        &format!("/var/lib/cni/results/pods-{sandbox}-eth0"),
        r#"{"kind":"cniCacheV1","ifName":"eth0","networkName":"pods",
            "result":{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.7/24"}]}}"#,
    );
    let columns = format!("{COLUMNS}, container_ip");
    for cgroup in [
        format!("/kubepods.slice/kubepods-pod{id}.slice/cri-containerd-{id}.scope"),
        format!("/kubepods/burstable/pod{id}/{id}"),
        format!("/system.slice/containerd.service/kubepods-pod{id}.slice:cri-containerd:{id}"),
    ] {
        let expected = [
            "nginx",
            "docker.io/library/nginx:1.27",
            "web-0",
            "shop",
            "web-0",
        ];
        assert_eq!(
            row_of(&cgroup, &columns),
            [&["containerd"], &expected[..], &["", "10.244.1.7"]].concat(),
            "{cgroup}"
        );
    }
}

#[test]
fn nerdctl_container_in_a_docker_container_has_its_name_and_the_outer_one() {
    // nerdctl: pkg/cmd/container/run_cgroup_linux.go, pkg/labels/labels.go
    let (outer, inner, mut laid) = (id(), id(), TempFiles::default());
    laid.file(
        &format!("/var/lib/docker/containers/{outer}/config.v2.json"),
        &docker_file(&outer, "runner"),
    );
    laid.file(
        &bundle("default", &inner),
        r#"{"hostname":"h-job","annotations":{"nerdctl/name":"job"}}"#,
    );
    let cgroup = format!("/system.slice/docker-{outer}.scope/system.slice/nerdctl-{inner}.scope");
    let columns = format!("{COLUMNS}, outer_container_name");
    assert_eq!(
        row_of(&cgroup, &columns),
        ["containerd", "job", "", "h-job", "", "", &outer, "runner"]
    );
}

#[test]
fn files_describe_crio_pods_and_podman_containers_within_them() {
    // CRI-O: internal/config/cgmgr, pkg/annotations; containers/storage: containers.go
    let (pod, inner, mut laid) = (id(), id(), TempFiles::default());
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
    for cgroup in [
        outer.clone(),
        format!("/kubepods/burstable/pod{pod}/crio-{pod}"),
    ] {
        assert_eq!(
            row_of(&cgroup, COLUMNS),
            [
                "crio",
                "api",
                "quay.io/shop/api:2",
                "api-1",
                "default",
                "api-1",
                ""
            ],
            "{cgroup}"
        );
    }
    let nested = format!("{outer}/machine.slice/libpod-{inner}.scope/container");
    let mut scene = Scene::recorded_with(&["--print"]);
    scene.dial(&nested);
    scene.dial(&outer);
    let (db, port) = (scene.db(), scene.port.clone());
    let (dir, _cgroups) = scene.end(2);
    let sql = format!(
        "SELECT {COLUMNS}, outer_container_name FROM egress WHERE dst_port = {port} ORDER BY id LIMIT 1"
    );
    assert_eq!(
        select(&db, &sql),
        [["podman", "", "", "4f1d", "", "", &pod, "api"]]
    );
    let printed = fs::read_to_string(dir.path().join("printed")).unwrap();
    let line = |part: &str| printed.lines().find(|line| line.contains(part));
    let nested = line("container.hostname=4f1d").unwrap();
    assert!(nested.contains("container.image=none ") && nested.ends_with(" container.outer=api"));
    let outer = line("container.name=api").unwrap();
    assert!(
        outer.ends_with(" pod=api-1 pod_namespace=default"),
        "{outer}"
    );
}

#[test]
fn system_containers_have_their_names() {
    // LXC: src/lxc/cgroups/cgfsng.c; systemd: src/nspawn/nspawn-cgroup.c
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
        assert_eq!(row_of(&cgroup, columns), [runtime, &name]);
    }
}

/// A cgroup v1 hierarchy without controllers: cgroups(7), "named hierarchies". A process in its
/// cgroups is in cgroup2's root, as without cgroup2.
struct V1 {
    dir: TempDir,
    name: String,
}

impl V1 {
    fn mount() -> V1 {
        let v1 = V1 {
            dir: tempfile::tempdir().unwrap(),
            name: format!("egt{}", std::process::id()),
        };
        ok(&mut v1.mounting());
        v1
    }

    fn mounting(&self) -> Command {
        let mut mount = Command::new("mount");
        let options = format!("none,name={}", self.name);
        mount.args(["-t", "cgroup", "-o", &options, "none"]);
        mount.arg(self.dir.path());
        mount
    }
}

impl Drop for V1 {
    fn drop(&mut self) {
        let name = format!("name={}:", self.name);
        let all = || fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        // It disappears a moment after its mount, unless a cgroup was being removed then.
        for _ in 0..10 {
            let _ = Command::new("umount").arg(self.dir.path()).output();
            for _ in 0..10 {
                if !all().contains(&name) {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
            let _ = self.mounting().output();
        }
    }
}

#[test]
fn paths_of_all_runtimes_name_containers_on_cgroup_v1() {
    let v1 = V1::mount();
    // with cgroups in it, it would outlive its mount
    let mut cgroups = TempFiles::default();
    let (docker, pod, podman, mut laid) = (id(), id(), id(), TempFiles::default());
    laid.file(
        &format!("/var/lib/docker/containers/{docker}/config.v2.json"),
        &docker_file(&docker, "web"),
    );
    laid.file(
        &bundle("k8s.io", &pod),
        r#"{"annotations":{"io.kubernetes.cri.container-name":"nginx",
            "io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
    );
    laid.file(
        &format!("/run/containers/storage/overlay-containers/{podman}/userdata/config.json"),
        r#"{"hostname":"h","annotations":{"io.container.manager":"libpod"}}"#,
    );
    let scene = Scene::new();
    let dial = dial();
    // Children of a process that moves there; they live milliseconds.
    for cgroup in [
        format!("docker/{docker}"),
        format!("kubepods/burstable/pod1/{pod}"),
        format!("libpod_parent/libpod-{podman}"),
    ] {
        let path = v1.dir.path().join(cgroup);
        cgroups.dir(&path);
        let script = format!("{} tcp {FAR4} {}; :", dial.display(), scene.port);
        ok(&mut scene.command_in(&path, &["sh", "-c", &script]));
    }
    let rows = scene.rows(
        "container_runtime, container_name, pod, container_hostname, container_id",
        3,
    );
    assert_eq!(
        rows,
        [
            ["docker", "web", "", "h-web", &docker],
            ["containerd", "nginx", "web-0", "", &pod],
            ["podman", "", "", "h", &podman],
        ]
    );
}

#[test]
fn cgroup_path_of_4_kib_names_its_container() {
    // longer than the 1,024 bytes of a path that the kernel's tracepoints have
    let (outer, inner) = (id(), id());
    let deep = vec!["d".repeat(255); 14].join("/");
    let top = format!("/docker/{outer}");
    let cgroup = format!("{top}/{deep}/docker-{inner}.scope");
    let mut scene = Scene::new();
    let (dial, port) = (dial(), scene.port.clone());
    let waiting = [dial.to_str().unwrap(), "hold", FAR4, &port];
    let mut command = scene.command(&cgroup, &waiting);
    let held = Guard(command.stdin(Stdio::piped()).spawn().unwrap());
    let sql = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
    let db = scene.db();
    eventually("its row", || (value::<i64>(&db, &sql) == 1).then_some(()));
    drop(held);
    let rows = scene.rows("container_id, outer_container_id, length(cgroup) > 3600", 1);
    assert_eq!(rows, [[inner.as_str(), &outer, "1"]]);
}

/// Who may create cgroups in a container's could leave it so.
#[test]
fn cgroup_beyond_any_path_is_in_its_container_even_if_it_is_gone_at_once() {
    let me = id();
    let mut scene = Scene::new();
    let top = cgroup2().join(format!("docker/{me}"));
    scene.laid.dir(&top);
    let (dial, port) = (dial().display().to_string(), scene.port.clone());
    let script = format!(
        "import os, subprocess
os.chdir('{}')
for level in range(20):
    os.mkdir('d' * 255); os.chdir('d' * 255)
child = os.fork()
if child == 0:
    open('cgroup.procs', 'w').write('0')
    os.execvp('ip', ['ip', 'netns', 'exec', '{}', '{dial}', 'tcp', '{FAR4}', '{port}'])
os.waitpid(child, 0)
for level in range(20):
    os.chdir('..'); os.rmdir('d' * 255)",
        top.display(),
        scene.net.near
    );
    run("python3", &["-c", &script]);
    let rows = scene.rows("container_id, cgroup LIKE '/docker/%/ddd%/…'", 1);
    assert_eq!(rows, [[me.as_str(), "1"]]);
}

#[test]
fn hostile_files_and_names_break_no_output() {
    let (big, broken, evil, mut laid) = (id(), id(), id(), TempFiles::default());
    laid.file(&bundle("k8s.io", &big), "");
    let sparse = fs::File::options().write(true).open(bundle("k8s.io", &big));
    sparse.unwrap().set_len(100 << 20).unwrap();
    laid.file(&bundle("k8s.io", &broken), r#"{"annotations":{"#);
    let name = "a\x1b[2J\n', --\"\u{202e}\u{feff}=x";
    let annotations = serde_json::json!({"hostname": name, "annotations": {
        "io.kubernetes.cri.container-name": name, "io.kubernetes.cri.image-name": name,
        "io.kubernetes.cri.sandbox-name": name, "io.kubernetes.cri.sandbox-namespace": name}});
    laid.file(&bundle("k8s.io", &evil), &annotations.to_string());
    let mut scene = Scene::recorded_with(&["--print"]);
    let cgroup = |id: &str| format!("/kubepods.slice/cri-containerd-{id}.scope");
    for id in [&big, &broken, &evil] {
        scene.dial(&cgroup(id));
    }
    // a path of many levels
    let levels = vec!["d".repeat(200); 3].join("/");
    scene.dial(&format!("{}/{levels}", cgroup(&evil)));
    let (db, port) = (scene.db(), scene.port.clone());
    let (dir, _cgroups) = scene.end(4);

    let sql = format!(
        "SELECT container_runtime, hex(container_name), length(cgroup) > 600 FROM egress WHERE dst_port = {port} ORDER BY id"
    );
    let hex: String = name.bytes().map(|b| format!("{b:02X}")).collect();
    let row = |name, long| ["containerd", name, long];
    assert_eq!(
        select(&db, &sql),
        [row("", "0"), row("", "0"), row(&hex, "0"), row(&hex, "1")]
    );
    let harmless = |output: &str| {
        let bad = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{feff}');
        assert!(!output.contains(bad), "{output:?}");
    };
    let printed = fs::read_to_string(dir.path().join("printed")).unwrap();
    harmless(&printed);
    let tcp: Vec<_> = printed
        .lines()
        .filter(|line| line.contains("process.tcp_v4") && line.contains(&format!(":{port} ")))
        .collect();
    assert_eq!(tcp.len(), 4, "{printed}");
    assert!(
        printed.lines().all(|line| line.starts_with("INFO[")),
        "{printed}"
    );
    let question = format!("which containers connected on port {port}");
    let ask = |form: &[&str]| {
        let mut query = egrets();
        ok(query.args(["query", &question, "--db"]).arg(&db).args(form))
    };
    let table = ask(&[]);
    harmless(&table);
    assert_eq!(table.lines().count(), 4, "{table}");
    let json = ask(&["--json"]);
    assert!(!json.contains('\x1b'));
    let rows: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        rows.iter().any(|row| row["container_name"] == name),
        "{json}"
    );
    let csv = ask(&["--csv"]);
    harmless(&csv.replace("\r\n", "\n"));
    assert_eq!(csv.lines().count(), 4, "{csv:?}");
}

#[test]
fn questions_about_processes_and_containers_are_answered() {
    let (web, mut laid) = (id(), TempFiles::default());
    laid.file(
        &format!("/var/lib/docker/containers/{web}/config.v2.json"),
        &docker_file(&web, "web"),
    );
    let mut scene = Scene::new();
    let (dial, port) = (dial().display().to_string(), scene.port.clone());
    let tcp = |host| [dial.as_str(), "tcp", host, &port];
    let docker = format!("/system.slice/docker-{web}.scope");
    ok(&mut scene.command(&docker, &tcp("shop.example.test")));
    let unit = "/system.slice/egt-nginx.service";
    ok(&mut scene.command(unit, &tcp("upstream.test")));
    let www = [
        "setpriv",
        "--reuid=www-data",
        "--regid=www-data",
        "--clear-groups",
    ];
    ok(&mut scene.command(unit, &[&www[..], &tcp("files.test")].concat()));
    // A job on a self-hosted runner (actions/runner: src/Misc/layoutbin/systemd.svc.sh.template),
    // without a container: its steps are children of Runner.Worker. This step's shell has
    // exited when its child connects.
    let runner = "/system.slice/actions.runner.shop-web.host1.service";
    let worker = scene.dir.path().join("Runner.Worker");
    fs::copy("/bin/bash", &worker).unwrap();
    let step = format!("bash -c '(sleep 0.3; {dial} tcp late.test {port}) & exit'; :");
    let command = [worker.to_str().unwrap(), "-c", &step];
    let mut parent = scene.command(runner, &command);
    let mut parent = parent.spawn().unwrap();
    let pid = parent.id().to_string();
    parent.wait().unwrap();
    let db = scene.db();
    let (_dir, _cgroups) = scene.end(4);
    let answer = |question: &str, column: &str| {
        let json = ok(egrets()
            .args(["query", question, "--json", "--db"])
            .arg(&db));
        let mut got: Vec<_> = json
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|row| row[column].as_str().unwrap_or_default().to_string())
            .collect();
        got.sort();
        got.dedup();
        got.join(" ")
    };
    for (question, column, expected) in [
        (
            "what did container web talk to on port PORT",
            "host",
            "shop.example.test",
        ),
        ("which containers hit example.test", "container_name", "web"),
        (
            "what did unit egt-nginx.service resolve",
            "qname",
            "files.test upstream.test",
        ),
        (
            "what did user www-data reach on port PORT",
            "host",
            "files.test",
        ),
        (
            "what did the children of Runner.Worker talk to on port PORT",
            "host",
            "late.test",
        ),
        (
            "what did the children of pid PARENT talk to on port PORT",
            "host",
            "late.test",
        ),
    ] {
        let question = question.replace("PORT", &port);
        let question = question.replace("PARENT", &pid);
        assert_eq!(answer(&question, column), expected, "{question}");
    }
    // the tests may be children of bash, too
    let bash = format!("what did the children of bash talk to on port {port}");
    assert!(answer(&bash, "host").contains("late.test"));
    let unit = "actions.runner.shop-web.host1.service";
    let unit = format!("what did unit {unit} talk to on port {port}");
    assert_eq!(answer(&unit, "host"), "late.test");
}

#[test]
fn cgroup2_is_found_beneath_another_file_system() {
    let script = r#"mount -t tmpfs none "$1"; exec "$2" check"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-ec", script, "sh"]);
    let said = ok(unshare.arg(cgroup2()).arg(egrets().get_program()));
    assert!(said.contains("recording works here"), "{said}");
}
