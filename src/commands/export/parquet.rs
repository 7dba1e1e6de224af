//! `egrets export --format parquet`: rows of the history as a part of a dataset.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{DateTime, Local};
use rusqlite::Connection;

use super::{end_by_signal, stop_by_signal};
use crate::cli::{self, ExportArgs};
use crate::dataset::{Known, Label, Machine, Outcome, Part, Place, Replace, Split, TABLES};
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
        replace: match args.force {
            true => Replace::Always,
            false => Replace::Never,
        },
        known: Known {
            until: store::complete_until(&db, &path, now)?,
            complete_id: None,
        },
    };
    // Where a table without rows gets a file.
    let last = span.1.map_or(now, |until| until.min(now)) - 1;
    let (mut done, mut notes) = (Done::default(), Vec::new());
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
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    eprintln!(
        "{} in {}, {}; took {}",
        human::count(number(done.rows), "row", "rows"),
        human::count(number(done.files), "file", "files"),
        human::bytes(number(done.bytes)),
        human::duration(took)
    );
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(match done.rows {
        0 => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
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
    replace: Replace,
    known: Known,
}

/// What was written.
#[derive(Default)]
struct Done {
    rows: u64,
    files: u64,
    bytes: u64,
}

impl Destination<'_> {
    /// Writes the files of a table; one without rows for the time `last` if it has none.
    fn write(&self, db: &Connection, export: &Export, last: i64, done: &mut Done) -> Result<()> {
        let length = self.split.period();
        let part = |ts: i64| Part {
            export,
            split: self.split,
            period: ts.div_euclid(length),
            identity: self.machine.at(ts),
        };
        let mut next = i64::MIN;
        while let Some(ts) = export.first_from(db, next)? {
            let part = part(ts);
            next = part.span().1;
            let outcome = part.write(db, self.place, self.known, self.replace)?;
            if let Outcome::Written(written, bytes) = outcome {
                done.rows += written.rows;
                done.files += 1;
                done.bytes += bytes;
            }
        }
        if let Some(bytes) = part(last).write_first(db, self.place)? {
            done.files += 1;
            done.bytes += bytes;
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
