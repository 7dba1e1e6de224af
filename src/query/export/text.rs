//! Rows as JSON lines or CSV.

use anyhow::Result;
use rusqlite::Row;

use super::snapshot_reader::RowEncoder;
use crate::query::format::{RowFormat, RowWriter};

/// Bytes per chunk.
const CHUNK: usize = 1 << 16;

pub struct TextEncoder {
    writer: RowWriter,
    rows: Vec<u8>,
}

impl TextEncoder {
    /// For the rows of a statement with these columns.
    pub fn new(format: RowFormat, names: Vec<String>) -> TextEncoder {
        TextEncoder {
            writer: RowWriter::new(format, names),
            rows: Vec::with_capacity(CHUNK),
        }
    }

    /// What is above the rows of each file.
    ///
    /// # Errors
    ///
    /// Names that the format can't represent.
    pub fn header(&self) -> Result<Vec<u8>> {
        let mut header = Vec::new();
        self.writer.header(&mut header)?;
        Ok(header)
    }
}

impl RowEncoder for TextEncoder {
    type Chunk = Vec<u8>;

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        self.writer.row(row, &mut self.rows)
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK
    }

    fn take(&mut self) -> Result<Vec<u8>> {
        Ok(std::mem::replace(&mut self.rows, Vec::with_capacity(CHUNK)))
    }
}
