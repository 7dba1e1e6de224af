//! Since when, until when, per hour, and what is new.

use super::*;

#[test]
fn times_are_understood() {
    let span = |since, until| Question {
        since,
        until,
        ..connections(Projection::Actors(Actors::Processes), vec![to("x.org")])
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
            "who hit x.org last night",
            Some(TODAY - 6 * HOUR),
            Some(TODAY + 6 * HOUR),
        ),
        (
            "who hit x.org overnight",
            Some(TODAY - 6 * HOUR),
            Some(TODAY + 6 * HOUR),
        ),
        (
            "who hit x.org this morning",
            Some(TODAY + 6 * HOUR),
            Some(TODAY + 12 * HOUR),
        ),
        (
            "who hit x.org yesterday evening",
            Some(TODAY - 6 * HOUR),
            Some(TODAY),
        ),
        (
            "who hit x.org tonight",
            Some(TODAY + 18 * HOUR),
            Some(TODAY + 30 * HOUR),
        ),
        (
            "who hit x.org in the last week",
            Some(NOW - 7 * 24 * HOUR),
            None,
        ),
        (
            "who hit x.org from the last week",
            Some(NOW - 7 * 24 * HOUR),
            None,
        ),
        (
            "who hit x.org since this morning",
            Some(TODAY + 6 * HOUR),
            None,
        ),
        (
            "who hit x.org at 3am",
            Some(TODAY + 150 * MINUTE),
            Some(TODAY + 210 * MINUTE),
        ),
        // not yet today
        (
            "who hit x.org at 23:10",
            Some(TODAY - 55 * MINUTE),
            Some(TODAY - 45 * MINUTE),
        ),
        (
            "who hit x.org around 10:53",
            Some(TODAY + 648 * MINUTE),
            Some(TODAY + 658 * MINUTE),
        ),
        (
            "who hit x.org at 3am yesterday",
            Some(TODAY - 24 * HOUR + 150 * MINUTE),
            Some(TODAY - 24 * HOUR + 210 * MINUTE),
        ),
        (
            "who hit x.org yesterday at 3am",
            Some(TODAY - 24 * HOUR + 150 * MINUTE),
            Some(TODAY - 24 * HOUR + 210 * MINUTE),
        ),
        (
            "who hit x.org from yesterday on",
            Some(TODAY - 24 * HOUR),
            None,
        ),
        (
            "who hit x.org from yesterday",
            Some(TODAY - 24 * HOUR),
            Some(TODAY),
        ),
    ] {
        mean(&[question], &span(since, until));
    }
    // Monday to Monday, which the answer says: the past 7 days could be meant
    let last_week = Question {
        loose: true,
        ..span(Some(TODAY - 7 * 24 * HOUR), Some(TODAY))
    };
    mean(
        &["who hit x.org last week", "who hit x.org during last week"],
        &last_week,
    );
}

#[test]
fn new_is_understood_in_many_words() {
    let new = |list, conditions, since| Question {
        since: Some(since),
        new: true,
        ..connections(list, conditions)
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
        &new(Projection::Destinations, vec![], yesterday),
    );
    mean(
        &[
            "what new hosts did curl hit today",
            "which hosts did curl hit that are new today",
            "new hosts contacted by curl today",
        ],
        &new(
            Projection::Destinations,
            vec![Predicate::By(process("curl"))],
            TODAY,
        ),
    );
    mean(
        &[
            "which programs are new since Monday",
            "new processes since monday",
        ],
        &new(Projection::Actors(Actors::Processes), vec![], TODAY),
    );
    mean(
        &["how many new IPs since 9:00"],
        &new(
            Projection::Count(Counted::Addresses),
            vec![],
            TODAY + 9 * HOUR,
        ),
    );
    mean(
        &["new names resolved by curl today"],
        &Question {
            relation: Relation::Lookups,
            ..new(
                Projection::Destinations,
                vec![Predicate::By(process("curl"))],
                TODAY,
            )
        },
    );
    mean(
        &["who hit new"],
        &connections(Projection::Actors(Actors::Processes), vec![to("new")]),
    );
    assert!(refusal("which hosts are new").contains("new since yesterday"));
    assert!(refusal("new hosts per hour today").contains("can't be split"));
}

#[test]
fn buckets_are_understood_in_many_words() {
    let per = |per, question| Question {
        bucket: Some(per),
        ..question
    };
    let count = |counted, conditions| connections(Projection::Count(counted), conditions);
    mean(
        &[
            "connections per hour",
            "how many connections per hour",
            "which connections each hour",
            "connections by hour",
            "hourly connections",
            "how many connections in each hour",
        ],
        &per(Bucket::Hour, count(Counted::Rows, vec![])),
    );
    let by_curl = || vec![Predicate::By(process("curl"))];
    mean(
        &[
            "how much did curl send per day",
            "how much data per day did curl send",
            "how much did curl send daily",
        ],
        &per(Bucket::Day, connections(Projection::Sent, by_curl())),
    );
    mean(
        &["traffic per day by curl"],
        &per(Bucket::Day, connections(Projection::Bytes, by_curl())),
    );
    mean(
        &[
            "hosts per minute by curl",
            "how many hosts did curl reach every minute",
        ],
        &per(Bucket::Minute, count(Counted::Hosts, by_curl())),
    );
    mean(
        &["which processes hit x.org per day"],
        &per(
            Bucket::Day,
            connections(Projection::Actors(Actors::Processes), vec![to("x.org")]),
        ),
    );
    mean(
        &[
            "failed lookups per hour",
            "how many lookups failed per hour",
        ],
        &per(
            Bucket::Hour,
            lookups(Projection::Count(Counted::Rows), vec![Predicate::Failed]),
        ),
    );
    mean(
        &[
            "connections per week",
            "weekly connections",
            "connections by week",
        ],
        &per(Bucket::Week, count(Counted::Rows, vec![])),
    );
    mean(
        &["traffic per month by curl", "monthly traffic by curl"],
        &per(Bucket::Month, connections(Projection::Bytes, by_curl())),
    );
    assert!(refusal("connections per fortnight").contains("    ^^^^"));
    assert!(refusal("connections per huor").contains("did you mean: hour"));
}

#[test]
fn rankings_within_buckets_are_understood() {
    let top = |pick, list, conditions| Question {
        ranking: Some(pick),
        bucket: Some(Bucket::Hour),
        ..connections(list, conditions)
    };
    mean(
        &[
            "top 3 hosts per hour",
            "which top 3 hosts each hour",
            "hourly top 3 hosts",
        ],
        &top(Ranking::Most(3), Projection::Destinations, vec![]),
    );
    let processes = Projection::Actors(Actors::Processes);
    mean(
        &["top 5 processes by bytes per hour to x.org"],
        &top(Ranking::MostBytes(5), processes, vec![to("x.org")]),
    );
    assert!(refusal("last 3 hosts per hour").contains("can't be split"));
    assert!(refusal("top 3 connections per hour").contains("needs hosts"));
}
