//! `egrets policy`: what works on a policy file and a history, without the recorder.

mod check;
mod explain;
mod replay;
mod table;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::Utc;

use crate::cli::{PolicyArgs, PolicyCommand};
use crate::policy::{LoadError, Owner, Policy};
use crate::when;

pub fn run(args: &PolicyArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    match &args.command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Explain(args) => explain::run(args),
        PolicyCommand::Replay(args) => replay::run(args),
    }
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
        Err(LoadError::Policy(problems)) => {
            let mut text = format!("{} is not a policy that can be used:", path.display());
            for line in problems.lines(&path.display().to_string()) {
                let _ = write!(text, "\n{line}");
            }
            bail!(text)
        }
    }
}

/// Decides which rules have expired.
fn now() -> i64 {
    when::to_ns(Utc::now())
}
