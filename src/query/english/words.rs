//! Splitting a question into words, and suggesting known words for an unknown one.

use std::ops::Range;

/// One word of a question and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Written in quotes: always a name.
    pub quoted: bool,
    /// Its byte range in the question, quotes included.
    pub at: Range<usize>,
}

impl Word {
    /// Whether it is one of the known words; in quotes it is none.
    pub fn is_one_of(&self, known: &[&str]) -> bool {
        !self.quoted && known.iter().any(|one| self.text.eq_ignore_ascii_case(one))
    }
}

/// Splits a question at whitespace. Text in `"…"` or `'…'` is one word, in which the quote
/// itself is doubled. A question mark at the end is dropped.
///
/// # Errors
///
/// The byte offset of a quote that is never closed.
pub fn split(question: &str) -> Result<Vec<Word>, usize> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(skip) = question[at..].find(|c: char| !c.is_whitespace()) {
        let start = at + skip;
        let word = match question[start..].chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(question, start, quote).ok_or(start)?,
            _ => bare(question, start),
        };
        at = word.at.end;
        words.push(word);
    }
    if let Some(last) = words.last_mut().filter(|last| !last.quoted) {
        let kept = last.text.trim_end_matches('?').len();
        last.text.truncate(kept);
        last.at.end = last.at.start + kept;
    }
    words.retain(|word| word.quoted || !word.text.is_empty());
    Ok(words)
}

/// The quoted word that starts at `start`; none if the quote is never closed.
fn quoted(question: &str, start: usize, quote: char) -> Option<Word> {
    let mut text = String::new();
    let mut rest = question[start..].char_indices().skip(1).peekable();
    while let Some((offset, c)) = rest.next() {
        if c == quote && rest.next_if(|&(_, next)| next == quote).is_none() {
            return Some(Word {
                text,
                quoted: true,
                at: start..start + offset + 1,
            });
        }
        text.push(c);
    }
    None
}

/// The unquoted word that starts at `start`.
fn bare(question: &str, start: usize) -> Word {
    let rest = &question[start..];
    let text = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
    Word {
        text: text.to_owned(),
        quoted: false,
        at: start..start + text.len(),
    }
}

/// Whether a word is too short to tell a name from a typo.
pub fn is_short(word: &str) -> bool {
    word.chars().count() < 2
}

/// The known words that `word` is most likely a typo of. At most a third of its letters may
/// be wrong; an insertion, deletion, substitution or swap of neighbours counts as one.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let typos = (word.chars().count() / 3).clamp(1, 3);
    let mut near = known
        .iter()
        .map(|&known| (strsim::osa_distance(&word, known), known))
        .filter(|&(distance, _)| distance <= typos)
        .collect::<Vec<_>>();
    near.sort_unstable();
    near.dedup();
    let best = near.first().map(|&(distance, _)| distance);
    near.into_iter()
        .take_while(|&(distance, _)| Some(distance) == best)
        .map(|(_, known)| known)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(question: &str) -> Vec<String> {
        split(question)
            .unwrap()
            .into_iter()
            .map(|word| word.text)
            .collect()
    }

    #[test]
    fn whitespace_splits_words_and_the_final_question_mark_is_dropped() {
        assert_eq!(texts("  who  hit\tx.org??"), ["who", "hit", "x.org"]);
        assert_eq!(texts("who hit x.org ?"), ["who", "hit", "x.org"]);
        assert_eq!(texts(" ? "), [""; 0]);
    }

    #[test]
    fn quotes_keep_spaces_question_marks_and_doubled_quotes() {
        assert_eq!(
            texts(r#"did "Web Content" 'it''s' "a?" '"' ''"#),
            ["did", "Web Content", "it's", "a?", "\"", ""]
        );
        assert_eq!(texts("O'Brien's"), ["O'Brien's"]);
    }

    #[test]
    fn words_have_their_byte_range() {
        let question = "wér 'a b' x?";
        let at = split(question)
            .unwrap()
            .into_iter()
            .map(|word| &question[word.at])
            .collect::<Vec<_>>();
        assert_eq!(at, ["wér", "'a b'", "x"]);
    }

    #[test]
    fn unclosed_quote_is_refused_at_its_position() {
        assert_eq!(split("who hit 'x"), Err(8));
        assert_eq!(split("who hit 'x''"), Err(8));
    }

    #[test]
    fn typos_find_the_nearest_known_words() {
        let known = ["hit", "reached", "contacted", "process", "processes"];
        assert_eq!(nearest("hti", &known), ["hit"]);
        assert_eq!(nearest("Contcated", &known), ["contacted"]);
        assert_eq!(nearest("processs", &known), ["process", "processes"]);
        assert_eq!(nearest("reachd", &known), ["reached"]);
        assert_eq!(nearest("frobnicated", &known), [""; 0]);
        assert_eq!(nearest("it", &["hit", "in"]), ["hit", "in"]);
    }

    proptest! {
        #[test]
        fn any_text_survives_quoting(text in any::<String>()) {
            let question = format!("'{}'", text.replace('\'', "''"));
            prop_assert_eq!(texts(&question), [text]);
        }

        #[test]
        fn any_text_splits_into_words_at_their_ranges(text in any::<String>()) {
            for word in split(&text).unwrap_or_default() {
                prop_assert!(word.quoted || text[word.at] == word.text);
            }
        }
    }
}
