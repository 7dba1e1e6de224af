//! The commands. Each reads its arguments, connects the stages, and returns its exit status.

#[cfg(feature = "record")]
pub mod alert;
#[cfg(feature = "record")]
pub mod check;
#[cfg(feature = "record")]
mod child;
pub mod complete;
pub mod config;
mod duckdb;
pub mod explain;
pub mod export;
#[cfg(feature = "record")]
mod live;
pub mod man;
mod output;
#[cfg(feature = "record")]
mod own_capture;
mod pager;
pub mod policy;
mod prompt;
pub mod query;
#[cfg(feature = "record")]
pub mod record;
#[cfg(feature = "record")]
mod reload;
pub mod report;
pub mod serve;
pub mod ship;
pub mod status;
pub mod top;
#[cfg(feature = "record")]
pub mod watch;

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{Local, Offset, TimeZone};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::{Cli, DbArgs};
use crate::human;
use crate::privileges::{CapabilitySet, hold_only};
use crate::store::Retention;

/// Refuses a command that needs the recorder, in a build that lacks it.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "record"))]
pub fn unavailable(command: &str) -> Result<std::process::ExitCode> {
    anyhow::bail!(
        "this build only reads histories (query, top, export, report, serve, explain, status, policy), so '{command}' is not \
         available: it was compiled without the feature \"record\". 'make build', or \
         'cargo build --release' without --no-default-features, builds all of egrets"
    )
}

/// What to say of a first word that is no command, if that is what is wrong.
pub fn unknown(error: &clap::Error, first: Option<&OsStr>) -> Option<String> {
    let wrong = matches!(
        error.kind(),
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand
    );
    let word = first?.to_string_lossy();
    let program = Cli::command();
    let commands = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names = Vec::from_iter(commands.map(clap::Command::get_name));
    if !wrong || word.starts_with('-') || program.find_subcommand(&*word).is_some() {
        return None;
    }
    Some(format!(
        "egrets: there is no command '{}'; the commands are {}",
        crate::text::printable(&word),
        names.join(", ")
    ))
}

/// The system's history.
const SYSTEM_DB: &str = "/var/lib/egrets/egrets.db";

/// A user's own history, if the user has a home.
fn user_db() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("egrets/egrets.db"))
}

/// The file to record into.
#[cfg(feature = "record")]
fn recorders_db(args: &DbArgs) -> PathBuf {
    match &args.db {
        Some(path) => path.clone(),
        None if rustix::process::geteuid().is_root() => SYSTEM_DB.into(),
        None => user_db().unwrap_or_else(|| SYSTEM_DB.into()),
    }
}

/// The file that a history is now: its device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Drops the capabilities that setcap(8) gave the program: they are for recording, and reading
/// must respect the file's mode.
fn read_as_the_caller() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    hold_only(CapabilitySet::empty()).context("can't drop the capabilities")
}

/// The terminal's width; none if the output is not a terminal.
fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if !std::io::IsTerminal::is_terminal(&out) {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether a terminal may get colours: unless NO_COLOR is set (no-color.org).
fn color_allowed() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !refused && !dumb
}

/// A history's retention, in words.
fn kept(keep: &Retention) -> String {
    let age = keep.age.map(long);
    let bytes = keep
        .bytes
        .map(|bytes| human::bytes(i64::try_from(bytes).unwrap_or(i64::MAX)));
    let details = match (age, bytes) {
        (Some(age), Some(bytes)) => format!("{age}, {bytes} at most"),
        (Some(age), None) => age,
        (None, Some(bytes)) => format!("{bytes} at most"),
        (None, None) => "everything".to_owned(),
    };
    match keep.summary.map(long) {
        Some(age) => format!("{details}; totals {age}"),
        None => details,
    }
}

fn long(time: Duration) -> String {
    human::duration(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// A time of the history, as the reader's clock has it.
fn local(ts: i64) -> String {
    let time = Local.timestamp_nanos(ts);
    let zone = crate::query::zone_name([time.offset().fix().local_minus_utc()]);
    format!("{} ({zone})", time.format("%Y-%m-%d %H:%M:%S"))
}

/// The file to read: the one that exists. If the system's directory is not accessible, the
/// system's file is assumed to exist, so that the error names it.
fn readers_db(args: &DbArgs) -> PathBuf {
    if let Some(path) = &args.db {
        return path.clone();
    }
    let system = PathBuf::from(SYSTEM_DB);
    let missing = |path: &PathBuf| {
        std::fs::metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    };
    match user_db() {
        Some(user) if missing(&system) && !missing(&user) => user,
        _ => system,
    }
}
