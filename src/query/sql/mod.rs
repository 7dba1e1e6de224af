//! A question as SQL text over the public views, with nothing left to bind, so
//! that what `--sql` shows is what was run and runs in any SQLite.

mod bucket;
mod condition;
mod fresh;
mod select;
pub mod sums;
#[cfg(test)]
mod tests;

use super::host::Host;
use super::question::{Counted, From, List, Only, Per, Pick, Question};
use super::zone::Zone;
pub use condition::condition;
use condition::{known, rare};
use select::{Answer, BOTH_WAYS, SUM_BOTH_WAYS, answer};

/// The condition that a record gives an address to the host that was asked for.
/// The name in a service's question is another than its host's (RFC 9460 section 2.3).
const GAVE_AN_ADDRESS: &str = "\
(qtype IN ('A', 'AAAA') AND type = qtype
       OR qtype = 'HTTPS' AND qname NOT LIKE '\\_%' ESCAPE '\\'
          AND (type = 'HTTPS' AND (instr(data, 'ipv4hint=') OR instr(data, 'ipv6hint='))
               OR type IN ('A', 'AAAA')))";

/// The condition that a lookup is one, and no message that nobody asked for.
const ASKED_FOR: &str = "status IN ('answered', 'unanswered')";

/// The statement that answers `question` for connections or lookups from `since` up to,
/// not including, `until` (nanoseconds since 1970); hours and days are those of `zone`. From
/// `sums` where the history has them and they suffice. No `;` at the end.
pub fn statement(
    question: &Question,
    since: Option<i64>,
    until: Option<i64>,
    zone: &Zone,
    sums: bool,
) -> String {
    let mut conditions = conditions(question);
    let view = match (question.list, question.from) {
        (List::NeverContacted, _) => "dns",
        (_, From::Connections) => "egress",
        (_, From::Lookups) => "lookups",
    };
    if question.list == List::NeverContacted {
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
    if view == "lookups" {
        conditions.push(ASKED_FOR.to_owned());
    }
    match question.pick {
        Some(Pick::Slowest(_)) => conditions.push("latency_us IS NOT NULL".to_owned()),
        Some(Pick::Longest(_)) => conditions.push("duration_us IS NOT NULL".to_owned()),
        _ => {}
    }
    let unseen = match since.filter(|_| question.new) {
        Some(since) => fresh::unseen(question, since, view, &conditions, sums),
        None => None,
    };
    let sums = sums && sums::suffice(question);
    let from = match sums {
        true => {
            let conditions = std::mem::take(&mut conditions);
            sums::from(question, &conditions, (since, until), zone)
        }
        false => {
            conditions.extend(times(Some(question), since, until));
            view.to_owned()
        }
    };
    let Answer { columns, key, ties } = answer(question, sums);
    let mut having = Vec::new();
    match (unseen, key) {
        // One row for all, and none where nothing is found.
        (unseen, "") if ties.is_empty() => {
            conditions.extend(unseen);
            if question.per.is_none() {
                having.push("count(*) > 0".to_owned());
            }
        }
        (unseen, _) => having.extend(unseen),
    }
    let ts = if sums { "first_ts" } else { "ts" };
    let per = question
        .per
        .map(|per| (per.label(zone, ts), per.key(zone, ts)));
    let columns = match &per {
        Some((label, _)) => format!("{label},\n       {columns}"),
        None => columns,
    };
    let group = per.iter().map(|(_, key)| key.as_str());
    let group = group
        .chain((!key.is_empty()).then_some(key))
        .collect::<Vec<_>>();
    let group = match group.is_empty() {
        true => String::new(),
        false => format!("\nGROUP BY {}", group.join(", ")),
    };
    let filter = all_of("WHERE", &conditions);
    let having = all_of("HAVING", &having);
    let grouped = format!("SELECT {columns}\nFROM {from}{filter}{group}{having}");
    match (question.per, per) {
        (Some(per), _) if question.pick.is_some() => top_of_each(question, per, ties, &grouped),
        (_, Some((_, span))) => grouped + &by_span(question, &span, ties),
        _ => grouped + &order(question, ties),
    }
}

/// Of the rows of each span those with most connections, lookups or bytes.
fn top_of_each(question: &Question, per: Per, ties: &str, grouped: &str) -> String {
    let (most, n) = match question.pick {
        Some(Pick::MostBytes(n)) => (BOTH_WAYS, n),
        Some(Pick::Most(n)) => (number(question), n),
        // Nothing else is picked of each span.
        _ => (number(question), Pick::ALL),
    };
    format!(
        "SELECT * FROM (\n  SELECT *, row_number() OVER (PARTITION BY {span} ORDER BY {most} DESC, {ties}) AS rank\n  \
         FROM (\n    {grouped}\n  )\n)\nWHERE rank <= {n}\nORDER BY {order}, rank",
        span = per.column(),
        grouped = grouped.replace('\n', "\n    "),
        order = per.order(),
    )
}

/// The statement that reads these columns of the rows of a view, all or those that a
/// question is about, from `since` up to `until`, in order of time. Where some have been read,
/// those behind the one with these `ts` and `id`, up to another id.
pub fn rows(
    view: &str,
    columns: &[String],
    question: Option<&Question>,
    (since, until): (Option<i64>, Option<i64>),
    read: Option<((i64, i64), i64)>,
) -> String {
    let since = read.map_or(since, |((ts, _), _)| Some(ts));
    let mut conditions = question.map_or_else(Vec::new, conditions);
    if question.is_some() && view != "egress" {
        conditions.push(ASKED_FOR.to_owned());
    }
    if view == "dns" && !conditions.is_empty() {
        // Only `lookups` says all of who asked.
        let asked = conditions.join("\n    AND ");
        conditions = vec![format!("id IN (SELECT id FROM lookups WHERE {asked})")];
    }
    conditions.extend(times(question, since, until));
    if let Some(((ts, id), last)) = read {
        conditions.push(format!("(ts > {ts} OR id > {id})"));
        conditions.push(format!("id <= {last}"));
    }
    let filter = all_of("WHERE", &conditions);
    format!(
        "SELECT {}\nFROM {view}{filter}\nORDER BY ts, id",
        columns.join(", ")
    )
}

/// The conditions that say which rows a question is about, but for its times.
fn conditions(question: &Question) -> Vec<String> {
    let mut conditions = Vec::from_iter(
        question
            .only
            .iter()
            .map(|only| condition(question.from, only)),
    );
    if let List::Actors(actors) | List::Count(Counted::Actors(actors)) = question.list {
        conditions.extend(known(actors, question.from));
    }
    conditions
}

/// A clause of conditions that all hold; nothing where there is none.
fn all_of(clause: &str, conditions: &[String]) -> String {
    match conditions.is_empty() {
        true => String::new(),
        false => format!("\n{clause} {}", conditions.join("\n  AND ")),
    }
}

/// ORDER BY of an answer that is split by time: in order of time, and in each span those
/// with most connections or lookups first.
fn by_span(question: &Question, span: &str, ties: &str) -> String {
    match ties {
        "" => format!("\nORDER BY {span}"),
        ties => format!("\nORDER BY {span}, {} DESC, {ties}", number(question)),
    }
}

/// The column that counts a group's rows.
fn number(question: &Question) -> &'static str {
    match question.from {
        From::Connections => "connections",
        From::Lookups => "lookups",
    }
}

/// ORDER BY and LIMIT: the newest first, but each row on its own in order of time.
fn order(question: &Question, ties: &str) -> String {
    let each = question.list == List::Each;
    let many = number(question);
    let (first, n) = match question.pick {
        _ if ties.is_empty() => return String::new(),
        None if each => ("ts", None),
        None => ("last_seen DESC", None),
        Some(Pick::First(n)) => (if each { "ts" } else { "first_seen" }, Some(n)),
        Some(Pick::Last(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Last(n)) => ("last_seen DESC", Some(n)),
        Some(Pick::Most(n)) if each => ("ts DESC", Some(n)),
        Some(Pick::Most(n)) => (many, Some(n)),
        Some(Pick::Slowest(n)) => ("latency_us", Some(n)),
        Some(Pick::Longest(n)) => ("duration_us", Some(n)),
        Some(Pick::MostBytes(n)) if each => (BOTH_WAYS, Some(n)),
        Some(Pick::MostBytes(n)) => (SUM_BOTH_WAYS, Some(n)),
    };
    let descending = match question.pick {
        Some(Pick::MostBytes(_) | Pick::Slowest(_) | Pick::Longest(_)) => " DESC",
        Some(Pick::Most(_)) if !each => " DESC",
        _ => "",
    };
    let limit = n
        .filter(|&n| n != Pick::ALL)
        .map_or_else(String::new, |n| format!("\nLIMIT {n}"));
    format!("\nORDER BY {first}{descending}, {ties}{limit}")
}

/// The conditions that a row is of the span asked about. Where nothing else says which few
/// rows are meant, its beginning is marked as what does: SQLite then begins at the index of
/// times, and not with every process.
fn times(question: Option<&Question>, since: Option<i64>, until: Option<i64>) -> Vec<String> {
    let mut times = Vec::from_iter(span("ts", since, until));
    if let Some(first) = times.first_mut()
        && since.is_some()
        && !question.is_some_and(is_of_few)
    {
        *first = rare(first);
    }
    times
}

/// Whether a question is about somebody or some place.
fn is_of_few(question: &Question) -> bool {
    question.only.iter().any(|only| match only {
        Only::To(host) => *host != Host::Raw,
        Only::By(_) => true,
        _ => false,
    })
}

/// The conditions that a time is in the span asked about.
fn span(ts: &str, since: Option<i64>, until: Option<i64>) -> impl Iterator<Item = String> {
    let from = since.map(|since| format!("{ts} >= {since}"));
    let to = until.map(|until| format!("{ts} < {until}"));
    from.into_iter().chain(to)
}
