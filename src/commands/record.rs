//! `egrets record`: the capture into the history, on its own or around a command.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::child::Child;
use super::live::{self, Live, Signalled};
use crate::capture::Capture;
use crate::capture::preflight::Namespace;
use crate::cli::RecordArgs;
use crate::print::{Format, Printer};
use crate::query::human;
use crate::store::{self, Access, Recording, RetentionOverrides, Store};

/// How long a command's last connections have to close after its end.
const GRACE: Duration = Duration::from_secs(2);

/// How often a command that is not recorded any more is looked after.
const LOOK_IN: Duration = Duration::from_millis(50);

pub fn run(args: &RecordArgs) -> Result<ExitCode> {
    let signal = Signalled::listen()?;
    let around = !args.command.is_empty();
    if around && !Namespace::Pid.is_initial() {
        bail!(
            "record -- CMD can't tell its command from others in a pid namespace of its own: run egrets on the host, or in a container with the host's (--pid=host)"
        );
    }
    let path = super::recorders_db(&args.db);
    let access = Access {
        group: args.group.as_deref().map(store::group_id).transpose()?,
        own_directory: args.db.db.is_none(),
    };
    let capture = Capture::start(&args.live.capture()?)?;
    let attached: Vec<&str> = capture
        .hooks
        .iter()
        .filter(|report| report.error.is_none())
        .map(|report| report.hook.name)
        .collect();
    let recording = Recording {
        start_ts: live::now_ts(),
        hook_set: capture.hook_set.to_string(),
        hooks: attached.join(" "),
    };
    let mut store = Store::open(&path, &access, &recording)?;
    store.resolve_retention(&RetentionOverrides {
        age: args.keep,
        bytes: args.max_size,
        summary: args.keep_summary,
    })?;
    if !store.retention.is_default() {
        log::info!("kept of this history: {}", super::kept(&store.retention));
    }
    let printer = (args.print || args.json).then(|| {
        let format = if args.json {
            Format::Json
        } else {
            Format::Text
        };
        let out = Box::new(std::io::BufWriter::new(std::io::stdout()));
        Printer::new(format, out, recording.start_ts)
    });
    let hook_set = capture.hook_set;
    let mut live = Live::new(capture, &args.live, around, Some(store), printer)?;
    if !around {
        log::info!(
            "recording into {} ({hook_set} hooks); Ctrl-C stops",
            path.display()
        );
        live.run(&signal, args.live.duration)?;
        end(live, &path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut child = match Child::spawn(&args.command) {
        Ok(child) => child,
        Err(e) => {
            live.finish()?;
            return Err(e);
        }
    };
    live.attributor.track(child.pid());
    let until = args.live.duration.map(|d| Instant::now() + d);
    let recorded = match follow(&mut live, &mut child, &signal, until) {
        Ok(()) => end(live, &path),
        Err(e) => {
            // Nothing more is seen.
            drop(live);
            Err(e)
        }
    };
    // What is egrets' own trouble is none of the command's.
    if let Err(e) = recorded {
        log::error!("{e:#}");
        log::error!("the history is incomplete");
        if child.ended()?.is_none() {
            log::warn!("the command goes on unrecorded: waiting for its end");
        }
    }
    loop {
        if let Some(code) = child.ended()? {
            return Ok(code);
        }
        look_after(&mut child, &signal, until);
        std::thread::sleep(LOOK_IN);
    }
}

/// Passes signals on to the command, and asks it to end when the time is over.
fn look_after(child: &mut Child, signal: &Signalled, until: Option<Instant>) {
    child.pass_on(signal.take());
    if until.is_some_and(|until| Instant::now() >= until) {
        child.terminate();
    }
}

/// Ends the recording, and says what came of it and what to do with it.
fn end(live: Live, path: &Path) -> Result<()> {
    let totals = live.finish()?;
    let count = |n: u64, one: &str, many: &str| human::count(n as i64, one, many);
    log::info!(
        "recorded {} and {} into {}",
        count(totals.connections, "connection", "connections"),
        count(totals.lookups, "lookup", "lookups"),
        path.display()
    );
    if totals.lost > 0 {
        log::warn!(
            "{} lost: see the view gaps",
            count(totals.lost, "event was", "events were")
        );
    }
    Ok(())
}

/// Records until the command has ended, and its last connections have.
fn follow(
    live: &mut Live,
    child: &mut Child,
    signal: &Signalled,
    until: Option<Instant>,
) -> Result<()> {
    loop {
        live.step()?;
        if child.ended()?.is_some() {
            break;
        }
        look_after(child, signal, until);
        live.rest(until.filter(|until| Instant::now() < *until));
    }
    let grace = Instant::now() + GRACE;
    loop {
        live.step()?;
        if !live.attributor.tracked_is_busy() || Instant::now() >= grace {
            return Ok(());
        }
        live.rest(Some(grace));
    }
}
