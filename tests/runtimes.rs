//! Containers run by podman and containerd: on this machine, where cgroups are hybrid, and in
//! the virtual machines of scripts/kernels.sh, which have cgroup2 alone.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;
use tempfile::TempDir;

/// podman as root, without systemd, with its files in the default directories. Test machines may
/// lack CAP_SYS_RESOURCE, so runc replaces crun, which raises limits.
struct Podman {
    isolated: Isolated,
}

const IMAGE: &str = "localhost/img:1";

const LIMITS: [&str; 4] = ["--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512"];

impl Podman {
    fn new(net: &Net, tar: &Path, cgroups: Cgroups) -> Podman {
        let dirs = ["/var/lib/containers", "/run/containers", "/run/libpod"];
        let podman = Podman {
            isolated: Isolated::new(&dirs, cgroups),
        };
        ok(&mut podman.command(net, &["import", tar.to_str().unwrap(), IMAGE]));
        podman
    }

    fn command(&self, net: &Net, args: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        podman
            .args(["--cgroup-manager", "cgroupfs", "--runtime", "runc"])
            .args(["--storage-driver", "vfs"])
            .args(args);
        self.isolated.near(net, &podman)
    }
}

/// A mount namespace in which these directories are empty, so that the machine's own containers
/// are left alone. egrets runs in it, too, to find the files there.
struct Isolated(Guard);

/// Which cgroups a runtime finds at /sys/fs/cgroup.
#[derive(Clone, Copy, PartialEq)]
enum Cgroups {
    /// The machine's: hybrid here, cgroup2 alone in the virtual machines.
    Own,
    /// Cgroup v1 alone: hybrid ones without their cgroup2.
    V1,
}

impl Isolated {
    fn new(dirs: &[&str], cgroups: Cgroups) -> Isolated {
        let v1 = "umount /sys/fs/cgroup/unified\n";
        let script = r#"for dir; do mkdir -p "$dir"; mount -t tmpfs none "$dir"; done
            echo ready; exec sleep 600"#;
        let script = match cgroups {
            Cgroups::Own => script.to_string(),
            Cgroups::V1 => [v1, script].concat(),
        };
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-ec", &script, "sh"]);
        let holder = unshare.args(dirs).stdout(Stdio::piped()).spawn();
        let mut holder = Guard(holder.unwrap());
        let mut ready = String::new();
        let out = holder.0.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Isolated(holder)
    }

    /// This command in the mount namespace and in the near network.
    fn near(&self, net: &Net, command: &Command) -> Command {
        let mut nsenter = self.enter(command);
        nsenter.arg(format!("--net=/run/netns/{}", net.near));
        nsenter.arg(command.get_program()).args(command.get_args());
        nsenter
    }

    fn enter(&self, command: &Command) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--mount=/proc/{}/ns/mnt", self.0.0.id()));
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => nsenter.env(key, value),
                None => nsenter.env_remove(key),
            };
        }
        nsenter
    }

    fn record(&self, db: &Path) -> Recorder {
        let egrets = egrets();
        let mut nsenter = self.enter(&egrets);
        nsenter.env("DOCKER_HOST", "unix:///no/such/docker.sock");
        nsenter.arg(egrets.get_program());
        Recorder::start_with(db, &[], nsenter)
    }
}

fn rows(db: &Path, columns: &str, port: &str) -> Vec<Vec<String>> {
    let sql = format!("SELECT {columns} FROM egress WHERE dst_port = {port} ORDER BY id");
    select(db, &sql)
}

#[test]
fn podman_container_has_its_name_image_and_hostname() {
    podman_containers(Cgroups::Own);
}

#[test]
#[ignore = "needs cgroup v1's controllers beside cgroup2: make test"]
fn podman_container_has_its_name_on_cgroup_v1() {
    podman_containers(Cgroups::V1);
}

fn podman_containers(cgroups: Cgroups) {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let podman = Podman::new(&net, &image::tar(dir.path(), &[]), cgroups);
    let recorder = podman.isolated.record(&db);
    // the container's first process, and a child of it
    let run = |name: &str, script: &str| {
        let hostname = format!("h-{name}");
        let mut command = podman.command(&net, &["run", "--network", "host"]);
        command.args(LIMITS);
        command.args(["--name", name, "--hostname", &hostname, IMAGE]);
        ok(command.args(["/bin/busybox", "sh", "-c", script]));
    };
    let dial = format!("/bin/dial tcp {FAR4} {port}");
    run("first", &format!("exec {dial}"));
    run("second", &format!("{dial}; {dial}"));
    let named = format!("SELECT count(container_name) FROM egress WHERE dst_port = {port}");
    eventually("three names", || {
        (value::<i64>(&db, &named) == 3).then_some(())
    });
    ok(&mut podman.command(&net, &["rm", "--all"]));
    assert_eq!(recorder.stop(), 0);
    let columns = "container_runtime, container_name, container_image, container_hostname, exe, length(container_id), outcome, instr(cgroup, container_id) > 0";
    let row = |name: &str| {
        let hostname = format!("h-{name}");
        let known = ["podman", name, IMAGE, &hostname, "/bin/dial", "64"];
        [&known[..], &["connected", "1"]].concat().join(" ")
    };
    let got: Vec<_> = rows(&db, columns, &port)
        .iter()
        .map(|row| row.join(" "))
        .collect();
    assert_eq!(got, [row("first"), row("second"), row("second")]);
}

/// A containerd with its state in the default directory.
struct Containerd {
    dir: TempDir,
    isolated: Isolated,
    _daemon: Guard,
}

impl Containerd {
    fn start(net: &Net, cgroups: Cgroups) -> Containerd {
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
        let isolated = Isolated::new(&["/run/containerd"], cgroups);
        let daemon = isolated
            .near(net, &command)
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let containerd = Containerd {
            _daemon: Guard(daemon),
            isolated,
            dir,
        };
        eventually("containerd answers", || {
            let version = containerd
                .ctr(net, "default", &["version"])
                .output()
                .unwrap();
            version.status.success().then_some(())
        });
        containerd
    }

    fn ctr(&self, net: &Net, namespace: &str, args: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.dir.path().join("sock"));
        ctr.args(["--namespace", namespace]).args(args);
        self.isolated.near(net, &ctr)
    }
}

#[test]
fn containerd_containers_have_the_annotations_of_their_bundles() {
    containerd_containers(Cgroups::Own);
}

#[test]
#[ignore = "needs cgroup v1's controllers beside cgroup2: make test"]
fn containerd_containers_have_their_annotations_on_cgroup_v1() {
    containerd_containers(Cgroups::V1);
}

fn containerd_containers(cgroups: Cgroups) {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    image::tar(dir.path(), &[]);
    let root = dir.path().join("root").display().to_string();
    let containerd = Containerd::start(&net, cgroups);
    let recorder = containerd.isolated.record(&db);
    // with the annotations of nerdctl, the CRI plugin and ctr
    let id = |n: u32| format!("{:062x}{}{n}", std::process::id(), cgroups as u8);
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
        let mut run = containerd.ctr(&net, namespace, &["run", "--rm", "--net-host", "--rootfs"]);
        for annotation in annotations {
            run.args(["--annotation", annotation]);
        }
        if let Some(cgroup) = cgroup {
            run.args(["--cgroup", cgroup]);
        }
        // Its bundle is removed with it: it lives until a slow machine has read that.
        let script = format!("/bin/dial tcp {FAR4} {port}; busybox sleep 1");
        run.args([&root, &id(n), "/bin/busybox", "sh", "-c", &script]);
        ok(&mut run);
    }
    assert_eq!(recorder.stop(), 0);
    // the pod's cgroup, which the kubelet would remove
    let pod = format!("kubepods/burstable/pod{}", id(2));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines().filter(|line| line.contains(" cgroup")) {
        let mount = line.split(' ').nth(1).unwrap();
        let _ = fs::remove_dir(Path::new(mount).join(&pod));
    }
    let nowhere = format!("SELECT count(*) FROM egress WHERE dst_port = {port} AND cgroup IS NULL");
    assert_eq!(value::<i64>(&db, &nowhere), 0);
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
