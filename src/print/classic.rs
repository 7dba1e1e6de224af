//! The text form: `INFO[seconds] event key=value …`, with the original egrets' events and fields
//! in their order, and new ones after them.

use std::io::{self, Write};

use super::{Context, acted_event, decided_event, outer};
use crate::model::{
    Connection, ContainerDetails, ExeFile, ExeView, Lookup, LookupStatus, Outcome, Process,
    ProcessAction, Progress, Record, errno_name, nat64_ipv4,
};
use crate::text::printable;

/// Writes a record's lines; some have none.
pub fn write(out: &mut dyn Write, record: &Record, context: &Context) -> io::Result<()> {
    match record {
        Record::Query(lookup) => query(out, lookup, context),
        Record::Lookup(lookup) => answer(out, lookup, context),
        Record::Opened(connection) => opened(out, connection, context),
        Record::Outcome(connection) => outcome(out, connection, context),
        Record::Named(connection) | Record::NamedAfterEnd(connection) => {
            named(out, connection, context)
        }
        Record::Decided(connection) => decided(out, connection, context),
        Record::Acted(action) => acted(out, action, context),
        Record::Closed(connection) => closed(out, connection, context),
        Record::Progress(p) if p.due => progress(out, p, context),
        // progress that is not due, and what has no line in any form
        _ => Ok(()),
    }
}

/// A line under construction.
struct Line(String);

impl Line {
    fn new(event: &str, ts: i64, context: &Context) -> Line {
        let seconds = (ts - context.start_ts).max(0) / 1_000_000_000;
        Line(format!("INFO[{seconds:04}] {event}"))
    }

    fn field(mut self, key: &str, value: &str) -> Line {
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(&quote(value));
        self
    }

    fn optional(self, key: &str, value: Option<impl ToString>) -> Line {
        match value {
            Some(value) => self.field(key, &value.to_string()),
            None => self,
        }
    }

    fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.0.push('\n');
        out.write_all(self.0.as_bytes())
    }
}

/// Quotes a value that is empty or has blanks, quotes or `=` in it, and escapes unprintable
/// characters: each record stays on its line.
fn quote(value: &str) -> String {
    let safe = printable(value);
    if value.is_empty() || safe.contains([' ', '"', '=']) || safe.len() != value.len() {
        format!("\"{}\"", safe.replace('"', "\\\""))
    } else {
        safe.into_owned()
    }
}

fn opened(out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
    let family = c.dst_ip().map_or("", |ip| match ip.is_ipv4() {
        true => "_v4",
        false => "_v6",
    });
    let event = format!("process.{}{family}", c.protocol.as_str());
    let p = &c.process;
    let details = context.details(p);
    let outer = outer(p).map(|container| context.containers.label(container));
    let detail = |of: fn(&ContainerDetails) -> &Option<String>| of(details?).as_deref();
    Line::new(&event, c.ts, context)
        .field("comm", &p.comm)
        .field("pid", &p.pid.to_string())
        .field("connection", &destination(c))
        .field("dns.entry", c.name.as_ref().map_or("none", |n| &n.host))
        .field("container.image", detail(|d| &d.image).unwrap_or("none"))
        .field(
            "container.hostname",
            detail(|d| &d.hostname).unwrap_or("none"),
        )
        .field("container.ip", detail(|d| &d.ip).unwrap_or("none"))
        .optional("container.name", detail(|d| &d.name))
        .optional("dns.source", c.name.as_ref().map(|n| n.source.as_str()))
        .optional("dns.age_ms", c.name.as_ref().and_then(|n| n.age_ms))
        .optional(
            "dns.rivals",
            c.name.as_ref().map(|n| n.rivals).filter(|n| *n > 0),
        )
        .optional("user", p.user.clone().or(Some(p.uid.to_string())))
        .optional("exe", p.exe.as_ref())
        .optional("parent", p.parent_comm.as_ref())
        .optional("already_open", c.already_open.then_some("yes"))
        .optional("raw", c.raw.then_some("yes"))
        .optional("id", Some(context.run.connection_id(c.number)))
        .optional("pod", detail(|d| &d.pod))
        .optional("pod_namespace", detail(|d| &d.pod_namespace))
        .optional("container.outer", outer)
        .optional("direction", c.inbound.then_some("in"))
        .optional("first_hop", c.first_hop)
        .optional("exe_view", unproved_view(&p.exe_file))
        .optional("exe_deleted", p.exe_file.deleted.then_some("yes"))
        .optional("euser", effective_user(p))
        .optional("ipv4", c.dst_ip().and_then(nat64_ipv4))
        .optional("country", c.geo().and_then(|geo| geo.country.as_ref()))
        .optional("asn", c.geo().and_then(|geo| geo.asn))
        .optional("as_org", c.geo().and_then(|geo| geo.as_org.as_ref()))
        .end(out)
}

/// The user whose rights a process has, if not the one who started it.
fn effective_user(process: &Process) -> Option<String> {
    let user = || process.euser.clone().unwrap_or(process.euid.to_string());
    (process.euid != process.uid).then(user)
}

/// The view of an executable whose path says little: any user can make it up.
fn unproved_view(exe: &ExeFile) -> Option<&'static str> {
    let view = exe.view?;
    (!matches!(view, ExeView::Host | ExeView::Namespace)).then(|| view.as_str())
}

/// An address, with its port if it has one.
fn destination(c: &Connection) -> String {
    match (c.dst_ip(), c.dst_port()) {
        (None, _) => "none".into(),
        (Some(ip), None) => ip.to_string(),
        (Some(_), Some(_)) => c.dst.to_string(),
    }
}

/// The beginning of a connection's later lines.
fn follow_up(event: &str, c: &Connection, context: &Context, after_us: Option<i64>) -> Line {
    Line::new(event, c.ts + after_us.unwrap_or(0) * 1000, context)
        .field("comm", &c.process.comm)
        .field("pid", &c.process.pid.to_string())
        .field("connection", &destination(c))
        .field("dns.entry", c.name.as_ref().map_or("none", |n| &n.host))
        .field("outcome", c.outcome.as_str())
}

fn outcome(out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
    follow_up(
        "process.outcome",
        c,
        context,
        c.latency_us.or(c.duration_us),
    )
    .optional("errno", c.errno.map(errno_name))
    .optional("latency", c.latency_us.map(millis))
    .optional("duration", c.duration_us.map(millis))
    .optional("id", Some(context.run.connection_id(c.number)))
    .end(out)
}

/// What the connection itself says whom it wants.
fn named(out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
    let proxied = c
        .proxied()
        .map(|(host, port)| match host.text.contains(':') {
            true => format!("[{}]:{port}", host.text),
            false => format!("{}:{port}", host.text),
        });
    follow_up("process.named", c, context, c.latency_us)
        .optional("dns.source", c.name.as_ref().map(|n| n.source.as_str()))
        .optional("tls.sni", c.sni())
        .optional("tls.ech", (c.sni_ech() == Some(true)).then_some("yes"))
        .optional("tls.alpn", c.alpn())
        .optional("http.host", c.http_host())
        .optional("proxied", proxied)
        .optional("id", Some(context.run.connection_id(c.number)))
        .end(out)
}

/// What a policy decided, unless it is nothing to report: the original's events for its lists.
fn decided(out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
    let (Some(event), Some(verdict)) = (decided_event(c), &c.verdict) else {
        return Ok(());
    };
    follow_up(&format!("process.{event}"), c, context, None)
        .field("verdict", verdict.action.as_str())
        .field("rule", &verdict.rule)
        .optional("observed", (!verdict.enforced).then_some("yes"))
        .optional("exe", c.process.exe.as_ref())
        .optional("id", Some(context.run.connection_id(c.number)))
        .end(out)
}

/// What was done to the process of a refused connection.
fn acted(out: &mut dyn Write, action: &ProcessAction, context: &Context) -> io::Result<()> {
    let c = &action.connection;
    let verdict = c.verdict.as_ref();
    let after_us = (action.ts - c.ts).max(0) / 1000;
    follow_up(
        &format!("process.{}", acted_event(action)),
        c,
        context,
        Some(after_us),
    )
    .optional("verdict", verdict.map(|v| v.action.as_str()))
    .optional("rule", verdict.map(|v| &v.rule))
    .optional("exe", c.process.exe.as_ref())
    .optional("file", action.file.as_ref())
    .optional("why", action.why.as_ref())
    .optional("id", Some(context.run.connection_id(c.number)))
    .end(out)
}

fn progress(out: &mut dyn Write, p: &Progress, context: &Context) -> io::Result<()> {
    let c = &p.connection;
    let age_us = (p.ts - c.ts).max(0) / 1000;
    follow_up("process.progress", c, context, Some(age_us))
        .optional("tx_bytes", c.tx_bytes)
        .optional("rx_bytes", c.rx_bytes)
        .optional("duration", Some(millis(age_us)))
        .optional("id", Some(context.run.connection_id(c.number)))
        .end(out)
}

fn closed(out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
    follow_up("process.close", c, context, c.duration_us)
        .optional(
            "errno",
            c.errno
                .map(errno_name)
                .filter(|_| c.outcome != Outcome::Connected),
        )
        .optional("tx_bytes", c.tx_bytes)
        .optional("rx_bytes", c.rx_bytes)
        .optional("duration", c.duration_us.map(millis))
        .optional("shared_pid", c.shared_pid)
        .optional("id", Some(context.run.connection_id(c.number)))
        .end(out)
}

fn millis(us: i64) -> String {
    format!("{}.{:03}ms", us / 1000, us % 1000)
}

fn query(out: &mut dyn Write, l: &Lookup, context: &Context) -> io::Result<()> {
    dns(Line::new("dns.query", l.ts, context), l).end(out)
}

/// hostname and type, then the process and the server.
fn dns(line: Line, l: &Lookup) -> Line {
    line.field("hostname", l.qname.as_deref().unwrap_or("none"))
        .optional("type", l.qtype.as_ref())
        .field("comm", &l.process.comm)
        .field("pid", &l.process.pid.to_string())
        .field("server", &l.server.to_string())
        .optional(
            "transport",
            Some(l.transport.as_str()).filter(|t| *t != "udp"),
        )
        .optional("times", Some(l.times).filter(|n| *n > 1))
}

fn answer(out: &mut dyn Write, l: &Lookup, context: &Context) -> io::Result<()> {
    let ts = l.ts + l.latency_us.unwrap_or(0) * 1000;
    if l.status != LookupStatus::Answered {
        let event = format!("dns.{}", l.status.as_str());
        return dns(Line::new(&event, ts, context), l)
            .optional("rcode", l.rcode.as_ref())
            .end(out);
    }
    let line = |response: &str| {
        Line::new("dns.answer", ts, context)
            .field("hostname", l.qname.as_deref().unwrap_or("none"))
            .field("response", response)
    };
    let rest = |line: Line, rtype: Option<&str>, ttl: Option<u32>| {
        line.optional("type", rtype)
            .optional("ttl", ttl)
            .optional("rcode", l.rcode.as_ref().filter(|r| *r != "NOERROR"))
            .field("comm", &l.process.comm)
            .field("pid", &l.process.pid.to_string())
            .optional("latency", l.latency_us.map(millis))
    };
    if l.answers.is_empty() {
        return rest(line("none"), l.qtype.as_deref(), None).end(out);
    }
    for a in &l.answers {
        rest(line(&a.data), Some(&a.rtype), Some(a.ttl)).end(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::{connection, lookup};
    use crate::model::{Endpoint, Geo, Name, Source, WireName, WireNames};
    use crate::print::tests::context;

    fn lines(record: &Record) -> String {
        let mut out = Vec::new();
        write(&mut out, record, &context()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn other_rights_and_what_is_known_of_an_address_are_shown() {
        let mut c = connection("curl");
        assert!(!lines(&Record::Opened(c.clone())).contains("euser"));
        std::rc::Rc::get_mut(&mut c.process).unwrap().uid = 1000;
        c.dst.ip = "64:ff9b::808:808".parse().unwrap();
        c.geo = Some(std::rc::Rc::new(Geo {
            country: Some("US".into()),
            asn: Some(15169),
            as_org: Some("GOOGLE LLC\n".into()),
        }));
        let line = lines(&Record::Opened(c));
        let shown = "euser=root ipv4=8.8.8.8 country=US asn=15169 as_org=\"GOOGLE LLC\\n\"";
        assert!(line.trim_end().ends_with(shown), "{line}");
    }

    #[test]
    fn first_fields_are_the_original_egrets_byte_for_byte() {
        let mut c = connection("curl");
        c.ts = 1_500_000_000;
        c.dst = Endpoint {
            ip: [31, 13, 71, 36].into(),
            port: 80,
        };
        c.name = Some(Name {
            host: "facebook.com".into(),
            source: Source::Process,
            age_ms: Some(3),
            lookup: Some(1),
            rivals: 0,
            rival_names: vec![],
        });
        let line = lines(&Record::Opened(c));
        assert!(
            line.starts_with("INFO[0001] process.tcp_v4 comm=curl pid=2074 connection=31.13.71.36:80 dns.entry=facebook.com container.image=none container.hostname=none container.ip=none "),
            "{line}"
        );
        let mut l = lookup("facebook.com", "31.13.71.36");
        l.ts = 1_500_000_000;
        let query = lines(&Record::Query(l.clone()));
        assert!(
            query.starts_with("INFO[0001] dns.query hostname=facebook.com type=A "),
            "{query}"
        );
        let answer = lines(&Record::Lookup(l));
        assert!(
            answer.starts_with("INFO[0001] dns.answer hostname=facebook.com response=31.13.71.36 "),
            "{answer}"
        );
    }

    #[test]
    fn names_that_a_connection_sends_are_on_a_line_of_their_own() {
        let mut c = connection("curl");
        c.wire = Some(std::rc::Rc::new(WireNames {
            sni: Some(WireName::new(b"A.test")),
            sni_ech: true,
            alpn: Some("h2,http/1.1".into()),
            http_host: Some(WireName::new(b"b\x1b.test")),
            proxied: Some((WireName::new(b"2001:db8::1"), 443)),
        }));
        let line = lines(&Record::Named(c));
        assert!(
            line.starts_with("INFO[0000] process.named comm=curl pid=2074 "),
            "{line}"
        );
        let names = r"tls.sni=a.test tls.ech=yes tls.alpn=h2,http/1.1 http.host=b\027.test proxied=[2001:db8::1]:443";
        assert!(line.contains(names), "{line}");
    }

    #[test]
    fn hostile_name_stays_on_its_line() {
        let line = lines(&Record::Opened(connection("a b\n\x1b[2J\"=x")));
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.contains(r#"comm="a b\n\x1b[2J\"=x" pid=2074"#),
            "{line}"
        );
    }
}
