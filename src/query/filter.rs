//! A question as a condition on single connections, for readers that show them as they come.

use anyhow::{Result, bail};
use chrono::{DateTime, TimeZone};
use rusqlite::Connection;

use super::ast::{Projection, Question, Relation};
use super::english::parse;
use super::resolve::{Resolved, resolve};
use super::sql;

/// Which connections are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// SQL on a row of the view `egress`.
    pub condition: String,
    /// How names were read, where that is not what they say.
    pub readings: Vec<String>,
    /// Names that the history has never seen.
    pub unknown: Vec<String>,
}

impl Filter {
    /// Parses a question, or what could follow "connections": "to public IPs".
    ///
    /// # Errors
    ///
    /// What is neither, and [`Filter::check`]'s.
    pub fn parse<Tz: TimeZone>(text: &str, now: &DateTime<Tz>) -> Result<Question> {
        let question = match (parse(text, now), parse(&format!("connections {text}"), now)) {
            (Err(_), Ok(question)) => question,
            (question, _) => question?,
        };
        Filter::check(&question)?;
        Ok(question)
    }

    /// What the question says of a connection, with its names as those of the history.
    ///
    /// # Errors
    ///
    /// [`Filter::check`]'s, SQLite's, and a question that contradicts itself.
    pub fn new(db: &Connection, question: &Question) -> Result<Filter> {
        Filter::check(question)?;
        // Traffic that peers began is traffic, too.
        let question = Question {
            both_directions: true,
            ..question.clone()
        };
        let Resolved {
            question,
            readings,
            unknown,
            ..
        } = resolve(db, &question)?;
        Ok(Filter {
            condition: sql::row_condition(&question),
            readings,
            unknown,
        })
    }

    /// Whether the question is about single connections.
    ///
    /// # Errors
    ///
    /// One that is about lookups, or needs several connections to be answered.
    fn check(question: &Question) -> Result<()> {
        if question.relation == Relation::Lookups {
            bail!("this is about lookups, and only connections are shown here");
        }
        selects_rows(question)
    }
}

/// Whether a question does no more than select connections or lookups.
///
/// # Errors
///
/// One that needs several of them to be answered.
pub fn selects_rows(question: &Question) -> Result<()> {
    let of_each = matches!(
        question.projection,
        Projection::Actors(_)
            | Projection::Destinations
            | Projection::Addresses
            | Projection::Ports
            | Projection::Each
            | Projection::Pairs(_)
            | Projection::Bytes
            | Projection::Sent
            | Projection::Received
            | Projection::Verdicts
            | Projection::FailedLookups
    );
    let of_groups = question.ranking.is_some()
        || question.average.is_some()
        || question.new
        || question.bucket.is_some()
        || question.without.is_some()
        || !question.having.is_empty()
        || !question.also.is_empty()
        || !question.never.is_empty();
    if !of_each || of_groups {
        bail!("a filter can't count, rank or compare: ask 'egrets query'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::super::fixture::{By, CURL, History, NOW, parsed};
    use super::*;

    const NGINX: By = By {
        comm: "nginx",
        exe: Some("/usr/sbin/nginx"),
        pid: 900,
        uid: 101,
        user: None,
        container: Some(("0123456789abcdef", Some("web-1"))),
    };

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(NOW)
    }

    /// The ids of the connections that pass.
    fn pass(history: &History, text: &str) -> Vec<i64> {
        let question = Filter::parse(text, &now()).unwrap();
        let filter = Filter::new(&history.0, &question).unwrap();
        let sql = format!(
            "SELECT id FROM egress WHERE {} ORDER BY id",
            filter.condition
        );
        let mut statement = history.0.prepare(&sql).unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    }

    #[test]
    fn questions_and_bare_names_select_connections() {
        let history = History::recording();
        history.connect(CURL, Some("api.example.com"), "192.0.2.7", "connected", 60);
        history.connect(CURL, None, "192.0.2.9", "refused", 30);
        history.connect(NGINX, Some("db.test"), "10.0.0.9", "connected", 5);
        for (question, ids) in [
            ("curl", &[1, 2][..]),
            ("example.com", &[1]),
            ("web-1", &[3]),
            ("which processes hit example.com", &[1]),
            ("what did curl talk to", &[1, 2]),
            ("which containers were used", &[3]),
            ("connections that failed", &[2]),
            ("raw IPs", &[2]),
            ("connections in the last 40 seconds", &[2, 3]),
            ("not curl", &[3]),
            ("that failed", &[2]),
            ("to private IPs", &[3]),
            ("over udp", &[]),
        ] {
            assert_eq!(pass(&history, question), ids, "{question}");
        }
        let filter = Filter::new(&history.0, &parsed("wget")).unwrap();
        assert!(filter.unknown[0].contains("wget"), "{filter:?}");
    }

    #[test]
    fn what_needs_several_connections_is_refused() {
        for question in [
            "top 5 hosts by bytes sent",
            "how many connections were there",
            "connections per hour today",
            "which lookups failed",
            "beacons",
            "gibberish of a kind",
        ] {
            assert!(Filter::parse(question, &now()).is_err(), "{question}");
        }
    }
}
