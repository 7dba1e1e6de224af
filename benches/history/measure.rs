//! Measurements of a history other than questions.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use egrets::model::{Connection, Record};
use egrets::store::Store;

use crate::generator::Generator;
use crate::open;

/// The times of each question at one size, warm and cold, and the rows of its answer.
#[derive(Default)]
pub struct Figures {
    pub size: usize,
    pub answers: Vec<(Duration, Duration, usize)>,
}

/// CPU time of this thread, so that other processes and threads do not count.
pub fn cpu() -> Duration {
    spent(rustix::time::ClockId::ThreadCPUTime)
}

/// CPU time of the other threads: checkpoints.
fn cpu_of_others() -> Duration {
    spent(rustix::time::ClockId::ProcessCPUTime).saturating_sub(cpu())
}

fn spent(clock: rustix::time::ClockId) -> Duration {
    let t = rustix::time::clock_gettime(clock);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The file and its -wal.
pub fn bytes_on_disk(path: &Path) -> Result<u64> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Ok(std::fs::metadata(path)?.len() + std::fs::metadata(wal).map_or(0, |m| m.len()))
}

/// Resident memory of this process, in bytes.
pub fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .context("no resident pages")?
        .parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Evicts the file from the page cache.
pub fn drop_caches(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    // SAFETY: the descriptor is open during the call, which does not access our memory.
    let rc = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    anyhow::ensure!(rc == 0, "posix_fadvise: {rc}");
    Ok(())
}

/// Compares the store with plain INSERTs of the same fields into one table without indexes, in
/// batches of the same size. Both include the updates of connections and the checkpoints.
pub fn compare_writing(dir: &Path, size: usize, batch: usize, long_percent: u64) -> Result<()> {
    let (mut ratios, mut speeds) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..3 {
        let ours = dir.join(format!("ours{round}.db"));
        let mut generator = Generator::new(size);
        generator.long_percent = long_percent;
        let others = cpu_of_others();
        let mut store = open(&ours, &generator)?;
        let mut time = Duration::ZERO;
        for _ in 0..size / batch {
            let (records, now) = generator.batch(batch, false);
            let begun = cpu();
            records.iter().for_each(|record| store.add(record));
            store.commit(now)?;
            time += cpu() - begun;
        }
        store.finish(generator.now())?;
        time += cpu_of_others() - others;
        let flat = dir.join(format!("flat{round}.db"));
        let plain = plain(&flat, size, batch, long_percent)?;
        sizes = (bytes_on_disk(&ours)?, bytes_on_disk(&flat)?);
        ratios.push(plain.as_secs_f64() / time.as_secs_f64());
        speeds.push(size as f64 / time.as_secs_f64());
        for path in [ours, flat] {
            std::fs::remove_file(path)?;
        }
    }
    ratios.sort_by(f64::total_cmp);
    speeds.sort_by(f64::total_cmp);
    println!(
        "writing, {long_percent} % of connections written twice: {:.0} connections a second, {:.2} of a plain insert's speed ({:.2} to {:.2}); {:.0} bytes each with all indexes and rollups, {:.2} of the plain table's",
        speeds[1],
        ratios[1],
        ratios[0],
        ratios[2],
        sizes.0 as f64 / size as f64,
        sizes.0 as f64 / sizes.1 as f64
    );
    Ok(())
}

fn plain(path: &Path, size: usize, batch: usize, long_percent: u64) -> Result<Duration> {
    let mut db = rusqlite::Connection::open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         CREATE TABLE t (id, ts, pid, tid, comm, exe, cmdline, uid, user, ppid, parent_comm, protocol,
            src_ip, src_port, dst_ip, dst_port, host, host_source, host_age_ms, host_rivals, outcome,
            latency_us, tx_bytes, rx_bytes, duration_us, netns, container_id)",
    )?;
    let mut generator = Generator::new(size);
    generator.long_percent = long_percent;
    let (mut time, mut last) = (Duration::ZERO, 0);
    for _ in 0..size / batch {
        let (records, _) = generator.batch(batch, false);
        let begun = cpu();
        let tx = db.transaction()?;
        for record in &records {
            // Once each: later records of a connection would be updates.
            if let Record::Opened(c) | Record::Outcome(c) | Record::Closed(c) = record
                && c.number > last
            {
                insert(&tx, c)?;
                last = c.number;
            }
        }
        tx.commit()?;
        time += cpu() - begun;
    }
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(time)
}

fn insert(db: &rusqlite::Connection, c: &Connection) -> Result<()> {
    let (p, name) = (&c.process, c.name.as_ref().context("a name")?);
    db.prepare_cached(
        "INSERT INTO t VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27)",
    )?
    .execute(rusqlite::params![
        c.number as i64,
        c.ts,
        p.pid,
        c.tid,
        p.comm,
        p.exe,
        p.cmdline,
        p.uid,
        p.user,
        p.ppid,
        p.parent_comm,
        c.protocol.as_str(),
        c.src.map(|s| s.ip.to_string()),
        c.src.map(|s| s.port),
        c.dst.ip.to_string(),
        c.dst.port,
        &*name.host,
        name.source.as_str(),
        name.age_ms.map(|n| n as i64),
        name.rivals as i64,
        c.outcome.as_str(),
        c.latency_us,
        c.tx_bytes.map(|n| n as i64),
        c.rx_bytes.map(|n| n as i64),
        c.duration_us,
        p.netns,
        p.container.as_ref().map(|k| &k.id),
    ])?;
    Ok(())
}

/// The cost of retention per commit: without retention, while the file shrinks to nine tenths, and
/// while it stays at that size, with as much removed as recorded.
pub fn retention(path: &Path, generator: &mut Generator, bytes: u64, batch: usize) -> Result<()> {
    generator.begin_run();
    let mut store = open(path, generator)?;
    let mut commits =
        |store: &mut Store, enough: &dyn Fn(usize) -> Result<bool>| -> Result<String> {
            let (mut own, mut passed) = (Vec::new(), Vec::new());
            while !enough(own.len())? {
                let (records, now) = generator.batch(batch, true);
                records.iter().for_each(|record| store.add(record));
                let (begun, cpu_begun) = (Instant::now(), cpu());
                store.commit(now)?;
                own.push(cpu() - cpu_begun);
                passed.push(begun.elapsed());
            }
            let most = |times: &[Duration]| times.iter().max().map_or(0.0, ms);
            Ok(format!(
                "{:.1} ({:.1} at most; {:.1} by the clock)",
                ms(&median(own.clone())),
                most(&own),
                most(&passed)
            ))
        };
    let without = commits(&mut store, &|n| Ok(n == 200))?;
    let kept = bytes / 10 * 9;
    store.retention.bytes = Some(kept);
    let shrinking = commits(&mut store, &|n| {
        Ok(n == 5_000 || std::fs::metadata(path)?.len() < kept + (4 << 20))
    })?;
    let staying = commits(&mut store, &|n| Ok(n == 200))?;
    store.finish(generator.now())?;
    println!(
        "  a commit of {batch} of both, in ms of processor time: without retention {without}; while the file shrinks {shrinking}; while it stays {staying}; {} MiB then",
        bytes_on_disk(path)? >> 20
    );
    Ok(())
}

fn ms(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn print_questions(questions: &[&str], table: &[Figures]) {
    println!("questions, in ms: warm (processor time), cold (by the clock), rows");
    for (i, question) in questions.iter().enumerate() {
        print!("  {question:34}");
        for figures in table {
            let (warm, cold, rows) = figures.answers[i];
            print!(
                "  {}: {:.1}, {:.1} ({rows})",
                figures.size,
                ms(&warm),
                ms(&cold)
            );
        }
        println!();
    }
}
