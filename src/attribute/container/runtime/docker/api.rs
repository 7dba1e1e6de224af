//! The Docker Engine API over the daemon's socket. Paths have no version: the daemon answers
//! in its newest.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::inspect::{Inspect, file_in, non_empty};
use crate::attribute::container::runtime::json_file::Source;
use crate::model::ContainerDetails;

/// The daemon holds a container's lock while it starts it, and answers after that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response's head.
const MAX_HEAD: usize = 16 << 10;
/// Bytes of a response. An inspect's has about 10 KiB, or as much as its image has labels: it is
/// read as a stream, and only what is wanted is kept.
const MAX_ANSWER: u64 = 64 << 20;

fn socket_path(docker_host: Option<String>) -> PathBuf {
    match docker_host
        .as_deref()
        .and_then(|h| h.strip_prefix("unix://"))
    {
        Some(path) => path.into(),
        None => "/run/docker.sock".into(),
    }
}

/// The Docker Engine API, on a socket.
pub struct Daemon {
    socket: PathBuf,
    /// Where it keeps its containers' files, once it has been queried.
    data_root: OnceLock<PathBuf>,
    /// Whether a warning says that it is unreachable.
    unreachable: AtomicBool,
}

impl Daemon {
    /// The one that `DOCKER_HOST` names (`unix://PATH`), or the default one.
    pub fn new() -> Daemon {
        Daemon {
            socket: socket_path(std::env::var("DOCKER_HOST").ok()),
            data_root: OnceLock::new(),
            unreachable: AtomicBool::new(false),
        }
    }

    pub fn inspect(&self, id: &str) -> Result<ContainerDetails> {
        Ok(self
            .get::<Inspect>(&format!("/containers/{id}/json"))?
            .details())
    }

    /// The container's address in a network. Unlike an inspect of the container, this does not
    /// wait for its start.
    pub fn address(&self, network: &str, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct NetworkInspect {
            containers: Option<BTreeMap<String, NetworkMember>>,
        }
        #[derive(Deserialize)]
        struct NetworkMember {
            #[serde(rename = "IPv4Address")]
            v4: Option<String>,
            #[serde(rename = "IPv6Address")]
            v6: Option<String>,
        }
        let network: NetworkInspect = self.get(&format!("/networks/{network}")).ok()?;
        let member = network.containers?.remove(id)?;
        let address = non_empty(member.v4).or(non_empty(member.v6))?;
        address.split('/').next().map(str::to_string)
    }

    /// What the container's file in the daemon's data root says.
    pub fn file_of(&self, id: &str) -> Option<ContainerDetails> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct DaemonInfo {
            docker_root_dir: PathBuf,
        }
        let data_root = match self.data_root.get() {
            Some(known) => known,
            None => {
                let info: DaemonInfo = self.get("/info").ok()?;
                self.data_root.get_or_init(|| info.docker_root_dir)
            }
        };
        file_in(data_root, id, Source::System)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let stream = self.request(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        parse(BufReader::new(stream.take(MAX_ANSWER)))
    }

    /// A stream, without a time limit, of container and network events from `since` on (seconds
    /// since 1970). The daemon remembers none from before its own start.
    pub fn events(&self, since: i64) -> Result<BufReader<UnixStream>> {
        // {"type":["container","network"]}
        let filters = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
        let stream = self.request(&format!("/events?since={since}&filters={filters}"))?;
        let mut stream = BufReader::new(stream);
        skip_head(&mut stream)?;
        Ok(stream)
    }

    fn request(&self, path: &str) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("Docker's socket {}", self.socket.display()))
            .map_err(|e| Unreachable(format!("{e:#}")))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer is not chunked, and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        Ok(stream)
    }

    /// Warns, once until the daemon answers again.
    pub fn warn_unreachable(&self, why: &str) {
        if !self.unreachable.swap(true, Ordering::Relaxed) {
            log::warn!("{why}: until it answers, details of containers come from files alone");
        }
    }

    /// The daemon answers; returns whether it was unreachable before.
    pub fn answers_again(&self) -> bool {
        self.unreachable.swap(false, Ordering::Relaxed)
    }
}

/// The socket can't be connected to.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// Reads the head of a response, which must be a successful one.
fn skip_head(stream: &mut impl BufRead) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let room = MAX_HEAD.saturating_sub(head.len()) as u64;
        let got = stream.take(room).read_until(b'\n', &mut head);
        if got.context("Docker's answer")? == 0 {
            break;
        }
    }
    check_head(&head)
}

fn check_head(head: &[u8]) -> Result<()> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(_) = response.parse(head).context("not HTTP")? else {
        bail!("Docker's answer is incomplete");
    };
    match response.code {
        Some(200) => Ok(()),
        Some(404) => bail!("Docker has no such container"),
        code => bail!("Docker answers with status {}", code.unwrap_or_default()),
    }
}

fn parse<T: DeserializeOwned>(mut answer: impl BufRead) -> Result<T> {
    skip_head(&mut answer)?;
    serde_json::from_reader(answer).context("not JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Vec<u8> {
        format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn errors_name_what_is_wrong_with_the_answer() {
        let error = |bytes: &[u8]| format!("{:#}", parse::<Inspect>(bytes).map(drop).unwrap_err());
        assert_eq!(
            error(b"HTTP/1.0 404 Not Found\r\n\r\n{}"),
            "Docker has no such container"
        );
        assert!(error(b"SSH-2.0-OpenSSH\r\n").starts_with("not HTTP"));
        assert!(error(&ok("[")).starts_with("not JSON"));
        assert!(error(b"HTTP/1.0 200 OK\r\nConte").contains("incomplete"));
    }

    #[test]
    fn labels_of_many_megabytes_hide_nothing_else() {
        let label = format!(r#""l":"{}","#, "L".repeat(60_000));
        let labels = label.repeat(100);
        let body = format!(
            r#"{{"Name":"/big","Config":{{"Labels":{{{labels}"y":"1"}},"Image":"img:1"}}}}"#
        );
        let details = parse::<Inspect>(&ok(&body)[..]).unwrap().details();
        assert_eq!(details.name.as_deref(), Some("big"));
        assert_eq!(details.image.as_deref(), Some("img:1"));
    }

    #[test]
    fn docker_host_names_another_socket() {
        assert_eq!(socket_path(None), PathBuf::from("/run/docker.sock"));
        assert_eq!(
            socket_path(Some("unix:///x/d.sock".into())),
            PathBuf::from("/x/d.sock")
        );
    }
}
