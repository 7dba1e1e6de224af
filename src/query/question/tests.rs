use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::super::fixture::{NOW, SECOND};
use super::super::refusal::{FORMS, NotUnderstood};
use super::*;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2026-11-23T00:00:00Z, a Monday.
const TODAY: i64 = NOW - 14 * HOUR;

fn understood(question: &str) -> Result<Question, NotUnderstood> {
    parse(question, &DateTime::<Utc>::from_timestamp_nanos(NOW))
}

fn only(list: List, only: Vec<Only>) -> Question {
    Question {
        list,
        from: From::Connections,
        only,
        since: None,
        until: None,
        pick: None,
    }
}

fn lookups(list: List, conditions: Vec<Only>) -> Question {
    Question {
        from: From::Lookups,
        ..only(list, conditions)
    }
}

fn domain(name: &str) -> Host {
    Host::Domain(name.to_owned())
}

fn to(name: &str) -> Only {
    Only::To(domain(name))
}

fn process(name: &str) -> Subject {
    Subject::Process(name.to_owned())
}

fn refusal(question: &str) -> String {
    let shown = understood(question).unwrap_err().to_string();
    shown.strip_suffix(FORMS).unwrap().to_owned()
}

/// Each question means the same.
fn mean(questions: &[&str], meaning: &Question) {
    for question in questions {
        assert_eq!(understood(question).as_ref(), Ok(meaning), "{question}");
    }
}

#[test]
fn who_hit_a_host_is_understood_in_many_words() {
    let hit = |actors| only(List::Actors(actors), vec![to("example.com")]);
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
    mean(
        &["WHO CALLED example.com", "which user contacted example.com"],
        &hit(Actors::Users),
    );
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
fn what_someone_talked_to_is_understood() {
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
        mean(&[question], &only(List::Destinations, vec![Only::By(of)]));
    }
}

#[test]
fn when_and_what_else_happened_is_understood() {
    let by_curl = || Only::By(process("curl"));
    mean(
        &[
            "when did curl hit example.com",
            "which connections did curl make to example.com",
            "list connections from curl to example.com",
        ],
        &only(List::Each, vec![by_curl(), to("example.com")]),
    );
    mean(
        &["when was example.com contacted by curl"],
        &only(List::Each, vec![to("example.com"), by_curl()]),
    );
    let first = Question {
        pick: Some(Pick::First(1)),
        ..only(List::Each, vec![by_curl(), to("example.com")])
    };
    mean(&["when did curl first hit example.com"], &first);
    mean(
        &["which IPs did curl reach"],
        &only(List::Addresses, vec![by_curl()]),
    );
    mean(
        &["which ports did curl connect to"],
        &only(List::Ports, vec![by_curl()]),
    );
    mean(
        &[
            "how much did curl send to example.com",
            "how much data did curl send to example.com",
        ],
        &only(List::Bytes, vec![by_curl(), to("example.com")]),
    );
    mean(
        &["how many connections did curl make on port 443 over tcp"],
        &only(
            List::Count(Counted::Rows),
            vec![by_curl(), Only::Port(443), Only::Protocol("tcp")],
        ),
    );
    mean(
        &["which failed connections", "which connections failed"],
        &only(List::Each, vec![Only::Failed]),
    );
    mean(
        &["which connections timed out"],
        &only(List::Each, vec![Only::Outcome("timeout")]),
    );
    mean(
        &["which connections were named by host"],
        &only(List::Each, vec![Only::Source("host")]),
    );
}

#[test]
fn the_most_are_picked() {
    let top = |pick| Question {
        pick: Some(pick),
        ..only(List::Destinations, vec![])
    };
    mean(
        &["top 10 hosts", "show the top hosts"],
        &top(Pick::Most(10)),
    );
    mean(&["top 3 hosts by bytes"], &top(Pick::MostBytes(3)));
}

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
    ] {
        mean(&[question], &span(since, until));
    }
}

#[test]
fn raw_addresses_are_a_host_in_many_words() {
    let hit = |actors| only(List::Actors(actors), vec![Only::To(Host::Raw)]);
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
            "which users reached the addresses without any hostname",
        ],
        &hit(Actors::Users),
    );
    mean(
        &["when did curl hit raw IPs"],
        &only(
            List::Each,
            vec![Only::By(process("curl")), Only::To(Host::Raw)],
        ),
    );
}

#[test]
fn the_words_for_raw_addresses_can_be_names() {
    for name in ["raw", "ips", "bare", "address", "a"] {
        let meaning = only(List::Actors(Actors::Users), vec![to(name)]);
        mean(&[&format!("who hit {name}?")], &meaning);
    }
    mean(
        &["who hit 'raw ips'"],
        &only(List::Actors(Actors::Users), vec![to("raw ips")]),
    );
}

#[test]
fn what_became_of_lookups_is_understood() {
    mean(
        &[
            "which names were resolved but never contacted",
            "which names have been looked up and not connected to?",
            "what hosts were asked for but never reached",
            "which domains were never contacted",
        ],
        &lookups(List::NeverContacted, vec![]),
    );
    mean(
        &[
            "which lookups failed",
            "Which DNS queries have failed?",
            "what lookups failed",
            "which names failed to resolve",
        ],
        &lookups(List::FailedLookups, vec![Only::Failed]),
    );
}

#[test]
fn who_asked_for_what_is_understood() {
    mean(
        &[
            "which processes resolved example.com",
            "what looked up example.com",
            "which programs asked for example.com",
        ],
        &lookups(List::Actors(Actors::Processes), vec![to("example.com")]),
    );
    let unit = Subject::Unit("nginx.service".to_owned());
    mean(
        &[
            "what did unit nginx.service resolve",
            "which names did the unit nginx.service look up",
        ],
        &lookups(List::Destinations, vec![Only::By(unit)]),
    );
    mean(
        &["how many lookups did curl make"],
        &lookups(List::Count(Counted::Rows), vec![Only::By(process("curl"))]),
    );
    assert!(refusal("which processes resolved 10.0.0.1").contains("of a name"));
    assert!(refusal("which processes resolved x.org on port 53").contains("no port"));
}

#[test]
fn a_slip_is_answered_with_the_words_that_would_have_fitted_there() {
    for (question, at, hint) in [
        ("wich processes hit x.org", "^^^^", "did you mean: which\n"),
        (
            "which proceses hit x.org",
            "      ^^^^^^^^",
            "did you mean: process, processes\n",
        ),
        (
            "what did curl tlak to",
            "              ^^^^",
            "did you mean: talk\n",
        ),
        (
            "what did pid curl hit",
            "             ^^^^",
            "a pid is a number\n",
        ),
        (
            "which processes hit raw adresses",
            "                        ^^^^^^^^",
            "did you mean: addresses\n",
        ),
        (
            "who hit ips witout a name",
            "            ^^^^^^",
            "did you mean: without\n",
        ),
        (
            "which naems were never contacted",
            "      ^^^^^",
            "did you mean: names\n",
        ),
        (
            "which names were resolved but nevr contacted",
            "                              ^^^^",
            "did you mean: never\n",
        ),
        (
            "which lookups faild",
            "              ^^^^^",
            "did you mean: fail, failed\n",
        ),
        ("which dns servers", "          ^^^^^^^", ""),
        (
            "when did curl hit 10.0.0.0/40",
            "                  ^^^^^^^^^^^",
            "the prefix of an IPv4 network is a number from 0 to 32\n",
        ),
        ("who hit x.org since soom", "                    ^^^^", "\"soom\" is not a time I know; try one of: 10m, 2h 30m ago, now, today, yesterday, 14:00, 2026-11-23, 2026-11-23 14:00, 2026-11-23T14:00:05Z
"),
        ("who hit", "       ^", ""),
        ("when did", "        ^", ""),
        ("who hit 'x.org", "        ^", ""),
    ] {
        let (_, rest) = refusal(question)
            .split_once('\n')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert_eq!(rest, format!("  {question}\n  {at}\n{hint}"));
    }
}

#[test]
fn what_is_missing_is_named() {
    for (question, problem) in [
        ("", "there is no question\n"),
        ("who hit", "this question ends where I expected a host:\n"),
        (
            "which",
            "this question ends where I expected processes, containers, images, users, units, hosts, names, IPs, ports, connections or lookups:\n",
        ),
        (
            "which names were resolved but",
            "this question ends where I expected \"never contacted\":\n",
        ),
        ("what did", "this question ends where I expected a name:\n"),
        (
            "what did pid",
            "this question ends where I expected a pid:\n",
        ),
        (
            "what did curl",
            "this question ends where I expected \"hit\" or \"talked to\":\n",
        ),
        ("when", "this question ends where I expected \"did\":\n"),
    ] {
        assert!(refusal(question).starts_with(problem), "{question}");
    }
}

#[test]
fn a_hostile_question_is_echoed_harmless_with_the_caret_in_place() {
    assert_eq!(
        refusal("who \u{202e}\x1b[2J x"),
        "I don't understand \"\\u{202e}\\x1b[2J\" in this question:\n  \
         who \\u{202e}\\x1b[2J x\n      ^^^^^^^^^^^^^^^\n"
    );
}

#[test]
fn a_huge_question_is_refused_without_an_echo() {
    assert_eq!(
        refusal(&"x".repeat(10_000)),
        "this question has 10000 characters; I read at most 1000\n"
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_no_refusal_shows_a_raw_control(question in any::<String>()) {
        if let Err(refused) = understood(&question) {
            let shown = refused.to_string();
            prop_assert!(shown.lines().all(|line| line.chars().all(crate::text::is_printable)));
        }
    }

    #[test]
    fn no_row_of_known_words_panics(
        words in prop::collection::vec(prop::sample::select(vec![
            "which", "what", "who", "when", "did", "the", "a", "process", "pid", "1", "container",
            "users", "hit", "talk", "to", "\"", "'x y'", "''", "x.org", "10.0.0.0/8", "?", "é",
            "raw", "ips", "without", "names", "never", "resolved", "dns", "lookups", "failed", "how", "many", "much", "top", "10", "last", "since", "between", "and", "today", "port", "443", "image", "unit", "by", "bytes", "in", "on", "tcp", "children", "of", "but", "look", "up", "named", "ask", "for", "was",
        ]), 0..9)
    ) {
        if let Err(refused) = understood(&words.join(" ")) {
            prop_assert!(refused.to_string().contains("I know questions like these"));
        }
    }

    #[test]
    fn any_name_can_be_asked_about_in_quotes(name in "[^\0]{1,40}") {
        let question = format!("what did '{}' talk to", name.replace('\'', "''"));
        prop_assert_eq!(understood(&question), Ok(only(List::Destinations, vec![Only::By(process(&name))])));
    }
}
