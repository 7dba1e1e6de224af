//! Clauses, in any order: subject, destination, protocol, outcome.

use chrono::TimeZone;

use super::comparison::direction_of;
use super::idioms;
use super::parser::{BareName, NameKind, Parser};
use super::projection::TOP_ROWS;
use super::refusal::NotUnderstood;
use super::subject::ACTORS;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::{Measure, Predicate, Projection, Ranking, Relation, Subject};
use crate::query::host::Host;

/// What has to follow a subject.
const ACTS: &str = "\"hit\" or \"talked to\"";

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts "new", "first seen", "never seen before Monday".
    pub(super) fn newness(&mut self) -> Result<bool, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        // "who hit new": "new" is a host
        if self.bare_name == BareName::Object && last {
            return Ok(false);
        }
        let start = self.next;
        let taken = |parser: &mut Self| {
            parser.take(PASSIVE);
            parser.take(NEW) || parser.take(FIRST) && parser.take(SEEN)
        };
        if taken(self) {
            self.new = true;
        } else {
            self.next = start;
            if !self.take(NEVER) {
                return Ok(false);
            }
            while self.take(BEEN) {}
            if !self.take(SEEN) {
                self.next = start;
                return Ok(false);
            }
            self.new = true;
            if self.take(UNTIL) {
                let time = self.moment()?;
                self.begin(time);
            }
        }
        // "have never been seen": no subject follows this auxiliary
        if self.bare_name == BareName::Subject {
            (self.bare_name, self.expecting) = (BareName::Nothing, None);
        }
        Ok(true)
    }

    /// Accepts "but never contacted", "were never contacted".
    pub(super) fn never(&mut self) -> Result<bool, NotUnderstood> {
        let start = self.next;
        let but = self.verb.is_some() && self.take(BUT);
        if !self.take(NEVER) {
            self.next = start;
            return match but && self.next + 1 >= self.words.len() {
                true => {
                    self.advance();
                    Err(self.refuse("\"never contacted\""))
                }
                // "but failed"
                false if but && self.goes_on_after_and() => Ok(false),
                // "but only once", "and wget": other clauses
                false
                    if but && self.word_is(start, &["and"])
                        || self.word_is(self.next + 1, ONLY) =>
                {
                    Ok(false)
                }
                false if but => {
                    self.advance();
                    self.tried.push(NEVER);
                    Err(self.refuse("\"never contacted\""))
                }
                false => Ok(false),
            };
        }
        while self.take(BEEN) {}
        // "but not on port 443"
        let not = self.word_is(self.next.saturating_sub(1), &["not"]);
        if !self.take(VERBS) && !self.take(FETCH) {
            if not {
                self.next = start;
                return Ok(false);
            }
            return Err(self.refuse("\"hit\" or \"talked to\""));
        }
        let _ = self.take(FROM) || self.take(PREPOSITIONS);
        self.verb = Some(Relation::Lookups);
        self.bare_name = BareName::Nothing;
        self.expecting = None;
        Ok(true)
    }

    pub(super) fn clause(&mut self, list: Projection) -> Result<(), NotUnderstood> {
        if self.exclusively(list) || self.nothing_done(list) || self.acted_by(list)? {
            return Ok(());
        }
        // "have failed": no subject follows this auxiliary.
        if self.outcome() {
            // "refused connections"
            self.take(CONNECTIONS);
            if self.bare_name == BareName::Subject {
                self.bare_name = BareName::Nothing;
            }
            self.expecting = None;
            return Ok(());
        }
        if self.time()? || self.named()? || self.per()? {
            self.expecting = self
                .expecting
                .filter(|_| self.bare_name == BareName::Subject);
            return Ok(());
        }
        if self.bare_name != BareName::Subject && self.further(list)? {
            return Ok(());
        }
        if self.bare_name == BareName::Subject {
            if self.take_ranking()? {
                return Ok(());
            }
            return self.subject_clause();
        }
        // "what did curl do"
        if self.verb.is_none() && self.expecting == Some(ACTS) && self.take(DO) {
            self.expecting = None;
            return Ok(());
        }
        if self.verb.is_none() && self.take(ACTIVE) {
            self.auxiliary = true;
            // "have open connections", "have connections open"
            let next = |a, b| self.next_is(a) && self.word_is(self.next + 1, b);
            if next(OPENED, CONNECTIONS) || next(CONNECTIONS, OPENED) {
                self.next += 1;
                self.advance();
                self.predicates.push(Predicate::Open);
                return Ok(());
            }
            // "have been resolved"
            if self.take(BEEN) {
                return Ok(());
            }
            (self.bare_name, self.expecting) = match list {
                Projection::Destinations
                | Projection::Addresses
                | Projection::Ports
                | Projection::Properties(_)
                | Projection::Each
                | Projection::Bytes
                | Projection::Hashes
                | Projection::Rules
                | Projection::Count(_) => (BareName::Subject, Some("a name")),
                _ => (BareName::Nothing, Some(ACTS)),
            };
            return Ok(());
        }
        // only "when" still expects something here
        let when = list == Projection::Each && self.expecting.is_some();
        if self.verb.is_none() && self.take(PASSIVE) {
            self.expecting = None;
            while self.take(FILLERS) {}
            self.auxiliary = true;
            // "which hosts is curl talking to"
            let acts = [VERBS, FETCH, RESOLVE];
            let acts = |at: usize| acts.iter().any(|words| self.word_is(at, words));
            if !matches!(list, Projection::Actors(_))
                && acts(self.next + 1)
                && !acts(self.next)
                && !self.looks_like_host()
            {
                self.bare_name = BareName::Subject;
                return Ok(());
            }
            if matches!(list, Projection::Count(_) | Projection::Bytes) && self.looks_like_host() {
                self.bare_name = BareName::Object;
                return Ok(());
            }
            if self.take(OPENED) {
                self.predicates.push(Predicate::Open);
            } else if when {
                self.bare_name = BareName::Object;
            }
            return Ok(());
        }
        // "when was the last connection to HOST"
        if list == Projection::Each && self.bare_name == BareName::Object && self.take(CONNECTIONS)
        {
            self.bare_name = BareName::Nothing;
            return Ok(());
        }
        // "users who contacted"
        let actors = matches!(list, Projection::Actors(_) | Projection::Count(_));
        let who = actors && self.verb.is_none();
        if self.take(BEEN) || self.take(FILLERS) || who && self.take(WHO) {
            return Ok(());
        }
        if self.take(FOR) {
            self.about(list)?;
            return Ok(());
        }
        if self.take(STARTED) && self.take(BY) || self.take(UNDER) {
            let number = |word: &Word| word.text.starts_with(|c: char| c.is_ascii_digit());
            if self.words.get(self.next).is_some_and(number) {
                return Err(self.refuse_compared());
            }
            let of = self.below()?;
            self.predicates.push(Predicate::By(of));
            self.expecting = None;
            return Ok(());
        }
        if self.take(WITHOUT) {
            self.take(ANY);
            // "programs without failed connections"
            if self.outcome() {
                let denied = self.predicates.pop();
                self.take(CONNECTIONS);
                match matches!(list, Projection::Actors(_)) {
                    true => self.never.extend(denied),
                    false => {
                        let denied = denied.map(|denied| Predicate::Not(Box::new(denied)));
                        self.predicates.extend(denied);
                    }
                }
                return Ok(());
            }
            if !self.take(DNS) && !self.take(LOOKUPS) && !self.take(NAMES) {
                return Err(self.refuse("\"a name\""));
            }
            self.predicates.push(Predicate::To(Host::Raw));
            return Ok(());
        }
        if self.sorted(list)? || self.by_or_from(list)? {
            return Ok(());
        }
        if self.take(IN) || self.take(ON) {
            let of = self.word_is(self.next.saturating_sub(1), OF);
            if of && (list == Projection::Summary || self.looks_like_host()) {
                return self.about(list);
            }
            if of && self.time()? {
                return Ok(());
            }
            let counted = matches!(
                list,
                Projection::Each | Projection::Average(_) | Projection::Bytes
            );
            if of && counted && !self.at_keyword() && !self.next_is(BY) {
                let of = self.subjects()?;
                self.predicates.push(of);
                return Ok(());
            }
            return match self.time()?
                || self.outcome()
                || self.per()?
                || self.in_a_named()?
                || self.particular()?
            {
                true => Ok(()),
                false => self.keyword(list),
            };
        }
        if self.take(PREPOSITIONS) {
            return self.ports_or_object();
        }
        if self.most() {
            return Ok(());
        }
        if self.bare_name == BareName::Object && self.object(list)? {
            return Ok(());
        }
        // "sent more than 5 MB and received less than 1 MB"
        let directs = self.next_is(SENDING) || self.next_is(RECEIVING);
        if self.verb.is_some() && directs && self.compares_at(self.next + 1) {
            self.take_direction();
            self.reverse(list);
            self.bare_name = BareName::Nothing;
            return Ok(());
        }
        if self.verb.is_none() && self.verb() {
            self.expecting = None;
            self.reverse(list);
            let before = self.next.saturating_sub(1);
            let whole = [
                CONNECTIONS,
                LOOKUPS,
                TRAFFIC,
                MAKE,
                ACTIVE,
                MOST,
                SENDING,
                RECEIVING,
                INTRANSITIVE,
            ];
            let whole = whole.iter().any(|words| self.word_is(before, words))
                && !self.word_is(before, &["hits"]);
            self.bare_name = match list {
                _ if whole && self.next >= self.words.len() => BareName::Nothing,
                Projection::Destinations
                | Projection::Addresses
                | Projection::Ports
                | Projection::Properties(_)
                    if !self.looks_like_host() =>
                {
                    self.take(TRAFFIC);
                    BareName::Nothing
                }
                _ => BareName::Object,
            };
            return Ok(());
        }
        if self.take_ranking()? {
            return Ok(());
        }
        self.keyword(list)
    }

    /// "connections to 443": a number alone is a port.
    fn ports_or_object(&mut self) -> Result<(), NotUnderstood> {
        let after = self.next + 1;
        let alone = after >= self.words.len()
            || [
                AND, OR, TODAY, YESTERDAY, SINCE, UNTIL, IN, BY, LAST, PER, BUT, NOT,
            ]
            .iter()
            .any(|words| self.word_is(after, words));
        let number = self.words.get(self.next).filter(|word| !word.quoted);
        if alone && number.is_some_and(|word| word.text.parse::<u16>().is_ok()) {
            let ports = self.ports()?;
            self.predicates.push(ports);
            self.bare_name = BareName::Nothing;
            return Ok(());
        }
        self.bare_name = BareName::Object;
        Ok(())
    }

    /// Whether a verb says what the listed hosts did, and not what was done with them.
    pub(super) fn hosts_act(&self, list: Projection) -> bool {
        let hosts = matches!(list, Projection::Destinations | Projection::Addresses);
        let acted = self
            .predicates
            .iter()
            .any(|p| matches!(p, Predicate::By(_) | Predicate::Any(_)));
        hosts && !self.auxiliary && !acted
    }

    /// "which hosts received the most data": what hosts receive is sent by this one.
    fn reverse(&mut self, list: Projection) {
        if !self.hosts_act(list) {
            return;
        }
        self.loose |= self.direction.is_some();
        self.direction = self.direction.map(|direction| match direction {
            Measure::Sent => Measure::Received,
            _ => Measure::Sent,
        });
    }

    /// The subject, after "did".
    fn subject_clause(&mut self) -> Result<(), NotUnderstood> {
        let anyone = self.take(ANYONE);
        // "everything under make"
        if !anyone || self.next_is(UNDER) {
            let of = self.subjects()?;
            if let Predicate::By(Subject::Process(name)) = &of {
                self.acting.push(name.clone());
            }
            self.predicates.push(of);
        }
        self.bare_name = BareName::Nothing;
        self.expecting = Some(ACTS);
        Ok(())
    }

    /// Accepts who acted, without "did": "the hosts that curl contacted", "how much wget sent".
    fn acted_by(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let actors = matches!(list, Projection::Actors(_));
        if actors || self.verb.is_some() || self.auxiliary || !self.subject_acts(self.next) {
            return Ok(false);
        }
        let relative = self.take(WHOM);
        self.doubtful |= !relative;
        self.subject_clause()?;
        while self.take(ACTIVE) || self.take(PASSIVE) || self.take(BEEN) || self.take(FILLERS) {}
        self.auxiliary = true;
        Ok(true)
    }

    /// Whether a subject and its verb follow: "curl contacted", "user alice has looked up".
    pub(super) fn subject_acts(&self, at: usize) -> bool {
        let that = self.word_is(at, &["that", "which", "whom"]);
        let start = at + usize::from(that);
        let start = start + usize::from(self.word_is(start, ARTICLES));
        let one = self.words.get(start).is_some_and(idioms::is_name);
        let one = one || self.word_is(start, ANYONE);
        let phrase = idioms::phrase(&self.words, start).map(|(_, end)| end);
        let Some(end) = phrase.or(one.then_some(start + 1)) else {
            return false;
        };
        let helping = [ACTIVE, PASSIVE, BEEN, FILLERS];
        let verbs = [VERBS, FETCH, MAKE, LOOK, ASK, RESOLVE];
        let mut verb = end;
        while helping.iter().any(|words| self.word_is(verb, words)) {
            verb += 1;
        }
        // "the addresses example.com resolved to" are not what it looked up
        let dotted = phrase.is_none() && self.words.get(start).is_some_and(idioms::is_host);
        let verbs = if dotted { &verbs[..5] } else { &verbs[..] };
        verbs.iter().any(|words| self.word_is(verb, words))
    }

    /// Comparisons, parts of names, what is left out, and what only some questions name.
    fn further(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        // All conditions hold, so "and" between them says nothing.
        if (self.next_is(AND) || self.next_is(BUT)) && self.goes_on_after_and() {
            self.advance();
            return Ok(true);
        }
        if self.negated(list)? {
            return Ok(true);
        }
        let done = self.comparison(list)? || self.pattern(list)? || self.particular()?;
        if done {
            self.expecting = None;
        }
        Ok(done)
    }

    /// What "for" or "of" introduces: the host of connections, the subject of a summary.
    fn about(&mut self, list: Projection) -> Result<(), NotUnderstood> {
        let times = [TODAY, YESTERDAY, THIS, LAST, ON, IN, SINCE, PER];
        if self.next >= self.words.len() || times.iter().any(|words| self.next_is(words)) {
            return Ok(());
        }
        if list == Projection::Summary {
            if self.take(ANYONE) || self.time()? {
                return Ok(());
            }
            let of = self.subjects()?;
            self.predicates.push(of);
        } else if self.bare_name == BareName::Nothing && self.looks_like_host() {
            self.bare_name = BareName::Object;
        } else if self.bare_name == BareName::Nothing && self.verb.is_none() && !self.at_keyword() {
            // "connections for curl", "lookups for db"
            if self.word_is(self.next.saturating_sub(2), LOOKUPS) {
                self.bare_name = BareName::Object;
            } else {
                let of = self.subjects()?;
                self.predicates.push(of);
            }
        }
        Ok(())
    }

    /// Accepts "sorted by bytes", "ordered by time", "sorted by duration".
    fn sorted(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        if self.ranking.is_none() && self.take(LATEST_FIRST) {
            self.ranking = Some(Ranking::Last(Ranking::ALL));
            return Ok(true);
        }
        if self.take(BUSIEST_FIRST) {
            let rows = self.words.get(self.next).map(|word| word.text.parse());
            self.busiest = rows.and_then(Result::ok);
            if self.busiest.is_some() {
                self.advance();
            }
            return Ok(self.busiest.is_some());
        }
        if !self.take(SORTED) {
            return Ok(false);
        }
        self.take(BY);
        let at = self.words.get(self.next).map(|word| word.at.clone());
        self.sorted = true;
        let bytes = self.take(TRAFFIC) || self.take(SIZE);
        if bytes || self.next_is(SENDING) || self.next_is(RECEIVING) {
            self.by_bytes = at;
            self.take_direction();
        } else if self.take(TIME) {
            // the order of connections anyway
        } else if self.ranking.is_none() {
            self.ranking = Some(Ranking::Most(Ranking::ALL));
            if self.take(DURATION) {
                self.ranking = Some(Ranking::Longest(Ranking::ALL));
            } else if self.take(LATENCY) {
                self.ranking = Some(Ranking::Slowest(Ranking::ALL));
            } else if !self.by_measure(list) {
                return Err(self.refuse("bytes, time, duration, latency or connections"));
            }
        } else {
            return Err(self.refuse("bytes or time"));
        }
        Ok(true)
    }

    fn by_or_from(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let Some(word) = self.take_one(BY) else {
            return Ok(false);
        };
        if word == "from" && self.source()? {
            return Ok(true);
        }
        if self.next_is(TRAFFIC) {
            self.by_bytes = self.words.get(self.next).map(|word| word.at.clone());
            self.advance();
            self.take_direction();
            return Ok(true);
        }
        let upload = self.next_is(SENDING) || self.next_is(RECEIVING);
        if upload {
            self.by_bytes = self.words.get(self.next).map(|word| word.at.clone());
            self.take_direction();
            return Ok(true);
        }
        if self.by_measure(list) {
            return Ok(true);
        }
        // "connections from anything"
        if self.next_is(ANYONE) && !self.word_is(self.next + 1, UNDER) {
            self.advance();
            self.bare_name = BareName::Nothing;
            self.expecting = None;
            return Ok(true);
        }
        // "by processes started by make"
        let started = [STARTED, UNDER].map(|words| self.word_is(self.next + 1, words));
        if self.next_is(PROCESS) && started != [false; 2] {
            self.advance();
            return Ok(true);
        }
        if word == "by" && (self.span_of() || self.group(true)) {
            return Ok(true);
        }
        // "hosts contacted by both curl and wget"
        if word == "by" && self.next + 1 < self.words.len() && self.take(BOTH) {
            let all = match self.subjects()? {
                Predicate::Any(all) => all,
                one => vec![one],
            };
            self.also.extend(all);
            self.loose = true;
        } else {
            let of = self.subjects()?;
            self.predicates.push(of);
        }
        self.bare_name = BareName::Nothing;
        self.expecting = None;
        Ok(true)
    }

    /// Takes "sent" or "received", of data.
    pub(super) fn take_direction(&mut self) {
        let word = self.take_one(SENDING).or_else(|| self.take_one(RECEIVING));
        self.direction = word.and_then(direction_of).or(self.direction);
    }

    /// Accepts what a ranking can be by: "by connections", "by number of hosts", "by duration".
    fn by_measure(&mut self, list: Projection) -> bool {
        let start = self.next;
        let rows = match self.ranking {
            Some(Ranking::Most(rows)) => rows,
            // "hosts by number of connections"
            None if list.is_grouped() && self.next_is(NUMBER) => Ranking::ALL,
            _ => return false,
        };
        if self.take(NUMBER) {
            self.take(OF);
        }
        let measures = [
            (CONNECTIONS, Measure::Rows),
            (LOOKUPS, Measure::Rows),
            (DURATION, Measure::Duration),
            (LATENCY, Measure::Latency),
            (&["hosts", "domains", "destinations"], Measure::Hosts),
        ];
        let lookups = self.next_is(LOOKUPS);
        let measure = measures
            .into_iter()
            .find_map(|(words, measure)| self.take(words).then_some(measure));
        if lookups && self.verb.is_none() {
            self.verb = Some(Relation::Lookups);
        }
        match measure {
            Some(Measure::Rows) => self.ranking = Some(Ranking::Most(rows)),
            Some(measure) => {
                self.ranking = Some(Ranking::By {
                    measure,
                    least: false,
                    rows,
                });
            }
            None => self.next = start,
        }
        measure.is_some()
    }

    /// Accepts the local end after "from": an address, or a port.
    fn source(&mut self) -> Result<bool, NotUnderstood> {
        let address = self.words.get(self.next).filter(|word| !word.quoted);
        let address = address.is_some_and(|word| word.text.parse::<std::net::IpAddr>().is_ok());
        if address {
            let host = self.host()?;
            self.predicates.push(Predicate::SourceAddress(host));
            return Ok(true);
        }
        if self.take(PORT) {
            let port = self.port()?;
            self.predicates.push(Predicate::SourcePort(port));
            return Ok(true);
        }
        if self.next_is(OWN_PORT) && self.word_is(self.next + 1, PORT) {
            return self.particular();
        }
        Ok(false)
    }

    /// Accepts the "shop namespace" of "in the shop namespace", the "443" of "on 443".
    fn in_a_named(&mut self) -> Result<bool, NotUnderstood> {
        let next = self.words.get(self.next).filter(|word| !word.quoted);
        let within = self.word_is(self.next.saturating_sub(1), IN);
        if !within && let Some(Ok(_)) = next.map(|word| word.text.parse::<u16>()) {
            let ports = self.ports()?;
            self.predicates.push(ports);
            return Ok(true);
        }
        let start = self.next;
        if !self.at_keyword() && self.word_is(self.next + 1, SINGULAR) {
            match self.subject()? {
                Subject::Process(_) => self.next = start,
                of => {
                    self.predicates.push(Predicate::By(of));
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Accepts "most", "the most data", "the least", "most connections", "fewest hosts".
    fn most(&mut self) -> bool {
        // "who hit most": "most" is a host
        let last = self.next + 1 == self.words.len();
        let article = self.word_is(self.next.saturating_sub(1), ARTICLES);
        let directed = self.direction.is_some() || article;
        if self.bare_name == BareName::Object && last && !directed {
            return false;
        }
        let least = match (self.take(MOST), self.take(LEAST)) {
            (true, _) => false,
            (_, true) => true,
            _ => return false,
        };
        let measure = if self.take(TRAFFIC) {
            self.take_direction();
            Some(Measure::Bytes)
        } else if self.take(CONNECTIONS) {
            Some(Measure::Rows)
        } else if self.take(LOOKUPS) {
            self.verb = Some(Relation::Lookups);
            Some(Measure::Rows)
        } else if self.take(NAMES) {
            Some(Measure::Hosts)
        } else if self.take(ADDRESSES) {
            Some(Measure::Addresses)
        } else if self.take(PORTS) {
            Some(Measure::Ports)
        } else {
            None
        };
        let measure = measure.unwrap_or(match self.direction {
            Some(_) => Measure::Bytes,
            None => Measure::Rows,
        });
        // "top 3 ... the most": the number stays
        let rows = match self.ranking {
            Some(Ranking::Most(rows)) => rows,
            _ => TOP_ROWS,
        };
        self.ranking = Some(match (measure, least) {
            (Measure::Bytes, false) => Ranking::MostBytes(rows),
            (Measure::Rows, false) => Ranking::Most(rows),
            _ => Ranking::By {
                measure,
                least,
                rows,
            },
        });
        self.bare_name = BareName::Nothing;
        true
    }

    /// The object, directly after its verb.
    fn object(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        // "made plain requests"
        let before = self.next.saturating_sub(1);
        self.doubtful |= self.word_is(before, MAKE)
            || self.word_is(before, BEEN)
            || self.word_is(before, &["anything", "something", "any", "all"]);
        // "hit hosts ending in .xyz"
        let patterns = [ENDING, BEGINNING, CONTAINING, LIKE, THAT];
        if self.next_is(NAMES)
            && patterns
                .iter()
                .any(|words| self.word_is(self.next + 1, words))
        {
            self.advance();
            self.bare_name = BareName::Nothing;
            return Ok(true);
        }
        let number = self.words.get(self.next).filter(|word| !word.quoted);
        if number.is_some_and(|word| word.text.parse::<u16>().is_ok()) {
            let ports = self.ports()?;
            self.predicates.push(ports);
        } else if self.raw()? {
            self.predicates.push(Predicate::To(Host::Raw));
        } else if let Some(scope) = self.scope() {
            self.predicates.push(scope);
            // "IPs", "hosts"
            self.advance();
        } else if self.take(INTERNET) {
            self.predicates.push(Predicate::Scope("public"));
        } else if !last && self.at_keyword() {
            return Ok(false);
        } else {
            if !last {
                self.take(HOST);
                self.take(ADDRESS);
            }
            self.hosts(list)?;
        }
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    /// A host, or several joined by "or" and "and".
    fn hosts(&mut self, list: Projection) -> Result<(), NotUnderstood> {
        if self.next + 1 < self.words.len() {
            self.take(BOTH);
        }
        let mut hosts = vec![self.host()?];
        let mut both = false;
        while self.joins() {
            both |= self.next_is(AND);
            self.advance();
            hosts.push(self.host()?);
        }
        match hosts.len() {
            1 => self.predicates.push(Predicate::To(hosts.remove(0))),
            _ => self.add_hosts(hosts, both, list),
        }
        Ok(())
    }

    pub(super) fn host(&mut self) -> Result<Host, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        let exactly = !last && self.take(EXACTLY);
        let below = !last && self.take(SUBDOMAINS_OF);
        if last {
            self.tried.push(EXACTLY);
        }
        let word = self.name(NameKind::Host)?;
        let host = Host::parse(&word.text, word.quoted)
            .map_err(|why| self.refuse_word(word.at.clone(), Some(why)))?;
        Ok(match host {
            Host::Domain(name) if exactly => Host::Exact(name),
            Host::Domain(name) if below => Host::Subdomains(name),
            host => host,
        })
    }

    fn at_keyword(&self) -> bool {
        self.at_actors()
            || [PID, PORT, LAST, FIRST]
                .iter()
                .any(|words| self.next_is(words))
    }

    /// A predicate that starts with a keyword: "port 443", "container web".
    fn keyword(&mut self, list: Projection) -> Result<(), NotUnderstood> {
        if self.take(PORT) {
            let ports = self.ports()?;
            self.predicates.push(ports);
        } else if self.take(HOST) || self.take(ADDRESS) {
            self.hosts(list)?;
        } else if self.next_is(PID) || self.at_descendants() || self.kinds() {
            let of = self.subjects()?;
            self.predicates.push(of);
        } else {
            if self.next_is(OR) || self.next_is(AND) {
                let at = self.words[self.next].at.clone();
                let hint = "\"or\" and \"and\" join names and ports: \"curl or wget\", \"port 80 or 443\"; all other conditions must hold";
                return Err(self.refuse_word(at, Some(hint.to_owned())));
            }
            if self.next_is(COMPARED) {
                return Err(self.refuse_compared());
            }
            let wanted = match (self.expecting, list) {
                (Some(wanted), _) => wanted,
                _ => "the end",
            };
            if self.verb.is_none() {
                self.tried.extend([VERBS, RESOLVE]);
            }
            self.tried.push(PID);
            return Err(self.refuse(wanted));
        }
        self.bare_name = BareName::Nothing;
        self.expecting = self
            .expecting
            .filter(|_| self.verb.is_none() && !matches!(list, Projection::Actors(_)));
        Ok(())
    }

    pub(super) fn refuse_compared(&self) -> NotUnderstood {
        let at = self.words[self.next].at.clone();
        let hint = "compare with a number: \"connections longer than 10s\", \"hosts contacted more than 3 times\"; \"top 10 hosts by bytes\" sorts";
        self.refuse_word(at, Some(hint.to_owned()))
    }

    fn kinds(&mut self) -> bool {
        self.tried.extend(ACTORS.map(|(words, _)| words));
        self.at_actors()
    }
}
