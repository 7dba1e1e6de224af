//! Rows as JSON lines or as CSV: the statement's columns as they are, a row as it comes.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::Result;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows};

use super::cell::plain;
use crate::text::{is_printable, printable};

/// How rows are written. JSON's keys are in the order of the columns. In CSV, NULL is an
/// empty field, and since it has no escapes, what does not print is shown as in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// A JSON object a line
    JsonLines,
    /// RFC 4180 with a header
    Csv,
}

/// Writes rows of the same columns.
pub struct Lines {
    format: RowFormat,
    names: Vec<String>,
    /// The line that is being made.
    line: String,
}

impl Lines {
    /// For the rows of a statement with these columns.
    pub fn new(format: RowFormat, names: Vec<String>) -> Self {
        Lines {
            format,
            names,
            line: String::new(),
        }
    }

    /// Writes what stands above the rows.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            RowFormat::JsonLines => Ok(()),
            RowFormat::Csv => write!(out, "{}\r\n", self.names.join(",")),
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// SQLite's, and those of `out`.
    pub fn row(&mut self, row: &Row<'_>, out: &mut dyn Write) -> Result<()> {
        self.line.clear();
        for (column, name) in self.names.iter().enumerate() {
            let value = row.get_ref(column)?;
            match self.format {
                RowFormat::JsonLines => {
                    let opening = if column == 0 { '{' } else { ',' };
                    _ = write!(self.line, "{opening}\"{name}\":");
                    push_json(&mut self.line, value);
                }
                RowFormat::Csv => {
                    if column > 0 {
                        self.line.push(',');
                    }
                    push_csv(&mut self.line, value);
                }
            }
        }
        self.line.push_str(match self.format {
            RowFormat::JsonLines => "}\n",
            RowFormat::Csv => "\r\n",
        });
        out.write_all(self.line.as_bytes())?;
        Ok(())
    }
}

/// Writes all of an answer. Whether there was any row.
///
/// # Errors
///
/// SQLite's, and those of `out`.
pub fn all(format: RowFormat, rows: &mut Rows<'_>, out: &mut dyn Write) -> Result<bool> {
    let names = rows.as_ref().map_or_else(Vec::new, |statement| {
        statement.column_names().map(str::to_owned).collect()
    });
    let mut lines = Lines::new(format, names);
    lines.head(out)?;
    let mut found = false;
    while let Some(row) = rows.next()? {
        found = true;
        lines.row(row, out)?;
    }
    Ok(found)
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

/// `text` as a JSON string that is safe to show: JSON's escapes lose nothing.
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

fn push_csv(line: &mut String, value: ValueRef<'_>) {
    let Some(text) = plain(value) else {
        return;
    };
    let text = printable(&text);
    match text.contains([',', '"']) {
        true => _ = write!(line, "\"{}\"", text.replace('"', "\"\"")),
        false => line.push_str(&text),
    }
}
