//! `egrets report`: a history as a page, as Markdown or as JSON.

use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use chrono::{DateTime, Local};
use rusqlite::Connection;

use super::output;
use crate::cli::ReportArgs;
use crate::query::{self, Host};
use crate::report::{Baseline, Report, Wanted, markdown, page};
use crate::{store, when};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Page,
    Markdown,
    Json,
}

pub fn run(args: &ReportArgs) -> Result<ExitCode> {
    let now = Local::now();
    let format = format(args);
    let to_file = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    if format == Format::Page && args.output.is_none() && std::io::stdout().is_terminal() {
        bail!(
            "a page is for a browser: -o report.html writes it to a file; --markdown shows the \
             report here"
        );
    }
    if let Some(path) = to_file {
        output::check(path, args.force, "a file, or - for standard output")?;
    }
    super::read_as_the_caller()?;
    let report = read(args, &now)?;
    let text = match format {
        Format::Page => page(&report, Local)?,
        Format::Markdown => markdown(&report, Local),
        Format::Json => serde_json::to_string(&report)? + "\n",
    };
    match to_file {
        Some(path) => output::write(path, args.force, &text)?,
        None => {
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked for, or what the file's name implies.
fn format(args: &ReportArgs) -> Format {
    let extension = args.output.as_deref().and_then(Path::extension);
    let is = |name: &str| extension.is_some_and(|found| found.eq_ignore_ascii_case(name));
    match (args.markdown, args.json) {
        (true, _) => Format::Markdown,
        (_, true) => Format::Json,
        _ if is("md") || is("markdown") => Format::Markdown,
        _ if is("json") => Format::Json,
        _ => Format::Page,
    }
}

fn read(args: &ReportArgs, now: &DateTime<Local>) -> Result<Report> {
    let text = (!args.question.is_empty()).then(|| args.question.join(" "));
    let question = query::parse(text.as_deref().unwrap_or("connections"), now)?;
    let (since, until) = args.span.between(now)?;
    let hosts = args.hosts.iter().map(|host| {
        Host::parse(host, false)
            .map_err(|why| anyhow!("--host {}: {why}", crate::text::printable(host)))
    });
    let hosts = hosts.collect::<Result<Vec<_>>>()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let other = match &args.baseline {
        Some(other) => Some((open_baseline(other, &path)?, other)),
        None => None,
    };
    let wanted = Wanted {
        text,
        question,
        hosts,
        since,
        until,
        now: when::to_ns(now.to_utc()),
        baseline: other.as_ref().map(|(db, path)| Baseline { db, path }),
    };
    Report::read(&db, wanted).map_err(|e| store::of_file(e, &path))
}

fn open_baseline(other: &Path, path: &Path) -> Result<Connection> {
    let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    ensure!(
        id(other).is_none() || id(other) != id(path),
        "--baseline {} is the history of the report itself: give another one, such as a copy from \
         the last run, or --since TIME to compare with what was recorded before",
        other.display()
    );
    store::open_reader(other).context("--baseline")
}
