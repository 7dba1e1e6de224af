//! Destinations of exported rows: a file, a file per day, or standard output. Files get their
//! names only once all of them are complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tempfile::TempPath;

use crate::commands::output::{self, cannot_write, check};
use crate::query::{RowFormat, RowSink};

/// What --output accepts.
const TAKES: &str = "a file, a directory with --split day, or - for standard output";

/// Size of the output buffer in bytes.
const BUFFER: usize = 1 << 16;

/// Where to write rows.
pub enum Target {
    Stdout,
    File(PathBuf),
    /// Files called `NAME-2026-11-23.jsonl` in a directory, which is created if necessary.
    Days {
        directory: PathBuf,
        name: &'static str,
        format: RowFormat,
    },
}

/// Files being written.
pub struct Files {
    target: Target,
    /// Whether existing files may be replaced.
    force: bool,
    /// The day that is being written, and its file.
    open: Option<(i64, BufWriter<Counter>)>,
    /// Temporary files with their final names; removed unless they get those.
    unnamed: Vec<(TempPath, PathBuf)>,
    bytes: u64,
}

/// What was written.
pub struct Written {
    pub files: i64,
    pub bytes: i64,
}

impl Files {
    /// # Errors
    ///
    /// An existing file, unless `force`; a directory that can't be created.
    pub fn new(target: Target, force: bool) -> Result<Files> {
        match &target {
            Target::Stdout => {}
            Target::File(path) => check(path, force, TAKES)?,
            Target::Days { directory, .. } => fs::create_dir_all(directory)
                .with_context(|| format!("can't create the directory {}", directory.display()))?,
        }
        Ok(Files {
            target,
            force,
            open: None,
            unnamed: Vec::new(),
            bytes: 0,
        })
    }

    /// Gives the files their names.
    ///
    /// # Errors
    ///
    /// When a file can't be written, for example to a full disk; then no file is left.
    pub fn finish(mut self) -> Result<Written> {
        self.close()?;
        let files = self.unnamed.len();
        for (unnamed, path) in self.unnamed.drain(..) {
            let named = match self.force {
                true => unnamed.persist(&path),
                false => unnamed.persist_noclobber(&path),
            };
            named
                .map_err(|e| e.error)
                .with_context(|| cannot_write(&path))?;
        }
        Ok(Written {
            files: i64::try_from(files).unwrap_or(i64::MAX),
            bytes: i64::try_from(self.bytes).unwrap_or(i64::MAX),
        })
    }

    /// Completes the current file.
    fn close(&mut self) -> Result<()> {
        let Some((_, out)) = self.open.take() else {
            return Ok(());
        };
        let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.bytes += out.save()?;
        Ok(())
    }

    /// Starts the file of a day.
    fn begin(&mut self, day: i64) -> Result<Counter> {
        let path = match &self.target {
            Target::Stdout => return Ok(Counter::new(Out::Stdout(io::stdout()))),
            Target::File(path) => path.clone(),
            Target::Days {
                directory,
                name,
                format,
            } => {
                let extension = match format {
                    RowFormat::JsonLines => "jsonl",
                    RowFormat::Csv => "csv",
                };
                let date = DateTime::<Utc>::from_timestamp(day * 86_400, 0);
                let date = date
                    .context("a time beyond the calendar")?
                    .format("%Y-%m-%d");
                directory.join(format!("{name}-{date}.{extension}"))
            }
        };
        check(&path, self.force, TAKES)?;
        let (file, unnamed) = output::unnamed(&path)?.into_parts();
        self.unnamed.push((unnamed, path.clone()));
        Ok(Counter::new(Out::File(file, path)))
    }
}

impl RowSink for Files {
    fn at(&mut self, day: i64) -> Result<(&mut dyn Write, bool)> {
        let days = matches!(self.target, Target::Days { .. });
        let (open, empty) = match self.open.take() {
            Some(open) if !days || open.0 == day => (open, false),
            before => {
                self.open = before;
                self.close()?;
                let out = BufWriter::with_capacity(BUFFER, self.begin(day)?);
                ((day, out), true)
            }
        };
        Ok((&mut self.open.insert(open).1, empty))
    }

    fn wants_header(&self) -> bool {
        !matches!(self.target, Target::Days { .. })
    }
}

/// A file or standard output, with the number of bytes written.
struct Counter {
    out: Out,
    bytes: u64,
}

enum Out {
    Stdout(io::Stdout),
    /// With its final name.
    File(File, PathBuf),
}

impl Out {
    /// Applies one of the functions; errors name the file.
    fn each<T>(
        &mut self,
        stdout: impl FnOnce(&mut io::Stdout) -> io::Result<T>,
        file: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Out::Stdout(out) => stdout(out),
            Out::File(out, path) => file(out)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", cannot_write(path)))),
        }
    }
}

impl Counter {
    fn new(out: Out) -> Counter {
        Counter { out, bytes: 0 }
    }

    /// Flushes everything to the disk. Returns the number of bytes.
    fn save(mut self) -> io::Result<u64> {
        self.out.each(io::Stdout::flush, |file| file.sync_all())?;
        Ok(self.bytes)
    }
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self
            .out
            .each(|out| out.write(bytes), |file| file.write(bytes))?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.each(io::Stdout::flush, File::flush)
    }
}
