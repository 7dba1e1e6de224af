//! Containers of podman and containerd, run by those themselves: on this machine, where
//! cgroups are hybrid, and in the machines of scripts/kernels.sh, where cgroup2 is all.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::*;
use tempfile::TempDir;

/// podman, as root, without systemd: its containers' files are where they always are. The
/// machines of the tests may lack CAP_SYS_RESOURCE, so no limit may be raised, which its
/// own runtime, crun, does.
struct Podman {
    image: String,
}

const LIMITS: [&str; 4] = ["--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512"];

impl Podman {
    fn new(tar: &Path) -> Podman {
        let podman = Podman {
            image: format!("localhost/egt-{}:1", std::process::id()),
        };
        let tar = tar.to_str().unwrap();
        ok(&mut podman.command(&["import", tar, &podman.image]));
        podman
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        podman
            .args(["--cgroup-manager", "cgroupfs", "--runtime", "runc"])
            .args(["--storage-driver", "vfs"])
            .args(args);
        podman
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rmi", "--force", &self.image]).output();
    }
}

/// A command in the near network, with this machine's /sys.
fn in_near(net: &Net, command: &Command) -> Command {
    let mut nsenter = Command::new("nsenter");
    nsenter
        .arg(format!("--net=/run/netns/{}", net.near))
        .arg(command.get_program())
        .args(command.get_args());
    nsenter
}

fn record(db: &Path) -> Recorder {
    let mut egrets = egrets();
    egrets.env("DOCKER_HOST", "unix:///no/such/docker.sock");
    Recorder::start_with(db, &[], egrets)
}

fn rows(db: &Path, columns: &str, port: &str) -> Vec<Vec<String>> {
    let sql = format!("SELECT {columns} FROM egress WHERE dst_port = {port} ORDER BY id");
    sqlite3(db, &sql)
}

#[test]
fn a_container_of_podmans_has_its_name_image_and_hostname() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let podman = Podman::new(&image::tar(dir.path(), &[]));
    let recorder = record(&db);
    // the container's process, one that it starts, and one of a container that is run
    // into it
    let run = |name: &str, script: &str| {
        let hostname = format!("h-{name}");
        let mut command = podman.command(&["run", "--rm", "--network", "host"]);
        command.args(LIMITS);
        command.args(["--name", name, "--hostname", &hostname, &podman.image]);
        command.args(["/bin/busybox", "sh", "-c", script]);
        ok(&mut in_near(&net, &command));
    };
    let dial = format!("/bin/dial tcp {FAR4} {port}");
    let (first, second) = (unique("first"), unique("second"));
    run(&first, &format!("exec {dial}"));
    run(&second, &format!("{dial}; {dial}"));
    assert_eq!(recorder.stop(), 0);
    let columns = "container_runtime, container_name, container_image, container_hostname, exe, length(container_id), outcome, instr(cgroup, container_id) > 0";
    let row = |name: &str| {
        let hostname = format!("h-{name}");
        let known = ["podman", name, &podman.image, &hostname, "/bin/dial", "64"];
        [&known[..], &["connected", "1"]].concat().join(" ")
    };
    let got: Vec<_> = rows(&db, columns, &port)
        .iter()
        .map(|row| row.join(" "))
        .collect();
    assert_eq!(got, [row(&first), row(&second), row(&second)]);
}

fn unique(name: &str) -> String {
    format!("egt-{name}-{}", std::process::id())
}

/// A containerd that keeps its state where it always does.
struct Containerd {
    dir: TempDir,
    _daemon: Guard,
}

impl Containerd {
    fn start(net: &Net) -> Containerd {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = \"/run/containerd\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("root"),
            at("sock")
        );
        fs::write(at("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml")]);
        let daemon = in_near(net, &command)
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let containerd = Containerd {
            _daemon: Guard(daemon),
            dir,
        };
        eventually("containerd answers", || {
            let version = containerd.ctr("default", &["version"]).output().unwrap();
            version.status.success().then_some(())
        });
        containerd
    }

    fn ctr(&self, namespace: &str, args: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.dir.path().join("sock"));
        ctr.args(["--namespace", namespace]).args(args);
        ctr
    }
}

#[test]
fn containerds_containers_are_told_by_the_bundles_that_it_really_makes() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    image::tar(dir.path(), &[]);
    let root = dir.path().join("root").display().to_string();
    let containerd = Containerd::start(&net);
    let recorder = record(&db);
    // as nerdctl and the CRI plugin ask for them, and as ctr does
    let id = |n: u32| format!("{:063x}{n}", std::process::id());
    let pod = [
        "io.kubernetes.cri.container-name=nginx",
        "io.kubernetes.cri.image-name=docker.io/library/nginx:1.27",
        "io.kubernetes.cri.sandbox-name=web-0",
        "io.kubernetes.cri.sandbox-namespace=shop",
    ];
    let kubepods = format!("/kubepods/burstable/pod{}/{}", id(2), id(2));
    for (n, namespace, annotations, cgroup) in [
        (1, "default", &["nerdctl/name=job"][..], None),
        (2, "k8s.io", &pod, Some(kubepods.as_str())),
        (3, "default", &[], None),
    ] {
        let mut run = containerd.ctr(namespace, &["run", "--rm", "--net-host", "--rootfs"]);
        for annotation in annotations {
            run.args(["--annotation", annotation]);
        }
        if let Some(cgroup) = cgroup {
            run.args(["--cgroup", cgroup]);
        }
        run.args([&root, &id(n), "/bin/dial", "tcp", FAR4, &port]);
        ok(&mut run);
    }
    assert_eq!(recorder.stop(), 0);
    let columns = "container_id, container_runtime, container_name, container_image, pod_namespace, pod, exe, outcome";
    let row = |n, known: [&str; 4]| {
        let id = id(n);
        let ends = ["/bin/dial", "connected"];
        let [name, image, namespace, pod] = known;
        [
            &id,
            "containerd",
            name,
            image,
            namespace,
            pod,
            ends[0],
            ends[1],
        ]
        .join(" ")
    };
    let got: Vec<_> = rows(&db, columns, &port)
        .iter()
        .map(|row| row.join(" "))
        .collect();
    assert_eq!(
        got,
        [
            row(1, ["job", "", "", ""]),
            row(
                2,
                ["nginx", "docker.io/library/nginx:1.27", "shop", "web-0"]
            ),
            row(3, ["", "", "", ""]),
        ]
    );
}
