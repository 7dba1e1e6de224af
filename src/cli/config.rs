//! `--config`, and `egrets config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
pub struct ConfigFileArgs {
    /// Options that are not given here, beside those in conf.d next to this file; "none" reads
    /// neither [default: /etc/egrets/egrets.toml]
    #[arg(long, value_name = "FILE", env = "EGRETS_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "An option of record, watch, serve, ship or alert is a key of the section with that name:\n  \
    [record]\n  \
    keep = \"30d\"\n  \
    exclude = [\"loopback\", \"10.0.0.0/8\"]\n\
    What counts, from the most: the command line; the environment, as in EGRETS_KEEP=30d;\n\
    conf.d/*.toml beside the file, the last name first; the file; the default.\n\
    'systemctl reload egrets' has the recorder read it again. docs/config.md has the details."
)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read a configuration and its drop-ins: report all that is wrong with them
    Check(ConfigCheckArgs),
    /// Show the value of each option, and where it comes from
    Show(ConfigFileArgs),
    /// Print a file with every option as a comment
    Example,
}

#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// The file [default: /etc/egrets/egrets.toml]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}
