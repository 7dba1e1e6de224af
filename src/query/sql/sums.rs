//! Sums instead of rows: where a question asks only how often and how much, its answer
//! comes from what the recorder has summed up, and time goes by with the answer's size
//! and not the history's.

use super::super::question::{From, List, Only, Question};
use super::super::zone::Zone;
use super::condition::{FAILURES, rare};
use super::{all_of, is_of_few};

/// The columns of those who act.
const WHO: &str = "comm, exe, pid, start_ts, uid, user, unit, \
container_id, container_name, container_image, pod, pod_namespace";

/// Where sums are, and the rows that they are of.
struct Summed {
    total: &'static str,
    daily: &'static str,
    each: &'static str,
    /// The columns that an answer may show, group by or count, besides `WHO`.
    columns: &'static str,
    sums: &'static str,
    /// The sums of one row.
    one: String,
}

fn of(from: From) -> Summed {
    match from {
        From::Connections => Summed {
            total: "egress_total",
            daily: "egress_daily",
            each: "egress",
            columns: "host, dst_ip, dst_port, dst_scope, protocol",
            sums: "connections, failed, tx_bytes, rx_bytes, first_ts, last_ts",
            one: format!(
                "1 AS connections, outcome IN ({FAILURES}) AS failed,
         tx_bytes, rx_bytes, ts AS first_ts, ts AS last_ts"
            ),
        },
        From::Lookups => Summed {
            total: "lookups_total",
            daily: "lookups_daily",
            each: "lookups",
            columns: "qname, qtype, rcode, status",
            sums: "lookups, failed, first_ts, last_ts",
            one: "\
1 AS lookups, rcode IS NOT 'NOERROR' AS failed, ts AS first_ts, ts AS last_ts"
                .to_owned(),
        },
    }
}

/// The view of sums over all time.
pub fn total(from: From) -> &'static str {
    of(from).total
}

/// Whether the sums know which rows a question is about.
pub fn know(question: &Question) -> bool {
    question.list != List::NeverContacted && !question.only.contains(&Only::Open)
}

/// Whether they know all that it asks for.
pub fn suffice(question: &Question) -> bool {
    let of_days = question.per.is_none_or(|per| per.is_of_days());
    know(question) && of_days && question.list != List::Each
}

/// What comes after FROM: the sums of what meets `conditions`, of all time, or of the days
/// within a span and the rows of the days that it cuts; also of those that are parts of two
/// days of `zone`, where the answer is split by days.
pub fn from(
    question: &Question,
    conditions: &[String],
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
) -> String {
    let summed = of(question.from);
    if since.is_none() && until.is_none() && question.per.is_none() {
        return format!("{}{}", summed.total, all_of("WHERE", conditions));
    }
    // What is new is compared by its binary address, and with these rows by their name.
    let (more, name) = match (question.new, question.from) {
        (false, _) => ("", String::new()),
        (true, From::Connections) => (", dst_addr", format!(" AS {}", summed.each)),
        (true, From::Lookups) => ("", format!(" AS {}", summed.each)),
    };
    let part = |view: &str, sums: &str, times: Vec<String>| {
        let conditions = Vec::from_iter(conditions.iter().cloned().chain(times));
        format!(
            "SELECT {WHO},\n         {}{more},\n         {sums}\n  FROM {view}{}",
            summed.columns,
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
        let per = question.per?;
        let last = per.key(zone, &format!("({end} - 1)"));
        Some(format!("{} {is} {last}", per.key(zone, start)))
    };
    let whole = within("day_ts", "day_end_ts").chain(split("day_ts", "=", "day_end_ts"));
    let mut parts = vec![part(summed.daily, summed.sums, whole.collect())];
    if let Some(cut) = split("start_ts", "<>", "end_ts") {
        let cut = Vec::from_iter(within("start_ts", "end_ts").chain([cut])).join(" AND ");
        // Usually there is none: so what rules all rows out is known before any is read.
        let any = match is_of_few(question) {
            true => format!("EXISTS (SELECT 1 FROM days WHERE {cut})"),
            false => rare(&format!(
                "ts >= (SELECT min(start_ts) FROM days WHERE {cut})"
            )),
        };
        let one =
            format!("EXISTS (SELECT 1 FROM days WHERE start_ts <= ts AND end_ts > ts AND {cut})");
        parts.push(part(summed.each, &summed.one, vec![any, one]));
    }
    // Of a day that the span begins in. Days do not overlap, so there is one at most.
    let first = since.map(|since| {
        format!(
            "coalesce((SELECT end_ts FROM days WHERE start_ts < {since} AND end_ts > {since}), {since})"
        )
    });
    if let Some(end) = &first {
        let times = from.iter().chain(&to).cloned();
        parts.push(part(
            summed.each,
            &summed.one,
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
            summed.each,
            &summed.one,
            times.chain([start]).chain(to).collect(),
        ));
    }
    format!("(\n  {}\n){name}", parts.join("\n  UNION ALL\n  "))
}
