//! Notifications of what a policy stops or reports: to a program, systemd's journal, a desktop. The
//! recorder can't start programs any more when it has something to report. So a helper process
//! does, which is started before privileges are dropped: it gets the policy's settings once, and
//! then an event at a time, as a line of JSON. It runs nothing but what it was started with.
//! [`Throttle`] decides which events are worth one.

mod desktop;
mod journald;
mod message;
mod server;
#[cfg(test)]
mod tests;
mod throttle;
#[cfg(feature = "webhook")]
mod webhook;

use std::io;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::model::Process;
use crate::policy::{Notify, Webhook};
use crate::privileges::NOTIFIER;
use crate::privileges::helper::{self, Helper};
pub use desktop::session_bus;
pub use server::serve;
pub use throttle::{MAX_A_MINUTE, MAX_OF_SUBJECT, REPEAT, Subject, Throttle};

/// Whether this build and this user's rights do for a webhook: its files are there, and a secret is
/// one.
///
/// # Errors
/// Why not.
#[cfg(feature = "webhook")]
pub fn check_webhook(webhook: &Webhook) -> Result<()> {
    for file in webhook.header_file.iter().chain(&webhook.ca_file) {
        std::fs::metadata(file).with_context(|| format!("can't read {file}"))?;
    }
    match &webhook.header_file {
        Some(file) => webhook::open_secret(Path::new(file)).map(drop),
        None => Ok(()),
    }
}

/// # Errors
/// Always.
#[cfg(not(feature = "webhook"))]
pub fn check_webhook(_: &Webhook) -> Result<()> {
    anyhow::bail!("this egrets was built without (the Cargo feature webhook)")
}

/// An event. A process chooses its arguments, its path and its cgroup, 4 KiB each, which may
/// take six times that in JSON.
const MAX_MESSAGE: usize = 96 << 10;

/// What the helper says of one that failed.
const MAX_FAILURE: usize = 1024;

/// Of programs that are started.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The helper process. It ends with this.
pub struct Notifier {
    helper: Helper,
    /// Whether pids here are those of the events.
    knows_pids: bool,
}

/// Why an event can't be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The helper has too much to do.
    Busy,
    Ended,
}

impl Notifier {
    /// `knows_pids` says whether this process is in the host's pid namespace.
    ///
    /// # Errors
    /// The program can't be run again.
    pub fn start(settings: &Notify, knows_pids: bool) -> Result<Notifier> {
        let socket = Path::new(journald::SOCKET);
        if settings.journald && !socket.exists() {
            log::warn!(
                "notify: {} does not exist: nothing is sent to the journal until it does",
                socket.display()
            );
        }
        if let Some(webhook) = &settings.webhook {
            check_webhook(webhook)?;
            // what it can't use is an error of the start
            #[cfg(feature = "webhook")]
            webhook::Endpoint::new(webhook)?;
        }
        let why = "the process that sends notifications can't be started";
        let helper = helper::start(NOTIFIER, Stdio::null()).context(why)?;
        let settings = serde_json::to_vec(settings)?;
        send(&helper.control, &settings, SendFlags::NOSIGNAL).context(why)?;
        Ok(Notifier { helper, knows_pids })
    }

    /// Never waits.
    ///
    /// # Errors
    /// It is lost.
    pub fn send(&self, event: &[u8]) -> Result<(), SendError> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match send(&self.helper.control, &bounded(event), flags) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(SendError::Ended),
            Err(_) => Err(SendError::Busy),
        }
    }

    /// The next notification that has failed, and why.
    ///
    /// # Errors
    /// The helper has ended.
    pub fn failure(&self) -> io::Result<Option<String>> {
        let mut message = [0; MAX_FAILURE];
        match recv(&self.helper.control, &mut message[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, len)) => {
                let text = message.get(..len).unwrap_or_default();
                Ok(Some(String::from_utf8_lossy(text).into_owned()))
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether this process sends notifications: what it connects to must cause no others.
    pub fn is_own(&self, process: &Process) -> bool {
        let own = self.helper.pid;
        let mut ancestors = std::iter::successors(process.parent.as_deref(), |ancestor| {
            ancestor.parent.as_deref()
        });
        self.knows_pids && (process.pid == own || ancestors.any(|ancestor| ancestor.pid == own))
    }
}

/// The event as it is, or with its texts cut: what a process chooses must not keep it from being
/// reported.
fn bounded(event: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    const MAX_TEXT: usize = 256;
    if event.len() <= MAX_MESSAGE {
        return event.into();
    }
    let mut fields: serde_json::Map<_, _> = serde_json::from_slice(event).unwrap_or_default();
    for value in fields.values_mut() {
        if let Some(text) = value.as_str()
            && text.chars().count() > MAX_TEXT
        {
            *value = text.chars().take(MAX_TEXT).collect::<String>().into();
        }
    }
    serde_json::to_vec(&fields).unwrap_or_default().into()
}
