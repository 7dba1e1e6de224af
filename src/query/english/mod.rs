//! The question language (docs/questions.md): plain English to a [`Question`].
//!
//! A question starts with what to list (`projection.rs`), followed by clauses in any order:
//! subject, destination, time, outcome. The parser either consumes a word or leaves it, and
//! remembers every word that it would have accepted: that is what errors and completion
//! suggest.
//!
//! [`Question`]: super::ast::Question

mod clause;
mod comparison;
mod exclusive;
mod expected;
mod hours;
mod idioms;
mod logic;
mod parser;
mod pattern;
mod predicates;
mod projection;
mod refusal;
mod second;
mod span;
mod spoken;
mod subject;
mod terse;
#[cfg(test)]
mod tests;
mod typo;
mod units;
mod vocabulary;
mod words;

pub use expected::{expected, written};
pub(super) use idioms::{is_grammar, is_verb};
pub use parser::{NameKind, parse};
#[cfg(test)]
pub use refusal::FORMS;
pub use refusal::NotUnderstood;
