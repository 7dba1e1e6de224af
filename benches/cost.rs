//! `make bench`: what egrets costs, as ratios within one run. With and without
//! the recorder are interleaved, because machines drift; of each the best of some slices
//! counts, and processor time instead of the clock, because others use the machine too. A
//! slice during which another egrets was there is done again. Needs root.

mod common;
#[path = "cost/peers.rs"]
mod peers;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use common::{Recorder, memory, number, processor_time};
use libbpf_rs::query::{MapInfoIter, ProgInfoIter, ProgramInfo as ProgInfo};
use libbpf_rs::{MapHandle, MapType};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::SockRef;

const ROUNDS: usize = 11;
/// Of each round, with and without.
const SLICES: usize = 5;
/// How long to wait for the others' egrets to end.
const PATIENCE: Duration = Duration::from_secs(600);
const CONNECTS: u32 = 2_000;
const DATAGRAMS: u32 = 20_000;
/// Writes of 64 KiB.
const BULK: u32 = 8_000;
const BULK_SIZE: usize = 65_536;
/// What the kernel allows by default (rmem_max, wmem_max).
const BULK_BUFFER: usize = 212_992;
const FRAMES: u32 = 100_000;
const EXCHANGES: u32 = 5_000;
/// What QUIC sends before it knows more of the path (RFC 9000, section 14), as many as are in 64 KiB.
const SEGMENT: u16 = 1_200;
const SEGMENTS: usize = 53;
const SYSTEM_CALLS: u32 = 1_000_000;

fn main() -> Result<()> {
    // cargo also runs benches as tests, with --test: nothing to time then
    if std::env::args().any(|a| a == "--test") {
        return Ok(());
    }
    if std::env::args().any(|a| a == "--peers") {
        return peers::compare();
    }
    println!(
        "cost to others: processor time per operation on loopback (median of {ROUNDS} interleaved rounds, the range of all)"
    );
    compare("TCP connect and close", CONNECTS, connects)?;
    compare("TCP in bulk, 64 KiB sent and received", BULK, bulk)?;
    compare(
        "UDP datagram of 64 bytes, sent and received",
        DATAGRAMS,
        datagrams,
    )?;
    compare("frame of 64 bytes from a packet socket", FRAMES, frames)?;
    compare(
        "UDP in bulk, 53 datagrams of 1,200 bytes at once, as QUIC sends them, and as many back",
        EXCHANGES,
        exchanges,
    )?;
    compare(
        "a system call that does nothing",
        SYSTEM_CALLS,
        system_calls,
    )?;
    reading_payload()?;
    let policy = Policy::write()?;
    println!("a policy of {RULES} rules and a list of {LISTED} names, to recording without one");
    compare_policy("TCP connect and close", CONNECTS, connects, &policy)?;
    compare_policy(
        "UDP datagram of 64 bytes, sent and received",
        DATAGRAMS,
        datagrams,
        &policy,
    )?;
    Ok(())
}

/// What it costs to read the names that connections send.
fn reading_payload() -> Result<()> {
    println!("names that connections send, to recording with --no-payload");
    let without: &[&str] = &["--no-payload"];
    let measured: [(&str, u32, Work); 3] = [
        ("TCP in bulk with names read, 64 KiB", BULK, bulk),
        (
            "UDP datagram of 64 bytes with names read",
            DATAGRAMS,
            datagrams,
        ),
        (
            "TLS with names read, a ClientHello of 517 bytes and close",
            CONNECTS,
            hellos,
        ),
    ];
    for (what, count, work) in measured {
        compare_options(what, count, work, without, &[])?;
    }
    // the ring buffer has all that is copied, and a header for each record
    let what = "TLS with names read, bytes in the ring buffer per connection, of all its records";
    if is_wanted(what) {
        let [without, with] = [without, &[]].map(|args| ring_bytes(CONNECTS, hellos, args));
        println!("{what}: {:.0} without, {:.0} with", without?, with?);
    }
    Ok(())
}

const RULES: usize = 200;
const LISTED: usize = 500_000;

/// A policy that allows what is measured, behind all of its rules.
struct Policy {
    dir: tempfile::TempDir,
}

impl Policy {
    fn write() -> Result<Policy> {
        let dir = tempfile::tempdir()?;
        let names: String = (0..LISTED)
            .map(|i| format!("bad{i}.example.com\n"))
            .collect();
        std::fs::write(dir.path().join("names.txt"), names)?;
        let mut text = String::from("version: 1\ndefault: allow\nrules:\n");
        text += "  - { name: listed, to: [\"list:names.txt\"], action: block }\n";
        for i in 1..RULES {
            let to = match i % 4 {
                0 => format!("api{i}.example.org"),
                1 => format!("198.51.{i}.0/24"),
                2 => format!("\"*.cdn{i}.example.net\""),
                _ => format!("=host{i}.example.org"),
            };
            text += &format!(
                "  - {{ name: rule {i}, who: {{ exe: /usr/bin/program{i} }}, to: [{to}], ports: [{}], action: block }}\n",
                1000 + i
            );
        }
        std::fs::write(dir.path().join("policy.yaml"), text)?;
        Ok(Policy { dir })
    }

    fn path(&self) -> Result<String> {
        let path = self.dir.path().join("policy.yaml");
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    }
}

/// Processor time of this process: what comes over loopback is received in it as well.
struct Spent(Duration);

impl Spent {
    fn start() -> Spent {
        Spent(Spent::now())
    }

    fn now() -> Duration {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    }

    fn elapsed(&self) -> Duration {
        Spent::now() - self.0
    }
}

/// The kernel's own accounting of BPF programs, while it lives.
struct BpfStats;

const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl BpfStats {
    fn on() -> BpfStats {
        let _ = std::fs::write(STATS, "1");
        BpfStats
    }
}

impl Drop for BpfStats {
    fn drop(&mut self) {
        let _ = std::fs::write(STATS, "0");
    }
}

/// One into a file of its own, which goes with the directory.
fn start(args: &[&str]) -> Result<(Recorder, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    Ok((Recorder::start(&dir.path().join("e.db"), args)?, dir))
}

impl Recorder {
    /// Bytes of its BPF maps in the kernel, the ring among them.
    fn maps(&self) -> Result<u64> {
        let mut sum = 0;
        for file in std::fs::read_dir(format!("/proc/{}/fdinfo", self.pid()))? {
            let info = std::fs::read_to_string(file?.path()).unwrap_or_default();
            let of_map = info.lines().any(|line| line.starts_with("map_type:"));
            let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            if let (true, Some(bytes)) = (of_map, line) {
                sum += bytes.trim().parse::<u64>()?;
            }
        }
        Ok(sum)
    }
}

type Work = fn(u32) -> Result<Duration>;

/// How many recorders and watchers there are.
fn running() -> usize {
    let hook = |program: &ProgInfo| program.name == "egrets_egress";
    ProgInfoIter::default().filter(hook).count()
}

/// The best of so many slices.
fn best_of(slices: usize, count: u32, work: Work) -> Result<Duration> {
    let slices = (0..slices).map(|_| work(count));
    let slices = slices.collect::<Result<Vec<_>>>()?;
    slices.into_iter().min().context("no slices")
}

/// The best slice, with so many recorders.
fn best(count: u32, work: Work, recorders: usize) -> Result<Duration> {
    let mut slices = Vec::new();
    let end = Instant::now() + PATIENCE;
    while slices.len() < SLICES {
        let before = running();
        let took = work(count)?;
        if (before, running()) == (recorders, recorders) {
            slices.push(took);
        } else if Instant::now() > end {
            bail!("another egrets is running");
        } else {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    slices.into_iter().min().context("no slices")
}

/// With a recorder that has these options.
fn watched(count: u32, work: Work, args: &[&str]) -> Result<Duration> {
    let (recorder, _dir) = start(args)?;
    let took = best(count, work, 1)?;
    recorder.stop()?;
    Ok(took)
}

/// With words on the command line, only what has one of them in its name.
fn is_wanted(what: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .peekable();
    words.peek().is_none() || words.any(|word| what.contains(&word))
}

fn compare(what: &str, count: u32, work: Work) -> Result<()> {
    if !is_wanted(what) {
        return Ok(());
    }
    work(count)?;
    let round = |_| Ok([best(count, work, 0)?, watched(count, work, &[])?]);
    let rounds: Vec<[Duration; 2]> = (0..ROUNDS).map(round).collect::<Result<_>>()?;
    println!(
        "{what}: {}\n{}",
        said(count, &rounds),
        recorders_own(count, work)?
    );
    Ok(())
}

fn compare_policy(what: &str, count: u32, work: Work, policy: &Policy) -> Result<()> {
    let path = policy.path()?;
    compare_options(what, count, work, &[], &["--policy", &path, "--enforce"])
}

/// Two recorders.
fn compare_options(
    what: &str,
    count: u32,
    work: Work,
    without: &[&str],
    with: &[&str],
) -> Result<()> {
    if !is_wanted(what) {
        return Ok(());
    }
    work(count)?;
    let round = |_| Ok([watched(count, work, without)?, watched(count, work, with)?]);
    let rounds: Vec<[Duration; 2]> = (0..ROUNDS).map(round).collect::<Result<_>>()?;
    println!("{what}: {}", said(count, &rounds));
    Ok(())
}

/// Bytes that the kernel side writes for each.
fn ring_bytes(count: u32, work: Work, args: &[&str]) -> Result<f64> {
    let (recorder, _dir) = start(args)?;
    let end = Instant::now() + PATIENCE;
    let written = loop {
        let (others, before) = (running() != 1, ring_position()?);
        work(count)?;
        let after = ring_position()?;
        if !others && running() == 1 {
            break after - before;
        }
        if Instant::now() > end {
            bail!("another egrets is running");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    recorder.stop()?;
    Ok(written as f64 / f64::from(count))
}

/// Bytes that were ever written to the ring buffer of the recorder: the producer's position is in its
/// second page (kernel/bpf/ringbuf.c).
fn ring_position() -> Result<usize> {
    use std::os::fd::{AsFd, AsRawFd};
    let ring =
        MapInfoIter::default().find(|map| map.ty == MapType::RingBuf && map.name == "events");
    let map = MapHandle::from_map_id(ring.context("no ring buffer")?.id)?;
    let page = rustix::param::page_size();
    let fd = map.as_fd().as_raw_fd();
    // SAFETY: a new mapping of a page, for reading; it is removed below, and only read until then.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            page,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd,
            page as libc::off_t,
        );
        anyhow::ensure!(
            at != libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        let position = at.cast::<usize>().read_volatile();
        libc::munmap(at, page);
        Ok(position)
    }
}

/// Medians, and the range of the ratios.
fn said(count: u32, rounds: &[[Duration; 2]]) -> String {
    let each = |i: usize| {
        let mut times: Vec<Duration> = rounds.iter().map(|both| both[i]).collect();
        times.sort();
        times[ROUNDS / 2].as_secs_f64() * 1e6 / f64::from(count)
    };
    let mut ratios: Vec<f64> = rounds
        .iter()
        .map(|[without, with]| with.as_secs_f64() / without.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    format!(
        "{:.2} us without, {:.2} us with, ratio {:.3} ({:.3} to {:.3})",
        each(0),
        each(1),
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
    )
}

/// What the recorder itself takes under this load, and each of its programs, with the
/// kernel's accounting, which costs too.
fn recorders_own(count: u32, work: Work) -> Result<String> {
    let (recorder, _dir) = start(&[])?;
    let stats = BpfStats::on();
    let (before, sleeps) = (
        processor_time(recorder.pid())?,
        number(recorder.pid(), "status", "voluntary_ctxt_switches")?,
    );
    for _ in 0..SLICES {
        work(count)?;
    }
    std::thread::sleep(Duration::from_millis(700));
    drop(stats);
    let operations = f64::from(count) * SLICES as f64;
    let cpu = (processor_time(recorder.pid())? - before).as_secs_f64() * 1e6 / operations;
    let woken = number(recorder.pid(), "status", "voluntary_ctxt_switches")? - sleeps;
    let own = format!(
        "  recorder: {cpu:.2} us of processor time each, {woken} wake-ups in all, {:.1} MiB of memory (the 16 MiB ring included), {:.1} MiB of BPF maps\n{}",
        memory(recorder.pid())? as f64 / 1024.0,
        recorder.maps()? as f64 / 1024.0 / 1024.0,
        programs()?
    );
    recorder.stop()?;
    Ok(own)
}

/// Mean run time of each of egrets' programs that ran.
fn programs() -> Result<String> {
    let mut lines = String::new();
    for program in ProgInfoIter::default() {
        let name = program.name.to_string_lossy();
        if name.starts_with("egrets_") && program.run_cnt > 100 {
            let mean = program.run_time_ns / program.run_cnt;
            lines.push_str(&format!("  {name:16} {mean:5} ns x {}\n", program.run_cnt));
        }
    }
    Ok(lines)
}

/// One connection at a time, accepted before the next: no backlog fills up.
fn connects(count: u32) -> Result<Duration> {
    connects_to(count, Ipv4Addr::LOCALHOST, |_| Ipv4Addr::LOCALHOST)
}

/// Likewise, each to the address of its number, where this one is listened at.
fn connects_to(
    count: u32,
    listened: Ipv4Addr,
    address: impl Fn(u32) -> Ipv4Addr,
) -> Result<Duration> {
    let listener = TcpListener::bind((listened, 0))?;
    let port = listener.local_addr()?.port();
    let start = Spent::start();
    for n in 0..count {
        let stream = TcpStream::connect((address(n), port))?;
        drop(listener.accept()?);
        drop(stream);
    }
    Ok(start.elapsed())
}

/// The same, with what a client of TLS sends first and nothing behind it: the cryptography of a handshake
/// takes many times as long as all that is compared here.
fn hellos(count: u32) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let hello = client_hello();
    let mut received = vec![0; hello.len()];
    let start = Spent::start();
    for _ in 0..count {
        let mut stream = TcpStream::connect(to)?;
        let (mut accepted, _) = listener.accept()?;
        stream.write_all(&hello)?;
        accepted.read_exact(&mut received)?;
        drop(accepted);
        drop(stream);
    }
    Ok(start.elapsed())
}

/// A ClientHello for www.example.com, padded to the usual 512 bytes (RFC 7685).
fn client_hello() -> Vec<u8> {
    let name = b"www.example.com";
    let sized = |data: &[u8]| [&(data.len() as u16).to_be_bytes(), data].concat();
    let server_name = sized(&[&[0][..], &sized(name)].concat());
    let mut extensions = [&[0, 0][..], &sized(&server_name)].concat();
    let fixed = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let padding = 512 - 4 - fixed.len() - 2 - extensions.len() - 4;
    extensions.extend([&[0, 21][..], &sized(&vec![0; padding])].concat());
    let body = [&fixed[..], &sized(&extensions)].concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn datagrams(count: u32) -> Result<Duration> {
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    a.connect(b.local_addr()?)?;
    let (data, mut back) = ([0; 64], [0; 64]);
    let start = Spent::start();
    for _ in 0..count {
        a.send(&data)?;
        b.recv(&mut back)?;
    }
    Ok(start.elapsed())
}

/// With the segmentation offloads of UDP (UDP_SEGMENT, UDP_GRO), both ways.
fn exchanges(count: u32) -> Result<Duration> {
    let ends = [
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    ];
    for (end, other) in [(0, 1), (1, 0)] {
        ends[end].connect(ends[other].local_addr()?)?;
        set_udp_option(&ends[end], libc::UDP_SEGMENT, SEGMENT.into())?;
        set_udp_option(&ends[end], libc::UDP_GRO, 1)?;
    }
    let data = vec![0; usize::from(SEGMENT) * SEGMENTS];
    let mut back = vec![0; data.len()];
    let start = Spent::start();
    for _ in 0..count {
        for (end, other) in [(0, 1), (1, 0)] {
            ends[end].send(&data)?;
            let received = ends[other].recv(&mut back)?;
            anyhow::ensure!(received == data.len(), "{received} bytes at once");
        }
    }
    Ok(start.elapsed())
}

fn set_udp_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the value is valid for its length.
    let set = unsafe {
        let (at, len) = ((&raw const value).cast(), size_of_val(&value));
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, at, len as u32)
    };
    anyhow::ensure!(set == 0, "{}", std::io::Error::last_os_error());
    Ok(())
}

/// Where connect(2) is traced, all system calls pass the kernel's path for traced ones.
fn system_calls(count: u32) -> Result<Duration> {
    let start = Spent::start();
    for _ in 0..count {
        std::hint::black_box(rustix::process::getppid());
    }
    Ok(start.elapsed())
}

/// One connection, each end of which has a processor of its own, and buffers that do not
/// grow: where the ends meet, and how much they take at once, would cost more than egrets.
fn bulk(count: u32) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    SockRef::from(&listener).set_recv_buffer_size(BULK_BUFFER)?;
    let out = TcpStream::connect(listener.local_addr()?)?;
    SockRef::from(&out).set_send_buffer_size(BULK_BUFFER)?;
    let (into, _) = listener.accept()?;
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let [one, other] = [processors.next(), processors.next()];
    let start = Spent::start();
    let ends = [
        std::thread::spawn(move || on(other.or(one), || sink(into))),
        std::thread::spawn(move || on(one, || source(out, count))),
    ];
    for end in ends {
        end.join().map_err(|_| anyhow!("an end broke"))??;
    }
    Ok(start.elapsed())
}

fn source(mut out: TcpStream, count: u32) -> Result<()> {
    let data = vec![0; BULK_SIZE];
    (0..count).try_for_each(|_| out.write_all(&data))?;
    Ok(())
}

fn sink(mut into: TcpStream) -> Result<()> {
    let mut data = vec![0; BULK_SIZE];
    while into.read(&mut data)? > 0 {}
    Ok(())
}

/// Runs on this processor.
fn on(processor: Option<usize>, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor.context("no processor")?);
    sched_setaffinity(None, &set)?;
    run()
}

/// Of a type that no socket receives, so only sending costs.
fn frames(count: u32) -> Result<Duration> {
    use std::os::fd::AsRawFd;
    const EXPERIMENT: u16 = 0x88b5; // IEEE 802
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None)?;
    // SAFETY: all zeroes is an address.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = 1; // lo
    let mut frame = [0u8; 64];
    frame[12..14].copy_from_slice(&EXPERIMENT.to_be_bytes());
    let start = Spent::start();
    for _ in 0..count {
        let (at, len) = (frame.as_ptr().cast(), size_of_val(&to) as libc::socklen_t);
        // SAFETY: the frame and the address are valid for their lengths.
        let n = unsafe {
            let to = (&raw const to).cast();
            libc::sendto(socket.as_raw_fd(), at, frame.len(), 0, to, len)
        };
        anyhow::ensure!(n == 64, "{}", std::io::Error::last_os_error());
    }
    Ok(start.elapsed())
}
