//! Questions about the history: plain English in, a table, JSON or CSV out.
//!
//! [`parse`] (`english/`) turns a question into a [`Question`] (`ast.rs`) or names the word
//! that it does not understand; `sql/` turns that into one SQL statement. Neither reads a
//! file. [`Request::run`], [`Export`] and [`Explanation`] read the public views
//! (docs/schema.md), and nothing else, of a history that the caller has opened. They fail when
//! SQLite or the output does; telling a closed pipe from other errors is up to the caller.

mod ast;
mod country;
mod coverage;
mod english;
mod explain;
mod export;
mod filter;
#[cfg(test)]
mod fixture;
mod format;
mod host;
mod live;
mod machines;
mod reading;
mod resolve;
mod selected;
mod sql;
mod suggest;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Offset, TimeZone, Utc};
use rusqlite::{Connection, OptionalExtension};

use crate::human;
use crate::when;
pub use ast::Question;
use ast::Relation;
pub use coverage::{Baseline, Coverage, Gap, gaps, lost_since};
pub use english::{NameKind, NotUnderstood, expected, parse, written};
pub use explain::Explanation;
pub use export::{Export, RowEncoder, RowSink, View};
pub use filter::Filter;
pub use format::{RowFormat, json_value, zone_name};
pub use host::Host;
pub use live::LiveFilter;
pub use machines::parse_of_machines;
use resolve::{Resolved, resolve, settle};
pub use selected::Selected;
use sql::Zone;
pub use sql::{Engine, FAILURES};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Aligned columns for people.
    Table,
    /// One JSON object per line.
    Json,
    /// RFC 4180, with a header.
    Csv,
}

/// A question and everything else that its answer depends on.
#[derive(Debug, Clone)]
pub struct Request<Tz: TimeZone> {
    pub question: Question,
    /// Inclusive start of the span, nanoseconds since 1970.
    pub since: Option<i64>,
    /// Exclusive end of the span, nanoseconds since 1970.
    pub until: Option<i64>,
    pub format: OutputFormat,
    /// The terminal's width in columns; none if the output is not a terminal, so that
    /// nothing is cut.
    pub width: Option<usize>,
    /// The current time, in the zone in which times are shown.
    pub now: DateTime<Tz>,
    /// Whether the table may have colours.
    pub color: bool,
    /// Whether to say how the question was read.
    pub explain: bool,
    /// Most rows of the answer.
    pub limit: Option<u32>,
    /// When the user started to wait; none if the notes are not to say how long it took.
    pub begun: Option<Instant>,
}

/// A history among several that one connection reads, whose views have the rows of all, and besides
/// the columns `machine` and `history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Where its own views are.
    pub schema: String,
    pub machine: String,
}

impl<Tz: TimeZone> Request<Tz>
where
    Tz::Offset: Display,
{
    /// Decides whether typos are read as known words, which they are without a history; returns
    /// what was read as what, one sentence each.
    ///
    /// # Errors
    ///
    /// SQLite's, and a word that is not understood.
    pub fn settle(&mut self, db: Option<&Connection>) -> Result<Vec<String>> {
        let (question, corrections) = settle(db, &self.question)?;
        self.question = question;
        Ok(corrections)
    }

    /// The SQL that answers the question. It has no parameters, so any SQLite can run it.
    pub fn sql(&self) -> String {
        self.limited(self.statement(&self.question))
    }

    /// The same for this history: what its names are the names of is known.
    ///
    /// # Errors
    ///
    /// SQLite's, and a question that contradicts itself.
    pub fn sql_for(&self, db: &Connection) -> Result<String> {
        self.sql_of(&resolve(db, &self.question)?.question, &[])
    }

    /// The SQL that answers the question over a dataset, in an engine that has its views.
    ///
    /// # Errors
    ///
    /// When `since` is not before `until`; a question that only a machine itself can answer.
    pub fn sql_of_dataset(&self, engine: Engine) -> Result<String> {
        let (span, zone) = self.span_of(&self.question);
        check_span(span.0, span.1, when::to_ns(self.now.to_utc()))?;
        let statement = sql::dataset_statement(engine, &self.question, span, &zone)?;
        Ok(self.limited(statement))
    }

    /// The statement over one history, or over several.
    fn sql_of(&self, question: &Question, several: &[History]) -> Result<String> {
        if several.is_empty() {
            return Ok(self.limited(self.statement(question)));
        }
        let (span, zone) = self.span_of(question);
        let statement = sql::statement_of_several(question, span, &zone)?;
        Ok(self.limited(statement))
    }

    fn statement(&self, question: &Question) -> String {
        let ((since, until), zone) = self.span_of(question);
        sql::statement(question, since, until, &zone, true)
    }

    /// The span of a question, and the zone of its hours and days.
    fn span_of(&self, question: &Question) -> ((Option<i64>, Option<i64>), Zone) {
        let (since, until) = question.span(self.since, self.until);
        ((since, until), Zone::over(&self.now, since, until))
    }

    fn limited(&self, statement: String) -> String {
        match self.limit {
            Some(rows) => format!("SELECT * FROM (\n{statement}\n)\nLIMIT {rows};"),
            None => statement + ";",
        }
    }

    /// Writes the answer to `out`. For a table, also writes to `notes` how much was found, how
    /// long that took, and what egrets did not see. Returns whether anything was found.
    ///
    /// # Errors
    ///
    /// When `since` is not before `until`, SQLite's, and those of the writers.
    pub fn run(&self, db: &Connection, out: &mut dyn Write, notes: &mut dyn Write) -> Result<bool> {
        self.run_over(db, &[], out, notes)
    }

    /// The same over several histories that `db` reads; with none, over its own.
    ///
    /// # Errors
    ///
    /// Those of [`Request::run`]; a machine that none of them is of, and a question that only one
    /// history can answer.
    pub fn run_over(
        &self,
        db: &Connection,
        several: &[History],
        out: &mut dyn Write,
        notes: &mut dyn Write,
    ) -> Result<bool> {
        let notes = &mut format::Notes::new(notes, self.width);
        let now = when::to_ns(self.now.to_utc());
        // One snapshot, so that the notes are about the same rows.
        let db = db.unchecked_transaction()?;
        let (question, corrections) = settle(Some(&db), &self.question)?;
        let (since, until) = question.span(self.since, self.until);
        check_span(since, until, now)?;
        let asked = &machines::asked(&question, several)?;
        let Resolved {
            question,
            readings,
            unknown,
            left_out,
        } = resolve(&db, &question)?;
        let left_out = match left_out {
            Some(answers) => count_left_out(&db, &self.sql_of(&answers, several)?)?,
            None => None,
        };
        let said = readings.into_iter().chain(unknown).chain(left_out);
        let said = Vec::from_iter(said.map(|said| machines::of_all(several, said)));
        for correction in corrections {
            writeln!(notes, "note: {correction}")?;
        }
        if self.format != OutputFormat::Table {
            for said in &said {
                writeln!(notes, "note: {said}")?;
            }
        }
        let mut statement = db.prepare(&self.sql_of(&question, several)?)?;
        let mut rows = statement.query([])?;
        match self.format {
            OutputFormat::Json => format::write_all(RowFormat::JsonLines, &mut rows, out),
            OutputFormat::Csv => format::write_all(RowFormat::Csv, &mut rows, out),
            OutputFormat::Table => {
                let found = format::read_table(&question, &mut rows, &self.now)?;
                // Before writing, which may wait for a pager.
                let took = self.begun.map(|begun| begun.elapsed());
                let coverage = self.coverage(&db, asked, (since, until))?;
                let baseline = since
                    .filter(|_| question.new && coverage.iter().any(|of| of.any_recording))
                    .map(|since| Baseline::least(&db, &schemas(asked), since))
                    .transpose()?
                    .flatten();
                let suggestions = match &found {
                    None => {
                        let mut all = suggest::suggestions(&db, &question)?;
                        all.extend(suggest::without_policy(&db, &question)?);
                        all.extend(suggest::without_such(&db, &question)?);
                        all.extend(self.count_unknown(&db, &question, several)?);
                        all
                    }
                    Some(_) => Vec::new(),
                };
                // Close the snapshot before writing: a pager can stall for hours, and the
                // recorder's -wal would grow meanwhile.
                drop(rows);
                drop(statement);
                drop(db);
                let left_out = self.write_table(found.as_ref().map(|(table, _)| table), out)?;
                let counted = found.as_ref().map(|(_, counted)| counted.as_str());
                self.note(counted, took, &coverage, asked, notes)?;
                if counted.is_none() || self.explain || question.loose {
                    let reading = reading::reading(&question, (since, until), &self.now);
                    writeln!(notes, "note: read as: {reading}")?;
                }
                let suggestions = suggestions.into_iter();
                let suggestions = suggestions.map(|said| machines::of_all(several, said));
                for suggestion in said.into_iter().chain(suggestions) {
                    writeln!(notes, "note: {suggestion}")?;
                }
                if let Some((history, baseline)) = baseline {
                    let on = machines::said(asked, &[history]);
                    writeln!(notes, "note: {on}{baseline}")?;
                }
                note_left_out(&left_out, notes)?;
                Ok(found.is_some())
            }
        }
    }

    /// Writes the answer of [`Request::sql_of_dataset`], which another engine has put into the table
    /// `answer` of `db`. Returns whether anything was found.
    ///
    /// # Errors
    ///
    /// SQLite's, and those of the writers.
    pub fn show(
        &self,
        db: &Connection,
        out: &mut dyn Write,
        notes: &mut dyn Write,
    ) -> Result<bool> {
        let notes = &mut format::Notes::new(notes, self.width);
        let mut statement = db.prepare("SELECT * FROM answer")?;
        let mut rows = statement.query([])?;
        match self.format {
            OutputFormat::Json => return format::write_all(RowFormat::JsonLines, &mut rows, out),
            OutputFormat::Csv => return format::write_all(RowFormat::Csv, &mut rows, out),
            OutputFormat::Table => {}
        }
        let found = format::read_table(&self.question, &mut rows, &self.now)?;
        let left_out = self.write_table(found.as_ref().map(|(table, _)| table), out)?;
        match &found {
            Some((_, counted)) => write!(notes, "\n{counted}")?,
            None => write!(
                notes,
                "nothing found: a dataset does not say which machines were recording"
            )?,
        }
        self.note_time(self.begun.map(|begun| begun.elapsed()), notes)?;
        if found.is_none() || self.explain || self.question.loose {
            let span = self.question.span(self.since, self.until);
            let reading = reading::reading(&self.question, span, &self.now);
            writeln!(notes, "note: read as: {reading}")?;
        }
        if found.is_some() {
            writeln!(
                notes,
                "note: a dataset does not say when its machines were not recording, or what they lost"
            )?;
        }
        note_left_out(&left_out, notes)?;
        Ok(found.is_some())
    }

    /// Writes the table, if there is one; the columns for which there was no room.
    fn write_table<'a>(
        &self,
        table: Option<&'a format::Table>,
        out: &mut dyn Write,
    ) -> Result<Vec<&'a str>> {
        let left_out = match table {
            Some(table) => table.write_styled(self.width, self.color, out)?,
            None => Vec::new(),
        };
        // The notes may go to the same terminal: the table comes first.
        out.flush()?;
        Ok(left_out)
    }

    fn note_time(&self, took: Option<Duration>, notes: &mut dyn Write) -> Result<()> {
        match took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)) {
            Some(us) => writeln!(notes, "; took {}", human::duration(us))?,
            None => writeln!(notes)?,
        }
        Ok(())
    }

    /// How many rows are not listed because what is asked of them is not known.
    fn count_unknown(
        &self,
        db: &Connection,
        question: &Question,
        several: &[History],
    ) -> Result<Option<String>> {
        let Some((counting, [before, behind])) = suggest::without_known(question) else {
            return Ok(None);
        };
        let mut statement = db.prepare(&self.sql_of(&counting, several)?)?;
        let number = statement.query_row([], |row| row.get::<_, i64>("number"));
        let number = number.optional()?.unwrap_or(0);
        let (one, more) = match question.relation {
            Relation::Connections => ("connection", "connections"),
            Relation::Lookups => ("lookup", "lookups"),
        };
        Ok((number > 0).then(|| {
            let rows = human::count(number, one, more);
            format!("{before}{rows}{behind} is not known: \"{more}\" lists all")
        }))
    }

    /// What each history has of the span.
    fn coverage(
        &self,
        db: &Connection,
        several: &[History],
        span: (Option<i64>, Option<i64>),
    ) -> Result<Vec<Coverage>> {
        let now = when::to_ns(self.now.to_utc());
        let all = schemas(several).into_iter();
        all.map(|schema| Coverage::of(db, schema, span, now))
            .collect()
    }

    /// Writes what was found and what may be missing.
    fn note(
        &self,
        counted: Option<&str>,
        took: Option<Duration>,
        coverage: &[Coverage],
        several: &[History],
        notes: &mut dyn Write,
    ) -> Result<()> {
        let any = |is: fn(&Coverage) -> bool| coverage.iter().any(is);
        let is_void = coverage.iter().all(Coverage::is_void);
        // without a time, each history begins with its first recording
        let earliest = coverage.iter().map(|of| of.from).min();
        let later = |of: &Coverage| of.any_recording && Some(of.from) > earliest;
        let is_complete = coverage.iter().all(|of| of.is_complete() && !later(of));
        match counted {
            Some(counted) => write!(notes, "\n{counted}")?,
            None if !any(|of| of.any_recording) => {
                let these = match several {
                    [] => "this history has",
                    _ => "these histories have",
                };
                write!(notes, "nothing found: {these} no recordings")?;
            }
            None => {
                let span = self.span(coverage);
                let what = match (is_void, is_complete) {
                    _ if coverage.iter().all(|of| of.pending) => {
                        "nothing found: egrets has not processed anything yet"
                    }
                    (true, _) => "nothing found: egrets was not recording",
                    (_, true) => "nothing found: egrets was watching all the time",
                    _ => "nothing found, but egrets was not seeing everything",
                };
                write!(notes, "{what} {span}")?;
            }
        }
        self.note_time(took, notes)?;
        // If nothing was recorded, the line above says it all.
        if counted.is_none() && is_void {
            return Ok(());
        }
        // each with the histories that it is about
        let mut missing: Vec<(String, Vec<usize>)> = Vec::new();
        for (history, of) in coverage.iter().enumerate() {
            let notes = of.notes(Some(self.question.relation)).into_iter();
            let at = |when: &str, ns| {
                let time =
                    DateTime::<Utc>::from_timestamp_nanos(ns).with_timezone(&self.now.timezone());
                format!("recorded {when} {}", time.format("%Y-%m-%d %H:%M:%S"))
            };
            let begun = later(of).then(|| at("from", of.from));
            let ended = of.ended.map(|ended| at("until", ended));
            let none = (!several.is_empty() && !of.any_recording).then(|| "no recordings".into());
            for note in notes.chain(begun).chain(ended).chain(none) {
                match missing.iter_mut().find(|(same, _)| *same == note) {
                    Some((_, histories)) => histories.push(history),
                    None => missing.push((note, vec![history])),
                }
            }
        }
        for (note, histories) in missing.iter().take(MOST_MISSING) {
            let on = machines::said(several, histories);
            writeln!(notes, "note: {on}{note}")?;
        }
        if missing.len() > MOST_MISSING {
            let more = missing.len() - MOST_MISSING;
            writeln!(
                notes,
                "note: {more} more such notes: ask one machine, \"on machine NAME\""
            )?;
        }
        Ok(())
    }

    /// The span of the question, in words.
    fn span(&self, coverage: &[Coverage]) -> String {
        let zone = self.now.timezone();
        let from = coverage.iter().map(|of| of.from).min();
        let to = coverage.iter().map(|of| of.ended.unwrap_or(of.to)).max();
        let times = [from, to].map(|ns| {
            DateTime::<Utc>::from_timestamp_nanos(ns.unwrap_or_default()).with_timezone(&zone)
        });
        let mut offsets = times
            .each_ref()
            .map(|time| time.offset().fix().local_minus_utc())
            .to_vec();
        offsets.dedup();
        let [from, to] = times.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string());
        format!("from {from} to {to} ({})", zone_name(offsets))
    }
}

fn note_left_out(columns: &[&str], notes: &mut dyn Write) -> Result<()> {
    if !columns.is_empty() {
        let columns = columns.join(", ");
        writeln!(notes, "note: this terminal is too narrow for {columns}")?;
    }
    Ok(())
}

/// How many notes on what is missing an answer has.
const MOST_MISSING: usize = 8;

/// Where the histories are; the only one is where SQLite has it.
fn schemas(several: &[History]) -> Vec<&str> {
    match several {
        [] => vec![coverage::ONLY],
        _ => several.iter().map(|of| of.schema.as_str()).collect(),
    }
}

/// How many answers to peers that sent first are left out, which this statement counts, and how
/// to ask for them.
fn count_left_out(db: &Connection, sql: &str) -> Result<Option<String>> {
    let mut statement = db.prepare(sql)?;
    let number = statement.query_row([], |row| row.get::<_, i64>("number"));
    Ok(match number.optional()?.unwrap_or(0) {
        0 => None,
        1 => Some("1 answer to a peer that sent first is not shown: add \"in both directions\", or ask for \"incoming connections\"".to_owned()),
        n => Some(format!("{n} answers to peers that sent first are not shown: add \"in both directions\", or ask for \"incoming connections\"")),
    })
}

/// Refuses an empty span.
fn check_span(since: Option<i64>, until: Option<i64>, now: i64) -> Result<()> {
    ensure!(
        until.is_none() || since.is_none_or(|since| since <= now),
        "the time span is still to come: it begins after now"
    );
    ensure!(
        since.is_none_or(|since| since < until.unwrap_or(now)),
        "the time span ends before it begins: its start has to be before its end, and before now; \
         a time of day without a date is today's, so write \"yesterday 9:00\" for another day"
    );
    Ok(())
}
