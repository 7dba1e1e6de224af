//! JSON objects within objects, by the paths that the published schemas name their fields by.

use std::io::{self, Write};

use serde_json::{Map, Value as Json};

use crate::columns::{ColumnDef, EGRESS, RowContext, Value};
use crate::model::{Connection, Lookup, LookupStatus, Outcome, Process};

/// An event that is being put together. A field without a value is left out.
#[derive(Default)]
pub struct Fields(Map<String, Json>);

impl Fields {
    /// Sets the field at `path`, such as `process.parent.pid`.
    pub fn set(&mut self, path: &str, value: impl Into<Json>) {
        let value = value.into();
        if value.is_null() {
            return;
        }
        let (objects, name) = path.rsplit_once('.').unwrap_or(("", path));
        let mut map = &mut self.0;
        for object in objects.split('.').filter(|object| !object.is_empty()) {
            let inner = map.entry(object).or_insert_with(|| Map::new().into());
            map = match inner {
                Json::Object(inner) => inner,
                _ => return,
            };
        }
        map.insert(name.to_owned(), value);
    }

    /// Sets a list, without its empty items and repeated ones; none if nothing is left.
    pub fn set_list<T: Into<Json>>(&mut self, path: &str, items: impl IntoIterator<Item = T>) {
        let mut list: Vec<Json> = Vec::new();
        for item in items {
            let item = item.into();
            if !item.is_null() && !list.contains(&item) {
                list.push(item);
            }
        }
        if !list.is_empty() {
            self.set(path, list);
        }
    }

    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.0)?;
        out.write_all(b"\n")
    }
}

/// The columns of one record, by their names.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    connection: Option<&'a Connection>,
    pub process: &'a Process,
    context: &'a RowContext<'a>,
}

impl<'a> Row<'a> {
    pub fn of_connection(c: &'a Connection, context: &'a RowContext<'a>) -> Row<'a> {
        Row {
            connection: Some(c),
            process: &c.process,
            context,
        }
    }

    pub fn of_process(process: &'a Process, context: &'a RowContext<'a>) -> Row<'a> {
        Row {
            connection: None,
            process,
            context,
        }
    }

    pub fn named(&self, column: &str) -> Json {
        column_of(column).map_or(Json::Null, |column| self.get(column))
    }

    fn get(&self, column: &ColumnDef) -> Json {
        let value = match self.connection {
            Some(c) => column.of_connection(c, self.context),
            None => column.of_process(self.process, self.context),
        };
        match value {
            Value::Integer(n) => n.into(),
            Value::Unsigned(n) => n.into(),
            Value::Text(text) => text.into_owned().into(),
            Value::Null | Value::Records(_) => Json::Null,
        }
    }
}

/// A column of the view `egress`; the names here are all of one.
fn column_of(name: &str) -> Option<&'static ColumnDef> {
    let column = EGRESS.iter().find(|column| column.name == name);
    debug_assert!(column.is_some(), "no column {name}");
    column
}

/// Whether a schema wants a column as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Same,
    /// Numbers as text: identifiers, for these schemas.
    Text,
}

/// The fields of a schema that are a column each.
pub struct Mapping(Vec<(String, &'static ColumnDef, Form)>);

impl Mapping {
    /// The fields by their paths. `covered` are the columns that other fields tell; all that are
    /// left are in the object `rest`, by their names, so that no schema loses one.
    pub fn new(
        fields: &[(&str, &str, Form)],
        covered: &[&str],
        (rest, form): (&str, Form),
    ) -> Mapping {
        let known = fields.iter();
        let known = known
            .filter_map(|(path, name, form)| Some(((*path).to_owned(), column_of(name)?, *form)));
        let mut mapping = Vec::from_iter(known);
        let covered = covered.iter().filter_map(|name| column_of(name));
        let covered = Vec::from_iter(covered.map(|column| column.name));
        let is_left = |column: &&ColumnDef| {
            column.is_in_json()
                && !covered.contains(&column.name)
                && fields.iter().all(|(_, name, _)| *name != column.name)
        };
        for column in EGRESS.iter().filter(is_left) {
            mapping.push((format!("{rest}.{}", column.name), column, form));
        }
        Mapping(mapping)
    }

    pub fn fill(&self, fields: &mut Fields, row: &Row<'_>) {
        for (path, column, form) in &self.0 {
            let value = match (form, row.get(column)) {
                (Form::Text, Json::Number(n)) => n.to_string().into(),
                (_, value) => value,
            };
            fields.set(path, value);
        }
    }
}

/// Whether a connection did what its process wanted; None where it is not known.
pub fn is_success(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Connected | Outcome::Sent => Some(true),
        Outcome::InProgress => None,
        Outcome::Refused
        | Outcome::Timeout
        | Outcome::Unreachable
        | Outcome::Reset
        | Outcome::Denied
        | Outcome::Failed => Some(false),
    }
}

/// Likewise for a lookup, which has to give an answer without an error.
pub fn is_answered(l: &Lookup) -> Option<bool> {
    match (l.status, l.rcode.as_deref()) {
        (LookupStatus::Answered, rcode) => Some(rcode == Some("NOERROR")),
        (LookupStatus::Unsolicited, _) => None,
        _ => Some(false),
    }
}

#[cfg(test)]
pub mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::model::{Action, Progress, Record, Verdict, builders};
    use crate::print::tests::{full_connection, full_context};
    use crate::print::{SchemaFields, event};

    /// A record of each kind, as an object each.
    pub fn events(fields: SchemaFields) -> Vec<Json> {
        let context = full_context();
        let mut unnamed = builders::connection("a\nb\u{1b}\"");
        unnamed.inbound = true;
        let mut blocked = full_connection();
        blocked.verdict = Some(Verdict {
            action: Action::Block,
            rule: Rc::from("no \u{202e} exit"),
            policy: Rc::from("abc"),
            enforced: true,
            action_outcome: None,
        });
        let progress = Progress {
            connection: full_connection(),
            ts: 5,
            due: true,
        };
        let mut failed = builders::lookup("x.example", "2001:db8::1");
        failed.answers.clear();
        failed.rcode = Some("NXDOMAIN".into());
        let records = [
            Record::Opened(unnamed),
            Record::Outcome(full_connection()),
            Record::Decided(blocked),
            Record::Progress(progress),
            Record::Closed(full_connection()),
            Record::Query(failed.clone()),
            Record::Lookup(failed),
            Record::Lookup(builders::lookup("x.example", "192.0.2.1")),
        ];
        let events = records.iter().map(|record| {
            let mut line = Vec::new();
            let event = event(record).unwrap();
            fields(&event, "web1", &context).write(&mut line).unwrap();
            let text = String::from_utf8(line).unwrap();
            assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
            serde_json::from_str(&text).unwrap()
        });
        events.collect()
    }

    /// The published fields: path, type and what else is said of them.
    pub fn published(list: &str) -> Vec<Vec<&str>> {
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(' ').collect()).collect()
    }

    /// Values of an event with their paths; those of a list count as one field's.
    pub fn leaves<'a>(path: &str, value: &'a Json, found: &mut Vec<(String, &'a Json)>) {
        match value {
            Json::Object(map) => {
                for (name, value) in map {
                    let path = match path {
                        "" => name.clone(),
                        path => format!("{path}.{name}"),
                    };
                    leaves(&path, value, found);
                }
            }
            Json::Array(items) => {
                assert!(!items.is_empty(), "{path} is an empty list");
                for item in items {
                    leaves(path, item, found);
                }
            }
            value => found.push((path.to_owned(), value)),
        }
    }
}
