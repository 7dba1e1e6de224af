//! `egrets watch`: live events on stdout; nothing is stored.

use std::process::ExitCode;

use anyhow::Result;

use super::live;
use crate::attribute::geo::GeoFiles;
use crate::capture::Capture;
use crate::cli::WatchArgs;
use crate::model::Run;
use crate::pipeline::{NotifySink, Pipeline, Sink, StopSignals, clock};
use crate::privileges::CapabilitySet;

pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    let signals = StopSignals::install()?;
    let filter = live::filter(&args.live)?;
    let policy = live::policy(&args.live)?;
    let geo = GeoFiles::open(&args.live.geo)?;
    clock::check_time_namespace()?;
    let files = live::file_reader();
    let helpers = live::helpers(&args.live, policy.as_ref())?;
    let notifier = live::notifier(policy.as_ref())?;
    let pins = live::pins(&args.live, false)?;
    let mut capture = Capture::start(&args.live.capture()?)?;
    let cached = |_| Vec::new();
    let enforcer = live::enforcer(
        &args.live,
        policy,
        false,
        &mut capture,
        helpers,
        &cached,
        pins,
    )?;
    log::info!("watching ({} hooks); Ctrl-C stops", capture.hook_set);
    live::drop_privileges(&capture, enforcer.as_ref(), CapabilitySet::empty())?;
    let run = Run::new(clock::boot_ts());
    let start_ts = clock::now_ts();
    let log = live::log(
        &args.live,
        args.json,
        filter,
        &capture,
        (start_ts, run),
        false,
    )?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(log)];
    if let Some(notifier) = notifier {
        sinks.push(Box::new(NotifySink::new(notifier, start_ts, run)));
    }
    let settings = live::settings(&args.live, &capture, files, geo, false);
    let mut pipeline = Pipeline::new(capture, settings, sinks);
    if let Some(enforcer) = enforcer {
        pipeline.enforce(enforcer)?;
    }
    pipeline.run(&signals, args.live.duration)?;
    pipeline.finish()?;
    Ok(ExitCode::SUCCESS)
}
