//! The error for a question that was not understood.

use std::fmt;
use std::ops::Range;

use crate::text::{printable, width};

/// Why a question was refused. Displays as several lines: the word that was not understood,
/// where it stands, and what would have been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The first line.
    pub(super) problem: String,
    /// The question, and the byte range that is at fault.
    pub(super) place: Option<(String, Range<usize>)>,
    /// A suggestion, on its own line.
    pub(super) hint: Option<String>,
}

impl NotUnderstood {
    /// Refuses a word of a question.
    pub fn word(question: &str, at: Range<usize>, hint: String) -> NotUnderstood {
        NotUnderstood {
            problem: format!(
                "\"{}\" is not understood in this question:",
                &question[at.clone()]
            ),
            place: Some((question.to_owned(), at)),
            hint: Some(hint),
        }
    }
}

/// Where everything that is understood is listed.
pub const FORMS: &str = "'egrets query --help' shows what can be asked";

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", printable(&self.problem))?;
        if let Some((question, at)) = &self.place {
            let column = width(&printable(&question[..at.start]));
            let length = width(&printable(&question[at.clone()])).max(1);
            writeln!(f, "  {}", printable(question))?;
            writeln!(f, "  {:column$}{}", "", "^".repeat(length))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{}", printable(hint))?;
        }
        f.write_str(FORMS)
    }
}

impl std::error::Error for NotUnderstood {}

#[cfg(test)]
mod tests {
    #[test]
    fn the_word_at_fault_is_shown_where_it_stands() {
        assert_eq!(
            super::super::parse(
                " which processes frobnicated example.com",
                &chrono::Utc::now()
            )
            .unwrap_err()
            .to_string(),
            "\
\"frobnicated\" is not understood in this question:
  which processes frobnicated example.com
                  ^^^^^^^^^^^
'egrets query --help' shows what can be asked"
        );
    }
}
