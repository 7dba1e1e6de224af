//! `egrets man-pages`: a man page for each command, for `make install`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, ManArgs};

pub fn run(args: &ManArgs) -> Result<ExitCode> {
    let directory = &args.directory;
    fs::create_dir_all(directory)
        .and_then(|()| {
            clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)
        })
        .with_context(|| format!("can't write {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
