//! The arguments of the commands that load the BPF programs.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum, ValueHint};

use super::values::{at_least_one, duration, kept_time, max_size, ring_bytes};
use super::{ConfigFileArgs, DbArgs};
use crate::attribute::Exclude;
use crate::capture::{self, HookSet, MAX_OTHER_PORTS};
use crate::store::Override;

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Print one JSON object per line, with this schema's fields: --format json, ecs or ocsf
    #[arg(long, value_name = "SCHEMA", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "egrets")]
    pub json: Option<JsonSchema>,
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Whose fields the objects of the live log have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JsonSchema {
    /// The columns of the history
    Egrets,
    /// The Elastic Common Schema's
    Ecs,
    /// The Open Cybersecurity Schema Framework's
    Ocsf,
}

impl From<JsonSchema> for LogFormat {
    fn from(schema: JsonSchema) -> LogFormat {
        match schema {
            JsonSchema::Egrets => LogFormat::Json,
            JsonSchema::Ecs => LogFormat::Ecs,
            JsonSchema::Ocsf => LogFormat::Ocsf,
        }
    }
}

/// The forms of the live log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line per connection when it ends
    Compact,
    /// A line per event, as key=value, in the original egrets' form
    Classic,
    /// A JSON object per event, with the columns of the history
    Json,
    /// With the fields of the Elastic Common Schema
    Ecs,
    /// With the attributes of the Open Cybersecurity Schema Framework
    Ocsf,
}

/// Where the live log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    Stdout,
    Journald,
    Syslog,
    Remote(SocketAddr),
}

/// RFC 5426, section 3.3.
const SYSLOG_PORT: u16 = 514;

impl FromStr for LogTo {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<LogTo> {
        match text {
            "stdout" => return Ok(LogTo::Stdout),
            "journald" => return Ok(LogTo::Journald),
            "syslog" => return Ok(LogTo::Syslog),
            _ => {}
        }
        let Some(address) = text.strip_prefix("udp://") else {
            bail!("stdout, journald, syslog or udp://ADDRESS:PORT");
        };
        let ip = address.trim_start_matches('[').trim_end_matches(']');
        let with_port = ip.parse().map(|ip: IpAddr| (ip, SYSLOG_PORT).into());
        match address.parse().or(with_port) {
            Ok(address) => Ok(LogTo::Remote(address)),
            Err(_) => bail!("an IP address, as in udp://192.0.2.1:514 or udp://[2001:db8::1]:514"),
        }
    }
}

/// What watch and record share.
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// Stop after this time, e.g. 60s, 10m, 1h 30m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How the live log looks [default: compact on a terminal, else classic]
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with = "json")]
    pub format: Option<LogFormat>,
    /// Where the live log goes: stdout, journald, syslog (this host's), or udp://ADDRESS[:PORT],
    /// a syslog server [default: stdout]
    #[arg(long, value_name = "WHERE", value_parser = LogTo::from_str)]
    pub log_to: Option<LogTo>,
    /// Show only the connections and lookups of the live log that this question selects, e.g. "to
    /// public IPs"; can be repeated, for those of any
    #[arg(long, value_name = "QUESTION")]
    pub show: Vec<String>,
    /// Leave those of the live log out that this question selects; can be repeated
    #[arg(long, value_name = "QUESTION")]
    pub hide: Vec<String>,
    /// Leave out loopback, a network (10.0.0.0/8), an address, a port (443), a program of
    /// root's (curl) or a program's path (/opt/agent/bin/agent); can be repeated
    #[arg(long, value_name = "WHAT", value_parser = Exclude::from_str)]
    pub exclude: Vec<Exclude>,
    /// Maximum number of DNS answers to remember for naming connections
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = at_least_one)]
    pub max_names: usize,
    /// Keep only the program of each command line: arguments may contain secrets
    #[arg(long)]
    pub no_args: bool,
    /// Don't read what connections send first: the names of TLS and HTTP are not recorded
    #[arg(long)]
    pub no_payload: bool,
    /// Size of the kernel's event buffer, e.g. 64K, 16M; rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = ring_bytes)]
    pub ring_size: u32,
    /// An additional port of DNS servers, besides 53, 5353 (multicast DNS) and 5355
    /// (LLMNR); can be given up to 5 times
    #[arg(long = "dns-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub dns_ports: Vec<u16>,
    /// Look public addresses up in this file for their country and network: a database in
    /// MaxMind's format (.mmdb); can be repeated, as some have either
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub geo: Vec<PathBuf>,
    /// Judge connections by this policy: the verdicts are recorded and shown
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: Option<PathBuf>,
    /// And carry the verdicts out: refuse what the policy blocks
    #[arg(long, requires = "policy")]
    pub enforce: bool,
    /// And keep the policy in force in the kernel when egrets ends, until the next start with
    /// --enforce takes over or 'egrets policy unpin' ends it
    #[arg(long, requires = "enforce")]
    pub pin: bool,
    /// Where rules with the action dump put the core dumps: a directory of root's alone, which
    /// is created if it does not exist
    #[arg(long, value_name = "DIR", requires = "enforce", value_hint = ValueHint::DirPath)]
    pub dump_dir: Option<PathBuf>,
    #[command(flatten)]
    pub hooks: HookArgs,
    #[command(flatten)]
    pub config: ConfigFileArgs,
}

/// Which hooks to use.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// How to find out why an attempt failed: kernel probes, the tracepoints that
    /// kernels without them have too, or the first that works
    #[arg(long, value_name = "SET", env = "EGRETS_HOOKS", default_value = "auto",
        value_parser = hook_sets())]
    hooks: String,
}

/// `portable` is the old name of `tracepoint`.
fn hook_sets() -> PossibleValuesParser {
    let tracepoint = PossibleValue::new("tracepoint").alias("portable");
    PossibleValuesParser::new(["auto".into(), "kprobe".into(), tracepoint])
}

impl HookArgs {
    /// None: the first that works.
    pub fn set(&self) -> Option<HookSet> {
        match self.hooks.as_str() {
            "kprobe" => Some(HookSet::Kprobe),
            "tracepoint" | "portable" => Some(HookSet::Tracepoint),
            _ => None,
        }
    }
}

impl LiveArgs {
    /// Whether any option is about the live log.
    pub fn shape_the_log(&self) -> bool {
        self.format.is_some()
            || self.log_to.is_some()
            || !self.show.is_empty()
            || !self.hide.is_empty()
    }

    /// # Errors
    /// More DNS ports than the kernel side has room for.
    pub fn capture(&self) -> Result<capture::Options> {
        if self.dns_ports.len() > MAX_OTHER_PORTS {
            bail!(
                "--dns-port was given {} times; at most {MAX_OTHER_PORTS} are supported",
                self.dns_ports.len()
            );
        }
        Ok(capture::Options {
            ring_bytes: self.ring_size,
            hooks: self.hooks.set(),
            dns_ports: self.dns_ports.clone(),
            payload: !self.no_payload,
            sizes: false,
        })
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "--keep, --max-size and --keep-summary are stored in the history and apply to \
    later runs on it,\nuntil they are given again; \"default\" resets one. All options can be set in \
    /etc/egrets/egrets.toml\nand in the environment: see 'egrets config --help'."
)]
pub struct RecordArgs {
    /// Write counters to this file every 10 s, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub metrics_file: Option<PathBuf>,
    #[command(flatten)]
    pub db: DbArgs,
    /// Also print the live events
    #[arg(long)]
    pub print: bool,
    /// Print them as JSON, one object per line, with this schema's fields: --format json, ecs or
    /// ocsf, which like any format implies --print
    #[arg(long, value_name = "SCHEMA", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "egrets")]
    pub json: Option<JsonSchema>,
    /// Remove connections and lookups older than this, e.g. 30d; "none" keeps them
    /// however old they are [default: none]
    #[arg(long, value_name = "TIME", value_parser = kept_time)]
    pub keep: Option<Override<Duration>>,
    /// Remove the oldest rows when the history exceeds this, e.g. 500M, 2G; "none" sets no
    /// limit, "default" resets it to 2G [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = max_size)]
    pub max_size: Option<Override<u64>>,
    /// Keep daily and overall totals of removed connections until they are older than this,
    /// e.g. 365d; "none" removes them with the connections and leaves earlier ones
    /// [default: none]
    #[arg(long, value_name = "TIME", value_parser = kept_time)]
    pub keep_summary: Option<Override<Duration>>,
    /// Let this group read the history
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    #[command(flatten)]
    pub live: LiveArgs,
    /// Exit with status 3 if the policy blocks anything of CMD, or would where it only observes;
    /// "alert": also if it reports anything
    #[arg(long, value_name = "VERDICT", requires_all = ["policy", "command"])]
    pub fail_on: Option<FailOn>,
    /// Run this command as the user who called sudo, and record only it and its
    /// descendants; egrets exits with its status
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// The mildest verdict that `record -- CMD` fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Alert,
    Block,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub hooks: HookArgs,
    /// Show the size of each hook's BPF program
    #[arg(long, short)]
    pub verbose: bool,
}
