//! `make bench`: histories of three sizes, written by the store as the recorder does. Measures
//! the write rate, the size, the time of questions and the cost of retention; then the memory of
//! the recorder and its backlog, which needs root. `history SIZE...` uses other sizes;
//! RECORDER_SECONDS is how long the recorder is measured. `history --loads` only measures it under each
//! kind of event, `history --readers` those who read beside it; `history --write PATH SIZE` only writes a history, for `make dev`.

mod common;
#[path = "history/generator.rs"]
mod generator;
#[path = "history/loads.rs"]
mod loads;
#[path = "history/measure.rs"]
mod measure;
#[path = "history/readers.rs"]
mod readers;
#[path = "history/recorder.rs"]
mod recorder;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use egrets::query::{self, OutputFormat, Request};
use egrets::store::{self, Access, Recording, Store};
use generator::Generator;
use measure::{Figures, bytes_on_disk, drop_caches, median, resident};

/// Connections per batch: those of a busy host between two polls of the ring buffer.
const BATCH: usize = 5_000;
/// Sizes of the histories in connections, with as many lookups.
const SIZES: [usize; 3] = [100_000, 1_000_000, 10_000_000];
/// Connections in the comparison with a plain table.
const COMPARED: usize = 500_000;
/// Its batches: 100 ms at 200,000 connections per second.
const COMPARED_BATCH: usize = 20_000;
/// Batches of a history that is only written: few enough to be held in memory.
const WRITTEN_BATCH: usize = 100_000;
/// The size limit of a new history, small enough for retention to start soon.
const SMALL: u64 = 64 << 20;
/// Repetitions of each question, warm and cold (with the caches dropped before).
const REPETITIONS: usize = 5;

const QUESTIONS: [&str; 3] = [
    "which processes hit example.com",
    "what did curl talk to",
    "top 10 hosts today",
];

fn main() -> Result<()> {
    // cargo also runs benches as tests, with --test: nothing to measure then
    if std::env::args().any(|a| a == "--test") {
        return Ok(());
    }
    if let Some(at) = std::env::args().position(|a| a == "--write") {
        let args: Vec<String> = std::env::args().skip(at + 1).collect();
        let [path, size, ..] = &args[..] else {
            anyhow::bail!("--write PATH SIZE");
        };
        return write(Path::new(path), size.parse()?);
    }
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { &SIZES } else { &sizes[..] };
    let dir = tempfile::Builder::new()
        .prefix("egrets-bench-")
        .tempdir_in(std::env::var_os("EGRETS_BENCH_DIR").unwrap_or_else(|| "/var/tmp".into()))?;
    if std::env::args().any(|a| a == "--loads") {
        return loads::measure(dir.path());
    }
    if std::env::args().any(|a| a == "--readers") {
        return readers::measure(&dir.path().join("readers"));
    }
    for long in [0, 10] {
        measure::compare_writing(dir.path(), COMPARED, COMPARED_BATCH, long)?;
    }
    let mut table = Vec::new();
    for &size in sizes {
        table.push(history(&dir.path().join(format!("{size}.db")), size)?);
    }
    measure::print_questions(&QUESTIONS, &table);
    recorder::measure(&dir.path().join("new.db"), SMALL)?;
    if let Some(largest) = sizes.iter().max() {
        let path = dir.path().join(format!("{largest}.db"));
        recorder::measure(&path, bytes_on_disk(&path)?)?;
    }
    loads::measure(dir.path())?;
    readers::measure(&dir.path().join("readers"))
}

pub fn open(path: &Path, generator: &Generator) -> Result<Store> {
    let recording = Recording {
        start_ts: generator.start,
        hook_set: "portable".into(),
        hooks: String::new(),
    };
    Store::open(path, &Access::default(), &recording)
}

fn write(path: &Path, size: usize) -> Result<()> {
    let mut generator = Generator::new(size);
    let mut store = open(path, &generator)?;
    let mut left = size;
    while left > 0 {
        let batch = left.min(WRITTEN_BATCH);
        let (records, now) = generator.batch(batch, true);
        records.iter().for_each(|record| store.add(record));
        store.commit(now)?;
        left -= batch;
    }
    store.finish(generator.now())?;
    Ok(())
}

/// Writes a history, runs the questions, and lets retention shrink it.
fn history(path: &Path, size: usize) -> Result<Figures> {
    let mut generator = Generator::new(size);
    let mut store = open(path, &generator)?;
    let (mut writing, mut slowest) = (Duration::ZERO, Duration::ZERO);
    let mut left = size;
    while left > 0 {
        let n = left.min(BATCH);
        let (records, now) = generator.batch(n, true);
        let (begun, cpu) = (Instant::now(), measure::cpu());
        records.iter().for_each(|record| store.add(record));
        store.commit(now)?;
        writing += measure::cpu() - cpu;
        slowest = slowest.max(begun.elapsed());
        left -= n;
    }
    let memory = resident()?;
    let end = generator.now();
    store.finish(end)?;
    let bytes = bytes_on_disk(path)?;
    println!(
        "{size} connections and lookups: {:.1} s of processor time in the store, {:.0} of both a second, slowest batch of {BATCH}: {:.0} ms; {} MiB, {:.0} bytes a connection with its lookup; {} MiB resident",
        writing.as_secs_f64(),
        size as f64 / writing.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
        bytes >> 20,
        bytes as f64 / size as f64,
        memory >> 20,
    );
    let mut figures = Figures::default();
    for question in QUESTIONS {
        let (warm, rows) = ask(path, question, end, false)?;
        let (cold, _) = ask(path, question, end, true)?;
        figures.answers.push((warm, cold, rows));
    }
    figures.size = size;
    measure::retention(path, &mut generator, bytes, BATCH / 50)?;
    Ok(figures)
}

/// The median time of an answer, including opening the file, and its number of rows. Warm: CPU
/// time, since it does not wait for anything. Cold: wall time.
fn ask(path: &Path, question: &str, now: i64, cold: bool) -> Result<(Duration, usize)> {
    let now = DateTime::<Utc>::from_timestamp_nanos(now);
    let request = Request {
        question: query::parse(question, &now)?,
        since: None,
        until: None,
        format: OutputFormat::Json,
        width: None,
        now,
        color: false,
        explain: false,
        limit: None,
        begun: None,
    };
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..=REPETITIONS {
        if cold {
            drop_caches(path)?;
        }
        let (begun, cpu) = (Instant::now(), measure::cpu());
        let db = store::open_reader(path)?;
        let mut out = Vec::new();
        request.run(&db, &mut out, &mut Vec::new())?;
        times.push(match cold {
            true => begun.elapsed(),
            false => measure::cpu() - cpu,
        });
        rows = out.iter().filter(|&&b| b == b'\n').count();
    }
    // The first warms up.
    Ok((median(times.split_off(1)), rows))
}
