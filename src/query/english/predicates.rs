//! Verbs, outcomes, protocols, address scopes, sources of names, and what to group by.

use chrono::TimeZone;

use super::comparison::direction_of;
use super::idioms;
use super::parser::{BareName, Parser};
use super::refusal::NotUnderstood;
use super::subject::{ACTORS, ORIGINS};
use super::vocabulary::*;
use crate::query::ast::{Actors, Bucket, Predicate, Projection, Property, Relation};

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts a verb with the words that belong to it.
    pub(super) fn verb(&mut self) -> bool {
        let start = self.next;
        let direction = self
            .words
            .get(self.next)
            .and_then(|word| direction_of(&word.text));
        let from = if self.take(VERBS) {
            // "send or receive": both directions
            let both =
                direction.is_some() && self.next_is(OR) && self.word_is(self.next + 1, RECEIVING);
            if both {
                self.next += 1;
                self.advance();
            } else {
                self.direction = direction.or(self.direction);
            }
            // "sent data to", unless "data" is the last word: then it is a host
            if self.next + 1 < self.words.len() {
                self.take(TRAFFIC);
            }
            self.take(PREPOSITIONS);
            Some(Relation::Connections)
        } else if self.take(FETCH) {
            self.direction = direction.or(self.direction);
            let _ = self.take(FROM) || self.take(PREPOSITIONS);
            Some(Relation::Connections)
        } else if self.take(MAKE) {
            // "made lookups", "made network connections"
            if self.word_is(self.next + 1, CONNECTIONS) {
                self.take(OUTBOUND);
            }
            let dns = self.take(DNS);
            match self.take(LOOKUPS) || dns && !self.next_is(CONNECTIONS) {
                true => Some(Relation::Lookups),
                false => self.take(CONNECTIONS).then_some(Relation::Connections),
            }
        } else if self.take(RESOLVE)
            || self.take(LOOK) && self.take(UP)
            || self.take(ASK) && self.take(FOR)
        {
            Some(Relation::Lookups)
        } else {
            self.next = start;
            return false;
        };
        self.verb = self.verb.or(from);
        true
    }

    /// Accepts "failed", "refused", "timed out", "tcp or udp"; whether there was one.
    pub(super) fn outcome(&mut self) -> bool {
        let kept = self.predicates.len();
        if !self.one_outcome() {
            return false;
        }
        // A connection has one outcome: "failed and refused connections" are both.
        let ended = |predicate: Option<&Predicate>| {
            matches!(predicate, Some(Predicate::Failed | Predicate::Outcome(_)))
        };
        while self.next_is(OR)
            || self.next_is(AND)
                && ended(self.predicates.last())
                && [FAILED, OUTCOMES]
                    .iter()
                    .any(|words| self.word_is(self.next + 1, words))
        {
            let start = self.next;
            self.advance();
            if !self.one_outcome() {
                self.next = start;
                break;
            }
        }
        if self.predicates.len() > kept + 1 {
            let either = Vec::from_iter(self.predicates.drain(kept..));
            self.predicates.push(Predicate::Any(either));
        }
        true
    }

    fn one_outcome(&mut self) -> bool {
        if self.take(FAILED) {
            // "failed to resolve", "failed lookups"
            let next = self.next;
            self.predicates.push(Predicate::Failed);
            if !self.take(PREPOSITIONS) {
                return true;
            }
            if self.next_is(VERBS) || self.next_is(FETCH) {
                self.verb();
                self.bare_name = BareName::Object;
            } else if self.take(RESOLVE) {
                self.verb = Some(Relation::Lookups);
            } else {
                self.next = next;
            }
            return true;
        }
        let time_out = self.next_is(TIME) && self.word_is(self.next + 1, OUT);
        if time_out || self.take(TIMED) {
            self.take(TIME);
            self.take(OUT);
            self.predicates.push(Predicate::Outcome("timeout"));
            return true;
        }
        if self.take(SUCCEEDED) {
            self.predicates.push(Predicate::Succeeded);
            return true;
        }
        if let Some(word) = self.take_one(OUTCOMES) {
            self.predicates.push(Predicate::Outcome(match word {
                "rejected" => "refused",
                word => word,
            }));
            return true;
        }
        if self.take(OTHER_NAMED) {
            self.predicates.push(Predicate::OtherName);
            return true;
        }
        if let Some(word) = self.take_one(ENCRYPTED_DNS) {
            self.predicates.push(match word {
                "dns-over-https" => Predicate::DnsOverHttps,
                // of TLS and QUIC, RFC 7858 and RFC 9250
                _ => Predicate::Any(vec![Predicate::DnsOverHttps, Predicate::Port(853)]),
            });
            return true;
        }
        if let Some(word) = self.take_one(JUDGED) {
            self.predicates.push(match word {
                "would-block" => Predicate::WouldBlock,
                "alerted" => Predicate::Verdict("alert"),
                "killed" => enforced("kill"),
                "suspended" => enforced("suspend"),
                "dumped" => enforced("dump"),
                _ => Predicate::Blocked,
            });
            return true;
        }
        if let Some(family) = self.take_one(FAMILIES) {
            self.predicates
                .push(Predicate::Family(if family == "ipv6" { 6 } else { 4 }));
            return true;
        }
        if self.bare_name != BareName::Subject && self.service() {
            return true;
        }
        let start = self.next;
        self.take(PROTOCOL);
        if let Some(word) = self.take_one(PROTOCOLS) {
            self.predicates.push(Predicate::Protocol(word));
            return true;
        }
        self.next = start;
        false
    }

    /// Accepts "per hour", "hourly".
    pub(super) fn per(&mut self) -> Result<bool, NotUnderstood> {
        match self.take(PER) {
            false => Ok(self.adverb()),
            true if self.span_of() || self.group(false) => Ok(true),
            true if self.number_at(self.next) => Err(self.refuse_all(
                "an hour is split into 2, 3, 5, 6, 10, 12, 15, 20 or 30 minutes, a day into 2, 3, 4, 6, 8 or 12 hours: \"connections per 5 minutes\"",
            )),
            true => Err(self.refuse("minute, hour, day, week, month, or what to group by")),
        }
    }

    /// Accepts "hourly".
    pub(super) fn adverb(&mut self) -> bool {
        self.one_per([
            (HOURLY, Bucket::Hour),
            (DAILY, Bucket::Day),
            (WEEKLY, Bucket::Week),
            (MONTHLY, Bucket::Month),
        ])
    }

    /// Accepts the "hour" of "per hour", and the "5 minutes" of "per 5 minutes".
    pub(super) fn span_of(&mut self) -> bool {
        if let Some((bucket, words)) = self.several() {
            self.bucket = Some(bucket);
            (0..words).for_each(|_| self.advance());
            return true;
        }
        self.one_per([
            (MINUTE, Bucket::Minute),
            (HOUR, Bucket::Hour),
            (DAY, Bucket::Day),
            (WEEK, Bucket::Week),
            (MONTH, Bucket::Month),
        ])
    }

    /// Accepts the "host" of "per host". After "by", a noun with a name is a subject instead.
    pub(super) fn group(&mut self, by: bool) -> bool {
        // "by processes that hit x.org"
        if by && self.at_those().is_some() {
            return false;
        }
        if self.take(EACH_NAMED) {
            self.group = Some(Projection::Actors(Actors::Processes));
            self.compares = true;
            return true;
        }
        let list = |(words, actors)| (words, Projection::Actors(actors));
        let actors = ACTORS.into_iter().chain(ORIGINS).map(list);
        let others = [
            (NAMES, Projection::Destinations),
            (ADDRESSES, Projection::Addresses),
            (PORTS, Projection::Ports),
            (GROUPED_PROTOCOL, Projection::Properties(Property::Protocol)),
            (GROUPED_OUTCOME, Projection::Properties(Property::Outcome)),
            (GROUPED_TYPE, Projection::Properties(Property::QueryType)),
            (GROUPED_COUNTRY, Projection::Properties(Property::Country)),
            (GROUPED_NETWORK, Projection::Properties(Property::Network)),
        ];
        let mut lists = actors.clone().chain(others);
        let Some((words, list)) = lists.find(|(words, _)| self.next_is(words)) else {
            let words = actors.chain(others).map(|(words, _)| words);
            self.tried.extend(words);
            return false;
        };
        let next = self.next + 1;
        let ends = self
            .words
            .get(next)
            .is_none_or(|word| !word.quoted && idioms::is_grammar(&word.text))
            || CLAUSES.iter().any(|clause| self.word_is(next, clause))
            || self.word_is(next, FOR);
        if by && matches!(list, Projection::Actors(_)) && self.next_is(SINGULAR) && !ends {
            return false;
        }
        self.take(words);
        self.group = Some(list);
        true
    }

    /// The span of several minutes or hours that follows, and its words; only such as an hour or a
    /// day consists of.
    fn several(&self) -> Option<(Bucket, usize)> {
        let text = |at: usize| {
            let word = self.words.get(at).filter(|word| !word.quoted);
            word.map_or("", |word| word.text.as_str())
        };
        let first = text(self.next);
        let digits = first.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = first.split_at(digits);
        // "5 minutes", "5min", "5-minute"
        let (unit, words) = match rest.trim_start_matches('-') {
            "" => (text(self.next + 1), 2),
            unit => (unit, 1),
        };
        let number = number.parse::<u8>().ok()?;
        let is = |known: Words| known.iter().any(|one| unit.eq_ignore_ascii_case(one));
        let divides = |whole: u8| (2..whole).contains(&number) && whole.is_multiple_of(number);
        let bucket = match () {
            () if is(MINUTE) || is(&["m", "min", "mins"]) => match number {
                1 => Bucket::Minute,
                60 => Bucket::Hour,
                number if divides(60) => Bucket::Minutes(number),
                _ => return None,
            },
            () if is(HOUR) || is(&["h", "hr", "hrs"]) => match number {
                1 => Bucket::Hour,
                24 => Bucket::Day,
                number if divides(24) => Bucket::Hours(number),
                _ => return None,
            },
            () => return None,
        };
        Some((bucket, words))
    }

    fn one_per<const N: usize>(&mut self, known: [(Words, Bucket); N]) -> bool {
        let mut known = known.into_iter();
        let bucket = known.find_map(|(words, bucket)| self.take(words).then_some(bucket));
        self.bucket = bucket.or(self.bucket);
        bucket.is_some()
    }

    /// Whether "public IPs" or the like follows.
    pub(super) fn at_scope(&mut self) -> bool {
        self.skip_article();
        self.tried.push(SCOPES);
        self.next_is(SCOPES)
            && (self.word_is(self.next + 1, ADDRESSES) || self.word_is(self.next + 1, NAMES))
    }

    /// Takes the first word of it.
    pub(super) fn scope(&mut self) -> Option<Predicate> {
        if !self.at_scope() {
            return None;
        }
        self.take_one(SCOPES)
            .map(|word| Predicate::Scope(scope_named(word)))
    }

    /// Takes "named by SOURCE".
    pub(super) fn named(&mut self) -> Result<bool, NotUnderstood> {
        if !self.take(NAMED) {
            return Ok(false);
        }
        self.take(BY);
        match self.take_one(SOURCES) {
            Some(source) => self.predicates.push(Predicate::Source(source)),
            None => return Err(self.refuse("the source of the name")),
        }
        Ok(true)
    }

    /// Accepts "raw IPs" or "addresses without a name". If the first of these words is the
    /// last of the question, it is a host.
    pub(super) fn raw(&mut self) -> Result<bool, NotUnderstood> {
        if self.next + 1 == self.words.len() {
            self.tried.push(RAW);
            return Ok(false);
        }
        if self.take(RAW) {
            return match self.take(ADDRESSES) {
                true => Ok(true),
                false => Err(self.refuse("\"IPs\"")),
            };
        }
        let start = self.next;
        if !self.take(ADDRESSES) {
            return Ok(false);
        }
        // "IP addresses"
        self.take(ADDRESSES);
        if self.take(DIRECTLY) {
            return Ok(true);
        }
        // "the IP 192.0.2.1"
        if self
            .words
            .get(self.next)
            .is_some_and(|word| word.text.parse::<std::net::IpAddr>().is_ok())
        {
            self.next = start;
            return Ok(false);
        }
        if !self.take(WITHOUT) {
            return Err(self.refuse("\"without a name\""));
        }
        self.take(ANY);
        match self.take(NAMES) {
            true => Ok(true),
            false => Err(self.refuse("\"a name\"")),
        }
    }
}

/// A verdict that was not only observed.
fn enforced(verdict: &'static str) -> Predicate {
    Predicate::All(vec![Predicate::Verdict(verdict), Predicate::Blocked])
}

/// The view's word for an address scope.
pub(super) fn scope_named(word: &'static str) -> &'static str {
    match word {
        "external" => "public",
        "internal" => "private",
        word => word,
    }
}
