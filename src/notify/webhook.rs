//! Webhooks: each event is the body of an HTTP POST. A thread sends them one after another, so a
//! slow receiver delays others of its kind and nothing else; what waits is bounded. A receiver that
//! can't be reached, or says that it is busy, is tried again.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderName, HeaderValue, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::policy::Webhook;

/// Events that wait; more are lost, and counted.
const MAX_WAITING: usize = 64;

/// How long a receiver may take to answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait before each further attempt.
const RETRIES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(60),
];

/// Of the file with headers, and of the one with certificates.
const MAX_HEADERS: u64 = 16 << 10;
const MAX_CERTIFICATES: u64 = 8 << 20;

/// The system's certificate authorities, where distributions have them.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A receiver, with what takes to reach it.
#[derive(Debug)]
pub struct Endpoint {
    agent: Agent,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why an event was not taken.
#[derive(Debug)]
struct Refused {
    why: String,
    /// It may be taken later.
    is_temporary: bool,
}

impl Endpoint {
    /// # Errors
    /// A file that can't be read, or that others can read or change; no certificate authority.
    pub fn new(webhook: &Webhook) -> Result<Endpoint> {
        let url: Uri = webhook.url.parse().context("the URL of the webhook")?;
        let headers = match &webhook.header_file {
            Some(file) => headers(Path::new(file)).with_context(|| file.clone())?,
            None => Vec::new(),
        };
        let mut config = Agent::config_builder()
            .timeout_global(Some(TIME_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("egrets/", env!("CARGO_PKG_VERSION")));
        if url.scheme_str() == Some("https") {
            let roots = RootCerts::Specific(Arc::new(authorities(webhook)?));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Endpoint {
            agent: config.build().into(),
            url,
            headers,
        })
    }

    fn post(&self, event: &[u8]) -> Result<(), Refused> {
        let mut request = self.agent.post(self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = request.header(CONTENT_TYPE, "application/json").send(event);
        let status = match sent {
            Ok(response) => response.status(),
            Err(e) => {
                // the text has the URL
                let why = match e {
                    ureq::Error::BadUri(_) => "its URL is not one to send to".to_owned(),
                    _ => e.to_string(),
                };
                return Err(Refused {
                    why: format!("{}: {why}", self.place()),
                    is_temporary: !is_distrust(&e),
                });
            }
        };
        if status.is_success() {
            return Ok(());
        }
        let is_temporary = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        Err(Refused {
            why: format!("{} answered {status}", self.place()),
            is_temporary,
        })
    }

    /// Without the path, which may be a secret.
    fn place(&self) -> String {
        let host = self.url.host().unwrap_or_default();
        format!("{}://{host}", self.url.scheme_str().unwrap_or_default())
    }
}

/// Whether the other end is none to talk to, now or later.
fn is_distrust(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::BadUri(_) => true,
        // rustls' errors in the middle of a connection
        ureq::Error::Io(e) => e.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// A file with headers, one a line, that only its owner can read.
fn headers(path: &Path) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let bytes = read(open_secret(path)?, path, MAX_HEADERS)?;
    let text = String::from_utf8(bytes).context("it is not UTF-8 text")?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let header = |line: &str| {
        let (name, value) = line
            .split_once(':')
            .context("a line is a header, such as 'Authorization: Bearer SECRET'")?;
        let mut value = HeaderValue::try_from(value.trim()).context("a header's value")?;
        value.set_sensitive(true);
        Ok((
            HeaderName::try_from(name.trim()).context("a header's name")?,
            value,
        ))
    };
    lines.map(header).collect()
}

/// Opens a file with a secret, which others can neither read nor change.
///
/// # Errors
/// Why it is refused.
pub fn open_secret(path: &Path) -> Result<fs::File> {
    let shown = path.display();
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = file.map_err(|e| match e.raw_os_error() {
        Some(libc::ELOOP) => anyhow!("{shown} is a symbolic link: name the file itself"),
        _ => anyhow::Error::new(e).context(format!("can't read {shown}")),
    })?;
    let meta = file.metadata()?;
    ensure!(meta.is_file(), "{shown} is not a regular file");
    let own = rustix::process::geteuid().as_raw();
    if ![0, own].contains(&meta.uid()) {
        bail!(
            "{shown} belongs to user {}: 'chown root {shown}'",
            meta.uid()
        );
    }
    if meta.mode() & 0o077 != 0 {
        bail!("other users can read {shown}, and it has a secret: 'chmod 600 {shown}'");
    }
    Ok(file)
}

fn authorities(webhook: &Webhook) -> Result<Vec<Certificate<'static>>> {
    let file = match webhook.ca_file.as_deref() {
        Some(file) => file,
        None => SYSTEM_AUTHORITIES
            .into_iter()
            .find(|file| Path::new(file).exists())
            .context(
                "the system has no file of certificate authorities: install ca-certificates, or \
                 name a file with ca_file",
            )?,
    };
    let path = Path::new(file);
    let opened = fs::File::open(path).with_context(|| format!("can't read {file}"))?;
    let pem = read(opened, path, MAX_CERTIFICATES).with_context(|| file.to_owned())?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    ensure!(!certificates.is_empty(), "{file} has no certificate (PEM)");
    Ok(certificates)
}

fn read(file: fs::File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= limit,
        "{} is too large",
        path.display()
    );
    Ok(bytes)
}

/// Sends events to a receiver, on a thread of its own.
pub struct WebhookSender {
    queue: SyncSender<Vec<u8>>,
    /// Ends the waiting for further attempts when it is dropped.
    hurry: Sender<()>,
    failures: Receiver<String>,
    /// Events that were not delivered yet.
    pending: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl WebhookSender {
    /// # Errors
    /// Those of [`Endpoint::new`], and no thread can be started.
    pub fn start(webhook: &Webhook) -> Result<WebhookSender> {
        let endpoint = Endpoint::new(webhook)?;
        let (queue, events) = sync_channel::<Vec<u8>>(MAX_WAITING);
        let (hurry, is_ending) = channel();
        let (failed, failures) = sync_channel(MAX_WAITING);
        let pending = Arc::<AtomicUsize>::default();
        let left = Arc::clone(&pending);
        let thread = thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || {
                for event in events {
                    if let Err(why) = deliver(&endpoint, &event, &is_ending) {
                        let _ = failed.try_send(why);
                    }
                    left.fetch_sub(1, Ordering::Release);
                }
            })?;
        Ok(WebhookSender {
            queue,
            hurry,
            failures,
            pending,
            thread,
        })
    }

    /// Never waits.
    ///
    /// # Errors
    /// Too many are waiting: it is lost.
    pub fn send(&self, event: &[u8]) -> Result<()> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let sent = self.queue.try_send(event.to_vec());
        if sent.is_err() {
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => bail!("webhook: too many are waiting"),
            Err(TrySendError::Disconnected(_)) => bail!("webhook: its thread has ended"),
        }
    }

    /// Whether events are being delivered. The failures of others are there.
    pub fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Events that were not taken since the last call, each with the reason.
    pub fn failures(&self) -> impl Iterator<Item = String> + '_ {
        self.failures.try_iter()
    }

    /// What waits is tried once more, for as long as this.
    pub fn finish(self, limit: Duration) {
        drop((self.queue, self.hurry));
        let end = Instant::now() + limit;
        while !self.thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn deliver(endpoint: &Endpoint, event: &[u8], is_ending: &Receiver<()>) -> Result<(), String> {
    let mut retries = RETRIES.iter();
    loop {
        let refused = match endpoint.post(event) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let wait = retries.next().filter(|_| refused.is_temporary);
        let Some(wait) = wait else {
            return Err(refused.why);
        };
        if let Err(RecvTimeoutError::Disconnected) = is_ending.recv_timeout(*wait) {
            return Err(refused.why);
        }
    }
}
