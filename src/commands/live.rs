//! What `watch` and `record` share: from their options to the parts of the pipeline.

use std::io::{IsTerminal, stdout};

use anyhow::{Context, Result, bail};

use crate::attribute::Settings;
use crate::attribute::geo::GeoFiles;
use crate::capture::Capture;
use crate::capture::preflight::Namespace;
use crate::cli::{LiveArgs, LogFormat};
use crate::enforce::{Cached, Enforcer, PolicyFile, Scope};
use crate::file_reader::FileReader;
use crate::model::Run;
use crate::notify::Notifier;
use crate::pipeline::PrintSink;
use crate::print::{CompactOptions, LineFormat, LineQueue, Printer};
use crate::privileges::{self, CapabilitySet};
use crate::process_control::{DumpDir, ProcessControl};

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

/// The process that acts on others for an enforced policy, where one of its rules takes that. Like
/// the other one it starts before privileges are dropped.
///
/// # Errors
/// It can't be started, or does not know where dumps go.
pub fn process_control(
    args: &LiveArgs,
    policy: Option<&PolicyFile>,
) -> Result<Option<ProcessControl>> {
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

/// Loads the policy's programs; nothing is decided before the pipeline runs. With `only_tree` it is
/// about the command that is recorded alone.
pub fn enforcer(
    args: &LiveArgs,
    policy: Option<PolicyFile>,
    only_tree: bool,
    capture: &Capture,
    control: Option<ProcessControl>,
    cached: Cached,
) -> Result<Option<Enforcer>> {
    let scope = Scope {
        enforce: args.enforce,
        only_tree,
    };
    policy
        .map(|policy| Enforcer::start(policy, scope, capture, control, cached))
        .transpose()
}

/// The live log on stdout; `stored` if there is a history as well.
pub fn log(
    args: &LiveArgs,
    json: bool,
    capture: &Capture,
    start_ts: i64,
    run: Run,
    stored: bool,
) -> Result<PrintSink> {
    let terminal = stdout().is_terminal();
    let format = match args.format {
        _ if json => LogFormat::Json,
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
    };
    let queue = LineQueue::start(stdout(), QUEUE).context("the live log can't be started")?;
    let printer = Printer::new(format, Box::new(queue.clone()), start_ts, run);
    Ok(PrintSink::new(printer, queue, stored))
}
