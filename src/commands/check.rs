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
    for check in preflight::checks() {
        writeln!(out, "  {} {}", mark(check.ok), check.what)?;
    }
    if let Some(way_out) = preflight::way_out() {
        writeln!(out, "recording can't work here yet: {way_out}")?;
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
        let (name, purpose) = (report.hook.name, report.hook.purpose);
        let reason = report
            .error
            .as_ref()
            .map_or(String::new(), |e| format!(": {e}"));
        let mark = mark(report.error.is_none());
        writeln!(out, "  {mark} {name:width$}  {purpose}{reason}")?;
    }
    let mut without: Vec<&str> = capture
        .hooks
        .iter()
        .filter(|r| r.error.is_some())
        .map(|r| r.hook.purpose)
        .collect();
    without.dedup();
    match without.as_slice() {
        [] => writeln!(out, "recording works here")?,
        _ => writeln!(out, "recording works here, without: {}", without.join(", "))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn mark(ok: bool) -> &'static str {
    if ok { "ok      " } else { "missing " }
}
