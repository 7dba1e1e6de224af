//! A question as SQL text over the public views, with nothing left to bind, so
//! that what `--sql` shows is what was run and runs in any SQLite.

mod condition;
mod select;
#[cfg(test)]
mod tests;

use super::question::{Counted, From, List, Pick, Question};
use condition::{condition, known};
use select::{Answer, BOTH_WAYS, SUM_BOTH_WAYS, answer};

/// The condition that a record gives an address to the host that was asked for.
/// The name in a service's question is another than its host's (RFC 9460 section 2.3).
const GAVE_AN_ADDRESS: &str = "\
(qtype IN ('A', 'AAAA') AND type = qtype
       OR qtype = 'HTTPS' AND qname NOT LIKE '\\_%' ESCAPE '\\'
          AND (type = 'HTTPS' AND (instr(data, 'ipv4hint=') OR instr(data, 'ipv6hint='))
               OR type IN ('A', 'AAAA')))";

/// The statement that answers `question` for connections or lookups from `since` up to,
/// not including, `until` (nanoseconds since 1970), besides its own times. No `;` at
/// the end.
pub fn statement(question: &Question, since: Option<i64>, until: Option<i64>) -> String {
    let (since, until) = question.span(since, until);
    let mut conditions = question
        .only
        .iter()
        .map(|only| condition(question.from, only))
        .collect::<Vec<_>>();
    let view = match (question.list, question.from) {
        (List::NeverContacted, _) => "dns",
        (_, From::Connections) => "egress",
        (_, From::Lookups) => "lookups",
    };
    match question.list {
        List::Actors(actors) | List::Count(Counted::Actors(actors)) => {
            conditions.extend(known(actors, question.from));
        }
        List::NeverContacted => {
            // Only `lookups` says all of who asked.
            if !conditions.is_empty() {
                let asked = conditions.join("\n    AND ");
                conditions = vec![format!("id IN (SELECT id FROM lookups WHERE {asked})")];
            }
            conditions.extend([
                "status = 'answered'".to_owned(),
                "rcode = 'NOERROR'".to_owned(),
                GAVE_AN_ADDRESS.to_owned(),
                format!(
                    "NOT EXISTS (SELECT 1 FROM egress WHERE host = qname{})",
                    span("egress.ts", since, until)
                        .map(|condition| format!(" AND {condition}"))
                        .collect::<String>()
                ),
            ]);
        }
        _ => {}
    }
    if view == "lookups" {
        conditions.push("status IN ('answered', 'unanswered')".to_owned());
    }
    conditions.extend(span("ts", since, until));
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!("\nWHERE {}", conditions.join("\n  AND ")),
    };
    let Answer { columns, key, ties } = answer(question);
    let group = match key {
        // One row for all, and none where nothing is found.
        "" if ties.is_empty() => "\nHAVING count(*) > 0".to_owned(),
        "" => String::new(),
        key => format!("\nGROUP BY {key}"),
    };
    let (order, limit) = order(question, ties);
    format!("SELECT {columns}\nFROM {view}{filter}{group}{order}{limit}")
}

/// ORDER BY and LIMIT: the newest first, but each row on its own in order of time.
fn order(question: &Question, ties: &str) -> (String, String) {
    let each = question.list == List::Each;
    let many = match question.from {
        From::Connections => "connections",
        From::Lookups => "lookups",
    };
    let (first, n) = match question.pick {
        _ if ties.is_empty() => return (String::new(), String::new()),
        None if each => ("ts", None),
        None => ("last_seen DESC", None),
        Some(Pick::First(n)) => (if each { "ts" } else { "first_seen" }, Some(n)),
        Some(Pick::Last(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Last(n)) => ("last_seen DESC", Some(n)),
        Some(Pick::Most(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Most(n)) => (many, Some(n)),
        Some(Pick::MostBytes(n)) if each => (BOTH_WAYS, Some(n)),
        Some(Pick::MostBytes(n)) => (SUM_BOTH_WAYS, Some(n)),
    };
    let descending = match question.pick {
        Some(Pick::MostBytes(_)) => " DESC",
        Some(Pick::Most(_)) if !each => " DESC",
        _ => "",
    };
    let limit = n.map_or_else(String::new, |n| format!("\nLIMIT {n}"));
    (format!("\nORDER BY {first}{descending}, {ties}"), limit)
}

/// The conditions that a time is in the span asked about.
fn span(ts: &str, since: Option<i64>, until: Option<i64>) -> impl Iterator<Item = String> {
    let from = since.map(|since| format!("{ts} >= {since}"));
    let to = until.map(|until| format!("{ts} < {until}"));
    from.into_iter().chain(to)
}
