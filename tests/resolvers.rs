//! Names through the resolvers in use: glibc, musl, Go, c-ares; through forwarders and helper
//! processes; and in networks where one address has different names.

use std::path::Path;

use crate::support::*;

fn net() -> (Net, String) {
    let mut net = Net::new();
    // musl fails on a refused AAAA: "local" makes it an empty answer
    net.dnsmasq(&[&format!("--address=/test/{FAR4}"), "--local=/test/"]);
    let port = net.http("x").to_string();
    (net, port)
}

fn record(net: &Net, db: &Path, script: &str) {
    let output = net.observe(db, &["sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

/// A program that resolves and connects to `{a,b,c}.test` in turn.
fn case(what: &'static str, comm: &str, command: impl Fn(&str, &str) -> String) {
    let (net, port) = net();
    let (_dir, db) = history();
    let names = ["a.test", "b.test", "c.test", "a.test"];
    let all: String = names.map(|name| command(name, &port) + "; ").concat();
    record(&net, &db, &format!("{all} true"));
    let mut rate = Rate::new(what);
    for name in ["a.test", "b.test", "c.test"] {
        let own = format!("comm = '{comm}' AND dst_port = {port} AND cmdline LIKE '%{name}%'");
        rate.rows(&db, &own, name);
        let others =
            format!("SELECT count(*) FROM egress WHERE {own} AND host_source <> 'process'");
        assert_eq!(value::<i64>(&db, &others), 0);
    }
    rate.verdict();
}

#[test]
fn glibc_queries_a_and_aaaa_on_one_socket() {
    case("glibc's resolver (curl)", "curl", |name, port| {
        format!("curl -s http://{name}:{port}/")
    });
}

/// A tool that scripts/tools.sh provides.
fn tool(name: &str) -> String {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    assert!(program.exists(), "{name} is missing: run scripts/tools.sh");
    program.display().to_string()
}

#[test]
fn musl_queries_from_an_unconnected_socket() {
    let musl = tool("dial-musl");
    case("musl's resolver", "dial-musl", |name, port| {
        format!("{musl} {name} {port}")
    });
}

#[test]
fn go_queries_from_one_socket_per_query_on_any_thread() {
    // Docker's client is a Go program; its request may fail
    case("Go's resolver (docker)", "docker", |name, port| {
        format!(
            "HOME=/nonexistent GODEBUG=netdns=go DOCKER_API_VERSION=1.40 docker -H tcp://{name}:{port} ps >/dev/null 2>&1"
        )
    });
}

#[test]
fn c_ares_queries_from_an_event_loop() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display().to_string();
    case("c-ares (aria2c)", "aria2c", |name, port| {
        format!(
            "aria2c -q --no-conf --async-dns=true --allow-overwrite=true --dir={dir} --out=x http://{name}:{port}/"
        )
    });
}

#[test]
fn forwarder_and_client_lookups_are_separate_rows_that_join() {
    let (net, port) = net();
    let resolv = format!("/etc/netns/{}/resolv.conf", net.near);
    std::fs::write(resolv, "nameserver 127.0.0.53\n").unwrap();
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    let forwarder = format!(
        "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= \
         --user=root --bind-interfaces --listen-address=127.0.0.53 --cache-size=0 --server={FAR4}"
    );
    // the forwarder is up once its port answers
    let up = "until dig +tries=1 +time=1 @127.0.0.53 up.test >/dev/null; do sleep 0.1; done";
    let names: String = (0..10)
        .map(|i| format!("{dial} tcp n{i}.test {port} || exit; "))
        .collect();
    record(
        &net,
        &db,
        &format!("{forwarder} & {up}; {names} kill $!; wait"),
    );
    let mut rate = Rate::new("through a forwarder on 127.0.0.53 (dnsmasq)");
    let sql = format!(
        "SELECT host, host_source FROM egress WHERE comm = 'dial' AND dst_port = {port} ORDER BY id"
    );
    let rows = select(&db, &sql);
    assert_eq!(rows.len(), 10);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row[1], "process");
        rate.count(&row[0], &format!("n{i}.test"));
    }
    rate.verdict();
    // two lookups of one name: the client's, and within it the stub's
    let sql = "SELECT DISTINCT c.qname, c.comm, c.server_ip, f.comm, f.server_ip
        FROM dns c JOIN dns f ON f.qname = c.qname AND f.qtype = c.qtype AND f.id <> c.id
            AND f.ts BETWEEN c.ts AND c.ts + c.latency_us * 1000
        WHERE c.server_ip = '127.0.0.53' AND c.comm = 'dial' AND c.qtype = 'A'";
    let joined = select(&db, sql);
    assert_eq!(joined.len(), 10, "{joined:?}");
    for row in &joined {
        assert_eq!(row[1..], ["dial", "127.0.0.53", "dnsmasq", FAR4]);
    }
    // the forwarder's upstream traffic is a separate flow without a name
    let sql = "SELECT DISTINCT comm, host, dst_ip, dst_port FROM egress
        WHERE protocol = 'udp' AND comm = 'dnsmasq' AND direction = 'out'";
    assert_eq!(select(&db, sql), [["dnsmasq", "", FAR4, "53"]]);
}

#[test]
fn address_from_a_helper_program_is_named() {
    let (net, port) = net();
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    let names = (0..10).map(|i| {
        format!("ip=$(getent ahostsv4 h{i}.test | cut -d' ' -f1 | head -n1); {dial} tcp $ip {port} || exit; ")
    });
    let all: String = names.collect();
    record(&net, &db, &format!("{all} true"));
    let mut rate = Rate::new("resolved by a helper (getent), dialled by another process");
    helped(&mut rate, &db, &port, "h");
    rate.verdict();
}

/// Ten connections whose names another process of the same cgroup or network resolved.
fn helped(rate: &mut Rate, db: &Path, port: &str, prefix: &str) {
    let sql = format!(
        "SELECT host, host_source FROM egress WHERE comm = 'dial' AND dst_port = {port} ORDER BY id"
    );
    let rows = select(db, &sql);
    assert_eq!(rows.len(), 10, "{rows:?}");
    for (i, row) in rows.iter().enumerate() {
        assert!(
            ["container", "netns"].contains(&row[1].as_str()),
            "{row:?}: the scope says that another process asked"
        );
        rate.count(&row[0], &format!("{prefix}{i}.test"));
    }
}

#[test]
fn address_from_nscd_over_a_unix_socket_is_named() {
    let (net, port) = net();
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    let names: String = (0..10)
        .map(|i| format!("{dial} tcp d{i}.test {port} || exit; "))
        .collect();
    // "ip netns exec" makes a mount namespace, so no other process sees this nscd
    let script = format!(
        "mkdir -p /run/nscd && mount -t tmpfs none /run/nscd && cd /run/nscd || exit
         printf 'enable-cache hosts yes\\npersistent hosts no\\nshared hosts no\\n' > conf
         {} --foreground --config-file conf & nscd=$!
         until [ -S socket ]; do kill -0 $nscd || exit 1; sleep 0.1; done
         {names} kill $nscd; wait; true",
        tool("nscd")
    );
    record(&net, &db, &script);
    let mut rate = Rate::new("resolved by nscd, over a unix socket");
    helped(&mut rate, &db, &port, "d");
    rate.verdict();
    let others = "SELECT count(*) FROM dns WHERE comm <> 'nscd'";
    assert_eq!(value::<i64>(&db, others), 0, "only nscd sent queries");
}

#[test]
fn one_address_has_a_different_name_in_each_network() {
    let mut nets = [Net::new(), Net::new()];
    for (net, name) in nets.iter_mut().zip(["left.test", "right.test"]) {
        net.dnsmasq(&[&format!("--host-record={name},{FAR4}")]);
    }
    let ports = nets.each_ref().map(|net| net.farewell(false).to_string());
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    // resolved by other processes of one cgroup, so only the network separates them
    let part = |i: usize, name: &str| {
        let exec = format!("ip netns exec {}", nets[i].near);
        let port = &ports[i];
        format!(
            "{exec} getent ahostsv4 {name} >/dev/null && {exec} {dial} tcp {FAR4} {port} || exit; "
        )
    };
    // connections by address, after both lookups
    let raw = |i: usize| {
        let (near, port) = (&nets[i].near, &ports[i]);
        format!("ip netns exec {near} {dial} tcp {FAR4} {port} || exit; ")
    };
    let script = part(0, "left.test") + &part(1, "right.test") + &raw(0) + &raw(1);
    let output = egrets()
        .args(["record", "--db"])
        .arg(&db)
        .args(["--", "sh", "-c", &format!("({script}{script} true)")])
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let mut rate = Rate::new("split horizon: one address, a name in each network");
    for (i, truth) in ["left.test", "right.test"].iter().enumerate() {
        let own = format!(
            "dst_port = {} AND netns = {}",
            ports[i],
            nets[i].near_inode()
        );
        rate.rows(&db, &own, truth);
    }
    rate.verdict();
}
