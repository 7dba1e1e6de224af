//! Since when, until when, per hour, and what is new.

use super::*;

#[test]
fn times_are_understood() {
    let span = |since, until| Question {
        since,
        until,
        ..only(List::Actors(Actors::Users), vec![to("x.org")])
    };
    for (question, since, until) in [
        (
            "who hit x.org since yesterday",
            Some(TODAY - 24 * HOUR),
            None,
        ),
        ("who hit x.org today", Some(TODAY), None),
        (
            "who hit x.org yesterday",
            Some(TODAY - 24 * HOUR),
            Some(TODAY),
        ),
        ("who today hit x.org", Some(TODAY), None),
        (
            "who hit x.org in the last 2 hours",
            Some(NOW - 2 * HOUR),
            None,
        ),
        (
            "who hit x.org in the last 90s",
            Some(NOW - 90 * SECOND),
            None,
        ),
        ("who hit x.org in the past hour", Some(NOW - HOUR), None),
        ("who hit x.org since an hour ago", Some(NOW - HOUR), None),
        (
            "who hit x.org since 2h 30m ago",
            Some(NOW - 150 * MINUTE),
            None,
        ),
        ("who hit x.org before 9:00", None, Some(TODAY + 9 * HOUR)),
        (
            "who hit x.org between 9:00 and 10:30",
            Some(TODAY + 9 * HOUR),
            Some(TODAY + 10 * HOUR + 30 * MINUTE),
        ),
        (
            "who hit x.org on 2026-11-20",
            Some(TODAY - 72 * HOUR),
            Some(TODAY - 48 * HOUR),
        ),
        (
            "who hit x.org since 2026-11-20 14:00 until yesterday",
            Some(TODAY - 58 * HOUR),
            Some(TODAY - 24 * HOUR),
        ),
        ("who hit x.org since Sunday", Some(TODAY - 24 * HOUR), None),
        ("who hit x.org since monday", Some(TODAY), None),
        ("who hit x.org this week", Some(TODAY), None),
        (
            "who hit x.org since sunday at 9am",
            Some(TODAY - 15 * HOUR),
            None,
        ),
        (
            "who hit x.org from 9am to noon",
            Some(TODAY + 9 * HOUR),
            Some(TODAY + 12 * HOUR),
        ),
        (
            "who hit x.org from yesterday",
            Some(TODAY - 24 * HOUR),
            None,
        ),
    ] {
        mean(&[question], &span(since, until));
    }
}

#[test]
fn what_is_new_is_understood_in_many_words() {
    let new = |list, conditions, since| Question {
        since: Some(since),
        new: true,
        ..only(list, conditions)
    };
    let yesterday = TODAY - 24 * HOUR;
    mean(
        &[
            "which hosts are new since yesterday",
            "new domains since yesterday",
            "what new hosts are there since yesterday?",
            "list the new destinations since yesterday",
            "which hosts were never seen before yesterday",
            "which hosts have not been seen before yesterday",
            "which hosts were first seen since yesterday",
            "what's new since yesterday",
            "what is new since yesterday",
            "new since yesterday",
            "anything new since yesterday",
        ],
        &new(List::Destinations, vec![], yesterday),
    );
    mean(
        &[
            "what new hosts did curl hit today",
            "which hosts did curl hit that are new today",
            "new hosts contacted by curl today",
        ],
        &new(List::Destinations, vec![Only::By(process("curl"))], TODAY),
    );
    mean(
        &[
            "which programs are new since Monday",
            "new processes since monday",
        ],
        &new(List::Actors(Actors::Processes), vec![], TODAY),
    );
    mean(
        &["how many new IPs since 9:00"],
        &new(List::Count(Counted::Addresses), vec![], TODAY + 9 * HOUR),
    );
    mean(
        &["new names resolved by curl today"],
        &Question {
            from: From::Lookups,
            ..new(List::Destinations, vec![Only::By(process("curl"))], TODAY)
        },
    );
    mean(
        &["who hit new"],
        &only(List::Actors(Actors::Users), vec![to("new")]),
    );
    assert!(refusal("which hosts are new").contains("new since when"));
    assert!(refusal("new hosts per hour today").contains("what is new"));
}

#[test]
fn what_is_asked_per_hour_is_understood_in_many_words() {
    let per = |per, question| Question {
        per: Some(per),
        ..question
    };
    let count = |counted, conditions| only(List::Count(counted), conditions);
    mean(
        &[
            "connections per hour",
            "how many connections per hour",
            "which connections each hour",
            "connections by hour",
            "hourly connections",
            "how many connections in each hour",
        ],
        &per(Per::Hour, count(Counted::Rows, vec![])),
    );
    let by_curl = || vec![Only::By(process("curl"))];
    mean(
        &[
            "how much did curl send per day",
            "how much data per day did curl send",
            "how much did curl send daily",
            "traffic per day by curl",
        ],
        &per(Per::Day, only(List::Bytes, by_curl())),
    );
    mean(
        &[
            "hosts per minute by curl",
            "how many hosts did curl reach every minute",
        ],
        &per(Per::Minute, count(Counted::Hosts, by_curl())),
    );
    mean(
        &["which processes hit x.org per day"],
        &per(
            Per::Day,
            only(List::Actors(Actors::Processes), vec![to("x.org")]),
        ),
    );
    mean(
        &[
            "failed lookups per hour",
            "how many lookups failed per hour",
        ],
        &per(
            Per::Hour,
            lookups(List::Count(Counted::Rows), vec![Only::Failed]),
        ),
    );
    mean(
        &[
            "connections per week",
            "weekly connections",
            "connections by week",
        ],
        &per(Per::Week, count(Counted::Rows, vec![])),
    );
    mean(
        &["traffic per month by curl", "monthly traffic by curl"],
        &per(Per::Month, only(List::Bytes, by_curl())),
    );
    assert!(refusal("connections per fortnight").contains("    ^^^^"));
    assert!(refusal("connections per huor").contains("did you mean: hour\n"));
}

#[test]
fn the_most_of_each_hour_are_understood() {
    let top = |pick, list, conditions| Question {
        pick: Some(pick),
        per: Some(Per::Hour),
        ..only(list, conditions)
    };
    mean(
        &[
            "top 3 hosts per hour",
            "which top 3 hosts each hour",
            "hourly top 3 hosts",
        ],
        &top(Pick::Most(3), List::Destinations, vec![]),
    );
    let processes = List::Actors(Actors::Processes);
    mean(
        &["top 5 processes by bytes per hour to x.org"],
        &top(Pick::MostBytes(5), processes, vec![to("x.org")]),
    );
    assert!(refusal("last 3 hosts per hour").contains("can't pick"));
    assert!(refusal("top 3 connections per hour").contains("is of hosts"));
}
