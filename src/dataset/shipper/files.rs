//! What a dataset has of a history's rows, file by file.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::super::part::{Part, Split, table};
use super::super::place::Place;
use super::super::writer::Written;
use crate::query::View;

/// How long after its end a day's files of hours become one, at least: they change no more, except
/// for those whose connections are open.
const MERGED_AFTER: i64 = 2 * 3_600_000_000_000;
/// Each history adds a part of this to it: ten thousand machines don't all write at once.
const SPREAD: u64 = 4 * 3_600_000_000_000;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It won't be written again.
    Final,
    /// As it was written last, and when it was last compared with the history.
    Written(Written, i64),
    /// It is not there, or has only a part of its rows. So many are in these files of hours.
    Hours(Vec<String>, u64),
}

/// How the rows of a table are split into files.
pub struct Layout {
    pub split: Split,
    /// Whether the files of a day's hours become one, once it is over.
    pub merge: bool,
    /// Until when the history has all rows, nanoseconds since 1970.
    pub complete_until: i64,
}

/// Files of a dataset, by their paths.
#[derive(Default)]
pub struct Files {
    states: HashMap<String, State>,
}

impl Files {
    pub fn get(&self, part: &Part<'_>) -> Option<&State> {
        self.states.get(&part.path())
    }

    pub fn set(&mut self, part: &Part<'_>, state: State) {
        self.states.insert(part.path(), state);
    }

    /// The files that have, or are to have, the rows of these: the parts of a table as they are
    /// split at first, in the order of time. What is not known of them is looked up.
    ///
    /// # Errors
    ///
    /// Rows that are there otherwise split; those of the place.
    pub fn find<'a>(
        &mut self,
        place: &Place,
        parts: Vec<Part<'a>>,
        layout: &Layout,
    ) -> Result<Vec<Part<'a>>> {
        let mut found = Vec::new();
        let mut parts = parts.into_iter().peekable();
        while let Some(first) = parts.next() {
            let directory = first.directory();
            let mut of_day = vec![first];
            while let Some(part) = parts.next_if(|part| part.directory() == directory) {
                of_day.push(part);
            }
            found.append(&mut self.find_day(place, of_day, layout)?);
        }
        Ok(found)
    }

    /// Those of one directory.
    fn find_day<'a>(
        &mut self,
        place: &Place,
        parts: Vec<Part<'a>>,
        layout: &Layout,
    ) -> Result<Vec<Part<'a>>> {
        let day = parts[0].of_day();
        if self.get(&day).is_some() {
            return Ok(vec![day]);
        }
        let merge = layout.merge && day.is_all() && layout.complete_until >= merge_ts(&day);
        if !merge && parts.iter().all(|part| self.get(part).is_some()) {
            return Ok(parts);
        }
        let names = place.names(&day.directory())?;
        let hours = day.hours(&names);
        if layout.split == Split::Hour && (merge || names.contains(&day.name())) {
            let written = read(place, &day, &day.name())?;
            let has_all = |written: &Written| written.read_ts.is_some_and(|ts| ts >= day.span().1);
            let state = match written.filter(has_all) {
                Some(written) => {
                    // A process was killed before it had removed these.
                    if layout.merge {
                        place.remove(&day.directory(), &hours)?;
                    }
                    Some(State::Written(written, compared_ts(&written)))
                }
                None if merge => Some(self.unmerged(place, &day, written, hours)?),
                None => None,
            };
            if let Some(state) = state {
                self.set(&day, state);
                for part in &parts {
                    self.states.remove(&part.path());
                }
                return Ok(vec![day]);
            }
        }
        for part in &parts {
            if self.get(part).is_some() {
                continue;
            }
            part.check_split(place, &names)?;
            if !names.contains(&part.name()) {
                continue;
            }
            if let Some(written) = read(place, part, &part.name())? {
                self.set(part, State::Written(written, compared_ts(&written)));
            }
        }
        Ok(parts)
    }

    /// What there is of a day that is to be one file.
    fn unmerged(
        &self,
        place: &Place,
        day: &Part<'_>,
        written: Option<Written>,
        hours: Vec<String>,
    ) -> Result<State> {
        let mut rows = 0;
        for name in &hours {
            let path = format!("{}/{name}", day.directory());
            rows += match self.states.get(&path) {
                Some(State::Written(written, _)) => written.rows,
                _ => read(place, day, name)?.map_or(0, |written| written.rows),
            };
        }
        let rows = rows.max(written.map_or(0, |written| written.rows));
        Ok(State::Hours(hours, rows))
    }

    /// Forgets the files of a table whose rows the history no longer has.
    pub fn retain(&mut self, view: View, parts: &[Part<'_>]) {
        let table = format!("{}/", table(view));
        let paths = HashSet::<String>::from_iter(parts.iter().map(Part::path));
        let is_current = |path: &String| !path.starts_with(&table) || paths.contains(path);
        self.states.retain(|path, _| is_current(path));
    }

    /// Up to which id the dataset has all rows of a table, as far as these files say.
    pub fn complete_id(&self, parts: &[Part<'_>]) -> Option<i64> {
        let states = parts.iter().filter_map(|part| self.get(part));
        let ids = states.filter_map(|state| match state {
            State::Written(written, _) => written.complete_id,
            State::Final | State::Hours(..) => None,
        });
        ids.max()
    }
}

/// When a day becomes one file, nanoseconds since 1970.
fn merge_ts(day: &Part<'_>) -> i64 {
    let history = u64::from_str_radix(&day.identity.history, 16).unwrap_or(0);
    let spread = i64::try_from(history % SPREAD).unwrap_or(0);
    day.span().1.saturating_add(MERGED_AFTER + spread)
}

fn read(place: &Place, part: &Part<'_>, name: &str) -> Result<Option<Written>> {
    let path = format!("{}/{name}", part.directory());
    Ok(place.metadata(&path)?.as_ref().map(Written::read))
}

/// When a file that was written by another process was last compared with the history.
fn compared_ts(written: &Written) -> i64 {
    written.read_ts.unwrap_or(i64::MIN)
}
