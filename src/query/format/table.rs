//! Aligned columns for people.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::text::{clip, clip_start, printable, width};

/// Spaces between two columns.
const GAP: usize = 2;
/// Text is not cut to less than this,
const LEAST: usize = 8;
/// names not to less than this while other columns can go,
const LEGIBLE: usize = 16;
/// and neither to less than this while columns can go that say less.
const READABLE: usize = 24;

/// How a column is aligned, and whether its cells may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Left-aligned text that may be cut at its end.
    Left,
    /// The same, cut at its start: of a host's name or a path, the end says most, and the start
    /// may be another's name.
    Name,
    /// Right-aligned numbers, never cut.
    Right,
    /// Left-aligned and never cut: a part of it would mislead.
    Whole,
}

/// A table that is laid out once all rows are known.
#[derive(Debug)]
pub struct Table {
    aligns: Vec<Align>,
    /// The titles, then the rows.
    lines: Vec<Vec<String>>,
    /// The columns of times, and their zone, which the title of the first visible one names.
    times: (Vec<usize>, String),
    /// The columns to leave out if lines are too long, in this order.
    spare: Vec<usize>,
    /// How many of these go before other text becomes unreadable.
    minor: usize,
    /// A column whose empty cells show the other one's text where that is left out.
    stand_in: Option<(usize, usize)>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: impl IntoIterator<Item = (String, Align)>) -> Self {
        let (titles, aligns) = columns.into_iter().unzip();
        Table {
            aligns,
            lines: vec![titles],
            times: (Vec::new(), String::new()),
            spare: Vec::new(),
            minor: 0,
            stand_in: None,
        }
    }

    /// Sets the columns of times and their zone.
    pub fn set_times(&mut self, columns: Vec<usize>, zone: String) {
        self.times = (columns, zone);
    }

    /// Sets the columns that may be left out, in this order: the first `minor` of them before
    /// text is cut to what can't be read.
    pub fn set_spare(&mut self, columns: Vec<usize>, minor: usize) {
        self.spare = columns;
        self.minor = minor;
    }

    /// Where `other` is left out, it stands in the cells of `column` that are empty.
    pub fn set_stand_in(&mut self, column: usize, other: usize) {
        self.stand_in = Some((column, other));
    }

    /// Adds a row with one cell per column; `-` stands in for unknown values.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Option<String>>) {
        let shown = |cell: Option<String>| match cell {
            Some(text) if !text.is_empty() => printable(&text).into_owned(),
            _ => "-".to_owned(),
        };
        self.lines.push(cells.into_iter().map(shown).collect());
    }

    /// Writes the titles and the rows. If lines don't fit into `columns`, cuts text cells, then
    /// leaves out spare columns. Returns the titles of those. Without `columns`, nothing is cut.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, columns: Option<usize>, out: &mut dyn Write) -> io::Result<Vec<&str>> {
        self.write_styled(columns, false, out)
    }

    /// The same; with `color`, the titles are bold, and cells that tell of a failure red.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_styled(
        &self,
        columns: Option<usize>,
        color: bool,
        out: &mut dyn Write,
    ) -> io::Result<Vec<&str>> {
        let columns = columns.unwrap_or(usize::MAX);
        let mut left_out = 0;
        let (shown, widths) = loop {
            let gone = &self.spare[..left_out];
            let shown = (0..self.aligns.len()).filter(|column| !gone.contains(column));
            let shown = Vec::from_iter(shown);
            let least = match left_out {
                out if out < self.minor => [READABLE; 2],
                out if out < self.spare.len() => [LEAST, LEGIBLE],
                _ => [LEAST; 2],
            };
            let widths = self.widths(&shown, columns, least);
            let line = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            if line <= columns || left_out == self.spare.len() {
                break (shown, widths);
            }
            left_out += 1;
        };
        for number in 0..self.lines.len() {
            let mut line = String::new();
            for (&column, &columns) in shown.iter().zip(&widths) {
                let cell = self.cell(number, column, &shown);
                let cell = match self.aligns[column] {
                    Align::Name if number > 0 => clip_start(&cell, columns),
                    _ => clip(&cell, columns),
                };
                let pad = " ".repeat(columns - width(&cell));
                let cell = match color {
                    true => self.styled(number, column, cell),
                    false => cell,
                };
                match self.aligns[column] {
                    Align::Right => line.extend([&pad, &*cell]),
                    Align::Left | Align::Name | Align::Whole => line.extend([&*cell, &pad]),
                }
                line.extend([' '; GAP]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        let gone = self.spare[..left_out].iter();
        Ok(gone.map(|&column| self.lines[0][column].as_str()).collect())
    }

    /// A cell in its colour. Cells are printable, so they contain no other escapes.
    fn styled<'a>(&self, line: usize, column: usize, cell: Cow<'a, str>) -> Cow<'a, str> {
        let title = self.lines[0][column].as_str();
        // by the whole text, of which the cell may show a part
        let text = self.lines[line][column].as_str();
        let failed = match title {
            "OUTCOME" => !matches!(text, "connected" | "sent" | "in_progress" | "-"),
            "RESULT" => !matches!(text, "NOERROR" | "-"),
            "FAILED" => !matches!(text, "0" | "-"),
            _ => false,
        };
        match (line, failed) {
            (0, _) => format!("\x1b[1m{cell}\x1b[0m").into(),
            (_, true) => format!("\x1b[31m{cell}\x1b[0m").into(),
            _ => cell,
        }
    }

    /// The text of a cell in a table with these visible columns.
    fn cell(&self, line: usize, column: usize, shown: &[usize]) -> Cow<'_, str> {
        let mut cell = &self.lines[line][column];
        if let Some((of, other)) = self.stand_in
            && of == column
            && cell == "-"
            && !shown.contains(&other)
        {
            cell = &self.lines[line][other];
        }
        let (times, zone) = &self.times;
        match times.iter().find(|time| shown.contains(time)) {
            Some(&first) if line == 0 && first == column => format!("{cell} ({zone})").into(),
            _ => cell.into(),
        }
    }

    /// The width of each visible column: its widest cell, and for text less if lines would
    /// otherwise be too long, but not less than `least`, of text and of names. The widest columns
    /// give way first.
    fn widths(&self, shown: &[usize], columns: usize, least: [usize; 2]) -> Vec<usize> {
        let [text, name] = least;
        let needs = |&column: &usize| {
            let cells = (0..self.lines.len()).map(|line| width(&self.cell(line, column, shown)));
            cells.max().unwrap_or(0)
        };
        let mut widths = shown.iter().map(needs).collect::<Vec<_>>();
        let gaps = GAP * widths.len().saturating_sub(1);
        let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns);
        for _ in 0..excess {
            let widest = widths
                .iter_mut()
                .zip(shown)
                .filter(|(width, column)| match self.aligns[**column] {
                    Align::Left => **width > text,
                    Align::Name => **width > name,
                    Align::Right | Align::Whole => false,
                })
                .map(|(width, _)| width)
                .max_by_key(|width| **width);
            match widest {
                Some(width) => *width -= 1,
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
    fn cells_are_aligned_and_escaped_and_unknown_ones_are_dashes() {
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
    fn only_text_is_cut_and_the_widest_column_first() {
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
    fn colours_change_no_width() {
        let mut table = Table::new([
            ("OUTCOME".to_owned(), Align::Left),
            ("N".to_owned(), Align::Right),
        ]);
        for outcome in ["refused", "connected"] {
            table.push([Some(outcome.to_owned()), Some("7".to_owned())]);
        }
        let mut out = Vec::new();
        table.write_styled(None, true, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\x1b[31mrefused\x1b[0m    7\n"), "{out:?}");
        let mut narrow = Vec::new();
        table.write_styled(Some(10), true, &mut narrow).unwrap();
        let narrow = String::from_utf8(narrow).unwrap();
        let connected = narrow.lines().last().unwrap();
        assert!(connected.starts_with("connec"), "{narrow:?}");
        let plain = ["\x1b[0m", "\x1b[1m", "\x1b[31m"];
        let plain = plain
            .iter()
            .fold(out, |out, escape| out.replace(escape, ""));
        assert_eq!(plain, written(&table, None));
    }

    #[test]
    fn too_narrow_a_table_keeps_its_numbers() {
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
    fn first_visible_time_column_names_the_zone() {
        let mut table = table();
        table.set_times(vec![1, 2], "UTC".to_owned());
        assert!(written(&table, None).starts_with("NAME               N (UTC)  HOST\n"));
        table.set_spare(vec![1], 0);
        let narrow = written(&table, Some(26));
        assert!(
            narrow.lines().next().unwrap().ends_with("  HOST (UTC)"),
            "{narrow}"
        );
    }

    #[test]
    fn spare_columns_are_left_out_one_by_one() {
        let mut table = table();
        table.set_spare(vec![1, 0], 0);
        let gone = |columns| table.write(Some(columns), &mut Vec::new()).unwrap();
        assert_eq!(gone(24), [""; 0]);
        assert_eq!(gone(23), ["N"]);
        assert_eq!(gone(18), ["N"]);
        assert_eq!(gone(17), ["N", "NAME"]);
        assert_eq!(gone(1), ["N", "NAME"]);
    }

    #[test]
    fn names_are_cut_at_their_start_and_a_column_that_is_left_out_stands_in() {
        let mut table = Table::new([
            ("HOST".to_owned(), Align::Name),
            ("DESTINATION".to_owned(), Align::Whole),
        ]);
        let cells = |cells: [&str; 2]| cells.map(|cell| Some(cell.to_owned()));
        table.push(cells(["github.com.evil.example.org", "192.0.2.1:443"]));
        table.push(cells(["", "192.0.2.2:80"]));
        table.set_spare(vec![1], 1);
        table.set_stand_in(0, 1);
        let wide = written(&table, None);
        assert!(
            wide.ends_with("\n-                            192.0.2.2:80\n"),
            "{wide}"
        );
        assert_eq!(
            written(&table, Some(17)),
            "HOST\n…evil.example.org\n192.0.2.2:80\n"
        );
    }

    #[test]
    fn minor_columns_go_before_names_become_unreadable() {
        let mut table = table();
        table.push(["x", "1", "db-primary.eu-west-1.internal"].map(|cell| Some(cell.to_owned())));
        table.set_spare(vec![1], 1);
        let gone = |columns| table.write(Some(columns), &mut Vec::new()).unwrap();
        assert_eq!(gone(49), [""; 0]);
        assert_eq!(gone(48), ["N"]);
        assert_eq!(written(&table, Some(48)).matches('…').count(), 0);
    }

    #[test]
    fn wide_and_combining_characters_keep_columns_aligned() {
        let mut table = Table::new([
            ("NAME".to_owned(), Align::Left),
            ("N".to_owned(), Align::Right),
        ]);
        // wide, decomposed, emoji, emoji presentation selected by U+FE0F
        for name in ["世界浏览器", "cafe\u{301}", "🦩 bird", "❤\u{fe0f}", "plain"] {
            table.push([Some(name.to_owned()), Some("7".to_owned())]);
        }
        assert_eq!(
            written(&table, None),
            "\
NAME        N
世界浏览器  7
cafe\u{301}        7
🦩 bird     7
❤\u{fe0f}          7
plain       7
"
        );
        let narrow = written(&table, Some(12));
        assert!(narrow.contains("\n世界浏览…  7\n"), "{narrow}");
        assert!(narrow.lines().all(|line| width(line) <= 12), "{narrow}");
    }
}
