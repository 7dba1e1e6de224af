//! Completion of command lines: commands, options and their values, the words of a question,
//! and names in the history.
//!
//! The shells' scripts (completions/) call `egrets complete-words`. Pure, except for the names,
//! which the caller looks up.

mod line;

use std::path::PathBuf;

use chrono::{DateTime, TimeZone};
use clap::{Arg, ArgAction, Command, ValueEnum, ValueHint};

use crate::query::{NameKind, expected, written};
use crate::text::is_printable;
pub use line::{Quote, Typed, read, write};

/// The shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The script that makes the shell complete egrets' command lines.
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("../../completions/egrets.bash"),
            Shell::Zsh => include_str!("../../completions/_egrets"),
            Shell::Fish => include_str!("../../completions/egrets.fish"),
        }
    }
}

/// What can follow.
#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    Words(Vec<CompletedWord>),
    /// The path of a file, which the shell completes itself.
    File,
}

/// A completion of the word being typed, with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedWord {
    pub word: String,
    pub about: String,
}

/// Looks up names of a kind with a prefix, in the history of `--db` if the command line has
/// that option.
pub type LookUp<'a> = &'a mut dyn FnMut(Option<PathBuf>, NameKind, &str) -> Vec<String>;

/// The position of the cursor: what the words before it mean.
struct Place<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    option: Option<&'a Arg>,
    /// The options that were given.
    given: Vec<&'a Arg>,
    /// Arguments that are neither commands nor options.
    rest: Vec<&'a str>,
    /// After `--`, everything belongs to another command.
    verbatim: bool,
    db: Option<PathBuf>,
}

/// What can replace `typed` after the words `before`, which start after the program's name.
pub fn complete<Tz: TimeZone>(
    program: &Command,
    before: &[String],
    typed: &str,
    now: &DateTime<Tz>,
    look_up: LookUp<'_>,
) -> Completion {
    let place = Place::after(program, before);
    if place.verbatim {
        return Completion::File;
    }
    if let Some(option) = place.option {
        return values(option, "", typed);
    }
    if let Some((name, value)) = typed.split_once('=')
        && let Some(option) = place.named(name)
    {
        return values(option, &format!("{name}="), value);
    }
    if typed.starts_with('-') {
        return Completion::Words(place.options(typed));
    }
    match place.command.get_name() {
        "query" | "export" | "report" | "serve" | "top" | "alert" => {
            Completion::Words(question(&place, typed, now, look_up))
        }
        "explain" if place.rest.is_empty() => Completion::Words(ids(&place, typed, look_up)),
        _ if place.rest.is_empty() && place.takes_a_file() => Completion::File,
        _ if place.rest.is_empty() => Completion::Words(commands(place.command, typed)),
        _ => Completion::Words(Vec::new()),
    }
}

impl<'a> Place<'a> {
    fn after(program: &'a Command, before: &'a [String]) -> Place<'a> {
        let mut place = Place {
            command: program,
            option: None,
            given: Vec::new(),
            rest: Vec::new(),
            verbatim: false,
            db: None,
        };
        for word in before.iter().filter(|word| !word.is_empty()) {
            place.pass(word);
        }
        place
    }

    /// Advances past a word.
    fn pass(&mut self, word: &'a str) {
        if self.verbatim {
            return;
        }
        if let Some(option) = self.option.take() {
            self.value(option, word);
        } else if word == "--" {
            self.verbatim = true;
        } else if word.starts_with('-') && word != "-" {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let Some(option) = self.named(name) else {
                return;
            };
            self.given.push(option);
            match value {
                Some(value) => self.value(option, value),
                None => self.option = takes_value(option).then_some(option),
            }
        } else if let Some(command) = self.command.find_subcommand(word)
            && self.rest.is_empty()
        {
            self.command = command;
        } else {
            self.rest.push(word);
        }
    }

    fn value(&mut self, option: &Arg, value: &str) {
        if option.get_id() == "db" {
            self.db = Some(value.into());
        }
    }

    /// The option with this name, such as `--db` or `-o`.
    fn named(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| {
            let long = name.strip_prefix("--");
            let short = name
                .strip_prefix('-')
                .and_then(|short| short.chars().next());
            match long {
                Some(long) => arg.get_long() == Some(long),
                None => arg.get_short().is_some() && arg.get_short() == short,
            }
        })
    }

    /// Whether the command's first argument is a file.
    fn takes_a_file(&self) -> bool {
        let first = self.command.get_positionals().next();
        first.is_some_and(|arg| arg.get_value_hint() == ValueHint::FilePath)
    }

    /// The options that can still be given.
    fn options(&self, typed: &str) -> Vec<CompletedWord> {
        let many = |arg: &Arg| matches!(arg.get_action(), ArgAction::Append);
        let given = |arg: &Arg| {
            self.given
                .iter()
                .any(|given| given.get_id() == arg.get_id())
        };
        let arguments = self.command.get_arguments();
        let open = arguments.filter(|arg| !arg.is_hide_set() && (many(arg) || !given(arg)));
        let options = open.filter_map(|arg| {
            let word = format!("--{}", arg.get_long()?);
            word.starts_with(typed).then(|| CompletedWord {
                word,
                about: about(arg.get_help()),
            })
        });
        options.collect()
    }
}

fn takes_value(arg: &Arg) -> bool {
    let set = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    // a value that is optional is in the same word
    set && !arg.is_require_equals_set()
}

/// The values of an option, each with `prefix`.
fn values(option: &Arg, prefix: &str, typed: &str) -> Completion {
    let paths = matches!(
        option.get_value_hint(),
        ValueHint::FilePath | ValueHint::AnyPath
    );
    if paths && prefix.is_empty() {
        return Completion::File;
    }
    let possible = option.get_possible_values().into_iter();
    let values =
        possible.filter(|value| !value.is_hide_set() && value.get_name().starts_with(typed));
    Completion::Words(
        values
            .map(|value| CompletedWord {
                word: format!("{prefix}{}", value.get_name()),
                about: about(value.get_help()),
            })
            .collect(),
    )
}

fn commands(command: &Command, typed: &str) -> Vec<CompletedWord> {
    let commands = command.get_subcommands();
    let shown = commands.filter(|c| !c.is_hide_set() && c.get_name().starts_with(typed));
    let mut candidates = Vec::from_iter(shown.map(|command| CompletedWord {
        word: command.get_name().to_owned(),
        about: about(command.get_about()),
    }));
    // The values of a positional argument: a shell's name.
    let arguments = command.get_positionals();
    candidates.extend(arguments.flat_map(|arg| match values(arg, "", typed) {
        Completion::Words(words) => words,
        Completion::File => Vec::new(),
    }));
    candidates
}

/// The words and names that can continue a question, which may be a single quoted word of the
/// shell or several.
fn question<Tz: TimeZone>(
    place: &Place<'_>,
    typed: &str,
    now: &DateTime<Tz>,
    look_up: LookUp<'_>,
) -> Vec<CompletedWord> {
    // After the last whitespace, which may be several bytes long.
    let last = typed.rsplit(char::is_whitespace).next().unwrap_or(typed);
    let head = typed.strip_suffix(last).unwrap_or_default();
    let before = format!("{} {head}", place.rest.join(" "));
    let expected = expected(&before, last, now);
    let candidate = |word: &str, about: &str| CompletedWord {
        word: format!("{head}{word}"),
        about: about.to_owned(),
    };
    let mut candidates = Vec::from_iter(expected.words.iter().map(|word| candidate(word, "")));
    let Some(kind) = expected.names else {
        return candidates;
    };
    let about = match kind {
        NameKind::Host => "host",
        NameKind::Process => "program",
        NameKind::Container => "container",
        NameKind::Image => "image",
        NameKind::User => "user",
        NameKind::Unit => "unit",
        NameKind::Pod => "pod",
        NameKind::Namespace => "namespace",
        NameKind::Pid | NameKind::Port | NameKind::Connection => return candidates,
    };
    // Names with control characters can't be typed, and would control the terminal.
    let mut names = look_up(place.db.clone(), kind, last);
    names.retain(|name| name.starts_with(last) && name.chars().all(is_printable));
    let names = names
        .iter()
        .map(|name| candidate(&written(&before, name, now), about))
        .collect::<Vec<_>>()
        .into_iter();
    match last.is_empty() {
        // Nothing is typed yet: what the history has says most.
        true => names.chain(candidates.clone()).collect(),
        false => {
            candidates.extend(names);
            candidates
        }
    }
}

/// The ids of the newest connections.
fn ids(place: &Place<'_>, typed: &str, look_up: LookUp<'_>) -> Vec<CompletedWord> {
    let ids = look_up(place.db.clone(), NameKind::Connection, typed).into_iter();
    ids.map(|word| CompletedWord {
        word,
        about: "connection".to_owned(),
    })
    .collect()
}

/// The first line of a help text.
fn about(help: Option<&clap::builder::StyledStr>) -> String {
    let text = help.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
