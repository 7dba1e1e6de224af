//! Containers on a real Docker daemon, which each test starts in its own network namespace:
//! bridge and firewall rules stay there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::RwLock;

use crate::support::docker::{Docker, GATEWAY};
use crate::support::*;

/// A policy in force concerns the containers of all tests.
static CONTAINERS: RwLock<()> = RwLock::new(());

#[test]
fn connections_have_their_containers_details_even_of_processes_that_live_milliseconds() {
    let _containers = CONTAINERS.read();
    let (docker, port) = Docker::with_names();
    let (_dir, db) = history();
    let recorder = docker.record(&db);

    let url = format!("http://web.test:{port}/");
    assert_eq!(
        docker.run(&[
            "--name",
            "web",
            "--hostname",
            "webhost",
            "img:1",
            "curl",
            "-s4",
            &url
        ]),
        "hello"
    );
    // One by one, then at the same time: each lives milliseconds.
    let (half, crowd) = (volume(5), volume(20));
    for i in 0..half {
        docker.run(&[
            "--name",
            &format!("s{i}"),
            "--hostname",
            &format!("hs{i}"),
            "img:1",
            "dial",
            "tcp",
            &format!("s{i}.test"),
            &port,
        ]);
    }
    let at_once: Vec<_> = (0..crowd)
        .map(|i| {
            let (name, host, target) = (format!("p{i}"), format!("hp{i}"), format!("p{i}.test"));
            let args = [
                "run",
                "--rm",
                "--dns",
                GATEWAY,
                "--name",
                &name,
                "--hostname",
                &host,
                "img:1",
                "dial",
                "tcp",
                &target,
                &port,
            ];
            docker.cli(&args).spawn().unwrap()
        })
        .collect();
    for mut container in at_once {
        assert!(container.wait().unwrap().success());
    }
    docker.run(&[
        "--name",
        "onhost",
        "--network",
        "host",
        "img:1",
        "dial",
        "tcp",
        GATEWAY,
        &port,
    ]);
    assert_eq!(recorder.stop(), 0);

    let tcp = "protocol = 'tcp' AND container_id IS NOT NULL AND dst_port = ";
    let web = select(
        &db,
        &format!(
            "SELECT comm, exe, cmdline, host, host_source, outcome, container_name, container_image, container_hostname, container_ip = src_ip, container_runtime, length(container_id), rx_bytes > 5 FROM egress WHERE {tcp}{port} AND container_name = 'web'"
        ),
    );
    assert_eq!(
        web,
        [[
            "curl",
            "/usr/bin/curl",
            &format!("curl -s4 {url}"),
            "web.test",
            "process",
            "connected",
            "web",
            "img:1",
            "webhost",
            "1",
            "docker",
            "64",
            "1"
        ]]
    );
    let short = format!(
        "SELECT count(*) FROM egress WHERE {tcp}{port} AND comm = 'dial' AND exe = '/bin/dial' AND host = container_name || '.test' AND container_hostname = 'h' || container_name AND container_image = 'img:1' AND container_ip = src_ip AND outcome = 'connected'"
    );
    let rows = format!(
        "SELECT comm, exe, host, container_name, container_hostname, container_image, container_ip, src_ip, outcome FROM egress WHERE {tcp}{port}"
    );
    assert_eq!(
        value::<i64>(&db, &short),
        (half + crowd) as i64,
        "{:?}",
        select(&db, &rows)
    );
    let onhost = select(
        &db,
        &format!(
            "SELECT container_image, container_ip FROM egress WHERE {tcp}{port} AND container_name = 'onhost'"
        ),
    );
    assert_eq!(onhost, [["img:1", ""]]);
    let dns = select(
        &db,
        "SELECT DISTINCT comm, qname FROM dns WHERE container_name = 'web'",
    );
    assert_eq!(dns, [["curl", "web.test"]]);

    let query = ok(egrets()
        .args(["query", "--json", "which containers hit web.test", "--db"])
        .arg(&db));
    let row: serde_json::Value = serde_json::from_str(query.trim()).unwrap();
    assert_eq!(
        (&row["container_name"], &row["container_image"]),
        (&"web".into(), &"img:1".into())
    );
}

#[test]
fn docker_dns_names_connections_of_its_clients_and_its_own_queries_are_recorded() {
    let _containers = CONTAINERS.read();
    let (docker, port) = Docker::with_names();
    ok(&mut docker.cli(&["network", "create", "shop"]));
    let server = ["busybox", "httpd", "-f", "-p", "8080"];
    ok(docker
        .cli(&["run", "--rm", "--detach", "--network", "shop"])
        .args(["--name", "backend", "img:1"])
        .args(server));
    let (_dir, db) = history();
    let recorder = docker.record(&db);
    for (name, port) in [("backend", "8080"), ("outside.test", &port)] {
        let container = format!("to-{name}");
        let client = ["--network", "shop", "--name", &container, "img:1"];
        docker.run(&[&client[..], &["dial", "tcp", name, port]].concat());
    }
    assert_eq!(recorder.stop(), 0);
    ok(&mut docker.cli(&["stop", "--time", "0", "backend"]));

    let mut rate = Rate::new("Docker's name server, 127.0.0.11 (NAT on the way)");
    for (name, port) in [("backend", "8080"), ("outside.test", &port)] {
        let own = format!("container_name = 'to-{name}' AND dst_port = {port} AND comm = 'dial'");
        rate.rows(&db, &own, name);
    }
    rate.verdict();
    let asked = select(
        &db,
        "SELECT DISTINCT comm, qname, server_ip, server_port, status FROM dns
         WHERE container_name LIKE 'to-%' AND qtype = 'A' ORDER BY qname",
    );
    let own = |name| ["dial", name, "127.0.0.11", "53", "answered"];
    assert_eq!(asked, [own("backend"), own("outside.test")]);
    // names that the daemon does not know it looks up itself
    let forwarded = select(
        &db,
        "SELECT DISTINCT comm, qname, server_ip, container_name FROM dns
         WHERE comm = 'dockerd' AND qtype = 'A' AND status = 'answered'",
    );
    assert_eq!(forwarded, [["dockerd", "outside.test", GATEWAY, ""]]);
}

#[test]
fn missing_daemon_costs_details_and_no_events() {
    let _containers = CONTAINERS.read();
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    // A container's cgroup as Docker lays it out.
    let id = "0123456789abcdef".repeat(4);
    let mut egrets = egrets();
    egrets.env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let recorder = Recorder::start_with(&db, &[], egrets);
    let cgroup = cgroup2().join("docker").join(&id);
    fs::create_dir_all(&cgroup).unwrap();
    recorder.expect("until it answers");
    let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", cgroup.display());
    let dialled = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", net.near))
        .args(["sh", "-ec", &script, "sh"])
        .arg(dial())
        .args(["tcp", FAR4, &port])
        .output()
        .unwrap();
    let stopped = recorder.stop();
    let _ = fs::remove_dir(&cgroup);
    let _ = fs::remove_dir(cgroup.parent().unwrap());
    assert!(dialled.status.success(), "{}", text(&dialled.stderr));
    assert_eq!(stopped, 0);
    let rows = select(
        &db,
        &format!(
            "SELECT container_id, container_runtime, container_name, cgroup FROM egress WHERE dst_port = {port}"
        ),
    );
    assert_eq!(
        rows,
        [[id.as_str(), "docker", "", &format!("/docker/{id}")]]
    );
}

#[test]
fn hanging_daemon_costs_no_event_and_its_late_answers_count() {
    let _containers = CONTAINERS.read();
    let mut docker = Docker::start(&[]);
    docker.net.dnsmasq(&[&format!("--listen-address={FAR4}")]);
    let port = docker.net.http("hello").to_string();
    let (_dir, db) = history();
    ok(&mut docker.cli(&["network", "create", "own"]));
    // Started before the recording, they connect while the daemon is stopped.
    let dial = ["img:1", "busybox", "sh", "-c"];
    let script = format!(
        "while [ ! -e /go/now ]; do busybox sleep 0.1; done; dial tcp {FAR4} {port}; busybox sleep 600"
    );
    let go = docker.dir.path().join("go");
    fs::create_dir(&go).unwrap();
    let volume = format!("{}:/go", go.display());
    for (name, options) in [
        ("bridged", ["--network", "bridge"]),
        ("user-defined", ["--network", "own"]),
        ("hostpid", ["--pid", "host"]),
    ] {
        let mut command = docker.cli(&["run", "-d", "--name", name, "-v", &volume]);
        ok(command.args(options).args(dial).arg(&script));
    }
    let recorder = docker.record(&db);
    // It accepts connections and never answers.
    let pid = docker.daemon.0.id().to_string();
    run("kill", &["-STOP", &pid]);
    fs::write(go.join("now"), "").unwrap();
    let written = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
    eventually("three rows", || {
        (value::<i64>(&db, &written) == 3).then_some(())
    });
    run("kill", &["-CONT", &pid]);
    let named = format!("{written} AND container_name IS NOT NULL");
    eventually("three names", || {
        (value::<i64>(&db, &named) == 3).then_some(())
    });
    assert_eq!(recorder.stop(), 0);
    assert_eq!(
        select(
            &db,
            &format!(
                "SELECT container_name, container_image, container_ip = src_ip, outcome FROM egress WHERE dst_port = {port} ORDER BY 1"
            )
        ),
        [
            ["bridged", "img:1", "1", "connected"],
            ["hostpid", "img:1", "1", "connected"],
            ["user-defined", "img:1", "1", "connected"]
        ]
    );
    assert_eq!(select(&db, GAPS), Vec::<Vec<String>>::new());
}

#[test]
fn container_keeps_its_old_name_and_address_after_rename_and_restart() {
    let _containers = CONTAINERS.read();
    let docker = Docker::start(&[]);
    let port = docker.net.http("hello").to_string();
    let (_dir, db) = history();
    let recorder = docker.record(&db);
    let sleep = ["img:1", "busybox", "sleep", "600"];
    let start = |name: &str| ok(docker.cli(&["run", "--detach", "--name", name]).args(sleep));
    let dial = |name: &str| ok(&mut docker.cli(&["exec", name, "dial", "tcp", GATEWAY, &port]));
    start("web");
    dial("web");
    ok(&mut docker.cli(&["rename", "web", "shop"]));
    dial("shop");
    // meanwhile another container takes its address and its name
    ok(&mut docker.cli(&["stop", "--time", "0", "shop"]));
    start("web");
    ok(&mut docker.cli(&["start", "shop"]));
    dial("shop");
    dial("web");
    ok(&mut docker.cli(&["rm", "--force", "shop", "web"]));
    assert_eq!(recorder.stop(), 0);
    let rows = select(
        &db,
        &format!(
            "SELECT container_name, container_image, container_ip = src_ip, src_ip, dense_rank() OVER (ORDER BY container_id IN (SELECT container_id FROM egress WHERE container_name = 'shop')) FROM egress WHERE dst_port = {port} ORDER BY id"
        ),
    );
    let row = |name, ip, which| [name, "img:1", "1", ip, which];
    let (first, second) = ("172.17.0.2", "172.17.0.3");
    assert_eq!(
        rows,
        [
            row("web", first, "2"),
            row("shop", first, "2"),
            row("shop", second, "2"),
            row("web", first, "1"),
        ]
    );
    for name in ["web", "shop"] {
        let question = format!("how many connections did container {name} make");
        let answer = ok(egrets()
            .args(["query", "--json", &question, "--db"])
            .arg(&db));
        let row: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(row["connections"], 2, "{name}: {answer}");
    }
}

#[test]
fn stopped_daemon_costs_no_known_name_and_is_used_again_after_its_restart() {
    let _containers = CONTAINERS.read();
    let mut docker = Docker::start(&[]);
    let port = docker.net.http("hello").to_string();
    let (_dir, db) = history();
    let (_late_dir, late_db) = history();
    let go = docker.dir.path().join("go");
    fs::create_dir(&go).unwrap();
    let mount = format!("{}:/go", go.display());
    let script = format!(
        "for n in 1 2 3 4; do while [ ! -e /go/$n ]; do busybox sleep 0.1; done; dial tcp {GATEWAY} {port}; done; busybox sleep 600"
    );
    let options = ["run", "--detach", "--name", "before", "--volume", &mount];
    ok(docker
        .cli(&options)
        .args(["img:1", "busybox", "sh", "-c", &script]));
    let dials = |db: &Path, n: i64| {
        let sql = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
        eventually("its row", || (value::<i64>(db, &sql) == n).then_some(()));
    };
    let recorder = docker.record(&db);
    fs::write(go.join("1"), "").unwrap();
    dials(&db, 1);
    let named = format!("SELECT count(container_name) FROM egress WHERE dst_port = {port}");
    eventually("its name", || {
        (value::<i64>(&db, &named) == 1).then_some(())
    });

    docker.end_daemon("-KILL");
    recorder.expect("until it answers");
    // a recorder that starts now finds neither daemon nor name
    let late = docker.record(&late_db);
    fs::write(go.join("2"), "").unwrap();
    dials(&db, 2);
    dials(&late_db, 1);
    let unnamed =
        &format!("SELECT count(*) FROM egress WHERE dst_port = {port} AND container_name IS NULL");
    assert_eq!(value::<i64>(&late_db, unnamed), 1);

    docker.restart_daemon();
    recorder.expect("Docker's daemon answers again");
    late.expect("Docker's daemon answers again");
    eventually("the missing name", || {
        (value::<i64>(&late_db, unnamed) == 0).then_some(())
    });
    ok(&mut docker.cli(&["rename", "before", "again"]));
    fs::write(go.join("3"), "").unwrap();
    dials(&db, 3);
    ok(docker
        .cli(&["run", "--rm", "--name", "new", "img:1", "dial"])
        .args(["tcp", GATEWAY, &port]));
    dials(&db, 4);

    // this time with SIGTERM
    docker.end_daemon("-TERM");
    recorder.expect("until it answers");
    fs::write(go.join("4"), "").unwrap();
    dials(&db, 5);
    docker.restart_daemon();
    let warnings = late.said();
    assert_eq!((recorder.stop(), late.stop()), (0, 0));
    let names = format!(
        "SELECT container_name, container_image, container_ip = src_ip FROM egress WHERE dst_port = {port} ORDER BY id"
    );
    let row = |name| [name, "img:1", "1"];
    let names_of_all = ["before", "before", "again", "new", "again"].map(row);
    assert_eq!(select(&db, &names), names_of_all);
    assert_eq!(select(&late_db, &names)[0], row("before"));
    assert_eq!(select(&db, GAPS), Vec::<Vec<String>>::new());
    let away = warnings.iter().filter(|l| l.contains("until it answers"));
    assert_eq!(away.count(), 1, "{warnings:?}");
}

#[test]
fn policy_by_image_is_about_its_containers_alone() {
    let _containers = CONTAINERS.write();
    let (docker, port) = Docker::with_names();
    ok(&mut docker.cli(&["tag", "img:1", "other:1"]));
    let (dir, db) = history();
    let policy = format!(
        "version: 1
default: allow
unknown_containers: block
rules:
  - {{ name: image, who: {{ image: img }}, to: [{GATEWAY}], ports: [{port}], action: block }}
"
    );
    let file = dir.path().join("policy.yaml");
    fs::write(&file, policy).unwrap();
    let mut egrets = egrets();
    egrets.env("DOCKER_HOST", docker.host());
    let args = ["--policy", file.to_str().unwrap(), "--enforce"];
    let recorder = Recorder::start_with(&db, &args, egrets);
    // until Docker has described it, which takes milliseconds, each container is refused
    let script = format!(
        "for i in $(busybox seq 40); do dial tcp {GATEWAY} {port} && exit 0; busybox sleep 0.1; done; exit 3"
    );
    let reaches = |image: &str| {
        let run = ["run", "--rm", image, "busybox", "sh", "-c", &script];
        let output = docker.cli(&run).output().unwrap();
        match output.status.code() {
            Some(0) => true,
            Some(3) => false,
            code => panic!("{code:?}: {}", text(&output.stderr)),
        }
    };
    assert!(!reaches("img:1"));
    assert!(reaches("other:1"));
    assert_eq!(recorder.stop(), 0);
    let sql = "SELECT DISTINCT container_image, outcome, verdict, rule FROM egress
               WHERE container_image <> '' AND rule <> 'unknown_containers' ORDER BY 1";
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        "img:1 denied block image",
        "other:1 connected allow default",
    ];
    assert_eq!(select(&db, sql), rows.map(row));
}

/// The command of docs/install.md, for this daemon.
#[test]
fn image_records_the_host_with_the_options_of_the_documentation() {
    let _containers = CONTAINERS.read();
    let (docker, port) = Docker::with_names();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = tempfile::tempdir().unwrap();
    let program = target.path().join("egrets");
    fs::copy(env!("CARGO_BIN_EXE_egrets"), &program).unwrap();
    ok(Command::new(root.join("scripts/image.sh"))
        .env("CARGO_TARGET_DIR", target.path())
        .env("EGRETS_STATIC", &program)
        .env("SOURCE_DATE_EPOCH", "1000000000"));
    let packages = fs::read_dir(target.path().join("packages")).unwrap();
    let image = packages.map(|file| file.unwrap().path()).next().unwrap();
    ok(docker.cli(&["load", "-i"]).arg(&image));

    let page = fs::read_to_string(root.join("docs/install.md")).unwrap();
    let command = page.split("    docker run ").nth(1).unwrap();
    let command = command.split("egrets:VERSION\n").next().unwrap();
    let socket = docker.dir.path().join("d.sock").display().to_string();
    let command = command
        .replace("\\\n", " ")
        // a file can't be put into one that is read-only, below
        .replace("--read-only --tmpfs /tmp", "")
        .replace("-d ", "")
        .replace("-v /run/docker.sock:", &format!("-v {socket}:"));
    let name = concat!("egrets:", env!("CARGO_PKG_VERSION"));
    let create = |options: &str| {
        let mut create = docker.cli(&["create"]);
        create.args(options.split_whitespace());
        create.args(["--env", "EGRETS_HOOKS", name, "record"]);
        create.output().unwrap()
    };
    let created = create(&command);
    if text(&created.stderr).contains("unknown capability: \"CAP_BPF\"") {
        // what the page says of such a daemon
        assert!(page.contains("`--cap-add=SYS_ADMIN` in the place of BPF and PERFMON"));
        let command = command.replace("BPF --cap-add=PERFMON", "SYS_ADMIN");
        assert_eq!(code(&create(&command)), 0, "{command}");
    } else {
        assert_eq!(code(&created), 0, "{}", text(&created.stderr));
    }
    // The program of this test has libraries, which that of a release has not.
    let libraries = ok(Command::new("ldd").arg(&program));
    let libraries = libraries.split_whitespace().filter(|w| w.starts_with('/'));
    let files = target.path().join("libraries.tar");
    ok(Command::new("tar")
        .args(["-C", "/", "--dereference", "-cf"])
        .arg(&files)
        .args(libraries.map(|path| path.trim_start_matches('/'))));
    ok(docker
        .cli(&["cp", "-", "egrets:/"])
        .stdin(fs::File::open(&files).unwrap()));
    ok(&mut docker.cli(&["start", "egrets"]));
    let logs = || {
        let output = docker.cli(&["logs", "egrets"]).output().unwrap();
        text(&output.stderr)
    };
    eventually("a recording in the container", || {
        logs().contains("recording into").then_some(())
    });

    let url = format!("http://web.test:{port}/");
    docker.run(&["--name", "web", "img:1", "curl", "-s4", &url]);
    let far = format!("--net=/run/netns/{}", docker.net.far);
    ok(Command::new("nsenter")
        .arg(far)
        .arg(dial())
        .args(["tcp", GATEWAY, &port]));
    ok(&mut docker.cli(&["stop", "egrets"]));
    let (dir, _) = history();
    ok(docker
        .cli(&["cp", "egrets:/var/lib/egrets"])
        .arg(dir.path()));
    let db = dir.path().join("egrets/egrets.db");
    assert_eq!(
        select(
            &db,
            &format!(
                "SELECT comm, exe, user, host, container_name, outcome, comm = 'dial' OR rx_bytes > 5 FROM egress WHERE dst_port = {port} ORDER BY comm"
            )
        ),
        [
            [
                "curl",
                "/usr/bin/curl",
                "root",
                "web.test",
                "web",
                "connected",
                "1"
            ],
            [
                "dial",
                dial().to_str().unwrap(),
                "root",
                "",
                "",
                "connected",
                "1"
            ],
        ],
        "{}",
        logs()
    );
}
