//! Questions as conditions on single records, for the live log. SQLite evaluates the same SQL that
//! answers a question from a history, over one row that is bound to it, so both agree.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeZone};
use rusqlite::{Connection as Db, Statement};

use super::ast::{NAMED, Predicate, Projection, Question, Relation, Subject};
use super::english::parse;
use super::filter::selects_rows;
use super::host::Host;
use super::resolve::settle;
use super::sql;
use crate::columns::{ColumnDef, DNS, EGRESS, RowContext, Value};
use crate::model::{Connection, Lookup, Process, UNKNOWN, mapped};
use crate::text::printable;

/// Which records of a live log are shown.
pub struct LiveFilter {
    db: Db,
    connections: Row,
    lookups: Row,
    /// Of a lookup that has no answer yet.
    queries: Row,
    /// How the questions were read, where that is not what they say.
    pub readings: Vec<String>,
}

/// A question of `--show` or `--hide`.
struct Condition {
    question: Question,
    /// It is about connections, and says so.
    connections_only: bool,
}

/// The statement whose only value is whether a record is shown, and its parameters.
struct Row {
    sql: String,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Copy)]
enum Parameter {
    Column(&'static ColumnDef),
    /// As `dst_addr` of the view.
    Address,
    /// What started the process, as JSON.
    Ancestors,
}

impl LiveFilter {
    /// Shows what any of the first questions selects, or everything without one, except what any
    /// of the others selects.
    ///
    /// # Errors
    /// A question that is not understood, or that a single record does not answer.
    pub fn new<Tz: TimeZone>(
        show: &[String],
        hide: &[String],
        now: &DateTime<Tz>,
    ) -> Result<LiveFilter> {
        let mut readings = Vec::new();
        let mut conditions = |option: &str, questions: &[String]| {
            let all = questions.iter().map(|text| {
                Condition::parse(text, now, &mut readings).with_context(|| {
                    let text = printable(text);
                    format!("{option} \"{text}\" can't choose the lines of the live log")
                })
            });
            all.collect::<Result<Vec<_>>>()
        };
        let show = conditions("--show", show)?;
        let hide = conditions("--hide", hide)?;
        let row = |relation, answered| Row::new(relation, answered, &show, &hide);
        let filter = LiveFilter {
            db: Db::open_in_memory()?,
            connections: row(Relation::Connections, true),
            lookups: row(Relation::Lookups, true),
            queries: row(Relation::Lookups, false),
            readings,
        };
        for row in [&filter.connections, &filter.lookups, &filter.queries] {
            filter.db.prepare_cached(&row.sql)?;
        }
        Ok(filter)
    }

    /// Whether a connection is shown, as far as it is known now.
    pub fn shows_connection(&self, c: &Connection, context: &RowContext<'_>) -> bool {
        let value = |column: &'static ColumnDef| column.of_connection(c, context);
        self.shows(&self.connections, value, &c.process, c.dst.ip)
    }

    /// Whether a lookup is shown, or its query while there is no answer.
    pub fn shows_lookup(&self, l: &Lookup, answered: bool, context: &RowContext<'_>) -> bool {
        let row = match answered {
            true => &self.lookups,
            false => &self.queries,
        };
        let value = |column: &'static ColumnDef| column.of_lookup(l, context);
        self.shows(row, value, &l.process, UNKNOWN.ip)
    }

    /// What SQLite refuses to evaluate is shown: an answer that is too long is better than one that
    /// lacks something.
    fn shows<'a>(
        &self,
        row: &Row,
        value: impl Fn(&'static ColumnDef) -> Value<'a>,
        process: &Process,
        dst: IpAddr,
    ) -> bool {
        let evaluated = || {
            let mut statement = self.db.prepare_cached(&row.sql)?;
            for (number, parameter) in (1..).zip(&row.parameters) {
                bind(&mut statement, number, *parameter, &value, process, dst)?;
            }
            match statement.raw_query().next()? {
                Some(row) => row.get(0),
                None => Ok(true),
            }
        };
        evaluated().unwrap_or(true)
    }
}

fn bind<'a>(
    statement: &mut Statement<'_>,
    number: usize,
    parameter: Parameter,
    value: &impl Fn(&'static ColumnDef) -> Value<'a>,
    process: &Process,
    dst: IpAddr,
) -> rusqlite::Result<()> {
    match parameter {
        Parameter::Column(column) => statement.raw_bind_parameter(number, value(column)),
        Parameter::Address => statement.raw_bind_parameter(number, mapped(dst)),
        Parameter::Ancestors => statement.raw_bind_parameter(number, ancestors(process)),
    }
}

/// Pid, short name and executable of what started a process, nearest first.
fn ancestors(process: &Process) -> String {
    let above = std::iter::successors(process.parent.as_deref(), |a| a.parent.as_deref());
    let above = above.map(|a| serde_json::json!([a.pid, a.comm, a.exe]));
    serde_json::Value::from_iter(above).to_string()
}

impl Condition {
    fn parse<Tz: TimeZone>(
        text: &str,
        now: &DateTime<Tz>,
        readings: &mut Vec<String>,
    ) -> Result<Condition> {
        let (question, is_whole) =
            match (parse(text, now), parse(&format!("connections {text}"), now)) {
                (Err(_), Ok(question)) => (question, false),
                (question, _) => (question?, true),
            };
        let (mut question, read) = settle(None, &question)?;
        readings.extend(read);
        selects_rows(&question)?;
        if question.since.is_some() || question.until.is_some() {
            bail!("it shows what happens now: leave the time out");
        }
        // "process postgres" is no user
        let of_processes = text.split_whitespace().any(is_process);
        for predicate in &mut question.predicates {
            resolve(predicate, of_processes, readings)?;
        }
        Ok(Condition {
            connections_only: is_whole && question.projection == Projection::Each,
            question,
        })
    }

    /// The condition on a row of this relation, if the question is about such rows.
    fn sql(&self, relation: Relation, answered: bool) -> Option<String> {
        let mut question = self.question.clone();
        let applies = match (question.relation, relation) {
            (Relation::Connections, Relation::Connections) => true,
            (Relation::Lookups, Relation::Connections) => false,
            (Relation::Lookups, Relation::Lookups) => {
                answered || !question.predicates.iter().any(is_about_answers)
            }
            (Relation::Connections, Relation::Lookups) => {
                let mut predicates = question.predicates.iter();
                !self.connections_only && predicates.all(|p| sql::has_columns(relation, p))
            }
        };
        let about_lookups = question.relation == Relation::Lookups;
        question.relation = relation;
        let condition = || match about_lookups {
            true => format!(
                "{}\n  AND {}",
                sql::row_condition(&question),
                sql::HAS_QUERY
            ),
            false => sql::row_condition(&question),
        };
        applies.then(condition)
    }
}

/// Whether a lookup meets it can't be known before its answer.
fn is_about_answers(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Not(of) | Predicate::Elsewhere(of) => is_about_answers(of),
        Predicate::Any(of) | Predicate::All(of) => of.iter().any(is_about_answers),
        Predicate::Failed
        | Predicate::Succeeded
        | Predicate::Rcode(_)
        | Predicate::Unanswered
        | Predicate::Compared(_) => true,
        _ => false,
    }
}

/// Whether a word says that a name is a process'.
fn is_process(word: &str) -> bool {
    let nouns = ["process", "processes", "program", "programs"];
    nouns.iter().any(|noun| word.eq_ignore_ascii_case(noun))
}

/// A name without a noun is that of whatever has it, as no history says what that is.
fn resolve(
    predicate: &mut Predicate,
    of_processes: bool,
    readings: &mut Vec<String>,
) -> Result<()> {
    match predicate {
        Predicate::Not(of) | Predicate::Elsewhere(of) => resolve(of, of_processes, readings),
        Predicate::Any(of) | Predicate::All(of) => of
            .iter_mut()
            .try_for_each(|of| resolve(of, of_processes, readings)),
        Predicate::By(Subject::Those { .. }) => {
            bail!("one line does not say what else its process, user or container did")
        }
        Predicate::By(Subject::Process(name)) if !name.starts_with('/') && !of_processes => {
            let any = NAMED.map(|kind| Predicate::By(kind(name.clone())));
            *predicate = Predicate::Any(any.into());
            Ok(())
        }
        Predicate::To(Host::Domain(name)) => {
            let mut hosts = vec![Host::Domain(name.clone())];
            if !name.contains('.') {
                // "github" is api.github.com, too
                let shown = printable(name);
                readings.push(format!("{shown}: any name with the label {shown}"));
                hosts.push(Host::Label(name.clone()));
            }
            let of = |host: Host| [Predicate::To(host.clone()), Predicate::Sent(host)];
            *predicate = Predicate::Any(hosts.into_iter().flat_map(of).collect());
            Ok(())
        }
        _ => Ok(()),
    }
}

impl Row {
    fn new(relation: Relation, answered: bool, show: &[Condition], hide: &[Condition]) -> Row {
        let any = |conditions: &[Condition]| {
            let all = conditions.iter().filter_map(|c| c.sql(relation, answered));
            Vec::from_iter(all.map(|sql| format!("({sql})"))).join("\n  OR ")
        };
        let (shown, hidden) = (any(show), any(hide));
        let mut all = Vec::new();
        match (show.is_empty(), shown.is_empty()) {
            (true, _) => {}
            (false, true) => all.push("0".to_owned()),
            (false, false) => all.push(format!("({shown})")),
        }
        if !hidden.is_empty() {
            all.push(format!("NOT coalesce(({hidden}), 0)"));
        }
        let condition = match all.is_empty() {
            true => "1".to_owned(),
            false => all.join("\n  AND "),
        };
        let (view, total, columns) = match relation {
            Relation::Connections => ("egress", "egress_total", connection_columns()),
            Relation::Lookups => ("lookups", "lookups_total", lookup_columns()),
        };
        // A name that only occurs within another one costs a parameter.
        let used = columns.filter(|(name, _)| condition.contains(name));
        let (mut names, mut parameters) = (String::new(), Vec::new());
        let mut values = String::new();
        for (name, parameter) in used {
            parameters.push(parameter);
            names += &format!(", {name}");
            values += &format!(", ?{}", parameters.len());
        }
        let mut sources = format!("{view}(process_id{names}) AS (VALUES (1{values}))");
        if condition.contains(total) {
            sources += &format!(",\n  {total} AS (SELECT * FROM {view})");
        }
        if condition.contains("recordings") {
            // what is open has no duration yet: its last line does
            sources +=
                ",\n  recordings(id, start_ts, seen_ts, boot_id) AS (VALUES (1, 0, NULL, NULL))";
        }
        if condition.contains("ancestors") {
            parameters.push(Parameter::Ancestors);
            sources += &format!(
                ",\n  ancestors(process_id, pid, comm, exe) AS (\n    \
                 SELECT 1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?{}))",
                parameters.len()
            );
        }
        Row {
            sql: format!("WITH {sources}\nSELECT EXISTS (SELECT 1 FROM {view} WHERE {condition})"),
            parameters,
        }
    }
}

/// The columns of the view `egress`.
fn connection_columns() -> Box<dyn Iterator<Item = (&'static str, Parameter)>> {
    let columns = EGRESS.iter().filter(|column| column.is_in_json());
    let columns = columns.map(|column| (column.name, Parameter::Column(column)));
    Box::new(columns.chain([("dst_addr", Parameter::Address)]))
}

/// The columns of the view `lookups`: those of its process are defined with `egress`.
fn lookup_columns() -> Box<dyn Iterator<Item = (&'static str, Parameter)>> {
    let own = DNS.iter().filter(|column| column.is_in_json());
    let is_other = |column: &&ColumnDef| {
        DNS.iter()
            .all(|own| own.name != column.name || !own.is_in_json())
    };
    let columns = own.chain(EGRESS.iter().filter(is_other));
    Box::new(columns.map(|column| (column.name, Parameter::Column(column))))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::io;
    use std::rc::Rc;

    use chrono::Utc;
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::model::builders;
    use crate::model::*;
    use crate::print::{CompactOptions, LineFilter, LineFormat, Printer};
    use crate::store::open_reader;
    use crate::store::tests::support;

    const NOW: i64 = 1_795_442_400_000_000_000;

    fn filter(show: &[&str], hide: &[&str]) -> Result<LiveFilter> {
        let owned = |all: &[&str]| Vec::from_iter(all.iter().map(|one| (*one).to_owned()));
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        LiveFilter::new(&owned(show), &owned(hide), &now)
    }

    /// Which of a few values each part of a record has.
    type Choice = (usize, usize, usize, usize, usize, usize, usize, usize);

    fn process(serial: u64, (comm, user, place, above, ..): Choice) -> Process {
        let mut p = builders::process(["curl", "nginx", "a-very-long-nam", "o'k"][comm]);
        p.serial = serial;
        p.exe = [Some("/usr/bin/curl"), Some("/opt/x/dig"), None][user % 3].map(str::to_owned);
        (p.uid, p.user) = [(0, Some("root")), (1000, Some("alice")), (1001, None)]
            .map(|(uid, user)| (uid, user.map(str::to_owned)))[user % 3]
            .clone();
        p.unit = [None, Some("web.service".to_owned())][place % 2].clone();
        p.container = (place == 2).then(|| {
            Rc::new(Container {
                uid: 0,
                serial: 7,
                id: "0123456789abcdef".repeat(4),
                runtime: None,
                outer: None,
            })
        });
        let ancestor = |serial, comm: &str, parent| {
            Some(Rc::new(Ancestor {
                serial,
                pid: serial as u32 - 9_500,
                start_ns: 0,
                comm: comm.to_owned(),
                exe: None,
                exe_is_trusted: false,
                cmdline: None,
                parent,
            }))
        };
        p.parent = match above {
            0 => None,
            1 => ancestor(10_001, "bash", None),
            _ => ancestor(10_003, "sh", ancestor(10_002, "make", None)),
        };
        p
    }

    fn connection(number: u64, choice: Choice) -> Connection {
        let (_, _, _, _, name, to, outcome, rest) = choice;
        let mut c = builders::connection("");
        (c.number, c.ts) = (number, NOW + number as i64);
        c.process = Rc::new(process(number, choice));
        let to = [
            "192.0.2.1",
            "10.1.2.3",
            "2001:db8::7",
            "127.0.0.1",
            "10.200.0.1",
        ][to];
        c.dst.ip = to.parse().unwrap();
        c.dst.port = [443, 80, 53, 8080][rest % 4];
        c.protocol = [Protocol::Tcp, Protocol::Udp][rest / 4 % 2];
        let host = [
            None,
            Some("example.com"),
            Some("api.example.com"),
            Some("x.github.io"),
        ][name];
        c.name = host.map(|host| Name {
            host: host.into(),
            source: Source::Process,
            age_ms: None,
            lookup: None,
            rivals: 0,
            rival_names: Vec::new(),
        });
        c.outcome = [
            Outcome::InProgress,
            Outcome::Connected,
            Outcome::Refused,
            Outcome::Denied,
        ][outcome];
        let connected = outcome == 1;
        c.tx_bytes = connected.then_some([700, 5_000_000][rest / 8]);
        c.rx_bytes = connected.then_some(5300);
        c.duration_us = connected.then_some(1000);
        let action = [None, None, Some(Action::Block), Some(Action::Alert)][rest / 2 % 4];
        c.verdict = action.map(|action| Verdict {
            action,
            rule: Rc::from("no-exit"),
            policy: Rc::from("abc"),
            enforced: rest % 2 == 0,
            action_outcome: None,
        });
        c.inbound = rest == 5;
        c
    }

    fn look_up(number: u64, choice: Choice) -> Lookup {
        let (_, _, _, _, name, _, outcome, _) = choice;
        let host = [
            "other.test",
            "example.com",
            "api.example.com",
            "x.github.io",
        ][name];
        let mut l = builders::lookup(host, "192.0.2.1");
        (l.number, l.ts) = (number, NOW + number as i64);
        l.process = Rc::new(process(5000 + number, choice));
        (l.rcode, l.status) = match outcome {
            0 => (None, LookupStatus::Unanswered),
            1 => (Some("NXDOMAIN".to_owned()), LookupStatus::Answered),
            2 => (None, LookupStatus::Malformed),
            _ => (l.rcode, l.status),
        };
        l
    }

    /// The ids that a view has of what a question selects, whose names are taken for what the live
    /// log takes them.
    fn selected(db: &Db, question: &str, view: &str, relation: Relation) -> BTreeSet<i64> {
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        let condition = Condition::parse(question, &now, &mut Vec::new()).unwrap();
        let Some(sql) = condition.sql(relation, true) else {
            return BTreeSet::new();
        };
        let sql = format!("SELECT id FROM {view} WHERE {sql}");
        let mut statement = db.prepare(&sql).unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        ids.map(Result::unwrap).collect()
    }

    #[test]
    fn a_record_is_shown_if_its_row_of_the_history_is_selected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.db");
        let mut store = support::open(&path, 1);
        let run = store.run();
        let choices = (
            0..4usize,
            0..3usize,
            0..3usize,
            0..3usize,
            0..4usize,
            0..5usize,
            0..4usize,
            0..16usize,
        );
        let choices = proptest::collection::vec(choices, 120);
        let choices = choices.new_tree(&mut TestRunner::deterministic()).unwrap();
        let numbered = Vec::from_iter((1..).zip(choices.current()));
        let connections =
            Vec::from_iter(numbered.iter().map(|(n, choice)| connection(*n, *choice)));
        let lookups = Vec::from_iter(numbered.iter().map(|(n, choice)| look_up(*n, *choice)));
        let mut containers = ContainerTable::default();
        for c in &connections {
            store.add(&Record::Opened(c.clone()));
            let Some(container) = &c.process.container else {
                continue;
            };
            let details = ContainerDetails {
                name: Some("web-1".into()),
                ..ContainerDetails::default()
            };
            let update = ContainerUpdate {
                container: Rc::clone(container),
                details: details.into(),
            };
            containers.update(&update);
            store.add(&Record::Container(update));
        }
        for l in &lookups {
            store.add(&Record::Lookup(l.clone()));
        }
        store.commit(NOW + 1000).unwrap();
        let db = open_reader(&path).unwrap();
        let executables = ExecutableTable::default();
        let context = RowContext {
            run,
            containers: &containers,
            executables: &executables,
        };
        for question in [
            "curl",
            "not curl",
            "alice",
            "web-1",
            "web",
            "a-very-long-name-indeed",
            "user root",
            "connections by dig",
            "children of make",
            "what did make and its children talk to",
            "pid 501 and its children",
            "\"o'k\"",
            "example.com",
            "to github",
            "to private IPs",
            "to 10.128.0.0/9",
            "not to 10.0.0.0/8",
            "to 2001:db8::/32",
            "raw IPs",
            "that failed",
            "that did not fail",
            "over udp",
            "to port 80",
            "curl to port 443 or 80",
            "open connections",
            "connections that sent more than 1 MB",
            "blocked connections",
            "connections by rule no-exit",
            "inbound connections",
            "connections since boot",
            "which processes hit example.com",
            "lookups that failed",
            "lookups by curl",
            "which processes resolved example.com",
            "unanswered lookups",
        ] {
            let live = filter(&[question], &[]).unwrap_or_else(|e| panic!("{question}: {e:#}"));
            let others = filter(&[], &[question]).unwrap();
            let (mut shown, mut rest) = (BTreeSet::new(), BTreeSet::new());
            for c in &connections {
                let id = run.connection_id(c.number);
                if live.shows_connection(c, &context) {
                    shown.insert(id);
                }
                if others.shows_connection(c, &context) {
                    rest.insert(id);
                }
            }
            let expected = selected(&db, question, "egress", Relation::Connections);
            assert_eq!(shown, expected, "{question}: {}", live.connections.sql);
            assert_eq!(shown.len() + rest.len(), connections.len(), "{question}");
            assert!(shown.is_disjoint(&rest), "{question}");
            let of_connections = shown.len();

            let is_shown = |l: &&Lookup| live.shows_lookup(l, true, &context);
            let ids = lookups.iter().filter(is_shown);
            let shown = BTreeSet::from_iter(ids.map(|l| run.lookup_id(l.number)));
            let expected = selected(&db, question, "lookups", Relation::Lookups);
            assert_eq!(shown, expected, "{question}: {}", live.lookups.sql);
            let all = connections.len() + lookups.len();
            let some = of_connections + shown.len();
            assert!(some > 0 && some < all, "{question} selects {some} of {all}");
        }
    }

    #[test]
    fn questions_about_several_records_or_a_time_are_refused() {
        for (question, why) in [
            ("top 5 hosts by bytes sent", "can't count, rank or compare"),
            (
                "which hosts are new since monday",
                "can't count, rank or compare",
            ),
            ("connections per hour", "can't count, rank or compare"),
            ("beacons", "can't count, rank or compare"),
            ("connections in the last hour", "leave the time out"),
            (
                "what else did the processes that hit example.com talk to",
                "what else its process",
            ),
            ("gibberish of a kind", "not understood"),
        ] {
            for (show, hide, option) in [
                (&[question][..], &[][..], "--show"),
                (&[], &[question], "--hide"),
            ] {
                let error = filter(show, hide).err().map(|e| format!("{e:#}"));
                let error = error.unwrap_or_else(|| panic!("{question} is accepted"));
                assert!(error.contains(why), "{question}: {error}");
                assert!(error.contains(option), "{question}: {error}");
            }
        }
    }

    #[test]
    fn a_query_is_shown_before_its_answer_unless_the_question_is_about_that() {
        let (containers, executables) = (ContainerTable::default(), ExecutableTable::default());
        let context = RowContext {
            run: Run::new(0),
            containers: &containers,
            executables: &executables,
        };
        let mut query = builders::lookup("example.com", "192.0.2.1");
        (query.rcode, query.status) = (None, LookupStatus::Unanswered);
        let shows = |show: &[&str], hide: &[&str]| {
            filter(show, hide)
                .unwrap()
                .shows_lookup(&query, false, &context)
        };
        assert!(shows(&["curl"], &[]));
        assert!(shows(&["lookups by curl"], &[]));
        assert!(!shows(&["wget"], &[]));
        assert!(!shows(&[], &["example.com"]));
        assert!(!shows(&["lookups that failed"], &[]));
        assert!(shows(&[], &["lookups that failed"]));
    }

    impl LineFilter for LiveFilter {
        fn shows_connection(&self, c: &Connection, context: &RowContext<'_>) -> bool {
            LiveFilter::shows_connection(self, c, context)
        }

        fn shows_lookup(&self, l: &Lookup, answered: bool, context: &RowContext<'_>) -> bool {
            LiveFilter::shows_lookup(self, l, answered, context)
        }
    }

    #[derive(Clone, Default)]
    struct Output(Rc<RefCell<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of an attempt that is refused, and of a lookup that fails.
    fn lines(format: LineFormat, hide: &str) -> String {
        let output = Output::default();
        let printer = Printer::new(format, Box::new(output.clone()), 0, Run::new(0));
        let mut printer = printer.only(Box::new(filter(&[], &[hide]).unwrap()));
        let mut c = builders::connection("curl");
        printer.add(&Record::Opened(c.clone()));
        c.outcome = Outcome::Refused;
        printer.add(&Record::Outcome(c.clone()));
        printer.add(&Record::Closed(c));
        let mut l = builders::lookup("x.example", "192.0.2.1");
        l.rcode = Some("NXDOMAIN".to_owned());
        printer.add(&Record::Lookup(l));
        printer.finish().unwrap();
        String::from_utf8(output.0.take()).unwrap()
    }

    #[test]
    fn every_form_of_the_live_log_leaves_hidden_lines_out() {
        let compact = || {
            LineFormat::Compact(CompactOptions {
                columns: 80,
                color: false,
                dns_ports: Vec::new(),
            })
        };
        for format in [compact(), LineFormat::Classic, LineFormat::Json] {
            assert_eq!(lines(format, "curl"), "");
        }
        // not "connecting", which it was when it would have been shown
        let compact_lines = lines(compact(), "connections that failed");
        assert!(
            compact_lines.contains("lookup of x.example"),
            "{compact_lines}"
        );
        assert!(!compact_lines.contains("192.0.2.1"), "{compact_lines}");
        let classic = lines(LineFormat::Classic, "connections that failed");
        assert!(
            classic.contains("process.tcp_v4") && classic.contains("dns.answer"),
            "{classic}"
        );
        assert!(!classic.contains("refused"), "{classic}");
    }
}
