//! `egrets policy`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueHint};

use super::{DbArgs, SpanArgs};

#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Read a policy: report its errors, and what may not be meant
    Check(PolicyCheckArgs),
    /// Say which rule decides about a connection, and why the others do not
    Explain(PolicyExplainArgs),
    /// Say what a policy would have stopped, from the history
    Replay(PolicyReplayArgs),
    /// Write a policy that allows what the history has
    Learn(PolicyLearnArgs),
    /// Write the config.yaml of the original egrets as a policy
    Import(PolicyImportArgs),
    /// Have the running recorder read its policy again, and say what came of it
    Reload(PolicyReloadArgs),
    /// Have the running recorder enforce another policy for a while, and go back unless it is
    /// confirmed
    Apply(PolicyApplyArgs),
    /// Keep the policy that was applied
    Confirm(PolicyConfirmArgs),
    /// Show the policy of the newest recording, what is pinned, and how often each rule has decided
    Status(PolicyStatusArgs),
    /// End the policies that recorders have left in force (--pin)
    #[cfg(feature = "record")]
    Unpin,
}

#[derive(Debug, Args)]
pub struct PolicyReloadArgs {
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal it asks whether to keep the policy. Elsewhere, and where the question was not\n\
    answered, 'egrets policy confirm' does. Once the time is over, the policy before is in force\n\
    again, whether egrets works or not.\n\n\
    Exit status: 0 the policy is in force, 1 it was not confirmed, 2 error."
)]
pub struct PolicyApplyArgs {
    /// The policy
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How long to wait for a confirmation
    #[arg(
        long,
        value_name = "TIME",
        value_parser = trial_time,
        num_args = 0..=1,
        default_value = "5m",
        default_missing_value = "5m"
    )]
    pub confirm: Duration,
    #[command(flatten)]
    pub db: DbArgs,
}

/// `--confirm`: long enough to read the question, short enough to wait for.
fn trial_time(text: &str) -> Result<Duration> {
    let time = humantime::parse_duration(text).context("invalid duration; try 60s or 5m")?;
    if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&time) {
        bail!("a policy is on trial for 1s to 24h");
    }
    Ok(time)
}

#[derive(Debug, Args)]
pub struct PolicyConfirmArgs {
    /// Go back to the policy before it at once
    #[arg(long)]
    pub no: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct PolicyStatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct PolicyCheckArgs {
    /// The policy
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "A connection is described as\n  \
    PROGRAM to HOST[:PORT] [as USER] [in CONTAINER] [image IMAGE] [pod POD]\n  \
    [namespace NAMESPACE] [unit UNIT] [via PROGRAM] [at ADDRESS] [over PROTOCOL]\n  \
    [sni NAME|none]\n\
    as in\n  \
    egrets policy explain policy.yaml \"curl to example.com:443 as www-data in web\"\n\
    What it leaves out is assumed, and the answer says how.\n\n\
    FILE and an ID put a recorded connection to the policy. An ID alone explains what was decided\n\
    on that connection when it was recorded. 'egrets query' shows ids.")]
pub struct PolicyExplainArgs {
    /// The policy; or the id of a recorded connection, for what was decided on it
    #[arg(value_name = "FILE|ID", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The connection, e.g. "curl to example.com:443 as www-data in web"; or the id of a
    /// recorded one
    #[arg(value_name = "CONNECTION")]
    pub connection: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 nothing would have been stopped, 1 something would, 2 error."
)]
pub struct PolicyReplayArgs {
    /// The policy
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --container, --image, --unit and --user, the policy is about all processes and\n\
    blocks by default; with them, it is about those alone."
)]
pub struct PolicyLearnArgs {
    /// Only about this container; can be repeated
    #[arg(long, value_name = "NAME")]
    pub container: Vec<String>,
    /// Only about this image; can be repeated
    #[arg(long, value_name = "IMAGE")]
    pub image: Vec<String>,
    /// Only about this systemd unit; can be repeated
    #[arg(long, value_name = "UNIT")]
    pub unit: Vec<String>,
    /// Only about this user; can be repeated
    #[arg(long, value_name = "USER")]
    pub user: Vec<String>,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub db: DbArgs,
}

#[derive(Debug, Args)]
pub struct PolicyImportArgs {
    /// The config.yaml
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The file to write [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}
