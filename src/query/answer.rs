//! The rows of an answer, written as a table, as JSON lines or as CSV.
//!
//! JSON and CSV are the statement's columns as they are. The table shows people
//! a choice of them, in units that people read.

use std::fmt::{Display, Write as _};
use std::io::Write;

use anyhow::Result;
use chrono::{DateTime, TimeZone};
use rusqlite::Rows;
use rusqlite::types::ValueRef;

use super::cell::plain;
use super::clock::Clock;
use super::columns::{Column, Noun, Shape, shape};
use super::human;
use super::question::Question;
use super::table::Table;
use crate::text::{is_printable, printable};

/// Reads the rows into a table, times in the zone of `now`, with the line that counts
/// them; none where there are none.
///
/// # Errors
///
/// SQLite's.
pub fn table<Tz: TimeZone>(
    question: &Question,
    rows: &mut Rows<'_>,
    now: &DateTime<Tz>,
) -> rusqlite::Result<Option<(Table, String)>>
where
    Tz::Offset: Display,
{
    let Shape {
        columns: shown,
        nouns,
    } = shape(question);
    let mut table = Table::new(
        shown
            .iter()
            .map(|Column(title, show)| ((*title).to_owned(), show.align())),
    );
    let mut clock = Clock::new(now);
    let mut counts = vec![0; nouns.len()];
    let mut found = false;
    while let Some(row) = rows.next()? {
        found = true;
        let cells = shown
            .iter()
            .map(|Column(_, show)| show.cell(row, &mut clock));
        table.push(cells.collect::<rusqlite::Result<Vec<_>>>()?);
        for (count, Noun(_, _, per_row)) in counts.iter_mut().zip(&nouns) {
            *count += per_row.map_or(Ok(1), |column| row.get::<_, i64>(column))?;
        }
    }
    if !found {
        return Ok(None);
    }
    if let Some(first) = shown.iter().position(|Column(_, show)| show.is_time()) {
        table.extend_title(first, &format!(" ({})", clock.zone()));
    }
    let counts = counts
        .iter()
        .zip(&nouns)
        .map(|(n, Noun(one, many, _))| human::count(*n, one, many));
    Ok(Some((table, counts.collect::<Vec<_>>().join(", "))))
}

/// Writes each row as a JSON object on a line of its own, as it comes. Keys are
/// in the order of the columns. Whether there was any.
///
/// # Errors
///
/// SQLite's, and those of `out`.
pub fn json(rows: &mut Rows<'_>, out: &mut dyn Write) -> Result<bool> {
    let names = names(rows);
    let mut found = false;
    while let Some(row) = rows.next()? {
        found = true;
        let mut line = String::new();
        for (column, name) in names.iter().enumerate() {
            let opening = if column == 0 { '{' } else { ',' };
            let value = json_value(row.get_ref(column)?);
            _ = write!(line, "{opening}\"{name}\":{value}");
        }
        writeln!(out, "{line}}}")?;
    }
    Ok(found)
}

pub fn json_value(value: ValueRef<'_>) -> String {
    let text = plain(value);
    match (value, text) {
        (_, None) => "null".to_owned(),
        (ValueRef::Integer(_) | ValueRef::Real(_), Some(number)) => number,
        (_, Some(text)) => json_string(text),
    }
}

/// `text` as a JSON string that is safe to show: JSON's escapes lose nothing.
fn json_string(text: String) -> String {
    let mut safe = String::new();
    for c in serde_json::Value::String(text).to_string().chars() {
        if is_printable(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

/// Writes the names of the columns and each row, as it comes, by RFC 4180, NULL
/// as an empty field. CSV has no escapes, so what does not print is shown as in
/// the table. Whether there was any row.
///
/// # Errors
///
/// SQLite's, and those of `out`.
pub fn csv(rows: &mut Rows<'_>, out: &mut dyn Write) -> Result<bool> {
    let names = names(rows);
    let mut record = |fields: Vec<String>| write!(out, "{}\r\n", fields.join(","));
    let columns = names.len();
    record(names)?;
    let mut found = false;
    while let Some(row) = rows.next()? {
        found = true;
        let field = |column| Ok(plain(row.get_ref(column)?).map_or_else(String::new, csv_field));
        record((0..columns).map(field).collect::<rusqlite::Result<_>>()?)?;
    }
    Ok(found)
}

fn csv_field(text: String) -> String {
    let text = printable(&text);
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into_owned(),
    }
}

/// The names of the statement's columns.
fn names(rows: &Rows<'_>) -> Vec<String> {
    let statement = rows.as_ref();
    statement.map_or_else(Vec::new, |statement| {
        statement.column_names().map(str::to_owned).collect()
    })
}
