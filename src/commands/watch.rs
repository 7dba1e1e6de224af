//! `egrets watch`: live events to stdout; nothing stored.

use std::process::ExitCode;

use anyhow::Result;

use super::live::{self, Live, Signalled};
use crate::capture::Capture;
use crate::cli::WatchArgs;
use crate::model::Run;
use crate::print::{Format, Printer};

pub fn run(args: &WatchArgs) -> Result<ExitCode> {
    let signal = Signalled::listen()?;
    let capture = Capture::start(&args.live.capture()?)?;
    log::info!("watching ({} hooks); Ctrl-C stops", capture.hook_set);
    let format = if args.json {
        Format::Json
    } else {
        Format::Text
    };
    let out = Box::new(std::io::BufWriter::new(std::io::stdout()));
    let printer = Printer::new(format, out, live::now_ts(), Run::new(live::boot_ts()));
    let mut live = Live::new(capture, &args.live, false, None, Some(printer));
    live.run(&signal, args.live.duration)?;
    live.finish()?;
    Ok(ExitCode::SUCCESS)
}
