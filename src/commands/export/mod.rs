//! `egrets export`: writes rows of the history to files for other engines.

mod files;
#[cfg(feature = "parquet")]
mod parquet;

#[cfg(feature = "parquet")]
pub use parquet::{labels, written};

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Local};
use rusqlite::Connection;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{ExportArgs, FormatArg, Split};
use crate::dataset;
use crate::human;
use crate::query::{self, Engine, Export, Question, RowFormat, View};
use crate::store;
use crate::when;
use files::{Files, Target};

/// SQLite VM instructions (a few microseconds) between checks for a signal.
const CHECK_EVERY: i32 = 1000;

/// SQLite's cache in KiB. Each row refers to what it has in common with others, in tables that its
/// default of 2 MiB does not hold: pages would be read anew for each row.
const CACHE_KIB: i32 = 64 << 10;

pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    if let Some(engine) = args.ddl {
        return print_views(&args.output, engine.into());
    }
    let begun = Instant::now();
    let now = Local::now();
    let question = match args.question.is_empty() {
        true => None,
        false => Some(query::parse(&args.question.join(" "), &now)?),
    };
    let format = match args.format {
        Some(FormatArg::Parquet) => return parquet(args, question, &now, begun),
        Some(FormatArg::Jsonl) => RowFormat::JsonLines,
        Some(FormatArg::Csv) => RowFormat::Csv,
        None => format_of(&args.output)?,
    };
    ensure!(
        args.split != Some(Split::Hour),
        "--split hour goes with --format parquet"
    );
    ensure!(
        args.machine.is_none(),
        "--machine goes with --format parquet"
    );
    let export = Export::new(
        args.view.map(View::from),
        question,
        args.span.between(&now)?,
    )?;
    let to_stdout = args.output == Path::new("-");
    let target = match (to_stdout, args.split) {
        (true, _) => Target::Stdout,
        (_, None) => Target::File(args.output.clone()),
        (_, Some(_)) => Target::Days {
            directory: args.output.clone(),
            name: export.view().name(),
            format,
        },
    };
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let mut db = store::open_reader(&path)?;
    // Standard output needs no clean-up, so signals keep their default action.
    let stop = match to_stdout {
        true => Arc::default(),
        false => stop_by_signal(&mut db)?,
    };
    let mut files = Files::new(target, args.force)?;
    let (rows, notes) = match export.run(&db, when::to_ns(now.to_utc()), format, &mut files) {
        Ok(done) => done,
        Err(e) => {
            drop(files);
            end_by_signal(&stop, "no files were written")?;
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

/// Lets a signal interrupt SQLite, so that files can be removed. Returns which signal came.
fn stop_by_signal(db: &mut Connection) -> Result<Arc<AtomicUsize>> {
    let stop = signals()?;
    interrupt_by_signal(db, &stop)?;
    Ok(stop)
}

/// Which signal to end came; 0: none.
pub fn signals() -> Result<Arc<AtomicUsize>> {
    let stop = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
    }
    Ok(stop)
}

/// Lets SQLite end what it does once `stop` is a signal, and gives it the memory to read many rows.
pub fn interrupt_by_signal(db: &mut Connection, stop: &Arc<AtomicUsize>) -> Result<()> {
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let came = Arc::clone(stop);
    db.progress_handler(CHECK_EVERY, Some(move || came.load(Ordering::Relaxed) != 0))?;
    Ok(())
}

/// Ends the process by the signal that came, if one did.
fn end_by_signal(stop: &AtomicUsize, left: &str) -> Result<()> {
    let signal = stop.load(Ordering::Relaxed);
    if signal != 0 {
        eprintln!("egrets: stopped by a signal; {left}");
        // So that the parent sees the signal in the wait status.
        signal_hook::low_level::emulate_default_handler(signal as i32)?;
    }
    Ok(())
}

/// The format that a file's name implies.
///
/// # Errors
///
/// That of a format that is no single file.
fn format_of(output: &Path) -> Result<RowFormat> {
    let is = |extension: &str| {
        output
            .extension()
            .is_some_and(|is| is.eq_ignore_ascii_case(extension))
    };
    ensure!(
        !is("parquet"),
        "Parquet files go into a directory, by day and machine: --format parquet --output DIRECTORY"
    );
    Ok(match is("csv") {
        true => RowFormat::Csv,
        false => RowFormat::JsonLines,
    })
}

/// Writes a dataset.
#[cfg(feature = "parquet")]
fn parquet(
    args: &ExportArgs,
    question: Option<Question>,
    now: &DateTime<Local>,
    begun: Instant,
) -> Result<ExitCode> {
    parquet::run(args, question, now, begun)
}

#[cfg(not(feature = "parquet"))]
fn parquet(
    _: &ExportArgs,
    _: Option<Question>,
    _: &DateTime<Local>,
    _: Instant,
) -> Result<ExitCode> {
    Err(without_parquet())
}

#[cfg(not(feature = "parquet"))]
pub fn without_parquet() -> anyhow::Error {
    anyhow::anyhow!(
        "this build can't write Parquet: it was compiled without the feature \"parquet\", which the \
         packages have. 'make static', or 'cargo build --release --features parquet', builds it"
    )
}

/// Prints the views of a dataset.
fn print_views(dataset: &Path, engine: Engine) -> Result<ExitCode> {
    let place = dataset
        .to_str()
        .context("the dataset's path is not UTF-8")?;
    // An engine may run in any directory; a URL is one everywhere.
    let place = match place.contains("://") {
        true => place.to_owned(),
        false => {
            let path = std::path::absolute(dataset)?;
            path.to_string_lossy().into_owned()
        }
    };
    let mut out = std::io::stdout();
    out.write_all(dataset::views(engine, &place)?.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
