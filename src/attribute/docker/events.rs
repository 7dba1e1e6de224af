//! Docker's own event stream: what becomes of containers between two looks at them. It is
//! read on a thread of its own for as long as egrets runs, and begun again, with pauses
//! that grow, whenever the daemon has gone.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::api::Daemon;
use super::{Change, News, Question};

/// An event is below 1 KiB; labels make it longer.
const MAX_EVENT: u64 = 1 << 20;
/// Until the daemon is tried again: doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Tells what happens, and asks about what is made, until nobody listens.
pub fn follow(daemon: &Daemon, ask: &SyncSender<Question>, tell: &SyncSender<News>) {
    let mut pause = PAUSE.0;
    let mut since = now();
    loop {
        if let Ok(stream) = daemon.events(since) {
            if daemon.is_back() {
                log::info!("Docker's daemon answers again");
                if tell.send(News::Back).is_err() {
                    return;
                }
            }
            pause = PAUSE.0;
            if !read(daemon, stream, ask, tell) {
                return;
            }
            // Its last second again, rather than one missed.
            since = now() - 1;
            daemon.is_away("Docker's daemon has gone");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE.1);
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |t| t.as_secs() as i64)
}

/// Tells each event of a stream, a JSON object a line, until it ends; whether anybody
/// listens still.
fn read(
    daemon: &Daemon,
    mut stream: impl BufRead,
    ask: &SyncSender<Question>,
    tell: &SyncSender<News>,
) -> bool {
    let mut line = Vec::new();
    loop {
        line.clear();
        let got = stream.by_ref().take(MAX_EVENT).read_until(b'\n', &mut line);
        if !matches!(got, Ok(n) if n > 0) {
            return true;
        }
        // What does not parse is an event that is not known, or the rest of a long one.
        let Ok(event) = serde_json::from_slice::<Event>(&line) else {
            continue;
        };
        if event.is("container", "create") {
            // Before it starts: from then on the daemon answers when it has started.
            let _ = ask.try_send(Question::of_docker(&event.actor.id));
        }
        if let Some((id, change)) = event.change(|network, id| daemon.address(network, id)) {
            let ts = event.ts;
            if tell.send(News::Changed { id, ts, change }).is_err() {
                return false;
            }
        }
    }
}

/// The part of an event that is read: Docker Engine API, `GET /events`.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Type")]
    of: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    #[serde(rename = "timeNano")]
    ts: i64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

impl Event {
    fn is(&self, of: &str, action: &str) -> bool {
        self.of == of && self.action == action
    }

    /// The container that it changes, and how; `address` asks for one in a network.
    fn change(
        &self,
        address: impl FnOnce(&str, &str) -> Option<String>,
    ) -> Option<(String, Change)> {
        let given = |key| {
            let text = self.actor.attributes.get(key);
            text.filter(|text| !text.is_empty()).cloned()
        };
        let name = || given("name").map(|name| name.trim_start_matches('/').to_string());
        let id = self.actor.id.clone();
        let changed = match (self.of.as_str(), self.action.as_str()) {
            ("container", "create" | "start") => {
                let image = given("image");
                (
                    id,
                    Change::Named {
                        name: name(),
                        image,
                    },
                )
            }
            ("container", "rename") => (id, Change::Renamed(name()?)),
            ("container", "die") => (id, Change::Stopped),
            ("network", "connect") => {
                let container = given("container")?;
                let address = address(&id, &container)?;
                (container, Change::Address(address))
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

    /// What a stream tells; every address is `10.0.0.9`.
    fn told(line: &str) -> Option<(String, Change)> {
        let event: Event = serde_json::from_str(line).unwrap();
        event.change(|network, id| (network == "n1" && id == "c1").then(|| "10.0.0.9".into()))
    }

    #[test]
    fn events_of_old_and_new_daemons_are_read() {
        // moby: api/types/events; `status`, `id` and `from` are gone since API 1.52
        let create = r#"{"status":"create","id":"c1","from":"img:1","Type":"container","Action":"create",
            "Actor":{"ID":"c1","Attributes":{"image":"img:1","name":"web"}},"scope":"local","time":1,"timeNano":1}"#;
        let named = Change::Named {
            name: Some("web".into()),
            image: Some("img:1".into()),
        };
        assert_eq!(told(create), Some(("c1".into(), named)));
        let rename = r#"{"Type":"container","Action":"rename","Actor":{"ID":"c1","Attributes":
            {"image":"img:1","name":"web2","oldName":"/web"}},"timeNano":1}"#;
        assert_eq!(
            told(rename),
            Some(("c1".into(), Change::Renamed("web2".into())))
        );
        let connect = r#"{"Type":"network","Action":"connect","Actor":{"ID":"n1","Attributes":
            {"container":"c1","name":"bridge","type":"bridge"}},"timeNano":1}"#;
        let address = Change::Address("10.0.0.9".into());
        assert_eq!(told(connect), Some(("c1".into(), address)));
        let exec =
            r#"{"Type":"container","Action":"exec_start: sh","Actor":{"ID":"c1"},"timeNano":1}"#;
        assert_eq!(told(exec), None);
    }

    #[test]
    fn a_stream_of_nonsense_is_read_to_its_end() {
        let (tell, news) = sync_channel(8);
        let (ask, asked) = sync_channel(8);
        let long = "x".repeat(MAX_EVENT as usize + 9);
        let die = r#"{"Type":"container","Action":"die","Actor":{"ID":"c1"},"timeNano":7}"#;
        let stream = format!("\n{{\n\u{0}\u{1b}[2J\n[]\n{long}\n{die}\n{{\"Type\":");
        let daemon = Daemon::new();
        assert!(read(&daemon, stream.as_bytes(), &ask, &tell));
        drop((ask, tell));
        assert_eq!(news.iter().count(), 1);
        assert_eq!(asked.iter().count(), 0);
    }
}
