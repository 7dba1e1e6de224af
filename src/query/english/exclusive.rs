//! "only", "exclusively": nothing else, and none other; and what was not done at all.

use std::ops::Range;

use chrono::TimeZone;

use super::logic::any_of;
use super::parser::{BareName, Parser};
use super::refusal::NotUnderstood;
use super::vocabulary::*;
use crate::query::ast::{
    Actors, Comparison, Counted, Limit, Measure, Operator, Predicate, Projection, Relation,
};

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts "only" and the like where it is about what else is contacted, or by whom:
    /// "only talk to", "talk only to", "hit only x.org", "used by curl only".
    pub(super) fn exclusively(&mut self, list: Projection) -> bool {
        let next = self.next + 1;
        let ends = next >= self.words.len();
        let before = [
            VERBS,
            FETCH,
            RESOLVE,
            LOOK,
            ASK,
            MAKE,
            BY,
            PREPOSITIONS,
            EVER,
            ACTIVE,
            PROTOCOLS,
            SERVICES,
            FAMILIES,
            SCOPES,
            PORT,
            ON,
        ];
        let object = self.bare_name == BareName::Object && matches!(list, Projection::Actors(_));
        let number = self.number_at(next) || self.word_is(next, ONCE) || self.word_is(next, TWICE);
        let certain = !self.next_is(&["only"]);
        let after = ends && !self.predicates.is_empty();
        let about = before.iter().any(|words| self.word_is(next, words)) || object && !ends;
        if number || !(about || after || certain) || self.bare_name == BareName::Subject {
            return false;
        }
        let at = self.words.get(self.next).map(|word| word.at.clone());
        if !self.take(EXCLUSIVELY) {
            return false;
        }
        self.only = at;
        self.take(EVER);
        if self.take(ACTIVE) {
            self.auxiliary = true;
        }
        true
    }

    /// Turns what "only" is about into conditions on groups: some row meets it, and none other
    /// than DNS does not.
    pub(super) fn apply_only(
        &mut self,
        list: Projection,
        at: Range<usize>,
    ) -> Result<(), NotUnderstood> {
        let about: fn(&Predicate) -> bool = match list {
            Projection::Actors(_) => is_target,
            Projection::Destinations | Projection::Addresses | Projection::Ports => is_by,
            _ => |_| false,
        };
        let mut all = Vec::from_iter(self.predicates.extract_if(.., |p| about(p)));
        // "only talk to x.org and y.org": to either
        let either = Vec::from_iter(self.also.extract_if(.., |p| about(p)));
        if !either.is_empty() {
            all.push(any_of(either));
        }
        let one = match all.len() {
            0 => {
                let hint = "say what else there must not be: \"which processes only talk to HOST\", \"hosts that only NAME talks to\"";
                return Err(self.refuse_word(at, Some(hint.to_owned())));
            }
            1 => all.remove(0),
            _ => Predicate::All(all),
        };
        self.also.push(one.clone());
        self.never.push(match list {
            Projection::Actors(_) => Predicate::Elsewhere(Box::new(one)),
            _ => Predicate::Not(Box::new(one)),
        });
        self.loose = true;
        Ok(())
    }

    /// Accepts what idioms make of "made no connections", "never looked anything up", "sent
    /// nothing", "sent more than they received".
    pub(super) fn nothing_done(&mut self, list: Projection) -> bool {
        if self.take(NO_CONNECTIONS) {
            self.without = Some(Relation::Connections);
            self.verb = self.verb.or(Some(Relation::Lookups));
        } else if self.take(NO_LOOKUPS) {
            self.without = Some(Relation::Lookups);
        } else if let Some(word) = self.take_one(NO_BYTES) {
            let sent = self.is_sent(list, word);
            self.bytes(list, sent, false);
        } else if let Some(word) = self.take_one(SOME_BYTES) {
            let sent = self.is_sent(list, word);
            self.bytes(list, sent, true);
        } else if let Some(word) = self.take_one(MORE_BYTES) {
            let (sent, received) = (Measure::Sent, Measure::Received);
            let (measure, than) = match self.is_sent(list, word) {
                true => (sent, received),
                false => (received, sent),
            };
            let more = Comparison {
                measure,
                operator: Operator::More,
                limit: Limit::Of(than),
            };
            self.compared.push(more);
        } else {
            return false;
        }
        (self.bare_name, self.expecting) = (BareName::Nothing, None);
        true
    }

    /// Whether what idioms made of "sent more" or "received nothing" is about what this host sent:
    /// what hosts do themselves is the other way round.
    fn is_sent(&mut self, list: Projection, word: &str) -> bool {
        let active = word.starts_with("sent") || word.starts_with("received");
        let theirs = active && self.hosts_act(list);
        self.loose |= theirs;
        word.contains("sent") != theirs
    }

    /// Only what sent, or received, something or nothing.
    fn bytes(&mut self, list: Projection, sent: bool, some: bool) {
        let measure = if sent {
            Measure::Sent
        } else {
            Measure::Received
        };
        let more = Comparison {
            measure,
            operator: Operator::More,
            limit: Limit::Number(0),
        };
        self.loose = true;
        match (list == Projection::Each, some) {
            (true, true) => self.predicates.push(Predicate::Compared(more)),
            // of a failed connection there is no number
            (true, false) => {
                let more = Predicate::Compared(more);
                self.predicates.push(Predicate::Not(Box::new(more)));
            }
            (false, true) => self.compared.push(more),
            (false, false) => self.compared.push(Comparison {
                operator: Operator::AtMost,
                ..more
            }),
        }
    }

    /// Refuses who did nothing where that is not known of them.
    pub(super) fn check_without(
        &mut self,
        list: Projection,
        relation: Relation,
        other: Relation,
    ) -> Result<(), NotUnderstood> {
        self.loose = true;
        let (Projection::Actors(of) | Projection::Count(Counted::Actors(of))) = list else {
            return Err(self.refuse_all("who did nothing can be asked for, not what: \"which processes never looked anything up\", \"names that were resolved but never contacted\""));
        };
        if matches!(of, Actors::CommandLines | Actors::Parents) {
            return Err(
                self.refuse_all("lookups have no command line and no parent: ask for processes")
            );
        }
        match relation == other {
            true => Err(self.refuse_all("the same can't be asked for and left out")),
            false => Ok(()),
        }
    }
}

/// Whether a condition says where a connection went.
fn is_target(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::To(_)
        | Predicate::Port(_)
        | Predicate::Ports(..)
        | Predicate::Protocol(_)
        | Predicate::Family(_)
        | Predicate::Scope(_) => true,
        Predicate::Any(all) | Predicate::All(all) => all.iter().all(is_target),
        _ => false,
    }
}

/// Whether it says who acted.
fn is_by(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::By(_) => true,
        Predicate::Any(all) | Predicate::All(all) => all.iter().all(is_by),
        _ => false,
    }
}
