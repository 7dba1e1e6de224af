//! Clauses, in any order: subject, destination, protocol, outcome.

use chrono::TimeZone;

use super::parser::{BareName, NameKind, Parser};
use super::projection::TOP_ROWS;
use super::refusal::NotUnderstood;
use super::subject::ACTORS;
use super::vocabulary::*;
use super::words::Word;
use crate::query::ast::{Predicate, Projection, Ranking, Relation, Subject};
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
                false if but => {
                    self.advance();
                    self.tried.push(NEVER);
                    Err(self.refuse("\"never contacted\""))
                }
                false => Ok(false),
            };
        }
        while self.take(BEEN) {}
        if !self.take(VERBS) && !self.take(FETCH) {
            return Err(self.refuse("\"hit\" or \"talked to\""));
        }
        let _ = self.take(FROM) || self.take(PREPOSITIONS);
        self.verb = Some(Relation::Lookups);
        self.bare_name = BareName::Nothing;
        self.expecting = None;
        Ok(true)
    }

    pub(super) fn clause(&mut self, list: Projection) -> Result<(), NotUnderstood> {
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
                | Projection::Each
                | Projection::Bytes
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
        if self.take(BEEN) || self.take(FILLERS) || self.take(FOR) {
            return Ok(());
        }
        if self.take(STARTED) && self.take(BY) || self.take(UNDER) {
            let number = |word: &Word| word.text.starts_with(|c: char| c.is_ascii_digit());
            if self.words.get(self.next).is_some_and(number) {
                return Err(self.refuse_compared());
            }
            let of = self.below()?;
            self.predicates.push(Predicate::By(of));
            return Ok(());
        }
        if self.take(WITHOUT) {
            self.take(ANY);
            if !self.take(DNS) && !self.take(LOOKUPS) && !self.take(NAMES) {
                return Err(self.refuse("\"a name\""));
            }
            self.predicates.push(Predicate::To(Host::Raw));
            return Ok(());
        }
        if self.by_or_from()? {
            return Ok(());
        }
        if self.take(IN) || self.take(ON) {
            return match self.outcome() || self.per()? || self.in_a_named()? {
                true => Ok(()),
                false => self.keyword(list),
            };
        }
        if self.take(PREPOSITIONS) {
            self.bare_name = BareName::Object;
            return Ok(());
        }
        if self.most() {
            return Ok(());
        }
        if self.bare_name == BareName::Object && self.object()? {
            return Ok(());
        }
        if self.verb.is_none() && self.verb() {
            self.expecting = None;
            self.bare_name = match list {
                Projection::Destinations | Projection::Addresses | Projection::Ports => {
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

    /// The subject, after "did".
    fn subject_clause(&mut self) -> Result<(), NotUnderstood> {
        let anyone = self.take(ANYONE);
        // "everything under make"
        if !anyone || self.next_is(UNDER) {
            let of = self.subject()?;
            self.predicates.push(Predicate::By(of));
        }
        self.bare_name = BareName::Nothing;
        self.expecting = Some(ACTS);
        Ok(())
    }

    fn by_or_from(&mut self) -> Result<bool, NotUnderstood> {
        if !self.take(BY) {
            return Ok(false);
        }
        if self.next_is(TRAFFIC) {
            self.by_bytes = self.words.get(self.next).map(|word| word.at.clone());
            self.advance();
            return Ok(true);
        }
        // "by processes started by make"
        let started = [STARTED, UNDER].map(|words| self.word_is(self.next + 1, words));
        if self.next_is(PROCESS) && started != [false; 2] {
            self.advance();
            return Ok(true);
        }
        if self.span_of() || self.group(true) {
            return Ok(true);
        }
        let of = self.subject()?;
        self.predicates.push(Predicate::By(of));
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    /// Accepts the "shop namespace" of "in the shop namespace", the "443" of "on 443".
    fn in_a_named(&mut self) -> Result<bool, NotUnderstood> {
        let next = self.words.get(self.next).filter(|word| !word.quoted);
        if let Some(Ok(port)) = next.map(|word| word.text.parse()) {
            self.advance();
            self.predicates.push(Predicate::Port(port));
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

    /// Accepts "most", "most data", "most connections".
    fn most(&mut self) -> bool {
        // "who hit most": "most" is a host
        let last = self.next + 1 == self.words.len();
        if self.bare_name == BareName::Object && last || !self.take(MOST) {
            return false;
        }
        let bytes = self.take(TRAFFIC);
        if !bytes {
            let _ = self.take(CONNECTIONS) || self.take(LOOKUPS);
        }
        self.ranking = Some(match bytes {
            true => Ranking::MostBytes(TOP_ROWS),
            false => Ranking::Most(TOP_ROWS),
        });
        self.bare_name = BareName::Nothing;
        true
    }

    /// The object, directly after its verb.
    fn object(&mut self) -> Result<bool, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        if self.raw()? {
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
            let host = self.host()?;
            self.predicates.push(Predicate::To(host));
        }
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    fn host(&mut self) -> Result<Host, NotUnderstood> {
        let last = self.next + 1 == self.words.len();
        let exactly = !last && self.take(EXACTLY);
        if last {
            self.tried.push(EXACTLY);
        }
        let word = self.name(NameKind::Host)?;
        let host = Host::parse(&word.text, word.quoted)
            .map_err(|why| self.refuse_word(word.at.clone(), Some(why)))?;
        Ok(match host {
            Host::Domain(name) if exactly => Host::Exact(name),
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
            let word = self.name(NameKind::Port)?;
            let port = word.text.parse().map_err(|_| {
                self.refuse_word(word.at, Some("a port is a number up to 65535".to_owned()))
            })?;
            self.predicates.push(Predicate::Port(port));
        } else if self.take(HOST) || self.take(ADDRESS) {
            let host = self.host()?;
            self.predicates.push(Predicate::To(host));
        } else if self.next_is(PID) || self.at_descendants() || self.kinds() {
            let of = self.subject()?;
            self.predicates.push(Predicate::By(of));
        } else {
            if self.next_is(LOGIC) {
                let at = self.words[self.next].at.clone();
                let hint =
                    "all conditions of a question must hold: there is no \"or\" and no \"not\"";
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
        let hint = "numbers can't be compared: \"top 10 hosts by bytes\" sorts by them, and you can edit the SQL that --sql prints";
        self.refuse_word(at, Some(hint.to_owned()))
    }

    fn kinds(&mut self) -> bool {
        self.tried.extend(ACTORS.map(|(words, _)| words));
        self.at_actors()
    }
}
