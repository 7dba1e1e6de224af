//! Reads an answer's rows into a table: a choice of the statement's columns, in units for
//! people.

use std::fmt::Display;

use chrono::{DateTime, TimeZone};
use rusqlite::Rows;

use super::clock::Clock;
use super::columns::{Column, MACHINE, Noun, Shape, shape, spare};
use super::table::Table;
use crate::human;
use crate::query::ast::Question;

/// Reads the rows into a table, with times in the zone of `now`, and a line that counts
/// them; none if there are no rows.
///
/// # Errors
///
/// SQLite's.
pub fn read_table<Tz: TimeZone>(
    question: &Question,
    rows: &mut Rows<'_>,
    now: &DateTime<Tz>,
) -> rusqlite::Result<Option<(Table, String)>>
where
    Tz::Offset: Display,
{
    let Shape {
        columns: mut shown,
        nouns,
    } = shape(question);
    let titled =
        |shown: &[Column], title: &str| shown.iter().position(|Column(of, _)| *of == title);
    let named = rows.as_ref().map(rusqlite::Statement::column_names);
    if named.is_some_and(|mut names| names.any(|name| name == "machine"))
        && titled(&shown, "MACHINE").is_none()
    {
        // behind the time
        shown.insert(1, MACHINE);
    }
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
    let at = |is: &dyn Fn(&Column) -> bool| (0..shown.len()).filter(|&at| is(&shown[at])).collect();
    table.set_times(at(&|Column(_, show)| show.is_time()), clock.zone());
    if let Some((host, destination)) = titled(&shown, "HOST").zip(titled(&shown, "DESTINATION")) {
        table.set_stand_in(host, destination);
    }
    let (minor, major) = spare(question);
    let of = |titles: Vec<&str>| {
        let columns = titles.into_iter();
        let columns =
            columns.flat_map(|spare| -> Vec<_> { at(&|Column(title, _)| *title == spare) });
        Vec::from_iter(columns)
    };
    let (minor, major) = (of(minor), of(major));
    let first = minor.len();
    table.set_spare([minor, major].concat(), first);
    let counts = counts
        .iter()
        .zip(&nouns)
        .map(|(n, Noun(one, many, _))| human::count(*n, one, many));
    Ok(Some((table, counts.collect::<Vec<_>>().join(", "))))
}
