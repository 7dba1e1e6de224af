//! The words of a question: how it is split into them, and which known word an
//! unknown one may have been meant to be.

use std::ops::Range;

/// One word of a question, and where it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Written in quotes: a name, whatever it reads like.
    pub quoted: bool,
    /// The bytes of the question that it came from, quotes included.
    pub at: Range<usize>,
}

/// Splits a question at its blanks. Text in `"…"` or `'…'` is one word; the
/// quote itself is written in it twice. A question mark at the end is dropped.
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

/// The word in quotes that begins at `start`; none where nothing ends it.
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

/// The word without quotes that begins at `start`.
fn bare(question: &str, start: usize) -> Word {
    let rest = &question[start..];
    let text = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
    Word {
        text: text.to_owned(),
        quoted: false,
        at: start..start + text.len(),
    }
}

/// The known words that `word` is most likely a slip of, none where nothing is
/// near: at most a third of its letters may be wrong.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let slips = (word.chars().count() / 3).clamp(1, 3);
    let mut near = known
        .iter()
        .map(|&known| (distance(&word, known), known))
        .filter(|&(distance, _)| distance <= slips)
        .collect::<Vec<_>>();
    near.sort_unstable();
    near.dedup();
    let best = near.first().map(|&(distance, _)| distance);
    near.into_iter()
        .take_while(|&(distance, _)| Some(distance) == best)
        .map(|(_, known)| known)
        .collect()
}

/// How many letters to insert, drop, change or swap with their neighbour to
/// make `b` of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (Vec::from_iter(a.chars()), Vec::from_iter(b.chars()));
    let mut rows = vec![Vec::from_iter(0..=b.len())];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
    fn blanks_split_and_the_question_mark_goes() {
        assert_eq!(texts("  who  hit\tx.org??"), ["who", "hit", "x.org"]);
        assert_eq!(texts("who hit x.org ?"), ["who", "hit", "x.org"]);
        assert_eq!(texts(" ? "), [""; 0]);
    }

    #[test]
    fn quotes_keep_blanks_question_marks_and_themselves() {
        assert_eq!(
            texts(r#"did "Web Content" 'it''s' "a?" '"' ''"#),
            ["did", "Web Content", "it's", "a?", "\"", ""]
        );
        assert_eq!(texts("O'Brien's"), ["O'Brien's"]);
    }

    #[test]
    fn words_know_where_they_stand() {
        let question = "wér 'a b' x?";
        let at = split(question)
            .unwrap()
            .into_iter()
            .map(|word| &question[word.at])
            .collect::<Vec<_>>();
        assert_eq!(at, ["wér", "'a b'", "x"]);
    }

    #[test]
    fn an_open_quote_is_refused_where_it_stands() {
        assert_eq!(split("who hit 'x"), Err(8));
        assert_eq!(split("who hit 'x''"), Err(8));
    }

    #[test]
    fn slips_find_the_word_that_was_meant() {
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
        fn any_text_survives_being_quoted(text in any::<String>()) {
            let question = format!("'{}'", text.replace('\'', "''"));
            prop_assert_eq!(texts(&question), [text]);
        }

        #[test]
        fn any_text_splits_into_words_where_they_stand(text in any::<String>()) {
            for word in split(&text).unwrap_or_default() {
                prop_assert!(word.quoted || text[word.at] == word.text);
            }
        }
    }
}
