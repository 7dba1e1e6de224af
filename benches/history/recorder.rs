//! The recorder under all the connections that one core can make, with retention active: its
//! memory, how long events wait for it, and the fill level of the ring buffer.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libbpf_rs::libbpf_sys;

use crate::common::{Recorder, memory};
use crate::loads::{dial, under};
use crate::measure::bytes_on_disk;

/// The default of RECORDER_SECONDS.
const SECONDS: u64 = 60;
/// Maximum number of output lines.
const LINES: u64 = 10;

/// Records loopback connections into a file with this size limit, and prints the figures.
pub fn measure(path: &Path, max_size: u64) -> Result<()> {
    let seconds = seconds()?;
    let max_size = format!("{}M", max_size >> 20);
    let recorder = Recorder::start(path, &["--max-size", &max_size])?;
    println!(
        "the recorder under full traffic, {seconds} s, a file of {max_size} at most: its memory, the 16 MiB ring included"
    );
    let ring = Ring::of(&recorder)?;
    let watched = under(dial, &ring, |dialled| watch(&recorder, seconds, dialled));
    recorder.stop()?;
    let ((), _, waits) = watched?;
    let lost = losses(path)?;
    println!(
        "  {waits}; lost: {lost}; {} MiB on disk",
        bytes_on_disk(path)? >> 20
    );
    Ok(())
}

/// How long the recorder is measured.
pub fn seconds() -> Result<u64> {
    match std::env::var("RECORDER_SECONDS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(SECONDS),
    }
}

/// What a history lacks of its last recording, in words.
pub fn losses(path: &Path) -> Result<String> {
    let sql = "SELECT kind, sum(lost) FROM gaps
         WHERE kind NOT IN ('retention', 'summary', 'recording', 'share')
           AND to_ts > (SELECT max(start_ts) FROM recordings) GROUP BY kind";
    let db = rusqlite::Connection::open(path)?;
    let mut statement = db.prepare(sql)?;
    let kinds = statement.query_map([], |row| {
        let (kind, lost): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok(format!("{lost} {kind}"))
    })?;
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    Ok(match &kinds[..] {
        [] => "nothing".into(),
        kinds => kinds.join(", "),
    })
}

fn watch(recorder: &Recorder, seconds: u64, dialled: &AtomicU64) -> Result<()> {
    let begun = Instant::now();
    let mut peak = 0;
    for line in 1..=LINES.min(seconds) {
        let end = Duration::from_secs(line * seconds / LINES.min(seconds));
        while begun.elapsed() < end {
            std::thread::sleep(Duration::from_millis(100));
            peak = peak.max(memory(recorder.pid())?);
        }
        println!(
            "  {:4} s: {:.1} MiB ({:.1} at most so far), {} connections",
            end.as_secs(),
            memory(recorder.pid())? as f64 / 1024.0,
            peak as f64 / 1024.0,
            dialled.load(Ordering::Relaxed)
        );
    }
    Ok(())
}

/// The positions of the recorder's ring buffer, in bytes since the beginning
/// (kernel/bpf/ringbuf.c: the consumer's page, the producer's page, the data).
pub struct Ring {
    consumer: *const AtomicU64,
    producer: *const AtomicU64,
    size: u64,
}

// SAFETY: two addresses of mapped memory, which is only read, and atomically.
unsafe impl Sync for Ring {}

#[derive(Default)]
pub struct Waits {
    /// How long events were pending and none was consumed.
    pub longest: Duration,
    pub fullest: f64,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "events waited {:.0} ms at most, the ring was {:.1} % full at most",
            self.longest.as_secs_f64() * 1e3,
            self.fullest * 100.0
        )
    }
}

impl Ring {
    pub fn of(recorder: &Recorder) -> Result<Ring> {
        let ring_type = libbpf_sys::BPF_MAP_TYPE_RINGBUF.to_string();
        for file in std::fs::read_dir(format!("/proc/{}/fdinfo", recorder.pid()))? {
            let info = std::fs::read_to_string(file?.path()).unwrap_or_default();
            let field = |key: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(key));
                line.map(str::trim)
            };
            if field("map_type:") != Some(&ring_type) {
                continue;
            }
            let (id, size) = (field("map_id:"), field("max_entries:"));
            return Ring::map(
                id.context("no id")?.parse()?,
                size.context("no size")?.parse()?,
            );
        }
        anyhow::bail!("the recorder has no ring buffer")
    }

    fn map(id: u32, size: u64) -> Result<Ring> {
        // SAFETY: a plain system call that returns a new descriptor.
        let fd = unsafe {
            let fd = libbpf_sys::bpf_map_get_fd_by_id(id);
            ensure!(fd >= 0, "map {id}: {}", std::io::Error::last_os_error());
            File::from(OwnedFd::from_raw_fd(fd))
        };
        let page = rustix::param::page_size();
        // SAFETY: a new mapping; it stays until the process ends.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * page,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        ensure!(
            at != libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        Ok(Ring {
            consumer: at.cast(),
            producer: at.wrapping_byte_add(page).cast(),
            size,
        })
    }

    /// Polls every millisecond.
    pub fn watch(&self, stop: &AtomicBool) -> Waits {
        let mut waits = Waits::default();
        let (mut moved, mut since) = (0, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            // SAFETY: both are in the mapping, aligned, and only read.
            let (taken, made) = unsafe {
                let taken = (*self.consumer).load(Ordering::Acquire);
                (taken, (*self.producer).load(Ordering::Acquire))
            };
            if taken != moved || taken == made {
                (moved, since) = (taken, Instant::now());
            }
            waits.longest = waits.longest.max(since.elapsed());
            let waiting = made.saturating_sub(taken);
            waits.fullest = waits.fullest.max(waiting as f64 / self.size as f64);
            std::thread::sleep(Duration::from_millis(1));
        }
        waits
    }
}
