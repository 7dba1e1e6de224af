//! "But made no connections", "that never looked anything up": leaves out actors who did the
//! other thing.

use super::condition::{NO_RESOLVER, condition};
use super::zone::Zone;
use super::{HAS_QUERY, rollups, select};
use crate::query::ast::{Actors, Counted, Predicate, Projection, Question, Relation};

/// The condition that who acted has no row of `other` in the same span, and to the same hosts.
/// DNS messages are no connections.
pub fn without(
    question: &Question,
    other: Relation,
    span: (Option<i64>, Option<i64>),
    zone: &Zone,
    use_rollups: bool,
) -> Option<String> {
    let (Projection::Actors(actors) | Projection::Count(Counted::Actors(actors))) =
        question.projection
    else {
        return None;
    };
    let key = key(actors)?;
    let hosts = question.predicates.iter().filter(|p| is_host(p));
    let mut conditions = Vec::from_iter(hosts.map(|predicate| condition(other, predicate)));
    conditions.extend(match other {
        Relation::Connections => {
            [NO_RESOLVER.to_owned(), "direction IS NOT 'in'".to_owned()].into()
        }
        Relation::Lookups => vec![HAS_QUERY.to_owned()],
    });
    let of_other = Question {
        relation: other,
        bucket: None,
        new: false,
        ..question.clone()
    };
    let from = match use_rollups {
        true => rollups::from_clause(&of_other, &conditions, span, zone),
        false => rollups::rows(&of_other, &conditions, span),
    }
    .replace('\n', "\n    ");
    Some(format!(
        "json_array({key}) NOT IN (\n    SELECT json_array({key}) FROM {from})"
    ))
}

fn is_host(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::To(_) => true,
        Predicate::Any(all) => all.iter().all(is_host),
        _ => false,
    }
}

/// What identifies who acted, in the views of both relations.
fn key(actors: Actors) -> Option<&'static str> {
    match actors {
        // The parser refuses these: lookups have neither.
        Actors::CommandLines | Actors::Parents => None,
        actors => Some(select::key(actors)),
    }
}
