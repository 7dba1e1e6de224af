//! Where nothing was found of a process: of what else there is one by that name.

use anyhow::Result;
use rusqlite::Connection;

use super::question::{From, Only, Question, Subject};
use super::sql;
use crate::text::printable;

/// Names that are shown at most.
const MOST: i64 = 3;

/// What the names of processes in a question could have been meant to be, a sentence each.
/// Reads the sums.
///
/// # Errors
///
/// SQLite's.
pub fn hints(db: &Connection, question: &Question) -> Result<Vec<String>> {
    let mut hints = Vec::new();
    for only in &question.only {
        if let Only::By(Subject::Process(name)) = only
            && !exists(db, Subject::Process(name.clone()))?
        {
            hints.extend(hint(db, name)?);
        }
    }
    Ok(hints)
}

fn hint(db: &Connection, name: &str) -> Result<Option<String>> {
    let shown = printable(name);
    let of = |kind: fn(String) -> Subject| kind(name.to_owned());
    let kinds = [
        ("user", of(Subject::User)),
        ("container", of(Subject::Container)),
        ("unit", of(Subject::Unit)),
        ("pod", of(Subject::Pod)),
        ("image", of(Subject::Image)),
    ];
    for (kind, subject) in kinds {
        if exists(db, subject)? {
            return Ok(Some(format!(
                "no connection is by a process called {shown}, and some are by a {kind} of that name: say \"{kind} {shown}\""
            )));
        }
    }
    if exists(db, Subject::BelowProcess(name.to_owned()))? {
        return Ok(Some(format!(
            "no connection is by a process called {shown} itself, and some are by what it started: say \"children of {shown}\""
        )));
    }
    let begin = "SELECT DISTINCT comm FROM egress_total
                 WHERE likelihood(comm > ?1 AND comm < ?1 || char(0x10FFFF), 0.001) ORDER BY comm LIMIT ?2";
    let mut statement = db.prepare(begin)?;
    let names = statement.query_map((name, MOST), |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let names = Vec::from_iter(names.iter().map(|name| format!("'{}'", printable(name))));
    Ok((!names.is_empty()).then(|| {
        format!(
            "no connection is by a process called {shown}, and some are by {}",
            names.join(", ")
        )
    }))
}

/// Whether there is a connection by `subject`.
fn exists(db: &Connection, subject: Subject) -> Result<bool> {
    let by = sql::condition(From::Connections, &Only::By(subject));
    let any = format!("SELECT 1 FROM egress_total WHERE {by} LIMIT 1");
    Ok(db.prepare(&any)?.exists([])?)
}
