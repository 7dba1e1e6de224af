/// The warnings about a policy, each as LINE: TEXT; those about what a host needs have no line.
fn warnings(default: &str, rules: &[&str]) -> Vec<String> {
    let policy = super::policy(default, rules);
    let found = policy.warnings(1_800_000_000_000_000_000, |user| user != "stranger");
    found
        .iter()
        .map(|problem| format!("{}: {}", problem.at.line, problem.text))
        .collect()
}

/// The single warning about rules that begin at line 4, cut to what tells it from others.
fn only(rules: &[&str]) -> String {
    let found = warnings("allow", rules);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].chars().take(40).collect()
}

#[test]
fn rules_that_can_never_match_are_found() {
    for (earlier, later) in [
        (
            "{ name: a, action: alert }",
            "{ to: [x.example], action: allow }",
        ),
        (
            "{ name: a, to: [example.com], action: allow }",
            "{ to: [api.example.com], action: alert }",
        ),
        (
            "{ name: a, to: ['*.example.com'], action: block }",
            "{ to: ['=a.example.com'], action: kill }",
        ),
        (
            "{ name: a, to: [192.0.2.0/24], action: allow }",
            "{ to: [192.0.2.7], action: block }",
        ),
        (
            "{ name: a, ports: [1-1024], action: alert }",
            "{ ports: [80/tcp], action: block }",
        ),
        (
            "{ name: a, who: { user: alice }, action: alert }",
            "{ who: { user: alice, unit: x }, action: block }",
        ),
        (
            "{ name: a, who: { unit: 'a*' }, action: alert }",
            "{ who: { unit: ab }, action: block }",
        ),
        (
            "{ name: a, who: { user: '!alice' }, action: alert }",
            "{ who: { user: ['!alice', bob] }, action: block }",
        ),
        (
            "{ name: a, who: { exe: /opt/** }, action: alert }",
            "{ who: { exe: [/opt/a, /opt/b/*] }, action: allow }",
        ),
    ] {
        assert_eq!(
            only(&[earlier, later]),
            "5: the rule can never match: \"a\" at line",
            "{later}"
        );
    }
    assert_eq!(
        only(&["{ who: { user: [root, '!root'] }, action: block }"]),
        "4: the rule can never match: user exclud"
    );
    assert_eq!(
        only(&["{ action: block, expires: 2020-01-01 }"]),
        "4: the rule has expired and matches noth"
    );
}

#[test]
fn rules_that_may_match_are_not_called_shadowed() {
    for rules in [
        // the name's rule may not grant private addresses
        [
            "{ to: [example.com], action: allow }",
            "{ to: [example.com], private: true, action: allow }",
        ],
        // others' lookups are no evidence for the block
        [
            "{ to: [example.com], action: block }",
            "{ to: [example.com], action: alert }",
        ],
        [
            "{ to: [=example.com], action: allow }",
            "{ to: [example.com], action: allow }",
        ],
        [
            "{ to: [10.0.0.0/8], action: allow }",
            "{ to: [private], action: allow }",
        ],
        ["{ ports: [80], action: alert }", "{ action: allow }"],
        [
            "{ action: alert, expires: 2030-01-01 }",
            "{ action: allow }",
        ],
        [
            "{ who: { user: alice }, action: alert }",
            "{ who: { user: [alice, bob] }, action: allow }",
        ],
        [
            "{ who: { user: '!alice' }, action: alert }",
            "{ who: { user: '!bob' }, action: allow }",
        ],
        [
            "{ who: { exe: /opt/app }, action: alert }",
            "{ who: { exe: /opt/app, container: web }, action: allow }",
        ],
    ] {
        assert_eq!(warnings("allow", &rules), [""; 0], "{rules:?}");
    }
}

#[test]
fn evasions_and_allowances_that_reach_far_are_named() {
    for (rule, expected) in [
        (
            "{ who: { exe: /usr/bin/curl }, action: block }",
            "4: a copy of the program at another path",
        ),
        (
            "{ who: { exe: /usr/bin/python3.13 }, action: allow }",
            "4: /usr/bin/python3.13 runs what it is g",
        ),
        (
            "{ who: { exe: /usr/lib64/ld-linux-x86-64.so.2 }, action: allow }",
            "4: /usr/lib64/ld-linux-x86-64.so.2 runs ",
        ),
        (
            "{ who: { exe: '/usr/bin/*' }, action: allow }",
            "4: /usr/bin/* runs what it is given, so ",
        ),
        (
            "{ who: { user: stranger }, action: allow }",
            "4: this system has no user \"stranger\"",
        ),
        (
            "{ to: [github.io], action: allow }",
            "4: anyone can have a name below github.i",
        ),
    ] {
        let expected: String = expected.chars().take(40).collect();
        assert_eq!(only(&[rule]), expected, "{rule}");
    }
    for rule in [
        "{ who: { exe: /usr/bin/curl }, action: allow }",
        "{ who: { exe: /usr/bin/shutdown }, action: allow }",
        "{ who: { exe: /usr/bin/python3, unit: app.service }, action: allow }",
        "{ to: [example.github.io], action: allow }",
    ] {
        assert_eq!(warnings("allow", &[rule]), [""; 0], "{rule}");
    }
}

#[test]
fn what_a_host_needs_is_missed_where_it_would_be_stopped() {
    let stopped = |default, rules: &[&str]| -> Vec<String> {
        let found = warnings(default, rules);
        let what = |text: &String| text.split("also stops ").nth(1).map(str::to_owned);
        found
            .iter()
            .filter_map(what)
            .map(|text| text[..4].to_owned())
            .collect()
    };
    assert_eq!(stopped("allow", &[]), [""; 0]);
    // the essentials are open
    assert_eq!(stopped("block", &[]), ["LDAP", "a cl"]);
    assert_eq!(
        stopped("block", &["{ to: [private, metadata], action: allow }"]),
        [""; 0]
    );
    assert_eq!(
        stopped("allow", &["{ who: { user: root }, action: block }"]),
        ["DHCP", "root", "LDAP", "a cl"]
    );
}
