use super::super::replay::{Replay, replay};
use super::policy;
use crate::store::tests::history::{By, CURL, History, NOW, SECOND};

const HOUR: i64 = 3600 * SECOND;

/// What the history's processes are to a policy: programs of the host.
fn on_the_host(history: &History) {
    let sql = "UPDATE process SET exe_view = 'host', exe_deleted = 0";
    history.0.execute(sql, []).unwrap();
}

fn replayed(history: &History, default: &str, rules: &[&str], since: Option<i64>) -> Replay {
    replay(&history.0, &policy(default, rules), (since, None), NOW).unwrap()
}

fn stopped(history: &History, default: &str, rules: &[&str]) -> i64 {
    replayed(history, default, rules, None).stopped
}

#[test]
fn replay_counts_what_each_rule_would_have_stopped() {
    let history = History::recording();
    let web = By {
        container: Some(("0123456789abcdef", Some("web"))),
        comm: "nginx",
        ..CURL
    };
    let root = By {
        uid: 0,
        user: Some("root"),
        ..CURL
    };
    for n in 0..3 {
        history.connect(CURL, Some("api.example.com"), "192.0.2.80", "connected", n);
    }
    history.connect(web, Some("api.example.com"), "192.0.2.80", "connected", 10);
    history.connect(web, None, "198.51.100.7", "refused", 11);
    history.connect_to(root, None, ("192.0.2.99", 25), "connected", 12);
    on_the_host(&history);
    let id = history.connect(CURL, Some("example.org"), "192.0.2.81", "connected", 9);
    history.rest_on(id, "process", None, &[], 0);

    let rules = [
        "{ name: api, to: [api.example.com], ports: [443], action: allow }",
        "{ name: web, who: { container: web }, action: block }",
        "{ name: mail, ports: [25], action: alert }",
        "{ name: try, to: [example.org], action: kill, mode: observe }",
    ];
    let found = replayed(&history, "block", &rules, None);
    assert_eq!((found.connections, found.stopped), (7, 1));
    assert_eq!((found.alerted, found.observed), (1, 1));
    let deciders: Vec<_> = found
        .deciders
        .iter()
        .map(|d| (d.decision.rule, d.connections, d.stopped))
        .collect();
    assert_eq!(
        deciders,
        [
            (Some(0), 4, 0),
            (Some(1), 1, 1),
            (Some(2), 1, 0),
            (Some(3), 1, 0)
        ]
    );
    assert_eq!(found.processes, [("nginx (web)".to_owned(), 1)]);
    assert_eq!(found.destinations, [("198.51.100.7:443/tcp".to_owned(), 1)]);
    let example = &found.deciders[1].example;
    assert_eq!(example.process, "nginx (web)[4242]");
    assert_eq!(example.ts, NOW - 11 * SECOND);
}

#[test]
fn replay_of_a_span_counts_whole_days_and_the_rows_of_cut_ones() {
    let history = History::recording();
    for hours in [1, 5, 20, 30, 60, 100] {
        history.connect(CURL, None, "192.0.2.80", "connected", hours * 3600);
    }
    for (since, connections) in [
        (None, 6),
        (Some(NOW - 101 * HOUR), 6),
        (Some(NOW - 99 * HOUR), 5),
        (Some(NOW - 31 * HOUR), 4),
        (Some(NOW - 19 * HOUR), 2),
        (Some(NOW - HOUR), 1),
        (Some(NOW), 0),
    ] {
        let found = replayed(&history, "allow", &[], since);
        assert_eq!(found.connections, connections, "{since:?}");
    }
    let policy = policy("block", &[]);
    let span = (Some(NOW - 31 * HOUR), Some(NOW - 2 * HOUR));
    assert_eq!(replay(&history.0, &policy, span, NOW).unwrap().stopped, 3);
}

#[test]
fn single_connections_count_where_totals_do_not_say_enough() {
    let history = History::recording();
    let named = |host| history.connect(CURL, Some(host), "192.0.2.80", "connected", 5);
    let (first, second) = (named("cdn.example"), named("cdn.example"));
    for (id, rivals) in [(first, &[("api.example.com", None)][..]), (second, &[])] {
        history.rest_on(id, "process", None, rivals, rivals.len() as i64);
    }
    // the address of the first one has a name that is allowed, the other's has not
    let allow = ["{ to: [api.example.com], action: allow }"];
    assert_eq!(stopped(&history, "block", &allow), 1);
    let block = ["{ to: [api.example.com], action: block }"];
    assert_eq!(stopped(&history, "allow", &block), 1);
    // a flow that began from outside is not the process' own
    history.connect(CURL, None, "192.0.2.81", "connected", 5);
    let found = replayed(&history, "block", &allow, None);
    assert_eq!((found.connections, found.stopped), (3, 2));
    let newest = "UPDATE connection_group SET direction = 'in'
                  WHERE id = (SELECT max(id) FROM connection_group)";
    history.0.execute(newest, []).unwrap();
    let found = replayed(&history, "block", &allow, None);
    assert_eq!((found.connections, found.stopped), (2, 1));
}

#[test]
fn facts_of_the_history_are_those_that_the_kernel_would_know() {
    let history = History::recording();
    history.connect(CURL, Some("example.com"), "192.0.2.80", "connected", 5);
    history.descend(
        "curl",
        &[(9, "sh", "/bin/dash"), (8, "cron", "/usr/sbin/cron")],
    );
    let rule = |who: &str| {
        let rule = format!("{{ who: {{ {who} }}, action: block }}");
        stopped(&history, "allow", &[&rule]) == 1
    };
    assert!(rule("via: /usr/sbin/cron") && rule("via: /bin/dash") && rule("user: alice"));
    // in which mount namespace is its path?
    assert!(!rule("exe: /usr/bin/curl"));
    on_the_host(&history);
    assert!(rule("exe: /usr/bin/curl") && rule("host: true"));
    for (column, value) in [("exe_view", "'user_namespace'"), ("exe_deleted", "1")] {
        on_the_host(&history);
        let sql = format!("UPDATE process SET {column} = {value}");
        history.0.execute(&sql, []).unwrap();
        assert!(!rule("exe: /usr/bin/curl"), "{column}");
    }
    on_the_host(&history);
    // another's lookup allows, but does not block
    let id = "UPDATE connection_group SET host_source = 'netns'";
    history.0.execute(id, []).unwrap();
    assert_eq!(
        stopped(&history, "allow", &["{ to: [example.com], action: block }"]),
        0
    );
    assert_eq!(
        stopped(&history, "block", &["{ to: [example.com], action: allow }"]),
        0
    );
}

#[test]
fn names_that_may_be_stale_are_counted_under_stale_block() {
    let history = History::recording();
    let records = [("example.com", "A", "192.0.2.80", 60)];
    let lookup = history.look_up(CURL, ("example.com", "A"), Some("NOERROR"), &records, 500);
    for (source, age_ms) in [("netns", 59_000), ("netns", 61_000), ("process", 99_000)] {
        let id = history.connect(CURL, Some("example.com"), "192.0.2.80", "connected", 5);
        history.rest_on(id, source, Some((lookup, age_ms)), &[], 0);
    }
    let stale = |more: &str| {
        let rule = "rules: [{ to: [example.com], action: allow }]";
        let text = format!("version: 1\ndefault: block\n{more}\n{rule}\n");
        let policy = super::super::Policy::parse(&text).unwrap();
        let found = replay(&history.0, &policy, (None, None), NOW).unwrap();
        assert_eq!(found.stopped, 0);
        found.stale
    };
    assert_eq!(stale("stale: block"), Some(1));
    assert_eq!(stale(""), None);
}

#[test]
fn lookups_that_lookups_block_would_refuse_are_counted() {
    let history = History::recording();
    let root = By {
        uid: 0,
        user: Some("root"),
        ..CURL
    };
    for (by, name) in [
        (CURL, "api.example.com"),
        (CURL, "api.example.com.corp.example"),
        (CURL, "other.example"),
        (root, "other.example"),
    ] {
        history.look_up(by, (name, "A"), Some("NXDOMAIN"), &[], 50);
        // the query itself is a flow to the resolver
        history.connect_to(by, None, ("192.0.2.53", 53), "sent", 50);
    }
    // the fixture gives each of them a process of its own
    set(
        &history,
        "UPDATE connection_group SET process_id = process_id - 1",
    );
    let text = "version: 1\ndefault: block\nlookups: block\nresolvers: [192.0.2.53]\nrules:\n  - { to: [api.example.com], action: allow }\n  - { who: { user: root }, action: allow }\n";
    let mut policy = super::super::Policy::parse(text).unwrap();
    policy.search_suffixes = vec!["corp.example".to_owned()];
    let found = replay(&history.0, &policy, (None, None), NOW).unwrap();
    let lookups = found.lookups.unwrap();
    assert_eq!((lookups.lookups, lookups.refused), (4, 1));
    assert_eq!(lookups.names, [("other.example".to_owned(), 1)]);
    let since = (Some(NOW - HOUR), None);
    let found = replay(&history.0, &policy, since, NOW).unwrap();
    assert_eq!(found.lookups.unwrap().refused, 1);
}

fn set(history: &History, sql: &str) {
    history.0.execute(sql, []).unwrap();
}
