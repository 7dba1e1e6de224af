//! Clauses that the grammar knows, wherever they stand: times, outcomes, comparisons, groups, ports.

use chrono::TimeZone;

use super::super::idioms;
use super::super::parser::Parser;
use super::super::units::microseconds_in;
use super::super::vocabulary::*;
use super::{Facets, Role};
use crate::query::ast::{Actors, Projection};

impl<Tz: TimeZone> Facets<'_, Tz> {
    /// Takes a clause of the grammar: a time, an outcome, a comparison, "per host".
    pub(super) fn clause(&mut self) -> bool {
        let parser = |at: usize| Parser::new("", self.words[at..].to_vec(), self.now);
        // behind "by", "from", a word is a name: "by ssh"
        let service = self.role == Role::To && self.at_is(self.at, SERVICES);
        if matches!(self.role, Role::By | Role::To | Role::From) && !service {
            return false;
        }
        let mut taken = 0;
        let mut kind = "";
        let list = Projection::Actors(Actors::Processes);
        let without = self.at_is(self.at, WITHOUT) && self.at_is(self.at + 1, DNS);
        if without {
            (taken, kind) = (2, "other");
        }
        if taken == 0 && !self.denied {
            let mut at = parser(self.at);
            if matches!(at.time(), Ok(true)) {
                (taken, kind) = (at.next, "time");
            }
        }
        if taken == 0 && !self.denied && (self.at_is(self.at, IN) || self.at_is(self.at, ON)) {
            let mut at = parser(self.at + 1);
            if matches!(at.time(), Ok(true)) {
                (taken, kind) = (at.next + 1, "time");
            }
        }
        if taken == 0 && !self.denied {
            let mut at = parser(self.at);
            if matches!(at.comparison(list), Ok(true)) {
                (taken, kind) = (at.next, "compared");
            }
        }
        if taken == 0 {
            let mut at = parser(self.at);
            let by = at.next_is(&["by"]);
            if !self.denied && matches!(at.per(), Ok(true)) {
                (taken, kind) = (at.next, "group");
            } else if !self.denied && by {
                let mut at = parser(self.at + 1);
                if at.group(true) {
                    (taken, kind) = (at.next + 1, "group");
                }
            }
        }
        if taken == 0 {
            let mut at = parser(self.at);
            if at.outcome() {
                // "failed" may take a verb and its "to"
                (taken, kind) = (at.next, "outcome");
                let last = &self.words[self.at + taken - 1];
                if last.is_one_of(VERBS) || last.is_one_of(FETCH) {
                    let failed = self.words[self.at].is_one_of(FAILED);
                    taken = if failed { 1 } else { taken };
                }
            } else if at.next == 0 && self.at_is(self.at, RCODES) {
                (taken, kind) = (1, "outcome");
            }
        }
        if taken == 0 && self.at_is(self.at, OPENED) {
            (taken, kind) = (1, "open");
        }
        if taken == 0 {
            return false;
        }
        let words = Vec::from_iter(self.words[self.at..self.at + taken].iter().cloned());
        let service = kind == "outcome"
            && (words[0].is_one_of(SERVICES)
                || words[0].is_one_of(PROTOCOLS)
                || words[0].is_one_of(FAMILIES));
        self.failed |= kind == "outcome" && !service;
        if self.denied {
            let not = self.written("not");
            self.clauses.push(not);
        }
        if service {
            let over = self.written("over");
            self.clauses.push(over);
        }
        match kind {
            "group" if self.at_is(self.at, &["by"]) => {
                let per = self.written("per");
                self.clauses.push(per);
                self.clauses.extend(words.into_iter().skip(1));
            }
            "open" => {
                let now = self.written("now");
                self.clauses.push(now);
            }
            _ => self.clauses.extend(words),
        }
        self.others += usize::from(kind != "group");
        // "lasted over an hour" is a question
        self.things |= kind == "compared";
        (self.role, self.denied) = (Role::Unsaid, false);
        self.at += taken;
        true
    }

    /// Takes "1h", "30 min", and "port 443" or, behind "on" or "to", "443".
    pub(super) fn numbered(&mut self) -> Option<bool> {
        let Some(word) = self.word(self.at).filter(|word| !word.quoted) else {
            return Some(false);
        };
        let digits = word
            .text
            .trim_end_matches(|c: char| c.is_ascii_alphabetic())
            .len();
        let (number, unit) = word.text.split_at(digits);
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        let is_port = |at: usize| {
            self.word(at)
                .is_some_and(|word| word.text.parse::<u16>().is_ok())
        };
        let of_time = |unit: &str| microseconds_in(unit).is_some();
        if is_number(number) && of_time(unit) && !self.denied && self.role == Role::Unsaid {
            return self.length(1);
        }
        let beside = self.word(self.at + 1).filter(|unit| unit.text.len() > 1);
        if unit.is_empty()
            && is_number(number)
            && self.role == Role::Unsaid
            && !self.denied
            && beside.is_some_and(|unit| of_time(&unit.text))
        {
            return self.length(2);
        }
        let said = word.is_one_of(PORT) && is_port(self.at + 1);
        // "x.org 443"
        let host = self.at.checked_sub(1).and_then(|at| self.word(at));
        let host = host.is_some_and(idioms::is_host) && self.role == Role::Unsaid;
        let behind = is_port(self.at) && (host || matches!(self.role, Role::Way | Role::To));
        if !said && !behind {
            // a port, or a pid?
            let bare = word.text.bytes().all(|b| b.is_ascii_digit());
            return if bare { None } else { Some(false) };
        }
        let number = self.words[self.at + usize::from(said)].clone();
        let mut clause = Vec::from_iter(self.denied.then(|| self.written("not")));
        // "from port 40983" is the local end, as in the grammar
        let which = match self.role {
            Role::From => "source",
            _ => "on",
        };
        clause.extend([self.written(which), self.written("port"), number]);
        self.clauses.extend(clause);
        self.others += 1;
        (self.role, self.denied) = (Role::Unsaid, false);
        self.at += if said { 2 } else { 1 };
        // "port 80 or 443" is the grammar's
        match self.at_is(self.at, OR) {
            true => None,
            false => Some(true),
        }
    }

    /// Takes a length of time of so many words, of which the last is meant.
    pub(super) fn length(&mut self, words: usize) -> Option<bool> {
        let before = ["in", "last"].map(|text| self.written(text));
        self.clauses.extend(before);
        self.clauses
            .extend_from_slice(&self.words[self.at..self.at + words]);
        self.others += 1;
        self.at += words;
        Some(true)
    }
}
