//! The command line, as docs/cli.md promises it.

#[cfg(feature = "record")]
mod alert;
mod config;
mod policy;
#[cfg(not(feature = "record"))]
mod reader;
#[cfg(feature = "record")]
mod record;
mod report;
mod serve;
mod ship;
mod top;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::{DateTime, Local};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::complete::Shell;
use crate::query::{Engine, View};
use crate::when;
#[cfg(feature = "record")]
pub use alert::AlertArgs;
pub use config::*;
pub use policy::*;
#[cfg(not(feature = "record"))]
pub use reader::{AlertArgs, CheckArgs, RecordArgs, WatchArgs};
#[cfg(feature = "record")]
pub use record::{
    CheckArgs, FailOn, HookArgs, JsonSchema, LiveArgs, LogFormat, LogTo, RecordArgs, WatchArgs,
};
pub use report::ReportArgs;
pub use serve::ServeArgs;
pub use ship::ShipArgs;
pub use top::TopArgs;

#[cfg(feature = "record")]
const AFTER_HELP: &str = "Examples:\n  \
    sudo egrets                                      watch live\n  \
    sudo egrets record                               record into the history\n  \
    sudo egrets record --db ci.db -- make test       record a command\n  \
    egrets query what did curl talk to today\n  \
    egrets query --db ci.db which hosts were contacted\n\
    Without a command, egrets watches: see 'egrets watch --help'.\n\
    Exit status: 0 found or done, 1 nothing found, 2 error.";
#[cfg(not(feature = "record"))]
const AFTER_HELP: &str = "Examples:\n  \
    egrets query what did curl talk to today\n  \
    egrets query --db ci.db which hosts were contacted\n\
    This build only reads histories; it cannot record.\n\
    Exit status: 0 found or done, 1 nothing found, 2 error.";

/// Which process, in which container, talked to which hostname, when, how much.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[cfg(feature = "record")]
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print live events without storing them
    #[cfg_attr(not(feature = "record"), command(hide = true))]
    Watch(WatchArgs),
    /// Record into the history, in the background or around a command
    #[cfg_attr(not(feature = "record"), command(hide = true))]
    Record(RecordArgs),
    /// Show who talks to whom now, on a terminal
    Top(TopArgs),
    /// Ask the history a question in plain English
    Query(QueryArgs),
    /// Write rows of the history as JSON lines or CSV, for other engines
    Export(ExportArgs),
    /// Keep a dataset of many machines up to date with the history
    Ship(ShipArgs),
    /// Write the history as a page, or as Markdown for a CI job
    Report(ReportArgs),
    /// Show the report in a browser, live
    Serve(ServeArgs),
    /// Report what questions find from now on
    #[cfg_attr(not(feature = "record"), command(hide = true))]
    Alert(AlertArgs),
    /// Explain why a connection has its name, or none
    Explain(ExplainArgs),
    /// Check a policy, explain it, and try it on the history
    Policy(PolicyArgs),
    /// Check the configuration, and show where each value comes from
    Config(ConfigArgs),
    /// Report which hooks this kernel supports
    #[cfg_attr(not(feature = "record"), command(hide = true))]
    Check(CheckArgs),
    /// Show whether a recorder is running and what the history holds
    Status(StatusArgs),
    /// Print a shell's completion script for commands, questions and names
    Completions(CompletionsArgs),
    /// Write a man page for each command into a directory
    #[command(hide = true)]
    ManPages(ManArgs),
    /// Complete a command line; called by the completion scripts
    #[command(hide = true)]
    CompleteWords(CompleteArgs),
    /// Read files with their users' rights; started by watch and record
    #[cfg(feature = "record")]
    #[command(hide = true)]
    FileReader,
    /// Suspend, kill and dump processes for a policy; started by watch and record
    #[cfg(feature = "record")]
    #[command(hide = true)]
    ProcessControl,
    /// Reset connections for a policy; started by watch and record
    #[cfg(feature = "record")]
    #[command(hide = true)]
    ConnectionReset,
    /// Send notifications for a policy; started by watch and record
    #[cfg(feature = "record")]
    #[command(hide = true)]
    Notifier,
}

#[derive(Debug, Args)]
pub struct DbArgs {
    /// The history file [default: /var/lib/egrets/egrets.db, or
    /// ~/.local/state/egrets/egrets.db if that does not exist]
    #[arg(long, value_name = "FILE", env = "EGRETS_DB", value_hint = ValueHint::FilePath)]
    pub db: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Questions, for example:\n  \
    what did curl talk to today                  which processes hit example.com\n  \
    what is this host talking to right now       who uploaded the most data last night\n  \
    when was example.com last seen               connections from nginx that failed\n  \
    what did pypi.org resolve to                 which names has 192.0.2.7\n  \
    which DNS servers are used                   which lookups failed\n  \
    top 5 hosts by bytes sent                    which hosts were contacted only once\n  \
    connections longer than 10s                  connections not on port 443\n  \
    what changed since yesterday                 which hosts are new since monday\n  \
    connections per hour today                   summary of yesterday\n  \
    what did make and its children talk to       beacons\n  \
    curl                                         example.com\n\
    Who: PROCESS, pid N, container|pod|image|user|unit NAME, children of PROCESS.\n\
    HOST: a name (including its subdomains), *.NAME (subdomains only), an address, a network,\n\
    \"raw IPs\" (addresses without a name), the internet.\n\
    With: on port 443, over udp, https, refused, timed out, to public IPs, and, or, not, except,\n\
    more than 1 MB, ending in .xyz, from 10.0.0.5, per hour.\n\
    Times: since yesterday, in the last 2 hours, last night, this morning, at 3am, between 9:00 and\n\
    10:30, on monday, since boot, 2026-11-23 14:00, RFC 3339.\n\
    Quote a name that contains spaces or is also a word of the question.\n\
    Several histories: --db 'DIR/*.db' which machines hit example.com\n\
    docs/questions.md has all that is understood.")]
pub struct QueryArgs {
    /// e.g. "which processes hit example.com"; without one, a prompt reads questions
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    #[command(flatten)]
    pub span: SpanArgs,
    /// Print one JSON object per line
    #[arg(long, conflicts_with_all = ["csv", "sql"])]
    pub json: bool,
    /// Print CSV with a header
    #[arg(long, conflicts_with = "sql")]
    pub csv: bool,
    /// Print the SQL instead of running it; of another engine, for a dataset of many machines
    /// (docs/fleet.md)
    #[arg(long, value_name = "ENGINE", num_args = 0..=1, require_equals = true, default_missing_value = "sqlite")]
    pub sql: Option<SqlArg>,
    /// Also say how the question was read
    #[arg(long)]
    pub explain: bool,
    /// Show at most this many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Ask a dataset of many machines, in a directory or at a URL, by DuckDB, which has to be
    /// installed (docs/fleet.md)
    #[arg(
        long,
        visible_alias = "lake",
        value_name = "PATH",
        conflicts_with = "sql"
    )]
    pub dataset: Option<String>,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct SpanArgs {
    /// Only connections and lookups that began at or after this time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only connections and lookups that began before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl SpanArgs {
    /// Nanoseconds since 1970.
    ///
    /// # Errors
    /// Text that is not a time.
    pub fn between(&self, now: &DateTime<Local>) -> Result<(Option<i64>, Option<i64>)> {
        let time = |text: &Option<String>, option| {
            let text = text.as_deref();
            text.map(|text| when::parse_start(text, now).map(when::to_ns))
                .transpose()
                .context(option)
        };
        Ok((time(&self.since, "--since")?, time(&self.until, "--until")?))
    }
}

/// `query --sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlArg {
    /// Of a history
    Sqlite,
    /// Of a dataset
    Duckdb,
    Clickhouse,
    Spark,
}

impl SqlArg {
    /// The engine whose statements are those of a dataset.
    pub fn engine(self) -> Option<Engine> {
        match self {
            SqlArg::Sqlite => None,
            SqlArg::Duckdb => Some(Engine::DuckDb),
            SqlArg::Clickhouse => Some(Engine::ClickHouse),
            SqlArg::Spark => Some(Engine::Spark),
        }
    }
}

/// `export --ddl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    Duckdb,
    Clickhouse,
    Spark,
}

impl From<EngineArg> for Engine {
    fn from(engine: EngineArg) -> Engine {
        match engine {
            EngineArg::Duckdb => Engine::DuckDb,
            EngineArg::Clickhouse => Engine::ClickHouse,
            EngineArg::Spark => Engine::Spark,
        }
    }
}

/// How rows are split into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// By days of UTC
    Day,
    /// By hours, with --format parquet
    Hour,
}

/// `--what`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViewArg {
    /// Connections and flows
    Egress,
    /// DNS lookups, one row per resource record
    Dns,
    /// DNS lookups, one row per query
    Lookups,
}

impl From<ViewArg> for View {
    fn from(view: ViewArg) -> View {
        match view {
            ViewArg::Egress => View::Egress,
            ViewArg::Dns => View::Dns,
            ViewArg::Lookups => View::Lookups,
        }
    }
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// One JSON object per line
    Jsonl,
    /// RFC 4180 with a header
    Csv,
    /// A dataset of Parquet files, below a directory
    Parquet,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without a question, all rows are written; with one, the rows that it matches:\n  \
    egrets export --output all.jsonl\n  \
    egrets export --what dns --since yesterday --output - | jq .qname\n  \
    egrets export --output curl.csv what did curl talk to today\n  \
    egrets export --split day --output exported --since 2026-11-01\n  \
    egrets export --format parquet --output /srv/egress --label cluster=prod\n  \
    egrets export --ddl duckdb --output /srv/egress\n\
    docs/schema.md describes the columns, docs/engines.md how other engines read them, and\n\
    docs/fleet.md how they read the rows of many machines."
)]
pub struct ExportArgs {
    /// Only the rows that match this question, e.g. "what did curl talk to"
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// The view to export [default: egress, or dns for a question about lookups; with --format
    /// parquet and no question, all]
    #[arg(long = "what", value_name = "VIEW")]
    pub view: Option<ViewArg>,
    /// The output format [default: csv if PATH ends in .csv, otherwise jsonl]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FormatArg>,
    /// The file to write, - for standard output; a directory with --split and --format parquet
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// Write one file per UTC day, or with --format parquet per hour, into the directory PATH
    #[arg(long, value_name = "BY")]
    pub split: Option<Split>,
    /// Replace existing files
    #[arg(long)]
    pub force: bool,
    /// With --format parquet: the machine's name [default: as recorded]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// With --format parquet: a label of the machine, such as cluster=prod; can be repeated
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "EGRETS_LABELS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub label: Vec<String>,
    /// Print the views over the dataset PATH for an engine, instead of writing rows
    #[arg(long, value_name = "ENGINE", conflicts_with_all = ["question", "view", "format", "split", "force", "machine", "since", "until"])]
    pub ddl: Option<EngineArg>,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Shows the name, the lookup that it rests on, the resource records that lead to the\n\
    address, and the other names that the connection could have had.\n\
    'egrets query \"when did NAME hit HOST\"' shows the ids of connections."
)]
pub struct ExplainArgs {
    /// The connection's id, as query, the view egress and the live log show it
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "In the current shell, or in its start-up file:\n  \
    bash: source <(egrets completions bash)\n  \
    zsh: source <(egrets completions zsh), after compinit\n  \
    fish: egrets completions fish | source\n\
    'make install' installs them for all users.")]
pub struct CompletionsArgs {
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompleteArgs {
    #[arg(long, value_name = "SHELL")]
    pub shell: Shell,
    /// The characters at which the line editor breaks words
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub breaks: String,
    /// The words after the program's name, the last one as typed so far; for bash, the
    /// whole line up to the cursor
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
