//! The hard cases of naming, each with its rate: `make tables` makes the table of
//! docs/naming.md from them. Clients print what they connect to, and each connection is
//! found by its local port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::support::*;

/// Records a script in the near namespace. Returns its output.
fn script(net: &Net, db: &std::path::Path, script: &str) -> String {
    let output = net.observe(db, &["sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    text(&output.stdout)
}

const SERVER: &str = "10.77.0.2:53";

/// A far side with a name server that resolves every name below test to it.
fn one_address() -> (Net, String) {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    (net, port)
}

/// A case in which `ask` resolves and connects: each connection must have its name.
fn case(case: &'static str, net: &Net, way: &str, dial: &str, names: &[&str]) {
    let (_dir, db) = history();
    let mut rate = Rate::new(case);
    let (ask, names) = (ask().display().to_string(), names.join(" "));
    let said = script(net, &db, &format!("{ask} {way} {SERVER} {dial} {names}"));
    rate.compare(&db, &said);
    rate.verdict();
}

// --- one address, many names ---------------------------------------------------

#[test]
fn one_process_resolves_two_names_of_one_address_in_turn() {
    let (net, port) = one_address();
    let names = ["a.test", "b.test"].repeat(10);
    let what = "one process, two names, one address, in turn";
    case(what, &net, "connected", &port, &names);
}

#[test]
fn threads_resolve_different_names_of_one_address() {
    let (net, port) = one_address();
    let names: Vec<String> = (0..20).map(|i| format!("n{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let what = "one process, a name a thread, one address, at once";
    case(what, &net, "threads", &port, &names);
}

#[test]
fn two_processes_resolve_different_names_of_one_address_concurrently() {
    let (net, port) = one_address();
    let (_dir, db) = history();
    let mut rate = Rate::new("two processes, two names, one address, at once");
    let ask = format!("{} connected {SERVER} {port}", ask().display());
    let (a, b) = ("a.test ".repeat(50), "b.test ".repeat(50));
    let said = script(&net, &db, &format!("{ask} {a} & {ask} {b}; wait"));
    rate.compare(&db, &said);
    rate.verdict();
}

#[test]
fn fifty_processes_resolve_a_thousand_names_of_one_address() {
    let (net, port) = one_address();
    let (_dir, db) = history();
    let mut rate = Rate::new("1,000 names on one address, from 50 processes");
    let ask = format!("{} connected {SERVER} {port}", ask().display());
    let each = volume(20);
    let all: String = (0..50)
        .map(|p| {
            let names: String = (0..each).map(|n| format!(" n{n}.p{p}.test")).collect();
            format!("{ask}{names} & ")
        })
        .collect();
    let said = script(&net, &db, &format!("{all} wait"));
    assert_eq!(said.lines().count(), 50 * each);
    rate.compare(&db, &said);
    rate.verdict();
}

#[test]
fn name_moves_from_one_address_to_another() {
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false).to_string();
    let mut turn = 0;
    // two names that swap addresses with each answer
    net.dns(move |query| {
        turn += 1;
        vec![addresses(query, &[Ipv4Addr::new(10, 77, 1, turn % 4)], 60)]
    });
    let names = ["here.test", "there.test", "here.test"].repeat(7);
    let what = "names that move from one address to another";
    case(what, &net, "connected", &port, &names);
}

// --- the form of queries and answers -----------------------------------------

#[test]
fn host_is_the_queried_name_and_not_a_cname_target() {
    let mut net = Net::new();
    net.dnsmasq(&[
        "--cname=www.test,cdn.test",
        "--cname=cdn.test,edge.test",
        "--cname=edge.test,host.test",
        &format!("--host-record=host.test,{FAR4}"),
    ]);
    let port = net.farewell(false).to_string();
    let names = ["www.test", "edge.test", "cdn.test"];
    case("a chain of CNAMEs", &net, "connected", &port, &names);
}

#[test]
fn mixed_case_queries_are_stored_in_lower_case() {
    let (net, port) = one_address();
    let names = ["mixed.test", "case.of.test"];
    let what = "questions in mixed case (0x20)";
    case(what, &net, "mixed", &port, &names);
}

#[test]
fn idn_and_maximum_length_names_are_recorded() {
    let (net, port) = one_address();
    let label = "x".repeat(63);
    // 255 bytes on the wire, RFC 1035 section 2.3.4
    let longest = format!("{label}.{label}.{label}.{}.test", "y".repeat(56));
    assert_eq!(longest.len() + 2, 255);
    let names = ["xn--bcher-kva.test", &longest, "_under.score.test"];
    let what = "IDN, and a name of 255 bytes";
    case(what, &net, "connected", &port, &names);
}

#[test]
fn unprintable_bytes_of_a_name_are_escaped() {
    let net = Net::new();
    let port = net.farewell(false).to_string();
    net.dns(|query| vec![addresses(query, &[FAR4.parse().unwrap()], 60)]);
    let (_dir, db) = history();
    let ask = format!("{} connected {SERVER} {port}", ask().display());
    let named = "'tab\there.test' 'two words.test' 'q\"uote.test'";
    let said = script(&net, &db, &format!("{ask} {named}"));
    let mut rate = Rate::new("names with bytes that are escaped");
    let truths = [r"tab\009here.test", r"two\032words.test", "q\"uote.test"];
    assert_eq!(said.lines().count(), truths.len());
    for (line, truth) in said.lines().zip(truths) {
        let port = line.rsplit(' ').nth(2).unwrap();
        rate.rows(
            &db,
            &format!("src_port = {port} AND protocol = 'tcp'"),
            truth,
        );
    }
    rate.verdict();
}

/// A name server whose answers have this many addresses, all on the far side.
fn many_answers(count: u8) -> (Net, String) {
    let mut net = Net::new();
    net.many_addresses();
    let records = (1..=count).map(|i| format!("--host-record=many.test,10.77.1.{i}"));
    let records: Vec<String> = records.collect();
    let mut options: Vec<&str> = records.iter().map(String::as_str).collect();
    options.push("--edns-packet-max=65000");
    net.dnsmasq(&options);
    let port = net.farewell(false).to_string();
    (net, port)
}

#[test]
fn last_of_thirty_addresses_is_named() {
    let (net, port) = many_answers(30);
    let what = "EDNS answers with 30 addresses (of 500 bytes), the last dialled";
    case(what, &net, "edns", &port, &["many.test"; 5]);
}

#[test]
fn fragmented_answer_names_connections() {
    let net = Net::new();
    net.many_addresses();
    let port = net.farewell(false).to_string();
    // 300 records of 16 bytes, in four fragments of a veth's 1,500 bytes
    net.dns(|query| {
        let many: Vec<_> = (1..=300u16)
            .map(|i| Ipv4Addr::new(10, 77, 1, (i % 254 + 1) as u8))
            .collect();
        let answer = addresses(query, &many, 60);
        assert!(answer.len() > 4096, "{}", answer.len());
        vec![answer]
    });
    let what = "answers over 4,096 bytes, in fragments";
    case(what, &net, "edns", &port, &["a.test", "b.test", "a.test"]);
}

// --- DNS over TCP ----------------------------------------------------------------

#[test]
fn truncated_answer_is_followed_by_a_lookup_over_tcp() {
    let (net, port) = many_answers(100);
    let what = "truncated over UDP, then over TCP";
    case(what, &net, "truncated", &port, &["many.test"; 5]);
}

#[test]
fn tcp_queries_are_parsed_whole_and_byte_by_byte() {
    let (net, port) = one_address();
    for way in ["tcp", "tcp-bytes"] {
        let what = match way {
            "tcp" => "over TCP",
            _ => "over TCP, a byte a segment",
        };
        case(what, &net, way, &port, &["a.test", "b.test", "a.test"]);
    }
}

/// A name server over TCP that collects this many queries and answers them in reverse, in
/// parts of this many bytes.
fn tcp_server(net: &Net, questions: usize, part: usize) {
    let listener = net.far(|| TcpListener::bind((FAR4, 53)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // a client that closes early is no error
            let _ = serve(stream, questions, part);
        }
    });
}

fn serve(mut stream: TcpStream, questions: usize, part: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = Vec::new();
    for _ in 0..questions {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        let answer = addresses(&query, &[FAR4.parse().unwrap()], 60);
        let framed = [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat();
        answers.splice(0..0, framed);
    }
    for bytes in answers.chunks(part) {
        stream.write_all(bytes)?;
    }
    stream.read_to_end(&mut Vec::new()).map(drop)
}

#[test]
fn pipelined_tcp_answers_are_matched_in_any_order_and_segmentation() {
    let names: Vec<String> = (0..20).map(|i| format!("n{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (part, what) in [
        (usize::MAX, "pipelined over TCP, all answers in one segment"),
        (1, "pipelined over TCP, a byte a segment"),
        (97, "pipelined over TCP, in parts of 97 bytes"),
    ] {
        let net = Net::new();
        let port = net.farewell(false).to_string();
        tcp_server(&net, names.len(), part);
        // connected to after the last answer: only the order separates the names
        let (_dir, db) = history();
        let ask = format!(
            "{} pipelined {SERVER} 0 {}",
            ask().display(),
            names.join(" ")
        );
        let one = format!("{} tcp {FAR4} {port}", dial().display());
        script(&net, &db, &format!("{ask} && {one}"));
        let sql = "SELECT qname, status, data FROM dns WHERE transport = 'tcp' ORDER BY id";
        let answers = select(&db, sql);
        let mut rate = Rate::new(what);
        for (row, name) in answers.iter().zip(&names) {
            assert_eq!(row[1..], ["answered", FAR4], "{part}");
            rate.count(&row[0], name);
        }
        assert_eq!(answers.len(), names.len(), "{answers:?}");
        rate.verdict();
    }
}

// --- how queries are sent -------------------------------------------------------------

#[test]
fn queries_are_seen_through_every_system_call() {
    let (net, port) = one_address();
    let echo = net.echo();
    for (way, what) in [
        ("connected", "a connected socket"),
        ("sendto", "an unconnected socket"),
        ("sendmmsg", "A and AAAA by sendmmsg, recvmmsg"),
        ("uring", "io_uring"),
    ] {
        case(what, &net, way, &port, &["a.test", "b.test", "a.test"]);
    }
    for way in ["udp", "sendto"] {
        let what = match way {
            "udp" => "a connected UDP flow",
            _ => "an unconnected UDP flow",
        };
        let dial = format!("{way}:{echo}");
        case(what, &net, "connected", &dial, &["a.test", "b.test"]);
    }
}

// --- between the answer and the connection -----------------------------------------

#[test]
fn expired_answer_still_names_a_connection() {
    let net = Net::new();
    let port = net.farewell(false).to_string();
    net.dns(|query| vec![addresses(query, &[FAR4.parse().unwrap()], 1)]);
    let (_dir, db) = history();
    let dial = dial().display().to_string();
    script(&net, &db, &format!("{dial} stale old.test {port} 2"));
    let mut rate = Rate::new("time to live over before the connection");
    let row = format!("dst_port = {port} AND host_age_ms >= 1900");
    rate.rows(&db, &row, "old.test");
    rate.verdict();
}

#[test]
fn child_connects_to_an_address_that_its_parent_resolved() {
    let (net, port) = one_address();
    let dial = dial().display().to_string();
    for (way, what) in [
        ("fork", "resolved by the parent, dialled after fork"),
        ("child", "resolved by the parent, dialled after exec"),
    ] {
        let (_dir, db) = history();
        let names = (0..10).map(|i| format!("p{i}.test"));
        let all: String = names
            .map(|n| format!("{dial} {way} {n} {port} && "))
            .collect();
        script(&net, &db, &format!("{all} true"));
        let mut rate = Rate::new(what);
        let sql =
            format!("SELECT host, host_source FROM egress WHERE dst_port = {port} ORDER BY id");
        let rows = select(&db, &sql);
        assert_eq!(rows.len(), 10);
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(row[1], "ancestor", "{row:?}");
            rate.count(&row[0], &format!("p{i}.test"));
        }
        rate.verdict();
    }
}

#[test]
fn every_happy_eyeballs_attempt_has_a_row_and_its_own_outcome() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--host-record=dual.test,{FAR4},{FAR6}")]);
    let port = net.http("x").to_string();
    // the far side drops the family that is tried first, whichever that is
    let drop = ["-p", "tcp", "--dport", &port, "-j", "DROP"];
    let far = ["netns", "exec", &net.far];
    let (_dir, db) = history();
    let mut rate = Rate::new("Happy Eyeballs (RFC 8305): every attempt");
    for filter in ["iptables", "ip6tables"] {
        run("ip", &[&far[..], &[filter, "-A", "INPUT"], &drop].concat());
        let url = format!("http://dual.test:{port}/");
        let said = script(&net, &db, &format!("curl -s --max-time 30 {url}"));
        assert_eq!(said, "x");
        run("ip", &[&far[..], &[filter, "-F"]].concat());
    }
    rate.rows(&db, &format!("dst_port = {port}"), "dual.test");
    let sql = format!(
        "SELECT outcome, errno, count(*) FROM egress WHERE dst_port = {port} GROUP BY 1, 2 ORDER BY 1"
    );
    let outcomes = select(&db, &sql);
    // One run has a loser: that whose first family was dropped. On a slow machine the
    // other family is tried as well, and may yield a connection that is not used.
    let [connected, lost] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(connected[..2], ["connected", ""], "{outcomes:?}");
    assert!(connected[2].parse::<u32>().unwrap() >= 2, "{outcomes:?}");
    assert_eq!(lost[..2], ["failed", ""], "{outcomes:?}");
    rate.verdict();
}
