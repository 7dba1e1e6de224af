//! The Docker Engine API over the daemon's socket: what is asked, and its answers in
//! egrets' terms. A path without a version is answered in the daemon's own newest.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::attribute::bundles;
use crate::model::ContainerDetails;

/// A daemon that holds a container's lock while it starts answers after that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a response's head.
const MAX_HEAD: usize = 16 << 10;
/// An inspect's answer is some 10 KiB; no honest one comes near this.
const MAX_ANSWER: u64 = 4 << 20;

/// Debian's and Docker's place, or the one that `DOCKER_HOST` names.
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
    /// Where it keeps its containers' files, once it has said so.
    data_root: OnceLock<PathBuf>,
    /// That nobody answers there was said, and that somebody does has not been since.
    away: AtomicBool,
}

impl Daemon {
    /// The one that `DOCKER_HOST` names (`unix://PATH`), or the usual one.
    pub fn new() -> Daemon {
        Daemon {
            socket: socket_path(std::env::var("DOCKER_HOST").ok()),
            data_root: OnceLock::new(),
            away: AtomicBool::new(false),
        }
    }

    pub fn inspect(&self, id: &str) -> Result<ContainerDetails> {
        Ok(self
            .get::<Inspect>(&format!("/containers/{id}/json"))?
            .details())
    }

    /// The container's address in a network. Unlike the container's own, that answer
    /// does not wait until it has started.
    pub fn address(&self, network: &str, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Network {
            containers: Option<BTreeMap<String, Endpoint>>,
        }
        #[derive(Deserialize)]
        struct Endpoint {
            #[serde(rename = "IPv4Address")]
            v4: Option<String>,
            #[serde(rename = "IPv6Address")]
            v6: Option<String>,
        }
        let network: Network = self.get(&format!("/networks/{network}")).ok()?;
        let endpoint = network.containers?.remove(id)?;
        let address = given(endpoint.v4).or(given(endpoint.v6))?;
        address.split('/').next().map(str::to_string)
    }

    /// What the container's file in the daemon's own data root says.
    pub fn file_of(&self, id: &str) -> Option<ContainerDetails> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            docker_root_dir: PathBuf,
        }
        let data_root = match self.data_root.get() {
            Some(known) => known,
            None => {
                let info: Info = self.get("/info").ok()?;
                self.data_root.get_or_init(|| info.docker_root_dir)
            }
        };
        bundles::docker_file(data_root, id)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut stream = self.request(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut answer = Vec::new();
        (&mut stream)
            .take(MAX_ANSWER)
            .read_to_end(&mut answer)
            .context("Docker's answer")?;
        parse(&answer)
    }

    /// The events of containers and networks from `since` on (seconds since 1970), as they
    /// come, after the answer's head: no time limit. What is older than the daemon itself
    /// it has forgotten.
    pub fn events(&self, since: i64) -> Result<BufReader<UnixStream>> {
        // {"type":["container","network"]}
        let filters = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
        let stream = self.request(&format!("/events?since={since}&filters={filters}"))?;
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > MAX_HEAD || stream.read(&mut byte)? == 0 {
                bail!("Docker's answer breaks off");
            }
            head.push(byte[0]);
        }
        body_of(&head)?;
        Ok(stream)
    }

    fn request(&self, path: &str) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("Docker's socket {}", self.socket.display()))
            .map_err(|e| Unreachable(format!("{e:#}")))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer ends with the connection, in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        Ok(stream)
    }

    /// Says that nobody answers, once until somebody does.
    pub fn is_away(&self, why: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            log::warn!("{why}: until it answers, containers have what their files say");
        }
    }

    /// It answers; whether it did not before.
    pub fn is_back(&self) -> bool {
        self.away.swap(false, Ordering::Relaxed)
    }
}

/// There is no daemon to ask.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// An inspect's answer; the file that Docker keeps of a container has the same keys.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect {
    name: Option<String>,
    config: Option<Config>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: Option<String>,
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    /// Gone since API 1.52.
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Option<String>,
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

/// Where a response's body begins: an error unless it is a good one.
fn body_of(answer: &[u8]) -> Result<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(answer).context("not HTTP")? else {
        bail!("Docker's answer breaks off");
    };
    match response.code {
        Some(200) => Ok(body),
        Some(404) => bail!("Docker does not know it"),
        code => bail!("Docker answers {}", code.unwrap_or_default()),
    }
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T> {
    let body = body_of(answer)?;
    serde_json::from_slice(answer.get(body..).unwrap_or_default()).context("not JSON")
}

impl Inspect {
    pub fn details(self) -> ContainerDetails {
        let (hostname, image) = self.config.map_or((None, None), |c| (c.hostname, c.image));
        let ip = self.network_settings.and_then(|n| {
            given(n.ip_address).or_else(|| {
                let networks = n.networks.unwrap_or_default();
                networks
                    .into_values()
                    .find_map(|n| given(n.ip_address).or(given(n.ipv6_address)))
            })
        });
        ContainerDetails {
            name: given(self.name).map(|n| n.trim_start_matches('/').to_string()),
            image: given(image),
            hostname: given(hostname),
            ip,
            runtime: Some("docker"),
            ..ContainerDetails::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Vec<u8> {
        format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}").into_bytes()
    }

    fn details(answer: &[u8]) -> ContainerDetails {
        parse::<Inspect>(answer).unwrap().details()
    }

    #[test]
    fn a_container_is_read_from_old_and_new_daemons() {
        let old = ok(r#"{"Name":"/web","Config":{"Hostname":"h","Image":"img:1"},
            "NetworkSettings":{"IPAddress":"172.17.0.2","Networks":{}}}"#);
        let new = ok(r#"{"Name":"/web","Config":{"Hostname":"h","Image":"img:1"},
            "NetworkSettings":{"Networks":{"own":{"IPAddress":"172.17.0.2"}}}}"#);
        let expected = ContainerDetails {
            name: Some("web".into()),
            image: Some("img:1".into()),
            hostname: Some("h".into()),
            ip: Some("172.17.0.2".into()),
            runtime: Some("docker"),
            ..ContainerDetails::default()
        };
        assert_eq!(details(&old), expected);
        assert_eq!(details(&new), expected);
    }

    #[test]
    fn what_the_daemon_leaves_out_is_not_known() {
        let host = ok(
            r#"{"Name":"/x","NetworkSettings":{"IPAddress":"","Networks":{"host":{"IPAddress":""}}}}"#,
        );
        let details = details(&host);
        assert_eq!((details.ip, details.hostname), (None, None));
    }

    #[test]
    fn a_refusal_and_nonsense_are_errors_that_say_so() {
        let error = |bytes: &[u8]| format!("{:#}", parse::<Inspect>(bytes).map(drop).unwrap_err());
        assert_eq!(
            error(b"HTTP/1.0 404 Not Found\r\n\r\n{}"),
            "Docker does not know it"
        );
        assert!(error(b"SSH-2.0-OpenSSH\r\n").starts_with("not HTTP"));
        assert!(error(&ok("[")).starts_with("not JSON"));
        assert!(error(b"HTTP/1.0 200 OK\r\nConte").contains("breaks off"));
    }

    #[test]
    fn docker_host_names_the_socket() {
        assert_eq!(socket_path(None), PathBuf::from("/run/docker.sock"));
        assert_eq!(
            socket_path(Some("unix:///x/d.sock".into())),
            PathBuf::from("/x/d.sock")
        );
    }
}
