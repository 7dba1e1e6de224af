//! The files of a dataset: one per table, day or hour, and history.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::encoder::Encoder;
use super::identity::{Identity, Machine};
use super::place::Place;
use super::writer::{Writer, Written};
use crate::query::{Export, View};

/// How rows are split into files, by their times in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Day,
    Hour,
}

impl Split {
    /// Its length in nanoseconds.
    pub fn period(self) -> i64 {
        match self {
            Split::Day => 86_400_000_000_000,
            Split::Hour => 3_600_000_000_000,
        }
    }
}

/// Whether a file may replace one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It is an error if there is one.
    Never {
        exists: bool,
    },
    Always,
    /// Unless that has more rows than it: retention has removed some since then.
    UnlessFewer(u64),
}

/// What is known of the rows that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The history has all until then, nanoseconds since 1970.
    pub until: i64,
    /// The dataset has all rows of the table with ids up to this one.
    pub complete_id: Option<i64>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There are no such rows, and so no file.
    Empty,
    /// The file that was there has more rows, and is left.
    Kept,
    /// With its size in bytes.
    Written(Written, u64),
}

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Tally {
    /// Counts a file with its rows and its size in bytes.
    pub fn add(&mut self, rows: u64, bytes: u64) {
        self.files += 1;
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// A file: the rows of a table and of a period.
pub struct Part<'a> {
    /// All rows of the table that are wanted.
    pub export: &'a Export,
    pub split: Split,
    /// Periods since 1970.
    pub period: i64,
    pub identity: Identity,
}

impl<'a> Part<'a> {
    /// The file that has the rows of a time, nanoseconds since 1970.
    pub fn at(export: &'a Export, split: Split, machine: &Machine, ts: i64) -> Part<'a> {
        Part {
            export,
            split,
            period: ts.div_euclid(split.period()),
            identity: machine.at(ts),
        }
    }

    /// The files of all periods that have rows of the view, in the order of time.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn all(
        db: &Connection,
        export: &'a Export,
        split: Split,
        machine: &Machine,
    ) -> Result<Vec<Part<'a>>> {
        let mut parts = Vec::new();
        let mut next = i64::MIN;
        while let Some(ts) = export.first_from(db, next)? {
            let part = Part::at(export, split, machine, ts);
            next = part.span().1;
            parts.push(part);
        }
        Ok(parts)
    }

    /// The file that would have all rows of its day.
    pub fn of_day(&self) -> Part<'a> {
        Part {
            export: self.export,
            split: Split::Day,
            period: self.span().0.div_euclid(Split::Day.period()),
            identity: self.identity.clone(),
        }
    }

    /// Whether all rows of its period are wanted.
    pub fn is_all(&self) -> bool {
        let (start, end) = self.span();
        self.export.has_all(start, end)
    }

    /// Inclusive start and exclusive end, nanoseconds since 1970.
    pub fn span(&self) -> (i64, i64) {
        let length = self.split.period();
        let start = self.period.saturating_mul(length);
        (start, start.saturating_add(length))
    }

    /// The directory that it is in.
    pub fn directory(&self) -> String {
        let start = DateTime::<Utc>::from_timestamp_nanos(self.span().0);
        format!(
            "{}/day={}/machine={}",
            table(self.export.view()),
            start.format("%Y-%m-%d"),
            self.identity.machine
        )
    }

    /// Its name there.
    pub fn name(&self) -> String {
        let history = &self.identity.history;
        let start = DateTime::<Utc>::from_timestamp_nanos(self.span().0);
        match self.split {
            Split::Day => format!("{history}.parquet"),
            Split::Hour => format!("{history}-{}.parquet", start.format("%H")),
        }
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.directory(), self.name())
    }

    /// Those of the names in its directory that are files of hours of this history.
    pub fn hours(&self, names: &[String]) -> Vec<String> {
        let prefix = format!("{}-", self.identity.history);
        let is_hour = |name: &&String| name.starts_with(&prefix);
        names.iter().filter(is_hour).cloned().collect()
    }

    /// Refuses to write rows by the day where those of this history are by the hour, or the other
    /// way round: they would be there twice.
    ///
    /// # Errors
    ///
    /// There are such.
    pub fn check_split(&self, place: &Place, names: &[String]) -> Result<()> {
        let (option, theirs) = match self.split {
            Split::Day => ("hour", format!("{}-", self.identity.history)),
            Split::Hour => ("day", format!("{}.", self.identity.history)),
        };
        if let Some(name) = names.iter().find(|name| name.starts_with(&theirs)) {
            let path = format!("{}/{name}", self.directory());
            anyhow::bail!(
                "{} has this history's rows by the {option}: go on with --split {option}, or remove it",
                place.full(&path)
            );
        }
        Ok(())
    }

    /// Writes the file. Whether its rows are there otherwise split is for the caller to check, who
    /// has listed the directory.
    ///
    /// # Errors
    ///
    /// A file of that name, if it may not be replaced; SQLite's; a full disk, for example: then no
    /// file is left of it.
    pub fn write(
        &self,
        db: &Connection,
        place: &Place,
        known: Known,
        replace: Replace,
    ) -> Result<Outcome> {
        let (start, end) = self.span();
        let path = self.path();
        let export = self.export.within(start, end);
        let mut encoder = Encoder::new(export.view(), &export.columns(db)?, self.identity.clone())?;
        let (schema, sources) = (encoder.schema(), encoder.sources().to_vec());
        let mut writer = None;
        let rows = export.read(
            db,
            &sources,
            self.split.period(),
            &mut encoder,
            |_, rows| {
                let writer = match &mut writer {
                    Some(writer) => writer,
                    None => {
                        ensure!(
                            replace != Replace::Never { exists: true },
                            "{} exists; --force replaces it",
                            place.full(&path)
                        );
                        let new = Writer::new(place, &path, &schema, &self.identity);
                        writer.insert(new.with_context(|| place.cannot_write(&path))?)
                    }
                };
                writer
                    .write(&rows)
                    .with_context(|| place.cannot_write(&path))
            },
        )?;
        let Some(writer) = writer else {
            return Ok(Outcome::Empty);
        };
        if matches!(replace, Replace::UnlessFewer(before) if rows < before) {
            return Ok(Outcome::Kept);
        }
        let written = Written {
            read_ts: self.is_all().then_some(known.until),
            rows,
            unfinished: encoder.unfinished(),
            complete_id: known.complete_id,
        };
        let replace = !matches!(replace, Replace::Never { .. });
        let bytes = complete(place, &path, writer, &written, replace)?;
        Ok(Outcome::Written(written, bytes))
    }

    /// Writes a file without rows, if the table has no file: engines read no table that has none.
    /// Its size in bytes, if it did.
    ///
    /// # Errors
    ///
    /// As [`Part::write`].
    pub fn write_first(&self, db: &Connection, place: &Place) -> Result<Option<u64>> {
        if !place.names(table(self.export.view()).as_str())?.is_empty() {
            return Ok(None);
        }
        let path = self.path();
        let view = self.export.view();
        let encoder = Encoder::new(view, &self.export.columns(db)?, self.identity.clone())?;
        let writer = Writer::new(place, &path, &encoder.schema(), &self.identity)
            .with_context(|| place.cannot_write(&path))?;
        let written = Written {
            read_ts: None,
            rows: 0,
            unfinished: 0,
            complete_id: None,
        };
        complete(place, &path, writer, &written, true).map(Some)
    }
}

/// The directory of a table.
pub fn table(view: View) -> String {
    format!("table={}", view.name())
}

fn complete(
    place: &Place,
    path: &str,
    writer: Writer,
    written: &Written,
    replace: bool,
) -> Result<u64> {
    writer
        .finish(written)
        .and_then(|unnamed| place.name(unnamed, path, replace))
        .with_context(|| place.cannot_write(path))
}
