//! The top level of a policy file.

use std::collections::HashMap;
use std::net::IpAddr;

use super::super::problem::{Position, shown};
use super::super::{
    Action, Essential, Established, Lookups, MAX_RULES, Policy, Resolver, Rule, Sni, SourceRouting,
    Stale, UnknownContainers,
};
use super::fields::Reader;
use super::notify;
use super::rule::{self, actions};
use super::yaml::{Item, Node};
use crate::text::did_you_mean;

const KEYS: [&str; 12] = [
    "version",
    "resolvers",
    "default",
    "rules",
    "lookups",
    "established",
    "stale",
    "unknown_containers",
    "source_routing",
    "sni",
    "essentials",
    "notify",
];

/// The version of the language.
const VERSION: &str = "1";

pub fn read(reader: &mut Reader, root: &Item) -> Policy {
    let mut policy = Policy {
        default: Action::Allow,
        ..Policy::nothing_but_essentials()
    };
    let entries = reader.entries(root, &KEYS, "a policy");
    if matches!(root.node, Node::Map(_)) {
        require(reader, root.at, &entries, "version", "version: 1");
        require(reader, root.at, &entries, "default", "default: allow");
    }
    for (key, item) in entries {
        read_entry(reader, key, item, &mut policy);
    }
    policy.lists = std::mem::take(&mut reader.context.lists);
    policy
}

fn require(reader: &mut Reader, at: Position, of: &[(&str, &Item)], key: &str, example: &str) {
    if !of.iter().any(|(given, _)| *given == key) {
        reader.problem(at, format!("{key} is missing: a policy says '{example}'"));
    }
}

fn read_entry(reader: &mut Reader, key: &'static str, item: &Item, policy: &mut Policy) {
    match key {
        "version" => {
            if let Some(text) = reader.scalar(item, key)
                && text != VERSION
            {
                let text = format!("this egrets knows version {VERSION}, not {}", shown(text));
                reader.problem(item.at, text);
            }
        }
        "resolvers" => policy.resolvers = resolvers(reader, item),
        "default" => set(&mut policy.default, reader.one_of(item, key, &actions())),
        "rules" => policy.rules = rules(reader, item),
        "lookups" => {
            let words = [("allow", Lookups::Allow), ("block", Lookups::Block)];
            set(&mut policy.lookups, reader.one_of(item, key, &words));
        }
        "established" => {
            let words = [
                ("keep", Established::Keep),
                ("alert", Established::Alert),
                ("reset", Established::Reset),
            ];
            set(&mut policy.established, reader.one_of(item, key, &words));
        }
        "stale" => {
            let words = [("allow", Stale::Allow), ("block", Stale::Block)];
            set(&mut policy.stale, reader.one_of(item, key, &words));
        }
        "unknown_containers" => {
            let words = [
                ("default", UnknownContainers::Default),
                ("block", UnknownContainers::Block),
            ];
            set(
                &mut policy.unknown_containers,
                reader.one_of(item, key, &words),
            );
        }
        "source_routing" => {
            let words = [
                ("refuse", SourceRouting::Refuse),
                ("allow", SourceRouting::Allow),
            ];
            set(&mut policy.source_routing, reader.one_of(item, key, &words));
        }
        "sni" => {
            let words = [Sni::Off, Sni::Alert, Sni::Strict].map(|sni| (sni.as_str(), sni));
            set(&mut policy.sni, reader.one_of(item, key, &words));
        }
        "notify" => policy.notify = notify::read(reader, item),
        _ => policy.essentials = essentials(reader, item),
    }
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

fn resolvers(reader: &mut Reader, item: &Item) -> Vec<Resolver> {
    let mut found = Vec::new();
    for (text, at) in reader.scalars(item, "resolvers") {
        match text.parse::<IpAddr>() {
            Ok(ip) => found.push(Resolver::Address(ip)),
            Err(_) if text == "system" => found.push(Resolver::System),
            Err(_) => {
                let text = format!(
                    "a resolver is an address, or system; {} is not",
                    shown(text)
                );
                reader.problem(at, text);
            }
        }
    }
    found
}

/// What stays open: everything that is not set to false.
fn essentials(reader: &mut Reader, item: &Item) -> Vec<Essential> {
    let names = Essential::ALL.map(Essential::as_str);
    let entries = match &item.node {
        Node::Map(_) => reader.entries(item, &names, "essentials"),
        _ => {
            let text = "essentials take out what is not to stay open, as in '{ ntp: false }'";
            reader.problem(item.at, format!("{text}; {}", did_you_mean("", &names)));
            Vec::new()
        }
    };
    let mut open = Essential::ALL.to_vec();
    for (key, value) in entries {
        if reader.flag(value, key) == Some(false) {
            open.retain(|essential| essential.as_str() != key);
        }
    }
    open
}

fn rules(reader: &mut Reader, item: &Item) -> Vec<Rule> {
    let items = match &item.node {
        Node::List(items) => items.as_slice(),
        Node::Null => &[],
        _ => {
            reader.problem(item.at, "rules is a list: each one begins with '- '");
            return Vec::new();
        }
    };
    if let Some(first) = items.get(MAX_RULES) {
        let text = format!(
            "a policy has {MAX_RULES} rules at most, and this one {}: a rule can have many \
             destinations, and a list of them in a file",
            items.len()
        );
        reader.problem(first.at, text);
    }
    let mut names: HashMap<String, Position> = HashMap::new();
    let mut rules = Vec::new();
    for item in items.iter().take(MAX_RULES) {
        let rule = rule::read(reader, item);
        if let Some(name) = &rule.name {
            match names.get(name) {
                Some(first) => {
                    let text = format!("the rule at line {} has this name already", first.line);
                    reader.problem(item.at, text);
                }
                None => {
                    names.insert(name.clone(), item.at);
                }
            }
        }
        rules.push(rule);
    }
    rules
}
