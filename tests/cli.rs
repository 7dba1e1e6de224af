//! The command line: output, exit codes, errors.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::*;

fn query(db: &std::path::Path, args: &[&str]) -> Output {
    egrets()
        .arg("query")
        .arg("--db")
        .arg(db)
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn question_is_answered_as_table_json_csv_and_sql_with_exit_codes_like_grep() {
    let mut net = Net::new();
    net.dnsmasq(&[
        &format!("--address=/test/{FAR4}"),
        "--address=/other/192.0.2.1",
        "--local=/nx/",
    ]);
    let port = net.http("hello");
    let (_dir, db) = history();
    let url = format!("http://web.example.test:{port}/");
    let script = format!(
        "curl -s4 {url}; curl -s 'http://[{FAR6}]:{port}/'
         dig +tries=1 @{FAR4} unused.other gone.nx >/dev/null"
    );
    assert_eq!(code(&net.record(&db, &["sh", "-c", &script])), 0);

    let table = query(&db, &["which processes hit example.test"]);
    assert_eq!(code(&table), 0, "{}", text(&table.stderr));
    let shown = text(&table.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(
        lines[0].starts_with("PROCESS ") && lines[1].starts_with("curl "),
        "{shown}"
    );
    assert!(lines[1].contains("web.example.test"), "{shown}");
    let said = text(&table.stderr);
    assert!(said.contains("1 process, 1 connection; took "), "{said}");
    // a question need not be quoted
    assert_eq!(
        text(&query(&db, &["which", "processes", "hit", "example.test"]).stdout),
        shown
    );

    let json = query(&db, &["--json", "what did curl talk to"]);
    assert!(!text(&json.stderr).contains("took"));
    let hosts: Vec<String> = text(&json.stdout)
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["host"].to_string())
        .collect();
    assert!(
        hosts.contains(&"\"web.example.test\"".to_string()),
        "{hosts:?}"
    );
    // curl and dig, with their user
    let csv = query(&db, &["--csv", "who reached 10.77.0.0/24"]);
    assert_eq!(
        text(&csv.stdout).lines().count(),
        3,
        "{}",
        text(&csv.stdout)
    );

    let sql = query(&db, &["--sql", "when did curl hit *.example.test"]);
    let rows = sqlite3(&db, &text(&sql.stdout));
    assert_eq!(rows.len(), 1, "{rows:?}");
    // the SQL of a question reads no file
    assert_eq!(
        code(
            &egrets()
                .args(["query", "--db", "/no/such", "--sql", "who hit a.test"])
                .output()
                .unwrap()
        ),
        0
    );

    let unused = query(
        &db,
        &["which names were resolved but never contacted", "--csv"],
    );
    assert!(
        text(&unused.stdout).contains("\r\nunused.other,dig,"),
        "{}",
        text(&unused.stdout)
    );
    assert!(!text(&unused.stdout).contains("web.example.test"));
    let failed = query(&db, &["which lookups failed", "--json"]);
    let failed: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(
        (&failed["qname"], &failed["result"], &failed["lookups"]),
        (&"gone.nx".into(), &"NXDOMAIN".into(), &1.into())
    );
    let raw = query(&db, &["when did curl connect to raw IPs", "--json"]);
    let raw: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert_eq!(raw["dst_ip"], FAR6);
    // the SQL of every projection runs in sqlite3 and finds as many rows
    for question in [
        "which processes connected to raw IPs",
        "which names were resolved but never contacted",
        "which lookups failed",
        "how many connections did curl make",
        "how many lookups did dig make",
        "top 1 host by bytes",
        "top 1 process by bytes today",
        "which processes resolved gone.nx",
        "which children of sh hit example.test",
        "how many lookups did children of sh make",
    ] {
        let sql = text(&query(&db, &["--sql", "--since", "1h", question]).stdout);
        assert_eq!(sqlite3(&db, &sql).len(), 1, "{question}");
    }

    let nothing = query(&db, &["which processes hit elsewhere.test"]);
    assert_eq!((code(&nothing), text(&nothing.stdout).as_str()), (1, ""));
    assert!(
        text(&nothing.stderr).contains("nothing found"),
        "{}",
        text(&nothing.stderr)
    );
    let before = query(
        &db,
        &["--until", "2001-01-01", "which processes hit example.test"],
    );
    assert_eq!(code(&before), 1);
    assert!(
        text(&before.stderr).contains("was not recording"),
        "{}",
        text(&before.stderr)
    );
}

#[test]
fn invalid_questions_and_options_are_explained_with_examples() {
    let (_dir, db) = history();
    assert_eq!(
        code(
            &egrets()
                .args(["record", "--for", "100ms", "--db"])
                .arg(&db)
                .output()
                .unwrap()
        ),
        0
    );
    for (args, words) in [
        (
            vec!["which processes frobnicated example.com"],
            vec![
                "frobnicated",
                "^^^^^^^^^^^ is not understood",
                "'egrets query --help' shows what can be asked",
            ],
        ),
        (
            vec!["who hit x.test", "--since", "soonish"],
            vec!["--since", "soonish", "10m"],
        ),
        (
            vec!["who hit x.test", "--since", "1h", "--until", "2h"],
            vec!["before its end"],
        ),
    ] {
        let output = query(&db, &args);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {said}");
        }
    }
    for (args, words) in [
        (vec!["record", "--for", "soon"], vec!["soon", "60s"]),
        (
            vec!["record", "--exclude", "10.0.0.0/99"],
            vec!["loopback", "10.0.0.0/8"],
        ),
        (vec!["record", "--ring-size", "1"], vec!["16M"]),
        (
            vec!["record", "--group", "no-such-group"],
            vec!["no-such-group", "getent group"],
        ),
        (
            vec!["watch", "--show", "top 5 hosts by bytes sent"],
            vec!["--show", "can't count, rank or compare", "egrets query"],
        ),
        (
            vec!["watch", "--hide", "curl in the last hour"],
            vec!["--hide", "leave the time out"],
        ),
        (vec!["fly"], vec!["fly"]),
    ] {
        let output = egrets().args(&args).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {said}");
        }
    }
}

/// `egrets watch`, once it does, and what is left of its messages.
fn watching(args: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = egrets()
        .arg("watch")
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut ready).unwrap();
    assert!(ready.contains("watching"), "{ready}");
    (child, stderr)
}

#[test]
fn watch_prints_the_live_log_and_stores_nothing() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x");
    let (mut child, _stderr) = watching(&[]);
    let host = format!("w{}.test", std::process::id());
    let url = format!("http://{host}:{port}/");
    ok(net.command("curl").args(["-s4", &url]));
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut next = |event: &str| {
        lines
            .find(|l| {
                l.contains(&format!(" {event} ")) && (l.contains(&host) || event == "process.close")
            })
            .unwrap()
    };
    let after_time = |line: &str| line.split_once("] ").unwrap().1.to_string();
    assert!(
        after_time(&next("dns.query")).starts_with(&format!("dns.query hostname={host} type=A "))
    );
    assert!(
        after_time(&next("dns.answer"))
            .starts_with(&format!("dns.answer hostname={host} response={FAR4} "))
    );
    let begun = next("process.tcp_v4");
    assert!(begun.starts_with("INFO[00"), "{begun}");
    assert!(begun.contains(&format!(" connection={FAR4}:{port} dns.entry={host} container.image=none container.hostname=none container.ip=none ")), "{begun}");
    run("kill", &["-INT", &child.id().to_string()]);
    // The host's other traffic may have filled the pipe.
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0), "Ctrl-C exits with 0");
}

#[test]
fn the_live_log_shows_what_questions_select() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x");
    let host = format!("q{}.test", std::process::id());
    let hidden = format!("h{}.test", std::process::id());
    let mut args = vec!["--json", "--show", &host, "--show", &hidden];
    let hide = format!("to {hidden}");
    args.extend(["--hide", &hide]);
    let (mut child, _stderr) = watching(&args);
    for host in [&hidden, "other.test", &host] {
        let url = format!("http://{host}:{port}/");
        ok(net.command("curl").args(["-s4", &url]));
    }
    let mut events = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.by_ref() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let name = line.get("qname").or(line.get("host")).unwrap();
        assert_eq!(name, host.as_str(), "{line}");
        events.push(line["event"].as_str().unwrap().to_owned());
        if events.last().unwrap() == "close" {
            break;
        }
    }
    for event in ["dns.query", "dns", "connect"] {
        assert!(events.iter().any(|one| one == event), "{event}: {events:?}");
    }
    run("kill", &["-INT", &child.id().to_string()]);
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn on_a_terminal_a_connection_has_one_line_with_its_bytes_or_its_failure() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.http("x");
    let watch = format!("stty cols 80; exec {:?} watch", egrets().get_program());
    let mut script = Command::new("script");
    script
        .args(["-qefc", &watch, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut terminal = Guard(script.spawn().unwrap());
    let mut lines = BufReader::new(terminal.0.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap().trim_end().to_owned());
    lines.find(|line| line.contains("watching")).unwrap();
    let host = format!("t{}.test", std::process::id());
    let url = format!("http://{host}:{port}/");
    let mut curl = net.command("curl");
    let curl = Guard(curl.args(["-so/dev/null", "-4", &url]).spawn().unwrap());
    let of_curl = format!(" curl[{}] ", curl.0.id());
    let mut refused = net.command(dial());
    let refused = Guard(refused.args(["tcp", FAR4, "9"]).spawn().unwrap());
    let refused = format!(" dial[{}] ", refused.0.id());
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        seen.push(line);
        let has = |label: &str| seen.iter().any(|line| line.contains(label));
        if has(&of_curl) && has(&refused) {
            break;
        }
    }
    assert!(
        seen.iter().any(|line| line.contains("TIME     PROCESS")),
        "{seen:#?}"
    );
    let found: Vec<&String> = seen.iter().filter(|line| line.contains(&of_curl)).collect();
    let [line] = found[..] else {
        panic!("{seen:#?}");
    };
    let plain = line.replace("\x1b[2m", "").replace("\x1b[0m", "");
    assert_ne!(*line, plain, "times are dim");
    let fields: Vec<&str> = plain.split_whitespace().collect();
    assert!(fields[1].starts_with("curl["), "{line}");
    assert_eq!(fields[2], format!("{host}:{port}"));
    let count = |field: &str| field.parse::<u32>().unwrap();
    assert!(count(fields[3]) > 50 && count(fields[4]) > 50, "{line}");
    assert!(fields[5].ends_with("ms"), "{line}");
    assert!(plain.chars().count() <= 80, "{line}");
    let failed = seen.iter().find(|line| line.contains(&refused)).unwrap();
    assert!(
        failed.ends_with("\x1b[31m          refused\x1b[0m"),
        "{failed:?}"
    );
    run("kill", &["-INT", &child_of(terminal.0.id()).to_string()]);
    lines.for_each(drop);
    assert_eq!(
        terminal.0.wait().unwrap().code(),
        Some(0),
        "Ctrl-C exits with 0"
    );
}

fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn closed_pipe_is_not_an_error() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let mut child = egrets()
        .args(["--json", "--exclude", "53"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut ready = String::new();
    stderr.read_line(&mut ready).unwrap();
    let mut load = Guard(
        net.command(dial())
            .args(["loop", FAR4, &port, "1000000"])
            .spawn()
            .unwrap(),
    );
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let status = child.wait().unwrap();
    load.0.kill().unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&first).unwrap()["event"].is_string());
    assert_eq!(status.code(), Some(0));
    let rest: Vec<String> = stderr.lines().map_while(Result::ok).collect();
    assert!(
        rest.iter()
            .all(|l| !l.contains("panic") && !l.contains("ipe")),
        "{rest:?}"
    );
}

#[test]
fn a_live_log_that_nothing_reads_delays_neither_the_history_nor_the_end() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    // Neither stdout nor stderr is ever read, as on a stopped terminal.
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut child = Guard(
        egrets()
            .args(["record", "--json", "--db"])
            .arg(&db)
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap(),
    );
    eventually("a recording", || db.exists().then_some(()));
    let rows = || {
        let sql = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
        rusqlite::Connection::open(&db)
            .and_then(|db| db.query_row(&sql, [], |row| row.get::<_, i64>(0)))
            .unwrap_or(0)
    };
    let dial_one = || ok(net.command(dial()).args(["tcp", FAR4, &port]));
    eventually("the recorder sees connections", || {
        dial_one();
        (rows() > 0).then_some(())
    });
    let before = rows();
    ok(net.command(dial()).args(["loop", FAR4, &port, "1000"]));
    eventually("all rows", || (rows() >= before + 1000).then_some(()));
    run("kill", &["-INT", &child.0.id().to_string()]);
    let begun = Instant::now();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(value::<i64>(&db, "SELECT clean FROM recordings"), 1);
}

#[test]
fn check_reports_every_hook() {
    let output = egrets().arg("check").output().unwrap();
    assert_eq!(
        code(&output),
        0,
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let said = text(&output.stdout);
    for hook in [
        "cgroup/connect4",
        "cgroup_skb/ingress",
        "tp_btf/inet_sock_set_state",
        "recording works here",
    ] {
        assert!(said.contains(hook), "{said}");
    }
}

#[test]
fn check_names_tun_devices_and_their_holders() {
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca_u32 as libc::Ioctl; // include/uapi/linux/if_tun.h
    let _ = Command::new("modprobe").arg("tun").output();
    let tun = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    let name = format!("egt{}", std::process::id() % 100_000);
    // struct ifreq, a device that is down; IFF_TUN | IFF_NO_PI
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&0x1001_u16.to_ne_bytes());
    // SAFETY: the kernel reads and writes an ifreq, which is as large as that.
    let made = unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    let said = ok(egrets().arg("check"));
    let pid = std::process::id();
    let note = said.lines().find(|line| line.contains(&name)).unwrap();
    assert!(note.contains("is a TUN device, held by "), "{note}");
    assert!(note.contains(&format!("(pid {pid})")), "{note}");
    drop(tun);
    let said = ok(egrets().arg("check"));
    assert!(!said.contains(&name), "{said}");
}

#[test]
fn missing_capability_is_named_with_the_command_that_grants_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let exe = dir.path().join("egrets");
    fs::copy(env!("CARGO_BIN_EXE_egrets"), &exe).unwrap();
    for command in [
        vec!["record", "--db", "/tmp/never.db"],
        vec!["watch"],
        vec!["check"],
    ] {
        let output = Command::new("setpriv")
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(&exe)
            .args(&command)
            .output()
            .unwrap();
        assert_eq!(code(&output), 2, "{command:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(
            said.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON are missing"),
            "{said}"
        );
        assert!(
            said.contains("sudo setcap cap_bpf,cap_net_admin,cap_perfmon"),
            "{said}"
        );
        // not without saying who can use them then
        let group = format!("sudo chgrp GROUP {0} && sudo chmod 0750 {0}", exe.display());
        assert!(said.contains(&group), "{said}");
    }
    assert!(!std::path::Path::new("/tmp/never.db").exists());
}

#[test]
fn unreadable_history_is_explained() {
    let (dir, db) = history();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let exe = dir.path().join("egrets");
    fs::copy(env!("CARGO_BIN_EXE_egrets"), &exe).unwrap();
    assert_eq!(
        code(
            &egrets()
                .args(["record", "--for", "100ms", "--db"])
                .arg(&db)
                .output()
                .unwrap()
        ),
        0
    );
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(&exe)
        .args(["query", "who hit x.test", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("you may not read"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn live_lines_and_alerts_reach_the_journal() {
    let net = Net::new();
    let port = net.farewell(false);
    let (_dir, db) = history();
    let mounts = MountNamespace::new(|| {
        for at in [c"/run/systemd", c"/run/log"] {
            fs::create_dir_all(at.to_str().unwrap()).unwrap();
            mount(c"tmpfs", at);
        }
        fs::create_dir_all("/run/systemd/journal").unwrap();
        fs::create_dir_all("/run/log/journal").unwrap();
    });
    let start = |mut command: Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Guard(mounts.within(command).spawn().unwrap())
    };
    let _journal = start(Command::new("/lib/systemd/systemd-journald"));
    let socket = std::path::Path::new("/run/systemd/journal/socket");
    mounts.inside(|| eventually("the journal runs", || socket.exists().then_some(())));
    let question = format!("dial port {port}");
    let args = ["--log-to", "journald", "--format", "json", "--show"];
    let args = [&args[..], &[question.as_str()]].concat();
    let recorder = Recorder::start_with(&db, &args, mounts.within(egrets()));
    let mut alert = egrets();
    alert.args(["alert", "--journald", "--if", &question, "--db"]);
    alert.arg(&db);
    let _alert = start(alert);
    let messages = |filter: &[&str]| -> Vec<serde_json::Value> {
        let mut reader = Command::new("journalctl");
        reader.args([
            "-D",
            "/run/log/journal",
            "-t",
            "egrets",
            "-o",
            "json",
            "--all",
        ]);
        reader.args(filter);
        let output = mounts.within(reader).output().unwrap();
        let lines = text(&output.stdout);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    // what comes before it has started is none of the alert's business
    let alert = eventually("the alert", || {
        let mut dial = net.command(dial());
        dial.args(["tcp", FAR4, &port.to_string()]);
        assert!(dial.status().unwrap().success());
        messages(&["EGRETS_EVENT=alert"]).into_iter().next()
    });
    assert_eq!(
        (&alert["PRIORITY"], &alert["EGRETS_COMM"]),
        (&"4".into(), &"dial".into())
    );
    let line = eventually("the line", || messages(&["PRIORITY=6"]).into_iter().next());
    let event: serde_json::Value = serde_json::from_str(line["MESSAGE"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&event["comm"], &event["dst_port"]),
        (&"dial".into(), &port.into())
    );
    assert_eq!(recorder.stop(), 0);
}
