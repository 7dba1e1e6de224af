//! `egrets export --format parquet`: rows of the history as a part of a dataset.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use chrono::{DateTime, Local};

use super::{end_by_signal, stop_by_signal};
use crate::cli::{self, ExportArgs};
use crate::dataset::{Encoder, Identity, Label, Split, TABLES, Writer};
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
    let span = args.span.between(now)?;
    let views = match (args.view, &question) {
        (None, None) => TABLES.map(Some).to_vec(),
        (view, _) => vec![view.map(View::from)],
    };
    let exports = views
        .into_iter()
        .map(|view| Export::new(view, question.clone(), span));
    let exports = exports.collect::<Result<Vec<_>>>()?;
    let labels = args.label.iter().map(|label| label.parse::<Label>());
    let labels = labels.collect::<Result<Vec<_>, _>>();
    let labels = labels.map_err(|e| anyhow!("--label: {e}"))?;
    let split = match args.split {
        Some(cli::Split::Hour) => Split::Hour,
        _ => Split::Day,
    };
    super::super::read_as_the_caller()?;
    let path = super::super::readers_db(&args.db);
    let mut db = store::open_reader(&path)?;
    let identity = Identity::read(&db, args.machine.as_deref(), &labels);
    let identity = identity.map_err(|e| store::of_file(e, &path))?;
    let stop = stop_by_signal(&mut db)?;
    let now = when::to_ns(now.to_utc());
    let (mut rows, mut files, mut bytes, mut notes) = (0, 0, 0, Vec::new());
    for export in exports {
        let encoder = Encoder::new(export.view(), &export.columns(&db)?, identity.clone());
        let mut encoder = encoder.map_err(|e| store::of_file(e, &path))?;
        let sources = encoder.sources().to_vec();
        let schema = encoder.schema();
        let identity = identity.clone();
        let mut writer = Writer::new(
            &args.output,
            export.view(),
            schema,
            identity,
            split,
            args.force,
        )?;
        let read = export.read(
            &db,
            now,
            &sources,
            split.period(),
            &mut encoder,
            |period, batch| writer.write(period, &batch),
        );
        let read = read.and_then(|read| {
            let last = span.1.map_or(now, |until| until.min(now)) - 1;
            writer.finish(last.div_euclid(split.period()))?;
            Ok(read)
        });
        let (read, said) = match read {
            Ok(read) => read,
            Err(e) => {
                drop(writer);
                end_by_signal(&stop, "the files that it has written are complete")?;
                return Err(store::of_file(e, &path));
            }
        };
        rows += read;
        files += writer.files;
        bytes += writer.bytes;
        for note in said {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    eprintln!(
        "{} in {}, {}; took {}",
        human::count(number(rows), "row", "rows"),
        human::count(number(files), "file", "files"),
        human::bytes(number(bytes)),
        human::duration(took)
    );
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(match rows {
        0 => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    })
}
