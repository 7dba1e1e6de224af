//! `egrets policy replay`: what a policy would have stopped.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use chrono::{DateTime, Local};
use serde_json::{Value, json};

use crate::cli::PolicyReplayArgs;
use crate::human;
use crate::policy::Policy;
use crate::policy::replay::{Decider, Replay, gaps, replay};
use crate::store;
use crate::text::printable;
use crate::when;

use super::table;

/// Processes and destinations that are shown.
const TOP: usize = 10;

pub fn run(args: &PolicyReplayArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let policy = super::load(&args.file)?;
    let span = args.span.between(&Local::now())?;
    let path = crate::commands::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let of_file = |e| store::of_file(e, &path);
    let found = replay(&db, &policy, span, when::now_ts()).map_err(of_file)?;
    ensure!(
        found.connections > 0,
        "{} has no connections in this time, so nothing was tried",
        path.display()
    );
    let gaps = gaps(&db, span).map_err(of_file)?;
    let mut out = BufWriter::new(std::io::stdout());
    match args.json {
        true => writeln!(out, "{}", as_json(&policy, &found))?,
        false => write_text(&policy, &found, &mut out)?,
    }
    out.flush()?;
    if !args.json {
        let us = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        eprintln!(
            "\n{}; took {}",
            human::count(found.connections, "connection", "connections"),
            human::duration(us)
        );
        if gaps > 0 {
            let gaps = human::count(gaps, "gap", "gaps");
            eprintln!(
                "note: the history has {gaps} in this time: what was not recorded was not tried"
            );
        }
        for note in notes(&policy) {
            eprintln!("note: {note}");
        }
    }
    Ok(match found.stopped > 0 {
        true => ExitCode::from(1),
        false => ExitCode::SUCCESS,
    })
}

/// What the history does not tell.
fn notes(policy: &Policy) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let who = |is: fn(&crate::policy::Who) -> bool| policy.rules.iter().any(|rule| is(&rule.who));
    if who(|who| !who.exe.is_empty()) {
        notes.push("that only root can change an executable is assumed");
    }
    if who(|who| who.tree.is_some()) {
        notes.push("'tree' is taken for false: the history is no single command's");
    }
    notes.push(
        "names count whichever resolver they came from: enforced, only those of 'resolvers' do",
    );
    notes
}

fn share(n: i64, of: i64) -> String {
    if of == 0 {
        return "0 %".to_owned();
    }
    let share = n as f64 * 100.0 / of as f64;
    match n > 0 && share < 0.01 {
        true => "< 0.01 %".to_owned(),
        false => format!("{share:.2} %"),
    }
}

fn label(policy: &Policy, decider: &Decider) -> String {
    let rule = decider.decision.rule;
    let label = rule.and_then(|index| Some(policy.rules.get(index)?.label(index)));
    label.unwrap_or_else(|| policy.decider(&decider.decision))
}

fn write_text(policy: &Policy, found: &Replay, out: &mut dyn Write) -> Result<()> {
    let all = found.connections;
    writeln!(
        out,
        "would be stopped: {} ({})",
        found.stopped,
        share(found.stopped, all)
    )?;
    let others = [
        ("only observed:", found.observed),
        ("would alert:", found.alerted),
    ];
    for (label, n) in others.into_iter().filter(|(_, n)| *n > 0) {
        writeln!(out, "{label:17} {n} ({})", share(n, all))?;
    }
    if let Some(stale) = found.stale.filter(|stale| *stale > 0) {
        let share = share(stale, all);
        writeln!(
            out,
            "perhaps stale:    {stale} ({share}): their answers had expired, their askers may have ended"
        )?;
    }
    writeln!(out)?;
    let rows: Vec<Vec<String>> = found
        .deciders
        .iter()
        .map(|decider| {
            let example = &decider.example;
            let time = DateTime::from_timestamp_nanos(example.ts).with_timezone(&Local);
            vec![
                printable(&label(policy, decider)).into_owned(),
                decider.decision.action.as_str().to_owned(),
                decider.connections.to_string(),
                share(decider.connections, all),
                decider.stopped.to_string(),
                format!(
                    "{} {} to {}",
                    time.format("%m-%d %H:%M"),
                    example.process,
                    example.destination
                ),
            ]
        })
        .collect();
    let head = ["RULE", "ACTION", "CONNS", "SHARE", "STOPPED", "EXAMPLE"];
    table::write(&head, &rows, &[2, 3, 4], out)?;
    ranking(
        "PROCESS",
        &found.processes,
        found.unranked_processes,
        found,
        out,
    )?;
    ranking(
        "DESTINATION",
        &found.destinations,
        found.unranked_destinations,
        found,
        out,
    )
}

fn ranking(
    what: &str,
    of: &[(String, i64)],
    unranked: i64,
    found: &Replay,
    out: &mut dyn Write,
) -> Result<()> {
    if of.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = of
        .iter()
        .take(TOP)
        .map(|(key, n)| vec![key.clone(), n.to_string(), share(*n, found.stopped)])
        .collect();
    let rest: i64 = of.iter().skip(TOP).map(|(_, n)| n).sum::<i64>() + unranked;
    if rest > 0 {
        rows.push(vec![
            "others".into(),
            rest.to_string(),
            share(rest, found.stopped),
        ]);
    }
    writeln!(out)?;
    table::write(&[what, "STOPPED", "SHARE"], &rows, &[1, 2], out)
}

fn as_json(policy: &Policy, found: &Replay) -> Value {
    let rules: Vec<Value> = found
        .deciders
        .iter()
        .map(|decider| {
            let decision = &decider.decision;
            json!({
                "by": label(policy, decider),
                "rule": decision.rule.map(|index| index + 1),
                "line": decision.rule.map(|_| policy.place(decision).line),
                "action": decision.action.as_str(),
                "enforced": decision.enforced,
                "connections": decider.connections,
                "stopped": decider.stopped,
                "example": {
                    "time": when::iso(decider.example.ts),
                    "process": decider.example.process,
                    "destination": decider.example.destination,
                },
            })
        })
        .collect();
    let ranked = |of: &[(String, i64)]| -> Vec<Value> {
        of.iter()
            .map(|(key, n)| json!({ "name": key, "stopped": n }))
            .collect()
    };
    json!({
        "policy": policy.digest,
        "connections": found.connections,
        "stopped": found.stopped,
        "observed": found.observed,
        "alerted": found.alerted,
        "stale": found.stale,
        "lookups": found.lookups.as_ref().map(|lookups| json!({
            "lookups": lookups.lookups,
            "refused": lookups.refused,
            "names": ranked(&lookups.names),
        })),
        "rules": rules,
        "processes": ranked(&found.processes),
        "destinations": ranked(&found.destinations),
    })
}
