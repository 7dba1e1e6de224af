//! Who is notified of what a policy stops or reports.

use serde::{Deserialize, Serialize};

/// The key `notify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// A program and its arguments, started for each notification; empty: none.
    pub exec: Vec<String>,
    /// Whether systemd's journal gets them.
    pub journald: bool,
    /// An HTTP server that gets them.
    pub webhook: Option<Webhook>,
    /// The address of the session bus of a desktop that shows them: `egrets alert` alone, as a
    /// recorder has none.
    pub desktop: Option<String>,
}

/// Each notification is the body of a POST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    /// A file with headers that are secret.
    pub header_file: Option<String>,
    /// The certificate authorities that are trusted, in place of the system's.
    pub ca_file: Option<String>,
}

/// Hosts to which a secret may go unencrypted.
const LOCAL: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

impl Webhook {
    /// What is wrong with it, as far as its text says.
    pub fn problem(&self) -> Option<&'static str> {
        let rest = match self.url.split_once("://") {
            Some(("http" | "https", rest)) => rest,
            _ => return Some("a webhook has a URL with http:// or https://"),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic();
        if authority.is_empty() || !self.url.chars().all(is_plain) {
            return Some("a webhook's URL has a host, and no space or special character");
        }
        if authority.contains('@') {
            return Some("a password in a URL is anyone's who may read it: use header_file");
        }
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_secret = self.header_file.is_some();
        if is_secret && self.url.starts_with("http://") && !LOCAL.contains(&host) {
            return Some("http sends what is in header_file unencrypted: use https");
        }
        None
    }
}

impl Notify {
    pub fn is_empty(&self) -> bool {
        self.exec.is_empty() && !self.journald && self.webhook.is_none() && self.desktop.is_none()
    }
}
