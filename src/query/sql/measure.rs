//! Measures of rows and of groups of rows as SQL expressions.

use crate::query::ast::{Comparison, Limit, Measure, Operator, Relation};

/// Bytes sent and received. The aliases of the totals can't be used here: in an expression,
/// SQLite resolves them to the view's columns.
pub const BOTH_WAYS: &str = "coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0)";
pub const SUM_BOTH_WAYS: &str = "sum(coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0))";

/// The condition that a connection is still open.
pub const OPEN: &str = "outcome IN ('connected', 'in_progress') AND duration_us IS NULL \
     AND ts >= (SELECT max(start_ts) FROM recordings)";

/// For how long it has been, in microseconds.
pub fn open_us() -> String {
    format!("iif({OPEN}, ((SELECT max(seen_ts) FROM recordings) - ts) / 1000, NULL)")
}

/// A measure of a group of rows, which come from rollups or are single.
pub fn of_group(measure: Measure, relation: Relation, use_rollups: bool) -> String {
    let sql = match (measure, relation) {
        (Measure::Rows, Relation::Connections) if use_rollups => "sum(connections)",
        (Measure::Rows, Relation::Lookups) if use_rollups => "sum(lookups)",
        (Measure::Rows, _) => "count(*)",
        (Measure::Bytes, _) => SUM_BOTH_WAYS,
        (Measure::Sent, _) => "sum(coalesce(tx_bytes, 0))",
        (Measure::Received, _) => "sum(coalesce(rx_bytes, 0))",
        (Measure::Duration, _) => return format!("max({})", of_row(measure)),
        (Measure::Latency, _) => "max(latency_us)",
        (Measure::Hosts, Relation::Connections) => "count(DISTINCT coalesce(host, dst_ip))",
        (Measure::Hosts, Relation::Lookups) => "count(DISTINCT qname)",
        (Measure::Addresses, _) => "count(DISTINCT dst_ip)",
        (Measure::Ports, _) => "count(DISTINCT protocol || dst_port)",
        (Measure::Processes, _) => "count(DISTINCT coalesce(exe, comm))",
    };
    sql.to_owned()
}

/// A measure of a single row.
pub fn of_row(measure: Measure) -> String {
    let column = match measure {
        // until now, if it is still open
        Measure::Duration => return format!("coalesce(duration_us, {})", open_us()),
        Measure::Bytes => BOTH_WAYS,
        Measure::Sent => "tx_bytes",
        Measure::Received => "rx_bytes",
        Measure::Latency => "latency_us",
        // The parser counts only in groups.
        Measure::Rows
        | Measure::Hosts
        | Measure::Addresses
        | Measure::Ports
        | Measure::Processes => "1",
    };
    column.to_owned()
}

/// Whether only single rows have it, and rollups do not.
pub fn is_of_rows(measure: Measure) -> bool {
    matches!(measure, Measure::Duration | Measure::Latency)
}

/// A measure of a row that is compared so: how long what is open will be is not known yet, only
/// that it is longer.
pub fn compared_of_row(measure: Measure, operator: Operator) -> String {
    match (measure, operator) {
        (Measure::Duration, Operator::Less | Operator::AtMost | Operator::Exactly) => {
            "duration_us".to_owned()
        }
        _ => of_row(measure),
    }
}

/// A comparison of a measure, which `expression` gives as SQL.
pub fn compared(comparison: &Comparison, expression: impl Fn(Measure) -> String) -> String {
    let operator = match comparison.operator {
        Operator::More => ">",
        Operator::AtLeast => ">=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
        Operator::Exactly => "=",
    };
    let limit = match comparison.limit {
        Limit::Number(number) => number.to_string(),
        Limit::Of(measure) => expression(measure),
    };
    format!("{} {operator} {limit}", expression(comparison.measure))
}

/// The column with the mean of a measure over rows.
pub fn average(measure: Measure) -> String {
    let of = match measure {
        // of what has ended
        Measure::Duration => "duration_us".to_owned(),
        measure => of_row(measure),
    };
    format!("CAST(round(avg({of})) AS INTEGER) AS average")
}
