//! Exports rows for other engines: the columns of a view, filtered by a question.

mod sink;
mod snapshot_reader;
mod text;

use anyhow::{Result, bail, ensure};
use rusqlite::Connection;

use super::ast::{Question, Relation};
use super::coverage::Coverage;
use super::format::RowFormat;
use super::resolve::resolve;
use super::{check_span, sql};
pub use sink::RowSink;
pub use snapshot_reader::RowEncoder;
use text::TextEncoder;

/// A binary column, which neither JSON nor CSV can represent.
const BINARY: &str = "dst_addr";

/// Nanoseconds in a day of UTC.
const DAY: i64 = 86_400_000_000_000;

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
    ) -> Result<Export> {
        let Some(question) = question else {
            let view = view.unwrap_or(View::Egress);
            return Ok(Export {
                view,
                question: None,
                since,
                until,
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
        })
    }

    pub fn view(&self) -> View {
        self.view
    }

    /// Writes the rows as text, in order of time, that the history holds at `now` (nanoseconds
    /// since 1970). Returns their number and notes on what may be missing, one sentence each.
    ///
    /// # Errors
    ///
    /// SQLite's and those of the sink.
    pub fn run(
        &self,
        db: &Connection,
        now: i64,
        format: RowFormat,
        sink: &mut dyn RowSink,
    ) -> Result<(u64, Vec<String>)> {
        let mut names = self.columns(db)?;
        names.retain(|name| name != BINARY);
        let mut encoder = TextEncoder::new(format, names.clone());
        let header = encoder.header()?;
        let mut any = false;
        let read = self.read(db, now, &names, DAY, &mut encoder, |day, rows: Vec<u8>| {
            let (out, empty) = sink.at(day)?;
            if empty {
                out.write_all(&header)?;
            }
            out.write_all(&rows)?;
            any = true;
            Ok(())
        })?;
        if !any && sink.wants_header() {
            sink.at(0)?.0.write_all(&header)?;
        }
        Ok(read)
    }

    /// Reads the rows likewise and hands them to `write` on another thread: chunks of `encoder`,
    /// each of rows of one period of this many nanoseconds, with the period's number since 1970.
    /// Periods never go back. `columns` has at least `ts` and `id`.
    ///
    /// # Errors
    ///
    /// SQLite's and those of the encoder and of `write`.
    pub fn read<E: RowEncoder>(
        &self,
        db: &Connection,
        now: i64,
        columns: &[String],
        period: i64,
        encoder: &mut E,
        write: impl FnMut(i64, E::Chunk) -> Result<()> + Send,
    ) -> Result<(u64, Vec<String>)> {
        check_span(self.since, self.until, now)?;
        let resolved = match &self.question {
            Some(question) => Some(resolve(db, question)?),
            None => None,
        };
        let question = resolved.as_ref().map(|resolved| &resolved.question);
        let written = snapshot_reader::feed(period, encoder, write, |feed| {
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
                    columns,
                    question,
                    (self.since, self.until),
                    after.map(|after| (after, newest)),
                );
                let mut statement = snapshot.prepare(&sql)?;
                after = feed.read_snapshot(&mut statement)?;
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
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn columns(&self, db: &Connection) -> Result<Vec<String>> {
        let statement = db.prepare(&format!("SELECT * FROM {}", self.view.name()))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }
}
