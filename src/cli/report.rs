//! The arguments of `egrets report`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{DbArgs, SpanArgs};

#[derive(Debug, Args)]
#[command(
    after_help = "Without a question, all connections and lookups are in it; with one, those that it selects:\n  \
    egrets report -o report.html\n  \
    egrets report --since 24h -o report.html curl\n  \
    egrets report --markdown --db ci.db --baseline last.db >> \"$GITHUB_STEP_SUMMARY\"\n  \
    egrets report --json --host example.com | jq .totals\n\
    The page is one file that opens offline. docs/report.md describes it, and the JSON."
)]
pub struct ReportArgs {
    /// Only what this question selects, e.g. "curl" or "what did container web talk to"
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// The file to write, as a page unless it ends in .md or .json; - is standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write Markdown of less than 60 lines, for the summary of a CI job
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Only traffic to this name and its subdomains, address or network; can be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Another history, such as that of the last run: hosts that it lacks are new
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub baseline: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub db: DbArgs,
}
