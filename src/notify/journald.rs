//! systemd's journal, by its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one
//! datagram of fields.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::message::message;

pub const SOCKET: &str = "/run/systemd/journal/socket";

/// How long the journal may take nothing.
const PATIENCE: Duration = Duration::from_millis(200);

/// Characters of a value: with them, an event fits into a datagram.
const MAX_VALUE: usize = 1024;

/// `LOG_WARNING`, syslog(3).
const PRIORITY: &str = "4";

/// # Errors
/// The journal does not take it.
pub fn send(socket: &Path, event: &Map<String, Value>) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to(&datagram(event)?, socket)?;
    Ok(())
}

fn datagram(event: &Map<String, Value>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    field(&mut out, "MESSAGE", &message(event))?;
    field(&mut out, "PRIORITY", PRIORITY)?;
    field(&mut out, "SYSLOG_IDENTIFIER", "egrets")?;
    for (key, value) in event {
        let name = format!("EGRETS_{}", key.to_uppercase());
        match value {
            Value::Null | Value::Array(_) | Value::Object(_) => {}
            Value::String(text) => field(&mut out, &name, text)?,
            value => field(&mut out, &name, &value.to_string())?,
        }
    }
    Ok(out)
}

/// A value may have newlines: it comes with its length.
fn field(out: &mut Vec<u8>, name: &str, value: &str) -> io::Result<()> {
    let value: String = value.chars().take(MAX_VALUE).collect();
    writeln!(out, "{name}")?;
    out.write_all(&(value.len() as u64).to_le_bytes())?;
    writeln!(out, "{value}")
}
