//! Files of a dataset: each gets its name once it is complete and on disk.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use tempfile::TempPath;

use super::identity::Identity;
use crate::query::View;

/// Rows per row group, whose statistics let an engine skip it: what DuckDB reads at a time.
const ROW_GROUP: usize = 122_880;
/// Bytes per row group, which bound the memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Names and addresses that are looked for: an engine skips row groups that lack them. Not
/// `dst_addr`: DuckDB 1.5.5 takes the filter of a column of fixed length for one without any value.
const LOOKED_FOR: [&str; 6] = ["host", "dst_ip", "comm", "exe_sha256", "qname", "data"];

/// Numbers that hardly ever repeat and that differ little from one row to the next.
const ASCENDING: [&str; 3] = ["id", "ts", "time"];

/// How rows are split into files, by their times in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Day,
    Hour,
}

impl Split {
    /// Its length in nanoseconds.
    pub fn period(self) -> i64 {
        match self {
            Split::Day => 86_400_000_000_000,
            Split::Hour => 3_600_000_000_000,
        }
    }
}

/// Writes the files of a table.
pub struct Writer {
    root: PathBuf,
    table: &'static str,
    schema: SchemaRef,
    identity: Identity,
    split: Split,
    /// Whether existing files may be replaced.
    force: bool,
    open: Option<Open>,
    pub files: u64,
    pub bytes: u64,
}

/// A file that is being written, without its name yet.
struct Open {
    period: i64,
    path: PathBuf,
    unnamed: TempPath,
    rows: ArrowWriter<BufWriter<File>>,
}

impl Writer {
    /// # Errors
    ///
    /// A path that is no directory and can't be made one.
    pub fn new(
        root: &Path,
        table: View,
        schema: SchemaRef,
        identity: Identity,
        split: Split,
        force: bool,
    ) -> Result<Writer> {
        ensure!(
            !root.exists() || root.is_dir(),
            "{} is not a directory: with --format parquet, --output takes a directory, which may be new",
            root.display()
        );
        fs::create_dir_all(root)
            .with_context(|| format!("can't create the directory {}", root.display()))?;
        Ok(Writer {
            root: root.to_owned(),
            table: table.name(),
            schema,
            identity,
            split,
            force,
            open: None,
            files: 0,
            bytes: 0,
        })
    }

    /// Writes rows of a period, which is the current one or a later one.
    ///
    /// # Errors
    ///
    /// An existing file, unless `force`; a full disk, for example: then the file is removed.
    pub fn write(&mut self, period: i64, rows: &RecordBatch) -> Result<()> {
        if self.open.as_ref().is_none_or(|open| open.period != period) {
            self.close()?;
            self.open = Some(self.begin(period)?);
        }
        if let Some(open) = &mut self.open {
            open.rows
                .write(rows)
                .with_context(|| cannot_write(&open.path))?;
        }
        Ok(())
    }

    /// Completes the last file. A table without any file gets one without rows, of this period:
    /// engines read no table that has none.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`].
    pub fn finish(&mut self, period: i64) -> Result<()> {
        self.close()?;
        if !self.root.join(format!("table={}", self.table)).exists() {
            self.open = Some(self.begin(period)?);
            self.close()?;
        }
        Ok(())
    }

    /// Where the rows of a period are.
    pub fn path(&self, period: i64) -> Result<PathBuf> {
        let start = period.saturating_mul(self.split.period());
        let start = DateTime::<Utc>::from_timestamp_nanos(start);
        let file = match self.split {
            Split::Day => format!("{}.parquet", self.identity.history),
            Split::Hour => format!("{}-{}.parquet", self.identity.history, start.format("%H")),
        };
        Ok(self
            .root
            .join(format!("table={}", self.table))
            .join(format!("day={}", start.format("%Y-%m-%d")))
            .join(format!("machine={}", self.identity.machine))
            .join(file))
    }

    fn begin(&self, period: i64) -> Result<Open> {
        let path = self.path(period)?;
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory)
            .with_context(|| format!("can't create the directory {}", directory.display()))?;
        self.check_split(directory)?;
        ensure!(
            self.force || !path.exists(),
            "{} exists; --force replaces it",
            path.display()
        );
        // Engines skip files whose name begins with a dot.
        let (file, unnamed) = tempfile::Builder::new()
            .prefix(&format!(".{}-", self.identity.history))
            .suffix(".tmp")
            .tempfile_in(directory)
            .with_context(|| cannot_write(&path))?
            .into_parts();
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties()?)
            .with_skip_arrow_metadata(true);
        let out = BufWriter::with_capacity(1 << 16, file);
        let rows = ArrowWriter::try_new_with_options(out, Arc::clone(&self.schema), options)
            .with_context(|| cannot_write(&path))?;
        Ok(Open {
            period,
            path,
            unnamed,
            rows,
        })
    }

    /// Refuses to write rows by the day where those of this history are by the hour, or the other
    /// way round: they would be there twice.
    fn check_split(&self, directory: &Path) -> Result<()> {
        let (theirs, option) = match self.split {
            Split::Day => (format!("{}-", self.identity.history), "hour"),
            Split::Hour => (format!("{}.", self.identity.history), "day"),
        };
        let names =
            fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for name in names {
            ensure!(
                !name.starts_with(&theirs),
                "{} has this history's rows by the {option}: go on with --split {option}, or remove it",
                directory.join(name).display()
            );
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let path = open.path;
        let named = || -> Result<u64> {
            let file = open.rows.into_inner()?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            match self.force {
                true => open.unnamed.persist(&path),
                false => open.unnamed.persist_noclobber(&path),
            }
            .map_err(|e| e.error)?;
            if let Some(directory) = path.parent() {
                File::open(directory)?.sync_all()?;
            }
            Ok(bytes)
        };
        self.bytes += named().with_context(|| cannot_write(&path))?;
        self.files += 1;
        Ok(())
    }

    fn properties(&self) -> Result<WriterProperties> {
        let about = [
            ("egrets.machine", self.identity.machine.clone()),
            ("egrets.history", self.identity.history.clone()),
        ];
        let about = about.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_key_value_metadata(Some(about.to_vec()))
            .set_created_by(format!("egrets {}", env!("CARGO_PKG_VERSION")));
        for column in LOOKED_FOR {
            if self.schema.field_with_name(column).is_ok() {
                let column = ColumnPath::from(column);
                // It is cut down to what there turn out to be.
                properties = properties
                    .set_column_bloom_filter_enabled(column.clone(), true)
                    .set_column_bloom_filter_max_ndv(column, ROW_GROUP as u64);
            }
        }
        for column in ASCENDING {
            properties = properties
                .set_column_dictionary_enabled(ColumnPath::from(column), false)
                .set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
        }
        Ok(properties.build())
    }
}

fn cannot_write(path: &Path) -> String {
    format!("{} can't be written and was removed", path.display())
}
