//! The question language (docs/questions.md): plain English to a [`Question`].
//!
//! A question starts with what to list (`projection.rs`), followed by clauses in any order:
//! subject, destination, time, outcome. The parser either consumes a word or leaves it, and
//! remembers every word that it would have accepted: that is what errors and completion
//! suggest.
//!
//! Where a word goes: a word of the grammar into `vocabulary/`; a turn of phrase that is said in
//! the grammar's words, or can't be answered, into `idioms.txt`. What is in another order is read
//! by its facets (`facets.rs`), with its own words in `vocabulary/facets.rs`.
//!
//! [`Question`]: super::ast::Question

mod attempts;
mod clause;
mod comparison;
mod exclusive;
mod expected;
mod facets;
mod hours;
mod idioms;
mod logic;
mod parser;
mod pattern;
mod predicates;
mod projection;
mod refusal;
mod reordered;
mod second;
mod share;
mod span;
mod spoken;
mod subject;
#[cfg(test)]
mod tests;
mod typo;
mod units;
mod vocabulary;
mod words;

pub use attempts::parse;
pub use expected::{expected, written};
pub(super) use idioms::{is_activity, is_grammar, is_verb};
pub use parser::NameKind;
pub(super) use pattern::{service_named, services_called};
#[cfg(test)]
pub use refusal::FORMS;
pub use refusal::NotUnderstood;
pub(super) use words::{Word, split};
