//! The JSON form: one object a line. The keys are `event`, the text form's name for it, and
//! the columns of the views (see docs/schema.md).

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Context, Event, Subject, event};
use crate::columns::{ColumnDef, DNS, EGRESS, Value};
use crate::model::Record;

/// Writes a record's line; some have none.
pub fn write(out: &mut dyn Write, record: &Record, context: &Context) -> io::Result<()> {
    let Some(Event { name, subject, .. }) = event(record) else {
        return Ok(());
    };
    let row = context.row();
    match subject {
        Subject::Connection(c) => line(out, name, EGRESS, |column| column.of_connection(c, &row)),
        Subject::Lookup(l) => line(out, name, DNS, |column| match (name, column.name) {
            // The answer is still to come.
            ("dns.query", "status") => Value::Null,
            _ => column.of_lookup(l, &row),
        }),
    }
}

fn line<'a>(
    out: &mut dyn Write,
    event: &str,
    columns: &[ColumnDef],
    value: impl Fn(&ColumnDef) -> Value<'a>,
) -> io::Result<()> {
    let object = JsonLine {
        event,
        columns,
        value,
    };
    serde_json::to_writer(&mut *out, &object)?;
    out.write_all(b"\n")
}

struct JsonLine<'a, F> {
    event: &'a str,
    columns: &'a [ColumnDef],
    value: F,
}

impl<'v, F: Fn(&ColumnDef) -> Value<'v>> Serialize for JsonLine<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event)?;
        for column in self.columns.iter().filter(|column| column.is_in_json()) {
            map.serialize_entry(column.name, &(self.value)(column))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders;
    use crate::print::tests::{context, full_connection, full_context};

    fn lines(context: &Context) -> String {
        let mut out = Vec::new();
        let (opened, closed) = (builders::connection("a\nb\u{1b}"), full_connection());
        let lookup = builders::lookup("x.example", "192.0.2.1");
        for record in [
            Record::Opened(opened),
            Record::Closed(closed),
            Record::Query(lookup.clone()),
            Record::Lookup(lookup),
        ] {
            write(&mut out, &record, context).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_keep_their_keys_order_and_formats() {
        insta::assert_snapshot!(lines(&full_context()));
    }

    #[test]
    fn each_line_is_one_json_object_with_the_views_columns() {
        let history = crate::store::tests::history::History::new();
        let view = history.0.prepare("SELECT * FROM egress").unwrap();
        let lines: Vec<serde_json::Value> = lines(&context())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["comm"], "a\nb\u{1b}");
        // The binary form of dst_ip and the key of ancestors are useful in SQL alone.
        let sql_only = ["dst_addr", "process_id"];
        for column in view.column_names() {
            if sql_only.contains(&column) {
                continue;
            }
            assert!(lines[0].get(column).is_some(), "{column}");
        }
        assert_eq!(lines[3]["answers"][0]["data"], "192.0.2.1");
    }
}
