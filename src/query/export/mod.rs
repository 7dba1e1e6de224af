//! Exports rows for other engines: the columns of a view, filtered by a question.

mod sink;
mod snapshot_reader;
mod text;

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use rusqlite::{Connection, OptionalExtension};

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

    /// The table whose ids and times its rows have. What needs no more than these is asked of it:
    /// SQLite may begin such a statement on a view with any of the joined tables, and then it reads
    /// all rows.
    fn table(self) -> &'static str {
        match self {
            View::Egress => "connection",
            View::Dns | View::Lookups => "lookup",
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
        check_span(self.since, self.until, now)?;
        let rows = self.read(db, &names, DAY, &mut encoder, |day, rows: Vec<u8>| {
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
        Ok((rows, self.notes(db, now)?))
    }

    /// These rows, narrowed to a span: inclusive start and exclusive end, nanoseconds since 1970.
    pub fn within(&self, since: i64, until: i64) -> Export {
        Export {
            view: self.view,
            question: self.question.clone(),
            since: self.since.max(Some(since)),
            until: Some(self.until.map_or(until, |own| own.min(until))),
        }
    }

    /// Whether all rows of the view in a span are wanted.
    pub fn has_all(&self, since: i64, until: i64) -> bool {
        self.question.is_none()
            && self.since.is_none_or(|own| own <= since)
            && self.until.is_none_or(|own| own >= until)
    }

    /// When the view's next row is, from a time (nanoseconds since 1970) on that is in the span.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn first_from(&self, db: &Connection, from: i64) -> Result<Option<i64>> {
        let from = from.max(self.since.unwrap_or(i64::MIN));
        let sql = format!(
            "SELECT ts FROM {} WHERE ts >= ?1 AND ts < ?2 ORDER BY ts LIMIT 1",
            self.view.table()
        );
        let until = self.until.unwrap_or(i64::MAX);
        let mut statement = db.prepare_cached(&sql)?;
        let found = statement.query_row([from, until], |row| row.get(0));
        Ok(found.optional()?)
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
        columns: &[String],
        period: i64,
        encoder: &mut E,
        write: impl FnMut(i64, E::Chunk) -> Result<()> + Send,
    ) -> Result<u64> {
        let resolved = match &self.question {
            Some(question) => Some(resolve(db, question)?),
            None => None,
        };
        let question = resolved.as_ref().map(|resolved| &resolved.question);
        snapshot_reader::feed(period, encoder, write, |feed| {
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
        })
    }

    /// What may be missing from the rows that the history holds at `now` (nanoseconds since 1970),
    /// and how the question was read, one sentence each.
    ///
    /// # Errors
    ///
    /// A span that is still to come, or that ends before it begins; SQLite's.
    pub fn notes(&self, db: &Connection, now: i64) -> Result<Vec<String>> {
        check_span(self.since, self.until, now)?;
        let resolved = match &self.question {
            Some(question) => Some(resolve(db, question)?),
            None => None,
        };
        let coverage = Coverage::read(db, self.since, self.until, now)?;
        let said = resolved.into_iter().flat_map(|resolved| {
            let readings = resolved.readings.into_iter();
            readings.chain(resolved.unknown)
        });
        Ok(coverage.notes(None).into_iter().chain(said).collect())
    }

    /// The periods of this many nanoseconds, since 1970, that have rows of the view with greater ids
    /// than this one.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn periods_after(&self, db: &Connection, id: i64, period: i64) -> Result<BTreeSet<i64>> {
        let sql = format!(
            "SELECT DISTINCT ts / ?2 FROM {} WHERE id > ?1",
            self.view.table()
        );
        let mut statement = db.prepare_cached(&sql)?;
        let periods = statement.query_map([id, period], |row| row.get(0))?;
        Ok(periods.collect::<Result<_, _>>()?)
    }

    /// How many rows of the view are in the span, whatever the question.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn count(&self, db: &Connection) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM {} WHERE ts >= ?1 AND ts < ?2",
            self.view.name()
        );
        let span = [
            self.since.unwrap_or(i64::MIN),
            self.until.unwrap_or(i64::MAX),
        ];
        let rows: i64 = db.prepare_cached(&sql)?.query_row(span, |row| row.get(0))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// The id of the newest row; 0: there is none.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn newest(&self, db: &Connection) -> Result<i64> {
        let sql = format!("SELECT coalesce(max(id), 0) FROM {}", self.view.table());
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
