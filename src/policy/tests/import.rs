use super::super::*;
use super::{curl, in_container, named};

const CONFIG: &str = "\
container_metadata: true
# classic bpf is borked
use_classic_bpf: false
trusted_dns: 192.0.2.53
allow:
    - deb.debian.org
    - packagecloud.io
block:
    - bad.example
container_allow:
    gremlinweb:
        - security.debian.org
";

#[test]
fn config_of_the_original_becomes_a_policy() {
    let imported = import_config(CONFIG).unwrap();
    let policy = Policy::parse(&imported.text).unwrap();
    assert_eq!(
        policy.resolvers,
        [Resolver::Address(super::ip("192.0.2.53"))]
    );
    let web = in_container("x", "gremlinweb:latest");
    for (who, name, action) in [
        (&curl(), "deb.debian.org", Action::Allow),
        (&curl(), "security.debian.org", Action::Alert),
        (&curl(), "bad.example", Action::Block),
        (&web, "security.debian.org", Action::Allow),
        (&web, "deb.debian.org", Action::Allow),
        (&web, "example.org", Action::Alert),
    ] {
        let decision = policy.decide(who, &named(name, "203.0.113.1", 443), 0);
        assert_eq!(decision.action, action, "{name}");
    }
    assert!(
        imported
            .notes
            .iter()
            .any(|note| note.contains("use_classic_bpf"))
    );
}

#[test]
fn config_that_is_wrong_is_refused_at_each_position() {
    let config = "alow: [x.example]\nallow:\n  - http://x.example/y\ntrusted_dns: dns.example\n";
    let problems = import_config(config).unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "1:1: a config.yaml has no key \"alow\"; did you mean allow?",
            "3:5: \"http://x.example/y\" is a URL: write its name alone, \"x.example\"",
            "4:14: trusted_dns is an address; \"dns.example\" is not",
        ]
    );
    assert!(Policy::parse(&import_config("allow:\n").unwrap().text).is_ok());
}
