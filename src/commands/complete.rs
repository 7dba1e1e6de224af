//! `egrets completions` prints a shell's script; the scripts call `egrets complete-words`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::Local;
use clap::CommandFactory;

use crate::cli::{Cli, CompleteArgs, CompletionsArgs, DbArgs};
use crate::complete::{self, Completion, Shell, complete};
use crate::query::NameKind;
use crate::store::{self, StoredNames};

/// Most names that are offered.
const MOST: usize = 50;

/// How long to wait for a locked history: the user has just pressed a key.
const PATIENCE: Duration = Duration::from_millis(100);

/// The exit status that makes a script complete a file's path.
const FILE: u8 = 3;

pub fn script(args: &CompletionsArgs) -> Result<ExitCode> {
    std::io::stdout().write_all(args.shell.script().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub fn words(args: &CompleteArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let words = args.words.iter().map(|word| word.to_string_lossy());
    let mut words = Vec::from_iter(words.map(|word| word.into_owned()));
    let last = words.pop().unwrap_or_default();
    // bash passes its raw line; fish passes words, of which the last is raw.
    let read = match args.shell {
        Shell::Bash => complete::read(&last, &args.breaks),
        Shell::Fish => complete::read(&last, "").map(|(_, typed)| (Vec::new(), typed)),
        Shell::Zsh => None,
    };
    let (before, typed) = match (args.shell, read) {
        (Shell::Zsh, _) => (words, None),
        (_, None) => return Ok(ExitCode::SUCCESS),
        (Shell::Bash, Some((line, typed))) => (line.into_iter().skip(1).collect(), Some(typed)),
        (Shell::Fish, Some((_, typed))) => (words, Some(typed)),
    };
    let text = typed.as_ref().map_or(last.as_str(), |typed| &typed.text);
    let mut program = Cli::command();
    program.build();
    let found = match complete(&program, &before, text, &Local::now(), &mut names) {
        Completion::File => return Ok(ExitCode::from(FILE)),
        Completion::Words(found) => found,
    };
    let mut out = String::new();
    for found in found {
        match (args.shell, &typed) {
            (Shell::Bash, Some(typed)) => {
                let Some(word) = complete::write(&found.word, typed) else {
                    continue;
                };
                out.push_str(&word);
            }
            _ if found.about.is_empty() => out.push_str(&found.word),
            _ => out.extend([&found.word, "\t", &found.about]),
        }
        out.push('\n');
    }
    std::io::stdout().write_all(out.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Names in the history; none if it can't be read.
pub fn names(db: Option<PathBuf>, of: NameKind, typed: &str) -> Vec<String> {
    let of = match of {
        NameKind::Host => StoredNames::Hosts,
        NameKind::Process => StoredNames::Programs,
        NameKind::Container => StoredNames::Containers,
        NameKind::Image => StoredNames::Images,
        NameKind::User => StoredNames::Users,
        NameKind::Unit => StoredNames::Units,
        NameKind::Pod => StoredNames::Pods,
        NameKind::Namespace => StoredNames::Namespaces,
        NameKind::Connection => StoredNames::Connections,
        NameKind::Pid | NameKind::Port => return Vec::new(),
    };
    let db = db.or_else(|| std::env::var_os("EGRETS_DB").map(PathBuf::from));
    let found = || -> Result<Vec<String>> {
        let db = store::open_reader(&super::readers_db(&DbArgs { db }))?;
        db.busy_timeout(PATIENCE)?;
        store::names_with_prefix(&db, of, typed, MOST)
    };
    found().unwrap_or_default()
}
