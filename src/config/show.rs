//! What holds, and where it comes from.

use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::options::{options, toml};
use super::resolve::Resolved;

/// The options of a section with what holds, and where that comes from: a file in the same
/// language. `matches` is what clap makes of the command alone.
pub fn show(command: &Command, matches: &ArgMatches, resolved: &Resolved) -> String {
    let mut out = format!("[{}]\n", command.get_name());
    for (name, arg) in options(command) {
        let id = arg.get_id().as_str();
        let raw = || {
            let raw = matches.get_raw(id).into_iter().flatten();
            Vec::from_iter(raw.map(|word| word.to_string_lossy().into_owned()))
        };
        let (words, origin) = match (resolved.configured.get(name), matches.value_source(id)) {
            (_, Some(ValueSource::EnvVariable)) => {
                let variable = arg.get_env().unwrap_or_default();
                (raw(), variable.to_string_lossy().into_owned())
            }
            (Some(value), _) => (value.words.clone(), value.origin.to_string()),
            (None, Some(_)) => (raw(), "default".to_owned()),
            (None, None) => {
                let _ = writeln!(out, "# {name} is not set");
                continue;
            }
        };
        let value = toml(arg, &words);
        let _ = writeln!(out, "{:<40} # {origin}", format!("{name} = {value}"));
    }
    out
}
