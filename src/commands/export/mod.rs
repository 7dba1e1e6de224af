//! `egrets export`: writes rows of the history to files for other engines.

mod files;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use chrono::Local;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{ExportArgs, Split};
use crate::human;
use crate::query::{self, Export, RowFormat, View};
use crate::store;
use crate::when;
use files::{Files, Target};

/// SQLite VM instructions (a few microseconds) between checks for a signal.
const CHECK_EVERY: i32 = 1000;

pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let now = Local::now();
    let question = match args.question.is_empty() {
        true => None,
        false => Some(query::parse(&args.question.join(" "), &now)?),
    };
    let format = args
        .format
        .map_or_else(|| format_of(&args.output), RowFormat::from);
    let export = Export::new(
        args.view.map(View::from),
        question,
        args.span.between(&now)?,
        format,
    )?;
    let to_stdout = args.output == Path::new("-");
    let target = match (to_stdout, args.split) {
        (true, _) => Target::Stdout,
        (_, None) => Target::File(args.output.clone()),
        (_, Some(Split::Day)) => Target::Days {
            directory: args.output.clone(),
            name: export.view().name(),
            format,
        },
    };
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let mut db = store::open_reader(&path)?;
    let stop = Arc::new(AtomicUsize::new(0));
    // Standard output needs no clean-up, so signals keep their default action.
    if !to_stdout {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
        }
        let stop = Arc::clone(&stop);
        db.progress_handler(CHECK_EVERY, Some(move || stop.load(Ordering::Relaxed) != 0))?;
    }
    let mut files = Files::new(target, args.force)?;
    let (rows, notes) = match export.run(&db, when::to_ns(now.to_utc()), &mut files) {
        Ok(done) => done,
        Err(e) => {
            drop(files);
            let signal = stop.load(Ordering::Relaxed);
            if signal != 0 {
                eprintln!("egrets: stopped by a signal; no files were written");
                // So that the parent sees the signal in the wait status.
                signal_hook::low_level::emulate_default_handler(signal as i32)?;
            }
            return Err(store::of_file(e, &path));
        }
    };
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

/// The format that a file's name implies.
fn format_of(output: &Path) -> RowFormat {
    match output.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => RowFormat::Csv,
        _ => RowFormat::JsonLines,
    }
}
