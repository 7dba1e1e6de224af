//! What those who look at a history cost beside the recorder, while one core makes all the
//! connections that it can: what they take, and whether events wait longer or are lost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::common::{Recorder, processor_time};
use crate::loads::{dial, under};
use crate::recorder::{Ring, losses, seconds};

/// Where `serve` listens.
const PAGE: &str = "127.0.0.1:18417";

/// Each with the arguments of egrets.
const READERS: [(&str, &[&str]); 6] = [
    ("none", &[]),
    ("top", &["top"]),
    (
        "serve, with a page open",
        &["serve", "--listen", PAGE, "--token-file", "TOKEN"],
    ),
    (
        "alert",
        &[
            "alert",
            "--recorder",
            "--if",
            "raw IPs",
            "--if",
            "new hosts by user www-data",
        ],
    ),
    (
        "ship every 10 s",
        &["ship", "--every", "10s", "--to", "DATASET"],
    ),
    ("query without end", &["query", "top 10 hosts today"]),
];

/// Prints a line for each reader, of a history that is to be written at `path`.
pub fn measure(path: &Path) -> Result<()> {
    println!(
        "readers beside the recorder under full traffic, {} s each, a new history each",
        seconds()?
    );
    for (what, args) in READERS {
        let db = path.with_extension(format!("{}.db", args.first().unwrap_or(&"none")));
        let dir = path.parent().context("a directory")?;
        let args = args.iter().map(|arg| match *arg {
            "TOKEN" | "DATASET" => dir.join(arg.to_lowercase()).display().to_string(),
            arg => arg.to_owned(),
        });
        beside(what, &db, &Vec::from_iter(args))?;
    }
    Ok(())
}

fn beside(what: &str, db: &Path, args: &[String]) -> Result<()> {
    let recorder = Recorder::start(db, &[])?;
    let ring = Ring::of(&recorder)?;
    let mut reader = Reader::start(db, args)?;
    let before = reader.processor_time()?;
    let begun = Instant::now();
    let time = Duration::from_secs(seconds()?);
    let (taken, dialled, waits) = under(dial, &ring, |_| {
        reader.look(time)?;
        reader.processor_time()
    })?;
    let took = begun.elapsed().as_secs_f64();
    let of_recorder = processor_time(recorder.pid())?.as_secs_f64();
    drop(reader);
    recorder.stop()?;
    println!(
        "  {what}: {:.1} % of a core; {:.0} connections a second, the recorder {:.1} µs each; {waits}; lost: {}",
        (taken - before).as_secs_f64() / took * 100.0,
        dialled as f64 / took,
        of_recorder * 1e6 / dialled as f64,
        losses(db)?
    );
    Ok(())
}

/// A process that reads the history, and what looks at it.
struct Reader {
    child: Option<Child>,
    /// Of processes that have ended.
    spent: Duration,
    command: Option<Command>,
    token: Option<String>,
}

impl Reader {
    fn start(db: &Path, args: &[String]) -> Result<Reader> {
        let mut reader = Reader {
            child: None,
            spent: Duration::ZERO,
            command: None,
            token: None,
        };
        let Some(name) = args.first() else {
            return Ok(reader);
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_egrets"));
        command.args(args).arg("--db").arg(db);
        if name == "top" {
            // on a terminal of 200 columns and 60 rows
            let line = format!(
                "stty cols 200 rows 60; exec '{}' top --db '{}'",
                env!("CARGO_BIN_EXE_egrets"),
                db.display()
            );
            command = Command::new("script");
            command
                .args(["--quiet", "--command", &line, "/dev/null"])
                .env("TERM", "xterm");
        }
        command
            // left open: a terminal whose input has ended is read no more
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if name == "query" {
            reader.command = Some(command);
            return Ok(reader);
        }
        reader.child = Some(command.spawn()?);
        if name == "serve" {
            let token = args.last().context("its file")?;
            std::thread::sleep(Duration::from_millis(500));
            reader.token = Some(std::fs::read_to_string(token)?.trim().to_owned());
        }
        Ok(reader)
    }

    /// Lets it read for so long.
    fn look(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            match (&mut self.command, &self.token) {
                (Some(command), _) => {
                    let mut child = command.spawn()?;
                    let ended = rustix::process::waitid(
                        rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child)),
                        rustix::process::WaitIdOptions::EXITED
                            | rustix::process::WaitIdOptions::NOWAIT,
                    );
                    ended?;
                    self.spent += processor_time(child.id())?;
                    child.wait()?;
                }
                (None, Some(token)) => std::thread::sleep(view(token)?),
                (None, None) => std::thread::sleep(Duration::from_millis(100)),
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
            if let Some(status) = ended.flatten() {
                bail!("it ended with {status}");
            }
        }
        Ok(())
    }

    fn processor_time(&self) -> Result<Duration> {
        let Some(child) = &self.child else {
            return Ok(self.spent);
        };
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = std::fs::read_to_string(children)?;
        let children = children.split_whitespace().map(str::parse::<u32>);
        let all = children.chain([Ok(child.id())]);
        all.map(|pid| processor_time(pid?)).sum()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks for the page's contents as its script does. Returns when that would ask again.
fn view(token: &str) -> Result<Duration> {
    let mut stream = TcpStream::connect(PAGE)?;
    let request = format!(
        "GET /view HTTP/1.1\r\nHost: {PAGE}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    ensure!(head.contains(" 200 "), "the page: {head}");
    let next = head
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "));
    Ok(Duration::from_secs(next.map_or(Ok(2), str::parse)?))
}
