//! `egrets policy`.

use std::path::PathBuf;

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
    [namespace NAMESPACE] [unit UNIT] [via PROGRAM] [at ADDRESS] [over PROTOCOL]\n\
    as in\n  \
    egrets policy explain policy.yaml \"curl to example.com:443 as www-data in web\"\n\
    What it leaves out is assumed, and the answer says how.")]
pub struct PolicyExplainArgs {
    /// The policy
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The connection, e.g. "curl to example.com:443 as www-data in web"
    #[arg(value_name = "CONNECTION", required = true)]
    pub connection: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
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
