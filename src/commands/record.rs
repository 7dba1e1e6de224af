//! `egrets record`: the capture into the history, on its own or around a command.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::child::{Child, Credentials, HeldChild};
use super::live;
use super::reload::Reload;
use crate::attribute::geo::GeoFiles;
use crate::capture::Capture;
use crate::capture::preflight::Namespace;
use crate::cli::{FailOn, RecordArgs};
use crate::config::Values;
use crate::enforce::PolicyFile;
use crate::human;
use crate::metrics::check_metrics_file;
use crate::model::{Action, CachedAddress};
use crate::pipeline::{
    MetricsSink, NotifySink, Pipeline, Sink, StopSignals, StoreSink, Totals, clock,
};
use crate::policy::LAST_SYSTEM_UID;
use crate::privileges::CapabilitySet;
use crate::store::{self, Access, Obstacle, Recording, RetentionOverrides, Store};

/// How long the last connections of a command have to close after its end.
const GRACE: Duration = Duration::from_secs(2);

/// How long a recorder waits for a locked history when it starts, at least.
const LOCK_PATIENCE: Duration = Duration::from_secs(8);

/// Exit status of `--fail-on`.
const FAILED_ON: u8 = 3;

/// How often a command that is no longer recorded is checked for its end.
const CHILD_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// `applied` are the options that the configuration gave.
pub fn run(args: &RecordArgs, applied: Values) -> Result<ExitCode> {
    let signals = StopSignals::install()?;
    let around_command = !args.command.is_empty();
    let reload = match around_command {
        true => None,
        false => Reload::install(applied)?,
    };
    if around_command && !Namespace::Pid.is_initial() {
        bail!(
            "record -- CMD can't tell its command from other processes in a pid namespace of its own: run egrets on the host, or in a container with the host's pid namespace (--pid=host)"
        );
    }
    let user = match around_command {
        true => Credentials::of_caller()?,
        false => None,
    };
    let filter = live::filter(&args.live)?;
    let policy = live::policy(&args.live)?;
    let geo = GeoFiles::open(&args.live.geo)?;
    let path = super::recorders_db(&args.db);
    let access = access(args, user.as_ref(), &path)?;
    if let Some(file) = &args.metrics_file {
        check_metrics_file(file)?;
    }
    clock::check_time_namespace()?;
    let files = live::file_reader();
    let helpers = live::helpers(&args.live, policy.as_ref())?;
    let notifier = live::notifier(policy.as_ref())?;
    let pins = live::pins(&args.live, around_command)?;
    let mut capture = Capture::start(&args.live.capture()?)?;
    let resolvers = policy.as_ref().map_or_else(Vec::new, PolicyFile::resolvers);
    let cached = |netns| cached(&path, &resolvers, netns);
    let mut enforcer = live::enforcer(
        &args.live,
        policy,
        around_command,
        &mut capture,
        helpers,
        &cached,
        pins,
    )?;
    // Now, while egrets has the privileges that it takes.
    let command = match around_command {
        true => Some(HeldChild::start(&args.command, user)?),
        false => None,
    };
    let start_ts = clock::now_ts();
    let store = open_store(args, &path, &access, &capture, start_ts)?;
    if let Some(enforcer) = &mut enforcer {
        enforcer.take_requests(&store::policy_socket(&path));
    }
    let plausible = store.clock_is_plausible(start_ts, clock::boot_ts())?;
    // To stop another user's command.
    let kill = match &command {
        Some(command) if command.is_other_users() => CapabilitySet::KILL,
        _ => CapabilitySet::empty(),
    };
    live::drop_privileges(&capture, enforcer.as_ref(), kill)?;
    let run = store.run();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(StoreSink::new(store, &path, &signals))];
    if args.print || args.json.is_some() || args.live.shape_the_log() {
        let log = live::log(
            &args.live,
            args.json,
            filter,
            &capture,
            (start_ts, run),
            true,
        )?;
        sinks.push(Box::new(log));
    }
    if let Some(file) = &args.metrics_file {
        sinks.push(Box::new(MetricsSink::new(file.clone(), start_ts)?));
    }
    if let Some(notifier) = notifier {
        sinks.push(Box::new(NotifySink::new(notifier, start_ts, run)));
    }
    let hook_set = capture.hook_set;
    let settings = live::settings(&args.live, &capture, files, geo, around_command);
    let mut pipeline = Pipeline::new(capture, settings, sinks);
    if !plausible {
        log::info!(
            "the clock does not fit the recording before: for an hour nothing is removed by its age"
        );
        pipeline.doubt_clock();
    }
    if let Some(enforcer) = enforcer {
        if let Some(command) = &command {
            enforcer.track(command.pid())?;
        }
        pipeline.enforce(enforcer)?;
    }
    if let Some(command) = command {
        return record_command(pipeline, command, args, &path, &signals);
    }
    if let Some(mut reload) = reload {
        pipeline.on_reload(Box::new(move || reload.changes()));
    }
    log::info!(
        "recording into {} ({hook_set} hooks); Ctrl-C stops",
        path.display()
    );
    let run = pipeline.run(&signals, args.live.duration);
    // Also after an error: what can still be stored is.
    let finished = finish(pipeline, &path);
    run.and(finished.map(drop))?;
    Ok(ExitCode::SUCCESS)
}

/// What processes of the host may have looked up before the policy, as far as the history has it
/// and no user could have forged it.
fn cached(path: &Path, resolvers: &[IpAddr], netns: u32) -> Vec<CachedAddress> {
    let trusted = store::Trusted {
        resolvers,
        netns,
        last_uid: LAST_SYSTEM_UID,
    };
    store::cached_addresses(path, &trusted, clock::now_ts()).unwrap_or_else(|e| {
        log::warn!("names that were looked up before are unknown to the policy: {e:#}");
        Vec::new()
    })
}

/// Opens the history, and waits for another program that has locked it.
fn open_unlocked(path: &Path, access: &Access, recording: &Recording) -> Result<Store> {
    let begun = Instant::now();
    loop {
        let error = match Store::open(path, access, recording) {
            Ok(store) => return Ok(store),
            Err(e) if Obstacle::of(&e) != Some(Obstacle::Locked) => return Err(e),
            Err(e) => e,
        };
        let holder = store::lock_holder(path);
        let by = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        if begun.elapsed() >= LOCK_PATIENCE {
            return Err(error.context(format!(
                "another program{by} has locked {}: end it, or choose another file with --db",
                path.display()
            )));
        }
        log::warn!("another program{by} has locked {}: waiting", path.display());
    }
}

/// Who may read the history: the group of --group; or for a new file of `record -- CMD`, the
/// user who called sudo, through the group that is theirs alone. The file stays egrets' own: its
/// owner could change what is recorded.
fn access(args: &RecordArgs, caller: Option<&Credentials>, path: &Path) -> Result<Access> {
    let new = args.db.db.is_some() && !path.exists();
    let caller = caller.filter(|_| new && args.group.is_none());
    let own_group = caller.and_then(Credentials::private_group);
    Ok(Access {
        group: match args.group.as_deref() {
            Some(name) => Some(store::group_id(name)?),
            None => own_group,
        },
        own_directory: args.db.db.is_none(),
        reader: caller.map(Credentials::uid),
    })
}

fn open_store(
    args: &RecordArgs,
    path: &Path,
    access: &Access,
    capture: &Capture,
    start_ts: i64,
) -> Result<Store> {
    let attached: Vec<&str> = capture
        .hooks
        .iter()
        .filter(|report| report.error.is_none())
        .map(|report| report.hook.name)
        .collect();
    let recording = Recording {
        start_ts,
        hook_set: capture.hook_set.to_string(),
        hooks: attached.join(" "),
    };
    let mut store = open_unlocked(path, access, &recording)?;
    store.set_boot_ts(clock::boot_ts())?;
    store.resolve_retention(&RetentionOverrides {
        age: args.keep,
        bytes: args.max_size,
        summary: args.keep_summary,
    })?;
    store.wait_no_longer()?;
    if !store.retention.is_default() {
        log::info!("kept of this history: {}", super::kept(&store.retention));
    }
    Ok(store)
}

/// `record -- CMD`: runs the command to its end, whatever becomes of the recording. Its
/// status.
fn record_command(
    mut pipeline: Pipeline,
    command: HeldChild,
    args: &RecordArgs,
    path: &Path,
    signals: &StopSignals,
) -> Result<ExitCode> {
    pipeline.track(command.pid());
    let mut child = match command.release() {
        Ok(child) => child,
        Err(e) => {
            pipeline.finish()?;
            return Err(e);
        }
    };
    let until = args.live.duration.map(|d| Instant::now() + d);
    let recorded = match follow(&mut pipeline, &mut child, signals, until) {
        Ok(()) => finish(pipeline, path),
        Err(e) => {
            // Stores what it can, and detaches the hooks.
            let _ = pipeline.finish();
            Err(e)
        }
    };
    let failed = recorded.as_ref().is_ok_and(|totals| fails(args, totals));
    // The command must not suffer from egrets' trouble.
    if let Err(e) = recorded {
        log::error!("{e:#}");
        log::error!("the history is incomplete");
        if child.try_wait()?.is_none() {
            log::warn!("the command continues without being recorded: waiting for its end");
        }
    }
    loop {
        if let Some(code) = child.try_wait()? {
            return Ok(if failed { FAILED_ON.into() } else { code });
        }
        supervise(&mut child, signals, until);
        std::thread::sleep(CHILD_POLL_INTERVAL);
    }
}

/// Whether the verdicts are what --fail-on names.
fn fails(args: &RecordArgs, totals: &Totals) -> bool {
    let least = match args.fail_on {
        None => return false,
        Some(FailOn::Alert) => Action::Alert,
        Some(FailOn::Block) => Action::Block,
    };
    let worst = totals.verdict.filter(|verdict| *verdict >= least);
    if let Some(verdict) = worst {
        log::error!(
            "the policy has decided '{}' on connections of the command (--fail-on): exit status {FAILED_ON}; \
             'egrets query \"which rules were hit\"' shows them",
            verdict.as_str()
        );
    }
    worst.is_some()
}

/// Forwards signals to the command, and terminates it when the time is over.
fn supervise(child: &mut Child, signals: &StopSignals, until: Option<Instant>) {
    child.forward(signals.take());
    if until.is_some_and(|until| Instant::now() >= until) {
        child.terminate();
    }
}

/// Records until the command and its last connections have ended.
fn follow(
    pipeline: &mut Pipeline,
    child: &mut Child,
    signals: &StopSignals,
    until: Option<Instant>,
) -> Result<()> {
    loop {
        pipeline.step()?;
        if child.try_wait()?.is_some() {
            break;
        }
        supervise(child, signals, until);
        pipeline.sleep_until_next(until.filter(|until| Instant::now() < *until));
    }
    let grace = Instant::now() + GRACE;
    loop {
        pipeline.step()?;
        if !pipeline.tracked_is_busy() || Instant::now() >= grace {
            return Ok(());
        }
        pipeline.sleep_until_next(Some(grace));
    }
}

/// Finishes the recording and logs what it holds.
fn finish(pipeline: Pipeline, path: &Path) -> Result<Totals> {
    let totals = pipeline.finish()?;
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
    Ok(totals)
}
