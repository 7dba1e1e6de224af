//! `egrets export --format parquet`: rows of the history as a part of a dataset.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{DateTime, Local};
use rusqlite::Connection;

use super::{end_by_signal, stop_by_signal};
use crate::cli::{self, ExportArgs};
use crate::dataset::{Known, Label, Machine, Outcome, Part, Place, Replace, Split, TABLES, Tally};
use crate::human;
use crate::query::{Export, Question, View};
use crate::store;
use crate::when;

pub fn run(
    args: &ExportArgs,
    question: Option<Question>,
    now: &DateTime<Local>,
    begun: Instant,
) -> Result<ExitCode> {
    ensure!(
        args.output != Path::new("-"),
        "Parquet files go into a directory, not to standard output: --output DIRECTORY"
    );
    let output = args.output.to_str().context("--output is not UTF-8")?;
    let span = args.span.between(now)?;
    let views = match (args.view, &question) {
        (None, None) => TABLES.map(Some).to_vec(),
        (view, _) => vec![view.map(View::from)],
    };
    let exports = views
        .into_iter()
        .map(|view| Export::new(view, question.clone(), span));
    let exports = exports.collect::<Result<Vec<_>>>()?;
    let labels = labels(&args.label)?;
    super::super::read_as_the_caller()?;
    let path = super::super::readers_db(&args.db);
    let mut db = store::open_reader(&path)?;
    let machine = Machine::read(&db, args.machine.as_deref(), &labels);
    let machine = machine.map_err(|e| store::of_file(e, &path))?;
    let stop = stop_by_signal(&mut db)?;
    let place = Place::open(output, &stop)?;
    let now = when::to_ns(now.to_utc());
    let to = Destination {
        place: &place,
        machine: &machine,
        split: args.split.map_or(Split::Day, Split::from),
        force: args.force,
        known: Known {
            until: store::complete_until(&db, &path, now)?,
            complete_id: None,
        },
    };
    // Where a table without rows gets a file.
    let last = span.1.map_or(now, |until| until.min(now)) - 1;
    let (mut done, mut notes) = (Tally::default(), Vec::new());
    for export in &exports {
        let said = export.notes(&db, now);
        let said = said.map_err(|e| store::of_file(e, &path))?;
        for note in said {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        if let Err(e) = to.write(&db, export, last, &mut done) {
            end_by_signal(&stop, "the files that it has written are complete")?;
            return Err(store::of_file(e, &path));
        }
    }
    let took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    eprintln!("{}; took {}", written(&done), human::duration(took));
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(match done.rows {
        0 => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}

/// What was written, in words.
pub fn written(tally: &Tally) -> String {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    format!(
        "{} in {}, {}",
        human::count(number(tally.rows), "row", "rows"),
        human::count(number(tally.files), "file", "files"),
        human::bytes(number(tally.bytes))
    )
}

/// The labels that --label gives.
///
/// # Errors
///
/// One that is not written as KEY=VALUE.
pub fn labels(given: &[String]) -> Result<Vec<Label>> {
    let labels = given.iter().map(|label| label.parse::<Label>());
    let labels = labels.collect::<Result<Vec<_>, _>>();
    labels.map_err(|e| anyhow!("--label: {e}"))
}

/// Where files are written, and how.
struct Destination<'a> {
    place: &'a Place,
    machine: &'a Machine,
    split: Split,
    /// Whether existing files may be replaced.
    force: bool,
    known: Known,
}

impl Destination<'_> {
    /// Writes the files of a table; one without rows for the time `last` if it has none.
    fn write(&self, db: &Connection, export: &Export, last: i64, done: &mut Tally) -> Result<()> {
        let parts = Part::all(db, export, self.split, self.machine)?;
        let mut any = false;
        for part in &parts {
            let names = self.place.names(&part.directory())?;
            part.check_split(self.place, &names)?;
            let replace = match self.force {
                true => Replace::Always,
                false => Replace::Never {
                    exists: names.contains(&part.name()),
                },
            };
            let outcome = part.write(db, self.place, self.known, replace)?;
            if let Outcome::Written(written, bytes) = outcome {
                done.add(written.rows, bytes);
                any = true;
            }
        }
        if !any {
            let last = Part::at(export, self.split, self.machine, last);
            if let Some(bytes) = last.write_first(db, self.place)? {
                done.add(0, bytes);
            }
        }
        Ok(())
    }
}

impl From<cli::Split> for Split {
    fn from(split: cli::Split) -> Split {
        match split {
            cli::Split::Day => Split::Day,
            cli::Split::Hour => Split::Hour,
        }
    }
}
