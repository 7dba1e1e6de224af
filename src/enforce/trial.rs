//! A policy on trial: `egrets policy apply`. The one before decides again unless the new one is
//! confirmed in time. The kernel side keeps the time, so that this needs nothing of the recorder,
//! which may hang by then for what the policy refuses.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::clock::boot_ns;
use super::object::Generation;
use super::{Enforcer, PolicyFile, Scope};
use crate::model::{PolicyConfirmation, PolicyReason, Record};
use crate::policy::requests::Request;
use crate::when::now_ts;

/// What returns.
pub struct Trial {
    file: PolicyFile,
    scope: Scope,
    pub generation: Generation,
    /// When, on the kernel side's clock.
    end_ns: u64,
    /// The same, ns since 1970.
    pub revert_ts: i64,
}

impl Trial {
    pub fn is_over(&self) -> bool {
        boot_ns() >= self.end_ns
    }
}

pub fn unconfirmed() -> anyhow::Error {
    anyhow!(
        "a policy that was applied is not confirmed yet: 'egrets policy confirm' keeps it, 'egrets policy confirm --no' ends it"
    )
}

impl Enforcer {
    pub fn answer(&mut self, request: Request, out: &mut Vec<Record>) -> Result<()> {
        match request {
            Request::Apply(file, time) => self.apply(&file, time, out),
            Request::Confirm => self.confirm(out),
            Request::Revert if self.trial.is_some() => self.revert("it was taken back", out),
            Request::Revert => {
                self.refuse_confirmation(out);
                Ok(())
            }
        }
    }

    /// Enforces another policy, also where the one before is only observed.
    fn apply(&mut self, path: &Path, time: Duration, out: &mut Vec<Record>) -> Result<()> {
        let scope = Scope {
            enforce: true,
            ..self.scope
        };
        let read = match &self.trial {
            Some(_) => Err(unconfirmed()),
            None => self.read(path, scope),
        };
        let (file, tables) = match read {
            Ok(read) => read,
            Err(e) => {
                self.refuse(path, &e, out);
                return Ok(());
            }
        };
        let Some(generation) = self.fill(tables)? else {
            return Ok(()); // never: a policy decides before requests are taken
        };
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let trial = Trial {
            file: std::mem::replace(&mut self.file, file),
            scope: std::mem::replace(&mut self.scope, scope),
            generation,
            end_ns: boot_ns().saturating_add(time),
            revert_ts: now_ts().saturating_add_unsigned(time),
        };
        let before = trial.generation.number;
        self.object.fall_back_after(trial.end_ns, before)?;
        self.trial = Some(trial);
        self.decide(PolicyReason::Applied, Some(before), out)
    }

    fn confirm(&mut self, out: &mut Vec<Record>) -> Result<()> {
        let Some(trial) = self.trial.take_if(|trial| !trial.is_over()) else {
            self.refuse_confirmation(out);
            return Ok(());
        };
        self.object.end_trial()?;
        self.retire(trial.generation.number);
        log::info!("policy {}: confirmed", self.file.path.display());
        out.push(Record::PolicyConfirmed(PolicyConfirmation {
            ts: now_ts(),
            file: self.file.path.display().to_string(),
            digest: self.file.policy.digest.as_str().into(),
        }));
        Ok(())
    }

    fn refuse_confirmation(&self, out: &mut Vec<Record>) {
        let why = anyhow!("no policy waits for a confirmation, or not any more");
        self.refuse(&self.file.path, &why, out);
    }

    /// Has the rules from before decide again: at once as they were, then as a policy of its own
    /// in the history.
    pub fn revert(&mut self, why: &str, out: &mut Vec<Record>) -> Result<()> {
        let Some(trial) = self.trial.take() else {
            return Ok(());
        };
        log::warn!(
            "policy {}: {why}, so {} is in force again",
            self.file.path.display(),
            trial.file.path.display()
        );
        let before = trial.generation.number;
        self.object.activate(before)?;
        self.object.end_trial()?;
        self.file = trial.file;
        self.scope = trial.scope;
        self.retire(before);
        if let Some(ended) = self.fill(trial.generation.tables)? {
            self.retire(ended.number);
        }
        self.decide(PolicyReason::Reverted, Some(before), out)
    }
}
