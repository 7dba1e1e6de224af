//! Aligned columns.

use std::io::Write;

use anyhow::Result;

use crate::text::{clip, width};

/// The widest cell, but for the last of a row.
const MAX: usize = 60;

/// Writes rows of cells; the columns in `right` are numbers.
pub fn write(
    head: &[&str],
    rows: &[Vec<String>],
    right: &[usize],
    out: &mut dyn Write,
) -> Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (cell, widest) in row.iter().zip(&mut widths) {
            *widest = (*widest).max(width(cell).min(MAX));
        }
    }
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (column, (cell, widest)) in row.iter().zip(&widths).enumerate() {
            if column + 1 == row.len() && !right.contains(&column) {
                line += cell;
                break;
            }
            let cell = clip(cell, MAX);
            let space = " ".repeat(widest.saturating_sub(width(&cell)));
            match right.contains(&column) {
                true => line += &format!("{space}{cell}  "),
                false => line += &format!("{cell}{space}  "),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
