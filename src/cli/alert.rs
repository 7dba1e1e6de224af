//! The arguments of `egrets alert`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::values::duration;
use super::{ConfigFileArgs, DbArgs};

#[derive(Debug, Args)]
#[command(after_help = "Each alert is a line on stdout. For example:\n  \
    sudo egrets alert new hosts by unit nginx.service\n  \
    sudo egrets alert --if \"raw IPs\" --if \"lookups of *.onion\" --recorder --journald\n  \
    sudo egrets alert --exec /usr/local/bin/page-me failed connections from user www-data\n\
    It reads the history while a recorder writes to it, and sees what begins after its own start.\n\
    The same is reported once in 10 minutes, and a question 20 times a minute at most.")]
pub struct AlertArgs {
    /// What is worth an alert, e.g. "new hosts by user www-data"
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// Another question; can be repeated
    #[arg(long = "if", value_name = "QUESTION", id = "conditions")]
    pub conditions: Vec<String>,
    /// And a recorder that stops, falls behind or loses events
    #[arg(long)]
    pub recorder: bool,
    /// Print alerts as JSON, one object per line
    #[arg(long)]
    pub json: bool,
    /// Start this program for each alert, with the JSON object on its stdin
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    pub exec: Option<PathBuf>,
    /// Send alerts to systemd's journal
    #[arg(long)]
    pub journald: bool,
    /// Show alerts on the desktop of the user who runs this
    #[arg(long)]
    pub desktop: bool,
    /// Send alerts to this URL: the JSON object is the body of a POST
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub webhook: Option<String>,
    /// File with headers for --webhook that others can't read, such as Authorization: Bearer SECRET
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "webhook")]
    pub webhook_headers: Option<PathBuf>,
    /// Certificate authorities for --webhook in place of the system's (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "webhook")]
    pub webhook_ca: Option<PathBuf>,
    /// Stop after this time, e.g. 60s, 10m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    #[command(flatten)]
    pub db: DbArgs,
    #[command(flatten)]
    pub config: ConfigFileArgs,
}
