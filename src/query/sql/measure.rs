//! Measures of rows and of groups of rows as SQL expressions.

use crate::query::ast::{Comparison, Limit, Measure, Operator, Relation};

/// Bytes sent and received. The aliases of the totals can't be used here: in an expression,
/// SQLite resolves them to the view's columns.
pub const BOTH_WAYS: &str = "coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0)";
pub const SUM_BOTH_WAYS: &str = "sum(coalesce(tx_bytes, 0) + coalesce(rx_bytes, 0))";

/// A measure of a group of rows, which come from rollups or are single.
pub fn of_group(measure: Measure, relation: Relation, use_rollups: bool) -> String {
    let sql = match (measure, relation) {
        (Measure::Rows, Relation::Connections) if use_rollups => "sum(connections)",
        (Measure::Rows, Relation::Lookups) if use_rollups => "sum(lookups)",
        (Measure::Rows, _) => "count(*)",
        (Measure::Bytes, _) => SUM_BOTH_WAYS,
        (Measure::Sent, _) => "sum(coalesce(tx_bytes, 0))",
        (Measure::Received, _) => "sum(coalesce(rx_bytes, 0))",
        (Measure::Duration, _) => "max(duration_us)",
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
pub fn of_row(measure: Measure) -> &'static str {
    match measure {
        Measure::Bytes => BOTH_WAYS,
        Measure::Sent => "tx_bytes",
        Measure::Received => "rx_bytes",
        Measure::Duration => "duration_us",
        Measure::Latency => "latency_us",
        // The parser counts only in groups.
        Measure::Rows
        | Measure::Hosts
        | Measure::Addresses
        | Measure::Ports
        | Measure::Processes => "1",
    }
}

/// Whether only single rows have it, and rollups do not.
pub fn is_of_rows(measure: Measure) -> bool {
    matches!(measure, Measure::Duration | Measure::Latency)
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
    format!(
        "CAST(round(avg({})) AS INTEGER) AS average",
        of_row(measure)
    )
}
