//! Shares of rows and of bytes as SQL expressions.

use super::condition::condition;
use super::measure::{of_group, of_row};
use crate::query::ast::{Relation, Share};

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
            // what is not known is nothing
            let row = format!("coalesce({}, 0)", of_row(share.of));
            let part = format!("sum(CASE WHEN {part} THEN {row} ELSE 0 END)");
            (part, all)
        }
    };
    format!(
        "CASE WHEN {whole} > 0 THEN round({part} * 1e2 / {whole}, 2) END AS share,
       {part} AS part"
    )
}
