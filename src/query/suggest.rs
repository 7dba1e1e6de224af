//! Suggestions for a question that found nothing: processes whose names begin with that of its
//! process, that there was no policy, that nothing ran in what it lists, and what is not known.

use anyhow::Result;
use rusqlite::Connection;

use super::ast::{Actors, Counted, Predicate, Projection, Question, Ranking, Relation, Subject};
use super::sql;
use crate::text::printable;

/// Most names that are suggested.
const MOST: i64 = 3;

/// Processes that the names in a question could refer to instead, one sentence each.
/// Reads only rollups.
///
/// # Errors
///
/// SQLite's.
pub fn suggestions(db: &Connection, question: &Question) -> Result<Vec<String>> {
    let mut suggestions = Vec::new();
    for predicate in &question.predicates {
        if let Predicate::By(Subject::Process(name)) = predicate
            && !exists(db, Subject::Process(name.clone()))?
        {
            suggestions.extend(suggestion(db, name)?);
        }
    }
    Ok(suggestions)
}

fn suggestion(db: &Connection, name: &str) -> Result<Option<String>> {
    let shown = printable(name);
    let prefix = "SELECT DISTINCT comm FROM egress_total
                  WHERE likelihood(comm > ?1 AND comm < ?1 || char(0x10FFFF), 0.001) ORDER BY comm LIMIT ?2";
    let mut statement = db.prepare(prefix)?;
    let names = statement.query_map((name, MOST), |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let names = Vec::from_iter(names.iter().map(|name| format!("'{}'", printable(name))));
    Ok((!names.is_empty()).then(|| {
        format!(
            "no process called {shown} made a connection, but these did: {}",
            names.join(", ")
        )
    }))
}

/// Whether there is a connection by `subject`.
fn exists(db: &Connection, subject: Subject) -> Result<bool> {
    let by = sql::condition(Relation::Connections, &Predicate::By(subject));
    let any = format!("SELECT 1 FROM egress_total WHERE {by} LIMIT 1");
    Ok(db.prepare(&any)?.exists([])?)
}

/// That no policy was ever in force, to a question about what policies decided.
///
/// # Errors
///
/// SQLite's.
pub fn without_policy(db: &Connection, question: &Question) -> Result<Option<String>> {
    let of_policies = matches!(
        question.projection,
        Projection::Rules | Projection::Verdicts
    ) || question.predicates.iter().any(is_of_policies);
    if !of_policies || db.prepare("SELECT 1 FROM policies LIMIT 1")?.exists([])? {
        return Ok(None);
    }
    Ok(Some(
        "no policy was in force in this history, so none decided on anything ('egrets record --policy FILE')"
            .to_owned(),
    ))
}

/// That nothing ran in a container, a unit or a pod, to a question that lists those.
///
/// # Errors
///
/// SQLite's.
pub fn without_such(db: &Connection, question: &Question) -> Result<Option<String>> {
    let (Projection::Actors(of)
    | Projection::Count(Counted::Actors(of))
    | Projection::Pairs(of)
    | Projection::FirstHosts(of)
    | Projection::FirstActors(of)) = question.projection
    else {
        return Ok(None);
    };
    let (of, what) = match of {
        Actors::Containers => (of, "container"),
        Actors::Images => (of, "container whose image is known"),
        Actors::Units => (of, "systemd unit"),
        Actors::Pods | Actors::Namespaces => (Actors::Pods, "pod"),
        _ => return Ok(None),
    };
    let Some(known) = sql::known(of, Relation::Connections) else {
        return Ok(None);
    };
    let any = format!("SELECT 1 FROM egress_total WHERE {known} LIMIT 1");
    if db.prepare(&any)?.exists([])? {
        return Ok(None);
    }
    Ok(Some(format!(
        "this history has no {what}: ask \"which processes\" instead"
    )))
}

/// For a question that lists only what something is known of: the question that counts the rest
/// as well, where there is nothing else, and what is not known, around their number.
pub fn without_known(question: &Question) -> Option<(Question, [&'static str; 2])> {
    let said = match (question.projection, question.ranking, question.relation) {
        (Projection::Actors(Actors::CommandLines), ..) => ["the command line of ", ""],
        (Projection::Actors(Actors::Parents), ..) => ["the parent process of ", ""],
        (Projection::Actors(Actors::Executables), ..) => ["the executable of ", ""],
        (Projection::Each, Some(Ranking::Slowest(_)), Relation::Connections) => {
            ["how long ", " took to connect"]
        }
        (Projection::Each, Some(Ranking::Slowest(_)), Relation::Lookups) => {
            ["how long ", " took to be answered"]
        }
        _ => return None,
    };
    let plain = question.having.is_empty() && question.average.is_none() && !question.new;
    plain.then(|| {
        let counts = Question {
            projection: Projection::Count(Counted::Rows),
            ranking: None,
            bucket: None,
            ..question.clone()
        };
        (counts, said)
    })
}

fn is_of_policies(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Blocked | Predicate::WouldBlock | Predicate::Verdict(_) | Predicate::Rule(_) => {
            true
        }
        Predicate::Not(of) => is_of_policies(of),
        Predicate::Any(all) | Predicate::All(all) => all.iter().any(is_of_policies),
        _ => false,
    }
}
