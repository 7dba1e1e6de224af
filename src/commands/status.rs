//! `egrets status`: whether a recorder is running, since when, and what the history holds.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::local;
use super::policy::{pinned, status as policy_status};
use super::ship::{ShipState, states};
use crate::cli::StatusArgs;
use crate::human;
use crate::privileges::{CONNECTION_RESET, FILE_READER, Held, NOTIFIER, PROCESS_CONTROL};
use crate::store::{self, LastRecording, Status};
use crate::{text, when};

/// A recorder that runs commits at least every 2 s.
const USUALLY_BEHIND: i64 = 5_000_000_000;

pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let status = Status::read(&db, &path)?;
    let running = store::recorder_runs(&path);
    let now = when::now_ts();
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", json(&status, &path, running, now))?,
        false => table(&mut out, &status, &path, running, now)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Its processes beside the recorder: command, and what tables and JSON call it.
const HELPERS: [(&str, &str, &str); 4] = [
    (FILE_READER, "file reader", "file_reader_privileges"),
    (PROCESS_CONTROL, "actions", "process_control_privileges"),
    (CONNECTION_RESET, "resets", "connection_reset_privileges"),
    (NOTIFIER, "notifier", "notifier_privileges"),
];

/// What the recorder holds, and what each of [`HELPERS`] does.
fn privileges(
    last: &LastRecording,
    running: bool,
) -> (Option<Held>, [Option<Held>; HELPERS.len()]) {
    match running {
        true => (
            Held::of(last.pid),
            HELPERS.map(|(command, ..)| Held::of_child(last.pid, command)),
        ),
        false => (None, HELPERS.map(|_| None)),
    }
}

fn json(status: &Status, path: &Path, running: bool, now: i64) -> Value {
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    let held = |held: Option<Held>| {
        held.map(|held| {
            json!({
                "capabilities": held.capabilities,
                "no_new_privs": held.no_new_privs,
                "seccomp": held.seccomp,
            })
        })
    };
    let last = status.last.as_ref().map(|last| {
        let (recorder, helpers) = privileges(last, running);
        let mut last = json!({
            "privileges": held(recorder),
            "start_ts": last.start_ts,
            "pid": last.pid,
            "hook_set": last.hook_set,
            "processed_ts": last.end_ts,
            "behind_ms": running.then(|| behind(last, now) / 1_000_000),
            "ended": ended(last, running),
            "tx_bytes": last.tx_bytes,
            "rx_bytes": last.rx_bytes,
        });
        for ((.., key), helper) in HELPERS.iter().zip(helpers) {
            last[*key] = json!(held(helper));
        }
        last
    });
    json!({
        "history": path.to_string_lossy(),
        "running": running,
        "last": last,
        "blocked_by": running.then(|| store::lock_holder(path)).flatten(),
        "size_bytes": status.file_bytes,
        "wal_bytes": status.wal_bytes,
        "keep_s": seconds(status.retention.age),
        "max_size_bytes": status.retention.bytes,
        "keep_summary_s": seconds(status.retention.summary),
        "recordings": status.recordings,
        "connections": status.connections,
        "lookups": status.lookups,
        "lost": status.lost,
        "shipped": states(path).iter().map(|state| shipped_json(state, now)).collect::<Vec<_>>(),
        "policy": status.policy.as_ref().map(policy_status::json),
        "pinned": pinned::json(&pinned::found().unwrap_or_default()),
    })
}

fn table(out: &mut dyn Write, status: &Status, path: &Path, running: bool, now: i64) -> Result<()> {
    let mut line = |key: &str, value: String| writeln!(out, "{key:12} {value}");
    line("history", path.display().to_string())?;
    line("size", human::bytes(status.file_bytes as i64))?;
    line("kept", super::kept(&status.retention))?;
    if let Some(last) = &status.last {
        line("recorder", recorder(last, running))?;
        if running {
            line("processed", processed(last, path, now))?;
        }
        let (held, helpers) = privileges(last, running);
        if let Some(held) = held {
            line("privileges", held.describe())?;
        }
        for ((_, name, _), helper) in HELPERS.iter().zip(helpers) {
            if let Some(held) = helper {
                line(name, held.describe())?;
            }
        }
        let which = if running { "this" } else { "the last" };
        let (sent, received) = (human::bytes(last.tx_bytes), human::bytes(last.rx_bytes));
        let traffic = format!("{sent} sent, {received} received in {which} recording");
        line("traffic", traffic)?;
    }
    line("recordings", status.recordings.to_string())?;
    line("connections", status.connections.to_string())?;
    line("lookups", status.lookups.to_string())?;
    line("lost", human::count(status.lost, "event", "events"))?;
    for state in states(path) {
        let to = text::printable(&state.to);
        writeln!(out, "{:12} to {to}: {}", "shipped", shipped(&state, now))?;
    }
    if let Some(policy) = &status.policy {
        policy_status::write(policy, out)?;
    }
    for one in pinned::found().unwrap_or_default() {
        writeln!(out)?;
        pinned::write(&one, out)?;
    }
    Ok(())
}

fn shipped_json(state: &ShipState, now: i64) -> Value {
    json!({
        "to": state.to,
        "pid": state.pid,
        "running": state.runs(),
        "until_ts": state.until_ts,
        "behind_ms": state.until_ts.map(|until| now.saturating_sub(until).max(0) / 1_000_000),
        "files": state.files,
        "rows": state.rows,
        "bytes": state.bytes,
        "failing_since_ts": state.failing_since_ts,
        "error": state.error,
    })
}

/// How far the history has been shipped into a dataset.
fn shipped(state: &ShipState, now: i64) -> String {
    let mut said = match state.until_ts {
        Some(until) => {
            let behind = now.saturating_sub(until).max(0) / 1000;
            format!("until {}, {} behind", local(until), human::duration(behind))
        }
        None => "nothing yet".to_owned(),
    };
    if let (Some(since), Some(error)) = (state.failing_since_ts, &state.error) {
        said.push_str(&format!(
            "; failing since {}: {}",
            local(since),
            text::printable(error)
        ));
    }
    if !state.runs() {
        said.push_str("; no 'egrets ship' runs now");
    }
    said
}

fn recorder(last: &LastRecording, running: bool) -> String {
    let why = match ended(last, running) {
        None => {
            return format!(
                "running since {} (pid {}, {} hooks)",
                local(last.start_ts),
                last.pid,
                last.hook_set
            );
        }
        Some("stopped") => return format!("stopped; the last one ended {}", local(last.end_ts)),
        Some("killed") => "was killed".to_owned(),
        Some("host restarted") => "was cut off when the host went down".to_owned(),
        Some("locked") => {
            "could not store its end, because another program had locked the history".to_owned()
        }
        Some("disk full") => "could not store its end, because the disk was full".to_owned(),
        Some("file lost") => {
            "ended when a file beside the history was deleted or replaced".to_owned()
        }
        Some(why) => format!("ended with an error ({})", text::printable(why)),
    };
    format!(
        "stopped; the last one {why} and recorded until {}",
        local(last.end_ts)
    )
}

/// How the newest recording ended; None: it runs.
fn ended(last: &LastRecording, running: bool) -> Option<&str> {
    match (running, last.clean) {
        (true, _) => None,
        (_, true) => Some("stopped"),
        _ => Some(last.ended.as_deref().unwrap_or("killed")),
    }
}

/// How far the history lags, in nanoseconds.
fn behind(last: &LastRecording, now: i64) -> i64 {
    now.saturating_sub(last.end_ts).max(0)
}

fn processed(last: &LastRecording, path: &Path, now: i64) -> String {
    let behind = behind(last, now);
    let mut said = format!(
        "until {}, {} behind",
        local(last.end_ts),
        human::duration(behind / 1000)
    );
    if behind > USUALLY_BEHIND
        && let Some(pid) = store::lock_holder(path)
    {
        said.push_str(&format!(": pid {pid} has locked the history"));
    }
    said
}
