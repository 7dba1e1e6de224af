//! Questions that the grammar does not understand as they stand: read by their facets, or
//! refused with the nearest one that it understands.

use std::ops::Range;

use chrono::{DateTime, TimeZone};

use super::facets::{self, Leftover};
use super::idioms;
use super::parser::{commas, understood};
use super::refusal::NotUnderstood;
use super::spoken;
use super::vocabulary::*;
use super::words::{self, Word};
use crate::query::ast::{Question, Typed};

/// Whether a word for what is listed was read as a name.
pub(super) fn has_grammar_as_name(read: &Question) -> bool {
    let listed = [CONNECTIONS, LOOKUPS, ERRORS, RESTRICTING_NOTHING];
    let is_listed = |name: &str| {
        let mut words = listed.iter().copied().flatten();
        words.any(|one| name.eq_ignore_ascii_case(one))
    };
    read.typed.names.iter().any(|(name, _)| is_listed(name))
}

/// Whether the word that was refused is read as a name: a typo is likelier.
pub(super) fn names_refused(read: &Question, refused: &NotUnderstood) -> bool {
    let Some((_, at)) = &refused.place else {
        return false;
    };
    read.typed.names.iter().any(|(_, name)| name == at)
}

/// Words that a question begins with that goes on from another one.
const FOLLOWING: Words = &["and", "same", "ditto", "or"];

/// The refusal of a question that goes on from another one: "and for udp?"
pub(super) fn follows_up<Tz: TimeZone>(
    question: &str,
    words: &[Word],
    now: &DateTime<Tz>,
) -> Option<NotUnderstood> {
    let first = words.first().filter(|first| !first.quoted)?;
    let follows = FOLLOWING
        .iter()
        .any(|one| first.text.eq_ignore_ascii_case(one));
    if !follows || words.len() < 2 {
        return None;
    }
    let alone =
        proposed(&words[1..], now).map_or_else(String::new, |alone| format!("; nearest: {alone}"));
    Some(NotUnderstood {
        problem: String::new(),
        place: Some((question.to_owned(), first.at.clone())),
        hint: Some(format!("each question is answered by itself{alone}")),
    })
}

/// A question in another order than that of the grammar.
pub(super) fn by_facets<Tz: TimeZone>(
    question: &str,
    words: &[Word],
    now: &DateTime<Tz>,
) -> Option<Question> {
    let replaced = idioms::replace(words.to_vec()).words;
    // what is new needs a time, and is not listed beside anything else
    let new = |word: &Word| NEW.iter().any(|one| word.text.eq_ignore_ascii_case(one));
    if replaced.iter().any(new) {
        return None;
    }
    let read = [&*replaced, words].into_iter().find_map(|words| {
        let spelled_out = facets::spelled_out(words, now, Leftover::Refused)?;
        if idioms::replace(spelled_out.clone()).refused.is_some() {
            return None;
        }
        understood(question, spelled_out, now).ok()
    })?;
    let typed = Typed {
        doubtful: true,
        ..read.typed
    };
    Some(Question {
        loose: true,
        typed,
        ..read
    })
}

/// A question of the grammar from what is understood of these words, to be proposed.
pub(super) fn proposed<Tz: TimeZone>(words: &[Word], now: &DateTime<Tz>) -> Option<String> {
    let spelled_out = facets::spelled_out(words, now, Leftover::LeftOut)?;
    let written = |word: &Word| match word.quoted {
        true => format!("'{}'", word.text.replace('\'', "''")),
        false => word.text.clone(),
    };
    let text = Vec::from_iter(spelled_out.iter().map(written)).join(" ");
    is_grammatical(&text, now).then_some(text)
}

/// How a refusal begins of what egrets has no opinion about.
const JUDGES_NOTHING: &str = "egrets does not judge";

/// Why words can't be answered, and what can be asked without them: "anything weird on port
/// 4444" is "connections on port 4444".
pub(super) fn judged_without<Tz: TimeZone>(
    words: &[Word],
    at: &Range<usize>,
    why: &str,
    now: &DateTime<Tz>,
) -> String {
    let outside = |word: &&Word| word.at.end <= at.start || word.at.start >= at.end;
    let rest = Vec::from_iter(words.iter().filter(outside).cloned());
    let known = why.split_once("; nearest: ");
    let known = known.filter(|(why, _)| why.starts_with(JUDGES_NOTHING));
    match known.and_then(|(why, _)| Some((why, proposed(&rest, now)?))) {
        Some((why, question)) => format!("{why}; nearest: \"{question}\""),
        None => why.to_owned(),
    }
}

/// Whether a question is understood as it stands.
pub(super) fn is_grammatical<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> bool {
    let words = words::split(text).map(|words| spoken::normalize(commas(words)));
    let read = words
        .ok()
        .filter(|words| idioms::replace(words.clone()).refused.is_none());
    let read = read.and_then(|words| understood(text, words, now).ok());
    read.is_some_and(|read| !read.loose)
}
