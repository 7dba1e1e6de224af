//! "not", "except", "but not", and the "or" and "and" between names.

use chrono::TimeZone;

use super::parser::{BareName, Parser};
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use crate::query::ast::{Predicate, Projection, Subject};
use crate::query::host::Host;

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts "not on port 443", "except curl", "but not x.org"; whether there was one.
    pub(super) fn negated(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let start = self.next;
        let but = self.take(BUT);
        let other = self.next_is(OTHER) && self.word_is(self.next + 1, THAN)
            || self.next_is(APART) && self.word_is(self.next + 1, FROM);
        if other {
            self.next += 1;
            self.advance();
        }
        let alone = self.next + 1 == self.words.len() && self.bare_name == BareName::Object;
        if !other && (alone || !self.take(NOT)) {
            self.next = start;
            return Ok(false);
        }
        let ever = !other && self.word_is(self.next.saturating_sub(1), &["never"]);
        // "not to private addresses", "not to hit"
        let to = self.take(TO) && !self.take(VERBS);
        // "except to 443 and 80", "ports above 1024 except 3306"
        let of_ports = list == Projection::Ports && !self.next_is(PID)
            || self.predicates.last().is_some_and(Predicate::is_of_port);
        if (to || of_ports) && self.number_at(self.next) && !self.looks_like_host() {
            let ports = self.ports()?;
            self.predicates.push(Predicate::Not(Box::new(ports)));
            self.bare_name = BareName::Nothing;
            return Ok(true);
        }
        let (kept, kept_also) = (self.predicates.len(), self.also.len());
        let verb = self.verb;
        // "did not hit", "but not by", "except from"
        let acted = self.next_is(VERBS)
            || self.next_is(FETCH)
            || self.next_is(MAKE)
            || self.next_is(RESOLVE);
        if !acted {
            let is_host =
                self.looks_like_host() || to && (self.next_is(SCOPES) || !self.at_condition());
            self.bare_name = match is_host {
                true => BareName::Object,
                false if self.at_condition() => BareName::Nothing,
                false => BareName::Subject,
            };
        }
        let expecting = self.expecting.take();
        while self.predicates.len() == kept {
            if self.next >= self.words.len() {
                return Err(self.refuse("what not"));
            }
            if self.bare_name == BareName::Subject {
                let of = self.subjects()?;
                self.predicates.push(of);
                self.bare_name = BareName::Nothing;
            } else {
                self.clause(list)?;
            }
            // "not x.org and y.org": neither
            let both = Vec::from_iter(self.also.drain(kept_also..));
            if !both.is_empty() {
                self.predicates.push(any_of(both));
            }
        }
        self.expecting = expecting.filter(|_| !acted && !ever && self.verb.is_none());
        self.verb = if acted { self.verb } else { verb.or(self.verb) };
        let denied = Vec::from_iter(self.predicates.drain(kept..));
        let group = matches!(list, Projection::Actors(_));
        let hosts = matches!(
            list,
            Projection::Destinations | Projection::Addresses | Projection::Ports
        );
        for predicate in denied {
            // "contacted by curl but not by wget": hosts that wget did not contact at all
            let acted_by = |predicate: &Predicate| matches!(predicate, Predicate::By(_));
            let others = match &predicate {
                Predicate::Any(all) => all.iter().all(acted_by),
                predicate => acted_by(predicate),
            };
            if hosts && but && others && self.predicates.iter().any(acted_by) {
                let acted = self.predicates.extract_if(.., |p| acted_by(p));
                self.also.extend(acted);
                self.never.push(predicate);
                self.loose = true;
                continue;
            }
            // "hit port 443 but not port 80": one that is on the first is never on the second
            let about = matches!(predicate, Predicate::To(_) | Predicate::Any(_))
                || self
                    .predicates
                    .iter()
                    .any(|kept| kept.is_of_one_kind_with(&predicate));
            match group && (acted || ever || but && about) && !self.is_within(&predicate) {
                true => self.never.push(predicate),
                false => self.predicates.push(Predicate::Not(Box::new(predicate))),
            }
        }
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    /// Whether what is left out is a part of what was asked for: "*.x.org but not a.x.org".
    fn is_within(&self, denied: &Predicate) -> bool {
        let Predicate::To(Host::Domain(inner) | Host::Exact(inner)) = denied else {
            return false;
        };
        self.predicates.iter().any(|predicate| match predicate {
            Predicate::To(Host::Domain(outer) | Host::Subdomains(outer)) => {
                inner.ends_with(&format!(".{outer}"))
            }
            _ => false,
        })
    }

    /// Whether "and" joins a condition, and not a name.
    pub(super) fn goes_on_after_and(&self) -> bool {
        let conditions = [
            ON,
            IN,
            BY,
            PREPOSITIONS,
            FAILED,
            OUTCOMES,
            TIMED,
            SUCCEEDED,
            SENDING,
            RECEIVING,
            MAKE,
            SINCE,
            UNTIL,
            ACTIVE,
            PASSIVE,
            OPENED,
            COMPARING,
            IN_COUNTRY,
        ];
        let next = self.next + 1;
        next < self.words.len() && conditions.iter().any(|words| self.word_is(next, words))
    }

    pub(super) fn looks_like_host(&self) -> bool {
        let word = self.words.get(self.next);
        word.is_some_and(|word| {
            !word.quoted && word.text.contains(['.', ':']) && !word.text.starts_with('/')
        })
    }

    /// Whether a clause follows, instead of a name.
    fn at_condition(&self) -> bool {
        [
            ON,
            IN,
            BY,
            PREPOSITIONS,
            PORT,
            PROTOCOL,
            PROTOCOLS,
            FAMILIES,
            FAILED,
            OUTCOMES,
            RCODES,
            TIMED,
            SUCCEEDED,
            SERVICES,
            DNS_TRAFFIC,
            NAMED,
            STARTED,
            WITHOUT,
            HOST,
            RAW,
            SCOPES,
            VERBS,
            FETCH,
            MAKE,
            INTERNET,
            DNS_SERVER,
            IN_DIRECTORY,
            IN_COMMAND_LINE,
            ANY_UNIT,
            IN_COUNTRY,
        ]
        .iter()
        .any(|words| self.next_is(words))
            || self.next_is(OWN_PORT) && self.word_is(self.next + 1, PORT)
    }

    /// A subject, or several joined by "or", "and" or commas.
    pub(super) fn subjects(&mut self) -> Result<Predicate, NotUnderstood> {
        if self.take(SHELLS) {
            return Ok(Predicate::By(Subject::Shells));
        }
        let first = self.subject()?;
        let mut all = vec![Predicate::By(first)];
        while self.joins() {
            self.advance();
            let of = self.subject()?;
            all.push(Predicate::By(of));
        }
        Ok(any_of(all))
    }

    /// Whether "or NAME" follows. "and its children" belongs to the subject before, "and
    /// never" to a clause.
    pub(super) fn joins(&self) -> bool {
        let joins = self.next_is(OR) || self.next_is(AND);
        let goes_on = [
            ITS, NOT, NEVER, VERBS, FETCH, ACTIVE, PASSIVE, BY, IN, ON, SINCE, UNTIL, TODAY,
            YESTERDAY, FAILED, RESOLVE, MAKE, BUT,
        ];
        joins
            && self.next + 1 < self.words.len()
            && !goes_on
                .iter()
                .any(|words| self.word_is(self.next + 1, words))
    }

    /// Several hosts: a connection is to any of them. Who hit "x.org and y.org" hit both.
    pub(super) fn add_hosts(&mut self, hosts: Vec<Host>, both: bool, list: Projection) {
        let hosts = hosts.into_iter().map(Predicate::To);
        if both && matches!(list, Projection::Actors(_)) && self.also.is_empty() {
            self.also.extend(hosts);
        } else {
            self.predicates.push(any_of(hosts.collect()));
        }
    }
}

/// One predicate for any of these.
pub(super) fn any_of(mut all: Vec<Predicate>) -> Predicate {
    match all.len() {
        1 => all.remove(0),
        _ => Predicate::Any(all),
    }
}
