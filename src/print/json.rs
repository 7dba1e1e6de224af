//! The JSON form: one object a line. The keys are those of the views (see
//! docs/schema.md), after `event`, which is the text form's name for it.

use std::io::{self, Write};

use super::{Context, outer};
use crate::model::{
    Connection, ContainerDetails, Lookup, Record, ResourceRecord, dst_scope, errno_name,
};
use crate::when::iso;
use serde::Serialize;

/// Writes a record's line; some have none.
pub fn write(out: &mut dyn Write, record: &Record, context: &Context) -> io::Result<()> {
    match record {
        Record::Query(l) => lookup(out, "dns.query", l, context),
        Record::Lookup(l) => lookup(out, "dns", l, context),
        Record::Opened(c) => connection(out, "connect", c, context),
        Record::Outcome(c) => connection(out, "outcome", c, context),
        Record::Closed(c) => connection(out, "close", c, context),
        Record::Progress(p) if p.due => connection(out, "progress", &p.connection, context),
        Record::Progress(_) | Record::Container(_) | Record::Gap(_) => Ok(()),
    }
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// The columns of the view `egress`, in its order.
#[derive(Serialize)]
struct Egress<'a> {
    event: &'a str,
    id: i64,
    time: String,
    ts: i64,
    pid: u32,
    tid: u32,
    comm: &'a str,
    exe: Option<&'a str>,
    cmdline: Option<&'a str>,
    uid: u32,
    user: Option<&'a str>,
    ppid: Option<u32>,
    parent_comm: Option<&'a str>,
    protocol: &'a str,
    family: Option<u8>,
    src_ip: Option<String>,
    src_port: Option<u16>,
    dst_ip: Option<String>,
    dst_port: Option<u16>,
    dst_scope: Option<&'a str>,
    host: Option<&'a str>,
    host_source: Option<&'a str>,
    host_age_ms: Option<u64>,
    host_rivals: Option<usize>,
    outcome: &'a str,
    errno: Option<String>,
    latency_us: Option<i64>,
    tx_bytes: Option<u64>,
    rx_bytes: Option<u64>,
    duration_us: Option<i64>,
    unit: Option<&'a str>,
    container_id: Option<&'a str>,
    container_name: Option<&'a str>,
    container_image: Option<&'a str>,
    container_runtime: Option<&'a str>,
    container_hostname: Option<&'a str>,
    container_ip: Option<&'a str>,
    pod: Option<&'a str>,
    netns: Option<u32>,
    cgroup: Option<&'a str>,
    lookup_id: Option<i64>,
    /// 0 or 1, as in the view.
    already_open: u8,
    tx_packets: Option<u64>,
    rx_packets: Option<u64>,
    start: String,
    start_ts: i64,
    login_uid: Option<u32>,
    login_user: Option<&'a str>,
    pod_namespace: Option<&'a str>,
    outer_container_id: Option<&'a str>,
    outer_container_name: Option<&'a str>,
    raw: u8,
    shared_pid: Option<u32>,
}

fn connection(
    out: &mut dyn Write,
    event: &str,
    c: &Connection,
    context: &Context,
) -> io::Result<()> {
    let p = &c.process;
    let container = p.container.as_deref();
    let details = context.details(p);
    let detail = |of: fn(&ContainerDetails) -> &Option<String>| of(details?).as_deref();
    let outer = outer(p);
    let name = c.name.as_ref();
    let dst = c.dst_ip();
    let start_ts = context.run.start_ts(p.start_ns);
    let egress = Egress {
        event,
        id: context.run.connection_id(c.number),
        time: iso(c.ts),
        ts: c.ts,
        pid: p.pid,
        tid: c.tid,
        comm: &p.comm,
        exe: p.exe.as_deref(),
        cmdline: p.cmdline.as_deref(),
        uid: p.uid,
        user: p.user.as_deref(),
        ppid: p.ppid,
        parent_comm: p.parent_comm.as_deref(),
        protocol: c.protocol.as_str(),
        family: dst.map(|ip| if ip.is_ipv4() { 4 } else { 6 }),
        src_ip: c.src.map(|s| s.ip.to_string()),
        src_port: c.src_port(),
        dst_ip: dst.map(|ip| ip.to_string()),
        dst_port: c.dst_port(),
        dst_scope: dst.map(dst_scope),
        host: name.map(|n| &*n.host),
        host_source: name.map(|n| n.source.as_str()),
        host_age_ms: name.and_then(|n| n.age_ms),
        host_rivals: name.map(|n| n.rivals),
        outcome: c.outcome.as_str(),
        errno: c.errno.map(errno_name),
        latency_us: c.latency_us,
        tx_bytes: c.tx_bytes,
        rx_bytes: c.rx_bytes,
        duration_us: c.duration_us,
        unit: p.unit.as_deref(),
        container_id: container.map(|k| k.id.as_str()),
        container_name: detail(|d| &d.name),
        container_image: detail(|d| &d.image),
        container_runtime: container.and_then(|k| context.containers.runtime(k)),
        container_hostname: detail(|d| &d.hostname),
        container_ip: detail(|d| &d.ip),
        pod: detail(|d| &d.pod),
        netns: p.netns,
        cgroup: p.cgroup.as_deref(),
        lookup_id: name
            .and_then(|n| n.lookup)
            .map(|number| context.run.lookup_id(number)),
        already_open: c.already_open.into(),
        tx_packets: c.tx_packets,
        rx_packets: c.rx_packets,
        start: iso(start_ts),
        start_ts,
        login_uid: p.login_uid,
        login_user: p.login_user.as_deref(),
        pod_namespace: detail(|d| &d.pod_namespace),
        outer_container_id: outer.map(|k| k.id.as_str()),
        outer_container_name: outer
            .and_then(|k| context.containers.details(k))
            .and_then(|d| d.name.as_deref()),
        raw: c.raw.into(),
        shared_pid: c.shared_pid,
    };
    line(out, &egress)
}

/// The columns of the view `dns` that a lookup has, and its records as a list.
#[derive(Serialize)]
struct Dns<'a> {
    event: &'a str,
    id: i64,
    time: String,
    ts: i64,
    pid: u32,
    comm: &'a str,
    exe: Option<&'a str>,
    container_name: Option<&'a str>,
    server_ip: String,
    server_port: u16,
    transport: &'a str,
    qname: Option<&'a str>,
    qtype: Option<&'a str>,
    rcode: Option<&'a str>,
    answers: Vec<DnsRecord<'a>>,
    latency_us: Option<i64>,
    /// None while the answer is still to come.
    status: Option<&'a str>,
    times: u64,
}

#[derive(Serialize)]
struct DnsRecord<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    rtype: &'a str,
    data: &'a str,
    ttl: u32,
}

impl<'a> From<&'a ResourceRecord> for DnsRecord<'a> {
    fn from(a: &'a ResourceRecord) -> Self {
        DnsRecord {
            name: &a.name,
            rtype: &a.rtype,
            data: &a.data,
            ttl: a.ttl,
        }
    }
}

fn lookup(out: &mut dyn Write, event: &str, l: &Lookup, context: &Context) -> io::Result<()> {
    let p = &l.process;
    let dns = Dns {
        event,
        id: context.run.lookup_id(l.number),
        time: iso(l.ts),
        ts: l.ts,
        pid: p.pid,
        comm: &p.comm,
        exe: p.exe.as_deref(),
        container_name: context.details(p).and_then(|d| d.name.as_deref()),
        server_ip: l.server.ip.to_string(),
        server_port: l.server.port,
        transport: l.transport.as_str(),
        qname: l.qname.as_deref(),
        qtype: l.qtype.as_deref(),
        rcode: l.rcode.as_deref(),
        answers: l.answers.iter().map(DnsRecord::from).collect(),
        latency_us: l.latency_us,
        status: (event != "dns.query").then_some(l.status.as_str()),
        times: l.times,
    };
    line(out, &dns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders;
    use crate::print::tests::context;
    use serde_json::Value;

    #[test]
    fn every_line_is_one_json_object_with_the_views_columns() {
        let history = crate::store::tests::history::History::new();
        let view = history.0.prepare("SELECT * FROM egress").unwrap();
        let mut out = Vec::new();
        let connection = builders::connection("a\nb\u{1b}");
        let lookup = builders::lookup("x.example", "192.0.2.1");
        for record in [Record::Opened(connection), Record::Lookup(lookup)] {
            write(&mut out, &record, &context()).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["comm"], "a\nb\u{1b}");
        // the binary form of dst_ip and the key of ancestors are for SQL alone
        let sql_only = ["dst_addr", "process_id"];
        for column in view.column_names() {
            if sql_only.contains(&column) {
                continue;
            }
            assert!(lines[0].get(column).is_some(), "{column}");
        }
        assert_eq!(lines[1]["answers"][0]["data"], "192.0.2.1");
    }
}
