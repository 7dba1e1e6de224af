//! The arguments of commands that this build lacks: it was made without the feature
//! `record`.

use std::ffi::OsString;

use clap::Args;

/// Accepts anything, so that the answer is always that the command is not in this build.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Unavailable {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

pub type WatchArgs = Unavailable;
pub type RecordArgs = Unavailable;
pub type CheckArgs = Unavailable;
pub type AlertArgs = Unavailable;
