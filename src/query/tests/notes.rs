//! What stands beside an answer, and the times asked about.

use super::super::fixture::{History, NOW, SECOND, request};
use super::*;

#[test]
fn what_is_missing_from_an_answer_is_noted() {
    let history = history();
    history.lose("tcp", 120, NOW - 10 * SECOND, NOW);
    let (out, notes) = history.ask(
        "who hit example.com",
        Format::Table,
        Some(NOW - 7200 * SECOND),
    );
    assert_eq!(out.lines().count(), 3);
    assert_eq!(
        notes,
        "\n2 users, 5 connections\n\
         note: not recording for 1h of this span\n\
         note: 120 tcp events lost in this span\n"
    );
}

#[test]
fn people_are_told_how_long_it_took_and_programs_are_not() {
    let notes = |question, format| {
        let mut request = request(question, format, None);
        request.begun = Instant::now().checked_sub(Duration::from_secs(7200));
        let mut notes = Vec::new();
        request
            .run(&history().0, &mut Vec::new(), &mut notes)
            .unwrap();
        String::from_utf8(notes).unwrap()
    };
    assert_eq!(
        notes("when did curl hit example.com", Format::Table),
        "\n3 connections; took 2h\n"
    );
    let nothing = notes("who hit nowhere.org", Format::Table);
    assert!(nothing.ends_with("(UTC); took 2h\n"), "{nothing}");
    for format in [Format::Json, Format::Csv] {
        assert_eq!(notes("when did curl hit example.com", format), "");
    }
}

#[test]
fn nothing_found_says_whether_egrets_was_watching() {
    let nothing = |history: &History, since: i64| {
        let (out, notes) = history.ask(
            "who hit nowhere.org",
            Format::Table,
            Some(NOW - since * SECOND),
        );
        assert_eq!(out, "");
        notes
    };
    let watched = History::recording();
    assert_eq!(
        nothing(&watched, 60),
        "nothing found: egrets was watching all the time \
         from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)\n"
    );
    assert_eq!(
        nothing(&watched, 7200),
        "nothing found, but egrets was not seeing everything \
         from 2026-11-23 12:00:00 to 2026-11-23 14:00:00 (UTC)\n\
         note: not recording for 1h of this span\n"
    );
    let ended = History::new();
    ended.record(
        NOW - 7200 * SECOND,
        Some(NOW - 3600 * SECOND),
        NOW - 3600 * SECOND,
    );
    assert_eq!(
        nothing(&ended, 60),
        "nothing found: egrets was not recording \
         from 2026-11-23 13:59:00 to 2026-11-23 14:00:00 (UTC)\n"
    );
    assert_eq!(
        nothing(&History::new(), 60),
        "nothing found: this history holds no recording\n"
    );
}

#[test]
fn a_span_that_ends_before_it_begins_is_refused() {
    let mut request = request("who hit x.org", Format::Table, Some(NOW));
    let run = |request: &Request<Utc>| {
        request.run(&History::recording().0, &mut Vec::new(), &mut Vec::new())
    };
    assert!(run(&request).is_err());
    request.until = Some(NOW + 1);
    assert_eq!(run(&request).ok(), Some(false));
}

#[test]
fn a_history_without_the_view_says_how_to_bring_it_up_to_date() {
    let old = History::of_version(2);
    let run = |question| {
        request(question, Format::Table, None).run(&old.0, &mut Vec::new(), &mut Vec::new())
    };
    let refused = run("what did curl resolve").unwrap_err().to_string();
    assert!(refused.contains("brings it up to date"), "{refused}");
    for question in [
        "what did children of bash talk to",
        "who hit x.org by children of bash",
    ] {
        let refused = run(question).unwrap_err().to_string();
        assert!(
            refused.contains("descendants yet") && refused.contains("brings it up to date"),
            "{refused}"
        );
    }
    assert_eq!(run("what did curl talk to").ok(), Some(false));
    let without_lookups = History::of_version(3);
    let (out, _) = without_lookups.ask("what did children of bash hit", Format::Table, None);
    assert_eq!(out, "");
}

#[test]
fn the_times_of_a_question_and_of_the_command_line_both_hold() {
    let history = history();
    let lines = |question, since| history.ask(question, Format::Json, since).0.lines().count();
    assert_eq!(lines("when did curl hit example.com", None), 3);
    assert_eq!(
        lines("when did curl hit example.com in the last 45s", None),
        1
    );
    let since = Some(NOW - 60 * SECOND);
    assert_eq!(lines("when did curl hit example.com since 2h", since), 2);
}
