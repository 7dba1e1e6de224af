//! `egrets export`: the rows of the history, as files for other engines.

mod files;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use chrono::Local;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{ExportArgs, Split};
use crate::query::{self, Export, Form, human};
use crate::store;
use crate::when;
use files::{Files, Target};

pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let now = Local::now();
    let question = match args.question.is_empty() {
        true => None,
        false => Some(query::parse(&args.question.join(" "), &now)?),
    };
    let form = args.form.unwrap_or_else(|| by_name(&args.output));
    let export = Export::new(args.view, question, args.span.between(&now)?, form)?;
    let to_stdout = args.output == Path::new("-");
    let target = match (to_stdout, args.split) {
        (true, _) => Target::Stdout,
        (_, None) => Target::File(args.output.clone()),
        (_, Some(Split::Day)) => Target::Days {
            directory: args.output.clone(),
            name: export.view().name(),
            form,
        },
    };
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    // What is unfinished is removed.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut files = Files::new(target, args.force)?;
    let (rows, notes) = export
        .run(&db, when::to_ns(now.to_utc()), &mut files, &stop)
        .map_err(|e| store::of_file(e, &path))?;
    let written = files.finish()?;
    if !to_stdout {
        let took = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        eprintln!(
            "{} in {}, {}; took {}",
            human::count(i64::try_from(rows).unwrap_or(i64::MAX), "row", "rows"),
            human::count(written.files, "file", "files"),
            human::bytes(written.bytes),
            human::duration(took)
        );
        for note in notes {
            eprintln!("note: {note}");
        }
    }
    Ok(if rows > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// The form that a file's name asks for.
fn by_name(output: &Path) -> Form {
    match output.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => Form::Csv,
        _ => Form::Json,
    }
}
