//! One rule.

use chrono::{DateTime, NaiveDate, NaiveTime};

use crate::when;

use super::super::problem::shown;
use super::super::{Action, Mode, Rule, Who};
use super::fields::Reader;
use super::yaml::{Item, Node};
use super::{targets, who};

const KEYS: [&str; 11] = [
    "name", "who", "to", "ports", "action", "mode", "expires", "owner", "ticket", "private", "sni",
];

pub fn actions() -> [(&'static str, Action); 6] {
    Action::ALL.map(|action| (action.as_str(), action))
}

pub fn read(reader: &mut Reader, item: &Item) -> Rule {
    let mut rule = Rule {
        at: item.at,
        name: None,
        who: Who::default(),
        to: Vec::new(),
        ports: Vec::new(),
        action: Action::Alert,
        mode: Mode::Enforce,
        expires: None,
        owner: None,
        ticket: None,
        private: false,
        sni_off: false,
    };
    let entries = reader.entries(item, &KEYS, "a rule");
    if matches!(item.node, Node::Map(_)) && !entries.iter().any(|(key, _)| *key == "action") {
        reader.problem(item.at, "the rule has no action, such as 'action: allow'");
    }
    let (mut process, mut negated_via) = (None, None);
    for (key, item) in entries {
        match key {
            "name" => rule.name = reader.text(item, key),
            "who" => {
                rule.who = who::read(reader, item);
                process = Some(item.at).filter(|_| !rule.who.process.is_empty());
                negated_via = who::negated_via(item);
            }
            "to" => rule.to = targets::read_to(reader, item),
            "ports" => rule.ports = targets::read_ports(reader, item),
            "action" => {
                rule.action = reader.one_of(item, key, &actions()).unwrap_or(rule.action);
            }
            "mode" => {
                let words = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];
                rule.mode = reader.one_of(item, key, &words).unwrap_or(rule.mode);
            }
            "expires" => rule.expires = expires(reader, item),
            "owner" => rule.owner = reader.text(item, key),
            "ticket" => rule.ticket = reader.text(item, key),
            "sni" => {
                rule.sni_off = reader
                    .one_of(item, key, &[("off", true)])
                    .unwrap_or_default()
            }
            _ => rule.private = reader.flag(item, key).unwrap_or_default(),
        }
    }
    if let Some(at) = process.filter(|_| rule.action != Action::Alert) {
        let text = "process goes with 'action: alert' only, since a process chooses its own name; \
                    exe is the program";
        reader.problem(at, text);
    }
    if let Some(at) = negated_via.filter(|_| rule.action == Action::Allow) {
        let text = "a negated via does not go with 'action: allow', since a process can choose \
                    what starts it, and the cgroup that it is in: name what may";
        reader.problem(at, text);
    }
    rule
}

/// A date is its start in UTC, so that all hosts agree.
fn expires(reader: &mut Reader, item: &Item) -> Option<i64> {
    let text = reader.scalar(item, "expires")?;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let time = date
        .map(|date| date.and_time(NaiveTime::MIN).and_utc())
        .or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()));
    if time.is_none() {
        let text = format!(
            "expires is a date, 2027-06-01, or a time with its zone, 2027-06-01T18:00:00Z; {} is \
             not",
            shown(text)
        );
        reader.problem(item.at, text);
    }
    time.map(when::to_ns)
}
