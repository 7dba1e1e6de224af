//! The tables of a page.

use std::fmt::Display;

use chrono::TimeZone;

use crate::report::model::*;
use crate::report::show::{self, Clock, bytes, count, number};

/// Most rows of the timeline's table.
const MOST_STEPS: usize = 48;

/// A section with its table.
pub struct Table {
    /// For links.
    pub id: &'static str,
    pub title: &'static str,
    pub about: String,
    pub heads: Vec<Head>,
    pub rows: Vec<Vec<Cell>>,
    /// What is said instead of a table without rows.
    pub empty: String,
    pub total: String,
    /// How many rows are left out, in words.
    pub rest: Option<String>,
    pub sql: Option<String>,
    /// The section is about something that should not be.
    pub alarming: bool,
}

pub struct Head {
    pub text: &'static str,
    pub is_number: bool,
}

#[derive(Default)]
pub struct Cell {
    pub text: String,
    /// What stands below it, smaller.
    pub below: Option<String>,
    pub is_number: bool,
    pub is_name: bool,
    pub is_bad: bool,
    /// The length of a bar, of 100.
    pub bar: Option<i64>,
}

impl Table {
    fn new<T>(
        id: &'static str,
        title: &'static str,
        section: &Section<T>,
        heads: &[&'static str],
        row: impl Fn(&T) -> Vec<Cell>,
    ) -> Table {
        let rows = Vec::from_iter(section.rows.iter().map(row));
        let rest = section.total - rows.len() as i64;
        let is_number = |at: usize| rows.first().is_some_and(|row| row[at].is_number);
        Table {
            id,
            title,
            about: String::new(),
            heads: Vec::from_iter(heads.iter().enumerate().map(|(at, &text)| Head {
                text,
                is_number: is_number(at),
            })),
            empty: "None.".to_owned(),
            total: number(section.total),
            rest: (rest > 0).then(|| {
                format!(
                    "{} of {} rows are shown.",
                    number(rows.len() as i64),
                    number(section.total)
                )
            }),
            rows,
            sql: section.sql.clone(),
            alarming: false,
        }
    }

    fn about(mut self, about: impl Into<String>) -> Table {
        self.about = about.into();
        self
    }

    fn empty(mut self, empty: impl Into<String>) -> Table {
        self.empty = empty.into();
        self
    }

    fn alarming(mut self) -> Table {
        self.alarming = !self.rows.is_empty();
        self
    }
}

impl Cell {
    fn text(text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            ..Cell::default()
        }
    }

    fn name(text: impl Into<String>) -> Cell {
        Cell {
            is_name: true,
            ..Cell::text(text)
        }
    }

    fn number(text: impl Into<String>) -> Cell {
        Cell {
            is_number: true,
            ..Cell::text(text)
        }
    }

    fn below(mut self, below: Option<String>) -> Cell {
        self.below = below;
        self
    }
}

/// All of them, in the order of the page.
pub fn all<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Vec<Table>
where
    Tz::Offset: Display,
{
    let mut tables = Vec::from_iter(new_hosts(report, clock));
    let verdicts = verdicts(report, clock);
    // What was blocked comes first, and that nothing was comes last.
    let (first, last) = match verdicts.rows.is_empty() {
        false => (Some(verdicts), None),
        true => (None, Some(verdicts)),
    };
    tables.splice(0..0, first);
    tables.extend([
        programs(report),
        flows(report),
        hosts(report, clock),
        raw_addresses(report),
        failed_connections(report, clock),
        failed_lookups(report, clock),
        uncertain_names(report),
    ]);
    tables.extend(last);
    tables
}

fn program(program: &Program) -> Cell {
    let mut below =
        Vec::from_iter(show::other_exe(program).map(|exe| show::name(exe).into_owned()));
    below.extend(show::container(program).map(|container| format!("in {container}")));
    Cell::name(show::name(&program.comm)).below((!below.is_empty()).then(|| below.join(" ")))
}

fn destination(to: &Destination) -> Cell {
    Cell::name(show::destination(to))
}

fn by(comm: &str, others: Option<i64>) -> Cell {
    Cell::name(show::name(comm)).below(others.map(|n| format!("and {} more", number(n))))
}

fn amount(amount: &Amount) -> Vec<Cell> {
    vec![
        Cell::number(number(amount.connections)),
        Cell {
            is_bad: amount.failed > 0,
            ..Cell::number(number(amount.failed))
        },
        Cell::number(bytes(amount.tx_bytes)),
        Cell::number(bytes(amount.rx_bytes)),
    ]
}

/// A bar for an amount, by the largest of the table.
fn bar(of: i64, most: i64) -> Cell {
    let percent = i128::from(of) * 100 / i128::from(most.max(1));
    Cell {
        bar: Some(i64::try_from(percent.clamp(i128::from(of > 0), 100)).unwrap_or(0)),
        ..Cell::default()
    }
}

fn programs(report: &Report) -> Table {
    let rows = report.programs.rows.iter();
    let most = rows.map(|row| row.amount.bytes()).max().unwrap_or(0);
    let heads = [
        "program",
        "bytes",
        "hosts",
        "connections",
        "failed",
        "sent",
        "received",
    ];
    Table::new("programs", "Programs", &report.programs, &heads, |row| {
        let mut cells = vec![
            program(&row.program),
            bar(row.amount.bytes(), most),
            Cell::number(number(row.hosts)),
        ];
        cells.extend(amount(&row.amount));
        cells
    })
    .about("The most bytes first. A program is a short name, an executable and a container.")
}

fn flows(report: &Report) -> Table {
    let heads = [
        "program",
        "host",
        "connections",
        "failed",
        "sent",
        "received",
    ];
    Table::new(
        "flows",
        "Which program talks to which host",
        &report.flows,
        &heads,
        |row| {
            let mut cells = vec![program(&row.program), destination(&row.to)];
            cells.extend(amount(&row.amount));
            cells
        },
    )
}

fn host_cells<Tz: TimeZone>(row: &HostRow, clock: &Clock<Tz>) -> Vec<Cell>
where
    Tz::Offset: Display,
{
    let mut cells = vec![
        destination(&row.to),
        by(&row.by.comm, show::others(&row.by)),
    ];
    cells.extend(amount(&row.amount));
    cells.push(Cell::text(clock.time(row.first_seen.0)));
    cells.push(Cell::text(clock.time(row.last_seen.0)));
    cells
}

const HOST_HEADS: [&str; 8] = [
    "host",
    "program",
    "connections",
    "failed",
    "sent",
    "received",
    "first seen",
    "last seen",
];

fn hosts<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    Table::new("hosts", "Hosts", &report.hosts, &HOST_HEADS, |row| {
        host_cells(row, clock)
    })
    .about("The most bytes first. Addresses that had no name stand for themselves.")
}

fn new_hosts<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Option<Table>
where
    Tz::Offset: Display,
{
    let new = report.new_hosts.as_ref()?;
    let file = new
        .baseline
        .as_ref()
        .map(|file| format!("compared with {}, ", show::name(file)));
    let mut about = format!("{}{}.", file.unwrap_or_default(), new.compared);
    if let Some(hosts) = new.compared_hosts {
        about.push_str(&format!(
            " Only the {} with the most bytes were compared.",
            count(hosts, "host", "hosts")
        ));
    }
    let table = Table::new("new", "New hosts", &new.hosts, &HOST_HEADS, |row| {
        host_cells(row, clock)
    });
    Some(table.about(about).empty("No host is new."))
}

fn raw_addresses(report: &Report) -> Table {
    let heads = [
        "address",
        "scope",
        "program",
        "connections",
        "failed",
        "sent",
        "received",
    ];
    Table::new(
        "raw",
        "Addresses without a name",
        &report.raw_addresses,
        &heads,
        |row| {
            let mut cells = vec![
                destination(&row.to),
                Cell::text(show::name(row.scope.as_deref().unwrap_or("–"))),
                by(&row.by.comm, show::others(&row.by)),
            ];
            cells.extend(amount(&row.amount));
            cells
        },
    )
    .about(
        "No lookup that egrets saw led to them. DNS servers, multicast and loopback are left out.",
    )
}

fn failed_connections<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    let heads = [
        "host",
        "program",
        "outcome",
        "errno",
        "connections",
        "last seen",
    ];
    let section = &report.failed_connections;
    Table::new("failed", "Failed connections", section, &heads, |row| {
        vec![
            destination(&row.to),
            by(&row.by.comm, show::others(&row.by)),
            Cell {
                is_bad: true,
                ..Cell::text(show::name(&row.outcome))
            },
            Cell::text(show::name(row.errno.as_deref().unwrap_or("–"))),
            Cell::number(number(row.connections)),
            Cell::text(clock.time(row.last_seen.0)),
        ]
    })
    .alarming()
}

fn failed_lookups<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    let heads = ["name", "type", "program", "answer", "lookups", "last seen"];
    let section = &report.failed_lookups;
    Table::new("failed-lookups", "Failed lookups", section, &heads, |row| {
        let comm = row.by.comm.as_deref().unwrap_or("–");
        vec![
            Cell::name(show::name(row.qname.as_deref().unwrap_or("–"))),
            Cell::text(show::name(row.qtype.as_deref().unwrap_or("–"))),
            by(comm, show::lookup_others(&row.by)),
            Cell {
                is_bad: true,
                ..Cell::text(show::name(row.rcode.as_deref().unwrap_or(&row.status)))
            },
            Cell::number(number(row.lookups)),
            Cell::text(clock.time(row.last_seen.0)),
        ]
    })
    .alarming()
}

fn uncertain_names(report: &Report) -> Table {
    let heads = ["host", "other names", "from", "connections", "explain"];
    let section = &report.uncertain_names;
    Table::new(
        "names",
        "Names that may be others",
        section,
        &heads,
        |row| {
            let names = Vec::from_iter(row.rival_hosts.iter().take(3).map(|n| show::name(n)));
            let rest = row.rivals - names.len() as i64;
            vec![
                Cell::name(show::name(&row.host)),
                Cell::name(names.join(", "))
                    .below((rest > 0).then(|| format!("and {} more", number(rest)))),
                Cell::text(show::name(row.host_source.as_deref().unwrap_or("–"))),
                Cell::number(number(row.connections)),
                Cell::name(format!("egrets explain {}", row.example)),
            ]
        },
    )
    .about(
        "Other lookups had led to the same address, so these connections could be to those names.",
    )
}

fn verdicts<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    let heads = [
        "verdict",
        "rule",
        "program",
        "host",
        "connections",
        "last seen",
    ];
    let verdicts = &report.verdicts;
    let table = Table::new(
        "policy",
        "Blocked or reported by the policy",
        &verdicts.rows,
        &heads,
        |row| {
            let observed = !row.enforced && row.verdict != "alert";
            vec![
                Cell {
                    is_bad: row.enforced && row.verdict != "alert",
                    ..Cell::text(show::name(&row.verdict))
                        .below(observed.then(|| "only observed".to_owned()))
                },
                Cell::name(show::name(row.rule.as_deref().unwrap_or("–"))),
                program(&row.program),
                destination(&row.to),
                Cell::number(number(row.connections)),
                Cell::text(clock.time(row.last_seen.0)),
            ]
        },
    );
    table.alarming().empty(match verdicts.decided {
        0 => "No policy decided on any of these connections.".to_owned(),
        n => format!(
            "The policy allowed all {}.",
            count(n, "connection", "connections")
        ),
    })
}

/// The timeline's figures, in fewer steps.
pub fn steps<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    let timeline = &report.timeline;
    let width = timeline.connections.len().div_ceil(MOST_STEPS).max(1);
    let sums = |of: &[i64]| Vec::from_iter(of.chunks(width).map(|part| part.iter().sum::<i64>()));
    let (connections, failed) = (sums(&timeline.connections), sums(&timeline.failed));
    let (sent, received) = (sums(&timeline.tx_bytes), sums(&timeline.rx_bytes));
    let step = timeline.step_ns().saturating_mul(width as i64);
    let rows = Vec::from_iter((0..connections.len()).filter(|&at| connections[at] > 0));
    let section = Section {
        total: rows.len() as i64,
        rows,
        sql: timeline.sql.clone(),
    };
    let heads = ["from", "connections", "failed", "sent", "received"];
    let begins = |at: usize| {
        timeline
            .start
            .0
            .saturating_add(step.saturating_mul(at as i64))
    };
    Table::new(
        "steps",
        "The timeline as a table",
        &section,
        &heads,
        |&at| {
            let mut cells = vec![Cell::text(clock.time(begins(at)))];
            cells.extend(amount(&Amount {
                connections: connections[at],
                failed: failed[at],
                tx_bytes: Some(sent[at]),
                rx_bytes: Some(received[at]),
            }));
            cells
        },
    )
    .about(format!(
        "Each row stands for {}; those without a connection are left out.",
        crate::human::duration(step / 1000)
    ))
}

/// When egrets did not see everything.
pub fn gaps<Tz: TimeZone>(report: &Report, clock: &Clock<Tz>) -> Table
where
    Tz::Offset: Display,
{
    let heads = ["from", "to", "kind", "lost", "why"];
    Table::new("gaps", "Gaps", &report.coverage.gaps, &heads, |gap| {
        vec![
            Cell::text(clock.time(gap.from.0)),
            Cell::text(clock.time(gap.to.0)),
            Cell::text(show::name(&gap.kind)),
            Cell::number(gap.lost.map_or_else(|| "–".to_owned(), number)),
            Cell::text(show::name(gap.why.as_deref().unwrap_or("–"))),
        ]
    })
}
