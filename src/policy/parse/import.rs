//! The config.yaml of the original egrets, as a policy.

use std::fmt::Write;

use super::super::emit::{RuleText, list, scalar};
use super::super::problem::{Position, Problems, shown};
use super::super::{NamePattern, Policy};
use super::fields::Reader;
use super::yaml::{self, Item, Node};

/// A policy's text, and what a reader should know about it.
#[derive(Debug, Default)]
pub struct Imported {
    pub text: String,
    pub notes: Vec<String>,
}

/// What the original decided by.
const KEYS: [&str; 4] = ["allow", "block", "container_allow", "trusted_dns"];

/// Its other settings, which a policy does not have.
const OTHERS: [&str; 9] = [
    "container_metadata",
    "async_container_metadata",
    "use_classic_bpf",
    "log_blocked",
    "log_dns",
    "cache_http",
    "manual_packet_decode",
    "trusted_resolver",
    "debug",
];

/// # Errors
///
/// Everything that is wrong with the file.
pub fn import(text: &str) -> Result<Imported, Problems> {
    let mut reader = Reader::default();
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(problem) => {
            reader.problem(problem.at, problem.text);
            return Err(reader.problems);
        }
    };
    let keys: Vec<&'static str> = KEYS.into_iter().chain(OTHERS).collect();
    let entries = reader.entries(&root, &keys, "a config.yaml");
    let mut found = Found::default();
    for (key, item) in entries {
        found.add(&mut reader, key, item);
    }
    let imported = found.write();
    // what is written is what can be read
    if reader.problems.is_empty()
        && let Err(problems) = Policy::parse(&imported.text)
    {
        return Err(problems);
    }
    match reader.problems.is_empty() {
        true => Ok(imported),
        false => Err(reader.problems),
    }
}

#[derive(Default)]
struct Found {
    resolver: Option<String>,
    allow: Vec<String>,
    block: Vec<String>,
    containers: Vec<(String, Vec<String>)>,
    left_out: Vec<&'static str>,
}

impl Found {
    fn add(&mut self, reader: &mut Reader, key: &'static str, item: &Item) {
        match key {
            "allow" => self.allow = names(reader, item, key),
            "block" => self.block = names(reader, item, key),
            "container_allow" => self.containers = containers(reader, item),
            "trusted_dns" => {
                let Some(text) = reader.scalar(item, key) else {
                    return;
                };
                match text.parse::<std::net::IpAddr>() {
                    Ok(ip) => self.resolver = Some(ip.to_string()),
                    Err(_) => {
                        let text = format!("trusted_dns is an address; {} is not", shown(text));
                        reader.problem(item.at, text);
                    }
                }
            }
            key => self.left_out.push(key),
        }
    }

    fn write(self) -> Imported {
        let mut text = String::from(
            "# From the config.yaml of the original egrets, which only reported what it had not\n\
             # allowed: so does 'default: alert'. 'default: block' stops it.\n\
             version: 1\n",
        );
        let resolvers = self.resolver.unwrap_or_else(|| "system".to_owned());
        // writing to a String can't fail
        let _ = writeln!(text, "resolvers: {}", list(&[resolvers]));
        text.push_str("default: alert\n");
        let mut rules = Vec::new();
        if !self.block.is_empty() {
            rules.push(rule("block", String::new(), self.block, "block"));
        }
        if !self.allow.is_empty() {
            rules.push(rule("allow", String::new(), self.allow, "allow"));
        }
        for (image, names) in self.containers {
            let who = format!("{{ image: {} }}", scalar(&image));
            rules.push(rule(&format!("allow for {image}"), who, names, "allow"));
        }
        if !rules.is_empty() {
            text.push_str("rules:\n");
        }
        for rule in &rules {
            rule.write(&mut text);
        }
        let mut notes = vec![
            "names are allowed with all below them; '=NAME' means the name alone".to_owned(),
            "container_allow is taken for images; 'container:' would be their names".to_owned(),
        ];
        if !self.left_out.is_empty() {
            notes.push(format!(
                "left out, as a policy has no such setting: {}",
                self.left_out.join(", ")
            ));
        }
        Imported { text, notes }
    }
}

fn rule(name: &str, who: String, to: Vec<String>, action: &'static str) -> RuleText {
    RuleText {
        name: name.to_owned(),
        who,
        to,
        action,
        ..RuleText::default()
    }
}

fn names(reader: &mut Reader, item: &Item, key: &str) -> Vec<String> {
    // a list whose entries are all commented out
    if matches!(item.node, Node::Null) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (text, at) in reader.scalars(item, key) {
        if let Some(name) = name(reader, text, at) {
            found.push(name);
        }
    }
    found
}

/// A name or an address.
fn name(reader: &mut Reader, text: &str, at: Position) -> Option<String> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    match NamePattern::parse(text) {
        Ok(pattern) => Some(pattern.to_string()),
        Err(why) => {
            reader.problem(at, format!("{} {why}", shown(text)));
            None
        }
    }
}

fn containers(reader: &mut Reader, item: &Item) -> Vec<(String, Vec<String>)> {
    let map = match &item.node {
        Node::Map(map) => map.as_slice(),
        Node::Null => &[],
        _ => {
            reader.problem(
                item.at,
                "container_allow is a mapping of images to lists of names",
            );
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for (key, value) in map {
        let Some(image) = reader.scalar(key, "an image") else {
            continue;
        };
        let names = names(reader, value, image);
        if !names.is_empty() {
            found.push((image.to_owned(), names));
        }
    }
    found
}
