//! Rows as JSON lines or CSV: the statement's columns, one row at a time.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::Result;
use csv::{Terminator, WriterBuilder};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows};

use super::cell::plain;
use crate::text::{is_printable, printable};

/// How rows are written. JSON's keys are in the order of the columns. In CSV, NULL is an
/// empty field, unprintable characters are escaped as in the table, because CSV itself has no
/// escapes, and a text that a spreadsheet would take for a formula begins with an apostrophe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One JSON object per line.
    JsonLines,
    /// RFC 4180 with a header.
    Csv,
}

/// Writes rows that have the same columns.
pub struct RowWriter {
    format: RowFormat,
    names: Vec<String>,
    /// Buffers for one line, reused.
    json: String,
    csv: Vec<u8>,
}

impl RowWriter {
    /// For the rows of a statement with these columns.
    pub fn new(format: RowFormat, names: Vec<String>) -> Self {
        RowWriter {
            format,
            names,
            json: String::new(),
            csv: Vec::new(),
        }
    }

    /// Writes the header, if the format has one.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn header(&self, out: &mut dyn Write) -> Result<()> {
        if self.format == RowFormat::Csv {
            let mut line = Vec::new();
            write_csv(&mut line, self.names.iter().map(|name| Ok(name.into())))?;
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// SQLite's and those of `out`.
    pub fn row(&mut self, row: &Row<'_>, out: &mut dyn Write) -> Result<()> {
        match self.format {
            RowFormat::JsonLines => {
                self.json.clear();
                for (column, name) in self.names.iter().enumerate() {
                    let opening = if column == 0 { '{' } else { ',' };
                    _ = write!(self.json, "{opening}\"{name}\":");
                    push_json(&mut self.json, row.get_ref(column)?);
                }
                self.json.push_str("}\n");
                out.write_all(self.json.as_bytes())?;
            }
            RowFormat::Csv => {
                self.csv.clear();
                let fields = (0..self.names.len()).map(|column| {
                    let value = row.get_ref(column)?;
                    let text = plain(value).unwrap_or_default();
                    Ok(match value {
                        ValueRef::Text(_) | ValueRef::Blob(_) => defused(&printable(&text)),
                        _ => text.to_string(),
                    })
                });
                write_csv(&mut self.csv, fields)?;
                out.write_all(&self.csv)?;
            }
        }
        Ok(())
    }
}

/// Writes all rows of an answer. Returns whether there were any.
///
/// # Errors
///
/// SQLite's and those of `out`.
pub fn write_all(format: RowFormat, rows: &mut Rows<'_>, out: &mut dyn Write) -> Result<bool> {
    let names = rows.as_ref().map_or_else(Vec::new, |statement| {
        statement.column_names().map(str::to_owned).collect()
    });
    let mut writer = RowWriter::new(format, names);
    writer.header(out)?;
    let mut found = false;
    while let Some(row) = rows.next()? {
        found = true;
        writer.row(row, out)?;
    }
    Ok(found)
}

/// A text that no spreadsheet runs as a formula: processes choose their names. An apostrophe
/// before it makes it text there (OWASP, "CSV injection").
fn defused(text: &str) -> String {
    // Some programs take the full-width forms, too.
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    match text.trim_start().starts_with(FORMULA) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// Appends a record to `line`.
fn write_csv(line: &mut Vec<u8>, fields: impl Iterator<Item = Result<String>>) -> Result<()> {
    let mut csv = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(line);
    for field in fields {
        csv.write_field(field?).map_err(io::Error::from)?;
    }
    csv.write_record(None::<&[u8]>).map_err(io::Error::from)?;
    csv.flush()?;
    Ok(())
}

/// A value as JSON.
pub fn json_value(value: ValueRef<'_>) -> String {
    let mut json = String::new();
    push_json(&mut json, value);
    json
}

fn push_json(json: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => json.push_str("null"),
        ValueRef::Integer(n) => _ = write!(json, "{n}"),
        ValueRef::Real(n) => _ = write!(json, "{n}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            push_json_string(json, &String::from_utf8_lossy(bytes));
        }
    }
}

/// Appends `text` as a JSON string that is safe to show in a terminal; JSON's escapes lose
/// nothing.
fn push_json_string(json: &mut String, text: &str) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return;
    }
    for c in serde_json::Value::from(text).to_string().chars() {
        if is_printable(c) {
            json.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_csv_cell_is_a_formula_and_numbers_stay_numbers() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let csv = |sql: &str| {
            let mut statement = db.prepare(sql).unwrap();
            let mut out = Vec::new();
            let mut rows = statement.query([]).unwrap();
            write_all(RowFormat::Csv, &mut rows, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            text.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(csv("SELECT -7 AS a, '-7' AS b, NULL AS c"), "-7,'-7,");
        for text in ["=1+1", "+1", "-1", "@SUM(1)", " =1", "＝1", "＠x"] {
            assert_eq!(csv(&format!("SELECT '{text}' AS a")), format!("'{text}"));
        }
        // Unprintable characters are escaped, so none begins a cell.
        assert_eq!(csv("SELECT char(9) || '=1' AS a"), r"\t=1");
        assert_eq!(csv("SELECT 'a=1' AS a"), "a=1");
    }
}
