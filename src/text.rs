//! Making text that others chose safe to show.
//!
//! Process names, arguments, host names and container metadata come from
//! whoever runs on the host or answers its DNS. Written raw to a terminal they
//! could move the cursor, recolour, or reorder what is read.

use std::borrow::Cow;
use std::fmt::Write;

/// `s` with everything that does not show as itself escaped: control
/// characters as `\n`, `\t`, `\r` or `\xNN`, invisible and reordering ones as
/// `\u{NNNN}`. A backslash stays as it is: this is for reading, not for
/// parsing back.
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

/// Whether `c` shows as itself: neither a control character (C0, DEL, C1) nor
/// one of Unicode's invisible, line-breaking or reordering format characters.
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

/// The columns that `s` takes, at one a character.
pub fn width(s: &str) -> usize {
    s.chars().count()
}

/// `s`, cut to `columns` where it is wider, the cut shown as `…`.
pub fn clip(s: &str, columns: usize) -> Cow<'_, str> {
    if width(s) <= columns {
        return Cow::Borrowed(s);
    }
    let Some(kept) = columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    Cow::Owned(s.chars().take(kept).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_in_any_language_is_kept_without_a_copy() {
        for s in ["", "curl", r"C:\temp\n", "Grüße, 世界 🦩", "a b'\"%_"] {
            assert!(matches!(printable(s), Cow::Borrowed(kept) if kept == s));
        }
    }

    #[test]
    fn what_could_drive_a_terminal_is_escaped() {
        assert_eq!(printable("a\nb\tc\r"), r"a\nb\tc\r");
        assert_eq!(
            printable("\x1b[31mred\x07\x7f\0"),
            r"\x1b[31mred\x07\x7f\x00"
        );
        assert_eq!(printable("\u{9b}2J\u{85}"), r"\x9b2J\x85");
    }

    #[test]
    fn what_could_hide_or_reorder_is_escaped() {
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
    fn clipping_keeps_what_fits_and_marks_what_was_cut() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdef", 5), "abcd…");
        assert_eq!(clip("äöüäöü", 3), "äö…");
        assert_eq!(clip("abc", 1), "…");
        assert_eq!(clip("abc", 0), "");
    }

    proptest! {
        #[test]
        fn no_text_gets_a_dangerous_character_through(s in any::<String>()) {
            prop_assert!(printable(&s).chars().all(is_printable));
        }

        #[test]
        fn clipped_text_is_never_wider_than_asked(s in any::<String>(), columns in 0usize..40) {
            prop_assert!(width(&clip(&s, columns)) <= columns);
        }
    }
}
