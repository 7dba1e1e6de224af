//! The recorder's memory while it records all that one core can dial.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long, where MEMORY_SECONDS says nothing.
const SECONDS: u64 = 60;
/// Lines of figures at most.
const LINES: u64 = 10;

/// Records loopback connections into a file that may grow to 64 MiB, so that retention is
/// at work too, and prints what the recorder holds of the memory meanwhile.
pub fn measure(dir: &Path) -> Result<()> {
    let seconds = match std::env::var("MEMORY_SECONDS") {
        Ok(text) => text.parse()?,
        Err(_) => SECONDS,
    };
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_egrets"))
        .args(["record", "--max-size", "64M", "--db"])
        .arg(dir.join("memory.db"))
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = recorder.stderr.take().context("stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    while !lines
        .next()
        .context("egrets has ended")??
        .contains("recording into")
    {}
    // Read on, so that it never waits to be heard.
    std::thread::spawn(move || lines.for_each(drop));
    println!("the recorder's memory under full traffic, {seconds} s (the 16 MiB ring included)");
    let (stop, dialled) = (AtomicBool::new(false), AtomicU64::new(0));
    let watched = std::thread::scope(|scope| {
        let load = scope.spawn(|| dial(&stop, &dialled));
        let watched = watch(&recorder, seconds, &dialled);
        stop.store(true, Ordering::Relaxed);
        let _ = load.join();
        watched
    });
    Command::new("kill")
        .args(["-INT", &recorder.id().to_string()])
        .status()?;
    recorder.wait()?;
    watched
}

fn dial(stop: &AtomicBool, dialled: &AtomicU64) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    while !stop.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(to)?;
        // Reset, so that no port waits for the last packet.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        drop(listener.accept()?);
        drop(stream);
        dialled.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn watch(recorder: &Child, seconds: u64, dialled: &AtomicU64) -> Result<()> {
    let begun = Instant::now();
    let mut peak = 0;
    for line in 1..=LINES.min(seconds) {
        let end = Duration::from_secs(line * seconds / LINES.min(seconds));
        while begun.elapsed() < end {
            std::thread::sleep(Duration::from_millis(100));
            peak = peak.max(memory(recorder)?);
        }
        println!(
            "  {:4} s: {:.1} MiB ({:.1} at most so far), {} connections",
            end.as_secs(),
            memory(recorder)? as f64 / 1024.0,
            peak as f64 / 1024.0,
            dialled.load(Ordering::Relaxed)
        );
    }
    Ok(())
}

/// In KiB: each page once, though the ring is mapped twice.
fn memory(child: &Child) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()))?;
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("no such line")?.parse()?)
}
