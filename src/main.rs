//! Parses the command line, runs the command, and reports an error as one line on stderr and
//! exit status 2.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use egrets::cli::{Cli, Command};
use egrets::print::{FileDestination, LineQueue};
use egrets::query::NotUnderstood;
use egrets::{commands, store};
use env_logger::Target;
use log::LevelFilter;

/// Exit status of errors, as in grep and ripgrep.
const ERROR: u8 = 2;

/// Messages that wait for a stalled stderr, in bytes.
const MESSAGES: usize = 1 << 20;
/// How long a stalled stderr delays the end.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    #[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
    look_users_up_in_files();
    let typed = Vec::from_iter(std::env::args_os());
    let resolved = commands::config::resolve(&typed).unwrap_or_else(|e| {
        eprintln!("egrets: {e:#}");
        std::process::exit(ERROR.into());
    });
    let cli = Cli::try_parse_from(&resolved.words).unwrap_or_else(|e| {
        match commands::unknown(&e, typed.get(1).map(OsString::as_os_str)) {
            Some(message) => {
                eprintln!("{message}");
                std::process::exit(ERROR.into());
            }
            None => e.exit(),
        }
    });
    // A stalled terminal must not stall a recording.
    let queue = match is_single_threaded(&cli) {
        true => None,
        false => FileDestination::new(std::io::stderr())
            .and_then(|stderr| LineQueue::start(stderr, MESSAGES))
            .ok(),
    };
    log_to(queue.clone());
    let result = match cli.command {
        #[cfg(feature = "record")]
        None => commands::watch::run(&cli.watch),
        #[cfg(feature = "record")]
        Some(Command::Watch(args)) => commands::watch::run(&args),
        #[cfg(feature = "record")]
        Some(Command::Record(args)) => commands::record::run(&args, resolved.applied),
        #[cfg(feature = "record")]
        Some(Command::Check(args)) => commands::check::run(&args),
        #[cfg(feature = "record")]
        Some(Command::Alert(args)) => commands::alert::run(&args),
        #[cfg(not(feature = "record"))]
        None | Some(Command::Watch(_)) => commands::unavailable("watch"),
        #[cfg(not(feature = "record"))]
        Some(Command::Record(_)) => commands::unavailable("record"),
        #[cfg(not(feature = "record"))]
        Some(Command::Check(_)) => commands::unavailable("check"),
        #[cfg(not(feature = "record"))]
        Some(Command::Alert(_)) => commands::unavailable("alert"),
        Some(Command::Top(args)) => commands::top::run(&args),
        Some(Command::Query(args)) => commands::query::run(&args),
        Some(Command::Export(args)) => commands::export::run(&args),
        Some(Command::Ship(args)) => commands::ship::run(&args),
        Some(Command::Report(args)) => commands::report::run(&args),
        Some(Command::Serve(args)) => commands::serve::run(&args),
        Some(Command::Explain(args)) => commands::explain::run(&args),
        Some(Command::Config(args)) => commands::config::run(&args),
        Some(Command::Policy(args)) => commands::policy::run(&args),
        Some(Command::Status(args)) => commands::status::run(&args),
        Some(Command::ManPages(args)) => commands::man::run(&args),
        Some(Command::Completions(args)) => commands::complete::script(&args),
        Some(Command::CompleteWords(args)) => commands::complete::words(&args),
        #[cfg(feature = "record")]
        Some(Command::FileReader) => egrets::file_reader::serve().map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "record")]
        Some(Command::ProcessControl) => {
            egrets::process_control::serve().map(|()| ExitCode::SUCCESS)
        }
        #[cfg(feature = "record")]
        Some(Command::ConnectionReset) => {
            egrets::connection_reset::serve().map(|()| ExitCode::SUCCESS)
        }
        #[cfg(feature = "record")]
        Some(Command::Notifier) => egrets::notify::serve().map(|()| ExitCode::SUCCESS),
    };
    let code = match result {
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
            let message = match e.downcast_ref::<NotUnderstood>() {
                Some(refused) => below_the_name(&refused.to_string()),
                None => format!("egrets: {e:#}{help}\n"),
            };
            let mut stderr: Box<dyn Write> = match &queue {
                Some(queue) => Box::new(queue.clone()),
                None => Box::new(std::io::stderr()),
            };
            let _ = stderr.write_all(message.as_bytes());
            let _ = stderr.flush();
            ExitCode::from(ERROR)
        }
    };
    if let Some(queue) = queue {
        queue.drain(PATIENCE);
    }
    code
}

/// For the names of users and groups, a C library loads the libraries that nsswitch.conf names.
/// In a statically linked program they would bring a second C library along, of any version.
#[cfg(all(target_feature = "crt-static", target_env = "gnu"))]
fn look_users_up_in_files() {
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const std::ffi::c_char,
            services: *const std::ffi::c_char,
        ) -> std::ffi::c_int;
    }
    for database in [c"passwd", c"group"] {
        // SAFETY: both are constant strings, and no other thread runs yet.
        unsafe { __nss_configure_lookup(database.as_ptr(), c"files".as_ptr()) };
    }
}

/// The lines of a refused question behind "egrets:", so that the caret stays below its word.
fn below_the_name(refused: &str) -> String {
    let lines = refused
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line));
    format!("egrets: {}\n", Vec::from_iter(lines).join("\n        "))
}

/// The helpers fork, and what answers browsers restricts itself before it has threads.
#[cfg(feature = "record")]
fn is_single_threaded(cli: &Cli) -> bool {
    matches!(
        cli.command,
        Some(Command::FileReader | Command::ProcessControl | Command::Notifier | Command::Serve(_))
    )
}

#[cfg(not(feature = "record"))]
fn is_single_threaded(cli: &Cli) -> bool {
    matches!(cli.command, Some(Command::Serve(_)))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Plain lines like those of errors; RUST_LOG=debug adds libbpf's messages.
fn log_to(queue: Option<LineQueue>) {
    let target = match queue {
        Some(queue) => Target::Pipe(Box::new(queue)),
        None => Target::Stderr,
    };
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .parse_default_env()
        .target(target)
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
