//! Completion of egrets' command lines.

use chrono::Utc;
use clap::CommandFactory;

use super::*;
use crate::cli::Cli;

const HOSTS: [&str; 4] = ["example.com", "example.org", "exact\x1b[2J", "expect this"];

/// Completions of a line whose words are separated by `|`; the last one is being typed. Names
/// are these hosts, and programs called "today" and "curl".
fn after(line: &str) -> Vec<String> {
    let mut words = Vec::from_iter(line.split('|').map(str::to_owned));
    let typed = words.pop().unwrap();
    let mut program = Cli::command();
    program.build();
    let mut look_up = |_, kind, typed: &str| match kind {
        NameKind::Host => {
            let hosts = HOSTS.iter().filter(|host| host.starts_with(typed));
            hosts.map(|&host| host.to_owned()).collect()
        }
        NameKind::Process => vec!["today".to_owned(), "curl".to_owned()],
        NameKind::Connection if typed.starts_with('1') => vec!["17".to_owned(), "12".to_owned()],
        _ => vec![],
    };
    match complete(&program, &words, &typed, &Utc::now(), &mut look_up) {
        Completion::Words(found) => found.into_iter().map(|found| found.word).collect(),
        Completion::File => vec!["FILE".to_owned()],
    }
}

#[test]
fn commands_options_and_values_follow() {
    assert_eq!(after("qu"), ["query"]);
    assert_eq!(after("config|sh"), ["show"]);
    assert!(!after("").contains(&"complete-words".to_owned()));
    assert_eq!(after("query|--js"), ["--json"]);
    assert!(!after("query|--json|--").contains(&"--json".to_owned()));
    assert_eq!(after("export|--format|"), ["jsonl", "csv", "parquet"]);
    assert_eq!(after("export|--format=c"), ["--format=csv"]);
    assert_eq!(after("export|--split|"), ["day", "hour"]);
    assert_eq!(after("top|--si"), ["--since"]);
    assert_eq!(after("completions|"), ["bash", "zsh", "fish"]);
    for file in ["query|--db|", "export|-o|", "config|check|"] {
        assert_eq!(after(file), ["FILE"], "{file}");
    }
    for nothing in [
        "explain|",
        "query|--since|",
        "nonsense|",
        "query|--nonsense",
    ] {
        assert_eq!(after(nothing), [""; 0], "{nothing}");
    }
}

#[cfg(feature = "record")]
#[test]
fn recorder_options_and_files_follow() {
    assert_eq!(after("watch|--exclude|53|--excl"), ["--exclude"]);
    assert_eq!(after("check|--hooks|k"), ["kprobe"]);
    for file in ["record|--|c", "record|--db|a|--|"] {
        assert_eq!(after(file), ["FILE"], "{file}");
    }
}

#[test]
fn words_of_a_question_follow() {
    for command in ["query", "export", "report", "serve", "top"] {
        assert_eq!(after(&format!("{command}|whi")), ["which"], "{command}");
    }
    assert_eq!(after("query|which|proc"), ["process", "processes"]);
    assert_eq!(
        after("query|which|processes|res"),
        ["reset", "resolve", "resolved", "resolves", "resolving"]
    );
    assert_eq!(
        after("query|which names were resolved but n"),
        [
            "which names were resolved but never",
            "which names were resolved but not"
        ]
    );
    assert_eq!(after("query|--json|who|hit|x.org|sin"), ["since"]);
    assert_eq!(after("query|who|hit|x.org|since|yes"), ["yesterday"]);
    assert_eq!(after("export|what|did|co"), ["container", "containers"]);
    // one word per meaning before anything is typed
    let words = after("query|which|processes|");
    assert!(
        words.contains(&"hit".to_owned()) && !words.contains(&"hits".to_owned()),
        "{words:?}"
    );
    // nothing follows a mistake
    assert_eq!(after("query|which|proceses|hi"), [""; 0]);
    assert_eq!(after("query|'open|wh"), [""; 0]);
    assert_eq!(after(&format!("query|{}|hi", "x".repeat(2000))), [""; 0]);
}

#[test]
fn names_follow_where_names_are_expected() {
    assert_eq!(
        after("query|which|processes|hit|examp"),
        ["example.com", "example.org"]
    );
    assert_eq!(
        after("query|which processes hit examp"),
        [
            "which processes hit example.com",
            "which processes hit example.org"
        ]
    );
    let (no_break, wide) = ('\u{a0}', '\u{3000}');
    for blank in [no_break, wide] {
        assert_eq!(
            after(&format!("query|which processes hit{blank}example.o")),
            [format!("which processes hit{blank}example.org")]
        );
        after(&format!("query|which{blank}"));
    }
    // spaces need quotes, and escape sequences are not offered
    assert_eq!(after("query|who|hit|exp"), ["'expect this'"]);
    assert_eq!(after("query|who|hit|exact"), ["exactly"]);
    // a name that is also a word of the grammar
    assert_eq!(after("query|what|did|tod"), ["today", "'today'"]);
    assert_eq!(after("query|what|did|cu"), ["curl"]);
}

#[test]
fn what_the_history_has_comes_before_words_and_ids_follow_explain() {
    let programs = after("query|what|did|");
    assert_eq!(programs[..2], ["'today'", "curl"], "{programs:?}");
    let hosts = after("query|which|processes|hit|");
    assert_eq!(hosts[0], "example.com", "{hosts:?}");
    assert_eq!(after("explain|1"), ["17", "12"]);
    assert_eq!(after("explain|17|"), [""; 0]);
}
