use proptest::prelude::*;

use super::super::*;
use super::{curl, in_container, named, policy, to};
use crate::model::Protocol;

fn say(policy: &Policy, text: &str) -> anyhow::Result<Sentence> {
    let system = System {
        program: &|name| (name == "python3").then(|| "/usr/bin/python3.13".to_owned()),
        uid: &|name| (name == "www-data").then_some(33),
    };
    sentence::parse(text, policy, &system)
}

#[test]
fn sentence_gives_the_facts_and_says_what_it_assumes() {
    let policy = policy("allow", &["{ to: [203.0.113.0/24], action: block }"]);
    let said = say(&policy, "curl to Example.com:8443 as www-data in web").unwrap();
    assert_eq!(said.subject.exe.as_deref(), Some("/usr/bin/curl"));
    assert_eq!(
        (said.subject.uid, said.subject.user.as_deref()),
        (Some(33), Some("www-data"))
    );
    assert_eq!(
        said.subject.container.details().unwrap().name.as_deref(),
        Some("web")
    );
    assert!(!said.subject.host);
    assert_eq!(said.destination.names[0].name, "example.com");
    assert_eq!(said.destination.port, Some(8443));
    // the address that is assumed is none that a rule lists
    assert_eq!(said.destination.ip, Some(super::ip("198.51.100.77")));
    assert!(
        said.assumed
            .iter()
            .any(|text| text.contains("no rule lists"))
    );

    let said = say(
        &policy,
        "python3 to [2001:db8::1]:53 over udp as root unit app.service via /usr/sbin/cron called py",
    )
    .unwrap();
    assert_eq!(said.subject.exe.as_deref(), Some("/usr/bin/python3.13"));
    assert_eq!(said.subject.uid, Some(0));
    assert_eq!(said.subject.system_unit(), Some("app.service"));
    assert_eq!(said.subject.ancestors, ["/usr/sbin/cron"]);
    assert_eq!(said.subject.comm.as_deref(), Some("py"));
    assert_eq!(said.destination.protocol, Protocol::Udp);
    assert_eq!(
        (said.destination.ip, said.destination.port),
        (Some(super::ip("2001:db8::1")), Some(53))
    );
    let said = say(&policy, "/opt/x to example.com at 10.0.0.1").unwrap();
    assert_eq!(said.destination.ip, Some(super::ip("10.0.0.1")));
    for (text, expected) in [
        ("", "a connection is described as"),
        ("curl example.com", "a connection is described as"),
        ("curl to example.com as", "\"as\" is followed by nothing"),
        (
            "curl to example.com with root",
            "\"with\" is not understood",
        ),
        ("curl to example.com:x", "no valid port"),
        ("curl to a*b", "can have a * only at its start"),
        ("curl to x.example over smtp", "\"smtp\" is no protocol"),
    ] {
        let error = format!("{:#}", say(&policy, text).unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn each_rule_before_says_why_it_does_not_match() {
    let policy = policy(
        "block",
        &[
            "{ name: a, action: allow, expires: 2020-01-01 }",
            "{ name: b, who: { user: [root, bob] }, action: allow }",
            "{ name: c, who: { exe: /usr/bin/wget }, action: allow }",
            "{ name: d, who: { image: 'nginx:*' }, action: allow }",
            "{ name: e, to: [example.com], ports: [443], action: allow }",
            "{ name: f, to: [example.org], action: allow }",
            "{ name: g, to: [example.com], action: allow }",
            "{ name: h, action: alert }",
        ],
    );
    let to = named("example.com", "10.0.0.1", 80);
    let explanation = policy.explain(&curl(), &to, 1_800_000_000_000_000_000);
    assert_eq!(explanation.decision.rule, Some(7));
    let why: Vec<&str> = explanation
        .before
        .iter()
        .map(|(_, why)| why.as_str())
        .collect();
    assert_eq!(
        why,
        [
            "it has expired",
            "user is alice, not root or bob",
            "exe is /usr/bin/curl, not /usr/bin/wget",
            "image is none, not nginx:*",
            "80/tcp is not in ports: 443",
            "the destination is none of its own",
            "the name matches, but may not grant a private address without 'private: true'",
        ]
    );
}

const CONDITIONS: [&str; 8] = [
    "",
    "who: { user: alice }, ",
    "who: { user: '!alice' }, ",
    "who: { exe: '/usr/bin/*' }, ",
    "who: { container: 'web*' }, ",
    "who: { image: '!nginx' }, ",
    "who: { host: true, via: /usr/sbin/sshd }, ",
    "who: { process: curl }, ",
];
const TARGETS: [&str; 7] = [
    "",
    "to: [example.com], ",
    "to: ['*.example.com', 10.0.0.0/8], ",
    "to: [private, metadata], private: true, ",
    "to: [unnamed], ",
    "to: [=a.example.com], ports: [443], ",
    "ports: [80, 53/udp], mode: observe, ",
];

proptest! {
    /// `explain` says no for every rule before the one that `decide` takes, and for no other.
    #[test]
    fn explanation_and_decision_agree(
        rules in prop::collection::vec((0..8_usize, 0..7_usize, 0..6_usize), 0..8),
        default in 0..6_usize,
        container: bool,
        name in 0..4_usize,
        address in 0..4_usize,
        port in prop::sample::select(vec![53_u16, 80, 443]),
    ) {
        let rules: Vec<String> = rules.iter().map(|(who, to, action)| {
            let who = CONDITIONS[*who];
            let action = if who.contains("process") { "alert" } else { Action::ALL[*action].as_str() };
            format!("{{ {who}{}action: {action} }}", TARGETS[*to])
        }).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let policy = policy(Action::ALL[default].as_str(), &rules);
        let who = if container { in_container("web-1", "nginx") } else { curl() };
        let address = ["192.0.2.1", "10.1.2.3", "127.0.0.1", "169.254.169.254"][address];
        let to = match name {
            0 => to(address, port),
            n => named(["example.com", "a.example.com", "example.org"][n - 1], address, port),
        };
        let explanation = policy.explain(&who, &to, 0);
        prop_assert_eq!(explanation.decision, policy.decide(&who, &to, 0));
        let looked_at = explanation.decision.rule.unwrap_or(rules.len());
        let no: Vec<usize> = explanation.before.iter().map(|(index, _)| *index).collect();
        prop_assert_eq!(no, (0..looked_at).collect::<Vec<_>>());
        if let Some(index) = explanation.decision.rule {
            prop_assert_eq!(policy.mismatch(&policy.rules[index], &who, &to, 0), None);
        }
    }
}

#[test]
fn rule_whose_name_was_looked_up_and_is_not_said_is_explained() {
    let policy = policy("block\nsni: strict", &["{ to: [a.test], action: allow }"]);
    let why = |said| {
        let to = Destination {
            said,
            ..named("a.test", "203.0.113.7", 443)
        };
        policy.explain(&curl(), &to, 0).before[0].1.clone()
    };
    let matches = "the name that was looked up matches, but the connection says";
    assert_eq!(
        [why(Said::Name("b.test".into())), why(Said::Nothing)],
        [format!("{matches} b.test"), format!("{matches} no name")]
    );
}
