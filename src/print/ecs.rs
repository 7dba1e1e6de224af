//! Events in the Elastic Common Schema, one JSON object a line: the fields of version 9.4, and
//! what it has no field for in `labels`, by the column's name.

use std::sync::LazyLock;

use serde_json::json;

use super::fields::Form::{Same, Text};
use super::fields::{Fields, Mapping, Row, is_answered, is_success};
use super::{Context, Event, Subject, after};
use crate::model::{Connection, Lookup, Protocol};
use crate::when::iso;

const VERSION: &str = "9.4.0";

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let fields = [
        ("process.pid", "pid", Same),
        ("process.thread.id", "tid", Same),
        ("process.name", "comm", Same),
        ("process.executable", "exe", Same),
        ("process.command_line", "cmdline", Same),
        ("process.start", "start", Same),
        ("process.hash.sha256", "exe_sha256", Same),
        ("process.parent.pid", "ppid", Same),
        ("process.parent.name", "parent_comm", Same),
        ("process.real_user.id", "uid", Text),
        ("process.real_user.name", "user", Same),
        ("process.user.id", "euid", Text),
        ("process.user.name", "euser", Same),
        ("user.id", "uid", Text),
        ("user.name", "user", Same),
        ("user.effective.id", "euid", Text),
        ("user.effective.name", "euser", Same),
        ("package.name", "package", Same),
        ("package.version", "package_version", Same),
        ("container.id", "container_id", Same),
        ("container.name", "container_name", Same),
        ("container.image.name", "container_image", Same),
        ("container.runtime", "container_runtime", Same),
        ("orchestrator.namespace", "pod_namespace", Same),
        ("orchestrator.resource.name", "pod", Same),
        ("event.reason", "errno", Same),
        ("tls.client.server_name", "sni", Same),
        ("url.domain", "http_host", Same),
        ("rule.name", "rule", Same),
        ("rule.ruleset", "policy", Same),
        ("labels.connection_id", "id", Text),
    ];
    Mapping::new(&fields, COVERED, ("labels", Text))
});

/// What `connection` below has fields for.
const COVERED: &[&str] = &[
    "time",
    "ts",
    "start_ts",
    "protocol",
    "family",
    "direction",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "host",
    "tx_bytes",
    "rx_bytes",
    "tx_packets",
    "rx_packets",
    "duration_us",
    "dst_country",
    "dst_asn",
    "dst_as_org",
];

/// The host's side of a connection, and the other one's. A server's answers have the peer as
/// their source, which began.
const LOCAL: &[(&str, &str)] = &[
    ("ip", "src_ip"),
    ("port", "src_port"),
    ("bytes", "tx_bytes"),
    ("packets", "tx_packets"),
];
const PEER: &[(&str, &str)] = &[
    ("ip", "dst_ip"),
    ("port", "dst_port"),
    ("domain", "host"),
    ("geo.country_iso_code", "dst_country"),
    ("as.number", "dst_asn"),
    ("as.organization.name", "dst_as_org"),
    ("bytes", "rx_bytes"),
    ("packets", "rx_packets"),
];

/// An event of this host.
pub fn fields(event: &Event<'_>, host: &str, context: &Context) -> Fields {
    let mut fields = Fields::default();
    fields.set("@timestamp", iso(event.ts));
    fields.set("ecs.version", VERSION);
    fields.set("host.hostname", host);
    fields.set("event.module", "egrets");
    fields.set("event.action", event.name);
    fields.set("event.category", json!(["network"]));
    match event.subject {
        Subject::Connection(c) => connection(&mut fields, event.name, c, context),
        Subject::Lookup(l) => lookup(&mut fields, event.name, l, context),
    }
    fields
}

fn connection(fields: &mut Fields, name: &str, c: &Connection, context: &Context) {
    let context = context.row();
    let row = Row::of_connection(c, &context);
    MAPPING.fill(fields, &row);
    let (source, destination) = match c.inbound {
        false => (LOCAL, PEER),
        true => (PEER, LOCAL),
    };
    for (side, columns) in [("source", source), ("destination", destination)] {
        for (field, column) in columns {
            fields.set(&format!("{side}.{field}"), row.named(column));
        }
    }
    fields.set("event.dataset", "egrets.egress");
    fields.set("event.kind", kind(name));
    fields.set("event.type", json!(["connection", stage(name)]));
    fields.set("event.outcome", outcome(is_success(c.outcome)));
    fields.set("event.start", iso(c.ts));
    if let Some(us) = c.duration_us {
        fields.set("event.duration", us.saturating_mul(1000));
        fields.set("event.end", iso(after(c.ts, Some(us))));
    }
    let direction = match c.inbound {
        true => "ingress",
        false => "egress",
    };
    fields.set("network.direction", direction);
    fields.set("network.type", ip_version(c));
    fields.set("network.transport", transport(c.protocol));
    fields.set("network.protocol", application(c));
    fields.set("network.bytes", sum(c.tx_bytes, c.rx_bytes));
    fields.set("network.packets", sum(c.tx_packets, c.rx_packets));
    let proxied = c.proxied().map(|(host, _)| &*host.text);
    let named = c.name.as_ref().map(|name| &*name.host);
    fields.set_list("related.hosts", [named, c.sni(), c.http_host(), proxied]);
    let addresses = [c.src.map(|src| src.ip), c.dst_ip()];
    fields.set_list(
        "related.ip",
        addresses.map(|ip| ip.map(|ip| ip.to_string())),
    );
    fields.set_list("related.user", [row.named("user"), row.named("euser")]);
    fields.set_list("related.hash", [row.named("exe_sha256")]);
}

fn lookup(fields: &mut Fields, name: &str, l: &Lookup, context: &Context) {
    let context = context.row();
    let row = Row::of_process(&l.process, &context);
    MAPPING.fill(fields, &row);
    let is_query = name == "dns.query";
    fields.set("event.dataset", "egrets.dns");
    fields.set("event.kind", "event");
    fields.set("event.type", json!(["protocol", "info"]));
    fields.set("event.start", iso(l.ts));
    fields.set("dns.type", if is_query { "query" } else { "answer" });
    fields.set("dns.question.name", l.qname.as_deref());
    fields.set("dns.question.type", l.qtype.as_deref());
    fields.set("destination.ip", l.server.ip.to_string());
    fields.set("destination.port", l.server.port);
    fields.set("network.transport", l.transport.as_str());
    fields.set("network.protocol", "dns");
    fields.set("network.direction", "egress");
    fields.set(
        "labels.lookup_id",
        context.run.lookup_id(l.number).to_string(),
    );
    fields.set_list("related.hosts", [l.qname.as_deref()]);
    fields.set_list("related.user", [l.process.user.as_deref()]);
    if is_query {
        return;
    }
    fields.set("event.outcome", outcome(is_answered(l)));
    fields.set(
        "event.duration",
        l.latency_us.map(|us| us.saturating_mul(1000)),
    );
    fields.set("dns.response_code", l.rcode.as_deref());
    fields.set("labels.status", l.status.as_str());
    fields.set("labels.times", l.times.to_string());
    let answers = l.answers.iter().map(|record| {
        json!({ "name": &*record.name, "type": record.rtype, "data": record.data, "ttl": record.ttl })
    });
    fields.set_list("dns.answers", answers);
    let addresses = l
        .answers
        .iter()
        .filter(|r| matches!(&*r.rtype, "A" | "AAAA"));
    let addresses = Vec::from_iter(addresses.map(|record| record.data.as_str()));
    fields.set_list("related.ip", addresses.clone());
    fields.set_list("dns.resolved_ip", addresses);
}

fn kind(event: &str) -> &'static str {
    match event {
        "blocked" | "alert" | "suspended" | "killed" | "dumped" | "spared" => "alert",
        _ => "event",
    }
}

/// Of `event.type`'s values, beside `connection`.
fn stage(event: &str) -> &'static str {
    match event {
        "connect" => "start",
        "close" => "end",
        "blocked" | "suspended" | "killed" | "dumped" | "spared" => "denied",
        _ => "info",
    }
}

fn outcome(is_success: Option<bool>) -> &'static str {
    match is_success {
        Some(true) => "success",
        Some(false) => "failure",
        None => "unknown",
    }
}

fn ip_version(c: &Connection) -> Option<&'static str> {
    c.dst_ip().map(|ip| match ip.is_ipv4() {
        true => "ipv4",
        false => "ipv6",
    })
}

/// By IANA's keyword. Frames of packet sockets have none.
fn transport(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Packet => None,
        Protocol::Ip(58) => Some("ipv6-icmp"),
        protocol => Some(protocol.as_str()),
    }
}

/// The protocol above, where the connection has shown it.
fn application(c: &Connection) -> Option<&'static str> {
    let is_quic = c.protocol == Protocol::Udp;
    match (c.sni_ech(), c.http_host()) {
        (Some(_), _) if is_quic => Some("quic"),
        (Some(_), _) => Some("tls"),
        (None, Some(_)) => Some("http"),
        (None, None) => None,
    }
}

fn sum(sent: Option<u64>, received: Option<u64>) -> Option<u64> {
    match (sent, received) {
        (None, None) => None,
        (sent, received) => Some(sent.unwrap_or(0).saturating_add(received.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::print::fields::tests::{events, leaves, published};

    const PUBLISHED: &str = include_str!("ecs_fields.txt");

    #[test]
    fn fields_are_those_of_the_schema_with_its_types() {
        let published = published(PUBLISHED);
        for event in events(fields) {
            let mut found = Vec::new();
            leaves("", &event, &mut found);
            for (path, value) in found {
                if path.starts_with("labels.") {
                    assert!(value.is_string(), "{path}: {value}");
                    continue;
                }
                let field = published.iter().find(|field| field[0] == path);
                let kind = field.unwrap_or_else(|| panic!("no field {path}"))[1];
                let is_right = match kind {
                    "long" => value.is_i64() || value.is_u64(),
                    "keyword" | "wildcard" | "date" | "ip" => value.is_string(),
                    _ => false,
                };
                assert!(is_right, "{path} is {kind}: {value}");
            }
            for list in published
                .iter()
                .filter(|field| field.get(2) == Some(&"array"))
            {
                let pointer = format!("/{}", list[0].replace('.', "/"));
                let value = event.pointer(&pointer);
                assert!(value.is_none_or(Json::is_array), "{}", list[0]);
            }
        }
    }

    #[test]
    fn events_tell_who_began_and_how_it_went() {
        let events = events(fields);
        let [opened, outcome, blocked, _, closed, query, failed, answered] = &*events else {
            panic!("{} events", events.len());
        };
        // The peer began.
        assert_eq!(opened["source"]["ip"], "192.0.2.1");
        assert_eq!(opened["event"]["type"][1], "start");
        assert_eq!(opened["event"]["outcome"], "unknown");
        assert_eq!(opened["network"]["direction"], "ingress");
        assert_eq!(outcome["source"]["bytes"], 7);
        assert_eq!(outcome["destination"]["domain"], "x.example");
        assert_eq!(outcome["destination"]["as"]["number"], 64500);
        assert_eq!(outcome["user"]["effective"]["name"], "root");
        assert_eq!(outcome["related"]["user"], json!(["alice", "root"]));
        assert_eq!(outcome["event"]["reason"], "ECONNRESET");
        assert_eq!(outcome["event"]["outcome"], "failure");
        assert_eq!(outcome["labels"]["host_source"], "container");
        assert_eq!(blocked["event"]["kind"], "alert");
        assert_eq!(blocked["event"]["type"][1], "denied");
        assert_eq!(blocked["rule"]["ruleset"], "abc");
        assert_eq!(closed["event"]["duration"], 6000);
        assert_eq!(closed["container"]["image"]["name"], "image2");
        assert_eq!(query["dns"]["type"], "query");
        assert!(query["event"].get("outcome").is_none());
        assert_eq!(failed["event"]["outcome"], "failure");
        assert_eq!(answered["dns"]["resolved_ip"][0], "192.0.2.1");
    }
}
