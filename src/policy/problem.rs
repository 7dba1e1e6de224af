//! Errors of a policy file, each with its position.

use std::fmt;

use crate::text::{clip, printable};

/// Problems that are kept of a file; the rest is counted.
const MAX: usize = 100;

/// Line and column, from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub at: Position,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.text)
    }
}

/// All that is wrong with a file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    found: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub fn add(&mut self, at: Position, text: impl Into<String>) {
        if self.found.len() == MAX {
            self.more += 1;
            return;
        }
        let text = text.into();
        self.found.push(Problem { at, text });
        self.found.sort();
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// How many there are besides those of [`Problems::iter`].
    pub fn more(&self) -> usize {
        self.more
    }

    /// A line for each, after the file's name.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let mut lines: Vec<String> = self
            .found
            .iter()
            .map(|problem| format!("{}:{problem}", printable(file)))
            .collect();
        if self.more > 0 {
            lines.push(format!("{}: and {} more", printable(file), self.more));
        }
        lines
    }
}

/// What a user wrote, for a message.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", clip(&printable(text), 60))
}
