//! `egrets query`: a question in plain English, answered from the history.

use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use chrono::{DateTime, Local};

use crate::cli::QueryArgs;
use crate::query::{self, Format, Request};
use crate::store;
use crate::when;

pub fn run(args: &QueryArgs) -> Result<ExitCode> {
    let begun = Some(Instant::now());
    let now = Local::now();
    let question = query::parse(&args.question.join(" "), &now)?;
    let request = Request {
        question,
        since: time(args.since.as_deref(), "--since", &now)?,
        until: time(args.until.as_deref(), "--until", &now)?,
        format: match (args.json, args.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Table,
        },
        width: width(),
        now,
        begun,
    };
    let mut out = BufWriter::new(std::io::stdout());
    if args.sql {
        writeln!(out, "{}", request.sql())?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    super::read_as_the_caller()?;
    let db = store::open_reader(&super::readers_db(&args.db))?;
    let found = request.run(&db, &mut out, &mut std::io::stderr())?;
    out.flush()?;
    Ok(if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn time(text: Option<&str>, option: &str, now: &DateTime<Local>) -> Result<Option<i64>> {
    text.map(|text| when::parse(text, now).map(when::to_ns))
        .transpose()
        .with_context(|| option.to_string())
}

/// The terminal's columns; none where the output goes elsewhere.
fn width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
