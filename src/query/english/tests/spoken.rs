//! Questions as people say them.

use super::*;

#[test]
fn present_tense_is_understood() {
    mean(
        &[
            "what is talking to example.com",
            "which processes are connecting to example.com",
            "processes talking to example.com",
            "what's hitting example.com",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![to("example.com")],
        ),
    );
    mean(
        &["who is accessing example.com", "who visited example.com"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![to("example.com")],
        ),
    );
    let web = || Predicate::By(Subject::Container("web".to_owned()));
    mean(
        &[
            "what is container web talking to",
            "what was the container web connecting to",
            "what are the hosts that container web contacted",
            "hosts contacted by container web",
        ],
        &connections(Projection::Destinations, vec![web()]),
    );
    mean(
        &["what is curl resolving", "what names did curl query"],
        &lookups(
            Projection::Destinations,
            vec![Predicate::By(process("curl"))],
        ),
    );
}

#[test]
fn what_was_received_comes_from_a_host() {
    mean(
        &[
            "how much did curl download from example.com",
            "how much did curl receive from example.com",
            "how much did curl get from example.com",
        ],
        &connections(
            Projection::Received,
            vec![Predicate::By(process("curl")), to("example.com")],
        ),
    );
    mean(
        &["how much data came from example.com"],
        &connections(Projection::Received, vec![to("example.com")]),
    );
    mean(
        &["how many bytes did curl receive"],
        &connections(Projection::Received, vec![Predicate::By(process("curl"))]),
    );
}

#[test]
fn exact_hosts_and_address_scopes_are_understood() {
    let exact = Predicate::To(Host::Exact("example.com".to_owned()));
    mean(
        &[
            "which processes hit exactly example.com",
            "what hit just example.com",
        ],
        &connections(Projection::Actors(Actors::Processes), vec![exact]),
    );
    mean(
        &["who hit exactly"],
        &connections(Projection::Actors(Actors::Processes), vec![to("exactly")]),
    );
    mean(
        &[
            "who hit public IPs",
            "which processes talked to external hosts",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Scope("public")],
        ),
    );
    mean(
        &["which private addresses did curl reach"],
        &connections(
            Projection::Addresses,
            vec![Predicate::Scope("private"), Predicate::By(process("curl"))],
        ),
    );
    mean(
        &["who hit public"],
        &connections(Projection::Actors(Actors::Processes), vec![to("public")]),
    );
}

#[test]
fn outcomes_have_synonyms() {
    for (question, outcome) in [
        ("which connections succeeded", Predicate::Succeeded),
        ("list successful connections", Predicate::Succeeded),
        (
            "which connections were rejected",
            Predicate::Outcome("refused"),
        ),
        ("blocked connections", Predicate::Blocked),
        ("denied connections", Predicate::Outcome("denied")),
    ] {
        mean(&[question], &connections(Projection::Each, vec![outcome]));
    }
}

#[test]
fn yes_or_no_questions_are_understood() {
    let hit = |only_| connections(Projection::Actors(Actors::Processes), only_);
    mean(
        &[
            "did curl talk to example.com?",
            "has curl ever contacted example.com",
        ],
        &hit(vec![Predicate::By(process("curl")), to("example.com")]),
    );
    mean(
        &[
            "has anyone contacted example.com",
            "did somebody hit example.com",
        ],
        &hit(vec![to("example.com")]),
    );
}

#[test]
fn grouping_is_understood() {
    let most = |list, pick| Question {
        ranking: Some(pick),
        ..connections(list, vec![])
    };
    mean(
        &[
            "connections per process",
            "how many connections by process",
            "connections for each program",
        ],
        &most(
            Projection::Actors(Actors::Processes),
            Ranking::Most(Ranking::ALL),
        ),
    );
    mean(
        &["traffic by host", "how much data per host"],
        &most(Projection::Destinations, Ranking::MostBytes(Ranking::ALL)),
    );
    mean(
        &["top 5 connections per container"],
        &most(Projection::Actors(Actors::Containers), Ranking::Most(5)),
    );
    mean(
        &["connections per process per day"],
        &Question {
            bucket: Some(Bucket::Day),
            ..connections(Projection::Actors(Actors::Processes), vec![])
        },
    );
    // with a name it is who acted
    let by = |subject| connections(Projection::Each, vec![Predicate::By(subject)]);
    mean(
        &["connections by container web"],
        &by(Subject::Container("web".to_owned())),
    );
    mean(
        &["connections by process"],
        &most(
            Projection::Actors(Actors::Processes),
            Ranking::Most(Ranking::ALL),
        ),
    );
    mean(
        &["lookups by user"],
        &Question {
            relation: Relation::Lookups,
            ..most(
                Projection::Actors(Actors::Users),
                Ranking::Most(Ranking::ALL),
            )
        },
    );
    assert!(
        refusal("which processes hit x.org per host").contains("can be counted \"per\" something")
    );
}

#[test]
fn most_and_how_often_are_understood() {
    mean(
        &[
            "how often did curl hit x.org",
            "how many times did curl hit x.org",
        ],
        &connections(
            Projection::Count(Counted::Rows),
            vec![Predicate::By(process("curl")), to("x.org")],
        ),
    );
    let most = |pick| Question {
        ranking: Some(pick),
        ..connections(Projection::Actors(Actors::Processes), vec![])
    };
    mean(
        &[
            "which processes send the most data",
            "which process sent the most",
        ],
        &most(Ranking::By {
            measure: Measure::Sent,
            least: false,
            rows: 10,
        }),
    );
    mean(
        &["which processes use the most bandwidth", "top talkers"],
        &most(Ranking::MostBytes(10)),
    );
    mean(
        &["which processes made the most connections"],
        &most(Ranking::Most(10)),
    );
    mean(
        &["who hit most"],
        &connections(Projection::Actors(Actors::Processes), vec![to("most")]),
    );
}

/// Each of these was once taken for a name, and found nothing.
#[test]
fn words_that_look_like_names_are_not_names() {
    mean(
        &["who talked to the internet"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Scope("public")],
        ),
    );
    mean(
        &["who hit 'internet'"],
        &connections(Projection::Actors(Actors::Processes), vec![to("internet")]),
    );
    mean(
        &[
            "which connections are open",
            "open connections",
            "which connections are still open",
        ],
        &connections(Projection::Each, vec![Predicate::Open]),
    );
    mean(
        &["which processes failed to connect to x.org"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Failed, to("x.org")],
        ),
    );
    mean(
        &["when was the last connection to x.org"],
        &Question {
            ranking: Some(Ranking::Last(1)),
            ..connections(Projection::Each, vec![to("x.org")])
        },
    );
    mean(
        &["what is using port 443", "which programs use port 443"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Port(443)],
        ),
    );
    mean(
        &["what was contacted by curl"],
        &connections(
            Projection::Destinations,
            vec![Predicate::By(process("curl"))],
        ),
    );
    mean(
        &["what was resolved by curl"],
        &lookups(
            Projection::Destinations,
            vec![Predicate::By(process("curl"))],
        ),
    );
    mean(
        &["errors", "failures"],
        &connections(Projection::Each, vec![Predicate::Failed]),
    );
}

#[test]
fn or_and_not_join_names() {
    let processes = |predicates| connections(Projection::Actors(Actors::Processes), predicates);
    mean(
        &["who hit x.org or y.org"],
        &processes(vec![Predicate::Any(vec![to("x.org"), to("y.org")])]),
    );
    mean(
        &["who hit x.org and y.org"],
        &Question {
            also: vec![to("x.org"), to("y.org")],
            ..processes(vec![])
        },
    );
    mean(
        &[
            "which processes did not hit x.org",
            "which processes didn't hit x.org",
            "which processes never hit x.org",
        ],
        &Question {
            never: vec![to("x.org")],
            ..connections(Projection::Actors(Actors::Processes), vec![])
        },
    );
    mean(
        &["connections except curl", "connections not by curl"],
        &connections(
            Projection::Each,
            vec![Predicate::Not(Box::new(Predicate::By(process("curl"))))],
        ),
    );
    for question in [
        "who hit x.org or failed",
        "tcp udp connections",
        "connections on port 80 on port 443",
        "who hit x.org but not x.org",
    ] {
        assert!(understood(question).is_err(), "{question}");
    }
}

#[test]
fn noun_can_follow_the_name_of_the_subject() {
    let web = || Predicate::By(Subject::Container("web".to_owned()));
    mean(
        &[
            "which hosts did the web container contact",
            "what did the web container talk to",
            "what is the web container talking to",
        ],
        &connections(Projection::Destinations, vec![web()]),
    );
    mean(
        &["has the web container ever talked to x.org"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![web(), to("x.org")],
        ),
    );
    mean(
        &["what did the nginx service do"],
        &connections(
            Projection::Destinations,
            vec![Predicate::By(Subject::Unit("nginx".to_owned()))],
        ),
    );
    mean(
        &[
            "which processes in namespace shop hit x.org",
            "which processes in the shop namespace hit x.org",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![
                Predicate::By(Subject::Namespace("shop".to_owned())),
                to("x.org"),
            ],
        ),
    );
    // and before the next one's
    mean(
        &["what did curl container web hit"],
        &connections(
            Projection::Destinations,
            vec![Predicate::By(process("curl")), web()],
        ),
    );
}

#[test]
fn verbs_of_fetching_are_verbs_of_contact() {
    same_answers(
        "which processes failed to connect to x.org",
        &[
            "which processes failed to download from x.org",
            "which processes failed to fetch from x.org",
        ],
    );
    same_answers(
        "which names were resolved but never contacted",
        &["which names were resolved but never downloaded from"],
    );
    same_answers(
        "what is connecting to x.org",
        &[
            "what is downloading from x.org",
            "what is pulling from x.org",
        ],
    );
}

/// Questions in other words.
fn same_answers(question: &str, others: &[&str]) {
    for other in others {
        assert_eq!(understood(question), understood(other), "{other}");
    }
}

#[test]
fn yes_or_no_questions_list_actors() {
    let processes = |conditions| connections(Projection::Actors(Actors::Processes), conditions);
    mean(
        &[
            "did anything connect to x.org",
            "is anything talking to x.org",
            "was x.org contacted",
            "was x.org ever contacted",
        ],
        &processes(vec![to("x.org")]),
    );
    mean(
        &["is anybody connecting to x.org right now"],
        &processes(vec![to("x.org"), Predicate::Open]),
    );
    mean(
        &["was x.org contacted by curl"],
        &processes(vec![to("x.org"), Predicate::By(process("curl"))]),
    );
    mean(
        &[
            "is there any traffic to x.org",
            "show total traffic to x.org",
        ],
        &connections(Projection::Bytes, vec![to("x.org")]),
    );
    mean(
        &["how much did we send to x.org"],
        &connections(Projection::Sent, vec![to("x.org")]),
    );
    let new = understood("is x.org new since 9:00").unwrap();
    assert!(
        new.new && new.projection == Projection::Destinations,
        "{new:?}"
    );
}

#[test]
fn fillers_and_synonyms_are_understood() {
    mean(
        &[
            "show me all outbound connections on port 22",
            "list outgoing connections to port 22",
        ],
        &connections(Projection::Each, vec![Predicate::Port(22)]),
    );
    mean(
        &[
            "number of connections to x.org",
            "count connections to x.org",
            "how many outgoing connections to x.org",
        ],
        &connections(Projection::Count(Counted::Rows), vec![to("x.org")]),
    );
    mean(
        &[
            "which processes sent data to x.org",
            "which processes downloaded from x.org",
        ],
        &connections(Projection::Actors(Actors::Processes), vec![to("x.org")]),
    );
    mean(
        &["connection failures", "failures", "failed connections"],
        &connections(Projection::Each, vec![Predicate::Failed]),
    );
    mean(
        &[
            "which processes have open connections",
            "which processes have connections open",
        ],
        &connections(Projection::Actors(Actors::Processes), vec![Predicate::Open]),
    );
    mean(
        &[
            "what is open to x.org",
            "open connections to x.org",
            "active connections to x.org",
        ],
        &connections(Projection::Each, vec![Predicate::Open, to("x.org")]),
    );
    mean(
        &[
            "which processes use ipv6",
            "which processes connected over ipv6",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Family(6)],
        ),
    );
    mean(
        &[
            "which processes connected to raw IPs",
            "which processes connected to IP addresses directly",
            "which processes connected without DNS",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::To(Host::Raw)],
        ),
    );
    mean(
        &["who hit x.org on port 443", "who hit x.org on 443"],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![to("x.org"), Predicate::Port(443)],
        ),
    );
    mean(
        &[
            "which hosts refused connections",
            "which hosts were refused",
        ],
        &connections(
            Projection::Destinations,
            vec![Predicate::Outcome("refused")],
        ),
    );
    mean(
        &["how often did curl time out"],
        &connections(
            Projection::Count(Counted::Rows),
            vec![
                Predicate::By(process("curl")),
                Predicate::Outcome("timeout"),
            ],
        ),
    );
    let below = Predicate::By(Subject::BelowProcess("make".to_owned()));
    mean(
        &[
            "what did children of make talk to",
            "what did everything under make talk to",
            "which hosts were contacted by processes started by make",
        ],
        &connections(Projection::Destinations, vec![below]),
    );
    let last = |pick| Question {
        ranking: Some(pick),
        ..connections(
            Projection::Each,
            vec![Predicate::By(process("curl")), to("x.org")],
        )
    };
    mean(
        &[
            "when was the last time curl hit x.org",
            "last time curl hit x.org",
        ],
        &last(Ranking::Last(1)),
    );
    mean(
        &["when did curl first hit x.org", "first time curl hit x.org"],
        &last(Ranking::First(1)),
    );
}

/// As "as root" is by the rights that a process has, "non-root" is, too.
#[test]
fn who_is_not_root_has_other_rights() {
    let root = || Predicate::By(Subject::EffectiveUser("root".to_owned()));
    mean(
        &[
            "which non-root processes connected",
            "which non root processes connected",
        ],
        &connections(
            Projection::Actors(Actors::Processes),
            vec![Predicate::Not(Box::new(root()))],
        ),
    );
    mean(
        &[
            "connections of non-root",
            "connections by non-root processes",
        ],
        &connections(Projection::Each, vec![Predicate::Not(Box::new(root()))]),
    );
    mean(
        &["connections as root"],
        &connections(Projection::Each, vec![root()]),
    );
}
