//! The rows themselves, for other engines: a view's columns, a question's conditions.

use std::io::Write;

use anyhow::{Result, bail, ensure};
use rusqlite::Connection;

use super::coverage::Coverage;
use super::lines::{Lines, RowFormat};
use super::question::{From, List, Question};
use super::{NEEDS_LOOKUPS, check_span, check_views, sql, steps};

/// A column that neither JSON nor CSV can hold: 16 bytes.
const BINARY: &str = "dst_addr";

/// The view whose rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Connections and flows
    Egress,
    /// Records of answers
    Dns,
    /// Questions
    Lookups,
}

impl View {
    /// Its name in the history.
    pub fn name(self) -> &'static str {
        match self {
            View::Egress => "egress",
            View::Dns => "dns",
            View::Lookups => "lookups",
        }
    }
}

/// What is to be written.
#[derive(Debug)]
pub struct Export {
    view: View,
    question: Option<Question>,
    /// Nanoseconds since 1970: from this time on, ...
    since: Option<i64>,
    /// ... and before this one.
    until: Option<i64>,
    format: RowFormat,
}

/// Where rows go.
pub trait Sink: Send {
    /// The writer for the rows of a day, which is the one before or a later one, and
    /// whether nothing was written to it yet. Days since 1970, of UTC.
    ///
    /// # Errors
    ///
    /// What it says to the user.
    fn at(&mut self, day: i64) -> Result<(&mut dyn Write, bool)>;

    /// Whether there is something to write to where there are no rows.
    fn wants_head(&self) -> bool;
}

impl Export {
    /// The rows of `view`, else of the one that the question is about, that meet the
    /// question's conditions.
    ///
    /// # Errors
    ///
    /// A question whose answer is more than a choice of rows, or about another view.
    pub fn new(
        view: Option<View>,
        question: Option<Question>,
        (since, until): (Option<i64>, Option<i64>),
        format: RowFormat,
    ) -> Result<Export> {
        let Some(question) = question else {
            let view = view.unwrap_or(View::Egress);
            return Ok(Export {
                view,
                question: None,
                since,
                until,
                format,
            });
        };
        ensure!(
            question.pick.is_none()
                && question.per.is_none()
                && !question.new
                && question.list != List::NeverContacted,
            "export writes the rows that a question is about, and this one asks for a choice or a sum of them: \
             'egrets query --json' answers it"
        );
        let view = match (question.from, view) {
            (From::Connections, None | Some(View::Egress)) => View::Egress,
            (From::Lookups, None | Some(View::Dns)) => View::Dns,
            (From::Lookups, Some(View::Lookups)) => View::Lookups,
            (From::Connections, Some(view)) => bail!(
                "this question is about connections, and the rows of {} are lookups: ask what was resolved",
                view.name()
            ),
            (From::Lookups, Some(View::Egress)) => {
                bail!("this question is about lookups, and the rows of egress are connections")
            }
        };
        let (since, until) = question.span(since, until);
        Ok(Export {
            view,
            question: Some(question),
            since,
            until,
            format,
        })
    }

    /// The view whose rows these are.
    pub fn view(&self) -> View {
        self.view
    }

    /// Writes the rows, in order of time, that the history has at `now` (nanoseconds since
    /// 1970). How many there were, and what may be missing of them, a sentence each.
    ///
    /// # Errors
    ///
    /// SQLite's, those of the sink.
    pub fn run(
        &self,
        db: &Connection,
        now: i64,
        sink: &mut dyn Sink,
    ) -> Result<(u64, Vec<String>)> {
        check_span(self.since, self.until, now)?;
        check_views(db, self.question.as_ref())?;
        if self.view == View::Lookups {
            super::check_view(db, NEEDS_LOOKUPS)?;
        }
        let names = self.columns(db)?;
        let mut lines = Lines::new(self.format, names.clone());
        let mut head = Vec::new();
        lines.head(&mut head)?;
        let written = steps::feed(&head, sink, |feed| {
            let (mut last, mut after) = (None, None);
            loop {
                feed.wait()?;
                let step = db.unchecked_transaction()?;
                // Later steps leave out what has come meanwhile.
                let last = match last {
                    None => *last.insert(self.last(&step)?),
                    Some(last) => last,
                };
                let sql = sql::rows(
                    self.view.name(),
                    &names,
                    self.question.as_ref(),
                    (self.since, self.until),
                    after.map(|after| (after, last)),
                );
                let mut statement = step.prepare(&sql)?;
                after = feed.step(&mut statement, &mut lines)?;
                if after.is_none() {
                    return Ok(());
                }
            }
        })?;
        let coverage = Coverage::read(db, self.since, self.until, now)?;
        Ok((written, coverage.notes()))
    }

    /// The id of the newest row.
    fn last(&self, db: &Connection) -> Result<i64> {
        let sql = format!(
            "SELECT coalesce((SELECT id FROM {} ORDER BY id DESC LIMIT 1), 0)",
            self.view.name()
        );
        Ok(db.query_row(&sql, [], |row| row.get(0))?)
    }

    /// The columns of the view, whichever version of egrets made it.
    fn columns(&self, db: &Connection) -> Result<Vec<String>> {
        let statement = db.prepare(&format!("SELECT * FROM {}", self.view.name()))?;
        let names = statement.column_names();
        Ok(names
            .filter(|name| *name != BINARY)
            .map(str::to_owned)
            .collect())
    }
}
