//! What is said of a container: by its files or, over its socket, by Docker. Both are
//! asked on threads of their own: a slow or dead daemon costs a container's details,
//! never an event.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bundles;
use crate::record::{ContainerDetails, Details};

/// A daemon that holds a container's lock while it starts answers after that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Containers that wait to be asked about; more stay without details.
const QUEUE: usize = 1024;
/// An inspect's answer is some 10 KiB; no honest one comes near this.
const MAX_ANSWER: u64 = 4 << 20;
/// Threads that ask at once: Docker answers for a container when that has started, and
/// those that start with it must be asked for before they are gone.
const ASKERS: usize = 32;
const ASKERS_STACK: usize = 256 << 10;

/// A container to find out about.
pub struct Question {
    pub id: String,
    /// As its cgroup's path tells; runtimes without a prefix there may be Docker's too.
    pub runtime: Option<&'static str>,
    /// Of the user whose container it may be.
    pub home: Option<PathBuf>,
}

impl Question {
    /// Docker's daemon knows its containers' addresses best, and their names when they
    /// have been renamed; files need nobody who answers. They are read first: the daemon
    /// answers when the container has started, and then it may be gone.
    fn answer(&self, daemon: &Daemon) -> Details {
        let files = bundles::describe(Path::new("/"), &self.id, self.home.as_deref());
        let files = match (self.runtime, files) {
            (Some("docker"), files) => files.or_else(|| daemon.file_of(&self.id)),
            (None, None) => None,
            (_, files) => return files.map_or(Details::Unknown, Details::Known),
        };
        match (daemon.inspect(&self.id), files) {
            (Ok(details), _) | (Err(_), Some(details)) => Details::Known(details),
            (Err(e), None) => {
                log::warn!("container {:.12}: no details: {e:#}", self.id);
                Details::Unknown
            }
        }
    }
}

/// The answers, by container id.
pub struct Docker {
    ask: SyncSender<Question>,
    answers: Receiver<(String, Details)>,
}

impl Docker {
    /// Starts asking. `DOCKER_HOST` names another socket (`unix://PATH`).
    pub fn start() -> Docker {
        let (ask, questions) = sync_channel::<Question>(QUEUE);
        let (answer, answers) = sync_channel(QUEUE);
        let daemon = Arc::new(Daemon {
            socket: socket_path(std::env::var("DOCKER_HOST").ok()),
            data_root: OnceLock::new(),
        });
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..ASKERS {
            let (questions, answer, daemon) = (questions.clone(), answer.clone(), daemon.clone());
            let asker = move || {
                loop {
                    let next = questions.lock().map(|q| q.recv());
                    let Ok(Ok(question)) = next else { return };
                    let details = question.answer(&daemon);
                    if answer.send((question.id, details)).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().stack_size(ASKERS_STACK);
            if let Err(e) = thread.spawn(asker) {
                log::warn!("fewer containers can be asked about at once: {e}");
                break;
            }
        }
        Docker { ask, answers }
    }

    /// Asks about a container; the answer comes through [`Docker::answered`].
    /// False where too many wait already.
    pub fn ask(&self, question: Question) -> bool {
        !matches!(self.ask.try_send(question), Err(TrySendError::Full(_)))
    }

    /// Answers that have come since.
    pub fn answered(&self) -> impl Iterator<Item = (String, Details)> + '_ {
        self.answers.try_iter()
    }
}

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
struct Daemon {
    socket: PathBuf,
    /// Where it keeps its containers' files, once it has said so.
    data_root: OnceLock<PathBuf>,
}

impl Daemon {
    fn inspect(&self, id: &str) -> Result<ContainerDetails> {
        let answer = self.get(&format!("/containers/{id}/json"))?;
        Ok(parse::<Inspect>(&answer)?.details())
    }

    /// What the container's file in the daemon's own data root says.
    fn file_of(&self, id: &str) -> Option<ContainerDetails> {
        let data_root = match self.data_root.get() {
            Some(known) => known,
            None => {
                let answer = self.get("/info").ok()?;
                let info: Info = parse(&answer).ok()?;
                self.data_root.get_or_init(|| info.docker_root_dir)
            }
        };
        bundles::docker_file(data_root, id)
    }

    /// Without a version in the path the daemon answers in its own newest.
    fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("Docker's socket {}", self.socket.display()))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer ends with the connection, in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = Vec::new();
        stream
            .take(MAX_ANSWER)
            .read_to_end(&mut answer)
            .context("Docker's answer")?;
        Ok(answer)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    docker_root_dir: PathBuf,
}

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
    networks: Option<std::collections::BTreeMap<String, Network>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Option<String>,
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(answer).context("not HTTP")? else {
        bail!("Docker's answer breaks off");
    };
    match response.code {
        Some(200) => {}
        Some(404) => bail!("Docker does not know it"),
        code => bail!("Docker answers {}", code.unwrap_or_default()),
    }
    serde_json::from_slice(answer.get(body..).unwrap_or_default()).context("not JSON")
}

impl Inspect {
    pub fn details(self) -> ContainerDetails {
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
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
