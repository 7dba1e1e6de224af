//! Questions and what they mean.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

mod refused;
mod spoken;
mod times;

use super::*;
use crate::query::ast::*;
use crate::query::fixture::{NOW, SECOND};
use crate::query::host::Host;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-23T00:00:00Z, a Monday.
const TODAY: i64 = NOW - 14 * HOUR;

fn understood(question: &str) -> Result<Question, NotUnderstood> {
    parse(question, &DateTime::<Utc>::from_timestamp_nanos(NOW))
}

fn connections(projection: Projection, predicates: Vec<Predicate>) -> Question {
    Question {
        projection,
        relation: Relation::Connections,
        predicates,
        since: None,
        until: None,
        ranking: None,
        new: false,
        bucket: None,
        average: None,
        share: None,
        having: vec![],
        also: vec![],
        never: vec![],
        without: None,
        bare: false,
        loose: false,
        both_directions: false,
        typed: Typed::default(),
    }
}

fn lookups(projection: Projection, predicates: Vec<Predicate>) -> Question {
    Question {
        relation: Relation::Lookups,
        ..connections(projection, predicates)
    }
}

fn domain(name: &str) -> Host {
    Host::Domain(name.to_owned())
}

fn to(name: &str) -> Predicate {
    Predicate::To(domain(name))
}

fn process(name: &str) -> Subject {
    Subject::Process(name.to_owned())
}

fn refusal(question: &str) -> String {
    understood(question).unwrap_err().to_string()
}

/// Each question means the same.
fn mean(questions: &[&str], meaning: &Question) {
    for question in questions {
        let understood = understood(question).map(|understood| Question {
            both_directions: meaning.both_directions,
            ..understood
        });
        assert_eq!(understood.as_ref(), Ok(meaning), "{question}");
    }
}

#[test]
fn hits_of_a_host_are_understood_in_many_words() {
    let hit = |actors| connections(Projection::Actors(actors), vec![to("example.com")]);
    mean(
        &[
            "which processes hit example.com",
            "Which Process has reached the Example.com?",
            "what programs talked to example.com.",
            "what hit example.com ?",
            "list all the processes that connected to host example.com",
            "show me the processes that called example.com",
        ],
        &hit(Actors::Processes),
    );
    mean(
        &["which containers connected to \"example.com\""],
        &hit(Actors::Containers),
    );
    mean(&["WHO CALLED example.com"], &hit(Actors::Processes));
    mean(&["which user contacted example.com"], &hit(Actors::Users));
    mean(&["which images reached example.com"], &hit(Actors::Images));
    mean(
        &[
            "what services did hit example.com",
            "which units hit example.com",
        ],
        &hit(Actors::Units),
    );
}

#[test]
fn destinations_of_a_subject_are_understood() {
    for (question, of) in [
        ("what did curl talk to", process("curl")),
        ("what did the process curl reach?", process("curl")),
        ("what has curl contacted", process("curl")),
        ("which hosts did curl talk to", process("curl")),
        ("which hosts were contacted by curl", process("curl")),
        (
            "what did /usr/bin/curl connect to",
            process("/usr/bin/curl"),
        ),
        ("what did \"Web Content\" hit", process("Web Content")),
        ("what did \"process\" call", process("process")),
        ("what did pid 4242 talk to", Subject::Pid(4242)),
        (
            "what did container web-1 talk to",
            Subject::Container("web-1".into()),
        ),
        (
            "what did the user www-data talk to",
            Subject::User("www-data".into()),
        ),
        ("what did image nginx reach", Subject::Image("nginx".into())),
        (
            "what did unit nginx.service reach",
            Subject::Unit("nginx.service".into()),
        ),
        ("what did children talk to", process("children")),
        (
            "what did the children of bash talk to",
            Subject::BelowProcess("bash".into()),
        ),
        (
            "which hosts did descendants of the process make hit",
            Subject::BelowProcess("make".into()),
        ),
        (
            "which hosts were contacted by a child of 'pid'",
            Subject::BelowProcess("pid".into()),
        ),
        (
            "what did the children of pid 1234 talk to",
            Subject::BelowPid(1234),
        ),
    ] {
        mean(
            &[question],
            &connections(Projection::Destinations, vec![Predicate::By(of)]),
        );
    }
}

#[test]
fn single_connections_and_other_projections_are_understood() {
    let by_curl = || Predicate::By(process("curl"));
    mean(
        &[
            "when did curl hit example.com",
            "which connections did curl make to example.com",
            "list connections from curl to example.com",
        ],
        &connections(Projection::Each, vec![by_curl(), to("example.com")]),
    );
    mean(
        &["when was example.com contacted by curl"],
        &connections(Projection::Each, vec![to("example.com"), by_curl()]),
    );
    let first = Question {
        ranking: Some(Ranking::First(1)),
        ..connections(Projection::Each, vec![by_curl(), to("example.com")])
    };
    mean(&["when did curl first hit example.com"], &first);
    mean(
        &["which IPs did curl reach"],
        &connections(Projection::Addresses, vec![by_curl()]),
    );
    mean(
        &["which ports did curl connect to"],
        &connections(Projection::Ports, vec![by_curl()]),
    );
    mean(
        &[
            "how much did curl send to example.com",
            "how much data did curl send to example.com",
        ],
        &connections(Projection::Sent, vec![by_curl(), to("example.com")]),
    );
    mean(
        &["how many connections did curl make on port 443 over tcp"],
        &connections(
            Projection::Count(Counted::Rows),
            vec![by_curl(), Predicate::Port(443), Predicate::Protocol("tcp")],
        ),
    );
    mean(
        &[
            "which ports did curl connect to over sctp",
            "which ports did curl connect to via protocol sctp",
        ],
        &connections(
            Projection::Ports,
            vec![by_curl(), Predicate::Protocol("sctp")],
        ),
    );
    mean(
        &["which failed connections", "which connections failed"],
        &connections(Projection::Each, vec![Predicate::Failed]),
    );
    mean(
        &["which connections timed out"],
        &connections(Projection::Each, vec![Predicate::Outcome("timeout")]),
    );
    mean(
        &["which connections were named by host"],
        &connections(Projection::Each, vec![Predicate::Source("host")]),
    );
}

#[test]
fn rankings_are_understood() {
    let top = |pick| Question {
        ranking: Some(pick),
        ..connections(Projection::Destinations, vec![])
    };
    mean(
        &["top 10 hosts", "show the top hosts"],
        &top(Ranking::Most(10)),
    );
    mean(&["top 3 hosts by bytes"], &top(Ranking::MostBytes(3)));
}

#[test]
fn raw_addresses_are_understood_in_many_words() {
    let hit = |actors| connections(Projection::Actors(actors), vec![Predicate::To(Host::Raw)]);
    mean(
        &[
            "which processes connected to raw IPs",
            "what hit IPs without a name",
        ],
        &hit(Actors::Processes),
    );
    mean(
        &["which containers hit raw addresses?"],
        &hit(Actors::Containers),
    );
    mean(
        &[
            "who talked to bare ips",
            "which processes reached the addresses without any hostname",
        ],
        &hit(Actors::Processes),
    );
    mean(
        &["when did curl hit raw IPs"],
        &connections(
            Projection::Each,
            vec![Predicate::By(process("curl")), Predicate::To(Host::Raw)],
        ),
    );
}

#[test]
fn the_words_for_raw_addresses_can_be_names() {
    for name in ["raw", "ips", "bare", "address", "a"] {
        let meaning = connections(Projection::Actors(Actors::Processes), vec![to(name)]);
        mean(&[&format!("who hit {name}?")], &meaning);
    }
    mean(
        &["who hit 'raw ips'"],
        &connections(Projection::Actors(Actors::Processes), vec![to("raw ips")]),
    );
}

#[test]
fn outcomes_of_lookups_are_understood() {
    mean(
        &[
            "which names were resolved but never contacted",
            "which names have been looked up and not connected to?",
            "what hosts were asked for but never reached",
            "which domains were never contacted",
        ],
        &lookups(Projection::NeverContacted, vec![]),
    );
    mean(
        &[
            "which lookups failed",
            "Which DNS queries have failed?",
            "what lookups failed",
            "which names failed to resolve",
        ],
        &lookups(Projection::FailedLookups, vec![Predicate::Failed]),
    );
}

#[test]
fn lookups_and_their_requesters_are_understood() {
    mean(
        &[
            "which processes resolved example.com",
            "what looked up example.com",
            "which programs asked for example.com",
        ],
        &lookups(
            Projection::Actors(Actors::Processes),
            vec![to("example.com")],
        ),
    );
    let unit = Subject::Unit("nginx.service".to_owned());
    mean(
        &[
            "what did unit nginx.service resolve",
            "which names did the unit nginx.service look up",
        ],
        &lookups(Projection::Destinations, vec![Predicate::By(unit)]),
    );
    mean(
        &["how many lookups did curl make"],
        &lookups(
            Projection::Count(Counted::Rows),
            vec![Predicate::By(process("curl"))],
        ),
    );
    assert!(refusal("which processes resolved 10.0.0.1").contains("for a name"));
    assert!(refusal("which processes resolved x.org on port 53").contains("no port"));
}

#[test]
fn pods_namespaces_and_pids_are_actors() {
    let pod = |name: &str| Predicate::By(Subject::Pod(name.to_owned()));
    let shop = Predicate::By(Subject::Namespace("shop".to_owned()));
    mean(
        &[
            "what did pod web-1 talk to",
            "which hosts did the pod web-1 hit",
            "what was reached by pod web-1",
        ],
        &connections(Projection::Destinations, vec![pod("web-1")]),
    );
    mean(
        &[
            "which pods in namespace shop hit x.org",
            "pods in the namespace shop to x.org",
        ],
        &connections(
            Projection::Actors(Actors::Pods),
            vec![shop.clone(), to("x.org")],
        ),
    );
    mean(
        &["what did namespace shop resolve"],
        &lookups(Projection::Destinations, vec![shop]),
    );
    mean(
        &["how many pids hit x.org"],
        &connections(
            Projection::Count(Counted::Actors(Actors::Pids)),
            vec![to("x.org")],
        ),
    );
    mean(
        &["which connections by pid 7"],
        &connections(Projection::Each, vec![Predicate::By(Subject::Pid(7))]),
    );
    mean(
        &["how many processes made lookups"],
        &lookups(
            Projection::Count(Counted::Actors(Actors::Processes)),
            vec![],
        ),
    );
}
