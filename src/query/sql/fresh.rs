//! What is new: what the same question would not have found before.

use super::super::question::{Actors, Counted, From, List, Question};
use super::sums;

/// The condition that nothing like a row, or like a group of them, met `conditions` before
/// `since`; none where every row is something of its own. With `sums`, which also know of
/// connections that were removed since, no row is looked at.
pub fn unseen(
    question: &Question,
    since: i64,
    view: &str,
    conditions: &[String],
    sums: bool,
) -> Option<String> {
    let (before, began) = match sums && sums::know(question) {
        true => (sums::total(question.from), "first_ts"),
        false => (view, "ts"),
    };
    let never = |same: &str| {
        let conditions = conditions
            .iter()
            .map(|condition| format!("\n    AND {condition}"));
        format!(
            "NOT EXISTS (SELECT 1 FROM {before} AS old WHERE {same} AND old.{began} < {since}{})",
            conditions.collect::<String>()
        )
    };
    let same = |column: &str| format!("old.{column} = {view}.{column}");
    Some(match (question.list, question.from) {
        (List::Actors(actors) | List::Count(Counted::Actors(actors)), _) => never(&match actors {
            Actors::Processes => format!("{} AND old.exe IS {view}.exe", same("comm")),
            Actors::Pids => format!("{} AND old.start_ts IS {view}.start_ts", same("pid")),
            Actors::Containers => same("container_id"),
            Actors::Images => same("container_image"),
            Actors::Users => same("uid"),
            Actors::Units => same("unit"),
            Actors::Pods => format!(
                "{} AND old.pod_namespace IS {view}.pod_namespace",
                same("pod")
            ),
            Actors::Namespaces => same("pod_namespace"),
        }),
        (List::FailedLookups | List::NeverContacted, _)
        | (List::Destinations | List::Count(Counted::Hosts), From::Lookups) => {
            never(&same("qname"))
        }
        (List::Destinations | List::Count(Counted::Hosts), From::Connections) => format!(
            "CASE WHEN {view}.host IS NULL\n  THEN {}\n  ELSE {} END",
            never(&format!("old.host IS NULL AND {}", same("dst_addr"))),
            never(&same("host")),
        ),
        (List::Addresses | List::Count(Counted::Addresses), _) => never(&same("dst_addr")),
        (List::Ports | List::Count(Counted::Ports), _) => {
            // Not every protocol has ports.
            never(&format!(
                "old.dst_port IS {view}.dst_port AND {}",
                same("protocol")
            ))
        }
        (List::Each | List::Bytes | List::Count(Counted::Rows), _) => return None,
    })
}
