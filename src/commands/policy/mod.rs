//! `egrets policy`: what works on a policy file and a history, without the recorder.

mod apply;
mod change;
mod check;
mod explain;
mod learn;
pub mod pinned;
mod recorded;
mod reload;
mod replay;
pub mod status;
mod table;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::{PolicyArgs, PolicyCommand};
use crate::policy::{LoadError, Owner, Policy, Problems};

pub fn run(args: &PolicyArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    match &args.command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => recorded::explain(args),
        PolicyCommand::Replay(args) => replay::run(args),
        PolicyCommand::Learn(args) => learn::run(args),
        PolicyCommand::Import(args) => learn::import(args),
        PolicyCommand::Reload(args) => reload::run(args),
        PolicyCommand::Apply(args) => apply::run(args),
        PolicyCommand::Confirm(args) => apply::confirm(args),
        PolicyCommand::Status(args) => status::run(args),
        #[cfg(feature = "record")]
        PolicyCommand::Unpin => pinned::unpin(),
    }
}

/// Digits of a digest that are shown.
const SHORT_DIGEST: usize = 12;

pub fn short(digest: &str) -> &str {
    digest.get(..SHORT_DIGEST).unwrap_or(digest)
}

/// Reads a policy for a command that only reads.
///
/// # Errors
///
/// All errors of the file, a line each.
fn load(path: &Path) -> Result<Policy> {
    match Policy::load(path, Owner::Caller) {
        Ok(policy) => Ok(policy),
        Err(LoadError::File(error)) => Err(error),
        Err(LoadError::Policy(found)) => bail!(problems(path, "a policy that can be used", &found)),
    }
}

/// A line for each problem.
fn problems(path: &Path, kind: &str, found: &Problems) -> String {
    let mut text = format!("{} is not {kind}:", path.display());
    for line in found.lines(&path.display().to_string()) {
        let _ = write!(text, "\n{line}");
    }
    text
}
