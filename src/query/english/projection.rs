//! The start of a question: what to list.

use chrono::TimeZone;

use super::parser::{BareName, Parser};
use super::predicates::scope_named;
use super::refusal::NotUnderstood;
use super::subject::{ACTORS, EXECUTABLES, ORIGINS};
use super::units::microseconds_in;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::{
    Actors, Comparison, Counted, Limit, Measure, Operator, Predicate, Projection, Property,
    Ranking, Relation,
};
use crate::query::host::Host;

/// Rows of a "top" without a number.
pub(super) const TOP_ROWS: u32 = 10;

impl<Tz: TimeZone> Parser<'_, Tz> {
    pub(super) fn projection(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        if self.take(WHO) {
            self.expecting = Some("\"hit\" or \"talked to\"");
            return Ok((Projection::Actors(Actors::Processes), Relation::Connections));
        }
        if self.take(WHEN) {
            self.expecting = Some("\"did\"");
            return Ok((Projection::Each, Relation::Connections));
        }
        if self.take(HOW) {
            if self.take(MUCH) {
                if !self.take(TRAFFIC) || self.next < self.words.len() {
                    self.expecting = Some("\"did\"");
                }
                return Ok((Projection::Bytes, Relation::Connections));
            }
            let often = self.take(OFTEN);
            if !often && !self.take(MANY) {
                return Err(self.refuse("\"many\", \"much\" or \"often\""));
            }
            if often || self.take(TIMES) {
                return Ok((Projection::Count(Counted::Rows), Relation::Connections));
            }
            if self.take(TRAFFIC) {
                return Ok((Projection::Bytes, Relation::Connections));
            }
            let (list, from) = self.noun()?;
            return Ok((Projection::Count(list.counted()), from));
        }
        if self.take(WHATS) || self.next_is(WHAT) && self.word_is(self.next + 1, PASSIVE) {
            if self.take(WHAT) {
                self.take(PASSIVE);
            }
            return self.what_is();
        }
        if self.take(WHAT) {
            if self.next_is(ACTIVE) && self.word_is(self.next + 1, NOT) {
                return Ok((Projection::Actors(Actors::Processes), Relation::Connections));
            }
            if self.next_is(ACTIVE) {
                return Ok((Projection::Destinations, Relation::Connections));
            }
            if self.subject_acts(self.next) && !self.next_is(ANYONE) {
                return Ok((Projection::Destinations, Relation::Connections));
            }
            while self.take(OUTBOUND) {}
            if !self.next_is(NEW) && !self.at_noun() {
                self.expecting = Some("\"did\", \"hit\" or what to list");
                return Ok((Projection::Actors(Actors::Processes), Relation::Connections));
            }
            return self.noun();
        }
        if self.take(ACTIVE) {
            self.bare_name = BareName::Subject;
            return Ok((Projection::Actors(Actors::Processes), Relation::Connections));
        }
        if self.take(PASSIVE) {
            return self.whether();
        }
        if self.next_is(WHY) {
            let at = self.words[self.next].at.clone();
            let hint = "ask \"which connections failed\" to see how they ended; 'egrets explain ID' explains a connection's name";
            return Err(self.refuse_word(at, Some(hint.to_owned())));
        }
        if self.next_is(COMPARED) {
            return Err(self.refuse_compared());
        }
        if self.take(COUNT) || self.take(NUMBER) && self.take(OF) {
            let (list, from) = self.noun()?;
            return Ok((Projection::Count(list.counted()), from));
        }
        if let Some(special) = self.special()? {
            return Ok(special);
        }
        let which = self.take(WHICH);
        if which && let Some(special) = self.special()? {
            return Ok(special);
        }
        while which && (self.take(FILLERS) || self.take(OUTBOUND)) {}
        if which && self.take(TRAFFIC) {
            return Ok((Projection::Bytes, Relation::Connections));
        }
        while self.adverb() {}
        // "show the last 5 minutes"
        if !self.next_is(FIRST) && self.time()? {
            while self.next < self.words.len() && self.time()? {}
            // "since yesterday evening who hit x.org"
            let asks = [WHO, WHICH, WHAT, HOW, WHEN];
            if asks.iter().any(|words| self.next_is(words)) {
                return self.projection();
            }
            self.no_question_word = true;
            if self.at_noun() {
                return self.noun();
            }
            return Ok((Projection::Destinations, Relation::Connections));
        }
        if self.take_ranking()? || which {
            if self.bare_name == BareName::Subject {
                return Ok((Projection::Each, Relation::Connections));
            }
            return self.noun();
        }
        self.no_question_word = true;
        while self.take(FILLERS) || self.take(OUTBOUND) {}
        if self.take(TRAFFIC) {
            return Ok((Projection::Bytes, Relation::Connections));
        }
        let start = self.next;
        while self.adjective() {}
        if self.take(TRAFFIC) {
            return Ok((Projection::Bytes, Relation::Connections));
        }
        if self.at_noun() {
            return self.noun();
        }
        // "quic", "ssh since yesterday"
        if self.next > start && !self.predicates.is_empty() && self.ends_or_time() {
            return Ok((Projection::Each, Relation::Connections));
        }
        if self.particular()? {
            return Ok((Projection::Each, Relation::Connections));
        }
        if self.new {
            return Ok((Projection::Destinations, Relation::Connections));
        }
        let mut refused = self.refuse("a question");
        if refused.hint.is_none()
            && let Some(word) = self.words.get(self.next)
        {
            refused.hint = match Host::parse(&word.text, false) {
                Err(why) => Some(why),
                Ok(_) if word.text.contains('.') => {
                    Some(format!("try: which processes hit {}", word.text))
                }
                Ok(_) if self.words.len() > 2 => None,
                Ok(_) => Some(format!("try: what did {} talk to", word.text)),
            };
        }
        Err(refused)
    }

    /// Whether the question ends here, or goes on with a time or a place.
    fn ends_or_time(&self) -> bool {
        let mut clauses = CLAUSES.into_iter().chain([LAST, NOT, BUT]);
        self.next >= self.words.len() || clauses.any(|words| self.next_is(words))
    }

    /// Heads that are not one list: "answers for HOST", "beacons", "summary".
    fn special(&mut self) -> Result<Option<(Projection, Relation)>, NotUnderstood> {
        let (connections, lookups) = (Relation::Connections, Relation::Lookups);
        if self.next_is(ANSWERS) && self.word_is(self.next + 1, FOR) {
            self.next += 1;
            self.advance();
            return self.answers().map(Some);
        }
        if self.next_is(NAMES)
            && self.word_is(self.next + 1, OF)
            && self.words.len() > self.next + 2
        {
            self.next += 1;
            self.advance();
            return self.names_of().map(Some);
        }
        if self.next_is(PORT) && self.number_at(self.next + 1) {
            self.advance();
            let ports = self.ports()?;
            self.predicates.push(ports);
            return Ok(Some((Projection::Each, connections)));
        }
        if self.take(BEACONS) {
            self.beacon_interval();
            return Ok(Some((Projection::Beacons, connections)));
        }
        if self.take(CHANGES) {
            return Ok(Some((Projection::Changes(0), connections)));
        }
        if self.take(SUMMARY) {
            return Ok(Some((Projection::Summary, connections)));
        }
        if self.take(PAIRS) {
            if !self.take(PER) {
                return Err(self.refuse("\"per\""));
            }
            return match self.listed_actors() {
                Some(actors) => Ok(Some((Projection::Pairs(actors), connections))),
                None => Err(self.refuse("process, user, container or unit")),
            };
        }
        if self.take(AVERAGE) {
            let of = if self.take(LOOKUPS) {
                lookups
            } else {
                connections
            };
            let measure = if self.take(TRAFFIC) {
                self.take_direction();
                Measure::Bytes
            } else if self.take(DURATION) {
                Measure::Duration
            } else if self.take(LATENCY) {
                Measure::Latency
            } else {
                return Err(self.refuse("bytes, duration or latency"));
            };
            return Ok(Some((Projection::Average(measure), of)));
        }
        Ok(None)
    }

    fn answers(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        let host = match self.host()? {
            // "db" can be a label of longer names
            Host::Domain(name) if name.contains('.') => Host::Exact(name),
            host => host,
        };
        if matches!(host, Host::Addresses { .. } | Host::Raw) {
            self.predicates.push(Predicate::To(host));
            return Ok((Projection::NamesOfAddress, Relation::Connections));
        }
        self.predicates.push(Predicate::To(host));
        Ok((Projection::Answers, Relation::Lookups))
    }

    fn names_of(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        let start = self.next;
        match self.host()? {
            Host::Addresses { first, last } if first == last => {
                self.predicates.push(Predicate::To(Host::Addresses { first, last }));
                Ok((Projection::NamesOfAddress, Relation::Connections))
            }
            Host::Addresses { .. } => Err(self.refuse_all("ask for the names of one address: \"which hosts in 10.0.0.0/8\" is \"which hosts were contacted on network 10.0.0.0/8\"")),
            _ => {
                self.next = start;
                self.answers()
            }
        }
    }

    /// Accepts "every minute", "every 5 minutes" of beacons: within a quarter.
    fn beacon_interval(&mut self) {
        let start = self.next;
        if !self.take(PER) {
            return;
        }
        let number = self
            .words
            .get(self.next)
            .and_then(|word| word.text.parse::<i64>().ok());
        if number.is_some() {
            self.advance();
        }
        let unit = self
            .words
            .get(self.next)
            .and_then(|word| microseconds_in(&word.text));
        let Some(unit) = unit else {
            self.next = start;
            return;
        };
        self.advance();
        let interval = unit as i64 * number.unwrap_or(1).clamp(1, 10_000);
        let of = |operator, limit| Comparison {
            measure: Measure::Duration,
            operator,
            limit: Limit::Number(limit),
        };
        self.compared
            .push(of(Operator::AtLeast, interval - interval / 4));
        self.compared
            .push(of(Operator::AtMost, interval + interval / 4));
    }

    /// The rest of "is there any traffic", "is curl talking to HOST", "was HOST contacted".
    fn whether(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        if self.take(THERE) {
            while self.take(FILLERS) {}
            if self.take(TRAFFIC) {
                return Ok((Projection::Bytes, Relation::Connections));
            }
            return self.noun();
        }
        let hit = self.words.get(self.next).filter(|word| !word.quoted);
        let hit = hit.filter(|word| word.text.contains(['.', ':']));
        if let Some(Ok(host)) = hit.map(|word| Host::parse(&word.text, false)) {
            self.advance();
            self.predicates.push(Predicate::To(host));
            self.expecting = Some("\"contacted\"");
            return Ok(match self.next_is(NEW) {
                true => (Projection::Destinations, Relation::Connections),
                false => (Projection::Actors(Actors::Processes), Relation::Connections),
            });
        }
        self.bare_name = BareName::Subject;
        Ok((Projection::Actors(Actors::Processes), Relation::Connections))
    }

    /// The rest of "what is new", "what are the top hosts", "what is talking to HOST" and
    /// "what is curl talking to".
    fn what_is(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        let doing = |word: &Word| !word.quoted && word.text.to_lowercase().ends_with(DOING);
        if self.take(NEW) {
            self.new = true;
            return Ok((Projection::Destinations, Relation::Connections));
        }
        // "what is open to HOST"
        if self.take(OPENED) {
            self.predicates.push(Predicate::Open);
            return Ok((Projection::Each, Relation::Connections));
        }
        // elsewhere, "using" introduces a port or protocol
        let verbs = [VERBS, FETCH, RESOLVE, LOOK, ASK, MAKE];
        if verbs.iter().any(|verbs| self.next_is(verbs)) || self.next_is(&["using"]) {
            let doing = self.words.get(self.next).is_some_and(doing);
            return Ok((
                match doing {
                    true => Projection::Actors(Actors::Processes),
                    false => Projection::Destinations,
                },
                Relation::Connections,
            ));
        }
        self.skip_article();
        if let Some(special) = self.special()? {
            return Ok(special);
        }
        let one = self.next_is(SINGULAR) || self.at_descendants();
        if !one && (self.take_ranking()? || self.at_noun()) {
            return self.noun();
        }
        self.tried.extend([NEW, VERBS]);
        (self.bare_name, self.expecting) = (BareName::Subject, Some("a name"));
        Ok((Projection::Destinations, Relation::Connections))
    }

    /// Accepts an adjective of a noun: "failed", "new", "hourly".
    fn adjective(&mut self) -> bool {
        if self.take(NEW) {
            self.new = true;
            return true;
        }
        if self.take(OUTBOUND) {
            return true;
        }
        if self.incoming() {
            return true;
        }
        if self.next_is(OPENED) && self.word_is(self.next + 1, CONNECTIONS) {
            self.advance();
            self.predicates.push(Predicate::Open);
            return true;
        }
        // "loopback connections"
        let scoped = [CONNECTIONS, TRAFFIC]
            .iter()
            .any(|words| self.word_is(self.next + 1, words));
        if scoped && let Some(word) = self.take_one(SCOPES) {
            self.predicates.push(Predicate::Scope(scope_named(word)));
            return true;
        }
        // "not https"
        if self.next_is(NOT) {
            let (start, kept) = (self.next, self.predicates.len());
            self.advance();
            if self.outcome()
                && let Some(denied) = self.predicates.pop()
            {
                self.predicates.truncate(kept);
                self.predicates.push(Predicate::Not(Box::new(denied)));
                return true;
            }
            self.next = start;
        }
        self.outcome() || self.adverb()
    }

    /// Accepts "top 10", "first 3", "last"; whether there was one.
    pub(super) fn take_ranking(&mut self) -> Result<bool, NotUnderstood> {
        let (pick, default): (fn(u32) -> Ranking, _) = if self.take(TOP) {
            (Ranking::Most, TOP_ROWS)
        } else if self.take(FIRST) {
            (Ranking::First, 1)
        } else if self.take(LAST) {
            (Ranking::Last, 1)
        } else if self.take(SLOWEST) {
            (Ranking::Slowest, TOP_ROWS)
        } else if self.take(LONGEST) {
            (Ranking::Longest, TOP_ROWS)
        } else if self.take(LARGEST) {
            (Ranking::MostBytes, TOP_ROWS)
        } else if self.take(SMALLEST) {
            (least_bytes, TOP_ROWS)
        } else if self.take(BOTTOM) {
            (least_rows, TOP_ROWS)
        } else {
            return Ok(false);
        };
        let number = match self.words.get(self.next) {
            Some(word) if !word.quoted => word.text.parse::<u32>().ok(),
            _ => None,
        };
        if number == Some(0) {
            return Err(self.refuse("a number of at least 1"));
        }
        if number.is_some() {
            self.advance();
        }
        let number_or = number.unwrap_or(match self.at_one() {
            true => 1,
            false => default,
        });
        // "top 10 slowest lookups"
        self.ranking = Some(match pick(number_or) {
            Ranking::Most(n) if self.take(SLOWEST) => Ranking::Slowest(n),
            Ranking::Most(n) if self.take(LONGEST) => Ranking::Longest(n),
            Ranking::Most(n) if self.take(LARGEST) => Ranking::MostBytes(n),
            pick => pick,
        });
        // "the last time curl hit HOST"
        if number.is_none() && self.take(TIME) {
            self.bare_name = BareName::Subject;
        }
        Ok(true)
    }

    /// Whether the noun that follows is singular: "the biggest transfer" is one.
    fn at_one(&self) -> bool {
        let adjectives = [
            OUTBOUND, DNS, FAILED, OPENED, ARTICLES, SLOWEST, LONGEST, LARGEST,
        ];
        let mut at = self.next;
        while adjectives.iter().any(|words| self.word_is(at, words)) {
            at += 1;
        }
        self.word_is(at, ONE)
    }

    fn at_noun(&mut self) -> bool {
        self.skip_article();
        if self.at_descendants() {
            return true;
        }
        let others = [
            HASHES,
            NAMES,
            ADDRESSES,
            PORTS,
            CONNECTIONS,
            ERRORS,
            DNS,
            LOOKUPS,
            RAW,
            RULES,
            VERDICTS,
            PROTOCOL_NAMES,
        ];
        let actors = ACTORS.into_iter().chain(ORIGINS);
        let kinds = EXECUTABLES.into_iter().map(|(words, _)| words);
        let nouns = actors.map(|(words, _)| words).chain(kinds);
        let mut nouns = nouns.chain(others);
        nouns.any(|words| {
            self.next_is(words) || {
                self.tried.push(words);
                false
            }
        }) || self.at_scope()
    }

    /// The noun that names what to list.
    pub(super) fn noun(&mut self) -> Result<(Projection, Relation), NotUnderstood> {
        while self.adjective() {}
        if self.at_descendants() {
            let of = self.subject()?;
            self.predicates.push(Predicate::By(of));
            return Ok((Projection::Actors(Actors::Processes), Relation::Connections));
        }
        if let Some(actors) = self.listed_actors() {
            return Ok((Projection::Actors(actors), Relation::Connections));
        }
        if self.take(ERRORS) {
            self.predicates.push(Predicate::Failed);
            return Ok((Projection::Each, Relation::Connections));
        }
        if self.take(HASHES) {
            return Ok((Projection::Hashes, Relation::Connections));
        }
        if self.take(RULES) {
            return Ok((Projection::Rules, Relation::Connections));
        }
        if self.take(VERDICTS) {
            return Ok((Projection::Verdicts, Relation::Connections));
        }
        if self.take(PROTOCOL_NAMES) {
            let list = Projection::Properties(Property::Protocol);
            return Ok((list, Relation::Connections));
        }
        if let Some(of) = self.executables() {
            self.predicates.push(Predicate::By(of));
            return Ok((
                Projection::Actors(Actors::Executables),
                Relation::Connections,
            ));
        }
        let dns = self.take(DNS);
        if self.take(LOOKUPS) {
            return Ok((Projection::Each, Relation::Lookups));
        }
        if dns && self.take(DNS_SERVERS) {
            return Ok((Projection::DnsServers, Relation::Lookups));
        }
        if dns {
            return Err(self.refuse("lookups"));
        }
        let raw = self.take(RAW);
        if let Some(scope) = self.scope() {
            self.predicates.push(scope);
        }
        let list = if self.take(ADDRESSES) {
            // "IP addresses"
            self.take(ADDRESSES);
            Projection::Addresses
        } else if raw {
            return Err(self.refuse("\"IPs\""));
        } else if self.take(NAMES) {
            Projection::Destinations
        } else if self.take(PORTS) {
            Projection::Ports
        } else if self.take(CONNECTIONS) {
            // "connection failures"
            if self.take(ERRORS) {
                self.predicates.push(Predicate::Failed);
            }
            Projection::Each
        } else {
            return Err(self.refuse(
                "processes, containers, pods, images, users, units, hosts, names, IPs, ports, connections or lookups",
            ));
        };
        if raw {
            self.predicates.push(Predicate::To(Host::Raw));
        }
        Ok((list, Relation::Connections))
    }
}

fn least_bytes(rows: u32) -> Ranking {
    Ranking::By {
        measure: Measure::Bytes,
        least: true,
        rows,
    }
}

fn least_rows(rows: u32) -> Ranking {
    Ranking::By {
        measure: Measure::Rows,
        least: true,
        rows,
    }
}
