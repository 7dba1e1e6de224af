//! `egrets check`: what this kernel allows, found out by doing it: every hook is
//! loaded and attached for a moment.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::capture::{Capture, Options, preflight};

pub fn run() -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "kernel {}",
        rustix::system::uname().release().to_string_lossy()
    )?;
    let checks = preflight::checks();
    for check in &checks {
        match &check.result {
            Ok(()) => writeln!(out, "  ok       {}", check.what)?,
            Err(way_out) => writeln!(out, "  missing  {}\n           {way_out}", check.what)?,
        }
    }
    if checks.iter().any(|check| check.result.is_err()) {
        writeln!(out, "recording can't work here until that is mended")?;
        return Ok(ExitCode::from(2));
    }
    if !preflight::in_initial_pid_namespace() {
        writeln!(
            out,
            "  note     this is a pid namespace of its own: processes older than egrets have no names here"
        )?;
    }
    // Its warnings would say the same as the lines below.
    log::set_max_level(log::LevelFilter::Error);
    let capture = Capture::start(&Options::default())?;
    writeln!(out, "hooks ({} set)", capture.hook_set)?;
    let width = capture
        .hooks
        .iter()
        .map(|r| r.hook.name.len())
        .max()
        .unwrap_or_default();
    for report in &capture.hooks {
        let (mark, reason) = match &report.error {
            None => ("ok      ", String::new()),
            Some(reason) => ("missing ", format!(": {reason}")),
        };
        let (name, purpose) = (report.hook.name, report.hook.purpose);
        writeln!(out, "  {mark} {name:width$}  {purpose}{reason}")?;
    }
    writeln!(out, "recording works here")?;
    Ok(ExitCode::SUCCESS)
}
