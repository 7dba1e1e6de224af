//! Parses the command line, runs the command, and reports an error as one line on stderr and
//! exit status 2.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use egrets::cli::{Cli, Command};
use egrets::{commands, store};
use log::LevelFilter;

/// Exit status of errors, as in grep and ripgrep.
const ERROR: u8 = 2;

fn main() -> ExitCode {
    log_to_stderr();
    let cli = Cli::parse();
    let result = match cli.command {
        #[cfg(feature = "record")]
        None => commands::watch::run(&cli.watch),
        #[cfg(feature = "record")]
        Some(Command::Watch(args)) => commands::watch::run(&args),
        #[cfg(feature = "record")]
        Some(Command::Record(args)) => commands::record::run(&args),
        #[cfg(feature = "record")]
        Some(Command::Check(args)) => commands::check::run(&args),
        #[cfg(not(feature = "record"))]
        None | Some(Command::Watch(_)) => commands::unavailable("watch"),
        #[cfg(not(feature = "record"))]
        Some(Command::Record(_)) => commands::unavailable("record"),
        #[cfg(not(feature = "record"))]
        Some(Command::Check(_)) => commands::unavailable("check"),
        Some(Command::Query(args)) => commands::query::run(&args),
        Some(Command::Export(args)) => commands::export::run(&args),
        Some(Command::Explain(args)) => commands::explain::run(&args),
        Some(Command::Status(args)) => commands::status::run(&args),
        Some(Command::ManPages(args)) => commands::man::run(&args),
        Some(Command::Completions(args)) => commands::complete::script(&args),
        Some(Command::CompleteWords(args)) => commands::complete::words(&args),
        #[cfg(feature = "record")]
        Some(Command::FileReader) => egrets::file_reader::serve().map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            let help = match store::is_damaged(&e) {
                true => {
                    "; the file is damaged: 'sqlite3 FILE .recover' shows what can be recovered, and --db selects another file"
                }
                false => "",
            };
            let _ = writeln!(std::io::stderr(), "egrets: {e:#}{help}");
            ExitCode::from(ERROR)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Plain lines like those of errors; RUST_LOG=debug adds libbpf's messages.
fn log_to_stderr() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .parse_default_env()
        .format(|out, record| match record.level() {
            log::Level::Info => writeln!(out, "egrets: {}", record.args()),
            log::Level::Warn => writeln!(out, "egrets: warning: {}", record.args()),
            level => writeln!(
                out,
                "egrets: {}: {}",
                level.as_str().to_lowercase(),
                record.args()
            ),
        })
        .init();
}
