//! Sums instead of rows: where a question asks only how often and how much, its answer
//! comes from what the recorder has summed up, and time goes by with the answer's size
//! and not the history's.

use super::super::question::{From, List, Only, Question};
use super::all_of;
use super::condition::FAILURES;

/// The columns that an answer may show, group by or count.
const COLUMNS: &str = "comm, exe, pid, start_ts, uid, user, unit, container_id, container_name, \
container_image, pod, pod_namespace,\n         host, dst_ip, dst_port, dst_scope, protocol";

/// Whether the sums know all that a question asks for.
pub fn suffice(question: &Question) -> bool {
    question.from == From::Connections
        && question.per.is_none()
        && !question.new
        && !question.only.contains(&Only::Open)
        && !matches!(
            question.list,
            List::Each | List::NeverContacted | List::FailedLookups
        )
}

/// What comes after FROM: the sums of connections that meet `conditions`, of all time, or
/// of the days within a span and the connections of the days that it cuts.
pub fn from(conditions: &[String], since: Option<i64>, until: Option<i64>) -> String {
    if since.is_none() && until.is_none() {
        return format!("egress_total{}", all_of("WHERE", conditions));
    }
    let part = |view: &str, sums: &str, times: Vec<String>| {
        let conditions = Vec::from_iter(conditions.iter().cloned().chain(times));
        format!(
            "SELECT {COLUMNS},\n         {sums}\n  FROM {view}{}",
            all_of("WHERE", &conditions).replace('\n', "\n  ")
        )
    };
    let one = format!(
        "1 AS connections, outcome IN ({FAILURES}) AS failed,\n         \
         tx_bytes, rx_bytes, ts AS first_ts, ts AS last_ts"
    );
    let from = since.map(|since| format!("ts >= {since}"));
    let to = until.map(|until| format!("ts < {until}"));
    let mut parts = vec![part(
        "egress_daily",
        "connections, failed, tx_bytes, rx_bytes, first_ts, last_ts",
        since
            .map(|since| format!("day_ts >= {since}"))
            .into_iter()
            .chain(until.map(|until| format!("day_end_ts <= {until}")))
            .collect(),
    )];
    // Of a day that the span begins in. Days do not overlap, so there is one at most.
    let first = since.map(|since| {
        format!(
            "coalesce((SELECT end_ts FROM days WHERE start_ts < {since} AND end_ts > {since}), {since})"
        )
    });
    if let Some(end) = &first {
        let times = from.iter().chain(&to).cloned();
        parts.push(part(
            "egress",
            &one,
            times.chain([format!("ts < {end}")]).collect(),
        ));
    }
    // Of a day that it ends in, unless it began in the same.
    if let Some(until) = until {
        let start = format!(
            "ts >= coalesce((SELECT start_ts FROM days WHERE start_ts < {until} AND end_ts > {until}), {until})"
        );
        let times = first.map(|end| format!("ts >= {end}")).into_iter();
        parts.push(part(
            "egress",
            &one,
            times.chain([start]).chain(to).collect(),
        ));
    }
    format!("(\n  {}\n)", parts.join("\n  UNION ALL\n  "))
}
