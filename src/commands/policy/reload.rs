//! `egrets policy reload`: has the recorder read its policy again, and waits for the result.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cli::PolicyReloadArgs;
use crate::human::count;
use crate::store::{self, PolicyOutcome, PolicyStatus};
use crate::text::printable;

/// How long the recorder has to read the file: lists can be long.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub fn run(args: &PolicyReloadArgs) -> Result<ExitCode> {
    let path = crate::commands::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let of_file = |e: rusqlite::Error| store::of_file(e.into(), &path);
    let process = recorder(&path)?;
    // Without a policy the recorder has no handler: the signal would end it.
    let Some(policy) = PolicyStatus::read(&db).map_err(of_file)? else {
        bail!(
            "the recorder of {} has no policy: start it with --policy FILE",
            path.display()
        );
    };
    let mut last = policy.last_change;
    match pidfd_send_signal(&process, Signal::HUP) {
        Err(rustix::io::Errno::PERM) => {
            bail!("you may not send a signal to the recorder: use sudo")
        }
        sent => sent.context("the recorder can't be reached")?,
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match PolicyOutcome::after(&db, last).map_err(of_file)? {
            None if !store::recorder_runs(&path) => bail!("the recorder has ended: see its log"),
            None => std::thread::sleep(POLL_INTERVAL),
            // A rule has expired meanwhile.
            Some(outcome) if outcome.reason == "expired" => last = outcome.id,
            Some(outcome) => return report(&outcome),
        }
    }
    bail!(
        "the recorder has not read its policy within {} s: see its log",
        PATIENCE.as_secs()
    )
}

fn report(outcome: &PolicyOutcome) -> Result<ExitCode> {
    if let Some(error) = &outcome.error {
        let lines: Vec<_> = error.lines().map(printable).collect();
        bail!("the policy is unchanged: {}", lines.join("\n"));
    }
    let rules = count(outcome.rules, "rule", "rules");
    let mode = match outcome.enforced {
        true => "enforced",
        false => "observed",
    };
    let file = printable(&outcome.file);
    writeln!(std::io::stdout(), "{file}: {rules}, {mode} from now on")?;
    Ok(ExitCode::SUCCESS)
}

/// The process that records into the file.
fn recorder(path: &Path) -> Result<std::os::fd::OwnedFd> {
    let holder = || store::recorder_pid(path);
    if !store::recorder_runs(path) {
        bail!(
            "no recorder is running on {}: 'egrets record --policy FILE' starts one with a policy",
            path.display()
        );
    }
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
