//! Where a dataset is: a directory, or an object store.

mod directory;
mod objects;

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};
use parquet::file::metadata::ParquetMetaData;
use tempfile::TempPath;

use directory::Directory;
use objects::Objects;

/// A place for files, each of which is there as a whole or not at all. Paths are those within the
/// dataset, with `/`.
pub enum Place {
    Directory(Directory),
    Objects(Objects),
}

/// A file that does not have its name yet.
pub struct Unnamed {
    pub file: File,
    /// What removes it, unless it gets its name.
    temporary: Option<TempPath>,
}

impl Place {
    /// A directory, which is made if necessary, or the URL of an object store: `s3://BUCKET/PATH`,
    /// `gs://BUCKET/PATH`, `az://CONTAINER/PATH`. `stop` is not 0 once a signal has come: what
    /// waits for the network is given up then.
    ///
    /// # Errors
    ///
    /// A path that is not a directory and can't be made one; a URL that is not understood.
    pub fn open(place: &str, stop: &Arc<AtomicUsize>) -> Result<Place> {
        Ok(match place.contains("://") {
            true => Place::Objects(Objects::open(place, Arc::clone(stop))?),
            false => Place::Directory(Directory::open(place.as_ref())?),
        })
    }

    /// The names of the files and directories in a directory.
    ///
    /// # Errors
    ///
    /// Those of the file system or the store, but not that there is none.
    pub fn names(&self, directory: &str) -> Result<Vec<String>> {
        match self {
            Place::Directory(place) => place.names(directory),
            Place::Objects(place) => place.names(directory),
        }
    }

    /// A file for rows, which is to become `path`.
    ///
    /// # Errors
    ///
    /// A full disk, for example.
    pub fn create(&self, path: &str) -> Result<Unnamed> {
        match self {
            Place::Directory(place) => place.create(path),
            Place::Objects(place) => place.create(path),
        }
    }

    /// Gives a file its name, at once; `replace` what has it. Returns its size in bytes.
    ///
    /// # Errors
    ///
    /// A full disk, a store that can't be reached: then the file is gone. A file of that name,
    /// unless `replace`.
    pub fn name(&self, unnamed: Unnamed, path: &str, replace: bool) -> Result<u64> {
        match self {
            Place::Directory(place) => place.name(unnamed, path, replace),
            Place::Objects(place) => place.name(unnamed, path, replace),
        }
    }

    /// Removes files of a directory; one that is not there is none to remove.
    ///
    /// # Errors
    ///
    /// Those of the file system or the store.
    pub fn remove(&self, directory: &str, names: &[String]) -> Result<()> {
        for name in names {
            let path = format!("{directory}/{name}");
            let removed = match self {
                Place::Directory(place) => place.remove(&path),
                Place::Objects(place) => place.remove(&path),
            };
            removed.with_context(|| {
                let path = self.full(&path);
                format!("{path} can't be removed, whose rows the file of its day has; --keep-hours leaves such files")
            })?;
        }
        Ok(())
    }

    /// What a file says of itself; None: there is none.
    ///
    /// # Errors
    ///
    /// A file that is not Parquet, and those of the file system or the store.
    pub fn metadata(&self, path: &str) -> Result<Option<ParquetMetaData>> {
        match self {
            Place::Directory(place) => place.metadata(path),
            Place::Objects(place) => place.metadata(path),
        }
    }

    /// A path as the user knows it.
    pub fn full(&self, path: &str) -> impl fmt::Display {
        match self {
            Place::Directory(place) => place.full(path).display().to_string(),
            Place::Objects(place) => place.full(path),
        }
    }

    /// That a file can't be written, and what is left of it.
    pub fn cannot_write(&self, path: &str) -> String {
        match self {
            Place::Directory(_) => format!("{} can't be written and was removed", self.full(path)),
            Place::Objects(_) => format!("{} can't be written", self.full(path)),
        }
    }
}
