//! `who` of a rule.

use super::super::problem::{Position, shown};
use super::super::{Condition, Glob, ImagePattern, PathPattern, UserPattern, Who};
use super::fields::Reader;
use super::yaml::{Item, Node};

const KEYS: [&str; 13] = [
    "exe",
    "user",
    "container",
    "image",
    "pod",
    "namespace",
    "unit",
    "cgroup",
    "host",
    "kernel",
    "tree",
    "via",
    "process",
];

/// Bytes of a pattern.
const MAX_PATTERN: usize = 1024;

/// Patterns of a condition.
const MAX_PATTERNS: usize = 256;

/// Where the first negated value of `via` is, in a `who`.
pub fn negated_via(item: &Item) -> Option<Position> {
    let Node::Map(entries) = &item.node else {
        return None;
    };
    let is_via = |key: &Item| matches!(&key.node, Node::Scalar(key) if key == "via");
    let (_, value) = entries.iter().find(|(key, _)| is_via(key))?;
    let values = match &value.node {
        Node::List(values) => values,
        _ => std::slice::from_ref(value),
    };
    let is_negated = |of: &&Item| matches!(&of.node, Node::Scalar(text) if text.starts_with('!'));
    values.iter().find(is_negated).map(|of| of.at)
}

pub fn read(reader: &mut Reader, item: &Item) -> Who {
    let mut who = Who::default();
    for (key, item) in reader.entries(item, &KEYS, "who") {
        match key {
            "exe" => who.exe = condition(reader, item, key, path),
            "user" => who.user = condition(reader, item, key, user),
            "container" => who.container = condition(reader, item, key, glob),
            "image" => who.image = condition(reader, item, key, image),
            "pod" => who.pod = condition(reader, item, key, glob),
            "namespace" => who.namespace = condition(reader, item, key, glob),
            "unit" => who.unit = condition(reader, item, key, glob),
            "cgroup" => who.cgroup = condition(reader, item, key, path),
            "host" => who.host = reader.flag(item, key),
            "kernel" => who.kernel = reader.flag(item, key),
            "tree" => who.tree = reader.flag(item, key),
            "via" => who.via = condition(reader, item, key, path),
            _ => who.process = condition(reader, item, key, glob),
        }
    }
    if who.host == Some(true) && who.needs_container_details() {
        let text = "host: true is about no container, so the other conditions can never hold";
        reader.problem(item.at, text);
    }
    who
}

fn condition<T>(
    reader: &mut Reader,
    item: &Item,
    key: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Condition<T> {
    let mut found = Condition::default();
    let scalars = reader.scalars(item, key);
    if scalars.len() > MAX_PATTERNS {
        reader.problem(
            item.at,
            format!("{key} can have {MAX_PATTERNS} values at most"),
        );
    }
    for (text, at) in scalars.into_iter().take(MAX_PATTERNS) {
        let (list, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (&mut found.none, pattern),
            None => (&mut found.any, text),
        };
        if let Some(pattern) = one(reader, key, pattern, at, parse) {
            list.push(pattern);
        }
    }
    found
}

fn one<T>(
    reader: &mut Reader,
    key: &str,
    text: &str,
    at: Position,
    parse: fn(&str) -> Result<T, String>,
) -> Option<T> {
    let is_plain = |c: char| !c.is_control();
    let parsed = match text.len() {
        0 => Err("is empty".to_owned()),
        1..=MAX_PATTERN if text.chars().all(is_plain) => parse(text),
        _ => Err(format!("has 1 to {MAX_PATTERN} characters in one line")),
    };
    match parsed {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            reader.problem(at, format!("{key} {} {why}", shown(text)));
            None
        }
    }
}

fn path(text: &str) -> Result<PathPattern, String> {
    PathPattern::parse(text).map_err(str::to_owned)
}

fn glob(text: &str) -> Result<Glob, String> {
    Ok(Glob::new(text))
}

fn image(text: &str) -> Result<ImagePattern, String> {
    match text.contains(char::is_whitespace) {
        true => Err("is not an image, such as nginx:1.27 or ghcr.io/org/app:*".to_owned()),
        false => Ok(ImagePattern::new(text)),
    }
}

/// useradd(8) allows more; these are what no system can have.
fn user(text: &str) -> Result<UserPattern, String> {
    if let Ok(uid) = text.parse::<u32>() {
        return Ok(UserPattern::Uid(uid));
    }
    match text.contains([':', '/', '*', ' ']) || text.starts_with('-') {
        true => Err("is not a user's name or number".to_owned()),
        false => Ok(UserPattern::Name(text.to_owned())),
    }
}
