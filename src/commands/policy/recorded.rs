//! `egrets policy explain` of a recorded connection: what was decided on it, or what a policy would
//! decide.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension};
use serde_json::json;

use super::explain::{self, as_json, write_reasons, write_text};
use super::short;
use crate::cli::PolicyExplainArgs;
use crate::commands::local;
use crate::policy::traffic::{Traffic, read_one};
use crate::policy::{Explanation, Policy, Sentence, sentence};
use crate::store;
use crate::text::printable;

/// What was decided on a connection when it was recorded.
struct Stored {
    verdict: String,
    enforced: bool,
    rule: String,
    digest: String,
    outcome: String,
    /// The file that the policy came from, if the history still has it.
    file: Option<String>,
}

/// `egrets policy explain`: of a connection that is described, or of a recorded one.
pub fn explain(args: &PolicyExplainArgs) -> Result<ExitCode> {
    let id = |text: &str| text.parse::<i64>().ok();
    match &args.connection[..] {
        [] => match args.file.to_str().and_then(id) {
            Some(id) => decided(id, args),
            None => bail!("which connection? Give its id, or: {}", sentence::FORM),
        },
        [one] => match id(one) {
            Some(id) => put_to(id, args),
            None => explain::run(args),
        },
        _ => explain::run(args),
    }
}

/// What was decided on a recorded connection, and where the rule is.
fn decided(id: i64, args: &PolicyExplainArgs) -> Result<ExitCode> {
    let path = crate::commands::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let of_file = |e| store::of_file(e, &path);
    let traffic = connection(&db, id, &path)?;
    let Some(stored) = Stored::read(&db, id).map_err(of_file)? else {
        bail!(
            "no policy has decided on connection {id}: it was recorded without one, was open before \
             it, or is an answer to a peer that sent first; 'egrets policy explain FILE {id}' puts it \
             to a policy"
        );
    };
    let policy = stored.policy();
    let same = policy.as_ref().ok();
    let now = same.map(|policy| {
        let explanation = policy.explain(&traffic.process.subject, &traffic.to, traffic.ts);
        (policy, explanation)
    });
    let line = same.and_then(|policy| stored.line(policy));
    // What the history lacks, the kernel side knew.
    let agrees = now
        .as_ref()
        .is_some_and(|(policy, explanation)| stored.is_by(policy, explanation.decision.rule));
    let mut out = BufWriter::new(std::io::stdout());
    if args.json {
        let before = now
            .as_ref()
            .filter(|_| agrees)
            .map(|(policy, explanation)| {
                let said = recorded_sentence(&traffic);
                as_json(policy, explanation, &said)["before"].clone()
            });
        let shown = json!({
            "id": id,
            "action": stored.verdict,
            "enforced": stored.enforced,
            "outcome": stored.outcome,
            "rule": stored.rule,
            "policy": stored.digest,
            "file": stored.file,
            "line": line,
            "changed": policy.as_ref().err().map(ToString::to_string),
            "before": before,
        });
        writeln!(out, "{shown}")?;
        return Ok(out.flush().map(|()| ExitCode::SUCCESS)?);
    }
    writeln!(out, "{}", shown(id, &traffic))?;
    let observed = match stored.enforced {
        true => "",
        false => ", only observed",
    };
    let at = line
        .map(|line| format!(" at line {line}"))
        .unwrap_or_default();
    writeln!(
        out,
        "{}{observed}: by \"{}\"{at}; outcome {}",
        printable(&stored.verdict),
        printable(&stored.rule),
        printable(&stored.outcome)
    )?;
    let digest = short(&stored.digest);
    let file = stored.file.as_deref().unwrap_or("a file that is not known");
    writeln!(
        out,
        "policy {}, digest {}",
        printable(file),
        printable(digest)
    )?;
    match (&policy, now) {
        (Err(why), _) => writeln!(out, "{}", printable(&format!("{why:#}")))?,
        (Ok(_), Some((policy, explanation))) if agrees => {
            write_before(policy, &explanation, &mut out)?;
        }
        _ => writeln!(
            out,
            "put to the file, the history gives another rule: it lacks what the kernel side knew, such \
             as names whose answers were not recorded"
        )?,
    }
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}

fn write_before(policy: &Policy, explanation: &Explanation, out: &mut dyn Write) -> Result<()> {
    if !explanation.before.is_empty() {
        writeln!(out, "\nwhy not the rules before:")?;
    }
    write_reasons(policy, explanation, out)
}

/// What a policy decides on a recorded connection.
fn put_to(id: i64, args: &PolicyExplainArgs) -> Result<ExitCode> {
    let policy = super::load(&args.file)?;
    let path = crate::commands::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let traffic = connection(&db, id, &path)?;
    let explanation = policy.explain(&traffic.process.subject, &traffic.to, traffic.ts);
    let said = recorded_sentence(&traffic);
    let mut out = BufWriter::new(std::io::stdout());
    if args.json {
        writeln!(out, "{}", as_json(&policy, &explanation, &said))?;
    } else {
        writeln!(out, "{}", shown(id, &traffic))?;
        write_text(&policy, &explanation, &said, &mut out)?;
    }
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}

fn connection(db: &Connection, id: i64, path: &Path) -> Result<Traffic> {
    let found = read_one(db, id).map_err(|e| store::of_file(e, path))?;
    found.with_context(|| {
        format!(
            "there is no connection {id} in {}: 'egrets query \"what was blocked\" --json' and \
             'egrets record --print' show ids",
            path.display()
        )
    })
}

fn recorded_sentence(traffic: &Traffic) -> Sentence {
    Sentence {
        subject: traffic.process.subject.clone(),
        destination: traffic.to.clone(),
        assumed: vec![
            "the names of the address are those that the history has".to_owned(),
            "only root can change the program's file".to_owned(),
        ],
    }
}

fn shown(id: i64, traffic: &Traffic) -> String {
    let (who, to) = (&traffic.process.subject, &traffic.to);
    let name = to.names.first().map(|name| format!("{} ", name.name));
    let ip = to
        .ip
        .map(|ip| ip.to_string())
        .unwrap_or_else(|| "?".to_owned());
    let port = to
        .port
        .map(|port| format!(" port {port}"))
        .unwrap_or_default();
    let user = who.user.clone().or(who.uid.map(|uid| uid.to_string()));
    let text = format!(
        "connection {id}, {}: {} ({})[{}] to {}{ip}{port} over {}",
        local(traffic.ts),
        who.comm.as_deref().unwrap_or("?"),
        user.as_deref().unwrap_or("?"),
        traffic.process.pid,
        name.unwrap_or_default(),
        to.protocol.as_str()
    );
    printable(&text).into_owned()
}

impl Stored {
    fn read(db: &Connection, id: i64) -> Result<Option<Stored>> {
        let sql = "SELECT action, enforced, rule, policy, outcome,
                          (SELECT file FROM policies WHERE digest = policy ORDER BY id DESC LIMIT 1)
                   FROM verdicts WHERE id = ?1";
        let stored = db.query_row(sql, [id], |row| {
            Ok(Stored {
                verdict: row.get(0)?,
                enforced: row.get(1)?,
                rule: row.get(2)?,
                digest: row.get(3)?,
                outcome: row.get(4)?,
                file: row.get(5)?,
            })
        });
        Ok(stored.optional()?)
    }

    /// The policy that decided, if its file still has it.
    fn policy(&self) -> Result<Policy> {
        let Some(file) = &self.file else {
            bail!("its file is not known: where the rule is, and why it decided, can't be said");
        };
        let policy = super::load(Path::new(file))
            .context("where the rule is, and why it decided, can't be said")?;
        if policy.digest != self.digest {
            bail!(
                "the file, or a list of its, has changed since: where the rule was can't be said"
            );
        }
        Ok(policy)
    }

    fn is_by(&self, policy: &Policy, rule: Option<usize>) -> bool {
        match rule.and_then(|index| Some((index, policy.rules.get(index)?))) {
            Some((index, rule)) => rule.label(index) == self.rule,
            None => matches!(
                self.rule.as_str(),
                "default" | "essential" | "unknown_containers"
            ),
        }
    }

    fn line(&self, policy: &Policy) -> Option<usize> {
        let mut rules = policy.rules.iter().enumerate();
        let (_, rule) = rules.find(|(index, rule)| rule.label(*index) == self.rule)?;
        Some(rule.at.line as usize)
    }
}
