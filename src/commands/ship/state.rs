//! How far a history has been shipped: a file beside it for each dataset, which `egrets status`
//! reads. Nothing depends on it: what has been shipped is read from the dataset.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What such a file's name has behind that of the history, before the dataset's hash.
const SUFFIX: &str = "-ship-";

/// More than any has, in bytes.
const LARGEST: u64 = 64 << 10;

/// How far a history has been shipped into a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipState {
    /// The dataset.
    pub to: String,
    pub pid: u32,
    /// The dataset has everything until then, nanoseconds since 1970; None: nothing yet.
    pub until_ts: Option<i64>,
    /// Since the shipper began.
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Why the last round failed, and since when rounds have.
    pub error: Option<String>,
    pub failing_since_ts: Option<i64>,
}

impl ShipState {
    /// Puts it beside the history.
    ///
    /// # Errors
    ///
    /// A directory that can't be written.
    #[cfg(feature = "parquet")]
    pub fn write(&self, history: &Path) -> Result<()> {
        use anyhow::Context;
        use sha2::{Digest, Sha256};

        let hash = Sha256::digest(self.to.as_bytes());
        let path = prefix(history).with_context(|| format!("{} is no file", history.display()))?;
        let path = format!(
            "{path}{:02x}{:02x}{:02x}{:02x}",
            hash[0], hash[1], hash[2], hash[3]
        );
        let path = directory(history).join(path);
        let mut file = super::super::output::unnamed(&path)?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(&path)?;
        Ok(())
    }

    /// Whether the process that wrote it still ships.
    pub fn runs(&self) -> bool {
        let command = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == b"ship")
    }
}

/// All of a history, in the order of their datasets. A file that is none is left out, as are those
/// of users other than the history's own and root.
pub fn states(history: &Path) -> Vec<ShipState> {
    let Some(prefix) = prefix(history) else {
        return Vec::new();
    };
    let Ok(owner) = fs::metadata(history).map(|meta| meta.uid()) else {
        return Vec::new();
    };
    let entries = fs::read_dir(directory(history));
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(&prefix))
    };
    let read = paths
        .filter(is_one)
        .filter_map(|path| read(&path, owner).ok());
    let mut states = Vec::from_iter(read);
    states.sort_by(|a, b| a.to.cmp(&b.to));
    states
}

fn read(path: &Path, owner: u32) -> Result<ShipState> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    anyhow::ensure!(
        meta.is_file() && [owner, 0].contains(&meta.uid()),
        "not a file of the history's owner"
    );
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn directory(history: &Path) -> &Path {
    let directory = history.parent().filter(|dir| !dir.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

fn prefix(history: &Path) -> Option<String> {
    Some(format!("{}{SUFFIX}", history.file_name()?.to_str()?))
}
