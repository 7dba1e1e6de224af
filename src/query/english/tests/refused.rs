//! Questions that are refused.

use super::*;

#[test]
fn typo_is_answered_with_the_words_that_fit_there() {
    for (question, at, hint) in [
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
            "which lookups faild",
            "              ^^^^^",
            "did you mean: fail, failed, fails\n",
        ),
        ("which dns things", "          ^^^^^^", ""),
        (
            "when did curl hit 10.0.0.0/40",
            "                  ^^^^^^^^^^^",
            "the prefix of an IPv4 network is a number from 0 to 32\n",
        ),
        ("who hit x.org since soom", "                    ^^^^", "\"soom\" is not a valid time; try one of: 10m, 2h 30m ago, now, today, yesterday, 14:00, 2026-11-23, 2026-11-23 14:00, 2026-11-23T14:00:05Z
"),
        ("who hit", "       ^", ""),
        ("when did", "        ^", ""),
        ("who hit 'x.org", "        ^", ""),
    ] {
        let refused = refusal(question);
        let begins = format!("  {question}\n  {at} ");
        assert!(refused.starts_with(&begins), "{refused}");
        assert!(refused.ends_with(hint.trim_end()), "{refused}");
        assert_eq!(refused.lines().count(), 2, "{refused}");
    }
}

/// A short word, and one that could be two, are refused: above.
#[test]
fn typo_of_a_single_word_is_read_as_that_word() {
    for (question, right, typo, known) in [
        (
            "wich processes hit x.org",
            "which processes hit x.org",
            "wich",
            "which",
        ),
        (
            "which proceses hit x.org",
            "which processes hit x.org",
            "proceses",
            "processes",
        ),
        (
            "which processes hit raw adresses",
            "which processes hit raw addresses",
            "adresses",
            "addresses",
        ),
        (
            "who hit ips witout a name",
            "who hit ips without a name",
            "witout",
            "without",
        ),
        (
            "which naems were never contacted",
            "which names were never contacted",
            "naems",
            "names",
        ),
        (
            "conections from curl",
            "connections from curl",
            "conections",
            "connections",
        ),
    ] {
        let read = understood(question).unwrap();
        let correction = read.typed.correction.clone().unwrap();
        assert_eq!(correction.words, [(typo.to_owned(), known)], "{question}");
        assert_eq!(Ok(read), understood(right), "{question}");
    }
    // where the known word would be a name again, it says nothing
    for question in ["what did steam talk to", "who hit proceses"] {
        assert_eq!(understood(question).unwrap().typed.correction, None);
    }
}

#[test]
fn missing_part_is_named() {
    for (question, problem) in [
        ("", "there is no question"),
        ("who hit", "the question ends early; expected a host"),
        (
            "which",
            "the question ends early; expected processes, containers, pods, images, users, units, hosts, names, IPs, ports, connections or lookups",
        ),
        (
            "which names were resolved but",
            "the question ends early; expected \"never contacted\"",
        ),
        ("what did", "the question ends early; expected a name"),
        ("what did pid", "the question ends early; expected a pid"),
        (
            "what did curl",
            "the question ends early; expected \"hit\" or \"talked to\"",
        ),
        ("when", "the question ends early; expected \"did\""),
    ] {
        assert!(refusal(question).contains(problem), "{question}");
    }
}

#[test]
fn hostile_question_is_escaped_with_the_caret_in_place() {
    assert_eq!(
        refusal("who \u{202e}\x1b[2J x"),
        format!("  who \\u{{202e}}\\x1b[2J x\n      ^^^^^^^^^^^^^^^ is not understood; {FORMS}")
    );
}

#[test]
fn words_whose_order_was_changed_are_shown_where_they_stand() {
    let refused = refusal("of the what's by which");
    assert!(refused.lines().nth(1).unwrap().contains('^'), "{refused}");
}

#[test]
fn huge_question_is_refused_without_echoing_it() {
    assert_eq!(
        refusal(&"x".repeat(10_000)),
        format!("this question has 10000 characters; the limit is 1000; {FORMS}")
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_no_refusal_shows_a_control_character(question in any::<String>()) {
        if let Err(refused) = understood(&question) {
            let shown = refused.to_string();
            prop_assert!(shown.lines().all(|line| line.chars().all(crate::text::is_printable)));
        }
    }

    #[test]
    fn no_sequence_of_known_words_panics(
        words in prop::collection::vec(prop::sample::select(vec![
            "which", "what", "who", "when", "did", "the", "a", "process", "pid", "1", "container",
            "users", "hit", "talk", "to", "\"", "'x y'", "''", "x.org", "10.0.0.0/8", "?", "é",
            "raw", "ips", "without", "names", "never", "resolved", "dns", "lookups", "failed", "how", "many", "much", "top", "10", "last", "since", "between", "and", "today", "port", "443", "image", "unit", "by", "bytes", "in", "on", "tcp", "children", "of", "but", "look", "up", "named", "ask", "for", "was",
            "new", "seen", "per", "hour", "daily", "week", "monthly", "pod", "pids", "namespace", "its", "slowest", "started", "under", "is", "there", "without", "do", "anyone", "most", "open", "exactly", "public", "this", "or", "what's", "errors", "often", "internet", "using",
        ]), 0..9)
    ) {
        if let Err(refused) = understood(&words.join(" ")) {
            prop_assert!(refused.to_string().lines().count() <= 2);
        }
    }

    #[test]
    fn any_name_can_be_quoted(name in "[^\0]{1,40}") {
        let question = format!("what did '{}' talk to", name.replace('\'', "''"));
        prop_assert_eq!(understood(&question), Ok(connections(Projection::Destinations, vec![Predicate::By(process(&name))])));
    }
}
