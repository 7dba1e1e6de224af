//! `egrets query`: answers a question in plain English from the history.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Local};
use rusqlite::Connection;

use super::{pager, prompt};
use crate::cli::{QueryArgs, SqlArg};
use crate::dataset;
use crate::query::{self, Engine, History, OutputFormat, Request};
use crate::store;

pub fn run(args: &QueryArgs) -> Result<ExitCode> {
    if args.question.is_empty() && std::io::stdin().is_terminal() {
        return ask_many(args);
    }
    let begun = Instant::now();
    let mut request = request(args, &args.question.join(" "), begun)?;
    if let Some(engine) = args.sql.and_then(SqlArg::engine) {
        note_typos(&mut request, None)?;
        print_sql(&request.sql_of_dataset(engine)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    if args.sql.is_some() && !is_of_several(&path) {
        // Without a history, names are what they say: a name alone is a process.
        let sql = match store::open_reader(&path) {
            Ok(db) => {
                note_typos(&mut request, Some(&db))?;
                request.sql_for(&db).map_err(|e| store::of_file(e, &path))?
            }
            Err(_) => {
                note_typos(&mut request, None)?;
                request.sql()
            }
        };
        print_sql(&sql)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match answer(request, &Source::of(args, path)?)? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// What questions are put to.
enum Source {
    Histories {
        path: PathBuf,
        db: Connection,
        /// Those that it reads; none if it is one.
        several: Vec<History>,
    },
    /// Statements that create the views over it.
    Dataset { views: String },
}

impl Source {
    fn of(args: &QueryArgs, path: PathBuf) -> Result<Source> {
        if let Some(dataset) = &args.dataset {
            if !dataset.contains("://") && !Path::new(dataset).is_dir() {
                bail!(
                    "there is no dataset at {dataset}: 'egrets export --format parquet' writes one"
                );
            }
            let views = dataset::views(Engine::DuckDb, dataset)?;
            return Ok(Source::Dataset { views });
        }
        match is_of_several(&path) {
            true => Source::several(args, path),
            false => Source::one(path),
        }
    }

    /// What knows the names of a question.
    fn history(&self) -> Option<&Connection> {
        match self {
            Source::Histories { db, .. } => Some(db),
            Source::Dataset { .. } => None,
        }
    }

    fn one(path: PathBuf) -> Result<Source> {
        if path.is_dir() {
            bail!(
                "{0} is a directory: name a history in it, or ask all of them: --db '{0}/*.db'",
                path.display()
            );
        }
        let db = store::open_reader(&path)?;
        let several = Vec::new();
        Ok(Source::Histories { path, db, several })
    }

    /// All files that match a pattern.
    fn several(args: &QueryArgs, pattern: PathBuf) -> Result<Source> {
        if args.sql.is_some() {
            bail!(
                "--sql shows a statement for one history: name one with --db, or ask for \
                 --sql=duckdb, for a dataset"
            );
        }
        let Some(text) = pattern.to_str() else {
            bail!("the pattern {} is not UTF-8", pattern.display());
        };
        let files = glob::glob(text).with_context(|| format!("the pattern {text} is wrong"))?;
        let files = files.collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            bail!("no file matches {text}: name histories with --db");
        }
        let (db, attached) = store::open_readers(&files)?;
        let several = attached.into_iter().map(|of| History {
            schema: of.schema,
            machine: of.machine,
        });
        Ok(Source::Histories {
            path: pattern,
            db,
            several: several.collect(),
        })
    }
}

/// Whether a path is a pattern of names, and not the name of a file.
fn is_of_several(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains(['*', '?', '[']) && std::fs::symlink_metadata(path).is_err()
}

/// Answers questions that are typed at a prompt.
fn ask_many(args: &QueryArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let source = Source::of(args, path.clone())?;
    eprintln!("Ask in plain English, such as: what did curl talk to today. Ctrl-D leaves.");
    prompt::run(path, |question| {
        let mut request = request(args, question, Instant::now())?;
        if let Some(engine) = args.sql.and_then(SqlArg::engine) {
            note_typos(&mut request, None)?;
            return print_sql(&request.sql_of_dataset(engine)?);
        }
        if let (Some(_), Some(db)) = (args.sql, source.history()) {
            note_typos(&mut request, Some(db))?;
            return print_sql(&request.sql_for(db)?);
        }
        answer(request, &source).map(drop)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Says which typos were read as what.
fn note_typos(request: &mut Request<Local>, db: Option<&Connection>) -> Result<()> {
    for read_so in request.settle(db)? {
        eprintln!("note: {read_so}");
    }
    Ok(())
}

fn print_sql(sql: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{sql}")?;
    Ok(out.flush()?)
}

fn request(args: &QueryArgs, question: &str, begun: Instant) -> Result<Request<Local>> {
    let now: DateTime<Local> = Local::now();
    let of_machines = args.sql.and_then(SqlArg::engine).is_some()
        || args.dataset.is_some()
        || args.db.db.as_deref().is_some_and(is_of_several);
    let question = match of_machines {
        true => query::parse_of_machines(question, &now)?,
        false => query::parse(question, &now)?,
    };
    let (since, until) = args.span.between(&now)?;
    Ok(Request {
        question,
        since,
        until,
        format: match (args.json, args.csv) {
            (true, _) => OutputFormat::Json,
            (_, true) => OutputFormat::Csv,
            _ => OutputFormat::Table,
        },
        width: super::terminal_width(),
        now,
        color: std::io::stdout().is_terminal() && super::color_allowed(),
        explain: args.explain,
        limit: args.limit,
        begun: Some(begun),
    })
}

/// Writes the answer; whether anything was found.
fn answer(mut request: Request<Local>, source: &Source) -> Result<bool> {
    // above the answer, also where that goes through a pager
    note_typos(&mut request, source.history())?;
    let run = |out: &mut dyn Write, notes: &mut dyn Write| match source {
        Source::Histories { path, db, several } => {
            let found = request.run_over(db, several, out, notes);
            found.map_err(|e| store::of_file(e, path))
        }
        Source::Dataset { views } => {
            let statement = request.sql_of_dataset(Engine::DuckDb)?;
            request.show(&super::duckdb::answer(views, &statement)?, out, notes)
        }
    };
    match (pager::height(), request.format) {
        (Some(height), OutputFormat::Table) => {
            let (mut table, mut notes) = (Vec::new(), Vec::new());
            let found = run(&mut table, &mut notes)?;
            pager::show(&table, &notes, height)?;
            Ok(found)
        }
        _ => {
            let mut out = BufWriter::new(std::io::stdout());
            let found = run(&mut out, &mut std::io::stderr())?;
            out.flush()?;
            Ok(found)
        }
    }
}
