//! `make bench-peers`: what egrets adds to a connection, and what the tools add that print a line for
//! one: tcpconnect of libbpf-tools, of bcc and of bpftrace, as Debian packages them. All in one run,
//! in turns. They print TCP's attempts alone; egrets records these with their outcome, bytes and end,
//! every other protocol, and DNS.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libbpf_rs::query::ProgInfoIter;

use super::{BpfStats, Work, best_of, connects, connects_to, datagrams};
use crate::common::{memory, processor_time};

const SLICES: usize = 2;
/// How long a tool may take until it has printed a connection.
const PATIENCE: Duration = Duration::from_secs(180);

const TOOLS: [(&str, &str, &[&str]); 4] = [
    (
        "egrets",
        env!("CARGO_BIN_EXE_egrets"),
        &["record", "--db", "DB"],
    ),
    ("libbpf-tools", "tcpconnect", &[]),
    ("bcc", "tcpconnect-bpfcc", &[]),
    ("bpftrace", "tcpconnect.bt", &[]),
];

/// A number that a variable sets: a machine without KVM takes a hundred times as long for all.
fn number(variable: &str, default: u32) -> Result<u32> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(default),
    }
}

pub fn compare() -> Result<()> {
    let works: [(&str, Work); 3] = [
        ("TCP connect and close", connects),
        ("TCP, to 200 addresses in turn", connects_to_many),
        ("UDP datagram of 64 bytes", datagrams),
    ];
    let (count, rounds) = (number("OPERATIONS", 2_000)?, number("ROUNDS", 11)?);
    let mut tools = Vec::new();
    for tool in &TOOLS {
        match Tool::start(tool) {
            Ok(_) => tools.push(tool),
            Err(e) => println!("{} does not run here: {e:#}", tool.0),
        }
    }
    println!(
        "processor time per operation, to that without a tool: median of {rounds} interleaved rounds, the range of all"
    );
    for (what, work) in works {
        work(count)?;
        let mut ratios = vec![Vec::new(); tools.len()];
        for _ in 0..rounds {
            let without = best_of(SLICES, count, work)?;
            for (tool, ratios) in tools.iter().zip(&mut ratios) {
                let _running = Tool::start(tool)?;
                let with = best_of(SLICES, count, work)?;
                ratios.push(with.as_secs_f64() / without.as_secs_f64());
            }
        }
        for (tool, ratios) in tools.iter().zip(&mut ratios) {
            ratios.sort_by(f64::total_cmp);
            println!(
                "{what}: {}: ratio {:.3} ({:.3} to {:.3}); {}",
                tool.0,
                ratios[ratios.len() / 2],
                ratios[0],
                ratios[ratios.len() - 1],
                own(tool, count, work)?
            );
        }
    }
    Ok(())
}

/// What a tool itself takes: its process, and its programs in the kernel by the kernel's accounting,
/// which costs too.
fn own(tool: &(&str, &str, &[&str]), count: u32, work: Work) -> Result<String> {
    let before = programs();
    let running = Tool::start(tool)?;
    let stats = BpfStats::on();
    let spent = processor_time(running.child.id())?;
    for _ in 0..SLICES {
        work(count)?;
    }
    std::thread::sleep(Duration::from_millis(700));
    let spent = processor_time(running.child.id())? - spent;
    drop(stats);
    let operations = f64::from(count) * SLICES as f64;
    let of_tool = |id: u32| !before.contains(&id);
    let programs = ProgInfoIter::default().filter(|program| of_tool(program.id));
    let run_time: u64 = programs.map(|program| program.run_time_ns).sum();
    Ok(format!(
        "its process {:.1} us each, its programs {:.0} ns each; {:.2} s from its start to its first line, {:.0} MiB",
        spent.as_secs_f64() * 1e6 / operations,
        run_time as f64 / operations,
        running.start_up.as_secs_f64(),
        memory(running.child.id())? as f64 / 1024.0
    ))
}

fn programs() -> BTreeSet<u32> {
    ProgInfoIter::default().map(|program| program.id).collect()
}

/// One that runs, and has shown that it sees connections.
struct Tool {
    child: Child,
    start_up: Duration,
    _dir: tempfile::TempDir,
}

impl Tool {
    fn start((name, program, args): &(&str, &str, &[&str])) -> Result<Tool> {
        let dir = tempfile::tempdir()?;
        let db = dir.path().join("e.db").display().to_string();
        let args = args.iter().map(|arg| if *arg == "DB" { &db } else { *arg });
        // A file: who reads a pipe would take part of the time that is measured.
        let said = dir.path().join("said");
        let out = File::create(&said)?;
        let begun = Instant::now();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{program} is not installed"))?;
        let mut tool = Tool {
            child,
            start_up: Duration::ZERO,
            _dir: dir,
        };
        let sign = match *name {
            "egrets" => "recording into",
            _ => "127.0.0.1",
        };
        loop {
            let text = std::fs::read_to_string(&said)?;
            if text.contains(sign) {
                tool.start_up = begun.elapsed();
                return Ok(tool);
            }
            if let Some(status) = tool.child.try_wait()? {
                let last = text.lines().rfind(|line| !line.trim().is_empty());
                bail!("{status}: {}", last.unwrap_or_default());
            }
            if begun.elapsed() > PATIENCE {
                bail!("it printed no connection in {} s", PATIENCE.as_secs());
            }
            // A tool buffers what it prints: many connections fill that.
            if *name != "egrets" {
                connects(20)?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

/// As [`connects`], but to one address after the other.
fn connects_to_many(count: u32) -> Result<Duration> {
    connects_to(count, Ipv4Addr::UNSPECIFIED, |n| {
        Ipv4Addr::new(127, 0, 1, (n % 200) as u8 + 1)
    })
}
