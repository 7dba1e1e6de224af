//! Puts the configuration's values in front of what was typed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::message;
use super::options::{option, options, section, sections, variable};
use super::{CONFIG, ConfigErrors, Files, Origin, Settings, Value, files};

/// The command without a name on the command line.
const WATCH: &str = "watch";

/// An option that only holds around a command.
const FAIL_ON: &str = "fail-on";

/// The argument of such a command.
const AROUND: &str = "command";

/// Values of one command, by option.
pub type Values = BTreeMap<String, Value>;

/// A command line that has the configuration's values.
#[derive(Debug)]
pub struct Resolved {
    pub words: Vec<OsString>,
    /// The values that it got.
    pub applied: Values,
    /// All that is configured for its command.
    pub configured: Values,
}

/// The command line that `typed` and the configuration make.
///
/// # Errors
/// All that is wrong with the configuration. What is wrong with `typed` stays for clap.
pub fn resolve(
    program: &Command,
    typed: &[OsString],
    variables: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Resolved> {
    let lenient = program.clone().ignore_errors(true);
    let place = lenient
        .try_get_matches_from(typed)
        .ok()
        .and_then(|matches| Place::of(program, typed, matches));
    let Some(place) = place else {
        // The help, a command without options here, or what clap will refuse.
        return Ok(Resolved {
            words: typed.to_vec(),
            applied: Values::new(),
            configured: Values::new(),
        });
    };
    let named = place.given.get_one::<PathBuf>(CONFIG);
    let files = files(named.map(PathBuf::as_path))?;
    let mut errors = Vec::new();
    let mut settings = files.read(program, &mut errors);
    environment(place.command, variables, &mut settings, &mut errors);
    refusals(program, &settings, &mut errors);
    refuse(errors)?;
    let (configured, applied) = place.apply(&settings);
    refuse(Vec::from_iter(place.conflict(program, typed, &applied)))?;
    Ok(Resolved {
        words: place.with(typed, &applied),
        applied,
        configured,
    })
}

/// Reads a file and its drop-ins for every command, without running one.
///
/// # Errors
/// All that is wrong with them.
pub fn check(program: &Command, files: &Files) -> Result<()> {
    let mut errors = Vec::new();
    let settings = files.read(program, &mut errors);
    refusals(program, &settings, &mut errors);
    if errors.is_empty() {
        for command in sections(program) {
            let typed = ["egrets".into(), command.get_name().into()];
            let lenient = program.clone().ignore_errors(true);
            let matches = lenient.try_get_matches_from(&typed)?;
            if let Some(place) = Place::of(program, &typed, matches) {
                let (_, applied) = place.apply(&settings);
                errors.extend(place.conflict(program, &typed, &applied));
            }
        }
    }
    refuse(errors)
}

fn refuse(errors: Vec<String>) -> Result<()> {
    match errors.is_empty() {
        true => Ok(()),
        false => bail!(ConfigErrors(errors)),
    }
}

/// Where on a command line the values of a section belong.
struct Place<'a> {
    command: &'a Command,
    /// What was typed of the command, as far as it is right.
    given: ArgMatches,
    /// Behind this many words.
    at: usize,
}

impl<'a> Place<'a> {
    /// None for a command that reads no configuration.
    fn of(program: &'a Command, typed: &[OsString], mut matches: ArgMatches) -> Option<Place<'a>> {
        let (name, given, at) = match matches.remove_subcommand() {
            Some((name, given)) => {
                // Behind the program's own name, whatever that is.
                let at = typed.iter().skip(1).position(|word| *word == *name)?;
                (name, given, at + 2)
            }
            None => (WATCH.to_owned(), matches, 1),
        };
        let command = section(program, &name)?;
        Some(Place { command, given, at })
    }

    fn is_given(&self, arg: &Arg) -> bool {
        matches!(
            self.given.value_source(arg.get_id().as_str()),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    }

    /// The values that are configured, and of these those that nothing typed replaces.
    fn apply(&self, settings: &Settings) -> (Values, Values) {
        let mut configured = Values::new();
        let mut applied = Values::new();
        for (option, arg) in options(self.command) {
            let key = (self.command.get_name().to_owned(), option.to_owned());
            let Some(value) = settings.get(&key) else {
                continue;
            };
            configured.insert(option.to_owned(), value.clone());
            let mut others = self.command.get_arguments();
            let is_replaced = others.any(|other| self.excludes(other, arg) && self.is_given(other));
            let has_no_command = option == FAIL_ON && !self.given.contains_id(AROUND);
            if !self.is_given(arg) && !is_replaced && !has_no_command {
                applied.insert(option.to_owned(), value.clone());
            }
        }
        (configured, applied)
    }

    /// Whether only one of two options can be given.
    fn excludes(&self, one: &Arg, other: &Arg) -> bool {
        let against = |a: &Arg, b: &Arg| {
            let others = self.command.get_arg_conflicts_with(a);
            others.iter().any(|arg| arg.get_id() == b.get_id())
        };
        against(one, other) || against(other, one)
    }

    /// The command line with these values behind its first words.
    fn with(&self, typed: &[OsString], values: &Values) -> Vec<OsString> {
        let (before, after) = typed.split_at(self.at.min(typed.len()));
        let mut words = before.to_vec();
        words.extend(values.iter().flat_map(|(name, value)| {
            let arg = option(self.command, name);
            typed_as(name, arg.is_some_and(is_flag), value)
        }));
        words.extend_from_slice(after);
        words
    }

    /// Why the values do not go with each other, or with what was typed, where it is for them.
    fn conflict(&self, program: &Command, typed: &[OsString], values: &Values) -> Option<String> {
        let parse = |values: &Values| {
            let words = self.with(typed, values);
            program.clone().try_get_matches_from(words).err()
        };
        let error = parse(values).filter(clap::Error::use_stderr)?;
        if parse(&Values::new()).is_some() {
            return None;
        }
        let culprits = values.iter().filter(|(name, _)| {
            let mut others = values.clone();
            others.remove(*name);
            parse(&others).is_none()
        });
        let mut culprits = Vec::from_iter(culprits.map(|(_, value)| value.origin.to_string()));
        if culprits.is_empty() {
            culprits.extend(values.values().map(|value| value.origin.to_string()));
        }
        Some(format!("{}: {}", culprits.join(", "), message(&error)))
    }
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// A value as words of a command line.
fn typed_as(option: &str, is_flag: bool, value: &Value) -> Vec<OsString> {
    let words = value.words.iter();
    match is_flag {
        true => words
            .filter(|word| *word == "true")
            .map(|_| format!("--{option}").into())
            .collect(),
        false => words
            .map(|word| format!("--{option}={word}").into())
            .collect(),
    }
}

/// The variables of a command's options. An empty one counts as none.
fn environment(
    command: &Command,
    variables: &dyn Fn(&str) -> Option<OsString>,
    settings: &mut Settings,
    errors: &mut Vec<String>,
) {
    for (option, arg) in options(command) {
        let Some(variable) = variable(option, arg) else {
            continue;
        };
        let Some(text) = variables(&variable).filter(|text| !text.is_empty()) else {
            continue;
        };
        let Some(text) = text.to_str() else {
            errors.push(format!("{variable}: this is not UTF-8 text"));
            continue;
        };
        let words = match arg.get_action() {
            ArgAction::Append => Vec::from_iter(text.split(',').map(|word| word.trim().to_owned())),
            ArgAction::SetTrue if !["true", "false"].contains(&text) => {
                errors.push(format!("{variable} takes true or false"));
                continue;
            }
            _ => vec![text.to_owned()],
        };
        let key = (command.get_name().to_owned(), option.to_owned());
        let origin = Origin::Environment(variable);
        settings.insert(key, Value { words, origin });
    }
}

/// What the options' own parsers refuse.
fn refusals(program: &Command, settings: &Settings, errors: &mut Vec<String>) {
    for ((name, key), value) in settings {
        let arg = section(program, name).and_then(|command| option(command, key));
        let (Some(command), Some(arg)) = (section(program, name), arg) else {
            continue;
        };
        let mut words = vec![OsString::from(name)];
        words.extend(typed_as(key, is_flag(arg), value));
        let refused = command.clone().try_get_matches_from(words).err();
        // Whether it goes with the others is seen later.
        let refused = refused.filter(|error| {
            matches!(
                error.kind(),
                ErrorKind::ValueValidation | ErrorKind::InvalidValue
            )
        });
        if let Some(error) = refused {
            errors.push(format!("{}: {}", value.origin, message(&error)));
        }
    }
}
