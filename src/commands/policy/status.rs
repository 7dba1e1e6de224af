//! The policy of a recording as `egrets status` shows it: what is in force, and what its rules did.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{pinned, short, table};
use crate::cli::PolicyStatusArgs;
use crate::commands::local;
use crate::human::count;
use crate::store::{self, PolicyStatus, RuleHits};
use crate::text::printable;

/// `egrets policy status`.
pub fn run(args: &PolicyStatusArgs) -> Result<ExitCode> {
    let path = crate::commands::readers_db(&args.db);
    let (pinned, is_known) = match pinned::found() {
        Ok(found) => (found, true),
        Err(e) => {
            log::warn!("what is pinned can't be read: {e:#}");
            (Vec::new(), false)
        }
    };
    let policy = match of_history(&path) {
        // what is pinned decides, with or without a history
        Err(e) if !pinned.is_empty() => {
            log::warn!("{e:#}");
            None
        }
        found => found?,
    };
    if policy.is_none() && pinned.is_empty() {
        bail!(
            "the newest recording in {} has no policy: 'egrets record --policy FILE' records with one",
            path.display()
        );
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut all = policy.as_ref().map_or_else(|| json!({}), json);
        all["pinned"] = pinned::json(&pinned);
        writeln!(out, "{all}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(policy) = &policy {
        if !store::recorder_runs(&path) {
            let stopped = match (pinned.is_empty(), is_known) {
                (true, true) => "nothing is decided now",
                (true, false) => "what is pinned decides, if anything",
                _ => "what is pinned decides, below",
            };
            writeln!(out, "{:12} stopped: {stopped}", "recorder")?;
        }
        write(policy, &mut out)?;
    }
    for (at, one) in pinned.iter().enumerate() {
        if at > 0 || policy.is_some() {
            writeln!(out)?;
        }
        pinned::write(one, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_history(path: &Path) -> Result<Option<PolicyStatus>> {
    let db = store::open_reader(path)?;
    PolicyStatus::read(&db).map_err(|e| store::of_file(e.into(), path))
}

pub fn write(policy: &PolicyStatus, out: &mut dyn Write) -> Result<()> {
    let mode = match policy.enforced {
        true => "enforced",
        false => "observed",
    };
    writeln!(
        out,
        "{:12} {}, {mode} since {} (generation {}, digest {})",
        "policy",
        printable(&policy.file),
        local(policy.ts),
        policy.generation,
        printable(short(&policy.digest))
    )?;
    if let Some(revert_ts) = policy.revert_ts {
        let before = policy.before.as_deref().unwrap_or_default();
        writeln!(
            out,
            "{:12} unless it is confirmed ('egrets policy confirm'), {} is in force again at {}",
            "on trial",
            printable(before),
            local(revert_ts)
        )?;
    }
    if let Some((ts, error)) = &policy.refusal {
        let error = error.lines().map(printable).collect::<Vec<_>>();
        let at = local(*ts);
        writeln!(out, "{:12} a change, {at}: {}", "refused", error.join("; "))?;
    }
    if policy.unknown_containers > 0 {
        let unknown = count(policy.unknown_containers, "container", "containers");
        writeln!(
            out,
            "{:12} {unknown} that no runtime has described",
            "unknown"
        )?;
    }
    let rows: Vec<Vec<String>> = policy.rules.iter().map(cells).collect();
    writeln!(out)?;
    table::write(&["RULE", "ACTION", "HITS", "LAST HIT"], &rows, &[2], out)
}

fn cells(rule: &RuleHits) -> Vec<String> {
    let observed = match rule.enforced {
        true => "",
        false => ", observed",
    };
    vec![
        printable(&rule.name).into_owned(),
        format!("{}{observed}", printable(&rule.action)),
        rule.hits.to_string(),
        rule.last_ts.map(local).unwrap_or_default(),
    ]
}

pub fn json(policy: &PolicyStatus) -> Value {
    let rules: Vec<Value> = policy
        .rules
        .iter()
        .map(|rule| {
            json!({
                "number": rule.number,
                "rule": rule.name,
                "action": rule.action,
                "enforced": rule.enforced,
                "hits": rule.hits,
                "last_ts": rule.last_ts,
            })
        })
        .collect();
    json!({
        "file": policy.file,
        "digest": policy.digest,
        "generation": policy.generation,
        "since_ts": policy.ts,
        "enforced": policy.enforced,
        "revert_ts": policy.revert_ts,
        "unknown_containers": policy.unknown_containers,
        "refused": policy.refusal.as_ref().map(|(ts, error)| json!({ "ts": ts, "error": error })),
        "rules": rules,
    })
}
