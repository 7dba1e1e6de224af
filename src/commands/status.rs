//! `egrets status`: whether a recorder is running, since when, and what the history holds.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{Local, Offset, TimeZone};

use crate::cli::StatusArgs;
use crate::human;
use crate::privileges::Held;
use crate::query;
use crate::store::{self, Status};

pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    super::read_as_the_caller()?;
    let path = super::readers_db(&args.db);
    let db = store::open_reader(&path)?;
    let status = Status::read(&db, &path)?;
    let running = store::recorder_runs(&path);
    let mut out = std::io::stdout().lock();
    let mut line = |key: &str, value: String| writeln!(out, "{key:12} {value}");
    line("history", path.display().to_string())?;
    line("size", human::bytes(status.file_bytes as i64))?;
    line("kept", super::kept(&status.retention))?;
    if let Some(last) = &status.last {
        let state = match (running, last.clean) {
            (true, _) => format!(
                "running since {} (pid {}, {} hooks)",
                local(last.start_ts),
                last.pid,
                last.hook_set
            ),
            (false, true) => format!("stopped; the last one ended {}", local(last.end_ts)),
            (false, false) => format!(
                "stopped; the last one was killed and recorded until {}",
                local(last.end_ts)
            ),
        };
        line("recorder", state)?;
        if let Some(held) = running.then(|| Held::of(last.pid)).flatten() {
            line("privileges", held.describe())?;
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
    Ok(ExitCode::SUCCESS)
}

fn local(ts: i64) -> String {
    let time = Local.timestamp_nanos(ts);
    let zone = query::zone_name([time.offset().fix().local_minus_utc()]);
    format!("{} ({zone})", time.format("%Y-%m-%d %H:%M:%S"))
}
