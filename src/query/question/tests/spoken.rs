//! Questions as people say them.

use super::*;

#[test]
fn what_is_going_on_is_understood() {
    mean(
        &[
            "what is talking to example.com",
            "which processes are connecting to example.com",
            "processes talking to example.com",
            "what's hitting example.com",
        ],
        &only(List::Actors(Actors::Processes), vec![to("example.com")]),
    );
    mean(
        &["who is accessing example.com", "who visited example.com"],
        &only(List::Actors(Actors::Users), vec![to("example.com")]),
    );
    let web = || Only::By(Subject::Container("web".to_owned()));
    mean(
        &[
            "what is container web talking to",
            "what was the container web connecting to",
            "what are the hosts that container web contacted",
            "hosts contacted by container web",
        ],
        &only(List::Destinations, vec![web()]),
    );
    mean(
        &["what is curl resolving", "what names did curl query"],
        &lookups(List::Destinations, vec![Only::By(process("curl"))]),
    );
}

#[test]
fn a_host_can_be_meant_alone_and_addresses_by_where_they_are() {
    let exact = Only::To(Host::Exact("example.com".to_owned()));
    mean(
        &[
            "which processes hit exactly example.com",
            "what hit just example.com",
        ],
        &only(List::Actors(Actors::Processes), vec![exact]),
    );
    mean(
        &["who hit exactly"],
        &only(List::Actors(Actors::Users), vec![to("exactly")]),
    );
    mean(
        &["who hit public IPs", "which users talked to external hosts"],
        &only(List::Actors(Actors::Users), vec![Only::Scope("public")]),
    );
    mean(
        &["which private addresses did curl reach"],
        &only(
            List::Addresses,
            vec![Only::Scope("private"), Only::By(process("curl"))],
        ),
    );
    mean(
        &["who hit public"],
        &only(List::Actors(Actors::Users), vec![to("public")]),
    );
}

#[test]
fn outcomes_have_other_words_too() {
    for (question, outcome) in [
        ("which connections succeeded", Only::Succeeded),
        ("list successful connections", Only::Succeeded),
        ("which connections were rejected", Only::Outcome("refused")),
        ("blocked connections", Only::Outcome("denied")),
    ] {
        mean(&[question], &only(List::Each, vec![outcome]));
    }
}

#[test]
fn yes_or_no_is_asked_too() {
    let hit = |only_| only(List::Actors(Actors::Processes), only_);
    mean(
        &[
            "did curl talk to example.com?",
            "has curl ever contacted example.com",
        ],
        &hit(vec![Only::By(process("curl")), to("example.com")]),
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
fn what_the_numbers_are_for_is_understood() {
    let most = |list, pick| Question {
        pick: Some(pick),
        ..only(list, vec![])
    };
    mean(
        &[
            "connections per process",
            "how many connections by process",
            "connections for each program",
        ],
        &most(List::Actors(Actors::Processes), Pick::Most(Pick::ALL)),
    );
    mean(
        &["traffic by host", "how much data per host"],
        &most(List::Destinations, Pick::MostBytes(Pick::ALL)),
    );
    mean(
        &["top 5 connections per container"],
        &most(List::Actors(Actors::Containers), Pick::Most(5)),
    );
    mean(
        &["connections per process per day"],
        &Question {
            per: Some(Per::Day),
            ..only(List::Actors(Actors::Processes), vec![])
        },
    );
    // with a name it is who acted
    let by = |subject| only(List::Each, vec![Only::By(subject)]);
    mean(
        &["connections by container web"],
        &by(Subject::Container("web".to_owned())),
    );
    mean(
        &["connections by process"],
        &most(List::Actors(Actors::Processes), Pick::Most(Pick::ALL)),
    );
    mean(
        &["lookups by user"],
        &Question {
            from: From::Lookups,
            ..most(List::Actors(Actors::Users), Pick::Most(Pick::ALL))
        },
    );
    assert!(refusal("which processes hit x.org per host").contains("are counted per something"));
}

#[test]
fn most_and_how_often_are_understood() {
    mean(
        &[
            "how often did curl hit x.org",
            "how many times did curl hit x.org",
        ],
        &only(
            List::Count(Counted::Rows),
            vec![Only::By(process("curl")), to("x.org")],
        ),
    );
    let most = |pick| Question {
        pick: Some(pick),
        ..only(List::Actors(Actors::Processes), vec![])
    };
    mean(
        &["which processes send the most data"],
        &most(Pick::MostBytes(10)),
    );
    mean(
        &["which processes made the most connections", "top talkers"],
        &most(Pick::Most(10)),
    );
    mean(
        &["who hit most"],
        &only(List::Actors(Actors::Users), vec![to("most")]),
    );
}

/// Each of these was once taken for a name, and found nothing.
#[test]
fn words_that_look_like_names_are_none() {
    mean(
        &["who talked to the internet"],
        &only(List::Actors(Actors::Users), vec![Only::Scope("public")]),
    );
    mean(
        &["who hit 'internet'"],
        &only(List::Actors(Actors::Users), vec![to("internet")]),
    );
    mean(
        &[
            "which connections are open",
            "open connections",
            "which connections are still open",
        ],
        &only(List::Each, vec![Only::Open]),
    );
    mean(
        &["which processes failed to connect to x.org"],
        &only(
            List::Actors(Actors::Processes),
            vec![Only::Failed, to("x.org")],
        ),
    );
    mean(
        &["when was the last connection to x.org"],
        &Question {
            pick: Some(Pick::Last(1)),
            ..only(List::Each, vec![to("x.org")])
        },
    );
    mean(
        &["what is using port 443", "which programs use port 443"],
        &only(List::Actors(Actors::Processes), vec![Only::Port(443)]),
    );
    mean(
        &["what was contacted by curl"],
        &only(List::Destinations, vec![Only::By(process("curl"))]),
    );
    mean(
        &["what was resolved by curl"],
        &lookups(List::Destinations, vec![Only::By(process("curl"))]),
    );
    mean(
        &["errors", "failures"],
        &only(List::Each, vec![Only::Failed]),
    );
}

#[test]
fn there_is_no_or_and_no_not() {
    for question in [
        "who hit x.org or y.org",
        "who hit x.org and y.org",
        "which processes did not hit x.org",
    ] {
        assert!(refusal(question).contains("has to hold"), "{question}");
    }
}
