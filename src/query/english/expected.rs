//! Completion: the parser reads the question up to the cursor and reports what it would
//! have accepted there.

use chrono::{DateTime, TimeZone};

use super::idioms;
use super::parser::{HOLE, LONGEST, NameKind, Parser};
use super::vocabulary::FILLERS;
use super::words::{self, Word};
use crate::query::ast::Predicate;

/// What can follow.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Words of the grammar, sorted.
    pub words: Vec<&'static str>,
    /// The kind of name that can stand there, if one can.
    pub names: Option<NameKind>,
}

/// What can follow `before`, in a question at `now`, and starts with `typed`, ignoring case.
/// If nothing is typed yet, one word per meaning.
pub fn expected<Tz: TimeZone>(before: &str, typed: &str, now: &DateTime<Tz>) -> Expected {
    let Some(parser) = read(before, None, now) else {
        return Expected::default();
    };
    let shown = if typed.is_empty() { 1 } else { usize::MAX };
    let begins = |word: &&'static str| {
        let beginning = word.get(..typed.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(typed))
    };
    let said = parser.tried.iter().filter(|&&words| words != FILLERS);
    let words = said.flat_map(|words| words.iter().take(shown).copied());
    // Words with a hyphen are what idioms become: not what people type.
    let offered = words.filter(|word| !word.contains('-') && *word != ">" && *word != "<");
    let mut words = Vec::from_iter(offered.filter(begins));
    words.sort_unstable();
    words.dedup();
    Expected {
        words,
        names: parser.naming,
    }
}

/// How to write `name` after `before`: in quotes if it would mean something else without
/// them.
pub fn written<Tz: TimeZone>(before: &str, name: &str, now: &DateTime<Tz>) -> String {
    let quoted = format!("'{}'", name.replace('\'', "''"));
    let means =
        |name: &str| -> Option<Vec<Predicate>> { Some(read(before, Some(name), now)?.predicates) };
    match means(name) {
        Some(bare) if Some(&bare) == means(&quoted).as_ref() => name.to_owned(),
        _ => quoted,
    }
}

/// Parses a question that ends where the next word is to be typed; none if it is wrong
/// before that.
fn read<'a, Tz: TimeZone>(
    before: &'a str,
    name: Option<&str>,
    now: &'a DateTime<Tz>,
) -> Option<Parser<'a, Tz>> {
    if before.chars().count() > LONGEST || before.contains(HOLE) {
        return None;
    }
    let mut words = words::split(before).ok()?;
    let end = before.len()..before.len();
    for word in words::split(name.unwrap_or_default()).ok()? {
        words.push(Word {
            at: end.clone(),
            ..word
        });
    }
    let mut words = idioms::replace(words).words;
    words.push(Word {
        text: HOLE.to_owned(),
        quoted: true,
        at: end,
    });
    let hole = words.len() - 1;
    let mut parser = Parser::new(before, words, now);
    // Refused at the hole: everything before it was accepted.
    let refused = parser.question().is_err();
    (refused && parser.next == hole).then_some(parser)
}
