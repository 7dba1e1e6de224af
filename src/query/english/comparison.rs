//! Numbers with a limit: "more than 1 MB", "longer than 10s", "only once", "over 3 hosts".

use chrono::TimeZone;

use super::parser::{BareName, Parser};
use super::pattern::port_limit;
use super::refusal::NotUnderstood;
use super::units::{bytes_in, microseconds_in};
use super::vocabulary::*;
use crate::query::ast::{
    Comparison, Counted, Limit, Measure, Operator, Predicate, Projection, Ranking, Relation,
};

/// A number with its unit.
enum Quantity {
    Bytes(i64),
    /// In microseconds.
    Time(i64),
    Number(i64),
    /// Of "once", "twice".
    Times(i64),
}

/// Words that compare, what they compare with, and the measure that they imply.
const COMPARATIVES: [(Words, Operator, Option<Measure>); 10] = [
    // what idioms make of "took from 1m to 10m": "1M" is no size there
    (
        &["at-least-long"],
        Operator::AtLeast,
        Some(Measure::Duration),
    ),
    (&["at-most-long"], Operator::AtMost, Some(Measure::Duration)),
    (
        &["more", "greater", "larger", "bigger"],
        Operator::More,
        None,
    ),
    (&["less", "fewer", "smaller"], Operator::Less, None),
    (&["longer"], Operator::More, Some(Measure::Duration)),
    (&["shorter"], Operator::Less, Some(Measure::Duration)),
    (&["slower"], Operator::More, Some(Measure::Latency)),
    (
        &["faster", "quicker"],
        Operator::Less,
        Some(Measure::Latency),
    ),
    (&["over", "above", "exceeding", ">"], Operator::More, None),
    (&["under", "below", "<"], Operator::Less, None),
];

/// Numbers in words, from one on.
const SPELLED: [&str; 10] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];

impl<Tz: TimeZone> Parser<'_, Tz> {
    /// Accepts a comparison; whether there was one.
    pub(super) fn comparison(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let start = self.next;
        // "contacted by more than 3 processes"
        let by = self.next_is(BY);
        self.next += usize::from(by);
        if self.take(SEVERAL) {
            self.compare(list, Operator::More, None, Quantity::Number(1))?;
            self.bare_name = BareName::Nothing;
            return Ok(true);
        }
        if !by && self.once(list)? {
            return Ok(true);
        }
        // "contacted by only one process"
        if self.take(ONLY) {
            if let Some(quantity) = self.quantity(None)
                && let Some(measure) = self.counted()
                && let Quantity::Number(limit) = quantity
            {
                self.add(measure, Operator::Exactly, limit);
                self.bare_name = BareName::Nothing;
                return Ok(true);
            }
            self.next = start + usize::from(by);
        }
        let Some((operator, implied)) = self.comparative() else {
            self.next = start;
            return Ok(false);
        };
        let Some(quantity) = self.quantity(implied) else {
            // "over tcp", "under make"
            let compares = self.next > start + 1 + usize::from(by);
            if !compares {
                self.next = start;
                return Ok(false);
            }
            return Err(self.refuse("a number"));
        };
        self.compare(list, operator, implied, quantity)?;
        self.bare_name = BareName::Nothing;
        Ok(true)
    }

    /// Accepts "once", "only once", "exactly twice", "exactly 3 times".
    fn once(&mut self, list: Projection) -> Result<bool, NotUnderstood> {
        let start = self.next;
        let last = |parser: &Self| parser.next + 1 == parser.words.len();
        // "who hit once": a host
        if self.bare_name == BareName::Object && last(self) {
            return Ok(false);
        }
        self.take(ONLY);
        let number = if self.take(ONCE) {
            Some(1)
        } else if self.take(TWICE) {
            Some(2)
        } else {
            let number = self.words.get(self.next).filter(|word| !word.quoted);
            let number = number.and_then(|word| word.text.parse::<i64>().ok());
            let times = number.is_some() && self.word_is(self.next + 1, TIMES_OR_TIME);
            if times {
                self.next += 1;
                self.advance();
            }
            number.filter(|_| times)
        };
        let Some(limit) = number else {
            self.next = start;
            return Ok(false);
        };
        self.compare(
            list,
            Operator::Exactly,
            Some(Measure::Rows),
            Quantity::Number(limit),
        )?;
        Ok(true)
    }

    /// Takes "more than", "at least", "over".
    pub(super) fn comparative(&mut self) -> Option<(Operator, Option<Measure>)> {
        if self.take(AT) {
            if self.take(LEAST) {
                return Some((Operator::AtLeast, None));
            }
            return self.take(MOST).then_some((Operator::AtMost, None));
        }
        if self.take(UP) {
            return self.take(TO).then_some((Operator::AtMost, None));
        }
        for (words, operator, measure) in COMPARATIVES {
            if self.take(words) {
                // an article is part of what follows: "over an hour"
                if self.next_is(THAN) {
                    self.advance();
                }
                return Some((operator, measure));
            }
        }
        None
    }

    /// Whether a comparison begins there: "more than", "over", "at least".
    pub(super) fn compares_at(&self, at: usize) -> bool {
        let at_bound =
            self.word_is(at, AT) && (self.word_is(at + 1, LEAST) || self.word_is(at + 1, MOST));
        let mut known = COMPARATIVES.iter();
        at_bound || known.any(|(words, ..)| self.word_is(at, words))
    }

    /// Takes "1 MB", "10s", "3".
    fn quantity(&mut self, implied: Option<Measure>) -> Option<Quantity> {
        // "more than a minute"
        let article = self.next_is(ARTICLES);
        let unit = self.words.get(self.next + 1).filter(|_| article);
        if let Some(factor) = unit.and_then(|unit| microseconds_in(&unit.text)) {
            self.next += 1;
            self.advance();
            return Some(Quantity::Time(factor as i64));
        }
        let unit = self.words.get(self.next + 1).filter(|_| article);
        let unit = unit.filter(|unit| unit.text.len() > 1);
        if let Some(factor) = unit.and_then(|unit| bytes_in(&unit.text)) {
            self.next += 1;
            self.advance();
            return Some(Quantity::Bytes(factor as i64));
        }
        for (words, number) in [(ONCE, 1), (TWICE, 2)] {
            if self.take(words) {
                return Some(Quantity::Times(number));
            }
        }
        let word = self.words.get(self.next).filter(|word| !word.quoted)?;
        let spelled = SPELLED
            .iter()
            .position(|one| word.text.eq_ignore_ascii_case(one));
        let text = match spelled {
            Some(number) => (number + 1).to_string(),
            None => word.text.replace(',', ""),
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let number = text[..digits].parse::<f64>().ok()?;
        let unit = &text[digits..];
        let (unit, words) = match unit {
            "" => (
                self.words
                    .get(self.next + 1)
                    .map_or("", |word| word.text.as_str()),
                2,
            ),
            unit => (unit, 1),
        };
        let of = |factor: f64| (number * factor).round() as i64;
        // "longer than 5M" is 5 minutes
        let bytes = bytes_in(unit).filter(|_| implied.is_none());
        let quantity = match (bytes, microseconds_in(unit)) {
            (Some(factor), _) => Some(Quantity::Bytes(of(factor))),
            (_, Some(factor)) => Some(Quantity::Time(of(factor))),
            _ => None,
        };
        let (quantity, words) = match quantity {
            Some(quantity) => (quantity, words),
            None if digits == text.len() => (Quantity::Number(number as i64), 1),
            None => return None,
        };
        self.next += words - 1;
        self.advance();
        Some(quantity)
    }

    /// Adds the comparison of what is listed.
    fn compare(
        &mut self,
        list: Projection,
        operator: Operator,
        implied: Option<Measure>,
        quantity: Quantity,
    ) -> Result<(), NotUnderstood> {
        let at = self.next.saturating_sub(1);
        let (measure, limit) = match quantity {
            Quantity::Bytes(n) => {
                // "sent more than 5 MB received less than 1 MB"
                let next = self.direction.is_some() && self.compares_at(self.next + 1);
                let said = (!next).then(|| self.take_one(DIRECTIONS)).flatten();
                let of = match said {
                    Some(word) => direction_of(word),
                    None => self.direction,
                };
                // "more than 1 MB of data"
                if self.take(OF) {
                    self.take(TRAFFIC);
                }
                (of.unwrap_or(Measure::Bytes), n)
            }
            Quantity::Time(n) => {
                // "took more than 100 ms to connect"
                let begins = self.next_is(TO) && self.word_is(self.next + 1, BEGINS);
                if begins {
                    self.next += 1;
                    self.advance();
                    self.add(Measure::Latency, operator, n);
                    return Ok(());
                }
                // "the slowest connections over 80 ms"
                let ranked = match self.ranking {
                    Some(Ranking::Slowest(_)) => Measure::Latency,
                    _ => Measure::Duration,
                };
                (implied.unwrap_or(ranked), n)
            }
            Quantity::Times(n) => (Measure::Rows, n),
            Quantity::Number(n) => {
                let counted = implied.filter(|&measure| measure == Measure::Rows);
                match counted.or_else(|| self.counted()) {
                    Some(measure) => (measure, n),
                    None if list == Projection::Ports => {
                        return self.port_limit(operator, n);
                    }
                    None => {
                        let hint = "say of what: \"more than 3 hosts\", \"more than 5 times\", \"more than 1 MB\", \"longer than 10s\"";
                        return Err(
                            self.refuse_word(self.words[at].at.clone(), Some(hint.to_owned()))
                        );
                    }
                }
            }
        };
        self.add(measure, operator, limit);
        Ok(())
    }

    fn add(&mut self, measure: Measure, operator: Operator, limit: i64) {
        self.compared.push(Comparison {
            measure,
            operator,
            limit: Limit::Number(limit),
        });
    }

    /// The noun after a number.
    fn counted(&mut self) -> Option<Measure> {
        self.skip_adjectives();
        // "at least 2 failed lookups", "more than one failure"
        let failures = self.next_is(ERRORS);
        if failures || self.next_is(FAILED) || self.next_is(OUTCOMES) {
            let (start, kept) = (self.next, self.predicates.len());
            let known = match failures {
                true => {
                    self.advance();
                    self.predicates.push(Predicate::Failed);
                    true
                }
                false => self.outcome() && (self.take(CONNECTIONS) || self.take(LOOKUPS)),
            };
            if known {
                return Some(Measure::Rows);
            }
            self.next = start;
            self.predicates.truncate(kept);
        }
        let measures = [
            (TIMES_OR_TIME, Measure::Rows),
            (CONNECTIONS, Measure::Rows),
            (LOOKUPS, Measure::Rows),
            (TRAFFIC, Measure::Bytes),
            (NAMES, Measure::Hosts),
            (ADDRESSES, Measure::Addresses),
            (PORTS, Measure::Ports),
            (PROCESS, Measure::Processes),
        ];
        // "who made more than one lookup"
        if self.next_is(LOOKUPS) {
            self.verb = Some(Relation::Lookups);
        }
        measures
            .into_iter()
            .find_map(|(words, measure)| self.take(words).then_some(measure))
    }

    fn skip_adjectives(&mut self) {
        while self.take(OUTBOUND) || self.take(DNS) {}
    }

    /// "ports above 1024"
    fn port_limit(&mut self, operator: Operator, n: i64) -> Result<(), NotUnderstood> {
        let port = u16::try_from(n)
            .ok()
            .and_then(|port| port_limit(operator, port));
        let port = port.ok_or_else(|| self.refuse_all("a port is a number up to 65535"))?;
        self.predicates.push(port);
        Ok(())
    }

    /// Turns the comparisons into conditions on rows or on groups.
    pub(super) fn apply_comparisons(
        &mut self,
        list: Projection,
        relation: Relation,
    ) -> Result<Vec<Comparison>, NotUnderstood> {
        let mut having = Vec::new();
        for mut comparison in std::mem::take(&mut self.compared) {
            if relation == Relation::Lookups && comparison.measure == Measure::Duration {
                comparison.measure = Measure::Latency;
            }
            let bytes = matches!(
                comparison.measure,
                Measure::Bytes | Measure::Sent | Measure::Received
            );
            if bytes && relation == Relation::Lookups {
                return Err(self.refuse_all("lookups have no bytes"));
            }
            let of_rows = matches!(comparison.measure, Measure::Duration | Measure::Latency);
            let groups = matches!(
                list,
                Projection::Actors(_)
                    | Projection::Count(Counted::Actors(_))
                    | Projection::Destinations
                    | Projection::Addresses
                    | Projection::Ports
                    | Projection::Properties(_)
                    | Projection::Pairs(_)
                    | Projection::FirstHosts(_)
                    | Projection::FirstActors(_)
                    | Projection::DnsServers
                    | Projection::FailedLookups
                    | Projection::NeverContacted
                    | Projection::Hashes
                    | Projection::Rules
                    | Projection::Verdicts
            );
            if groups && !of_rows
                || list == Projection::Beacons && comparison.measure == Measure::Duration
            {
                having.push(comparison);
            } else if of_rows || bytes && !groups {
                self.predicates.push(Predicate::Compared(comparison));
            } else {
                let why = "what occurs so many times has to be listed: \"which hosts were contacted more than 3 times\"";
                return Err(self.refuse_all(why));
            }
        }
        Ok(having)
    }
}

/// The direction that a word says.
pub(super) fn direction_of(word: &str) -> Option<Measure> {
    let is = |words: Words| words.iter().any(|one| word.eq_ignore_ascii_case(one));
    if is(SENDING) {
        return Some(Measure::Sent);
    }
    is(RECEIVING).then_some(Measure::Received)
}
