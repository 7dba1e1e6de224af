//! `egrets query`: answers a question in plain English from the history.

use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use chrono::Local;

use super::pager;
use crate::cli::QueryArgs;
use crate::query::{self, OutputFormat, Request};
use crate::store;

pub fn run(args: &QueryArgs) -> Result<ExitCode> {
    let begun = Some(Instant::now());
    let now = Local::now();
    let question = query::parse(&args.question.join(" "), &now)?;
    let (since, until) = args.span.between(&now)?;
    let request = Request {
        question,
        since,
        until,
        format: match (args.json, args.csv) {
            (true, _) => OutputFormat::Json,
            (_, true) => OutputFormat::Csv,
            _ => OutputFormat::Table,
        },
        width: width(),
        now,
        color: color(),
        explain: args.explain,
        limit: args.limit,
        begun,
    };
    let mut out = BufWriter::new(std::io::stdout());
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    if args.sql {
        // Without a history, names are what they say: a name alone is a process.
        let sql = match store::open_reader(&path) {
            Ok(db) => request.sql_for(&db).map_err(|e| store::of_file(e, &path))?,
            Err(_) => request.sql(),
        };
        writeln!(out, "{sql}")?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let db = store::open_reader(&path)?;
    let found = match (pager::height(), request.format) {
        (Some(height), OutputFormat::Table) => {
            let (mut table, mut notes) = (Vec::new(), Vec::new());
            let found = request
                .run(&db, &mut table, &mut notes)
                .map_err(|e| store::of_file(e, &path))?;
            pager::show(&table, &notes, height)?;
            found
        }
        _ => request
            .run(&db, &mut out, &mut std::io::stderr())
            .map_err(|e| store::of_file(e, &path))?,
    };
    out.flush()?;
    Ok(if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Whether the output may have colours: on a terminal, unless NO_COLOR is set (no-color.org).
fn color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}

/// The terminal's width; none if the output is not a terminal.
fn width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
