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

#[test]
fn the_word_for_who_acts_may_come_after_its_name() {
    let web = || Only::By(Subject::Container("web".to_owned()));
    mean(
        &[
            "which hosts did the web container contact",
            "what did the web container talk to",
            "what is the web container talking to",
        ],
        &only(List::Destinations, vec![web()]),
    );
    mean(
        &["has the web container ever talked to x.org"],
        &only(List::Actors(Actors::Processes), vec![web(), to("x.org")]),
    );
    mean(
        &["what did the nginx service do"],
        &only(
            List::Destinations,
            vec![Only::By(Subject::Unit("nginx".to_owned()))],
        ),
    );
    mean(
        &[
            "which processes in namespace shop hit x.org",
            "which processes in the shop namespace hit x.org",
        ],
        &only(
            List::Actors(Actors::Processes),
            vec![Only::By(Subject::Namespace("shop".to_owned())), to("x.org")],
        ),
    );
    // and before the next one's
    mean(
        &["what did curl container web hit"],
        &only(List::Destinations, vec![Only::By(process("curl")), web()]),
    );
}

#[test]
fn whether_somebody_did_is_a_list_of_who() {
    let processes = |conditions| only(List::Actors(Actors::Processes), conditions);
    mean(
        &[
            "did anything connect to x.org",
            "is anything talking to x.org",
            "was x.org contacted",
            "was x.org ever contacted",
            "is anybody connecting to x.org right now",
        ],
        &processes(vec![to("x.org")]),
    );
    mean(
        &["was x.org contacted by curl"],
        &processes(vec![to("x.org"), Only::By(process("curl"))]),
    );
    mean(
        &[
            "is there any traffic to x.org",
            "show total traffic to x.org",
        ],
        &only(List::Bytes, vec![to("x.org")]),
    );
    mean(
        &["how much did we send to x.org"],
        &only(List::Bytes, vec![to("x.org")]),
    );
    let new = understood("is x.org new since 9:00").unwrap();
    assert!(new.new && new.list == List::Destinations, "{new:?}");
}

#[test]
fn words_that_add_nothing_and_other_words_for_the_same_are_understood() {
    mean(
        &[
            "show me all outbound connections on port 22",
            "list outgoing connections to port 22",
        ],
        &only(List::Each, vec![Only::Port(22)]),
    );
    mean(
        &[
            "number of connections to x.org",
            "count connections to x.org",
            "how many outgoing connections to x.org",
        ],
        &only(List::Count(Counted::Rows), vec![to("x.org")]),
    );
    mean(
        &[
            "which processes sent data to x.org",
            "which processes downloaded from x.org",
        ],
        &only(List::Actors(Actors::Processes), vec![to("x.org")]),
    );
    mean(
        &["connection failures", "failures", "failed connections"],
        &only(List::Each, vec![Only::Failed]),
    );
    mean(
        &[
            "which processes have open connections",
            "which processes have connections open",
        ],
        &only(List::Actors(Actors::Processes), vec![Only::Open]),
    );
    mean(
        &[
            "what is open to x.org",
            "open connections to x.org",
            "active connections to x.org",
        ],
        &only(List::Each, vec![Only::Open, to("x.org")]),
    );
    mean(
        &[
            "which processes use ipv6",
            "which processes connected over ipv6",
        ],
        &only(List::Actors(Actors::Processes), vec![Only::Family(6)]),
    );
    mean(
        &[
            "which processes connected to raw IPs",
            "which processes connected to IP addresses directly",
            "which processes connected without DNS",
        ],
        &only(List::Actors(Actors::Processes), vec![Only::To(Host::Raw)]),
    );
    mean(
        &["who hit x.org on port 443", "who hit x.org on 443"],
        &only(
            List::Actors(Actors::Users),
            vec![to("x.org"), Only::Port(443)],
        ),
    );
    mean(
        &[
            "which hosts refused connections",
            "which hosts were refused",
        ],
        &only(List::Destinations, vec![Only::Outcome("refused")]),
    );
    mean(
        &["how often did curl time out"],
        &only(
            List::Count(Counted::Rows),
            vec![Only::By(process("curl")), Only::Outcome("timeout")],
        ),
    );
    let below = Only::By(Subject::BelowProcess("make".to_owned()));
    mean(
        &[
            "what did children of make talk to",
            "what did everything under make talk to",
            "which hosts were contacted by processes started by make",
        ],
        &only(List::Destinations, vec![below]),
    );
    let last = |pick| Question {
        pick: Some(pick),
        ..only(List::Each, vec![Only::By(process("curl")), to("x.org")])
    };
    mean(
        &[
            "when was the last time curl hit x.org",
            "last time curl hit x.org",
        ],
        &last(Pick::Last(1)),
    );
    mean(
        &["when did curl first hit x.org", "first time curl hit x.org"],
        &last(Pick::First(1)),
    );
}
