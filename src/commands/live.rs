//! What `watch` and `record` share: from their options to the parts of the pipeline.

use std::io::{self, IsTerminal, stdout};

use anyhow::{Context, Result, bail};
use chrono::Local;

use crate::attribute::Settings;
use crate::attribute::geo::GeoFiles;
use crate::capture::Capture;
use crate::capture::preflight::Namespace;
use crate::cli::{JsonSchema, LiveArgs, LogFormat, LogTo};
use crate::columns::RowContext;
use crate::connection_reset::ConnectionReset;
use crate::enforce::{Cached, Enforcer, Helpers, Pinning, Pins, PolicyFile, Scope};
use crate::file_reader::FileReader;
use crate::model::{Connection, Lookup, Run};
use crate::notify::Notifier;
use crate::pipeline::PrintSink;
use crate::print::{
    CompactOptions, FileDestination, LineFilter, LineFormat, LineQueue, LogDaemon, Printer,
};
use crate::privileges::{self, CapabilitySet};
use crate::process_control::{DumpDir, ProcessControl};
use crate::query::LiveFilter;

/// The live log's lines that wait for a slow reader, in bytes.
const QUEUE: usize = 16 << 20;
/// The columns of its compact form where the terminal's are not known.
const COLUMNS: usize = 80;

/// How attribution works in this run; `only_tracked` limits it to one process and its
/// descendants.
pub fn settings(
    args: &LiveArgs,
    capture: &Capture,
    files: Option<FileReader>,
    geo: GeoFiles,
    only_tracked: bool,
) -> Settings {
    Settings {
        max_names: args.max_names,
        exclude: args.exclude.clone(),
        only_tracked,
        procfs: Namespace::Pid.is_initial(),
        no_args: args.no_args,
        dns_ports: capture.dns_ports.clone(),
        cgroup_root: capture.cgroup_root(),
        reports_cgroups: args.policy.is_some(),
        files,
        geo,
    }
}

/// The process that reads users' files. It takes over the capabilities that this one has now, so
/// it starts first.
pub fn file_reader() -> Option<FileReader> {
    match FileReader::start() {
        Ok(reader) => Some(reader),
        Err(e) => {
            log::warn!("names in /etc/hosts are not known: {e:#}");
            None
        }
    }
}

/// The processes that carry out what takes other privileges than recording does, where an enforced
/// policy has that. Like the other one they start before privileges are dropped.
///
/// # Errors
/// One can't be started, or does not know where dumps go.
pub fn helpers(args: &LiveArgs, policy: Option<&PolicyFile>) -> Result<Helpers> {
    let resets = policy.filter(|policy| args.enforce && policy.resets());
    Ok(Helpers {
        control: process_control(args, policy)?,
        resets: resets.map(|_| ConnectionReset::start()).transpose()?,
    })
}

fn process_control(args: &LiveArgs, policy: Option<&PolicyFile>) -> Result<Option<ProcessControl>> {
    let Some(policy) = policy.filter(|policy| args.enforce && policy.harms()) else {
        return Ok(None);
    };
    let dir = args.dump_dir.as_deref().filter(|_| policy.dumps());
    if policy.dumps() && dir.is_none() {
        bail!("the policy has a rule with the action dump: say with --dump-dir where to");
    }
    let dir = dir.map(DumpDir::open).transpose()?;
    ProcessControl::start(dir).map(Some)
}

/// The process that sends the policy's notifications, if there are to be any.
///
/// # Errors
/// It can't be started.
pub fn notifier(policy: Option<&PolicyFile>) -> Result<Option<Notifier>> {
    policy
        .map(PolicyFile::notify)
        .filter(|notify| !notify.is_empty())
        .map(|notify| Notifier::start(notify, Namespace::Pid.is_initial()))
        .transpose()
}

/// Drops what only the start takes; `more` is kept beside what attribution needs: reading /proc
/// and the files of container runtimes. Whatever needs more than that has to be started before,
/// and threads after it, as they keep the privileges that they begin with.
pub fn drop_privileges(
    capture: &Capture,
    enforcer: Option<&Enforcer>,
    more: CapabilitySet,
) -> Result<()> {
    let keep = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | more;
    privileges::drop_to(keep, || {
        capture.can_read() && enforcer.is_none_or(Enforcer::can_write)
    })
}

/// The policy of the options, read before anything is loaded.
///
/// # Errors
/// All that is wrong with it.
pub fn policy(args: &LiveArgs) -> Result<Option<PolicyFile>> {
    args.policy.as_deref().map(PolicyFile::read).transpose()
}

/// What the options say of policies that outlive recorders. Around a command there are none.
///
/// # Errors
/// The policy can't be pinned here.
pub fn pins(args: &LiveArgs, around_command: bool) -> Result<Pins> {
    if args.pin && around_command {
        log::warn!("--pin has no effect: the policy is about the command alone, and ends with it");
    }
    Pins::prepare(Pinning {
        pin: args.pin && !around_command,
        takes_over: args.enforce && !around_command,
    })
}

/// Loads the policy's programs; nothing is decided before the pipeline runs. With `only_tree` it is
/// about the command that is recorded alone.
pub fn enforcer(
    args: &LiveArgs,
    policy: Option<PolicyFile>,
    only_tree: bool,
    capture: &mut Capture,
    helpers: Helpers,
    cached: Cached,
    pins: Pins,
) -> Result<Option<Enforcer>> {
    let scope = Scope {
        enforce: args.enforce,
        only_tree,
    };
    policy
        .map(|policy| Enforcer::start(policy, scope, capture, helpers, cached, pins))
        .transpose()
}

/// The lines that the questions of the options choose.
struct Lines(LiveFilter);

impl LineFilter for Lines {
    fn shows_connection(&self, c: &Connection, context: &RowContext<'_>) -> bool {
        self.0.shows_connection(c, context)
    }

    fn shows_lookup(&self, l: &Lookup, answered: bool, context: &RowContext<'_>) -> bool {
        self.0.shows_lookup(l, answered, context)
    }
}

/// What the live log shows, if not everything; read before anything is loaded.
///
/// # Errors
/// A question that can't choose lines.
pub fn filter(args: &LiveArgs) -> Result<Option<Box<dyn LineFilter>>> {
    if args.show.is_empty() && args.hide.is_empty() {
        return Ok(None);
    }
    let filter = LiveFilter::new(&args.show, &args.hide, &Local::now())?;
    for reading in &filter.readings {
        log::info!("{reading}");
    }
    Ok(Some(Box::new(Lines(filter))))
}

/// The live log of a run that started at a time; `stored` if there is a history as well.
pub fn log(
    args: &LiveArgs,
    json: Option<JsonSchema>,
    filter: Option<Box<dyn LineFilter>>,
    capture: &Capture,
    (start_ts, run): (i64, Run),
    stored: bool,
) -> Result<PrintSink> {
    let to = args.log_to.unwrap_or(LogTo::Stdout);
    let terminal = to == LogTo::Stdout && stdout().is_terminal();
    let format = match json.map(LogFormat::from).or(args.format) {
        Some(format) => format,
        None if terminal => LogFormat::Compact,
        None => LogFormat::Classic,
    };
    let format = match format {
        LogFormat::Compact => LineFormat::Compact(CompactOptions {
            columns: super::terminal_width().unwrap_or(COLUMNS),
            color: terminal && super::color_allowed(),
            dns_ports: capture.dns_ports.clone(),
        }),
        LogFormat::Classic => LineFormat::Classic,
        LogFormat::Json => LineFormat::Json,
        LogFormat::Ecs => LineFormat::Ecs { host: host()? },
        LogFormat::Ocsf => LineFormat::Ocsf { host: host()? },
    };
    let (queue, destination) = queue(to)?;
    let mut printer = Printer::new(format, Box::new(queue.clone()), start_ts, run);
    if let Some(filter) = filter {
        printer = printer.only(filter);
    }
    Ok(PrintSink::new(printer, queue, destination, stored))
}

/// The queue of lines before where they go, and what that is called.
fn queue(to: LogTo) -> Result<(LineQueue, &'static str)> {
    let start = |daemon: io::Result<LogDaemon>| daemon.and_then(|d| LineQueue::start(d, QUEUE));
    let (queue, name) = match to {
        LogTo::Stdout => {
            let stdout = FileDestination::new(stdout());
            (
                stdout.and_then(|stdout| LineQueue::start(stdout, QUEUE)),
                "stdout",
            )
        }
        LogTo::Journald => (start(LogDaemon::journal()), "journald"),
        LogTo::Syslog => (start(LogDaemon::syslog()), "syslog"),
        LogTo::Remote(address) => (start(LogDaemon::remote(address, &host()?)), "syslog"),
    };
    let queue = queue.with_context(|| format!("the live log can't be written to {name}"))?;
    Ok((queue, name))
}

/// This host's name.
fn host() -> Result<String> {
    let name = nix::unistd::gethostname().context("the host's name can't be read")?;
    Ok(name.to_string_lossy().into_owned())
}
