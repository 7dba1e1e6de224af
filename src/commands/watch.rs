//! `egrets watch`: live events on stdout; nothing is stored.

use std::process::ExitCode;

use anyhow::Result;

use super::live;
use crate::capture::Capture;
use crate::cli::WatchArgs;
use crate::model::Run;
use crate::pipeline::{Pipeline, StopSignals, clock};
use crate::privileges::CapabilitySet;

pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    let signals = StopSignals::install()?;
    let files = live::file_reader();
    let capture = Capture::start(&args.live.capture()?)?;
    log::info!("watching ({} hooks); Ctrl-C stops", capture.hook_set);
    live::drop_privileges(&capture, CapabilitySet::empty())?;
    let printer = live::printer(args.json, clock::now_ts(), Run::new(clock::boot_ts()));
    let settings = live::settings(&args.live, &capture, files, false);
    let mut pipeline = Pipeline::new(capture, settings, vec![Box::new(printer)]);
    pipeline.run(&signals, args.live.duration)?;
    pipeline.finish()?;
    Ok(ExitCode::SUCCESS)
}
