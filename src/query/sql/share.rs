//! Shares of rows and of bytes as SQL expressions.

use super::condition::condition;
use super::measure::{BOTH_WAYS, of_group};
use crate::query::ast::{Measure, Relation, Share};

/// The columns with the share of a group, in per cent, and with what that is a share of or by.
pub fn columns(share: &Share, relation: Relation, use_rollups: bool) -> String {
    let all = of_group(share.of, relation, use_rollups);
    let (part, whole) = match share.part.as_slice() {
        [] => (all.clone(), format!("sum({all}) OVER ()")),
        part => {
            let part = part
                .iter()
                .map(|of| format!("({})", condition(relation, of)));
            let part = part.collect::<Vec<_>>().join(" AND ");
            let of_row = match share.of {
                Measure::Bytes => BOTH_WAYS,
                Measure::Sent => "coalesce(tx_bytes, 0)",
                Measure::Received => "coalesce(rx_bytes, 0)",
                _ => "1",
            };
            let part = format!("sum(CASE WHEN {part} THEN {of_row} ELSE 0 END)");
            (part, all)
        }
    };
    format!(
        "CASE WHEN {whole} > 0 THEN round({part} * 1e2 / {whole}, 2) END AS share,
       {part} AS part"
    )
}
