//! The prompt of `egrets query` without a question: one question after another, with history
//! and completion, so that asking again needs no new sudo.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Result;
use chrono::Local;
use clap::{Command, CommandFactory};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};

use super::complete::names;
use crate::cli::Cli;
use crate::complete::{Completion, complete};

const PROMPT: &str = "egrets> ";

/// Completes questions with the names of a history.
struct Questions {
    program: Command,
    db: PathBuf,
}

impl Completer for Questions {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = ["query".to_owned()];
        let typed = line.get(..at).unwrap_or(line);
        let mut look_up = |_, kind, typed: &str| names(Some(self.db.clone()), kind, typed);
        let found = complete(&self.program, &before, typed, &Local::now(), &mut look_up);
        let words = match found {
            Completion::Words(words) => words,
            Completion::File => Vec::new(),
        };
        Ok((0, words.into_iter().map(|found| found.word).collect()))
    }
}

impl Hinter for Questions {
    type Hint = String;
}

impl Highlighter for Questions {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for Questions {}

impl Helper for Questions {}

/// Reads questions until the end of input or "exit", and answers each with `answer`.
///
/// # Errors
///
/// Those of the terminal.
pub fn run(db: PathBuf, mut answer: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut program = Cli::command();
    program.build();
    let config = Config::builder()
        .completion_type(rustyline::CompletionType::List)
        .build();
    let mut editor = Editor::<Questions, MemHistory>::with_history(config, MemHistory::new())?;
    editor.set_helper(Some(Questions { program, db }));
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // Ctrl-C drops the line, Ctrl-D leaves.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let question = line.trim();
        match question {
            "" => continue,
            "exit" | "quit" | "q" => return Ok(()),
            _ => {}
        }
        editor.add_history_entry(question)?;
        if let Err(e) = answer(question) {
            eprintln!("{e:#}");
        }
    }
}
