//! What is wrong with a configuration, all of it.

use std::error::Error;
use std::fmt;

/// Each with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            all => {
                write!(f, "the configuration has {} errors:", all.len())?;
                all.iter().try_for_each(|one| write!(f, "\n  {one}"))
            }
        }
    }
}

impl Error for ConfigErrors {}

/// The first paragraph of what clap says, on one line.
pub fn message(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.trim_start_matches("error: ").lines();
    let lines = paragraph
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
