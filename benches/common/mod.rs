//! What both benchmarks need: a recorder that runs beside them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// The processor time of a process so far.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(
        1000 * ticks / rustix::param::clock_ticks_per_second(),
    ))
}

/// A number of one of a process' files in /proc.
pub fn number(pid: u32, file: &str, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find(|line| line.starts_with(key));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("no such line")?.parse()?)
}

/// Its memory in KiB: each page once, though a recorder's ring is mapped twice.
pub fn memory(pid: u32) -> Result<u64> {
    number(pid, "smaps_rollup", "Pss:")
}

pub struct Recorder(Child);

impl Recorder {
    /// Starts to record into this file. Its messages about losses are passed on.
    pub fn start(db: &Path, args: &[&str]) -> Result<Recorder> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_egrets"))
            .args(["record", "--db"])
            .arg(db)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().context("stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        while !lines
            .next()
            .context("egrets has ended")??
            .contains("recording into")
        {}
        // Its stderr is read to the end, so that it never blocks.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .filter(|l| l.contains("lost"))
                .for_each(|l| eprintln!("  {l}"))
        });
        Ok(Recorder(child))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn stop(mut self) -> Result<()> {
        Command::new("kill")
            .args(["-INT", &self.pid().to_string()])
            .status()?;
        self.0.wait()?;
        Ok(())
    }
}
