//! `egrets policy reload`: has the recorder read its policy again, and waits for the result.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::change::Changes;
use crate::cli::PolicyReloadArgs;
use crate::human::count;
use crate::store::{self, PolicyOutcome};
use crate::text::printable;

pub fn run(args: &PolicyReloadArgs) -> Result<ExitCode> {
    // Without a policy the recorder has no handler: the signal would end it.
    let mut changes = Changes::begin(&args.db)?;
    let process = recorder(&changes.path)?;
    match pidfd_send_signal(&process, Signal::HUP) {
        Err(rustix::io::Errno::PERM) => {
            bail!("you may not send a signal to the recorder: use sudo")
        }
        sent => sent.context("the recorder can't be reached")?,
    }
    let outcome = changes.result()?;
    writeln!(std::io::stdout(), "{} from now on", in_force(&outcome))?;
    Ok(ExitCode::SUCCESS)
}

/// What a policy is, and whether it stops anything.
pub fn in_force(outcome: &PolicyOutcome) -> String {
    let rules = count(outcome.rules, "rule", "rules");
    let mode = match outcome.enforced {
        true => "enforced",
        false => "observed",
    };
    format!("{}: {rules}, {mode}", printable(&outcome.file))
}

/// The process that records into the file.
fn recorder(path: &Path) -> Result<OwnedFd> {
    let holder = || store::recorder_pid(path);
    let hidden = || format!("the recorder of {} can't be seen from here", path.display());
    let pid = holder().with_context(hidden)?;
    let process = Pid::from_raw(pid as i32).with_context(hidden)?;
    let process = pidfd_open(process, PidfdFlags::empty()).with_context(hidden)?;
    // The descriptor is of the holder, and not of a process that has got its number since.
    match holder() == Some(pid) {
        true => Ok(process),
        false => bail!("the recorder of {} has just ended", path.display()),
    }
}
