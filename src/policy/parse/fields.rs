//! Reading a tree field by field: what is wrong is reported, and the reading goes on.

use std::collections::HashMap;

use super::super::problem::{Position, Problems, shown};
use super::Context;
use super::yaml::{Item, Node};
use crate::text::did_you_mean;

/// Characters of a text such as a rule's name.
const MAX_TEXT: usize = 200;

#[derive(Default)]
pub struct Reader {
    pub problems: Problems,
    pub context: Context,
}

impl Reader {
    pub fn problem(&mut self, at: Position, text: impl Into<String>) {
        self.problems.add(at, text);
    }

    /// The entries of a mapping that have one of the keys, the first of each; `place` names the
    /// mapping.
    pub fn entries<'a>(
        &mut self,
        item: &'a Item,
        keys: &[&'static str],
        place: &str,
    ) -> Vec<(&'static str, &'a Item)> {
        let Node::Map(map) = &item.node else {
            let keys = keys.join(", ");
            self.problem(item.at, format!("{place} is a mapping of {keys}"));
            return Vec::new();
        };
        let mut seen: HashMap<&str, Position> = HashMap::new();
        let mut found = Vec::new();
        for (key, value) in map {
            let Node::Scalar(word) = &key.node else {
                self.problem(key.at, format!("a key of {place} is a word"));
                continue;
            };
            let Some(known) = keys.iter().find(|known| *known == word) else {
                let help = did_you_mean(word, keys);
                self.problem(
                    key.at,
                    format!("{place} has no key {}; {help}", shown(word)),
                );
                continue;
            };
            match seen.get(known) {
                Some(first) => {
                    let text = format!("{known} is given twice, at line {} first", first.line);
                    self.problem(key.at, text);
                }
                None => {
                    seen.insert(known, key.at);
                    found.push((*known, value));
                }
            }
        }
        found
    }

    pub fn scalar<'a>(&mut self, item: &'a Item, what: &str) -> Option<&'a str> {
        match &item.node {
            Node::Scalar(text) => Some(text),
            Node::Null => {
                self.problem(item.at, format!("{what} has no value"));
                None
            }
            Node::List(_) => {
                self.problem(item.at, format!("{what} is one value, not a list"));
                None
            }
            Node::Map(_) => {
                self.problem(item.at, format!("{what} is one value, not a mapping"));
                None
            }
        }
    }

    /// A short text for people.
    pub fn text(&mut self, item: &Item, what: &str) -> Option<String> {
        let text = self.scalar(item, what)?;
        let length = text.chars().count();
        if !(1..=MAX_TEXT).contains(&length) || text.chars().any(|c| c.is_control()) {
            let text = format!("{what} has 1 to {MAX_TEXT} characters in one line");
            self.problem(item.at, text);
            return None;
        }
        Some(text.to_owned())
    }

    /// A value or a list of values.
    pub fn scalars<'a>(&mut self, item: &'a Item, what: &str) -> Vec<(&'a str, Position)> {
        let items = match &item.node {
            Node::List(items) => items.as_slice(),
            _ => std::slice::from_ref(item),
        };
        if items.is_empty() {
            let text = format!("{what} is an empty list, which nothing matches: leave it out");
            self.problem(item.at, text);
        }
        items
            .iter()
            .filter_map(|item| Some((self.scalar(item, what)?, item.at)))
            .collect()
    }

    pub fn flag(&mut self, item: &Item, what: &str) -> Option<bool> {
        self.one_of(item, what, &[("true", true), ("false", false)])
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        item: &Item,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.scalar(item, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let help = did_you_mean(text, &names);
        self.problem(item.at, format!("{what} can't be {}; {help}", shown(text)));
        None
    }
}
