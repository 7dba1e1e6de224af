//! Keeps a dataset up to date with a history, as a recorder writes that.
//!
//! A file is written again when rows were added to its hour, or when connections in it have ended.
//! It is replaced at once, under a name that follows from the history, the table and the hour, so
//! each row is there once, whenever a process is killed. What was written last is read from the
//! files themselves: there is no other state, which could contradict them.
//!
//! Once a day is over, one file takes the place of its hours. Between the moment at which it has its
//! name and that at which they are removed, its rows are there twice; the views leave out files of
//! hours whose day has a file.

mod files;

use std::collections::HashMap;

use anyhow::{Error, Result};
use rusqlite::{Connection, params};

use super::TABLES;
use super::identity::{Label, Machine};
use super::part::{Known, Outcome, Part, Replace, Split, Tally};
use super::place::Place;
use super::writer::Written;
use crate::query::{Export, View};
use files::{Files, Layout, State};

/// How long rows of an hour may come, or change, after its end: lookups wait for an answer,
/// executables are hashed, runtimes describe their containers.
const SETTLING: i64 = 120_000_000_000;

/// What to ship, and as whose.
pub struct Options {
    pub split: Split,
    /// Whether the files of a day's hours become one, once it is over.
    pub merge: bool,
    /// Rows before the day or hour of this time are not shipped.
    pub since: Option<i64>,
    /// How long a file that is still growing stays as it is, in nanoseconds; 0: each round compares
    /// all files whose rows may have changed.
    pub every: i64,
    pub machine: Option<String>,
    pub labels: Vec<Label>,
}

pub struct Shipper {
    place: Place,
    options: Options,
    files: Files,
    /// By history and table: all rows with ids up to this one are in the dataset.
    complete: HashMap<(String, &'static str), i64>,
}

impl Shipper {
    pub fn new(place: Place, options: Options) -> Shipper {
        Shipper {
            place,
            options,
            files: Files::default(),
            complete: HashMap::new(),
        }
    }

    /// Writes the files that lack rows of the history, which has all until `complete_until`
    /// (nanoseconds since 1970, as `now`).
    ///
    /// # Errors
    ///
    /// SQLite's and those of the place. What was written before stays, and the next round goes on.
    pub fn round(&mut self, db: &Connection, now: i64, complete_until: i64) -> Result<Tally> {
        let machine = Machine::read(db, self.options.machine.as_deref(), &self.options.labels)?;
        let mut tally = Tally::default();
        for view in TABLES {
            self.table(db, view, &machine, (now, complete_until), &mut tally)?;
        }
        Ok(tally)
    }

    fn table(
        &mut self,
        db: &Connection,
        view: View,
        machine: &Machine,
        (now, complete_until): (i64, i64),
        tally: &mut Tally,
    ) -> Result<()> {
        let table = view.name();
        let split = self.options.split;
        let length = split.period();
        let start = |ts: i64| ts.div_euclid(length).saturating_mul(length);
        let since = self.options.since.map(start);
        let export = Export::new(Some(view), None, (since, None))?;
        let parts = Part::all(db, &export, split, machine)?;
        let layout = Layout {
            split,
            merge: self.options.merge,
            complete_until,
        };
        let parts = self.files.find(&self.place, parts, &layout)?;
        let newest = export.newest(db)?;
        let of_history = (machine.first().history, table);
        let of_files = || self.files.complete_id(&parts);
        let complete_id = self.complete.get(&of_history).copied().or_else(of_files);
        let grown = match complete_id {
            Some(id) => Some(export.periods_after(db, id, length)?),
            None => None,
        };
        let has_grown = |part: &Part<'_>, written: &Written| {
            let (start, end) = part.span();
            Ok::<_, Error>(match &grown {
                Some(grown) => {
                    let periods = start.div_euclid(length)..end.div_euclid(length);
                    grown.range(periods).next().is_some()
                }
                None => export.within(start, end).count(db)? > written.rows,
            })
        };
        let known = Known {
            until: complete_until,
            complete_id,
        };
        for part in &parts {
            let (replace, hours) = match self.files.get(part).cloned() {
                Some(State::Final) => continue,
                Some(State::Written(written, checked)) => {
                    let grown = has_grown(part, &written)?;
                    match self.due(db, part, &written, (checked, grown), (now, complete_until))? {
                        Due::No => continue,
                        Due::Compared => {
                            self.files.set(part, State::Written(written, now));
                            continue;
                        }
                        Due::Yes => (Replace::UnlessFewer(written.rows), Vec::new()),
                    }
                }
                Some(State::Hours(hours, rows)) => (Replace::UnlessFewer(rows), hours),
                None => (Replace::Always, Vec::new()),
            };
            let state = match part.write(db, &self.place, known, replace)? {
                // More may come into an hour that lasts.
                Outcome::Kept if part.span().1 < complete_until => State::Final,
                Outcome::Empty | Outcome::Kept => continue,
                Outcome::Written(written, bytes) => {
                    tally.add(written.rows, bytes);
                    State::Written(written, now)
                }
            };
            if matches!(state, State::Written(..)) {
                self.place.remove(&part.directory(), &hours)?;
            }
            self.files.set(part, state);
        }
        self.files.retain(view, &parts);
        self.complete.insert(of_history, newest);
        if parts.is_empty() {
            let newest = Part::at(&export, split, machine, now);
            if let Some(bytes) = newest.write_first(db, &self.place)? {
                tally.add(0, bytes);
            }
        }
        Ok(())
    }

    /// Whether a file that has been written lacks something by now. `grown`: its period has rows
    /// that are not in the dataset.
    fn due(
        &self,
        db: &Connection,
        part: &Part<'_>,
        written: &Written,
        (checked, grown): (i64, bool),
        (now, complete_until): (i64, i64),
    ) -> Result<Due> {
        let settled = part.span().1.saturating_add(SETTLING);
        let Some(read_ts) = written.read_ts else {
            return Ok(Due::Yes);
        };
        if read_ts < settled {
            // It is still growing. Once it has stopped, it is written a last time.
            let waited = now.saturating_sub(read_ts) >= self.options.every;
            let changes = grown || written.unfinished > 0;
            return Ok(match (waited && changes) || complete_until >= settled {
                true => Due::Yes,
                false => Due::No,
            });
        }
        if grown {
            return Ok(Due::Yes);
        }
        // The older a file is, the less often its open connections are looked at again, so that it
        // is written a few times more at most.
        let age = checked.saturating_sub(part.span().1);
        let wait = match self.options.every {
            0 => 0,
            every => every.max(age / 2),
        };
        let next_check = checked.saturating_add(wait);
        if written.unfinished == 0 || now < next_check {
            return Ok(Due::No);
        }
        let (rows, unfinished) = connections(db, part)?;
        // Fewer rows: retention has removed some, and the file keeps them.
        let changed =
            rows >= written.rows && (rows, unfinished) != (written.rows, written.unfinished);
        Ok(if changed { Due::Yes } else { Due::Compared })
    }
}

/// Whether a file is written again.
enum Due {
    No,
    /// Not now: it has just been compared with the history.
    Compared,
    Yes,
}

/// How many connections of a period the history has, and how many of them are open.
fn connections(db: &Connection, part: &Part<'_>) -> Result<(u64, u64)> {
    let (start, end) = part.span();
    let sql =
        "SELECT count(*), count(*) - count(duration_us) FROM connection WHERE ts >= ?1 AND ts < ?2";
    let (rows, open) = db.query_row(sql, params![start, end], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    Ok((
        u64::try_from(rows).unwrap_or(0),
        u64::try_from(open).unwrap_or(0),
    ))
}
