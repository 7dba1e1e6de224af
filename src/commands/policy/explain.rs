//! `egrets policy explain`: which rule decides about a connection, and why the others do not.

use std::env;
use std::fs;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use nix::unistd::User;
use serde_json::{Value, json};

use crate::cli::PolicyExplainArgs;
use crate::policy::{Decision, Explanation, Policy, Sentence, System, sentence};
use crate::text::printable;
use crate::when;

pub fn run(args: &PolicyExplainArgs) -> Result<ExitCode> {
    let policy = super::load(&args.file)?;
    let system = System {
        program: &program,
        uid: &uid,
    };
    let said = sentence::parse(&args.connection.join(" "), &policy, &system)?;
    let explanation = policy.explain(&said.subject, &said.destination, when::now_ts());
    let mut out = BufWriter::new(std::io::stdout());
    match args.json {
        true => writeln!(out, "{}", as_json(&policy, &explanation, &said))?,
        false => write_text(&policy, &explanation, &said, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A program's path as the kernel sees it: its links followed.
fn program(name: &str) -> Option<String> {
    let paths = env::var_os("PATH")?;
    let found = env::split_paths(&paths)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())?;
    fs::canonicalize(found)
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

fn uid(name: &str) -> Option<u32> {
    User::from_name(name).ok()?.map(|user| user.uid.as_raw())
}

/// What becomes of the connection, in words.
fn outcome(decision: &Decision) -> String {
    let action = decision.action.as_str();
    match decision.enforced {
        true => action.to_owned(),
        false => format!("{action}, but the rule only observes: it is let through"),
    }
}

pub fn write_text(
    policy: &Policy,
    explanation: &Explanation,
    said: &Sentence,
    out: &mut dyn Write,
) -> Result<()> {
    let decision = &explanation.decision;
    let decider = policy.decider(decision);
    let place = match decision.rule {
        Some(_) => format!(" at line {}", policy.place(decision).line),
        None => String::new(),
    };
    writeln!(
        out,
        "{}: by {}{place}",
        outcome(decision),
        printable(&decider)
    )?;
    if !explanation.before.is_empty() {
        writeln!(out, "\nwhy not the rules before:")?;
    }
    write_reasons(policy, explanation, out)?;
    if !said.assumed.is_empty() {
        writeln!(out, "\nassumed, as it was not said:")?;
    }
    for assumed in &said.assumed {
        writeln!(out, "  {}", printable(assumed))?;
    }
    Ok(())
}

/// Why the rules before the one that decides do not match, a line each.
pub fn write_reasons(
    policy: &Policy,
    explanation: &Explanation,
    out: &mut dyn Write,
) -> Result<()> {
    for (index, why) in &explanation.before {
        let Some(rule) = policy.rules.get(*index) else {
            continue;
        };
        let label = rule.label(*index);
        writeln!(
            out,
            "  {} at line {} ({}): {}",
            printable(&label),
            rule.at.line,
            rule.action.as_str(),
            printable(why)
        )?;
    }
    Ok(())
}

pub fn as_json(policy: &Policy, explanation: &Explanation, said: &Sentence) -> Value {
    let decision = &explanation.decision;
    let rule = |index: usize| policy.rules.get(index).map(|rule| rule.label(index));
    let before: Vec<Value> = explanation
        .before
        .iter()
        .map(|(index, why)| json!({ "rule": rule(*index), "why": why }))
        .collect();
    json!({
        "action": decision.action.as_str(),
        "enforced": decision.enforced,
        "stops": decision.stops(),
        "rule": decision.rule.and_then(rule),
        "line": decision.rule.map(|_| policy.place(decision).line),
        "by": policy.decider(decision),
        "before": before,
        "assumed": said.assumed,
    })
}
