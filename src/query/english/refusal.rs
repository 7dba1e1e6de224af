//! The error for a question that was not understood.

use std::fmt;
use std::ops::Range;

use crate::text::{printable, width};

/// Why a question was refused. Displays as two lines: the question, and a caret below the words
/// at fault with what would have been understood. A question that can't be shown is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// What is wrong with these words, or with the question.
    pub(super) problem: String,
    /// The question, and the byte range that is at fault.
    pub(super) place: Option<(String, Range<usize>)>,
    /// What would have been understood, or why it can't be answered.
    pub(super) hint: Option<String>,
}

impl NotUnderstood {
    /// Refuses a word of a question.
    pub fn word(question: &str, at: Range<usize>, hint: String) -> NotUnderstood {
        NotUnderstood {
            problem: NOT_UNDERSTOOD.to_owned(),
            place: Some((question.to_owned(), at)),
            hint: Some(hint),
        }
    }
}

pub(super) const NOT_UNDERSTOOD: &str = "is not understood";

/// Where everything that is understood is listed.
pub const FORMS: &str = "'egrets query --help' shows what can be asked";

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((question, at)) = &self.place {
            let column = width(&printable(&question[..at.start]));
            let length = width(&printable(&question[at.clone()])).max(1);
            writeln!(f, "  {}", printable(question))?;
            write!(f, "  {:column$}{} ", "", "^".repeat(length))?;
        }
        match (&self.hint, self.problem.as_str()) {
            (Some(why), "") => f.write_str(&printable(why)),
            (Some(hint), problem) => write!(f, "{}; {}", printable(problem), printable(hint)),
            (None, problem) => write!(f, "{}; {FORMS}", printable(problem)),
        }
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
            "  which processes frobnicated example.com
                  ^^^^^^^^^^^ is not understood; 'egrets query --help' shows what can be asked"
        );
    }
}
