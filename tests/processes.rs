//! Who it was: real processes of milliseconds, scripts and what they start, sockets
//! that outlive their process.

mod executables;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::thread;

use crate::support::*;

#[test]
fn five_thousand_short_lived_processes_have_their_program_and_arguments() {
    let net = Net::new();
    let (dir, db) = history();
    // Programs of many names, so that one taken for another shows.
    let programs: Vec<_> = (0..10)
        .map(|i| dir.path().join(format!("dial-{i}")))
        .collect();
    for program in &programs {
        fs::copy(dial(), program).unwrap();
    }
    let count = volume(5_000);
    let recorder = Recorder::start(&db, &["--exclude", "53"]);
    let runs: Vec<_> = (0..4)
        .map(|part| {
            let programs = programs.clone();
            let near = format!("/run/netns/{}", net.near);
            thread::spawn(move || {
                let near = fs::File::open(near).unwrap();
                rustix::thread::move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&near),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .unwrap();
                for i in (part..count).step_by(4) {
                    // The address identifies the process; there is no listener.
                    let ip = format!("127.{}.{}.{}", 1 + i % 10, 1 + i / 250, 1 + i % 250);
                    let status = Command::new(&programs[i % 10])
                        .args(["tcp", &ip, "7"])
                        .stderr(Stdio::null())
                        .status()
                        .unwrap();
                    assert_eq!(status.code(), Some(1));
                }
            })
        })
        .collect();
    for run in runs {
        run.join().unwrap();
    }
    assert_eq!(recorder.stop(), 0);
    let me = std::process::id();
    let dials = format!(
        "FROM egress WHERE dst_port = 7 AND netns = {}",
        net.near_inode()
    );
    assert_eq!(
        value::<i64>(&db, &format!("SELECT count(*) {dials}")),
        count as i64
    );
    let right = format!(
        "SELECT count(*) {dials} AND cmdline = exe || ' tcp ' || dst_ip || ' 7'
         AND exe = '{0}/dial-' || (substr(dst_ip, 5, instr(substr(dst_ip, 5), '.') - 1) - 1)
         AND ppid = {me} AND outcome = 'refused' AND start_ts <= ts AND ts - start_ts < 60000000000",
        dir.path().display()
    );
    assert_eq!(value::<i64>(&db, &right), count as i64);
    let lives = format!("SELECT count(*) FROM (SELECT DISTINCT pid, start_ts {dials})");
    assert_eq!(value::<i64>(&db, &lives), count as i64);
    assert_eq!(select(&db, GAPS), Vec::<Vec<String>>::new());
}

#[test]
fn one_query_finds_what_a_script_and_its_descendants_did() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let script = dir.path().join("build.sh");
    let dial = dial();
    // a child, a grandchild whose parent is gone by then, and one in a new session
    let lines = format!(
        "#!/bin/bash\nd={}\n$d tcp {FAR4} {port}\nsh -c \"(sleep 0.3; $d tcp {FAR4} {port}) & exit\"\nsetsid sh -c \"$d tcp {FAR4} {port}; :\"\nsleep 0.6\n",
        dial.display()
    );
    fs::write(&script, lines).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let recorder = Recorder::start(&db, &[]);
    for args in [
        vec!["setsid", "-w", script.to_str().unwrap()],
        vec![dial.to_str().unwrap(), "tcp", FAR4, &port],
    ] {
        assert!(
            net.command(args[0])
                .args(&args[1..])
                .status()
                .unwrap()
                .success()
        );
    }
    assert_eq!(recorder.stop(), 0);
    assert_eq!(
        value::<i64>(
            &db,
            &format!("SELECT count(*) FROM egress WHERE dst_port = {port}")
        ),
        4
    );
    let caused = format!(
        "SELECT DISTINCT e.id FROM egress e JOIN ancestors a USING (process_id)
         WHERE a.comm = 'build.sh' AND a.cmdline = '/bin/bash {}'",
        script.display()
    );
    assert_eq!(select(&db, &caused).len(), 3);
    let question = format!("how many connections did the children of build.sh make on port {port}");
    let answer = ok(egrets()
        .args(["query", "--json", &question, "--db"])
        .arg(&db));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["connections"], 3);
    let pid: i64 = value(
        &db,
        &format!(
            "SELECT DISTINCT pid FROM ancestors WHERE cmdline = '/bin/bash {}'",
            script.display()
        ),
    );
    let children = format!(
        "SELECT DISTINCT e.id FROM egress e JOIN ancestors a USING (process_id) WHERE a.pid = {pid}"
    );
    assert_eq!(select(&db, &children).len(), 3);
    // up to this test and beyond, in order
    let me = std::process::id();
    let depths: i64 = value(
        &db,
        &format!(
            "SELECT count(DISTINCT e.id) FROM egress e JOIN ancestors a USING (process_id) WHERE e.dst_port = {port} AND a.pid = {me} AND a.depth <= 4"
        ),
    );
    assert_eq!(depths, 4);
    // the script leads its session, and not that of what it started with setsid
    let leads = |leader: &str| {
        let sql = format!(
            "SELECT count(DISTINCT e.id) FROM egress e JOIN ancestors a USING (process_id)
             WHERE e.dst_port = {port} AND a.session_leader AND a.cmdline LIKE '{leader}%'"
        );
        value::<i64>(&db, &sql)
    };
    let script = format!("/bin/bash {}", script.display());
    assert_eq!((leads(&script), leads("sh -c ")), (2, 1));
    let again = "SELECT count(*) FROM egress e JOIN ancestors a USING (process_id)
        WHERE a.depth = 1 AND (a.pid <> e.ppid OR a.comm <> e.parent_comm) AND e.comm = 'dial'";
    assert_eq!(value::<i64>(&db, again), 0);
}

#[test]
fn socket_that_outlives_its_process_still_belongs_to_it_and_is_tracked() {
    let net = Net::new();
    let port = net.echo().to_string();
    let (_dir, db) = history();
    // bash connects the socket, its child sends on it when bash is gone
    let script = format!("exec 3<>/dev/udp/{FAR4}/{port}; (sleep 0.4; echo late >&3) & exit 0");
    let output = net.record(&db, &["bash", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let rows = select(
        &db,
        &format!(
            "SELECT comm, exe LIKE '%/bash', instr(cmdline, 'echo late') > 0, parent_comm IS NOT NULL, tx_bytes FROM egress WHERE dst_port = {port}"
        ),
    );
    assert_eq!(rows, [["bash", "1", "1", "1", "5"]]);
}

#[test]
fn executable_of_each_process_is_its_own_and_says_where_its_path_holds() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let at = dir.path().display();
    let script = format!(
        "set -e; cd {at}; cp {dial} run; to='tcp {FAR4} {port}'
         ./run $to; ./run memory {FAR4} {port}
         cp run gone; exec 3<gone; rm gone; /proc/self/fd/3 $to; exec 3<&-
         deep=$(printf 'd/%.0s' $(seq 260)); mkdir -p $deep usr; cp run $deep; ./$deep/run $to
         unshare -m sh -c \"mount -t tmpfs t usr; cp run usr/curl; usr/curl $to\"
         unshare -Urm sh -c \"mount -t tmpfs t usr; for i in $(seq -s' ' 70); do mount --bind usr usr; done
            cp run usr/curl; usr/curl $to\"",
        dial = dial().display()
    );
    let recording = Recording::start(&net);
    // in the host's mount namespace
    let output = net.near(|| Command::new("bash").args(["-c", &script]).output().unwrap());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    recording.save(&db);
    let columns = "exe, exe_view, exe_deleted";
    let rows = select(
        &db,
        &format!("SELECT {columns} FROM egress WHERE dst_port = {port} ORDER BY id"),
    );
    let row = |exe: String, view: &str, deleted: &str| vec![exe, view.into(), deleted.into()];
    // the longest part of the path that is followed
    let deep = format!("…{}/run", "/d".repeat(255));
    let expected = [
        row(format!("{at}/run"), "host", "0"),
        row("/memfd:payload (deleted)".into(), "memory", "1"),
        row(format!("{at}/gone"), "host", "1"),
        row(deep, "host", "0"),
        row(format!("{at}/usr/curl"), "namespace", "0"),
        row(format!("{at}/usr/curl"), "user_namespace", "0"),
    ];
    assert_eq!(rows, expected);
    let file = fs::metadata(dir.path().join("run")).unwrap();
    let inode = format!("SELECT exe_inode FROM egress WHERE exe = '{at}/run'");
    assert_eq!(value::<i64>(&db, &inode), file.ino() as i64);
}

#[test]
fn program_from_before_the_recording_has_its_executable_without_its_file_or_first_thread() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let program = dir.path().join("replaced");
    fs::copy(dial(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["thread", FAR4, &port]).stdin(Stdio::piped());
    let mut child = net.near(|| command.spawn().unwrap());
    thread::sleep(std::time::Duration::from_millis(300));
    fs::remove_file(&program).unwrap();
    let recorder = Recorder::start(&db, &[]);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(recorder.stop(), 0);
    let rows = select(
        &db,
        &format!(
            "SELECT exe, exe_deleted, exe_view, instr(cmdline, 'thread') > 0, already_open, COALESCE(total_tx_bytes, tx_bytes) FROM egress WHERE dst_port = {port} ORDER BY id"
        ),
    );
    let exe = program.display().to_string();
    let row = |open: &str, bytes: &str| {
        [&exe, "1", "host", "1", open, bytes]
            .map(str::to_string)
            .to_vec()
    };
    assert_eq!(rows, [row("1", "3"), row("0", "0")]);
}

#[test]
fn program_from_before_in_a_user_namespace_may_have_named_any_file_as_its_own() {
    let net = Net::new();
    let port = net.http("x");
    let (_dir, db) = history();
    let script = format!("read; exec 3<>/dev/tcp/{FAR4}/{port}");
    let bash = |wrapper: &[&str]| {
        let mut command = Command::new("env");
        command.args(wrapper).args(["bash", "-c", &script]);
        net.near(|| command.stdin(Stdio::piped()).spawn().unwrap())
    };
    let children = [bash(&[]), bash(&["unshare", "--user", "--map-root-user"])];
    for child in &children {
        let exe = format!("/proc/{}/exe", child.id());
        eventually("bash runs", || {
            fs::read_link(&exe).ok()?.ends_with("bash").then_some(())
        });
    }
    let recorder = Recorder::start(&db, &["--exclude", "bash"]);
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    assert_eq!(recorder.stop(), 0);
    let rows = format!("SELECT comm, exe_view FROM egress WHERE dst_port = {port}");
    assert_eq!(select(&db, &rows), [["bash", "user_namespace"]]);
}

#[test]
fn no_args_leaves_arguments_out() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let mut egrets = egrets();
    egrets
        .args(["record", "--no-args", "--json", "--db"])
        .arg(&db);
    egrets.args(["--", "ip", "netns", "exec", &net.near, "bash", "-c"]);
    egrets.arg(format!("exec 3<>/dev/tcp/{FAR4}/{port}; : topsecret"));
    let output = ok(&mut egrets);
    assert_eq!(select(&db, "SELECT cmdline FROM egress"), [["bash"]]);
    assert!(!output.contains("topsecret"), "{output}");
    let file = fs::read(&db).unwrap();
    assert!(!file.windows(9).any(|bytes| bytes == b"topsecret"));
}

#[test]
fn hostile_arguments_stay_in_their_line_and_field() {
    use std::os::unix::ffi::OsStrExt;
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let hostile = std::ffi::OsStr::from_bytes(b"a\nINFO[0000] fake\x1b[2J\xff\xfe\"',--");
    let mut egrets = egrets();
    egrets.args(["record", "--json", "--db"]).arg(&db);
    egrets.args(["--", "ip", "netns", "exec", &net.near, "bash", "-c"]);
    // the shell dials, so its arguments are those of the row
    egrets.arg(format!("exec 3<>/dev/tcp/{FAR4}/{port}"));
    egrets.arg(hostile);
    let output = ok(&mut egrets);
    let lines: Vec<serde_json::Value> = output
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|l| {
        l["event"] == "connect"
            && l["cmdline"]
                .as_str()
                .is_some_and(|c| c.ends_with("a\nINFO[0000] fake\u{1b}[2J\u{fffd}\u{fffd}\"',--"))
    }));
    assert!(!output.contains('\u{1b}'));
    let table = ok(crate::support::egrets()
        .args(["query", "what did bash talk to", "--db"])
        .arg(&db));
    assert!(!table.contains('\u{1b}'), "{table}");
}

#[test]
fn hostile_program_name_stays_in_its_line_field_and_cell() {
    use std::os::unix::ffi::OsStrExt;
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    // comm is its first 15 bytes, exe all of it
    let name = std::ffi::OsStr::from_bytes(b"x\nIN\x1b[2J\xff\",'\xc2\x9b=`$(id)\r--");
    let program = dir.path().join(name);
    fs::copy("/bin/bash", &program).unwrap();
    let printed = dir.path().join("printed");
    let mut egrets = egrets();
    egrets.stdout(fs::File::create(&printed).unwrap());
    let recorder = Recorder::start_with(&db, &["--print"], egrets);
    let connect = format!("exec 3<>/dev/tcp/{FAR4}/{port}");
    ok(net.command(&program).args(["-c", &connect]));
    assert_eq!(recorder.stop(), 0);

    let harmless = |output: &str, lines: usize| {
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!output.contains(bad), "{output:?}");
        assert_eq!(output.lines().count(), lines, "{output:?}");
    };
    let printed = fs::read_to_string(&printed).unwrap();
    let about = |line: &&str| line.contains(&format!(":{port} "));
    let lines: Vec<_> = printed.lines().filter(about).collect();
    // its close may come after the recording's end
    assert!(lines.len() >= 2, "{printed}");
    harmless(&lines.join("\n"), lines.len());
    assert!(
        printed.lines().all(|line| line.starts_with("INFO[")),
        "{printed}"
    );
    let question = format!("which processes connected on port {port}");
    let ask = |form: &[&str]| {
        let mut query = crate::support::egrets();
        ok(query.args(["query", &question, "--db"]).arg(&db).args(form))
    };
    harmless(&ask(&[]), 2);
    harmless(&ask(&["--csv"]).replace("\r\n", "\n"), 2);
    let json = ask(&["--json"]);
    harmless(&json, 1);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["comm"], "x\nIN\u{1b}[2J\u{fffd}\",'\u{9b}=", "{json}");
    assert!(
        row["exe"].as_str().unwrap().ends_with("=`$(id)\r--"),
        "{json}"
    );
}

#[test]
fn process_has_its_login_user() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    // Without audit the kernel has no such file, and the column is NULL.
    let set = fs::metadata("/proc/self/loginuid").is_ok();
    let script = format!(
        "[ {} = 0 ] || echo 0 > /proc/self/loginuid; exec 3<>/dev/tcp/{FAR4}/{port}",
        u8::from(set)
    );
    let output = net.record(&db, &["bash", "-c", &script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let expected = if set { ["0", "root"] } else { ["", ""] };
    assert_eq!(
        select(&db, "SELECT login_uid, login_user FROM egress"),
        [expected]
    );
}
