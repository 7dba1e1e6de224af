//! `egrets config`: reads, shows and explains the configuration.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

use crate::cli::{Cli, ConfigArgs, ConfigCommand};
use crate::config::{self, FILE, Resolved};
use crate::privileges::as_the_caller;

pub fn run(args: &ConfigArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let text = match &args.command {
        ConfigCommand::Check(args) => check(args.file.as_deref())?,
        ConfigCommand::Show(args) => show(args.config.as_deref())?,
        ConfigCommand::Example => config::example(&Cli::command()),
    };
    let mut out = stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// What was typed, with the values of the configuration.
///
/// # Errors
/// All that is wrong with the configuration.
pub fn resolve(typed: &[OsString]) -> Result<Resolved> {
    let read = || config::resolve(&Cli::command(), typed, &|name| std::env::var_os(name));
    as_the_caller(read).context("can't drop the capabilities")?
}

/// What the command line says, once the configuration's values are in it.
///
/// # Errors
/// What is wrong with either.
pub fn parse(typed: &[OsString]) -> Result<(Cli, Resolved)> {
    let resolved = resolve(typed)?;
    Ok((Cli::try_parse_from(&resolved.words)?, resolved))
}

fn check(file: Option<&Path>) -> Result<String> {
    let files = config::files(file)?;
    config::check(&Cli::command(), &files)?;
    let mut text = String::new();
    for file in &files.0 {
        let _ = writeln!(text, "{}: no errors", file.display());
    }
    if files.0.is_empty() {
        let _ = writeln!(
            text,
            "there is no {FILE}, and no drop-in: the defaults hold"
        );
    }
    Ok(text)
}

fn show(file: Option<&Path>) -> Result<String> {
    let program = Cli::command();
    let mut sections = Vec::new();
    for command in config::sections(&program) {
        let mut typed = vec![OsString::from("egrets"), command.get_name().into()];
        if let Some(file) = file {
            typed.extend(["--config".into(), file.into()]);
        }
        let resolved = resolve(&typed)?;
        let matches = program.clone().try_get_matches_from(&resolved.words)?;
        if let Some((_, matches)) = matches.subcommand() {
            sections.push(config::show(command, matches, &resolved));
        }
    }
    Ok(sections.join("\n"))
}
