//! Policies that are pinned in the kernel: what `egrets policy status` shows of them, and their
//! end, `egrets policy unpin`.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::{short, table};
use crate::commands::local;
use crate::text::printable;

/// One that a recorder has pinned.
pub struct PinnedPolicy {
    /// The recorder.
    pub pid: Option<u32>,
    pub runs: bool,
    /// None: nothing of it decides, or another version can't tell what.
    pub in_force: Option<InForce>,
}

pub struct InForce {
    pub file: String,
    pub digest: String,
    pub generation: u32,
    pub since_ts: i64,
    pub revert_ts: Option<i64>,
    /// Rules, and what decides in place of one: name, action, number of the rule, hits.
    pub rules: Vec<Row>,
}

pub struct Row {
    pub number: Option<usize>,
    pub name: String,
    pub action: String,
    pub enforced: bool,
    /// None: they can't be read.
    pub hits: Option<u64>,
}

/// All that is pinned, as far as the caller may see it: root may.
///
/// # Errors
/// A directory is another user's.
#[cfg(feature = "record")]
pub fn found() -> Result<Vec<PinnedPolicy>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    Ok(crate::enforce::pin::found()?
        .iter()
        .map(kernel::shown)
        .collect())
}

#[cfg(not(feature = "record"))]
pub fn found() -> Result<Vec<PinnedPolicy>> {
    Ok(Vec::new())
}

#[cfg(feature = "record")]
pub use kernel::unpin;

#[cfg(feature = "record")]
mod kernel {
    use std::io::Write;
    use std::process::ExitCode;

    use anyhow::{Result, bail};

    use super::{InForce, PinnedPolicy, Row, line};
    use crate::enforce::pin::{self, Found};
    use crate::model::VerdictRule;

    pub fn shown(found: &Found) -> PinnedPolicy {
        let description = found.before.description();
        let first_setting = description.map_or(0, |of| of.variables.settings_at);
        PinnedPolicy {
            pid: description.map(|of| of.pid),
            runs: found.runs,
            in_force: found.before.in_force().map(|now| {
                let hits = |at: usize| now.hits.as_ref().and_then(|hits| hits.get(at)).copied();
                let rules = now.policy.rules.iter().enumerate().map(|(at, rule)| Row {
                    number: Some(at + 1),
                    name: rule.name.clone(),
                    action: rule.action.clone(),
                    enforced: rule.enforced,
                    hits: hits(at),
                });
                let settings = VerdictRule::SETTINGS.iter().enumerate();
                let settings = settings.filter_map(|(at, setting)| {
                    let hits = hits(first_setting + at);
                    let is_default = *setting == VerdictRule::Default;
                    (is_default || hits.is_some_and(|hits| hits > 0)).then(|| Row {
                        number: None,
                        name: setting.setting().unwrap_or_default().into(),
                        action: match setting {
                            VerdictRule::Default => now.policy.default.clone(),
                            VerdictRule::Essential => "allow".into(),
                            _ => "block".into(),
                        },
                        enforced: now.policy.enforced,
                        hits,
                    })
                });
                InForce {
                    rules: rules.chain(settings).collect(),
                    file: now.policy.file,
                    digest: now.policy.digest,
                    generation: now.policy.generation,
                    since_ts: now.policy.since_ts,
                    revert_ts: now.revert_ts,
                }
            }),
        }
    }

    /// `egrets policy unpin`.
    pub fn unpin() -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            bail!("what is pinned is root's alone: use sudo");
        }
        let (running, ended): (Vec<Found>, Vec<Found>) =
            pin::unpin()?.into_iter().partition(|found| found.runs);
        let mut out = std::io::stdout();
        for found in &ended {
            match shown(found).in_force {
                Some(policy) => writeln!(out, "no longer in force: {}", line(&policy))?,
                None => writeln!(out, "removed what a recorder had left that decided nothing")?,
            }
        }
        let Some(first) = running.first() else {
            if ended.is_empty() {
                writeln!(out, "no policy is pinned")?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let pid = first.before.description().map(|of| of.pid);
        bail!(
            "a recorder{} runs with a pinned policy: stop it first, then unpin",
            pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
        );
    }
}

fn line(policy: &InForce) -> String {
    format!(
        "{}, enforced since {} (generation {}, digest {})",
        printable(&policy.file),
        local(policy.since_ts),
        policy.generation,
        printable(short(&policy.digest))
    )
}

/// A line about it, for those who ask about a policy in a file.
pub fn note(pinned: &PinnedPolicy, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(policy) = &pinned.in_force else {
        return Ok(());
    };
    let ends = match pinned.runs {
        true => "by a recorder that runs",
        false => {
            "without a recorder: 'egrets policy unpin' ends it, a start with --enforce takes over"
        }
    };
    writeln!(out, "pinned: {}, {ends}", line(policy))
}

pub fn write(pinned: &PinnedPolicy, out: &mut dyn Write) -> Result<()> {
    let mut say = |key: &str, text: &str| writeln!(out, "{key:12} {text}");
    if pinned.runs {
        say("pinned", "the policy stays in force when the recorder ends")?;
        return Ok(());
    }
    let Some(policy) = &pinned.in_force else {
        say(
            "pinned",
            "what decides nothing, or what another version has left: 'egrets policy unpin' removes it",
        )?;
        return Ok(());
    };
    say("pinned", &line(policy))?;
    if let Some(revert_ts) = policy.revert_ts {
        let at = local(revert_ts);
        say(
            "on trial",
            &format!("the policy before it is in force again at {at}"),
        )?;
    }
    say(
        "recorder",
        "none: the kernel decides, and learns names; nothing is recorded or notified",
    )?;
    say(
        "",
        "new containers are unknown; kill, suspend and dump refuse and no more",
    )?;
    say(
        "",
        "'egrets policy unpin' ends it, a start with --enforce takes over",
    )?;
    let rows: Vec<Vec<String>> = policy.rules.iter().map(cells).collect();
    writeln!(out)?;
    table::write(&["RULE", "ACTION", "HITS"], &rows, &[2], out)
}

fn cells(rule: &Row) -> Vec<String> {
    let observed = if rule.enforced { "" } else { ", observed" };
    vec![
        printable(&rule.name).into_owned(),
        format!("{}{observed}", printable(&rule.action)),
        rule.hits
            .map_or_else(|| "?".into(), |hits| hits.to_string()),
    ]
}

pub fn json(pinned: &[PinnedPolicy]) -> Value {
    let rule = |rule: &Row| {
        json!({
            "number": rule.number,
            "rule": rule.name,
            "action": rule.action,
            "enforced": rule.enforced,
            "hits": rule.hits,
        })
    };
    let one = |pinned: &PinnedPolicy| {
        let now = pinned.in_force.as_ref();
        json!({
            "pid": pinned.pid,
            "running": pinned.runs,
            "file": now.map(|now| &now.file),
            "digest": now.map(|now| &now.digest),
            "generation": now.map(|now| now.generation),
            "since_ts": now.map(|now| now.since_ts),
            "revert_ts": now.and_then(|now| now.revert_ts),
            "rules": now.map(|now| now.rules.iter().map(rule).collect::<Vec<_>>()),
        })
    };
    pinned.iter().map(one).collect()
}
