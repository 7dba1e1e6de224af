//! Connections: HTTP/1.1 by hyper, within bounds of size, time and number.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::check::{Refusal, is_for_us, may_read};
use super::listen::Listener;
use super::pages::{Content, Page};
use super::reader::{Answer, Reader};
use super::token::Token;
use crate::report::live;
use crate::text::printable;

/// Connections at a time. A browser has six at most.
const MOST_CONNECTIONS: usize = 64;
/// Bytes and headers of a request.
const MOST_BYTES: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// How long a request may take to arrive, or a connection be idle.
const REQUEST: Duration = Duration::from_secs(5);
/// After this a connection ends when what it is doing is done, and then soon.
const CONNECTION: Duration = Duration::from_secs(60);
const LAST_ANSWER: Duration = Duration::from_secs(70);
/// The type of what Prometheus reads.
const METRICS: &str = "application/openmetrics-text; version=1.0.0";
/// What is waited after an error of accept(2), such as too many open files.
const BREATH: Duration = Duration::from_millis(100);

/// What answers requests.
struct App {
    token: Token,
    reader: Reader,
    document: Bytes,
    /// The document's Content-Security-Policy.
    policy: HeaderValue,
}

/// Answers requests until SIGINT or SIGTERM.
///
/// # Errors
///
/// The kernel refuses what waits for connections.
pub fn serve(listener: Listener, token: Token, reader: Reader) -> Result<()> {
    let document = live()?;
    let app = Arc::new(App {
        token,
        reader,
        document: Bytes::from(document.html),
        policy: HeaderValue::from_str(&document.policy).context("the page's policy")?,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("what waits for connections")?;
    runtime.block_on(async {
        let end = StopSignal::install()?;
        match listener {
            Listener::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                let accept = async || {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    Ok(stream)
                };
                until(end, accept_all(accept, app)).await;
            }
            Listener::Unix(listener) => {
                let listener = UnixListener::from_std(listener)?;
                let accept = async || Ok(listener.accept().await?.0);
                until(end, accept_all(accept, app)).await;
            }
        }
        Ok(())
    })
}

/// The end of a socket pair that can be read once a signal has come.
struct StopSignal(UnixStream);

impl StopSignal {
    fn install() -> Result<StopSignal> {
        let (ours, theirs) = StdUnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
        }
        ours.set_nonblocking(true)?;
        Ok(StopSignal(UnixStream::from_std(ours)?))
    }
}

/// Does it until the signal comes.
async fn until(end: StopSignal, work: impl Future<Output = Infallible>) {
    let (mut end, mut work) = (pin!(end.0.readable()), pin!(work));
    std::future::poll_fn(|task| match end.as_mut().poll(task) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => work.as_mut().poll(task).map(|never| match never {}),
    })
    .await;
}

async fn accept_all<S>(accept: impl AsyncFn() -> io::Result<S>, app: Arc<App>) -> Infallible
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            continue;
        };
        match accept().await {
            Ok(stream) => {
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    converse(stream, app).await;
                    drop(slot);
                });
            }
            Err(_) => sleep(BREATH).await,
        }
    }
}

/// Serves a connection to its end.
async fn converse<S>(stream: S, app: Arc<App>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(app.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST)
            .max_headers(MOST_HEADERS)
            .max_buf_size(MOST_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    // What is wrong with a connection concerns its peer alone.
    if timeout(CONNECTION, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}

impl App {
    async fn answer(&self, request: Request<Incoming>) -> Response<Text> {
        // No request has a body that is read.
        let (request, _) = request.into_parts();
        if let Err(refusal) = is_for_us(&request) {
            return refused(&refusal);
        }
        let path = request.uri.path();
        if path == "/" {
            let mut response = response(StatusCode::OK, "text/html", self.document.clone());
            let policy = self.policy.clone();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            return response;
        }
        if path != "/view" && path != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "there is no such page");
        }
        if let Err(refusal) = may_read(&request, &self.token) {
            return refused(&refusal);
        }
        if path == "/metrics" {
            return answered(self.reader.read(Content::Metrics).await, None, METRICS);
        }
        let page = match Page::of_query(request.uri.query().unwrap_or_default()) {
            Ok(page) => page,
            Err(e) => return plain(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
        };
        let has = request.headers.get(header::IF_NONE_MATCH);
        answered(
            self.reader.read(Content::Page(page)).await,
            has,
            "text/html",
        )
    }
}

fn answered(answer: Answer, has: Option<&HeaderValue>, kind: &str) -> Response<Text> {
    let found = match answer {
        Answer::Text(found) => found,
        Answer::Refused(why) => return plain(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Answer::Failed(why) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Answer::Busy => {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait for the history",
            );
        }
    };
    let mut response = match has.is_some_and(|has| *has == found.tag) {
        true => response(StatusCode::NOT_MODIFIED, kind, Bytes::new()),
        false => response(StatusCode::OK, kind, found.text),
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&found.tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::AGE, found.age.as_secs().into());
    let next = found.next.as_secs() + u64::from(found.next.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, next.into());
    response
}

fn refused(refusal: &Refusal) -> Response<Text> {
    let mut response = plain(refusal.status, refusal.why);
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Text> {
    let lines = text.lines().map(printable);
    let text = Vec::from_iter(lines).join("\n");
    response(status, "text/plain", Bytes::from(text))
}

fn response(status: StatusCode, kind: &str, text: Bytes) -> Response<Text> {
    let mut response = Response::new(Text(Some(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&format!("{kind}; charset=utf-8"));
    if let Ok(kind) = kind {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        // The document has its own.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A body that is there whole.
struct Text(Option<Bytes>);

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = self.0.take().filter(|text| !text.is_empty());
        Poll::Ready(text.map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |text| text.len() as u64))
    }
}
