//! The columns of the files: those of the views, with types of their own.

use crate::columns::{ColumnDef, Content, DNS, EGRESS};
use crate::query::View;

/// The columns of the view `lookups`: those of `dns` or `egress` by the same name.
const LOOKUPS: [&str; 28] = [
    "id",
    "time",
    "ts",
    "pid",
    "comm",
    "exe",
    "uid",
    "user",
    "server_ip",
    "server_port",
    "transport",
    "qname",
    "qtype",
    "rcode",
    "latency_us",
    "status",
    "times",
    "unit",
    "container_id",
    "container_name",
    "container_image",
    "process_id",
    "start",
    "start_ts",
    "pod",
    "pod_namespace",
    "euid",
    "euser",
];

/// Columns that hold addresses as text, and those that the files have besides, as 16 bytes.
const ADDRESSES: [(&str, &str); 2] = [("src_ip", "src_addr"), ("server_ip", "server_addr")];

/// The type of a column in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Boolean,
    Text,
    /// Of texts.
    List,
    /// 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`.
    Address,
    /// Microseconds since 1970, UTC.
    Time,
}

/// A column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// The column of the view that it is made of.
    pub source: &'static str,
}

/// The columns of a table's files, but for those that say whose they are.
pub fn fields(view: View) -> Vec<Field> {
    let columns = match view {
        View::Egress => Vec::from_iter(EGRESS.iter().filter(|column| column.is_in_view())),
        View::Dns => Vec::from_iter(DNS.iter().filter(|column| column.is_in_view())),
        View::Lookups => LOOKUPS.into_iter().filter_map(defined).collect(),
    };
    let has = |name: &str| columns.iter().any(|column| column.name == name);
    let addresses = ADDRESSES.into_iter().filter(|(text, _)| has(text));
    let addresses = addresses.map(|(text, name)| Field {
        name,
        kind: Kind::Address,
        source: text,
    });
    columns
        .iter()
        .map(|column| field(column))
        .chain(addresses)
        .collect()
}

fn defined(name: &str) -> Option<&'static ColumnDef> {
    DNS.iter().chain(EGRESS).find(|column| column.name == name)
}

fn field(column: &ColumnDef) -> Field {
    let (kind, source) = match (column.content, column.sql_type) {
        (Content::Boolean, _) => (Kind::Boolean, column.name),
        (Content::List, _) => (Kind::List, column.name),
        (Content::TimeOf(ts), _) => (Kind::Time, ts),
        (Content::Plain, "text") => (Kind::Text, column.name),
        (Content::Plain, "blob") => (Kind::Address, column.name),
        (Content::Plain, _) => (Kind::Integer, column.name),
    };
    Field {
        name: column.name,
        kind,
        source,
    }
}
