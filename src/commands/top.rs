//! `egrets top`: who talks to whom now, on a terminal.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use chrono::Local;
use rusqlite::Connection;

#[cfg(feature = "record")]
use super::own_capture::OwnCapture;
use crate::cli::TopArgs;
use crate::query::Filter;
use crate::store::{self, Status};
use crate::top::{self, Settings, Source};
use crate::when;

/// A history that a recorder writes to.
struct History(PathBuf);

impl Source for History {
    fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self) -> Result<Connection> {
        store::open_reader(&self.0)
    }

    fn is_recorded(&self) -> bool {
        store::recorder_runs(&self.0)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        super::identity(&self.0)
    }
}

pub fn run(args: &TopArgs) -> Result<ExitCode> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    ensure!(
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb,
        "'egrets top' needs a terminal that can show a full screen; elsewhere, 'egrets query' answers \
         questions and 'egrets watch' prints events as they come"
    );
    let now = Local::now();
    let since = args.since(&now)?;
    let filter = args.question.join(" ");
    if !filter.trim().is_empty() {
        Filter::parse(&filter, &now).context("the question can't be a filter")?;
    }
    super::read_as_the_caller()?;
    let history = History(super::readers_db(&args.db));
    #[cfg(feature = "record")]
    let own = own_capture(args, &history)?;
    #[cfg(feature = "record")]
    let history = own.as_ref().map_or(history, |own| History(own.db()));
    let db = history.open()?;
    if since.is_none() && !history.is_recorded() {
        bail!("{}", not_recording(&db, &history.0)?);
    }
    let path = history.0.clone();
    let settings = Settings {
        since: since.unwrap_or_else(when::now_ts),
        filter,
        color: super::color_allowed(),
    };
    top::run(Box::new(history), db, settings).map_err(|e| store::of_file(e, &path))?;
    Ok(ExitCode::SUCCESS)
}

/// Where no recorder runs, root's own: unless it is about a file, or about what is recorded.
#[cfg(feature = "record")]
fn own_capture(args: &TopArgs, history: &History) -> Result<Option<OwnCapture>> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || args.db.db.is_some() || args.has_since() || history.is_recorded() {
        return Ok(None);
    }
    log::info!("no recorder runs: recording for as long as top runs; nothing of it is kept");
    let own = OwnCapture::start().context("no recorder runs, and top can't record itself")?;
    Ok(Some(own))
}

/// Why there is nothing to see.
fn not_recording(db: &Connection, path: &Path) -> Result<String> {
    let last = Status::read(db, path)?.last;
    let last = last.map_or("has no recording".to_owned(), |last| {
        format!("was recorded until {}", super::local(last.end_ts))
    });
    Ok(format!(
        "no recorder runs: {} {last}; start one with 'sudo egrets record', or show what there is with \
         'egrets top --since 1h'",
        path.display()
    ))
}
