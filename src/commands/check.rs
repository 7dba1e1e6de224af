//! `egrets check`: reports what this kernel supports by loading and attaching every hook for a
//! moment.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use anyhow::Result;

use crate::capture::preflight::Namespace;
use crate::capture::tun::{self, TunDevice};
use crate::capture::{Capture, Options, preflight};
use crate::cli::CheckArgs;
use crate::text;

pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "kernel {}",
        rustix::system::uname().release().to_string_lossy()
    )?;
    for check in preflight::checks() {
        writeln!(out, "  {} {}", mark(check.ok), check.what)?;
    }
    if let Some(remedy) = preflight::remedy() {
        writeln!(out, "recording does not work here yet: {remedy}")?;
        return Ok(ExitCode::from(2));
    }
    // The lines below say the same as its warnings.
    log::set_max_level(log::LevelFilter::Error);
    let capture = Capture::start(&Options {
        hooks: args.hooks.set(),
        sizes: args.verbose,
        ..Options::default()
    })?;
    for note in notes(&capture) {
        writeln!(out, "  note     {note}")?;
    }
    write!(out, "hooks ({} set", capture.hook_set)?;
    match &capture.no_kprobes {
        Some(reason) => writeln!(out, ": {reason})")?,
        None => writeln!(out, ")")?,
    }
    hooks(&mut out, &capture, args.verbose)?;
    let mut without: Vec<&str> = capture
        .hooks
        .iter()
        .filter(|r| r.error.is_some())
        .map(|r| r.hook.purpose)
        .collect();
    without.dedup();
    let limits = if capture.whole {
        String::new()
    } else {
        ", for the processes of this cgroup namespace".to_string()
    };
    match without.as_slice() {
        [] => writeln!(out, "recording works here{limits}")?,
        _ => writeln!(
            out,
            "recording works here{limits}, without: {}",
            without.join(", ")
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What can't be seen from here, for example in a container, and how to fix that.
fn notes(capture: &Capture) -> Vec<String> {
    let mut notes = Vec::new();
    if !capture.whole {
        notes.push(
            "egrets runs in its own cgroup namespace: connections and lookups of processes outside \
             of it are not seen; run egrets on the host, or with the host's namespaces \
             (docker run --cgroupns=host --pid=host)"
                .into(),
        );
    }
    if !Namespace::Pid.is_initial() {
        notes.push(
            "egrets runs in its own pid namespace: only the short names of processes older than \
             egrets are known, and record -- CMD is not available (docker run --pid=host helps)"
                .into(),
        );
    }
    notes.extend(tun::devices().iter().map(tun_note));
    if let Some(program) = open_to_all() {
        notes.push(format!(
            "any user may execute {program}, and with its capabilities see the traffic and the \
             command lines of every user: sudo chmod o-x {program} (its group may still)"
        ));
    }
    notes
}

fn tun_note(device: &TunDevice) -> String {
    let kind = if device.tap { "TAP" } else { "TUN" };
    let holders: Vec<String> = device
        .holders
        .iter()
        .map(|(pid, comm)| format!("{} (pid {pid})", text::printable(comm)))
        .collect();
    let held = match holders.as_slice() {
        [] => "held by no process now".to_owned(),
        holders => format!("held by {}", holders.join(", ")),
    };
    format!(
        "{} is a {kind} device, {held}: what its holder sends out of it passes no socket, and is \
         not shown",
        text::printable(&device.name)
    )
}

/// The program, if it has capabilities of its own and all users may execute it.
fn open_to_all() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let mode = std::fs::metadata(&program).ok()?.permissions().mode();
    let own = !rustix::process::geteuid().is_root();
    (own && mode & 0o001 != 0).then(|| program.display().to_string())
}

fn hooks(out: &mut impl Write, capture: &Capture, verbose: bool) -> Result<()> {
    let widest = capture.hooks.iter().map(|r| r.hook.name.len()).max();
    let width = widest.unwrap_or_default();
    if verbose {
        writeln!(
            out,
            "           {:width$}  {:>9}  {:>9}  {:>9}",
            "", "BPF bytes", "jited", "verified"
        )?;
    }
    for report in &capture.hooks {
        let name = report.hook.name;
        write!(out, "  {} {name:width$}  ", mark(report.error.is_none()))?;
        if verbose {
            match report.size {
                Some(size) => write!(
                    out,
                    "{:>9}  {:>9}  {:>9}  ",
                    size.bpf_bytes, size.jited_bytes, size.verified
                )?,
                None => write!(out, "{:>9}  {:>9}  {:>9}  ", "-", "-", "-")?,
            }
        }
        let purpose = report.hook.purpose;
        match &report.error {
            Some(reason) => writeln!(out, "{purpose}: {reason}")?,
            None => writeln!(out, "{purpose}")?,
        }
    }
    Ok(())
}

fn mark(ok: bool) -> &'static str {
    if ok { "ok      " } else { "missing " }
}
