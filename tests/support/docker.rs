//! A real Docker daemon in its own network namespace, which keeps its bridge and firewall
//! rules.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{FAR4, Guard, Net, Recorder, egrets, image, ok, run, text};

/// The address of Docker's default bridge.
pub const GATEWAY: &str = "172.17.0.1";

pub struct Docker {
    pub dir: TempDir,
    pub daemon: Guard,
    pub net: Net,
}

impl Docker {
    /// With the image img:1: busybox, dial, curl and these programs.
    pub fn start(programs: &[&str]) -> Docker {
        let net = Net::new();
        let dir = tempfile::tempdir().unwrap();
        let daemon = Guard(Docker::daemon(&dir, &net));
        let mut docker = Docker { dir, daemon, net };
        docker.is_up();
        docker.make_image(programs);
        docker
    }

    /// Its containers outlive it.
    fn daemon(dir: &TempDir, net: &Net) -> Child {
        let at = |name: &str| dir.path().join(name);
        let mut log = fs::File::options();
        let log = log.create(true).append(true).open(at("log")).unwrap();
        // Not 'ip netns exec': that hides /sys/fs/cgroup.
        Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", net.far))
            .args(["dockerd", "--live-restore", "--data-root"])
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("d.sock").display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("dockerd: install docker.io")
    }

    pub fn is_up(&mut self) {
        let began = Instant::now();
        while !self.cli(&["info"]).output().unwrap().status.success() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
            if self.daemon.0.try_wait().unwrap().is_some() {
                // It waits 15 s for its containerd, which an emulated machine may need longer for.
                let slow = log
                    .trim_end()
                    .ends_with("timeout waiting for containerd to start");
                assert!(slow, "dockerd ended:\n{log}");
                self.forget_containerd();
                self.daemon = Guard(Docker::daemon(&self.dir, &self.net));
            }
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "dockerd does not come up:\n{log}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sends the daemon this signal, and waits until it ends.
    pub fn end_daemon(&mut self, signal: &str) {
        run("kill", &[signal, &self.daemon.0.id().to_string()]);
        self.daemon.0.wait().unwrap();
        self.forget_containerd();
    }

    /// It ends with its daemon; the next one must not wait for it.
    fn forget_containerd(&self) {
        let _ = fs::remove_file(self.dir.path().join("exec/containerd/containerd.pid"));
    }

    pub fn restart_daemon(&mut self) {
        self.daemon = Guard(Docker::daemon(&self.dir, &self.net));
        self.is_up();
    }

    /// With a name server on the bridge that resolves every name below test to the bridge, and
    /// the port of an HTTP server there.
    pub fn with_names() -> (Docker, String) {
        let mut docker = Docker::start(&[]);
        docker.net.dnsmasq(&[
            &format!("--listen-address={GATEWAY}"),
            &format!("--listen-address={FAR4}"),
            &format!("--address=/test/{GATEWAY}"),
        ]);
        let port = docker.net.http("hello").to_string();
        (docker, port)
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("d.sock").display())
    }

    pub fn cli(&self, args: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.host()).args(args);
        docker
    }

    pub fn run(&self, args: &[&str]) -> String {
        ok(self.cli(&["run", "--rm", "--dns", GATEWAY]).args(args))
    }

    fn make_image(&self, programs: &[&str]) {
        let programs = [&["/usr/bin/curl"], programs].concat();
        let tar = image::tar(self.dir.path(), &programs);
        ok(&mut self.cli(&["import", tar.to_str().unwrap(), "img:1"]));
    }

    pub fn record(&self, db: &Path) -> Recorder {
        let mut egrets = egrets();
        egrets.env("DOCKER_HOST", self.host());
        Recorder::start_with(db, &[], egrets)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let ids = self.cli(&["ps", "--all", "--quiet"]).output();
        let ids = ids.map_or(String::new(), |ids| text(&ids.stdout));
        let _ = self.cli(&["rm", "--force"]).args(ids.lines()).output();
        // By SIGTERM, so that it unmounts what it mounted.
        let pid = self.daemon.0.id().to_string();
        let _ = Command::new("kill").arg(pid).output();
        let _ = self.daemon.0.wait();
        for mount in ["exec/netns/default", "data"] {
            let mount = self.dir.path().join(mount);
            let _ = Command::new("umount").arg(mount).output();
        }
    }
}
