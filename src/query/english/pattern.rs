//! Parts of names, services by their ports, and lists of ports.

use chrono::TimeZone;

use super::logic::any_of;
use super::parser::{BareName, NameKind, Parser};
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use crate::query::ast::{Operator, Predicate, Projection, Subject};
use crate::query::country;
use crate::query::host::Host;

/// Services, and the protocol and port that they are recognised by.
const SERVICE_PORTS: [(&str, &str, &[u16]); 27] = [
    ("https", "tcp", &[443]),
    ("http", "tcp", &[80]),
    ("quic", "udp", &[443]),
    ("http3", "udp", &[443]),
    ("http/3", "udp", &[443]),
    ("h3", "udp", &[443]),
    ("ssh", "tcp", &[22]),
    ("sftp", "tcp", &[22]),
    ("ftp", "tcp", &[21]),
    ("telnet", "tcp", &[23]),
    ("smtp", "tcp", &[25, 465, 587]),
    ("imap", "tcp", &[143, 993]),
    ("pop3", "tcp", &[110, 995]),
    ("ntp", "udp", &[123]),
    ("snmp", "udp", &[161]),
    ("syslog", "udp", &[514]),
    ("ldap", "tcp", &[389]),
    ("ldaps", "tcp", &[636]),
    ("smb", "tcp", &[445]),
    ("rdp", "tcp", &[3389]),
    ("vnc", "tcp", &[5900]),
    ("postgres", "tcp", &[5432]),
    ("postgresql", "tcp", &[5432]),
    ("mysql", "tcp", &[3306]),
    ("redis", "tcp", &[6379]),
    ("mongodb", "tcp", &[27017]),
    ("kafka", "tcp", &[9092]),
];

/// Services that are called by what they do, where no host is: "the database".
const KINDS_OF_SERVICE: [(&[&str], &[u16]); 3] = [
    (
        &["database", "databases", "db", "dbs"],
        &[1433, 1521, 3306, 5432, 9042, 27017],
    ),
    (&["cache", "caches"], &[6379, 11211]),
    (&["mailserver", "mail"], &[25, 465, 587]),
];

/// The connections to services of a kind, and their ports in words.
pub fn services_called(name: &str) -> Option<(String, Predicate)> {
    let mut kinds = KINDS_OF_SERVICE.iter();
    let (_, ports) = kinds.find(|(known, _)| known.contains(&name))?;
    let shown = ports.iter().map(u16::to_string).collect::<Vec<_>>();
    let ports = ports.iter().map(|&port| Predicate::Port(port));
    Some((shown.join(", "), any_of(ports.collect())))
}

/// The connections over a service that has this name.
pub fn service_named(name: &str) -> Option<Predicate> {
    let (_, protocol, ports) = SERVICE_PORTS.iter().find(|(known, ..)| *known == name)?;
    let ports = ports.iter().map(|&port| Predicate::Port(port));
    Some(Predicate::All(vec![
        Predicate::Protocol(protocol),
        any_of(ports.collect()),
    ]))
}

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts "https", "ssh".
    pub(super) fn service(&mut self) -> bool {
        // "connections from ssh" and the like take it as a name before.
        if self.take(DNS_TRAFFIC) {
            self.predicates.push(Predicate::All(vec![any_of(vec![
                Predicate::Port(53),
                Predicate::Port(853),
            ])]));
            return true;
        }
        let Some(word) = self.take_one(SERVICES) else {
            return false;
        };
        self.predicates.extend(service_named(word));
        true
    }

    /// Accepts "ending in .xyz", "that contain evil", "like evil*".
    pub(super) fn pattern(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let start = self.next;
        self.take(THAT);
        let form: fn(String) -> Host = if self.take(ENDING) {
            if !self.take(IN) && !self.take(PREPOSITIONS) {
                self.next = start;
                return Ok(false);
            }
            Host::Ends
        } else if self.take(BEGINNING) {
            if !self.take(IN) && !self.take(PREPOSITIONS) {
                self.next = start;
                return Ok(false);
            }
            Host::Begins
        } else if self.take(CONTAINING) || self.take(LIKE) {
            Host::Contains
        } else {
            self.next = start;
            return Ok(false);
        };
        let groups = matches!(list, Projection::Actors(_));
        if groups && self.verb.is_none() {
            let at = self.words[self.next.saturating_sub(1)].at.clone();
            let hint = "only hosts can be asked for by a part of their name: \"which processes hit hosts ending in .xyz\"";
            return Err(self.refuse_word(at, Some(hint.to_owned())));
        }
        let word = self.name(NameKind::Host)?;
        let text = word.text.to_lowercase();
        let inner = text.trim_matches('*').to_owned();
        if inner.is_empty() || inner.contains('*') {
            let hint = "a part of a name, with a * before or after it";
            return Err(self.refuse_word(word.at, Some(hint.to_owned())));
        }
        let host = match (text.starts_with('*'), text.ends_with('*')) {
            (true, false) => Host::Ends(inner),
            (false, true) => Host::Begins(inner),
            (true, true) => Host::Contains(inner),
            (false, false) => form(inner),
        };
        self.predicates.push(Predicate::To(host));
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    /// The ports after "port": "443", "80 or 443", "22 to 25", "above 1024", "other than 53".
    pub(super) fn ports(&mut self) -> Result<Predicate, NotUnderstood> {
        let start = self.next;
        let other = self.next_is(OTHER) && self.word_is(self.next + 1, THAN);
        if other {
            self.next += 1;
            self.advance();
        }
        if other || self.take(NOT) {
            let denied = self.ports()?;
            return Ok(Predicate::Not(Box::new(denied)));
        }
        self.next = start;
        if let Some((operator, _)) = self.comparative() {
            let port = self.port()?;
            return port_limit(operator, port)
                .ok_or_else(|| self.refuse_all("there is no such port"));
        }
        if self.take(BETWEEN) {
            let first = self.port()?;
            if !self.take(AND) {
                return Err(self.refuse("\"and\""));
            }
            let last = self.port()?;
            return self.port_range(first, last);
        }
        let mut all = vec![self.range_or_port()?];
        while (self.next_is(OR) || self.next_is(AND)) && self.number_at(self.next + 1) {
            self.advance();
            let port = self.range_or_port()?;
            all.push(port);
        }
        Ok(any_of(all))
    }

    pub(super) fn number_at(&self, at: usize) -> bool {
        let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        self.words
            .get(at)
            .is_some_and(|word| !word.quoted && number(&word.text))
    }

    fn range_or_port(&mut self) -> Result<Predicate, NotUnderstood> {
        let range = self.words.get(self.next).and_then(|word| {
            let (first, last) = word.text.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        if let Some((first, last)) = range {
            self.advance();
            return self.port_range(first, last);
        }
        let first = self.port()?;
        if (self.next_is(TO) || self.next_is(&["-"])) && self.number_at(self.next + 1) {
            self.advance();
            let last = self.port()?;
            return self.port_range(first, last);
        }
        Ok(Predicate::Port(first))
    }

    fn port_range(&self, first: u16, last: u16) -> Result<Predicate, NotUnderstood> {
        match first <= last {
            true => Ok(Predicate::Ports(first, last)),
            false => Err(self.refuse_all("the first port of a range is the smaller one")),
        }
    }

    pub(super) fn port(&mut self) -> Result<u16, NotUnderstood> {
        let word = self.name(NameKind::Port)?;
        let text = word.text.trim_end_matches(',');
        text.parse().map_err(|_| {
            self.refuse_word(word.at, Some("a port is a number up to 65535".to_owned()))
        })
    }

    /// Accepts "source port 40983", "in-directory /tmp", "dns-server 8.8.8.8", "nxdomain".
    pub(super) fn particular(&mut self) -> Result<bool, NotUnderstood> {
        let own_port = self.next_is(OWN_PORT) && self.word_is(self.next + 1, PORT);
        if own_port {
            self.next += 1;
            self.advance();
            let port = self.port()?;
            self.predicates.push(Predicate::SourcePort(port));
        } else if self.incoming() {
        } else if self.take(BOTH_DIRECTIONS) {
            self.both_directions = true;
        } else if let Some(of) = self.executables() {
            self.predicates.push(Predicate::By(of));
        } else if self.take(IN_DIRECTORY) {
            let word = self.name(NameKind::Process)?;
            if !word.text.starts_with('/') {
                let hint = "a directory is a whole path, such as /tmp";
                return Err(self.refuse_word(word.at, Some(hint.to_owned())));
            }
            let of = Subject::ExecutableIn(word.text);
            self.predicates.push(Predicate::By(of));
        } else if self.take(IN_COMMAND_LINE) {
            let word = self.name(NameKind::Process)?;
            let of = Subject::CommandLine(word.text);
            self.predicates.push(Predicate::By(of));
        } else if self.take(ANY_UNIT) {
            self.predicates.push(Predicate::By(Subject::AnyUnit));
        } else if self.take(IN_COUNTRY) {
            let word = self.name(NameKind::Host)?;
            let is_code =
                word.text.len() == 2 && word.text.bytes().all(|b| b.is_ascii_alphabetic());
            let code = match is_code {
                true => Some(word.text.to_ascii_uppercase()),
                false => country::of_name(&word.text),
            };
            let Some(code) = code else {
                let hint = "a country is its name or its two letters, such as DE";
                return Err(self.refuse_word(word.at, Some(hint.to_owned())));
            };
            self.predicates.push(Predicate::Country(code));
        } else if self.take(RULE_IS) {
            let Some(word) = self.words.get(self.next).cloned() else {
                return Err(self.refuse("the name of a rule"));
            };
            self.advance();
            self.predicates.push(Predicate::Rule(word.text));
        } else if self.take(DNS_SERVER) {
            let host = self.host()?;
            if !matches!(host, Host::Addresses { first, last } if first == last) {
                return Err(self.refuse_all("a DNS server is an address"));
            }
            self.predicates.push(Predicate::Server(host));
            self.verb = Some(crate::query::ast::Relation::Lookups);
        } else if let Some(word) = self.take_one(RCODES) {
            self.predicates.push(Predicate::Rcode(match word {
                "servfail" => "SERVFAIL",
                _ => "NXDOMAIN",
            }));
            self.verb = Some(crate::query::ast::Relation::Lookups);
            self.take(LOOKUPS);
        } else {
            return Ok(false);
        }
        self.bare_name = BareName::Nothing;
        self.expecting = None;
        Ok(true)
    }
}

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts "incoming": of flows whose peer sent first.
    pub(super) fn incoming(&mut self) -> bool {
        let taken = self.take(INCOMING);
        if taken {
            self.predicates.push(Predicate::Direction("in"));
            self.loose = true;
        }
        taken
    }
}

/// The ports above or below a limit; none if there are none.
pub(super) fn port_limit(operator: Operator, port: u16) -> Option<Predicate> {
    Some(match operator {
        Operator::More => Predicate::Ports(port.checked_add(1)?, u16::MAX),
        Operator::AtLeast => Predicate::Ports(port, u16::MAX),
        Operator::Less => Predicate::Ports(1, port.checked_sub(1)?),
        Operator::AtMost => Predicate::Ports(1, port),
        Operator::Exactly => Predicate::Port(port),
    })
}
