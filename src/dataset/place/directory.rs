//! A directory of a file system.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Unnamed;

/// How files without a name begin and end: engines skip those that begin with a dot.
const PREFIX: &str = ".";
const SUFFIX: &str = ".tmp";

pub struct Directory {
    root: PathBuf,
}

impl Directory {
    pub fn open(root: &Path) -> Result<Directory> {
        ensure!(
            !root.exists() || root.is_dir(),
            "{} is not a directory: a dataset is one, which may be new",
            root.display()
        );
        create(root)?;
        Ok(Directory {
            root: root.to_owned(),
        })
    }

    pub fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn names(&self, directory: &str) -> Result<Vec<String>> {
        let directory = self.full(directory);
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("{} can't be read", directory.display()))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    pub fn create(&self, path: &str) -> Result<Unnamed> {
        let path = self.full(path);
        let directory = path.parent().unwrap_or(&self.root);
        create(directory)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let prefix = format!("{PREFIX}{name}-");
        remove_abandoned(directory, &prefix);
        let (file, temporary) = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(SUFFIX)
            .tempfile_in(directory)?
            .into_parts();
        // Held until it has its name: a process that was killed holds none.
        let _ = file.try_lock();
        Ok(Unnamed {
            file,
            temporary: Some(temporary),
        })
    }

    pub fn name(&self, unnamed: Unnamed, path: &str, replace: bool) -> Result<u64> {
        let path = self.full(path);
        unnamed.file.sync_all()?;
        let bytes = unnamed.file.metadata()?.len();
        if let Some(temporary) = unnamed.temporary {
            match replace {
                true => temporary.persist(&path),
                false => temporary.persist_noclobber(&path),
            }
            .map_err(|e| e.error)?;
        }
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(bytes)
    }

    pub fn remove(&self, path: &str) -> Result<()> {
        match fs::remove_file(self.full(path)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    pub fn metadata(&self, path: &str) -> Result<Option<ParquetMetaData>> {
        let path = self.full(path);
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| format!("{} can't be read", path.display()))?,
        };
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
        Ok(Some(metadata.with_context(|| {
            format!("{} is not a Parquet file: remove it", path.display())
        })?))
    }
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("can't create the directory {}", directory.display()))
}

/// Removes what a killed process has left of a file.
fn remove_abandoned(directory: &Path, prefix: &str) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(prefix) || !name.ends_with(SUFFIX) {
            continue;
        }
        let path = entry.path();
        let held = File::open(&path)
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if !held {
            let _ = fs::remove_file(path);
        }
    }
}
