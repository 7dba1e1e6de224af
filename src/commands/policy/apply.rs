//! `egrets policy apply` and `confirm`: another policy, which has to be confirmed from a session
//! that it lets work.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::change::Changes;
use super::reload::in_force;
use crate::cli::{PolicyApplyArgs, PolicyConfirmArgs};
use crate::commands::{local, long};
use crate::policy::requests::{Request, send};
use crate::store::{self, PolicyOutcome};
use crate::text::printable;

/// Beyond the deadline, how long the recorder has to report that it is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit status where the policy before is in force again.
const NOT_CONFIRMED: u8 = 1;

pub fn run(args: &PolicyApplyArgs) -> Result<ExitCode> {
    let mut changes = Changes::begin(&args.db)?;
    let file = std::path::absolute(&args.file).with_context(|| args.file.display().to_string())?;
    if !file.exists() {
        bail!("{} does not exist", file.display());
    }
    request(&changes, &Request::Apply(file, args.confirm))?;
    // What was decided just before may be in the history only now.
    let (applied, until) = loop {
        let outcome = changes.result()?;
        if let Some(until) = outcome.revert_ts {
            break (outcome, until);
        }
    };
    let begun = Instant::now();
    let mut out = stdout();
    writeln!(out, "{} until {}", in_force(&applied), local(until))?;
    let before = printable(&changes.policy.file).into_owned();
    if !stdin().is_terminal() || !out.is_terminal() {
        writeln!(
            out,
            "'egrets policy confirm' keeps it; otherwise {before} is in force again then"
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "unless you confirm it within {}, {before} is in force again",
        long(args.confirm)
    )?;
    write!(out, "keep it? Try what has to work, then type yes or no: ")?;
    out.flush()?;
    match answer(args.confirm.saturating_sub(begun.elapsed()))? {
        Some(true) => request(&changes, &Request::Confirm)?,
        Some(false) => request(&changes, &Request::Revert)?,
        None => writeln!(out)?,
    }
    report(&changes.next_within(args.confirm.saturating_sub(begun.elapsed()) + PATIENCE)?)
}

/// `egrets policy confirm`.
pub fn confirm(args: &PolicyConfirmArgs) -> Result<ExitCode> {
    let mut changes = Changes::begin(&args.db)?;
    let wanted = match args.no {
        true => Request::Revert,
        false => Request::Confirm,
    };
    request(&changes, &wanted)?;
    let outcome = changes.result()?;
    let reported = report(&Some(outcome))?;
    Ok(match args.no {
        true => ExitCode::SUCCESS,
        false => reported,
    })
}

fn request(changes: &Changes, request: &Request) -> Result<()> {
    send(&store::policy_socket(&changes.path), request)
}

/// What was typed within this time; None: nothing, or the terminal is gone.
fn answer(within: Duration) -> Result<Option<bool>> {
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left)?;
        let keys = stdin();
        let mut typed = [PollFd::new(&keys, PollFlags::IN)];
        match poll(&mut typed, Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            polled if polled? == 0 => return Ok(None),
            _ => {}
        }
        let mut line = String::new();
        if keys.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim() {
            "yes" | "y" => return Ok(Some(true)),
            "no" | "n" => return Ok(Some(false)),
            _ => write!(stdout(), "yes or no: ")?,
        }
        stdout().flush()?;
    }
}

fn report(outcome: &Option<PolicyOutcome>) -> Result<ExitCode> {
    let Some(outcome) = outcome else {
        bail!("it was not confirmed in time, and the recorder does not answer: see its log");
    };
    let mut out = stdout();
    match outcome.reason.as_str() {
        "confirmed" => writeln!(out, "{} stays in force", printable(&outcome.file))?,
        "reverted" => {
            writeln!(out, "not confirmed: {} again", in_force(outcome))?;
            return Ok(ExitCode::from(NOT_CONFIRMED));
        }
        _ => bail!(
            "the recorder's policy was changed by someone else meanwhile: see 'egrets policy status'"
        ),
    }
    Ok(ExitCode::SUCCESS)
}
