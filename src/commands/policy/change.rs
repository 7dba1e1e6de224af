//! Changes of a running recorder's policy: asking for one, and waiting for what its history has of
//! it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rusqlite::Connection;

use crate::cli::DbArgs;
use crate::store::{self, PolicyOutcome, PolicyStatus};
use crate::text::printable;

/// How long the recorder has to read the file: lists can be long.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The policy of a recorder that runs, and what becomes of it.
pub struct Changes {
    pub path: PathBuf,
    pub policy: PolicyStatus,
    db: Connection,
    last: i64,
}

impl Changes {
    /// # Errors
    /// No recorder runs, or it has no policy.
    pub fn begin(args: &DbArgs) -> Result<Changes> {
        let path = crate::commands::readers_db(args);
        let db = store::open_reader(&path)?;
        if !store::recorder_runs(&path) {
            bail!(
                "no recorder is running on {}: 'egrets record --policy FILE' starts one with a policy",
                path.display()
            );
        }
        let policy = PolicyStatus::read(&db).map_err(|e| store::of_file(e.into(), &path))?;
        let Some(policy) = policy else {
            bail!(
                "the recorder of {} has no policy: start it with --policy FILE",
                path.display()
            );
        };
        Ok(Changes {
            last: policy.last_change,
            path,
            policy,
            db,
        })
    }

    /// The next change, but for rules that have expired; None if there is none by then.
    ///
    /// # Errors
    /// The recorder has ended, or refuses the change.
    pub fn next_within(&mut self, time: Duration) -> Result<Option<PolicyOutcome>> {
        let begun = Instant::now();
        loop {
            let outcome = PolicyOutcome::after(&self.db, self.last)
                .map_err(|e| store::of_file(e.into(), &self.path))?;
            if let Some(outcome) = outcome {
                self.last = outcome.id;
                if let Some(error) = &outcome.error {
                    let lines: Vec<_> = error.lines().map(printable).collect();
                    bail!("the policy is unchanged: {}", lines.join("\n"));
                }
                if outcome.reason != "expired" {
                    return Ok(Some(outcome));
                }
            } else if !store::recorder_runs(&self.path) {
                bail!("the recorder has ended: see its log");
            } else if begun.elapsed() >= time {
                return Ok(None);
            } else {
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    }

    /// What becomes of a request.
    ///
    /// # Errors
    /// As those of [`Changes::next_within`], or the recorder does not answer.
    pub fn result(&mut self) -> Result<PolicyOutcome> {
        match self.next_within(PATIENCE)? {
            Some(outcome) => Ok(outcome),
            None => bail!(
                "the recorder has not answered within {} s: see its log",
                PATIENCE.as_secs()
            ),
        }
    }
}
