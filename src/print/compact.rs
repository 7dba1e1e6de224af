//! The compact form, for people at a terminal: a line per connection when it ends, with where it
//! went, its bytes and its duration, or why it failed; one that is still open after two seconds has
//! a line then as well. DNS messages are left out, as the names stand with the connections; lookups
//! that failed have a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset, Local, NaiveDate, TimeZone};
use hashlink::LruCache;

use super::{Context, acted_event, decided_event};
use crate::human::short_bytes;
use crate::model::{
    Connection, Lookup, LookupStatus, Outcome, Process, ProcessAction, Protocol, Record, Source,
    errno_name,
};
use crate::text::{printable, width};

/// When a connection that has not ended is shown.
const OPEN_AFTER: Duration = Duration::from_secs(2);
/// An attempt that failed without an errno: connect may still return one.
const ERRNO_WITHIN: Duration = Duration::from_millis(50);
/// How soon it is looked for lines that are due.
const SOONEST: Duration = Duration::from_millis(100);
/// Connections that wait for their line. One more, and the oldest has it at once.
const MAX_WAITING: usize = 16_384;

/// The columns of a line, and how wide they are.
const TIME: usize = 8;
const PROCESS: usize = 22;
const RESULT: usize = 17;
const LEAST_DESTINATION: usize = 20;
const MOST_DESTINATION: usize = 50;

#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Of the terminal.
    pub columns: usize,
    pub color: bool,
    /// Ports of DNS servers: what goes there is a lookup, and left out.
    pub dns_ports: Vec<u16>,
}

pub struct Compact {
    options: CompactOptions,
    waiting: BTreeMap<u64, Waiting>,
    /// What is over and has had its line, while more may be reported of it.
    said: LruCache<u64, ()>,
    /// Of the last line: a new one has a line of its own.
    day: Option<NaiveDate>,
    local: fn(i64) -> DateTime<FixedOffset>,
}

struct Waiting {
    connection: Connection,
    due: Instant,
}

#[derive(Clone, Copy)]
enum Color {
    Plain,
    Dim,
    Red,
    Yellow,
}

impl Compact {
    pub fn new(options: CompactOptions) -> Compact {
        Compact {
            options,
            waiting: BTreeMap::new(),
            said: LruCache::new(MAX_WAITING),
            day: None,
            local: |ts| Local.timestamp_nanos(ts).fixed_offset(),
        }
    }

    /// Writes a record's line, or keeps it in mind.
    pub fn write(
        &mut self,
        out: &mut dyn Write,
        record: &Record,
        context: &Context,
    ) -> io::Result<()> {
        match record {
            Record::Opened(c) if self.is_dns(c) => Ok(()),
            Record::Opened(c) if is_over(c) => self.ended(out, c, context),
            Record::Opened(c) => self.wait(out, c, context),
            Record::Outcome(c) | Record::Named(c) => self.changed(out, c, context),
            Record::Progress(p) => self.changed(out, &p.connection, context),
            Record::NamedAfterEnd(c) => {
                if let Some(waiting) = self.waiting.get_mut(&c.number) {
                    waiting.connection = c.clone();
                }
                Ok(())
            }
            Record::Decided(c) => self.decided(out, c, context),
            Record::Closed(c) => {
                self.waiting.remove(&c.number);
                let said = self.said.remove(&c.number).is_some();
                match said && is_over(c) || self.is_dns(c) {
                    true => Ok(()),
                    false => self.ended(out, c, context),
                }
            }
            Record::Lookup(l) => self.lookup(out, l, context),
            Record::Acted(action) => self.acted(out, action, context),
            // a query, and what has no line in any form
            _ => Ok(()),
        }
    }

    /// Writes the lines that are due; all that are left, at the end.
    pub fn flush(&mut self, out: &mut dyn Write, context: &Context, all: bool) -> io::Result<()> {
        let now = Instant::now();
        let due: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| all || waiting.due <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            if let Some(Waiting { connection, .. }) = self.waiting.remove(&number) {
                self.ended(out, &connection, context)?;
            }
        }
        Ok(())
    }

    /// How soon the next line is due.
    pub fn due_within(&self) -> Option<Duration> {
        let next = self.waiting.values().map(|waiting| waiting.due).min()?;
        let within = next.saturating_duration_since(Instant::now());
        Some(within.max(SOONEST))
    }

    fn is_dns(&self, c: &Connection) -> bool {
        let is_server =
            |port: Option<u16>| port.is_some_and(|p| self.options.dns_ports.contains(&p));
        let carries = matches!(c.protocol, Protocol::Tcp | Protocol::Udp);
        let well = matches!(
            c.outcome,
            Outcome::InProgress | Outcome::Connected | Outcome::Sent
        );
        carries && well && (is_server(c.dst_port()) || c.inbound && is_server(c.src_port()))
    }

    /// What was open before the recording is shown when it ends: there may be thousands.
    fn wait(&mut self, out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
        if c.already_open {
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            self.ended(out, &oldest.connection, context)?;
        }
        self.waiting.insert(
            c.number,
            Waiting {
                connection: c.clone(),
                due: Instant::now() + OPEN_AFTER,
            },
        );
        Ok(())
    }

    /// Something is known of a connection that has not ended, or an attempt has failed.
    fn changed(
        &mut self,
        out: &mut dyn Write,
        c: &Connection,
        context: &Context,
    ) -> io::Result<()> {
        let over = is_over(c);
        let Some(waiting) = self.waiting.get_mut(&c.number) else {
            // shown as open before
            return match over && !self.said.contains_key(&c.number) {
                true => self.ended(out, c, context),
                false => Ok(()),
            };
        };
        waiting.connection = c.clone();
        if over && c.outcome == Outcome::Failed && c.errno.is_none() {
            waiting.due = waiting.due.min(Instant::now() + ERRNO_WITHIN);
            return Ok(());
        }
        if over {
            self.waiting.remove(&c.number);
            self.ended(out, c, context)?;
        }
        Ok(())
    }

    fn decided(
        &mut self,
        out: &mut dyn Write,
        c: &Connection,
        context: &Context,
    ) -> io::Result<()> {
        let shown = !self.waiting.contains_key(&c.number);
        match decided_event(c) {
            // in the middle of what has been shown
            Some(_) if shown && !is_over(c) => self.ended(out, c, context),
            _ => self.changed(out, c, context),
        }
    }

    /// The line of a connection as it is now.
    fn ended(&mut self, out: &mut dyn Write, c: &Connection, context: &Context) -> io::Result<()> {
        if is_over(c) {
            self.said.insert(c.number, ());
        }
        if !context.shows_connection(c) {
            return Ok(());
        }
        let bytes = |n: Option<u64>| n.map_or("-".to_owned(), |n| short_bytes(n as f64));
        let sent_and_received = |last: &str| {
            let (tx, rx) = (bytes(c.tx_bytes), bytes(c.rx_bytes));
            format!("{tx:>5} {rx:>5} {last:>5}")
        };
        let took = c.duration_us.map_or("-".to_owned(), took);
        let errno = c.errno.map(errno_name);
        let (result, mut color) = match c.outcome {
            Outcome::Connected | Outcome::Sent if c.duration_us.is_none() => {
                (sent_and_received("open"), Color::Dim)
            }
            Outcome::Connected | Outcome::Sent => (sent_and_received(&took), Color::Plain),
            Outcome::Reset => (sent_and_received(&took) + " reset", Color::Red),
            Outcome::InProgress => ("connecting".to_owned(), Color::Dim),
            Outcome::Failed => match errno {
                Some(errno) => (format!("failed: {errno}"), Color::Red),
                None => ("failed".to_owned(), Color::Red),
            },
            outcome => (outcome.as_str().to_owned(), Color::Red),
        };
        let mut result = format!("{result:>RESULT$}");
        if let (Some(event), Some(verdict)) = (decided_event(c), &c.verdict) {
            let rule = printable(&verdict.rule);
            let text = match verdict.enforced || !verdict.action.stops() {
                true => format!("{event}: {rule}"),
                false => format!("would be blocked: {rule}"),
            };
            (result, color) = match verdict.stopped() {
                true => (format!("{text:>RESULT$}"), Color::Red),
                false => (format!("{result}  {text}"), Color::Yellow),
            };
        }
        let ts = c.ts + c.duration_us.unwrap_or(0) * 1000;
        let destination = destination(c);
        self.line(out, ts, &c.process, &destination, &result, color, context)
    }

    /// A lookup that led to nothing.
    fn lookup(&mut self, out: &mut dyn Write, l: &Lookup, context: &Context) -> io::Result<()> {
        let result = match (l.status, l.rcode.as_deref()) {
            (LookupStatus::Answered, Some("NOERROR") | None) => return Ok(()),
            (LookupStatus::Answered, Some(rcode)) => printable(rcode).into_owned(),
            (LookupStatus::Unanswered, _) if !l.server.ip.is_multicast() => "no answer".to_owned(),
            (LookupStatus::Unsent, _) => "denied".to_owned(),
            _ => return Ok(()),
        };
        if !context.shows_lookup(l, true) {
            return Ok(());
        }
        let name = printable(l.qname.as_deref().unwrap_or("-"));
        let name = match l.qtype.as_deref() {
            Some(qtype) => format!("lookup of {name} {}", printable(qtype)),
            None => format!("lookup of {name}"),
        };
        let result = format!("{result:>RESULT$}");
        let ts = l.ts + l.latency_us.unwrap_or(0) * 1000;
        self.line(out, ts, &l.process, &name, &result, Color::Yellow, context)
    }

    /// What was done to a process.
    fn acted(
        &mut self,
        out: &mut dyn Write,
        action: &ProcessAction,
        context: &Context,
    ) -> io::Result<()> {
        let c = &action.connection;
        if !context.shows_connection(c) {
            return Ok(());
        }
        let rule = c.verdict.as_ref().map_or("", |v| &v.rule);
        let why = action.why.as_deref().map(|why| format!(" ({why})"));
        let file = action.file.as_deref().map(|file| format!(" into {file}"));
        let text = format!(
            "{}: {rule}{}{}",
            acted_event(action),
            file.unwrap_or_default(),
            why.unwrap_or_default()
        );
        let (text, to) = (printable(&text), destination(c));
        self.line(out, action.ts, &c.process, &to, &text, Color::Red, context)
    }

    #[expect(clippy::too_many_arguments)] // the parts of a line
    fn line(
        &mut self,
        out: &mut dyn Write,
        ts: i64,
        process: &Process,
        destination: &str,
        result: &str,
        color: Color,
        context: &Context,
    ) -> io::Result<()> {
        let time = (self.local)(ts);
        let columns = (self.options.columns)
            .saturating_sub(TIME + PROCESS + RESULT + 3)
            .clamp(LEAST_DESTINATION, MOST_DESTINATION);
        if self.day != Some(time.date_naive()) {
            let titles = match self.day {
                None => format!(
                    "{:TIME$} {:PROCESS$} {:columns$} {:>5} {:>5} {:>5}\n",
                    "TIME", "PROCESS", "TO", "SENT", "RECV", "TOOK"
                ),
                Some(_) => String::new(),
            };
            let day = time.format("%Y-%m-%d, UTC%:z\n").to_string();
            self.day = Some(time.date_naive());
            for line in [day, titles] {
                out.write_all(self.colored(&line, Color::Dim).as_bytes())?;
            }
        }
        let time = time.format("%H:%M:%S").to_string();
        let process = process_label(process, context);
        let line = format!(
            "{} {} {} {}\n",
            self.colored(&time, Color::Dim),
            padded(&process, PROCESS),
            padded(destination, columns),
            self.colored(result, color)
        );
        out.write_all(line.as_bytes())
    }

    fn colored<'a>(&self, text: &'a str, color: Color) -> Cow<'a, str> {
        let code = match color {
            _ if !self.options.color || text.is_empty() => return text.into(),
            Color::Plain => return text.into(),
            Color::Dim => 2,
            Color::Red => 31,
            Color::Yellow => 33,
        };
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (text, ""),
        };
        format!("\x1b[{code}m{text}\x1b[0m{end}").into()
    }
}

/// Whether nothing more comes of an attempt or flow: it failed, or was refused.
fn is_over(c: &Connection) -> bool {
    !matches!(
        c.outcome,
        Outcome::InProgress | Outcome::Connected | Outcome::Sent | Outcome::Reset
    )
}

/// `text` and blanks up to `columns`; longer text stays whole.
fn padded(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The container, if it runs in one, the short name, and the pid.
fn process_label(p: &Process, context: &Context) -> String {
    let name = format!("{}[{}]", p.comm, p.pid);
    let label = match p.container.as_deref() {
        Some(container) => {
            let label = context.containers.label(container);
            // an id without a name
            let short = label.get(..12).filter(|_| label.len() == 64);
            format!("{}/{name}", short.unwrap_or(label))
        }
        None => name,
    };
    printable(&label).into_owned()
}

/// The host or the address, the port, and the protocol if it is not TCP; `?` where the name is not
/// certain: others have the address too, or another process looked it up.
fn destination(c: &Connection) -> String {
    let address = match c.dst_ip() {
        Some(ip) => ip.to_string(),
        None => "-".to_owned(),
    };
    let port = c
        .dst_port()
        .map_or(String::new(), |port| format!(":{port}"));
    let bare = match (address.contains(':'), port.is_empty()) {
        (true, false) => format!("[{address}]"),
        _ => address,
    };
    let (host, doubt) = match &c.name {
        Some(name) => {
            let certain = matches!(
                name.source,
                Source::Process | Source::Ancestor | Source::Hosts | Source::Sni
            );
            let doubt = if certain && name.rivals == 0 { "" } else { "?" };
            (printable(&name.host).into_owned(), doubt)
        }
        None => (bare, ""),
    };
    let protocol = match c.protocol {
        Protocol::Tcp => String::new(),
        protocol if port.is_empty() => format!(" {}", protocol.as_str()),
        protocol => format!("/{}", protocol.as_str()),
    };
    let to = format!("{host}{port}{protocol}{doubt}");
    let to = match c.proxied() {
        Some((asked, port)) => format!("{}:{port} by {to}", printable(&asked.text)),
        None => to,
    };
    match c.inbound {
        true => format!("from {to}"),
        false => to,
    }
}

/// A duration in five columns.
fn took(us: i64) -> String {
    match us {
        ..1_000 => "<1ms".to_owned(),
        1_000..999_500 => format!("{}ms", (us + 500) / 1_000),
        us => crate::human::short_duration(us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::{connection, lookup};
    use crate::model::{Name, Progress};
    use crate::print::tests::context;

    fn compact(columns: usize, color: bool) -> Compact {
        Compact {
            local: |ts| chrono::Utc.timestamp_nanos(ts).fixed_offset(),
            ..Compact::new(CompactOptions {
                columns,
                color,
                dns_ports: vec![53],
            })
        }
    }

    fn write(compact: &mut Compact, records: &[Record]) -> String {
        let mut out = Vec::new();
        for record in records {
            compact.write(&mut out, record, &context()).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn named(number: u64, host: &str, rivals: usize) -> Connection {
        let mut c = connection("curl");
        c.number = number;
        c.name = Some(Name {
            host: host.into(),
            source: Source::Process,
            age_ms: Some(3),
            lookup: Some(1),
            rivals,
            rival_names: vec![],
        });
        c
    }

    fn closed(mut c: Connection) -> Record {
        c.outcome = Outcome::Connected;
        (c.tx_bytes, c.rx_bytes) = (Some(79), Some(1_443));
        c.duration_us = Some(61_012_000);
        Record::Closed(c)
    }

    #[test]
    fn connection_has_one_line_when_it_ends() {
        let mut compact = compact(80, false);
        let c = named(1, "api.example.com", 0);
        let mut connected = c.clone();
        connected.outcome = Outcome::Connected;
        let mut failed = named(2, "a-long-name.example.com", 1);
        failed.outcome = Outcome::Refused;
        failed.errno = Some(111);
        let mut late = named(3, "late.example.com", 0);
        late.outcome = Outcome::Failed;
        let text = write(
            &mut compact,
            &[
                Record::Opened(c.clone()),
                Record::Outcome(connected),
                closed(c),
                Record::Opened(named(2, "a-long-name.example.com", 1)),
                Record::Outcome(failed.clone()),
                // connect's errno, after what the policy decided
                Record::Outcome(failed),
                Record::Opened(named(3, "late.example.com", 0)),
                Record::Closed(late),
            ],
        );
        let expected = "\
1970-01-01, UTC+00:00
TIME     PROCESS                TO                              SENT  RECV  TOOK
00:01:01 curl[2074]             api.example.com:443               79  1.4K    1m
00:00:00 curl[2074]             a-long-name.example.com:443?             refused
00:00:00 curl[2074]             late.example.com:443                      failed
";
        assert_eq!(text, expected);
        assert!(expected.lines().all(|line| width(line) <= 80));
        assert!(compact.waiting.is_empty());
    }

    #[test]
    fn open_connection_has_a_line_after_a_while_and_another_at_its_end() {
        let mut compact = compact(80, false);
        let c = named(1, "x.example", 0);
        assert_eq!(write(&mut compact, &[Record::Opened(c.clone())]), "");
        assert!(compact.due_within().unwrap() <= OPEN_AFTER);
        compact.waiting.get_mut(&1).unwrap().due = Instant::now();
        let mut read = c.clone();
        read.outcome = Outcome::Connected;
        (read.tx_bytes, read.rx_bytes) = (Some(5), Some(0));
        let progress = Record::Progress(Progress {
            connection: read,
            ts: 0,
            due: false,
        });
        assert_eq!(write(&mut compact, &[progress]), "");
        let mut out = Vec::new();
        compact.flush(&mut out, &context(), false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("    5     0  open\n"), "{text}");
        assert!(write(&mut compact, &[closed(c)]).ends_with("   79  1.4K    1m\n"));
    }

    #[test]
    fn lookups_are_left_out_unless_they_fail() {
        let mut compact = compact(80, false);
        let mut dns = connection("curl");
        dns.protocol = Protocol::Udp;
        dns.outcome = Outcome::Sent;
        dns.dst.port = 53;
        let good = lookup("a.example", "192.0.2.1");
        let mut bad = good.clone();
        bad.rcode = Some("NXDOMAIN".into());
        let records = [
            Record::Opened(dns.clone()),
            Record::Query(good.clone()),
            Record::Lookup(good),
            closed(dns),
            Record::Lookup(bad),
        ];
        let text = write(&mut compact, &records);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains("lookup of a.example A ") && lines[0].ends_with(" NXDOMAIN"));
    }

    #[test]
    fn hostile_names_stay_on_their_line_and_waiting_ones_are_bounded() {
        let mut compact = compact(80, true);
        let mut c = named(0, "a\n\x1b[2Jb", 0);
        c.process = std::rc::Rc::new(crate::model::builders::process("\x1b]0;x\x07\n"));
        c.dst.ip = "2001:db8::1".parse().unwrap();
        let mut text = String::new();
        for number in 1..=MAX_WAITING as u64 + 2 {
            c.number = number;
            text += &write(&mut compact, &[Record::Opened(c.clone())]);
        }
        let mut lines = text.lines().skip(2);
        let line = lines.next().unwrap();
        assert!(line.contains(r"\x1b]0;x\x07\n[2074]"), "{line}");
        assert!(line.contains(r"a\n\x1b[2Jb:443"), "{line}");
        assert_eq!(lines.count(), 1);
        assert_eq!(compact.waiting.len(), MAX_WAITING);
    }
}
