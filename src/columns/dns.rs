//! The view `dns`. It has a row per resource record; JSON has a line per lookup, with the
//! records in the array `answers`.

use super::{ColumnDef, Value, lookup, process, sql};
use crate::when::iso;

const AS_EGRESS: &str = "as in `egress`";
const NO_RECORDS: &str = "no records";

pub const DNS: &[ColumnDef] = &[
    lookup("id", "integer", |l, x| x.run.lookup_id(l.number).into()).doc("of the lookup"),
    lookup("time", "text", |l, _| iso(l.ts).into())
        .time_of("ts")
        .doc("of the query; of the answer where no query was seen"),
    lookup("ts", "integer, ns", |l, _| l.ts.into()).doc("the same"),
    process("pid", "integer", |p, _| p.pid.into())
        .doc("process that sent the query, as in `egress`"),
    process("comm", "text", |p, _| (&p.comm).into()).doc(AS_EGRESS),
    process("exe", "text", |p, _| p.exe.as_deref().into())
        .doc(AS_EGRESS)
        .null(AS_EGRESS),
    process("container_name", "text", |p, x| {
        x.details(p).and_then(|d| d.name.as_deref()).into()
    })
    .doc(AS_EGRESS)
    .null(AS_EGRESS),
    lookup("server_ip", "text", |l, _| l.server.ip.to_string().into())
        .doc("queried server, before any NAT"),
    lookup("server_port", "integer", |l, _| l.server.port.into()).doc("its port"),
    lookup("transport", "text", |l, _| l.transport.as_str().into()).doc("`udp`, `tcp`"),
    lookup("qname", "text", |l, _| l.qname.as_deref().into())
        .doc("queried name")
        .null("`malformed`; an answer without a question section"),
    lookup("qtype", "text", |l, _| l.qtype.as_deref().into())
        .doc("`A`, `AAAA`, `HTTPS`, …; `TYPE123` for rare ones")
        .null("as `qname`"),
    lookup("rcode", "text", |l, _| l.rcode.as_deref().into())
        .doc("`NOERROR`, `NXDOMAIN`, …")
        .null("no readable answer"),
    lookup("answers", "array", |l, _| Value::Records(&l.answers)).json_only(),
    sql("name", "text")
        .doc("resource record: name")
        .null(NO_RECORDS),
    sql("type", "text").doc("its type").null(NO_RECORDS),
    sql("data", "text")
        .doc("its data, in presentation form")
        .null(NO_RECORDS),
    sql("ttl", "integer, s")
        .doc("its time to live")
        .null(NO_RECORDS),
    lookup("latency_us", "integer, µs", |l, _| l.latency_us.into())
        .doc("from query to answer")
        .null("not `answered`"),
    lookup("status", "text", |l, _| l.status.as_str().into()).doc(
        "`answered`; `unanswered` (not within 10 s of its last try, or its socket was closed); `unsent` (the host's own firewall refused the query); `unsolicited` \
         (matches no query of its socket, names nothing); `malformed`",
    ),
    lookup("times", "integer", |l, _| l.times.into()).doc(
        "how many similar messages the row represents, including the first: of the unsolicited or \
         malformed messages of a process, those beyond 16 in 10 s share a row. Otherwise 1",
    ),
    sql("process_id", "integer").doc("this and the following: of the process, as in `egress`"),
    sql("start_ts", "integer, ns").doc(AS_EGRESS),
    sql("uid", "integer").doc(AS_EGRESS),
    sql("user", "text").doc(AS_EGRESS).null(AS_EGRESS),
    sql("unit", "text").doc(AS_EGRESS).null(AS_EGRESS),
    sql("container_id", "text").doc(AS_EGRESS).null(AS_EGRESS),
    sql("pod", "text").doc(AS_EGRESS).null(AS_EGRESS),
    sql("pod_namespace", "text").doc(AS_EGRESS).null(AS_EGRESS),
    sql("euid", "integer").doc(AS_EGRESS),
    sql("euser", "text").doc(AS_EGRESS).null(AS_EGRESS),
];
