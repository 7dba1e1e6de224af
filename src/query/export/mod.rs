//! Exports rows for other engines: all columns of a view, filtered by a question.

mod sink;
mod snapshot_reader;

use anyhow::{Result, bail, ensure};
use rusqlite::Connection;

use super::ast::{Question, Relation};
use super::coverage::Coverage;
use super::format::{RowFormat, RowWriter};
use super::resolve::resolve;
use super::{check_span, sql};
pub use sink::RowSink;

/// A binary column, which neither JSON nor CSV can represent.
const BINARY: &str = "dst_addr";

/// The view whose rows are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Connections and flows.
    Egress,
    /// Lookups, one row per resource record.
    Dns,
    /// Lookups, one row per query.
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

/// What to export.
#[derive(Debug)]
pub struct Export {
    view: View,
    question: Option<Question>,
    /// Inclusive start, nanoseconds since 1970.
    since: Option<i64>,
    /// Exclusive end, nanoseconds since 1970.
    until: Option<i64>,
    format: RowFormat,
}

impl Export {
    /// The rows of `view`, by default the view that the question is about, that match the
    /// question.
    ///
    /// # Errors
    ///
    /// A question that does more than filter rows, or that is about another view.
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
            question.only_selects(),
            "export writes the rows that match a question, but this question ranks, groups or \
             compares them: 'egrets query --json' answers it"
        );
        let view = match (question.relation, view) {
            (Relation::Connections, None | Some(View::Egress)) => View::Egress,
            (Relation::Lookups, None | Some(View::Dns)) => View::Dns,
            (Relation::Lookups, Some(View::Lookups)) => View::Lookups,
            (Relation::Connections, Some(view)) => bail!(
                "this question is about connections, but the rows of {} are lookups: ask what was resolved",
                view.name()
            ),
            (Relation::Lookups, Some(View::Egress)) => {
                bail!("this question is about lookups, but the rows of egress are connections")
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

    pub fn view(&self) -> View {
        self.view
    }

    /// Writes the rows, in order of time, that the history holds at `now` (nanoseconds since
    /// 1970). Returns their number and notes on what may be missing, one sentence each.
    ///
    /// # Errors
    ///
    /// SQLite's and those of the sink.
    pub fn run(
        &self,
        db: &Connection,
        now: i64,
        sink: &mut dyn RowSink,
    ) -> Result<(u64, Vec<String>)> {
        check_span(self.since, self.until, now)?;
        let resolved = match &self.question {
            Some(question) => Some(resolve(db, question)?),
            None => None,
        };
        let question = resolved.as_ref().map(|resolved| &resolved.question);
        let names = self.columns(db)?;
        let mut writer = RowWriter::new(self.format, names.clone());
        let mut header = Vec::new();
        writer.header(&mut header)?;
        let written = snapshot_reader::feed(&header, sink, |feed| {
            let (mut newest, mut after) = (None, None);
            loop {
                feed.drain()?;
                let snapshot = db.unchecked_transaction()?;
                // Later snapshots leave out rows that were added in the meantime.
                let newest = match newest {
                    None => *newest.insert(self.newest(&snapshot)?),
                    Some(newest) => newest,
                };
                let sql = sql::rows(
                    self.view.name(),
                    &names,
                    question,
                    (self.since, self.until),
                    after.map(|after| (after, newest)),
                );
                let mut statement = snapshot.prepare(&sql)?;
                after = feed.read_snapshot(&mut statement, &mut writer)?;
                if after.is_none() {
                    return Ok(());
                }
            }
        })?;
        let coverage = Coverage::read(db, self.since, self.until, now)?;
        let said = resolved.into_iter().flat_map(|resolved| {
            let readings = resolved.readings.into_iter();
            readings.chain(resolved.unknown)
        });
        Ok((
            written,
            coverage.notes(None).into_iter().chain(said).collect(),
        ))
    }

    /// The id of the newest row.
    fn newest(&self, db: &Connection) -> Result<i64> {
        let sql = format!(
            "SELECT coalesce((SELECT id FROM {} ORDER BY id DESC LIMIT 1), 0)",
            self.view.name()
        );
        Ok(db.query_row(&sql, [], |row| row.get(0))?)
    }

    /// The columns of the view, including those that a later version may have added.
    fn columns(&self, db: &Connection) -> Result<Vec<String>> {
        let statement = db.prepare(&format!("SELECT * FROM {}", self.view.name()))?;
        let names = statement.column_names();
        Ok(names
            .filter(|name| *name != BINARY)
            .map(str::to_owned)
            .collect())
    }
}
