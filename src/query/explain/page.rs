//! The layout of an explanation: keys on the left, their text beside them.

use std::io::Write;

use anyhow::Result;

use crate::query::format::{Align, Table};
use crate::text::printable;

/// Columns for the key.
const KEY: usize = 12;

pub struct Page<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Page<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Page { out }
    }

    /// Writes a line with a key.
    pub fn item(&mut self, key: &str, text: &str) -> Result<()> {
        writeln!(self.out, "{key:KEY$} {}", printable(text))?;
        Ok(())
    }

    /// Writes another line of the last item.
    pub fn more(&mut self, text: &str) -> Result<()> {
        self.item("", text)
    }

    /// Writes a table beside a key.
    pub fn table<const N: usize>(
        &mut self,
        key: &str,
        titles: [&str; N],
        rows: impl Iterator<Item = [Option<String>; N]>,
    ) -> Result<()> {
        let mut table = Table::new(titles.map(|title| (title.to_owned(), Align::Whole)));
        rows.for_each(|row| table.push(row));
        let mut lines = Vec::new();
        table.write(None, &mut lines)?;
        let mut key = key;
        for line in String::from_utf8_lossy(&lines).lines() {
            // The table has escaped its cells already.
            writeln!(self.out, "{key:KEY$} {line}")?;
            key = "";
        }
        Ok(())
    }
}
