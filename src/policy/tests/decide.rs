use crate::model::Protocol;

use super::super::*;
use super::{curl, in_container, ip, named, policy, to, with_evidence};

/// Which rule decides; None for the default and what comes beside the rules.
fn deciding(rules: &[&str], who: &Subject, to: &Destination) -> Option<usize> {
    policy("block", rules).decide(who, to, 0).rule
}

/// Whether a rule with this `who` matches.
fn who(condition: &str, subject: &Subject) -> bool {
    let rule = format!("{{ who: {{ {condition} }}, action: alert }}");
    deciding(&[&rule], subject, &to("192.0.2.1", 443)).is_some()
}

/// Whether a rule with this `to` matches.
fn target(list: &str, destination: &Destination) -> bool {
    let rule = format!("{{ to: [{list}], action: allow }}");
    deciding(&[&rule], &curl(), destination).is_some()
}

#[test]
fn every_condition_on_the_process_is_decided() {
    let web = in_container("web-1", "shop/web:1.2");
    let pod = Subject {
        container: Container::Known(Details {
            pod: Some("web-abc".into()),
            namespace: Some("shop".into()),
            ..Details::default()
        }),
        ..web.clone()
    };
    let service = Subject {
        unit: Some("nginx.service".into()),
        cgroup: Some("/system.slice/nginx.service".into()),
        ..curl()
    };
    // a user names their own units as they like
    let impostor = Subject {
        unit: Some("nginx.service".into()),
        cgroup: Some(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service".into(),
        ),
        ..curl()
    };
    let borrowed = Subject {
        exe_is_trusted: false,
        ..curl()
    };
    let kernel = Subject {
        kernel: true,
        ..Subject::default()
    };
    let unknown = Subject {
        container: Container::Unknown,
        host: false,
        ..curl()
    };
    for (condition, subject, holds) in [
        ("exe: /usr/bin/curl", &curl(), true),
        ("exe: /usr/bin/*", &curl(), true),
        ("exe: /usr/*", &curl(), false),
        ("exe: /usr/**", &curl(), true),
        ("exe: '/**'", &curl(), true),
        ("exe: [/bin/sh, /usr/bin/curl]", &curl(), true),
        ("exe: [/usr/bin/*, '!/usr/bin/curl']", &curl(), false),
        ("exe: '!/usr/bin/wget'", &curl(), true),
        ("exe: /usr/bin/curl", &borrowed, false),
        ("exe: '!/usr/bin/curl'", &borrowed, true),
        // a path in a container says nothing about the host's program
        ("exe: /usr/bin/curl", &web, false),
        ("exe: /usr/bin/curl, container: 'web-*'", &web, true),
        ("exe: /usr/bin/curl, container: '!db'", &web, false),
        ("user: alice", &curl(), true),
        ("user: 1000", &curl(), true),
        ("user: root", &curl(), false),
        ("user: root", &web, true),
        ("user: '!root'", &curl(), true),
        ("user: '!root'", &web, false),
        ("user: alice", &kernel, false),
        ("container: web-1", &web, true),
        ("container: 'web*'", &web, true),
        ("container: 0123456789ab", &web, true),
        ("container: web", &web, false),
        ("container: '!web-1'", &curl(), true),
        ("container: '*'", &curl(), false),
        ("image: 'shop/web:*'", &web, true),
        ("image: shop/web", &web, true),
        ("image: 'shop/web:1.3'", &web, false),
        ("image: docker.io/shop/web", &web, true),
        ("image: ghcr.io/shop/web", &web, false),
        ("image: '*/shop/web:1.*'", &web, true),
        ("pod: 'web-*', namespace: shop", &pod, true),
        ("namespace: '!shop'", &pod, false),
        ("pod: web-abc", &web, false),
        ("unit: nginx.service", &service, true),
        ("unit: 'nginx*'", &service, true),
        ("unit: nginx.service", &impostor, false),
        ("cgroup: '/system.slice/**'", &service, true),
        ("cgroup: /system.slice/nginx.service", &service, true),
        ("cgroup: '!/user.slice/**'", &curl(), false),
        ("host: true", &curl(), true),
        ("host: true", &web, false),
        ("host: false", &web, true),
        ("kernel: true", &kernel, true),
        ("kernel: true", &curl(), false),
        ("tree: true", &curl(), false),
        ("via: /usr/sbin/sshd", &curl(), true),
        ("via: '!/usr/sbin/sshd'", &curl(), false),
        ("via: /usr/sbin/cron", &curl(), false),
        // in a container paths are the container's
        ("via: /usr/sbin/sshd", &web, false),
        ("via: /usr/sbin/sshd, container: 'web-*'", &web, true),
        ("process: 'cu*'", &curl(), true),
        ("process: wget", &curl(), false),
        ("user: alice, exe: /bin/sh", &curl(), false),
        // of an unknown container nothing is known, not even what it is not
        ("container: web-1", &unknown, false),
        ("image: '!shop/web'", &unknown, false),
        ("user: alice", &unknown, true),
    ] {
        assert_eq!(who(condition, subject), holds, "{condition}: {subject:?}");
    }
}

#[test]
fn every_kind_of_destination_is_decided() {
    let cdn = named("a.cdn.example.com", "192.0.2.7", 443);
    let apex = named("cdn.example.com", "192.0.2.7", 443);
    let frame = Destination {
        ip: None,
        port: None,
        protocol: Protocol::Packet,
        names: Vec::new(),
        said: Said::NotYet,
    };
    for (list, destination, matches) in [
        ("cdn.example.com", &cdn, true),
        ("cdn.example.com", &apex, true),
        ("=cdn.example.com", &cdn, false),
        ("=cdn.example.com", &apex, true),
        ("'*.cdn.example.com'", &cdn, true),
        ("'*.cdn.example.com'", &apex, false),
        ("dn.example.com", &apex, false),
        ("CDN.Example.COM.", &apex, true),
        (
            "bücher.example",
            &named("xn--bcher-kva.example", "192.0.2.7", 1),
            true,
        ),
        ("192.0.2.7", &cdn, true),
        ("192.0.2.0/24", &cdn, true),
        ("198.51.100.0/24", &cdn, false),
        ("0.0.0.0/0", &to("2001:db8::1", 1), false),
        ("'2001:db8::/32'", &to("2001:db8::1", 1), true),
        // an IPv4 address in other clothes
        ("192.0.2.0/24", &to("::ffff:192.0.2.7", 1), true),
        ("192.0.2.0/24", &to("64:ff9b::192.0.2.7", 1), true),
        ("'::ffff:192.0.2.7'", &to("192.0.2.7", 1), true),
        ("private", &to("64:ff9b::10.0.0.1", 1), true),
        ("metadata", &to("::ffff:169.254.169.254", 80), true),
        ("metadata", &to("fd00:ec2::254", 80), true),
        ("metadata", &to("169.254.169.253", 80), false),
        ("loopback", &to("127.8.9.1", 1), true),
        ("loopback", &to("0.0.0.0", 1), true),
        ("link", &to("fe80::1", 1), true),
        ("private", &to("100.64.0.1", 1), true),
        ("multicast", &to("224.0.0.251", 1), true),
        ("public", &cdn, true),
        ("public", &to("10.0.0.1", 1), false),
        ("unnamed", &to("192.0.2.7", 1), true),
        ("unnamed", &cdn, false),
        ("unnamed", &to("127.0.0.1", 1), false),
        ("unnamed", &to("224.0.0.251", 1), false),
        ("public, private", &frame, false),
        ("unnamed", &frame, false),
        ("example.org, 192.0.2.7", &cdn, true),
    ] {
        assert_eq!(
            target(list, destination),
            matches,
            "{list}: {destination:?}"
        );
    }
}

#[test]
fn ports_are_numbers_ranges_and_protocols() {
    let udp = |port| Destination {
        protocol: Protocol::Udp,
        ..to("192.0.2.1", port)
    };
    let ping = Destination {
        port: None,
        protocol: Protocol::ICMP,
        ..to("192.0.2.1", 0)
    };
    for (ports, destination, matches) in [
        ("443", to("192.0.2.1", 443), true),
        ("443", udp(443), true),
        ("443/tcp", udp(443), false),
        ("443/udp", udp(443), true),
        ("8000-8999", to("192.0.2.1", 8999), true),
        ("8000-8999", to("192.0.2.1", 9000), false),
        ("udp", udp(7), true),
        ("tcp", udp(7), false),
        ("icmp", ping.clone(), true),
        ("1-65535", ping, false),
    ] {
        let rule = format!("{{ ports: [{ports}], action: allow }}");
        let decided = deciding(&[&rule], &curl(), &destination);
        assert_eq!(decided.is_some(), matches, "{ports}: {destination:?}");
    }
}

#[test]
fn first_rule_that_matches_decides_and_the_default_is_last() {
    let rules = [
        "{ name: api, to: [api.example.com], ports: [443], action: allow }",
        "{ who: { user: root }, action: alert }",
        "{ to: [example.com], action: kill }",
        "{ name: old, action: allow, expires: 2020-01-01 }",
    ];
    let policy = policy("block", &rules);
    let now = 1_800_000_000_000_000_000;
    let decide = |to: &Destination| {
        let decision = policy.decide(&curl(), to, now);
        (decision.action, decision.rule)
    };
    let at = |name, port| named(name, "192.0.2.1", port);
    assert_eq!(
        decide(&at("api.example.com", 443)),
        (Action::Allow, Some(0))
    );
    assert_eq!(decide(&at("api.example.com", 80)), (Action::Kill, Some(2)));
    assert_eq!(decide(&at("example.org", 80)), (Action::Block, None));
    // it still matched in 2019
    let before = policy.decide(&curl(), &at("example.org", 80), 1_560_000_000_000_000_000);
    assert_eq!(before.rule, Some(3));
}

#[test]
fn a_name_grants_no_address_inside_unless_the_rule_says_so() {
    let allow = ["{ to: [example.com], action: allow }"];
    let private = ["{ to: [example.com], private: true, action: allow }"];
    for (address, granted) in [
        ("192.0.2.1", true),
        ("10.0.0.1", false),
        ("127.0.0.1", false),
        ("169.254.169.254", false),
        ("::ffff:10.0.0.1", false),
        ("64:ff9b::10.0.0.1", false),
        ("fd00::1", false),
        ("168.63.129.16", false), // public, but Azure's metadata
    ] {
        let to = named("example.com", address, 80);
        assert_eq!(
            deciding(&allow, &curl(), &to).is_some(),
            granted,
            "{address}"
        );
        assert!(deciding(&private, &curl(), &to).is_some(), "{address}");
        // a rule that stops needs no such care, nor one that names the address
        assert!(deciding(&["{ to: [example.com], action: block }"], &curl(), &to).is_some());
        let by_address = format!(
            "{{ to: ['{}'], action: allow }}",
            plain_address(ip(address))
        );
        assert!(deciding(&[&by_address], &curl(), &to).is_some());
    }
}

#[test]
fn others_lookups_allow_but_neither_stop_nor_harm() {
    let decide = |action: &str, evidence| {
        let rule = format!("{{ to: [example.com], action: {action} }}");
        let to = with_evidence("example.com", evidence, "192.0.2.1", 80);
        let decision = policy("allow", &[&rule]).decide(&curl(), &to, 0);
        decision.rule.map(|_| decision.action)
    };
    use Evidence::{Own, Related, Shared};
    for (action, evidence, expected) in [
        ("allow", Shared, Some(Action::Allow)),
        ("alert", Shared, Some(Action::Alert)),
        ("block", Own, Some(Action::Block)),
        ("block", Related, Some(Action::Block)),
        ("block", Shared, None),
        ("kill", Own, Some(Action::Kill)),
        ("kill", Related, Some(Action::Block)),
        ("kill", Shared, None),
        ("dump", Related, Some(Action::Block)),
        ("suspend", Own, Some(Action::Suspend)),
    ] {
        assert_eq!(decide(action, evidence), expected, "{action} {evidence:?}");
    }
    // a name that does not count is a name
    let kill = policy("allow", &["{ to: [example.com, unnamed], action: kill }"]);
    let to = with_evidence("example.com", Related, "192.0.2.1", 80);
    assert_eq!(kill.decide(&curl(), &to, 0).action, Action::Block);
    // an address needs no evidence
    let kill = policy("allow", &["{ to: [example.com, 192.0.2.1], action: kill }"]);
    let to = with_evidence("example.com", Shared, "192.0.2.1", 80);
    assert_eq!(kill.decide(&curl(), &to, 0).action, Action::Kill);
}

#[test]
fn several_names_of_an_address_are_alternatives() {
    let rules = [
        "{ to: [b.example], action: block }",
        "{ to: [a.example], action: allow }",
    ];
    let mut to = named("a.example", "192.0.2.1", 80);
    assert_eq!(deciding(&rules, &curl(), &to), Some(1));
    to.names.push(HostName {
        name: "b.example".into(),
        evidence: Evidence::Own,
    });
    assert_eq!(deciding(&rules, &curl(), &to), Some(0));
}

#[test]
fn essentials_stay_open_unless_they_are_taken_out() {
    let udp = |address, port| Destination {
        protocol: Protocol::Udp,
        ..to(address, port)
    };
    let service = Subject {
        uid: Some(101),
        ..curl()
    };
    let kernel = Subject {
        kernel: true,
        ..Subject::default()
    };
    let container = in_container("web", "nginx");
    let discovery = Destination {
        port: None,
        protocol: Protocol::Ip(58),
        ..to("ff02::1:ff00:1", 0)
    };
    let ping = Destination {
        port: None,
        protocol: Protocol::ICMP,
        ..to("192.0.2.1", 0)
    };
    let text = "version: 1\ndefault: block\nresolvers: [192.0.2.53]\n";
    let policy = Policy::parse(text).unwrap();
    for (who, to, name) in [
        (&curl(), udp("192.0.2.53", 53), Some("dns")),
        (&container, to("192.0.2.53", 53), Some("dns")),
        (&curl(), udp("192.0.2.54", 53), None),
        (&service, udp("255.255.255.255", 67), Some("dhcp")),
        (&curl(), udp("192.0.2.1", 67), None),
        (&container, udp("192.0.2.1", 67), None),
        (&service, udp("192.0.2.1", 123), Some("ntp")),
        (&curl(), udp("192.0.2.1", 123), None),
        (&service, discovery, Some("icmp")),
        (&curl(), ping, None),
        (&kernel, to("192.0.2.1", 2049), Some("kernel")),
        (&curl(), to("127.0.0.1", 80), Some("loopback")),
        (&curl(), to("192.0.2.1", 80), None),
    ] {
        let decision = policy.decide(who, &to, 0);
        let why = match decision.why {
            Reason::Essential(essential) => Some(essential.as_str()),
            Reason::Resolver => Some("dns"),
            _ => None,
        };
        assert_eq!((why, decision.stops()), (name, name.is_none()), "{to:?}");
        if let Some(name) = name {
            let without = format!("{text}essentials: {{ {name}: false }}\n");
            let decision = Policy::parse(&without).unwrap().decide(who, &to, 0);
            assert!(decision.stops(), "{to:?} without {name}");
        }
    }
}

#[test]
fn observed_rules_decide_and_stop_nothing() {
    let policy = policy("block", &["{ mode: observe, action: kill }"]);
    let decision = policy.decide(&curl(), &to("192.0.2.1", 80), 0);
    assert_eq!((decision.action, decision.rule), (Action::Kill, Some(0)));
    assert!(!decision.enforced && !decision.stops());
}

#[test]
fn unknown_containers_can_be_blocked() {
    let text = "version: 1\ndefault: allow\nunknown_containers: block\nresolvers: [192.0.2.53]\n";
    let policy = Policy::parse(text).unwrap();
    let unknown = Subject {
        container: Container::Unknown,
        ..curl()
    };
    let decision = policy.decide(&unknown, &to("192.0.2.1", 80), 0);
    assert_eq!(
        (decision.action, decision.why),
        (Action::Block, Reason::UnknownContainer)
    );
    let dns = policy.decide(&unknown, &to("192.0.2.53", 53), 0);
    assert_eq!(dns.why, Reason::Resolver);
    assert!(
        !policy
            .decide(&in_container("web", "nginx"), &to("192.0.2.1", 80), 0)
            .stops()
    );
}

#[test]
fn names_are_looked_up_where_a_rule_lets_its_process_reach_them() {
    let rules = [
        "{ to: [ads.example.com], action: block }",
        "{ who: { user: alice }, to: [example.com], ports: [443], action: allow }",
        "{ who: { user: root }, action: alert }",
        "{ to: [192.0.2.0/24], action: allow }",
    ];
    let policy = policy("block", &rules);
    let root = Subject {
        uid: Some(0),
        user: Some("root".into()),
        ..curl()
    };
    for (who, is_stub, name, rule, stops) in [
        (&curl(), false, "example.com", Some(1), false),
        // the name is below an allowed one, which is what the resolver would be asked for
        (&curl(), false, "ads.example.com", Some(1), false),
        (&curl(), false, "example.org", None, true),
        (&root, false, "example.org", Some(2), false),
        (
            &in_container("web", "nginx"),
            false,
            "ads.example.com",
            Some(2),
            false,
        ),
        (&curl(), true, "example.org", Some(2), false),
    ] {
        let about = policy.rules_about(who, 0);
        let decision = policy.decide_lookup(&about, is_stub, name);
        assert_eq!((decision.rule, decision.stops()), (rule, stops), "{name}");
    }
}

/// The name that a connection says is decided on instead of those that were looked up.
#[test]
fn what_a_connection_says_replaces_its_looked_up_names() {
    let decided = |sni: &str, said: Said, to: Destination| {
        let rules = [
            "{ to: [bad.test], action: kill }",
            "{ to: [a.test], action: allow }",
            "{ to: [mail.test], action: allow, sni: off }",
            "{ to: [192.0.2.0/24], action: alert }",
        ];
        let policy = policy(&format!("block\nsni: {sni}"), &rules);
        let decision = policy.decide(&curl(), &Destination { said, ..to }, 0);
        (decision.action, decision.rule, decision.why)
    };
    let name = |name: &str| Said::Name(name.to_owned());
    let [a, mail] = ["a.test", "mail.test"].map(|name| named(name, "203.0.113.7", 443));
    let (by_sni, rule) = (Reason::Sni, Reason::Rule);
    let allowed = (Action::Allow, Some(1), rule);
    let by_default = (Action::Block, None, Reason::Default);
    let udp = Destination {
        protocol: Protocol::Udp,
        ..a.clone()
    };
    for (sni, said, to, expected) in [
        ("off", name("b.test"), a.clone(), allowed),
        ("strict", Said::NotYet, a.clone(), allowed),
        ("strict", name("x.a.test"), a.clone(), allowed),
        ("strict", name("b.test"), a.clone(), by_default),
        (
            "strict",
            name("bad.test"),
            a.clone(),
            (Action::Kill, Some(0), rule),
        ),
        (
            "strict",
            Said::Nothing,
            a.clone(),
            (Action::Block, None, by_sni),
        ),
        (
            "alert",
            name("b.test"),
            a.clone(),
            (Action::Alert, None, by_sni),
        ),
        ("alert", Said::Nothing, a, (Action::Alert, None, by_sni)),
        // the name that was looked up is enough for a rule
        (
            "strict",
            Said::Nothing,
            mail,
            (Action::Allow, Some(2), rule),
        ),
        // nothing but an address is wanted
        (
            "strict",
            Said::Nothing,
            to("192.0.2.1", 22),
            (Action::Alert, Some(3), rule),
        ),
        (
            "strict",
            name("bad.test"),
            to("192.0.2.1", 443),
            (Action::Kill, Some(0), rule),
        ),
        // QUIC
        ("strict", Said::NotYet, udp.clone(), by_default),
        ("alert", Said::NotYet, udp, allowed),
    ] {
        let shown = format!("{sni} {said:?} {to:?}");
        assert_eq!(decided(sni, said, to), expected, "{shown}");
    }
}
