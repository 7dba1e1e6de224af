//! What could be typed next: the parser reads the question up to there, and tells what it
//! would have taken.

use chrono::{DateTime, TimeZone};

use super::super::words::{self, Word};
use super::Only;
use super::parser::{HOLE, LONGEST, Naming, Parser};
use super::vocabulary::FILLERS;

/// What could follow.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Words of the grammar, sorted.
    pub words: Vec<&'static str>,
    /// Names of these.
    pub names: Option<Naming>,
}

/// What could follow `before` in a question asked at `now`, and begins with `typed`,
/// whatever the case. Where nothing is typed, one word of each meaning.
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
    let mut words = Vec::from_iter(words.filter(begins));
    words.sort_unstable();
    words.dedup();
    Expected {
        words,
        names: parser.naming,
    }
}

/// `name` as it is written after `before`: in quotes if it would mean something else
/// without them.
pub fn written<Tz: TimeZone>(before: &str, name: &str, now: &DateTime<Tz>) -> String {
    let quoted = format!("'{}'", name.replace('\'', "''"));
    let means = |name: &str| -> Option<Vec<Only>> { Some(read(before, Some(name), now)?.only) };
    match means(name) {
        Some(bare) if Some(&bare) == means(&quoted).as_ref() => name.to_owned(),
        _ => quoted,
    }
}

/// Reads a question up to what is still to be typed; none where there is more wrong than
/// that.
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
    words.push(Word {
        text: HOLE.to_owned(),
        quoted: true,
        at: end,
    });
    let hole = words.len() - 1;
    let mut parser = Parser::new(before, words, now);
    // It is refused at the hole, or it is not about the hole.
    let refused = parser.question().is_err();
    (refused && parser.next == hole).then_some(parser)
}
