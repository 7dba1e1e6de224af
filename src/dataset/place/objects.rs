//! An object store: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio::runtime::Runtime;
use url::Url;

use super::Unnamed;

/// A file larger than this is uploaded in parts of this size, of which so many are in memory.
const PART: usize = 16 << 20;
const PARTS_IN_MEMORY: usize = 2;

/// How much of a file's end is read first: what it says of itself is there.
const END: u64 = 64 << 10;

/// How often a signal is looked for while the network is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub struct Objects {
    store: Box<dyn ObjectStore>,
    root: Path,
    /// As the user typed it.
    url: String,
    runtime: Runtime,
    stop: Arc<AtomicUsize>,
}

impl Objects {
    /// The variables of the environment that the clouds' own tools read hold here, too:
    /// `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`.
    pub fn open(url: &str, stop: Arc<AtomicUsize>) -> Result<Objects> {
        // reqwest is built without a provider of its own; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = Url::parse(url).with_context(|| format!("{url} is not a URL"))?;
        if !matches!(
            parsed.scheme(),
            "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "azure"
        ) {
            bail!(
                "{url}: a dataset is in a directory, or at s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH"
            );
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let agent = (
            "user_agent".to_owned(),
            concat!("egrets/", env!("CARGO_PKG_VERSION")).to_owned(),
        );
        let (store, root) = object_store::parse_url_opts(&parsed, variables.chain([agent]))
            .with_context(|| format!("{url} can't be used"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Objects {
            store,
            root,
            url: url.trim_end_matches('/').to_owned(),
            runtime,
            stop,
        })
    }

    pub fn full(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    fn at(&self, path: &str) -> Path {
        path.split('/')
            .fold(self.root.clone(), |at, part| at.join(part))
    }

    /// Waits for an answer of the store, until a signal comes.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T> {
        self.runtime.block_on(async {
            let mut answer = std::pin::pin!(answer);
            loop {
                if let Ok(answer) = tokio::time::timeout(POLL_INTERVAL, &mut answer).await {
                    return answer.map_err(|e| plain(&e));
                }
                if self.stop.load(Ordering::Relaxed) != 0 {
                    bail!("stopped by a signal");
                }
            }
        })
    }

    pub fn names(&self, directory: &str) -> Result<Vec<String>> {
        let prefix = self.at(directory);
        let listed = self
            .wait(self.store.list_with_delimiter(Some(&prefix)))
            .with_context(|| format!("{} can't be listed", self.full(directory)))?;
        let directories = listed.common_prefixes.iter();
        let objects = listed.objects.iter().map(|object| &object.location);
        let names = directories.chain(objects).filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    /// Objects are written at once, so the rows are gathered in a file of this machine before.
    pub fn create(&self, _: &str) -> Result<Unnamed> {
        Ok(Unnamed {
            file: tempfile::tempfile().context("no temporary file can be made")?,
            temporary: None,
        })
    }

    pub fn name(&self, unnamed: Unnamed, path: &str, replace: bool) -> Result<u64> {
        let mut file = unnamed.file;
        let bytes = file.metadata()?.len();
        file.rewind()?;
        let to = self.at(path);
        if bytes <= PART as u64 {
            let mut all = Vec::new();
            file.read_to_end(&mut all)?;
            let mode = match replace {
                true => PutMode::Overwrite,
                false => PutMode::Create,
            };
            let payload = PutPayload::from(all);
            self.wait(self.store.put_opts(&to, payload, mode.into()))?;
            return Ok(bytes);
        }
        self.wait(self.upload(&mut file, &to))?;
        Ok(bytes)
    }

    /// Uploads a file in parts. It has its name once all have arrived; those of one that fails are
    /// removed.
    async fn upload(&self, file: &mut File, to: &Path) -> Result<(), Error> {
        let upload = self.store.put_multipart(to).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut part = vec![0; PART];
        loop {
            let read = file.read(&mut part).map_err(|e| Error::Generic {
                store: "temporary file",
                source: Box::new(e),
            });
            let sent = match read {
                Ok(0) => return upload.finish().await.map(drop),
                Ok(read) => {
                    let room = upload.wait_for_capacity(PARTS_IN_MEMORY).await;
                    room.map(|()| upload.write(&part[..read]))
                }
                Err(e) => Err(e),
            };
            if let Err(e) = sent {
                let _ = upload.abort().await;
                return Err(e);
            }
        }
    }

    pub fn remove(&self, path: &str) -> Result<()> {
        let at = self.at(path);
        self.wait(async {
            match self.store.delete(&at).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        })
    }

    pub fn metadata(&self, path: &str) -> Result<Option<ParquetMetaData>> {
        let at = self.at(path);
        let cannot = || format!("{} can't be read", self.full(path));
        let found = self.wait(async {
            match self.store.head(&at).await {
                Ok(found) => Ok(Some(found.size)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(e) => Err(e),
            }
        });
        let Some(size) = found.with_context(cannot)? else {
            return Ok(None);
        };
        let mut wanted = END;
        loop {
            let range = size.saturating_sub(wanted)..size;
            let end = self
                .wait(self.store.get_range(&at, range))
                .with_context(cannot)?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&end, size) {
                Ok(()) => return Ok(Some(reader.finish()?)),
                Err(ParquetError::NeedMoreData(more)) if wanted < size => {
                    wanted = (more as u64).max(wanted * 2);
                }
                Err(e) => {
                    let say = format!("{} is not a Parquet file: remove it", self.full(path));
                    return Err(anyhow::Error::new(e).context(say));
                }
            }
        }
    }
}

/// What is wrong, once: the errors of this library each repeat those that caused them. That of an
/// HTTP server is its status line, with the code and message of the store if it has sent them as XML.
fn plain(error: &Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let said = cause.to_string();
    let tag = |name: &str| -> Option<&str> {
        let (_, rest) = said.split_once(&format!("<{name}>"))?;
        // Azure's message goes on with the request's number and time.
        rest.split_once(&format!("</{name}>"))?.0.lines().next()
    };
    let line = said.lines().next().unwrap_or_default();
    let line = line.split_once(": <").map_or(line, |(line, _)| line);
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => anyhow!("{line} ({code}: {message})"),
        _ => anyhow!("{line}"),
    }
}
