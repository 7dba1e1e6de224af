//! What can be asked for.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Local, TimeZone};
use rusqlite::Connection;

use crate::metrics::of_history;
use crate::query::{Question, parse};
use crate::report::{Report, Wanted, update};
use crate::when;

/// Most characters of a question.
const LONGEST_QUESTION: usize = 500;
/// Most characters of a time.
const LONGEST_TIME: usize = 60;

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Page(Page),
    /// For Prometheus.
    Metrics,
}

/// What a tab shows, as its reader wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Empty: everything.
    pub question: String,
    /// When it begins; empty: with the history.
    pub since: String,
}

impl Page {
    /// From the part of an address behind its question mark.
    ///
    /// # Errors
    ///
    /// What is longer than people write.
    pub fn of_query(query: &str) -> Result<Page> {
        let mut page = Page::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "q" => page.question = value.trim().to_owned(),
                "since" => page.since = value.trim().to_owned(),
                _ => {}
            }
        }
        ensure!(
            page.question.chars().count() <= LONGEST_QUESTION
                && page.since.chars().count() <= LONGEST_TIME,
            "a question has {LONGEST_QUESTION} characters at most, and a time {LONGEST_TIME}"
        );
        Ok(page)
    }

    /// What it is about, and since when in nanoseconds since 1970.
    ///
    /// # Errors
    ///
    /// A question or a time that is not understood.
    pub fn check<Tz: TimeZone>(&self, now: &DateTime<Tz>) -> Result<(Question, Option<i64>)> {
        let question = match self.question.as_str() {
            "" => parse("connections", now)?,
            // "to public IPs" is what could follow "connections", too.
            text => match parse(text, now) {
                Ok(question) => question,
                Err(e) => parse(&format!("connections {text}"), now).map_err(|_| e)?,
            },
        };
        let since = Some(&self.since).filter(|text| !text.is_empty());
        let since = since.map(|text| when::parse_start(text, now).map(when::to_ns));
        Ok((question, since.transpose().context("since")?))
    }

    /// The part of an address behind its question mark.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("since", &self.since);
        if !self.question.is_empty() {
            query.append_pair("q", &self.question);
        }
        query.finish()
    }
}

/// # Errors
///
/// A question or a time that is not understood, SQLite's.
pub fn render(db: &Connection, content: &Content) -> Result<String> {
    let now = Local::now();
    let page = match content {
        Content::Page(page) => page,
        Content::Metrics => return of_history(db, when::to_ns(now.to_utc())),
    };
    let (question, since) = page.check(&now)?;
    let wanted = Wanted {
        text: Some(page.question.clone()).filter(|text| !text.is_empty()),
        question,
        hosts: Vec::new(),
        since,
        until: None,
        now: when::to_ns(now.to_utc()),
        baseline: None,
    };
    let report = Report::read(db, wanted)?;
    update(&report, Local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_survives_its_address() {
        for (question, since) in [
            ("", ""),
            ("curl & +wget=%41 #ü", "yesterday 9:00"),
            ("to \"a b\"", "1h"),
        ] {
            let page = Page {
                question: question.to_owned(),
                since: since.to_owned(),
            };
            assert_eq!(Page::of_query(&page.to_query()).unwrap(), page);
        }
        assert!(Page::of_query(&format!("q={}", "x".repeat(501))).is_err());
        assert_eq!(
            Page::of_query("q=%ff%00&&=&x").unwrap().question,
            "\u{fffd}\0"
        );
    }
}
