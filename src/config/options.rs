//! Which options a configuration has: those of the commands that read one.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::CONFIG;

/// The commands that read a configuration.
pub fn sections(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| {
        let mut arguments = command.get_arguments();
        arguments.any(|arg| arg.get_long() == Some(CONFIG))
    })
}

pub fn section<'a>(program: &'a Command, name: &str) -> Option<&'a Command> {
    sections(program).find(|command| command.get_name() == name)
}

/// The options of a command that a configuration may set, by the names that they have there.
pub fn options(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|arg| {
        let name = arg.get_long()?;
        let is_set = matches!(
            arg.get_action(),
            ArgAction::Set | ArgAction::Append | ArgAction::SetTrue
        );
        (is_set && name != CONFIG && !arg.is_hide_set()).then_some((name, arg))
    })
}

pub fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    options(command)
        .find(|(known, _)| *known == name)
        .map(|(_, arg)| arg)
}

/// The variable of an option; none if clap reads one itself.
pub fn variable(name: &str, arg: &Arg) -> Option<String> {
    let own = || format!("EGRETS_{}", name.to_uppercase().replace('-', "_"));
    arg.get_env().is_none().then(own)
}

/// A value as TOML has it.
pub fn toml(arg: &Arg, words: &[String]) -> String {
    let quoted = |word: &String| {
        let number = word.parse::<i64>().is_ok_and(|n| n.to_string() == *word);
        match number || matches!(arg.get_action(), ArgAction::SetTrue) {
            true => word.clone(),
            false => quote(word),
        }
    };
    let words = Vec::from_iter(words.iter().map(quoted));
    match (arg.get_action(), words.as_slice()) {
        (ArgAction::Append, words) => format!("[{}]", words.join(", ")),
        (_, words) => words.concat(),
    }
}

/// A basic string.
fn quote(word: &str) -> String {
    let mut out = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
