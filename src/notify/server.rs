//! The helper process: sends what the recorder at the other end of stdin reports, until that
//! ends. What it has no time for stays in the socket, which is bounded.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::set_no_new_privs;

#[cfg(feature = "webhook")]
use super::webhook::WebhookSender;
use super::{MAX_FAILURE, MAX_MESSAGE, PATH, desktop, journald};
use crate::policy::Notify;
use crate::privileges::{CapabilitySet, filter_system_calls, helper, hold_only};

/// Programs at once.
const MAX_AT_ONCE: usize = 4;

/// How long one may take; then it is killed, with what it has started.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How often those that run are looked at, and what a webhook did not take.
const CHECK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

struct Server {
    control: OwnedFd,
    settings: Notify,
    running: Vec<Running>,
    #[cfg(feature = "webhook")]
    webhook: Option<WebhookSender>,
}

/// A program that has been started.
struct Running {
    name: String,
    child: Child,
    since: Instant,
}

/// # Errors
/// stdin is not a recorder's socket.
pub fn serve() -> Result<()> {
    let control = helper::control()?;
    let settings = receive(&control)?.context("not a recorder")?;
    let settings: Notify = serde_json::from_slice(&settings).context("not a recorder")?;
    let starts_programs = !settings.exec.is_empty() || settings.desktop.is_some();
    let is_local = !starts_programs && settings.webhook.is_none();
    drop_privileges(is_local)?;
    let mut server = Server {
        control,
        running: Vec::new(),
        // its thread has no more privileges than this one
        #[cfg(feature = "webhook")]
        webhook: settings
            .webhook
            .as_ref()
            .map(WebhookSender::start)
            .transpose()?,
        settings,
    };
    let result = server.run();
    server.finish();
    result
}

/// Nothing here needs any. With no_new_privs a program that root starts gets none back.
fn drop_privileges(is_local: bool) -> Result<()> {
    hold_only(CapabilitySet::empty())?;
    set_no_new_privs(true)?;
    // A kernel without seccomp does without.
    if is_local {
        let _ = filter_system_calls();
    }
    Ok(())
}

/// The next message; None when the recorder has ended.
fn receive(control: &OwnedFd) -> Result<Option<Vec<u8>>> {
    let mut message = vec![0; MAX_MESSAGE];
    let (_, len) = recv(control, &mut message[..], RecvFlags::empty())?;
    message.truncate(len);
    Ok(Some(message).filter(|message| !message.is_empty()))
}

impl Server {
    fn run(&mut self) -> Result<()> {
        loop {
            // in this order: what has ended before is reported now
            let timeout = self.is_busy().then_some(&CHECK);
            self.reap();
            let has_room = self.running.len() < MAX_AT_ONCE;
            let mut fds = [PollFd::new(&self.control, PollFlags::IN)];
            let fds = if has_room { &mut fds[..] } else { &mut [] };
            let ready = match poll(fds, timeout) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(e) => return Err(e.into()),
            };
            if ready {
                let Some(event) = receive(&self.control)? else {
                    return Ok(());
                };
                self.notify(&event);
            }
        }
    }

    /// Whether something has to be looked at.
    fn is_busy(&self) -> bool {
        #[cfg(feature = "webhook")]
        if self.webhook.as_ref().is_some_and(WebhookSender::is_busy) {
            return true;
        }
        !self.running.is_empty()
    }

    fn notify(&mut self, event: &[u8]) {
        #[cfg(feature = "webhook")]
        if let Some(Err(e)) = self.webhook.as_ref().map(|webhook| webhook.send(event)) {
            self.fail(&format!("{e:#}"));
        }
        if self.settings.journald {
            let sent = serde_json::from_slice(event)
                .map_err(anyhow::Error::from)
                .and_then(|event| Ok(journald::send(Path::new(journald::SOCKET), &event)?));
            if let Err(e) = sent {
                self.fail(&format!("the journal does not take it: {e:#}"));
            }
        }
        let exec = self.settings.exec.split_first();
        let exec = exec.map(|(program, arguments)| {
            let mut command = Command::new(program);
            command.args(arguments).env_clear();
            start(program, command, event)
        });
        let desktop = self.settings.desktop.as_deref().map(|bus| {
            let shown = serde_json::from_slice(event)?;
            start(desktop::PROGRAM, desktop::command(bus, &shown), event)
        });
        for started in exec.into_iter().chain(desktop) {
            match started {
                Ok(running) => self.running.push(running),
                Err(e) => self.fail(&format!("{e:#}")),
            }
        }
    }

    fn reap(&mut self) {
        let mut failures = Vec::new();
        self.running.retain_mut(|running| {
            let Running { name, child, since } = running;
            if let Ok(Some(status)) = child.try_wait() {
                if !status.success() {
                    failures.push(format!("{name}: {status}"));
                }
                return false;
            }
            if since.elapsed() < TIME_LIMIT {
                return true;
            }
            kill(child);
            failures.push(format!(
                "{name}: it took more than {} s",
                TIME_LIMIT.as_secs()
            ));
            false
        });
        #[cfg(feature = "webhook")]
        failures.extend(
            self.webhook
                .iter()
                .flat_map(|w| w.failures())
                .map(|f| format!("webhook: {f}")),
        );
        for failure in failures {
            self.fail(&failure);
        }
    }

    /// Lost if the recorder has too many of them.
    fn fail(&self, why: &str) {
        let why = why.as_bytes();
        let why = why.get(..MAX_FAILURE).unwrap_or(why);
        let _ = send(
            &self.control,
            why,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
    }

    /// The recorder has ended: what runs has its time.
    fn finish(&mut self) {
        #[cfg(feature = "webhook")]
        if let Some(webhook) = self.webhook.take() {
            webhook.finish(TIME_LIMIT);
        }
        while !self.running.is_empty() {
            let _ = poll(&mut [], Some(&CHECK));
            self.reap();
        }
    }
}

/// The event is in a file in memory rather than in a pipe: a program that does not read it keeps
/// nothing waiting.
fn start(name: &str, mut command: Command, event: &[u8]) -> Result<Running> {
    let mut stdin = File::from(memfd_create("event", MemfdFlags::CLOEXEC)?);
    stdin.write_all(event)?;
    stdin.rewind()?;
    let child = command
        .current_dir("/")
        .env("PATH", PATH)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("{name} can't be started"))?;
    Ok(Running {
        name: name.to_owned(),
        child,
        since: Instant::now(),
    })
}

fn kill(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
