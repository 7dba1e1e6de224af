//! `egrets query`: answers a question in plain English from the history.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, Local};
use rusqlite::Connection;

use super::{pager, prompt};
use crate::cli::{QueryArgs, SqlArg};
use crate::query::{self, Engine, OutputFormat, Request};
use crate::store;

pub fn run(args: &QueryArgs) -> Result<ExitCode> {
    if args.question.is_empty() && std::io::stdin().is_terminal() {
        return ask_many(args);
    }
    let begun = Instant::now();
    let mut request = request(args, &args.question.join(" "), begun)?;
    if let Some(SqlArg::Duckdb) = args.sql {
        note_typos(&mut request, None)?;
        print_sql(&request.sql_of_dataset(Engine::DuckDb)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    if args.sql.is_some() {
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
    let db = store::open_reader(&path)?;
    Ok(match answer(request, &db, &path)? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// Answers questions that are typed at a prompt.
fn ask_many(args: &QueryArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    eprintln!("Ask in plain English, such as: what did curl talk to today. Ctrl-D leaves.");
    prompt::run(path.clone(), |question| {
        let mut request = request(args, question, Instant::now())?;
        if args.sql == Some(SqlArg::Duckdb) {
            note_typos(&mut request, None)?;
            return print_sql(&request.sql_of_dataset(Engine::DuckDb)?);
        }
        if args.sql.is_some() {
            note_typos(&mut request, Some(&db))?;
            return print_sql(&request.sql_for(&db)?);
        }
        answer(request, &db, &path).map(drop)
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
    let question = match args.sql {
        Some(SqlArg::Duckdb) => query::parse_of_machines(question, &now)?,
        _ => query::parse(question, &now)?,
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
fn answer(mut request: Request<Local>, db: &Connection, path: &Path) -> Result<bool> {
    // above the answer, also where that goes through a pager
    note_typos(&mut request, Some(db))?;
    let run = |out: &mut dyn Write, notes: &mut dyn Write| {
        let found = request.run(db, out, notes);
        found.map_err(|e| store::of_file(e, path))
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
