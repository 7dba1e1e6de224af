//! Events in the Open Cybersecurity Schema Framework, one JSON object a line: Network Activity
//! (4001) and DNS Activity (4003) of version 1.3, with its profiles for hosts, containers and
//! security controls. What it has no attribute for is in `unmapped`, by the column's name.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::fields::Form::{Same, Text};
use super::fields::{Fields, Mapping, Row, is_answered, is_success};
use super::{Context, Event, Subject, after};
use crate::model::{Action, Connection, Lookup, Outcome, errno_name};

const VERSION: &str = "1.3.0";
/// The category Network Activity.
const CATEGORY: u32 = 4;
const NETWORK_ACTIVITY: u32 = 4001;
const DNS_ACTIVITY: u32 = 4003;
/// Of attributes whose value is none of those listed; the attribute beside it, without `_id`,
/// has the value then.
const OTHER: u32 = 99;

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let fields = [
        ("actor.process.pid", "pid", Same),
        ("actor.process.tid", "tid", Same),
        ("actor.process.name", "comm", Same),
        ("actor.process.cmd_line", "cmdline", Same),
        // whose rights it has; who started it is in unmapped.uid and unmapped.user
        ("actor.process.user.uid", "euid", Text),
        ("actor.process.user.name", "euser", Same),
        ("actor.process.parent_process.pid", "ppid", Same),
        ("actor.process.parent_process.name", "parent_comm", Same),
        ("actor.process.container.uid", "container_id", Same),
        ("actor.process.container.name", "container_name", Same),
        ("actor.process.container.runtime", "container_runtime", Same),
        ("connection_info.uid", "id", Text),
        ("firewall_rule.name", "rule", Same),
        ("policy.uid", "policy", Same),
    ];
    Mapping::new(&fields, COVERED, ("unmapped", Same))
});

/// What the functions below have attributes for.
const COVERED: &[&str] = &[
    "time",
    "ts",
    "start",
    "start_ts",
    "exe",
    "exe_sha256",
    "protocol",
    "family",
    "direction",
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "errno",
    "tx_bytes",
    "rx_bytes",
    "tx_packets",
    "rx_packets",
    "duration_us",
];

/// Response codes of DNS by their numbers, as in RFC 6895.
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE",
];

/// An event of this host.
pub fn fields(event: &Event<'_>, host: &str, context: &Context) -> Fields {
    let mut fields = Fields::default();
    fields.set("category_uid", CATEGORY);
    fields.set("category_name", "Network Activity");
    fields.set("time", milliseconds(event.ts));
    fields.set("metadata.version", VERSION);
    fields.set("metadata.product.name", "egrets");
    fields.set("metadata.product.vendor_name", "egrets");
    fields.set("metadata.product.version", env!("CARGO_PKG_VERSION"));
    fields.set("metadata.event_code", event.name);
    fields.set("device.hostname", host);
    // unknown: a server, a workstation, a virtual machine
    fields.set("device.type_id", 0);
    match event.subject {
        Subject::Connection(c) => connection(&mut fields, event.name, c, host, context),
        Subject::Lookup(l) => lookup(&mut fields, event.name, l, context),
    }
    fields
}

fn connection(fields: &mut Fields, name: &str, c: &Connection, host: &str, context: &Context) {
    let context = context.row();
    let row = Row::of_connection(c, &context);
    MAPPING.fill(fields, &row);
    process(fields, &row);
    class(
        fields,
        NETWORK_ACTIVITY,
        "Network Activity",
        activity(name, c.outcome),
    );
    fields.set("severity_id", severity(name));
    status(fields, is_success(c.outcome));
    fields.set("status_detail", c.errno.map(errno_name));
    fields.set("start_time", milliseconds(c.ts));
    if let Some(us) = c.duration_us {
        fields.set("duration", us / 1000);
        fields.set("end_time", milliseconds(after(c.ts, Some(us))));
    }
    let (local, peer, out, into) = match c.inbound {
        false => ("src_endpoint", "dst_endpoint", "out", "in"),
        true => ("dst_endpoint", "src_endpoint", "in", "out"),
    };
    fields.set(&format!("{local}.ip"), row.named("src_ip"));
    fields.set(&format!("{local}.port"), c.src_port());
    if c.src.is_none() {
        // one of the endpoints has to be known
        fields.set(&format!("{local}.hostname"), host);
    }
    fields.set(&format!("{peer}.ip"), row.named("dst_ip"));
    fields.set(&format!("{peer}.port"), c.dst_port());
    fields.set(&format!("{peer}.hostname"), row.named("host"));
    // of the source to the destination: out
    fields.set(&format!("traffic.bytes_{out}"), c.tx_bytes);
    fields.set(&format!("traffic.bytes_{into}"), c.rx_bytes);
    fields.set(&format!("traffic.packets_{out}"), c.tx_packets);
    fields.set(&format!("traffic.packets_{into}"), c.rx_packets);
    fields.set(
        "connection_info.direction_id",
        if c.inbound { 1 } else { 2 },
    );
    fields.set("connection_info.protocol_name", c.protocol.as_str());
    fields.set("connection_info.protocol_num", c.protocol.number());
    let version = c.dst_ip().map(|ip| if ip.is_ipv4() { 4 } else { 6 });
    fields.set("connection_info.protocol_ver_id", version.unwrap_or(0));
    let mut profiles = vec!["host"];
    profiles.extend(c.process.container.as_ref().map(|_| "container"));
    if let Some(verdict) = &c.verdict {
        profiles.push("security_control");
        let (action, disposition) = match verdict.action {
            _ if verdict.stopped() => (2, 2), // denied, blocked
            Action::Allow => (1, 1),          // allowed, allowed
            _ => (1, 19),                     // allowed, alert
        };
        fields.set("action_id", action);
        fields.set("disposition_id", disposition);
    }
    fields.set("metadata.profiles", json!(profiles));
}

fn lookup(fields: &mut Fields, name: &str, l: &Lookup, context: &Context) {
    let context = context.row();
    let row = Row::of_process(&l.process, &context);
    MAPPING.fill(fields, &row);
    process(fields, &row);
    let is_query = name == "dns.query";
    let activity = match is_query {
        true => (1, "Query"),
        false => (6, "Traffic"),
    };
    class(fields, DNS_ACTIVITY, "DNS Activity", activity);
    fields.set("severity_id", 1);
    let mut profiles = vec!["host"];
    profiles.extend(l.process.container.as_ref().map(|_| "container"));
    fields.set("metadata.profiles", json!(profiles));
    fields.set("query.hostname", l.qname.as_deref());
    fields.set("query.type", l.qname.as_ref().and(l.qtype.as_deref()));
    fields.set("query_time", milliseconds(l.ts));
    fields.set("dst_endpoint.ip", l.server.ip.to_string());
    fields.set("dst_endpoint.port", l.server.port);
    fields.set("connection_info.direction_id", 2);
    fields.set("connection_info.protocol_name", l.transport.as_str());
    fields.set("unmapped.lookup_id", context.run.lookup_id(l.number));
    if is_query {
        return;
    }
    status(fields, is_answered(l));
    fields.set("status_detail", l.status.as_str());
    fields.set("unmapped.times", l.times);
    if let Some(us) = l.latency_us {
        let end = milliseconds(after(l.ts, Some(us)));
        fields.set("response_time", end);
        fields.set("duration", us / 1000);
    }
    if let Some(rcode) = l.rcode.as_deref() {
        let number = RCODES.iter().position(|name| *name == rcode);
        fields.set("rcode_id", number.map_or(OTHER, |n| n as u32));
        fields.set("rcode", rcode);
    }
    let answers = l
        .answers
        .iter()
        .map(|record| json!({ "type": record.rtype, "rdata": record.data, "ttl": record.ttl }));
    fields.set_list("answers", answers);
}

fn class(fields: &mut Fields, class: u32, name: &str, (activity, activity_name): (u32, &str)) {
    fields.set("class_uid", class);
    fields.set("class_name", name);
    fields.set("activity_id", activity);
    fields.set("activity_name", activity_name);
    fields.set("type_uid", class * 100 + activity);
    fields.set("type_name", format!("{name}: {activity_name}"));
}

/// What a column alone does not say of the process.
fn process(fields: &mut Fields, row: &Row<'_>) {
    let process = row.process;
    let started = row.named("start_ts").as_i64();
    fields.set("actor.process.created_time", started.map(milliseconds));
    let Some(exe) = process.exe.as_deref() else {
        return;
    };
    let name = Path::new(exe)
        .file_name()
        .map_or(exe.into(), |name| name.to_string_lossy());
    fields.set("actor.process.file.name", &*name);
    fields.set("actor.process.file.path", exe);
    fields.set("actor.process.file.type_id", 1);
    if let Json::String(hash) = row.named("exe_sha256") {
        // 3: SHA-256
        let hash = json!({ "algorithm_id": 3, "algorithm": "SHA-256", "value": hash });
        fields.set("actor.process.file.hashes", json!([hash]));
    }
}

/// Of an event, its `activity_id`.
fn activity(event: &str, outcome: Outcome) -> (u32, &'static str) {
    match (event, outcome) {
        ("close", _) => (2, "Close"),
        ("progress", _) => (6, "Traffic"),
        ("blocked" | "suspended" | "killed" | "dumped" | "spared", _) => (5, "Refuse"),
        ("named", _) => (OTHER, "Named"),
        ("alert", _) => (OTHER, "Alert"),
        (_, Outcome::Connected | Outcome::Sent) => (1, "Open"),
        (_, Outcome::Refused) => (5, "Refuse"),
        (_, Outcome::Reset) => (3, "Reset"),
        (_, Outcome::InProgress) => (OTHER, "Attempt"),
        (_, Outcome::Timeout | Outcome::Unreachable | Outcome::Denied | Outcome::Failed) => {
            (4, "Fail")
        }
    }
}

/// 1, informational, to 4, high.
fn severity(event: &str) -> u32 {
    match event {
        "suspended" | "killed" | "dumped" => 4,
        "blocked" | "alert" | "spared" => 3,
        _ => 1,
    }
}

fn status(fields: &mut Fields, is_success: Option<bool>) {
    let (id, name) = match is_success {
        Some(true) => (1, "Success"),
        Some(false) => (2, "Failure"),
        None => (0, "Unknown"),
    };
    fields.set("status_id", id);
    fields.set("status", name);
}

fn milliseconds(ns: i64) -> i64 {
    ns.div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::fields::tests::{events, leaves, published};

    const PUBLISHED: &str = include_str!("ocsf_fields.txt");

    #[test]
    fn attributes_are_those_of_the_schema_with_its_types() {
        let published = published(PUBLISHED);
        for event in events(fields) {
            let mut found = Vec::new();
            leaves("", &event, &mut found);
            for (path, value) in &found {
                if path.starts_with("unmapped.") {
                    continue;
                }
                let attribute = published.iter().find(|attribute| attribute[0] == path);
                let kind = attribute.unwrap_or_else(|| panic!("no attribute {path}"))[1];
                let is_right = match kind {
                    "integer" | "timestamp" => value.is_i64() || value.is_u64(),
                    "string" => value.is_string(),
                    _ => false,
                };
                assert!(is_right, "{path} is {kind}: {value}");
            }
            // What an object requires is there where the object is.
            for required in published
                .iter()
                .filter(|attribute| attribute.get(2).is_some())
            {
                let object = required[0]
                    .rsplit_once('.')
                    .map_or("", |(object, _)| object);
                let is_there = |path: &str| {
                    let mut paths = found.iter().map(|(path, _)| path.as_str());
                    paths.any(|found| found == path || found.starts_with(&format!("{path}.")))
                };
                if object.is_empty() || is_there(object) {
                    assert!(is_there(required[0]), "{} is missing", required[0]);
                }
            }
            let number = |name: &str| event[name].as_u64().unwrap();
            assert_eq!(
                number("type_uid"),
                number("class_uid") * 100 + number("activity_id")
            );
            assert!(
                event
                    .get("src_endpoint")
                    .or(event.get("dst_endpoint"))
                    .is_some()
            );
        }
    }

    #[test]
    fn events_tell_who_began_and_how_it_went() {
        let events = events(fields);
        let [
            opened,
            outcome,
            blocked,
            progress,
            closed,
            query,
            failed,
            answered,
        ] = &*events
        else {
            panic!("{} events", events.len());
        };
        // The peer began.
        assert_eq!(opened["src_endpoint"]["ip"], "192.0.2.1");
        assert_eq!(opened["dst_endpoint"]["hostname"], "web1");
        assert_eq!(opened["connection_info"]["direction_id"], 1);
        assert_eq!(
            (&opened["activity_id"], &opened["activity_name"]),
            (&json!(99), &json!("Attempt"))
        );
        assert_eq!(outcome["type_uid"], 400_103);
        assert_eq!(outcome["status_detail"], "ECONNRESET");
        assert_eq!(outcome["actor"]["process"]["user"]["name"], "root");
        assert_eq!(outcome["unmapped"]["user"], "alice");
        assert_eq!(outcome["unmapped"]["host_source"], "container");
        assert_eq!(
            (&blocked["action_id"], &blocked["disposition_id"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(blocked["severity_id"], 3);
        assert_eq!(progress["traffic"]["bytes_out"], 7);
        assert_eq!(closed["activity_id"], 2);
        assert_eq!(query["type_uid"], 400_301);
        assert_eq!(
            (&failed["rcode_id"], &failed["status_id"]),
            (&json!(3), &json!(2))
        );
        assert_eq!(answered["answers"][0]["rdata"], "192.0.2.1");
    }
}
