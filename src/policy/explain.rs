//! Which rule decides about a connection, and why those before it do not.

use std::fmt::Write;

use super::decide::Mismatch;
use super::facts::{Destination, Said, Subject};
use super::rule::Rule;
use super::who::{Condition, WhoKey};
use super::{Decision, Policy};

/// A decision with the rules before it.
#[derive(Debug)]
pub struct Explanation {
    pub decision: Decision,
    /// The rules that were looked at and do not match: index, and why.
    pub before: Vec<(usize, String)>,
}

impl Policy {
    pub fn explain(&self, who: &Subject, to: &Destination, now: i64) -> Explanation {
        let decision = self.decide(who, to, now);
        // what comes before all rules looks at none
        let looked_at = match (decision.why, decision.rule) {
            (super::Reason::Resolver | super::Reason::UnknownContainer, _) => 0,
            (_, Some(index)) => index,
            (_, None) => self.rules.len(),
        };
        let why_not = |(index, rule): (usize, &Rule)| {
            let why = match self.mismatch(rule, who, to, now) {
                Some(mismatch) => reason(rule, mismatch, who, to),
                None => said_reason(to),
            };
            (index, why)
        };
        Explanation {
            decision,
            before: self.rules[..looked_at]
                .iter()
                .enumerate()
                .map(why_not)
                .collect(),
        }
    }
}

/// Of a rule that matches by a name that was looked up.
fn said_reason(to: &Destination) -> String {
    let says = match &to.said {
        Said::Name(name) => format!("the connection says {name}"),
        Said::Nothing => "the connection says no name".to_owned(),
        Said::NotYet => "what QUIC says can't be read".to_owned(),
    };
    format!("the name that was looked up matches, but {says}")
}

fn reason(rule: &Rule, mismatch: Mismatch, who: &Subject, to: &Destination) -> String {
    match mismatch {
        Mismatch::Expired => "it has expired".to_owned(),
        Mismatch::Who(key) => who_reason(rule, key, who),
        Mismatch::Ports => {
            let ports: Vec<String> = rule.ports.iter().map(ToString::to_string).collect();
            let port = to.port.map(|port| format!("{port}/")).unwrap_or_default();
            format!(
                "{port}{} is not in ports: {}",
                to.protocol.as_str(),
                ports.join(", ")
            )
        }
        Mismatch::To => "the destination is none of its own".to_owned(),
        Mismatch::Rebinding(scope) => format!(
            "the name matches, but may not grant a {} address without 'private: true'",
            scope.as_str()
        ),
        Mismatch::Evidence => {
            "the name matches, but this process did not look it up, nor did its ancestors or its \
             container"
                .to_owned()
        }
    }
}

fn who_reason(rule: &Rule, key: WhoKey, who: &Subject) -> String {
    let of = &rule.who;
    let details = who.container.details();
    let of_container = |get: fn(&super::Details) -> Option<&String>| {
        details.and_then(get).cloned().unwrap_or_default()
    };
    if of.needs_container_details() && who.container.is_unknown() {
        return "nothing is known of the container yet".to_owned();
    }
    let flag = |wanted: Option<bool>| wanted.unwrap_or_default().to_string();
    let (is, wanted) = match key {
        WhoKey::Exe => (
            match (who.exe_for(of.names_container()), &who.exe) {
                (None, Some(exe)) if who.in_container() => {
                    format!("{exe}, a path inside a container")
                }
                (None, Some(exe)) => format!("{exe}, which others can replace"),
                (exe, _) => exe.unwrap_or_default().to_owned(),
            },
            condition(&of.exe, ToString::to_string),
        ),
        WhoKey::User => (
            match (&who.user, who.uid) {
                (Some(user), _) => user.clone(),
                (None, uid) => uid.map(|uid| uid.to_string()).unwrap_or_default(),
            },
            condition(&of.user, ToString::to_string),
        ),
        WhoKey::Container => (
            of_container(|d| d.name.as_ref().or(d.id.as_ref())),
            condition(&of.container, |glob| glob.as_str().to_owned()),
        ),
        WhoKey::Image => (
            of_container(|d| d.image.as_ref()),
            condition(&of.image, |image| image.as_str().to_owned()),
        ),
        WhoKey::Pod => (
            of_container(|d| d.pod.as_ref()),
            condition(&of.pod, |glob| glob.as_str().to_owned()),
        ),
        WhoKey::Namespace => (
            of_container(|d| d.namespace.as_ref()),
            condition(&of.namespace, |glob| glob.as_str().to_owned()),
        ),
        WhoKey::Unit => (
            who.system_unit().unwrap_or_default().to_owned(),
            condition(&of.unit, |glob| glob.as_str().to_owned()),
        ),
        WhoKey::Cgroup => (
            who.cgroup.clone().unwrap_or_default(),
            condition(&of.cgroup, ToString::to_string),
        ),
        WhoKey::Host => (who.host.to_string(), flag(of.host)),
        WhoKey::Kernel => (who.kernel.to_string(), flag(of.kernel)),
        WhoKey::Tree => (who.tree.to_string(), flag(of.tree)),
        WhoKey::Via => (
            who.ancestors_for(of.names_container()).join(", "),
            condition(&of.via, ToString::to_string),
        ),
        WhoKey::Process => (
            who.comm.clone().unwrap_or_default(),
            condition(&of.process, |glob| glob.as_str().to_owned()),
        ),
    };
    let is = if is.is_empty() { "none".to_owned() } else { is };
    format!("{} is {is}, not {wanted}", key.as_str())
}

/// A condition as the file has it.
fn condition<T>(of: &Condition<T>, show: impl Fn(&T) -> String) -> String {
    let mut text = of.any.iter().map(&show).collect::<Vec<_>>().join(" or ");
    for no in &of.none {
        let separator = if text.is_empty() { "" } else { ", " };
        // writing to a String can't fail
        let _ = write!(text, "{separator}!{}", show(no));
    }
    text
}
