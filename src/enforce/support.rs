//! What of a policy can't be enforced yet: refused, never ignored.

use std::path::Path;

use anyhow::{Result, bail};

use super::compile::{max_depth, most_labels};
use super::types::policy_size;
use crate::policy::name_hash::MAX_LABELS;
use crate::policy::{Established, Policy, Rule, Sni, check_program};

/// # Errors
/// The rules and settings that the kernel side can't carry out, each with the reason.
pub fn check(policy: &Policy) -> Result<()> {
    let mut refused: Vec<String> = policy
        .rules
        .iter()
        .enumerate()
        .filter_map(|(index, rule)| {
            let why = refusal(rule)?;
            Some(format!("{}: {}: {why}", rule.at.line, rule.label(index)))
        })
        .collect();
    if policy.sni != Sni::Off {
        refused.push("sni is not enforced yet".into());
    }
    if policy.established != Established::Keep {
        refused.push("established: only 'keep' is enforced yet".into());
    }
    if let Some(program) = policy.notify.exec.first()
        && let Err(e) = check_program(Path::new(program))
    {
        refused.push(format!("notify: {e:#}"));
    }
    let most = policy_size::POLICY_EXE_DEPTH.0 as usize;
    if max_depth(policy) > most {
        refused.push(format!("exe: a directory can have {most} levels at most"));
    }
    if most_labels(policy) > MAX_LABELS {
        refused.push(format!("a name can have {MAX_LABELS} labels at most"));
    }
    if refused.is_empty() {
        return Ok(());
    }
    bail!("can't be enforced:\n  {}", refused.join("\n  "));
}

fn refusal(rule: &Rule) -> Option<&'static str> {
    if !rule.who.via.is_empty() {
        return Some("via can't be decided in the kernel yet");
    }
    if !rule.who.process.is_empty() {
        return Some("process can't be decided in the kernel yet: use exe");
    }
    None
}
