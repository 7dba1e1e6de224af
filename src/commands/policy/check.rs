//! `egrets policy check`: what is wrong with a policy, and what may not be meant.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use nix::unistd::User;

use super::pinned;
use crate::cli::PolicyCheckArgs;
use crate::human::count;
use crate::policy::{Owner, Policy};
use crate::text::printable;
use crate::when;

pub fn run(args: &PolicyCheckArgs) -> Result<ExitCode> {
    let policy = super::load(&args.file)?;
    let file = args.file.display().to_string();
    let file = printable(&file);
    let mut out = BufWriter::new(std::io::stdout());
    let is_user = |name: &str| User::from_name(name).is_ok_and(|user| user.is_some());
    let warnings = policy.warnings(when::now_ts(), is_user);
    for warning in &warnings {
        let text = printable(&warning.text);
        writeln!(
            out,
            "{file}:{}:{}: warning: {text}",
            warning.at.line, warning.at.column
        )?;
    }
    let of_host = of_host(&policy);
    for text in &of_host {
        writeln!(out, "{file}: warning: on this host, {}", printable(text))?;
    }
    let unsupported = unsupported(&policy);
    for what in &unsupported {
        writeln!(
            out,
            "{file}: warning: not enforced by this version: {}",
            printable(what)
        )?;
    }
    if Policy::load(&args.file, Owner::Root).is_err() {
        writeln!(
            out,
            "{file}: warning: recording with it takes a file, and lists, of root's"
        )?;
    }
    writeln!(
        out,
        "{file}: {}",
        summary(&policy, warnings.len() + of_host.len() + unsupported.len())
    )?;
    // not the file's: another policy, or one before
    for pinned in pinned::found()? {
        pinned::note(&pinned, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What of this host changes what the policy does.
#[cfg(feature = "record")]
fn of_host(policy: &Policy) -> Vec<String> {
    crate::enforce::host::warnings(policy)
}

#[cfg(not(feature = "record"))]
fn of_host(_: &Policy) -> Vec<String> {
    Vec::new()
}

/// What the kernel side can't carry out: recording with the policy is refused.
#[cfg(feature = "record")]
fn unsupported(policy: &Policy) -> Vec<String> {
    crate::enforce::unsupported(policy)
}

#[cfg(not(feature = "record"))]
fn unsupported(_: &Policy) -> Vec<String> {
    Vec::new()
}

fn summary(policy: &Policy, warnings: usize) -> String {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let mut text = count(number(policy.rules.len()), "rule", "rules");
    text += &format!(", default: {}", policy.default.as_str());
    if !policy.lists.is_empty() {
        let entries: usize = policy.lists.iter().map(|list| list.len()).sum();
        let lists = count(number(policy.lists.len()), "list", "lists");
        let entries = count(number(entries), "entry", "entries");
        text += &format!(", {lists} with {entries}");
    }
    match warnings {
        0 => text + ", no warnings",
        n => text + ", " + &count(number(n), "warning", "warnings"),
    }
}
