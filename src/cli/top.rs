//! The arguments of `top`.

use anyhow::{Context, Result};
use chrono::{DateTime, Local};
use clap::Args;

use super::DbArgs;
use crate::when;

#[derive(Debug, Args)]
#[command(
    after_help = "Shows processes, hosts, containers or connections (Tab), with bytes per second and in all.\n\
    ? shows the keys. For example:\n  \
    sudo egrets top\n  \
    sudo egrets top --since 1h\n  \
    sudo egrets top to public IPs\n\
    It reads the history while a recorder writes to it. Where none runs, root's records itself, and keeps \
    nothing of it."
)]
pub struct TopArgs {
    /// Show only what a question selects, e.g. "curl"; / changes it
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// Show connections that began at or after this time, beside those that are open
    /// [default: now]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    pub db: DbArgs,
}

impl TopArgs {
    #[cfg(feature = "record")]
    pub fn has_since(&self) -> bool {
        self.since.is_some()
    }

    /// Nanoseconds since 1970.
    ///
    /// # Errors
    /// Text that is not a time.
    pub fn since(&self, now: &DateTime<Local>) -> Result<Option<i64>> {
        let since = self.since.as_deref();
        since
            .map(|text| when::parse_start(text, now).map(when::to_ns))
            .transpose()
            .context("--since")
    }
}
