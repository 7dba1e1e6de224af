//! Showing untrusted text safely.
//!
//! Process names, arguments, host names and container metadata are chosen by any process on
//! the host, or by its DNS servers. Written raw to a terminal, they could move the cursor,
//! change colours or reorder text.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `s` with unprintable characters escaped: control characters as `\n`, `\t`, `\r` or `\xNN`,
/// invisible and reordering ones as `\u{NNNN}`. A backslash stays as it is: the result is for
/// reading, not for parsing.
pub fn printable(s: &str) -> Cow<'_, str> {
    if s.chars().all(is_printable) {
        return Cow::Borrowed(s);
    }
    let mut safe = String::with_capacity(s.len() + 16);
    for c in s.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if is_printable(c) => safe.push(c),
            // Writing to a String cannot fail.
            c if c <= '\u{ff}' => _ = write!(safe, "\\x{:02x}", u32::from(c)),
            c => _ = write!(safe, "\\u{{{:04x}}}", u32::from(c)),
        }
    }
    Cow::Owned(safe)
}

/// Whether `c` is neither a control character (C0, DEL, C1) nor one of Unicode's invisible,
/// line-breaking or reordering format characters.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{061c}'                      // Arabic letter mark: bidi
            | '\u{200b}'..='\u{200f}'       // zero width; bidi marks
            | '\u{2028}'..='\u{202e}'       // line, paragraph separators; bidi embeddings, overrides
            | '\u{2060}'..='\u{206f}'       // invisible operators; bidi isolates
            | '\u{feff}'                    // byte order mark
            | '\u{fff9}'..='\u{fffb}'       // interlinear annotation
            | '\u{e0000}'..='\u{e007f}') // tags: a second, invisible ASCII
}

/// The nearest of a few words, or all of them.
pub fn did_you_mean(word: &str, words: &[&str]) -> String {
    // a long word is none of them, and comparing it would take long
    if word.len() < 64 {
        let lower = word.to_lowercase();
        let distance = |known: &&&str| strsim::damerau_levenshtein(&lower, known);
        let nearest = words.iter().min_by_key(distance);
        if let Some(near) = nearest.filter(|near| distance(near) <= 1 + near.len() / 4) {
            return format!("did you mean {near}?");
        }
    }
    format!("it is one of {}", words.join(", "))
}

/// The terminal columns that `s` takes: two for wide characters (UAX #11), none for combining
/// ones.
pub fn width(s: &str) -> usize {
    s.width()
}

/// `s`, cut to `columns` if it is wider; `…` marks the cut.
pub fn clip(s: &str, columns: usize) -> Cow<'_, str> {
    if width(s) <= columns {
        return Cow::Borrowed(s);
    }
    let Some(kept) = columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let mut used = 0;
    let fits = |c: &char| {
        used += columns_of(*c);
        used <= kept
    };
    Cow::Owned(s.chars().take_while(fits).chain(['…']).collect())
}

/// The same, cut at its start.
pub fn clip_start(s: &str, columns: usize) -> Cow<'_, str> {
    if width(s) <= columns {
        return Cow::Borrowed(s);
    }
    let Some(kept) = columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let (mut used, mut start) = (0, s.len());
    for (at, c) in s.char_indices().rev() {
        used += columns_of(c);
        if used > kept {
            break;
        }
        // What combines with the character before it would combine with the mark.
        if c.width() != Some(0) && !WIDENING.contains(&c) {
            start = at;
        }
    }
    Cow::Owned(format!("…{}", &s[start..]))
}

/// Variation selectors, which can widen the character before them.
const WIDENING: std::ops::RangeInclusive<char> = '\u{fe00}'..='\u{fe0f}';

/// Most columns that a character adds to a text.
fn columns_of(c: char) -> usize {
    match WIDENING.contains(&c) {
        true => 1,
        false => c.width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_in_any_language_is_not_copied() {
        for s in ["", "curl", r"C:\temp\n", "Grüße, 世界 🦩", "a b'\"%_"] {
            assert!(matches!(printable(s), Cow::Borrowed(kept) if kept == s));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\nb\tc\r"), r"a\nb\tc\r");
        assert_eq!(
            printable("\x1b[31mred\x07\x7f\0"),
            r"\x1b[31mred\x07\x7f\x00"
        );
        assert_eq!(printable("\u{9b}2J\u{85}"), r"\x9b2J\x85");
    }

    #[test]
    fn invisible_and_reordering_characters_are_escaped() {
        assert_eq!(printable("exe\u{202e}gpj"), r"exe\u{202e}gpj");
        for c in "\u{200b}\u{200f}\u{202a}\u{2066}\u{2069}\u{feff}\u{2028}\u{2029}\u{e0041}".chars()
        {
            assert_eq!(
                printable(&c.to_string()),
                format!("\\u{{{:04x}}}", u32::from(c))
            );
        }
    }

    #[test]
    fn clipping_keeps_what_fits_and_marks_the_cut() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdef", 5), "abcd…");
        assert_eq!(clip("äöüäöü", 3), "äö…");
        assert_eq!(clip("abc", 1), "…");
        assert_eq!(clip("abc", 0), "");
        assert_eq!(clip_start("api.example.com", 12), "…example.com");
        assert_eq!(clip_start("example.com", 11), "example.com");
        assert_eq!(clip_start("abc", 1), "…");
        assert_eq!(clip_start("abc", 0), "");
    }

    #[test]
    fn width_counts_terminal_columns() {
        for (text, columns) in [
            ("curl", 4),
            ("世界", 4),
            ("cafe\u{301}", 4),
            ("🦩", 2),
            ("❤\u{fe0f}", 2),
            ("ﾊﾟ", 2),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn clipping_never_splits_a_wide_character() {
        assert_eq!(clip("世界浏览器", 10), "世界浏览器");
        assert_eq!(clip("世界浏览器", 9), "世界浏览…");
        assert_eq!(clip("世界浏览器", 8), "世界浏…");
        assert_eq!(clip("世界", 2), "…");
        assert_eq!(clip("cafe\u{301}s", 5), "cafe\u{301}s");
        assert_eq!(clip("cafe\u{301}s", 4), "caf…");
        assert_eq!(clip_start("世界浏览器", 8), "…浏览器");
        assert_eq!(clip_start("世界", 2), "…");
        assert_eq!(clip_start("cafe\u{301}s", 2), "…s");
    }

    proptest! {
        #[test]
        fn no_dangerous_character_gets_through(s in any::<String>()) {
            prop_assert!(printable(&s).chars().all(is_printable));
        }

        #[test]
        fn clipped_text_is_never_too_wide(s in any::<String>(), columns in 0usize..40) {
            prop_assert!(width(&clip(&s, columns)) <= columns);
            prop_assert!(width(&clip_start(&s, columns)) <= columns);
        }
    }
}
