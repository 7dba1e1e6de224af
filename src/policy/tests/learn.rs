use proptest::prelude::*;

use super::super::learn::{Chosen, Wanted, base_of, learn};
use super::super::replay::replay;
use super::super::*;
use crate::store::tests::history::{By, CURL, History, NOW};

fn learnt(history: &History, chosen: &[Chosen]) -> (String, Policy) {
    let base = base_of(chosen);
    let wanted = Wanted {
        since: None,
        until: None,
        chosen,
        base: &base,
    };
    let learned = learn(&history.0, &wanted).unwrap();
    let text = learned.text(chosen, &[]);
    let policy = Policy::parse(&text).unwrap_or_else(|e| panic!("{text}\n{:?}", e.lines("")));
    (text, policy)
}

fn set(history: &History, sql: &str) {
    history.0.execute(sql, []).unwrap();
}

#[test]
fn a_policy_is_learnt_that_is_small_enough_to_read() {
    let history = History::recording();
    let web = By {
        comm: "node",
        container: Some(("0123456789abcdef", Some("web"))),
        ..CURL
    };
    for n in 0..5 {
        let name = format!("cdn-{n}.assets.example.com");
        history.connect(CURL, Some(&name), "192.0.2.80", "connected", n);
        // the private part of the public suffix list: these belong to different people
        let name = format!("site-{n}.github.io");
        history.connect(CURL, Some(&name), "192.0.2.81", "connected", n);
        history.connect(web, None, &format!("10.0.0.{n}"), "connected", n);
    }
    history.connect(
        web,
        Some("db.internal.example.com"),
        "10.1.2.3",
        "connected",
        7,
    );
    history.connect_to(web, None, ("169.254.169.254", 80), "connected", 7);
    history.connect_to(CURL, None, ("127.0.0.1", 8080), "connected", 7);
    set(
        &history,
        "UPDATE process SET exe_view = 'host', exe_deleted = 0",
    );
    let (text, policy) = learnt(&history, &[]);
    assert_eq!(
        text,
        "\
# Allows what was seen, and nothing else.
# Learnt from 18 connections by 'egrets policy learn'. Read it before it is enforced: what was seen
# is not always what should be.
version: 1
resolvers: [system]
default: block
rules:
  - name: curl
    who: { exe: /usr/bin/curl }
    to:
      - example.com
      - site-0.github.io
      - site-1.github.io
      - site-2.github.io
      - site-3.github.io
      - site-4.github.io
    ports: [443/tcp]
    action: allow
  - name: nginx
    who: { image: nginx }
    to: [metadata]
    ports: [80/tcp]
    action: allow
  - name: nginx (2)
    who: { image: nginx }
    to: [10.0.0.0/24]
    ports: [443/tcp]
    action: allow
  - name: nginx (3)
    who: { image: nginx }
    to: [db.internal.example.com]
    ports: [443/tcp]
    private: true
    action: allow
"
    );
    assert_eq!(
        replay(&history.0, &policy, (None, None), NOW)
            .unwrap()
            .stopped,
        0
    );
    // for one container alone: it gets nothing else, and others all that they want
    let chosen = [Chosen::new("container", "web").unwrap()];
    let (text, policy) = learnt(&history, &chosen);
    assert!(
        text.contains("default: allow") && text.contains("who: { container: web }, action: block")
    );
    assert!(!text.contains("github.io"));
    assert_eq!(
        replay(&history.0, &policy, (None, None), NOW)
            .unwrap()
            .stopped,
        0
    );
    history.connect(web, Some("example.org"), "192.0.2.90", "connected", 1);
    assert_eq!(
        replay(&history.0, &policy, (None, None), NOW)
            .unwrap()
            .stopped,
        1
    );
}

const NAMES: [Option<&str>; 9] = [
    None,
    None,
    Some("example.com"),
    Some("a.example.com"),
    Some("localhost"),
    Some("x.github.io"),
    Some("a%b.example"),
    Some(r"odd\032name.example"),
    Some("*.example.org"),
];
const ADDRESSES: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.2",
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "fe80::1",
    "2001:db8::1",
    "64:ff9b::a00:1",
    "224.0.0.251",
];
const CONTAINERS: [Option<(&str, Option<&str>)>; 6] = [
    None,
    None,
    Some(("0123456789abcdef", Some("web"))),
    Some(("1123456789abcdef", Some("!odd *\u{7}"))),
    Some(("2123456789abcdef", None)),
    Some(("3123456789abcdef", Some("a: {b}, 'c'"))),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What was learnt from a history stops nothing of it, whatever its names are like.
    #[test]
    fn what_was_learnt_stops_nothing_of_what_was_seen(
        connections in prop::collection::vec(
            (0..9_usize, 0..9_usize, 0..6_usize, 0..4_usize, prop::sample::select(vec![0_u16, 25, 53, 443, 8080])),
            1..30,
        ),
        sources in prop::sample::select(vec!["process", "netns", "hosts"]),
        views in prop::sample::select(vec!["'host'", "'namespace'", "'user_namespace'", "NULL"]),
        images in prop::sample::select(vec!["'nginx:1.29'", "'sha256:0123'", "NULL", "'a b'", "'ghcr.io:5000/x/y@sha256:1'"]),
        protocol in prop::sample::select(vec!["'tcp'", "'udp'", "'icmp'", "'packet'", "'sctp'"]),
        choose: bool,
    ) {
        let history = History::recording();
        set(&history, "BEGIN");
        for (name, address, container, user, port) in connections {
            let (uid, user) = [(0, Some("root")), (1000, Some("alice")), (7, None), (1001, Some("a b"))][user];
            let by = By { uid, user, container: CONTAINERS[container], ..CURL };
            history.connect_to(by, NAMES[name], (ADDRESSES[address], port), "connected", 5);
        }
        set(&history, &format!("UPDATE process SET exe_view = {views}, exe_deleted = 0, unit = CASE uid WHEN 7 THEN 'a\"b.service' END, cgroup = '/system.slice/x y'"));
        set(&history, &format!("UPDATE container SET image = {images}"));
        set(&history, &format!("UPDATE connection_group SET host_source = '{sources}', protocol = {protocol}"));
        set(&history, "COMMIT");
        let chosen = if choose { vec![Chosen::new("user", "alice").unwrap()] } else { Vec::new() };
        let (text, policy) = learnt(&history, &chosen);
        let found = replay(&history.0, &policy, (None, None), NOW).unwrap();
        prop_assert_eq!(found.stopped, 0, "{}\n{:?}", text, found);
    }
}
