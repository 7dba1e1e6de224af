//! The JSON form: one object a line. The keys are `event`, the text form's name for it, and
//! the columns of the views (see docs/schema.md).

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Context, acted_event, decided_event};
use crate::columns::{ColumnDef, DNS, EGRESS, Value};
use crate::model::{Connection, Lookup, Record};

/// Writes a record's line; some have none.
pub fn write(out: &mut dyn Write, record: &Record, context: &Context) -> io::Result<()> {
    match record {
        Record::Query(l) => lookup(out, "dns.query", l, context),
        Record::Lookup(l) => lookup(out, "dns", l, context),
        Record::Opened(c) => connection(out, "connect", c, context),
        Record::Outcome(c) => connection(out, "outcome", c, context),
        Record::Named(c) | Record::NamedAfterEnd(c) => connection(out, "named", c, context),
        Record::Decided(c) => match decided_event(c) {
            Some(event) => connection(out, event, c, context),
            None => Ok(()),
        },
        Record::Acted(action) => connection(out, acted_event(action), &action.connection, context),
        Record::Closed(c) => connection(out, "close", c, context),
        Record::Progress(p) if p.due => connection(out, "progress", &p.connection, context),
        // progress that is not due, and what has no line in any form
        _ => Ok(()),
    }
}

fn connection(
    out: &mut dyn Write,
    event: &str,
    c: &Connection,
    context: &Context,
) -> io::Result<()> {
    let context = context.row();
    line(out, event, EGRESS, |column| {
        column.of_connection(c, &context)
    })
}

fn lookup(out: &mut dyn Write, event: &str, l: &Lookup, context: &Context) -> io::Result<()> {
    let context = context.row();
    line(out, event, DNS, |column| match (event, column.name) {
        // The answer is still to come.
        ("dns.query", "status") => Value::Null,
        _ => column.of_lookup(l, &context),
    })
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
    use std::rc::Rc;

    use super::*;
    use crate::model::{
        Container, ContainerDetails, ContainerUpdate, Endpoint, Name, Outcome, Source, builders,
    };
    use crate::print::tests::context;

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

    /// With a value in every column.
    fn full_connection() -> Connection {
        let container = |serial, outer| Container {
            uid: 0,
            serial,
            id: format!("id{serial}"),
            runtime: None,
            outer,
        };
        let mut c = builders::connection("curl");
        let process = Rc::get_mut(&mut c.process).unwrap();
        process.cmdline = Some("curl -v".into());
        process.unit = Some("x.service".into());
        process.cgroup = Some("/x".into());
        process.netns = Some(4_026_531_840);
        (process.login_uid, process.login_user) = (Some(1000), Some("alice".into()));
        let outer = Rc::new(container(1, None));
        process.container = Some(Rc::new(container(2, Some(outer))));
        c.src = Some(Endpoint {
            ip: [192, 0, 2, 9].into(),
            port: 5000,
        });
        c.name = Some(Name {
            host: "x.example".into(),
            source: Source::Container,
            age_ms: Some(12),
            lookup: Some(3),
            rivals: 1,
            rival_names: Vec::new(),
        });
        c.outcome = Outcome::Reset;
        c.errno = Some(libc::ECONNRESET);
        (c.latency_us, c.duration_us) = (Some(5), Some(6));
        (c.tx_bytes, c.rx_bytes) = (Some(7), Some(u64::MAX));
        (c.tx_packets, c.rx_packets) = (Some(8), Some(9));
        (c.already_open, c.raw, c.shared_pid) = (true, true, Some(10));
        c
    }

    fn full_context() -> Context {
        let mut context = context();
        let inner = full_connection().process.container.clone().unwrap();
        for container in [inner.outer.clone().unwrap(), inner] {
            let text = |what: &str| Some(format!("{what}{}", container.serial));
            let details = ContainerDetails {
                name: text("name"),
                image: text("image"),
                hostname: text("hostname"),
                ip: text("ip"),
                pod: text("pod"),
                pod_namespace: text("namespace"),
                runtime: Some("crio"),
            };
            context.containers.update(&ContainerUpdate {
                container,
                details: details.into(),
            });
        }
        context
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
