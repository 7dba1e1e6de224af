use super::*;

const MS: u64 = 1_000_000;

fn requester(pid: u32, uid: u32) -> Requester {
    Requester {
        process: (pid, 1),
        tid: pid,
        group: None,
        contained: false,
        on_host: true,
        netns: 1,
        uid,
        account: uid,
    }
}

fn to(ip: &str, port: u16) -> Endpoint {
    let ip = ip.parse().unwrap();
    Endpoint { ip, port }
}

struct Scenario {
    names: NameTable,
    lookups: u64,
}

impl Scenario {
    fn new(cap: usize) -> Scenario {
        Scenario {
            names: NameTable::new(cap),
            lookups: 0,
        }
    }

    fn answered(&mut self, who: &Requester, host: &str, at: &str, ms: u64) {
        self.lookups += 1;
        let who = Rc::new(who.clone());
        let answer = AcceptedAnswer {
            host: host.into(),
            ns: ms * MS,
            lookup: self.lookups,
            requester: who,
            server: to("192.0.2.53", 53),
            trusted_resolver: false,
        };
        self.names.learn(answer, &[at.parse().unwrap()]);
    }

    fn name(&mut self, who: &Requester, at: &str, ms: u64) -> Option<(String, Source, u64, usize)> {
        self.named(who, &[], at, ms)
    }

    fn named(
        &mut self,
        who: &Requester,
        ancestors: &[ProcessKey],
        at: &str,
        ms: u64,
    ) -> Option<(String, Source, u64, usize)> {
        let name = self.names.name(who, ancestors, to(at, 443), ms * MS)?;
        Some((
            name.host.to_string(),
            name.source,
            name.age_ms.unwrap(),
            name.rivals,
        ))
    }
}

#[test]
fn processes_keep_their_own_names_for_a_shared_address() {
    let mut w = Scenario::new(100);
    let (a, b) = (requester(1, 0), requester(2, 0));
    w.answered(&a, "a.example", "192.0.2.1", 1);
    w.answered(&b, "b.example", "192.0.2.1", 2);
    assert_eq!(
        w.name(&a, "192.0.2.1", 3),
        Some(("a.example".into(), Source::Process, 2, 0))
    );
    assert_eq!(
        w.name(&b, "192.0.2.1", 3),
        Some(("b.example".into(), Source::Process, 1, 0))
    );
}

#[test]
fn latest_answer_before_the_connection_wins_and_others_are_rivals() {
    let mut w = Scenario::new(100);
    let a = requester(1, 0);
    w.answered(&a, "old.example", "192.0.2.1", 1);
    w.answered(&a, "new.example", "192.0.2.1", 5);
    w.answered(&a, "later.example", "192.0.2.1", 9);
    assert_eq!(
        w.name(&a, "192.0.2.1", 7),
        Some(("new.example".into(), Source::Process, 2, 1))
    );
    let all = w
        .names
        .name(&a, &[], to("192.0.2.1", 443), 10 * MS)
        .unwrap();
    let rivals: Vec<&str> = all.rival_names.iter().map(|r| &*r.host).collect();
    assert_eq!(
        (&*all.host, rivals),
        ("later.example", vec!["new.example", "old.example"])
    );
}

#[test]
fn threads_that_resolve_and_connect_keep_their_own_names() {
    let mut w = Scenario::new(100);
    let thread = |tid| Requester {
        tid,
        ..requester(1, 0)
    };
    let host = |w: &mut Scenario, tid, ms| w.name(&thread(tid), "192.0.2.1", ms).unwrap().0;
    w.answered(&thread(11), "a.example", "192.0.2.1", 1);
    w.answered(&thread(12), "b.example", "192.0.2.1", 2);
    assert_eq!(host(&mut w, 11, 3), "a.example");
    assert_eq!(host(&mut w, 12, 4), "b.example");
    assert_eq!(host(&mut w, 11, 5), "a.example", "again");
    // a third thread resolves for others
    w.answered(&thread(13), "c.example", "192.0.2.1", 6);
    assert_eq!(host(&mut w, 11, 7), "c.example");
    assert_eq!(host(&mut w, 14, 8), "c.example");
}

#[test]
fn unused_answer_of_a_thread_gives_way_after_a_while() {
    let mut w = Scenario::new(100);
    let thread = |tid| Requester {
        tid,
        ..requester(1, 0)
    };
    w.answered(&thread(11), "old.example", "192.0.2.1", 1);
    w.answered(&thread(12), "new.example", "192.0.2.1", 60_000);
    assert_eq!(
        w.name(&thread(11), "192.0.2.1", 60_001).unwrap().0,
        "new.example"
    );
}

#[test]
fn same_name_twice_is_no_rival() {
    let mut w = Scenario::new(100);
    let a = requester(1, 0);
    w.answered(&a, "a.example", "192.0.2.1", 1);
    w.answered(&a, "a.example", "192.0.2.1", 2);
    assert_eq!(
        w.name(&a, "192.0.2.1", 2),
        Some(("a.example".into(), Source::Process, 0, 0))
    );
}

#[test]
fn scopes_widen_from_process_to_host() {
    let mut w = Scenario::new(100);
    let group = |pid, group: &str, netns| Requester {
        group: Some(group.into()),
        contained: false,
        netns,
        ..requester(pid, 0)
    };
    let connecting = group(10, "g", 7);
    w.answered(&group(1, "elsewhere", 8), "host.example", "192.0.2.1", 1);
    assert_eq!(w.name(&connecting, "192.0.2.1", 9).unwrap().1, Source::Host);
    w.answered(&group(2, "elsewhere", 7), "netns.example", "192.0.2.1", 2);
    assert_eq!(
        w.name(&connecting, "192.0.2.1", 9).unwrap().1,
        Source::Netns
    );
    w.answered(&group(3, "g", 7), "group.example", "192.0.2.1", 3);
    assert_eq!(
        w.name(&connecting, "192.0.2.1", 9).unwrap().1,
        Source::Container
    );
    w.answered(&group(4, "elsewhere", 9), "parent.example", "192.0.2.1", 4);
    let (host, source, ..) = w
        .named(&connecting, &[(5, 1), (4, 1)], "192.0.2.1", 9)
        .unwrap();
    assert_eq!(
        (host.as_str(), source),
        ("parent.example", Source::Ancestor)
    );
    w.answered(&connecting, "own.example", "192.0.2.1", 5);
    let (host, source, ..) = w.named(&connecting, &[(4, 1)], "192.0.2.1", 9).unwrap();
    assert_eq!((host.as_str(), source), ("own.example", Source::Process));
}

#[test]
fn private_addresses_of_another_network_are_other_hosts() {
    let mut w = Scenario::new(100);
    let elsewhere = Requester {
        netns: 2,
        ..requester(1, 0)
    };
    for at in ["10.0.0.1", "fd00::1", "169.254.1.1", "100.64.0.1"] {
        w.answered(&elsewhere, "theirs.example", at, 1);
        assert_eq!(w.name(&requester(2, 0), at, 2), None, "{at}");
        assert_eq!(w.name(&elsewhere, at, 2).unwrap().1, Source::Process);
    }
}

#[test]
fn users_lies_name_no_other_users_connection() {
    let mut w = Scenario::new(100);
    let (liar, victim, daemon) = (requester(1, 1000), requester(2, 1001), requester(3, 33));
    w.answered(&liar, "lie.example", "192.0.2.1", 1);
    assert_eq!(w.name(&victim, "192.0.2.1", 2), None);
    assert_eq!(w.name(&requester(4, 0), "192.0.2.1", 2), None);
    assert_eq!(
        w.name(&requester(5, 1000), "192.0.2.1", 2).unwrap().1,
        Source::Netns
    );
    w.answered(&daemon, "true.example", "192.0.2.1", 3);
    w.answered(&liar, "lie.example", "192.0.2.1", 4);
    assert_eq!(
        w.name(&victim, "192.0.2.1", 5),
        Some(("true.example".into(), Source::Netns, 2, 0))
    );
}

#[test]
fn containers_answers_stay_in_it_even_roots() {
    let mut w = Scenario::new(100);
    let contained = |pid, group: &str| Requester {
        group: Some(group.into()),
        contained: true,
        netns: 1,
        ..requester(pid, 0)
    };
    w.answered(&contained(1, "c1"), "lie.example", "192.0.2.1", 1);
    assert_eq!(w.name(&requester(2, 0), "192.0.2.1", 2), None);
    assert_eq!(w.name(&contained(3, "c2"), "192.0.2.1", 2), None);
    assert_eq!(
        w.name(&contained(4, "c1"), "192.0.2.1", 2).unwrap().1,
        Source::Container
    );
}

#[test]
fn sinkhole_answer_counts_for_its_requester_only() {
    let mut w = Scenario::new(100);
    let a = requester(1, 0);
    w.answered(&a, "ads.example", "127.0.0.1", 1);
    assert_eq!(w.name(&a, "127.0.0.1", 2).unwrap().0, "ads.example");
    assert_eq!(w.name(&requester(2, 0), "127.0.0.1", 2), None);
}

#[test]
fn server_is_not_named_by_its_own_answers() {
    let mut w = Scenario::new(100);
    let a = requester(1, 0);
    w.answered(&a, "router.example", "192.0.2.53", 1);
    let mut host = |port| Some(w.names.name(&a, &[], to("192.0.2.53", port), MS)?.host);
    assert_eq!(host(53), None);
    assert_eq!(host(443).as_deref(), Some("router.example"));
}

#[test]
fn many_names_of_one_user_evict_no_other_users() {
    let mut w = Scenario::new(10_000);
    let (user, root) = (requester(1, 1000), requester(2, 0));
    w.answered(&root, "honest.example", "192.0.2.1", 1);
    for i in 0..2 * MAX_CANDIDATES {
        w.answered(&user, &format!("{i}.lie.example"), "192.0.2.1", 2);
    }
    let named = w.name(&requester(3, 0), "192.0.2.1", 3).unwrap();
    assert_eq!((named.0.as_str(), named.3), ("honest.example", 0));
}

#[test]
fn flood_of_one_users_answers_evicts_no_other_users_names() {
    let mut w = Scenario::new(1000);
    let (victim, user) = (requester(1, 1001), requester(2, 1000));
    w.answered(&victim, "bank.example", "93.184.216.34", 1);
    for i in 0..5000u32 {
        let at = std::net::Ipv4Addr::from(0x5000_0000 + i).to_string();
        w.answered(&user, &format!("{}.lie.example", i / 80), &at, 2);
        assert!(w.names.size <= 1000);
    }
    let named = w.name(&victim, "93.184.216.34", 3).unwrap();
    assert_eq!(named.0, "bank.example");
    assert!(w.name(&user, "80.0.19.135", 3).is_some(), "the last one");
}

#[test]
fn only_processes_in_the_hosts_namespaces_name_for_the_whole_host() {
    let mut w = Scenario::new(100);
    let elsewhere = |on_host, contained| Requester {
        netns: 7,
        on_host,
        contained,
        group: Some("/web".into()),
        ..requester(2, 0)
    };
    let victim = requester(3, 1001);
    w.answered(&elsewhere(false, true), "lie.example", "93.184.216.34", 1);
    assert_eq!(w.name(&victim, "93.184.216.34", 2), None);
    let neighbour = Requester {
        netns: 7,
        ..victim.clone()
    };
    assert_eq!(w.name(&neighbour, "93.184.216.34", 2), None, "its network");
    w.answered(&elsewhere(true, false), "true.example", "93.184.216.34", 3);
    let named = w.name(&victim, "93.184.216.34", 4).unwrap();
    assert_eq!((named.0.as_str(), named.1), ("true.example", Source::Host));
}

#[test]
fn multicast_answers_name_nothing_public_for_others() {
    let mut w = Scenario::new(100);
    let avahi = Rc::new(requester(1, 100));
    let mut answered = |at: &str| {
        let answer = AcceptedAnswer {
            host: "lie.local".into(),
            ns: MS,
            lookup: 1,
            requester: Rc::clone(&avahi),
            server: to("224.0.0.251", 5353),
            trusted_resolver: false,
        };
        w.names.learn(answer, &[at.parse().unwrap()]);
    };
    answered("93.184.216.34");
    answered("10.0.0.7");
    let other = requester(2, 1000);
    assert_eq!(w.name(&other, "93.184.216.34", 2), None);
    assert_eq!(w.name(&avahi, "93.184.216.34", 2).unwrap().0, "lie.local");
    assert_eq!(w.name(&other, "10.0.0.7", 2).unwrap().0, "lie.local");
}

#[test]
fn unknown_networks_are_not_the_same() {
    let mut w = Scenario::new(100);
    let unknown = |pid| Requester {
        netns: UNKNOWN_NETNS,
        ..requester(pid, 0)
    };
    w.answered(&unknown(1), "theirs.example", "10.0.0.1", 1);
    assert_eq!(w.name(&unknown(2), "10.0.0.1", 2), None);
}

#[test]
fn memory_is_bounded_by_the_cap() {
    let mut w = Scenario::new(30);
    for i in 0..1000 {
        w.answered(
            &requester(i, 0),
            &format!("{i}.example"),
            "192.0.2.1",
            u64::from(i),
        );
        assert!(w.names.size <= 30 || w.names.by_address.len() <= 1);
    }
    let held: usize = w.names.by_address.values().map(Vec::len).sum();
    assert_eq!(w.names.size, held);
}
