//! SIGHUP: the configuration is read again, and what can change without a restart does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::SIGHUP;

use super::config;
use crate::cli::{Command, RecordArgs};
use crate::config::Values;
use crate::pipeline::Changes;
use crate::store::RetentionOverrides;

/// The options that change while it records.
const LIVE: [&str; 4] = ["exclude", "keep", "keep-summary", "max-size"];

pub struct Reload {
    requested: Arc<AtomicBool>,
    /// The values that the configuration had when it was last read.
    applied: Values,
}

impl Reload {
    /// From now on SIGHUP requests it. None on a terminal, whose end has to end the recording.
    ///
    /// # Errors
    /// The signal's handler can't be installed.
    pub fn install(applied: Values) -> Result<Option<Reload>> {
        if std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let requested = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&requested)).context("signal handlers")?;
        Ok(Some(Reload { requested, applied }))
    }

    /// What has to change, if it was requested since the last call. A configuration with errors
    /// changes nothing.
    pub fn changes(&mut self) -> Option<Changes> {
        if !self.requested.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.read_again()
            .inspect_err(|e| {
                log::error!("the configuration before stays in force: {e:#}");
            })
            .ok()
    }

    fn read_again(&mut self) -> Result<Changes> {
        let (args, applied) = read()?;
        let names: BTreeSet<&String> = self.applied.keys().chain(applied.keys()).collect();
        let words = |values: &Values, name: &str| values.get(name).map(|value| value.words.clone());
        let changed = names
            .into_iter()
            .filter(|name| words(&self.applied, name) != words(&applied, name));
        let (live, later): (Vec<&str>, Vec<&str>) = changed
            .map(String::as_str)
            .partition(|name| LIVE.contains(name));
        match live.is_empty() {
            true => log::info!("the configuration was read again"),
            false => log::info!("the configuration was read again: new {}", live.join(", ")),
        }
        if !later.is_empty() {
            log::warn!(
                "{} changed, which a restart puts into force: 'systemctl restart egrets'",
                later.join(", ")
            );
        }
        let has = |name| live.contains(&name);
        let changes = Changes {
            exclude: has("exclude").then_some(args.live.exclude),
            retention: RetentionOverrides {
                // what is set nowhere any more stays as the history has it, as at a start
                age: args.keep.filter(|_| has("keep")),
                bytes: args.max_size.filter(|_| has("max-size")),
                summary: args.keep_summary.filter(|_| has("keep-summary")),
            },
        };
        // Until then what was not changed differs from what is in force.
        let in_force = later
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.applied.get(*name)?.clone())));
        let in_force = Vec::from_iter(in_force);
        let later = Vec::from_iter(later.iter().map(|name| (*name).to_owned()));
        self.applied = applied;
        self.applied.retain(|name, _| !later.contains(name));
        self.applied.extend(in_force);
        Ok(changes)
    }
}

/// The arguments of this process, with the configuration as it is now.
fn read() -> Result<(RecordArgs, Values)> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let (cli, resolved) = config::parse(&typed)?;
    match cli.command {
        Some(Command::Record(args)) => Ok((args, resolved.applied)),
        _ => bail!("this process does not record"),
    }
}
