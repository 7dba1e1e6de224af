//! Desktop notifications: notify-send(1), of libnotify, brings them to the session bus
//! (<https://specifications.freedesktop.org/notification-spec/latest/>).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value};

use super::PATH;
use super::message::message;
use crate::text::printable;

pub const PROGRAM: &str = "notify-send";

/// Characters of a title and of a text.
const MAX_TITLE: usize = 80;
const MAX_TEXT: usize = 400;

/// The address of the bus of the user who runs this.
///
/// # Errors
/// There is none, or nothing that sends to it.
pub fn session_bus() -> Result<String> {
    let mut directories = PATH.split(':').map(Path::new);
    ensure!(
        directories.any(|directory| directory.join(PROGRAM).exists()),
        "{PROGRAM} is missing: install libnotify-bin, or what has it on this system"
    );
    if let Some(address) = std::env::var_os("DBUS_SESSION_BUS_ADDRESS")
        && let Ok(address) = address.into_string()
        && !address.is_empty()
    {
        return Ok(address);
    }
    let uid = rustix::process::geteuid().as_raw();
    let bus = PathBuf::from(format!("/run/user/{uid}/bus"));
    if !bus.exists() {
        bail!(
            "there is no session bus: run it without sudo, as the user who is logged in on the \
             desktop; 'egrets record --group' lets a user read the history"
        );
    }
    Ok(format!("unix:path={}", bus.display()))
}

/// Shows an event.
pub fn command(bus: &str, event: &Map<String, Value>) -> Command {
    let title = ["alert", "rule"].map(|key| event.get(key).and_then(Value::as_str));
    let title = title.into_iter().flatten().next().unwrap_or("egrets");
    let mut command = Command::new(PROGRAM);
    command
        .args(["--app-name=egrets", "--icon=dialog-warning", "--"])
        .arg(cut(&printable(title), MAX_TITLE))
        .arg(text(&cut(&message(event), MAX_TEXT)))
        .env_clear()
        .env("DBUS_SESSION_BUS_ADDRESS", bus);
    command
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}\u{2026}", text.split_at(end).0),
        None => text.to_owned(),
    }
}

/// What is shown as this text: the body of a notification may be markup, and notify-send reads
/// C's escapes in it, so that `\074` would be a `<`.
fn text(shown: &str) -> String {
    let mut text = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '\\' => text.push_str("\\\\"),
            c => text.push(c),
        }
    }
    text
}
