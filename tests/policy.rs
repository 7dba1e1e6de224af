//! Policies: what they refuse, and that observing says the same. Each test has rules about
//! addresses of its own, so that they may run at once and disturb nobody.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::*;

/// A policy file of root's.
fn policy(dir: &Path, default: &str, rules: &[&str]) -> PathBuf {
    let path = dir.join("policy.yaml");
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    fs::write(
        &path,
        format!(
            "version: 1
default: {default}
rules:
{rules}"
        ),
    )
    .unwrap();
    path
}

/// The text of speak.py in `net`: an errno, or 0.
fn speak(net: &Net, user: Option<u32>, words: &[&str]) -> String {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/speak.py");
    let mut command = net.command("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", &user.to_string(), "--clear-groups"]);
    }
    let output = command
        .arg("python3")
        .arg(tool)
        .args(words)
        .output()
        .unwrap();
    let said = text(&output.stdout).trim().to_owned();
    assert!(!said.is_empty(), "{words:?}: {}", text(&output.stderr));
    said
}

fn start(db: &Path, policy: &Path, more: &[&str]) -> Recorder {
    let policy = policy.to_str().unwrap();
    Recorder::start(db, &[&["--policy", policy], more].concat())
}

const NOBODY: u32 = 65_534;

#[test]
fn what_a_policy_blocks_is_refused_by_every_way_and_recorded_as_denied() {
    let net = Net::new();
    net.many_addresses();
    let (dir, db) = history();
    let rules = policy(
        dir.path(),
        "allow",
        &[
            "{ name: port, to: [10.77.1.16/28], ports: [81], action: block }",
            "{ name: user, who: { user: nobody }, to: [10.77.1.32], action: block }",
            "{ name: all, to: [10.77.1.48/28], action: block }",
            "{ name: watched, to: [10.77.1.64], action: block, mode: observe }",
        ],
    );
    let recorder = start(&db, &rules, &["--enforce"]);
    for (way, ip, port, errno) in [
        ("tcp", "10.77.1.17", "81", "EPERM"),
        ("tcp", "::ffff:10.77.1.17", "81", "EPERM"),
        ("tcp", "10.77.1.17", "82", "0"),
        ("tcp", "10.77.1.33", "81", "0"),
        ("tcp", "10.77.1.32", "81", "0"),
        ("tcp", "10.77.1.49", "9", "EPERM"),
        ("fastopen", "10.77.1.49", "9", "EPERM"),
        ("udp", "10.77.1.50", "9", "EPERM"),
        ("udp", "::ffff:10.77.1.50", "9", "EPERM"),
        ("udp", "10.77.1.17", "81", "EPERM"),
        ("udp", "10.77.1.17", "82", "0"),
        ("udp_connected", "10.77.1.51", "9", "EPERM"),
        ("udp_more", "10.77.1.52", "9", "EPERM"),
        ("again", "10.77.1.53", "9", "EPERM"),
        ("raw", "10.77.1.54", "9", "EPERM"),
        ("header", "10.77.1.55", "9", "EPERM"),
        ("ping", "10.77.1.56", "9", "EPERM"),
        ("tcp", "10.77.1.64", "9", "0"),
        ("udp", "10.77.1.65", "9", "0"),
    ] {
        assert_eq!(
            speak(&net, None, &[way, ip, port, FAR4]),
            errno,
            "{way} {ip} {port}"
        );
    }
    assert_eq!(
        speak(&net, Some(NOBODY), &["tcp", "10.77.1.32", "9"]),
        "EPERM"
    );
    assert_eq!(speak(&net, None, &["passed", "10.77.1.32", "9"]), "EPERM");
    for way in [
        "udp-sendmmsg",
        "udp-gso",
        "udp-uring-sendmsg",
        "udp-zerocopy",
    ] {
        let output = net
            .command(send())
            .args([way, "10.77.1.60", "9", "4", "100"])
            .output()
            .unwrap();
        let said = text(&output.stderr);
        let is_absent = text(&output.stdout).contains("absent");
        assert!(is_absent || said.contains("not permitted"), "{way}: {said}");
    }
    assert_eq!(recorder.stop(), 0);
    let rows = |filter: &str| {
        let columns = "protocol, dst_ip, outcome, verdict, rule, coalesce(tx_packets, 0)";
        let sql = format!("SELECT DISTINCT {columns} FROM egress WHERE {filter} ORDER BY 2, 1");
        sqlite3(&db, &sql)
    };
    let row = |row: &str| row.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        rows("verdict <> 'allow' AND dst_ip <> '10.77.1.60'"),
        [
            "tcp 10.77.1.17 denied block port 0",
            "udp 10.77.1.17 denied block port 0",
            "tcp 10.77.1.32 denied block user 0",
            "udp 10.77.1.32 sent block user 1",
            "tcp 10.77.1.49 denied block all 0",
            "udp 10.77.1.50 denied block all 0",
            "udp 10.77.1.51 denied block all 0",
            "udp 10.77.1.52 denied block all 0",
            "udp 10.77.1.53 denied block all 0",
            "ip-253 10.77.1.54 denied block all 0",
            "udp 10.77.1.55 denied block all 0",
            "icmp 10.77.1.56 denied block all 0",
            "tcp 10.77.1.64 refused block watched 0",
        ]
        .map(row)
    );
    let all = "SELECT count(*) FROM egress WHERE dst_ip = '10.77.1.60' AND (tx_bytes > 0 OR outcome <> 'denied')";
    assert_eq!(value::<i64>(&db, all), 0);
    let digest =
        "SELECT count(DISTINCT policy) FROM egress WHERE policy = (SELECT digest FROM policies)";
    assert_eq!(value::<i64>(&db, digest), 1);
}
