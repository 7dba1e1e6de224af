//! The command line: docs/cli.md's contract, as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Local};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::attribute::Exclude;
use crate::capture::{self, HookSet, MAX_OTHER_PORTS};
use crate::complete::Shell;
use crate::query::{Form, View};
use crate::store::Override;
use crate::when;

/// Which process, in which container, talked to which hostname, when, how much.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(
    after_help = "Without a command egrets watches: see 'egrets watch --help'.\n\
    Exit status: 0 found or done, 1 nothing found, 2 error."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show live events; store nothing
    Watch(WatchArgs),
    /// Record into the history, in the background or around a command
    Record(RecordArgs),
    /// Ask the history a question in plain English
    Query(QueryArgs),
    /// Write the history's rows as JSON lines or CSV, for other engines
    Export(ExportArgs),
    /// Say why a connection has its name, or none
    Explain(ExplainArgs),
    /// Say what this kernel allows, hook by hook
    Check(CheckArgs),
    /// Say whether a recorder runs, since when, and what the history holds
    Status(StatusArgs),
    /// Print the script that completes commands, questions and names in a shell
    Completions(CompletionsArgs),
    /// Write a page of manual for each command into a directory
    #[command(hide = true)]
    ManPages(ManArgs),
    /// What can follow on a command line; the scripts of completions ask
    #[command(hide = true)]
    CompleteWords(CompleteArgs),
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub live: LiveArgs,
}

/// What watch and record share.
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// Stop after this time, e.g. 60s, 10m, 1h 30m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Leave out: loopback, a network (10.0.0.0/8), an address, a port (443) or a
    /// process name (curl); may be given more than once
    #[arg(long, value_name = "WHAT", value_parser = Exclude::from_str)]
    pub exclude: Vec<Exclude>,
    /// DNS answers remembered at most, to name connections by
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = at_least_one)]
    pub max_names: usize,
    /// Keep only the program of each command line: arguments may hold secrets
    #[arg(long)]
    pub no_args: bool,
    /// Size of the kernel's event buffer, e.g. 64K, 16M; a power of two of pages
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = ring_bytes)]
    pub ring_size: u32,
    /// A port that DNS servers use here beside 53 (and 5353, 5355: multicast DNS and
    /// LLMNR); up to 5
    #[arg(long = "dns-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub dns_ports: Vec<u16>,
    #[command(flatten)]
    pub hooks: HookArgs,
}

/// Which hooks to use.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// How to learn why an attempt failed: kernel probes, the tracepoints that
    /// kernels without them have too, or the first that works
    #[arg(long, value_name = "SET", env = "EGRETS_HOOKS", default_value = "auto",
        value_parser = ["auto", "kprobe", "portable"])]
    hooks: String,
}

impl HookArgs {
    /// None: the first that works.
    pub fn set(&self) -> Option<HookSet> {
        match self.hooks.as_str() {
            "kprobe" => Some(HookSet::Kprobe),
            "portable" => Some(HookSet::Portable),
            _ => None,
        }
    }
}

impl LiveArgs {
    /// # Errors
    /// More DNS ports than the kernel side has room for.
    pub fn capture(&self) -> Result<capture::Options> {
        if self.dns_ports.len() > MAX_OTHER_PORTS {
            bail!(
                "{} DNS ports are more than egrets has room for: give --dns-port at most {MAX_OTHER_PORTS} times",
                self.dns_ports.len()
            );
        }
        Ok(capture::Options {
            ring_bytes: self.ring_size,
            hooks: self.hooks.set(),
            dns_ports: self.dns_ports.clone(),
            sizes: false,
        })
    }
}

#[derive(Debug, Args)]
pub struct RecordArgs {
    #[command(flatten)]
    pub db: DbArgs,
    /// Print the live events too
    #[arg(long)]
    pub print: bool,
    /// Print them as JSON, one object a line (implies --print)
    #[arg(long)]
    pub json: bool,
    /// Remove what is older than this, e.g. 30d; none: nothing is too old. Like the next two,
    /// this holds for later runs on the history too; default: as if it was never said [default: none]
    #[arg(long, value_name = "TIME", value_parser = kept_time)]
    pub keep: Option<Override<Duration>>,
    /// Remove the oldest where the history grows beyond this, e.g. 500M, 2G; none: never
    /// [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = max_size)]
    pub max_size: Option<Override<u64>>,
    /// Keep the sums of connections that were removed, of each day and in all, until they
    /// are older than this, e.g. 365d; none: they go with the connections, others stay
    /// [default: none]
    #[arg(long, value_name = "TIME", value_parser = kept_time)]
    pub keep_summary: Option<Override<Duration>>,
    /// Let this group read the history
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    #[command(flatten)]
    pub live: LiveArgs,
    /// Run this command, as the user who called sudo, and record it and its
    /// descendants; egrets exits with its status
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct DbArgs {
    /// The history's file [default: /var/lib/egrets/egrets.db, or
    /// ~/.local/state/egrets/egrets.db where root's is not there]
    #[arg(long, value_name = "FILE", env = "EGRETS_DB", value_hint = ValueHint::FilePath)]
    pub db: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Questions:\n  \
    which processes|containers|pods|images|users|units hit HOST\n  \
    what did PROCESS|pid N|container NAME|pod NAME|image NAME|user NAME|unit NAME talk to\n  \
    what did PROCESS and its children talk to; slowest lookups; longest connections\n  \
    when did PROCESS hit HOST; which connections failed; which IPs, which ports\n  \
    which processes resolved NAME; what did PROCESS resolve; which lookups failed\n  \
    which names were resolved but never contacted; which hosts are new since monday\n  \
    how many connections did PROCESS make; how much did PROCESS send; top 10 hosts\n  \
    connections per hour today; top 3 hosts per day\n\
    with \"on port 443\", \"over udp\", \"refused\", \"since yesterday\", \"in the last 2 hours\", ...\n\
    HOST is a name (with its subdomains), *.NAME (only those), an address, a network, or\n\
    \"raw IPs\": addresses without a name. docs/questions.md has the whole grammar.\n\
    Times: 10m, 2h ago, today, yesterday, monday, 2026-11-23, \"2026-11-23 14:00\", RFC 3339.")]
pub struct QueryArgs {
    /// e.g. "which processes hit example.com"
    #[arg(required = true, value_name = "QUESTION")]
    pub question: Vec<String>,
    #[command(flatten)]
    pub span: SpanArgs,
    /// Print one JSON object a line
    #[arg(long, conflicts_with_all = ["csv", "sql"])]
    pub json: bool,
    /// Print CSV with a header
    #[arg(long, conflicts_with = "sql")]
    pub csv: bool,
    /// Print the SQL instead of the answer
    #[arg(long)]
    pub sql: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct SpanArgs {
    /// Only connections and lookups from this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only connections and lookups before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl SpanArgs {
    /// Nanoseconds since 1970.
    ///
    /// # Errors
    /// What is no time.
    pub fn between(&self, now: &DateTime<Local>) -> Result<(Option<i64>, Option<i64>)> {
        let time = |text: &Option<String>, option| {
            let text = text.as_deref();
            text.map(|text| when::parse(text, now).map(when::to_ns))
                .transpose()
                .context(option)
        };
        Ok((time(&self.since, "--since")?, time(&self.until, "--until")?))
    }
}

/// What rows are split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    Day,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without a question all rows are written; with one, those that it is about:\n  \
    egrets export --output all.jsonl\n  \
    egrets export --what dns --since yesterday --output - | jq .qname\n  \
    egrets export --output curl.csv what did curl talk to today\n  \
    egrets export --split day --output exported --since 2026-11-01\n\
    The columns are those of the view, as docs/schema.md describes them. docs/engines.md shows\n\
    what other engines make of it."
)]
pub struct ExportArgs {
    /// Only the rows that this question is about, e.g. "what did curl talk to"
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// Whose rows [default: egress, or what the question is about]
    #[arg(long = "what", value_name = "VIEW")]
    pub view: Option<View>,
    /// How rows are written [default: csv for a PATH that ends so, else jsonl]
    #[arg(long = "format", value_name = "FORMAT")]
    pub form: Option<Form>,
    /// The file to write; - is standard output
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// Write a file for each day (of UTC) into the directory PATH
    #[arg(long, value_name = "BY")]
    pub split: Option<Split>,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The name, whose lookup it rests on, the records that lead to the address, and the\n\
    other names that the connection could have had. 'egrets query \"when did NAME hit HOST\"'\n\
    shows the ids of connections."
)]
pub struct ExplainArgs {
    /// The connection: the id that query, the view egress and the live log show
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub id: i64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub hooks: HookArgs,
    /// Show the size of each hook's BPF program
    #[arg(long, short)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "For this shell, or in its start-up file:\n  \
    bash: source <(egrets completions bash)\n  \
    zsh: source <(egrets completions zsh), after compinit\n  \
    fish: egrets completions fish | source\n\
    'make install' installs them for everybody.")]
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
    /// The characters at which the line editor ends words
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub breaks: String,
    /// The words after the program's name, the last as far as it is typed; for bash the
    /// whole line up to there
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<OsString>,
}

fn duration(text: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(text)
        .with_context(|| format!("{text:?} is no time span; for example 60s, 10m, 1h 30m"))?;
    if duration.is_zero() {
        bail!("a recording of no time records nothing; for example 60s, 10m, 1h 30m");
    }
    Ok(duration)
}

fn at_least_one(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => bail!("expected a number from 1 on, for example 100000"),
    }
}

/// What an option says of how much is kept, if that is no bound.
fn no_bound<T>(text: &str) -> Option<Override<T>> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(Override::Unbounded),
        "default" => Some(Override::Default),
        _ => None,
    }
}

/// `--keep`, `--keep-summary`: a time span, "none" or "default".
fn kept_time(text: &str) -> Result<Override<Duration>> {
    no_bound(text).map_or_else(|| duration(text).map(Override::Bound), Ok)
}

/// `--max-size`: a size from 1M on, `M` or `MiB`, `G` or `GiB`; "none" or "default".
fn max_size(text: &str) -> Result<Override<u64>> {
    if let Some(told) = no_bound(text) {
        return Ok(told);
    }
    let upper = text.to_ascii_uppercase();
    let number = upper.trim_end_matches("IB");
    let (number, unit) = match (number.strip_suffix('M'), number.strip_suffix('G')) {
        (Some(number), _) => (number, 1 << 20),
        (_, Some(number)) => (number, 1 << 30),
        _ => ("", 1),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) {
        Some(bytes) if bytes > 0 => Ok(Override::Bound(bytes)),
        _ => bail!("expected a size like 500M or 2GiB, none or default"),
    }
}

/// 4K to 1G, what a ring buffer can be.
fn ring_bytes(text: &str) -> Result<u32> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(number) => (number, 20),
            None => (text, 0),
        },
    };
    let bytes = number
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(1 << unit));
    match bytes {
        Some(bytes) if (4096..=1 << 30).contains(&bytes) => Ok(bytes),
        _ => bail!("expected a size from 4K to 1024M, for example 16M"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_spans_have_units_and_bounds() {
        assert_eq!(ring_bytes("64K").unwrap(), 65_536);
        assert_eq!(ring_bytes("16M").unwrap(), 16 << 20);
        for bad in ["", "1", "5G", "4294967296", "-1", "M", "2000M"] {
            assert!(ring_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(max_size("2GiB").unwrap(), Override::Bound(2 << 30));
        assert_eq!(max_size("500m").unwrap(), Override::Bound(500 << 20));
        assert_eq!(max_size("none").unwrap(), Override::Unbounded);
        assert_eq!(max_size("Default").unwrap(), Override::Default);
        let day = Duration::from_secs(86_400);
        assert_eq!(kept_time("1d").unwrap(), Override::Bound(day));
        assert_eq!(kept_time("none").unwrap(), Override::Unbounded);
        assert!(kept_time("never").is_err());
        for bad in ["", "0M", "2", "-1G", "99999999999G", "GiB"] {
            assert!(max_size(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        for bad in ["", "0s", "10", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
