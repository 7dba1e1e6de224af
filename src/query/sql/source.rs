//! The rows that a question selects as the source of other statements: a FROM clause with its
//! conditions.

use super::{HAS_QUERY, all_of, conditions, rollups, times};
use super::{Zone, rare};
use crate::query::ast::{Predicate, Question, Relation, Subject};
use crate::query::host::Host;

/// Whether the rows of a relation have what a predicate is about, if the question is about the
/// other one. Conditions that exist for both but mean something else (whether it failed, how
/// long it took) do not apply.
pub fn has_columns(relation: Relation, predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Not(of) => has_columns(relation, of),
        Predicate::Any(of) | Predicate::All(of) => of.iter().all(|p| has_columns(relation, p)),
        Predicate::By(Subject::Executables(_) | Subject::CommandLine(_)) => {
            relation == Relation::Connections
        }
        Predicate::By(_) | Predicate::SinceBoot => true,
        Predicate::To(Host::Addresses { .. } | Host::Raw | Host::Network(_)) => {
            relation == Relation::Connections
        }
        Predicate::To(_) | Predicate::Sent(_) => true,
        _ => false,
    }
}

/// What a question selects, as totals by actor, destination and outcome; for lookups by actor,
/// query and result. From rollups where they have what its conditions need.
pub fn totals(question: &Question, span: (Option<i64>, Option<i64>)) -> String {
    let conditions = selecting(question);
    let source = match rollups::cover_predicates(question) {
        true => {
            let zone = Zone {
                before: Vec::new(),
                last: 0,
            };
            rollups::from_clause(question, &conditions, span, &zone)
        }
        false => rollups::rows(question, &conditions, span),
    };
    source.replace('\n', "\n  ")
}

/// The single rows that a question selects.
pub fn each(question: &Question, (since, until): (Option<i64>, Option<i64>)) -> String {
    let view = match question.relation {
        Relation::Connections => "egress",
        Relation::Lookups => "lookups",
    };
    let mut conditions = selecting(question);
    conditions.extend(times(Some(question), since, until));
    format!("{view}{}", all_of("WHERE", &conditions))
}

/// The statement whose only value is whether the question selects any connection to the name
/// that is its parameter, or without a name to the address, 16 bytes; only those that began
/// before a time, if there is one.
pub fn seen_before(question: &Question, named: bool, before: Option<i64>) -> String {
    let (view, began) = match rollups::cover_predicates(question) {
        true => (rollups::total(Relation::Connections), "first_ts"),
        false => ("egress", "ts"),
    };
    let same = match named {
        true => format!("host IS NOT NULL AND {}", rare("host = ?1")),
        false => format!("host IS NULL AND {}", rare("dst_addr = ?1")),
    };
    let mut conditions = conditions(question);
    conditions.push(same);
    conditions.extend(before.map(|before| format!("{began} < {before}")));
    let filter = all_of("WHERE", &conditions);
    format!("SELECT EXISTS (SELECT 1 FROM {view}{filter})")
}

fn selecting(question: &Question) -> Vec<String> {
    let mut conditions = conditions(question);
    if question.relation == Relation::Lookups {
        conditions.push(HAS_QUERY.to_owned());
    }
    conditions
}
