//! "new since": leaves out what the same question would have found earlier.

use super::rollups;
use crate::query::ast::{Actors, Counted, Projection, Question, Relation};

/// The condition that nothing equal to a row, or to a group of rows, met `conditions` before
/// `since`; none if all rows differ by definition. With `use_rollups`, reads only rollups,
/// which also cover connections that have been removed.
pub fn unseen(
    question: &Question,
    since: i64,
    view: &str,
    conditions: &[String],
    use_rollups: bool,
) -> Option<String> {
    let (before, began) = match use_rollups && rollups::cover_predicates(question) {
        true => (rollups::total(question.relation), "first_ts"),
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
    Some(match (question.projection, question.relation) {
        (Projection::Actors(actors) | Projection::Count(Counted::Actors(actors)), _) => {
            never(&match actors {
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
                Actors::Executables => same("exe"),
                Actors::CommandLines => same("cmdline"),
                Actors::Parents => same("parent_comm"),
                Actors::Machines => same("machine"),
            })
        }
        (Projection::FailedLookups | Projection::NeverContacted, _)
        | (Projection::Destinations | Projection::Count(Counted::Hosts), Relation::Lookups) => {
            never(&same("qname"))
        }
        (Projection::Destinations | Projection::Count(Counted::Hosts), Relation::Connections) => {
            format!(
                "CASE WHEN {view}.host IS NULL\n  THEN {}\n  ELSE {} END",
                never(&format!("old.host IS NULL AND {}", same("dst_addr"))),
                never(&same("host")),
            )
        }
        (Projection::Addresses | Projection::Count(Counted::Addresses), _) => {
            never(&same("dst_addr"))
        }
        (Projection::Ports | Projection::Count(Counted::Ports), _) => {
            // Not every protocol has ports.
            never(&format!(
                "old.dst_port IS {view}.dst_port AND {}",
                same("protocol")
            ))
        }
        // What is counted in other ways has no identity to be new by.
        _ => return None,
    })
}
