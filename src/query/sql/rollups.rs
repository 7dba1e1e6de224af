//! Rollups instead of rows: a question that asks only how often and how much is answered from
//! the totals that the recorder maintains, so that the time it takes depends on the size of
//! the answer and not of the history.

use super::condition::{FAILURES, is_covered, rare};
use super::measure::is_of_rows;
use super::zone::Zone;
use super::{all_of, is_selective};
use crate::query::ast::{Actors, Counted, Projection, Question, Ranking, Relation};

/// The columns that describe the actor.
const ACTOR: &str = "comm, exe, pid, start_ts, uid, user, unit, \
container_id, container_name, container_image, pod, pod_namespace";

/// The views of a relation's rollups, and of the rows that they total.
struct RollupViews {
    total: &'static str,
    daily: &'static str,
    rows: &'static str,
    /// The columns that an answer may show, group by or count, besides `ACTOR`.
    columns: &'static str,
    totals: &'static str,
    /// The totals of a single row.
    row_totals: String,
}

fn views(relation: Relation) -> RollupViews {
    match relation {
        Relation::Connections => RollupViews {
            total: "egress_total",
            daily: "egress_daily",
            rows: "egress",
            columns: "cmdline, host, dst_ip, dst_addr, dst_port, dst_scope, dst_country, dst_asn, dst_as_org, \
                      protocol, outcome, errno",
            totals: "connections, failed, tx_bytes, rx_bytes, first_ts, last_ts",
            row_totals: format!(
                "1 AS connections, outcome IN ({FAILURES}) AS failed,
         tx_bytes, rx_bytes, ts AS first_ts, ts AS last_ts"
            ),
        },
        Relation::Lookups => RollupViews {
            total: "lookups_total",
            daily: "lookups_daily",
            rows: "lookups",
            columns: "qname, qtype, rcode, status, server_ip, server_port, transport",
            totals: "lookups, failed, first_ts, last_ts",
            row_totals: "\
1 AS lookups, rcode IS NOT 'NOERROR' AS failed, ts AS first_ts, ts AS last_ts"
                .to_owned(),
        },
    }
}

/// The view of totals over all time.
pub fn total(relation: Relation) -> &'static str {
    views(relation).total
}

/// Whether rollups have the columns that a question's predicates need.
pub fn cover_predicates(question: &Question) -> bool {
    question.projection != Projection::NeverContacted && question.predicates.iter().all(is_covered)
}

/// Whether rollups have the columns of what is listed.
fn cover_projection(question: &Question) -> bool {
    let listed = match question.projection {
        Projection::Each
        | Projection::Average(_)
        | Projection::Hashes
        | Projection::Rules
        | Projection::Verdicts => false,
        Projection::Actors(actors)
        | Projection::Pairs(actors)
        | Projection::FirstHosts(actors)
        | Projection::FirstActors(actors)
        | Projection::Count(Counted::Actors(actors)) => match actors {
            Actors::Parents => false,
            Actors::CommandLines => question.relation == Relation::Connections,
            _ => true,
        },
        _ => true,
    };
    let ranked = match question.ranking {
        Some(Ranking::By { measure, .. }) => !is_of_rows(measure),
        _ => true,
    };
    let compared = question.having.iter().map(|comparison| comparison.measure);
    // Conditions on groups refer to columns that the totals of a span leave out.
    let groups = question.also.is_empty() && question.never.is_empty();
    let parts = question.share.as_ref().is_none_or(|of| of.part.is_empty());
    let single = question.average.is_none() && parts;
    listed && ranked && groups && single && !compared.into_iter().any(is_of_rows)
}

/// Whether rollups can answer the question.
pub fn can_answer(question: &Question) -> bool {
    let whole_days = question.bucket.is_none_or(|bucket| bucket.is_of_days());
    cover_predicates(question) && whole_days && cover_projection(question)
}

/// The same from single rows alone.
pub fn rows(
    question: &Question,
    conditions: &[String],
    (since, until): (Option<i64>, Option<i64>),
) -> String {
    let views = views(question.relation);
    let times = super::span("ts", since, until);
    let conditions = Vec::from_iter(conditions.iter().cloned().chain(times));
    format!(
        "(SELECT {ACTOR},\n  {},\n  {}\n  FROM {}{})",
        views.columns,
        views.row_totals,
        views.rows,
        all_of("WHERE", &conditions)
    )
}

/// The FROM clause: the totals of what meets `conditions`, over all time; or, for a span, of
/// its whole days and of the single rows in the days that it cuts. If the answer is split
/// into days of `zone`, days of the rollup that overlap two of them are also read row by row.
pub fn from_clause(
    question: &Question,
    conditions: &[String],
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
) -> String {
    let views = views(question.relation);
    if since.is_none() && until.is_none() && question.bucket.is_none() {
        return format!("{}{}", views.total, all_of("WHERE", conditions));
    }
    // `new since` refers to these rows by the view's name.
    let name = match question.new {
        true => format!(" AS {}", views.rows),
        false => String::new(),
    };
    let part = |view: &str, totals: &str, times: Vec<String>| {
        let conditions = Vec::from_iter(conditions.iter().cloned().chain(times));
        format!(
            "SELECT {ACTOR},\n         {},\n         {totals}\n  FROM {view}{}",
            views.columns,
            all_of("WHERE", &conditions).replace('\n', "\n  ")
        )
    };
    let from = since.map(|since| format!("ts >= {since}"));
    let to = until.map(|until| format!("ts < {until}"));
    let within = |start: &str, end: &str| {
        let from = since.map(|since| format!("{start} >= {since}"));
        let to = until.map(|until| format!("{end} <= {until}"));
        from.into_iter().chain(to)
    };
    let split = |start: &str, is: &str, end: &str| {
        let bucket = question.bucket?;
        let last = bucket.key(zone, &format!("({end} - 1)"));
        Some(format!("{} {is} {last}", bucket.key(zone, start)))
    };
    let whole = within("day_ts", "day_end_ts").chain(split("day_ts", "=", "day_end_ts"));
    let mut parts = vec![part(views.daily, views.totals, whole.collect())];
    if let Some(cut) = split("start_ts", "<>", "end_ts") {
        let cut = Vec::from_iter(within("start_ts", "end_ts").chain([cut])).join(" AND ");
        // Usually there is no such day: this condition rules out all rows before any is read.
        let any = match is_selective(question) {
            true => format!("EXISTS (SELECT 1 FROM days WHERE {cut})"),
            false => rare(&format!(
                "ts >= (SELECT min(start_ts) FROM days WHERE {cut})"
            )),
        };
        let one =
            format!("EXISTS (SELECT 1 FROM days WHERE start_ts <= ts AND end_ts > ts AND {cut})");
        parts.push(part(views.rows, &views.row_totals, vec![any, one]));
    }
    // The rows of the day in which the span begins. Days do not overlap, so there is at most
    // one.
    let first = since.map(|since| {
        format!(
            "coalesce((SELECT end_ts FROM days WHERE start_ts < {since} AND end_ts > {since}), {since})"
        )
    });
    if let Some(end) = &first {
        let times = from.iter().chain(&to).cloned();
        parts.push(part(
            views.rows,
            &views.row_totals,
            times.chain([format!("ts < {end}")]).collect(),
        ));
    }
    // The rows of the day in which it ends, unless it began in the same day.
    if let Some(until) = until {
        let start = format!(
            "ts >= coalesce((SELECT start_ts FROM days WHERE start_ts < {until} AND end_ts > {until}), {until})"
        );
        let times = first.map(|end| format!("ts >= {end}")).into_iter();
        parts.push(part(
            views.rows,
            &views.row_totals,
            times.chain([start]).chain(to).collect(),
        ));
    }
    format!("(\n  {}\n){name}", parts.join("\n  UNION ALL\n  "))
}
