//! A file of a dataset, as Parquet.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use anyhow::Result;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::identity::Identity;
use super::place::{Place, Unnamed};

/// Rows per row group, whose statistics let an engine skip it: what DuckDB reads at a time.
const ROW_GROUP: usize = 122_880;
/// Bytes per row group, which bound the memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Names and addresses that are looked for: an engine skips row groups that lack them. Not
/// `dst_addr`: DuckDB 1.5.5 takes the filter of a column of fixed length for one without any value.
const LOOKED_FOR: [&str; 6] = ["host", "dst_ip", "comm", "exe_sha256", "qname", "data"];

/// Numbers that hardly ever repeat and that differ little from one row to the next.
const ASCENDING: [&str; 3] = ["id", "ts", "time"];

/// What a file says of the rows that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// All rows until then, nanoseconds since 1970, are in the file, as they were then; None: it
    /// has only some of them.
    pub read_ts: Option<i64>,
    pub rows: u64,
    /// How many of them change later: connections that were open.
    pub unfinished: u64,
    /// All rows of the table with ids up to this one were in the dataset before the file was
    /// written; None: not known.
    pub complete_id: Option<i64>,
}

impl Written {
    /// Of a file's metadata.
    pub fn read(metadata: &ParquetMetaData) -> Written {
        let file = metadata.file_metadata();
        let number = |wanted: &str| -> Option<i64> {
            let mut values = file.key_value_metadata()?.iter();
            let found = values.find(|value| value.key == wanted)?;
            found.value.as_ref()?.parse().ok()
        };
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        Written {
            read_ts: number(READ),
            rows: unsigned(file.num_rows()),
            unfinished: number(UNFINISHED).map_or(0, unsigned),
            complete_id: number(COMPLETE),
        }
    }
}

/// Keys of a file's metadata.
const READ: &str = "egrets.read_ts";
const UNFINISHED: &str = "egrets.unfinished";
const COMPLETE: &str = "egrets.complete_id";

/// Writes a file, which has no name yet.
pub struct Writer {
    unnamed: Unnamed,
    rows: ArrowWriter<BufWriter<File>>,
}

impl Writer {
    /// For the file `path` of a place.
    ///
    /// # Errors
    ///
    /// A full disk, for example: then the file is removed.
    pub fn new(
        place: &Place,
        path: &str,
        schema: &SchemaRef,
        identity: &Identity,
    ) -> Result<Writer> {
        let unnamed = place.create(path)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties(schema, identity)?)
            .with_skip_arrow_metadata(true);
        let out = BufWriter::with_capacity(1 << 16, unnamed.file.try_clone()?);
        let rows = ArrowWriter::try_new_with_options(out, Arc::clone(schema), options)?;
        Ok(Writer { unnamed, rows })
    }

    /// # Errors
    ///
    /// As [`Writer::new`].
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        Ok(self.rows.write(rows)?)
    }

    /// Completes the file, which may get its name then.
    ///
    /// # Errors
    ///
    /// As [`Writer::new`].
    pub fn finish(mut self, written: &Written) -> Result<Unnamed> {
        let unfinished = i64::try_from(written.unfinished).unwrap_or(i64::MAX);
        let said = [
            (READ, written.read_ts),
            (UNFINISHED, Some(unfinished)),
            (COMPLETE, written.complete_id),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                let value = KeyValue::new(key.to_owned(), value.to_string());
                self.rows.append_key_value_metadata(value);
            }
        }
        let out = self.rows.into_inner()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(self.unnamed)
    }
}

fn properties(schema: &SchemaRef, identity: &Identity) -> Result<WriterProperties> {
    let about = [
        ("egrets.machine", identity.machine.clone()),
        ("egrets.history", identity.history.clone()),
    ];
    let about = about.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_key_value_metadata(Some(about.to_vec()))
        .set_created_by(format!("egrets {}", env!("CARGO_PKG_VERSION")));
    for column in LOOKED_FOR {
        if schema.field_with_name(column).is_ok() {
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
