//! What a question selects, for readers that show it in their own ways.

use anyhow::{Result, ensure};
use rusqlite::Connection;

use super::ast::{Predicate, Question, Relation};
use super::host::Host;
use super::resolve::{Resolved, resolve};
use super::{Zone, check_span, count_left_out, reading, sql};
use chrono::Utc;

/// The connections and lookups of a span that a question selects, as sources of statements over
/// the views: each goes behind FROM.
#[derive(Debug)]
pub struct Selected {
    question: Question,
    /// Inclusive start, nanoseconds since 1970.
    pub since: Option<i64>,
    /// Exclusive end, nanoseconds since 1970.
    pub until: Option<i64>,
    /// How the question was read, which of its names the history has never seen, and what it
    /// leaves out; one sentence each.
    pub notes: Vec<String>,
    /// And which rows it can't be about; likewise.
    pub left_out: Vec<String>,
}

impl Selected {
    /// Looks up the names of a question in the history, seen at `now`. `hosts` narrows it to
    /// any of these.
    ///
    /// # Errors
    ///
    /// A question that does more than select rows, an empty span, SQLite's.
    pub fn read(
        db: &Connection,
        question: &Question,
        hosts: Vec<Host>,
        (since, until): (Option<i64>, Option<i64>),
        now: i64,
    ) -> Result<Selected> {
        ensure!(
            question.only_selects(),
            "a report is about the rows that a question selects, but this question ranks, groups \
             or compares them: ask for a program or a host, such as \"curl\", or let \
             'egrets query' answer it"
        );
        let mut question = question.clone();
        let hosts = Vec::from_iter(hosts.into_iter().map(Predicate::To));
        if !hosts.is_empty() {
            question.predicates.push(Predicate::Any(hosts));
        }
        let (since, until) = question.span(since, until);
        check_span(since, until, now)?;
        let Resolved {
            question,
            readings,
            unknown,
            left_out: answers,
        } = resolve(db, &question)?;
        let mut notes = Vec::from_iter(readings.into_iter().chain(unknown));
        if let Some(answers) = answers {
            let zone = Zone::over(
                &chrono::DateTime::<Utc>::from_timestamp_nanos(now),
                since,
                until,
            );
            let counted = sql::statement(&answers, since, until, &zone, true);
            notes.extend(count_left_out(db, &counted)?);
        }
        let mut selected = Selected {
            question,
            since,
            until,
            notes,
            left_out: Vec::new(),
        };
        for (relation, rows) in [
            (Relation::Connections, "connections"),
            (Relation::Lookups, "lookups"),
        ] {
            if let Err(lacking) = selected.of(relation) {
                let lacking = reading::predicate(&lacking);
                selected.left_out.push(format!(
                    "{rows} are left out: nothing says which of them are {lacking}"
                ));
            }
        }
        Ok(selected)
    }

    /// The conditions in words; none if everything is selected.
    pub fn described(&self) -> Option<String> {
        let conditions = self.question.predicates.iter();
        let conditions = conditions.filter(|p| **p != Predicate::Direction("out"));
        let words = Vec::from_iter(conditions.map(reading::predicate));
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Totals of the connections, by actor, destination and outcome: the columns of
    /// `egress_total` that have a value of their own in a span too. None if the question is
    /// about what only lookups have.
    pub fn connections(&self) -> Option<String> {
        let question = self.of(Relation::Connections).ok()?;
        Some(sql::totals(&question, (self.since, self.until)))
    }

    /// The same of those to addresses without a name, loopback apart.
    pub fn raw_addresses(&self) -> Option<String> {
        let mut question = self.of(Relation::Connections).ok()?;
        let loopback = Predicate::Scope("loopback");
        question.predicates.push(Predicate::To(Host::Raw));
        question.predicates.push(Predicate::Not(Box::new(loopback)));
        Some(sql::totals(&question, (self.since, self.until)))
    }

    /// The rows of the view that the question is about: `egress` or `lookups`.
    pub fn rows(&self) -> String {
        sql::each(&self.question, (self.since, self.until))
    }

    /// The connections as rows of `egress`.
    pub fn each_connection(&self) -> Option<String> {
        let question = self.of(Relation::Connections).ok()?;
        Some(sql::each(&question, (self.since, self.until)))
    }

    /// Totals of the lookups, by actor, query and result: those columns of `lookups_total`.
    pub fn lookups(&self) -> Option<String> {
        let question = self.of(Relation::Lookups).ok()?;
        Some(sql::totals(&question, (self.since, self.until)))
    }

    /// The statement whose only value is whether the same question finds the host that is its
    /// parameter (or the address without a name, 16 bytes) before a time, or at any time.
    pub fn seen_before(&self, named: bool, before: Option<i64>) -> Option<String> {
        let question = self.of(Relation::Connections).ok()?;
        Some(sql::seen_before(&question, named, before))
    }

    /// The question about this relation, or the condition that such rows lack.
    fn of(&self, relation: Relation) -> Result<Question, Predicate> {
        if relation == self.question.relation {
            return Ok(self.question.clone());
        }
        let mut question = Question {
            relation,
            ..self.question.clone()
        };
        // Lookups have no direction: this host's processes began them.
        question
            .predicates
            .retain(|p| *p != Predicate::Direction("out"));
        let mut predicates = question.predicates.iter();
        match predicates.find(|p| !sql::has_columns(relation, p)) {
            Some(lacking) => Err(lacking.clone()),
            None => Ok(question),
        }
    }
}
