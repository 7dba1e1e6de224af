//! The statements of answers that are not one list of connections or lookups.

use super::condition::{condition, rare};
use super::measure::compared;
use super::zone::Zone;
use super::{all_of, rollups, span};
use crate::query::ast::{Comparison, Predicate, Projection, Question, Ranking, Relation};
use crate::query::host::Host;

/// How far the gaps between connections may be from their mean, on average, to be regular.
const MOST_JITTER: &str = "0.25";
/// Fewer connections have no interval.
const LEAST_CONNECTIONS: u32 = 5;
/// Connections that follow each other faster (ns) are a burst.
const SHORTEST_INTERVAL: i64 = 1_000_000_000;

/// The statement of such a question; none for all others.
pub fn statement(
    question: &Question,
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
    use_rollups: bool,
) -> Option<String> {
    let times = (since, until);
    let statement = match question.projection {
        Projection::Answers => answers(question, times),
        Projection::NamesOfAddress => names_of_address(question, times),
        Projection::Beacons => beacons(question, times),
        Projection::Changes(before) => changes(question, before, times),
        Projection::Summary => summary(question, times, zone, use_rollups),
        _ => return None,
    };
    Some(statement + &limit(question))
}

fn limit(question: &Question) -> String {
    match question.ranking {
        Some(Ranking::Most(n) | Ranking::First(n) | Ranking::Last(n)) if n != Ranking::ALL => {
            format!("\nLIMIT {n}")
        }
        _ => String::new(),
    }
}

/// The resource records of answers.
fn answers(question: &Question, (since, until): (Option<i64>, Option<i64>)) -> String {
    let matching = question
        .predicates
        .iter()
        .map(|predicate| condition(Relation::Lookups, predicate));
    // `dns` lacks columns of the requester that `lookups` has.
    let matching = all_of("WHERE", &matching.collect::<Vec<_>>()).replace('\n', "\n    ");
    let mut conditions = vec![
        format!("id IN (SELECT id FROM lookups{matching})"),
        "type IS NOT NULL".to_owned(),
        "status = 'answered'".to_owned(),
    ];
    conditions.extend(span("ts", since, until));
    format!(
        "SELECT qname, type, data, min(ttl) AS ttl,
       count(DISTINCT id) AS lookups, max(time) AS last_seen
FROM dns{}
GROUP BY qname, type, data
ORDER BY qname, type, data",
        all_of("WHERE", &conditions)
    )
}

/// The names that connections to an address had, or that were answered with it.
fn names_of_address(question: &Question, (since, until): (Option<i64>, Option<i64>)) -> String {
    let of = |relation| {
        let conditions = question.predicates.iter().map(|predicate| match predicate {
            Predicate::To(Host::Addresses { first, .. }) if relation == Relation::Lookups => {
                let address = std::net::Ipv6Addr::from_bits(*first).to_canonical();
                rare(&format!("type IN ('A', 'AAAA') AND data = '{address}'"))
            }
            predicate => condition(Relation::Connections, predicate),
        });
        let name = match relation {
            Relation::Connections => "host IS NOT NULL",
            Relation::Lookups => "qname IS NOT NULL",
        };
        let conditions = conditions.chain([name.to_owned()]);
        let conditions = conditions.chain(span("ts", since, until));
        all_of("WHERE", &conditions.collect::<Vec<_>>()).replace('\n', "\n  ")
    };
    format!(
        "SELECT name, dst_ip, sum(connections) AS connections,
       count(DISTINCT lookup) AS lookups,
       min(time) AS first_seen, max(time) AS last_seen
FROM (
  SELECT host AS name, dst_ip, 1 AS connections, NULL AS lookup, time FROM egress{}
  UNION ALL
  SELECT qname, data, 0, id, time FROM dns{}
)
GROUP BY name, dst_ip
ORDER BY last_seen DESC, name, dst_ip",
        of(Relation::Connections),
        of(Relation::Lookups)
    )
}

/// Connections that recur at regular intervals: the mean of the gaps between their starts, and
/// the mean distance of the gaps from it.
fn beacons(question: &Question, (since, until): (Option<i64>, Option<i64>)) -> String {
    let conditions = question
        .predicates
        .iter()
        .map(|predicate| condition(Relation::Connections, predicate))
        .chain(span("ts", since, until));
    let conditions = Vec::from_iter(conditions);
    let key = "comm, exe, destination, dst_port, protocol";
    // A comparison of a beacon is one of its interval.
    let interval = |comparison: &Comparison| {
        format!(
            "\n   AND {}",
            compared(comparison, |_| "CAST(mean / 1000 AS INTEGER)".to_owned())
        )
    };
    format!(
        "WITH starts AS (
  SELECT comm, exe, coalesce(host, dst_ip) AS destination, dst_port, protocol, ts, time,
         ts - lag(ts) OVER (
           PARTITION BY comm, exe, coalesce(host, dst_ip), dst_port, protocol ORDER BY ts, id
         ) AS gap
  FROM egress{}
), means AS (
  SELECT *, avg(gap) OVER (PARTITION BY {key}) AS mean FROM starts
)
SELECT comm, exe, destination AS host, dst_port, protocol,
       count(*) AS connections,
       CAST(mean / 1000 AS INTEGER) AS interval_us,
       CAST(avg(abs(gap - mean)) / 1000 AS INTEGER) AS jitter_us,
       min(time) AS first_seen, max(time) AS last_seen
FROM means
GROUP BY {key}
HAVING count(*) >= {LEAST_CONNECTIONS} AND mean >= {SHORTEST_INTERVAL}
   AND avg(abs(gap - mean)) <= {MOST_JITTER} * mean{}
ORDER BY avg(abs(gap - mean)) / mean, {key}",
        all_of("WHERE", &conditions).replace('\n', "\n  "),
        question.having.iter().map(interval).collect::<String>(),
    )
}

/// Hosts whose number of connections differs between the span before `since`, from `before`
/// on, and the span from `since` to `until`.
fn changes(question: &Question, before: i64, (since, until): (Option<i64>, Option<i64>)) -> String {
    let conditions = question
        .predicates
        .iter()
        .map(|predicate| condition(Relation::Connections, predicate))
        .chain(span("ts", Some(before), until));
    let since = since.unwrap_or(before);
    format!(
        "SELECT CASE WHEN sum(ts < {since}) = 0 THEN 'new' WHEN sum(ts >= {since}) = 0 THEN 'gone'
            WHEN sum(ts >= {since}) > sum(ts < {since}) THEN 'more' ELSE 'less' END AS change,
       coalesce(host, dst_ip) AS host,
       sum(ts < {since}) AS connections_before, sum(ts >= {since}) AS connections_after,
       sum(CASE WHEN ts < {since} THEN tx_bytes END) AS tx_bytes_before,
       sum(CASE WHEN ts >= {since} THEN tx_bytes END) AS tx_bytes_after,
       sum(CASE WHEN ts < {since} THEN rx_bytes END) AS rx_bytes_before,
       sum(CASE WHEN ts >= {since} THEN rx_bytes END) AS rx_bytes_after
FROM egress{}
GROUP BY coalesce(egress.host, dst_ip)
HAVING sum(ts < {since}) <> sum(ts >= {since})
ORDER BY min(sum(ts < {since}), 1) + min(sum(ts >= {since}), 1),
         abs(sum(ts >= {since}) - sum(ts < {since})) DESC, 2",
        all_of("WHERE", &conditions.collect::<Vec<_>>())
    )
}

/// Totals, and what is first among hosts and processes.
fn summary(
    question: &Question,
    times: (Option<i64>, Option<i64>),
    zone: &Zone,
    use_rollups: bool,
) -> String {
    let totals = |relation| {
        let question = Question {
            relation,
            ..question.clone()
        };
        let conditions = question.predicates.iter().map(|predicate| match predicate {
            // Lookups are for names.
            Predicate::To(Host::Addresses { .. } | Host::Raw | Host::Network(_))
                if relation == Relation::Lookups =>
            {
                "0".to_owned()
            }
            predicate => condition(relation, predicate),
        });
        let conditions = Vec::from_iter(conditions);
        match use_rollups && rollups::can_answer(&question) {
            true => rollups::from_clause(&question, &conditions, times, zone),
            false => rollups::rows(&question, &conditions, times),
        }
        .replace('\n', "\n  ")
    };
    let host = "coalesce(host, dst_ip)";
    let (sent, received) = ("sum(coalesce(tx_bytes, 0))", "sum(coalesce(rx_bytes, 0))");
    let leaders = [
        ("busiest process", "comm", "sum(connections)"),
        ("busiest host", host, "sum(connections)"),
        ("most bytes sent by", "comm", sent),
        ("most bytes sent to", host, sent),
        ("most bytes received from", host, received),
    ];
    let leaders = leaders.into_iter().zip(11..);
    let leaders = leaders.map(|((item, of, by), place)| {
        format!(
            "\n  UNION ALL SELECT {place}, '{item}', number, name FROM (SELECT {of} AS name, {by} AS number \
             FROM c WHERE {of} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1)"
        )
    });
    // ClickHouse does not take counts, which have no sign there, and sums for one column.
    let number = |count: &str| format!("CAST({count} AS INTEGER)");
    // SQLite opens all tables of a common table expression for each reference to it, and refuses
    // a statement with a thousand: each leader has one reference, and all totals together.
    format!(
        "WITH c AS (
  SELECT * FROM {}
), l AS (
  SELECT * FROM {}
), items AS (
  SELECT 1 AS place, 'connections' AS item UNION ALL SELECT 2, 'failed connections' UNION ALL SELECT 3, 'bytes sent'
  UNION ALL SELECT 4, 'bytes received' UNION ALL SELECT 5, 'hosts' UNION ALL SELECT 6, 'processes' UNION ALL SELECT 7, 'users'
  UNION ALL SELECT 8, 'containers' UNION ALL SELECT 9, 'lookups' UNION ALL SELECT 10, 'failed lookups'
)
SELECT item, number, name FROM (
  SELECT place, item, CASE place WHEN 1 THEN connections WHEN 2 THEN failed WHEN 3 THEN sent WHEN 4 THEN received
    WHEN 5 THEN hosts WHEN 6 THEN processes WHEN 7 THEN users ELSE containers END AS number, NULL AS name
  FROM items, (SELECT count(*) AS found, {} AS connections, sum(failed) AS failed, sum(tx_bytes) AS sent,
    sum(rx_bytes) AS received, {} AS hosts, {} AS processes,
    {} AS users, {} AS containers FROM c) AS t
  WHERE found > 0 AND place <= 8
  UNION ALL SELECT place, item, CASE place WHEN 9 THEN lookups ELSE failed END, NULL
  FROM items, (SELECT count(*) AS found, {} AS lookups, sum(failed) AS failed FROM l) AS t
  WHERE found > 0 AND place > 8{}
)
ORDER BY place",
        totals(Relation::Connections),
        totals(Relation::Lookups),
        number("sum(connections)"),
        number(&format!("count(DISTINCT {host})")),
        number("count(DISTINCT coalesce(exe, comm))"),
        number("count(DISTINCT uid)"),
        number("count(DISTINCT container_id)"),
        number("sum(lookups)"),
        leaders.collect::<String>()
    )
}
