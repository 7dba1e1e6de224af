//! Questions about the history: plain English in, a table, JSON or CSV out.
//!
//! [`parse`] understands a question or says which word it does not; no file is
//! needed for that, nor for [`Request::sql`]. [`Request::run`] reads the public
//! views (docs/schema.md), and nothing else, of a history that the caller opened. It
//! fails where SQLite or the output fails; a closed pipe among these is for the caller
//! to tell apart.

mod answer;
mod cell;
mod clock;
mod columns;
mod coverage;
mod explain;
mod export;
#[cfg(test)]
mod fifty;
#[cfg(test)]
mod fixture;
mod host;
mod lines;
mod meant;
mod question;
mod refusal;
mod sql;
mod steps;
mod table;
#[cfg(test)]
mod tests;
mod words;
mod zone;

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Offset, TimeZone, Utc};
use rusqlite::Connection;

use crate::human;
use crate::when;
pub use clock::zone_name;
use coverage::{Compared, Coverage};
pub use explain::Explanation;
pub use export::{Export, Sink, View};
pub use host::Host;
pub use lines::RowFormat;
use question::{From, Only, Subject};
pub use question::{Naming, Question, expected, parse, written};
pub use refusal::NotUnderstood;
use zone::Zone;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// A JSON object a line.
    Json,
    /// RFC 4180, with a header.
    Csv,
}

/// A question with all that bears on its answer.
#[derive(Debug, Clone)]
pub struct Request<Tz: TimeZone> {
    pub question: Question,
    /// Connections and lookups from this time on; nanoseconds since 1970.
    pub since: Option<i64>,
    /// Connections and lookups before this time; nanoseconds since 1970.
    pub until: Option<i64>,
    pub format: Format,
    /// The columns of the terminal; none where the table goes elsewhere, and
    /// nothing is to be cut.
    pub width: Option<usize>,
    /// The time of asking, in the zone in which times are shown.
    pub now: DateTime<Tz>,
    /// Since when the one who asks has waited; none where nobody is told how long.
    pub begun: Option<Instant>,
}

impl<Tz: TimeZone> Request<Tz>
where
    Tz::Offset: Display,
{
    /// The SQL that answers the question, to be run as it is by any SQLite.
    pub fn sql(&self) -> String {
        self.sql_with(true)
    }

    /// The same, from sums only where the history has them.
    fn sql_with(&self, sums: bool) -> String {
        let (since, until) = self.question.span(self.since, self.until);
        let zone = Zone::over(&self.now, since, until);
        sql::statement(&self.question, since, until, &zone, sums) + ";"
    }

    /// Writes the answer to `out`, and beside a table what it is worth to
    /// `notes`: how much was found, in what time, and what egrets did not see.
    /// Whether anything was found.
    ///
    /// # Errors
    ///
    /// When `since` is not before `until`, SQLite's, and those of the writers.
    pub fn run(&self, db: &Connection, out: &mut dyn Write, notes: &mut dyn Write) -> Result<bool> {
        let now = when::to_ns(self.now.to_utc());
        let (since, until) = self.question.span(self.since, self.until);
        check_span(since, until, now)?;
        // One snapshot, so that the notes are about the rows.
        let db = db.unchecked_transaction()?;
        check_views(&db, Some(&self.question))?;
        let sums = has_column(&db, sql::sums::total(self.question.from), "start_ts")?;
        let mut statement = db.prepare(&self.sql_with(sums))?;
        let mut rows = statement.query([])?;
        match self.format {
            Format::Json => lines::all(RowFormat::JsonLines, &mut rows, out),
            Format::Csv => lines::all(RowFormat::Csv, &mut rows, out),
            Format::Table => {
                let found = answer::table(&self.question, &mut rows, &self.now)?;
                // Not with the time that a pager takes to read it.
                let took = self.begun.map(|begun| begun.elapsed());
                let coverage = Coverage::read(&db, since, until, now)?;
                let compared = since
                    .filter(|_| self.question.new && coverage.any_recording)
                    .map(|since| Compared::read(&db, since, now))
                    .transpose()?;
                let hints = match found.is_none() && sums {
                    true => meant::hints(&db, &self.question)?,
                    false => Vec::new(),
                };
                // Who reads in a pager holds no snapshot: see steps.rs.
                drop(rows);
                drop(statement);
                drop(db);
                let narrow = match &found {
                    Some((table, _)) => table.write(self.width, out)?,
                    None => Vec::new(),
                };
                // Both may go to one terminal: the table comes first.
                out.flush()?;
                let counted = found.as_ref().map(|(_, counted)| counted.as_str());
                self.note(counted, took, &coverage, notes)?;
                for hint in hints {
                    writeln!(notes, "note: {hint}")?;
                }
                if let Some(compared) = compared {
                    writeln!(notes, "note: {compared}")?;
                }
                if !narrow.is_empty() {
                    let gone = narrow.join(", ");
                    writeln!(notes, "note: this terminal is too narrow for {gone}")?;
                }
                Ok(found.is_some())
            }
        }
    }

    /// Says what was found, and what may be missing.
    fn note(
        &self,
        counted: Option<&str>,
        took: Option<Duration>,
        coverage: &Coverage,
        notes: &mut dyn Write,
    ) -> Result<()> {
        match counted {
            Some(counted) => write!(notes, "\n{counted}")?,
            None if !coverage.any_recording => {
                write!(notes, "nothing found: this history holds no recording")?;
            }
            None => {
                let span = self.span(coverage);
                let what = match (coverage.is_void(), coverage.is_complete()) {
                    (true, _) => "nothing found: egrets was not recording",
                    (_, true) => "nothing found: egrets was watching all the time",
                    _ => "nothing found, but egrets was not seeing everything",
                };
                write!(notes, "{what} {span}")?;
            }
        }
        match took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)) {
            Some(us) => writeln!(notes, "; took {}", human::duration(us))?,
            None => writeln!(notes)?,
        }
        // Where nothing was recorded, all is said.
        if counted.is_some() || !coverage.is_void() {
            for note in coverage.notes() {
                writeln!(notes, "note: {note}")?;
            }
            if let Some(ended) = coverage.ended {
                let ended = DateTime::<Utc>::from_timestamp_nanos(ended)
                    .with_timezone(&self.now.timezone());
                writeln!(
                    notes,
                    "note: recorded until {}",
                    ended.format("%Y-%m-%d %H:%M:%S")
                )?;
            }
        }
        Ok(())
    }

    /// The span asked about, in words.
    fn span(&self, coverage: &Coverage) -> String {
        let zone = self.now.timezone();
        let times = [coverage.from, coverage.to]
            .map(|ns| DateTime::<Utc>::from_timestamp_nanos(ns).with_timezone(&zone));
        let mut offsets = times
            .each_ref()
            .map(|time| time.offset().fix().local_minus_utc())
            .to_vec();
        offsets.dedup();
        let [from, to] = times.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string());
        format!("from {from} to {to} ({})", zone_name(offsets))
    }
}

/// Refuses a span that holds no time.
fn check_span(since: Option<i64>, until: Option<i64>, now: i64) -> Result<()> {
    ensure!(
        since.is_none_or(|since| since < until.unwrap_or(now)),
        "the time asked about ends before it begins: its beginning has to lie before its end, and before now; \
         a time of day is today's unless its day stands before it: \"yesterday 9:00\""
    );
    Ok(())
}

/// A view, with a column of it, that an older egrets did not make, and what is asked with it.
type Needed = (&'static str, &'static str, &'static str);

const NEEDS_LOOKUPS: Needed = ("lookups", "pod", "lookups");
const NEEDS_ANCESTORS: Needed = ("ancestors", "process_id", "descendants");
const NEEDS_SUMS: Needed = ("egress_total", "process_id", "a process and its children");
const NEEDS_LOOKUP_SUMS: Needed = ("lookups_total", "process_id", "a process and its children");

/// Refuses a history that lacks the views which a question is about.
fn check_views(db: &Connection, question: Option<&Question>) -> Result<()> {
    let Some(question) = question else {
        return Ok(());
    };
    if question.from == From::Lookups {
        check_view(db, NEEDS_LOOKUPS)?;
    }
    if question.about_descendants() {
        check_view(db, NEEDS_ANCESTORS)?;
    }
    let tree = |only: &Only| matches!(only, Only::By(Subject::Tree(_)));
    if question.only.iter().any(tree) {
        check_view(db, NEEDS_SUMS)?;
        if question.from == From::Lookups {
            check_view(db, NEEDS_LOOKUP_SUMS)?;
        }
    }
    Ok(())
}

fn has_column(db: &Connection, view: &str, column: &str) -> Result<bool> {
    let has = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
    Ok(db.prepare(has)?.exists([view, column])?)
}

fn check_view(db: &Connection, (view, column, about): Needed) -> Result<()> {
    ensure!(
        has_column(db, view, column)?,
        "an older egrets wrote this history, and it can't be asked about {about} yet: \
         'sudo egrets record --for 1s' brings it up to date"
    );
    Ok(())
}
