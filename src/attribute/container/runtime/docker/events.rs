//! Docker's event stream: renames, addresses and stops. It is read on a thread of its own, and
//! reopened, with growing pauses, whenever the daemon goes away.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::api::Daemon;
use crate::attribute::container::runtime::update::{ContainerChange, DetailsQuery, RuntimeUpdate};

/// Bytes of an event. Most have less than 1 KiB; labels make them longer.
const MAX_EVENT: u64 = 16 << 20;
/// Bytes of memory kept from one event to the next.
const MAX_KEPT: usize = 64 << 10;
/// The first pause before the daemon is tried again; each one doubles, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Sends an update for each change, and queries new containers, until the receiver is gone.
pub fn follow(
    daemon: &Daemon,
    queries: &SyncSender<DetailsQuery>,
    updates: &SyncSender<RuntimeUpdate>,
) {
    let mut pause = MIN_PAUSE;
    let mut since = now();
    loop {
        if let Ok(stream) = daemon.events(since) {
            if daemon.answers_again() {
                log::info!("Docker's daemon answers again");
                if updates.send(RuntimeUpdate::DaemonBack).is_err() {
                    return;
                }
            }
            pause = MIN_PAUSE;
            if !read(daemon, stream, queries, updates) {
                return;
            }
            // Rather a second twice than one missed.
            since = now() - 1;
            daemon.warn_unreachable("Docker's daemon has closed its event stream");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| t.as_secs() as i64)
}

/// Reads a stream, a JSON object a line, to its end; false where the receiver is gone.
fn read(
    daemon: &Daemon,
    mut stream: impl BufRead,
    queries: &SyncSender<DetailsQuery>,
    updates: &SyncSender<RuntimeUpdate>,
) -> bool {
    let mut line = Vec::new();
    loop {
        line.clear();
        line.shrink_to(MAX_KEPT);
        let got = stream.by_ref().take(MAX_EVENT).read_until(b'\n', &mut line);
        if !matches!(got, Ok(n) if n > 0) {
            return true;
        }
        // Other kinds of events and the rest of an overlong one do not parse.
        let Ok(event) = serde_json::from_slice::<DockerEvent>(&line) else {
            continue;
        };
        if event.is("container", "create") {
            // Now, as during the start the daemon would answer late.
            let _ = queries.try_send(DetailsQuery {
                id: event.actor.id.clone(),
                runtime: Some("docker"),
                uid: 0,
            });
        }
        if let Some((id, change)) = event.change(|network, id| daemon.address(network, id)) {
            let ts = event.ts;
            if updates
                .send(RuntimeUpdate::Changed { id, ts, change })
                .is_err()
            {
                return false;
            }
        }
    }
}

/// What is read of an event: Docker Engine API, `GET /events`.
#[derive(Deserialize)]
struct DockerEvent {
    #[serde(rename = "Type")]
    object: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: EventSubject,
    #[serde(rename = "timeNano")]
    ts: i64,
}

#[derive(Deserialize)]
struct EventSubject {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

impl DockerEvent {
    fn is(&self, object: &str, action: &str) -> bool {
        self.object == object && self.action == action
    }

    /// The id of the container that it changes, and how. `address` queries the address of a
    /// container in a network.
    fn change(
        &self,
        address: impl FnOnce(&str, &str) -> Option<String>,
    ) -> Option<(String, ContainerChange)> {
        let attribute = |key| {
            let text = self.actor.attributes.get(key);
            text.filter(|text| !text.is_empty()).cloned()
        };
        let name = || attribute("name").map(|name| name.trim_start_matches('/').to_string());
        let id = self.actor.id.clone();
        let changed = match (self.object.as_str(), self.action.as_str()) {
            ("container", "create" | "start") => {
                let image = attribute("image");
                (
                    id,
                    ContainerChange::Named {
                        name: name(),
                        image,
                    },
                )
            }
            ("container", "rename") => (id, ContainerChange::Renamed(name()?)),
            ("container", "die") => (id, ContainerChange::Stopped),
            ("network", "connect") => {
                let container = attribute("container")?;
                let address = address(&id, &container)?;
                (container, ContainerChange::Address(address))
            }
            _ => return None,
        };
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    /// The change that a line reports; every address is `10.0.0.9`.
    fn change(line: &str) -> Option<(String, ContainerChange)> {
        let event: DockerEvent = serde_json::from_str(line).unwrap();
        event.change(|network, id| (network == "n1" && id == "c1").then(|| "10.0.0.9".into()))
    }

    #[test]
    fn events_of_old_and_new_daemons_are_read() {
        // moby: api/types/events; API 1.52 removed `status`, `id` and `from`
        let create = r#"{"status":"create","id":"c1","from":"img:1","Type":"container","Action":"create",
            "Actor":{"ID":"c1","Attributes":{"image":"img:1","name":"web"}},"scope":"local","time":1,"timeNano":1}"#;
        let named = ContainerChange::Named {
            name: Some("web".into()),
            image: Some("img:1".into()),
        };
        assert_eq!(change(create), Some(("c1".into(), named)));
        let rename = r#"{"Type":"container","Action":"rename","Actor":{"ID":"c1","Attributes":
            {"image":"img:1","name":"web2","oldName":"/web"}},"timeNano":1}"#;
        assert_eq!(
            change(rename),
            Some(("c1".into(), ContainerChange::Renamed("web2".into())))
        );
        let connect = r#"{"Type":"network","Action":"connect","Actor":{"ID":"n1","Attributes":
            {"container":"c1","name":"bridge","type":"bridge"}},"timeNano":1}"#;
        let address = ContainerChange::Address("10.0.0.9".into());
        assert_eq!(change(connect), Some(("c1".into(), address)));
        let exec =
            r#"{"Type":"container","Action":"exec_start: sh","Actor":{"ID":"c1"},"timeNano":1}"#;
        assert_eq!(change(exec), None);
    }

    #[test]
    fn nonsense_in_a_stream_is_skipped() {
        let (updates, received) = sync_channel(8);
        let (queries, queried) = sync_channel(8);
        let long = "x".repeat(MAX_EVENT as usize + 9);
        let die = r#"{"Type":"container","Action":"die","Actor":{"ID":"c1"},"timeNano":7}"#;
        let stream = format!("\n{{\n\u{0}\u{1b}[2J\n[]\n{long}\n{die}\n{{\"Type\":");
        let daemon = Daemon::new();
        assert!(read(&daemon, stream.as_bytes(), &queries, &updates));
        drop((queries, updates));
        assert_eq!(received.iter().count(), 1);
        assert_eq!(queried.iter().count(), 0);
    }
}
