//! What a policy that can be read may still get wrong.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::Protocol;

use super::covers::{path_covers, rule_covers};
use super::facts::{Destination, Said, Subject};
use super::list::is_public_suffix;
use super::pattern::{PathPattern, UserPattern};
use super::problem::{Position, Problem};
use super::rule::Rule;
use super::target::{NameKind, Target};
use super::who::Condition;
use super::{Decision, Lookups, Policy, Reason, Sni};

/// Programs that run what they are given, by the beginning of their names.
const INTERPRETERS: [&str; 24] = [
    "sh", "bash", "dash", "zsh", "ksh", "fish", "python", "perl", "ruby", "node", "php", "lua",
    "java", "busybox", "toybox", "ssh", "ld.so", "ld-linux", "ld-musl", "env", "awk", "gawk",
    "socat", "deno",
];

/// TCP ports where clients say a name first.
const WEB_PORTS: [u16; 6] = [443, 80, 8443, 8080, 853, 993];

impl Policy {
    /// What a reader of the file should know, in its order. `is_user` says whether the system
    /// has a user of this name.
    pub fn warnings(&self, now: i64, is_user: impl Fn(&str) -> bool) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut warn = |at: Position, text: String| found.push(Problem { at, text });
        for (index, rule) in self.rules.iter().enumerate() {
            self.unreachable(index, rule, now, &mut warn);
            programs(rule, &mut warn);
            names(rule, &mut warn);
            self.server_names(rule, &mut warn);
            for user in rule.who.user.any.iter().chain(&rule.who.user.none) {
                if let UserPattern::Name(name) = user
                    && !is_user(name)
                {
                    warn(rule.at, format!("this system has no user \"{name}\""));
                }
            }
        }
        self.top_level(&mut warn);
        self.lists(&mut warn);
        found.sort();
        found.extend(self.lock_outs(now));
        found
    }

    fn unreachable(
        &self,
        index: usize,
        rule: &Rule,
        now: i64,
        warn: &mut impl FnMut(Position, String),
    ) {
        if rule.has_expired(now) {
            warn(
                rule.at,
                "the rule has expired and matches nothing".to_owned(),
            );
            return;
        }
        let shadow = self.rules[..index]
            .iter()
            .position(|earlier| rule_covers(earlier, rule, now));
        if let Some(shadow) = shadow {
            let earlier = &self.rules[shadow];
            warn(
                rule.at,
                format!(
                    "the rule can never match: \"{}\" at line {} matches all that it would",
                    earlier.label(shadow),
                    earlier.at.line
                ),
            );
        }
        if let Some(key) = contradiction(rule) {
            let text = format!("the rule can never match: {key} excludes all that it asks for");
            warn(rule.at, text);
        }
    }

    /// Rules under `sni` that let through what never says a name.
    fn server_names(&self, rule: &Rule, warn: &mut impl FnMut(Position, String)) {
        let is_name = |target: &Target| matches!(target, Target::Name(_) | Target::List(_));
        let allows_names = !rule.action.stops() && rule.to.iter().any(is_name);
        let of_web = |port| {
            rule.ports
                .iter()
                .any(|of| of.matches(Protocol::Tcp, Some(port)))
        };
        let says_names = rule.ports.is_empty() || WEB_PORTS.into_iter().any(of_web);
        if rule.sni_off && (self.sni == Sni::Off || !allows_names) {
            let text =
                "sni: off has no effect: it is for rules that allow names, under the setting sni";
            warn(rule.at, text.to_owned());
        }
        if self.sni != Sni::Off && allows_names && !says_names && !rule.sni_off {
            let text = format!(
                "sni: {} is about its connections, too, and ports like these have neither TLS nor \
                 HTTP: 'sni: off' in the rule lets the name that was looked up be enough",
                self.sni.as_str()
            );
            warn(rule.at, text);
        }
    }

    fn top_level(&self, warn: &mut impl FnMut(Position, String)) {
        let top = Position { line: 1, column: 1 };
        if self.lookups == Lookups::Block && self.resolver_addresses().next().is_none() {
            warn(top, "lookups: block, but there are no resolvers".to_owned());
        }
    }

    fn lists(&self, warn: &mut impl FnMut(Position, String)) {
        for list in &self.lists {
            for refused in &list.refused {
                warn(list.at, format!("a line was left out: {refused}"));
            }
            let more = list.refused_count - list.refused.len();
            if more > 0 {
                warn(
                    list.at,
                    format!("{more} more lines were left out of {}", list.pattern),
                );
            }
            if list.is_empty() && !list.files.is_empty() {
                warn(list.at, format!("the list {} is empty", list.pattern));
            }
        }
    }

    /// What a host or a cloud's machine usually needs, if it would be stopped.
    fn lock_outs(&self, now: i64) -> Vec<Problem> {
        let stopped = |(what, who, to): (&str, Subject, Destination)| {
            let decision = self.decide(&who, &to, now);
            decision.stops().then(|| Problem {
                at: self.place(&decision),
                text: format!("{} also stops {what}", self.decider(&decision)),
            })
        };
        self.needs().into_iter().filter_map(stopped).collect()
    }

    fn needs(&self) -> Vec<(&'static str, Subject, Destination)> {
        let system = |uid, exe: &str| Subject {
            exe: Some(exe.to_owned()),
            exe_is_trusted: true,
            uid: Some(uid),
            user: Some(if uid == 0 { "root" } else { "service" }.to_owned()),
            host: true,
            cgroup: Some("/system.slice".to_owned()),
            ..Subject::default()
        };
        let to = |ip: IpAddr, port, protocol| Destination {
            ip: Some(ip),
            port: Some(port),
            protocol,
            names: Vec::new(),
            said: Said::NotYet,
        };
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        let resolver = self.resolver_addresses().next();
        let mut needs = vec![
            (
                "DHCP (udp 67): the host may lose its address",
                system(0, "/usr/sbin/dhclient"),
                to(IpAddr::V4(Ipv4Addr::BROADCAST), 67, Protocol::Udp),
            ),
            (
                "NTP (udp 123): the host's clock drifts",
                system(100, "/usr/lib/systemd/systemd-timesyncd"),
                to(v4(203, 0, 113, 123), 123, Protocol::Udp),
            ),
            (
                "root's connections to loopback, which many services need",
                system(0, "/usr/sbin/service"),
                to(v4(127, 0, 0, 1), 8080, Protocol::Tcp),
            ),
            (
                "LDAP by system services (tcp 636): users of a directory may not be able to log in",
                system(0, "/usr/libexec/sssd/sssd_be"),
                to(v4(10, 0, 0, 10), 636, Protocol::Tcp),
            ),
            (
                "a cloud's guest agent (root to the metadata addresses)",
                system(0, "/usr/bin/guest-agent"),
                to(v4(169, 254, 169, 254), 80, Protocol::Tcp),
            ),
        ];
        if let Some(resolver) = resolver {
            needs.push((
                "DNS queries to its own resolvers, without which no name is known",
                system(0, "/usr/lib/systemd/systemd-resolved"),
                to(resolver, 53, Protocol::Udp),
            ));
        }
        needs
    }

    /// Where the file says what decided.
    pub fn place(&self, decision: &Decision) -> Position {
        let rule = decision.rule.and_then(|index| self.rules.get(index));
        rule.map_or(Position { line: 1, column: 1 }, |rule| rule.at)
    }

    /// What decided, in words.
    pub fn decider(&self, decision: &Decision) -> String {
        match (decision.why, decision.rule) {
            (Reason::Rule, Some(index)) => match self.rules.get(index) {
                Some(rule) => format!("\"{}\"", rule.label(index)),
                None => format!("rule {}", index + 1),
            },
            (Reason::Resolver, _) => "DNS to a resolver".to_owned(),
            (Reason::UnknownContainer, _) => "unknown_containers: block".to_owned(),
            (Reason::Sni, _) => format!("sni: {}", self.sni.as_str()),
            (Reason::Essential(essential), _) => format!("the essential {}", essential.as_str()),
            _ => format!("default: {}", self.default.as_str()),
        }
    }
}

/// A condition whose negations cover everything that it requires.
fn contradiction(rule: &Rule) -> Option<&'static str> {
    fn excluded<T>(condition: &Condition<T>, covers: impl Fn(&T, &T) -> bool) -> bool {
        let is_excluded = |wanted: &T| condition.none.iter().any(|no| covers(no, wanted));
        !condition.any.is_empty() && condition.any.iter().all(is_excluded)
    }
    let who = &rule.who;
    let texts = [
        ("container", &who.container),
        ("pod", &who.pod),
        ("namespace", &who.namespace),
        ("unit", &who.unit),
        ("process", &who.process),
    ];
    let text = texts.into_iter().find(|(_, condition)| {
        excluded(condition, |no, wanted| {
            no == wanted || wanted.literal().is_some_and(|text| no.matches(text))
        })
    });
    if excluded(&who.exe, path_covers) {
        return Some("exe");
    }
    if excluded(&who.user, |no, wanted| no == wanted) {
        return Some("user");
    }
    if excluded(&who.image, |no, wanted| no == wanted) {
        return Some("image");
    }
    text.map(|(key, _)| key)
}

fn programs(rule: &Rule, warn: &mut impl FnMut(Position, String)) {
    let exe = &rule.who.exe;
    if rule.action.stops() && !exe.any.is_empty() {
        let text = "a copy of the program at another path evades the rule: block by user, unit or \
                    container instead, or block by default and allow programs";
        warn(rule.at, text.to_owned());
    }
    if rule.action.stops() && !rule.who.via.any.is_empty() {
        let text = "what a service starts in its place (at, systemd-run, a container's runtime) evades \
                    the rule: via is about who starts a process itself";
        warn(rule.at, text.to_owned());
    }
    if rule.action.stops() {
        return;
    }
    if let Some(path) = exe.any.iter().find(|path| runs_others(path)) {
        let text = format!(
            "{path} runs what it is given, so whatever a user has it run is allowed, too: also \
             name the user, unit or container"
        );
        // it does name them
        if rule.who.user.is_empty() && rule.who.unit.is_empty() && !rule.who.names_container() {
            warn(rule.at, text);
        }
    }
}

pub(super) fn runs_others(path: &PathPattern) -> bool {
    match path {
        PathPattern::Exact(path) => {
            let name = path.rsplit('/').next().unwrap_or(path);
            INTERPRETERS.iter().any(|known| {
                name.strip_prefix(known).is_some_and(|rest| {
                    rest.chars()
                        .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
                        || known.starts_with("ld")
                })
            })
        }
        // the directories that have them
        PathPattern::In(path) => matches!(path.as_str(), "/bin" | "/usr/bin" | "/usr/local/bin"),
        PathPattern::Below(path) => matches!(path.as_str(), "" | "/usr" | "/bin" | "/usr/bin"),
    }
}

fn names(rule: &Rule, warn: &mut impl FnMut(Position, String)) {
    for target in &rule.to {
        if let Target::Name(pattern) = target
            && pattern.kind != NameKind::Exact
            && !rule.action.stops()
            && is_public_suffix(&pattern.name)
            && pattern.name.contains('.')
        {
            let text = format!("anyone can have a name below {pattern}, and the rule allows it");
            warn(rule.at, text);
        }
    }
}
