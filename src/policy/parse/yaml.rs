//! YAML text to a tree in which everything has its position. Only what is not YAML at all, or too
//! much of it, is an error here, and ends the reading.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, Options, Spanned};

use super::super::problem::{Position, Problem};

pub struct Item {
    pub at: Position,
    pub node: Node,
}

pub enum Node {
    Null,
    /// As written, whatever type YAML would give it.
    Scalar(String),
    List(Vec<Item>),
    /// In the file's order; keys may repeat.
    Map(Vec<(Item, Item)>),
}

/// Deep enough for a list in a condition of a rule, with room for an error's position.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 100_000;

pub fn parse(text: &str) -> Result<Item, Problem> {
    let found: Result<Spanned<Raw>, _> = serde_saphyr::from_str_with_options(text, options());
    match found {
        Ok(root) => Ok(item(root, text)),
        Err(error) => {
            let at = error.location().map(position).unwrap_or(START);
            let text = reason(error.without_snippet());
            Err(Problem { at, text })
        }
    }
}

fn reason(error: &Error) -> String {
    if let Error::Budget {
        breach: BudgetBreach::Documents { .. },
        ..
    } = error
    {
        return "a policy is one document, without a line '---' within it".to_owned();
    }
    if matches!(error, Error::RecursiveReferencesRequireWeakTypes { .. }) {
        return "an alias is within what it stands for".to_owned();
    }
    let text = error.to_string();
    // limits of aliases are also reported from within what the alias stands for, as other errors
    if text.starts_with("budget breached") || text.starts_with("alias ") {
        return "this is deeper, or more by its aliases, than a policy can be".to_owned();
    }
    // the position is reported apart
    let text = text.split(" at line ").next().unwrap_or_default();
    format!(
        "this is not valid YAML: {}",
        text.trim_end_matches([',', ' '])
    )
}

const START: Position = Position { line: 1, column: 1 };

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 1,
            max_aliases: 1000,
            max_anchors: 1000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
        },
        // each is reported at its position
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    }
}

fn position(location: Location) -> Position {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Position {
        line: number(location.line()),
        column: number(location.column()),
    }
}

/// As serde hands it over: numbers and booleans have lost their spelling.
enum Raw {
    Null,
    Text(String),
    Other(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

/// `text` is the whole file, from which numbers and booleans get their spelling back: `077` is a
/// ticket as well.
fn item(raw: Spanned<Raw>, text: &str) -> Item {
    let items = |list: Vec<Spanned<Raw>>| list.into_iter().map(|raw| item(raw, text)).collect();
    let node = match raw.value {
        Raw::Null => Node::Null,
        Raw::Text(text) => Node::Scalar(text),
        Raw::Other(value) => Node::Scalar(spelling(&raw.defined, text).unwrap_or(value)),
        Raw::List(list) => Node::List(items(list)),
        Raw::Map(map) => {
            let pairs = map.into_iter();
            Node::Map(
                pairs
                    .map(|(key, value)| (item(key, text), item(value, text)))
                    .collect(),
            )
        }
    };
    Item {
        at: position(raw.referenced),
        node,
    }
}

fn spelling(at: &Location, text: &str) -> Option<String> {
    let span = at.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let spelled = text.get(start..end)?.trim();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    (!spelled.is_empty() && spelled.chars().all(is_word)).then(|| spelled.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Other(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = access.next_entry()? {
            map.push(pair);
        }
        Ok(Raw::Map(map))
    }
}
