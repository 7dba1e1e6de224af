//! What `watch` and `record` share: from their options to the parts of the pipeline.

use std::io::{BufWriter, stdout};

use anyhow::Result;

use crate::attribute::Settings;
use crate::capture::Capture;
use crate::capture::preflight::Namespace;
use crate::cli::LiveArgs;
use crate::file_reader::FileReader;
use crate::model::Run;
use crate::print::{LineFormat, Printer};
use crate::privileges::{self, CapabilitySet};

/// How attribution works in this run; `only_tracked` limits it to one process and its
/// descendants.
pub fn settings(
    args: &LiveArgs,
    capture: &Capture,
    files: Option<FileReader>,
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
        files,
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

/// Drops what only the start takes; `more` is kept beside what attribution needs: reading /proc
/// and the files of container runtimes. Whatever needs more than that has to be started before,
/// and threads after it, as they keep the privileges that they begin with.
pub fn drop_privileges(capture: &Capture, more: CapabilitySet) -> Result<()> {
    let keep = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | more;
    privileges::drop_to(keep, || capture.can_read())
}

/// The live log on stdout.
pub fn printer(json: bool, start_ts: i64, run: Run) -> Printer {
    let format = match json {
        true => LineFormat::Json,
        false => LineFormat::Text,
    };
    Printer::new(format, Box::new(BufWriter::new(stdout())), start_ts, run)
}
