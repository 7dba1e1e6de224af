//! A question as one SQL statement over the public views. It has no parameters, so `--sql`
//! shows exactly what runs, and any SQLite can run it.

mod bucket;
mod condition;
mod dialect;
mod doh;
mod engine;
mod measure;
mod new_since;
mod rollups;
mod select;
mod share;
mod source;
mod special;
#[cfg(test)]
mod tests;
mod tree;
mod without;
mod zone;

use super::ast::{
    Actors, Bucket, Counted, Measure, Predicate, Projection, Question, Ranking, Relation,
};
use super::host::Host;
pub use condition::known;
use condition::rare;
pub use condition::{FAILURES, condition, sent};
pub use dialect::{dataset_statement, statement_of_several};
pub use engine::Engine;
use measure::{BOTH_WAYS, SUM_BOTH_WAYS};
pub use rollups::total;
use select::{Selection, selection};
pub use source::{each, has_columns, seen_before, totals};
pub use zone::Zone;

/// The condition that a resource record gives the queried host an address. The query name of a
/// service binding differs from the host's name (RFC 9460 section 2.3).
const GAVE_AN_ADDRESS: &str = "\
(qtype IN ('A', 'AAAA') AND type = qtype
       OR qtype = 'HTTPS' AND qname NOT LIKE '\\_%' ESCAPE '\\'
          AND (type = 'HTTPS' AND (instr(data, 'ipv4hint=') > 0 OR instr(data, 'ipv6hint=') > 0)
               OR type IN ('A', 'AAAA')))";

/// The condition that a lookup has a query: unsolicited and malformed messages are left out.
pub const HAS_QUERY: &str = "status IN ('answered', 'unanswered', 'unsent')";

/// The statement that answers `question` for connections or lookups from `since` up to, not
/// including, `until` (nanoseconds since 1970), with hours and days in `zone`. Without
/// `use_rollups` it reads single rows only; the answer is the same. No `;` at the end.
pub fn statement(
    question: &Question,
    since: Option<i64>,
    until: Option<i64>,
    zone: &Zone,
    use_rollups: bool,
) -> String {
    let of_rows = !use_rollups;
    if let Some(statement) = special::statement(question, (since, until), zone, use_rollups) {
        return statement;
    }
    if let Projection::Count(Counted::Actors(actors)) = question.projection
        && !question.having.is_empty()
    {
        return counted_groups(question, actors, (since, until), zone, use_rollups);
    }
    let mut conditions = conditions(question);
    let view = match (question.projection, question.relation) {
        (Projection::NeverContacted, _) => "dns",
        (_, Relation::Connections) => "egress",
        (_, Relation::Lookups) => "lookups",
    };
    if question.projection == Projection::NeverContacted {
        // `dns` lacks columns of the requester that `lookups` has.
        if !conditions.is_empty() {
            let matching = conditions.join("\n    AND ");
            conditions = vec![format!("id IN (SELECT id FROM lookups WHERE {matching})")];
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
        conditions.push(HAS_QUERY.to_owned());
    }
    if let Some(other) = question.without {
        conditions.extend(without::without(
            question,
            other,
            (since, until),
            zone,
            use_rollups,
        ));
    }
    match question.ranking {
        Some(Ranking::Slowest(_)) => conditions.push("latency_us IS NOT NULL".to_owned()),
        Some(Ranking::Longest(_)) => conditions.push(format!(
            "{} IS NOT NULL",
            measure::of_row(Measure::Duration)
        )),
        Some(Ranking::By { measure, .. }) if measure::is_of_rows(measure) => {
            conditions.push(format!("{} IS NOT NULL", measure::of_row(measure)));
        }
        _ => {}
    }
    if let Some(only) = involved(question) {
        conditions.push(only);
    }
    let unseen = match since.filter(|_| question.new) {
        Some(since) => new_since::unseen(question, since, view, &conditions, use_rollups),
        None => None,
    };
    let use_rollups = use_rollups && rollups::can_answer(question);
    let from = match use_rollups {
        true => {
            let conditions = std::mem::take(&mut conditions);
            rollups::from_clause(question, &conditions, (since, until), zone)
        }
        false => {
            conditions.extend(times(Some(question), since, until));
            view.to_owned()
        }
    };
    let Selection { columns, key, ties } = selection(question, use_rollups);
    let mut having = groups(question, use_rollups);
    match (unseen, &*key) {
        // A single row, or none if nothing is found.
        (unseen, "") if ties.is_empty() => {
            conditions.extend(unseen);
            if question.bucket.is_none() {
                having.push("count(*) > 0".to_owned());
            }
        }
        // What a group is by decides, so it is the same for each of its rows.
        (unseen, _) if of_rows => conditions.extend(unseen),
        (unseen, _) => having.extend(unseen),
    }
    let ts = if use_rollups { "first_ts" } else { "ts" };
    let bucket = question
        .bucket
        .map(|bucket| (bucket.label(zone, ts), bucket.key(zone, ts)));
    let columns = match question.average {
        Some(measure) => format!("{},\n       {columns}", measure::average(measure)),
        None => columns,
    };
    let columns = match &question.share {
        Some(share) => {
            let share = share::columns(share, question.relation, use_rollups);
            format!("{share},\n       {columns}")
        }
        None => columns,
    };
    let columns = match &bucket {
        Some((label, _)) => format!("{label},\n       {columns}"),
        None => columns,
    };
    let group = bucket.iter().map(|(_, key)| key.as_str());
    let group = group
        .chain((!key.is_empty()).then_some(&*key))
        .collect::<Vec<_>>();
    let group = match group.is_empty() {
        true => String::new(),
        false => format!("\nGROUP BY {}", group.join(", ")),
    };
    let filter = all_of("WHERE", &conditions);
    let having = all_of("HAVING", &having);
    let grouped = format!("SELECT {columns}\nFROM {from}{filter}{group}{having}");
    if let Some(statement) = all_of_first(question, &grouped) {
        return statement;
    }
    if let Some((of, ties)) = select::ranked_within(question) {
        return top_within(question, of, ties, &grouped);
    }
    match (question.bucket, bucket) {
        // The parser refuses other rankings of single rows.
        (Some(bucket), _) if question.ranking.is_some() && ties.is_empty() => {
            let (most, n) = ranked_by(question);
            let grouped = grouped.replace('\n', "\n  ");
            let order = bucket.order();
            format!("SELECT * FROM (\n  {grouped}\n)\nORDER BY {most}, {order}\nLIMIT {n}")
        }
        (Some(bucket), _) if question.ranking.is_some() => {
            top_of_each(question, bucket, &ties, &grouped)
        }
        (_, Some((_, key))) => grouped + &by_bucket(question, &key, &ties),
        _ => grouped + &order(question, &ties, use_rollups),
    }
}

/// How many actors there are of whom each has a total that compares in some way.
fn counted_groups(
    question: &Question,
    actors: Actors,
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
    use_rollups: bool,
) -> String {
    let listed = Question {
        projection: Projection::Actors(actors),
        ranking: None,
        ..question.clone()
    };
    let listed = statement(&listed, since, until, zone, use_rollups).replace('\n', "\n  ");
    let number = match actors {
        // a program is one, also where several users run it
        Actors::Processes => "count(DISTINCT coalesce(exe, comm))",
        _ => "count(*)",
    };
    let totals = match question.relation {
        Relation::Connections => {
            "sum(connections) AS connections, sum(failed) AS failed,
       sum(tx_bytes) AS tx_bytes, sum(rx_bytes) AS rx_bytes,"
        }
        Relation::Lookups => "sum(lookups) AS lookups, sum(failed) AS failed,",
    };
    format!(
        "SELECT {number} AS number, {totals}
       min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM (
  {listed}
)
HAVING count(*) > 0"
    )
}

/// The condition that a row is one of those that decide about its group, if only they do.
fn involved(question: &Question) -> Option<String> {
    if question.also.is_empty() {
        return None;
    }
    let any = question.also.iter().chain(&question.never);
    let any = any.map(|predicate| format!("({})", condition(question.relation, predicate)));
    Some(format!("({})", any.collect::<Vec<_>>().join("\n    OR ")))
}

/// The conditions on groups.
fn groups(question: &Question, use_rollups: bool) -> Vec<String> {
    let compared = question.having.iter().map(|comparison| {
        measure::compared(comparison, |measure| {
            measure::of_group(measure, question.relation, use_rollups)
        })
    });
    let some = |predicate: &Predicate, is: &str| {
        let condition = condition(question.relation, predicate);
        format!("coalesce(max({condition}), 0) = {is}")
    };
    let also = question.also.iter().map(|predicate| some(predicate, "1"));
    let never = question.never.iter().map(|predicate| some(predicate, "0"));
    compared.chain(also).chain(never).collect()
}

/// What a ranking in an answer in buckets goes by, with its direction, and how many rows it has.
fn ranked_by(question: &Question) -> (String, u32) {
    let (by, n, least) = match question.ranking {
        Some(Ranking::MostBytes(n)) => (BOTH_WAYS.to_owned(), n, false),
        Some(Ranking::Most(n)) => (number(question).to_owned(), n, false),
        Some(Ranking::By {
            measure,
            least,
            rows,
        }) => {
            let by = match measure {
                Measure::Rows => number(question).to_owned(),
                measure => measure::of_row(measure),
            };
            (by, rows, least)
        }
        // The parser refuses other rankings within buckets.
        _ => (number(question).to_owned(), Ranking::ALL, false),
    };
    (format!("{by} {}", if least { "ASC" } else { "DESC" }), n)
}

/// The first of groups that are ranked, with those that are equal to it: "the busiest minute" can
/// be two. None if more than the first is asked for, or something else.
fn all_of_first(question: &Question, grouped: &str) -> Option<String> {
    let by_numbers = match question.ranking? {
        Ranking::Most(1) | Ranking::MostBytes(1) => true,
        Ranking::By {
            measure, rows: 1, ..
        } => matches!(
            measure,
            Measure::Rows | Measure::Bytes | Measure::Sent | Measure::Received
        ),
        _ => false,
    };
    let number = matches!(
        question.projection,
        Projection::Count(_) | Projection::Bytes | Projection::Sent | Projection::Received
    );
    let groups = match question.bucket {
        Some(_) => number,
        None => question.projection.is_grouped(),
    };
    if !by_numbers || !groups {
        return None;
    }
    let (most, _) = ranked_by(question);
    let (by, first) = match most.strip_suffix(" DESC") {
        Some(by) => (by, "max"),
        None => (most.trim_end_matches(" ASC"), "min"),
    };
    // what is not known is nothing, as it is in sums
    let by = match by {
        "tx_bytes" => "coalesce(tx_bytes, 0)",
        "rx_bytes" => "coalesce(rx_bytes, 0)",
        by => by,
    };
    let order = match question.bucket {
        Some(bucket) => bucket.order(),
        None => "last_seen DESC, 1, 2, 3, 4".to_owned(),
    };
    Some(format!(
        "WITH listed AS (\n  {grouped}\n)\nSELECT * FROM listed\n\
         WHERE {by} = (SELECT {first}({by}) FROM listed)\nORDER BY {order}",
        grouped = grouped.replace('\n', "\n  "),
    ))
}

/// The rows of each bucket with most connections, lookups or bytes.
fn top_of_each(question: &Question, bucket: Bucket, ties: &str, grouped: &str) -> String {
    let (most, n) = ranked_by(question);
    format!(
        "SELECT * FROM (\n  SELECT *, row_number() OVER (PARTITION BY {span} ORDER BY {most}, {ties}) AS rank\n  \
         FROM (\n    {grouped}\n  )\n)\nWHERE rank <= {n}\nORDER BY {order}, rank",
        span = bucket.column(),
        grouped = grouped.replace('\n', "\n    "),
        order = bucket.order(),
    )
}

/// The first rows of each group of rows with the same values of these columns.
fn top_within(question: &Question, key: &str, ties: &str, grouped: &str) -> String {
    let (most, n) = ranked_by(question);
    format!(
        "SELECT * FROM (\n  SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {most}, {ties}) AS rank\n  \
         FROM (\n    {grouped}\n  )\n)\nWHERE rank <= {n}\nORDER BY {key}, rank",
        grouped = grouped.replace('\n', "\n    "),
    )
}

/// The statement that reads these columns of a view's rows, all or those that match a
/// question, from `since` up to `until`, in order of time. To continue after `read`: the
/// position of the last row that was read, and the newest id to include.
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
        conditions.push(HAS_QUERY.to_owned());
    }
    if view == "dns" && !conditions.is_empty() {
        // `dns` lacks columns of the requester that `lookups` has.
        let matching = conditions.join("\n    AND ");
        conditions = vec![format!("id IN (SELECT id FROM lookups WHERE {matching})")];
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

/// The condition that a row of `egress` is one of those that a question selects.
pub fn row_condition(question: &Question) -> String {
    let mut all = conditions(question);
    all.extend(span("ts", question.since, question.until));
    match all.is_empty() {
        true => "1".to_owned(),
        false => format!("({})", all.join(")\n  AND (")),
    }
}

/// The conditions of a question except its span.
fn conditions(question: &Question) -> Vec<String> {
    let mut conditions = Vec::from_iter(
        question
            .predicates
            .iter()
            .map(|predicate| condition(question.relation, predicate)),
    );
    if let Projection::Actors(actors)
    | Projection::Count(Counted::Actors(actors))
    | Projection::FirstHosts(actors)
    | Projection::FirstActors(actors) = question.projection
    {
        conditions.extend(known(actors, question.relation));
    }
    if matches!(
        question.projection,
        Projection::Rules | Projection::Verdicts
    ) {
        // What a firewall denied has no verdict.
        conditions.push("rule IS NOT NULL".to_owned());
    }
    if question.projection == Projection::Hashes {
        conditions.push("exe_hash_status IS NOT NULL".to_owned());
    }
    conditions
}

/// A clause that requires all conditions; empty without any.
fn all_of(clause: &str, conditions: &[String]) -> String {
    match conditions.is_empty() {
        true => String::new(),
        false => format!("\n{clause} {}", conditions.join("\n  AND ")),
    }
}

/// ORDER BY of an answer in buckets: by time, and within a bucket by the number of connections
/// or lookups.
fn by_bucket(question: &Question, key: &str, ties: &str) -> String {
    match ties {
        "" => format!("\nORDER BY {key}"),
        ties => format!("\nORDER BY {key}, {} DESC, {ties}", number(question)),
    }
}

/// The column that counts a group's rows.
fn number(question: &Question) -> &'static str {
    match question.relation {
        Relation::Connections => "connections",
        Relation::Lookups => "lookups",
    }
}

/// ORDER BY and LIMIT. Groups are sorted newest first, single rows oldest first.
fn order(question: &Question, ties: &str, use_rollups: bool) -> String {
    let each = question.projection == Projection::Each;
    let many = number(question);
    if let Some(Ranking::By {
        measure,
        least,
        rows,
    }) = question.ranking
        && !ties.is_empty()
    {
        let by = match each {
            true if measure == Measure::Rows => "ts".to_owned(),
            true => measure::of_row(measure).to_owned(),
            false => measure::of_group(measure, question.relation, use_rollups),
        };
        let direction = if least { "" } else { " DESC" };
        return format!(
            "\nORDER BY {by}{direction} NULLS LAST, {ties}{}",
            limit(Some(rows))
        );
    }
    let lasted = measure::of_row(Measure::Duration);
    let (first, n) = match question.ranking {
        _ if ties.is_empty() => return String::new(),
        None if question.average.is_some() => ("average DESC NULLS LAST", None),
        None if question.share.is_some() => ("share DESC NULLS LAST", None),
        None if each => ("ts", None),
        None => ("last_seen DESC", None),
        Some(Ranking::First(n)) => (if each { "ts" } else { "first_seen" }, Some(n)),
        Some(Ranking::Last(n)) if each => ("ts DESC", Some(n)),
        Some(Ranking::Last(n)) => ("last_seen DESC", Some(n)),
        Some(Ranking::Most(n)) if each => ("ts DESC", Some(n)),
        Some(Ranking::Most(n)) => (many, Some(n)),
        Some(Ranking::Slowest(n)) => ("latency_us", Some(n)),
        Some(Ranking::Longest(n)) => (lasted.as_str(), Some(n)),
        Some(Ranking::MostBytes(n)) if each => (BOTH_WAYS, Some(n)),
        Some(Ranking::MostBytes(n)) => (SUM_BOTH_WAYS, Some(n)),
        Some(Ranking::By { rows, .. }) => (many, Some(rows)),
    };
    let descending = match question.ranking {
        Some(Ranking::MostBytes(_) | Ranking::Slowest(_) | Ranking::Longest(_)) => " DESC",
        Some(Ranking::Most(_)) if !each => " DESC",
        _ => "",
    };
    format!("\nORDER BY {first}{descending}, {ties}{}", limit(n))
}

fn limit(n: Option<u32>) -> String {
    n.filter(|&n| n != Ranking::ALL)
        .map_or_else(String::new, |n| format!("\nLIMIT {n}"))
}

/// The conditions that a row is in the span. If no predicate is selective, the start of the
/// span is marked as selective: SQLite then uses the index on times instead of starting from
/// every process.
fn times(question: Option<&Question>, since: Option<i64>, until: Option<i64>) -> Vec<String> {
    let mut times = Vec::from_iter(span("ts", since, until));
    if let Some(first) = times.first_mut()
        && since.is_some()
        && !question.is_some_and(is_selective)
    {
        *first = rare(first);
    }
    times
}

/// Whether a question names a subject or a host.
fn is_selective(question: &Question) -> bool {
    let certain = question
        .predicates
        .iter()
        .flat_map(|predicate| match predicate {
            Predicate::All(all) => all.as_slice(),
            predicate => std::slice::from_ref(predicate),
        });
    certain.into_iter().any(|predicate| match predicate {
        Predicate::To(host) => *host != Host::Raw,
        Predicate::By(_) => true,
        _ => false,
    })
}

/// The conditions that a time is in the span.
fn span(ts: &str, since: Option<i64>, until: Option<i64>) -> impl Iterator<Item = String> {
    let from = since.map(|since| format!("{ts} >= {since}"));
    let to = until.map(|until| format!("{ts} < {until}"));
    from.into_iter().chain(to)
}
