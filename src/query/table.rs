//! Aligned columns for people.

use std::io::{self, Write};

use crate::text::{clip, printable, width};

/// Blank columns between two cells.
const GAP: usize = 2;
/// Text is not cut below this.
const LEAST: usize = 8;

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text: starts at the left, may be cut.
    Left,
    /// Numbers: end at the right, never cut.
    Right,
    /// Starts at the left, never cut: a part of it would mislead.
    Whole,
}

/// A table that is laid out once all its rows are known.
#[derive(Debug)]
pub struct Table {
    aligns: Vec<Align>,
    /// The titles, then the rows.
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns, without rows.
    pub fn new(columns: impl IntoIterator<Item = (String, Align)>) -> Self {
        let (titles, aligns) = columns.into_iter().unzip();
        Table {
            aligns,
            lines: vec![titles],
        }
    }

    /// Adds a row: a cell for each column. `-` is shown for what is not known.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Option<String>>) {
        let shown = |cell: Option<String>| match cell {
            Some(text) if !text.is_empty() => printable(&text).into_owned(),
            _ => "-".to_owned(),
        };
        self.lines.push(cells.into_iter().map(shown).collect());
    }

    /// Adds to the title of a column.
    pub fn extend_title(&mut self, column: usize, more: &str) {
        if let Some(title) = self
            .lines
            .first_mut()
            .and_then(|titles| titles.get_mut(column))
        {
            title.push_str(more);
        }
    }

    /// Writes the titles and the rows, text cells cut to make lines fit into
    /// `columns` where that is possible; whole where `columns` is none.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, columns: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths(columns.unwrap_or(usize::MAX));
        for cells in &self.lines {
            let mut line = String::new();
            for ((cell, align), &columns) in cells.iter().zip(&self.aligns).zip(&widths) {
                let cell = clip(cell, columns);
                let pad = " ".repeat(columns - width(&cell));
                match align {
                    Align::Right => line.extend([&pad, &*cell]),
                    Align::Left | Align::Whole => line.extend([&*cell, &pad]),
                }
                line.extend([' '; GAP]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The width of each column: what its widest cell needs, less what the
    /// widest text columns must give up for a line to fit.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let needs = |column: usize| self.lines.iter().map(move |line| width(&line[column]));
        let mut widths = (0..self.aligns.len())
            .map(|column| needs(column).max().unwrap_or(0))
            .collect::<Vec<_>>();
        let gaps = GAP * widths.len().saturating_sub(1);
        let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
        for _ in 0..excess {
            let widest = widths
                .iter_mut()
                .zip(&self.aligns)
                .filter(|(width, align)| **align == Align::Left && **width > LEAST)
                .max_by_key(|(width, _)| **width);
            match widest {
                Some((width, _)) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            ("NAME".to_owned(), Align::Left),
            ("N".to_owned(), Align::Right),
            ("HOST".to_owned(), Align::Left),
        ]);
        let cells = |cells: [&str; 3]| cells.map(|cell| Some(cell.to_owned()));
        table.push(cells(["curl", "7", "a-long-name.example.com"]));
        table.push(cells(["evil\x1b[2J\nname", "1234", ""]));
        table.push([None, None, None]);
        table
    }

    fn written(table: &Table, columns: Option<usize>) -> String {
        let mut out = Vec::new();
        table.write(columns, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_aligned_escaped_and_dashed() {
        assert_eq!(
            written(&table(), None),
            "\
NAME                  N  HOST
curl                  7  a-long-name.example.com
evil\\x1b[2J\\nname  1234  -
-                     -  -
"
        );
    }

    #[test]
    fn only_text_is_cut_and_the_widest_first() {
        assert_eq!(
            written(&table(), Some(30)),
            "\
NAME            N  HOST
curl            7  a-long-nam…
evil\\x1b[2…  1234  -
-               -  -
"
        );
    }

    #[test]
    fn a_table_that_cannot_fit_keeps_its_numbers() {
        assert_eq!(
            written(&table(), Some(1)),
            "\
NAME         N  HOST
curl         7  a-long-…
evil\\x1…  1234  -
-            -  -
"
        );
    }

    #[test]
    fn a_title_can_be_extended() {
        let mut table = table();
        table.extend_title(1, " (UTC)");
        assert!(written(&table, None).starts_with("NAME               N (UTC)  HOST\n"));
    }
}
