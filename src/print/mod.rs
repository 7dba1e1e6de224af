//! The live log: records in, lines out: compact ones for people at a terminal, text in the original
//! egrets' format, or JSON. A line waits a moment for its container's details, and all later lines
//! with it, as they are in the order in which things happened.

mod classic;
mod compact;
mod destination;
mod ecs;
mod fields;
mod json;
mod ocsf;
mod queue;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use compact::Compact;
pub use compact::CompactOptions;
pub use destination::{Destination, FileDestination, LogDaemon};
use fields::Fields;
pub use queue::LineQueue;

use crate::columns::RowContext;
use crate::model::{
    Action, ActionOutcome, Connection, Container, ContainerDetails, ContainerTable,
    ExecutableTable, Lookup, Process, ProcessAction, Progress, Record, Run,
};

#[derive(Debug, Clone)]
pub enum LineFormat {
    Compact(CompactOptions),
    Classic,
    Json,
    /// The Elastic Common Schema, as an event of this host.
    Ecs {
        host: String,
    },
    /// The Open Cybersecurity Schema Framework, likewise.
    Ocsf {
        host: String,
    },
}

/// How long a line waits for its container's details.
const DETAILS_TIMEOUT: Duration = Duration::from_millis(500);
/// How soon to look again while one waits.
const HELD_LINE: Duration = Duration::from_millis(20);

enum Writer {
    Compact(Compact),
    Classic,
    Json,
    Schema { fields: SchemaFields, host: String },
}

/// The fields of an event, on a host of this name, in a published schema.
type SchemaFields = fn(&Event<'_>, &str, &Context) -> Fields;

/// Chooses the lines of the live log, each by what is known when it is written.
pub trait LineFilter {
    fn shows_connection(&self, c: &Connection, context: &RowContext<'_>) -> bool;

    /// `answered` is false for a query whose answer is still to come.
    fn shows_lookup(&self, l: &Lookup, answered: bool, context: &RowContext<'_>) -> bool;
}

pub struct Printer {
    writer: Writer,
    out: Box<dyn Write>,
    held: VecDeque<(Instant, Record)>,
    context: Context,
}

/// What a line shows beside its record.
struct Context {
    run: Run,
    /// Nanoseconds since 1970: text lines count their seconds from here.
    start_ts: i64,
    containers: ContainerTable,
    executables: ExecutableTable,
    /// None shows all lines.
    filter: Option<Box<dyn LineFilter>>,
}

impl Context {
    fn shows_connection(&self, c: &Connection) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.shows_connection(c, &self.row()))
    }

    fn shows_lookup(&self, l: &Lookup, answered: bool) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.shows_lookup(l, answered, &self.row()))
    }

    /// Whether the line of a record is shown, in a form that has one each.
    fn shows(&self, record: &Record) -> bool {
        match record {
            Record::Query(l) => self.shows_lookup(l, false),
            Record::Lookup(l) => self.shows_lookup(l, true),
            record => connection_of(record).is_none_or(|c| self.shows_connection(c)),
        }
    }

    fn row(&self) -> RowContext<'_> {
        RowContext {
            run: self.run,
            containers: &self.containers,
            executables: &self.executables,
        }
    }

    fn details(&self, process: &Process) -> Option<&ContainerDetails> {
        self.containers.details(process.container.as_deref()?)
    }
}

fn outer(process: &Process) -> Option<&Container> {
    process.container.as_deref()?.outer.as_deref()
}

impl Printer {
    /// Classic lines count their seconds from `start_ts`, nanoseconds since 1970.
    pub fn new(format: LineFormat, out: Box<dyn Write>, start_ts: i64, run: Run) -> Printer {
        Printer {
            writer: match format {
                LineFormat::Compact(options) => Writer::Compact(Compact::new(options)),
                LineFormat::Classic => Writer::Classic,
                LineFormat::Json => Writer::Json,
                LineFormat::Ecs { host } => Writer::Schema {
                    fields: ecs::fields,
                    host,
                },
                LineFormat::Ocsf { host } => Writer::Schema {
                    fields: ocsf::fields,
                    host,
                },
            },
            out,
            held: VecDeque::new(),
            context: Context {
                run,
                start_ts,
                containers: ContainerTable::default(),
                executables: ExecutableTable::default(),
                filter: None,
            },
        }
    }

    /// Writes only the lines that this one shows.
    pub fn only(mut self, filter: Box<dyn LineFilter>) -> Printer {
        self.context.filter = Some(filter);
        self
    }

    pub fn add(&mut self, record: &Record) {
        match record {
            // applies to lines that wait for it, too
            Record::Container(update) => self.context.containers.update(update),
            Record::Executable(update) => self.context.executables.update(update),
            record if process_of(record).is_some() => {
                self.held.push_back((Instant::now(), record.clone()));
            }
            _ => {}
        }
    }

    /// Prints the lines that need not wait.
    pub fn flush(&mut self) -> io::Result<()> {
        self.print(DETAILS_TIMEOUT)
    }

    /// Prints all lines.
    pub fn finish(&mut self) -> io::Result<()> {
        self.print(Duration::ZERO)
    }

    /// How soon a line that waits needs another flush.
    pub fn flush_within(&self) -> Option<Duration> {
        match &self.writer {
            _ if !self.held.is_empty() => Some(HELD_LINE),
            Writer::Compact(compact) => compact.due_within(),
            _ => None,
        }
    }

    fn print(&mut self, timeout: Duration) -> io::Result<()> {
        while let Some((since, record)) = self.held.front() {
            if self.is_pending(record) && since.elapsed() < timeout {
                break;
            }
            // A record is written at once: what takes lines takes or drops whole ones.
            let mut lines = Vec::new();
            let (out, context) = (&mut lines, &self.context);
            match &mut self.writer {
                // what it leaves out now may change a line that it writes later
                Writer::Compact(compact) => compact.write(out, record, context)?,
                _ if !context.shows(record) => {}
                Writer::Classic => classic::write(out, record, context)?,
                Writer::Json => json::write(out, record, context)?,
                Writer::Schema { fields, host } => {
                    if let Some(event) = event(record) {
                        fields(&event, host, context).write(out)?;
                    }
                }
            }
            self.held.pop_front();
            self.out.write_all(&lines)?;
        }
        if let Writer::Compact(compact) = &mut self.writer {
            let mut lines = Vec::new();
            compact.flush(&mut lines, &self.context, timeout.is_zero())?;
            self.out.write_all(&lines)?;
        }
        self.out.flush()
    }

    fn is_pending(&self, record: &Record) -> bool {
        process_of(record)
            .and_then(|p| p.container.as_ref())
            .is_some_and(|container| self.context.containers.is_pending(container))
    }
}

/// What happened, in the forms that have an object an event.
struct Event<'a> {
    /// The live log's name for it.
    name: &'static str,
    /// Nanoseconds since 1970: when it happened, as far as that is known.
    ts: i64,
    subject: Subject<'a>,
}

enum Subject<'a> {
    Connection(&'a Connection),
    Lookup(&'a Lookup),
}

/// A moment, in nanoseconds, so many microseconds later.
fn after(ts: i64, us: Option<i64>) -> i64 {
    ts.saturating_add(us.unwrap_or(0).saturating_mul(1000))
}

/// The event of a record; some have none.
fn event(record: &Record) -> Option<Event<'_>> {
    let (name, ts, subject) = match record {
        Record::Query(l) => ("dns.query", l.ts, Subject::Lookup(l)),
        Record::Lookup(l) => ("dns", after(l.ts, l.latency_us), Subject::Lookup(l)),
        Record::Opened(c) => ("connect", c.ts, Subject::Connection(c)),
        Record::Outcome(c) => {
            let ts = after(c.ts, c.latency_us.or(c.duration_us));
            ("outcome", ts, Subject::Connection(c))
        }
        Record::Named(c) | Record::NamedAfterEnd(c) => ("named", c.ts, Subject::Connection(c)),
        Record::Decided(c) => (decided_event(c)?, c.ts, Subject::Connection(c)),
        Record::Acted(action) => {
            let c = &action.connection;
            (acted_event(action), c.ts, Subject::Connection(c))
        }
        Record::Closed(c) => ("close", after(c.ts, c.duration_us), Subject::Connection(c)),
        Record::Progress(p) if p.due => ("progress", p.ts, Subject::Connection(&p.connection)),
        // progress that is not due, and what has no line in any form
        _ => return None,
    };
    Some(Event { name, ts, subject })
}

/// The event of a verdict; None for one that lets through without a word.
fn decided_event(c: &Connection) -> Option<&'static str> {
    let verdict = c.verdict.as_ref()?;
    match verdict.action {
        Action::Allow => None,
        _ if verdict.stopped() => Some("blocked"),
        _ => Some("alert"),
    }
}

/// What was done to the process, or that nothing was.
fn acted_event(action: &ProcessAction) -> &'static str {
    let verdict = action.connection.verdict.as_ref();
    let is_done = verdict.is_some_and(|v| v.action_outcome == Some(ActionOutcome::Done));
    match verdict.map(|v| v.action) {
        Some(Action::Suspend) if is_done => "suspended",
        Some(Action::Dump) if is_done && action.file.is_some() => "dumped",
        _ if is_done => "killed",
        _ => "spared",
    }
}

/// The process that a record is about; one about no process has no line in any form.
fn process_of(record: &Record) -> Option<&Process> {
    match record {
        Record::Query(l) | Record::Lookup(l) => Some(&l.process),
        record => connection_of(record).map(|c| &*c.process),
    }
}

fn connection_of(record: &Record) -> Option<&Connection> {
    match record {
        Record::Acted(action) => Some(&action.connection),
        Record::Opened(c)
        | Record::Outcome(c)
        | Record::Decided(c)
        | Record::Named(c)
        | Record::NamedAfterEnd(c)
        | Record::Progress(Progress { connection: c, .. })
        | Record::Closed(c) => Some(c),
        Record::Query(_)
        | Record::Lookup(_)
        | Record::Container(_)
        | Record::Executable(_)
        | Record::Cgroup(_)
        | Record::Policy(_)
        | Record::PolicyRefused(_)
        | Record::PolicyConfirmed(_)
        | Record::PolicyHits(_)
        | Record::Counted(_)
        | Record::Gap(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::model::builders::{self, connection, process};
    use crate::model::{
        ContainerUpdate, Details, Endpoint, Geo, Name, Outcome, Source, WireName, WireNames,
    };

    pub fn context() -> Context {
        Context {
            run: Run::new(0),
            start_ts: 0,
            containers: ContainerTable::default(),
            executables: ExecutableTable::default(),
            filter: None,
        }
    }

    /// With a value in every column.
    pub fn full_connection() -> Connection {
        let container = |serial, outer| Container {
            uid: 0,
            serial,
            id: format!("id{serial}"),
            runtime: None,
            outer,
        };
        let mut c = builders::connection("curl");
        let process = Rc::get_mut(&mut c.process).unwrap();
        (process.uid, process.user) = (1000, Some("alice".into()));
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
        c.geo = Some(Rc::new(Geo {
            country: Some("DE".into()),
            asn: Some(64500),
            as_org: Some("Example AS".into()),
        }));
        let sent = |text: &str| Some(WireName::new(text.as_bytes()));
        c.wire = Some(Rc::new(WireNames {
            sni: sent("sni.example"),
            sni_ech: true,
            alpn: Some("h2".into()),
            http_host: sent("http.example"),
            proxied: sent("proxied.example").map(|name| (name, 8443)),
        }));
        c.outcome = Outcome::Reset;
        c.errno = Some(libc::ECONNRESET);
        (c.latency_us, c.duration_us) = (Some(5), Some(6));
        (c.tx_bytes, c.rx_bytes) = (Some(7), Some(u64::MAX));
        (c.tx_packets, c.rx_packets) = (Some(8), Some(9));
        (c.already_open, c.raw, c.shared_pid) = (true, true, Some(10));
        c
    }

    pub fn full_context() -> Context {
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

    #[derive(Clone, Default)]
    struct Output(Rc<RefCell<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert_eq!(bytes.last(), Some(&b'\n'), "part of a line");
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.borrow_mut())).unwrap()
        }
    }

    #[test]
    fn line_waits_for_its_containers_details_and_holds_back_later_lines() {
        let output = Output::default();
        let mut printer = Printer::new(
            LineFormat::Classic,
            Box::new(output.clone()),
            0,
            Run::new(0),
        );
        let container = Rc::new(Container {
            uid: 0,
            serial: 1,
            id: "c1".into(),
            runtime: None,
            outer: None,
        });
        let update = |details| {
            Record::Container(ContainerUpdate {
                container: Rc::clone(&container),
                details,
            })
        };
        let mut contained = connection("in");
        contained.process = Rc::new(crate::model::Process {
            container: Some(Rc::clone(&container)),
            ..process("in")
        });
        printer.add(&update(Details::Pending));
        printer.add(&Record::Opened(contained));
        printer.add(&Record::Opened(connection("after")));
        printer.flush().unwrap();
        assert_eq!(printer.flush_within(), Some(HELD_LINE));
        assert_eq!(output.take(), "");
        let details = ContainerDetails {
            name: Some("web".into()),
            ..ContainerDetails::default()
        };
        printer.add(&update(details.into()));
        printer.flush().unwrap();
        assert_eq!(printer.flush_within(), None);
        let text = output.take();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("comm=in") && lines[0].contains("container.name=web"));
        assert!(lines[1].contains("comm=after"));
    }

    /// A queue that has no room drops what it is given at once: that has to be lines.
    #[test]
    fn records_are_written_in_whole_lines() {
        let host = || "web1".to_owned();
        let compact = CompactOptions {
            columns: 80,
            color: false,
            dns_ports: Vec::new(),
        };
        for format in [
            LineFormat::Compact(compact),
            LineFormat::Classic,
            LineFormat::Json,
            LineFormat::Ecs { host: host() },
            LineFormat::Ocsf { host: host() },
        ] {
            let output = Output::default();
            let mut printer = Printer::new(format, Box::new(output.clone()), 0, Run::new(0));
            printer.add(&Record::Opened(full_connection()));
            printer.add(&Record::Closed(full_connection()));
            printer.finish().unwrap();
            assert_ne!(output.take(), "");
        }
    }
}
