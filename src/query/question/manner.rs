//! What was done, and how it went: verbs, outcomes, protocols, sources of names.

use chrono::TimeZone;

use super::super::refusal::NotUnderstood;
use super::parser::{Open, Parser};
use super::subject::ACTORS;
use super::vocabulary::*;
use super::{From, List, Only, Per};

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Takes a verb with the words that belong to it.
    pub(super) fn verb(&mut self) -> bool {
        let start = self.next;
        let from = if self.take(VERBS) {
            // "sent data to", but not a host of that name
            if self.next + 1 < self.words.len() {
                self.take(TRAFFIC);
            }
            self.take(PREPOSITIONS);
            Some(From::Connections)
        } else if self.take(FETCH) {
            let _ = self.take(FROM) || self.take(PREPOSITIONS);
            Some(From::Connections)
        } else if self.take(MAKE) {
            // "made lookups"
            self.take(DNS);
            match self.take(LOOKUPS) {
                true => Some(From::Lookups),
                false => self.take(CONNECTIONS).then_some(From::Connections),
            }
        } else if self.take(RESOLVE)
            || self.take(LOOK) && self.take(UP)
            || self.take(ASK) && self.take(FOR)
        {
            Some(From::Lookups)
        } else {
            self.next = start;
            return false;
        };
        self.verb = self.verb.or(from);
        true
    }

    /// Takes "failed", "refused", "timed out"; whether there was one.
    pub(super) fn outcome(&mut self) -> bool {
        if self.take(FAILED) {
            // "failed to resolve", "failed lookups"
            let next = self.next;
            self.only.push(Only::Failed);
            if !self.take(PREPOSITIONS) {
                return true;
            }
            if self.next_is(VERBS) {
                self.verb();
                self.open = Open::Object;
            } else if self.take(RESOLVE) {
                self.verb = Some(From::Lookups);
            } else {
                self.next = next;
            }
            return true;
        }
        let time_out = self.next_is(TIME) && self.word_is(self.next + 1, OUT);
        if time_out || self.take(TIMED) {
            self.take(TIME);
            self.take(OUT);
            self.only.push(Only::Outcome("timeout"));
            return true;
        }
        if self.take(SUCCEEDED) {
            self.only.push(Only::Succeeded);
            return true;
        }
        if let Some(word) = self.take_one(OUTCOMES) {
            self.only.push(Only::Outcome(match word {
                "rejected" => "refused",
                "blocked" => "denied",
                word => word,
            }));
            return true;
        }
        if let Some(family) = self.take_one(FAMILIES) {
            self.only
                .push(Only::Family(if family == "ipv6" { 6 } else { 4 }));
            return true;
        }
        let start = self.next;
        self.take(PROTOCOL);
        if let Some(word) = self.take_one(PROTOCOLS) {
            self.only.push(Only::Protocol(word));
            return true;
        }
        self.next = start;
        false
    }

    /// Takes "per hour", "hourly".
    pub(super) fn per(&mut self) -> Result<bool, NotUnderstood> {
        match self.take(PER) {
            false => Ok(self.adverb()),
            true if self.span_of() || self.group(false) => Ok(true),
            true => Err(self.refuse("minute, hour, day, week, month, or what to count for")),
        }
    }

    /// Takes "hourly".
    pub(super) fn adverb(&mut self) -> bool {
        self.one_per([
            (HOURLY, Per::Hour),
            (DAILY, Per::Day),
            (WEEKLY, Per::Week),
            (MONTHLY, Per::Month),
        ])
    }

    /// Takes the "hour" of "per hour".
    pub(super) fn span_of(&mut self) -> bool {
        self.one_per([
            (MINUTE, Per::Minute),
            (HOUR, Per::Hour),
            (DAY, Per::Day),
            (WEEK, Per::Week),
            (MONTH, Per::Month),
        ])
    }

    /// Takes the "host" of "per host". After "by" it is who acted, where it has a name.
    pub(super) fn group(&mut self, by: bool) -> bool {
        let actors = ACTORS.map(|(words, actors)| (words, List::Actors(actors)));
        let others = [
            (NAMES, List::Destinations),
            (ADDRESSES, List::Addresses),
            (PORTS, List::Ports),
        ];
        let mut lists = actors.into_iter().chain(others);
        let Some((words, list)) = lists.find(|(words, _)| self.next_is(words)) else {
            let words = actors.into_iter().chain(others).map(|(words, _)| words);
            self.tried.extend(words);
            return false;
        };
        let next = self.next + 1;
        let ends = next == self.words.len()
            || [
                SINCE,
                UNTIL,
                BETWEEN,
                TODAY,
                YESTERDAY,
                THIS,
                IN,
                ON,
                PER,
                BY,
                PREPOSITIONS,
            ]
            .iter()
            .any(|clause| self.word_is(next, clause));
        if by && matches!(list, List::Actors(_)) && self.next_is(SINGULAR) && !ends {
            return false;
        }
        self.take(words);
        self.group = Some(list);
        true
    }

    fn one_per<const N: usize>(&mut self, known: [(Words, Per); N]) -> bool {
        let mut known = known.into_iter();
        let per = known.find_map(|(words, per)| self.take(words).then_some(per));
        self.per = per.or(self.per);
        per.is_some()
    }

    /// Whether "public IPs" or the like comes next.
    pub(super) fn at_scope(&mut self) -> bool {
        self.skip_article();
        self.tried.push(SCOPES);
        self.next_is(SCOPES)
            && (self.word_is(self.next + 1, ADDRESSES) || self.word_is(self.next + 1, NAMES))
    }

    /// Takes the first word of it.
    pub(super) fn scope(&mut self) -> Option<Only> {
        if !self.at_scope() {
            return None;
        }
        self.take_one(SCOPES).map(|word| {
            Only::Scope(match word {
                "external" => "public",
                "internal" => "private",
                word => word,
            })
        })
    }

    /// Takes "named by SOURCE".
    pub(super) fn named(&mut self) -> Result<bool, NotUnderstood> {
        if !self.take(NAMED) {
            return Ok(false);
        }
        self.take(BY);
        match self.take_one(SOURCES) {
            Some(source) => self.only.push(Only::Source(source)),
            None => return Err(self.refuse("where the name came from")),
        }
        Ok(true)
    }

    /// Takes "raw IPs" or "addresses without a name". A first word of these that
    /// is the last one of the question is a host's name.
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
