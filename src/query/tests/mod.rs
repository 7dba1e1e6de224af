//! Questions to a history in memory.

mod formats;
mod golden;
mod notes;
mod rollups;
mod tables;
mod typed;

use super::fixture::{By, CURL, History};
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const NGINX: By = By {
    comm: "nginx",
    exe: Some("/usr/sbin/nginx"),
    pid: 900,
    uid: 101,
    user: None,
    container: Some((ID, Some("web-1"))),
};

/// An hour of traffic: retries and two pids of curl, a container with a
/// name and one without, addresses of both families, hostile names.
fn history() -> History {
    let history = History::recording();
    let api = Some("api.example.com");
    history.connect(CURL, api, "192.0.2.7", "connected", 60);
    history.connect(CURL, api, "2001:db8::7", "refused", 61);
    history.connect(
        By { pid: 4300, ..CURL },
        Some("example.com"),
        "192.0.2.8",
        "connected",
        30,
    );
    history.connect(NGINX, api, "192.0.2.7", "connected", 1800);
    history.connect(NGINX, None, "10.0.0.9", "timeout", 1700);
    let nameless = By {
        comm: "it's \"x\",\n\x1b[2J",
        exe: None,
        container: Some((&ID[1..], None)),
        ..NGINX
    };
    history.connect(
        nameless,
        Some("a%_.example.com"),
        "192.0.2.9",
        "connected",
        5,
    );
    history
}
