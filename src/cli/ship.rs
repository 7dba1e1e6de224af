//! The arguments of `egrets ship`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::{ConfigFileArgs, DbArgs, Split, values};

#[derive(Debug, Args)]
#[command(after_help = "Beside a recorder, as egrets-ship.service does:\n  \
    egrets ship --to s3://bucket/egress --label cluster=prod\n  \
    egrets ship --to /srv/egress --every 1m\n  \
    egrets ship --to /srv/egress --once\n\
    Each row is in the dataset once, also after a crash. While the place can't be reached, the history\n\
    keeps what is to be shipped. Object stores take their credentials from the environment, such as\n\
    AWS_ACCESS_KEY_ID. docs/fleet.md has the details.")]
pub struct ShipArgs {
    /// Where the dataset is: a directory, s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH
    #[arg(long, value_name = "PLACE", value_hint = ValueHint::DirPath)]
    pub to: Option<String>,
    /// How often new rows are written
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    pub every: Duration,
    /// Write what is new now, and end
    #[arg(long)]
    pub once: bool,
    /// Write a file per UTC day or hour
    #[arg(long, value_name = "BY", default_value = "hour")]
    pub split: Split,
    /// Leave the files of a day's hours once it is over, instead of making them one
    #[arg(long)]
    pub keep_hours: bool,
    /// Only rows since this time, from the beginning of its day or hour [default: all]
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The machine's name [default: as recorded]
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// A label of the machine, such as cluster=prod; can be repeated
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "EGRETS_LABELS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub label: Vec<String>,
    /// Write counters to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub metrics_file: Option<PathBuf>,
    #[command(flatten)]
    pub db: DbArgs,
    #[command(flatten)]
    pub config: ConfigFileArgs,
}
